//! The detector, for JavaScript.

use burn::tensor::Device;
use deeptell::{Detector, ModelFile, RgbImage, ScanOptions, VERSION};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::failure::{refusal, thrown};
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
        let load = || Detector::new(ModelFile::from_bytes(model, name)?.load(&device)?);
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

    /// The stages before the classifier alone: the faces of a picture, cut out as the model was trained to see them.
    ///
    /// # Errors
    /// When the picture cannot be read, or a face cannot be cut out.
    pub fn crops(&self, picture: &[u8]) -> Result<WebCrops, JsValue> {
        let image = crate::scan::read("picture", picture)?.image;
        let faces =
            self.detector.find_faces(&image, &ScanOptions::default()).map_err(|error| thrown(&error))?;
        let crops: Result<_, _> = faces.iter().map(|face| self.detector.crop(&image, face)).collect();
        Ok(WebCrops { crops: crops.map_err(|error| refusal("internal", &error.to_string()))? })
    }

    /// The classifier alone: the calibrated probability that each of the faces is manipulated, in all of the model's
    /// views.
    ///
    /// # Errors
    /// When the network fails.
    pub fn classify(&self, crops: &WebCrops) -> Result<Vec<f64>, JsValue> {
        self.detector.classify(&crops.crops).map_err(|error| thrown(&error))
    }
}

/// Faces that were cut out of a picture.
#[wasm_bindgen]
#[derive(Debug)]
pub struct WebCrops {
    crops: Vec<RgbImage>,
}
