use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context as _;
use deeptell_serve::Settings;

use crate::detector::DetectorArgs;
use crate::output::{note, say};
use crate::{Outcome, interrupt};

/// Judge videos and pictures on a web page, for this machine alone.
///
/// Open the printed address in a browser and drop a file. Nothing leaves this machine, and each
/// file is deleted after its analysis. Ctrl-C ends the server.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell serve
  deeptell serve --port 9000 --max-upload 2000
  curl --data-binary @clip.mp4 -H 'X-Deeptell: 1' 'http://127.0.0.1:8765/api/scans?name=clip.mp4'

There is no password. If others can reach the --address, they can use the server: put a reverse
proxy with a password and TLS in front of it, and allow its name with --allow-host.
For other programs, http://127.0.0.1:8765/api/openapi.json describes the API.")]
pub(crate) struct Args {
    /// Address to listen on; any but a loopback address opens the page to the network.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "IP")]
    address: IpAddr,
    /// Port to listen on; 0 chooses a free one.
    #[arg(long, default_value_t = 8765)]
    port: u16,
    /// Another host name of this server; can be repeated.
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// Largest upload, in megabytes.
    #[arg(long, default_value_t = 500, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    max_upload: u64,
    /// Files analysed at the same time; each analysis uses every core already.
    #[arg(long, default_value_t = 1, value_name = "N")]
    workers: usize,
    /// Files that may be uploaded or wait in addition; more are refused with status 429.
    #[arg(long, default_value_t = 8, value_name = "N")]
    waiting: usize,
    /// Results that are kept, in memory.
    #[arg(long, default_value_t = 32, value_name = "N")]
    history: usize,
    #[command(flatten)]
    detector: DetectorArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let settings = Settings {
        allowed_hosts: args.allow_host.clone(),
        workers: args.workers,
        waiting: args.waiting,
        history: args.history,
        max_upload_bytes: args.max_upload * 1_000_000,
        scan: args.detector.options(),
        ..Settings::new(std::env::temp_dir())
    };
    settings.check()?;
    let detector = args.detector.open(false)?;

    let wanted = SocketAddr::new(args.address, args.port);
    let listener = TcpListener::bind(wanted)
        .with_context(|| format!("cannot listen on {wanted}: choose another --port, or 0 for any"))?;
    let address = listener.local_addr().context("cannot tell which port was given")?;
    if !address.ip().is_loopback() {
        note!("warning: whoever reaches {address} can use this page; there is no password and no encryption");
    }
    say!("deeptell is at http://{address}/ (Ctrl-C ends it)");
    deeptell_serve::serve(listener, detector, settings, interrupt::flag(), |event| note!("{event}"))?;
    Ok(Outcome::Done)
}
