//! The ROC curve, the reliability diagram and the histogram of scores.

use maud::{Markup, html};

use super::parts::{details, thousands, threshold};
use crate::evaluation::{Level, chart};

pub(super) fn roc(level: &Level) -> Markup {
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

pub(super) fn reliability(level: &Level) -> Markup {
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
        "Predicted against found share of fakes in {} bins that are not empty; the expected calibration error is {}.",
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
                 crops, at most " (thousands(most)) " in a bin. It holds for data with this share of fakes only."
            }
            (details("The bins in figures", &["Score", "#Crops", "Mean score", "Share that is fake"], &rows))
        }
    }
}

pub(super) fn histogram(level: &Level) -> Markup {
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
