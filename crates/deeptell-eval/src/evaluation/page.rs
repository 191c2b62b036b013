//! An evaluation as a self-contained HTML page without scripts.

use deeptell::html::{Text, facts, frame};
use deeptell_metrics::Answers;
use deeptell_train::EpochRecord;
use maud::{Markup, html};

use super::{Breakdown, Evaluation, Level, Part, chart};
use crate::Scorer;

/// [`Subject::caution`] for the validation crops of a run.
pub const CHOSEN_HERE: [&str; 2] = [
    "These figures flatter.",
    "The epoch, the calibration and the thresholds were chosen on these very crops; \
                                      only data that nothing was chosen on tells how well the detector does.",
];
/// [`Subject::caution`] for crops that are not of a test split.
pub const NO_TEST: [&str; 2] = [
    "These figures may flatter.",
    "This is not a test split: if the detector was trained or chosen on this data, it does \
                                  worse elsewhere.",
];

/// What the page is about.
#[derive(Debug)]
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

/// The training run behind a model.
#[derive(Debug)]
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
    frame("evaluation of a detector", &title, include_str!("style.css"), &body)
}

/// `1 crop`, `2,834 crops`.
fn count(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(n), if n == 1 { one } else { many })
}

fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The ends of an interval in words.
fn ends(ci95: Option<[f64; 2]>) -> String {
    match ci95 {
        None => "no interval".to_owned(),
        Some([low, high]) if low == high => format!("{low:.3}, no width"),
        Some([low, high]) => format!("{low:.3} to {high:.3}"),
    }
}

/// A threshold, with as many digits as tell it from the end of the scale.
fn threshold(value: f64) -> String {
    let short = format!("{value:.3}");
    let is_lost = (short == "1.000" && value < 1.0) || (short == "0.000" && value > 0.0);
    if is_lost { format!("{value:.6}") } else { short }
}

/// A figure with its interval, for a cell of a table.
fn cell(value: f64, ci95: Option<[f64; 2]>) -> Markup {
    html! {
        (format!("{value:.3}"))
        @if ci95.is_some() { " " span class="soft" { "(" (ends(ci95)) ")" } }
    }
}

fn crops_words(found: &Evaluation) -> String {
    let figures = &found.crops.figures;
    let videos = if found.videos_named > 0 {
        format!(" and {}", count(found.videos_named, "video", "videos"))
    } else {
        String::new()
    };
    format!(
        "{crops} ({real} real, {fake} fake) from {sources}{videos}",
        crops = count(figures.n_real + figures.n_fake, "face crop", "face crops"),
        real = thousands(figures.n_real),
        fake = thousands(figures.n_fake),
        sources = count(figures.n_groups, "source", "sources"),
    )
}

fn lead(subject: &Subject<'_>, found: &Evaluation) -> Markup {
    let figures = &found.crops.figures;
    let [main, others @ ..] = figures.figures();
    let tiles = others.into_iter().filter_map(|figure| Some((figure.name, figure.value?, figure.ci95)));
    html! {
        section class="card" aria-labelledby="top" {
            h1 id="top" { (Text(subject.scorer.name())) }
            p class="file" {
                "on " bdi { (Text(&subject.data)) }
                @if let Some(split) = subject.split { ", split " (Text(split)) }
            }
            p class="soft" {
                (crops_words(found))
                @if let Some(kind) = &subject.distortion { ", each after " (Text(kind)) }
            }
            div class="lead" {
                p class="auc" {
                    span class="what" { (main.name) ", single crops" }
                    b { (format!("{:.3}", figures.auc)) }
                    span class="soft" { "95% interval by source: " (ends(figures.auc_ci95)) }
                }
                ul class="tiles" {
                    @for (name, value, ci95) in tiles {
                        li {
                            span { (name) }
                            b { (format!("{value:.3}")) }
                            span class="soft" { (ends(ci95)) }
                        }
                    }
                }
            }
            p class="lede" {
                "Of a fake and a real crop drawn at random, the fake has the higher score "
                (format!("{:.1}", 100.0 * figures.auc))
                " times in a hundred; a coin would have it 50 times."
            }
            @if let Some([short, why]) = subject.caution {
                p class="lede" { strong { (short) } " " (why) }
            }
        }
    }
}

