//! The name of an uploaded file, as its sender gave it.

/// Longest name that is kept, in characters.
const LONGEST: usize = 200;

/// The last part of `name` without what could pose as something else: control characters, marks
/// of direction and characters without a width become `U+FFFD`.
pub(crate) fn shown(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown: String = last
        .trim()
        .chars()
        .take(LONGEST)
        .map(|c| if deeptell::is_invisible(c) { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if shown.is_empty() { "upload".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_no_paths() {
        assert_eq!(shown("../../etc/passwd"), "passwd");
        assert_eq!(shown(r"C:\fakepath\clip.mp4"), "clip.mp4");
        assert_eq!(shown("Ünïcode 顔.mp4"), "Ünïcode 顔.mp4");
        assert_eq!(shown(""), "upload");
        assert_eq!(shown("folder/"), "upload");
        assert_eq!(shown(&"x".repeat(999)).len(), LONGEST);
    }

    #[test]
    fn nothing_invisible_is_left_in_a_name() {
        assert_eq!(shown("a\u{202e}4pm.exe\n"), "a\u{fffd}4pm.exe");
        assert_eq!(shown("\u{200b}"), "\u{fffd}");
    }
}
