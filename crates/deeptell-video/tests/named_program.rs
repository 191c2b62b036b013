//! A process that names the program which decodes for it, as a module of another program does.

#![cfg(unix)]

use deeptell_video::{
    DecoderProcess, IsolationError, Sampling, VideoCodec, VideoReader, VideoWriter, WriterOptions,
};
use image::{Rgb, RgbImage};

#[test]
fn a_named_program_is_started_as_the_decoder() {
    let before = DecoderProcess::this_program();
    assert!(matches!(before, Err(IsolationError::NotPrepared)), "{before:?}");
    DecoderProcess::new(env!("CARGO_BIN_EXE_deeptell-decoder")).set_this_program();
    DecoderProcess::new("no-such-program").set_this_program();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.avi");
    let options = WriterOptions::default().codec(VideoCodec::Mpeg4);
    let mut writer = VideoWriter::create(&path, 64, 48, &options).unwrap();
    for step in 0..4 {
        writer.write(&RgbImage::from_pixel(64, 48, Rgb([step * 60; 3]))).unwrap();
    }
    writer.finish().unwrap();
    let decoder = DecoderProcess::this_program().unwrap();
    let mut reader = VideoReader::options().isolated_by(&decoder).open(&path).unwrap();
    assert_eq!(reader.sample(Sampling::Uniform(2)).map(Result::unwrap).count(), 2);
    assert!(decoder.confinement().is_ok(), "it is the first one that decodes, in a process of its own");
}
