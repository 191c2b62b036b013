//! A process that decodes one file: it locks itself in, decodes and answers.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use deeptell_face::Picture;
#[cfg(target_os = "linux")]
use rustix::process::Signal;

use super::pixels::{MappedPixels, TAKEN};
use super::privileges::{Confinement, describe};
use super::sandbox::{self, Baseline, Bounds, OnForbidden};
use super::wire::{self, Failure, FrameHead, PictureHead, Reply, Request};
use crate::decoder::limit_allocations;
use crate::frames::Timing;
use crate::local::DecodeOptions;
use crate::local_source::{LocalSource, LocalSourceFrames};
use crate::media::PictureJob;
use crate::{Sampling, VideoError, Warning};

/// What a worker gets.
pub(super) struct Descriptors {
    pub(super) file: OwnedFd,
    pub(super) channel: OwnedFd,
    pub(super) pixels: Option<OwnedFd>,
}

/// What a worker knows of the server that forked it.
pub(super) struct Origin {
    pub(super) baseline: Baseline,
    pub(super) on_forbidden: OnForbidden,
    pub(super) confinement: Confinement,
}

/// A worker's life; its exit code.
pub(super) fn work(descriptors: Descriptors, origin: &Origin) -> i32 {
    // A worker whose server was killed has nobody to end it.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let worked = std::panic::catch_unwind(|| answer(descriptors, origin));
    match worked {
        Ok(Ok(())) => 0,
        Ok(Err(_)) => 1,
        Err(_) => 101,
    }
}

fn answer(descriptors: Descriptors, origin: &Origin) -> io::Result<()> {
    let file = File::from(descriptors.file);
    let mut channel = File::from(descriptors.channel);
    let request: Request = wire::receive(&mut channel)?;
    let shared = descriptors.pixels.as_ref().map(MappedPixels::map).transpose()?;
    let shared_bytes = shared.as_ref().map_or(0, MappedPixels::length) as u64;
    let bounds = match &request {
        Request::Video(decode) => Bounds::of_video(&decode.limits, origin.baseline, shared_bytes),
        Request::Picture(decode) => Some(Bounds::of_picture(decode, origin.baseline, shared_bytes)),
        Request::Attempt(_) | Request::Describe => Some(Bounds::of_probe(origin.baseline)),
    };
    let Some(bounds) = bounds else {
        return wire::send(&mut channel, &Reply::Failed(Failure::OutOfMemory));
    };
    if let Err(error) = sandbox::enter(bounds, origin.on_forbidden) {
        let detail = format!("the decoding process cannot lock itself in: {error}");
        let error = VideoError::Decoder { path: "".into(), detail };
        return wire::send(&mut channel, &Reply::Failed(error.into()));
    }
    if let Request::Video(decode) = &request {
        limit_allocations(&decode.limits);
    }
    let pixels = Pixels { shared, is_full: false };
    match request {
        Request::Video(decode) => sample(file, &decode, channel, pixels),
        Request::Picture(decode) => decode_picture(&file, &decode, channel, pixels),
        Request::Attempt(call) => {
            let error = call.attempt();
            wire::send(&mut channel, &Reply::Attempted(error))
        }
        Request::Describe => wire::send(&mut channel, &Reply::Described(describe(&origin.confinement))),
    }
}

fn decode_picture(file: &File, decode: &PictureJob, mut channel: File, mut pixels: Pixels) -> io::Result<()> {
    let Picture { image, full_size, format, trailing, .. } = match decode.read(file, Path::new("(open file)"))
    {
        Ok(picture) => picture,
        Err(error) => return wire::send(&mut channel, &Reply::Failed(error.into())),
    };
    let (width, height) = image.dimensions();
    let is_shared = pixels.place(&image);
    let head = PictureHead { width, height, full_size, format, trailing, is_shared };
    wire::send(&mut channel, &Reply::Picture(head))?;
    if is_shared {
        return pixels.wait_until_taken(&mut channel);
    }
    channel.write_all(&image)
}

fn sample(file: File, decode: &DecodeOptions, mut channel: File, mut pixels: Pixels) -> io::Result<()> {
    let mut reader = match LocalSource::open(file, Path::new("(open file)"), decode) {
        Ok(reader) => reader,
        Err(error) => return wire::send(&mut channel, &Reply::Failed(error.into())),
    };
    let opened = Reply::Opened { info: reader.info().clone(), warnings: reader.warnings().to_vec() };
    wire::send(&mut channel, &opened)?;
    let mut reported = reader.warnings().to_vec();
    loop {
        let sampling: Sampling = match wire::receive(&mut channel) {
            Ok(sampling) => sampling,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut frames = reader.sample(sampling);
        let mut ending = Reply::End;
        while let Some(timing) = frames.advance() {
            report(&mut channel, &frames, &mut reported)?;
            let sent = match timing {
                Ok(timing) => pixels.send(&mut channel, &mut frames, timing)?,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                ending = Reply::Failed(error.into());
            }
        }
        report(&mut channel, &frames, &mut reported)?;
        wire::send(&mut channel, &ending)?;
        pixels.wait_until_taken(&mut channel)?;
    }
}

/// The way of pixels to the parent: shared memory, or else the channel.
struct Pixels {
    shared: Option<MappedPixels>,
    /// The parent has not yet taken the last frame out of the shared memory.
    is_full: bool,
}

impl Pixels {
    /// Converts and sends the frame that `frames` came to.
    fn send(
        &mut self,
        channel: &mut File,
        frames: &mut LocalSourceFrames<'_>,
        timing: Timing,
    ) -> io::Result<Result<(), VideoError>> {
        self.wait_until_taken(channel)?;
        let placed = self.shared.as_mut().map_or(Ok(None), |pixels| frames.image_into(pixels.bytes()));
        let image = match placed {
            Ok(Some(size)) => {
                self.is_full = true;
                return wire::send(channel, &Reply::Frame(FrameHead::new(timing, size, true))).map(Ok);
            }
            Ok(None) => frames.image(),
            Err(error) => Err(error),
        };
        let image = match image {
            Ok(image) => image,
            Err(error) => return Ok(Err(error)),
        };
        wire::send(channel, &Reply::Frame(FrameHead::new(timing, image.dimensions(), false)))?;
        channel.write_all(&image).map(Ok)
    }

    /// Copies a picture into the shared memory, if it fits.
    fn place(&mut self, image: &[u8]) -> bool {
        let target = self.shared.as_mut().and_then(|pixels| pixels.bytes().get_mut(..image.len()));
        self.is_full = target.is_some();
        if let Some(target) = target {
            target.write_copy_of_slice(image);
        }
        self.is_full
    }

    fn wait_until_taken(&mut self, channel: &mut File) -> io::Result<()> {
        if std::mem::take(&mut self.is_full) {
            let mut answer = [0];
            channel.read_exact(&mut answer)?;
            if answer != [TAKEN] {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(())
    }
}

/// Passes on new warnings.
fn report(channel: &mut File, frames: &LocalSourceFrames<'_>, reported: &mut Vec<Warning>) -> io::Result<()> {
    let warnings = frames.warnings();
    if warnings != reported {
        *reported = warnings.to_vec();
        wire::send(channel, &Reply::Warnings(reported.clone()))?;
    }
    Ok(())
}
