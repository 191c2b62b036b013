use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use deeptell_data::{Sample, read_dataset, read_manifest, write_manifest};
use serde::Deserialize;

use crate::Outcome;
use crate::commands::extract::{name_below, root_of};
use crate::output::say;

/// Put the manifests of several extractions together, and check that they fit.
///
/// Refuses crops made with different settings, a crop that is listed twice, and a file of which
/// two manifests hold crops. With --data, also one that is in none of them, neither among the
/// crops nor among the failures.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell merge part1/manifest.jsonl part2/manifest.jsonl part3/manifest.jsonl --out crops.jsonl
  deeptell merge part*/manifest.jsonl --data dataset/ --out crops.jsonl")]
pub(crate) struct Args {
    /// The manifests.
    #[arg(required = true)]
    manifests: Vec<PathBuf>,
    /// The manifest to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The data set the crops come from: every file of it must be accounted for.
    #[arg(long, value_name = "FILE|DIR")]
    data: Option<PathBuf>,
}

/// A row of `failures.jsonl`.
#[derive(Deserialize)]
struct Failure {
    file: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut rows: Vec<Sample> = Vec::new();
    let mut settings: Option<(PathBuf, toml::Table)> = None;
    let mut crop_in: HashMap<PathBuf, &Path> = HashMap::new();
    let mut file_in: HashMap<String, &Path> = HashMap::new();
    let mut failed = BTreeSet::new();
    for manifest in &args.manifests {
        let folder = manifest.parent().unwrap_or(Path::new("."));
        let made = folder.join("extract.toml");
        if made.is_file() {
            let text =
                std::fs::read_to_string(&made).with_context(|| format!("cannot read {}", made.display()))?;
            let mut text: toml::Table =
                toml::from_str(&text).with_context(|| format!("{} cannot be understood", made.display()))?;
            // Parts differ in that, and are meant to; where a crop lies does not change it.
            text.remove("shard");
            text.remove("store");
            match &settings {
                Some((other, before)) if *before != text => anyhow::bail!(
                    "{} and {} differ: crops made with different settings do not mix",
                    other.display(),
                    made.display()
                ),
                _ => settings = Some((made, text)),
            }
        }
        failed.extend(failures(&folder.join("failures.jsonl"))?);
        let mut files = BTreeSet::new();
        for row in read_manifest(manifest)? {
            if let Some(other) = crop_in.insert(row.path.clone(), manifest) {
                anyhow::bail!(
                    "{} is listed in {} and in {}",
                    row.path.display(),
                    other.display(),
                    manifest.display()
                );
            }
            let file = row.extra.get("file");
            let file = file.as_ref().and_then(|file| file.as_str()).with_context(|| {
                format!(
                    "{}: {} does not say which file it was cut from; run `deeptell extract` there again, which \
                     keeps the crops and adds it",
                    manifest.display(),
                    row.path.display()
                )
            })?;
            files.insert(file.to_owned());
            rows.push(row);
        }
        for file in files {
            if let Some(other) = file_in.insert(file.clone(), manifest) {
                anyhow::bail!(
                    "{} and {} both hold crops of {file}: leave one of them out",
                    other.display(),
                    manifest.display()
                );
            }
        }
    }
    if let Some(data) = &args.data {
        let all = read_dataset(data)?;
        let is_absent = |sample: &&Sample| {
            let file = name_below(root_of(data), &sample.path);
            !file_in.contains_key(&file) && !failed.contains(&file)
        };
        let absent: Vec<&Sample> = all.iter().filter(is_absent).collect();
        if let [first, ..] = absent.as_slice() {
            anyhow::bail!(
                "{} of {} files of {} are in none of the manifests, for example {}: extract them first",
                absent.len(),
                all.len(),
                data.display(),
                first.path.display()
            );
        }
    }
    write_manifest(&args.out, &rows)?;
    say!("{} crops from {} manifests, {} files failed", rows.len(), args.manifests.len(), failed.len());
    Ok(Outcome::Done)
}

/// Names of the files that a run could not do.
fn failures(path: &Path) -> anyhow::Result<Vec<String>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .map(|line| {
            let failure: Failure =
                serde_json::from_str(line).with_context(|| format!("{} is damaged", path.display()))?;
            Ok(failure.file)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use deeptell_data::Label;

    use super::*;

    #[test]
    fn parts_that_fit_become_one_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let part = |name: &str, crops: &[(&str, &str)], settings: &str, failed: &str| {
            std::fs::create_dir_all(at(name)).unwrap();
            let rows: Vec<Sample> = crops
                .iter()
                .map(|(crop, video)| {
                    let extra = [("file".to_owned(), format!("real/{video}").into())].into();
                    Sample { extra, ..Sample::new(at(crop), Label::Real, *crop) }
                })
                .collect();
            let manifest = at(name).join("manifest.jsonl");
            write_manifest(&manifest, &rows).unwrap();
            std::fs::write(at(name).join("extract.toml"), settings).unwrap();
            let lost = failed.split_whitespace().map(|name| {
                let file = format!("real/{name}");
                serde_json::json!({ "path": at(&file), "file": file, "error": "no face" }).to_string() + "\n"
            });
            std::fs::write(at(name).join("failures.jsonl"), lost.collect::<String>()).unwrap();
            manifest
        };
        for file in ["a.mp4", "b.mp4", "c.mp4"] {
            let path = at("set").join("real").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::fs::create_dir_all(at("set").join("fake")).unwrap();
        let shard = |part| format!("frames = 10\n[shard]\npart = {part}\ncount = 2\n");
        let first = part("1", &[("a0.png", "a.mp4"), ("a1.png", "a.mp4")], &shard(0), "c.mp4");
        let second = part("2", &[("b0.png", "b.mp4")], &shard(1), "");
        let merge = |manifests: &[&PathBuf], data: Option<PathBuf>| {
            let manifests = manifests.iter().map(|path| (*path).clone()).collect();
            run(&Args { manifests, out: at("all.jsonl"), data })
        };
        merge(&[&first, &second], Some(at("set"))).unwrap();
        assert_eq!(read_manifest(at("all.jsonl")).unwrap().len(), 3);

        let refused = |manifests: &[&PathBuf], data| format!("{:#}", merge(manifests, data).unwrap_err());
        assert!(refused(&[&first], Some(at("set"))).contains("1 of 3 files"));
        assert!(refused(&[&first, &first], None).contains("is listed in"));
        let same_video = part("3", &[("a2.png", "a.mp4")], "frames = 10", "");
        assert!(refused(&[&first, &same_video], None).contains("both hold crops of"));
        let unknown = at("5.jsonl");
        write_manifest(&unknown, &[Sample::new(at("e0.png"), Label::Real, "e")]).unwrap();
        assert!(refused(&[&first, &unknown], None).contains("which file it was cut from"));
        let stored = part("6", &[("s.tar/f0.png", "f.mp4")], "frames = 10\nstore = \"tar\"", "");
        merge(&[&first, &stored], None).unwrap();
        let other = part("4", &[("d0.png", "d.mp4")], "frames = 12", "");
        assert!(refused(&[&first, &other], None).contains("different settings"));
    }
}
