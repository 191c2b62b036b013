//! Maxima of two by two cells.

use rayon::prelude::*;

use crate::buffers;

/// The maxima of `planes` feature maps, each of half the height and half the width, rounded down.
pub(crate) fn halved(input: &[f32], planes: usize, [height, width]: [usize; 2]) -> Vec<f32> {
    let (rows, columns) = (height / 2, width / 2);
    let mut output = buffers::take(planes * rows * columns);
    let maps = output.par_chunks_mut(rows * columns).zip(input.par_chunks(height * width));
    maps.for_each(|(output, input)| {
        for (maxima, pair) in output.chunks_exact_mut(columns).zip(input.chunks_exact(2 * width)) {
            let (above, below) = pair.split_at(width);
            let cells = above.chunks_exact(2).zip(below.chunks_exact(2));
            for (maximum, (above, below)) in maxima.iter_mut().zip(cells) {
                *maximum = larger(larger(above[0], above[1]), larger(below[0], below[1]));
            }
        }
    });
    output
}

/// The larger one; NaN if one is NaN.
fn larger(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maxima_are_those_of_two_by_two_cells_and_nan_passes() {
        let input = [1.0, 2.0, 9.0, 3.0, 4.0, 9.0, 9.0, 9.0, 9.0];
        assert_eq!(halved(&input, 1, [3, 3]), [4.0]);
        let nan = f32::NAN;
        for cells in [[nan, 1.0, 1.0, 1.0], [1.0, nan, 1.0, 1.0], [1.0, 1.0, nan, 1.0], [1.0, 1.0, 1.0, nan]]
        {
            assert!(halved(&cells, 1, [2, 2])[0].is_nan());
        }
    }
}
