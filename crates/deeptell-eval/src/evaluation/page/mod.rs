//! An evaluation as a self-contained HTML page without scripts.

mod about;
mod answers;
mod curves;
mod parts;
mod run;
mod summary;

use deeptell::html::frame;
use deeptell_train::EpochRecord;
use maud::html;

use self::about::{detector, limits, measured};
use self::answers::{answers, groups};
use self::curves::{histogram, reliability, roc};
use self::run::run;
use self::summary::{lead, levels};
use super::Evaluation;
use crate::Scorer;

/// [`Subject::caution`] for the validation crops of a run.
pub const CHOSEN_HERE: [&str; 2] = [
    "These figures are optimistic.",
    "The epoch, the calibration and the thresholds were chosen on these crops; only data on which nothing was chosen \
     shows how well the detector does.",
];
/// [`Subject::caution`] for crops that are not of a test split.
pub const NO_TEST: [&str; 2] = [
    "These figures may be optimistic.",
    "This is not a test split: if the detector was trained or chosen on this data, it does worse elsewhere.",
];

/// What the page is about.
#[derive(Debug)]
#[non_exhaustive]
pub struct Subject<'a> {
    /// The detector that was measured.
    pub scorer: &'a Scorer,
    /// Path or name of the data.
    pub data: String,
    /// The split that was measured, where there is one.
    pub split: Option<&'a str>,
    /// Why the figures may be too good: in short, and in a sentence.
    pub caution: Option<[&'a str; 2]>,
    /// What the crops went through first.
    pub distortion: Option<String>,
    /// Crops that were used whole because no face was found, if faces were detected.
    pub faces_not_found: Option<usize>,
    /// The run that the model comes from, where the page belongs to one.
    pub run: Option<Training<'a>>,
}

impl<'a> Subject<'a> {
    /// A detector that was measured on the data of this path or name, and nothing else to say.
    pub fn new(scorer: &'a Scorer, data: impl Into<String>) -> Self {
        Self {
            scorer,
            data: data.into(),
            split: None,
            caution: None,
            distortion: None,
            faces_not_found: None,
            run: None,
        }
    }
}

/// The training run of a model.
#[derive(Debug)]
#[non_exhaustive]
pub struct Training<'a> {
    /// Its epochs, in order.
    pub history: &'a [EpochRecord],
    /// Number of the epoch that was kept, from 1.
    pub best_epoch: usize,
    /// Git revision of the program.
    pub revision: Option<String>,
    /// What the audit of the splits found, in a sentence.
    pub audit: String,
}

impl<'a> Training<'a> {
    /// A run of these epochs of which the one numbered `best_epoch` was kept, by a program of unknown revision.
    pub fn new(history: &'a [EpochRecord], best_epoch: usize, audit: impl Into<String>) -> Self {
        Self { history, best_epoch, revision: None, audit: audit.into() }
    }
}

