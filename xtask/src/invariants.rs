//! The rules about what each crate may depend on, compared with what cargo would build.
//!
//! ARCHITECTURE.md explains the rules. Two sources are read: `cargo tree` for what a build of the whole
//! workspace really contains on this machine, and the manifests, through `cargo metadata`, for what each crate
//! declares, tests included. The rules about sources are in [`sources`](crate::sources).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

/// The only crate that may link FFmpeg.
const FFMPEG_CRATE: &str = "deeptell-video";

/// The crates that compute with tensors, besides those [behind a seam](BEHIND_SEAMS).
const BURN_CRATES: [&str; 9] = [
    "deeptell",
    "deeptell-benches",
    "deeptell-cli",
    "deeptell-kernels",
    "deeptell-network",
    "deeptell-py",
    "deeptell-train",
    "deeptell-web",
    "deeptell-weights",
];

/// The crates that may name a backend outside of their tests: those that choose a device, and the one that
/// extends the CPU backend.
pub(crate) const BACKEND_CRATES: [&str; 5] =
    ["deeptell-benches", "deeptell-cli", "deeptell-kernels", "deeptell-py", "deeptell-web"];

/// The features of burn that bring a backend; each is also a crate, `burn-flex` and so on.
pub(crate) const BACKENDS: [&str; 11] =
    ["cpu", "cuda", "flex", "metal", "ndarray", "remote", "rocm", "tch", "vulkan", "webgpu", "wgpu"];

/// The crates of plain numbers and pixels.
const PLAIN_CRATES: [&str; 5] =
    ["deeptell-augment", "deeptell-data", "deeptell-face", "deeptell-files", "deeptell-metrics"];

/// The networks and face detectors, and the crates that may depend on each, in tests too: all others know them through
/// the seam, and do not name them. They may compute with tensors.
pub(crate) const BEHIND_SEAMS: [(&str, &[&str]); 3] = [
    ("deeptell-mobilenet", &["deeptell-network"]),
    ("deeptell-mtcnn", &["deeptell", "deeptell-benches", "deeptell-cli"]),
    ("deeptell-yunet", &["deeptell-benches", "deeptell-cli"]),
];

/// The names of all crates that may depend on burn.
fn tensor_crates() -> impl Iterator<Item = &'static str> {
    BURN_CRATES.into_iter().chain(BEHIND_SEAMS.map(|(name, _)| name))
}

/// What one of our manifests declares.
#[derive(Debug, Default)]
struct Manifest {
    name: String,
    /// Names of all dependencies, for tests too.
    dependencies: BTreeSet<String>,
    /// Backends of burn that are turned on or forwarded outside of tests.
    backends: BTreeSet<String>,
}

/// Our manifests, and the graph of what building them builds.
#[derive(Debug)]
pub(crate) struct Workspace {
    ours: Vec<Manifest>,
    /// Direct dependencies of a build by `name vVERSION`, the same for themselves.
    built: BTreeMap<String, BTreeSet<String>>,
}

impl Workspace {
    /// The command whose output [`new`](Self::new) takes first: the graph, each line led by its depth.
    pub(crate) const TREE: [&str; 5] =
        ["tree", "--workspace", "--edges=normal,build", "--prefix=depth", "--format={p}"];

    /// The command whose output [`new`](Self::new) takes second.
    pub(crate) const MANIFESTS: [&str; 3] = ["metadata", "--format-version=1", "--no-deps"];

    /// The command whose output [`training_breaches`] takes: what training alone builds.
    pub(crate) const TRAINING: [&str; 6] = [
        "tree",
        "--package=deeptell-train",
        "--edges=normal,build",
        "--prefix=depth",
        "--format={p}",
        "--locked",
    ];

    /// Puts the two together.
    ///
    /// # Errors
    /// When a text is not what the command prints.
    pub(crate) fn new(tree: &str, manifests: &str) -> Result<Self> {
        Ok(Self { ours: read_manifests(manifests)?, built: read_tree(tree)? })
    }

    /// Every breach of an invariant about dependencies, as a sentence each.
    pub(crate) fn breaches(&self) -> Vec<String> {
        let mut breaches = self.missing_crates();
        breaches.extend(self.ffmpeg_breaches());
        breaches.extend(self.burn_breaches());
        breaches.extend(self.plain_breaches());
        breaches.extend(self.xtask_breaches());
        breaches.extend(self.seam_breaches());
        breaches
    }

