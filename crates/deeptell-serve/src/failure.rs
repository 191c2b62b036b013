//! Why a file got no verdict, in words for whoever sent it.

use std::time::Duration;

use deeptell::{Error, InputError};
use deeptell_video::{PictureError, VideoError};
use serde::Serialize;

/// Why a file got no verdict. No path and no other detail of this machine is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    /// For programs.
    pub(crate) code: &'static str,
    /// For people: what is wrong, and what to do.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) const INTERNAL: &'static str = "internal";

    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Something that is not the file's fault, and whose details are the operator's.
    pub(crate) fn internal() -> Self {
        let message = "The analysis failed for a reason that has nothing to do with the file. The program that \
                       serves this page has the details.";
        Self::new(Self::INTERNAL, message)
    }

    /// The analysis took longer than it may.
    pub(crate) fn too_slow(limit: Duration) -> Self {
        let message = format!(
            "The analysis was stopped after {} seconds. A shorter or smaller copy may work.",
            limit.as_secs()
        );
        Self::new("too_slow", message)
    }

    /// The server stopped first.
    pub(crate) fn stopped() -> Self {
        Self::new("stopped", "The server was stopped before it came to a verdict.")
    }

    /// The words for what went wrong with a file.
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Input { source, .. } => Self::of_input(source),
            _ => Self::internal(),
        }
    }

    fn of_input(error: &InputError) -> Self {
        match error {
            InputError::Video(error) => Self::of_video(error),
            InputError::Picture(error) => Self::of_picture(error),
            InputError::NoFrames | InputError::Frame { .. } => {
                Self::new("broken", "There is not a single picture in this file.")
            }
            _ => Self::internal(),
        }
    }

    fn of_picture(error: &PictureError) -> Self {
        match error {
            PictureError::TooLarge { width, height, max_pixels, max_side } => Self::new(
                "too_large",
                format!(
                    "The picture has {width} by {height} pixels. {} megapixels and {max_side} pixels on a side are \
                     the most. A smaller copy will do.",
                    max_pixels / 1_000_000
                ),
            ),
            PictureError::FileTooLarge { limit, .. } => Self::new(
                "too_large",
                format!(
                    "The picture file is too large: {} MiB are the most. A smaller copy will do.",
                    limit >> 20
                ),
            ),
            PictureError::TooMuchMemory { .. } => Self::new(
                "too_large",
                "Decoding this picture needs too much memory. A smaller copy may work.",
            ),
            PictureError::Unsupported { .. } | PictureError::Unknown => {
                Self::new("unsupported", "This kind of picture cannot be read. JPEG and PNG can.")
            }
            PictureError::Truncated => Self::new(
                "broken",
                "The picture is cut short: a part of it is missing. Fetch the whole file if you can.",
            ),
            PictureError::Damaged { .. } => Self::new(
                "broken",
                "The picture is damaged and cannot be read. Fetch the file again if you can.",
            ),
            _ => Self::internal(),
        }
    }

    fn of_video(error: &VideoError) -> Self {
        match error {
            VideoError::Unsupported { .. } => Self::new(
                "unsupported",
                "This is no video or picture that can be read here: either another kind of file, or a video with \
                 an unusual codec. MP4, MOV, MKV, WebM and AVI with the usual codecs work, and so do JPEG and PNG.",
            ),
            VideoError::NoVideo { .. } => {
                Self::new("unsupported", "There are no moving pictures in this file, only sound or data.")
            }
            VideoError::TooLarge { width, height, .. } => Self::new(
                "too_large",
                format!(
                    "The video's pictures are {width} by {height} pixels, more than can be looked at here. A copy \
                     in 4K or smaller will do."
                ),
            ),
            VideoError::OutOfMemory { .. } => {
                Self::new("too_large", "Decoding this video needs too much memory. A smaller copy may work.")
            }
            VideoError::Timeout { deadline, .. } => Self::too_slow(*deadline),
            VideoError::Corrupt { .. } => Self::new(
                "broken",
                "The video is damaged and cannot be read. Fetch the file again if you can.",
            ),
            VideoError::Truncated { .. } => Self::new(
                "broken",
                "The video is cut short: it ends before its first picture. Fetch the whole file if you can.",
            ),
            VideoError::NoFrames { .. } => Self::new(
                "broken",
                "None of the video's pictures could be decoded: the file is damaged or encrypted.",
            ),
            VideoError::DecoderDied { .. } => Self::new(
                "broken",
                "The video cannot be decoded: the decoder gave up on it. The file is damaged, or made to do harm.",
            ),
            _ => Self::internal(),
        }
    }
}

/// An error with its causes on one line, for the operator.
pub(crate) fn in_full(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_learns_no_path() {
        let path = std::path::PathBuf::from("/tmp/private/abc");
        let detail = "no /tmp/private/abc".to_owned();
        let errors = [
            VideoError::Unsupported { path: path.clone(), detail: detail.clone() },
            VideoError::Corrupt { path: path.clone(), detail: detail.clone() },
            VideoError::DecoderDied { path: path.clone(), reason: detail },
            VideoError::Io { path, source: std::io::Error::other("/tmp/private") },
        ];
        let expected = ["unsupported", "broken", "broken", "internal"];
        for (error, code) in errors.into_iter().zip(expected) {
            let error = Error::Input { name: "/tmp/private/abc".to_owned(), source: error.into() };
            let failure = Failure::of(&error);
            assert_eq!(failure.code, code);
            assert!(!failure.message.contains("/tmp"), "{failure:?}");
            assert!(in_full(&error).contains("/tmp/private"), "{}", in_full(&error));
        }
    }
}
