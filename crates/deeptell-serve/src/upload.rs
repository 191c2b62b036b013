//! Taking a file in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::BodyDataStream;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};

use crate::Event;
use crate::app::App;
use crate::queue::Job;
use crate::refusal::Refusal;
use crate::scans::Scan;

/// Most of a refused upload that is read and thrown away, and for how long: clients that send
/// before they listen would not see the refusal otherwise.
const DRAINED_BYTES: u64 = 64 << 20;
const DRAINING_TIME: Duration = Duration::from_secs(5);

/// `POST /api/scans?name=NAME`: the body is the file.
pub(crate) async fn receive(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = body.into_data_stream();
    match take(&app, &parts, &mut body).await {
        Ok(scan) => {
            let place = [(header::LOCATION, format!("/api/scans/{}", scan.id))];
            let document = scan.document(&scan.watch().borrow());
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (StatusCode::ACCEPTED, place, kind, document).into_response()
        }
        Err(refusal) => {
            let is_over = [Refusal::INCOMPLETE, Refusal::TOO_SLOW, Refusal::STOPPING].contains(&refusal);
            // Who expects to be asked for the body has not sent it.
            if !is_over && !parts.headers.contains_key(header::EXPECT) {
                let _ = timeout(DRAINING_TIME, drain(&mut body)).await;
            }
            refusal.into_response()
        }
    }
}

async fn take(app: &App, parts: &Parts, body: &mut BodyDataStream) -> Result<Arc<Scan>, Refusal> {
    if app.is_stopping() {
        return Err(Refusal::STOPPING);
    }
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let kind = text(header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("multipart/") || kind.starts_with("application/x-www-form-urlencoded") {
        return Err(Refusal::NOT_THE_FILE);
    }
    let declared: Option<u64> = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if declared.is_some_and(|bytes| bytes > app.settings.max_upload_bytes) {
        return Err(Refusal::TOO_LARGE);
    }
    let place = Arc::clone(&app.places).try_acquire_owned().map_err(|_| Refusal::QUEUE_FULL)?;

    let (file, path) = new_file(app).map_err(|error| not_stored(app, &error))?;
    // From here on, the file is deleted however this ends: `path` does so when it is dropped.
    let bytes = tokio::select! {
        bytes = store(app, body, file) => bytes?,
        () = app.stopped() => return Err(Refusal::STOPPING),
    };
    if bytes == 0 {
        return Err(Refusal::EMPTY);
    }
    let scan = Scan::new(shown(&given_name(parts)), bytes).map_err(|error| {
        app.tell(Event::Failed { detail: format!("no random numbers: {error}") });
        Refusal::INTERNAL
    })?;
    let scan = Arc::new(scan);
    app.scans.insert(&scan);
    let job = Job { scan: Arc::clone(&scan), file: path, place };
    if app.queue.push(job).is_err() {
        app.scans.forget(&scan.id);
        return Err(Refusal::STOPPING);
    }
    Ok(scan)
}

/// An empty file that only this user may read, under a random name.
fn new_file(app: &App) -> io::Result<(File, TempPath)> {
    let file = tempfile::Builder::new().prefix("").rand_bytes(24).tempfile_in(app.folder.path())?;
    let (file, path) = file.into_parts();
    Ok((File::from_std(file), path))
}

/// Writes the body into the file; its length in bytes.
async fn store(app: &App, body: &mut BodyDataStream, mut file: File) -> Result<u64, Refusal> {
    let settings = &app.settings;
    let deadline = Instant::now() + settings.upload_time;
    let mut bytes = 0;
    loop {
        let wait = settings.idle_time.min(deadline.saturating_duration_since(Instant::now()));
        let piece = match timeout(wait, body.next()).await {
            Err(_) => return Err(Refusal::TOO_SLOW),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Refusal::INCOMPLETE),
            Ok(Some(Ok(piece))) => piece,
        };
        bytes += piece.len() as u64;
        if bytes > settings.max_upload_bytes {
            return Err(Refusal::TOO_LARGE);
        }
        file.write_all(&piece).await.map_err(|error| not_stored(app, &error))?;
    }
    file.flush().await.map_err(|error| not_stored(app, &error))?;
    Ok(bytes)
}

fn not_stored(app: &App, error: &io::Error) -> Refusal {
    app.tell(Event::Failed { detail: format!("cannot store an upload: {error}") });
    Refusal::NOT_STORED
}

/// The parameter `name` of the address.
fn given_name(parts: &Parts) -> String {
    let query = parts.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "name")
        .map(|(_, name)| name.into_owned())
        .unwrap_or_default()
}

/// Longest name that is kept, in characters.
const LONGEST: usize = 200;

/// The last part of `name` without what could pose as something else: control characters, marks
/// of direction and characters without a width become `U+FFFD`.
pub(crate) fn shown(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown: String = last
        .trim()
        .chars()
        .take(LONGEST)
        .map(|c| if is_invisible(c) { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if shown.is_empty() { "upload".to_owned() } else { shown }
}

fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

async fn drain(body: &mut BodyDataStream) {
    let mut bytes = 0;
    while let Some(Ok(piece)) = body.next().await {
        bytes += piece.len() as u64;
        if bytes > DRAINED_BYTES {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_no_paths() {
        assert_eq!(shown("../../etc/passwd"), "passwd");
        assert_eq!(shown(r"C:\fakepath\clip.mp4"), "clip.mp4");
        assert_eq!(shown("Ünïcode 顔.mp4"), "Ünïcode 顔.mp4");
        assert_eq!(shown(""), "upload");
        assert_eq!(shown("folder/"), "upload");
        assert_eq!(shown(&"x".repeat(999)).len(), LONGEST);
    }

    #[test]
    fn nothing_invisible_is_left_in_a_name() {
        assert_eq!(shown("a\u{202e}4pm.exe\n"), "a\u{fffd}4pm.exe");
        assert_eq!(shown("\u{200b}"), "\u{fffd}");
    }
}