    /// A rule about a crate that is gone would hold for ever: renaming a crate must show here.
    fn missing_crates(&self) -> Vec<String> {
        let users = BEHIND_SEAMS.into_iter().flat_map(|(_, users)| users.iter().copied());
        let named = tensor_crates().chain(BACKEND_CRATES).chain(PLAIN_CRATES).chain(users);
        let named: BTreeSet<&str> = named.chain([FFMPEG_CRATE, "xtask"]).collect();
        named
            .into_iter()
            .filter(|name| !self.ours.iter().any(|manifest| manifest.name == *name))
            .map(|name| format!("the rules name the crate {name}, which the workspace does not have"))
            .collect()
    }

    /// 1. Only deeptell-video links FFmpeg.
    fn ffmpeg_breaches(&self) -> Vec<String> {
        let declaring = self
            .ours
            .iter()
            .filter(|manifest| manifest.dependencies.iter().any(|name| is_ffmpeg(name)))
            .map(|manifest| manifest.name.as_str());
        let building = self
            .built
            .iter()
            .filter(|(_, dependencies)| dependencies.iter().any(|package| is_ffmpeg(package)))
            .map(|(package, _)| name_of(package));
        let linking: BTreeSet<&str> = declaring.chain(building).collect();
        linking
            .into_iter()
            .filter(|name| *name != FFMPEG_CRATE && !is_ffmpeg(name))
            .map(|name| format!("1: {name} depends on FFmpeg; only {FFMPEG_CRATE} may"))
            .collect()
    }

    /// 2. burn stays in the tensor crates, and backends in those that choose a device.
    fn burn_breaches(&self) -> Vec<String> {
        let mut breaches = Vec::new();
        for manifest in &self.ours {
            let name = manifest.name.as_str();
            if !tensor_crates().any(|tensor_crate| tensor_crate == name)
                && manifest.dependencies.iter().any(|dependency| is_burn(dependency))
            {
                breaches.push(format!("2: {name} depends on burn"));
            }
            if !BACKEND_CRATES.contains(&name) {
                let named = manifest.backends.iter();
                breaches.extend(named.map(|backend| format!("2: {name} names burn's backend `{backend}`")));
            }
        }
        breaches
    }

    /// 3. The plain crates build without burn and without FFmpeg.
    fn plain_breaches(&self) -> Vec<String> {
        let mut breaches = Vec::new();
        for crate_name in PLAIN_CRATES {
            for name in self.build_of(crate_name).into_iter().filter(|name| is_burn(name) || is_ffmpeg(name))
            {
                breaches.push(format!("3: building {crate_name} builds {name}"));
            }
        }
        breaches
    }

    /// 4. xtask depends on none of our crates.
    fn xtask_breaches(&self) -> Vec<String> {
        let declared = self.ours.iter().filter(|manifest| manifest.name == "xtask");
        let declared = declared.flat_map(|manifest| &manifest.dependencies).map(String::as_str);
        let all: BTreeSet<&str> = self.build_of("xtask").into_iter().chain(declared).collect();
        all.into_iter()
            .filter(|name| self.ours.iter().any(|manifest| manifest.name == *name))
            .map(|name| format!("4: xtask depends on {name}"))
            .collect()
    }

    /// 10. Only the crates at a seam depend on what is behind it.
    fn seam_breaches(&self) -> Vec<String> {
        let mut breaches = Vec::new();
        for (behind, allowed) in BEHIND_SEAMS {
            let dependent = self.ours.iter().filter(|manifest| manifest.dependencies.contains(behind));
            let names =
                dependent.map(|manifest| manifest.name.as_str()).filter(|name| !allowed.contains(name));
            breaches.extend(names.map(|name| format!("10: {name} depends on {behind}")));
        }
        breaches
    }

    /// The names of all packages that building one of our crates builds, itself left out.
    fn build_of(&self, crate_name: &str) -> BTreeSet<&str> {
        let direct = |package: &str| self.built.get(package).into_iter().flatten();
        let mut waiting: Vec<&String> = self
            .built
            .keys()
            .filter(|package| name_of(package) == crate_name)
            .flat_map(|root| direct(root))
            .collect();
        let mut seen = BTreeSet::new();
        while let Some(package) = waiting.pop() {
            if seen.insert(package) {
                waiting.extend(direct(package));
            }
        }
        seen.into_iter().map(|package| name_of(package)).collect()
    }
}

