//! The detector, and frames of videos.

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use deeptell::{Decoding, Error, Face, Input, InputFrame, Landmarks, Limits, Point, Rect, Scan, ScanOptions};
use deeptell_video::{DecoderProcess, Sampling, VideoReader};
use numpy::{IntoPyArray, PyArray1, PyArray3};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::compute::{OnProgress, Threads};
use crate::errors::{self, OptionError};
use crate::options::{scan_options, within};
use crate::report::{Scanned, scanned};
use crate::{compute, decoder, fork, pixels};

/// Most frames that `frames` returns.
const MAX_FRAMES: i64 = ScanOptions::MAX_FRAMES as i64;

/// A box (x1, y1, x2, y2), five landmarks (x, y) in the order of [`Landmarks::points`], and the probability.
type PlainFace = ([f32; 4], [(f32, f32); 5], f32);

/// What computes.
struct Engine {
    detector: deeptell::Detector,
    threads: Threads,
}

/// A detector; see the class of the package.
#[pyclass(frozen, module = "deeptell._deeptell")]
pub(crate) struct Detector(Arc<Engine>);

impl Drop for Detector {
    fn drop(&mut self) {
        if fork::is_forked() {
            // The threads and the decoder are another process's.
            std::mem::forget(Arc::clone(&self.0));
        }
    }
}

impl Detector {
    /// Scans what `scan` names.
    fn report<'py>(
        &self,
        py: Python<'py>,
        options: &Bound<'_, PyDict>,
        progress: Option<&Py<PyAny>>,
        scan: impl FnOnce(&deeptell::Detector, &ScanOptions, OnProgress<'_>) -> Result<Scan, Error> + Send,
    ) -> PyResult<Scanned<'py>> {
        fork::enter()?;
        let options = scan_options(options)?;
        let Engine { detector, threads } = &*self.0;
        let found = threads.run(py, progress, |on_progress| scan(detector, &options, on_progress))?;
        scanned(py, found)
    }
}

#[pymethods]
impl Detector {
    #[new]
    fn new(py: Python<'_>, model: Option<PathBuf>, threads: Option<i64>, trusted: bool) -> PyResult<Self> {
        fork::enter()?;
        decoder::name(py)?;
        let threads = Threads::new(threads)?;
        let decoding = if trusted { Decoding::trusted() } else { Decoding::untrusted() };
        let device = Device::flex();
        let detector = threads.run(py, None, |_| match &model {
            Some(path) => deeptell::Detector::load(path, &device),
            None => deeptell::Detector::shipped(&device),
        })?;
        Ok(Self(Arc::new(Engine { detector: detector.with_decoding(decoding), threads })))
    }

    /// What the model says about itself, and the SHA-256 of its file, as JSON.
    fn model(&self) -> PyResult<String> {
        let info = self.0.detector.model().info();
        serde_json::to_string(info).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    #[pyo3(signature = (path, options, progress=None))]
    fn scan_file<'py>(
        &self,
        py: Python<'py>,
        path: PathBuf,
        options: &Bound<'_, PyDict>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Scanned<'py>> {
        self.report(py, options, progress.as_ref(), |detector, options, on_progress| {
            detector.scan_with(&path, options, on_progress)
        })
    }

    #[pyo3(signature = (name, contents, options, progress=None))]
    fn scan_bytes<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        contents: &[u8],
        options: &Bound<'_, PyDict>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Scanned<'py>> {
        self.report(py, options, progress.as_ref(), |detector, options, on_progress| {
            detector.scan_with(Input::bytes(name, contents), options, on_progress)
        })
    }

    #[pyo3(signature = (name, picture, options, progress=None))]
    fn scan_picture<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        picture: &Bound<'_, PyAny>,
        options: &Bound<'_, PyDict>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Scanned<'py>> {
        let image = pixels::picture(picture)?;
        self.report(py, options, progress.as_ref(), |detector, options, on_progress| {
            detector.scan_with(Input::picture(name, &image), options, on_progress)
        })
    }

    #[pyo3(signature = (name, frames, options, progress=None))]
    fn scan_frames<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        frames: Vec<(Bound<'_, PyAny>, f64)>,
        options: &Bound<'_, PyDict>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Scanned<'py>> {
        let frame = |(pixels, pts_seconds): &(Bound<'_, PyAny>, f64)| -> PyResult<InputFrame> {
            Ok(InputFrame::new(pixels::picture(pixels)?, *pts_seconds))
        };
        let frames = frames.iter().map(frame).collect::<PyResult<Vec<_>>>()?;
        self.report(py, options, progress.as_ref(), |detector, options, on_progress| {
            detector.scan_with(Input::frames(name, frames), options, on_progress)
        })
    }

    /// The faces of a picture, the largest first.
    fn faces(
        &self,
        py: Python<'_>,
        picture: &Bound<'_, PyAny>,
        min_face: f32,
        min_detection_probability: f32,
    ) -> PyResult<Vec<PlainFace>> {
        fork::enter()?;
        let image = pixels::picture(picture)?;
        let options =
            ScanOptions::default().min_face(min_face).min_detection_probability(min_detection_probability);
        let Engine { detector, threads } = &*self.0;
        let faces = threads.run(py, None, |_| detector.find_faces(&image, &options))?;
        let plain = |face: Face| {
            let Rect { x1, y1, x2, y2 } = face.bbox;
            ([x1, y1, x2, y2], face.landmarks.points().map(|Point { x, y }| (x, y)), face.probability)
        };
        Ok(faces.into_iter().map(plain).collect())
    }

    /// A face, cut out as the model was trained to see it.
    fn crop<'py>(
        &self,
        py: Python<'py>,
        picture: &Bound<'_, PyAny>,
        face: PlainFace,
    ) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let image = pixels::picture(picture)?;
        let ([x1, y1, x2, y2], landmarks, probability) = face;
        let landmarks = Landmarks::from_points(landmarks.map(|(x, y)| Point::new(x, y)));
        let face = Face { bbox: Rect::new(x1, y1, x2, y2), landmarks, probability };
        let crop = py.detach(|| self.0.detector.crop(&image, &face));
        pixels::array(py, crop.map_err(|error| PyValueError::new_err(error.to_string()))?)
    }

