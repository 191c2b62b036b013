//! The page and its parts, as they lie in the program.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The OpenAPI 3.1 document of the interface, as JSON.
pub const OPENAPI: &str = include_str!("openapi.json");

/// A part of the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asset {
    kind: &'static str,
    content: &'static str,
}

impl Asset {
    pub(crate) fn answer(self) -> Response {
        ([(header::CONTENT_TYPE, self.kind), (header::CACHE_CONTROL, "no-cache")], self.content)
            .into_response()
    }
}

macro_rules! assets {
    ($($path:literal: $kind:literal, $file:literal;)*) => {
        /// All parts by their paths.
        pub(crate) const ASSETS: &[(&str, Asset)] =
            &[$(($path, Asset { kind: $kind, content: include_str!(concat!("page/", $file)) })),*];
    };
}

assets! {
    "/": "text/html; charset=utf-8", "index.html";
    "/app.css": "text/css; charset=utf-8", "app.css";
    "/app.js": "text/javascript; charset=utf-8", "app.js";
    "/elements.js": "text/javascript; charset=utf-8", "elements.js";
    "/people.js": "text/javascript; charset=utf-8", "people.js";
    "/player.js": "text/javascript; charset=utf-8", "player.js";
    "/timeline.js": "text/javascript; charset=utf-8", "timeline.js";
    "/transfer.js": "text/javascript; charset=utf-8", "transfer.js";
    "/verdict.js": "text/javascript; charset=utf-8", "verdict.js";
    "/icon.svg": "image/svg+xml", "icon.svg";
}

/// `GET /api/openapi.json`
pub(crate) fn openapi() -> Response {
    Asset { kind: "application/json", content: OPENAPI }.answer()
}