/// 1. Training builds without FFmpeg, unless its feature for codecs is asked for.
///
/// # Errors
/// When `tree` is not what the command prints.
pub(crate) fn training_breaches(tree: &str) -> Result<Vec<String>> {
    let built = read_tree(tree)?;
    let names = built.keys().map(|package| name_of(package)).filter(|name| is_ffmpeg(name));
    Ok(names
        .map(|name| format!("1: building deeptell-train builds {name} without its feature `codec`"))
        .collect())
}

/// Reads `cargo tree` lines such as `2burn-core v0.22.1 (*)`: the depth, the package, and remarks.
fn read_tree(tree: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut built: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // The packages from the root down to the line before.
    let mut path: Vec<String> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let unexpected = || format!("cargo tree wrote a line of another kind: {line}");
        let digits = line.find(|character: char| !character.is_ascii_digit()).with_context(unexpected)?;
        let depth: usize = line[..digits].parse().with_context(unexpected)?;
        let package: Vec<&str> = line[digits..].split(' ').take(2).collect();
        if depth > path.len() || package.len() != 2 || !package[1].starts_with('v') {
            anyhow::bail!(unexpected());
        }
        let package = package.join(" ");
        path.truncate(depth);
        if let Some(parent) = path.last() {
            built.entry(parent.clone()).or_default().insert(package.clone());
        }
        built.entry(package.clone()).or_default();
        path.push(package);
    }
    Ok(built)
}

fn read_manifests(json: &str) -> Result<Vec<Manifest>> {
    let document: Value = serde_json::from_str(json).context("cargo metadata wrote no JSON")?;
    let mut manifests = Vec::new();
    for package in list(&document, "packages")? {
        let mut manifest = Manifest {
            name: text(package, "name")?.to_owned(),
            backends: forwarded_backends(&package["features"]),
            ..Manifest::default()
        };
        for dependency in list(package, "dependencies")? {
            let name = text(dependency, "name")?;
            manifest.dependencies.insert(name.to_owned());
            if dependency["kind"] == "dev" {
                continue;
            }
            let features = list(dependency, "features")?.iter().filter_map(Value::as_str);
            let named = features.filter(|_| name == "burn").chain(name.strip_prefix("burn-"));
            manifest.backends.extend(named.filter(|name| BACKENDS.contains(name)).map(str::to_owned));
        }
        manifests.push(manifest);
    }
    Ok(manifests)
}

/// The name in `name vVERSION`.
fn name_of(package: &str) -> &str {
    package.split_once(' ').map_or(package, |(name, _)| name)
}

fn is_ffmpeg(name: &str) -> bool {
    name.starts_with("ffmpeg-")
}

fn is_burn(name: &str) -> bool {
    name == "burn" || name.starts_with("burn-")
}

/// The backends in a `[features]` table such as `wgpu = ["burn/wgpu"]`.
fn forwarded_backends(features: &Value) -> BTreeSet<String> {
    let values = features.as_object().into_iter().flat_map(|table| table.values());
    values
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(Value::as_str)
        .filter_map(|feature| feature.strip_prefix("burn/").or_else(|| feature.strip_prefix("burn?/")))
        .filter(|feature| BACKENDS.contains(feature))
        .map(str::to_owned)
        .collect()
}

fn list<'value>(value: &'value Value, key: &str) -> Result<&'value [Value]> {
    let list = value[key].as_array().with_context(|| format!("cargo metadata has no list `{key}`"))?;
    Ok(list)
}

