//! Reading configurations of every version.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use deeptell_augment::{Augmentation, SelfBlend};
use deeptell_face::FaceCrop;
use deeptell_network::{Architecture, Dtype};
use serde::de::value::MapAccessDeserializer;
use serde::de::{IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::config::{CodecConfig, LossConfig, OptimizerConfig, SampleOrder, SamplingConfig, ScheduleConfig};
use crate::{Schedule, TrainConfig};

/// A configuration with its tables, and the keys that earlier versions had in their place.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AnyForm {
    architecture: Architecture,
    seed: u64,
    epochs: usize,
    batch_size: usize,
    replicas: usize,
    sizes: Vec<u32>,
    #[serde(alias = "precision")]
    dtype: Dtype,
    dropout: f64,
    frozen_statistics: bool,
    cutout_probability: f64,
    crop: FaceCrop,
    optimizer: Option<OptimizerConfig>,
    schedule: Option<WordOr<Schedule, ScheduleConfig>>,
    sampling: Option<WordOr<SampleOrder, SamplingConfig>>,
    loss: Option<LossConfig>,
    codec: Option<CodecConfig>,
    augmentation: Augmentation,
    blend: SelfBlend,

    learning_rate: Option<f64>,
    layer_decay: Option<f64>,
    weight_decay: Option<f32>,
    gradient_clip: Option<f32>,
    sharpness_radius: Option<f64>,
    average_decay: Option<f64>,
    warmup: Option<f64>,
    final_learning_rate: Option<f64>,
    frozen_epochs: Option<usize>,
    patience: Option<usize>,
    samples_per_epoch: Option<usize>,
    dataset_shares: Option<BTreeMap<String, f64>>,
    other_source_probability: Option<f64>,
    swap_probability: Option<f64>,
    disguise_probability: Option<f64>,
    pos_weight: Option<f64>,
    label_smoothing: Option<f64>,
    localization_weight: Option<f64>,
    codec_probability: Option<f64>,
    codec_crf: Option<[u8; 2]>,
}

impl Default for AnyForm {
    fn default() -> Self {
        let TrainConfig {
            architecture,
            seed,
            epochs,
            batch_size,
            replicas,
            sizes,
            dtype,
            dropout,
            frozen_statistics,
            cutout_probability,
            crop,
            augmentation,
            blend,
            ..
        } = TrainConfig::default();
        Self {
            architecture,
            seed,
            epochs,
            batch_size,
            replicas,
            sizes,
            dtype,
            dropout,
            frozen_statistics,
            cutout_probability,
            crop,
            optimizer: None,
            schedule: None,
            sampling: None,
            loss: None,
            codec: None,
            augmentation,
            blend,
            learning_rate: None,
            layer_decay: None,
            weight_decay: None,
            gradient_clip: None,
            sharpness_radius: None,
            average_decay: None,
            warmup: None,
            final_learning_rate: None,
            frozen_epochs: None,
            patience: None,
            samples_per_epoch: None,
            dataset_shares: None,
            other_source_probability: None,
            swap_probability: None,
            disguise_probability: None,
            pos_weight: None,
            label_smoothing: None,
            localization_weight: None,
            codec_probability: None,
            codec_crf: None,
        }
    }
}

/// Moves each key of an earlier version that is there into its table; an error if the table is there, too.
macro_rules! move_keys {
    ($form:ident, $name:literal, $table:expr, $is_table:expr, { $($key:ident => $field:ident),+ $(,)? }) => {{
        let is_table = $is_table;
        let mut table = $table;
        $(
            if let Some(value) = $form.$key {
                if is_table {
                    return Err(format!(
                        "`{}` stands beside the table `[{}]`: write it as `{}` within the table",
                        stringify!($key), $name, stringify!($field)
                    ));
                }
                table.$field = value.into();
            }
        )+
        table
    }};
}

impl TryFrom<AnyForm> for TrainConfig {
    type Error = String;

