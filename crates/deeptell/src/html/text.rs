//! Words and figures for the page. Everything that came from outside goes through [`Text`].

use std::fmt::{self, Write as _};

use maud::Render;

use crate::text::is_invisible;

/// Text from outside, made harmless for element content and quoted attributes.
///
/// Markup characters are escaped; control, zero-width and direction-changing characters,
/// with which a file name can pose as another, are shown by their code point.
///
/// ```
/// use deeptell::html::Text;
///
/// assert_eq!(Text("a<b").to_string(), "a&lt;b");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Text<'a>(pub &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if is_invisible(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// Escaped already.
impl Render for Text<'_> {
    fn render_to(&self, page: &mut String) {
        let _ = write!(page, "{self}");
    }
}

/// The text of a reason or a warning, which may hold names from a file.
pub(super) struct Said<T>(pub(super) T);

impl<T: fmt::Display> Render for Said<T> {
    fn render_to(&self, page: &mut String) {
        Text(&self.0.to_string()).render_to(page);
    }
}

/// A link to a file beside the page: every byte that could mean something else is encoded.
pub(super) struct Href<'a>(pub(super) &'a str);

impl fmt::Display for Href<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The leading `./` keeps a name such as `javascript:x` from being a scheme.
        f.write_str("./")?;
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

/// `3.1 MB`, in powers of a thousand.
pub(super) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["bytes", "kB", "MB", "GB"] {
        if value < 999.5 {
            return if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// `1 face`, `3 faces`.
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_harmless_and_visible() {
        let hostile = "<script>alert('x')</script>&\"\u{202e}gpj.exe\n\u{0}";
        let shown = Text(hostile).to_string();
        assert_eq!(
            shown,
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;\\u{202e}gpj.exe\\u{a}\\u{0}"
        );
        assert_eq!(Text("Ünïcode 顔.mp4").to_string(), "Ünïcode 顔.mp4");
    }

    #[test]
    fn links_on_a_page_are_relative_to_it() {
        assert_eq!(Href("javascript:alert(1)").to_string(), "./javascript%3Aalert%281%29");
        assert_eq!(Href("a b\"><.html").to_string(), "./a%20b%22%3E%3C.html");
        assert_eq!(Href("clip-1.html").to_string(), "./clip-1.html");
    }

    #[test]
    fn sizes_and_counts_have_units() {
        assert_eq!(size(999), "999 bytes");
        assert_eq!(size(1_500), "1.5 kB");
        assert_eq!(size(999_960), "1.0 MB");
        assert_eq!(size(3_140_000), "3.1 MB");
        assert_eq!(count(1, "face", "faces"), "1 face");
        assert_eq!(count(0, "face", "faces"), "0 faces");
    }
}
