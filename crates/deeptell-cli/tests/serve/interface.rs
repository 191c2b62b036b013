//! The OpenAPI document against what the server does.

use serde_json::Value;

use crate::client::{Answer, Request};
use crate::program::Program;
use crate::{clip, follow, send};

/// Follows a `$ref` of the document.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(path) => resolved(document, document.pointer(path.strip_prefix('#').unwrap()).unwrap()),
        None => value,
    }
}

/// Validates `value` against `schema`, for the part of JSON Schema that the document uses.
fn faults(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let schema = resolved(document, schema);
    let mut faults = Vec::new();
    let known = [
        "type",
        "required",
        "properties",
        "items",
        "enum",
        "pattern",
        "minimum",
        "maximum",
        "description",
        "default",
    ];
    for keyword in schema.as_object().unwrap().keys() {
        assert!(known.contains(&keyword.as_str()), "this test does not know `{keyword}`");
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("unknown type {other}"),
    };
    let fits = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().any(|kind| is(kind.as_str().unwrap())),
        _ => true,
    };
    if !fits {
        faults.push(format!("{at} is {value}, not {}", schema["type"]));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        faults.push(format!("{at} is {value}, not one of {allowed:?}"));
    }
    if let Some(number) = value.as_f64() {
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            faults.push(format!("{at} is {number}"));
        }
    }
    if schema["pattern"] == "^[0-9a-f]{32}$" {
        let text = value.as_str().unwrap_or_default();
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            faults.push(format!("{at} is {text}"));
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            faults.push(format!("{at} has no {name}"));
        }
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(name) {
            faults.extend(self::faults(document, schema, value, &format!("{at}.{name}")));
        }
    }
    if let (Some(values), true) = (value.as_array(), schema.get("items").is_some()) {
        for (i, value) in values.iter().enumerate() {
            faults.extend(self::faults(document, &schema["items"], value, &format!("{at}[{i}]")));
        }
    }
    faults
}

/// Whether the answer is one that the document describes for this operation.
fn check(document: &Value, method: &str, path: &str, answer: &Answer) {
    let place = format!("{method} {path}: {}", answer.status);
    let responses = &document["paths"][path][method]["responses"];
    assert!(responses.is_object(), "{place} is not described");
    let status = answer.status.to_string();
    let described = responses.get(&status).unwrap_or(&responses["default"]);
    // What succeeds must be described by its own status.
    assert!(answer.status >= 400 || responses.get(&status).is_some(), "{place} is not described");
    let described = resolved(document, described);
    for name in described["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
        assert!(answer.header(name).is_some(), "{place}: no header {name}");
    }
    let Some(kinds) = described["content"].as_object() else {
        assert!(answer.body.is_empty(), "{place}: a body");
        return;
    };
    let kind = answer.header("content-type").unwrap().split(';').next().unwrap();
    let content = kinds.get(kind).unwrap_or_else(|| panic!("{place}: {kind} is not described"));
    if kind == "application/json" {
        assert_eq!(
            faults(document, &content["schema"], &answer.json(), "answer"),
            Vec::<String>::new(),
            "{place}"
        );
    } else if kind == "text/event-stream" {
        for event in answer.events() {
            let scan = &document["components"]["schemas"]["Scan"];
            assert_eq!(faults(document, scan, &event, "event"), Vec::<String>::new(), "{place}");
        }
    }
}

#[test]
fn every_response_is_as_openapi_describes() {
    let server = Program::start(&["--frames", "3", "--max-upload", "1"]);
    let document = Request::get("/api/openapi.json").ask(server.address).json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));

    let content = std::fs::read(clip("real/orl-s02.mp4")).unwrap();
    let good = send(server.address, "good.mp4", &content);
    follow(server.address, &good);
    let bad = send(server.address, "bad.mp4", b"no video");
    follow(server.address, &bad);
    let mut asked = std::collections::BTreeSet::new();
    for scan in [good.as_str(), bad.as_str(), "/api/scans/0", "/api/scans/ffffffffffffffffffffffffffffffff"] {
        for path in document["paths"].as_object().unwrap().keys().filter(|path| path.contains("{id}")) {
            for (kind, number) in [("frames", "0"), ("faces", "1"), ("heat", "0"), ("faces", "999")] {
                let filled =
                    path.replace("/api/scans/{id}", scan).replace("{kind}", kind).replace("{number}", number);
                let answer = Request::get(&filled).ask(server.address);
                assert_ne!(answer.status, 405, "{path}");
                check(&document, "get", path, &answer);
            }
            asked.insert(("get".to_owned(), path.clone()));
        }
    }
    for path in ["/api/about", "/api/openapi.json"] {
        check(&document, "get", path, &Request::get(path).ask(server.address));
        asked.insert(("get".to_owned(), path.to_owned()));
    }
    let post = |headers: &[(&str, &str)], body: &[u8], status: u16| {
        let answer = Request { method: "POST", path: "/api/scans", headers, body }.ask(server.address);
        assert_eq!(answer.status, status);
        check(&document, "post", "/api/scans", &answer);
    };
    let ours = ("X-Deeptell", "1");
    post(&[ours], &content, 202);
    post(&[ours], b"", 400);
    post(&[], &content, 403);
    post(&[ours], &vec![0; 1_000_001], 413);
    post(&[ours, ("Content-Type", "multipart/form-data")], b"x", 415);
    post(&[ours, ("Host", "evil.example")], b"x", 421);
    asked.insert(("post".to_owned(), "/api/scans".to_owned()));
    for (headers, status) in [(&[][..], 403), (&[ours][..], 204), (&[ours][..], 404)] {
        let answer = Request { method: "DELETE", path: &good, headers, body: b"" }.ask(server.address);
        assert_eq!(answer.status, status);
        check(&document, "delete", "/api/scans/{id}", &answer);
    }
    asked.insert(("delete".to_owned(), "/api/scans/{id}".to_owned()));

    let described = document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        methods.map(|method| (method.clone(), path.clone()))
    });
    assert_eq!(asked, described.collect(), "each is asked for at least once");
}
