//! Many uploads at once, some of which break off.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Request;
use crate::program::Program;
use crate::{clip, follow};

const CLIENTS: usize = 50;

/// Memory that the server may take at any time, in kB.
const MOST_KILOBYTES: u64 = 250_000;

static TURNED_AWAY: AtomicUsize = AtomicUsize::new(0);

/// Uploads, and retries while the queue is full. Returns the last document of the scan.
pub(crate) fn persist(server: SocketAddr, content: &[u8]) -> Value {
    loop {
        let answer = Request::ours("POST", "/api/scans?name=clip.mp4", content).ask(server);
        match answer.status {
            202 => return follow(server, answer.header("location").unwrap()),
            429 => {
                assert!(answer.header("retry-after").is_some());
                TURNED_AWAY.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(100));
            }
            other => panic!("status {other}: {answer:?}"),
        }
    }
}

/// The memory of the server in kB: `VmRSS:` now, `VmHWM:` at its peak.
#[cfg(target_os = "linux")]
pub(crate) fn memory(server: &Program, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn fifty_uploads_at_once_are_all_answered_and_leave_no_file() {
    let server = Program::start(&["--frames", "2", "--waiting", "8"]);
    let content = std::fs::read(clip("real/orl-s01.mp4")).unwrap();
    let began = Instant::now();
    let answers: Vec<Option<Value>> = scope(|clients| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (content, address) = (&content, server.address);
                clients.spawn(move || {
                    // Three of ten are cut off, each at another byte.
                    if number % 10 >= 7 {
                        let sent = content.len() * (number + 1) / (CLIENTS + 2);
                        let stream = Request::ours("POST", "/api/scans", content).begin(address, sent);
                        sleep(Duration::from_millis(20 * (number as u64 % 5)));
                        drop(stream);
                        return None;
                    }
                    Some(persist(address, content))
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let took = began.elapsed();

    let verdicts: Vec<&Value> = answers.iter().flatten().collect();
    assert_eq!(verdicts.len(), CLIENTS * 7 / 10);
    for verdict in &verdicts {
        assert_eq!(
            (&verdict["state"], &verdict["score"]),
            (&"done".into(), &verdicts[0]["score"]),
            "{verdict}"
        );
    }
    assert!(TURNED_AWAY.load(Ordering::Relaxed) > 0, "the queue was never full: no load");
    let patience = Instant::now();
    while server.left().len() > 1 {
        assert!(patience.elapsed() < Duration::from_secs(10), "leaked: {:?}", server.left());
        sleep(Duration::from_millis(20));
    }
    // The server works as before.
    let after = persist(server.address, &content);
    assert_eq!(after["score"], verdicts[0]["score"]);
    #[cfg(target_os = "linux")]
    {
        let peak = memory(&server, "VmHWM:");
        println!(
            "{CLIENTS} clients in {took:.1?}, turned away {} times, peak {peak} kB",
            TURNED_AWAY.load(Ordering::Relaxed)
        );
        assert!(peak <= MOST_KILOBYTES, "{peak} kB");
    }
}
