use std::collections::BTreeMap;
use std::path::Path;

use deeptell_augment::{Augmentation, SelfBlend};
use deeptell_face::FaceCrop;
use deeptell_network::{Architecture, Dtype};
use serde::{Deserialize, Serialize};

use crate::config_forms::AnyForm;
use crate::{Schedule, TrainError};

/// The largest configuration file.
const MAX_BYTES: u64 = 1 << 20;

/// Order of the training samples in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SampleOrder {
    /// Every sample by itself, in random order.
    Shuffled,
    /// As many real as fake samples, alternating, each class in random order; the rarer class is
    /// repeated. Every batch has half of each, as an alternative to `pos_weight`.
    Balanced,
    /// Sources in random order, with the samples of each source together, so that a real face is in
    /// the same batch as its fakes.
    BySource,
    /// Every real sample in random order, each as a triple: the real face, a blend made from it
    /// ([`SelfBlend`]) and one fake of the same source, all through the same augmentation. The
    /// blends teach what any face swap leaves, the fakes what the generators at hand leave.
    /// Reals without landmarks have no blend. Where the source has no fake, one of the same data set
    /// (`dataset` in the manifest) is drawn, each method as often as the others; where that has none
    /// either, there is no third part.
    Triples,
}

/// All settings of a training run; TOML on disk, a table for each group.
///
/// Files of earlier versions, which had the settings of most groups at the top, are read as well.
///
/// Minor versions may add fields, here and in the groups, so it is built by changing the default:
///
/// ```
/// use deeptell_train::TrainConfig;
///
/// let mut config = TrainConfig::default();
/// config.epochs = 5;
/// config.optimizer.learning_rate = 3e-4;
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "AnyForm")]
#[non_exhaustive]
pub struct TrainConfig {
    /// The network that is trained, for example `mobilenet-v3-small` or `mobilenet-v3-large`.
    #[serde(skip_serializing_if = "Architecture::is_default")]
    pub architecture: Architecture,
    /// Seed of every random choice: initial weights, order, augmentation, dropout.
    pub seed: u64,
    /// Number of epochs.
    pub epochs: usize,
    /// Pictures per step, rounded down to whole triples. A last batch that is not full is dropped,
    /// unless it is the only one.
    pub batch_size: usize,
    /// Replicas of the network on one device, each of which computes the gradients of a part of every batch; on a CPU,
    /// they divide the threads among them. Batch normalization sees a part at a time, so each needs two pictures. A run
    /// can be resumed with another number; its `config.toml` has the last one. See [`Trainer::replicas_on`] for several
    /// devices.
    ///
    /// [`Trainer::replicas_on`]: crate::Trainer::replicas_on
    #[serde(skip_serializing_if = "is_one")]
    pub replicas: usize,
    /// Sides of the training crops in pixels, each for an equal part of the epochs: smaller pictures
    /// first save time (Tan and Le 2021, "`EfficientNetV2`", section 4). Empty: `crop.size` throughout.
    /// Validation and the result use `crop.size`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<u32>,
    /// Number format of the steps: `f32`, `bf16` or `f16`. Weights, validation and the result always
    /// have 32 bits; the loss is scaled for `f16`.
    #[serde(skip_serializing_if = "Dtype::is_full")]
    pub dtype: Dtype,
    /// Probability of dropping a hidden unit of the classifier, `0..1`.
    pub dropout: f64,
    /// Batch normalization uses the running statistics of the initial weights, and keeps them, instead of those of
    /// each batch. It suits small batches and weights that were trained before; training from random weights needs
    /// the statistics of its batches.
    #[serde(skip_serializing_if = "is_false")]
    pub frozen_statistics: bool,
    /// How often an eye, the nose or the mouth is covered, the same in all pictures of a unit, so
    /// that no single part of a face decides (Das et al. 2021, "Towards Solving the `DeepFake`
    /// Problem: Face-Cutout", section 3); 0 to 1. Pictures without landmarks stay as they are.
    pub cutout_probability: f64,
    /// How faces are cut from pictures that come with a box, and the size of all inputs.
    pub crop: FaceCrop,
    /// How weights follow from gradients.
    pub optimizer: OptimizerConfig,
    /// How the learning rate changes, and when training ends.
    pub schedule: ScheduleConfig,
    /// Which samples an epoch has, and in which order.
    pub sampling: SamplingConfig,
    /// What is minimized.
    pub loss: LossConfig,
    /// Compression of training pictures as video.
    pub codec: CodecConfig,
    /// Augmentation of training pictures.
    pub augmentation: Augmentation,
    /// How blends are made, for [`SampleOrder::Triples`].
    pub blend: SelfBlend,
}

