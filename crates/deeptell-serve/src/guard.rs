//! Access checks, and headers that restrict what browsers do with responses.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::refusal::Refusal;

/// Requests that change anything must have this header. Another web site cannot add it without a
/// preflight request, which this server never grants.
const OURS: &str = "x-deeptell";

/// Where browsers say that a request comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What the page may load: itself, and pictures and videos from memory.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
     media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// What a report may load: its own style and pictures.
pub(crate) const REPORT_POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";

/// Headers of every response.
const HEADERS: [(HeaderName, &str); 8] = [
    (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// Checks every request, and adds [`HEADERS`] to every response.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match check(&parts, app.address, &app.settings.allowed_hosts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn check(request: &Parts, address: SocketAddr, allowed: &[String]) -> Result<(), Refusal> {
    let count = |name| request.headers.get_all(name).iter().count();
    // RFC 9112, section 3.2. Earlier versions have no such rule, and an absolute address instead.
    if count(&header::HOST) > 1 || (count(&header::HOST) == 0 && request.version >= Version::HTTP_11) {
        return Err(Refusal::ONE_HOST);
    }
    if count(&header::ORIGIN) > 1 || count(&FETCH_SITE) > 1 {
        return Err(Refusal::REPEATED_HEADER);
    }
    let host = text(&request.headers, &header::HOST).unwrap_or_default();
    let named_in_line = request.uri.authority().map(axum::http::uri::Authority::as_str);
    if !is_our_host(host, address, allowed) || named_in_line.is_some_and(|name| name != host) {
        return Err(Refusal::WRONG_HOST);
    }
    if !matches!(request.method, Method::GET | Method::HEAD) {
        if let Some(origin) = request.headers.get(header::ORIGIN)
            && !is_origin_of(origin, host)
        {
            return Err(Refusal::CROSS_ORIGIN);
        }
        if !request.headers.contains_key(OURS) {
            return Err(Refusal::NO_HEADER);
        }
    }
    // Browsers send this with requests that only read, too.
    let from = text(&request.headers, &FETCH_SITE);
    let is_page = !request.uri.path().starts_with("/api/");
    match from {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) if is_page && request.method == Method::GET => Ok(()),
        Some(_) => Err(Refusal::CROSS_ORIGIN),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether `host`, as a request names it, is this server, and not a name that somebody else could
/// have pointed at it.
fn is_our_host(host: &str, address: SocketAddr, allowed: &[String]) -> bool {
    let Some(name) = without_port(host) else { return false };
    match name.parse::<IpAddr>() {
        // Nobody can redirect an address.
        Ok(ip) => ip.is_loopback() || address.ip().is_unspecified() || ip == address.ip(),
        Err(_) => {
            name.eq_ignore_ascii_case("localhost")
                || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
        }
    }
}

/// `name`, `name:80`, `[::1]`, `[::1]:80`: the name alone.
fn without_port(host: &str) -> Option<&str> {
    let (name, rest) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = rest.strip_prefix(':');
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (!name.is_empty() && (rest.is_empty() || port.is_some_and(is_port))).then_some(name)
}

fn is_origin_of(origin: &HeaderValue, host: &str) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(host: &str, address: &str) -> bool {
        is_our_host(host, address.parse().unwrap(), &["scans.example".to_owned()])
    }

    #[test]
    fn loopback_and_allowed_names_are_accepted() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8765",
            "localhost:8765",
            "LOCALHOST",
            "[::1]:8765",
            "[::1]",
            "scans.example",
            "Scans.Example:443",
        ] {
            assert!(ours(host, "127.0.0.1:8765"), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8765",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:8765:1",
            "localhost:",
            "localhost:80x",
            "192.168.1.7",
            "[::1",
            "[::1]evil",
            "::1",
        ] {
            assert!(!ours(host, "127.0.0.1:8765"), "{host}");
        }
    }

    #[test]
    fn bound_address_is_accepted() {
        assert!(ours("192.168.1.7:8765", "192.168.1.7:8765"));
        assert!(!ours("192.168.1.8:8765", "192.168.1.7:8765"));
        assert!(ours("192.168.1.8:8765", "0.0.0.0:8765"));
        assert!(!ours("evil.example:8765", "0.0.0.0:8765"));
    }

    #[test]
    fn origin_is_accepted_only_if_it_is_the_host() {
        let is_ours =
            |origin: &'static str| is_origin_of(&HeaderValue::from_static(origin), "127.0.0.1:8765");
        assert!(is_ours("http://127.0.0.1:8765"));
        for origin in ["null", "http://127.0.0.1:1", "http://evil.example", "127.0.0.1:8765", ""] {
            assert!(!is_ours(origin), "{origin}");
        }
    }
}
