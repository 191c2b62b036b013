//! Labeled pictures of a manifest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use deeptell_data::{Sample, Split, read_manifest, read_picture};
use numpy::{IntoPyArray, PyArray1, PyArray3};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;

use crate::errors::{self, OptionError};
use crate::pixels;

/// The rows of a manifest. Nothing here uses the threads of a detector, so it works in forked processes.
#[pyclass(frozen, module = "deeptell._deeptell")]
pub(crate) struct Manifest(Vec<Sample>);

impl Manifest {
    fn sample(&self, index: usize) -> PyResult<&Sample> {
        self.0.get(index).ok_or_else(|| PyIndexError::new_err(format!("there is no sample {index}")))
    }
}

#[pymethods]
impl Manifest {
    #[new]
    #[pyo3(signature = (path, split=None))]
    fn new(py: Python<'_>, path: PathBuf, split: Option<&str>) -> PyResult<Self> {
        let split = split.map(str::parse::<Split>).transpose().map_err(OptionError::new_err)?;
        let mut samples = py.detach(|| read_manifest(&path)).map_err(errors::of_data)?;
        if split.is_some() {
            samples.retain(|sample| sample.split == split);
        }
        Ok(Self(samples))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// A row as JSON.
    fn row(&self, index: usize) -> PyResult<String> {
        let text = serde_json::to_string(self.sample(index)?);
        text.map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// 1 for a fake.
    fn label(&self, index: usize) -> PyResult<u8> {
        Ok(u8::from(self.sample(index)?.label.is_fake()))
    }

    /// The picture of a row, upright.
    fn picture<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let path = &self.sample(index)?.path;
        let image = py.detach(|| read_picture(path)).map_err(errors::of_data)?;
        pixels::array(py, image)
    }

    fn labels<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u8>> {
        let labels: Vec<u8> = self.0.iter().map(|sample| u8::from(sample.label.is_fake())).collect();
        labels.into_pyarray(py)
    }

    fn sources(&self) -> Vec<&str> {
        self.0.iter().map(|sample| sample.source.as_str()).collect()
    }

    /// The tar archives that the pictures are in, each once, in order of their names.
    fn shards(&self) -> Vec<PathBuf> {
        let shards: BTreeSet<&Path> = self.0.iter().filter_map(|sample| shard_of(&sample.path)).collect();
        shards.into_iter().map(Path::to_path_buf).collect()
    }
}

/// The archive that a path goes through.
fn shard_of(path: &Path) -> Option<&Path> {
    let is_shard = |folder: &&Path| folder.extension().is_some_and(|end| end.eq_ignore_ascii_case("tar"));
    path.ancestors().skip(1).filter(is_shard).find(|shard| shard.is_file())
}
