//! Checks of an installation: FFmpeg, the sandbox, the model, the processor, free disk space.
//!
//! [`Diagnosis::new`] makes them; the result is plain data, with one line of text per check.

mod machine;
#[cfg(unix)]
mod trial;

use std::fmt;
use std::path::PathBuf;

use burn::tensor::Device;
use deeptell_files::error_chain;
use deeptell_video::linked_ffmpeg;
pub use deeptell_video::{Exposure, LibraryVersion, LinkedFfmpeg};
pub use machine::{FreeSpace, Processor};
use serde::Serialize;

use crate::text::printable;
use crate::{Error, ModelFile, VERSION};

/// What the checks of an installation found. In text, a line per check, and a line of advice where there is some.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// [`crate::VERSION`].
    pub version: &'static str,
    /// What the program was built for, for example `linux x86_64`.
    pub platform: String,
    /// The findings.
    pub checks: Vec<Check>,
    /// The FFmpeg in use.
    pub ffmpeg: LinkedFfmpeg,
    /// How untrusted files are decoded.
    pub sandbox: Sandbox,
    /// The model; `None` if it cannot be used.
    pub model: Option<ModelFacts>,
    /// The processor and the memory.
    pub processor: Processor,
    /// Free space where files are written.
    pub folders: Vec<FreeSpace>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Whether it is in order.
    pub state: CheckState,
    /// What was found.
    pub found: String,
    /// What to do about it; empty when there is nothing to do.
    pub advice: String,
}

/// Whether something is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CheckState {
    /// It is.
    Ok,
    /// It works, with a disadvantage.
    Warning,
    /// It does not work.
    Failed,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: CheckState::Ok, found: found.into(), advice: String::new() }
    }

    fn failed(name: &'static str, error: &dyn std::error::Error) -> Self {
        Self { state: CheckState::Failed, ..Self::ok(name, printable(&error_chain(error))) }
    }

    fn but(self, state: CheckState, advice: impl Into<String>) -> Self {
        Self { state, advice: advice.into(), ..self }
    }
}

/// How untrusted files are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact of the JSON document")]
#[non_exhaustive]
pub struct Sandbox {
    /// A separate process decoded a test video.
    pub decodes: bool,
    /// Its system calls are filtered (seccomp).
    pub filters_calls: bool,
    /// It may not gain privileges.
    pub no_new_privileges: bool,
    /// It holds no capability of root.
    pub no_capabilities: bool,
}

/// The model that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelFacts {
    /// The name in its card.
    pub name: String,
    /// SHA-256 of the model file, in hexadecimal.
    pub sha256: String,
    /// It is the model that ships.
    pub is_shipped: bool,
}

impl Diagnosis {
    /// Makes all checks. `model` is the model file, or why it could not be read; it is loaded onto `device`. `folders` are
    /// those that the program writes to, each with a word for what.
    ///
    /// It decodes a small video in a separate process, so `main` must begin with
    /// [`run_if_decoder`](crate::run_if_decoder).
    pub fn new(
        model: Result<ModelFile, Error>,
        device: &Device,
        folders: impl IntoIterator<Item = (&'static str, PathBuf)>,
    ) -> Self {
        let ffmpeg = linked_ffmpeg();
        let (model_check, model) = check_model(model, device);
        let (sandbox_check, sandbox) = check_sandbox();
        let processor = Processor::this();
        let folders: Vec<FreeSpace> =
            folders.into_iter().map(|(purpose, folder)| FreeSpace::of(purpose, folder)).collect();
        let mut checks = vec![check_ffmpeg(&ffmpeg), sandbox_check, model_check, processor.check()];
        checks.extend(folders.iter().map(FreeSpace::check));
        Self {
            version: VERSION,
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            checks,
            ffmpeg,
            sandbox,
            model,
            processor,
            folders,
        }
    }

    /// Whether something does not work.
    pub fn has_failed(&self) -> bool {
        self.checks.iter().any(|check| check.state == CheckState::Failed)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "deeptell {} on {}", self.version, self.platform)?;
        for check in &self.checks {
            let state = match check.state {
                CheckState::Ok => "ok",
                CheckState::Warning => "warning",
                CheckState::Failed => "FAILED",
            };
            writeln!(f, "{state:<8}{}: {}", check.name, check.found)?;
            if !check.advice.is_empty() {
                writeln!(f, "        {}", check.advice)?;
            }
        }
        Ok(())
    }
}

fn check_ffmpeg(ffmpeg: &LinkedFfmpeg) -> Check {
    let found = format!("{} (libavcodec {})", ffmpeg.release, ffmpeg.libavcodec);
    let check = Check::ok("FFmpeg", found);
    match ffmpeg.magicyuv_heap_write {
        Exposure::Affected => check.but(
            CheckState::Warning,
            "this release has CVE-2026-8461, a heap write in its MagicYUV decoder, unless your distribution \
             backported the fix. deeptell never uses that decoder, but other programs do: update FFmpeg to 5.1.10, \
             6.1.6, 7.1.5, 8.1.2 or later",
        ),
        _ => check,
    }
}

