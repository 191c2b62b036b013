//! Kinds with numbers, written to JSON with the sentence that they are for people.

use std::fmt::Display;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// The fields of `T` and its sentence as `text`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}")]
pub(crate) struct Said<T> {
    #[serde(flatten)]
    kind: T,
    /// The same as an English sentence, for people.
    text: String,
}

impl<'a, T: Display> Said<&'a T> {
    pub(crate) fn of(kind: &'a T) -> Self {
        Self { text: kind.to_string(), kind }
    }
}

/// Writes each of `kinds` as [`Said`].
///
/// # Errors
/// Those of `serializer`.
pub(crate) fn serialize<T: Serialize + Display, S: Serializer>(
    kinds: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(kinds.iter().map(Said::of))
}
