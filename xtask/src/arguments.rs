//! The command line of xtask.

use std::path::PathBuf;

use crate::package::{CHANNELS, Channel};
use crate::peers::{COMPARISONS, Request};
use crate::{cluster, ffmpeg, hostile, python, web};

/// What `cargo xtask --help` prints.
pub(crate) const HELP: &str = "\
cargo xtask: development tasks

Usage: cargo xtask <TASK>

Tasks:
  setup    Install the system packages that the build needs (Debian, Ubuntu);
           elsewhere print the command that does it
  demo     Build, then extract, train, evaluate and scan the sample in
           datasets/sample; ends with the path of an HTML report
  test     Every test of the workspace: unit, integration and documentation;
           installs Chromium first, for the tests of the web page
  check    Formatting, lints, documentation, architecture, licenses, spelling,
           whether every crate can be packaged, and whether the public interface
           is the one listed in docs/api
  api      Write docs/api again after a change of the public interface
  sanitize The tests of the crates with unsafe code under AddressSanitizer
  fuzz     Feed damaged files to everything that parses, guided by coverage
             cargo xtask fuzz [TARGET] [--seconds N]
           TARGET     one of fuzz/README.md; by default all, one after the other
           --seconds  for each target; five minutes by default
  hostile  Run the program on several hundred files made to harm it
             cargo xtask hostile [--program FILE] [--copies N]
           --program  run this one instead of building it
           --copies   damaged copies of each clip and picture; 5 by default
  peers    Compare the speed with that of other tools, in the same run
             cargo xtask peers scan [--input PATH]... [--json FILE]
             cargo xtask peers decode [--input PATH]... [--json FILE]
             cargo xtask peers faces [--input PATH]... [--json FILE]
             cargo xtask peers network [--json FILE]
             cargo xtask peers browser [--json FILE]
           --input  a file or a folder to measure on; without it, measures the
                    included files, as for the table in BENCHMARKS.md
           --json   append the comparisons to FILE, one JSON line each
  python   Build the Python wheel, install it in clean environments of the oldest and
           the newest Python that are found, and run its tests there
             cargo xtask python [--release] [--python FILE]...
             cargo xtask python types
           --release  as it ships, with the static FFmpeg, and measured; by default as
                      `cargo build` builds
           --python   test with these interpreters
           types      Write the Python types of reports again, from their JSON Schema
  ffmpeg   Build a static FFmpeg of only what files from anyone may use, for
           builds with --features static
             cargo xtask ffmpeg [--sources DIR] [--compare]
           --sources  take the archives from DIR instead of fetching them
           --compare  build deeptell with it and with the system's FFmpeg, and
                      compare every frame of every clip, and the reports
  package  Make what a release consists of in target/dist and try each part
             cargo xtask package [CHANNEL]...
           CHANNEL    binary, sbom, container, wheel (and its sdist) or crates; by
                      default all
  exports  Run the exported detector in ONNX Runtime, OpenCV, tract and rten and
           compare with the scores of deeptell
  devices  Type-check the builds for GPUs, without one
  wgpu     Build deeptell for GPUs through Vulkan, Metal or DirectX 12 and compare
           its results with the CPU; on a software driver if there is no GPU,
           which takes half an hour on two cores
  cuda     Build deeptell for NVIDIA GPUs; downloads LLVM, or uses Debian's if
           that is not possible
  web      Build the page that scans files in the browser, into target/web/site
             cargo xtask web [--serve | --test]
           --serve  show it on this machine
           --test   test it in Chromium
  cluster  Extract the sample on a real cluster of two nodes on this machine, kill a
           program, a worker or a node in the middle, and compare with one run
             cargo xtask cluster slurm | ray [--program FILE]
           slurm      installs Slurm with apt; takes some minutes
           ray        needs Python; downloads 100 MB
           --program  run this one instead of building it
  sample   Generate datasets/sample again from public portraits

All tasks that build run setup first, which does nothing if all is installed.

Examples:
  cargo xtask demo
  cargo xtask check && cargo xtask test
  cargo xtask peers scan --json target/peers.jsonl

Exit codes:
  0  done
  1  a step failed; the last line names it
  2  something is missing: arguments, a system package, a password";

/// What the user asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Help,
    Setup,
    Demo,
    Test,
    Check,
    Api,
    Sanitize,
    Devices,
    Wgpu,
    Cuda,
    Fuzz {
        /// Which target; all if none is named.
        target: Option<String>,
        /// How long each.
        seconds: u64,
    },
    Hostile(hostile::Request),
    Ffmpeg(ffmpeg::Request),
    Package(Vec<Channel>),
    Peers(Request),
    Python(python::Request),
    Exports,
    Sample,
    Web(web::Request),
    Cluster(cluster::Request),
}

