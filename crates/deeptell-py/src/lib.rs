//! The extension module `deeptell._deeptell`: what the Python package `deeptell` is made of.
//!
//! It takes and gives plain values, arrays and JSON; the package around it, in `python/deeptell`, has the classes, the
//! documentation and the types that people see.

#![expect(clippy::needless_pass_by_value, reason = "functions of Python take their arguments by value")]

mod compute;
mod dataset;
mod decoder;
mod detector;
mod errors;
mod fork;
mod metrics;
mod options;
mod pixels;
mod report;

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the program `deeptell` with the words of a command line, the first of them its name; its exit code.
#[pyfunction]
fn run_program(py: Python<'_>, words: Vec<OsString>) -> PyResult<u8> {
    fork::enter()?;
    decoder::name(py)?;
    Ok(py.detach(|| deeptell_cli::run(words)))
}

#[pymodule]
fn _deeptell(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", deeptell::VERSION)?;
    module.add("InputError", py.get_type::<errors::InputError>())?;
    module.add("ModelError", py.get_type::<errors::ModelError>())?;
    module.add("OptionError", py.get_type::<errors::OptionError>())?;
    module.add_class::<detector::Detector>()?;
    module.add_class::<dataset::Manifest>()?;
    module.add_function(wrap_pyfunction!(detector::frames, module)?)?;
    module.add_function(wrap_pyfunction!(options::check_options, module)?)?;
    module.add_function(wrap_pyfunction!(report::check, module)?)?;
    module.add_function(wrap_pyfunction!(report::page, module)?)?;
    module.add_function(wrap_pyfunction!(metrics::figure, module)?)?;
    module.add_function(wrap_pyfunction!(metrics::interval, module)?)?;
    module.add_function(wrap_pyfunction!(metrics::compare_auc, module)?)?;
    module.add_function(wrap_pyfunction!(decoder::serve_decoding, module)?)?;
    module.add_function(wrap_pyfunction!(run_program, module)?)?;
    Ok(())
}
