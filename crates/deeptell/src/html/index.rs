//! One page over several inputs.

use maud::{Markup, html};

use super::text::{Href, Text, count};
use super::{document, footer, name, score_bar, tone_of, verdict_words};
use crate::clock::clock;
use crate::{Report, Verdict};

/// One line of the [`index`] page.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum IndexEntry<'a> {
    /// An input that was scanned.
    Scanned {
        /// Its report.
        report: &'a Report,
        /// Where its page lies, relative to the index: a file name or a path with slashes, not
        /// yet percent-encoded.
        href: &'a str,
    },
    /// An input that could not be scanned.
    Failed {
        /// Its name or path.
        name: &'a str,
        /// The error in words.
        error: &'a str,
    },
}

impl IndexEntry<'_> {
    /// What deserves attention first: fakes by score, then the unclear, failures last.
    fn rank(&self) -> (u8, f64) {
        match self {
            Self::Scanned { report, .. } => {
                let rank = match report.verdict {
                    Verdict::LikelyFake => 0,
                    Verdict::Inconclusive => 1,
                    Verdict::LikelyReal => 2,
                    Verdict::NoFace => 3,
                };
                (rank, -report.score.unwrap_or(0.0))
            }
            Self::Failed { .. } => (4, 0.0),
        }
    }
}

/// A self-contained HTML page that lists several inputs, the most suspicious first, each with a
/// link to its own [`page`](super::page).
pub fn index(entries: &[IndexEntry<'_>]) -> String {
    let mut sorted: Vec<&IndexEntry<'_>> = entries.iter().collect();
    sorted.sort_by(|a, b| {
        let ((rank_a, score_a), (rank_b, score_b)) = (a.rank(), b.rank());
        rank_a.cmp(&rank_b).then(score_a.total_cmp(&score_b))
    });

    let number_of = |verdict: Verdict| {
        let is_one = |entry: &&IndexEntry<'_>| matches!(entry, IndexEntry::Scanned { report, .. } if report.verdict == verdict);
        entries.iter().filter(is_one).count()
    };
    let failed = entries.iter().filter(|entry| matches!(entry, IndexEntry::Failed { .. })).count();
    let inputs = count(entries.len(), "input", "inputs");
    let body = html! {
        main {
            section class="card" {
                h1 { (inputs) }
                ul class="tally" {
                    @for verdict in [Verdict::LikelyFake, Verdict::Inconclusive, Verdict::LikelyReal, Verdict::NoFace] {
                        li class={ "tone-" (tone_of(verdict)) } {
                            b { (number_of(verdict)) } " " (verdict_words(verdict).to_lowercase())
                        }
                    }
                    @if failed > 0 {
                        li class="tone-none" { b { (failed) } " could not be scanned" }
                    }
                }
            }
            section class="card" {
                div class="scroll" {
                    table {
                        caption { "Inputs, the most suspicious first" }
                        thead {
                            tr { @for heading in ["Input", "Verdict", "Score", "People", "Length"] { th scope="col" { (heading) } } }
                        }
                        tbody { @for entry in sorted { (row(entry)) } }
                    }
                }
            }
        }
        (footer(crate::VERSION))
    };
    document(&inputs, &body)
}

fn row(entry: &IndexEntry<'_>) -> Markup {
    match entry {
        IndexEntry::Scanned { report, href } => html! {
            tr {
                th scope="row" { a href=(Href(href)) { (name(&report.input.name)) } }
                td { span class={ "pill tone-" (tone_of(report.verdict)) } { (verdict_words(report.verdict)) } }
                td {
                    @match report.score {
                        Some(score) => { (score_bar(tone_of(report.verdict), score)) }
                        None => { span class="soft" { "none" } }
                    }
                }
                td { (report.confirmed_people().count()) }
                td {
                    @match report.input.duration_seconds {
                        Some(seconds) => { (clock(seconds)) }
                        None => { "\u{2013}" }
                    }
                }
            }
        },
        IndexEntry::Failed { name: input, error } => html! {
            tr {
                th scope="row" { (name(input)) }
                td { span class="pill tone-none" { "Not scanned" } }
                td colspan="3" { (Text(error)) }
            }
        },
    }
}
