//! The requests of the corpus, and thousands made from them, against a whole server.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use deeptell_fuzz::Damage;
use deeptell_serve::Event;
use serde_json::Value;

use crate::Server;

/// Changed copies of each request.
const VARIANTS: usize = 24;

/// The requests of the corpus with the server's address in them, in order of their names.
fn corpus(server: SocketAddr) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/heads");
    let mut requests: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, with_host(&std::fs::read(path).unwrap(), server))
        })
        .collect();
    requests.sort();
    assert!(requests.len() > 30, "the corpus is incomplete");
    requests
}

/// Writes the address in place of `{host}`.
fn with_host(request: &[u8], server: SocketAddr) -> Vec<u8> {
    let mut parts = Vec::new();
    let mut rest = request;
    while let Some(at) = rest.windows(6).position(|window| window == b"{host}") {
        parts.extend_from_slice(&rest[..at]);
        parts.extend_from_slice(server.to_string().as_bytes());
        rest = &rest[at + 6..];
    }
    parts.extend_from_slice(rest);
    parts
}

/// Sends the bytes and their end; what comes back until the server closes the connection.
fn exchange(server: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The server may close the connection before it has read everything.
    if stream.write_all(request).is_ok() {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
            panic!("{error} after {:?}", String::from_utf8_lossy(request));
        }
        _ => answer,
    }
}

/// What is wrong with the first answer of `bytes`. Nothing at all is an answer to what is not HTTP.
fn fault(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return None;
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = head.parse(bytes) else {
        return Some("not HTTP".to_owned());
    };
    let status = head.code.unwrap();
    let known = [100, 200, 202, 204, 400, 403, 404, 405, 408, 409, 413, 414, 415, 421, 429, 431];
    if !known.contains(&status) {
        return Some(format!("status {status}"));
    }
    let header = |name: &str| {
        let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    // The body is missing in answers to HEAD.
    let body_length: usize = header("content-length").unwrap_or_default().parse().unwrap_or(0);
    let body = bytes.get(length..length + body_length).unwrap_or_default();
    if status < 400 || body.is_empty() && body_length > 0 {
        return None;
    }
    let is_refusal = serde_json::from_slice(body).is_ok_and(|body: Value| body["error"]["code"].is_string());
    (!is_refusal).then(|| format!("status {status} with {:?}", String::from_utf8_lossy(body)))
}

#[test]
fn damaged_requests_get_a_refusal_or_a_valid_answer() {
    let server = Server::start(|_| {});
    let requests = corpus(server.address);
    let mut damage = Damage::new(0);
    for (name, request) in &requests {
        let other = &requests[damage.below(requests.len())].1;
        let variants = (0..VARIANTS).map(|_| damage.copy(request, other));
        for bytes in std::iter::once(request.clone()).chain(variants) {
            let answer = exchange(server.address, &bytes);
            if let Some(fault) = fault(&answer) {
                panic!("{name}: {fault} after {:?}", String::from_utf8_lossy(&bytes));
            }
        }
    }
    // `cargo xtask fuzz http` runs longer.
    let seconds = std::env::var("DEEPTELL_FUZZ_SECONDS").map_or(0, |seconds| seconds.parse().unwrap());
    let (end, mut further) = (Instant::now() + Duration::from_secs(seconds), 0);
    while Instant::now() < end {
        let (name, request) = &requests[damage.below(requests.len())];
        let other = damage.below(requests.len());
        let bytes = damage.copy(request, &requests[other].1);
        if let Some(fault) = fault(&exchange(server.address, &bytes)) {
            panic!("{name}: {fault} after {:?}", String::from_utf8_lossy(&bytes));
        }
        further += 1;
    }
    if further > 0 {
        // Shown with `--nocapture`.
        println!("{further} further requests");
    }
    assert_eq!(server.get("/api/about").status, 200);
    let events = server.events.lock().unwrap();
    let failures: Vec<&Event> = events.iter().filter(|event| matches!(event, Event::Failed { .. })).collect();
    assert!(failures.is_empty(), "{failures:?}");
}
