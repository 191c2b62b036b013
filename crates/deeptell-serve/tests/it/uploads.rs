//! Uploads: their limits, and what an upload that fails leaves.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use deeptell_serve::Event;

use crate::client::{Answer, Request};
use crate::{Server, eventually};

const SCANS: &str = "/api/scans?name=order.mp4";

#[test]
fn upload_over_the_limit_is_refused_with_or_without_a_length() {
    let server = Server::start(|settings| settings.max_upload_bytes = 1000);
    let large = vec![b'x'; 1001];
    let declared = Request::ours("POST", SCANS, &large).ask(server.address);
    assert_eq!((declared.status, declared.code().as_str()), (413, "too_large"));
    let message = declared.json()["error"]["message"].to_string();
    assert!(message.contains("larger than 1 kB,"), "{message}");

    // Without a length, it is the bytes that count.
    let headers = [("X-Deeptell", "1"), ("Transfer-Encoding", "chunked")];
    let chunks = format!("3E9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001));
    let counted = Request { method: "POST", path: SCANS, headers: &headers, body: chunks.as_bytes() };
    let counted = counted.ask(server.address);
    assert_eq!((counted.status, counted.code().as_str()), (413, "too_large"));

    let fits = Request::ours("POST", SCANS, &large[..1000]).ask(server.address);
    assert_eq!(fits.status, 202);
    let empty = Request::ours("POST", SCANS, b"").ask(server.address);
    assert_eq!((empty.status, empty.code().as_str()), (400, "empty"));
    eventually("no file is left", || server.stored().is_empty());
}

#[test]
fn form_with_parts_is_refused() {
    let server = Server::start(|_| {});
    for kind in ["multipart/form-data; boundary=x", "Multipart/Mixed; boundary=x"] {
        let headers = [("X-Deeptell", "1"), ("Content-Type", kind)];
        let answer =
            Request { method: "POST", path: SCANS, headers: &headers, body: b"file=x" }.ask(server.address);
        assert_eq!((answer.status, answer.code().as_str()), (415, "not_the_file"), "{kind}");
    }
}

#[test]
fn compressed_body_is_refused() {
    let server = Server::start(|_| {});
    let ask = |encoding| {
        let headers = [("X-Deeptell", "1"), ("Content-Encoding", encoding)];
        Request { method: "POST", path: SCANS, headers: &headers, body: b"break" }.ask(server.address)
    };
    let answer = ask("gzip");
    assert_eq!((answer.status, answer.code().as_str()), (415, "not_the_file"));
    assert_eq!(ask("identity").status, 202);
}

#[test]
fn content_types_that_clients_send_by_default_are_accepted() {
    let server = Server::start(|_| {});
    // The first is what `curl --data-binary` sends.
    for kind in ["application/x-www-form-urlencoded", "application/octet-stream", "video/mp4", ""] {
        let headers = [("X-Deeptell", "1"), ("Content-Type", kind)];
        let request = Request { method: "POST", path: SCANS, headers: &headers, body: b"break" };
        assert_eq!(request.ask(server.address).status, 202, "{kind}");
        let forged = Request { headers: &headers[1..], ..request }.ask(server.address);
        assert_eq!((forged.status, forged.code().as_str()), (403, "no_header"), "{kind}");
    }
}

#[test]
fn full_queue_is_refused_with_a_time_to_retry() {
    let server = Server::start(|settings| (settings.workers, settings.waiting) = (1, 2));
    let working = server.tell(b"wait");
    server.wait_for(&working, "running");
    let waiting = server.tell(b"wait");
    assert_eq!(server.get(&waiting).json()["ahead"], 0);
    // An upload under way has a place, too. It is given to another when it breaks off.
    let uploading = Request::ours("POST", SCANS, b"wait").begin(server.address, 2);
    eventually("the upload has begun", || server.stored().len() == 3);
    drop(uploading);
    let last = server.tell(b"wait");
    assert_eq!(server.get(&last).json()["ahead"], 1);

    let began = Instant::now();
    let answer = Request::ours("POST", SCANS, &vec![b'x'; 3_000_000]).ask(server.address);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!((answer.status, answer.code().as_str()), (429, "queue_full"));
    assert_eq!((answer.header("retry-after"), answer.header("connection")), (Some("2"), Some("close")));
    assert_eq!(server.stored().len(), 3, "nothing of the refused one is stored");

    assert_eq!(Request::ours("DELETE", &last, b"").ask(server.address).status, 204);
    let next = server.tell(b"wait");
    assert_eq!(server.get(&next).json()["ahead"], 1);
}

#[test]
fn broken_off_upload_leaves_no_file() {
    let server = Server::start(|settings| (settings.workers, settings.waiting) = (1, 0));
    for round in 0..5 {
        let stream = Request::ours("POST", SCANS, &vec![b'x'; 100_000]).begin(server.address, 20_000 * round);
        eventually("the upload has begun", || server.stored().len() == 1);
        drop(stream);
        eventually("the file is gone", || server.stored().is_empty());
    }
    // The one who can still listen learns why.
    let mut stream = Request::ours("POST", SCANS, b"break").begin(server.address, 2);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.is_empty() || answer.contains("incomplete"), "{answer}");
    server.wait_for(&server.tell(b"break"), "failed");
    assert_eq!(server.analyzed.seen.lock().unwrap().len(), 1, "nothing incomplete is analyzed");
}