/// Reads the words after `cargo xtask`.
///
/// # Errors
/// A sentence for the user when the words make no task.
pub(crate) fn parse(words: &[String]) -> Result<Task, String> {
    let Some((name, rest)) = words.split_first() else { return Ok(Task::Help) };
    if words.iter().any(|word| word == "--help" || word == "-h") {
        return Ok(Task::Help);
    }
    let task = match name.as_str() {
        "help" => Task::Help,
        "setup" => Task::Setup,
        "demo" => Task::Demo,
        "test" => Task::Test,
        "check" => Task::Check,
        "api" => Task::Api,
        "sanitize" => Task::Sanitize,
        "devices" => Task::Devices,
        "wgpu" => Task::Wgpu,
        "cuda" => Task::Cuda,
        "fuzz" => return parse_fuzz(rest),
        "hostile" => return parse_hostile(rest).map(Task::Hostile),
        "ffmpeg" => return parse_ffmpeg(rest).map(Task::Ffmpeg),
        "package" => return parse_package(rest).map(Task::Package),
        "exports" => Task::Exports,
        "sample" => Task::Sample,
        "python" => return parse_python(rest).map(Task::Python),
        "web" => return parse_web(rest).map(Task::Web),
        "peers" => return parse_peers(rest).map(Task::Peers),
        "cluster" => return parse_cluster(rest).map(Task::Cluster),
        other => return Err(format!("there is no task `{other}`")),
    };
    match rest.first() {
        Some(extra) => Err(format!("`{name}` takes no argument, but got `{extra}`")),
        None => Ok(task),
    }
}

fn parse_fuzz(words: &[String]) -> Result<Task, String> {
    let mut words = words.iter().map(String::as_str);
    let (mut target, mut seconds) = (None, 300);
    while let Some(word) = words.next() {
        match word {
            "--seconds" => {
                let number = words.next().ok_or("`--seconds` needs a number")?;
                seconds =
                    number.parse().ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
                        format!("`--seconds` needs a whole number above 0, but got `{number}`")
                    })?;
            }
            other if other.starts_with('-') => return Err(format!("`fuzz` has no option `{other}`")),
            name if target.is_none() => target = Some(name.to_owned()),
            other => return Err(format!("`fuzz` takes one target, but got `{other}` as well")),
        }
    }
    Ok(Task::Fuzz { target, seconds })
}

fn parse_hostile(words: &[String]) -> Result<hostile::Request, String> {
    let mut words = words.iter();
    let mut request = hostile::Request::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("`{word}` needs a value"));
        match word.as_str() {
            "--program" => request.program = Some(value()?.into()),
            "--copies" => {
                let number = value()?;
                let copies =
                    number.parse().map_err(|_| format!("`--copies` needs a number, but got `{number}`"))?;
                request.copies = Some(copies);
            }
            other => return Err(format!("`hostile` has no option `{other}`")),
        }
    }
    Ok(request)
}

fn parse_cluster(words: &[String]) -> Result<cluster::Request, String> {
    let mut words = words.iter();
    let (mut engine, mut program) = (None, None);
    while let Some(word) = words.next() {
        if word == "--program" {
            program = Some(words.next().ok_or("`--program` needs a path")?.into());
            continue;
        }
        let found = cluster::Engine::ALL.into_iter().find(|engine| engine.name() == word);
        engine = Some(found.ok_or_else(|| format!("`cluster` knows no `{word}`; it knows slurm and ray"))?);
    }
    let engine = engine.ok_or("`cluster` needs to know which: slurm or ray")?;
    Ok(cluster::Request { engine, program })
}

fn parse_python(words: &[String]) -> Result<python::Request, String> {
    if words.first().is_some_and(|word| word == "types") {
        return match words.get(1) {
            Some(extra) => Err(format!("`python types` takes no argument, but got `{extra}`")),
            None => Ok(python::Request::Types),
        };
    }
    let mut words = words.iter();
    let (mut release, mut interpreters) = (false, Vec::new());
    while let Some(word) = words.next() {
        match word.as_str() {
            "--release" => release = true,
            "--python" => interpreters.push(words.next().ok_or("`--python` needs a program")?.into()),
            other => return Err(format!("`python` has no option `{other}`")),
        }
    }
    Ok(python::Request::Wheel { release, interpreters })
}

