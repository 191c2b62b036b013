//! The detector of deeptell in a browser tab: frames and pictures in, the report out.
//!
//! The page's worker makes a `WebDetector` from the bytes of the model, and a `WebScan` for each file. Errors are
//! thrown as strings: JSON objects of a `code` for programs and a `message` for people.
#![cfg(target_arch = "wasm32")]

mod detector;
mod failure;
mod result;
mod scan;

pub use detector::{WebCrops, WebDetector};
pub use result::WebResult;
pub use scan::WebScan;

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

/// Writes panics to the console of the browser: the module ends there.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|info| console_error(&info.to_string())));
}
