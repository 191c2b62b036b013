//! The tables of BENCHMARKS.md, made from what `cargo xtask peers` measured.

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

/// The page, seen from the root of the workspace.
pub(crate) const PAGE: &str = "BENCHMARKS.md";

/// The line before a comparison's table.
pub(crate) fn begin(name: &str) -> String {
    format!("<!-- peers {name}: begin -->")
}

/// The line after it.
pub(crate) fn end(name: &str) -> String {
    format!("<!-- peers {name}: end -->")
}

/// Puts the figures of one comparison in the place of its last ones; `machine` says when and on what they were
/// measured.
///
/// # Errors
/// When the page cannot be read or written, or has no place for them.
pub(crate) fn write(name: &str, machine: &str, comparisons: &[Value]) -> Result<()> {
    let page = fs::read_to_string(PAGE).with_context(|| format!("cannot read {PAGE}"))?;
    let page = replaced(&page, name, &table(name, machine, comparisons))
        .with_context(|| format!("{PAGE} has no lines `{}` and `{}`", begin(name), end(name)))?;
    fs::write(PAGE, page).with_context(|| format!("cannot write {PAGE}"))
}

fn replaced(page: &str, name: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(&begin(name))?;
    let (_, after) = rest.split_once(&end(name))?;
    Some(format!("{before}{}\n{table}{}{after}", begin(name), end(name)))
}

fn table(name: &str, machine: &str, comparisons: &[Value]) -> String {
    let mut table = format!("`cargo xtask peers {name}`, {machine}:\n\n");
    table.push_str(
        "| input | threads | ours | peer | unit | against | ratio |\n|---|--:|--:|--:|---|---|--:|\n",
    );
    for comparison in comparisons {
        let text = |field: &str| comparison[field].as_str().unwrap_or_default().replace('|', "\\|");
        let number = |field: &str| comparison[field].as_f64().unwrap_or(f64::NAN);
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {:.2} |",
            text("input"),
            number("threads"),
            short(number("ours")),
            short(number("peer")),
            text("unit"),
            text("peer_name"),
            number("ratio"),
        );
    }
    table
}

/// Three digits, or all of those before the point.
fn short(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_last_one_and_nothing_else() {
        let page = "# Page\n<!-- peers scan: begin -->\nold\n<!-- peers scan: end -->\nrest\n";
        let line = json!({"input": "a|b", "threads": 1, "ours": 3.1459, "peer": 1234.5, "peer_name": "p",
                          "unit": "ms", "ratio": 0.00254});
        let new = replaced(page, "scan", &table("scan", "today, here", &[line])).unwrap();
        assert!(
            new.starts_with("# Page\n<!-- peers scan: begin -->\n`cargo xtask peers scan`, today, here:\n")
        );
        assert!(
            new.contains("| a\\|b | 1 | 3.15 | 1234 | ms | p | 0.00 |\n<!-- peers scan: end -->"),
            "{new}"
        );
        assert!(new.ends_with("end -->\nrest\n") && !new.contains("old"), "{new}");
    }

    #[test]
    fn a_page_without_the_place_is_refused() {
        assert_eq!(replaced("# Page\n<!-- peers scan: begin -->\n", "scan", ""), None);
        assert_eq!(replaced("# Page\n", "scan", ""), None);
    }

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!([0.5, 9.99, 12.34, 99.96, 1364.2].map(short), ["0.50", "9.99", "12.3", "100", "1364"]);
    }
}
