//! Makes the sample data set that ships: short clips of public portraits, each person once real and once
//! manipulated.
//!
//! ```sh
//! python3 datasets/fetch_stills.py STILLS
//! cargo run --release -p deeptell-cli --example make_sample -- --stills STILLS --out datasets/sample
//! ```
//!
//! A still becomes a video by a hand-held camera: pan, zoom, turn, changing light and sensor noise. The manipulation
//! is blended into the still before the camera sees it, so it stays in place for the whole clip, and both clips of a
//! person are filmed and encoded alike: only the face tells them apart.

mod camera;
mod check;
mod portrait;
mod provenance;
mod stills;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use burn::tensor::Device;
use clap::Parser;
use deeptell_augment::{Blend, SelfBlend};
use deeptell_data::{Label, Sample, read_manifest, write_manifest};
use deeptell_face::RgbImage;
use deeptell_mtcnn::MtcnnConfig;
use deeptell_video::{VideoCodec, VideoWriter, WriterOptions};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::camera::{Camera, FRAME_SIDE};
use crate::check::faces_found;
use crate::portrait::{Portrait, Studio};
use crate::provenance::Clip;
use crate::stills::{Still, by_person};

/// The name of the data set in its manifest.
const DATASET: &str = "deeptell-sample";

/// People who get clips. The others lend their faces: once each, so that a swap ties no two clips together.
const PEOPLE: usize = 28;

/// Of the people with clips, every third is given another's face; the others are blended with themselves.
const SWAP_EVERY: usize = 3;

const FRAMES: u32 = 24;
const FRAMES_PER_SECOND: u32 = 12;

/// What the whole sample may weigh, in bytes.
const LARGEST: u64 = 8 << 20;

/// Make the sample data set from still portraits.
#[derive(Parser)]
struct Args {
    /// The folder that `datasets/fetch_stills.py` filled.
    #[arg(long, value_name = "DIR")]
    stills: PathBuf,
    /// The folder that receives `real`, `fake`, `manifest.jsonl` and `SOURCES.md`.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Decides every draw.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The streams of random numbers that one person's clips draw from, apart so that none shifts another.
#[derive(Clone, Copy)]
enum Draw {
    Portrait,
    Blend,
    RealCamera,
    FakeCamera,
}

fn rng(seed: u64, person: usize, draw: Draw) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(person as u64 * 8 + draw as u64);
    rng
}

#[expect(clippy::print_stdout, reason = "a generator prints what it made")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let studio = Studio::new(MtcnnConfig::default().min_face(40.0).init(&Device::flex())?);
    let people = by_person(stills::read(&args.stills)?);
    let mut portraits = Vec::new();
    for (index, stills) in people.iter().enumerate() {
        portraits.extend(studio.best_portrait(stills, || rng(args.seed, index, Draw::Portrait))?);
    }
    ensure!(
        portraits.len() >= PEOPLE + PEOPLE / SWAP_EVERY,
        "a face was found for {} people only: run datasets/fetch_stills.py again",
        portraits.len()
    );
    let mut donors = portraits.split_off(PEOPLE);

    remove_earlier_clips(&args.out)?;
    let mut clips = Vec::new();
    for (index, portrait) in portraits.iter().enumerate() {
        let mut blend_rng = rng(args.seed, index, Draw::Blend);
        let donor = if index % SWAP_EVERY == SWAP_EVERY - 1 {
            Some(donors.remove(portrait.most_alike(&donors).context("too few people lend their face")?))
        } else {
            None
        };
        let blend = manipulate(portrait, donor.as_ref(), &mut blend_rng)?;
        for (label, scene, draw) in
            [(Label::Real, &blend.real, Draw::RealCamera), (Label::Fake, &blend.image, Draw::FakeCamera)]
        {
            let folder = args.out.join(if label.is_fake() { "fake" } else { "real" });
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
            let path = folder.join(format!("{}.mp4", portrait.still.source));
            record(&path, scene, &mut rng(args.seed, index, draw))?;
            let faces = faces_found(&path, &studio.mtcnn)?;
            println!("{}: a face in {faces} of {} frames", path.display(), check::SAMPLED);
            clips.push(clip(path, label, &portrait.still, donor.as_ref().map(|it| &it.still)));
        }
    }
    let samples: Vec<Sample> = clips.iter().map(|clip| clip.sample.clone()).collect();
    write_manifest(args.out.join("manifest.jsonl"), &samples)?;
    provenance::write(&args.out.join("SOURCES.md"), &clips, args.seed)?;

    let bytes =
        samples.iter().map(|sample| Ok(fs::metadata(&sample.path)?.len())).sum::<anyhow::Result<u64>>()?;
    ensure!(
        bytes <= LARGEST,
        "the clips take {bytes} bytes, more than the {LARGEST} the repository is to carry"
    );
    println!("{} clips of {} people, {} KB", samples.len(), portraits.len(), bytes / 1000);
    Ok(())
}

/// Blends a face with itself or, where there is a donor, with the donor's: well visible, and not grotesque.
fn manipulate(portrait: &Portrait, donor: Option<&Portrait>, rng: &mut ChaCha8Rng) -> anyhow::Result<Blend> {
    let mut settings = SelfBlend::default();
    settings.ratios = vec![0.75, 1.0, 1.0];
    settings.mask_weights = [0.25, 0.35, 0.15, 0.15, 0.1, 0.0];
    let (scene, landmarks) = (&portrait.scene, &portrait.landmarks);
    let blend = match donor {
        Some(donor) => settings.swap(scene, landmarks, &donor.scene, &donor.landmarks, rng),
        None => settings.blend(scene, landmarks, rng),
    };
    blend.with_context(|| format!("the face of {} cannot be blended", portrait.still.source))
}

/// Films a scene and encodes what the camera saw.
fn record(path: &Path, scene: &RgbImage, rng: &mut ChaCha8Rng) -> anyhow::Result<()> {
    let codec = if VideoCodec::H264.is_available() { VideoCodec::H264 } else { VideoCodec::Mpeg4 };
    let options = WriterOptions::default().frames_per_second(FRAMES_PER_SECOND).codec(codec);
    let mut writer = VideoWriter::create(path, FRAME_SIDE, FRAME_SIDE, &options)?;
    let camera = Camera::draw(rng);
    for frame in 0..FRAMES {
        writer.write(&camera.film(scene, frame as f32 / FRAMES_PER_SECOND as f32, rng))?;
    }
    Ok(writer.finish()?)
}

/// What the manifest and the provenance say about one clip.
fn clip(path: PathBuf, label: Label, filmed: &Still, donor: Option<&Still>) -> Clip {
    let donor = donor.filter(|_| label.is_fake());
    let method = label.is_fake().then(|| if donor.is_some() { "face-swap" } else { "self-blend" }.to_owned());
    let stills: Vec<Still> = [filmed].into_iter().chain(donor).cloned().collect();
    let identities = stills.iter().map(|still| still.source.clone()).collect();
    let sample = Sample::new(path, label, &filmed.source)
        .method(method)
        .identities(identities)
        .dataset(Some(DATASET.to_owned()));
    Clip { sample, stills }
}

/// Removes the clips of an earlier run, and nothing else: those that its manifest lists.
fn remove_earlier_clips(out: &Path) -> anyhow::Result<()> {
    let manifest = out.join("manifest.jsonl");
    if !manifest.exists() {
        return Ok(());
    }
    for sample in read_manifest(&manifest)? {
        if sample.dataset.as_deref() == Some(DATASET) && sample.path.exists() {
            fs::remove_file(&sample.path).with_context(|| sample.path.display().to_string())?;
        }
    }
    Ok(())
}
