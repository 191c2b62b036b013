//! Settings of a server.

use std::path::PathBuf;
use std::time::Duration;

use deeptell::ScanOptions;

use crate::ServeError;

/// Limits of a server, and options of its scans.
///
/// ```
/// use deeptell_serve::Settings;
///
/// let mut small = Settings::new(std::env::temp_dir());
/// small.max_upload_bytes = 50_000_000;
/// assert!(small.check().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Folder in which the private folder for uploads is created. That one is deleted at the end.
    pub uploads: PathBuf,
    /// Host names, without a port, by which requests may name the server, besides `localhost` and
    /// the addresses of this machine.
    pub allowed_hosts: Vec<String>,
    /// Files that are analyzed at the same time, 1 to 64.
    pub workers: usize,
    /// Files that may be uploaded or wait in addition, 0 to 10,000. One more is refused with status
    /// 429, unless it can take the place of an upload that is slower than 16 KiB per second.
    pub waiting: usize,
    /// Finished scans that are kept in memory, 1 to 10,000; the oldest is removed first.
    pub history: usize,
    /// Largest upload, in bytes; at least 1.
    pub max_upload_bytes: u64,
    /// Longest duration of one upload.
    pub upload_time: Duration,
    /// Longest time between two parts of an upload, for the head of a request, and for a client to
    /// read 64 KiB of an answer or all of it.
    pub idle_time: Duration,
    /// Longest duration of one analysis, without the time in the queue.
    pub analysis_time: Duration,
    /// Connections that are open at the same time, 2 to 100,000. A new one closes an older one that
    /// is idle, not read by its client, or slow; if there is none, it waits.
    pub connections: usize,
    /// Folder of the page that scans files in the browser itself, as `cargo xtask web` builds it; it is read once and
    /// served under `/local/`. `None` serves no such page.
    pub local_page: Option<PathBuf>,
    /// Options of every scan. [`evidence`](field@ScanOptions::evidence), which the page shows, is always set.
    pub scan: ScanOptions,
}

impl Settings {
    /// Default limits: one file of up to 500 MB at a time, eight more waiting. Uploads are stored in
    /// a private folder inside `uploads`.
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
            local_page: None,
            scan: ScanOptions::default(),
        }
    }

    /// Checks the range of every field. [`serve`](crate::serve) does this first.
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

    /// The options of every scan: the page shows what a verdict rests on.
    pub(crate) fn scan_options(&self) -> ScanOptions {
        self.scan.clone().evidence(true)
    }

    /// Uploads and scans that may be unfinished at the same time.
    pub(crate) fn upload_slots(&self) -> usize {
        self.workers + self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_out_of_range_is_named() {
        let good = Settings::new("/tmp");
        assert!(good.check().is_ok());
        for (name, bad) in [
            ("workers", Settings { workers: 0, ..good.clone() }),
            ("waiting", Settings { waiting: 1_000_000, ..good.clone() }),
            ("history", Settings { history: 0, ..good.clone() }),
            ("connections", Settings { connections: 1, ..good.clone() }),
            ("max_upload_bytes", Settings { max_upload_bytes: 0, ..good.clone() }),
            ("frames", Settings { scan: ScanOptions::default().frames(0), ..good.clone() }),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
    }

    #[test]
    fn every_scan_has_evidence_for_the_page() {
        let scan = ScanOptions::default().frames(7);
        let options = Settings { scan, ..Settings::new("/tmp") }.scan_options();
        assert!(options.evidence && options.frames == 7);
    }
}
