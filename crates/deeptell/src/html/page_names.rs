//! File names of pages.

use std::collections::HashSet;
use std::path::Path;

/// A file name for the page of each input: safe on every system, no two alike, none `index.html`. They depend on the
/// inputs only, so that the same inputs have the same names.
///
/// ```
/// let names = deeptell::html::page_names(&["a/x y.mp4", "b/X y.mp4"]);
/// assert_eq!(names, ["x_y.mp4.html", "X_y.mp4-2.html"]);
/// ```
pub fn page_names(inputs: &[impl AsRef<Path>]) -> Vec<String> {
    let mut taken = HashSet::new();
    inputs.iter().map(|path| page_name(path.as_ref(), &mut taken)).collect()
}

/// A file name for the page of `path`: not taken yet, which it is then.
fn page_name(path: &Path, taken: &mut HashSet<String>) -> String {
    let stem: String = path
        .file_name()
        .map(|n| n.to_string_lossy())
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
        .take(80)
        .collect();
    let mut name = format!("{stem}.html");
    let mut number = 1;
    while name == "index.html" || taken.contains(&name.to_lowercase()) {
        number += 1;
        name = format!("{stem}-{number}.html");
    }
    taken.insert(name.to_lowercase());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_safe_names_of_their_own() {
        let mut taken = HashSet::new();
        assert_eq!(page_name(Path::new("a/x y.mp4"), &mut taken), "x_y.mp4.html");
        assert_eq!(page_name(Path::new("b/X y.mp4"), &mut taken), "X_y.mp4-2.html");
        assert_eq!(page_name(Path::new("index"), &mut taken), "index-2.html");
        assert_eq!(page_name(Path::new("<b>&.mp4"), &mut taken), "_b__.mp4.html");
    }
}
