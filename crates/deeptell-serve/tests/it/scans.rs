//! Scans of uploaded files.

use std::time::Duration;

use deeptell_serve::Event;

use crate::client::Request;
use crate::{Server, eventually};

#[test]
fn file_that_cannot_be_analyzed_is_deleted_and_reported() {
    let server = Server::start(|_| {});
    let path = server.tell(b"break");
    server.wait_for(&path, "failed");
    assert!(server.stored().is_empty());
    let document = server.get(&path).json();
    assert_eq!(document["error"]["code"], "broken");
    assert!(!document["error"]["message"].as_str().unwrap().contains('/'), "{document}");
    for part in ["report.json", "report.html", "pictures/faces/0"] {
        let answer = server.get(&format!("{path}/{part}"));
        assert_eq!((answer.status, answer.code().as_str()), (409, "no_report"), "{part}");
    }
    let told = server.events.lock().unwrap();
    assert_eq!(told[..], [Event::Refused { bytes: 5, code: "broken" }]);
}

#[test]
fn internal_failures_are_logged_but_not_sent_to_the_client() {
    let server = Server::start(|_| {});
    for (order, detail) in [(&b"panic"[..], "as told"), (b"read", "the disk is on fire")] {
        let path = server.tell(order);
        server.wait_for(&path, "failed");
        let document = server.get(&path).json();
        assert_eq!(document["error"]["code"], "internal");
        assert!(!document.to_string().contains(detail), "{document}");
        let told = server.events.lock().unwrap();
        assert!(
            told.iter().any(|e| matches!(e, Event::Failed { detail: d } if d.contains(detail))),
            "{told:?}"
        );
    }
    assert!(server.stored().is_empty());
    // The worker lives on.
    server.wait_for(&server.tell(b"break"), "failed");
}

#[test]
fn running_scan_can_be_cancelled() {
    let server = Server::start(|_| {});
    let path = server.tell(b"wait");
    server.wait_for(&path, "running");
    let state = server.get(&path).json();
    assert_eq!((state["frames_done"].as_u64(), state["frames_total"].as_u64()), (Some(1), Some(12)));
    assert_eq!(state["faces"], 2);
    let stream = Request::get(&format!("{path}/events")).begin(server.address, 0);

    assert_eq!(Request::ours("DELETE", &path, b"").ask(server.address).status, 204);
    assert_eq!(server.get(&path).status, 404);
    eventually("the file is gone", || server.stored().is_empty());
    let events = crate::client::Answer::read(stream).events();
    assert_eq!(events.last().unwrap()["state"], "cancelled", "open event streams see it: {events:?}");
    assert_eq!(Request::ours("DELETE", &path, b"").ask(server.address).status, 404);
    // The worker is free.
    server.wait_for(&server.tell(b"break"), "failed");
}

#[test]
fn waiting_scan_can_be_cancelled() {
    let server = Server::start(|_| {});
    let working = server.tell(b"wait");
    server.wait_for(&working, "running");
    let [first, second] = [server.tell(b"break"), server.tell(b"break")];
    assert_eq!(server.get(&second).json()["ahead"], 1);
    assert_eq!(Request::ours("DELETE", &first, b"").ask(server.address).status, 204);
    assert_eq!(server.stored().len(), 2, "its file goes at once");
    assert_eq!(server.get(&second).json()["ahead"], 0, "and the others move up");
    Request::ours("DELETE", &working, b"").ask(server.address);
    server.wait_for(&second, "failed");
    assert_eq!(server.analyzed.seen.lock().unwrap().len(), 2);
}

#[test]
fn analysis_is_ended_after_its_time_limit() {
    let server = Server::start(|settings| settings.analysis_time = Duration::from_millis(200));
    let path = server.tell(b"wait");
    server.wait_for(&path, "failed");
    assert_eq!(server.get(&path).json()["error"]["code"], "too_slow");
    assert!(server.stored().is_empty());
}

#[test]
fn event_stream_has_every_state_until_the_last() {
    let server = Server::start(|_| {});
    let working = server.tell(b"wait");
    server.wait_for(&working, "running");
    let path = server.tell(b"break");
    let events_path = format!("{path}/events");
    let events = Request::get(&events_path);
    let stream = events.begin(server.address, 0);
    Request::ours("DELETE", &working, b"").ask(server.address);
    let answer = crate::client::Answer::read(stream);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let states: Vec<String> =
        answer.events().iter().map(|event| event["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states.first().map(String::as_str), Some("waiting"), "{states:?}");
    assert_eq!(states.last().map(String::as_str), Some("failed"), "{states:?}");
    // Who comes late gets the end alone.
    let late = events.ask(server.address).events();
    assert!(late.len() == 1 && late[0]["state"] == "failed", "{late:?}");
    assert_eq!(server.get("/api/scans/0123/events").status, 404);
}

#[test]
fn oldest_results_are_forgotten_first() {
    let server = Server::start(|settings| settings.history = 2);
    let paths: Vec<String> = (0..3)
        .map(|_| {
            let path = server.tell(b"break");
            server.wait_for(&path, "failed");
            path
        })
        .collect();
    let statuses: Vec<u16> = paths.iter().map(|path| server.get(path).status).collect();
    assert_eq!(statuses, [404, 200, 200]);
}

#[test]
fn names_are_decoded_and_made_harmless() {
    let server = Server::start(|_| {});
    for (query, expected) in [
        ("?name=caf%C3%A9%20%22x%22.mp4", "café \"x\".mp4"),
        ("?name=..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("?name=%3Cscript%3E.png", "<script>.png"),
        ("?name=%E2%80%AEgpj.exe", "\u{fffd}gpj.exe"),
        ("?name=%FF%FE", "\u{fffd}\u{fffd}"),
        ("", "upload"),
    ] {
        let answer = Request::ours("POST", &format!("/api/scans{query}"), b"break").ask(server.address);
        assert_eq!(answer.json()["name"], expected);
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}
