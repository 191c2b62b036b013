//! `deeptell serve` as other programs use it, with the real detector on clips of the sample.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

#[path = "../../../deeptell-serve/tests/it/client.rs"]
mod client;
mod interface;
mod load;
mod pressure;
mod program;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use client::{Answer, Request};
use program::Program;
use serde_json::Value;

fn clip(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/sample").join(name)
}

/// Uploads a file under a name. Returns the scan's path.
fn send(server: SocketAddr, name: &str, content: &[u8]) -> String {
    let answer = Request::ours("POST", &format!("/api/scans?name={name}"), content).ask(server);
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.header("location").unwrap().to_owned()
}

/// Follows a scan to its end. Returns the last document.
fn follow(server: SocketAddr, path: &str) -> Value {
    let events: Answer = Request::get(&format!("{path}/events")).ask(server);
    events.events().pop().unwrap()
}

fn judge(server: &Program, name: &str, content: &[u8]) -> Value {
    follow(server.address, &send(server.address, name, content))
}

/// Sends Ctrl-C, as a terminal does, and waits for the end of the program.
fn interrupt(server: &mut Program) -> (ExitStatus, Duration) {
    let began = Instant::now();
    let sent = Command::new("kill").args(["-INT", &server.child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    loop {
        if let Some(status) = server.child.try_wait().unwrap() {
            return (status, began.elapsed());
        }
        assert!(began.elapsed() < Duration::from_secs(30), "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn uploaded_clip_gets_a_report() {
    let server = Program::start(&["--frames", "4"]);
    let content = std::fs::read(clip("fake/nasa-collins.mp4")).unwrap();
    let path = send(server.address, "interview.mp4", &content);
    let events = Request::get(&format!("{path}/events")).ask(server.address).events();
    let done = events.last().unwrap();
    assert_eq!((&done["state"], &done["name"]), (&"done".into(), &"interview.mp4".into()), "{done}");
    assert_eq!(server.left().len(), 1, "the folder alone: the file is gone when the verdict is told");

    let get = |part: &str| Request::get(&format!("{path}/{part}")).ask(server.address);
    let report = get("report.json").json();
    assert_eq!((&report["verdict"], &report["score"]), (&done["verdict"], &done["score"]));
    assert_eq!((&report["input"]["name"], &report["input"]["path"]), (&"interview.mp4".into(), &Value::Null));
    assert_eq!(report["input"]["bytes"], content.len());
    assert_eq!(report["options"]["evidence"], true);
    assert_eq!(report["frames"].as_array().unwrap().len(), 4);
    assert!(
        !report.to_string().contains(server.temporary.path().to_str().unwrap()),
        "no path of this machine"
    );

    // The page says the same as the command.
    let page = get("report.html");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; img-src data:;") && policy.ends_with("sandbox"),
        "{policy}"
    );
    let page = String::from_utf8(page.body).unwrap();
    assert!(page.contains("interview.mp4") && page.contains("data:image/jpeg;base64,"));

    let faces = report["observations"].as_array().unwrap().len();
    assert_eq!(done["pictures"], serde_json::json!({"frames": 4, "faces": faces, "heat": faces}));
    for (kind, number, format, begins) in [
        ("frames", 4, "image/jpeg", &b"\xff\xd8\xff"[..]),
        ("faces", faces, "image/jpeg", b"\xff\xd8\xff"),
        ("heat", faces, "image/png", b"\x89PNG"),
    ] {
        let last = get(&format!("pictures/{kind}/{}", number - 1));
        assert_eq!((last.status, last.header("content-type")), (200, Some(format)), "{kind}");
        assert!(last.body.starts_with(begins), "{kind}");
        assert_eq!(get(&format!("pictures/{kind}/{number}")).code(), "no_such_picture");
    }
    assert_eq!(get("pictures/secrets/0").code(), "no_such_picture");

    assert_eq!(Request::ours("DELETE", &path, b"").ask(server.address).status, 204);
    assert_eq!(get("report.json").status, 404);
}

#[test]
fn upload_without_a_verdict_gets_a_reason() {
    let server = Program::start(&["--max-upload", "1"]);
    let video = std::fs::read(clip("real/orl-s01.mp4")).unwrap();
    let mut headless = video.clone();
    headless[..64].fill(0);
    let mut damaged = video.clone();
    // As a download that broke off leaves it: the index at its end is missing.
    damaged.truncate(damaged.len() / 2);
    for (name, content, code) in [
        ("notes.mp4", &b"This is no video at all, only words."[..], "unsupported"),
        ("headless.mp4", &headless, "unsupported"),
        ("damaged.mp4", &damaged, "broken"),
        ("picture.png", b"\x89PNG\r\n\x1a\nand then nothing", "broken"),
    ] {
        let failed = judge(&server, name, content);
        assert_eq!(
            (&failed["state"], &failed["error"]["code"]),
            (&"failed".into(), &code.into()),
            "{name}: {failed}"
        );
        assert!(!failed.to_string().contains('/'), "no path: {failed}");
    }
    let sky = deeptell_face::RgbImage::from_fn(320, 240, |x, y| {
        image::Rgb([90, 140 + (x / 8) as u8, 200 - (y / 4) as u8])
    });
    let mut png = std::io::Cursor::new(Vec::new());
    sky.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let empty = judge(&server, "sky.png", png.get_ref());
    assert_eq!(
        (&empty["state"], &empty["verdict"], &empty["score"]),
        (&"done".into(), &"no_face".into(), &Value::Null)
    );
    let large = Request::ours("POST", "/api/scans", &vec![0; 1_000_001]).ask(server.address);
    assert_eq!((large.status, large.code().as_str()), (413, "too_large"));
    assert_eq!(server.left().len(), 1, "the folder alone");
}

#[test]
fn ctrl_c_ends_uploads_and_scans_and_deletes_all_files() {
    let mut server = Program::start(&[]);
    let clip = std::fs::read(clip("real/nasa-collins.mp4")).unwrap();
    let paths = [(); 3].map(|()| send(server.address, "clip.mp4", &clip));
    let listening =
        paths.each_ref().map(|path| Request::get(&format!("{path}/events")).begin(server.address, 0));
    let before = server.left();
    let cut = Request::ours("POST", "/api/scans", &clip).begin(server.address, 1000);
    // All of them are under way: a connection that has asked for nothing yet is owed no answer.
    for stream in &listening {
        assert_eq!(stream.peek(&mut [0]).unwrap(), 1);
    }
    let began = Instant::now();
    while server.left().iter().all(|path| before.contains(path)) {
        assert!(began.elapsed() < Duration::from_secs(10), "the upload does not arrive");
        std::thread::sleep(Duration::from_millis(2));
    }
    let (status, took) = interrupt(&mut server);
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(server.left(), Vec::<PathBuf>::new());
    for stream in listening {
        assert!(!Answer::read(stream).events().is_empty());
    }
    let cut = Answer::read(cut);
    assert_eq!((cut.status, cut.code().as_str()), (503, "stopping"));
}

#[test]
fn taken_port_is_an_error_that_names_the_option() {
    let server = Program::start(&[]);
    let port = server.address.port().to_string();
    let second =
        Command::new(env!("CARGO_BIN_EXE_deeptell")).args(["serve", "--port", &port]).output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(said.contains(&port) && said.contains("--port"), "{said}");
}