/// The figures of crops, tracks and videos, one row per level.
fn levels(found: &Evaluation) -> Markup {
    let listed = found.crops.figures.figures();
    let mut headings = vec!["Level", "#Real", "#Fake"];
    headings.extend(listed.map(|figure| figure.heading));
    headings.extend(["Fakes called fake", "Reals called fake"]);
    let levels = [
        ("Single crops", Some(&found.crops)),
        ("People in a video", found.tracks.as_ref()),
        ("Whole videos", found.videos.as_ref()),
    ];
    let rows = html! {
        @for (name, level) in levels {
            @if let Some(Level { figures, answers, .. }) = level {
                tr {
                    th scope="row" { (name) }
                    td class="number" { (thousands(figures.n_real)) }
                    td class="number" { (thousands(figures.n_fake)) }
                    @for figure in figures.figures() {
                        td { @if let Some(value) = figure.value { (cell(value, figure.ci95)) } @else { "none" } }
                    }
                    td { (cell(answers.detection_rate.value, answers.detection_rate.ci95)) }
                    td { (cell(answers.false_alarm_rate.value, answers.false_alarm_rate.ci95)) }
                }
            }
        }
    };
    let how = if found.tracks.is_some() {
        "A person's score joins those of their crops as a scan does; a video's is the highest of its people."
    } else {
        "A video's score joins those of its crops as a scan does."
    };
    html! {
        @if found.tracks.is_some() || found.videos.is_some() {
            section class="card levels" {
                h2 { "Crops and videos" }
                (table("Figures of every level", None, &headings, &rows))
                p class="soft" { (how) " Intervals resample whole sources." }
            }
        }
    }
}

/// A table that scrolls by itself where the page is narrow; a heading with `#` in front stands over numbers.
fn table(label: &str, caption: Option<&str>, headings: &[&str], rows: &Markup) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(label) {
            table {
                @if let Some(caption) = caption { caption { (caption) } }
                thead {
                    tr {
                        @for heading in headings {
                            @match heading.strip_prefix('#') {
                                Some(heading) => { th scope="col" class="number" { (heading) } }
                                None => { th scope="col" { (heading) } }
                            }
                        }
                    }
                }
                tbody { (rows) }
            }
        }
    }
}

fn details(summary: &str, headings: &[&str], rows: &Markup) -> Markup {
    html! {
        details { summary { (summary) } (table(summary, None, headings, rows)) }
    }
}

fn roc(level: &Level) -> Markup {
    let answers = &level.answers;
    let marks = [
        ("likely fake", answers.false_alarm_rate.value, answers.detection_rate.value),
        // Below the lower threshold nothing is flagged as even unclear.
        ("not likely real", 1.0 - answers.clearing_rate.value, 1.0 - answers.miss_rate.value),
    ];
    let description = format!(
        "The curve of {} reals and {} fakes has an area of {:.3}. At the threshold of likely fake it is at a false positive rate of {:.3} and a true positive rate of {:.3}.",
        level.figures.n_real, level.figures.n_fake, level.figures.auc, marks[0].1, marks[0].2
    );
    let band = level.roc_band_ci95.as_ref().map(|band| {
        let rows = html! {
            @for fpr in [0.01, 0.02, 0.05, 0.1, 0.2, 0.5] {
                @let point = (fpr * 100.0_f64).round() as usize;
                @let flagged = level.roc.false_positive_rate.partition_point(|rate| *rate <= fpr);
                @let height = level.roc.true_positive_rate[flagged.saturating_sub(1)];
                tr {
                    th scope="row" { (format!("{fpr:.2}")) }
                    td { (format!("{height:.3}")) }
                    td { (format!("{:.3} to {:.3}", band.low[point], band.high[point])) }
                }
            }
        };
        details("The curve in figures", &["Reals flagged", "Fakes flagged", "95% interval"], &rows)
    });
    html! {
        section class="card" {
            h2 { "ROC curve" }
            (chart::roc("roc", &level.roc, level.roc_band_ci95.as_ref(), &marks, &description))
            p class="soft" {
                "Band: 95% at each false positive rate by itself, by resampling sources. Rings: the two \
                 thresholds."
            }
            @if let Some(table) = band { (table) }
        }
    }
}

