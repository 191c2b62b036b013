//! What a training makes of data sets and manipulations that it did not see.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use deeptell::Model;
use deeptell_data::{DataError, Sample, Split};
use deeptell_metrics::{MetricsError, compare_auc, roc_auc};
use deeptell_train::TrainConfig;
use serde::Serialize;

use crate::suite::CropScore;
use crate::{EvalError, Observer, readable, score_samples};

/// What is left out of a training, one value at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeaveOut {
    /// A data set, genuine and manipulated: [`Sample::dataset`].
    Dataset,
    /// A method of manipulation: [`Sample::method`]. Genuine samples stay.
    Method,
}

impl LeaveOut {
    /// What there must be several of.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Dataset => "data sets",
            Self::Method => "methods",
        }
    }

    fn value_of(self, sample: &Sample) -> Option<&str> {
        match self {
            Self::Dataset => sample.dataset.as_deref(),
            Self::Method => sample.method.as_deref().filter(|_| sample.label.is_fake()),
        }
    }
}

/// A training without one data set or method, and what it is measured on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Fold {
    /// What is left out.
    pub name: String,
    /// The samples of the training and validation splits without it.
    pub training: Vec<Sample>,
    /// Validation samples of it. For a method, those it manipulated and the genuine ones of their data sets.
    pub held_out: Vec<Sample>,
}

/// The folds of a leave-one-out measurement, by name.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Folds {
    /// What is left out.
    pub by: LeaveOut,
    /// Those that can be trained and measured.
    pub folds: Vec<Fold>,
    /// The others, with the reason.
    pub skipped: Vec<Skipped>,
}

/// A data set or method that is not left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A training that [`Folds::measure`] asks for.
#[derive(Debug)]
#[non_exhaustive]
pub struct FoldTraining<'a> {
    /// Its number, from 1.
    pub number: usize,
    /// Trainings in all.
    pub total: usize,
    /// What it lacks; `None` for the one on everything.
    pub left_out: Option<&'a str>,
    /// Name of its folder, safe on every file system.
    pub folder: String,
    /// Its configuration.
    pub config: TrainConfig,
    /// Its samples, of the training and validation splits.
    pub samples: &'a [Sample],
}

/// One line of the result.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct FoldFigures {
    /// What was left out.
    pub left_out: String,
    /// Genuine crops that it is measured on.
    pub n_real: usize,
    /// Manipulated crops that it is measured on.
    pub n_fake: usize,
    /// AUC-ROC of crops in `0..=1`, of the training on everything and of the one without it.
    pub auc: [f64; 2],
    /// The second less the first.
    pub difference: f64,
    /// The 95% interval of the difference, by source; absent where a class has fewer than two sources.
    pub ci95: Option<[f64; 2]>,
}

/// Divides `samples` into trainings that each lack one data set or method.
///
/// Samples of the test split and those without a split take no part.
pub fn leave_one_out(samples: &[Sample], what: LeaveOut) -> Folds {
    let used: Vec<&Sample> = samples.iter().filter(|sample| takes_part(sample)).collect();
    let names: BTreeSet<&str> = used.iter().filter_map(|sample| what.value_of(sample)).collect();
    let mut found = Folds { by: what, folds: Vec::new(), skipped: Vec::new() };
    for name in names {
        let fold = Fold {
            name: name.to_owned(),
            training: used
                .iter()
                .filter(|sample| what.value_of(sample) != Some(name))
                .map(|s| (*s).clone())
                .collect(),
            held_out: held_out(&used, what, name),
        };
        match fold.fault() {
            Some(reason) => found.skipped.push(Skipped { name: name.to_owned(), reason }),
            None => found.folds.push(fold),
        }
    }
    found
}

fn takes_part(sample: &Sample) -> bool {
    matches!(sample.split, Some(Split::Train | Split::Validation))
}

