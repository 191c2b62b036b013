//! Why there is no report, as the page shows it.

use deeptell::{Error, InputError, PictureError, VideoError};
use deeptell_files::error_chain;
use serde_json::json;
use wasm_bindgen::JsValue;

/// A failure for JavaScript: a string of JSON with a `code` and a `message`, which is the text of the command line.
pub(crate) fn thrown(error: &Error) -> JsValue {
    let code = match error {
        Error::Input { source, .. } => code_of(source),
        _ => "internal",
    };
    let message = match error {
        Error::Input { source, .. } => error_chain(source),
        other => error_chain(other),
    };
    refusal(code, &message)
}

/// As [`thrown`], for an input called `name`.
pub(crate) fn thrown_for(name: &str, source: impl Into<InputError>) -> JsValue {
    thrown(&Error::Input { name: name.to_owned(), source: source.into() })
}

/// A failure that only a browser has.
pub(crate) fn refusal(code: &str, message: &str) -> JsValue {
    JsValue::from_str(&json!({ "code": code, "message": sentence(message) }).to_string())
}

/// The codes of `deeptell serve`, by which the page chooses its headings.
fn code_of(error: &InputError) -> &'static str {
    match error {
        InputError::Video(VideoError::Unsupported { .. } | VideoError::NoVideo { .. })
        | InputError::Picture(PictureError::Unsupported { .. } | PictureError::Unknown) => "unsupported",
        InputError::Video(
            VideoError::TooLarge { .. } | VideoError::PacketTooLarge { .. } | VideoError::OutOfMemory { .. },
        )
        | InputError::Picture(
            PictureError::TooLarge { .. }
            | PictureError::FileTooLarge { .. }
            | PictureError::TooMuchMemory { .. },
        ) => "too_large",
        _ => "broken",
    }
}

/// With a full stop.
fn sentence(text: &str) -> String {
    if text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}
