//! Why a request is refused, and why a file gets no verdict.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use deeptell::{Error, InputError};
use deeptell_video::{PictureError, VideoError};
use serde::{Serialize, Serializer};
use serde_json::json;

/// A refused request or a failed scan. The message contains no path and no other detail of this
/// machine.
///
/// In JSON: `{"code": "queue_full", "message": "..."}`. As a response, that is the field `error` of
/// an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    /// For programs.
    pub(crate) code: Code,
    /// For people: what is wrong, and what to do.
    pub(crate) message: Cow<'static, str>,
}

macro_rules! codes {
    ($($name:ident: $status:ident, $text:literal;)*) => {
        /// The kinds of refusals. A scan fails with the same codes, but not with a status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code { $($name),* }

        impl Code {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name),*];

            /// The code as the interface spells it.
            pub(crate) const fn text(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),* }
            }
        }
    };
}

codes! {
    BadRequest: BAD_REQUEST, "bad_request";
    WrongHost: MISDIRECTED_REQUEST, "wrong_host";
    CrossOrigin: FORBIDDEN, "cross_origin";
    NoHeader: FORBIDDEN, "no_header";
    NoSuchPage: NOT_FOUND, "no_such_page";
    NoSuchScan: NOT_FOUND, "no_such_scan";
    NoSuchPicture: NOT_FOUND, "no_such_picture";
    MethodNotAllowed: METHOD_NOT_ALLOWED, "method_not_allowed";
    NoReport: CONFLICT, "no_report";
    NotTheFile: UNSUPPORTED_MEDIA_TYPE, "not_the_file";
    HeadTooLong: REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_long";
    Empty: BAD_REQUEST, "empty";
    Incomplete: BAD_REQUEST, "incomplete";
    TooLarge: PAYLOAD_TOO_LARGE, "too_large";
    TooSlow: REQUEST_TIMEOUT, "too_slow";
    QueueFull: TOO_MANY_REQUESTS, "queue_full";
    Stopping: SERVICE_UNAVAILABLE, "stopping";
    NotStored: INSUFFICIENT_STORAGE, "not_stored";
    Unsupported: UNSUPPORTED_MEDIA_TYPE, "unsupported";
    Broken: UNPROCESSABLE_ENTITY, "broken";
    Stopped: SERVICE_UNAVAILABLE, "stopped";
    Internal: INTERNAL_SERVER_ERROR, "internal";
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

/// Seconds after which a client should retry when the queue was full.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// Requests.
impl Refusal {
    pub(crate) const WRONG_HOST: Self = Self::fixed(
        Code::WrongHost,
        "This server does not answer under that host name. Use its address, or start it with --allow-host NAME.",
    );
    pub(crate) const CROSS_ORIGIN: Self =
        Self::fixed(Code::CrossOrigin, "Other web sites may not use this server.");
    pub(crate) const NO_HEADER: Self =
        Self::fixed(Code::NoHeader, "Requests that change anything need the header `X-Deeptell: 1`.");
    pub(crate) const NO_SUCH_PAGE: Self =
        Self::fixed(Code::NoSuchPage, "There is no such page. /api/openapi.json lists what there is.");
    pub(crate) const NO_LOCAL_PAGE: Self = Self::fixed(
        Code::NoSuchPage,
        "This server has no page that scans in the browser. Build one with `cargo xtask web`, and start the server with \
         --local-page FOLDER.",
    );
    pub(crate) const NO_SUCH_SCAN: Self = Self::fixed(
        Code::NoSuchScan,
        "There is no scan with this id. It may have been removed, or was too old.",
    );
    pub(crate) const NO_SUCH_PICTURE: Self =
        Self::fixed(Code::NoSuchPicture, "The report has no picture of this kind and number.");
    pub(crate) const METHOD_NOT_ALLOWED: Self = Self::fixed(
        Code::MethodNotAllowed,
        "This path does not support the method. /api/openapi.json lists the methods that it does.",
    );
    pub(crate) const NO_REPORT: Self =
        Self::fixed(Code::NoReport, "There is no report: the scan has not finished, or it failed.");
    pub(crate) const BAD_PATH: Self = Self::fixed(
        Code::BadRequest,
        "A part of the path is not what /api/openapi.json says: text is UTF-8, a number has only digits.",
    );
    pub(crate) const ONE_HOST: Self =
        Self::fixed(Code::BadRequest, "A request must have exactly one `Host` header.");
    pub(crate) const REPEATED_HEADER: Self =
        Self::fixed(Code::BadRequest, "The headers `Origin` and `Sec-Fetch-Site` may be sent only once.");
    pub(crate) const NOT_THE_FILE: Self = Self::fixed(
        Code::NotTheFile,
        "The body must be the file itself, not a form with parts. With curl, use `--data-binary @FILE` or `-T FILE -X \
         POST` instead of `-F`.",
    );
    pub(crate) const ENCODED: Self = Self::fixed(
        Code::NotTheFile,
        "The body must be the file itself, not compressed for the transfer. Send it without `Content-Encoding`.",
    );
    pub(crate) const NOT_HTTP: Self = Self::fixed(
        Code::BadRequest,
        "This is not a request in HTTP/1.1: its first line, a header or its length cannot be read.",
    );
    pub(crate) const HEAD_TOO_LONG: Self = Self::fixed(
        Code::HeadTooLong,
        "The first line and the headers of the request are too long or too many: 32 KiB and 100 headers are the limits.",
    );
    pub(crate) const EMPTY: Self = Self::fixed(Code::Empty, "The file is empty.");
    pub(crate) const INCOMPLETE: Self =
        Self::fixed(Code::Incomplete, "The upload ended before the whole file was received. Send it again.");
    pub(crate) const QUEUE_FULL: Self = Self::fixed(
        Code::QueueFull,
        "Too many files are waiting already. Try again in a few seconds, or start the server with a larger --waiting.",
    );
    pub(crate) const STOPPING: Self = Self::fixed(Code::Stopping, "The server is being stopped.");
    pub(crate) const NOT_STORED: Self = Self::fixed(
        Code::NotStored,
        "The file could not be stored for its analysis: the temporary folder may be full.",
    );
    pub(crate) const INTERNAL: Self =
        Self::fixed(Code::Internal, "The server failed. Its log has the details.");

    const fn fixed(code: Code, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message) }
    }

    fn new(code: Code, message: String) -> Self {
        Self { code, message: Cow::Owned(message) }
    }

    /// An upload of more than `limit` bytes.
    pub(crate) fn upload_too_large(limit: u64) -> Self {
        let message = format!(
            "The file is larger than {}, the limit of this server. Send a shorter or smaller copy, or start the \
             server with a larger --max-upload.",
            size(limit)
        );
        Self::new(Code::TooLarge, message)
    }

    /// An upload of which nothing came for `limit`.
    pub(crate) fn upload_stalled(limit: Duration) -> Self {
        let message =
            format!("Nothing of the file was received for {} seconds. Send it again.", seconds(limit));
        Self::new(Code::TooSlow, message)
    }

    /// An upload that took longer than `limit`.
    pub(crate) fn upload_too_long(limit: Duration) -> Self {
        let message = format!("The upload took longer than {} seconds. Send a smaller copy.", seconds(limit));
        Self::new(Code::TooSlow, message)
    }

    /// An upload that gave its place to another because fewer than `least` bytes per second came.
    pub(crate) fn upload_displaced(least: u64) -> Self {
        let message = format!(
            "The upload was slower than {} per second while others were waiting. Send it again later.",
            size(least)
        );
        Self::new(Code::TooSlow, message)
    }
}

