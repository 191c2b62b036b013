//! The detector, for JavaScript.

use burn::tensor::Device;
use deeptell::{Detector, ModelFile, ScanOptions, VERSION};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::failure::thrown;
use crate::scan::WebScan;

/// The face detector and a classifier, on the processor.
#[wasm_bindgen]
#[derive(Debug)]
pub struct WebDetector {
    detector: Detector,
}

#[wasm_bindgen]
impl WebDetector {
    /// A detector with a model file, given as its bytes; `name` is used in errors only.
    ///
    /// # Errors
    /// When the bytes are not a model file that this version can use.
    #[wasm_bindgen(constructor)]
    pub fn new(model: &[u8], name: &str) -> Result<Self, JsValue> {
        let device = Device::flex();
        let load = || Detector::new(ModelFile::from_bytes(model, name)?.load(&device)?, &device);
        Ok(Self { detector: load().map_err(|error| thrown(&error))? })
    }

    /// The version of deeptell.
    #[wasm_bindgen(getter)]
    pub fn version(&self) -> String {
        VERSION.to_owned()
    }

    /// Begins the scan of a file of so many bytes. Of a video, `frames` frames are sampled.
    ///
    /// # Errors
    /// When `frames` is out of its range.
    pub fn begin(&self, name: &str, bytes: f64, frames: usize) -> Result<WebScan, JsValue> {
        let options = ScanOptions::default().frames(frames).evidence(true);
        let scanning = self.detector.begin(name, &options).map_err(|error| thrown(&error))?;
        Ok(WebScan::new(scanning, name, bytes as u64))
    }

    /// The calibrated probability that each of `count` copies of the picture's largest face is manipulated, in all of
    /// the model's views: to measure the network alone.
    ///
    /// # Errors
    /// When the picture cannot be read or shows no face.
    pub fn classify(&self, picture: &[u8], count: usize) -> Result<Vec<f64>, JsValue> {
        let image = crate::scan::read("picture", picture)?.image;
        let options = ScanOptions::default();
        let faces = self.detector.find_faces(&image, &options).map_err(|error| thrown(&error))?;
        let face =
            faces.first().ok_or_else(|| crate::failure::refusal("no_face", "the picture shows no face"))?;
        let crop = self.detector.crop(&image, face);
        let crop = crop.map_err(|error| crate::failure::refusal("internal", &error.to_string()))?;
        self.detector.classify(&vec![crop; count]).map_err(|error| thrown(&error))
    }
}
