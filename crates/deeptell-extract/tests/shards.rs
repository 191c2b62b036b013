//! Shards of a data set: how far they are, and their combination.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use deeptell_data::{Sample, Split, read_dataset, write_manifest};
use deeptell_extract::{
    Event, ExtractError, FailureReason, Settings, Shard, ShardChoice, ShardState, Status, Store,
    StoreContext, TaskIndex, finished_manifests, folder_of_shard, merge,
};
use deeptell_face::{Face, FaceDetectorFn, Rect, RgbImage};
use deeptell_files::name_below;
use deeptell_video::VideoReader;

type Middle = FaceDetectorFn<fn(&RgbImage) -> Vec<Face>>;

/// Takes the middle of every image that is not black for a face.
static MIDDLE: LazyLock<Middle> = LazyLock::new(|| {
    FaceDetectorFn::new("middle", |image| {
        let whole = Rect::new(0.0, 0.0, image.width() as f32, image.height() as f32);
        let is_black = image.as_raw().iter().all(|value| *value == 0);
        if is_black { Vec::new() } else { vec![Face::frontal(whole.scaled(0.5), 1.0)] }
    })
});

const SHARDS: u64 = 3;

/// A data set of pictures, of which two show no face.
struct Set {
    folder: tempfile::TempDir,
    samples: Vec<Sample>,
}

impl Set {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..12_u8 {
            let label = if number % 2 == 0 { "real" } else { "fake" };
            let path = folder.path().join(format!("set/{label}/{number}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let value = if number < 2 { 0 } else { 20 * number };
            RgbImage::from_pixel(64, 64, image::Rgb([value; 3])).save(path).unwrap();
        }
        let samples = read_dataset(folder.path().join("set")).unwrap();
        Self { folder, samples }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> (&[Sample], PathBuf) {
        (&self.samples, self.at("set"))
    }

    fn status(&self, folder: &str) -> Status {
        let (samples, root) = self.data();
        Status::read(&self.at(folder), Some((samples, &root))).unwrap()
    }

    fn store(&self, folder: &str, shard: Option<Shard>) -> Store<'static> {
        self.open(folder, shard).unwrap()
    }

    fn open(&self, folder: &str, shard: Option<Shard>) -> Result<Store<'static>, ExtractError> {
        let mut settings = Settings::default();
        settings.crop.size = 32;
        (settings.frames, settings.min_face, settings.min_probability, settings.shard) =
            (1, 20.0, 0.5, shard);
        let context = StoreContext::new(&*MIDDLE, VideoReader::options()).tar_bytes(1 << 20);
        Store::open(&self.at(folder), &self.at("set"), settings, context)
    }

    /// Extracts a shard, or the first file of it.
    fn extract(&self, folder: &str, shard: Option<Shard>, only_first: bool) {
        let store = self.store(folder, shard);
        let root = self.at("set");
        let takes = |sample: &&Sample| shard.is_none_or(|shard| shard.takes(&root, &sample.path));
        let mine: Vec<Sample> = self.samples.iter().filter(takes).cloned().collect();
        let stop = AtomicBool::new(false);
        let first = if only_first { &mine[..1] } else { &mine[..] };
        let summary = store.run(first, &stop, |event| {
            if only_first && matches!(event, Event::Done { .. } | Event::Failed { .. }) {
                stop.store(true, Ordering::Relaxed);
            }
        });
        assert_eq!(summary.unwrap().is_none(), only_first);
    }

    fn shard(&self, part: u64, only_first: bool) {
        self.extract(&format!("parts/{part}"), Some(Shard { part, count: SHARDS }), only_first);
    }
}

fn states(status: &Status) -> Vec<ShardState> {
    status.shards.iter().map(|shard| shard.state).collect()
}

