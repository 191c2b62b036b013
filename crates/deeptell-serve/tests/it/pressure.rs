//! Clients that take as much as they can, and others that must be served all the same.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::{Answer, Request};
use crate::{Server, eventually};

const SCANS: &str = "/api/scans?name=order.mp4";

/// The longest that an honest client may wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn slow_uploads_give_their_place_to_others() {
    let server = Server::start(|settings| (settings.workers, settings.waiting) = (1, 2));
    let chunked = [("X-Deeptell", "1"), ("Transfer-Encoding", "chunked")];
    let mut slow = vec![
        Request::ours("POST", SCANS, &vec![b'x'; 1_000_000]).begin(server.address, 2),
        Request::ours("POST", SCANS, &vec![b'x'; 1_000_000]).begin(server.address, 0),
        Request { method: "POST", path: SCANS, headers: &chunked, body: b"2\r\nab\r\n" }
            .begin(server.address, 7),
    ];
    eventually("all places are taken", || server.stored().len() == 3);
    let began = Instant::now();
    let honest = [(); 3].map(|()| Request::ours("POST", SCANS, b"break").ask(server.address).status);
    assert_eq!(honest, [202; 3]);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());

    // One was displaced, and its client got an answer that says so. The others keep their places.
    let answers = slow.iter_mut().filter(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        stream.peek(&mut [0]).is_ok()
    });
    let answered: Vec<TcpStream> = answers.map(|stream| stream.try_clone().unwrap()).collect();
    assert!(!answered.is_empty());
    for stream in answered {
        let answer = Answer::read(stream);
        assert_eq!((answer.status, answer.code().as_str()), (408, "too_slow"));
    }
    drop(slow);
    eventually("no file is left", || server.stored().is_empty());
}

#[test]
fn fast_upload_is_not_displaced() {
    let server = Server::start(|settings| (settings.workers, settings.waiting) = (1, 0));
    let body = vec![b'x'; 30 << 20];
    let request = Request::ours("POST", SCANS, &body);
    let mut fast = request.begin(server.address, 0);
    let began = Instant::now();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for part in body.chunks(128 << 10) {
                fast.write_all(part).unwrap();
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        eventually("the upload has begun", || server.stored().len() == 1);
        let refused = Request::ours("POST", SCANS, b"break").ask(server.address);
        assert_eq!((refused.status, refused.code().as_str()), (429, "queue_full"));
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    });
    assert_eq!(Answer::read(fast).status, 202);
}

#[test]
fn idle_connections_and_event_streams_give_way_to_requests() {
    let server = Server::start(|settings| settings.connections = 16);
    let path = format!("{}/events", server.tell(b"wait"));
    let streams: Vec<TcpStream> = (0..16).map(|_| Request::get(&path).begin(server.address, 0)).collect();
    let idle: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(server.get("/api/about").status, 200);
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    }
    drop((streams, idle));
}

#[test]
fn connection_ends_after_a_hundred_requests() {
    let server = Server::start(|_| {});
    let mut stream = TcpStream::connect(server.address).unwrap();
    let ask = format!("GET /icon.svg HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    stream.write_all(ask.repeat(250).as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 100);
    let lower = answers.to_ascii_lowercase();
    assert_eq!(lower.matches("connection: close").count(), 1);
    assert!(lower.rfind("connection: close") > lower.rfind("http/1.1 200 ok"));
}

#[test]
fn refused_upload_is_answered_before_it_is_sent() {
    let server = Server::start(|settings| settings.max_upload_bytes = 1000);
    let stream = Request::ours("POST", SCANS, &vec![b'x'; 1_000_000]).begin(server.address, 10);
    let began = Instant::now();
    let mut first = [0; 12];
    (&stream).read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 413");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