    fn try_from(form: AnyForm) -> Result<Self, Self::Error> {
        let is_table = form.optimizer.is_some();
        let optimizer = move_keys!(form, "optimizer", form.optimizer.unwrap_or_default(), is_table, {
            learning_rate => learning_rate,
            layer_decay => layer_decay,
            weight_decay => weight_decay,
            gradient_clip => gradient_clip,
            sharpness_radius => sharpness_radius,
            average_decay => average_decay,
        });
        let (schedule, is_table) = WordOr::table(form.schedule);
        let schedule = move_keys!(form, "schedule", schedule, is_table, {
            warmup => warmup,
            final_learning_rate => final_learning_rate,
            frozen_epochs => frozen_epochs,
            patience => patience,
        });
        let (sampling, is_table) = WordOr::table(form.sampling);
        let sampling = move_keys!(form, "sampling", sampling, is_table, {
            samples_per_epoch => samples_per_epoch,
            dataset_shares => dataset_shares,
            other_source_probability => other_source_probability,
            swap_probability => swap_probability,
            disguise_probability => disguise_probability,
        });
        let is_table = form.loss.is_some();
        let loss = move_keys!(form, "loss", form.loss.unwrap_or_default(), is_table, {
            pos_weight => pos_weight,
            label_smoothing => label_smoothing,
            localization_weight => localization_weight,
        });
        let is_table = form.codec.is_some();
        let codec = move_keys!(form, "codec", form.codec.unwrap_or_default(), is_table, {
            codec_probability => probability,
            codec_crf => crf,
        });
        Ok(Self {
            architecture: form.architecture,
            seed: form.seed,
            epochs: form.epochs,
            batch_size: form.batch_size,
            replicas: form.replicas,
            sizes: form.sizes,
            dtype: form.dtype,
            dropout: form.dropout,
            frozen_statistics: form.frozen_statistics,
            cutout_probability: form.cutout_probability,
            crop: form.crop,
            optimizer,
            schedule,
            sampling,
            loss,
            codec,
            augmentation: form.augmentation,
            blend: form.blend,
        })
    }
}

impl TrainConfig {
    /// The text of a `config.toml` in the form of this version, if an earlier one wrote it; any other text as it is.
    pub fn with_tables(text: &str) -> Cow<'_, str> {
        let is_table = |value: &toml::Value| value.is_table();
        let groups = ["optimizer", "schedule", "sampling", "loss", "codec"];
        match toml::from_str::<toml::Table>(text) {
            Ok(keys) if !groups.iter().any(|group| keys.get(*group).is_some_and(is_table)) => {
                let written = toml::from_str(text).ok().and_then(|config: Self| config.to_toml().ok());
                written.map_or(Cow::Borrowed(text), Cow::Owned)
            }
            _ => Cow::Borrowed(text),
        }
    }
}

/// A table, or the word that earlier versions had under its name.
enum WordOr<W, T> {
    Word(W),
    Table(T),
}

impl<W, T: From<W> + Default> WordOr<W, T> {
    /// The table that this stands for, and whether it is one.
    fn table(given: Option<Self>) -> (T, bool) {
        match given {
            None => (T::default(), false),
            Some(Self::Word(word)) => (word.into(), false),
            Some(Self::Table(table)) => (table, true),
        }
    }
}

