//! `cargo xtask ffmpeg`: a static FFmpeg of only what files from anyone may use.
//!
//! FFmpeg, dav1d and zlib are built as archives from checked sources, under the LGPL, without programs, encoders,
//! protocols and network. `cargo build --features static` links them. The result lies in `target/ffmpeg` under a name
//! made from the recipe, so a build happens once for each recipe and compiler.

mod compare;
mod recipe;
mod sources;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail};

use crate::process::{cargo, display, output_of, run_step};
use crate::setup;
use crate::workspace::Workspace;

use recipe::{Components, FFMPEG, PREFIX, dav1d_switches};
pub(crate) use recipe::{SOURCES, Source};
pub(crate) use sources::sha256;

/// Where everything of this task lies.
const FOLDER: &str = "target/ffmpeg";

/// Where programs with it are built: apart, so that neither they nor the others are rebuilt each time.
pub(crate) const TARGET: &str = "target/static";

/// What `rustc` is told where a program with it is linked. All crates are optimized together then, after each was alone,
/// so what is worth inlining mostly is inlined already: LLVM's own bounds make what ships larger by 4%, and no faster.
pub(crate) const LINKING: [&str; 4] =
    ["-C", "llvm-args=-inline-threshold=25", "-C", "llvm-args=-inlinehint-threshold=50"];

/// The file that is written last. It goes along with the program.
const RECIPE: &str = "RECIPE.txt";

/// What `cargo xtask ffmpeg` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// A folder with the archives, if they are not to be fetched.
    pub(crate) sources: Option<PathBuf>,
    /// Whether to compare with the FFmpeg of the system.
    pub(crate) compare: bool,
}

/// A static FFmpeg that is ready to be linked.
pub(crate) struct Static {
    /// Holds `RECIPE.txt`, `licenses` and the libraries.
    pub(crate) folder: PathBuf,
}

impl Static {
    /// What `PKG_CONFIG_PATH` must be for `--features static`.
    pub(crate) fn pkg_config_path(&self) -> PathBuf {
        pkg_config_path(&self.folder)
    }

    /// Builds the program with it, as it ships.
    ///
    /// # Errors
    /// When it does not build.
    pub(crate) fn program(&self, workspace: &Workspace, step: &str) -> Result<PathBuf> {
        let mut build = cargo();
        build.args(["rustc", "--release", "--locked", "--package", "deeptell-cli", "--bin", "deeptell"]);
        build.args(["--features", "static", "--target-dir", TARGET, "--"]).args(LINKING);
        build.env("PKG_CONFIG_PATH", self.pkg_config_path());
        run_step(step, &mut build)?;
        let name = format!("deeptell{}", env::consts::EXE_SUFFIX);
        Ok(workspace.root.join(TARGET).join("release").join(name))
    }

