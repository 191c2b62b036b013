//! The metrics against scikit-learn, against linfa, and against what must hold of them for any input.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod goldens;
mod linfa_oracle;
mod properties;
