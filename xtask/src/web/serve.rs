//! The folder on this machine, to look at.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

use anyhow::{Context as _, Result};

const PORT: u16 = 8766;

/// Serves the files of `site` until the program is interrupted, on the loopback interface alone.
///
/// # Errors
/// When the port is taken.
pub(crate) fn serve(site: &Path) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))
        .with_context(|| format!("cannot listen on port {PORT}: is another one running?"))?;
    println!("Open http://localhost:{PORT}/ (press Ctrl-C to stop).");
    for stream in listener.incoming().flatten() {
        // A browser that goes away is not an error.
        if let Err(error) = answer(&stream, site) {
            eprintln!("{error:#}");
        }
    }
    Ok(())
}

fn answer(mut stream: &TcpStream, site: &Path) -> Result<()> {
    let mut head = BufReader::new(stream).lines();
    let line = head.next().transpose()?.unwrap_or_default();
    let takes_brotli = head.map_while(Result::ok).take_while(|line| !line.is_empty()).any(|line| {
        line.to_ascii_lowercase().strip_prefix("accept-encoding:").is_some_and(|value| value.contains("br"))
    });
    let path = line.strip_prefix("GET /").and_then(|rest| rest.split([' ', '?']).next());
    let name = path.map(|path| if path.is_empty() { "index.html" } else { path });
    let is_plain =
        |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let Some(name) = name.filter(is_plain).filter(|name| site.join(name).is_file()) else {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        return Ok(());
    };
    let compressed = site.join(format!("{name}.br"));
    let (content, encoding) = if takes_brotli && compressed.is_file() {
        (fs::read(compressed)?, "Content-Encoding: br\r\n")
    } else {
        (fs::read(site.join(name))?, "")
    };
    let kind = match Path::new(name).extension().and_then(|ending| ending.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    };
    let length = content.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{encoding}Cache-Control: no-cache\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&content)?;
    Ok(())
}