/// Scans.
impl Refusal {
    pub(crate) const STOPPED: Self =
        Self::fixed(Code::Stopped, "The server was stopped before the analysis was finished.");

    /// A fault that is not the file's. The operator gets its details.
    const FAILED: Self = Self::fixed(
        Code::Internal,
        "The analysis failed for a reason that has nothing to do with the file. The log of the server has the details.",
    );

    /// The analysis took longer than `limit`.
    pub(crate) fn analysis_too_long(limit: Duration) -> Self {
        let message = format!(
            "The analysis was stopped after {} seconds. Send a shorter or smaller copy.",
            seconds(limit)
        );
        Self::new(Code::TooSlow, message)
    }

    /// The analysis panicked.
    pub(crate) fn panicked() -> Self {
        Self::FAILED
    }

    /// Why `error` means that there is no report.
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Input { source, .. } => Self::of_input(source),
            _ => Self::FAILED,
        }
    }

    fn of_input(error: &InputError) -> Self {
        match error {
            InputError::Video(error) => Self::of_video(error),
            InputError::Picture(error) => Self::of_picture(error),
            InputError::NoFrames | InputError::Frame { .. } => {
                Self::fixed(Code::Broken, "The file contains no picture.")
            }
            _ => Self::FAILED,
        }
    }

    fn of_picture(error: &PictureError) -> Self {
        match error {
            PictureError::TooLarge { width, height, max_pixels, max_side } => Self::new(
                Code::TooLarge,
                format!(
                    "The picture has {width} x {height} pixels. The limits are {:.1} million pixels and {max_side} \
                     on a side. Send a smaller copy.",
                    *max_pixels as f64 / 1e6
                ),
            ),
            PictureError::FileTooLarge { limit, .. } => Self::new(
                Code::TooLarge,
                format!("The picture file is larger than {}. Send a smaller copy.", size(*limit)),
            ),
            PictureError::TooMuchMemory { .. } => Self::fixed(
                Code::TooLarge,
                "Decoding this picture needs too much memory. Send a smaller copy.",
            ),
            PictureError::Unsupported { .. } | PictureError::Unknown => {
                Self::fixed(Code::Unsupported, "This kind of picture is not supported. JPEG and PNG are.")
            }
            PictureError::Truncated => Self::fixed(
                Code::Broken,
                "The picture is cut short: a part of it is missing. Download or copy the whole file.",
            ),
            PictureError::Damaged { .. } => {
                Self::fixed(Code::Broken, "The picture is damaged. Download or copy the file again.")
            }
            _ => Self::FAILED,
        }
    }

    fn of_video(error: &VideoError) -> Self {
        match error {
            // What the command line says, as a sentence.
            VideoError::Unsupported { reason: deeptell_video::Unsupported::OtherKind { advice }, .. } => {
                let (first, rest) = advice.split_at(advice.chars().next().map_or(0, char::len_utf8));
                Self::new(Code::Unsupported, format!("{}{rest}.", first.to_uppercase()))
            }
            VideoError::Unsupported { .. } => Self::fixed(
                Code::Unsupported,
                "The file is not a supported video or picture: it is of another kind, or has an unusual codec. MP4, \
                 MOV, MKV, WebM and AVI with the usual codecs are supported, and so are JPEG and PNG.",
            ),
            VideoError::NoVideo { .. } => {
                Self::fixed(Code::Unsupported, "The file has no video stream, only sound or data.")
            }
            VideoError::TooLarge { width, height, max_pixels, .. } => Self::new(
                Code::TooLarge,
                format!(
                    "The video has {width} x {height} pixels. The limit is {:.1} million pixels. Send a smaller copy.",
                    *max_pixels as f64 / 1e6
                ),
            ),
            VideoError::PacketTooLarge { .. } => Self::fixed(
                Code::TooLarge,
                "A picture of the video takes more bytes than allowed. The file may be damaged: download it again.",
            ),
            VideoError::OutOfMemory { .. } => {
                Self::fixed(Code::TooLarge, "Decoding this video needs too much memory. Send a smaller copy.")
            }
            VideoError::Timeout { deadline, .. } => Self::analysis_too_long(*deadline),
            VideoError::Corrupt { .. } => {
                Self::fixed(Code::Broken, "The video is damaged. Download or copy the file again.")
            }
            VideoError::Truncated { .. } => Self::fixed(
                Code::Broken,
                "The video is incomplete: it ends before its first picture. Download or copy the whole file.",
            ),
            VideoError::NoFrames { .. } => Self::fixed(
                Code::Broken,
                "No picture of the video could be decoded: the file is damaged or encrypted.",
            ),
            VideoError::DecoderKilled { .. } => Self::fixed(
                Code::Internal,
                "The decoder was ended from outside, perhaps because memory ran out. Send the file again.",
            ),
            VideoError::DecoderDied { .. } => Self::fixed(
                Code::Broken,
                "The video made the decoder fail: the file is damaged, or was made to attack decoders.",
            ),
            _ => Self::FAILED,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let body = json!({ "error": self }).to_string();
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

/// What to send for an answer without a body with which hyper refuses bytes that are not a request: it has no place for
/// one. `None` for all other answers.
pub(crate) fn with_body(answer: &[u8]) -> Option<Vec<u8>> {
    const EMPTY_BODY: &str = "content-length: 0\r\n";
    let head = answer.strip_suffix(b"\r\n").and_then(|head| std::str::from_utf8(head).ok())?;
    let status = head.strip_prefix("HTTP/1.1 ").or(head.strip_prefix("HTTP/1.0 "))?.get(..3)?;
    let refusal = match status {
        "431" | "414" => Refusal::HEAD_TOO_LONG,
        status if status.starts_with('4') => Refusal::NOT_HTTP,
        _ => return None,
    };
    let (before, after) = head.split_once(EMPTY_BODY)?;
    let body = json!({ "error": refusal }).to_string();
    let length = body.len();
    let whole = format!(
        "{before}content-type: application/json\r\nx-content-type-options: nosniff\r\ncontent-length: {length}\r\n{after}\r\n{body}"
    );
    Some(whole.into_bytes())
}

/// A number of bytes in the largest unit that gives a whole number.
fn size(bytes: u64) -> String {
    for (unit, name) in [(1_000_000, "MB"), (1 << 20, "MiB"), (1_000, "kB"), (1 << 10, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{} {name}", bytes / unit);
        }
    }
    format!("{bytes} bytes")
}

/// At most three digits after the point, and none without need.
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn messages_contain_no_path() {
        let path = std::path::PathBuf::from("/tmp/private/abc");
        let detail = "no /tmp/private/abc".to_owned();
        let errors = [
            VideoError::Unsupported { path: path.clone(), reason: deeptell_video::Unsupported::Unknown },
            VideoError::Corrupt { path: path.clone(), detail: detail.clone() },
            VideoError::DecoderDied { path: path.clone(), reason: detail },
            VideoError::Io { path, source: std::io::Error::other("/tmp/private") },
        ];
        let expected = [Code::Unsupported, Code::Broken, Code::Broken, Code::Internal];
        for (error, code) in errors.into_iter().zip(expected) {
            let error = Error::Input { name: "/tmp/private/abc".to_owned(), source: error.into() };
            let refusal = Refusal::of(&error);
            assert_eq!(refusal.code, code);
            assert!(!refusal.message.contains("/tmp"), "{refusal:?}");
        }
    }

    #[test]
    fn files_of_other_kinds_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (bytes, words) in [
            (
                &b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..],
                "This is a HEIC picture, which cannot be read; save it",
            ),
            (
                b"<!doctype html><html><body>404</body></html>",
                "This is a web page, perhaps what a site answered",
            ),
            (b"II*\0\x08\0\0\0\x12\0", "This is a TIFF picture"),
            (b"", "The file is empty"),
        ] {
            let path = folder.path().join("upload");
            std::fs::write(&path, bytes).unwrap();
            let error = deeptell_video::VideoReader::options().open_media(&path).err().unwrap();
            let refusal = Refusal::of(&Error::Input { name: "upload".to_owned(), source: error.into() });
            assert_eq!(refusal.code, Code::Unsupported, "{refusal:?}");
            assert!(refusal.message.starts_with(words) && refusal.message.ends_with('.'), "{refusal:?}");
        }
    }

    #[test]
    fn bare_refusals_get_a_body() {
        let bare = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\ndate: now\r\n\r\n";
        let whole = String::from_utf8(with_body(bare).unwrap()).unwrap();
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 400 Bad Request\r\n") && head.contains("connection: close"),
            "{whole}"
        );
        assert!(head.contains(&format!("content-length: {}", body.len())), "{whole}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], "bad_request");
        let long = with_body(b"HTTP/1.1 431 Too Large\r\ncontent-length: 0\r\n\r\n").unwrap();
        assert!(String::from_utf8(long).unwrap().contains("head_too_long"));
        for other in [
            &b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 20\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
            b"",
        ] {
            assert_eq!(with_body(other), None);
        }
    }

    #[test]
    fn refusals_state_their_limit() {
        assert_eq!(size(500_000_000), "500 MB");
        assert_eq!(size(1 << 29), "512 MiB");
        assert_eq!(size(16 << 10), "16 KiB");
        assert_eq!(size(1001), "1001 bytes");
        for (refusal, limit) in [
            (Refusal::upload_too_large(1_000_000), " 1 MB,"),
            (Refusal::upload_stalled(Duration::from_secs(30)), " 30 seconds"),
            (Refusal::upload_too_long(Duration::from_mins(10)), " 600 seconds"),
            (Refusal::analysis_too_long(Duration::from_millis(2500)), " 2.5 seconds"),
            (Refusal::upload_displaced(16 << 10), " 16 KiB per second"),
        ] {
            assert!(refusal.message.contains(limit), "{refusal:?}");
        }
    }

    #[test]
    fn openapi_lists_every_code() {
        let document: Value = serde_json::from_str(crate::OPENAPI).unwrap();
        let listed = &document["components"]["schemas"]["Fault"]["properties"]["code"]["enum"];
        let listed: BTreeSet<&str> =
            listed.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
        assert_eq!(listed, Code::ALL.iter().map(|code| code.text()).collect());
    }
}