/// How weights follow from gradients: `AdamW` (Loshchilov and Hutter 2019).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OptimizerConfig {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Rate of a layer over that of the next one towards the output, above 0 and at most 1: below
    /// 1, layers far from the output keep more of what they knew (Howard and Ruder 2018, "Universal
    /// Language Model Fine-tuning", section 3.2).
    pub layer_decay: f64,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Largest norm of the gradient of one tensor; absent: no clipping.
    pub gradient_clip: Option<f32>,
    /// Radius of sharpness-aware minimization (Foret et al. 2021): each step takes its gradient
    /// where the loss is worst within this distance of the weights, at twice the cost; the paper
    /// uses 0.05. Absent: plain steps.
    pub sharpness_radius: Option<f64>,
    /// Decay per step of the moving average of the weights (Polyak averaging) that is evaluated and
    /// kept, `0..1`; `None`, or 0 in a file: the weights themselves.
    pub average_decay: Option<f64>,
}

/// How the learning rate changes, and when training ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ScheduleConfig {
    /// How the rate falls from the peak to the last rate.
    pub shape: Schedule,
    /// Share of all steps over which the rate climbs linearly from 0, `0..1`.
    pub warmup: f64,
    /// Rate at the end, over the peak, `0..=1`.
    pub final_learning_rate: f64,
    /// Number of epochs at the start in which only the classifier is trained.
    pub frozen_epochs: usize,
    /// Number of epochs without a better validation AUC after which the run ends; absent: it runs all
    /// epochs.
    pub patience: Option<usize>,
}

/// Which samples an epoch has, and in which order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SamplingConfig {
    /// Order of the samples.
    pub order: SampleOrder,
    /// Pictures per epoch; when absent, all training samples, or with [`SampleOrder::Triples`] three for
    /// each real one. With a larger number, samples are repeated.
    pub samples_per_epoch: Option<usize>,
    /// With [`SampleOrder::Triples`]: how often real faces of each data set (`dataset` in the manifest) are
    /// drawn, in any scale. Empty: as often as there are real faces of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dataset_shares: BTreeMap<String, f64>,
    /// With [`SampleOrder::Triples`]: how often the fake comes from another source of the same data set;
    /// 0 to 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub other_source_probability: f64,
    /// How often the blend of a triple shows another real face, swapped onto the first, and not a
    /// changed copy of it; 0 to 1.
    pub swap_probability: f64,
    /// How often the fake of a triple gets the change in color and sharpness that one side of a
    /// blend gets, so that neither gives it away; 0 to 1.
    pub disguise_probability: f64,
}

/// What is minimized: the binary cross-entropy of the logits, and of where a picture is manipulated.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LossConfig {
    /// Weight of fakes; absent: real over fake pictures of an epoch.
    pub pos_weight: Option<f64>,
    /// Targets are moved from 0 and 1 towards 1/2 by half of this, `0..1`.
    pub label_smoothing: f64,
    /// With [`SampleOrder::Triples`]: weight of a second loss, on where a picture is manipulated. The classifier
    /// is applied to each position of the last feature map too, and its target there is the share of the
    /// position's pixels that are blended in; nowhere in a real face. Fakes that are not blends take no part,
    /// for nobody says where they are manipulated. 0: none.
    #[serde(skip_serializing_if = "is_zero")]
    pub localization_weight: f64,
}

