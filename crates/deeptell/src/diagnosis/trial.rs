//! Decodes a small video in a separate process and inspects that process.

use std::path::Path;

use deeptell_video::{DecoderProcess, Limits, Media, Sampling, VideoReader};

use super::Sandbox;
use crate::file::unnamed_file;
use crate::{Error, InputError};

/// Eight gray pictures, ever brighter, in H.264: not every FFmpeg can write a video, but each must read this one.
const CLIP: &[u8] = include_bytes!("clip.mp4");
/// What errors call it.
const NAME: &str = "the test video";

/// Decodes [`CLIP`], and reads the status of the process that does it.
pub(super) fn decode_clip() -> Result<Sandbox, Error> {
    let fail = |source: InputError| Error::input(NAME, source);
    let file = unnamed_file(CLIP).map_err(|e| fail(InputError::NoMemory(e)))?;
    let decoder = DecoderProcess::this_program()?;
    let options = VideoReader::options().limits(Limits::untrusted()).isolated_by(&decoder);
    let media = options.media_from_file(file, Path::new(NAME)).map_err(|e| fail(e.into()))?;
    let Media::Video(mut reader) = media else { return Err(fail(InputError::NoFrames)) };
    let mut frames = reader.sample(Sampling::Uniform(2));
    frames.next().ok_or_else(|| fail(InputError::NoFrames))?.map_err(|e| fail(e.into()))?;
    // The process lives as long as the frames that are still to come.
    let status = worker_status();
    Ok(Sandbox {
        decodes: true,
        filters_calls: field(&status, "Seccomp:") == Some("2"),
        no_new_privileges: field(&status, "NoNewPrivs:") == Some("1"),
        no_capabilities: field(&status, "CapEff:").is_some_and(|set| set.chars().all(|c| c == '0')),
    })
}

/// The `/proc` status of the decoder, a grandchild of this process; empty if there is none.
fn worker_status() -> String {
    let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<String> =
        folders.filter_map(|entry| std::fs::read_to_string(entry.path().join("status")).ok()).collect();
    let children = |parent: &str| -> Vec<&String> {
        all.iter().filter(|status| field(status, "PPid:") == Some(parent)).collect()
    };
    let launchers = children(&std::process::id().to_string());
    let worker = launchers.iter().filter_map(|launcher| field(launcher, "Pid:")).flat_map(children).next();
    worker.cloned().unwrap_or_default()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}