fn reliability(level: &Level) -> Markup {
    let rows = html! {
        @for bin in &level.reliability {
            tr {
                th scope="row" { (format!("{:.2} to {:.2}", bin.lower, bin.upper)) }
                td class="number" { (thousands(bin.count)) }
                td { (format!("{:.3}", bin.mean_probability)) }
                td { (format!("{:.3}", bin.fake_fraction)) }
            }
        }
    };
    let description = format!(
        "Predicted against found part of fakes in {} bins that are not empty; the expected calibration error is {}.",
        level.reliability.len(),
        level.figures.ece.map_or_else(|| "unknown".to_owned(), |ece| format!("{ece:.3}")),
    );
    let most = level.reliability.iter().map(|bin| bin.count).max().unwrap_or(0);
    html! {
        section class="card" {
            h2 { "Reliability" }
            (chart::reliability("reliability", &level.reliability, &description))
            p class="soft" {
                "Of the crops that score 0.8, are 80% fakes? Points on the dashed line say yes; bars below count the \
                 crops, at most " (thousands(most)) " in a bin. It holds for data with this part of fakes only."
            }
            (details("The bins in figures", &["Score", "#Crops", "Mean score", "Part that is fake"], &rows))
        }
    }
}

fn histogram(level: &Level) -> Markup {
    let counts = &level.histogram;
    let bins = counts.real.len() as f64;
    let rows = html! {
        @for (bin, (real, fake)) in counts.real.iter().zip(&counts.fake).enumerate() {
            tr {
                th scope="row" { (format!("{:.2} to {:.2}", bin as f64 / bins, (bin + 1) as f64 / bins)) }
                td class="number" { (thousands(*real)) }
                td class="number" { (thousands(*fake)) }
            }
        }
    };
    let answers = &level.answers;
    let (low, high) = (threshold(answers.low), threshold(answers.high));
    let description = format!(
        "Fakes upwards, reals downwards, in {bins} bins; the thresholds are {low} and {high}. The table under the drawing has the counts.",
    );
    html! {
        section class="card" {
            h2 { "Scores of each class" }
            (chart::histogram("histogram", counts, [answers.low, answers.high], &description))
            p class="soft" { "Dashed: the thresholds, " (low) " and " (high) "." }
            (details("The bars in figures", &["Score", "#Reals", "#Fakes"], &rows))
        }
    }
}

/// The answers per class at the thresholds.
fn answers(level: &Level) -> Markup {
    let answers = &level.answers;
    let parts = |counts: Answers| {
        [
            ("real", "likely real", counts.likely_real),
            ("unsure", "inconclusive", counts.inconclusive),
            ("fake", "likely fake", counts.likely_fake),
        ]
    };
    let percent = |counts: Answers, n: usize| 100.0 * n as f64 / counts.total().max(1) as f64;
    let rates = [
        ("Fakes called likely fake", answers.detection_rate),
        ("Fakes called likely real", answers.miss_rate),
        ("Reals called likely real", answers.clearing_rate),
        ("Reals called likely fake", answers.false_alarm_rate),
    ];
    let rows = html! {
        @for (name, rate) in rates {
            tr { th scope="row" { (name) } td { (cell(rate.value, rate.ci95)) } }
        }
    };
    html! {
        section class="card" {
            h2 { "At the thresholds" }
            @for (name, counts) in [("Fakes", answers.counts.fake), ("Reals", answers.counts.real)] {
                div class="answer" {
                    div class="row" { (name) span { (thousands(counts.total())) } }
                    div class="parts" aria-hidden="true" {
                        @for (tone, _, n) in parts(counts) {
                            @if n > 0 {
                                i class={ "tone-" (tone) } style=(format!("width:{:.2}%", percent(counts, n))) {}
                            }
                        }
                    }
                    ul {
                        @for (tone, words, n) in parts(counts) {
                            li {
                                i class={ "tone-" (tone) } aria-hidden="true" {}
                                (words) ": " b { (thousands(n)) } (format!(" ({:.1}%)", percent(counts, n)))
                            }
                        }
                    }
                }
            }
            (table("Rates at the thresholds", None, &["Rate", "Value (95% interval)"], &rows))
            p class="soft" {
                "Likely real up to " (threshold(answers.low)) ", likely fake from " (threshold(answers.high))
                ". A scan asks more: it averages frames, and calls small, blurred and brief faces inconclusive."
            }
        }
    }
}

