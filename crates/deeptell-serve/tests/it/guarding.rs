//! Access checks, and the headers of every response.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::Server;
use crate::client::{Answer, Request};

fn with(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    Request { method, path, headers, body: if method == "POST" { b"break" } else { b"" } }.ask(server.address)
}

#[test]
fn every_answer_has_the_security_headers() {
    let server = Server::start(|_| {});
    let answers = [
        server.get("/"),
        server.get("/app.js"),
        server.get("/app.css"),
        server.get("/api/about"),
        server.get("/nothing"),
        with(&server, "PUT", "/api/scans", &[("X-Deeptell", "1")]),
        with(&server, "GET", "/", &[("Host", "evil.example")]),
    ];
    let statuses = answers.each_ref().map(|answer| answer.status);
    assert_eq!(statuses, [200, 200, 200, 200, 404, 405, 421]);
    for answer in &answers {
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[test]
fn page_contains_nothing_that_its_policy_forbids() {
    let server = Server::start(|_| {});
    let page = String::from_utf8(server.get("/").body).unwrap();
    for forbidden in ["<style", "style=", "onclick", "onload", "javascript:", "http://", "https://", "//cdn"]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert_eq!(page.matches("<script").count(), 1);
    // All that it names is there.
    for (attribute, least) in [("src=\"", 1), ("href=\"", 5)] {
        let named: Vec<&str> =
            page.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        let named: Vec<&str> = named.into_iter().filter(|name| !name.starts_with('#')).collect();
        assert!(named.len() >= least, "{named:?}");
        for path in named {
            let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
            assert_eq!(server.get(&path).status, 200, "{path}");
        }
    }
}

#[test]
fn the_local_page_comes_from_its_folder_alone() {
    let site = tempfile::TempDir::new().unwrap();
    for (name, content) in [
        ("index.html", "<!doctype html>"),
        ("deeptell_web_bg.wasm", "plain"),
        ("deeptell_web_bg.wasm.br", "compressed"),
        ("notes.txt", "not of the page"),
    ] {
        std::fs::write(site.path().join(name), content).unwrap();
    }
    let server = Server::start(|settings| settings.local_page = Some(site.path().to_owned()));
    let page = server.get("/local/");
    assert_eq!((page.status, page.body.as_slice()), (200, &b"<!doctype html>"[..]));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("connect-src 'self'") && policy.contains("'wasm-unsafe-eval'"), "{policy}");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let module =
        |encoding| with(&server, "GET", "/local/deeptell_web_bg.wasm", &[("Accept-Encoding", encoding)]);
    assert_eq!(module("gzip").body, b"plain");
    let compressed = module("gzip, br");
    assert_eq!(
        (compressed.body.as_slice(), compressed.header("content-encoding")),
        (&b"compressed"[..], Some("br"))
    );
    assert_eq!(compressed.header("content-type"), Some("application/wasm"));
    assert_eq!(server.get("/local").header("location"), Some("/local/"));
    for path in ["/local/notes.txt", "/local/..%2Fnotes.txt", "/local/none.js"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
}

#[test]
fn a_server_without_the_local_page_says_how_to_get_it() {
    let server = Server::start(|_| {});
    for path in ["/local", "/local/", "/local/app.js"] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(String::from_utf8(answer.body).unwrap().contains("cargo xtask web"), "{path}");
    }
}

#[test]
fn unknown_host_name_is_refused() {
    let server = Server::start(|settings| settings.allowed_hosts = vec!["scans.example".to_owned()]);
    let port = server.address.port();
    let status = |host: &str| with(&server, "GET", "/api/about", &[("Host", host)]).status;
    for host in [&format!("127.0.0.1:{port}"), &format!("localhost:{port}"), "scans.example"] {
        assert_eq!(status(host), 200, "{host}");
    }
    for host in [&format!("evil.example:{port}"), "", "127.0.0.1.evil.example", "192.0.2.1"] {
        assert_eq!(status(host), 421, "{host}");
    }
    // Nor can the line of the request say something else.
    let answer = with(&server, "GET", "http://evil.example/api/about", &[]);
    assert_eq!((answer.status, answer.code().as_str()), (421, "wrong_host"));
}

#[test]
fn other_sites_cannot_change_anything() {
    let server = Server::start(|_| {});
    let own = format!("http://{}", server.address);
    let ours = ("X-Deeptell", "1");
    let post = |headers: &[(&str, &str)]| {
        let answer = with(&server, "POST", "/api/scans", headers);
        (answer.status, answer.json()["error"]["code"].as_str().unwrap_or("taken").to_owned())
    };
    let refused = |code: &str| (403, code.to_owned());
    assert_eq!(post(&[]), refused("no_header"));
    assert_eq!(post(&[("Origin", &own)]), refused("no_header"));
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(post(&[ours, ("Origin", origin)]), refused("cross_origin"), "{origin}");
    }
    for site in ["cross-site", "same-site", "nonsense"] {
        assert_eq!(
            post(&[ours, ("Origin", &own), ("Sec-Fetch-Site", site)]),
            refused("cross_origin"),
            "{site}"
        );
    }
    assert_eq!(post(&[ours, ("Origin", &own), ("Sec-Fetch-Site", "same-origin")]).0, 202);
    assert_eq!(post(&[ours]).0, 202, "a program that is not a browser");

    let path = server.tell(b"wait");
    assert_eq!(with(&server, "DELETE", &path, &[]).status, 403);
    assert_eq!(server.get(&path).status, 200);
    // No response allows other origins.
    let preflight = [("Origin", "http://evil.example"), ("Access-Control-Request-Method", "POST")];
    let answer = with(&server, "OPTIONS", "/api/scans", &preflight);
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (403, None));
}

