//! `audit`: leaks and shortcuts.

use std::fs;
use std::path::Path;

use deeptell_data::{Label, Sample, Split, write_manifest};
use deeptell_face::RgbImage;
use image::codecs::jpeg::JpegEncoder;

use super::{json, path, succeeds};

/// Sixty pictures of thirty sources; each fake is compressed more.
fn pictures(folder: &Path) -> Vec<Sample> {
    let mut samples = Vec::new();
    for number in 0..60_u32 {
        let (source, label) = (number / 2, if number % 2 == 0 { Label::Real } else { Label::Fake });
        // A source has its own background; noise keeps any two files apart.
        let picture = RgbImage::from_fn(48, 48, |x, y| {
            let noise = (x * x * 31 + y * 17 + number * 7) % 97 * 53 % 97;
            image::Rgb([(source * 8) as u8, (noise * 2) as u8, 90])
        });
        let mut bytes = Vec::new();
        let quality = if label.is_fake() { 60 } else { 90 };
        JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(&picture).unwrap();
        let file = folder.join(format!("{number}.jpg"));
        fs::write(&file, bytes).unwrap();
        let split = Some(if source < 20 { Split::Train } else { Split::Validation });
        samples.push(Sample::new(file, label, format!("s{source}")).split(split));
    }
    samples
}

#[test]
fn audit_measures_shortcuts_and_fails_on_leaks() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut samples = pictures(folder.path());
    let (manifest, document) = (at("m.jsonl"), at("audit.json"));
    write_manifest(&manifest, &samples).unwrap();
    let said = succeeds(&["audit", path(&manifest), "--json", path(&document), "--resamples", "100"]);
    assert!(said.contains("nothing is in two splits") && said.contains("JPEG tables"), "{said}");
    let found = json(&document);
    let auc = |name: &str| {
        let shortcuts = found["shortcuts"].as_array().unwrap();
        shortcuts.iter().find(|s| s["from"] == name).unwrap()["auc"].as_f64().unwrap()
    };
    assert_eq!((auc("JPEG tables"), auc("resolution"), auc("format")), (1.0, 0.5, 0.5));
    assert!(auc("file size") > 0.9);
    assert_eq!(found["splits"][0]["sources"], 20);

    // One source in two splits, and one content under two labels.
    samples[0].split = Some(Split::Validation);
    fs::copy(&samples[7].path, &samples[8].path).unwrap();
    write_manifest(&manifest, &samples).unwrap();
    let output = super::deeptell(&["audit", path(&manifest), "--split", "train", "--json", path(&document)]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("1 by source") && said.contains("source `s0` in train and validation"), "{said}");
    assert!(said.contains("identical files with different labels"), "{said}");
    let found = json(&document);
    assert_eq!(found["is_clean"], false);
    assert_eq!(found["contradictions"].as_array().unwrap().len(), 1);
}
