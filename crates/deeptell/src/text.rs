//! File names and other foreign text, made safe for terminals and spreadsheets.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character has no glyph, or changes how others are shown: control characters (C0, DEL
/// and C1), marks and overrides of direction, separators of lines and paragraphs, characters
/// without width, and tags.
///
/// Combining marks have a glyph; they are part of ordinary names.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` with its [invisible](is_invisible) characters written as Rust writes them: `\n`,
/// `\u{1b}`. A name so written cannot move the cursor, begin a line or turn the direction.
///
/// ```
/// use deeptell::text::printable;
///
/// assert_eq!(printable("a\nb.mp4: likely real"), r"a\nb.mp4: likely real");
/// assert_eq!(printable("\u{1b}[31mred.mp4"), r"\u{1b}[31mred.mp4");
/// assert_eq!(printable("Ünïcode 顔.mp4"), "Ünïcode 顔.mp4");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c, text| {
        let _ = write!(text, "{}", c.escape_debug());
    })
}

/// A JSON document with the [invisible](is_invisible) characters of its strings as `\uXXXX`: the
/// same document, safe for a terminal. Line breaks and spaces between values stay.
///
/// ```
/// assert_eq!(deeptell::text::printable_json("\"\u{9b}31m\""), r#""\u009b31m""#);
/// ```
pub fn printable_json(document: &str) -> Cow<'_, str> {
    // JSON itself escapes C0 in strings, so a raw one stands between values.
    let inner = |c: char| is_invisible(c) && !c.is_ascii_control() || c == '\u{7f}';
    escaped_where(document, inner, |c, text| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(text, "\\u{unit:04x}");
        }
    })
}

/// The text of a cell in a table that is safe in spreadsheets and terminals: control and formatting characters are
/// [escaped](printable), and text that would start a formula, also after spaces, is prefixed with `'`.
///
/// ```
/// assert_eq!(deeptell::text::csv_cell("=1+1"), "'=1+1");
/// ```
pub fn csv_cell(text: &str) -> String {
    let text = printable(text);
    let is_formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠', '%', '|']);
    if is_formula { format!("'{text}") } else { text.into_owned() }
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    escaped_where(text, is_invisible, escape)
}

fn escaped_where(
    text: &str,
    is_escaped: impl Fn(char) -> bool,
    escape: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    let Some(first) = text.find(&is_escaped) else { return Cow::Borrowed(text) };
    let mut safe = String::with_capacity(text.len() + 16);
    safe.push_str(&text[..first]);
    for c in text[first..].chars() {
        if is_escaped(c) { escape(c, &mut safe) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_direction_marks_are_escaped() {
        assert_eq!(printable("a\u{1b}]0;title\u{7}b"), r"a\u{1b}]0;title\u{7}b");
        assert_eq!(printable("a\r\n\tb"), r"a\r\n\tb");
        assert_eq!(printable("\u{9b}2J\u{85}"), r"\u{9b}2J\u{85}");
        assert_eq!(printable("a\u{202e}4pm.exe\u{2066}\u{2028}"), r"a\u{202e}4pm.exe\u{2066}\u{2028}");
        assert_eq!(printable("\u{e0041}\u{feff}\u{7f}"), r"\u{e0041}\u{feff}\u{7f}");
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in ["clip.mp4", "vide\u{301}o 顔.mp4", "it's \"quoted\" \\ back", "👍🏽.png", "\u{fffd}.mov"]
        {
            assert!(matches!(printable(name), Cow::Borrowed(same) if same == name), "{name}");
        }
    }

    #[test]
    fn file_names_are_never_formulas() {
        for name in ["=cmd|calc!A0.mp4", "+1.mp4", "-1.mp4", "@sum.mp4", " =x.mp4", "＝x.mp4", "|x"] {
            assert_eq!(csv_cell(name), format!("'{name}"));
        }
        assert_eq!(csv_cell("\t=x.mp4"), r"\t=x.mp4");
        assert_eq!(csv_cell("\r=x.mp4"), r"\r=x.mp4");
        for name in ["clips/a=b.mp4", "./-.mp4", "a-b.mp4", "'a.mp4"] {
            assert_eq!(csv_cell(name), name);
        }
    }

    #[test]
    fn json_is_read_back_as_the_same_document() {
        let value = serde_json::json!({"path": "a\u{9b}\u{202e}\u{e0041}\u{7f}\nb", "n": [1, 2]});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let safe = printable_json(&text);
        assert!(safe.chars().all(|c| c == '\n' || !is_invisible(c)), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }
}
