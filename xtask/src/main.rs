//! `cargo xtask`: set-up, demo, checks, tests, peer measurements and the sample, each as one command.
//!
//! It depends on none of our crates and links neither burn nor FFmpeg, so it builds in seconds on a machine that
//! cannot build the product yet. Everything real happens in the programs it starts; it reads their JSON.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to the person who typed it"
)]

mod api;
mod arguments;
mod check;
mod cluster;
mod cuda;
mod demo;
mod deploy;
mod devices;
mod exports;
mod ffmpeg;
mod figures;
mod freshness;
mod hostile;
mod invariants;
mod package;
mod packages;
mod peers;
mod process;
mod python;
mod sample;
mod sanitizer;
mod setup;
mod sources;
mod suite;
mod web;
mod workspace;

use std::process::ExitCode;

use arguments::Task;
use process::NotReady;
use workspace::Workspace;

fn main() -> ExitCode {
    if let Some(code) = api::as_rustdoc() {
        return code;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let task = match arguments::parse(&words) {
        Ok(task) => task,
        Err(complaint) => {
            eprintln!("xtask: {complaint}\nTry `cargo xtask --help`.");
            return ExitCode::from(2);
        }
    };
    match perform(&task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(if error.is::<NotReady>() { 2 } else { 1 })
        }
    }
}

fn perform(task: &Task) -> anyhow::Result<()> {
    if *task == Task::Help {
        println!("{}", arguments::HELP);
        return Ok(());
    }
    let workspace = Workspace::find()?;
    match task {
        Task::Help => Ok(()),
        Task::Setup => {
            setup::ensure()?;
            println!("The system has all that the build needs.");
            if setup::browser().is_none() {
                println!("The tests of the web page need Chromium besides; `cargo xtask test` installs it.");
            }
            Ok(())
        }
        Task::Demo => demo::run(&workspace),
        Task::Test => suite::run(&workspace),
        Task::Check => check::run(&workspace),
        Task::Api => api::renew(),
        Task::Devices => devices::check(&workspace),
        Task::Wgpu => devices::wgpu(&workspace),
        Task::Cuda => cuda::build(&workspace),
        Task::Sanitize => sanitizer::test(&workspace),
        Task::Fuzz { target, seconds } => sanitizer::fuzz(&workspace, target.as_deref(), *seconds),
        Task::Hostile(request) => hostile::run(&workspace, request),
        Task::Peers(request) => peers::run(&workspace, request),
        Task::Python(request) => python::run(&workspace, request),
        Task::Ffmpeg(request) => ffmpeg::run(&workspace, request),
        Task::Package(channels) => package::run(&workspace, channels),
        Task::Exports => exports::run(&workspace),
        Task::Sample => sample::run(&workspace),
        Task::Web(request) => web::run(&workspace, *request),
        Task::Cluster(request) => cluster::run(&workspace, request),
    }
}
