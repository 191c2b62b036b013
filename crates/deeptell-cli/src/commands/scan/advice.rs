//! Which refusals the user can lift.

use deeptell::{Error, InputError};
use deeptell_video::{Limits, PictureError, VideoError};

/// What to add to an error that [`is_lifted_by_trust`].
pub(super) const TRUST: &str = "; if you trust where the file comes from, --trusted lifts this limit";

/// Whether the same file passes, or may pass, the limits of trusted files.
pub(super) fn is_lifted_by_trust(error: &Error) -> bool {
    let Error::Input { source, .. } = error else { return false };
    let trusted = Limits::default();
    match source {
        InputError::Video(VideoError::TooLarge { width, height, .. }) => {
            u64::from(*width) * u64::from(*height) <= trusted.max_pixels
        }
        InputError::Video(VideoError::Timeout { .. } | VideoError::OutOfMemory { .. })
        | InputError::Picture(
            PictureError::TooLarge { .. }
            | PictureError::FileTooLarge { .. }
            | PictureError::TooMuchMemory { .. },
        ) => true,
        _ => false,
    }
}