fn parse_ffmpeg(words: &[String]) -> Result<ffmpeg::Request, String> {
    let mut words = words.iter();
    let mut request = ffmpeg::Request::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--sources" => request.sources = Some(words.next().ok_or("`--sources` needs a folder")?.into()),
            "--compare" => request.compare = true,
            other => return Err(format!("`ffmpeg` has no option `{other}`")),
        }
    }
    Ok(request)
}

fn parse_web(words: &[String]) -> Result<web::Request, String> {
    match words {
        [] => Ok(web::Request::Build),
        [word] if word == "--serve" => Ok(web::Request::Serve),
        [word] if word == "--test" => Ok(web::Request::Test),
        // For xtask itself.
        [word] if word == "bundle" => Ok(web::Request::Bundle),
        _ => Err("`web` takes `--serve`, `--test`, or nothing".to_owned()),
    }
}

fn parse_package(words: &[String]) -> Result<Vec<Channel>, String> {
    let known = || CHANNELS.map(|channel| channel.name).join(", ");
    let channel = |word: &String| {
        let found = CHANNELS.into_iter().find(|channel| channel.name == word);
        found.ok_or_else(|| format!("`package` cannot make `{word}`; it knows: {}", known()))
    };
    words.iter().map(channel).collect()
}

fn parse_peers(words: &[String]) -> Result<Request, String> {
    let mut words = words.iter();
    let known = || COMPARISONS.iter().map(|comparison| comparison.name).collect::<Vec<_>>().join(", ");
    let name = words.next().ok_or_else(|| format!("`peers` needs to know what to measure: {}", known()))?;
    let comparison = COMPARISONS
        .iter()
        .find(|comparison| comparison.name == name)
        .ok_or_else(|| format!("`peers` cannot measure `{name}`; it knows: {}", known()))?;
    let mut request = Request { comparison, inputs: Vec::new(), json: None };
    while let Some(option) = words.next() {
        let mut value = || words.next().map(PathBuf::from).ok_or(format!("`{option}` needs a path"));
        match option.as_str() {
            "--json" => request.json = Some(value()?),
            "--input" => request.inputs.push(value()?),
            other => return Err(format!("`peers` has no option `{other}`")),
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Task, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn each_task_is_known_by_its_name() {
        assert_eq!(parse_line("setup"), Ok(Task::Setup));
        assert_eq!(parse_line("demo"), Ok(Task::Demo));
        assert_eq!(parse_line("test"), Ok(Task::Test));
        assert_eq!(parse_line("check"), Ok(Task::Check));
        assert_eq!(parse_line("api"), Ok(Task::Api));
        assert_eq!(parse_line("sample"), Ok(Task::Sample));
        assert_eq!(parse_line("exports"), Ok(Task::Exports));
        assert_eq!(parse_line("sanitize"), Ok(Task::Sanitize));
        assert_eq!(parse_line("devices"), Ok(Task::Devices));
        assert_eq!(parse_line("wgpu"), Ok(Task::Wgpu));
        assert_eq!(parse_line("cuda"), Ok(Task::Cuda));
    }

    #[test]
    fn fuzz_takes_a_target_and_a_time() {
        assert_eq!(parse_line("fuzz"), Ok(Task::Fuzz { target: None, seconds: 300 }));
        let picture = || Some("picture".to_owned());
        assert_eq!(parse_line("fuzz picture"), Ok(Task::Fuzz { target: picture(), seconds: 300 }));
        assert_eq!(parse_line("fuzz --seconds 7 picture"), Ok(Task::Fuzz { target: picture(), seconds: 7 }));
        for line in ["fuzz --seconds", "fuzz --seconds 0", "fuzz --minutes 3", "fuzz a b"] {
            assert!(parse_line(line).is_err(), "{line}");
        }
    }

    #[test]
    fn python_takes_a_profile_and_interpreters() {
        let wheel = |release, interpreters: &[&str]| {
            let interpreters = interpreters.iter().map(PathBuf::from).collect();
            Ok(Task::Python(python::Request::Wheel { release, interpreters }))
        };
        assert_eq!(parse_line("python"), wheel(false, &[]));
        assert_eq!(parse_line("python --python a --release --python b"), wheel(true, &["a", "b"]));
        assert_eq!(parse_line("python types"), Ok(Task::Python(python::Request::Types)));
    }

    #[test]
    fn ffmpeg_takes_a_folder_of_sources() {
        assert_eq!(parse_line("ffmpeg"), Ok(Task::Ffmpeg(ffmpeg::Request::default())));
        let request = ffmpeg::Request { sources: Some("archives".into()), compare: true };
        assert_eq!(parse_line("ffmpeg --compare --sources archives"), Ok(Task::Ffmpeg(request)));
        for line in ["ffmpeg --sources", "ffmpeg archives", "ffmpeg --shared"] {
            assert!(parse_line(line).is_err(), "{line}");
        }
    }

    #[test]
    fn web_builds_serves_or_tests() {
        assert_eq!(parse_line("web"), Ok(Task::Web(web::Request::Build)));
        assert_eq!(parse_line("web --serve"), Ok(Task::Web(web::Request::Serve)));
        assert_eq!(parse_line("web --test"), Ok(Task::Web(web::Request::Test)));
        for line in ["web --serve --test", "web --open"] {
            assert!(parse_line(line).is_err(), "{line}");
        }
    }

    #[test]
    fn cluster_takes_an_engine() {
        let ray = cluster::Request { engine: cluster::Engine::Ray, program: Some("d".into()) };
        assert_eq!(parse_line("cluster --program d ray"), Ok(Task::Cluster(ray)));
        let slurm = cluster::Request { engine: cluster::Engine::Slurm, program: None };
        assert_eq!(parse_line("cluster slurm"), Ok(Task::Cluster(slurm)));
    }

    #[test]
    fn package_takes_channels() {
        assert_eq!(parse_line("package"), Ok(Task::Package(Vec::new())));
        assert_eq!(parse_line("package binary sbom"), Ok(Task::Package(CHANNELS[..2].to_vec())));
        let error = parse_line("package snap").unwrap_err();
        for channel in CHANNELS {
            assert!(error.contains(channel.name) && HELP.contains(channel.name), "{}", channel.name);
        }
    }

    #[test]
    fn help_is_shown_for_help_anywhere_or_for_no_arguments() {
        for line in ["", "help", "--help", "-h", "demo --help", "peers scan -h"] {
            assert_eq!(parse_line(line), Ok(Task::Help), "{line}");
        }
    }

    #[test]
    fn every_task_but_help_is_in_the_help_text() {
        for task in [
            "setup", "demo", "test", "check", "api", "sanitize", "fuzz", "hostile", "peers", "devices",
            "wgpu", "cuda", "sample", "exports", "python", "ffmpeg", "package", "web", "cluster",
        ] {
            assert!(HELP.contains(&format!("\n  {task} ")), "{task}");
        }
    }

    #[test]
    fn peers_takes_inputs_and_a_file_for_the_figures() {
        let scan = COMPARISONS.iter().find(|comparison| comparison.name == "scan").unwrap();
        let request = Request {
            comparison: scan,
            json: Some(PathBuf::from("out.jsonl")),
            inputs: vec![PathBuf::from("a.mp4"), PathBuf::from("clips")],
        };
        let parsed = parse_line("peers scan --input a.mp4 --json out.jsonl --input clips");
        assert_eq!(parsed, Ok(Task::Peers(request)));
        let plain = Request { comparison: scan, inputs: Vec::new(), json: None };
        assert_eq!(parse_line("peers scan"), Ok(Task::Peers(plain)));
    }

    #[test]
    fn every_comparison_is_in_the_help_text() {
        for comparison in COMPARISONS {
            assert!(HELP.contains(&format!("cargo xtask peers {} ", comparison.name)), "{}", comparison.name);
        }
    }

    #[test]
    fn unknown_arguments_are_named_in_the_error() {
        for (line, named) in [
            ("build", "`build`"),
            ("demo --fast", "`--fast`"),
            ("fuzz --seconds", "`--seconds`"),
            ("fuzz --seconds soon", "`soon`"),
            ("fuzz --loud", "`--loud`"),
            ("hostile --loud", "`--loud`"),
            ("hostile --copies few", "`few`"),
            ("python --python", "`--python`"),
            ("python wheel", "`wheel`"),
            ("python types now", "`now`"),
            ("cluster", "slurm"),
            ("cluster pbs", "`pbs`"),
            ("cluster ray --program", "`--program`"),
            ("peers", "scan"),
            ("peers nothing", "`nothing`"),
            ("peers scan --json", "`--json`"),
            ("peers scan --loud", "`--loud`"),
        ] {
            let complaint = parse_line(line).unwrap_err();
            assert!(complaint.contains(named), "{line}: {complaint}");
        }
    }
}