fn check_model(file: Result<ModelFile, Error>, device: &Device) -> (Check, Option<ModelFacts>) {
    const NAME: &str = "model";
    let loaded = file.and_then(|file| file.load(device).map(|_| file));
    let file = match loaded {
        Ok(file) => file,
        Err(error) => {
            let check = Check::failed(NAME, &error);
            let advice = "download the model file again, or reinstall deeptell";
            return (check.but(CheckState::Failed, advice), None);
        }
    };
    let sha256 = file.sha256().to_owned();
    let is_shipped = ModelFile::shipped().is_ok_and(|shipped| shipped.sha256() == sha256);
    let facts = ModelFacts { name: file.card().name.clone(), sha256, is_shipped };
    (Check::ok(NAME, format!("{}, SHA-256 {}", facts.name, facts.sha256)), Some(facts))
}

#[cfg(not(unix))]
fn check_sandbox() -> (Check, Sandbox) {
    let check = Check::ok("sandbox", "none: separate decoder processes are not supported on this system");
    let advice = "scan untrusted files on Linux, or in a virtual machine";
    (check.but(CheckState::Warning, advice), Sandbox::default())
}

/// Decodes a video in a separate process and inspects that process.
#[cfg(unix)]
fn check_sandbox() -> (Check, Sandbox) {
    const NAME: &str = "sandbox";
    let sandbox = match trial::decode_clip() {
        Ok(sandbox) => sandbox,
        Err(error) => {
            let advice =
                "files cannot be decoded in a separate process, so scans fail unless --trusted is given";
            return (Check::failed(NAME, &error).but(CheckState::Failed, advice), Sandbox::default());
        }
    };
    if !cfg!(target_os = "linux") {
        let check = Check::ok(NAME, "each file is decoded in a separate process");
        let advice = "this system does not restrict that process; Linux does";
        return (check.but(CheckState::Warning, advice), sandbox);
    }
    (check_restrictions(sandbox), sandbox)
}

#[cfg(unix)]
fn check_restrictions(sandbox: Sandbox) -> Check {
    let parts = [
        (sandbox.filters_calls, "system calls are filtered"),
        (sandbox.no_new_privileges, "no new privileges"),
        (sandbox.no_capabilities, "no capabilities"),
    ];
    let words = |wanted: bool| {
        let of = parts.iter().filter(|(is_there, _)| *is_there == wanted);
        of.map(|(_, words)| *words).collect::<Vec<_>>().join(", ")
    };
    let check = Check::ok("sandbox", format!("each file is decoded in a separate process: {}", words(true)));
    if !sandbox.filters_calls || !sandbox.no_new_privileges {
        let advice = format!("not in force: {}; use a kernel with seccomp filters", words(false));
        return check.but(CheckState::Failed, advice);
    }
    if !sandbox.no_capabilities {
        let advice = "the decoder holds capabilities: do not scan untrusted files as root";
        return check.but(CheckState::Warning, advice);
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_affected_ffmpeg_is_a_warning() {
        let mut ffmpeg = linked_ffmpeg();
        ffmpeg.magicyuv_heap_write = Exposure::Affected;
        let check = check_ffmpeg(&ffmpeg);
        assert_eq!(check.state, CheckState::Warning);
        assert!(check.advice.contains("CVE-2026-8461") && check.advice.contains("8.1.2"), "{}", check.advice);
        ffmpeg.magicyuv_heap_write = Exposure::Fixed;
        assert_eq!(check_ffmpeg(&ffmpeg).state, CheckState::Ok);
    }

    #[test]
    fn a_file_that_is_not_a_model_fails() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (check, facts) = check_model(ModelFile::read(file.path()), &Device::flex());
        assert_eq!(check.state, CheckState::Failed);
        assert!(facts.is_none());
        let (check, facts) = check_model(ModelFile::shipped(), &Device::flex());
        assert_eq!((check.state, facts.unwrap().is_shipped), (CheckState::Ok, true));
    }

    #[cfg(unix)]
    #[test]
    fn a_missing_restriction_is_named() {
        let all =
            Sandbox { decodes: true, filters_calls: true, no_new_privileges: true, no_capabilities: true };
        assert_eq!(check_restrictions(all).state, CheckState::Ok);
        let root = Sandbox { no_capabilities: false, ..all };
        assert_eq!(check_restrictions(root).state, CheckState::Warning);
        let open = check_restrictions(Sandbox { filters_calls: false, ..all });
        assert_eq!(open.state, CheckState::Failed);
        assert!(open.advice.contains("not in force: system calls are filtered"), "{}", open.advice);
    }

    #[test]
    fn text_and_advice_have_a_line_each() {
        let fine = Check::ok("a", "b");
        let bad = Check::failed("c", &std::io::Error::other("d\u{1b}[2J")).but(CheckState::Failed, "e");
        let diagnosis = Diagnosis {
            version: "1",
            platform: "p".to_owned(),
            checks: vec![fine, bad],
            ffmpeg: linked_ffmpeg(),
            sandbox: Sandbox::default(),
            model: None,
            processor: Processor::this(),
            folders: Vec::new(),
        };
        assert!(diagnosis.has_failed());
        let lines = "deeptell 1 on p\nok      a: b\nFAILED  c: d\\u{1b}[2J\n        e\n";
        assert_eq!(diagnosis.to_string(), lines);
    }
}
