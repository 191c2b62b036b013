//! Scores of other detectors, from CSV tables.

use std::fmt::Write as _;
use std::fs;

use deeptell_data::read_manifest;
use serde_json::Value;

use super::{deeptell, fails, json, path, sample, succeeds};

/// A table of scores of the clips of the sample: fakes a little higher, the first clip without a face.
fn table(first: &str) -> String {
    let mut table = String::from("path,probability,why,label\n");
    for (number, clip) in read_manifest(sample().join("manifest.jsonl")).unwrap().iter().enumerate() {
        let name = clip.path.strip_prefix(sample()).unwrap().display();
        let score = (number * 7 % 10) as f64 / 20.0 + if clip.label.is_fake() { 0.3 } else { 0.0 };
        if number == 0 {
            writeln!(table, "{name},{first},{}", clip.label).unwrap();
        } else {
            writeln!(table, "{name},{score},,{}", clip.label).unwrap();
        }
    }
    table
}

#[test]
fn eval_measures_another_detector_by_its_table() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (data, other, figures, page) =
        (sample().join("manifest.jsonl"), at("other.csv"), at("figures.json"), at("page.html"));
    fs::write(&other, table("0.2,")).unwrap();
    let eval = ["eval", "--manifest", path(&data), "--split", "all", "--scores-from", path(&other)];
    let quick = ["--resamples", "50"];
    let out = ["--json", path(&figures), "--html", path(&page), "--thresholds", "0.2:0.6"];
    succeeds(&[&eval[..], &quick, &out].concat());
    let found = json(&figures);
    assert_eq!((&found["model"], &found["model_sha256"]), (&"other".into(), &Value::Null));
    assert!(found["auc"].as_f64().unwrap() > 0.7 && found["auc_ci95"][0].is_f64(), "{found}");
    assert_eq!(found["answers"]["high"], 0.6);
    assert!(found["scores_sha256"].is_string() && found["scores_missing"].is_null());
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<h1 id=\"top\">other</h1>") && page.contains("read from a table"));

    // A sample without a score is named, and left out only when that is asked for.
    fs::write(&other, table(",no face") + "more.mp4,0.5,,fake\n").unwrap();
    let first = &read_manifest(&data).unwrap()[0].path;
    let said = fails(2, &[&eval[..], &quick].concat());
    assert!(said.contains("has no score of 1 of") && said.contains(path(first)), "{said}");
    let output = deeptell(&[&eval[..], &quick, &["--incomplete"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(path(first)) && said.contains("more.mp4"), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["scores_missing"], &found["no_face"]), (&1.into(), &1.into()));

    // The options of models are not for tables.
    let said = fails(2, &[&eval[..], &["--detect"]].concat());
    assert!(said.contains("cannot be used with"), "{said}");
    let said = fails(2, &[&eval[..], &["--thresholds", "0.9:0.1"]].concat());
    assert!(said.contains("the lower one first"), "{said}");
}

#[test]
fn a_suite_of_another_detector_has_all_tables_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (suite, other, saved, figures) = (at("suite.toml"), at("other.csv"), at("other.jsonl"), at("f.json"));
    let data = fs::canonicalize(sample().join("manifest.jsonl")).unwrap();
    let text = format!(
        "name = \"s\"\n[[set]]\nname = \"clips\"\ndata = {:?}\nscan = true\nleft_out = [\"no such method\"]\n",
        path(&data)
    );
    fs::write(&suite, text).unwrap();
    fs::write(&other, table(",torn")).unwrap();
    let words = ["suite", path(&suite), "--scores-from", path(&other), "--resamples", "50"];
    let output = deeptell(&[&words[..], &["--scores", path(&saved), "--json", path(&figures)]].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    let (_, coverage) = said.split_once("Coverage, incomplete:").unwrap();
    assert!(coverage.trim().ends_with("1  torn"), "{said}");
    assert!(said.contains("Generators that the training left out:"), "{said}");
    let found = json(&figures);
    assert_eq!((&found["complete"], &found["sets"][0]["coverage"]["missing"]), (&false.into(), &1.into()));
    assert!(found["sets"][0]["videos"]["auc_ci95"][0].is_f64());

    // The saved scores make the same tables, and can be compared.
    let again = deeptell(&["suite", path(&saved), "--resamples", "50"]);
    assert_eq!((again.status.code(), String::from_utf8(again.stdout).unwrap()), (Some(3), said));
    succeeds(&["compare", path(&saved), path(&saved)]);
    let said = fails(2, &["suite", path(&saved), "--scores-from", path(&other)]);
    assert!(said.contains("has scores already"), "{said}");
}
