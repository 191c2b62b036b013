//! Errors of the crates as exceptions.

use std::error::Error as StdError;

use deeptell::{Error, IsolationError};
use deeptell_data::DataError;
use deeptell_files::error_chain;
use deeptell_metrics::MetricsError;
use deeptell_video::VideoError;
use pyo3::create_exception;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

create_exception!(
    deeptell,
    InputError,
    PyOSError,
    "A file, a picture or a data set cannot be read or decoded. `errno` is set where the system refused it."
);
create_exception!(deeptell, ModelError, PyValueError, "A model file cannot be used.");
create_exception!(deeptell, OptionError, PyValueError, "An option is out of its range.");

/// The number of the system's error among the causes of `error`.
fn errno(error: &(dyn StdError + 'static)) -> Option<i32> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(number) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
            return Some(number);
        }
        cause = error.source();
    }
    None
}

fn input_error(error: &(dyn StdError + 'static)) -> PyErr {
    let raised = InputError::new_err(error_chain(error));
    let Some(number) = errno(error) else { return raised };
    // Setting an attribute that every OSError has.
    let set = Python::attach(|py| raised.value(py).setattr("errno", number));
    set.err().unwrap_or(raised)
}

pub(crate) fn of_deeptell(error: Error) -> PyErr {
    let text = error_chain(&error);
    match error {
        Error::Input { .. } => input_error(&error),
        Error::Model { .. } => ModelError::new_err(text),
        Error::Option { .. } => OptionError::new_err(text),
        Error::Isolation(IsolationError::NotPrepared) => no_decoder(),
        _ => PyRuntimeError::new_err(text),
    }
}

pub(crate) fn of_video(error: VideoError) -> PyErr {
    input_error(&error)
}

pub(crate) fn of_data(error: DataError) -> PyErr {
    input_error(&error)
}

pub(crate) fn of_metrics(error: MetricsError) -> PyErr {
    let text = error_chain(&error);
    match error {
        MetricsError::InvalidSetting { .. } => OptionError::new_err(text),
        _ => PyValueError::new_err(text),
    }
}

/// This interpreter cannot be started as a decoder.
pub(crate) fn no_decoder() -> PyErr {
    PyRuntimeError::new_err(
        "files are decoded in a process of its own, for which this Python must say where its executable is, and \
         `sys.executable` is empty: set it before the first scan; Detector(trusted=True) decodes in this process, \
         which is for trusted files only",
    )
}
