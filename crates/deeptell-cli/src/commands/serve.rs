use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::Context as _;
use deeptell_serve::Settings;

use crate::detector::DetectorArgs;
use crate::output::{alert, note, say};
use crate::{Outcome, interrupt};

/// Serve a web page that scans videos and pictures; for this machine only, by default.
///
/// Open the printed address in a browser and drop a file. Nothing leaves this machine, and each
/// file is deleted after its analysis. Press Ctrl-C to stop the server.
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
    /// Address to listen on; any other than a loopback address opens the page to the network.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "IP")]
    address: IpAddr,
    /// Port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 8765, value_name = "PORT")]
    port: u16,
    /// Additional host name of this server, for example that of a reverse proxy; can be repeated.
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// Maximum size of an upload, in megabytes.
    #[arg(long, default_value_t = 500, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    max_upload: u64,
    /// Number of files analyzed at the same time; a single analysis already uses every core.
    #[arg(long, default_value_t = 1, value_name = "N")]
    workers: usize,
    /// Maximum number of uploads in progress or in the queue; further ones are refused with status 429.
    #[arg(long, default_value_t = 8, value_name = "N")]
    waiting: usize,
    /// Number of results kept in memory.
    #[arg(long, default_value_t = 32, value_name = "N")]
    history: usize,
    /// Folder of the page that scans files in the browser itself, as `cargo xtask web` builds it; it is served under
    /// /local/.
    #[arg(long, value_name = "FOLDER")]
    local_page: Option<PathBuf>,
    #[command(flatten)]
    detector: DetectorArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut settings = Settings::new(std::env::temp_dir());
    settings.allowed_hosts.clone_from(&args.allow_host);
    settings.workers = args.workers;
    settings.waiting = args.waiting;
    settings.history = args.history;
    settings.max_upload_bytes = args.max_upload * 1_000_000;
    settings.local_page.clone_from(&args.local_page);
    settings.scan = args.detector.options();
    settings.check()?;
    let detector = args.detector.open(false)?;

    let wanted = SocketAddr::new(args.address, args.port);
    let listener = TcpListener::bind(wanted)
        .with_context(|| format!("cannot listen on {wanted}: choose another --port, or 0 for a free one"))?;
    let address = listener.local_addr().context("cannot find out which port was opened")?;
    if !address.ip().is_loopback() {
        alert!(
            "warning: anyone who can reach {address} can use this page: it has no password and no encryption"
        );
    }
    say!("deeptell is at http://{address}/ (press Ctrl-C to stop)");
    deeptell_serve::serve(listener, detector, settings, interrupt::flag(), |event| note!("{event}"))?;
    Ok(Outcome::Done)
}
