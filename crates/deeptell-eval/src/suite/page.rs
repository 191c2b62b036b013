//! The table of a suite as a self-contained HTML page without scripts.

use deeptell::html::{Text, frame};
use maud::{Markup, html};

use super::report::{SetReport, SuiteReport, SuiteSummary};
use super::shares::Share;
use super::text::{COVERAGE, GENERATORS, coverage_row, generator_rows, set_cells};

/// The page of a suite.
pub fn suite_page(report: &SuiteReport) -> String {
    let headings = [
        "Set",
        "Real + fake",
        "AUC, crops",
        "AUC, people",
        "AUC, videos",
        "Genuine: likely fake",
        "Genuine: likely real",
        "Manipulated: likely fake",
        "Manipulated: likely real",
        "Scored",
    ];
    let body = html! {
        main {
            section class="card" {
                h1 { (Text(&report.suite)) }
                p class="soft" { (Text(&report.model)) ", SHA-256 " code { (Text(&report.model_sha256)) } }
                div class="scroll" tabindex="0" role="region" aria-label="Sets" {
                    table {
                        thead { tr { @for heading in headings { th scope="col" { (heading) } } } }
                        tbody { @for set in &report.sets { (set_row(set)) } }
                    }
                }
                p class="soft" {
                    "Shares are of videos where a set has some, else of crops, at the thresholds of the detector. Intervals \
                     are 95%, by source."
                }
                ul class="notes" { @for item in totals(&report.summary) { li { (Text(&item)) } } }
            }
            @for (left_out, title) in
                [(false, "By generator, against all genuine samples"), (true, "Generators that the training left out")]
            {
                @let rows = generator_rows(report, left_out);
                @if !rows.is_empty() { (table(title, &GENERATORS, &rows)) }
            }
            @let coverage: Vec<Vec<String>> = report.sets.iter().map(coverage_row).collect();
            (table(if report.complete { "Coverage" } else { "Coverage, incomplete" }, &COVERAGE, &coverage))
        }
        footer { "Made by deeptell " (deeptell::VERSION) "." }
    };
    let title = format!("{} on {}", report.model, report.suite);
    frame("a detector on a suite of data sets", &title, include_str!("../evaluation/style.css"), &body)
}

/// The row of a set in the table of all sets.
fn set_row(set: &SetReport) -> Markup {
    html! {
        tr {
            th scope="row" {
                bdi { (Text(&set.name)) }
                @if !set.against.is_empty() {
                    " " span class="soft" { "against " (Text(&set.against.join(", "))) }
                }
            }
            @for cell in set_cells(set, share) { td { (Text(&cell)) } }
        }
    }
}

/// What holds for all sets together, a sentence each.
fn totals(summary: &SuiteSummary) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut item = |text: String| items.push(text);
    if let Some(auc) = summary.auc {
        item(format!("Mean AUC of {} sets with both classes: {auc:.4}.", summary.sets_with_auc));
    }
    if let Some(all) = summary.all_genuine_likely_fake {
        item(format!("Of all genuine together, {} are called likely fake.", share(Some(all))));
    }
    for worst in &summary.worst {
        item(format!("Worst, {}: {}, {:.3}.", worst.figure, worst.set, worst.value));
    }
    if let Some(auc) = summary.auc_generators {
        item(format!("Mean AUC of the generators: {auc:.4}."));
    }
    if let Some(auc) = summary.auc_left_out_generators {
        item(format!("Mean AUC of the generators that the training left out: {auc:.4}."));
    }
    items
}

/// A card with a table.
fn table(title: &str, headings: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        section class="card" {
            h2 { (title) }
            div class="scroll" tabindex="0" role="region" aria-label=(title) {
                table {
                    thead { tr { @for heading in headings { th scope="col" { (heading) } } } }
                    tbody {
                        @for row in rows {
                            tr {
                                @if let [name, cells @ ..] = row.as_slice() {
                                    th scope="row" { bdi { (Text(name)) } }
                                    @for cell in cells { td { (Text(cell)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn share(share: Option<Share>) -> String {
    share.map_or_else(
        || "-".to_owned(),
        |share| {
            let [low, high] = share.ci95.map(|end| 100.0 * end);
            format!("{:.1}% [{low:.1}, {high:.1}] of {}", 100.0 * share.value, share.of)
        },
    )
}
