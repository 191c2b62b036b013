//! Files that were cut short.

use std::fmt;

/// How much is there of a file that was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// Bytes that are there.
    pub present_bytes: u64,
    /// Bytes of the whole file, where its container tells.
    pub total_bytes: Option<u64>,
}

/// As a clause.
impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.total_bytes {
            Some(total) => write!(formatter, "{} of its {total} bytes are there", self.present_bytes),
            None => formatter.write_str("it ends in the middle of a part"),
        }
    }
}
