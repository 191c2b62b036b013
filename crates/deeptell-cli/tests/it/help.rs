//! The help of every command, compared with the text files in `tests/help`, and the global options.
//!
//! After a change of the command line, write the files again and review the difference:
//! `DEEPTELL_UPDATE_HELP=1 cargo test -p deeptell-cli --test it help`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{clip, deeptell, fails, path, succeeds};

/// The help of a command, at the width that is used without a terminal.
fn help(command: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_deeptell"));
    program.args(command).arg("--help").env_remove("COLUMNS").stdin(Stdio::null());
    let output = program.output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands of the overview: the first words of lines that are indented by two, before the options.
fn commands(overview: &str) -> Vec<&str> {
    let list = overview.split("\nOptions:").next().unwrap();
    let lines = list.lines().filter_map(|line| line.strip_prefix("  "));
    lines.filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn help_matches_the_recorded_help() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help");
    let updates = std::env::var_os("DEEPTELL_UPDATE_HELP").is_some();
    let overview = help(&[]);
    let names = commands(&overview);
    assert!(names.len() >= 18 && names.contains(&"scan") && names.contains(&"completions"), "{names:?}");
    let mut pages: Vec<Vec<&str>> = vec![vec![], vec!["weights", "import"], vec!["weights", "show"]];
    pages.extend(names.iter().map(|name| vec![*name]));
    let mut expected_files = BTreeSet::new();
    let mut changed = Vec::new();
    for words in pages {
        let found = help(&words);
        let name = if words.is_empty() { "deeptell".to_owned() } else { words.join("-") };
        let file = folder.join(format!("{name}.txt"));
        if updates {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &found).unwrap();
        }
        let recorded = fs::read_to_string(&file).unwrap_or_default().replace("\r\n", "\n");
        if recorded != found {
            changed.push(format!("{name}:\n{found}"));
        }
        expected_files.insert(file);
    }
    assert!(
        changed.is_empty(),
        "the help changed; tests/it/help.rs says how to record it\n{}",
        changed.join("\n")
    );
    let files: BTreeSet<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files, expected_files, "files of commands that no longer exist");
}

#[test]
fn every_command_has_an_example() {
    let overview = help(&[]);
    assert!(overview.lines().all(|line| line.chars().count() <= 105), "a line of the overview is too long");
    for name in commands(&overview) {
        let text = help(&[name]);
        assert!(text.contains("\nExample") && text.contains(&format!("  deeptell {name} ")), "{name}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{name}: a line is too long");
    }
}

#[test]
fn completions_know_commands_and_options() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = succeeds(&["completions", shell]);
        for word in ["scan", "doctor", "fail-on"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(deeptell(&["completions", "cmd"]).status.code(), Some(2));
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man1");
    succeeds(&["man", path(&pages)]);
    let page = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
    assert!(page("deeptell.1").contains("deeptell\\-scan(1)"));
    assert!(page("deeptell-scan.1").contains("\\-\\-fail\\-on"));
    let overview = help(&[]);
    for name in commands(&overview) {
        assert!(page(&format!("deeptell-{name}.1")).starts_with(".ie"), "{name}");
    }
    assert!(!pages.join("deeptell-help.1").exists());
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(fails(2, &["man", path(&file)]).contains("cannot make the folder"));
}

#[test]
fn quiet_and_verbose_change_what_is_said_on_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let (real, broken) = (clip("real/orl-s01.mp4"), folder.path().join("broken.mp4"));
    fs::write(&broken, "nothing").unwrap();
    fs::write(folder.path().join("notes.txt"), "nothing").unwrap();
    fs::copy(&real, folder.path().join("a.mp4")).unwrap();
    let scan = ["scan", path(folder.path()), "--frames", "1", "-j", "1"];
    let normal = fails(1, &scan);
    assert!(normal.contains("skipped 1 file") && normal.contains("broken.mp4"), "{normal}");
    assert!(!normal.contains("model:"), "{normal}");

    let output = deeptell(&[&scan[..], &["-q"]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((said.lines().count(), said.contains("broken.mp4")), (1, true), "{said}");
    assert!(!output.stdout.is_empty(), "verdicts are results");

    let said = fails(1, &[&["--verbose"], &scan[..]].concat());
    for told in ["model: ", "SHA-256", "device: cpu, threads: 1\n", "scanning: ", "a.mp4: "] {
        assert!(said.contains(told), "{told}: {said}");
    }
}
