//! Arrays of numbers from numpy's `.npz` files.

use std::collections::HashMap;
use std::error::Error;
use std::io::Read as _;
use std::path::Path;

/// The numbers of an array, row by row, and its shape.
#[derive(Debug, Clone)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl Array {
    /// Rows of `N` numbers.
    pub(crate) fn rows<const N: usize>(&self) -> Vec<[f32; N]> {
        self.values.as_chunks().0.to_vec()
    }
}

/// All arrays of a file that hold `f4`, by name.
///
/// Format: <https://numpy.org/doc/1.26/reference/generated/numpy.lib.format.html>
pub(crate) fn read(path: &Path) -> Result<HashMap<String, Array>, Box<dyn Error>> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path)?)?;
    let mut arrays = HashMap::new();
    for index in 0..archive.len() {
        let mut bytes = Vec::new();
        let mut entry = archive.by_index(index)?;
        let name = entry.name()?.trim_end_matches(".npy").to_owned();
        entry.read_to_end(&mut bytes)?;
        if let Some(array) = array(&bytes) {
            arrays.insert(name, array);
        }
    }
    Ok(arrays)
}

/// `None` where the array holds anything but little-endian `f4`.
fn array(bytes: &[u8]) -> Option<Array> {
    let rest = bytes.strip_prefix(b"\x93NUMPY\x01\x00")?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (header, data) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    let header = std::str::from_utf8(header).ok()?;
    if !header.contains("'descr': '<f4'") {
        return None;
    }
    let (_, shape) = header.split_once("'shape': (")?;
    let (shape, _) = shape.split_once(')')?;
    let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape = sides.map(|side| side.parse().ok()).collect::<Option<Vec<usize>>>()?;
    let values: Vec<f32> = data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if values.len() != shape.iter().product::<usize>() {
        return None;
    }
    let is_by_columns = header.contains("'fortran_order': True");
    Some(Array { values: if is_by_columns { by_rows(&values, &shape) } else { values }, shape })
}

/// Numbers whose first index runs fastest, in the order where the last one does.
fn by_rows(values: &[f32], shape: &[usize]) -> Vec<f32> {
    let place = |mut number: usize| {
        let mut indices = vec![0; shape.len()];
        for (index, side) in indices.iter_mut().zip(shape).rev() {
            (*index, number) = (number % side, number / side);
        }
        indices.iter().zip(shape).rev().fold(0, |place, (index, side)| place * side + index)
    };
    (0..values.len()).map(|number| values[place(number)]).collect()
}