    /// The probability that each crop shows a manipulated face; so many go through the network at once.
    fn score<'py>(
        &self,
        py: Python<'py>,
        crops: Vec<Bound<'_, PyAny>>,
        batch: i64,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        fork::enter()?;
        let Engine { detector, threads } = &*self.0;
        let batch: usize = within("batch", batch)?;
        ScanOptions::default().batch(batch).check().map_err(errors::of_deeptell)?;
        let crops = crops.iter().map(pixels::picture).collect::<PyResult<Vec<_>>>()?;
        let side = detector.model().card().crop.size;
        if let Some((number, crop)) =
            crops.iter().enumerate().find(|(_, crop)| crop.dimensions() != (side, side))
        {
            let (width, height) = crop.dimensions();
            return Err(PyValueError::new_err(format!(
                "crop {number} is {width} by {height} pixels, but this model takes {side} by {side}: cut faces out \
                 with `crop`"
            )));
        }
        let scores = threads.run(py, None, |_| {
            let mut scores = Vec::with_capacity(crops.len());
            for crops in crops.chunks(batch) {
                scores.extend(detector.classify(crops)?);
            }
            Ok(scores)
        })?;
        Ok(scores.into_pyarray(py))
    }
}

/// A frame as an array, its time in seconds, and its number where that is known.
type PlainFrame<'py> = (Bound<'py, PyArray3<u8>>, f64, Option<u64>);

/// Frames of a video, spread evenly over it.
#[pyfunction]
pub(crate) fn frames(
    py: Python<'_>,
    path: PathBuf,
    count: i64,
    max_side: Option<i64>,
    stream: Option<i64>,
    trusted: bool,
) -> PyResult<Vec<PlainFrame<'_>>> {
    fork::enter()?;
    decoder::name(py)?;
    if !(1..=MAX_FRAMES).contains(&count) {
        let text = format!("the option `n` is {count}, but must be 1 to {MAX_FRAMES} frames");
        return Err(OptionError::new_err(text));
    }
    let mut reading = VideoReader::options();
    if !trusted {
        let decoder = DecoderProcess::this_program().map_err(|_| errors::no_decoder())?;
        reading = reading.limits(Limits::untrusted()).isolated_by(&decoder);
    }
    if let Some(side) = max_side {
        if side < 1 {
            let text = format!("the option `max_side` is {side}, but must be 1 pixel or more");
            return Err(OptionError::new_err(text));
        }
        reading = reading.max_side(within("max_side", side)?);
    }
    if let Some(stream) = stream {
        reading = reading.stream(within("stream", stream)?);
    }
    let frames = py.detach(|| {
        let mut reader = reading.open(&path).map_err(errors::of_video)?;
        let mut frames = Vec::new();
        for frame in reader.sample(Sampling::Uniform(count as usize)) {
            let frame = frame.map_err(errors::of_video)?;
            // A video of fewer frames than asked for gives some of them again.
            if !frame.repeats_previous {
                frames.push(frame);
            }
            compute::check_signals()?;
        }
        Ok::<_, PyErr>(frames)
    })?;
    let frame =
        |frame: deeptell::Frame| Ok((pixels::array(py, frame.image)?, frame.pts_seconds, frame.index));
    frames.into_iter().map(frame).collect()
}
