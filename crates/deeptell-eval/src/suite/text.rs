//! The tables of suites as text.

use std::fmt::{self, Write as _};

use super::comparison::SuiteComparison;
use super::report::{Coverage, GeneratorFigures, SetReport, SuiteReport, SuiteSummary, UnitLevel};
use super::shares::Share;

/// Rows of equal length as columns, those of these numbers to the left and the others to the right.
fn columns(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>], left: &[usize]) -> fmt::Result {
    let count = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (column, (value, width)) in row.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            if left.contains(&column) {
                write!(line, "{gap}{value:<width$}")?;
            } else {
                write!(line, "{gap}{value:>width$}")?;
            }
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

pub(super) fn auc_words(level: Option<&UnitLevel>) -> String {
    level.map_or_else(|| "-".to_owned(), |level| with_interval(level.auc, level.auc_ci95))
}

fn with_interval(auc: Option<f64>, ci95: Option<[f64; 2]>) -> String {
    match auc.map(|auc| (auc, ci95)) {
        None => "-".to_owned(),
        Some((auc, None)) => format!("{auc:.3}"),
        Some((auc, Some([low, high]))) => format!("{auc:.3} [{low:.3}, {high:.3}]"),
    }
}

pub(super) fn percent(share: Option<Share>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1}", 100.0 * share.value))
}

fn mean_percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.1}", 100.0 * value))
}

pub(super) fn counts(set: &SetReport) -> String {
    let level = set.judged();
    format!("{}+{}", level.n_real, level.n_fake)
}

/// The headings of [`coverage_row`].
pub(super) const COVERAGE: [&str; 8] =
    ["set", "expected", "listed", "scored", "of them whole", "no face", "missing", "why"];

/// Which samples of a set were scored.
pub(super) fn coverage_row(set: &SetReport) -> Vec<String> {
    let Coverage { expected, listed, scored, taken_whole, no_face, missing, ref why } = set.coverage;
    let counts = [expected, listed, scored, taken_whole, no_face, missing].map(|count| count.to_string());
    let mut row = vec![set.name.clone()];
    row.extend(counts);
    row.push(why.join("; "));
    row
}

/// The headings of [`generator_row`].
pub(super) const GENERATORS: [&str; 6] = ["set", "generator", "real+fake", "AUC", "fake: fake%", "real%"];

/// The generators of all sets: those that the training may have seen, or those that it left out.
pub(super) fn generator_rows(report: &SuiteReport, left_out: bool) -> Vec<Vec<String>> {
    let of_sets = report.sets.iter().flat_map(|set| set.generators.iter().map(move |found| (set, found)));
    of_sets
        .filter(|(_, found)| found.left_out == left_out)
        .map(|(set, found)| {
            let GeneratorFigures { generator, n_real, n_fake, auc, auc_ci95, manipulated, .. } = found;
            vec![
                set.name.clone(),
                generator.clone(),
                format!("{n_real}+{n_fake}"),
                with_interval(*auc, *auc_ci95),
                percent(manipulated.map(|shares| shares.likely_fake)),
                percent(manipulated.map(|shares| shares.likely_real)),
            ]
        })
        .collect()
}

/// A table under headings.
fn headed(headings: &[&str], rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let heading = headings.iter().map(|&heading| heading.to_owned()).collect();
    std::iter::once(heading).chain(rows).collect()
}

pub(super) fn coverage_words(set: &SetReport) -> String {
    let coverage = &set.coverage;
    let mut text = format!("{}/{}", coverage.scored, coverage.expected);
    for (count, what) in
        [(coverage.no_face, "no face"), (coverage.taken_whole, "whole"), (coverage.missing, "missing")]
    {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    text
}

impl fmt::Display for SuiteReport {
    /// The table for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sha256 = self.model_sha256.get(..12).unwrap_or(&self.model_sha256);
        let views = self.views.map_or_else(String::new, |views| {
            format!(", {views} {}", if views == 1 { "view" } else { "views" })
        });
        writeln!(f, "{} on the suite {} ({sha256}{views})\n", self.model, self.suite)?;
        let header = [
            "set",
            "real+fake",
            "AUC crops",
            "AUC people",
            "AUC videos",
            "real: fake%",
            "real%",
            "fake: fake%",
            "real%",
            "scored",
        ];
        let mut rows: Vec<Vec<String>> = self.sets.iter().map(set_row).collect();
        rows.push(mean_row(&self.summary));
        columns(f, &headed(&header, rows), &[0])?;
        writeln!(
            f,
            "\nreal: fake% = share of the genuine that is called likely fake, and so on, at the thresholds of the \
             detector, of videos where a set has some, else of crops. The mean AUC of videos takes crops where there are \
             no videos."
        )?;
        write_totals(f, &self.summary)?;
        for (left_out, title, mean) in [
            (false, "By generator, against all genuine samples of the set", self.summary.auc_generators),
            (true, "Generators that the training left out", self.summary.auc_left_out_generators),
        ] {
            let mut rows = generator_rows(self, left_out);
            if rows.is_empty() {
                continue;
            }
            let mean = ["mean of the generators", "", "", &mean_auc(mean), "", ""].map(str::to_owned);
            rows.push(mean.to_vec());
            writeln!(f, "\n{title}:\n")?;
            columns(f, &headed(&GENERATORS, rows), &[0, 1])?;
        }
        writeln!(f, "\nCoverage{}:\n", if self.complete { "" } else { ", incomplete" })?;
        columns(f, &headed(&COVERAGE, self.sets.iter().map(coverage_row).collect()), &[0, 7])
    }
}

