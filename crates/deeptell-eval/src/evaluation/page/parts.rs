//! What the sections share: numbers in words, tables.

use deeptell::html::Text;
use maud::{Markup, html};

use crate::evaluation::Evaluation;

/// `1 crop`, `2,834 crops`.
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(n), if n == 1 { one } else { many })
}

pub(super) fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The ends of an interval in words.
pub(super) fn ends(ci95: Option<[f64; 2]>) -> String {
    match ci95 {
        None => "no interval".to_owned(),
        Some([low, high]) if low == high => format!("{low:.3}, no width"),
        Some([low, high]) => format!("{low:.3} to {high:.3}"),
    }
}

/// A threshold, with enough digits to differ from the end of the scale.
pub(super) fn threshold(value: f64) -> String {
    let short = format!("{value:.3}");
    let is_lost = (short == "1.000" && value < 1.0) || (short == "0.000" && value > 0.0);
    if is_lost { format!("{value:.6}") } else { short }
}

/// A figure with its interval, for a cell of a table.
pub(super) fn cell(value: f64, ci95: Option<[f64; 2]>) -> Markup {
    html! {
        (format!("{value:.3}"))
        @if ci95.is_some() { " " span class="soft" { "(" (ends(ci95)) ")" } }
    }
}

pub(super) fn crops_words(found: &Evaluation) -> String {
    let figures = &found.crops.figures;
    let videos = if found.videos_named > 0 {
        format!(" and {}", count(found.videos_named, "video", "videos"))
    } else {
        String::new()
    };
    format!(
        "{crops} ({real} real, {fake} fake) from {sources}{videos}",
        crops = count(figures.n_real + figures.n_fake, "face crop", "face crops"),
        real = thousands(figures.n_real),
        fake = thousands(figures.n_fake),
        sources = count(figures.n_groups, "source", "sources"),
    )
}

/// A table that scrolls by itself where the page is narrow; a heading with `#` in front stands over numbers.
pub(super) fn table(label: &str, caption: Option<&str>, headings: &[&str], rows: &Markup) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(label) {
            table {
                @if let Some(caption) = caption { caption { (caption) } }
                thead {
                    tr {
                        @for heading in headings {
                            @match heading.strip_prefix('#') {
                                Some(heading) => { th scope="col" class="number" { (heading) } }
                                None => { th scope="col" { (heading) } }
                            }
                        }
                    }
                }
                tbody { (rows) }
            }
        }
    }
}

pub(super) fn details(summary: &str, headings: &[&str], rows: &Markup) -> Markup {
    html! {
        details { summary { (summary) } (table(summary, None, headings, rows)) }
    }
}

pub(super) fn text(value: &str) -> Markup {
    html! { (Text(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_near_0_and_1_keep_their_digits() {
        let shown = [0.25, 0.999_9, 1.0, 0.000_1].map(threshold);
        assert_eq!(shown, ["0.250", "0.999900", "1.000", "0.000100"]);
        assert_eq!(ends(Some([1.0, 1.0])), "1.000, no width");
    }

    #[test]
    fn thousands_have_commas() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"].map(str::to_owned),
            [0, 999, 1000, 1_234_567].map(thousands)
        );
    }
}
