//! Events for the log of a server.

use std::fmt;
use std::time::Duration;

use deeptell::{Error, Verdict};
use deeptell_files::error_chain;

/// Something that happened in a server, for its log. It contains no names of files.
///
/// [`Display`](fmt::Display) gives one line of text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A file was analyzed.
    Analysed {
        /// Size of the file.
        bytes: u64,
        /// The verdict.
        verdict: Verdict,
        /// Duration of the analysis.
        took: Duration,
    },
    /// A file could not be analyzed. The answer says why.
    Refused {
        /// Size of the file.
        bytes: u64,
        /// The kind of fault, as in the API: `unsupported`, `broken` and so on.
        code: &'static str,
    },
    /// Something failed for a reason that has nothing to do with the file.
    Failed {
        /// What failed, with all causes.
        detail: String,
    },
    /// The server was asked to stop, and accepts no more connections.
    Stopping {
        /// Waiting scans that were cancelled.
        cancelled: usize,
    },
}

impl Event {
    /// The failure of an analysis: the error with its causes on one line.
    pub(crate) fn failed(error: &Error) -> Self {
        Self::Failed { detail: error_chain(error) }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Analysed { bytes, verdict, took } => {
                write!(f, "analyzed {bytes} bytes in {:.1} s: {verdict}", took.as_secs_f64())
            }
            Self::Refused { bytes, code } => write!(f, "refused {bytes} bytes: {code}"),
            Self::Failed { detail } => write!(f, "failed: {detail}"),
            Self::Stopping { cancelled: 0 } => write!(f, "stopping"),
            Self::Stopping { cancelled } => write!(f, "stopping; unfinished scans cancelled: {cancelled}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use deeptell::InputError;

    use super::*;

    #[test]
    fn failure_names_all_causes_once() {
        let source = InputError::Read(io::Error::other("no disk"));
        let error = Error::Input { name: "/tmp/private/abc".to_owned(), source };
        let line = Event::failed(&error).to_string();
        assert_eq!(line, "failed: cannot scan /tmp/private/abc: the file cannot be read: no disk");
    }
}
