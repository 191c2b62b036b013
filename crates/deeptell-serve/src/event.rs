//! What the operator of a server may want to see.

use std::fmt;
use std::time::Duration;

use deeptell::Verdict;

/// Something that happened in a server, for its log. Names of files are left out on purpose.
///
/// [`Display`](fmt::Display) gives one line of text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A file was analysed.
    Analysed {
        /// Size of the file.
        bytes: u64,
        /// The verdict on it.
        verdict: Verdict,
        /// How long the analysis took.
        took: Duration,
    },
    /// A file could not be analysed, and whoever sent it was told why.
    Refused {
        /// Size of the file.
        bytes: u64,
        /// What kind of fault, as in the interface: `unsupported`, `broken` and so on.
        code: &'static str,
    },
    /// Something failed that is not the file's fault.
    Failed {
        /// What failed, in full.
        detail: String,
    },
    /// The server was asked to stop, and no longer takes connections.
    Stopping {
        /// Scans that were cancelled by it.
        cancelled: usize,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Analysed { bytes, verdict, took } => {
                write!(f, "analysed {bytes} bytes in {:.1} s: {verdict}", took.as_secs_f64())
            }
            Self::Refused { bytes, code } => write!(f, "refused {bytes} bytes: {code}"),
            Self::Failed { detail } => write!(f, "failed: {detail}"),
            Self::Stopping { cancelled: 0 } => write!(f, "stopping"),
            Self::Stopping { cancelled } => write!(f, "stopping; unfinished scans cancelled: {cancelled}"),
        }
    }
}