fn text<'value>(value: &'value Value, key: &str) -> Result<&'value str> {
    value[key].as_str().with_context(|| format!("cargo metadata has no text `{key}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// One dependency: its name, its kind in the manifest, the features asked of it.
    type Dependency = (&'static str, Option<&'static str>, Vec<&'static str>);

    /// Our crates with what they depend on; names without an entry are packages of the registry.
    type Sketch = Vec<(&'static str, Vec<Dependency>)>;

    /// A workspace in which every invariant holds: the crates of the rules, and what some of them depend on.
    fn sound() -> Sketch {
        let of_backend =
            |name| if BACKEND_CRATES.contains(&name) { vec!["std", "flex"] } else { vec!["std"] };
        let mut sketch: Sketch =
            tensor_crates().map(|name| (name, vec![("burn", None, of_backend(name))])).collect();
        sketch.extend([FFMPEG_CRATE, "xtask"].into_iter().chain(PLAIN_CRATES).map(|name| (name, vec![])));
        for (name, dependency, kind, features) in [
            ("deeptell", "deeptell-video", None, vec![]),
            ("deeptell-augment", "deeptell-face", None, vec![]),
            ("deeptell-cli", "deeptell", None, vec![]),
            ("deeptell-data", "deeptell-face", None, vec![]),
            ("deeptell-face", "image", None, vec![]),
            ("deeptell-files", "sha2", None, vec![]),
            ("deeptell-kernels", "burn-flex", None, vec![]),
            ("deeptell-mobilenet", "burn", Some("dev"), vec!["flex"]),
            ("deeptell-video", "ffmpeg-next", None, vec![]),
            ("xtask", "serde_json", None, vec![]),
        ] {
            let entry = sketch.iter_mut().find(|(ours, _)| *ours == name).unwrap();
            entry.1.push((dependency, kind, features));
        }
        sketch
    }

    /// What cargo would print of a sketch, the features being those of no crate or as given.
    fn workspace(sketch: &Sketch, features: &Value) -> Workspace {
        let packages: Vec<Value> = sketch
            .iter()
            .map(|(name, dependencies)| {
                let dependencies: Vec<Value> = dependencies
                    .iter()
                    .map(|(name, kind, features)| json!({"name": name, "kind": kind, "features": features}))
                    .collect();
                json!({"name": name, "features": features[name], "dependencies": dependencies})
            })
            .collect();
        let tree: Vec<String> = sketch.iter().map(|(name, _)| tree_of(sketch, name, 0)).collect();
        Workspace::new(&tree.join("\n"), &json!({"packages": packages}).to_string()).unwrap()
    }

    fn tree_of(sketch: &Sketch, name: &str, depth: usize) -> String {
        let ours = sketch.iter().find(|(ours, _)| *ours == name);
        let dependencies = ours.map(|(_, dependencies)| dependencies.as_slice()).unwrap_or_default();
        let built = dependencies.iter().filter(|(_, kind, _)| *kind != Some("dev"));
        let below: String = built.map(|(name, ..)| tree_of(sketch, name, depth + 1)).collect();
        format!("{depth}{name} v1.0.0\n{below}")
    }

    fn breaches_of(sketch: &Sketch) -> Vec<String> {
        workspace(sketch, &Value::Null).breaches()
    }

    /// The breaches after one dependency is added to one crate.
    fn breaches_with(crate_name: &str, dependency: Dependency) -> Vec<String> {
        let mut sketch = sound();
        let entry = sketch.iter_mut().find(|(name, _)| *name == crate_name).unwrap();
        entry.1.push(dependency);
        breaches_of(&sketch)
    }

    #[test]
    fn a_sound_workspace_has_no_breach() {
        assert_eq!(breaches_of(&sound()), Vec::<String>::new());
    }

    #[test]
    fn only_video_links_ffmpeg() {
        let expected = ["1: deeptell-train depends on FFmpeg; only deeptell-video may"];
        assert_eq!(breaches_with("deeptell-train", ("ffmpeg-next", None, vec![])), expected);
        assert_eq!(breaches_with("deeptell-train", ("ffmpeg-sys-next", Some("dev"), vec![])), expected);
    }

    #[test]
    fn a_crate_of_the_registry_must_not_bring_ffmpeg_in() {
        let tree = "0deeptell-metrics v0.1.0 (/checkout)\n1player v2.0.0\n2ffmpeg-next v9.0.0\n3ffmpeg-sys-next v9.0.0";
        let manifests = json!({"packages": []}).to_string();
        let workspace = Workspace::new(tree, &manifests).unwrap();
        assert_eq!(workspace.ffmpeg_breaches(), ["1: player depends on FFmpeg; only deeptell-video may"]);
        assert_eq!(
            workspace.plain_breaches(),
            [
                "3: building deeptell-metrics builds ffmpeg-next",
                "3: building deeptell-metrics builds ffmpeg-sys-next"
            ]
        );
    }

    #[test]
    fn training_alone_must_not_build_ffmpeg() {
        let tree = "0deeptell-train v0.1.0 (/checkout)\n1deeptell-video v0.1.0\n2ffmpeg-next v9.0.0";
        let expected = ["1: building deeptell-train builds ffmpeg-next without its feature `codec`"];
        assert_eq!(training_breaches(tree).unwrap(), expected);
        assert!(training_breaches("0deeptell-train v0.1.0\n1burn v0.22.0").unwrap().is_empty());
    }

    #[test]
    fn burn_stays_in_the_tensor_crates() {
        let burn = ("burn", None, vec![]);
        assert_eq!(breaches_with("deeptell-video", burn), ["2: deeptell-video depends on burn"]);
        let store = ("burn-store", Some("dev"), vec![]);
        assert_eq!(breaches_with("xtask", store), ["2: xtask depends on burn"]);
    }

    #[test]
    fn libraries_name_no_backend_outside_of_their_tests() {
        let breaches = breaches_with("deeptell-mtcnn", ("burn", None, vec!["wgpu"]));
        assert_eq!(breaches, ["2: deeptell-mtcnn names burn's backend `wgpu`"]);
        let breaches = breaches_with("deeptell-mobilenet", ("burn-wgpu", None, vec![]));
        assert_eq!(breaches, ["2: deeptell-mobilenet names burn's backend `wgpu`"]);
        assert!(breaches_with("deeptell-mobilenet", ("burn-flex", Some("dev"), vec![])).is_empty());
    }

    #[test]
    fn only_those_that_choose_a_device_forward_backends() {
        let forwarding = |name: &str| json!({name: {"gpu": ["std", "burn/cuda", "burn/autotune"]}});
        let breaches = workspace(&sound(), &forwarding("deeptell-train")).breaches();
        assert_eq!(breaches, ["2: deeptell-train names burn's backend `cuda`"]);
        assert!(workspace(&sound(), &forwarding("deeptell-cli")).breaches().is_empty());
    }

    #[test]
    fn plain_crates_build_without_burn_even_at_a_distance() {
        assert_eq!(
            breaches_with("deeptell-face", ("deeptell-weights", None, vec![])),
            [
                "3: building deeptell-augment builds burn",
                "3: building deeptell-data builds burn",
                "3: building deeptell-face builds burn"
            ]
        );
        assert!(breaches_with("deeptell-face", ("deeptell-weights", Some("dev"), vec![])).is_empty());
    }

    #[test]
    fn xtask_depends_on_none_of_our_crates() {
        let expected = ["4: xtask depends on deeptell-metrics"];
        assert_eq!(breaches_with("xtask", ("deeptell-metrics", None, vec![])), expected);
        assert_eq!(breaches_with("xtask", ("deeptell-metrics", Some("dev"), vec![])), expected);
    }

    #[test]
    fn only_the_crates_at_a_seam_depend_on_what_is_behind_it() {
        let network = ("deeptell-mobilenet", None, vec![]);
        assert_eq!(
            breaches_with("deeptell-train", network.clone()),
            ["10: deeptell-train depends on deeptell-mobilenet"]
        );
        assert!(breaches_with("deeptell-network", network).is_empty());
        let faces = breaches_with("deeptell-train", ("deeptell-mtcnn", Some("dev"), vec![]));
        assert_eq!(faces, ["10: deeptell-train depends on deeptell-mtcnn"]);
    }

    #[test]
    fn a_renamed_crate_is_noticed() {
        let mut sketch = sound();
        sketch.retain(|(name, _)| *name != "deeptell-metrics");
        let expected = ["the rules name the crate deeptell-metrics, which the workspace does not have"];
        assert_eq!(breaches_of(&sketch), expected);
    }

    #[test]
    fn a_repeated_package_keeps_the_dependencies_of_its_first_place() {
        let tree = "0a v1.0.0 (/checkout/a)\n1b v1.0.0\n2c v1.0.0 (proc-macro)\n\n0d v1.0.0\n1b v1.0.0 (*)\n1e v2.0.0";
        let workspace = Workspace { ours: Vec::new(), built: read_tree(tree).unwrap() };
        assert_eq!(workspace.build_of("d"), BTreeSet::from(["b", "c", "e"]));
        assert_eq!(workspace.build_of("a"), BTreeSet::from(["b", "c"]));
    }

    #[test]
    fn texts_of_another_kind_are_refused() {
        let manifests = json!({"packages": []}).to_string();
        assert!(Workspace::new("0a v1.0.0", "{}").is_err());
        assert!(Workspace::new("0a v1.0.0", "no JSON").is_err());
        for tree in ["a v1.0.0", "1a v1.0.0", "0a", "0[build-dependencies] of"] {
            assert!(Workspace::new(tree, &manifests).is_err(), "{tree}");
        }
    }
}
