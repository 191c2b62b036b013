//! The rules about what sources may contain. ARCHITECTURE.md explains them.

use std::path::Path;

use anyhow::{Context, Result};

use crate::invariants::{BACKEND_CRATES, BACKENDS, BEHIND_SEAMS};

/// The crate of the program, and the most lines of code that it may have, without tests, comments and blank lines.
const PROGRAM_CRATE: &str = "deeptell-cli";
const MAX_PROGRAM_LINES: usize = 3000;

/// What the program names in one place only, and that place; commands about MTCNN itself may name it too.
const ONE_PLACE: [(&str, &[&str]); 3] = [
    ("Detector::", &["src/detector.rs"]),
    ("Mtcnn", &["src/face_detector.rs", "commands/faces.rs"]),
    ("MtcnnConfig", &["src/face_detector.rs", "commands/faces.rs"]),
];

/// The crates that know networks and face detectors through their seams only.
const SEAM_CRATES: [&str; 6] = [
    "deeptell-augment",
    "deeptell-data",
    "deeptell-eval",
    "deeptell-extract",
    "deeptell-serve",
    "deeptell-train",
];

/// The crates that are programs, or a part of one: they may read the environment and use the network.
const APPLICATION_CRATES: [&str; 2] = ["deeptell-cli", "deeptell-py"];

/// The folder of the decoder process, which inherits a few variables.
const DECODER_FOLDER: &str = "deeptell-video/src/isolation";

/// Names that do not say what belongs in a module.
const VAGUE_NAMES: [&str; 5] = ["core", "common", "util", "utils", "helpers"];

/// The source of a crate that writes to the terminal: there, control characters are escaped.
const TERMINAL_SOURCE: &str = "output.rs";

/// A rule: given the folder of all crates, every breach of it as a sentence.
pub(crate) type Rule = fn(&Path) -> Result<Vec<String>>;

/// Every rule about sources.
pub(crate) const RULES: [Rule; 5] =
    [device_breaches, terminal_breaches, program_breaches, seam_breaches, library_breaches];

/// Every place where a library crate chooses a device, as a sentence each: whoever calls it does. Feature
/// unification can make a backend available that no manifest of the crate names.
///
/// # Errors
/// When a file of `crates`, the folder of all crates, cannot be read.
fn device_breaches(crates: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for_each_source(crates, |name, path, text| {
        if BACKEND_CRATES.contains(&name) {
            return;
        }
        breaches.extend(
            chosen_devices(text)
                .into_iter()
                .map(|(line, device)| format!("2: {}:{line} chooses the device `{device}`", path.display())),
        );
    })?;
    breaches.sort();
    Ok(breaches)
}

/// Every place where a crate writes to the terminal past the functions that escape control characters, as a
/// sentence each: names of files and texts of other programs may hold them. Clippy watches `println!` and the like.
///
/// # Errors
/// When a file of `crates`, the folder of all crates, cannot be read.
fn terminal_breaches(crates: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for_each_source(crates, |name, path, text| {
        if path.ends_with(Path::new(name).join("src").join(TERMINAL_SOURCE)) {
            return;
        }
        for (number, line) in code_lines(text) {
            let is_written = ["stdout()", "stderr()"].iter().any(|stream| {
                line.match_indices(stream)
                    // `use_stderr()` only asks.
                    .filter(|(at, _)| !line[..*at].ends_with('_'))
                    .any(|(at, _)| !line[at + stream.len()..].starts_with(".is_terminal()"))
            });
            let is_allowed = ["print_stdout", "print_stderr"].iter().any(|lint| line.contains(lint));
            if is_written || is_allowed {
                breaches.push(format!(
                    "7: {}:{number} writes to the terminal, which only {TERMINAL_SOURCE} may",
                    path.display()
                ));
            }
        }
    })?;
    breaches.sort();
    Ok(breaches)
}

