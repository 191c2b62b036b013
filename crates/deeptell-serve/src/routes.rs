//! The table of routes.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post};

use crate::app::App;
use crate::refusal::Refusal;
use crate::{answers, guard, local, page, upload};

/// One method of one path.
struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with the OpenAPI document"))]
    method: &'static str,
    path: &'static str,
    handler: MethodRouter<Arc<App>>,
}

/// The API. A test compares this table with `/api/openapi.json`.
fn interface() -> [Route; 9] {
    let route = |method, path, handler| Route { method, path, handler };
    [
        route("get", "/api/about", get(answers::about)),
        route("get", "/api/openapi.json", get(|| async { page::openapi() })),
        route("post", "/api/scans", post(upload::receive)),
        route("get", "/api/scans/{id}", get(answers::state)),
        route("delete", "/api/scans/{id}", delete(answers::forget)),
        route("get", "/api/scans/{id}/events", get(answers::events)),
        route("get", "/api/scans/{id}/report.json", get(answers::report_json)),
        route("get", "/api/scans/{id}/report.html", get(answers::report_html)),
        route("get", "/api/scans/{id}/pictures/{kind}/{number}", get(answers::picture)),
    ]
}

/// Page and API behind the access checks.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, asset) in page::ASSETS {
        router = router.route(path, get(move || async move { asset.answer() }));
    }
    router = router
        .route("/local", get(local::redirect))
        .route("/local/", get(local::index))
        .route("/local/{name}", get(local::file));
    for Route { path, handler, .. } in interface() {
        router = router.route(path, handler);
    }
    router
        .fallback(|| async { Refusal::NO_SUCH_PAGE })
        .method_not_allowed_fallback(|| async { Refusal::METHOD_NOT_ALLOWED })
        .layer(from_fn_with_state(Arc::clone(app), guard::guard))
        .with_state(Arc::clone(app))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn openapi_describes_every_route_and_no_other() {
        let document: Value = serde_json::from_str(page::OPENAPI).unwrap();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
                methods.map(|method| (method.clone(), path.clone()))
            })
            .collect();
        let there: BTreeSet<(String, String)> =
            interface().iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
        assert_eq!(described, there);
        assert_eq!(there.len(), interface().len(), "a route is there twice");
        // A handler for another method than the table says would answer 405, which the tests that
        // ask for each path over a socket detect.
    }
}
