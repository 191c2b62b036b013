//! Writes frames of a video as PNG files: `frames VIDEO FOLDER [COUNT] [MAX_SIDE]`.

#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::env;
use std::error::Error;
use std::path::PathBuf;

use deeptell_video::{Sampling, VideoReader};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let (Some(video), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: frames VIDEO FOLDER [COUNT] [MAX_SIDE]".into());
    };
    let mut number = || arguments.next().map(|text| text.to_string_lossy().parse::<u32>()).transpose();
    let count = number()?.unwrap_or(12);
    let mut options = VideoReader::options();
    if let Some(max_side) = number()? {
        options = options.max_side(max_side);
    }
    let mut reader = options.open(video)?;
    println!("{:#?}", reader.info());

    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    for (position, frame) in reader.sample(Sampling::Uniform(count as usize)).enumerate() {
        let frame = frame?;
        frame.image.save(folder.join(format!("{position:04}.png")))?;
        let repeated = if frame.repeats_previous { ", again" } else { "" };
        println!("{position:4}: {:.3} s, frame {:?}{repeated}", frame.pts_seconds, frame.index);
    }
    for warning in reader.warnings() {
        println!("warning: {warning:?}");
    }
    Ok(())
}
