//! The table of a suite as a self-contained HTML page without scripts.

use deeptell::html::{Text, frame};
use maud::html;

use super::report::{Share, SuiteReport};
use super::text::{auc_words, counts, coverage_words};

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
    let rows = html! {
        @for set in &report.sets {
            @let judged = set.judged();
            @let cells = [
                counts(set),
                auc_words(Some(&set.crops)),
                auc_words(set.people.as_ref()),
                auc_words(set.videos.as_ref()),
                share(judged.genuine.map(|shares| shares.likely_fake)),
                share(judged.genuine.map(|shares| shares.likely_real)),
                share(judged.manipulated.map(|shares| shares.likely_fake)),
                share(judged.manipulated.map(|shares| shares.likely_real)),
                coverage_words(set),
            ];
            tr {
                th scope="row" {
                    bdi { (Text(&set.name)) }
                    @if !set.against.is_empty() {
                        " " span class="soft" { "against " (Text(&set.against.join(", "))) }
                    }
                }
                @for cell in &cells { td { (Text(cell)) } }
            }
        }
    };
    let summary = &report.summary;
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
    for set in report.sets.iter().filter(|set| !set.coverage.why.is_empty()) {
        item(format!("Incomplete: {}: {}.", set.name, set.coverage.why.join("; ")));
    }
    let body = html! {
        main {
            section class="card" {
                h1 { (Text(&report.suite)) }
                p class="soft" { (Text(&report.model)) ", SHA-256 " code { (Text(&report.model_sha256)) } }
                div class="scroll" tabindex="0" role="region" aria-label="Sets" {
                    table {
                        thead { tr { @for heading in headings { th scope="col" { (heading) } } } }
                        tbody { (rows) }
                    }
                }
                p class="soft" {
                    "Shares are of videos where a set has some, else of crops, at the thresholds of the model. Intervals \
                     are 95%, by source."
                }
                ul class="notes" { @for item in &items { li { (Text(item)) } } }
            }
        }
        footer { "Made by deeptell " (deeptell::VERSION) "." }
    };
    let title = format!("{} on {}", report.model, report.suite);
    frame("a detector on a suite of data sets", &title, include_str!("../evaluation/style.css"), &body)
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
