//! Where files are decoded: in a separate process, unless the user trusts them.

use deeptell::Decoding;
use deeptell_video::{Limits, VideoOptions, VideoReader};

/// How a detector decodes files, by whether they are `trusted`.
pub(crate) fn decoding(trusted: bool) -> Decoding {
    if trusted {
        return Decoding::in_process(Limits::default());
    }
    if cfg!(unix) {
        return Decoding::isolated();
    }
    crate::output::alert!(
        "warning: this system has no sandboxed processes: files are decoded in this one, within narrow limits"
    );
    Decoding::in_process(Limits::untrusted())
}

/// Options for reading videos and pictures: the chosen stream, if any, and, unless files are
/// `trusted`, narrow limits and a separate process.
pub(crate) fn reading(stream: Option<u32>, trusted: bool) -> anyhow::Result<VideoOptions> {
    let mut reading = VideoReader::options();
    if let Some(stream) = stream {
        reading = reading.stream(stream);
    }
    if !trusted {
        reading = reading.limits(Limits::untrusted());
        #[cfg(unix)]
        {
            reading = reading.isolated_by(&deeptell_video::DecoderProcess::this_program()?);
        }
    }
    Ok(reading)
}