fn groups(groups: &[Breakdown]) -> Markup {
    html! {
        @if !groups.is_empty() {
            section class="card" {
                h2 { "By what the manifest knows" }
                @for one in groups { (group(one)) }
                p class="soft" {
                    "Lines go from AUC 0.5, chance, on the left to 1 on the right, with 95% intervals by source. Intervals \
                     of small groups are rough, and one without width only says that no resample mixed the classes. Of \
                     many groups one in twenty misses by chance."
                }
            }
        }
    }
}

fn group(group: &Breakdown) -> Markup {
    let share = |part: usize, all: usize| {
        if all == 0 { "\u{2013}".to_owned() } else { format!("{} of {}", thousands(part), thousands(all)) }
    };
    let row = |part: &Part| {
        let Part { name, n_real, n_fake, n_groups, auc, auc_ci95, real_likely_fake, fake_likely_fake } = part;
        html! {
            tr {
                th scope="row" { (Text(name)) }
                td class="number" { (thousands(*n_groups)) }
                td {
                    @match auc {
                        Some(auc) => { (chart::whisker(*auc, *auc_ci95)) (cell(*auc, *auc_ci95)) }
                        None => { span class="soft" { "needs both classes" } }
                    }
                }
                td class="number" { (share(*fake_likely_fake, *n_fake)) }
                td class="number" { (share(*real_likely_fake, *n_real)) }
            }
        }
    };
    let rows = html! { @for part in &group.parts { (row(part)) } };
    let (heading, caption) = match group.by {
        "method" => ("Method", "By method of the fake, each against all reals"),
        "dataset" => ("Data set", "By data set"),
        "compression" => ("Compression", "By compression"),
        "codec" => ("Codec", "By codec"),
        _ => ("Face width", "By width of the face before it was cut and scaled"),
    };
    let headings = [heading, "#Sources", "AUC-ROC", "#Fakes called fake", "#Reals called fake"];
    html! {
        div class="groups" { (table(caption, Some(caption), &headings, &rows)) }
    }
}

