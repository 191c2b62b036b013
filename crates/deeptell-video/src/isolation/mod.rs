//! Decoding in processes that can do nothing else.
//!
//! The parent's side is `process`, `reader` and `picture`; the child's is `server`, which forks, and `worker`,
//! which decodes. Both sides speak `wire` and share `pixels`. `privileges` is what the server gives up once,
//! `sandbox` what each worker gives up before it sees a byte, and `probe` tries whether that holds.

mod picture;
mod pixels;
mod privileges;
mod probe;
mod process;
mod reader;
mod sandbox;
mod server;
mod wire;
mod worker;

pub(crate) use picture::read_picture_isolated;
pub use privileges::Confinement;
pub use probe::{CallOutcome, ForbiddenCall};
pub use process::DecoderProcess;
pub(crate) use reader::{RemoteFrames, RemoteReader};
pub(crate) use server::serve_as_program;
pub use server::{serve_decoding, serve_decoding_strictly};

/// Reads messages of the decoding process and its parent from bytes: for fuzzing.
#[doc(hidden)]
pub fn read_messages(bytes: &[u8]) {
    wire::read_messages(bytes);
}
