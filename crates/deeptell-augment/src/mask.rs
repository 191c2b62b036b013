use deeptell_face::Point;

/// A soft mask over a rectangle of pixels; 0 leaves the target as it is, 1 is all source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mask {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) values: Vec<f32>,
}

impl Mask {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { width, height, values: vec![0.0; width * height] }
    }

    /// Sets the pixels whose center lies within a closed outline (even-odd rule) to 1.
    pub(crate) fn fill(&mut self, outline: &[Point]) {
        let mut crossings = vec![Vec::new(); self.height];
        for (index, &from) in outline.iter().enumerate() {
            let to = outline[(index + 1) % outline.len()];
            let (upper, lower) = if from.y <= to.y { (from, to) } else { (to, from) };
            // Rows whose center, at y + 0.5, lies in [upper.y, lower.y); casts saturate.
            let first = (upper.y - 0.5).ceil().max(0.0) as usize;
            let end = ((lower.y - 0.5).ceil().max(0.0) as usize).min(self.height);
            for (y, row) in crossings.iter_mut().enumerate().take(end).skip(first) {
                let share = (y as f32 + 0.5 - upper.y) / (lower.y - upper.y);
                row.push(upper.x + share * (lower.x - upper.x));
            }
        }
        for (row, mut xs) in self.values.chunks_mut(self.width.max(1)).zip(crossings) {
            let width = row.len();
            xs.sort_by(f32::total_cmp);
            for pair in xs.chunks_exact(2) {
                let column = |x: f32| ((x - 0.5).ceil().max(0.0) as usize).min(width);
                row[column(pair[0])..column(pair[1])].fill(1.0);
            }
        }
    }

    /// Gaussian blur by three box blurs, whose reach is finite: about 2.5 `sigma`. Outside of
    /// the rectangle is 0.
    pub(crate) fn blur(&mut self, sigma: f32) {
        let radius = box_radius(sigma);
        if radius == 0 || self.values.is_empty() {
            return;
        }
        let mut line = vec![0.0; self.width.max(self.height)];
        for row in self.values.chunks_mut(self.width) {
            for _ in 0..3 {
                box_blur(row, &mut line, radius);
            }
        }
        let mut column = vec![0.0; self.height];
        for x in 0..self.width {
            for (value, y) in column.iter_mut().zip(0..) {
                *value = self.values[y * self.width + x];
            }
            for _ in 0..3 {
                box_blur(&mut column, &mut line, radius);
            }
            for (value, y) in column.iter().zip(0..) {
                self.values[y * self.width + x] = *value;
            }
        }
    }

    /// Keeps what a blur left (almost) whole and drops its soft edge; where nothing is left
    /// whole, stretches the rest to 1 instead.
    pub(crate) fn harden(&mut self) {
        if self.values.iter().any(|&v| v > WHOLE) {
            for value in &mut self.values {
                *value = if *value > WHOLE { 1.0 } else { 0.0 };
            }
        } else {
            self.stretch();
        }
    }

    /// Scales the highest value to 1.
    pub(crate) fn stretch(&mut self) {
        let highest = self.values.iter().copied().fold(0.0, f32::max);
        if highest > 0.0 {
            for value in &mut self.values {
                *value /= highest;
            }
        }
    }
}

const WHOLE: f32 = 0.999;

/// Radius of the box that, used three times, has nearly the variance of a Gaussian.
fn box_radius(sigma: f32) -> usize {
    // A box of width w has variance (w^2 - 1) / 12.
    (((4.0 * sigma * sigma + 1.0).sqrt() - 1.0) / 2.0).round().clamp(0.0, 1e4) as usize
}

/// How far a blur carries a value, in pixels.
pub(crate) fn blur_reach(sigma: f32) -> f32 {
    3.0 * box_radius(sigma) as f32
}

fn box_blur(values: &mut [f32], copy: &mut [f32], radius: usize) {
    let count = values.len();
    let copy = &mut copy[..count];
    copy.copy_from_slice(values);
    let weight = 1.0 / (2 * radius + 1) as f32;
    let mut sum: f32 = copy[..radius.min(count)].iter().sum();
    for (i, value) in values.iter_mut().enumerate() {
        if i + radius < count {
            sum += copy[i + radius];
        }
        if i > radius {
            sum -= copy[i - radius - 1];
        }
        *value = (sum * weight).clamp(0.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(from: f32, to: f32) -> [Point; 4] {
        [Point::new(from, from), Point::new(to, from), Point::new(to, to), Point::new(from, to)]
    }

    fn total(mask: &Mask) -> f32 {
        mask.values.iter().sum()
    }

    #[test]
    fn fill_covers_the_area_of_a_square() {
        let mut mask = Mask::new(20, 16);
        mask.fill(&square(3.0, 9.0));
        assert_eq!(total(&mask), 36.0);
        assert_eq!(
            (mask.values[3 * 20 + 3], mask.values[3 * 20 + 2], mask.values[9 * 20 + 8]),
            (1.0, 0.0, 0.0)
        );
    }

    #[test]
    fn fill_accepts_outlines_outside_of_the_mask_and_overlaps() {
        let mut mask = Mask::new(10, 10);
        mask.fill(&square(-1e9, 1e9));
        mask.fill(&square(2.0, 4.0));
        assert_eq!(total(&mask), 100.0);
        mask.fill(&[]);
        Mask::new(0, 0).fill(&square(0.0, 5.0));
    }

    #[test]
    fn blur_spreads_like_a_gaussian_and_no_further_than_its_reach() {
        for sigma in [1.0, 2.5, 6.0] {
            let mut mask = Mask::new(121, 121);
            mask.values[60 * 121 + 60] = 1.0;
            mask.blur(sigma);
            assert!((total(&mask) - 1.0).abs() < 1e-3);
            let variance: f32 =
                mask.values.iter().enumerate().map(|(i, v)| v * ((i % 121) as f32 - 60.0).powi(2)).sum();
            assert!(
                (variance.sqrt() - sigma).abs() < 0.45f32.max(0.1 * sigma),
                "{sigma} {}",
                variance.sqrt()
            );
            let reach = blur_reach(sigma) as usize;
            assert!(mask.values[60 * 121 + 60 + reach] > 0.0);
            assert!(mask.values[60 * 121 + 61 + reach] < 1e-6);
        }
    }

    #[test]
    fn harden_erodes_and_never_empties() {
        let mut mask = Mask::new(40, 40);
        mask.fill(&square(10.0, 30.0));
        mask.blur(1.0);
        mask.harden();
        assert!(total(&mask) < 400.0 && total(&mask) > 150.0);
        assert!(mask.values.iter().all(|&v| v == 0.0 || v == 1.0));

        let mut tiny = Mask::new(40, 40);
        tiny.fill(&square(19.0, 21.0));
        tiny.blur(4.0);
        tiny.harden();
        assert!((tiny.values.iter().copied().fold(0.0, f32::max) - 1.0).abs() < 1e-6);
    }
}
