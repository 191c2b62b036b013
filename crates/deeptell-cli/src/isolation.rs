//! Decoding away from everything else: the command starts itself once more for it.

use std::ffi::OsStr;
use std::process::ExitCode;

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
