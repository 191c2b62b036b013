//! Reads tables as spreadsheets save them.

use std::io::Cursor;
use std::path::Path;

use deeptell_files::read_bounded;

use crate::DataError;

/// The largest table, in bytes: ten million rows or so.
const MAX_BYTES: u64 = 1 << 29;

/// What may stand between the cells of a table.
const DELIMITERS: [u8; 3] = *b",;\t";

/// Opens a table of comma-separated values, or of values separated by semicolons or tabs, as the
/// first line has them. It may be in UTF-8 or UTF-16, each with its byte order mark. Spaces around
/// cells do not count.
///
/// Numbers may have decimal commas where cells are not separated by commas: read them with
/// [`parse_number`].
///
/// # Errors
/// [`DataError::Io`], and [`DataError::Metadata`] for another encoding.
pub fn open_table(path: impl AsRef<Path>) -> Result<csv::Reader<Cursor<String>>, DataError> {
    let path = path.as_ref();
    let bytes = read_bounded(path, MAX_BYTES).map_err(DataError::io(path))?;
    let text = decoded(bytes).ok_or_else(|| {
        DataError::metadata(path, "it is text in neither UTF-8 nor UTF-16; save the table as CSV in UTF-8")
    })?;
    // Some spreadsheets say so themselves, in a line of its own.
    let (delimiter, text) = match text.strip_prefix("sep=").and_then(|rest| rest.split_once('\n')) {
        Some((said, rest)) if DELIMITERS.contains(said.as_bytes().first().unwrap_or(&0)) => {
            (said.as_bytes()[0], rest.to_owned())
        }
        _ => (delimiter_of(text.lines().next().unwrap_or_default()), text),
    };
    let mut reader = csv::ReaderBuilder::new();
    reader.trim(csv::Trim::All).delimiter(delimiter);
    Ok(reader.from_reader(Cursor::new(text)))
}

/// A number with a point or, as in many languages, a decimal comma.
///
/// ```
/// assert_eq!(deeptell_data::parse_number("0,25"), Some(0.25));
/// assert_eq!(deeptell_data::parse_number("2.5e-3"), Some(0.0025));
/// assert_eq!(deeptell_data::parse_number("1.000,5"), None);
/// ```
pub fn parse_number(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.contains('.') { text.parse().ok() } else { text.replacen(',', ".", 1).parse().ok() }
}

/// The delimiter that the heading has most often outside quotes.
fn delimiter_of(heading: &str) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut is_quoted = false;
    for byte in heading.bytes() {
        is_quoted ^= byte == b'"';
        if let Some(index) = DELIMITERS.iter().position(|delimiter| *delimiter == byte && !is_quoted) {
            counts[index] += 1;
        }
    }
    let mut best = 0;
    for (index, count) in counts.iter().enumerate() {
        if *count > counts[best] {
            best = index;
        }
    }
    DELIMITERS[best]
}

/// The text of a file that says how it is encoded, or is in UTF-8.
fn decoded(bytes: Vec<u8>) -> Option<String> {
    let units = |order: fn([u8; 2]) -> u16| -> Option<String> {
        let (pairs, rest) = bytes[2..].as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| order(*pair)).collect();
        rest.is_empty().then(|| String::from_utf16(&units).ok())?
    };
    match bytes.as_slice() {
        [0xFF, 0xFE, ..] => units(u16::from_le_bytes),
        [0xFE, 0xFF, ..] => units(u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        _ => String::from_utf8(bytes).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(bytes: &[u8]) -> Result<Vec<Vec<String>>, DataError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut table = open_table(file.path())?;
        let text = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<_>>();
        let mut rows = vec![text(table.headers().unwrap())];
        rows.extend(table.records().map(|record| text(&record.unwrap())));
        Ok(rows)
    }

    #[test]
    fn tables_of_spreadsheets_are_read_alike() {
        let expected = vec![vec!["path", "p"], vec!["a;b, c.png", "0,5"], vec!["ä.png", "1"]];
        let wide = |text: &str, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let units: Vec<u16> = text.encode_utf16().collect();
            std::iter::once(0xFEFF).chain(units).flat_map(order).collect()
        };
        let comma = "path,p\n\"a;b, c.png\",\"0,5\"\nä.png,1\n";
        let semicolon = "path;p\r\n\"a;b, c.png\";0,5\r\nä.png;1\r\n";
        let tab = "path\tp\na;b, c.png\t0,5\nä.png\t1";
        for bytes in [
            comma.as_bytes().to_vec(),
            semicolon.as_bytes().to_vec(),
            tab.as_bytes().to_vec(),
            format!("\u{feff}{semicolon}").into_bytes(),
            format!("sep=;\r\n{semicolon}").into_bytes(),
            wide(tab, u16::to_le_bytes),
            wide(semicolon, u16::to_be_bytes),
        ] {
            assert_eq!(cells(&bytes).unwrap(), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_table_in_another_encoding_is_refused() {
        let error = cells(b"path,p\n\xe4.png,1\n").unwrap_err().to_string();
        assert!(error.contains("save the table as CSV in UTF-8"), "{error}");
        assert!(cells(b"\xff\xfea\0b").is_err(), "half a character");
    }

    #[test]
    fn numbers_may_have_a_decimal_comma() {
        for (text, number) in [
            ("0.5", Some(0.5)),
            (" 0,5 ", Some(0.5)),
            ("1", Some(1.0)),
            ("1,2,3", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(parse_number(text), number, "{text}");
        }
    }
}
