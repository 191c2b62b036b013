//! The three stages and what goes from one to the next.

pub(crate) mod candidate;
mod canvas;
pub(crate) mod crops;
pub(crate) mod largest;
mod proposal;
pub(crate) mod pyramid;
pub(crate) mod resample;
pub(crate) mod rotation;

pub use candidate::Candidate;
pub use pyramid::{Level, pyramid};
pub use resample::{Window, resample};