/// Compression of training pictures as video, after all of the augmentation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CodecConfig {
    /// How often the pictures of a unit end as a keyframe of H.264 and are decoded again; 0 to 1. It needs the
    /// feature `codec`, and an FFmpeg with libx264.
    pub probability: f64,
    /// Lowest and highest constant rate factor, 0 to 51; lower is better.
    pub crf: [u8; 2],
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            architecture: Architecture::default(),
            seed: 0,
            epochs: 6,
            batch_size: 32,
            replicas: 1,
            sizes: Vec::new(),
            dtype: Dtype::F32,
            dropout: 0.2,
            frozen_statistics: false,
            cutout_probability: 0.0,
            crop: FaceCrop::default(),
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            sampling: SamplingConfig::default(),
            loss: LossConfig::default(),
            codec: CodecConfig::default(),
            augmentation: Augmentation::default(),
            blend: SelfBlend::default(),
        }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            learning_rate: 6e-4,
            layer_decay: 1.0,
            weight_decay: 1e-2,
            gradient_clip: None,
            sharpness_radius: None,
            average_decay: Some(0.995),
        }
    }
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Schedule::default().into()
    }
}

impl Default for SamplingConfig {
    fn default() -> Self {
        SampleOrder::BySource.into()
    }
}

impl Default for CodecConfig {
    fn default() -> Self {
        Self { probability: 0.0, crf: [18, 35] }
    }
}

/// The schedule of this shape with everything else at its default.
impl From<Schedule> for ScheduleConfig {
    fn from(shape: Schedule) -> Self {
        Self { shape, warmup: 0.05, final_learning_rate: 0.02, frozen_epochs: 0, patience: None }
    }
}

/// The samples in this order with everything else at its default.
impl From<SampleOrder> for SamplingConfig {
    fn from(order: SampleOrder) -> Self {
        Self {
            order,
            samples_per_epoch: None,
            dataset_shares: BTreeMap::new(),
            other_source_probability: 0.0,
            swap_probability: 0.0,
            disguise_probability: 0.5,
        }
    }
}

/// A setting, whether its value is in range, and what it must be.
type Check = (&'static str, bool, &'static str);

fn is_below_one(value: f64) -> bool {
    (0.0..1.0).contains(&value)
}

fn is_share(value: f64) -> bool {
    (0.0..=1.0).contains(&value)
}

fn is_positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

impl OptimizerConfig {
    fn checks(&self) -> [Check; 6] {
        [
            ("optimizer.learning_rate", is_positive(self.learning_rate), "a positive number"),
            (
                "optimizer.weight_decay",
                self.weight_decay.is_finite() && self.weight_decay >= 0.0,
                "0 or a positive number",
            ),
            (
                "optimizer.gradient_clip",
                self.gradient_clip.is_none_or(|v| is_positive(v.into())),
                "a positive number",
            ),
            (
                "optimizer.sharpness_radius",
                self.sharpness_radius.is_none_or(is_positive),
                "a positive number",
            ),
            (
                "optimizer.average_decay",
                self.average_decay.is_none_or(is_below_one),
                "at least 0 and below 1",
            ),
            (
                "optimizer.layer_decay",
                self.layer_decay > 0.0 && self.layer_decay <= 1.0,
                "above 0 and at most 1",
            ),
        ]
    }
}

impl ScheduleConfig {
    fn checks(&self) -> [Check; 3] {
        [
            ("schedule.warmup", is_below_one(self.warmup), "at least 0 and below 1"),
            ("schedule.final_learning_rate", is_share(self.final_learning_rate), "0 to 1"),
            ("schedule.patience", self.patience != Some(0), "1 or more, or absent"),
        ]
    }
}

