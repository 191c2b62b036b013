//! The process that decodes files: this interpreter once more, with nothing but this module.

use std::ffi::OsString;
use std::process::ExitCode;

use deeptell_video::DecoderProcess;
use pyo3::prelude::*;

/// Loads this module from its file, given as the last argument, and decodes: the interpreter that runs it neither
/// sees the folders of packages nor looks at the environment.
const PROGRAM: &str = "\
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec
loader = ExtensionFileLoader('_deeptell', sys.argv[1])
module = loader.create_module(ModuleSpec('_deeptell', loader, origin=sys.argv[1]))
loader.exec_module(module)
sys.exit(module.serve_decoding())
";

/// Names the process, where this interpreter says where it lies; nothing is started yet.
pub(crate) fn name(py: Python<'_>) -> PyResult<()> {
    let program: Option<OsString> = py.import("sys")?.getattr("executable")?.extract()?;
    let Some(program) = program.filter(|program| !program.is_empty()) else { return Ok(()) };
    let module: OsString = py.import("deeptell._deeptell")?.getattr("__file__")?.extract()?;
    let decoder = DecoderProcess::new(program).arg("-I").arg("-S").arg("-B").arg("-c").arg(PROGRAM);
    decoder.arg(module).set_this_program();
    Ok(())
}

/// Decodes for the parent process until it ends; the exit code.
#[pyfunction]
pub(crate) fn serve_decoding(py: Python<'_>) -> u8 {
    let code = py.detach(deeptell_video::serve_decoding);
    if code == ExitCode::SUCCESS { 0 } else { 2 }
}