    /// What goes along with a program that holds it: the recipe, with its sources, and the licenses.
    ///
    /// # Errors
    /// When the files cannot be copied.
    pub(crate) fn copy_documents(&self, to: &Path) -> Result<()> {
        fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
        let licenses = self.folder.join("licences");
        let listing = || format!("cannot list {}", licenses.display());
        let mut files = vec![self.folder.join(RECIPE)];
        for entry in fs::read_dir(&licenses).with_context(listing)? {
            files.push(entry.with_context(listing)?.path());
        }
        for file in files {
            let name = file.file_name().context("a file without a name")?;
            fs::copy(&file, to.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
        }
        Ok(())
    }
}

fn pkg_config_path(folder: &Path) -> PathBuf {
    folder.join(PREFIX.trim_start_matches('/')).join("lib/pkgconfig")
}

/// Builds the libraries if they are not there, and compares them with the system's if asked to.
///
/// # Errors
/// [`NotReady`](crate::process::NotReady) where tools or sources cannot be had; another error when a step fails or
/// something differs.
pub(crate) fn run(workspace: &Workspace, request: &Request) -> Result<()> {
    let built = build(workspace, request.sources.as_deref())?;
    println!(
        "\nThe static FFmpeg {} is in {}. To link it:\n\n  PKG_CONFIG_PATH={} cargo build --release --features static",
        FFMPEG.version,
        built.folder.display(),
        built.pkg_config_path().display(),
    );
    if request.compare { compare::run(workspace, &built) } else { Ok(()) }
}

/// Builds the libraries, unless this recipe was built before.
///
/// # Errors
/// As [`run`].
pub(crate) fn build(workspace: &Workspace, given: Option<&Path>) -> Result<Static> {
    setup::ensure_for_ffmpeg()?;
    let components = Components::of_checkout(&workspace.root)?;
    let version = output_of(Command::new("cc").arg("--version"))?;
    let recipe = components.recipe(version.lines().next().unwrap_or_default());
    let key = recipe::key(&recipe, &format!("{}-{}", env::consts::ARCH, env::consts::OS));
    let folder = workspace.root.join(FOLDER).join(key);
    if folder.join(RECIPE).is_file() {
        return Ok(Static { folder });
    }
    let given = given
        .map(|folder| fs::canonicalize(folder).with_context(|| format!("no folder {}", folder.display())));
    let given = given.transpose()?;
    let cache = workspace.root.join(FOLDER).join("sources");
    let mut archives = Vec::new();
    for source in SOURCES {
        archives.push((source, sources::obtain(source, given.as_deref(), &cache)?));
    }

    // What an interrupted run left behind.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let work = folder.join("work");
    let builder = Builder { work: work.clone(), folder: folder.clone(), log: folder.join("build.log") };
    for folder in [&work, &folder.join("licences")] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    eprintln!("The build takes a few minutes; its output is in {}.", builder.log.display());
    for (source, archive) in archives {
        let sources = builder.unpack(source, &archive)?;
        builder.keep_licenses(source, &sources)?;
        match source.name {
            "zlib" => builder.zlib(&sources)?,
            "dav1d" => builder.dav1d(&sources)?,
            _ => builder.ffmpeg(&sources, &components)?,
        }
        builder.make_movable()?;
    }
    fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    let file = folder.join(RECIPE);
    fs::write(&file, recipe).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Static { folder })
}

/// A build that is going on.
struct Builder {
    /// Where the sources are unpacked.
    work: PathBuf,
    /// Where the result goes.
    folder: PathBuf,
    log: PathBuf,
}

impl Builder {
    /// Unpacks an archive, and returns the folder that is in it.
    fn unpack(&self, source: &Source, archive: &Path) -> Result<PathBuf> {
        let into = self.work.join(source.name);
        fs::create_dir_all(&into).with_context(|| format!("cannot make {}", into.display()))?;
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--strip-components=1", "--no-same-owner", "--file"]).arg(archive);
        self.step(&format!("unpack {} {}", source.name, source.version), tar.arg("--directory").arg(&into))?;
        Ok(into)
    }

