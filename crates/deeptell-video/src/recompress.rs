//! One picture through a video codec and back, in memory.

use ff::codec::{self, decoder, threading};
use ff::{Packet, encoder, frame};
use ffmpeg_next as ff;
use image::RgbImage;

use crate::pixels::{FromRgb, ToRgb};
use crate::writer::{Opened, check_picture, open_encoder, set_quality};
use crate::{VideoCodec, VideoError, WriterOptions};

/// Compresses a picture as the only frame of a video and decodes it again.
///
/// `quality` is that of [`WriterOptions::quality`]: for H.264 the constant rate factor, 0 to 51,
/// lower is better. A keyframe loses less than the frames between keyframes at the same setting.
/// The size stays; colors go through 4:2:0 (4:4:4 for H.264 with an odd side). The same picture
/// and setting give the same result on the same machine and FFmpeg.
///
/// ```
/// use deeptell_video::{VideoCodec, recompress};
/// use image::{Rgb, RgbImage};
///
/// let picture = RgbImage::from_fn(64, 48, |x, y| Rgb([(x * y) as u8, (x * 4) as u8, 90]));
/// let coarse = recompress(&picture, VideoCodec::Mpeg4, 31)?;
/// assert_eq!(coarse.dimensions(), (64, 48));
/// assert_ne!(coarse, picture);
/// # Ok::<(), deeptell_video::VideoError>(())
/// ```
///
/// # Errors
/// [`VideoError::Recompress`] when the size or the quality is none that the codec takes, or FFmpeg
/// fails; [`VideoError::NoEncoder`] when FFmpeg lacks the encoder.
pub fn recompress(image: &RgbImage, codec: VideoCodec, quality: u8) -> Result<RgbImage, VideoError> {
    crate::local::prepare_ffmpeg();
    let (width, height) = image.dimensions();
    let options = WriterOptions {
        codec,
        quality: Some(quality),
        keyframe_interval: 1,
        b_frames: false,
        ..WriterOptions::default()
    };
    check_picture(width, height, &options).map_err(|detail| VideoError::Recompress { detail })?;
    let name = codec.encoder();
    let encoder = encoder::find_by_name(name).ok_or(VideoError::NoEncoder { encoder: name })?;
    through(image, encoder, &options).map_err(|error| VideoError::Recompress { detail: error.to_string() })
}

fn through(image: &RgbImage, codec: ff::Codec, options: &WriterOptions) -> Result<RgbImage, ff::Error> {
    let (width, height) = image.dimensions();
    let Opened { mut encoder, format, quantizer } = open_encoder(codec, width, height, options, false)?;
    let mut picture = FromRgb::new(width, height, format)?.convert(image)?;
    picture.set_pts(Some(0));
    if let Some(quantizer) = quantizer {
        set_quality(&mut picture, quantizer);
    }
    encoder.send_frame(&picture)?;
    encoder.send_eof()?;

    let codec = decoder::find(codec.id()).ok_or(ff::Error::DecoderNotFound)?;
    let mut context = codec::Context::new_with_codec(codec);
    context.set_threading(threading::Config::count(1));
    let mut decoder = context.decoder().open_as(codec)?.video()?;
    let mut packet = Packet::empty();
    loop {
        match encoder.receive_packet(&mut packet) {
            Ok(()) => decoder.send_packet(&packet)?,
            Err(ff::Error::Eof) => break,
            Err(error) => return Err(error),
        }
    }
    decoder.send_eof()?;
    let mut decoded = frame::Video::empty();
    decoder.receive_frame(&mut decoded)?;
    ToRgb::new(None).convert(&decoded)
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([(x * 71 + y * 131 + x * y * 17) as u8 / 4 + 90, (x * 3) as u8, (y * 5) as u8])
        })
    }

    fn distance(a: &RgbImage, b: &RgbImage) -> f64 {
        let sum: u64 = a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / a.len() as f64
    }

    #[test]
    fn recompression_is_deterministic_and_grows_with_its_strength() {
        for (codec, qualities) in [(VideoCodec::H264, [10, 28, 40]), (VideoCodec::Mpeg4, [2, 8, 31])] {
            for size in [(64, 48), (65, 33), (224, 224)] {
                let original = picture(size.0, size.1);
                let run = |quality| recompress(&original, codec, quality).unwrap();
                let distances = qualities.map(|quality| distance(&run(quality), &original));
                assert!(
                    distances[0] < distances[1] && distances[1] < distances[2],
                    "{codec:?}: {distances:?}"
                );
                assert_eq!(run(qualities[1]), run(qualities[1]));
                assert_eq!(run(qualities[1]).dimensions(), size);
            }
        }
    }

    #[test]
    fn sizes_that_no_codec_takes_are_refused() {
        for (size, quality) in [((1, 1), 23), ((0, 0), 23), ((64, 64), 52)] {
            let failed = recompress(&picture(size.0, size.1), VideoCodec::H264, quality);
            assert!(matches!(failed, Err(VideoError::Recompress { .. })), "{size:?} {quality}");
        }
    }
}
