//! SHA-256 in hexadecimal.

pub(crate) use deeptell_files::sha256;
