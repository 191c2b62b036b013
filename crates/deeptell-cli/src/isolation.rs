//! Where files are decoded: in a separate process, unless the user trusts them.

use deeptell::Decoding;
use deeptell_video::VideoOptions;

use crate::output::alert;

/// How files are decoded, by whether they are `trusted`.
pub(crate) fn decoding(trusted: bool) -> Decoding {
    let decoding = if trusted { Decoding::trusted() } else { Decoding::untrusted() };
    if let Some(warning) = decoding.warning() {
        alert!("warning: {warning}");
    }
    decoding
}

/// As [`decoding`], for videos and pictures that no detector opens; of videos the chosen stream, if any.
pub(crate) fn reading(stream: Option<u32>, trusted: bool) -> anyhow::Result<VideoOptions> {
    let options = decoding(trusted).video_options()?;
    Ok(if let Some(stream) = stream { options.stream(stream) } else { options })
}
