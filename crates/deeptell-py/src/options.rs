//! The options of a scan.

use deeptell::ScanOptions;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::OptionError;

/// The options in `given`, which has every one of them but the size of a batch.
pub(crate) fn scan_options(given: &Bound<'_, PyDict>) -> PyResult<ScanOptions> {
    let options = ScanOptions::default()
        .frames(whole(given, "frames")?)
        .min_face(item(given, "min_face")?.extract()?)
        .min_detection_probability(item(given, "min_detection_probability")?.extract()?)
        .max_faces_per_frame(whole(given, "max_faces_per_frame")?)
        .max_side(small(given, "max_side")?)
        .stream(small(given, "stream")?)
        .evidence(item(given, "evidence")?.extract()?)
        .sha256(item(given, "sha256")?.extract()?);
    options.check().map_err(crate::errors::of_deeptell)?;
    Ok(options)
}

/// Refuses options out of their range.
#[pyfunction]
pub(crate) fn check_options(options: &Bound<'_, PyDict>) -> PyResult<()> {
    scan_options(options).map(drop)
}

fn item<'py>(given: &Bound<'py, PyDict>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    given.as_any().get_item(name)
}

fn whole(given: &Bound<'_, PyDict>, name: &str) -> PyResult<usize> {
    within(name, item(given, name)?.extract()?)
}

fn small(given: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<u32>> {
    let value: Option<i64> = item(given, name)?.extract()?;
    value.map(|value| within(name, value)).transpose()
}

/// `value` as a number of another type; Python has only whole numbers of any size.
pub(crate) fn within<T: TryFrom<i64>>(name: &str, value: i64) -> PyResult<T> {
    value.try_into().map_err(|_| {
        let expected = if value < 0 { "0 or more" } else { "smaller" };
        OptionError::new_err(format!("the option `{name}` is {value}, but must be {expected}"))
    })
}
