//! Uploads, idle connections and connections whose clients do not read, all at once.

use std::env;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::client::Request;
use crate::program::Program;
use crate::{clip, load, send};

/// Sets the number of uploads: 200 before a release, for example.
const VARIABLE: &str = "DEEPTELL_TEST_UPLOADS";

const UPLOADS: usize = 16;

/// Of each kind. The two kinds are twice what the server accepts.
const CONNECTIONS: usize = 256;

/// The longest that an honest client may wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Memory that the server may take in the end, in kB.
const MOST_KILOBYTES: u64 = 250_000;

/// A connection with a small receive buffer, which asks for many reports and reads nothing.
fn unread(server: SocketAddr, path: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&server.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let ask = format!("GET {path}/report.html HTTP/1.1\r\nHost: {server}\r\n\r\n");
    // The server may close the connection already.
    let _ = stream.write_all(ask.repeat(100).as_bytes());
    stream
}

#[test]
fn honest_clients_are_answered_among_idle_and_unread_connections() {
    let uploads = env::var(VARIABLE).map_or(UPLOADS, |number| number.parse().unwrap());
    let server = Program::start(&["--frames", "2"]);
    let address = server.address;
    let content = std::fs::read(clip("real/orl-s01.mp4")).unwrap();
    let path = send(address, "clip.mp4", &content);
    crate::follow(address, &path);

    let idle: Vec<TcpStream> = (0..CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
    let unread: Vec<TcpStream> = (0..CONNECTIONS).map(|_| unread(address, &path)).collect();
    let is_over = AtomicBool::new(false);
    let (slowest, asked) = scope(|threads| {
        let uploading: Vec<_> = (0..uploads)
            .map(|number| {
                let content = &content;
                threads.spawn(move || {
                    if number % 4 == 3 {
                        let sent = content.len() * (number + 1) / (uploads + 2);
                        let stream = Request::ours("POST", "/api/scans", content).begin(address, sent);
                        sleep(Duration::from_millis(50 * (number as u64 % 5)));
                        drop(stream);
                    } else {
                        assert_eq!(load::persist(address, content)["state"], "done");
                    }
                })
            })
            .collect();
        let honest = threads.spawn(|| {
            let (mut slowest, mut asked) = (Duration::ZERO, 0);
            while !is_over.load(Ordering::Relaxed) {
                for (request, expected) in [
                    (Request::get("/api/about"), &[200][..]),
                    (Request::get(&format!("{path}/report.html")), &[200]),
                    (Request::ours("POST", "/api/scans", b"no video"), &[202, 429]),
                ] {
                    let began = Instant::now();
                    let status = request.ask(address).status;
                    // A report is forgotten after 32 other scans, of the uploads and of this client.
                    let is_forgotten = status == 404 && expected == [200] && uploads + asked / 3 > 32;
                    assert!(expected.contains(&status) || is_forgotten, "{status} after {asked} answers");
                    slowest = slowest.max(began.elapsed());
                    asked += 1;
                }
                sleep(Duration::from_millis(100));
            }
            (slowest, asked)
        });
        let outcomes: Vec<_> = uploading.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        for outcome in outcomes {
            outcome.unwrap();
        }
        honest.join().unwrap()
    });
    println!("{uploads} uploads; the slowest of {asked} honest answers took {slowest:.2?}");
    assert!(slowest < PATIENCE, "{slowest:?}");
    drop((idle, unread));
    let patience = Instant::now();
    while server.left().len() > 1 {
        assert!(patience.elapsed() < Duration::from_secs(10), "left: {:?}", server.left());
        sleep(Duration::from_millis(20));
    }
    #[cfg(target_os = "linux")]
    {
        let resident = load::memory(&server, "VmRSS:");
        println!("resident memory {resident} kB");
        assert!(resident <= MOST_KILOBYTES, "{resident} kB");
    }
}