#[test]
fn stalled_upload_is_ended() {
    let server = Server::start(|settings| settings.idle_time = Duration::from_millis(150));
    let stream = Request::ours("POST", SCANS, b"break").begin(server.address, 2);
    let answer = Answer::read(stream);
    assert_eq!((answer.status, answer.code().as_str()), (408, "too_slow"));
    eventually("the file is gone", || server.stored().is_empty());
}

#[test]
fn trickling_upload_is_ended() {
    let server = Server::start(|settings| settings.upload_time = Duration::from_millis(400));
    let mut stream = Request::ours("POST", SCANS, &vec![b'x'; 1_000_000]).begin(server.address, 1);
    let mut writer = stream.try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        while writer.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    // The server may have closed it already, in which case there is nothing left to shut down.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    trickle.join().unwrap();
    eventually("the file is gone", || server.stored().is_empty());
}

#[test]
fn endless_request_head_closes_the_connection() {
    let server = Server::start(|settings| settings.idle_time = Duration::from_millis(150));
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
    let mut rest = Vec::new();
    // An end, with or without an answer; the time limit of the socket would be an error.
    stream.read_to_end(&mut rest).unwrap();
    let mut endless = TcpStream::connect(server.address).unwrap();
    let line = format!("X-Long: {}\r\n", "x".repeat(100_000));
    // The server may have ended it before all is written.
    let _ = endless.write_all(format!("GET / HTTP/1.1\r\n{line}\r\n").as_bytes());
    let mut answer = Vec::new();
    let _ = endless.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431") && answer.contains("head_too_long"),
        "{answer}"
    );
}

#[cfg(unix)]
#[test]
fn stored_upload_is_private_and_has_a_random_name() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::start(|_| {});
    let path = server.tell(b"wait");
    server.wait_for(&path, "running");
    let (file, options) = server.analyzed.seen.lock().unwrap()[0].clone();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(file.parent().unwrap()), mode(&file)), (0o700, 0o600));
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(name.len() >= 24 && !name.contains("order") && !name.contains('.'), "{name}");
    assert!(options.evidence);
    assert_eq!(server.get(&path).json()["name"], "order.mp4");
}

#[test]
fn missing_upload_folder_is_reported() {
    let server = Server::start(|_| {});
    assert_eq!(server.get("/").status, 200, "it has started, and made its folder");
    let folder = std::fs::read_dir(server.uploads.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_dir(&folder).unwrap();
    let answer = Request::ours("POST", SCANS, b"break").ask(server.address);
    assert_eq!((answer.status, answer.code().as_str()), (507, "not_stored"));
    let told = server.events.lock().unwrap();
    assert!(matches!(&told[..], [Event::Failed { detail }] if detail.contains("store")), "{told:?}");
}
