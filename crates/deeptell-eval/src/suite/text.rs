//! The tables of suites as text.

use std::fmt::{self, Write as _};

use super::report::{SetReport, Share, SuiteComparison, SuiteReport, UnitLevel};

/// Rows of equal length as columns, the first to the left and the others to the right.
fn columns(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let count = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (column, (value, width)) in row.iter().zip(&widths).enumerate() {
            if column == 0 {
                write!(line, "{value:<width$}")?;
            } else {
                write!(line, "  {value:>width$}")?;
            }
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

pub(super) fn auc_words(level: Option<&UnitLevel>) -> String {
    match level.and_then(|level| Some((level.auc?, level.auc_ci95))) {
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
        writeln!(f, "{} on the suite {} ({sha256}, {} view(s))\n", self.model, self.suite, self.views)?;
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
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        for set in &self.sets {
            let judged = set.judged();
            let name = match set.against.as_slice() {
                [] => set.name.clone(),
                others => format!("{} against {}", set.name, others.join(", ")),
            };
            rows.push(vec![
                name,
                counts(set),
                auc_words(Some(&set.crops)),
                auc_words(set.people.as_ref()),
                auc_words(set.videos.as_ref()),
                percent(judged.genuine.map(|shares| shares.likely_fake)),
                percent(judged.genuine.map(|shares| shares.likely_real)),
                percent(judged.manipulated.map(|shares| shares.likely_fake)),
                percent(judged.manipulated.map(|shares| shares.likely_real)),
                coverage_words(set),
            ]);
        }
        let summary = &self.summary;
        let auc = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
        rows.push(vec![
            "mean of the sets".to_owned(),
            String::new(),
            auc(summary.auc_crops),
            String::new(),
            auc(summary.auc),
            mean_percent(summary.genuine_likely_fake),
            mean_percent(summary.genuine_likely_real),
            mean_percent(summary.manipulated_likely_fake),
            mean_percent(summary.manipulated_likely_real),
            String::new(),
        ]);
        columns(f, &rows)?;
        writeln!(
            f,
            "\nreal: fake% = share of the genuine that is called likely fake, and so on, at the thresholds of the \
             model, of videos where a set has some, else of crops. The mean AUC of videos takes crops where there are \
             no videos."
        )?;
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
        for set in self.sets.iter().filter(|set| !set.coverage.why.is_empty()) {
            writeln!(f, "incomplete, {}: {}", set.name, set.coverage.why.join("; "))?;
        }
        Ok(())
    }
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
        columns(f, &rows)
    }
}
