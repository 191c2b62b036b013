//! One page over several inputs.

use std::fmt::Write;

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

    let mut tally = String::new();
    for verdict in [Verdict::LikelyFake, Verdict::Inconclusive, Verdict::LikelyReal, Verdict::NoFace] {
        let n = entries
            .iter()
            .filter(|e| matches!(e, IndexEntry::Scanned { report, .. } if report.verdict == verdict))
            .count();
        let _ = write!(
            tally,
            r#"<li class="tone-{tone}"><b>{n}</b> {words}</li>"#,
            tone = tone_of(verdict),
            words = verdict_words(verdict).to_lowercase(),
        );
    }
    let failed = entries.iter().filter(|e| matches!(e, IndexEntry::Failed { .. })).count();
    if failed > 0 {
        let _ = write!(tally, r#"<li class="tone-none"><b>{failed}</b> could not be scanned</li>"#);
    }

    let rows: String = sorted.into_iter().map(row).collect();
    let body = format!(
        r#"<main><section class="card"><h1>{inputs}</h1><ul class="tally">{tally}</ul></section>
<section class="card"><div class="scroll"><table><caption>Inputs, the most suspicious first</caption>
<thead><tr><th scope="col">Input</th><th scope="col">Verdict</th><th scope="col">Score</th><th scope="col">People</th><th scope="col">Length</th></tr></thead>
<tbody>{rows}</tbody></table></div></section></main>{footer}"#,
        inputs = count(entries.len(), "input", "inputs"),
        footer = footer(crate::VERSION),
    );
    document(&count(entries.len(), "input", "inputs"), &body)
}

fn row(entry: &IndexEntry<'_>) -> String {
    match entry {
        IndexEntry::Scanned { report, href } => format!(
            r#"<tr><th scope="row"><a href="{href}">{name}</a></th><td><span class="pill tone-{tone}">{words}</span></td><td>{score}</td><td>{people}</td><td>{length}</td></tr>"#,
            href = Href(href),
            name = name(&report.input.name),
            tone = tone_of(report.verdict),
            words = verdict_words(report.verdict),
            score = report.score.map_or_else(
                || r#"<span class="soft">none</span>"#.to_owned(),
                |score| score_bar(tone_of(report.verdict), score),
            ),
            people = report.confirmed_people().count(),
            length = report.input.duration_seconds.map_or_else(|| "\u{2013}".to_owned(), clock),
        ),
        IndexEntry::Failed { name: input, error } => format!(
            r#"<tr><th scope="row">{name}</th><td><span class="pill tone-none">Not scanned</span></td><td colspan="3">{error}</td></tr>"#,
            name = name(input),
            error = Text(error),
        ),
    }
}
