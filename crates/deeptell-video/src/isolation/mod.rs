//! Decoding in processes that can do nothing else.
//!
//! The parent's side is `process` and `reader`, the child's `server` and `worker`; both sides speak `wire` and
//! share `pixels`; `sandbox` is what the child may still do.

mod pixels;
mod process;
mod sandbox;
mod server;
mod wire;

pub use process::DecoderProcess;
pub(crate) use process::{RemoteFrames, RemoteReader};
pub use server::{serve_decoding, serve_decoding_strictly};
