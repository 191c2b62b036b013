//! The answers at the thresholds, for all and by group.

use deeptell::html::Text;
use deeptell_metrics::Answers;
use maud::{Markup, html};

use super::parts::{cell, table, thousands, threshold};
use crate::evaluation::{Breakdown, Level, Part, chart};

/// The answers per class at the thresholds.
pub(super) fn answers(level: &Level) -> Markup {
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

pub(super) fn groups(groups: &[Breakdown]) -> Markup {
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