/// The page.
pub fn page(subject: &Subject<'_>, found: &Evaluation) -> String {
    let crops = &found.crops;
    let body = html! {
        main {
            (lead(subject, found))
            (levels(found))
            div class="two" { (roc(crops)) (reliability(crops)) }
            div class="two" { (histogram(crops)) (answers(crops)) }
            (groups(&found.groups))
            @if let Some(training) = &subject.run { (run(training)) }
            div class="two" { (measured(subject, found)) (detector(subject.scorer)) }
            (limits(subject, found))
        }
        footer { "Made by deeptell " (deeptell::VERSION) "." }
    };
    let title = format!("{} on {}", subject.scorer.name(), subject.data);
    frame("evaluation of a detector", &title, include_str!("../style.css"), &body)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use deeptell::{Architecture, ModelCard, ModelInfo};
    use deeptell_data::{Label, Sample};

    use super::*;
    use crate::evaluation::evaluate;
    use crate::evaluation::tests::{LEVELS, quick, scored};

    pub(crate) fn model(name: &str) -> ModelInfo {
        let mut card = ModelCard::new(name, Architecture::MobileNetV3Small, LEVELS);
        card.trained_on = "<b>".into();
        card.seed = Some(41);
        card.limits = vec!["It & its limits.".to_owned()];
        ModelInfo::new("ab".repeat(32), card)
    }

    fn measured_on(method: &str) -> Evaluation {
        let samples: Vec<Sample> = (0..40)
            .map(|i| {
                Sample::new(
                    Path::new(&i.to_string()),
                    if i % 4 > 1 { Label::Fake } else { Label::Real },
                    format!("s{}", i / 4),
                )
                .video(Some(format!("v{}", i / 2)))
                .method((i % 4 > 1).then(|| if i < 20 { method.to_owned() } else { "other".to_owned() }))
            })
            .collect();
        let scores: Vec<f64> =
            (0..40).map(|i| f64::from(i * 7 % 40) / 80.0 + if i % 4 > 1 { 0.4 } else { 0.0 }).collect();
        let samples: Vec<&Sample> = samples.iter().collect();
        evaluate(&samples, &scored(&samples, &scores), &LEVELS, &quick()).unwrap()
    }

    fn subject<'a>(scorer: &'a Scorer, history: &'a [EpochRecord]) -> Subject<'a> {
        Subject {
            scorer,
            data: "set/<script>.jsonl".to_owned(),
            split: Some("test"),
            caution: (!history.is_empty()).then_some(CHOSEN_HERE),
            distortion: None,
            faces_not_found: Some(2),
            run: (!history.is_empty()).then(|| Training {
                history,
                best_epoch: 1,
                revision: Some("c0ffee+".to_owned()),
                audit: "nothing crosses the splits of 40 samples".to_owned(),
            }),
        }
    }

    #[test]
    fn page_has_every_figure_and_escapes_text_from_outside() {
        let found = measured_on("<img src=x>");
        let model = Scorer::from(model("a<i>b"));
        let html = page(&subject(&model, &[]), &found);
        for text in [
            format!("<b>{:.3}</b>", found.crops.figures.auc),
            "a&lt;i&gt;b".to_owned(),
            "set/&lt;script&gt;.jsonl".to_owned(),
            "&lt;img src=x&gt;".to_owned(),
            "It &amp; its limits.".to_owned(),
            "ab".repeat(32),
            "<dd>41</dd>".to_owned(),
            "40 face crops (20 real, 20 fake) from 10 sources and 20 videos".to_owned(),
            "in 38 of 40".to_owned(),
            "Whole videos".to_owned(),
        ] {
            assert!(html.contains(&text), "{text}");
        }
        for hostile in ["<script", "<img", "a<i>b", "http:", "NaN", ">inf"] {
            assert!(!html.contains(hostile), "{hostile}");
        }
        assert!(html.contains("default-src 'none'") && !html.contains("The training run"));
        assert!(!html.contains("These figures are optimistic"));
        // Each drawing has a title, a description, and its figures as a table.
        assert_eq!(html.matches(r#"role="img""#).count(), 3);
        assert_eq!(html.matches("<details>").count(), 3);
        let ids: Vec<&str> = html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let unique: std::collections::HashSet<&&str> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "{ids:?}");
    }

    #[test]
    fn page_of_a_run_draws_its_epochs_and_warns_of_optimistic_figures() {
        let record = |epoch: usize| -> EpochRecord {
            serde_json::from_value(serde_json::json!({
                "epoch": epoch,
                "train_loss": 0.7 / epoch as f64,
                "validation_loss": 0.6,
                "validation_auc": 0.8,
                "learning_rate": 1e-3,
                "samples": 1234,
                "seconds": 90.0,
                "training_seconds": 80.0,
                "data_wait_seconds": 4.0,
            }))
            .unwrap()
        };
        let model = Scorer::from(model("m"));
        let html = page(&subject(&model, &[record(1), record(2)]), &measured_on("swap"));
        for text in [
            "These figures are optimistic",
            "c0ffee+",
            "1,234",
            "3.0 minutes",
            "1 of 2, the ring",
            "nothing crosses",
        ] {
            assert!(html.contains(text), "{text}");
        }
    }
}
