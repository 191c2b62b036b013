//! Responses about scans.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::sleep;

use crate::app::App;
use crate::guard::REPORT_POLICY;
use crate::refusal::Refusal;
use crate::scans::{Scan, State as ScanState};

/// How long event streams stay open after the server stops, so that they end with the last state.
const LAST_WORDS: Duration = Duration::from_secs(1);

const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

/// The parameters of a path, or a refusal in the form of all others.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let parameters = Path::from_request_parts(parts, app).await;
        parameters.map(|Path(value)| Self(value)).map_err(|_| Refusal::BAD_PATH)
    }
}

/// `GET /api/about`: the version and the limits of this server.
pub(crate) async fn about(State(app): State<Arc<App>>) -> Response {
    let document = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "max_upload_bytes": app.settings.max_upload_bytes,
        "history": app.settings.history,
    });
    (JSON, document.to_string()).into_response()
}

/// The scan with this id.
fn known(app: &App, id: &str) -> Result<Arc<Scan>, Refusal> {
    app.scans.get(id).ok_or(Refusal::NO_SUCH_SCAN)
}

/// The scan with this id, if it has a report.
fn reported(app: &App, id: &str) -> Result<Arc<Scan>, Refusal> {
    let scan = known(app, id)?;
    if scan.report().is_some() { Ok(scan) } else { Err(Refusal::NO_REPORT) }
}

/// `GET /api/scans/{id}`
pub(crate) async fn state(
    State(app): State<Arc<App>>,
    Parameters(id): Parameters<String>,
) -> Result<impl IntoResponse, Refusal> {
    let scan = known(&app, &id)?;
    let document = scan.document(&scan.watch().borrow());
    Ok((JSON, document))
}

/// `DELETE /api/scans/{id}`: cancels the scan and removes it.
pub(crate) async fn forget(
    State(app): State<Arc<App>>,
    Parameters(id): Parameters<String>,
) -> Result<StatusCode, Refusal> {
    let scan = app.scans.forget(&id).ok_or(Refusal::NO_SUCH_SCAN)?;
    scan.cancel();
    // The file of a waiting scan is deleted here, that of a running one by its worker after the current frame.
    app.queue.remove(&id);
    scan.set(ScanState::Cancelled);
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/scans/{id}/events`: the current state and each later one, until the last.
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Parameters(id): Parameters<String>,
) -> Result<impl IntoResponse, Refusal> {
    let scan = known(&app, &id)?;
    let states = scan.watch();
    let events = stream::unfold(Some((app, scan, states, false)), |listening| async move {
        let (app, scan, mut states, has_begun) = listening?;
        if has_begun {
            tokio::select! {
                biased;
                changed = states.changed() => changed.ok()?,
                () = stopped(&app) => return None,
            }
        }
        let state = states.borrow_and_update().clone();
        let event = Event::default().event("state").data(scan.document(&state));
        let next = (!state.is_final()).then_some((app, scan, states, true));
        Some((Ok::<_, Infallible>(event), next))
    });
    let not_buffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok((not_buffered, Sse::new(events).keep_alive(alive)))
}

/// Waits until the server stops, and then long enough to send the last state.
async fn stopped(app: &App) {
    app.stopped().await;
    sleep(LAST_WORDS).await;
}

/// `GET /api/scans/{id}/report.json`
pub(crate) async fn report_json(
    State(app): State<Arc<App>>,
    Parameters(id): Parameters<String>,
) -> Result<impl IntoResponse, Refusal> {
    let scan = reported(&app, &id)?;
    let document = scan.report_json().ok_or(Refusal::NO_REPORT)?;
    Ok((JSON, document))
}

/// `GET /api/scans/{id}/report.html`
pub(crate) async fn report_html(
    State(app): State<Arc<App>>,
    Parameters(id): Parameters<String>,
) -> Result<impl IntoResponse, Refusal> {
    let scan = reported(&app, &id)?;
    // Encoding the pictures takes too long for the thread that answers all requests.
    let written = tokio::task::spawn_blocking(move || scan.report_html()).await;
    let Ok(Some(page)) = written else { return Err(Refusal::INTERNAL) };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, REPORT_POLICY),
    ];
    Ok((headers, page))
}

/// `GET /api/scans/{id}/pictures/{kind}/{number}`: a picture from the report.
pub(crate) async fn picture(
    State(app): State<Arc<App>>,
    Parameters((id, kind, number)): Parameters<(String, String, usize)>,
) -> Result<impl IntoResponse, Refusal> {
    let scan = reported(&app, &id)?;
    let pictures = scan.evidence().ok_or(Refusal::NO_SUCH_PICTURE)?;
    let (all, format) = match kind.as_str() {
        "frames" => (&pictures.frames, "image/jpeg"),
        "faces" => (&pictures.faces, "image/jpeg"),
        "heat" => (&pictures.heat, "image/png"),
        _ => return Err(Refusal::NO_SUCH_PICTURE),
    };
    let picture = all.get(number).ok_or(Refusal::NO_SUCH_PICTURE)?;
    Ok(([(header::CONTENT_TYPE, format)], picture.clone()))
}
