/// Why a picture cannot be augmented or blended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AugmentError {
    /// The settings of an augmentation or a blend are out of range.
    #[error("{field}: {reason}")]
    InvalidSetting {
        /// Name of the field.
        field: &'static str,
        /// What it must be.
        reason: String,
    },
    /// No mask can be fitted to the landmarks.
    #[error("landmarks do not fit a face: {reason}; leave this sample out or detect the face again")]
    DegenerateLandmarks {
        /// What is wrong with them.
        reason: String,
    },
}
