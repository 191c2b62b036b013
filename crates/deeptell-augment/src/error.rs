/// Why a picture cannot be augmented or blended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AugmentError {
    /// A setting of an augmentation or a blend is out of its range.
    #[error("{field}: {reason}")]
    InvalidSetting {
        /// Name of the field.
        field: &'static str,
        /// What it must be.
        reason: String,
    },
    /// The landmarks do not form a face to which a mask can be fitted.
    #[error("landmarks do not fit a face: {reason}; remove this sample, or detect the face again")]
    DegenerateLandmarks {
        /// What is wrong with them.
        reason: String,
    },
}