#[test]
fn other_sites_cannot_read() {
    let server = Server::start(|_| {});
    let status = |path: &str, site: &str| with(&server, "GET", path, &[("Sec-Fetch-Site", site)]).status;
    assert_eq!(status("/api/about", "cross-site"), 403);
    assert_eq!(status("/api/about", "same-site"), 403);
    assert_eq!(status("/api/about", "same-origin"), 200);
    assert_eq!(status("/api/about", "none"), 200);
    // A link elsewhere may lead to the page.
    assert_eq!(status("/", "cross-site"), 200);
}

/// Sends a head as it is, and reads everything that comes back.
fn raw(server: &Server, head: &str) -> Answer {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    Answer::read(stream)
}

#[test]
fn request_with_no_or_two_hosts_is_refused() {
    let server = Server::start(|_| {});
    let host = format!("Host: {}\r\n", server.address);
    for hosts in ["", &host.repeat(2), &format!("{host}Host: evil.example\r\n")] {
        let answer = raw(&server, &format!("GET /api/about HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n"));
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{hosts}");
    }
    // Before HTTP/1.1, a host was not necessary; but nobody else's name is accepted either.
    let answer = raw(&server, "GET /api/about HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.code().as_str()), (421, "wrong_host"));
}

#[test]
fn bytes_that_are_not_a_request_are_refused_in_json() {
    let server = Server::start(|_| {});
    let host = format!("Host: {}\r\n", server.address);
    let many = "X-Name: a\r\n".repeat(200);
    for (head, status, code) in [
        ("\u{16}\u{3}\u{1}\u{2}\0\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET /api/about\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET /api/about HTTP/9.1\r\n\r\n".to_owned(), 400, "bad_request"),
        (format!("GET /api/about HTTP/1.1\r\n{host}Na me: x\r\n\r\n"), 400, "bad_request"),
        (format!("POST /api/scans HTTP/1.1\r\n{host}Content-Length: x\r\n\r\n"), 400, "bad_request"),
        (format!("GET /api/about HTTP/1.1\r\n{host}{many}\r\n"), 431, "head_too_long"),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(100_000)), 431, "head_too_long"),
        // Behind a request that is answered.
        (format!("GET /api/about HTTP/1.1\r\n{host}\r\n"), 200, ""),
    ] {
        let bytes = if status == 200 { head.clone() + "nonsense\r\n\r\n" } else { head.clone() };
        let mut stream = TcpStream::connect(server.address).unwrap();
        // The server may stop reading before all is written.
        let _ = stream.write_all(bytes.as_bytes());
        if status == 200 {
            let mut all = String::new();
            stream.read_to_string(&mut all).unwrap();
            assert!(all.starts_with("HTTP/1.1 200") && all.contains("\"bad_request\""), "{all}");
            continue;
        }
        let answer = Answer::read(stream);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{:?}", head.get(..60));
    }
}

#[test]
fn repeated_origin_is_refused() {
    let server = Server::start(|_| {});
    let own = format!("http://{}", server.address);
    for twice in [
        [("Origin", own.as_str()), ("Origin", "http://evil.example")],
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
    ] {
        let headers = [&[("X-Deeptell", "1")], &twice[..]].concat();
        let answer = with(&server, "POST", "/api/scans", &headers);
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{twice:?}");
    }
}

#[test]
fn every_refusal_is_json() {
    let server = Server::start(|_| {});
    let ours = [("X-Deeptell", "1")];
    for (method, path, status) in [
        ("GET", "/api/scans/x/pictures/frames/-1", 400),
        ("GET", "/api/scans/x/pictures/frames/1e3", 400),
        ("GET", "/api/scans/x/pictures/frames/99999999999999999999", 400),
        ("GET", "/api/scans/%FF", 400),
        ("GET", "/api/scans/%FF/events", 400),
        ("GET", "/api/scans/x/pictures/%80/0", 400),
        ("GET", "/api/scans/x/pictures/frames/1", 404),
        ("GET", "/api/scans/x/pictures/frames", 404),
        ("GET", "/api/scans/", 404),
        ("GET", "/%FF", 404),
        ("GET", "//", 404),
        ("PUT", "/api/scans", 405),
        ("GET", "/api/scans", 405),
        ("POST", "/api/scans/x/report.json", 405),
        ("DELETE", "/", 405),
        ("TRACE", "/app.js", 405),
        ("BREW", "/api/about", 405),
    ] {
        let answer = with(&server, method, path, &ours);
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{method} {path}");
        let error = &answer.json()["error"];
        assert!(error["code"].is_string() && error["message"].is_string(), "{method} {path}: {error}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {path}");
    }
}
