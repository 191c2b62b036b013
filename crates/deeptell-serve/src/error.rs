//! Errors of starting a server.

use std::io;

use thiserror::Error;

/// Why a server could not start. Faults of single requests and files are reported to the client
/// instead.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A setting is out of range: correct it.
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
    /// An option of the scan is out of range: correct it.
    #[error(transparent)]
    Scan(#[from] deeptell::Error),
    /// The private folder for uploads cannot be created: check the free space and the permissions
    /// of the folder that contains it.
    #[error("cannot create a private folder for uploads in {folder}: check its free space and permissions")]
    Folder {
        /// The folder that should contain it.
        folder: std::path::PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The folder of the page that scans in the browser cannot be used: build it with `cargo xtask web`.
    #[error("cannot use {folder} as the page that scans in the browser; `cargo xtask web` builds one")]
    LocalPage {
        /// The folder.
        folder: std::path::PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The listening socket cannot be used.
    #[error("cannot listen for connections")]
    Listen(#[source] io::Error),
    /// The operating system cannot give the server another thread or timer.
    #[error("cannot start the server's threads")]
    Threads(#[source] io::Error),
}
