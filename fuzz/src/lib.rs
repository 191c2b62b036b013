//! What is fuzzed: everything of deeptell that parses, one target each.
//!
//! `cargo xtask fuzz TARGET` runs a target under `libFuzzer` and `AddressSanitizer`, guided by coverage; the
//! test `replay` runs each over its corpus and over damaged copies of it, in every build. A target
//! takes any bytes and must return: whatever they are, parsing ends in a value or in an error, in time
//! and within its limits.

#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a target fails by panicking")]

mod damage;
mod files;
#[cfg(feature = "networks")]
mod networks;
mod pictures;

pub use damage::Damage;

use std::path::{Path, PathBuf};

/// One parser, or several that read the same kind of file.
#[derive(Debug)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Folders with what it starts from, below the root of the repository; single files, too.
    pub corpus: &'static [&'static str],
    run: fn(&[u8]),
}

/// All targets of this build.
pub const TARGETS: &[Target] = &[
    Target { name: "video", corpus: &["crates/deeptell-video/goldens/clips"], run: pictures::video },
    Target { name: "times", corpus: &["crates/deeptell-video/goldens/clips"], run: pictures::times },
    Target { name: "picture", corpus: &["fuzz/corpus/picture"], run: pictures::picture },
    #[cfg(unix)]
    Target { name: "wire", corpus: &["fuzz/corpus/wire"], run: pictures::wire },
    Target {
        name: "manifest",
        corpus: &["crates/deeptell-data/tests/corpus/manifest"],
        run: files::manifest,
    },
    Target { name: "shard", corpus: &["crates/deeptell-data/tests/corpus/shard"], run: files::shard },
    Target { name: "table", corpus: &["fuzz/corpus/table"], run: files::table },
    Target { name: "lists", corpus: &["fuzz/corpus/lists"], run: files::lists },
    Target { name: "extraction", corpus: &["fuzz/corpus/extraction"], run: files::extraction },
    #[cfg(feature = "networks")]
    Target { name: "weights", corpus: &["crates/deeptell-weights/tests/corpus"], run: networks::weights },
    #[cfg(feature = "networks")]
    Target { name: "model", corpus: &["fuzz/corpus/model"], run: networks::model },
    #[cfg(feature = "networks")]
    Target { name: "report", corpus: &["fuzz/corpus/report"], run: networks::report },
    #[cfg(feature = "networks")]
    Target {
        name: "suite",
        corpus: &["fuzz/corpus/suite", "fuzz/corpus/table", "datasets/sample/suite.toml"],
        run: networks::suite,
    },
];

impl Target {
    /// The target with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Feeds it.
    pub fn run(&self, bytes: &[u8]) {
        (self.run)(bytes);
    }

    /// The files that it starts from, in order of their names.
    pub fn seeds(&self) -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder lies in the repository");
        let mut seeds = Vec::new();
        for place in self.corpus.iter().map(|place| root.join(place)) {
            if place.is_file() {
                seeds.push(place);
                continue;
            }
            let entries = std::fs::read_dir(&place).expect("the corpus can be listed");
            seeds.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()));
        }
        seeds.sort();
        seeds
    }
}
