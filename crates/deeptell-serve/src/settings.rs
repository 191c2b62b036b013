//! How much a server takes on.

use std::path::PathBuf;
use std::time::Duration;

use deeptell::ScanOptions;

use crate::ServeError;

/// Bounds of a server, and how it looks at what it is given.
///
/// ```
/// use deeptell_serve::Settings;
///
/// let small = Settings { max_upload_bytes: 50_000_000, ..Settings::new(std::env::temp_dir()) };
/// assert!(small.check().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where the private folder for uploads is made; it is deleted at the end.
    pub uploads: PathBuf,
    /// Host names, besides loopback ones and IP addresses of this machine, by which requests may
    /// name the server; without a port.
    pub allowed_hosts: Vec<String>,
    /// Files that are analysed at the same time.
    pub workers: usize,
    /// Files that may be uploading or waiting besides; one more is answered with 429.
    pub waiting: usize,
    /// Finished scans that are remembered; the oldest goes first.
    pub history: usize,
    /// Largest upload.
    pub max_upload_bytes: u64,
    /// Longest time that one upload may take.
    pub upload_time: Duration,
    /// Longest time between two pieces of an upload, and for the head of a request.
    pub idle_time: Duration,
    /// Longest time that one analysis may take, once it has begun.
    pub analysis_time: Duration,
    /// Connections that are open at the same time; more have to wait.
    pub connections: usize,
    /// What a scan looks at. Files are always taken as
    /// [`untrusted`](ScanOptions::untrusted), and [`pictures`](ScanOptions::pictures) are kept.
    pub scan: ScanOptions,
}

impl Settings {
    /// The usual bounds: one file of up to 500 MB at a time, eight more in line. Uploads lie in a
    /// private folder inside `uploads`.
    pub fn new(uploads: impl Into<PathBuf>) -> Self {
        Self {
            uploads: uploads.into(),
            allowed_hosts: Vec::new(),
            workers: 1,
            waiting: 8,
            history: 32,
            max_upload_bytes: 500_000_000,
            upload_time: Duration::from_mins(10),
            idle_time: Duration::from_secs(30),
            analysis_time: Duration::from_mins(2),
            connections: 256,
            scan: ScanOptions::default(),
        }
    }

    /// Checks every field; [`serve`](crate::serve) does so first.
    ///
    /// # Errors
    /// [`ServeError::Setting`] with the name of the first field that is out of range, and
    /// [`ServeError::Scan`] for the options of the scan.
    pub fn check(&self) -> Result<(), ServeError> {
        let Self { workers, waiting, history, connections, .. } = *self;
        let counts = [
            ("workers", workers, 1, 64),
            ("waiting", waiting, 0, 10_000),
            ("history", history, 1, 10_000),
            ("connections", connections, 2, 100_000),
        ];
        for (setting, value, low, high) in counts {
            if !(low..=high).contains(&value) {
                return Err(ServeError::Setting { setting, value: value.to_string(), low, high });
            }
        }
        if self.max_upload_bytes == 0 {
            let value = "0".to_owned();
            return Err(ServeError::Setting { setting: "max_upload_bytes", value, low: 1, high: usize::MAX });
        }
        Ok(self.scan.check()?)
    }

    /// The options of every scan: files from strangers, pictures for the page.
    pub(crate) fn scan_options(&self) -> ScanOptions {
        ScanOptions { untrusted: true, pictures: true, ..self.scan.clone() }
    }

    /// Uploads and scans that may exist unfinished.
    pub(crate) fn places(&self) -> usize {
        self.workers + self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        let good = Settings::new("/tmp");
        assert!(good.check().is_ok());
        for (name, bad) in [
            ("workers", Settings { workers: 0, ..good.clone() }),
            ("waiting", Settings { waiting: 1_000_000, ..good.clone() }),
            ("history", Settings { history: 0, ..good.clone() }),
            ("connections", Settings { connections: 1, ..good.clone() }),
            ("max_upload_bytes", Settings { max_upload_bytes: 0, ..good.clone() }),
            (
                "frames",
                Settings { scan: ScanOptions { frames: 0, ..ScanOptions::default() }, ..good.clone() },
            ),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
    }

    #[test]
    fn every_upload_is_a_strangers() {
        let scan = ScanOptions { untrusted: false, pictures: false, frames: 7, ..ScanOptions::default() };
        let options = Settings { scan, ..Settings::new("/tmp") }.scan_options();
        assert!(options.untrusted && options.pictures && options.frames == 7);
    }
}
