//! What was measured, by which detector, and what the figures cannot say.

use deeptell::html::{Text, facts};
use maud::{Markup, html};

use super::Subject;
use super::parts::{count, crops_words, text, thousands};
use crate::Scorer;
use crate::evaluation::Evaluation;

pub(super) fn measured(subject: &Subject<'_>, found: &Evaluation) -> Markup {
    let figures = &found.crops.figures;
    let config = figures.config;
    let found_again = subject.faces_not_found.map(|missing| {
        let all = figures.n_real + figures.n_fake;
        format!("in {} of {}; the others were taken whole", thousands(all - missing), thousands(all))
    });
    let redrawn = match figures.bootstrap_redrawn {
        0 => String::new(),
        redrawn => format!(", {} drawn again because they lacked a class", thousands(redrawn)),
    };
    let intervals = format!(
        "95%, bootstrap of whole sources, {} resamples, seed {}{redrawn}",
        thousands(config.resamples),
        config.seed,
    );
    let plain = |value: Option<String>| value.as_deref().map(text);
    facts(
        "What was measured",
        &[
            ("Data", Some(html! { bdi { (Text(&subject.data)) } })),
            ("Split", subject.split.map(text)),
            ("Crops", Some(text(&crops_words(found)))),
            ("Loss of quality", subject.distortion.as_deref().map(text)),
            ("Faces found again", plain(found_again)),
            ("Intervals", Some(text(&intervals))),
            ("Bins of the calibration error", Some(text(&config.bins.to_string()))),
            ("Brier score", plain(figures.brier.map(|brier| format!("{brier:.4}")))),
            ("Log loss", plain(figures.log_loss.map(|loss| format!("{loss:.4} nats")))),
        ],
    )
}

pub(super) fn detector(scorer: &Scorer) -> Markup {
    let model = match scorer {
        Scorer::Model(model) => model,
        Scorer::Table(table) => {
            return facts(
                "The detector",
                &[
                    ("Name", Some(text(&table.name))),
                    ("Scores", Some(text("read from a table, not made by deeptell"))),
                    ("SHA-256 of the table", Some(html! { code { (Text(&table.sha256)) } })),
                ],
            );
        }
    };
    let card = &model.card;
    let seed = card.seed.map_or_else(|| "its file does not say".to_owned(), |seed| seed.to_string());
    facts(
        "The detector",
        &[
            ("Name", Some(text(&card.name))),
            ("What it does", Some(text(&card.summary))),
            ("Trained on", Some(html! { bdi { (Text(&card.trained_on)) } })),
            ("Seed of its training", Some(text(&seed))),
            ("Views of a crop", Some(text(&card.views.len().to_string()))),
            ("SHA-256", Some(html! { code { (Text(&model.sha256)) } })),
        ],
    )
}

pub(super) fn limits(subject: &Subject<'_>, found: &Evaluation) -> Markup {
    let figures = &found.crops.figures;
    let mut items: Vec<String> = Vec::new();
    let mut item = |text: &str| items.push(text.to_owned());
    item(
        "The figures are of these crops. Other cameras, codecs, people and above all other ways to make fakes give other ones, mostly lower.",
    );
    item(
        "An interval says how far the figure would move with other sources of the same kind. It knows nothing of data of another kind, nor of how much another training seed would change.",
    );
    item(
        "Scores are probabilities for as large a share of fakes as in the data that calibrated them; where fakes are rarer, a high score means less.",
    );
    item("Few samples make the calibration error look larger than it is.");
    if found.videos.is_none() {
        item(
            "The data names no videos, so there are figures of single crops alone; a scan averages several frames.",
        );
    }
    if figures.auc_ci95.is_some_and(|[low, high]| low == high) {
        item(
            "An interval without width means that no resample mixed the classes. That is a limit of the resampling, not certainty.",
        );
    }
    if figures.n_groups < 100 {
        item(&format!(
            "There are {} only: differences of a few hundredths are noise.",
            count(figures.n_groups, "source", "sources")
        ));
    }
    if figures.n_real < 300 {
        item(&format!(
            "With {} a false alarm rate of 1% cannot be distinguished from none.",
            count(figures.n_real, "real crop", "real crops")
        ));
    }
    if subject.faces_not_found.is_some_and(|missing| missing > 0) {
        item(
            "Crops without a face that was found were scored whole: in another framing than the detector was trained on.",
        );
    }
    match subject.scorer {
        Scorer::Model(model) => {
            for limit in &model.card.limits {
                item(limit);
            }
        }
        Scorer::Table(_) => item(
            "The scores come from a table: which files its detector saw, and how it was trained on them, is not known here.",
        ),
    }
    html! {
        section class="card" {
            h2 { "What these figures cannot say" }
            ul class="notes" { @for item in &items { li { (Text(item)) } } }
        }
    }
}