/// Every way in which the program is more than arguments, progress, printing and exit codes, as a sentence each: too
/// many lines, commands that use one another, or a face detector or a detector that is made elsewhere than in its one
/// place.
///
/// # Errors
/// When a file of `crates`, the folder of all crates, cannot be read.
fn program_breaches(crates: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    let mut lines = 0;
    for_each_source(crates, |name, path, text| {
        if name != PROGRAM_CRATE || path.ends_with("tests.rs") {
            return;
        }
        lines += code_lines(text).filter(|(_, line)| !line.trim().is_empty()).count();
        let is_command = path.components().any(|part| part.as_os_str() == "commands");
        let is_table = path.ends_with("src/lib.rs") || path.ends_with("commands/mod.rs");
        for (number, line) in code_lines(text) {
            let place = format!("9: {}:{number}", path.display());
            if !is_table && (line.contains("commands::") || is_command && line.contains("super::super::")) {
                breaches.push(format!("{place} uses a command, which only the program's table may"));
            }
            for (word, allowed) in ONE_PLACE {
                if names(line, word) && !allowed.iter().any(|file| path.ends_with(file)) {
                    breaches.push(format!("{place} names {word}, which only {} may", allowed.join(", ")));
                }
            }
        }
        // In a file of `commands`, `super` is the module of all commands.
        if is_command && path.parent().is_some_and(|folder| folder.ends_with("commands")) && !is_table {
            let uses = code_lines(text).filter(|(_, line)| line.contains("super::"));
            breaches.extend(uses.map(|(number, _)| {
                format!("9: {}:{number} uses a command, which only the program's table may", path.display())
            }));
        }
    })?;
    if lines > MAX_PROGRAM_LINES {
        breaches.push(format!(
            "9: {PROGRAM_CRATE} has {lines} lines of code, more than {MAX_PROGRAM_LINES}: move work into a library"
        ));
    }
    breaches.sort();
    Ok(breaches)
}

/// Every place where a crate behind one of the two seams names an implementation, as a sentence each: training,
/// evaluation and extraction know networks by `Architecture` and face detectors by their trait.
///
/// # Errors
/// When a file of `crates`, the folder of all crates, cannot be read.
fn seam_breaches(crates: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for_each_source(crates, |name, path, text| {
        if !SEAM_CRATES.contains(&name) {
            return;
        }
        for (number, line) in code_lines(text) {
            let named = implementations_in(line).into_iter();
            breaches.extend(named.map(|word| format!("10: {}:{number} names {word}", path.display())));
        }
    })?;
    breaches.sort();
    Ok(breaches)
}

/// The words of a line that name a network or a face detector: its crate, or a type that has the name of the crate in
/// its own, as `MobileNetV3` has.
fn implementations_in(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (package, _) in BEHIND_SEAMS {
        let module = package.replace('-', "_");
        let name = package.trim_start_matches("deeptell-").replace('-', "");
        found.extend(line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| {
            let lower_case = word.to_ascii_lowercase();
            let mut places = lower_case.match_indices(&name);
            *word == module || places.any(|(at, _)| word[at..].starts_with(char::is_uppercase))
        }));
    }
    found
}

/// Every place where a library reads the environment or opens a connection, and every file with a name that does not
/// say what belongs there, as a sentence each.
///
/// # Errors
/// When a file of `crates`, the folder of all crates, cannot be read.
fn library_breaches(crates: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for_each_source(crates, |name, path, text| {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let folders = path.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
        if let Some(vague) = folders.chain([stem]).find(|part| VAGUE_NAMES.contains(&part.as_str())) {
            breaches.push(format!("8: {} has the name `{vague}`", path.display()));
        }
        if APPLICATION_CRATES.contains(&name) {
            return;
        }
        let is_decoder = path.parent().is_some_and(|folder| folder.ends_with(DECODER_FOLDER));
        for (number, line) in code_lines(text) {
            let place = format!("7: {}:{number}", path.display());
            if !is_decoder && line.contains("env::var") {
                breaches.push(format!("{place} reads the environment"));
            }
            if ["TcpStream::connect", "UdpSocket::bind", "TcpListener::bind"]
                .iter()
                .any(|call| line.contains(call))
            {
                breaches.push(format!("{place} uses the network"));
            }
        }
    })?;
    breaches.sort();
    Ok(breaches)
}

/// Whether a line names `word`, not as a part of a longer name.
fn names(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_part)
            && (word.ends_with(':') || !line[at + word.len()..].starts_with(is_part))
    })
}

/// Calls `look` with the crate's name, the path and the text of each source of `crates`.
fn for_each_source(crates: &Path, mut look: impl FnMut(&str, &Path, &str)) -> Result<()> {
    for folder in entries(crates)? {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut waiting = vec![folder.join("src")];
        while let Some(path) = waiting.pop() {
            if path.is_dir() {
                waiting.extend(entries(&path)?);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                look(&name, &path, &text);
            }
        }
    }
    Ok(())
}

