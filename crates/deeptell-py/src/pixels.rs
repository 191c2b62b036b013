//! Pictures from arrays and arrays from pictures.

use deeptell::RgbImage;
use deeptell_video::PictureLimits;
use numpy::{
    IntoPyArray, PyArray3, PyArrayDescrMethods, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods, dtype,
};
use pyo3::exceptions::{PyMemoryError, PyTypeError, PyValueError};
use pyo3::prelude::*;

/// The picture in an array of shape (height, width, 3) of `uint8`: RGB, row by row. It is copied; a view with any strides
/// will do.
pub(crate) fn picture(given: &Bound<'_, PyAny>) -> PyResult<RgbImage> {
    let array = given
        .cast::<PyUntypedArray>()
        .map_err(|_| PyTypeError::new_err(format!("expected a NumPy array, found {}", kind(given))))?;
    if !array.dtype().is_equiv_to(&dtype::<u8>(given.py())) {
        return Err(PyTypeError::new_err(format!(
            "expected pixels as uint8, from 0 to 255, found {}; {}",
            array.dtype(),
            "convert them, for example with (255 * picture).astype(\"uint8\") if they lie in 0 to 1"
        )));
    }
    let &[height, width, 3] = array.shape() else { return Err(wrong_shape(array.shape())) };
    if height == 0 || width == 0 {
        return Err(PyValueError::new_err(format!("the picture has no pixels: {width} by {height}")));
    }
    check_size(width, height)?;
    let array = given
        .cast::<PyArray3<u8>>()?
        .try_readonly()
        .map_err(|_| PyValueError::new_err("the array is being written to; copy it first"))?;
    let mut pixels = Vec::new();
    pixels.try_reserve_exact(3 * height * width).map_err(|_| {
        PyMemoryError::new_err(format!("no memory for a picture of {width} by {height} pixels"))
    })?;
    let view = array.as_array();
    // In the order of rows; the slice of the array itself may be one of columns.
    match view.as_slice() {
        Some(all) => pixels.extend_from_slice(all),
        // A view, such as a part of a picture, or BGR turned to RGB by [..., ::-1].
        None => {
            for row in view.outer_iter() {
                match row.as_slice() {
                    Some(row) => pixels.extend_from_slice(row),
                    None => pixels.extend(row.iter()),
                }
            }
        }
    }
    let (width, height) = (u32::try_from(width), u32::try_from(height));
    let image =
        width.ok().zip(height.ok()).and_then(|(width, height)| RgbImage::from_raw(width, height, pixels));
    image.ok_or_else(|| PyValueError::new_err("the picture is too large"))
}

/// The limits for trusted files hold for arrays, too: views such as `numpy.broadcast_to` can be larger than any memory.
fn check_size(width: usize, height: usize) -> PyResult<()> {
    let PictureLimits { max_pixels, max_side, .. } = PictureLimits::default();
    let pixels = (width as u64).checked_mul(height as u64);
    if pixels.is_some_and(|pixels| pixels <= max_pixels) && width.max(height) <= max_side as usize {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "a picture of {width} by {height} pixels exceeds the limit of {max_pixels} pixels and {max_side} on a side; \
         make it smaller"
    )))
}

fn kind(given: &Bound<'_, PyAny>) -> String {
    given.get_type().name().map_or_else(|_| "something else".to_owned(), |name| name.to_string())
}

fn wrong_shape(shape: &[usize]) -> PyErr {
    let advice = match *shape {
        [_, _] => "; of a gray picture, repeat the channel: numpy.stack([picture] * 3, axis=-1)",
        [_, _, 4] => "; drop the alpha channel: picture[..., :3]",
        [3, _, _] => "; move the channels to the end: picture.transpose(1, 2, 0)",
        [_, _, _, 3] => "; of several pictures, pass one at a time",
        _ => "",
    };
    let sides: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let shape = sides.join(", ");
    PyValueError::new_err(format!(
        "expected an RGB picture of shape (height, width, 3), found an array of shape ({shape}){advice}"
    ))
}

/// A picture as an array of shape (height, width, 3). Nothing is copied: the pixels are the array's.
pub(crate) fn array(py: Python<'_>, image: RgbImage) -> PyResult<Bound<'_, PyArray3<u8>>> {
    let (width, height) = image.dimensions();
    image.into_raw().into_pyarray(py).reshape([height as usize, width as usize, 3])
}