/// Not an untagged enum, whose errors would not say what is wrong.
impl<'de, W: Deserialize<'de>, T: Deserialize<'de>> Deserialize<'de> for WordOr<W, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<W, T>(PhantomData<(W, T)>);

        impl<'de, W: Deserialize<'de>, T: Deserialize<'de>> Visitor<'de> for Either<W, T> {
            type Value = WordOr<W, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table or a word")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Self::Value, E> {
                W::deserialize(word.into_deserializer()).map(WordOr::Word)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(WordOr::Table)
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a run of the first version wrote, and what its users wrote by hand.
    const EARLIER: &str = r#"
        seed = 7
        epochs = 3
        samples_per_epoch = 300
        batch_size = 48
        dtype = "bf16"
        sampling = "triples"
        other_source_probability = 0.25
        learning_rate = 1e-3
        warmup = 0.1
        final_learning_rate = 0.5
        schedule = "flat-then-linear"
        layer_decay = 0.9
        patience = 2
        weight_decay = 0.5
        gradient_clip = 1.0
        sharpness_radius = 0.05
        average_decay = 0.5
        frozen_epochs = 1
        pos_weight = 2.0
        label_smoothing = 0.1
        localization_weight = 0.2
        dropout = 0.3
        cutout_probability = 0.4
        codec_probability = 0.35
        codec_crf = [20, 30]
        swap_probability = 0.6
        disguise_probability = 0.7
        [dataset_shares]
        a = 1.0
        [crop]
        size = 96
        scale = 0.95
        align = false
        [augmentation]
        grey_probability = 0.1
    "#;

    #[test]
    fn a_configuration_of_an_earlier_version_is_read() {
        let config: TrainConfig = toml::from_str(EARLIER).unwrap();
        let mut expected = TrainConfig {
            seed: 7,
            epochs: 3,
            batch_size: 48,
            dtype: Dtype::Bf16,
            dropout: 0.3,
            cutout_probability: 0.4,
            crop: FaceCrop::default().size(96).scale(0.95),
            optimizer: OptimizerConfig {
                learning_rate: 1e-3,
                layer_decay: 0.9,
                weight_decay: 0.5,
                gradient_clip: Some(1.0),
                sharpness_radius: Some(0.05),
                average_decay: Some(0.5),
            },
            schedule: ScheduleConfig {
                shape: Schedule::FlatThenLinear,
                warmup: 0.1,
                final_learning_rate: 0.5,
                frozen_epochs: 1,
                patience: Some(2),
            },
            sampling: SamplingConfig {
                order: SampleOrder::Triples,
                samples_per_epoch: Some(300),
                dataset_shares: [("a".to_owned(), 1.0)].into(),
                other_source_probability: 0.25,
                swap_probability: 0.6,
                disguise_probability: 0.7,
            },
            loss: LossConfig { pos_weight: Some(2.0), label_smoothing: 0.1, localization_weight: 0.2 },
            codec: CodecConfig { probability: 0.35, crf: [20, 30] },
            ..TrainConfig::default()
        };
        expected.augmentation.grey_probability = 0.1;
        assert_eq!(config, expected);
        // What it is written as is read, too.
        let tables = config.to_toml().unwrap();
        assert!(
            tables.contains("[optimizer]\n")
                && tables.contains("dtype = \"bf16\"\n")
                && !tables.contains("codec_crf"),
            "{tables}"
        );
        assert_eq!(toml::from_str::<TrainConfig>(&tables).unwrap(), config);
        assert_eq!(toml::from_str::<TrainConfig>("").unwrap(), TrainConfig::default());
        assert_eq!(TrainConfig::with_tables(EARLIER), tables);
        assert_eq!(TrainConfig::with_tables(&tables), tables);
        assert_eq!(TrainConfig::with_tables("[loss]\nother = 1"), "[loss]\nother = 1");
    }

    #[test]
    fn misspelled_settings_are_named() {
        let error = |text: &str| toml::from_str::<TrainConfig>(text).unwrap_err().to_string();
        let twice = error("warmup = 0.1\n[schedule]\npatience = 2\n");
        assert!(twice.contains("`warmup` stands beside the table `[schedule]`"), "{twice}");
        let twice = error("codec_crf = [1, 2]\n[codec]\n");
        assert!(twice.contains("write it as `crf`"), "{twice}");
        assert!(error("[sampling]\norders = 1\n").contains("unknown field `orders`"));
        assert!(error("sampling = \"sorted\"\n").contains("unknown variant `sorted`"));
        assert!(error("schedule = 3\n").contains("a table or a word"));
        assert!(error("learning_rates = 1\n").contains("unknown field `learning_rates`"));
    }
}
