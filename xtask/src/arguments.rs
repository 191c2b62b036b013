//! The command line of xtask.

use std::path::PathBuf;

use crate::peers::{COMPARISONS, Request};

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
  check    Formatting, lints, documentation, architecture, licences, spelling,
           whether every crate can be packaged, and whether the public interface
           is the one listed in docs/api
  api      Write docs/api again after a change of the public interface
  sanitize The tests of the crates with unsafe code under AddressSanitizer
  fuzz     Feed the frame sampler damaged files, guided by coverage
             cargo xtask fuzz [--seconds N]     five minutes by default
  peers    Compare the speed with that of other tools, in the same run
             cargo xtask peers scan [--input PATH]... [--json FILE]
             cargo xtask peers decode [--input PATH]... [--json FILE]
             cargo xtask peers faces [--input PATH]... [--json FILE]
             cargo xtask peers network [--json FILE]
           --input  a file or a folder to measure on; without it, measures the
                    included files, as for the table in BENCHMARKS.md
           --json   append the comparisons to FILE, one JSON line each
  exports  Run the exported detector in ONNX Runtime, OpenCV, tract and rten and
           compare with the scores of deeptell
  devices  Type-check the builds for GPUs, without one
  wgpu     Build deeptell for GPUs through Vulkan, Metal or DirectX 12 and compare
           its results with the CPU; on a software driver if there is no GPU,
           which takes half an hour on two cores
  cuda     Build deeptell for NVIDIA GPUs; downloads LLVM, or uses Debian's if
           that is not possible
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
        /// How long.
        seconds: u64,
    },
    Peers(Request),
    Exports,
    Sample,
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
        "exports" => Task::Exports,
        "sample" => Task::Sample,
        "peers" => return parse_peers(rest).map(Task::Peers),
        other => return Err(format!("there is no task `{other}`")),
    };
    match rest.first() {
        Some(extra) => Err(format!("`{name}` takes no argument, but got `{extra}`")),
        None => Ok(task),
    }
}

fn parse_fuzz(words: &[String]) -> Result<Task, String> {
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(Task::Fuzz { seconds: 300 }),
        ["--seconds", seconds] => match seconds.parse() {
            Ok(seconds) if seconds > 0 => Ok(Task::Fuzz { seconds }),
            _ => Err(format!("`--seconds` needs a whole number above 0, but got `{seconds}`")),
        },
        ["--seconds"] => Err("`--seconds` needs a number".to_owned()),
        [other, ..] => Err(format!("`fuzz` has no option `{other}`")),
    }
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
    fn fuzz_takes_a_time() {
        assert_eq!(parse_line("fuzz"), Ok(Task::Fuzz { seconds: 300 }));
        assert_eq!(parse_line("fuzz --seconds 7"), Ok(Task::Fuzz { seconds: 7 }));
    }

    #[test]
    fn help_is_given_when_asked_for_anywhere_or_when_nothing_is_asked() {
        for line in ["", "help", "--help", "-h", "demo --help", "peers scan -h"] {
            assert_eq!(parse_line(line), Ok(Task::Help), "{line}");
        }
    }

    #[test]
    fn every_task_but_help_is_in_the_help_text() {
        for task in [
            "setup", "demo", "test", "check", "api", "sanitize", "fuzz", "peers", "devices", "wgpu", "cuda",
            "sample", "exports",
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
    fn what_makes_no_task_is_refused_by_name() {
        for (line, named) in [
            ("build", "`build`"),
            ("demo --fast", "`--fast`"),
            ("fuzz --seconds", "`--seconds`"),
            ("fuzz --seconds soon", "`soon`"),
            ("fuzz --loud", "`--loud`"),
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
