//! Safe matrix products on slices.

use gemm::Parallelism;

/// A matrix in a slice; `transposed` reads a row-major `columns x rows` slice.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// The `rows x columns` matrix stored row by row.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "matrix size");
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The same cells with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// Whether a product replaces its destination or is added to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    Replace,
    Add,
}

/// `target = left * right`, or `target += left * right`, on the calling thread.
///
/// `target` is stored row by row.
pub(crate) fn multiply(left: Matrix<'_>, right: Matrix<'_>, target: &mut [f32], into: Into) {
    let (rows, depth, columns) = (left.rows, left.columns, right.columns);
    assert_eq!(depth, right.rows, "inner dimensions of a matrix product");
    assert_eq!(target.len(), rows * columns, "size of a matrix product");
    let stride = |stride: usize| stride as isize;
    #[expect(unsafe_code, reason = "the gemm crate takes pointers")]
    // SAFETY: `Matrix` can only be made from a slice of exactly rows * columns cells with
    // strides that reach each cell once, in either orientation, and the two assertions tie
    // the three shapes together, so every access is in bounds. `target` is borrowed
    // mutably, so it does not overlap the operands.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            target.as_mut_ptr(),
            1,
            stride(columns),
            into == Into::Add,
            left.data.as_ptr(),
            stride(left.column_stride),
            stride(left.row_stride),
            right.data.as_ptr(),
            stride(right.column_stride),
            stride(right.row_stride),
            1.0_f32,
            1.0_f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
