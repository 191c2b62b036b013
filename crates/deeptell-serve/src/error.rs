//! Why a server could not start or go on.

use std::io;

use thiserror::Error;

/// Why a server could not start or go on. What goes wrong with single requests and files is
/// answered to whoever sent them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A setting is out of its range: correct it.
    #[error("the setting `{setting}` is {value}, but must be from {low} to {high}")]
    Setting {
        /// The field of [`Settings`](crate::Settings).
        setting: &'static str,
        /// Its value.
        value: String,
        /// Smallest value allowed.
        low: usize,
        /// Largest value allowed.
        high: usize,
    },
    /// An option of the scan is out of its range: correct it.
    #[error(transparent)]
    Scan(#[from] deeptell::Error),
    /// The private folder for uploads cannot be made: check the temporary folder's space and
    /// permissions.
    #[error("cannot make a private folder for uploads in {folder}")]
    Folder {
        /// The folder in which it should lie.
        folder: std::path::PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The listening socket cannot be used.
    #[error("cannot listen for connections")]
    Listen(#[source] io::Error),
    /// The operating system has no thread or timer left for the server.
    #[error("cannot start the server's threads")]
    Threads(#[source] io::Error),
}
