//! The course of the training run.

use deeptell::html::Text;
use deeptell_train::EpochRecord;
use maud::{Markup, html};

use super::Training;
use super::parts::{details, thousands};
use crate::evaluation::chart;

/// How the run went.
pub(super) fn run(run: &Training<'_>) -> Markup {
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
