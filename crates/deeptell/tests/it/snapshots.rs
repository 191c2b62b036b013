//! One report and its page as committed files: what programs read and people see changes only on purpose.
//!
//! `DEEPTELL_UPDATE_SNAPSHOTS=1 cargo test -p deeptell --test it snapshot` writes the files again;
//! look at the difference before it is committed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use deeptell::{Evidence, Input, Report, VERSION, html};
use serde_json::Value;

use crate::{DETECTOR, options, portrait};

/// In the files in place of the version.
const ANY_VERSION: &str = "VERSION";

fn snapshot(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots").join(name)
}

fn assert_is(name: &str, now: &str) {
    let path = snapshot(name);
    if std::env::var_os("DEEPTELL_UPDATE_SNAPSHOTS").is_some() {
        // In one step: other tests read the files meanwhile.
        deeptell_files::write_whole(&path, now.as_bytes()).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    let differs = kept.lines().zip(now.lines()).position(|(kept, now)| kept != now);
    if let Some(line) = differs {
        let [kept, now] = [&kept, now].map(|text| text.lines().nth(line).unwrap());
        panic!("line {} of {name} was\n{kept}\nand is\n{now}", line + 1);
    }
    assert_eq!(kept.len(), now.len(), "{name} has another end");
}

fn report() -> Report {
    let text = std::fs::read_to_string(snapshot("report.json")).unwrap();
    Report::from_json(text.replace(ANY_VERSION, VERSION).as_bytes()).unwrap()
}

#[test]
fn the_json_of_a_report_is_the_snapshot() {
    let json = serde_json::to_string_pretty(&report()).unwrap() + "\n";
    assert_is("report.json", &json.replace(VERSION, ANY_VERSION));
}

#[test]
fn the_page_of_a_report_is_the_snapshot() {
    // A tag per line, so that a difference can be read.
    let page = html::page(&report(), None).replace("><", ">\n<");
    assert_is("page.html", &page.replace(VERSION, ANY_VERSION));
}

#[test]
fn the_page_of_a_report_with_evidence_is_the_snapshot() {
    let report = report();
    let pictures = |kind: &str, number: usize| (0..number).map(|at| format!("{kind} {at}").into()).collect();
    let mut evidence = Evidence::default();
    evidence.frames = pictures("frame", report.frames.len());
    evidence.faces = pictures("face", report.observations.len());
    evidence.heat = pictures("heat map", report.observations.len());
    let page = html::page(&report, Some(&evidence)).replace("><", ">\n<");
    assert_is("page_with_evidence.html", &page.replace(VERSION, ANY_VERSION));
}

/// The paths of all fields, elements of lists taken together. What depends on the file alone is left out: reasons,
/// warnings, and the measures and limits of a model.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = format!("{path}.{name}");
                found.insert(path.clone());
                if !["reasons", "warnings", "card"].contains(&name.as_str()) {
                    fields(value, &path, found);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| fields(value, path, found)),
        _ => {}
    }
}

#[test]
fn the_report_of_a_scan_has_the_fields_of_the_snapshot() {
    let of = |report: &Report| {
        let mut found = BTreeSet::new();
        fields(&serde_json::to_value(report).unwrap(), "", &mut found);
        found
    };
    let scanned = DETECTOR.scan(Input::picture("portrait", &portrait()), &options()).unwrap().report;
    assert_eq!(of(&scanned), of(&report()));
}