impl LossConfig {
    fn checks(&self, order: SampleOrder) -> [Check; 3] {
        [
            ("loss.pos_weight", self.pos_weight.is_none_or(is_positive), "a positive number"),
            ("loss.label_smoothing", is_below_one(self.label_smoothing), "at least 0 and below 1"),
            (
                "loss.localization_weight",
                self.localization_weight == 0.0
                    || order == SampleOrder::Triples && (0.0..=100.0).contains(&self.localization_weight),
                "0 to 100, above 0 only together with `order = \"triples\"` in `[sampling]`",
            ),
        ]
    }
}

impl SamplingConfig {
    fn checks(&self) -> [Check; 5] {
        let shares = || self.dataset_shares.values();
        [
            ("sampling.samples_per_epoch", self.samples_per_epoch != Some(0), "1 or more, or absent for all"),
            ("sampling.swap_probability", is_share(self.swap_probability), "0 to 1"),
            ("sampling.disguise_probability", is_share(self.disguise_probability), "0 to 1"),
            (
                "sampling.dataset_shares",
                self.dataset_shares.is_empty()
                    || self.order == SampleOrder::Triples
                        && shares().all(|v| v.is_finite() && *v >= 0.0)
                        && shares().any(|v| *v > 0.0),
                "numbers from 0 up, not all 0, together with `order = \"triples\"` in `[sampling]`",
            ),
            ("sampling.other_source_probability", is_share(self.other_source_probability), "0 to 1"),
        ]
    }
}

