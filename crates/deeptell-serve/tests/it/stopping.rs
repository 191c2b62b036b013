//! Stopping a server.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use deeptell_serve::{ServeError, Settings, serve};

use crate::Server;
use crate::client::{Answer, Request};

#[test]
fn stop_ends_everything_and_leaves_no_file() {
    let mut server = Server::start(|_| {});
    let working = server.tell(b"wait");
    server.wait_for(&working, "running");
    let waiting = server.tell(b"wait");
    let following =
        [&working, &waiting].map(|path| Request::get(&format!("{path}/events")).begin(server.address, 0));
    let uploading = Request::ours("POST", "/api/scans", b"wait").begin(server.address, 2);
    crate::eventually("three files are stored", || server.stored().len() == 3);
    let idle = TcpStream::connect(server.address).unwrap();

    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(std::fs::read_dir(server.uploads.path()).unwrap().count(), 0, "the private folder is gone");
    for stream in following {
        let last = Answer::read(stream).events().pop().unwrap();
        assert_eq!((&last["state"], &last["error"]["code"]), (&"failed".into(), &"stopped".into()), "{last}");
    }
    let refused = Answer::read(uploading);
    assert_eq!((refused.status, refused.code().as_str()), (503, "stopping"));
    drop(idle);
    assert!(TcpStream::connect(server.address).is_err(), "nobody answers any more");
}

#[test]
fn failed_start_names_the_setting_or_folder() {
    let stop = std::sync::atomic::AtomicBool::new(true);
    let try_with = |settings: Settings| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        serve(listener, crate::Obedient::default(), settings, &stop, |_| {}).unwrap_err()
    };
    let nowhere = Settings::new("/no/such/folder");
    assert!(matches!(try_with(nowhere), ServeError::Folder { folder, .. } if folder.ends_with("folder")));
    let mut idle = Settings::new(std::env::temp_dir());
    idle.workers = 0;
    assert!(matches!(try_with(idle), ServeError::Setting { setting: "workers", .. }));
}