/// How the run went.
fn run(run: &Training<'_>) -> Markup {
    let values = |value: fn(&EpochRecord) -> f64| run.history.iter().map(value).collect::<Vec<f64>>();
    let auc = values(|record| record.validation_auc);
    let best = run.history.iter().find(|record| record.epoch == run.best_epoch);
    let description = format!(
        "Validation AUC over {} epochs; the best is {:.3} in epoch {}.",
        run.history.len(),
        best.map_or(0.0, |record| record.validation_auc),
        run.best_epoch
    );
    let rows = html! {
        @for record in run.history {
            tr {
                th scope="row" { (record.epoch) }
                td { (format!("{:.4}", record.validation_auc)) }
                td { (format!("{:.4}", record.train_loss)) }
                td { (format!("{:.4}", record.validation_loss)) }
                td class="number" { (thousands(record.samples)) }
                td class="number" { (format!("{:.1}", record.seconds / 60.0)) }
            }
        }
    };
    let minutes = run.history.iter().map(|record| record.seconds).sum::<f64>() / 60.0;
    let losses = [
        ("training", "", values(|record| record.train_loss)),
        ("validation", "second", values(|record| record.validation_loss)),
    ];
    let headings = ["Epoch", "Validation AUC", "Training loss", "Validation loss", "#Pictures", "#Minutes"];
    let losses_words = "Loss of training and of validation over the epochs; the table has the numbers.";
    html! {
        section class="card" {
            h2 { "The training run" }
            div class="two" {
                div {
                    h3 { "AUC on validation" }
                    (chart::course("aucs", "AUC over the epochs", &[("AUC", "", auc)], Some(run.best_epoch), &description))
                }
                div {
                    h3 { "Loss" }
                    (chart::course("losses", "Loss over the epochs", &losses, None, losses_words))
                    ul class="key" { li { i {} "training" } li { i class="second" {} "validation" } }
                }
            }
            (details("The epochs in figures", &headings, &rows))
            dl {
                dt { "Best epoch" } dd { (run.best_epoch) " of " (run.history.len()) ", the ring" }
                dt { "Time" } dd { (format!("{minutes:.1} minutes")) }
                @if let Some(revision) = &run.revision {
                    dt { "Git revision" } dd { code { (Text(revision)) } }
                }
                dt { "Audit of the splits" } dd { (Text(&run.audit)) }
            }
        }
    }
}

fn text(value: &str) -> Markup {
    html! { (Text(value)) }
}

fn measured(subject: &Subject<'_>, found: &Evaluation) -> Markup {
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

fn detector(scorer: &Scorer) -> Markup {
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

fn limits(subject: &Subject<'_>, found: &Evaluation) -> Markup {
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
        "Scores are probabilities for as large a part of fakes as in the data that calibrated them; where fakes are rarer, a high score means less.",
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
            "With {} a false alarm rate of 1% cannot be told from none.",
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
            .map(|i| Sample {
                video: Some(format!("v{}", i / 2)),
                method: (i % 4 > 1).then(|| if i < 20 { method.to_owned() } else { "other".to_owned() }),
                ..Sample::new(
                    Path::new(&i.to_string()),
                    if i % 4 > 1 { Label::Fake } else { Label::Real },
                    format!("s{}", i / 4),
                )
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
    fn the_page_has_every_figure_and_nothing_from_outside_as_markup() {
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
        assert!(!html.contains("These figures flatter"));
        // Each drawing has a title, a description, and its figures as a table.
        assert_eq!(html.matches(r#"role="img""#).count(), 3);
        assert_eq!(html.matches("<details>").count(), 3);
        let ids: Vec<&str> = html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let unique: std::collections::HashSet<&&str> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "{ids:?}");
    }

    #[test]
    fn the_page_of_a_run_tells_its_course_and_that_it_flatters() {
        let record = |epoch: usize| EpochRecord {
            epoch,
            train_loss: 0.7 / epoch as f64,
            validation_loss: 0.6,
            validation_auc: 0.8,
            learning_rate: 1e-3,
            samples: 1234,
            seconds: 90.0,
            training_seconds: 80.0,
            data_wait_seconds: 4.0,
            skipped_steps: 0,
        };
        let model = Scorer::from(model("m"));
        let html = page(&subject(&model, &[record(1), record(2)]), &measured_on("swap"));
        for text in [
            "These figures flatter",
            "c0ffee+",
            "1,234",
            "3.0 minutes",
            "1 of 2, the ring",
            "nothing crosses",
        ] {
            assert!(html.contains(text), "{text}");
        }
    }

    #[test]
    fn a_threshold_near_the_end_is_not_the_end() {
        let shown = [0.25, 0.999_9, 1.0, 0.000_1].map(threshold);
        assert_eq!(shown, ["0.250", "0.999900", "1.000", "0.000100"]);
        assert_eq!(ends(Some([1.0, 1.0])), "1.000, no width");
    }

    #[test]
    fn thousands_have_commas() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"].map(str::to_owned),
            [0, 999, 1000, 1_234_567].map(thousands)
        );
    }
}