impl CodecConfig {
    fn checks(&self) -> [Check; 2] {
        let [low, high] = self.crf;
        [
            ("codec.probability", is_share(self.probability), "0 to 1"),
            ("codec.crf", low <= high && high <= 51, "two rising numbers from 0 to 51"),
        ]
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_one(value: &usize) -> bool {
    *value == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl TrainConfig {
    /// How faces are cut in `epoch`, counted from 1.
    pub(crate) fn crop_in(&self, epoch: usize) -> FaceCrop {
        let part = (epoch.saturating_sub(1) * self.sizes.len()) / self.epochs.max(1);
        let size = self.sizes.get(part).or(self.sizes.last()).copied();
        self.crop.size(size.unwrap_or(self.crop.size))
    }

    /// Reads a TOML file; absent fields have their default.
    ///
    /// # Errors
    /// [`TrainError::Io`] when it cannot be read, [`TrainError::Config`] when a field is
    /// unknown or of the wrong type, [`TrainError::Setting`] when a value is out of range.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let text = deeptell_files::read_text_bounded(path, MAX_BYTES).map_err(TrainError::io(path))?;
        let config: Self = toml::from_str(&text).map_err(|error| {
            let line = deeptell_files::line_at(&text, error.span().map_or(0, |span| span.start));
            TrainError::Config { path: path.to_owned(), reason: format!("line {line}: {}", error.message()) }
        })?;
        config.validate()?;
        Ok(config)
    }

    /// The configuration as TOML, every field written out.
    ///
    /// # Errors
    /// [`TrainError::Setting`] when a number cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, TrainError> {
        toml::to_string_pretty(self)
            .map_err(|e| TrainError::Setting { setting: "configuration", expected: e.to_string() })
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`TrainError::Setting`] names the first field that is out of range.
    pub fn validate(&self) -> Result<(), TrainError> {
        let own = [
            ("epochs", self.epochs > 0, "1 or more"),
            (
                "batch_size",
                (2..=4096).contains(&self.batch_size),
                "2 to 4096: batch statistics need two samples",
            ),
            ("replicas", self.replicas > 0, "1 or more"),
            ("dropout", is_below_one(self.dropout), "at least 0 and below 1"),
            ("cutout_probability", is_share(self.cutout_probability), "0 to 1"),
            (
                "sizes",
                self.sizes.len() <= 64 && self.sizes.iter().all(|size| (32..=1024).contains(size)),
                "at most 64 sides of 32 to 1024 pixels",
            ),
            ("crop.size", (32..=1024).contains(&self.crop.size), "32 to 1024 pixels"),
            ("crop.scale", is_positive(self.crop.scale.into()), "a positive number"),
        ];
        let mut checks = own
            .into_iter()
            .chain(self.sampling.checks())
            .chain(self.optimizer.checks())
            .chain(self.schedule.checks())
            .chain(self.loss.checks(self.sampling.order))
            .chain(self.codec.checks());
        if let Some((setting, _, expected)) = checks.find(|(_, holds, _)| !holds) {
            return Err(TrainError::Setting { setting, expected: format!("must be {expected}") });
        }
        #[cfg(not(feature = "codec"))]
        if self.codec.probability > 0.0 {
            return Err(without_codec());
        }
        self.augmentation.validate()?;
        Ok(self.blend.validate()?)
    }
}

/// The error of a setting that needs the feature `codec`.
#[cfg(not(feature = "codec"))]
pub(crate) fn without_codec() -> TrainError {
    let expected =
        "must be 0 in a build without FFmpeg: enable the feature `codec` of deeptell-train".to_owned();
    TrainError::Setting { setting: "codec.probability", expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: impl FnOnce(&mut TrainConfig)) -> TrainConfig {
        let mut config = TrainConfig::default();
        set(&mut config);
        config
    }

    #[test]
    fn config_round_trips_and_fills_defaults() {
        let config = TrainConfig {
            epochs: 3,
            loss: LossConfig { pos_weight: Some(0.5), ..LossConfig::default() },
            ..TrainConfig::default()
        };
        let back: TrainConfig = toml::from_str(&config.to_toml().unwrap()).unwrap();
        assert_eq!(back, config);
        let sparse: TrainConfig = toml::from_str("epochs = 3\n[loss]\npos_weight = 0.5\n").unwrap();
        assert_eq!(sparse, config);
    }

    #[test]
    fn sizes_divide_the_epochs_evenly() {
        let config = TrainConfig { epochs: 6, sizes: vec![160, 192, 224], ..TrainConfig::default() };
        let sizes: Vec<u32> = (1..=6).map(|epoch| config.crop_in(epoch).size).collect();
        assert_eq!(sizes, [160, 160, 192, 192, 224, 224]);
        assert_eq!(TrainConfig { sizes: vec![], ..config.clone() }.crop_in(3), config.crop);
        let few = TrainConfig { epochs: 2, ..config };
        assert_eq!([1, 2].map(|epoch| few.crop_in(epoch).size), [160, 192]);
    }

    #[test]
    fn config_errors_name_the_setting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.toml");
        std::fs::write(&path, "epoch = 3\n").unwrap();
        assert!(TrainConfig::read(&path).unwrap_err().to_string().contains("epoch"));
        std::fs::write(&path, "batch_size = 1\n").unwrap();
        let error = TrainConfig::read(&path).unwrap_err();
        assert!(matches!(error, TrainError::Setting { setting: "batch_size", .. }));
        let codec = with(|config| config.codec.crf = [30, 20]);
        assert!(matches!(codec.validate(), Err(TrainError::Setting { setting: "codec.crf", .. })));
        let shares = with(|config| config.sampling.dataset_shares = [("a".to_owned(), 1.0)].into());
        assert!(matches!(
            shares.validate(),
            Err(TrainError::Setting { setting: "sampling.dataset_shares", .. })
        ));
        let sizes = TrainConfig { sizes: vec![160, 4], ..TrainConfig::default() };
        assert!(matches!(sizes.validate(), Err(TrainError::Setting { setting: "sizes", .. })));
        let unmasked = with(|config| config.loss.localization_weight = 0.1);
        assert!(matches!(
            unmasked.validate(),
            Err(TrainError::Setting { setting: "loss.localization_weight", .. })
        ));
        let nan = with(|config| config.optimizer.learning_rate = f64::NAN);
        assert!(matches!(
            nan.validate(),
            Err(TrainError::Setting { setting: "optimizer.learning_rate", .. })
        ));
    }
}
