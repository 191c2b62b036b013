//! Reports as JSON documents, and their pages.

use deeptell::{Evidence, Report, html};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Files of pictures: of the frames, of the faces, and the heat maps of the faces.
pub(crate) type Pictures<'py> =
    (Vec<Bound<'py, PyBytes>>, Vec<Bound<'py, PyBytes>>, Vec<Bound<'py, PyBytes>>);

/// The same, given by Python.
type GivenPictures = (Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<Vec<u8>>);

/// A report as JSON, as the command line writes it, and its pictures if there are any.
pub(crate) type Scanned<'py> = (String, Option<Pictures<'py>>);

pub(crate) fn scanned(py: Python<'_>, scan: deeptell::Scan) -> PyResult<Scanned<'_>> {
    let text = serde_json::to_string(&scan.report).map_err(|e| PyValueError::new_err(e.to_string()))?;
    let files = |files: &[Vec<u8>]| files.iter().map(|file| PyBytes::new(py, file)).collect();
    let pictures = scan.evidence.as_ref();
    let pictures = pictures.map(|of| (files(&of.frames), files(&of.faces), files(&of.heat)));
    Ok((text, pictures))
}

fn read(document: &str) -> PyResult<Report> {
    Report::from_json(document.as_bytes()).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Refuses a text that is not a report of this version.
#[pyfunction]
pub(crate) fn check(document: &str) -> PyResult<()> {
    read(document).map(drop)
}

/// The page of a report, as HTML.
#[pyfunction]
#[pyo3(signature = (document, pictures=None))]
pub(crate) fn page(document: &str, pictures: Option<GivenPictures>) -> PyResult<String> {
    let report = read(document)?;
    let evidence = pictures.map(|(frames, faces, heat)| {
        let mut evidence = Evidence::default();
        (evidence.frames, evidence.faces, evidence.heat) = (frames, faces, heat);
        evidence
    });
    Ok(html::page(&report, evidence.as_ref()))
}
