//! What a scan found, for JavaScript.

use deeptell::{Scan, html};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::failure::refusal;

/// The report of a scan, and its pictures.
#[wasm_bindgen]
#[derive(Debug)]
pub struct WebResult {
    scan: Scan,
}

impl WebResult {
    pub(crate) fn new(scan: Scan) -> Self {
        Self { scan }
    }
}

#[wasm_bindgen]
impl WebResult {
    /// The report as JSON.
    ///
    /// # Errors
    /// When a number in it is none, which a report cannot have.
    pub fn report(&self) -> Result<String, JsValue> {
        let json = serde_json::to_string_pretty(&self.scan.report);
        json.map_err(|error| refusal("internal", &error.to_string()))
    }

    /// The report as a page.
    pub fn page(&self) -> String {
        html::page(&self.scan.report, self.scan.evidence.as_ref())
    }

    /// How many pictures there are of a kind: `frames`, `faces` or `heat`.
    pub fn count(&self, kind: &str) -> usize {
        self.pictures(kind).len()
    }

    /// A picture as a file: JPEG, or PNG of heat maps; empty when there is none of that number.
    pub fn picture(&self, kind: &str, number: usize) -> Vec<u8> {
        self.pictures(kind).get(number).cloned().unwrap_or_default()
    }
}

impl WebResult {
    fn pictures(&self, kind: &str) -> &[Vec<u8>] {
        let Some(evidence) = &self.scan.evidence else { return &[] };
        match kind {
            "frames" => &evidence.frames,
            "faces" => &evidence.faces,
            "heat" => &evidence.heat,
            _ => &[],
        }
    }
}
