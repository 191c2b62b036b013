//! Uploads.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

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
use crate::connections::Client;
use crate::queue::Job;
use crate::refusal::Refusal;
use crate::scans::Scan;
use crate::transfer_rate::LEAST_RATE;
use crate::upload_slots::UploadSlot;

/// `POST /api/scans?name=NAME`: the body is the file.
pub(crate) async fn receive(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = body.into_data_stream();
    match take(&app, &parts, &mut body).await {
        Ok(scan) => {
            let location = [(header::LOCATION, format!("/api/scans/{}", scan.id))];
            let document = scan.document(&scan.watch().borrow());
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (StatusCode::ACCEPTED, location, kind, document).into_response()
        }
        // What is left of the body is not read: another request cannot follow.
        Err(refusal) => ([(header::CONNECTION, "close")], refusal).into_response(),
    }
}

async fn take(app: &App, parts: &Parts, body: &mut BodyDataStream) -> Result<Arc<Scan>, Refusal> {
    if app.is_stopping() {
        return Err(Refusal::STOPPING);
    }
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let kind = text(header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    // `curl --data-binary` sends the file itself as `application/x-www-form-urlencoded`.
    if kind.starts_with("multipart/") {
        return Err(Refusal::NOT_THE_FILE);
    }
    if text(header::CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Refusal::ENCODED);
    }
    let declared: Option<u64> = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if declared.is_some_and(|bytes| bytes > app.settings.max_upload_bytes) {
        return Err(Refusal::upload_too_large(app.settings.max_upload_bytes));
    }
    let client = parts.extensions.get().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Client(address)| *address);
    let mut slot = app.slots.take(client).await.ok_or(Refusal::QUEUE_FULL)?;

    let (file, path) = new_file(app).map_err(|error| not_stored(app, &error))?;
    // From here on, dropping `path` deletes the file, however this ends.
    let bytes = tokio::select! {
        bytes = store(app, body, file, &slot) => bytes?,
        () = slot.displaced() => return Err(Refusal::upload_displaced(LEAST_RATE)),
        () = app.stopped() => return Err(Refusal::STOPPING),
    };
    if bytes == 0 {
        return Err(Refusal::EMPTY);
    }
    if !slot.keep() {
        return Err(Refusal::upload_displaced(LEAST_RATE));
    }
    let scan = Scan::new(shown(&given_name(parts)), bytes).map_err(|error| {
        app.tell(Event::Failed { detail: format!("no random numbers: {error}") });
        Refusal::INTERNAL
    })?;
    let scan = Arc::new(scan);
    app.scans.insert(&scan);
    let job = Job { scan: Arc::clone(&scan), file: path, slot };
    if app.queue.push(job).is_err() {
        app.scans.forget(&scan.id);
        return Err(Refusal::STOPPING);
    }
    Ok(scan)
}

/// Creates an empty file with a random name that only this user can read.
fn new_file(app: &App) -> io::Result<(File, TempPath)> {
    let file = tempfile::Builder::new().prefix("").rand_bytes(24).tempfile_in(app.folder.path())?;
    let (file, path) = file.into_parts();
    Ok((File::from_std(file), path))
}

/// Writes the body into the file. Returns its length in bytes.
async fn store(
    app: &App,
    body: &mut BodyDataStream,
    mut file: File,
    slot: &UploadSlot,
) -> Result<u64, Refusal> {
    let settings = &app.settings;
    let deadline = Instant::now() + settings.upload_time;
    let mut bytes = 0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let piece = match timeout(settings.idle_time.min(left), body.next()).await {
            Err(_) if left < settings.idle_time => {
                return Err(Refusal::upload_too_long(settings.upload_time));
            }
            Err(_) => return Err(Refusal::upload_stalled(settings.idle_time)),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Refusal::INCOMPLETE),
            Ok(Some(Ok(piece))) => piece,
        };
        bytes += piece.len() as u64;
        if bytes > settings.max_upload_bytes {
            return Err(Refusal::upload_too_large(settings.max_upload_bytes));
        }
        slot.note(piece.len());
        file.write_all(&piece).await.map_err(|error| not_stored(app, &error))?;
    }
    file.flush().await.map_err(|error| not_stored(app, &error))?;
    Ok(bytes)
}

fn not_stored(app: &App, error: &io::Error) -> Refusal {
    app.tell(Event::Failed { detail: format!("cannot store an upload: {error}") });
    Refusal::NOT_STORED
}

/// The parameter `name` of the query.
fn given_name(parts: &Parts) -> String {
    let query = parts.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "name")
        .map(|(_, name)| name.into_owned())
        .unwrap_or_default()
}

/// Longest display name, in characters.
const LONGEST: usize = 200;

/// The last part of the path `name`, for display. Control characters, direction marks and characters
/// without a width become `U+FFFD`.
pub(crate) fn shown(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown: String = last
        .trim()
        .chars()
        .take(LONGEST)
        .map(|c| if deeptell::text::is_invisible(c) { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if shown.is_empty() { "upload".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_name_is_the_last_part_of_a_path() {
        assert_eq!(shown("../../etc/passwd"), "passwd");
        assert_eq!(shown(r"C:\fakepath\clip.mp4"), "clip.mp4");
        assert_eq!(shown("Ünïcode 顔.mp4"), "Ünïcode 顔.mp4");
        assert_eq!(shown(""), "upload");
        assert_eq!(shown("folder/"), "upload");
        assert_eq!(shown(&"x".repeat(999)).len(), LONGEST);
    }

    /// What a query makes of a file's name.
    fn named(query: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(query).ok()?;
        let request = axum::http::Request::builder().uri(format!("/api/scans?{text}")).body(()).ok()?;
        Some(shown(&given_name(&request.into_parts().0)))
    }

    #[test]
    fn queries_of_the_corpus_give_harmless_names_however_damaged() {
        let mut number = 1_u32;
        let mut below = |limit: usize| {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (number >> 8) as usize % limit
        };
        let mut names = 0;
        for query in include_str!("../tests/corpus/queries").lines() {
            assert!(named(query.as_bytes()).is_some(), "{query}");
            for _ in 0..500 {
                let mut bytes = query.as_bytes().to_vec();
                for _ in 0..below(4) {
                    let at = below(bytes.len());
                    bytes[at] = [b'%', b'+', b'&', b'=', b'/', b'F', b'0', below(128) as u8][below(8)];
                }
                let Some(name) = named(&bytes) else { continue };
                names += 1;
                assert!((1..=LONGEST).contains(&name.chars().count()), "{name:?}");
                assert!(
                    !name.contains(['/', '\\']) && !name.chars().any(deeptell::text::is_invisible),
                    "{name:?}"
                );
            }
        }
        assert!(names > 10_000, "{names}");
    }

    #[test]
    fn display_name_has_no_invisible_characters() {
        assert_eq!(shown("a\u{202e}4pm.exe\n"), "a\u{fffd}4pm.exe");
        assert_eq!(shown("\u{200b}"), "\u{fffd}");
    }
}
