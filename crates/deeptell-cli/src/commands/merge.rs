use std::path::{Path, PathBuf};

use deeptell_data::write_manifest;
use deeptell_extract::{OUTPUT_FILES, SETTINGS_FILE, finished_manifests, merge, root_of};

use crate::Outcome;
use crate::dataset::{Dataset, DatasetArgs};
use crate::output::say;

/// Combine the manifests of several extractions, and check that they fit together.
///
/// Refuses crops made with different settings, a crop that is listed twice, a file whose crops are in
/// two manifests, and a folder with a shard that is not finished. With --data, also refuses a file of
/// the data set that is in no manifest, neither among the crops nor among the failures, leaves out
/// crops of files that the data set does not have, and writes the others in its order: the manifest is
/// then the one that a single extraction writes, except for the crop folders.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell merge parts/ --data dataset/     # writes parts/manifest.jsonl
  deeptell merge part1/manifest.jsonl part2/manifest.jsonl part3/manifest.jsonl -o crops.jsonl")]
pub(crate) struct Args {
    /// Manifests to combine, or folders of shards, as `extract -o 'parts/{shard}'` makes one.
    #[arg(required = true, value_name = "MANIFEST|DIR")]
    inputs: Vec<PathBuf>,
    /// Manifest to write [default: `manifest.jsonl` in the folder of shards, if one is all that is
    /// combined].
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Data set that the crops come from; every file of it must be accounted for.
    #[arg(long, value_name = "FILE|DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    dataset: DatasetArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let out = match (&args.out, args.inputs.as_slice()) {
        (Some(out), _) => out.clone(),
        (None, [folder]) if folder.is_dir() && !folder.join(SETTINGS_FILE).exists() => {
            folder.join("manifest.jsonl")
        }
        (None, [absent]) if !absent.exists() => anyhow::bail!("{} does not exist", absent.display()),
        _ => anyhow::bail!("name the manifest to write: -o FILE"),
    };
    let all: Option<Dataset> = args.data.as_deref().map(|data| args.dataset.read(data)).transpose()?;
    let root = args.data.as_deref().map_or(Path::new(""), root_of);
    let mut manifests = Vec::new();
    for input in &args.inputs {
        if input.is_dir() {
            // With several folders, each has a part of the data set.
            let data = all.as_ref().filter(|_| args.inputs.len() == 1);
            manifests.extend(finished_manifests(input, data.map(|all| (all.samples.as_slice(), root)))?);
        } else {
            manifests.push(input.clone());
        }
    }
    let folders = manifests.iter().filter_map(|manifest| manifest.parent());
    let theirs: Vec<PathBuf> =
        folders.flat_map(|folder| OUTPUT_FILES.map(|name| folder.join(name))).collect();
    deeptell_files::check_outputs([&out], theirs.iter().chain(&manifests).chain(&args.data))?;
    let mut merged = merge(&manifests)?;
    if let Some(all) = &all {
        merged.accounts_for(&all.samples, root)?;
        merged.arrange_as(&all.samples, root);
    }
    write_manifest(&out, &merged.rows)?;
    say!("{merged}; manifest: {}", out.display());
    Ok(all.map_or(Outcome::Done, |all| all.outcome))
}
