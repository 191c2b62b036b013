//! Files of long-running programs.
//!
//! - [`read_bounded`], [`read_text_bounded`]: files of unknown size, up to a limit.
//! - [`write_whole`] and [`WholeFile`]: atomic writes.
//! - [`sha256`], [`sha256_of_reader`], [`sha256_of_file`], [`sha256_while`]: digests in hexadecimal.
//! - [`check_outputs`]: no input is overwritten.
//! - [`error_chain`]: an error and its causes on one line.
//! - [`name_below`], [`stem`]: path names that are the same on every machine.
//! - [`serialize_path`], [`serialize_optional_path`]: path names in documents, whatever bytes they have.
//! - [`ByteWindow`]: a file read by positions.
//! - [`FolderLock`]: a folder that one process works in at a time.
//!
//! ```
//! use deeptell_files::{sha256, sha256_of_file, write_whole};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("results/figures.json");
//! write_whole(&path, b"{}")?;
//! assert_eq!(sha256_of_file(&path)?, sha256(b"{}"));
//! # Ok::<(), std::io::Error>(())
//! ```

mod bounded;
mod causes;
mod digest;
mod lock;
mod name;
mod outputs;
mod whole;
mod window;

pub use bounded::{is_same_file, line_at, read_bounded, read_text_bounded, regular_file_size};
pub use causes::error_chain;
pub use digest::{hexadecimal, sha256, sha256_of_file, sha256_of_reader, sha256_while};
pub use lock::{FolderLock, LockError, is_at};
pub use name::{name_below, serialize_optional_path, serialize_path, stem};
pub use outputs::{OverwritesInput, check_outputs};
pub use whole::{WholeFile, remove_leftovers, write_whole};
pub use window::ByteWindow;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
