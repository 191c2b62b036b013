//! A digest of each frame of the given files, whole and at most 160 pixels wide: to compare what two builds decode.
//!
//! ```text
//! cargo run -p deeptell-video --example frame_digests -- clip.mp4 ...
//! ```
//!
//! One line for each frame: the file, the size asked for, the number of the frame, its time and the SHA-256 of its
//! pixels. A file that cannot be decoded has one line with the error.

#![expect(clippy::print_stdout, reason = "this program is its output")]

use std::path::Path;

use deeptell_video::{Limits, Media, Sampling, VideoError, VideoReader};
use sha2::{Digest, Sha256};

fn main() {
    for file in std::env::args_os().skip(1) {
        let file = Path::new(&file);
        for side in [None, Some(160)] {
            if let Err(error) = print_digests(file, side) {
                println!("{} {} error: {error}", file.display(), name_of(side));
            }
        }
    }
}

fn name_of(side: Option<u32>) -> String {
    side.map_or("whole".to_owned(), |side| side.to_string())
}

fn print_digests(file: &Path, side: Option<u32>) -> Result<(), VideoError> {
    let mut options = VideoReader::options().limits(Limits::untrusted()).every_frame();
    if let Some(side) = side {
        options = options.max_side(side);
    }
    let print = |number: u64, seconds: f64, pixels: &[u8]| {
        let hex = |text: String, byte: &u8| format!("{text}{byte:02x}");
        let digest = Sha256::digest(pixels).iter().fold(String::new(), hex);
        println!("{} {} {number} {seconds:.6} {digest}", file.display(), name_of(side));
    };
    match options.open_media(file)? {
        Media::Picture(picture) => print(0, 0.0, picture.image.as_raw()),
        Media::Video(mut reader) => {
            for (number, frame) in (0..).zip(reader.sample(Sampling::EveryFrame)) {
                let frame = frame?;
                print(number, frame.pts_seconds, frame.image.as_raw());
            }
        }
        other => println!("{} {} error: no frames in {other:?}", file.display(), name_of(side)),
    }
    Ok(())
}
