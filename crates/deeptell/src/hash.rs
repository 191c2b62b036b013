//! SHA-256 in hexadecimal.

pub(crate) use deeptell_files::{sha256, sha256_of_reader as sha256_of};
