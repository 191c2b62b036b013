//! The files of the page, which are part of the program.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use deeptell::html;

/// The OpenAPI 3.1 document of the HTTP API, as JSON.
pub const OPENAPI: &str = include_str!("openapi.json");

/// A file of the page.
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
    ($($path:literal: $kind:literal, $content:expr;)*) => {
        /// All files by their paths.
        pub(crate) const ASSETS: &[(&str, Asset)] =
            &[$(($path, Asset { kind: $kind, content: $content })),*];
    };
}

assets! {
    "/": "text/html; charset=utf-8", include_str!("page/index.html");
    "/palette.css": "text/css; charset=utf-8", html::PALETTE;
    "/base.css": "text/css; charset=utf-8", html::BASE;
    "/app.css": "text/css; charset=utf-8", include_str!("page/app.css");
    "/app.js": "text/javascript; charset=utf-8", include_str!("page/app.js");
    "/elements.js": "text/javascript; charset=utf-8", include_str!("page/elements.js");
    "/people.js": "text/javascript; charset=utf-8", include_str!("page/people.js");
    "/player.js": "text/javascript; charset=utf-8", include_str!("page/player.js");
    "/timeline.js": "text/javascript; charset=utf-8", include_str!("page/timeline.js");
    "/transfer.js": "text/javascript; charset=utf-8", include_str!("page/transfer.js");
    "/verdict.js": "text/javascript; charset=utf-8", include_str!("page/verdict.js");
    "/icon.svg": "image/svg+xml", include_str!("page/icon.svg");
}

/// `GET /api/openapi.json`
pub(crate) fn openapi() -> Response {
    Asset { kind: "application/json", content: OPENAPI }.answer()
}
