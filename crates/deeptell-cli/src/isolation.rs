//! Decoding away from everything else: the command starts itself once more for it.

use std::ffi::OsStr;
use std::process::ExitCode;

use deeptell_video::{Limits, VideoOptions, VideoReader};

/// The word that makes `deeptell` a decoder for its parent; not for people, and in no help.
const WORD: &str = "decode-for-parent";

/// Serves as a decoder where that is what this process was started for. First thing in `main`.
pub(crate) fn served() -> Option<ExitCode> {
    let is_asked = std::env::args_os().nth(1).as_deref() == Some(OsStr::new(WORD));
    is_asked.then(serve)
}

#[cfg(unix)]
fn serve() -> ExitCode {
    deeptell_video::serve_decoding()
}

#[cfg(not(unix))]
fn serve() -> ExitCode {
    ExitCode::from(2)
}

/// This program as a decoder.
#[cfg(unix)]
pub(crate) fn decoder() -> anyhow::Result<deeptell_video::DecoderProcess> {
    use anyhow::Context as _;
    let program =
        std::env::current_exe().context("cannot tell which program this is, to decode in another process")?;
    Ok(deeptell_video::DecoderProcess::new(program).arg(WORD))
}

/// How to read videos and pictures: the stream that the user chose, if any, and, unless files are
/// `trusted`, within narrow limits and in another process.
pub(crate) fn reading(stream: Option<u32>, trusted: bool) -> anyhow::Result<VideoOptions> {
    let mut reading = VideoReader::options();
    if let Some(stream) = stream {
        reading = reading.stream(stream);
    }
    if !trusted {
        reading = reading.limits(Limits::untrusted());
        #[cfg(unix)]
        {
            reading = reading.isolated_by(&decoder()?);
        }
    }
    Ok(reading)
}