/// The lines of a source outside of comments and of the tests at its end, each with its number.
fn code_lines(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = (1..).zip(source.lines()).take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    code.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// What is in a folder that exists, in order of names; nothing for one that does not.
fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let reading = || format!("cannot list {}", folder.display());
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        entries.push(entry.with_context(reading)?.path());
    }
    entries.sort();
    Ok(entries)
}

/// The devices of burn that a source names outside of comments and of the tests at its end, each with its line.
fn chosen_devices(source: &str) -> Vec<(usize, String)> {
    code_lines(source)
        .flat_map(|(number, line)| {
            line.match_indices("Device::").filter_map(move |(at, beginning)| {
                let rest = &line[at + beginning.len()..];
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let chosen = BACKENDS.contains(&&rest[..end]) || &rest[..end] == "default";
                chosen.then(|| (number, format!("Device::{}", &rest[..end])))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_a_library_chooses_is_found_in_its_sources() {
        let source = "//! let device = Device::flex();\nfn load() -> Model {\n    read(&Device::flex())\n}\n\
                      fn is_cpu(device: &Device) -> bool {\n    *device == Device::default()\n}\n\
                      #[cfg(test)]\nmod tests {\n    fn device() -> Device { Device::flex() }\n}\n";
        let expected = [(3, "Device::flex".to_owned()), (6, "Device::default".to_owned())];
        assert_eq!(chosen_devices(source), expected);
        assert!(chosen_devices("Device::is_autodiff(&device); MyDevice::flexible()").is_empty());

        let folder = std::env::temp_dir().join(format!("deeptell-xtask-devices-{}", std::process::id()));
        for name in ["deeptell-mtcnn", "deeptell-cli"] {
            std::fs::create_dir_all(folder.join(name).join("src/deep")).unwrap();
            std::fs::write(folder.join(name).join("src/deep/a.rs"), source).unwrap();
        }
        let breaches = device_breaches(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(breaches.len(), 2, "the program may: {breaches:?}");
        assert!(breaches[0].contains("deeptell-mtcnn") && breaches[0].contains(":3"), "{breaches:?}");
    }

    #[test]
    fn what_writes_to_the_terminal_is_found() {
        let folder = std::env::temp_dir().join(format!("deeptell-xtask-terminal-{}", std::process::id()));
        let source = "// stderr()\nlet bar = stderr().is_terminal() && error.use_stderr();\nlet _ = writeln!(io::stderr(), \"{name}\");\n\
                      #![expect(clippy::print_stderr)]\n#[cfg(test)]\nmod tests { fn f() { io::stdout(); } }\n";
        std::fs::create_dir_all(folder.join("deeptell-cli/src/commands")).unwrap();
        for file in ["output.rs", "commands/train.rs"] {
            std::fs::write(folder.join("deeptell-cli/src").join(file), source).unwrap();
        }
        let breaches = terminal_breaches(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(breaches.len(), 2, "{breaches:?}");
        assert!(breaches[0].contains("train.rs:3") && breaches[1].contains("train.rs:4"), "{breaches:?}");
    }

    /// A folder of crates with these sources, by path below it; it is gone after the test.
    struct Crates(std::path::PathBuf);

    impl Crates {
        fn with(name: &str, sources: &[(&str, &str)]) -> Self {
            let folder = std::env::temp_dir().join(format!("deeptell-xtask-{name}-{}", std::process::id()));
            for (path, text) in sources {
                let path = folder.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(folder)
        }
    }

    impl Drop for Crates {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn our_sources_obey_every_rule() {
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("crates");
        for rule in RULES {
            assert_eq!(rule(&ours).unwrap(), Vec::<String>::new());
        }
    }

    #[test]
    fn a_program_that_is_too_large_is_found() {
        let large = format!(
            "// comment\n\n{}#[cfg(test)]\nmod tests {{}}\n",
            "let a = 1;\n".repeat(MAX_PROGRAM_LINES)
        );
        let crates = Crates::with("lines", &[("deeptell-cli/src/output.rs", &large)]);
        assert!(program_breaches(&crates.0).unwrap().is_empty());
        std::fs::write(crates.0.join("deeptell-cli/src/views.rs"), "fn one() {}\n").unwrap();
        let breaches = program_breaches(&crates.0).unwrap();
        assert!(breaches.len() == 1 && breaches[0].contains("3001 lines"), "{breaches:?}");
    }

    #[test]
    fn commands_that_use_one_another_are_found() {
        let sources = [
            ("deeptell-cli/src/lib.rs", "commands::scan::run(&args);\n"),
            ("deeptell-cli/src/training.rs", "use crate::commands::train::Args;\n"),
            (
                "deeptell-cli/src/commands/eval.rs",
                "use super::train::labels;\n#[cfg(test)]\nmod tests { use super::*; }\n",
            ),
            ("deeptell-cli/src/commands/scan/mod.rs", "mod pages;\nuse pages::Pages;\n"),
            ("deeptell-cli/src/commands/scan/pages.rs", "use super::Args;\nuse super::super::eval;\n"),
        ];
        let breaches = program_breaches(&Crates::with("commands", &sources).0).unwrap();
        let found = ["eval.rs:1", "pages.rs:2", "training.rs:1"];
        assert_eq!(breaches.len(), found.len(), "{breaches:?}");
        for (breach, place) in breaches.iter().zip(found) {
            assert!(breach.contains(place), "{breaches:?}");
        }
    }

    #[test]
    fn a_second_place_for_detectors_is_found() {
        let sources = [
            ("deeptell-cli/src/detector.rs", "Detector::from_parts(model, faces)\n"),
            ("deeptell-cli/src/face_detector.rs", "MtcnnConfig::default()\n"),
            ("deeptell-cli/src/commands/faces.rs", "Mtcnn::pretrained(device)?; MtcnnConfig::quick()\n"),
            (
                "deeptell-cli/src/commands/suite.rs",
                "// Detector::new\nfn f(d: &FaceDetector) {}\nDetector::new(model)?;\n",
            ),
            ("deeptell-cli/src/commands/eval.rs", "let faces: Mtcnn = MtcnnConfig::default().init()?;\n"),
        ];
        let breaches = program_breaches(&Crates::with("places", &sources).0).unwrap();
        assert_eq!(breaches.len(), 3, "{breaches:?}");
        assert!(breaches[0].contains("eval.rs:1 names Mtcnn,"), "{breaches:?}");
        assert!(breaches[2].contains("suite.rs:3 names Detector::"), "{breaches:?}");
    }

    #[test]
    fn a_network_that_is_named_behind_the_seam_is_found() {
        let source = "// MobileNet\nlet network = deeptell_mobilenet::MobileNetV3::new();\n";
        let sources = [("deeptell-train/src/train.rs", source), ("deeptell-network/src/lib.rs", source)];
        let breaches = seam_breaches(&Crates::with("seams", &sources).0).unwrap();
        assert_eq!(breaches.len(), 2, "one for each word: {breaches:?}");
        assert!(breaches[0].contains("train.rs:2 names MobileNet"), "{breaches:?}");
    }

    #[test]
    fn crates_and_types_of_implementations_are_found_and_names_in_texts_are_not() {
        assert_eq!(
            implementations_in("use deeptell_mtcnn::{CandidateLimits, FaceSize};"),
            ["deeptell_mtcnn"]
        );
        assert_eq!(
            implementations_in("fn f(a: QuickMtcnn, b: &YuNetWeights) {}"),
            ["QuickMtcnn", "YuNetWeights"]
        );
        assert!(
            implementations_in("const FIRST_DETECTOR: &str = \"mtcnn\"; // mobilenet-v3-small").is_empty()
        );
    }

    #[test]
    fn libraries_that_reach_outside_and_vague_names_are_found() {
        let source = "let home = std::env::var_os(\"HOME\");\nlet line = TcpStream::connect(address)?;\n";
        let sources = [
            ("deeptell-cli/src/training.rs", source),
            ("deeptell-video/src/isolation/process.rs", "std::env::var_os(name)\n"),
            ("deeptell-data/src/utils/paths.rs", ""),
            ("deeptell-train/src/train.rs", source),
        ];
        let breaches = library_breaches(&Crates::with("libraries", &sources).0).unwrap();
        assert_eq!(breaches.len(), 3, "{breaches:?}");
        assert!(breaches[0].ends_with("train.rs:1 reads the environment"), "{breaches:?}");
        assert!(breaches[1].ends_with("train.rs:2 uses the network"), "{breaches:?}");
        assert!(breaches[2].contains("utils"), "{breaches:?}");
    }
}
