//! Cutting work into pieces for the threads.
//!
//! Sums over images are cut into a fixed number of parts and added in order, so that a
//! gradient has the same bits whatever the number of threads.

use std::ops::Range;

/// Pieces into which images or channels are cut.
pub(crate) const PARTS: usize = 16;

/// The smallest number of items that a thread should take at once.
pub(crate) fn min_len(items: usize) -> usize {
    (items / (4 * rayon::current_num_threads())).clamp(1, 64)
}

/// `0..total` in at most `parts` ranges of nearly the same length, none empty.
pub(crate) fn ranges(total: usize, parts: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let parts = parts.min(total);
    (0..parts).map(move |part| part * total / parts..(part + 1) * total / parts)
}

/// Cuts `[images, channels, plane]` data into pieces of some images and some channels.
///
/// Piece `part * blocks + block` holds, for each image of `ranges(images, parts)[part]`,
/// the channels `ranges(channels, blocks)[block]`.
pub(crate) fn image_slabs(
    mut data: &mut [f32],
    images: usize,
    channels: usize,
    plane: usize,
    parts: usize,
    blocks: usize,
) -> Vec<Vec<&mut [f32]>> {
    let mut pieces = Vec::with_capacity(parts * blocks);
    for images in ranges(images, parts) {
        let first = pieces.len();
        pieces.extend(ranges(channels, blocks).map(|_| Vec::with_capacity(images.len())));
        for _ in images {
            for (piece, channels) in pieces[first..].iter_mut().zip(ranges(channels, blocks)) {
                let (slab, rest) = data.split_at_mut(channels.len() * plane);
                piece.push(slab);
                data = rest;
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_once() {
        for total in 0..40 {
            for parts in 1..20 {
                let all: Vec<usize> = ranges(total, parts).flatten().collect();
                assert_eq!(all, (0..total).collect::<Vec<_>>());
                assert!(ranges(total, parts).all(|range| !range.is_empty()));
            }
        }
    }

    #[test]
    fn slabs_hold_the_channels_of_their_images() {
        let (images, channels, plane) = (3, 5, 2);
        let mut data: Vec<f32> = (0..images * channels * plane).map(|i| i as f32).collect();
        let pieces = image_slabs(&mut data, images, channels, plane, 2, 2);
        assert_eq!(pieces.len(), 4);
        // Second part: images 1 and 2; second block: channels 2, 3, 4.
        assert_eq!(pieces[3].len(), 2);
        assert_eq!(*pieces[3][0], [14.0, 15.0, 16.0, 17.0, 18.0, 19.0]);
        assert_eq!(*pieces[3][1], [24.0, 25.0, 26.0, 27.0, 28.0, 29.0]);
    }
}
