//! The page that scans files in the browser itself, from the folder that `cargo xtask web` builds.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};

use crate::ServeError;
use crate::answers::Parameters;
use crate::app::App;
use crate::refusal::Refusal;

/// What the page may load and where it may connect: its own files alone.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self' blob:; media-src blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types deeptell";

/// Larger files are none of the page's, in bytes.
const MOST_BYTES: u64 = 64 << 20;

/// Kinds of files by the endings of their names; those of other kinds are not served.
const KINDS: [(&str, &str); 6] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("wasm", "application/wasm"),
    ("safetensors", "application/octet-stream"),
];

/// The files of the page, in memory.
#[derive(Debug, Default)]
pub(crate) struct LocalPage {
    files: HashMap<String, LocalFile>,
}

#[derive(Debug)]
struct LocalFile {
    kind: &'static str,
    content: Bytes,
    /// The same, compressed by brotli.
    compressed: Option<Bytes>,
}

impl LocalPage {
    /// Reads the files of `folder`, but none of its folders.
    ///
    /// # Errors
    /// [`ServeError::LocalPage`] when it cannot be read or has no `index.html`.
    pub(crate) fn read(folder: &Path) -> Result<Self, ServeError> {
        let fail = |source| ServeError::LocalPage { folder: folder.to_owned(), source };
        let mut files = HashMap::new();
        for entry in fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let (Some(name), Some(ending)) = (path.file_name(), path.extension()) else { continue };
            let Some((_, kind)) = KINDS.iter().find(|(known, _)| ending == *known) else { continue };
            let metadata = path.metadata().map_err(fail)?;
            if !metadata.is_file() || metadata.len() > MOST_BYTES {
                continue;
            }
            let content = fs::read(&path).map_err(fail)?.into();
            let mut compressed = path.clone().into_os_string();
            compressed.push(".br");
            let compressed = fs::read(compressed).ok().map(Bytes::from);
            files.insert(name.to_string_lossy().into_owned(), LocalFile { kind, content, compressed });
        }
        if !files.contains_key("index.html") {
            return Err(fail(std::io::Error::new(std::io::ErrorKind::NotFound, "it has no index.html")));
        }
        Ok(Self { files })
    }

    fn answer(&self, name: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
        let LocalFile { kind, content, compressed } = self.files.get(name).ok_or(Refusal::NO_SUCH_PAGE)?;
        let fixed = [
            (header::CONTENT_TYPE, *kind),
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::VARY, "accept-encoding"),
        ];
        match compressed {
            Some(compressed) if takes_brotli(headers) => {
                let mut response = (fixed, compressed.clone()).into_response();
                response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
                Ok(response)
            }
            _ => Ok((fixed, content.clone()).into_response()),
        }
    }
}

/// Whether a client lists brotli among the encodings that it takes.
fn takes_brotli(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|word| {
        let (name, weight) = word.split_once(';').unwrap_or((word, ""));
        name.trim() == "br" && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

/// `GET /local`: the page's files have addresses relative to its own.
pub(crate) async fn redirect(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    page(&app).map(|_| Redirect::permanent("/local/").into_response())
}

/// `GET /local/`
pub(crate) async fn index(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refusal> {
    page(&app)?.answer("index.html", &headers)
}

/// `GET /local/{name}`
pub(crate) async fn file(
    State(app): State<Arc<App>>,
    Parameters(name): Parameters<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    page(&app)?.answer(&name, &headers)
}

fn page(app: &App) -> Result<&LocalPage, Refusal> {
    app.local.as_ref().ok_or(Refusal::NO_LOCAL_PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brotli_is_sent_to_clients_that_accept_it() {
        let takes = |list: &'static str| {
            takes_brotli(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(list))]))
        };
        assert!(takes("gzip, deflate, br, zstd") && takes("br;q=0.5"));
        assert!(!takes("gzip, deflate") && !takes("br;q=0, gzip") && !takes("brotli"));
        assert!(!takes_brotli(&HeaderMap::new()));
    }
}
