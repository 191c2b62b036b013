//! A small HTTP/1.1 client that can stop in the middle of a request.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// A request. `Host` and `Connection` are added, unless they are given.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

impl<'a> Request<'a> {
    pub(crate) const fn get(path: &'a str) -> Self {
        Self { method: "GET", path, headers: &[], body: &[] }
    }

    /// A request with the header that changes need.
    pub(crate) const fn ours(method: &'a str, path: &'a str, body: &'a [u8]) -> Self {
        Self { method, path, headers: &[("X-Deeptell", "1")], body }
    }

    /// Sends the head, which declares the whole body, and the first `sent` bytes of the body.
    pub(crate) fn begin(&self, server: SocketAddr, sent: usize) -> TcpStream {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        let given = |name: &str| self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        for (name, value) in self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        let own = [("Host", server.to_string()), ("Connection", "close".to_owned())];
        for (name, value) in own.into_iter().filter(|(name, _)| !given(name)) {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if !matches!(self.method, "GET" | "HEAD") && !given("Transfer-Encoding") {
            write!(head, "Content-Length: {}\r\n", self.body.len()).unwrap();
        }
        let message = [head.as_bytes(), b"\r\n", &self.body[..sent]].concat();
        stream.write_all(&message).unwrap();
        stream
    }

    /// Sends everything and reads the whole response.
    pub(crate) fn ask(&self, server: SocketAddr) -> Answer {
        Answer::read(self.begin(server, self.body.len()))
    }
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads until the server closes the connection.
    pub(crate) fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let parsed = head.parse(&bytes).unwrap();
        assert!(parsed.is_complete(), "no whole answer: {:?}", String::from_utf8_lossy(&bytes));
        let length = parsed.unwrap();
        let headers: Vec<(String, String)> = head
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), String::from_utf8(header.value.to_vec()).unwrap()))
            .collect();
        let mut answer = Self { status: head.code.unwrap(), headers, body: bytes[length..].to_vec() };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = joined(&answer.body);
        }
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }

    /// The documents of an event stream.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.body).unwrap();
        text.lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|d| serde_json::from_str(d).unwrap())
            .collect()
    }
}

/// The content of a chunked body, as far as it is complete.
fn joined(mut chunked: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = chunked.windows(2).position(|pair| pair == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&chunked[..end]).unwrap(), 16).unwrap();
        let piece = &chunked[end + 2..];
        if length == 0 || piece.len() < length + 2 {
            break;
        }
        body.extend_from_slice(&piece[..length]);
        chunked = &piece[length + 2..];
    }
    body
}
