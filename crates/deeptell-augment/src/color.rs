use image::RgbImage;

/// An affine map of RGB values: any chain of brightness, contrast, saturation and hue changes
/// is one matrix, so a picture is passed over once whatever the chain.
///
/// Values are 0 to 255 and clipped only at the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ColorTransform {
    matrix: [[f32; 3]; 3],
    offset: [f32; 3],
}

/// Weights of red, green and blue in luma (ITU-R BT.601).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

impl ColorTransform {
    pub(crate) const IDENTITY: Self =
        Self { matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], offset: [0.0; 3] };

    /// Multiplies every value by `factor`.
    pub(crate) fn brightness(self, factor: f32) -> Self {
        self.then(|v| v.map(|x| x * factor), [0.0; 3])
    }

    /// Multiplies the distance from mid-gray by `factor`. The pivot is fixed, not the mean of
    /// the picture, so that two pictures of a pair go through the same map.
    pub(crate) fn contrast(self, factor: f32) -> Self {
        self.then(|v| v.map(|x| x * factor), [127.5 * (1.0 - factor); 3])
    }

    /// Multiplies the distance from the luma of the pixel by `factor`; 0 makes it gray.
    pub(crate) fn saturation(self, factor: f32) -> Self {
        self.then(
            |v| {
                let luma = LUMA[0] * v[0] + LUMA[1] * v[1] + LUMA[2] * v[2];
                v.map(|x| luma + factor * (x - luma))
            },
            [0.0; 3],
        )
    }

    /// Turns the hue by an angle around the gray axis, keeping luma: a rotation of the two
    /// color-difference axes, which for the small angles of an augmentation stays close to a
    /// shift of hue in HSV.
    pub(crate) fn hue(self, degrees: f32) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        self.then(
            |[r, g, b]| {
                let luma = LUMA[0] * r + LUMA[1] * g + LUMA[2] * b;
                // Color differences of YUV, scaled as in BT.601.
                let (u, v) = (0.492 * (b - luma), 0.877 * (r - luma));
                let (u, v) = (u * cos - v * sin, u * sin + v * cos);
                let (red, blue) = (luma + v / 0.877, luma + u / 0.492);
                [red, (luma - LUMA[0] * red - LUMA[2] * blue) / LUMA[1], blue]
            },
            [0.0; 3],
        )
    }

    /// Adds `levels` to red, green and blue.
    pub(crate) fn shift(self, levels: [f32; 3]) -> Self {
        self.then(|v| v, levels)
    }

    /// This map followed by a linear one and an offset.
    fn then(self, linear: impl Fn([f32; 3]) -> [f32; 3], offset: [f32; 3]) -> Self {
        let columns: [[f32; 3]; 3] =
            std::array::from_fn(|c| linear(std::array::from_fn(|row| self.matrix[row][c])));
        let moved = linear(self.offset);
        Self {
            matrix: std::array::from_fn(|row| std::array::from_fn(|c| columns[c][row])),
            offset: std::array::from_fn(|row| moved[row] + offset[row]),
        }
    }

    /// Maps every pixel in place.
    pub(crate) fn apply(&self, image: &mut RgbImage) {
        let [r, g, b] = self.matrix;
        let o = self.offset.map(|v| v + 0.5);
        let samples: &mut [u8] = image;
        for pixel in samples.as_chunks_mut::<3>().0 {
            let v = pixel.map(f32::from);
            // A cast to u8 saturates, which is the clipping.
            *pixel = [
                (r[0] * v[0] + r[1] * v[1] + r[2] * v[2] + o[0]) as u8,
                (g[0] * v[0] + g[1] * v[1] + g[2] * v[2] + o[1]) as u8,
                (b[0] * v[0] + b[1] * v[1] + b[2] * v[2] + o[2]) as u8,
            ];
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn mapped(transform: ColorTransform, pixel: [u8; 3]) -> [u8; 3] {
        let mut image = RgbImage::from_pixel(3, 2, Rgb(pixel));
        transform.apply(&mut image);
        assert!(image.pixels().all(|p| p == image.get_pixel(0, 0)));
        image.get_pixel(0, 0).0
    }

    #[test]
    fn each_transform_maps_known_pixels() {
        let id = ColorTransform::IDENTITY;
        assert_eq!(mapped(id, [1, 128, 255]), [1, 128, 255]);
        assert_eq!(mapped(id.brightness(0.5), [10, 100, 200]), [5, 50, 100]);
        assert_eq!(mapped(id.brightness(2.0), [10, 100, 200]), [20, 200, 255]);
        assert_eq!(mapped(id.contrast(0.0), [10, 100, 200]), [128, 128, 128]);
        assert_eq!(mapped(id.saturation(0.0), [255, 0, 0]), [76, 76, 76]);
        assert_eq!(mapped(id.shift([-20.0, 0.0, 20.0]), [10, 100, 200]), [0, 100, 220]);
    }

    #[test]
    fn transforms_compose_in_order() {
        let id = ColorTransform::IDENTITY;
        assert_eq!(mapped(id.shift([100.0; 3]).brightness(0.5), [0, 0, 0]), [50, 50, 50]);
        assert_eq!(mapped(id.brightness(0.5).shift([100.0; 3]), [0, 0, 0]), [100, 100, 100]);
    }

    #[test]
    fn hue_keeps_grey_and_luma_and_is_periodic() {
        let id = ColorTransform::IDENTITY;
        assert_eq!(mapped(id.hue(73.0), [90, 90, 90]), [90, 90, 90]);
        assert_eq!(mapped(id.hue(360.0), [90, 120, 60]), [90, 120, 60]);
        let [r, g, b] = mapped(id.hue(20.0), [150, 110, 90]).map(f32::from);
        let luma = |r: f32, g: f32, b: f32| LUMA[0] * r + LUMA[1] * g + LUMA[2] * b;
        assert!((luma(r, g, b) - luma(150.0, 110.0, 90.0)).abs() < 1.0);
        assert!(g != 110.0);
    }
}
