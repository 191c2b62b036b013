//! A whole server on a loopback address, with an analyzer that does what the uploaded file says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod client;
mod guarding;
mod palette;
mod pressure;
mod replay;
mod scans;
mod stopping;
mod uploads;

use std::net::{SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use deeptell::{Error, InputError, Progress, Scan, ScanOptions};
use deeptell_serve::{Analyse, Event, ServeError, Settings, serve};
use tempfile::TempDir;

use client::Request;

/// Does what the file says, and records each call. An unknown content is a file without pictures.
#[derive(Clone, Default)]
struct Obedient {
    seen: Arc<Mutex<Vec<(PathBuf, ScanOptions)>>>,
}

impl Analyse for Obedient {
    fn analyse(
        &self,
        file: &Path,
        options: &ScanOptions,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Scan, Error> {
        self.seen.lock().unwrap().push((file.to_owned(), options.clone()));
        let told = std::fs::read(file).unwrap();
        let failed = |source: InputError| Err(Error::Input { name: file.display().to_string(), source });
        match told.as_slice() {
            b"read" => failed(InputError::Read(std::io::Error::other("the disk is on fire"))),
            b"panic" => panic!("as told"),
            b"wait" => loop {
                if on_progress(Progress::new(1, Some(12), 2)).is_break() {
                    return Err(Error::Cancelled);
                }
                sleep(Duration::from_millis(5));
            },
            _ => failed(InputError::NoFrames),
        }
    }
}

/// A running server, and everything that it shows.
struct Server {
    address: SocketAddr,
    uploads: TempDir,
    analyzed: Obedient,
    events: Arc<Mutex<Vec<Event>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Server {
    fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let uploads = TempDir::new().unwrap();
        let mut settings = Settings::new(uploads.path());
        change(&mut settings);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (analyzed, events, stop) =
            (Obedient::default(), Arc::default(), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (analyzed, stop) = (analyzed.clone(), Arc::clone(&stop));
            let log: Arc<Mutex<Vec<Event>>> = Arc::clone(&events);
            move || serve(listener, analyzed, settings, &stop, move |event| log.lock().unwrap().push(event))
        });
        Self { address, uploads, analyzed, events, stop, thread: Some(thread) }
    }

    /// Uploads a file that says what to do, and retries while the queue is full. Returns the scan's
    /// path.
    fn tell(&self, what: &[u8]) -> String {
        let order = Request::ours("POST", "/api/scans?name=order.mp4", what);
        let began = Instant::now();
        loop {
            let answer = order.ask(self.address);
            if answer.status == 429 && began.elapsed() < Duration::from_secs(5) {
                continue;
            }
            assert_eq!(answer.status, 202, "{answer:?}");
            return answer.header("location").unwrap().to_owned();
        }
    }

    fn get(&self, path: &str) -> client::Answer {
        Request::get(path).ask(self.address)
    }

    /// Waits until the scan at `path` is in `state`.
    fn wait_for(&self, path: &str, state: &str) {
        eventually(state, || self.get(path).json()["state"] == state);
    }

    /// The files in the private folder.
    fn stored(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.uploads.path()).unwrap();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    }

    /// Stops the server and waits for its end.
    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop();
        }
    }
}

/// Waits until `holds`; fails if that takes too long.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "timed out: {what}");
        sleep(Duration::from_millis(5));
    }
}
