use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use deeptell_data::scan_dataset;
use deeptell_extract::{
    Event, OUTPUT_FILES, Redo, SettingsArgs, Store, StoreContext, Summary, folder_of_shard, root_of,
};
use deeptell_files::check_outputs;

use crate::dataset::{Dataset, DatasetArgs};
use crate::device::DeviceName;
use crate::face_detector::{FaceDetectorName, face_detector};
use crate::output::{note, say};
use crate::progress::Progress;
use crate::task::TaskArgs;
use crate::{Outcome, interrupt, output};

/// Cut face crops for training out of a data set of videos or pictures.
///
/// Writes the crops and a manifest that says where each came from: video, time, box, landmarks. Run
/// the command again to resume after an interruption: finished files are kept, and failed ones are
/// tried again. Ctrl-C and SIGTERM end it after the files under way, with exit code 130. A file that
/// cannot be read, or shows no face, becomes a row of `failures.jsonl` and does not stop the run.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell extract dataset/ -o crops
  deeptell extract videos.jsonl -o crops --frames 20 --scale 1.3
  deeptell extract dataset/ -o 'parts/{shard}' --shard-index auto --shards 64
  deeptell extract dataset/ -o crops --store tar         # a few archives, not many small files
  deeptell extract loose/ -o found --in-place box        # keeps the pictures; training crops them
  deeptell extract faces/ -o found --in-place landmarks  # keeps face crops whole, for blending

The third is for the tasks of an array, which a scheduler runs on several machines; `merge` combines
the parts. A task that was interrupted is run again, and resumes.

Layouts that deeptell knows: folders real/ and fake/, Celeb-DF, FaceForensics++, DFDC,
DeepfakeBench, and tables of crops.")]
pub(crate) struct Args {
    /// Manifest of videos or pictures, or data set folder in a layout that deeptell knows.
    data: PathBuf,
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Folder for the crops, `manifest.jsonl` and `failures.jsonl`; `{shard}` stands for the index of the
    /// shard, from 0.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Face detector. Train and calibrate a model on the crops of one only.
    #[arg(long, value_enum, default_value_t, value_name = "NAME")]
    face_detector: FaceDetectorName,
    /// Turn off the protection against malicious files; only for files whose origin you trust.
    ///
    /// Lifts the limits on formats, sizes and decoding time, and decodes in this process instead of a
    /// sandboxed one.
    #[arg(long)]
    trusted: bool,
    /// Of the files that failed in an earlier run, try only those again that failed for these reasons: all,
    /// none, or some of no-face, unreadable, unsupported, limit, damaged, killed, output, other.
    #[arg(long, value_name = "REASON,...", default_value = "all", hide_default_value = true)]
    redo: Redo,
    /// Device to compute on.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
    #[command(flatten, next_help_heading = "Several machines")]
    task: TaskArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let shard = args.task.begin()?;
    let out = folder_of_shard(&args.task.shard, &args.out, shard)?;
    check_outputs(OUTPUT_FILES.map(|name| out.join(name)), [&args.data])?;
    let settings = args.settings.settings(shard);
    let device = args.device.open()?;
    let detector = face_detector(args.face_detector, settings.min_face, &device)?;
    let root = root_of(&args.data);
    let found = scan_dataset(&args.data)?;
    let mut unreadable = found.unreadable.clone();
    let Dataset { mut samples, .. } = args.dataset.take(found)?;
    if let Some(shard) = shard {
        samples.retain(|sample| shard.takes(root, &sample.path));
        unreadable.retain(|it| shard.takes(root, &it.path));
    }
    let videos = crate::isolation::reading(settings.stream, args.trusted)?;
    let context = StoreContext::new(&*detector, videos).tar_bytes(args.settings.tar_bytes());
    let store = Store::open(&out, root, settings, context)?.redo(args.redo.clone());

    let kept = AtomicUsize::new(0);
    let progress = std::sync::OnceLock::new();
    let bar = |waiting| progress.get_or_init(|| Progress::new("extracting", waiting, "files"));
    let summary = store.run(&samples, interrupt::flag(), |event| match event {
        Event::Kept { failures } => {
            note!("{failures} files failed in an earlier run and are not tried again");
            kept.store(failures, Ordering::Relaxed);
        }
        Event::Started { waiting, inputs } => {
            let done = inputs - waiting - kept.load(Ordering::Relaxed);
            if done > 0 {
                note!("{done} of {inputs} files are already done");
            }
            bar(waiting);
        }
        Event::Done { sample } => {
            let path = sample.path.display().to_string();
            bar(0).add(1, &path);
            bar(0).detail(&format!("done: {path}"));
        }
        Event::Failed { sample, error } => {
            let path = sample.path.display();
            let progress = bar(0);
            progress.add(1, &path.to_string());
            progress
                .warn(&format!("failed: {}", output::about(&sample.path, &output::one_line(&error.into()))));
        }
        _ => {}
    })?;
    bar(0).finish();
    let Some(Summary { crops, failures, .. }) = summary else { return Ok(Outcome::Interrupted) };
    say!(
        "{crops} crops from {} of {} files; manifest: {}",
        samples.len() - failures,
        samples.len(),
        out.join("manifest.jsonl").display()
    );
    if failures > 0 {
        let files = if failures == 1 { "file" } else { "files" };
        say!("{failures} {files} failed; see {}", out.join("failures.jsonl").display());
    }
    Ok(args.task.outcome(failures + unreadable.len(), samples.len() + unreadable.len()))
}
