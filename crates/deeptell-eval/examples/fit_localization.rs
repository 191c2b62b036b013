//! Trains the layer that the heat maps of a model come from, and measures it.
//!
//! ```sh
//! cargo run --release -p deeptell-eval --example fit_localization -- \
//!     manifest.jsonl train.toml detector.safetensors with-maps.safetensors
//! ```
//!
//! The blends are those that a training with `train.toml` makes of the training samples of the manifest; its
//! `samples_per_epoch` says how many pictures are taken, of which two thirds count: a real face and its blend. The
//! weights of the network stay as they are. The figures on the validation samples are printed as JSON.

use std::io::Write as _;
use std::path::Path;

use deeptell::{Device, ModelFile, StoredDtype};
use deeptell_eval::{NoObserver, fit_localization, measure_localization, to_json};
use deeptell_train::TrainConfig;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [manifest, config, input, output] = args.as_slice() else {
        return Err("give a manifest, a training configuration, a model file and the file to write".into());
    };
    let (device, config) = (Device::flex(), TrainConfig::read(Path::new(config))?);
    let samples = deeptell_data::read_manifest(manifest)?;
    let file = ModelFile::read(input)?;
    let fitted = fit_localization(&file, &config, &samples, &device, &mut NoObserver)?;
    let sha256 = fitted.write(output, StoredDtype::F16)?;
    let report =
        measure_localization(&ModelFile::read(output)?, &config, &samples, &device, &mut NoObserver)?;
    let document = serde_json::json!({ "sha256": sha256, "validation": report });
    std::io::stdout().write_all(to_json(&document)?.as_bytes())?;
    Ok(())
}
