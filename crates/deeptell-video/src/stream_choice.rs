//! Which stream of a container is sampled.

use ff::format::context::Input;
use ff::format::stream::Disposition;
use ff::{codec, media};
use ffmpeg_next as ff;

use crate::container::{max_pixels, picture_size};
use crate::guard::Guard;
use crate::{Limits, StreamLabel, Unsupported, VideoError};

/// A stream whose pictures have less than this fraction of the area of the largest (one divided by it) is a thumbnail.
const THUMBNAIL_SHARE: u64 = 16;

/// A video stream that may be sampled.
struct Candidate {
    label: StreamLabel,
    is_default: bool,
    is_decodable: bool,
    /// The codec is decoded in trusted files.
    is_trusted: bool,
}

impl Candidate {
    fn area(&self) -> u64 {
        u64::from(self.label.width) * u64::from(self.label.height)
    }
}

/// The stream to sample: the one that is `wanted`, or else of those that can be decoded the one marked
/// as default, which players show; of several, or where none is marked, the one with the largest
/// pictures. Gives its number and the other video streams. Cover art does not count, and the mark of a
/// thumbnail says nothing.
///
/// A picture beyond the limit is not decoded, and its size may be known only from the header, which
/// `declared` gives for each stream.
pub(crate) fn choose_stream(
    input: &Input,
    declared: &[(u32, u32)],
    guard: &Guard,
    limits: &Limits,
    wanted: Option<u32>,
) -> Result<(usize, Vec<StreamLabel>), VideoError> {
    let mut candidates = Vec::new();
    for stream in input.streams() {
        if stream.parameters().medium() != media::Type::Video
            || stream.disposition().contains(Disposition::ATTACHED_PIC)
        {
            continue;
        }
        let id = stream.parameters().id();
        let decoder = codec::decoder::find(id);
        let is_among = |allowed: &[String]| {
            decoder.as_ref().is_some_and(|decoder| allowed.iter().any(|allowed| allowed == decoder.name()))
        };
        let (width, height) = match picture_size(&stream) {
            (0, _) | (_, 0) => declared.get(stream.index()).copied().unwrap_or_default(),
            size => size,
        };
        candidates.push(Candidate {
            label: StreamLabel { index: stream.index() as u32, codec: id.name().to_owned(), width, height },
            is_default: stream.disposition().contains(Disposition::DEFAULT),
            is_decodable: is_among(&limits.codecs),
            is_trusted: is_among(&Limits::default().codecs),
        });
    }
    let largest =
        candidates.iter().filter(|one| one.is_decodable).map(Candidate::area).max().unwrap_or_default();
    let rank = |candidate: &Candidate| {
        let is_shown = candidate.is_default && candidate.area() >= largest / THUMBNAIL_SHARE;
        (candidate.is_decodable, is_shown, candidate.area())
    };
    let best = match wanted {
        Some(wanted) => candidates.iter().position(|candidate| candidate.label.index == wanted),
        // The first of equals.
        None => (0..candidates.len()).rev().max_by_key(|&number| rank(&candidates[number])),
    };
    let Some(best) = best else {
        let path = guard.path();
        return Err(match wanted {
            Some(stream) if !candidates.is_empty() => {
                let streams = candidates.iter().map(|candidate| candidate.label.index).collect();
                VideoError::NoSuchStream { path, stream, streams }
            }
            _ => VideoError::NoVideo { path },
        });
    };
    let chosen = candidates.remove(best);
    if !chosen.is_decodable {
        let reason = Unsupported::Codec { name: chosen.label.codec, is_trusted: chosen.is_trusted };
        return Err(VideoError::Unsupported { path: guard.path(), reason });
    }
    if chosen.area() > max_pixels(limits) {
        let StreamLabel { width, height, .. } = chosen.label;
        let max_pixels = limits.max_pixels;
        return Err(VideoError::TooLarge { path: guard.path(), width, height, max_pixels });
    }
    let others = candidates.into_iter().map(|candidate| candidate.label).collect();
    Ok((chosen.label.index as usize, others))
}