    fn keep_licenses(&self, source: &Source, sources: &Path) -> Result<()> {
        for name in source.license_files {
            let (from, to) =
                (sources.join(name), self.folder.join("licences").join(format!("{}-{name}", source.name)));
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        Ok(())
    }

    fn zlib(&self, sources: &Path) -> Result<()> {
        let mut configure = Command::new("./configure");
        configure.args(["--static", &format!("--prefix={PREFIX}")]).env("CFLAGS", "-O3 -fPIC");
        self.step("configure zlib", configure.current_dir(sources))?;
        self.step("build zlib", make().arg("libz.a").current_dir(sources))?;
        self.step("install zlib", self.to_folder(make().arg("install").current_dir(sources)))
    }

    fn dav1d(&self, sources: &Path) -> Result<()> {
        let mut setup = Command::new("meson");
        setup.args(["setup", "build", &format!("--prefix={PREFIX}")]).args(dav1d_switches());
        self.step("configure dav1d", setup.current_dir(sources))?;
        self.step("build dav1d", Command::new("ninja").args(["-C", "build"]).current_dir(sources))?;
        let mut install = Command::new("ninja");
        self.step(
            "install dav1d",
            self.to_folder(install.args(["-C", "build", "install"]).current_dir(sources)),
        )
    }

    fn ffmpeg(&self, sources: &Path, components: &Components) -> Result<()> {
        let mut configure = Command::new("./configure");
        configure.args(components.configure()).env("PKG_CONFIG_PATH", pkg_config_path(&self.folder));
        self.step("configure ffmpeg", configure.current_dir(sources))?;
        let read = |name: &str| {
            let file = sources.join(name);
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
        };
        components.check(&read("config_components.h")?)?;
        check_license(&read("config.h")?)?;
        self.step("build ffmpeg", make().current_dir(sources))?;
        self.step("install ffmpeg", self.to_folder(make().arg("install").current_dir(sources)))
    }

    /// Lets an installation go below the folder of the result, all in all under [`PREFIX`].
    fn to_folder<'command>(&self, command: &'command mut Command) -> &'command mut Command {
        command.env("DESTDIR", &self.folder)
    }

    /// Lets the `.pc` files find the libraries from where they are themselves. Those of FFmpeg name the folder in
    /// which the build found dav1d.
    fn make_movable(&self) -> Result<()> {
        let folder = pkg_config_path(&self.folder);
        let found = format!("{}{PREFIX}", self.folder.display());
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let file = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            fs::write(&file, movable(&text, &found))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }

    /// Runs a step with its output going to the log.
    fn step(&self, name: &str, command: &mut Command) -> Result<()> {
        eprintln!("==> {name}");
        let open = || File::options().create(true).append(true).open(&self.log);
        let log = open().and_then(|log| Ok((log.try_clone()?, log)));
        let (out, errors) = log.with_context(|| format!("cannot write {}", self.log.display()))?;
        let status = command.stdin(Stdio::null()).stdout(out).stderr(errors).status();
        let status = status.with_context(|| format!("step `{name}`: cannot start {}", display(command)))?;
        if !status.success() {
            bail!("step `{name}` failed ({status}): the end of {} says why", self.log.display());
        }
        Ok(())
    }
}

/// The text of a `.pc` file with its own place for the folder of the libraries, under either name.
fn movable(text: &str, found: &str) -> String {
    const HERE: &str = "${pcfiledir}/../..";
    text.replace(found, HERE).replace(PREFIX, HERE)
}

fn make() -> Command {
    let mut make = Command::new("make");
    make.arg(format!("-j{}", available_parallelism().map_or(1, usize::from)));
    make
}

/// Refuses a build that is not under the LGPL, by what its `config.h` says.
fn check_license(config: &str) -> Result<()> {
    let license = config.lines().find_map(|line| line.strip_prefix("#define FFMPEG_LICENSE "));
    if license != Some("\"LGPL version 2.1 or later\"") {
        bail!("FFmpeg says that its license is {}, not the LGPL 2.1 or later", license.unwrap_or("unknown"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pc_file_names_no_folder_of_the_machine_that_built_it() {
        let text = "prefix=/ffmpeg-static\nlibdir=${prefix}/lib\n\
                    Libs: -L${libdir} -lavcodec -L/home/me/target/ffmpeg/0a/ffmpeg-static/lib -ldav1d\n";
        let expected = "prefix=${pcfiledir}/../..\nlibdir=${prefix}/lib\n\
                        Libs: -L${libdir} -lavcodec -L${pcfiledir}/../../lib -ldav1d\n";
        assert_eq!(movable(text, "/home/me/target/ffmpeg/0a/ffmpeg-static"), expected);
    }

    #[test]
    fn a_build_under_another_license_is_refused() {
        check_license("#define A 1\n#define FFMPEG_LICENSE \"LGPL version 2.1 or later\"\n").unwrap();
        for config in ["", "#define FFMPEG_LICENSE \"GPL version 2 or later\"\n"] {
            assert!(check_license(config).is_err(), "{config}");
        }
    }
}
