//! Images through the blocks.

use std::ops::Range;

use pulp::Arch;

use super::plan::{BlockSizes, Plan};
use super::tile::{Pitch, Pointwise, Tile};
use super::windowed::{Gate, Lines, Part};
use super::{Block, Output};
use crate::panel::PANEL;

impl Plan<'_> {
    /// Some images, on this thread.
    pub(super) fn run(
        &self,
        arch: Arch,
        images: &[&[f32]],
        scratch: &mut [f32],
        outputs: &mut [f32],
        output: Output,
    ) {
        let count = images.len();
        let (lines, rest) = scratch.split_at_mut(self.lines_len);
        let (expanded, rest) = rest.split_at_mut(self.expanded_len);
        let (inside, rest) = rest.split_at_mut(count * self.inside_len);
        let (mut current, rest) = rest.split_at_mut(count * self.between_len);
        let (mut next, rest) = rest.split_at_mut(count * self.between_len);
        let (sums, rest) = rest.split_at_mut(count * self.gated_panels * PANEL);
        let squeezed = &mut rest[..count * self.gated_panels * PANEL];
        lines.fill(0.0);
        for (block, sizes) in self.network.blocks.iter().zip(&self.blocks) {
            let expanded = &mut expanded[..sizes.expanded_len()];
            // The ends of the rows; all else is written before it is read.
            expanded.fill(0.0);
            sums.fill(0.0);
            for (image, map) in inside.chunks_exact_mut(self.inside_len).enumerate() {
                let sums = block.gate.is_some().then_some(&mut *sums);
                if let Some(expand) = &block.expand {
                    let source = &current[image * self.between_len..][..self.between_len];
                    sizes.widen(arch, block, expand, source, expanded, map, sums, [image, count]);
                } else {
                    let kept = &mut current[image * self.between_len..][..self.between_len];
                    let kept = block.residual.then_some(kept);
                    let numbers = [image, count];
                    self.start(arch, block, sizes, images[image], lines, expanded, map, sums, kept, numbers);
                }
            }
            if let Some(gate) = &block.gate {
                sizes.gate(arch, gate, sums, squeezed, inside.chunks_exact_mut(self.inside_len), count);
            }
            let panel = sizes.panel_len();
            let pitch = Pitch { panel, row: 0 };
            for (image, map) in inside.chunks_exact(self.inside_len).enumerate() {
                let shortcut = &current[image * self.between_len..][..self.between_len];
                block.project.run(
                    arch,
                    Tile {
                        panels: 0..block.project.panels,
                        rows: 1,
                        width: panel / PANEL,
                        source: map,
                        from: pitch,
                        target: &mut next[image * self.between_len..][..self.between_len],
                        to: pitch,
                        shortcut: block.residual.then_some(shortcut),
                    },
                );
            }
            std::mem::swap(&mut current, &mut next);
        }
        for (image, outputs) in outputs.chunks_exact_mut(outputs.len() / count).enumerate() {
            let source = &current[image * self.between_len..][..self.between_len];
            self.finish(arch, source, inside, outputs, output);
        }
    }

    /// The last layer of an image, by way of `map`.
    fn finish(&self, arch: Arch, source: &[f32], map: &mut [f32], outputs: &mut [f32], output: Output) {
        let last = &self.network.last;
        let cells = self.blocks[self.blocks.len() - 1].panel_len() / PANEL;
        let pitch = Pitch { panel: cells * PANEL, row: 0 };
        last.run(
            arch,
            Tile {
                panels: 0..last.panels,
                rows: 1,
                width: cells,
                source,
                from: pitch,
                target: map,
                to: pitch,
                shortcut: None,
            },
        );
        write(map, cells, outputs, output);
    }

    /// Copies rows of an image into their slots of `lines`, which holds as many as the first layer's kernel sees.
    fn read_rows(&self, image: &[f32], rows: Range<usize>, lines: &mut [f32]) {
        let stem = &self.network.stem;
        let [height, width] = self.image;
        for row in rows {
            for channel in 0..stem.inputs {
                let source = &image[(channel * height + row) * width..][..width];
                let slot = channel * stem.kernel + row % stem.kernel;
                lines[slot * self.line_len + stem.padding()..][..width].copy_from_slice(source);
            }
        }
    }

    /// The first layer of an image and the filter of the first block, row by row. Where the block has
    /// a shortcut, `kept` gets all rows of the first layer.
    #[expect(clippy::too_many_arguments, reason = "the pieces of the working memory, and where in them")]
    fn start(
        &self,
        arch: Arch,
        block: &Block,
        sizes: &BlockSizes,
        image: &[f32],
        lines: &mut [f32],
        expanded: &mut [f32],
        map: &mut [f32],
        mut sums: Option<&mut [f32]>,
        mut kept: Option<&mut [f32]>,
        [number, count]: [usize; 2],
    ) {
        let (stem, window) = (&self.network.stem, &block.depthwise);
        let [height, _] = self.image;
        for panel in 0..stem.panels {
            let (mut read, mut made) = (0, 0);
            for row in 0..sizes.output[0] {
                while made < window.seen(row, sizes.input[0]) {
                    let seen = stem.seen(made, height);
                    self.read_rows(image, read..seen, lines);
                    read = read.max(seen);
                    stem.run_dense(
                        arch,
                        Part {
                            panels: panel..panel + 1,
                            rows: made..made + 1,
                            width: sizes.input[1],
                            source: Lines {
                                values: lines,
                                slots: stem.kernel,
                                row_len: self.line_len,
                                height,
                            },
                            target: &mut expanded[window.padding() * PANEL..],
                            target_panel: 0,
                            target_row: sizes.row_len,
                            target_slots: sizes.slots,
                            sums: None,
                        },
                    );
                    if let Some(kept) = &mut kept {
                        let len = sizes.input[1] * PANEL;
                        let row = made % sizes.slots * sizes.row_len + window.padding() * PANEL;
                        kept[panel * sizes.panel_len() + made * len..][..len]
                            .copy_from_slice(&expanded[row..][..len]);
                    }
                    made += 1;
                }
                window.run_depthwise(
                    arch,
                    Part {
                        panels: panel..panel + 1,
                        rows: row..row + 1,
                        width: sizes.output[1],
                        source: Lines {
                            values: expanded,
                            slots: sizes.slots,
                            row_len: sizes.row_len,
                            height: sizes.input[0],
                        },
                        target: &mut map[panel * sizes.panel_len()..],
                        target_panel: 0,
                        target_row: sizes.output[1] * PANEL,
                        target_slots: sizes.output[0],
                        sums: sums
                            .as_deref_mut()
                            .map(|sums| (&mut sums[(panel * count + number) * PANEL..], 0)),
                    },
                );
            }
        }
    }
}

