//! A program that starts a copy of itself as its decoder.

#[cfg(feature = "ffmpeg")]
use std::ffi::OsStr;
use std::io;
#[cfg(all(unix, feature = "ffmpeg"))]
use std::sync::OnceLock;
#[cfg(feature = "ffmpeg")]
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;

#[cfg(all(unix, feature = "ffmpeg"))]
use crate::isolation::DecoderProcess;

/// The word that makes this program a decoder for its parent.
#[cfg(feature = "ffmpeg")]
pub(crate) const WORD: &str = "decode-for-parent";

/// Whether [`run_if_decoder`] was called, so that a copy of this program serves as a decoder.
#[cfg(feature = "ffmpeg")]
static IS_PREPARED: AtomicBool = AtomicBool::new(false);

/// What [`DecoderProcess::set_this_program`] was called with.
#[cfg(all(unix, feature = "ffmpeg"))]
pub(crate) static NAMED: OnceLock<DecoderProcess> = OnceLock::new();

/// Lets this program decode files in separate processes
/// ([`DecoderProcess::this_program`](crate::DecoderProcess::this_program)): call it first thing in `main`, before any
/// thread exists and any file is open.
///
/// Such a process is a copy of this program with a special first argument. In it, this call decodes and then ends the
/// process; otherwise it returns immediately.
///
/// ```no_run
/// use deeptell_video::{DecoderProcess, Limits, Sampling, VideoReader};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     deeptell_video::run_if_decoder();
///     let decoder = DecoderProcess::this_program()?;
///     let options = VideoReader::options().limits(Limits::untrusted()).isolated_by(&decoder);
///     for frame in options.open("upload.mp4")?.sample(Sampling::Uniform(12)) {
///         println!("{} s", frame?.pts_seconds);
///     }
///     Ok(())
/// }
/// ```
#[cfg(feature = "ffmpeg")]
pub fn run_if_decoder() {
    IS_PREPARED.store(true, Ordering::Relaxed);
    if std::env::args_os().nth(1).as_deref() != Some(OsStr::new(WORD)) {
        return;
    }
    #[cfg(unix)]
    let code = crate::isolation::serve_as_program();
    #[cfg(not(unix))]
    let code = 2;
    std::process::exit(code);
}

#[cfg(all(unix, feature = "ffmpeg"))]
pub(crate) fn is_prepared() -> bool {
    IS_PREPARED.load(Ordering::Relaxed)
}

/// Why this program cannot decode in a separate process.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IsolationError {
    /// `run_if_decoder` was not called, so a copy of this program would not decode.
    #[error(
        "files are decoded in a process of its own, for which this program must call `run_if_decoder()` first thing in \
         `main`; to decode in this process, which is for trusted files only, say so when the detector or reader is made"
    )]
    NotPrepared,
    /// The operating system does not say where this program is.
    #[error(
        "cannot tell which program this is, to start it as a decoder; name one with `DecoderProcess::new`"
    )]
    UnknownProgram(#[source] io::Error),
    /// Separate processes are supported on Unix systems only.
    #[error(
        "this system has no sandboxed processes; to decode in this process, which is for trusted files only, say so when \
         the detector or reader is made"
    )]
    Unsupported,
}