#[test]
fn status_says_what_is_missing_and_how_to_finish_it() {
    let set = Set::new();
    set.shard(2, false);
    let status = set.status("parts");
    assert_eq!(states(&status), [ShardState::NotBegun, ShardState::NotBegun, ShardState::Finished]);
    assert_eq!((status.resubmit.as_str(), status.is_finished, status.count), ("0-1", false, Some(3)));

    set.shard(0, true);
    let store = set.store("parts/1", Some(Shard { part: 1, count: SHARDS }));
    let status = set.status("parts");
    assert_eq!(states(&status), [ShardState::Unfinished, ShardState::Running, ShardState::Finished]);
    assert_eq!(status.resubmit, "0", "what is running is not submitted again");
    let tried =
        |shard: usize| status.shards[shard].done + status.shards[shard].failed.values().sum::<usize>();
    assert_eq!((tried(0), tried(1)), (1, 0));
    assert_eq!(status.waiting.unwrap() + (0..3).map(tried).sum::<usize>(), 12);
    let said = status.to_string();
    for part in [
        "3 shards: 1 finished, 1 running, 1 unfinished",
        "shard 0: unfinished",
        "shard 1: running",
        "--array=0 for Slurm",
        "--shard-index 0 --shards 3 by hand",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    drop(store);
    set.shard(0, false);
    set.shard(1, false);
    let status = set.status("parts");
    assert!(status.is_finished && status.advice().is_empty(), "{status}");
    assert_eq!((status.done, status.waiting), (10, Some(0)));
    assert_eq!(status.failed, [(FailureReason::NoFace, 2)].into());
    assert!(status.to_string().contains("files: 10 done, 2 failed (2 no-face), 0 waiting"), "{status}");
    assert_eq!(set.status("parts/1").shards.len(), 1, "a shard alone");

    // A data set that grew.
    std::fs::copy(set.at("set/real/2.png"), set.at("set/real/new.png")).unwrap();
    let grown = read_dataset(set.at("set")).unwrap();
    let status = Status::read(&set.at("parts"), Some((&grown, &set.at("set")))).unwrap();
    assert_eq!((status.is_finished, status.waiting), (false, Some(1)));
    assert!(Status::read(&set.at("parts"), None).unwrap().is_finished, "without the data set, it is unknown");
}

#[test]
fn an_extraction_without_shards_has_a_status() {
    let set = Set::new();
    set.extract("out", None, true);
    let status = set.status("out");
    assert_eq!((states(&status), status.count), (vec![ShardState::Unfinished], None));
    assert!(status.to_string().contains("run the extraction again"), "{status}");
    set.extract("out", None, false);
    assert!(set.status("out").is_finished);
    // As earlier versions left it: failures are in the list alone.
    for entry in std::fs::read_dir(set.at("out/done")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().unwrap() == "failed" {
            std::fs::remove_file(path).unwrap();
        }
    }
    assert!(set.status("out").is_finished);
}

#[test]
fn folders_that_do_not_belong_together_are_refused() {
    let set = Set::new();
    let refused = |folder: &str| Status::read(&set.at(folder), None).unwrap_err();
    assert!(matches!(refused("set"), ExtractError::NoExtraction { .. }));
    assert!(matches!(refused("nowhere"), ExtractError::NoExtraction { .. }));
    set.shard(0, false);
    set.extract("parts/more", Some(Shard { part: 1, count: 5 }), false);
    assert!(matches!(refused("parts"), ExtractError::OtherDivision { .. }));
    std::fs::remove_dir_all(set.at("parts/more")).unwrap();
    set.extract("parts/again", Some(Shard { part: 0, count: SHARDS }), false);
    assert!(matches!(refused("parts"), ExtractError::SameShard { index: 0, .. }));
    std::fs::remove_dir_all(set.at("parts/again")).unwrap();
    set.extract("parts/whole", None, false);
    assert!(matches!(refused("parts"), ExtractError::NotAShard { .. }));
    std::fs::remove_dir_all(set.at("parts/whole")).unwrap();
    let settings = std::fs::read_to_string(set.at("parts/0/extract.toml")).unwrap();
    std::fs::write(set.at("parts/0/extract.toml"), settings.replace("count = 3", "count = 9000000000"))
        .unwrap();
    assert!(matches!(refused("parts"), ExtractError::Damaged { .. }));
}

/// As when all tasks of an array are given one folder.
#[test]
fn the_folder_of_another_shard_is_refused() {
    let set = Set::new();
    let shard = |part, count| Some(Shard { part, count });
    set.extract("out", shard(1, 3), false);
    for other in [shard(0, 3), shard(1, 4), None] {
        let refused = set.open("out", other).err().unwrap();
        let said = refused.to_string();
        assert!(matches!(refused, ExtractError::OtherShard { .. }), "{said}");
        assert!(said.contains("shard 1 of 3") && said.contains("--out 'DIR/{shard}'"), "{said}");
    }
    set.store("out", shard(1, 3));
}

/// The text of a manifest but for the folders of shards.
fn rows(manifest: &Path) -> String {
    let mut text = std::fs::read_to_string(manifest).unwrap();
    for shard in 0..SHARDS {
        text = text.replace(&format!(r#"{{"path":"{shard}/"#), r#"{"path":""#);
    }
    text
}

#[test]
fn merged_shards_equal_one_extraction_byte_for_byte() {
    let set = Set::new();
    set.extract("alone", None, false);
    let (samples, root) = set.data();
    let manifests = || finished_manifests(&set.at("parts"), Some((samples, &root)));
    set.shard(2, false);
    set.shard(1, true);
    let refused = manifests().unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, ExtractError::Unfinished(_)));
    assert!(
        said.contains("parts is not finished: run shards 0-1 of 3 again: --array=0-1 for Slurm"),
        "{said}"
    );
    set.shard(1, false);
    let store = set.store("parts/0", Some(Shard { part: 0, count: SHARDS }));
    let said = manifests().unwrap_err().to_string();
    assert!(said.ends_with("parts is not finished: shard 0 is running, wait until it ends"), "{said}");
    drop(store);
    set.shard(0, false);

    let mut merged = merge(&manifests().unwrap()).unwrap();
    merged.accounts_for(samples, &root).unwrap();
    merged.arrange_as(samples, &root);
    assert!(merged.left_out.is_empty());
    write_manifest(set.at("parts/manifest.jsonl"), &merged.rows).unwrap();
    let alone = rows(&set.at("alone/manifest.jsonl"));
    assert_eq!(alone.lines().count(), 11);
    assert_eq!(rows(&set.at("parts/manifest.jsonl")), alone);
    // The merged manifest beside the shards changes nothing.
    assert_eq!(manifests().unwrap().len(), 3);
}

#[test]
fn merge_leaves_out_what_the_data_set_no_longer_has() {
    let mut set = Set::new();
    for part in 0..SHARDS {
        set.shard(part, false);
    }
    let manifests = finished_manifests(&set.at("parts"), None).unwrap();
    let listed = |file: &str| {
        let row = |line: &str| line.contains(&format!(r#""file":"{file}""#));
        manifests.iter().any(|path| std::fs::read_to_string(path).unwrap().lines().any(row))
    };
    let names = set.samples.iter().map(|sample| name_below(&set.at("set"), &sample.path));
    let (gone, failed): (Vec<_>, Vec<_>) = names.partition(|file| listed(file));
    for file in [&gone[0], &failed[0]] {
        std::fs::remove_file(set.at("set").join(file)).unwrap();
    }
    set.samples = read_dataset(set.at("set")).unwrap();
    for sample in &mut set.samples {
        // Corrected since.
        sample.split = Some(Split::Test);
        sample.source.push_str(" again");
    }
    set.extract("alone", None, false);
    let (samples, root) = set.data();
    let mut merged = merge(&manifests).unwrap();
    merged.accounts_for(samples, &root).unwrap();
    merged.arrange_as(samples, &root);
    write_manifest(set.at("parts/manifest.jsonl"), &merged.rows).unwrap();
    assert_eq!(rows(&set.at("parts/manifest.jsonl")), rows(&set.at("alone/manifest.jsonl")));
    assert_eq!(merged.failed.len(), failed.len() - 1);
    let said = merged.to_string();
    let end = format!("; left out: crops of 1 file that the data set does not have, such as {}", gone[0]);
    assert!(said.contains(" from 3 manifests, 1 file failed;") && said.ends_with(&end), "{said}");
}

#[test]
fn a_shard_with_a_damaged_manifest_is_run_again() {
    let set = Set::new();
    for part in 0..SHARDS {
        set.shard(part, false);
    }
    let path = set.at("parts/1/manifest.jsonl");
    let whole = std::fs::read(&path).unwrap();
    // Also between two lines, where nothing else tells.
    let line = whole.iter().rposition(|byte| *byte == b'\n').unwrap();
    let line = whole[..line].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for cut in [0, line, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let (samples, root) = set.data();
        let refused = finished_manifests(&set.at("parts"), Some((samples, &root))).unwrap_err().to_string();
        assert!(refused.contains("run shard 1 of 3 again: --array=1 for Slurm"), "{refused}");
    }
    let text = String::from_utf8(whole.clone()).unwrap();
    std::fs::write(&path, text.replacen("\"label\"", "'label'", 1)).unwrap();
    let refused = merge(&finished_manifests(&set.at("parts"), None).unwrap()).unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, ExtractError::DamagedManifest(_)), "{said}");
    assert!(
        said.contains("parts/1/manifest.jsonl") && said.contains("run this extraction or shard again"),
        "{said}"
    );
    set.shard(1, false);
    assert_eq!(std::fs::read(&path).unwrap(), whole);
}

#[test]
fn a_shard_beside_those_of_another_division_is_refused() {
    let set = Set::new();
    let folder = |name: &str, part, count| {
        folder_of_shard(&ShardChoice::default(), &set.at(name), Some(Shard { part, count }))
    };
    assert_eq!(folder("parts/{shard}", 2, 4).unwrap(), set.at("parts/2"), "nothing is there yet");
    set.shard(1, false);
    std::fs::create_dir_all(set.at("parts/0")).unwrap();
    assert_eq!(folder("parts/{shard}", 2, SHARDS).unwrap(), set.at("parts/2"));
    let refused = folder("parts/{shard}", 2, 4).unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, ExtractError::OtherCount { before: SHARDS, now: 4, .. }), "{said}");
    assert!(said.contains("parts/1 is one of 3 shards") && said.contains("pass --shards 3"), "{said}");
    // Folders of other names have nothing to do with it, nor has one that is named itself.
    folder("parts/x{shard}", 2, 4).unwrap();
    folder("parts/7", 2, 4).unwrap();
    // But not for all tasks of an array.
    let mut choice = ShardChoice::default();
    (choice.shard_index, choice.shards) = (Some(TaskIndex::Auto), Some(4));
    let refused =
        folder_of_shard(&choice, &set.at("parts/7"), Some(Shard { part: 2, count: 4 })).unwrap_err();
    assert!(matches!(refused, ExtractError::Shard(_)), "{refused}");
}