impl BlockSizes {
    /// Expansion and filter of a block, some panels at a time.
    #[expect(clippy::too_many_arguments, reason = "the pieces of the working memory, and where in them")]
    fn widen(
        &self,
        arch: Arch,
        block: &Block,
        expand: &Pointwise,
        source: &[f32],
        expanded: &mut [f32],
        map: &mut [f32],
        mut sums: Option<&mut [f32]>,
        [image, count]: [usize; 2],
    ) {
        let window = &block.depthwise;
        let [height, width] = self.input;
        for first in (0..window.panels).step_by(self.panels) {
            let panels = first..(first + self.panels).min(window.panels);
            expand.run(
                arch,
                Tile {
                    panels: panels.clone(),
                    rows: height,
                    width,
                    source,
                    from: Pitch { panel: height * width * PANEL, row: width * PANEL },
                    target: &mut expanded[window.padding() * PANEL..],
                    to: Pitch { panel: self.slots * self.row_len, row: self.row_len },
                    shortcut: None,
                },
            );
            window.run_depthwise(
                arch,
                Part {
                    panels,
                    rows: 0..self.output[0],
                    width: self.output[1],
                    source: Lines { values: expanded, slots: self.slots, row_len: self.row_len, height },
                    target: &mut map[first * self.panel_len()..],
                    target_panel: self.panel_len(),
                    target_row: self.output[1] * PANEL,
                    target_slots: self.output[0],
                    sums: sums
                        .as_deref_mut()
                        .map(|sums| (&mut sums[(first * count + image) * PANEL..], count * PANEL)),
                },
            );
        }
    }

    /// Squeeze and excite: `sums`, `[panel][image][channel]`, becomes the gates' logits.
    fn gate<'m>(
        &self,
        arch: Arch,
        [squeeze, excite]: &[Pointwise; 2],
        sums: &mut [f32],
        squeezed: &mut [f32],
        maps: impl Iterator<Item = &'m mut [f32]>,
        images: usize,
    ) {
        let cells = (self.output[0] * self.output[1]) as f32;
        for sum in &mut *sums {
            *sum /= cells;
        }
        let pitch = Pitch { panel: images * PANEL, row: 0 };
        let tile = |layer: &Pointwise, source: &[f32], target: &mut [f32]| {
            let panels = 0..layer.panels;
            let (from, to) = (pitch, pitch);
            layer
                .run(arch, Tile { panels, rows: 1, width: images, source, from, target, to, shortcut: None });
        };
        tile(squeeze, sums, squeezed);
        tile(excite, squeezed, sums);
        for (image, map) in maps.enumerate() {
            for (panel, values) in map.chunks_exact_mut(self.panel_len()).take(excite.panels).enumerate() {
                let logits = &sums[(panel * images + image) * PANEL..][..PANEL];
                arch.dispatch(Gate { logits, values });
            }
        }
    }
}

/// Takes the last map out of its panels.
fn write(map: &[f32], cells: usize, target: &mut [f32], output: Output) {
    let panels = map.chunks_exact(cells * PANEL);
    match output {
        Output::Features => {
            for (panel, target) in panels.zip(target.chunks_mut(PANEL * cells)) {
                for (channel, plane) in target.chunks_exact_mut(cells).enumerate() {
                    for (value, cell) in plane.iter_mut().zip(panel.as_chunks::<PANEL>().0) {
                        *value = cell[channel];
                    }
                }
            }
        }
        Output::Means => {
            for (panel, target) in panels.zip(target.chunks_mut(PANEL)) {
                let mut sums = [0.0; PANEL];
                for cell in panel.as_chunks::<PANEL>().0 {
                    for (sum, value) in sums.iter_mut().zip(cell) {
                        *sum += value;
                    }
                }
                for (mean, sum) in target.iter_mut().zip(sums) {
                    *mean = sum / cells as f32;
                }
            }
        }
    }
}
