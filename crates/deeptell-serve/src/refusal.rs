//! Answers to requests that cannot be fulfilled.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A request that is not fulfilled, with the reason in words.
///
/// In JSON: `{"error": {"code": "queue_full", "message": "..."}}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
}

/// Seconds after which a full queue is worth another try.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

macro_rules! refusals {
    ($($name:ident: $status:ident, $code:literal, $message:literal;)*) => {
        impl Refusal {
            $(pub(crate) const $name: Self =
                Self { status: StatusCode::$status, code: $code, message: $message };)*
        }
    };
}

refusals! {
    WRONG_HOST: MISDIRECTED_REQUEST, "wrong_host",
        "This server does not answer under that host name. Use its address, or start it with --allow-host NAME.";
    CROSS_ORIGIN: FORBIDDEN, "cross_origin", "Other web sites may not use this server.";
    NO_HEADER: FORBIDDEN, "no_header", "Requests that change anything need the header `X-Deeptell: 1`.";
    NO_SUCH_PAGE: NOT_FOUND, "no_such_page", "There is nothing here. /api/openapi.json lists what there is.";
    NO_SUCH_SCAN: NOT_FOUND, "no_such_scan",
        "There is no scan of this name: it was removed, or is so old that it was forgotten.";
    NO_SUCH_PICTURE: NOT_FOUND, "no_such_picture", "The report has no picture of this number.";
    NOT_ALLOWED: METHOD_NOT_ALLOWED, "method_not_allowed",
        "This cannot be asked for in this way. /api/openapi.json lists what can.";
    NO_REPORT: CONFLICT, "no_report", "There is no report: the scan has not finished, or it failed.";
    NOT_THE_FILE: UNSUPPORTED_MEDIA_TYPE, "not_the_file",
        "The body must be the file itself, not a form: for example `curl --data-binary @FILE`.";
    EMPTY: BAD_REQUEST, "empty", "The file is empty.";
    INCOMPLETE: BAD_REQUEST, "incomplete", "The upload broke off before its end.";
    TOO_LARGE: PAYLOAD_TOO_LARGE, "too_large",
        "The file is larger than this server takes. A shorter or smaller copy may do.";
    TOO_SLOW: REQUEST_TIMEOUT, "too_slow", "The upload took too long.";
    QUEUE_FULL: TOO_MANY_REQUESTS, "queue_full",
        "So many files are waiting that no more are taken at the moment. Try again in a few seconds.";
    STOPPING: SERVICE_UNAVAILABLE, "stopping", "The server is being stopped.";
    NOT_STORED: INSUFFICIENT_STORAGE, "not_stored",
        "The file could not be stored for its analysis: the temporary folder may be full.";
    INTERNAL: INTERNAL_SERVER_ERROR, "internal", "Something failed in the server.";
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": {"code": self.code, "message": self.message}}).to_string();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
