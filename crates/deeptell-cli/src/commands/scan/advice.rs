//! Which errors `--trusted` avoids.

use deeptell::{Error, InputError};
use deeptell_face::{PictureError, PictureLimits};

/// Text to append to an error that [`is_lifted_by_trust`].
pub(super) const TRUST: &str = "; if you trust where the file comes from, lift this limit with --trusted";

/// Whether the same picture passes, or may pass, the limits of trusted files. Errors of videos say so
/// themselves.
pub(super) fn is_lifted_by_trust(error: &Error) -> bool {
    let Error::Input { source: InputError::Picture(error), .. } = error else { return false };
    let trusted = PictureLimits::default();
    match error {
        PictureError::TooLarge { width, height, .. } => {
            let pixels = u64::from(*width) * u64::from(*height);
            pixels <= trusted.max_pixels && (*width).max(*height) <= trusted.max_side
        }
        PictureError::FileTooLarge { bytes, .. } => *bytes <= trusted.max_file_bytes,
        PictureError::TooMuchMemory { .. } => true,
        _ => false,
    }
}