fn set_row(set: &SetReport) -> Vec<String> {
    let name = match set.against.as_slice() {
        [] => set.name.clone(),
        others => format!("{} against {}", set.name, others.join(", ")),
    };
    std::iter::once(name).chain(set_cells(set, percent)).collect()
}

/// The figures of a set, as columns of the table of all sets, where `share` writes a share.
pub(super) fn set_cells(set: &SetReport, share: impl Fn(Option<Share>) -> String) -> [String; 9] {
    let judged = set.judged();
    [
        counts(set),
        auc_words(Some(&set.crops)),
        auc_words(set.people.as_ref()),
        auc_words(set.videos.as_ref()),
        share(judged.genuine.map(|shares| shares.likely_fake)),
        share(judged.genuine.map(|shares| shares.likely_real)),
        share(judged.manipulated.map(|shares| shares.likely_fake)),
        share(judged.manipulated.map(|shares| shares.likely_real)),
        coverage_words(set),
    ]
}

fn mean_row(summary: &SuiteSummary) -> Vec<String> {
    vec![
        "mean of the sets".to_owned(),
        String::new(),
        mean_auc(summary.auc_crops),
        String::new(),
        mean_auc(summary.auc),
        mean_percent(summary.genuine_likely_fake),
        mean_percent(summary.genuine_likely_real),
        mean_percent(summary.manipulated_likely_fake),
        mean_percent(summary.manipulated_likely_real),
        String::new(),
    ]
}

fn mean_auc(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

/// What holds for all sets together: false alarms, and the set that is worst in each figure.
fn write_totals(f: &mut fmt::Formatter<'_>, summary: &SuiteSummary) -> fmt::Result {
    if let Some(share) = summary.all_genuine_likely_fake {
        let [low, high] = share.ci95.map(|end| 100.0 * end);
        writeln!(
            f,
            "all genuine together: {} of {} called likely fake, {:.2}% [{low:.2}, {high:.2}]",
            share.count,
            share.of,
            100.0 * share.value
        )?;
    }
    for worst in &summary.worst {
        writeln!(f, "worst, {}: {} ({:.3})", worst.figure, worst.set, worst.value)?;
    }
    Ok(())
}

impl fmt::Display for SuiteComparison {
    /// The table for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = [
            "set",
            "units",
            "AUC first",
            "second",
            "difference [95%]",
            "p",
            "real: fake%",
            "second",
            "fake: fake%",
            "second",
        ];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        for set in &self.sets {
            let auc = set.auc.as_ref();
            let of = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            rows.push(vec![
                set.name.clone(),
                set.units.to_string(),
                of(auc.map(|auc| format!("{:.3}", auc.auc[0]))),
                of(auc.map(|auc| format!("{:.3}", auc.auc[1]))),
                of(auc
                    .map(|auc| format!("{:+.3} [{:+.3}, {:+.3}]", auc.difference, auc.ci95[0], auc.ci95[1]))),
                of(auc.map(|auc| format!("{:.3}", auc.p_value))),
                percent(set.genuine_likely_fake[0]),
                percent(set.genuine_likely_fake[1]),
                percent(set.manipulated_likely_fake[0]),
                percent(set.manipulated_likely_fake[1]),
            ]);
        }
        let interval = self.auc_difference.zip(self.auc_difference_ci95).map_or_else(
            || "-".to_owned(),
            |(difference, [low, high])| format!("{difference:+.4} [{low:+.4}, {high:+.4}]"),
        );
        rows.push(vec![
            "mean of the sets".to_owned(),
            String::new(),
            String::new(),
            String::new(),
            interval,
            String::new(),
            mean_percent(self.genuine_likely_fake[0]),
            mean_percent(self.genuine_likely_fake[1]),
            mean_percent(self.manipulated_likely_fake[0]),
            mean_percent(self.manipulated_likely_fake[1]),
        ]);
        columns(f, &rows, &[0])
    }
}