fn held_out(samples: &[&Sample], what: LeaveOut, name: &str) -> Vec<Sample> {
    let is_validation = |sample: &&&Sample| sample.split == Some(Split::Validation);
    let of_it = |sample: &&&Sample| what.value_of(sample) == Some(name);
    let genuine_of: BTreeSet<Option<&str>> = match what {
        LeaveOut::Dataset => BTreeSet::new(),
        LeaveOut::Method => samples.iter().filter(of_it).map(|sample| sample.dataset.as_deref()).collect(),
    };
    samples
        .iter()
        .filter(is_validation)
        .filter(|sample| {
            of_it(sample) || (!sample.label.is_fake() && genuine_of.contains(&sample.dataset.as_deref()))
        })
        .map(|sample| (*sample).clone())
        .collect()
}

impl Fold {
    /// `config` for this training: without the shares (`sampling.dataset_shares`) of data sets that have no genuine
    /// training sample here.
    #[must_use]
    pub fn config(&self, config: &TrainConfig) -> TrainConfig {
        let mut config = config.clone();
        config.sampling.dataset_shares.retain(|dataset, _| {
            self.training.iter().any(|sample| {
                sample.split == Some(Split::Train)
                    && !sample.label.is_fake()
                    && sample.dataset.as_ref() == Some(dataset)
            })
        });
        config
    }

    /// Compares the training on everything with the one without the fold on what it holds out.
    fn figures(
        &self,
        with: &Model,
        without: &Model,
        observer: &mut dyn Observer,
    ) -> Result<FoldFigures, EvalError> {
        let held_out: Vec<&Sample> = self.held_out.iter().collect();
        let with = score_samples(with, &held_out, None, observer)?;
        let without = score_samples(without, &held_out, None, observer)?;
        fold_figures(&self.name, &with, &without)
    }

    fn fault(&self) -> Option<String> {
        let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
        for sample in &self.training {
            let part = if sample.split == Some(Split::Train) { "training" } else { "validation" };
            counts.entry(part).or_default()[usize::from(sample.label.is_fake())] += 1;
        }
        let lacks = |[real, fake]: [usize; 2]| match (real, fake) {
            (0, _) => Some("genuine"),
            (_, 0) => Some("manipulated"),
            _ => None,
        };
        for part in ["training", "validation"] {
            if let Some(class) = lacks(counts.get(part).copied().unwrap_or_default()) {
                return Some(format!("without it no {class} sample is left for {part}"));
            }
        }
        let fakes = self.held_out.iter().filter(|sample| sample.label.is_fake()).count();
        lacks([self.held_out.len() - fakes, fakes])
            .map(|class| format!("its validation split has no {class} sample to measure it on"))
    }
}

/// Compares the scores of the training on everything with those of the one without `name`, crop by crop.
fn fold_figures(name: &str, with: &[CropScore], without: &[CropScore]) -> Result<FoldFigures, EvalError> {
    let logits = |crops: &[CropScore]| -> Result<Vec<f64>, EvalError> {
        let logit = |crop: &CropScore| {
            let missing =
                || EvalError::MissingCrop { path: crop.path.clone(), why: "it has no score".to_owned() };
            crop.logit().ok_or_else(missing)
        };
        crops.iter().map(logit).collect()
    };
    let labels: Vec<bool> = with.iter().map(|crop| crop.label.is_fake()).collect();
    let sources: Vec<&str> = with.iter().map(|crop| crop.source.as_str()).collect();
    let n_fake = labels.iter().filter(|fake| **fake).count();
    let (with, without) = (logits(with)?, logits(without)?);
    let auc = [roc_auc(&with, &labels)?, roc_auc(&without, &labels)?];
    let ci95 = match compare_auc(&with, &without, &labels, &sources) {
        Ok(comparison) => Some(comparison.ci95),
        Err(MetricsError::TooFewGroups { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(FoldFigures {
        left_out: name.to_owned(),
        n_real: labels.len() - n_fake,
        n_fake,
        auc,
        difference: auc[1] - auc[0],
        ci95,
    })
}

impl Folds {
    /// Keeps only the folds, and the skipped ones, of these names.
    ///
    /// # Errors
    /// [`EvalError::UnknownFold`] for a name that is neither.
    pub fn select(&mut self, names: &[String]) -> Result<(), EvalError> {
        let is_known = |name: &String| {
            self.folds.iter().any(|fold| fold.name == *name)
                || self.skipped.iter().any(|skipped| skipped.name == *name)
        };
        if let Some(name) = names.iter().find(|name| !is_known(name)) {
            let known = self.folds.iter().map(|fold| fold.name.clone()).collect();
            return Err(EvalError::UnknownFold { name: name.clone(), known });
        }
        self.folds.retain(|fold| names.contains(&fold.name));
        self.skipped.retain(|skipped| names.contains(&skipped.name));
        Ok(())
    }

    /// Removes the held-out samples whose pictures cannot be read, and returns why, each once.
    pub fn remove_unreadable(&mut self) -> Vec<DataError> {
        let mut errors = BTreeMap::new();
        for fold in &mut self.folds {
            let (kept, unreadable) = readable(fold.held_out.iter().collect());
            fold.held_out = kept.into_iter().cloned().collect();
            errors.extend(unreadable.into_iter().map(|error| (error.to_string(), error)));
        }
        errors.into_values().collect()
    }

    /// Trains on all `samples` and once without each fold, and measures both trainings on what the fold holds out.
    ///
    /// `train` gets each training, in order, and returns its model, or `None` to stop. Stopping there or by `observer`
    /// gives `None`.
    ///
    /// # Errors
    /// Those of `train`; [`EvalError::Data`] if a picture cannot be read
    /// ([`remove_unreadable`](Self::remove_unreadable) removes these); [`EvalError::Metrics`] if too few are left to
    /// measure on.
    pub fn measure<E: From<EvalError>>(
        self,
        config: &TrainConfig,
        samples: &[Sample],
        mut train: impl FnMut(&FoldTraining<'_>) -> Result<Option<Model>, E>,
        observer: &mut dyn Observer,
    ) -> Result<Option<LeaveOneOutReport>, E> {
        let used: Vec<Sample> = samples.iter().filter(|sample| takes_part(sample)).cloned().collect();
        let total = self.folds.len() + 1;
        let everything = FoldTraining {
            number: 1,
            total,
            left_out: None,
            folder: "everything".to_owned(),
            config: config.clone(),
            samples: &used,
        };
        let Some(everything) = train(&everything)? else { return Ok(None) };
        let mut figures = Vec::with_capacity(self.folds.len());
        for ((fold, folder), number) in self.folds.iter().zip(self.folders()).zip(2..) {
            let training = FoldTraining {
                number,
                total,
                left_out: Some(&fold.name),
                folder,
                config: fold.config(config),
                samples: &fold.training,
            };
            let Some(without) = train(&training)? else { return Ok(None) };
            match fold.figures(&everything, &without, observer) {
                Ok(found) => figures.push(found),
                Err(EvalError::Stopped) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(LeaveOneOutReport::new(self.by, config, figures, self.skipped)))
    }

    /// One folder name per fold, `without-NAME`: safe on every file system, and each only once.
    fn folders(&self) -> Vec<String> {
        let mut taken = BTreeSet::new();
        let mut folders = Vec::with_capacity(self.folds.len());
        for fold in &self.folds {
            let is_safe = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            let safe: String =
                fold.name.chars().map(|c| if is_safe(&c) { c } else { '-' }).take(80).collect();
            let mut folder = format!("without-{safe}");
            let mut number = 2;
            while !taken.insert(folder.to_ascii_lowercase()) {
                folder = format!("without-{safe}-{number}");
                number += 1;
            }
            folders.push(folder);
        }
        folders
    }
}

/// The result of a leave-one-out measurement. `Display` gives a table.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct LeaveOneOutReport {
    /// What was left out.
    pub by: LeaveOut,
    /// Seed of the trainings.
    pub seed: u64,
    /// Epochs of each training.
    pub epochs: usize,
    /// One entry per data set or method.
    pub left_out: Vec<FoldFigures>,
    /// Mean AUC-ROC over the entries, of the training on everything and of those without; `NaN` without entries.
    pub mean_auc: [f64; 2],
    /// What was not left out, and why.
    pub skipped: Vec<Skipped>,
}

impl LeaveOneOutReport {
    /// The report of trainings with this configuration.
    fn new(by: LeaveOut, config: &TrainConfig, left_out: Vec<FoldFigures>, skipped: Vec<Skipped>) -> Self {
        let mean =
            |which: usize| left_out.iter().map(|row| row.auc[which]).sum::<f64>() / left_out.len() as f64;
        let mean_auc = [mean(0), mean(1)];
        Self { by, seed: config.seed, epochs: config.epochs, left_out, mean_auc, skipped }
    }
}

impl fmt::Display for LeaveOneOutReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.left_out.iter().map(|row| row.left_out.len()).max().unwrap_or(0).max(8);
        writeln!(
            f,
            "{:width$}  real+fake  AUC everything  AUC without  difference [95% interval]",
            "left out"
        )?;
        for row in &self.left_out {
            let counts = format!("{}+{}", row.n_real, row.n_fake);
            let interval =
                row.ci95.map_or_else(String::new, |[low, high]| format!(" [{low:+.3}, {high:+.3}]"));
            writeln!(
                f,
                "{:width$}  {counts:>9}  {:14.3}  {:11.3}  {:+10.3}{interval}",
                row.left_out, row.auc[0], row.auc[1], row.difference
            )?;
        }
        let [everything, without] = self.mean_auc;
        let difference = without - everything;
        writeln!(f, "{:width$}  {:9}  {everything:14.3}  {without:11.3}  {difference:+10.3}", "mean", "")
    }
}

#[cfg(test)]
mod tests {
    use deeptell_data::Label;

    use super::*;

    fn sample(name: &str, dataset: &str, method: Option<&str>, split: Split) -> Sample {
        let label = if method.is_some() { Label::Fake } else { Label::Real };
        Sample::new(format!("{name}.png"), label, name)
            .dataset(Some(dataset.to_owned()))
            .method(method.map(str::to_owned))
            .split(Some(split))
    }

    /// Data set `a` with the methods `m` and `n`, `b` with `m`, and `c`, which is genuine.
    fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for split in Split::ALL {
            for (dataset, methods) in [("a", &["m", "n"][..]), ("b", &["m"]), ("c", &[])] {
                samples.push(sample(&format!("{dataset}-{split}"), dataset, None, split));
                for method in methods {
                    samples.push(sample(
                        &format!("{dataset}-{method}-{split}"),
                        dataset,
                        Some(method),
                        split,
                    ));
                }
            }
        }
        samples
    }

    fn names(samples: &[Sample]) -> Vec<&str> {
        samples.iter().map(|sample| sample.source.as_str()).collect()
    }

    #[test]
    fn data_sets_are_left_out_whole() {
        let Folds { folds, skipped, .. } = leave_one_out(&samples(), LeaveOut::Dataset);
        assert_eq!(folds.iter().map(|fold| fold.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(names(&folds[0].held_out), ["a-validation", "a-m-validation", "a-n-validation"]);
        assert_eq!(
            names(&folds[0].training),
            ["b-train", "b-m-train", "c-train", "b-validation", "b-m-validation", "c-validation"]
        );
        assert_eq!(skipped.len(), 1);
        assert!(skipped[0].name == "c" && skipped[0].reason.contains("no manipulated"), "{skipped:?}");
    }

    #[test]
    fn dataset_shares_of_a_fold_lack_the_set_left_out() {
        let shares = [("a", 0.5), ("b", 0.3), ("c", 0.2)].map(|(name, share)| (name.to_owned(), share));
        let mut config = TrainConfig::default();
        config.sampling.dataset_shares = shares.into();
        let left = |what| leave_one_out(&samples(), what).folds[0].config(&config).sampling.dataset_shares;
        assert_eq!(Vec::from_iter(left(LeaveOut::Dataset)), [("b".to_owned(), 0.3), ("c".to_owned(), 0.2)]);
        assert_eq!(left(LeaveOut::Method), config.sampling.dataset_shares);
    }

    #[test]
    fn leaving_out_a_method_keeps_genuine_faces() {
        let Folds { folds, skipped, .. } = leave_one_out(&samples(), LeaveOut::Method);
        assert!(skipped.is_empty(), "{skipped:?}");
        let [of_m, of_n] = folds.as_slice() else { panic!("{folds:?}") };
        assert_eq!(
            names(&of_m.held_out),
            ["a-validation", "a-m-validation", "b-validation", "b-m-validation"]
        );
        assert_eq!(names(&of_n.held_out), ["a-validation", "a-n-validation"]);
        assert!(of_m.training.iter().all(|sample| sample.method.as_deref() != Some("m")));
        assert_eq!(of_m.training.iter().filter(|sample| !sample.label.is_fake()).count(), 6);
        // Where only one method exists, nothing is left to learn from.
        let alone: Vec<Sample> =
            samples().into_iter().filter(|sample| sample.method.as_deref() != Some("n")).collect();
        let Folds { folds, skipped, .. } = leave_one_out(&alone, LeaveOut::Method);
        assert!(folds.is_empty() && skipped[0].reason.contains("no manipulated sample is left for training"));
    }

    #[test]
    fn figures_compare_both_trainings() {
        let samples: Vec<Sample> = (0..40)
            .map(|i| sample(&i.to_string(), "a", (i % 2 == 1).then_some("m"), Split::Validation))
            .collect();
        let scored = |shift: f64| -> Vec<CropScore> {
            let logit = |i: usize| (i * 7 % 11) as f64 + if i % 2 == 1 { shift } else { 0.0 };
            samples.iter().enumerate().map(|(i, sample)| CropScore::scored(sample, logit(i), 0.4)).collect()
        };
        let row = fold_figures("m", &scored(20.0), &scored(0.0)).unwrap();
        assert_eq!((row.left_out.as_str(), row.n_real, row.n_fake), ("m", 20, 20));
        assert_eq!(row.auc[0], 1.0);
        assert!(row.auc[1] < 0.7 && row.ci95.unwrap()[1] < 0.0, "{row:?}");
        // One source of a class has no interval.
        let of_one: Vec<CropScore> =
            scored(20.0).into_iter().map(|crop| CropScore { source: "one".to_owned(), ..crop }).collect();
        assert_eq!(fold_figures("m", &of_one, &of_one).unwrap().ci95, None);
    }

    #[test]
    fn folders_are_safe_and_distinct() {
        let fold = |name: &str| Fold { name: name.to_owned(), training: Vec::new(), held_out: Vec::new() };
        let folds = ["../etc", "-- etc", "Face2Face", "face2face"].map(fold).to_vec();
        assert_eq!(
            Folds { by: LeaveOut::Method, folds, skipped: Vec::new() }.folders(),
            ["without----etc", "without----etc-2", "without-Face2Face", "without-face2face-2"]
        );
    }

    #[test]
    fn unknown_names_cannot_be_selected() {
        let mut found = leave_one_out(&samples(), LeaveOut::Dataset);
        let error = found.select(&["a".to_owned(), "x".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "there is no `x` to leave out; there are a, b");
        found.select(&["b".to_owned(), "c".to_owned()]).unwrap();
        assert_eq!((found.folds.len(), found.folds[0].name.as_str(), found.skipped.len()), (1, "b", 1));
    }

    #[test]
    fn report_has_the_means_and_a_row_per_fold() {
        let row = |name: &str, auc: [f64; 2]| FoldFigures {
            left_out: name.to_owned(),
            n_real: 3,
            n_fake: 4,
            auc,
            difference: auc[1] - auc[0],
            ci95: None,
        };
        let rows = vec![row("first", [0.9, 0.7]), row("second", [0.7, 0.6])];
        let report = LeaveOneOutReport::new(LeaveOut::Method, &TrainConfig::default(), rows, Vec::new());
        assert!((report.mean_auc[0] - 0.8).abs() < 1e-12 && (report.mean_auc[1] - 0.65).abs() < 1e-12);
        let text = report.to_string();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.lines().nth(1).unwrap().starts_with("first           3+4"), "{text}");
        assert!(text.ends_with("-0.150\n"), "{text}");
    }
}
