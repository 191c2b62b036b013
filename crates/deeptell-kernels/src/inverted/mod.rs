//! A whole network of inverted residual blocks in one pass.
//!
//! Feature maps lie in panels of sixteen channels, `[panel][row][column][channel]` (the blocked
//! layout of Georganas et al. 2018, <https://arxiv.org/abs/1808.05567>, section II-A): whole
//! vectors for the depthwise windows, and neighbouring cells at a fixed distance for the matrix
//! products. A block of MobileNetV3 never writes its widest map as a whole: some panels are
//! expanded into a buffer of the second-level cache, filtered from there, and the next panels
//! take their place. The first layer goes from row to row, straight into the first block.
//!
//! Some images go through the network together, block by block, so that the weights of the deep
//! blocks, which are larger than the maps there, are read once for all of them.

mod tile;
mod windowed;

use pulp::Arch;
use rayon::prelude::*;

use self::tile::{Pitch, Pointwise, Tile};
use self::windowed::{Gate, Lines, Part, Windowed};
use crate::activation::Activation;
use crate::scratch::with_scratch;

/// Channels that share a block of a map; a multiple of every vector's lanes.
const PANEL: usize = 16;

/// Images that go through the network together.
const GROUP: usize = 4;

/// Floats of the buffer of expanded panels: what stays in the second-level cache beside the rest.
const EXPANDED: usize = 1 << 16;

/// A convolution as the caller has it, its normalisation folded in.
#[derive(Debug)]
pub(crate) struct ConvSource {
    /// `[outputs, inputs / groups, kernel, kernel]`, row by row.
    pub(crate) weight: Vec<f32>,
    pub(crate) shape: [usize; 4],
    pub(crate) bias: Vec<f32>,
    pub(crate) stride: usize,
    pub(crate) activation: Activation,
}

/// An inverted residual block as the caller has it.
#[derive(Debug)]
pub(crate) struct BlockSource {
    pub(crate) expand: Option<ConvSource>,
    pub(crate) depthwise: ConvSource,
    /// The two layers between the mean of a channel and its gate.
    pub(crate) gate: Option<[ConvSource; 2]>,
    pub(crate) project: ConvSource,
    pub(crate) residual: bool,
}

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// The last map, `[images, channels, rows, columns]`.
    Features,
    /// The mean of each channel, `[images, channels]`.
    Means,
}

/// A network ready to run.
#[derive(Debug)]
pub(crate) struct Network {
    stem: Windowed,
    blocks: Vec<Block>,
    last: Pointwise,
}

#[derive(Debug)]
struct Block {
    expand: Option<Pointwise>,
    depthwise: Windowed,
    gate: Option<[Pointwise; 2]>,
    project: Pointwise,
    residual: bool,
}

/// `values` in whole panels, zeros behind the last.
fn padded(values: &[f32]) -> Vec<f32> {
    let mut padded = values.to_vec();
    padded.resize(values.len().div_ceil(PANEL) * PANEL, 0.0);
    padded
}

/// Why a network cannot be made of these layers; `None` when it can.
pub(crate) fn misfit(stem: &ConvSource, blocks: &[BlockSource], last: &ConvSource) -> Option<String> {
    let pointwise = |conv: &ConvSource, inputs: usize| {
        conv.shape[1..] == [inputs, 1, 1] && conv.stride == 1 && conv.shape[0] > 0 && inputs > 0
    };
    let window = |conv: &ConvSource| {
        conv.shape[2] == conv.shape[3] && Windowed::is_known(conv.shape[2], conv.stride) && conv.shape[0] > 0
    };
    if !window(stem) || stem.shape[1] == 0 {
        return Some(format!("the first layer {:?} is none of 3x3 or 5x5, stride 1 or 2", stem.shape));
    }
    let mut channels = stem.shape[0];
    for (index, block) in blocks.iter().enumerate() {
        if block.expand.is_some() == (index == 0) {
            return Some(format!("block {index}: every block but the first expands"));
        }
        let inside = block.depthwise.shape[0];
        let fits =
            block.expand.as_ref().map_or(channels == inside, |expand| {
                pointwise(expand, channels) && expand.shape[0] == inside
            }) && window(&block.depthwise)
                && block.depthwise.shape[1] == 1
                && pointwise(&block.project, inside)
                && block.gate.as_ref().is_none_or(|[first, second]| {
                    pointwise(first, inside) && pointwise(second, first.shape[0]) && second.shape[0] == inside
                });
        if !fits {
            return Some(format!("block {index}: its layers do not fit each other, or {channels} channels"));
        }
        let output = block.project.shape[0];
        if block.residual && (index == 0 || output != channels || block.depthwise.stride != 1) {
            return Some(format!("block {index} has no shortcut: its input and output differ"));
        }
        channels = output;
    }
    if blocks.is_empty() || !pointwise(last, channels) {
        return Some(format!("the last layer {:?} does not take {channels} channels", last.shape));
    }
    None
}

/// The sizes of one block for one size of image.
#[derive(Debug)]
struct Place {
    /// Part and columns that come in and go out.
    input: [usize; 2],
    output: [usize; 2],
    /// Floats of a row of an expanded panel, with the zeros at both ends.
    row_len: usize,
    /// Part of an expanded panel that are kept.
    slots: usize,
    /// Panels that are expanded at once.
    panels: usize,
}

impl Place {
    fn expanded_len(&self) -> usize {
        self.panels * self.slots * self.row_len
    }

    /// Floats of one panel of the filtered map.
    fn panel_len(&self) -> usize {
        self.output[0] * self.output[1] * PANEL
    }
}

/// The sizes of everything for one size of image, in floats.
struct Plan<'a> {
    network: &'a Network,
    image: [usize; 2],
    places: Vec<Place>,
    /// The window's rows of the image, with zeros at both ends.
    line_len: usize,
    lines_len: usize,
    expanded_len: usize,
    /// The largest map inside of a block, and between blocks.
    inside_len: usize,
    between_len: usize,
    /// The most panels of a gated map.
    gated_panels: usize,
}

impl Network {
    pub(crate) fn new(stem: &ConvSource, blocks: &[BlockSource], last: &ConvSource) -> Self {
        let block = |block: &BlockSource| Block {
            expand: block.expand.as_ref().map(Pointwise::new),
            depthwise: Windowed::new(&block.depthwise),
            gate: block.gate.as_ref().map(|gate| gate.each_ref().map(Pointwise::new)),
            project: Pointwise::new(&block.project),
            residual: block.residual,
        };
        Self {
            stem: Windowed::new(stem),
            blocks: blocks.iter().map(block).collect(),
            last: Pointwise::new(last),
        }
    }

    /// Channels that go in.
    pub(crate) fn inputs(&self) -> usize {
        self.stem.inputs
    }

    /// Channels, rows and columns of the last map for images of `size`.
    pub(crate) fn output(&self, size: [usize; 2]) -> [usize; 3] {
        let windows = std::iter::once(&self.stem).chain(self.blocks.iter().map(|block| &block.depthwise));
        let [rows, columns] = windows.fold(size, |size, window| size.map(|cells| window.output(cells)));
        [self.last.outputs, rows, columns]
    }

    /// The network on `images` images of `size` (rows, columns), `[image][channel][row][column]`.
    pub(crate) fn forward(&self, input: &[f32], images: usize, size: [usize; 2], output: Output) -> Vec<f32> {
        self.forward_on(Arch::new(), input, images, size, output)
    }

    /// The same with the instructions of `arch`.
    fn forward_on(
        &self,
        arch: Arch,
        input: &[f32],
        images: usize,
        size: [usize; 2],
        output: Output,
    ) -> Vec<f32> {
        let plan = Plan::new(self, size);
        let [channels, rows, columns] = self.output(size);
        let output_len = match output {
            Output::Features => channels * rows * columns,
            Output::Means => channels,
        };
        let input_len = self.inputs() * size[0] * size[1];
        let mut outputs = vec![0.0; images * output_len];
        let group = images.div_ceil(rayon::current_num_threads()).clamp(1, GROUP);
        outputs.par_chunks_mut(group * output_len).zip(input.par_chunks(group * input_len)).for_each(
            |(outputs, inputs)| {
                let images: Vec<&[f32]> = inputs.chunks_exact(input_len).collect();
                with_scratch(plan.scratch_len(images.len()), |scratch| {
                    plan.run(arch, &images, scratch, outputs, output);
                });
            },
        );
        outputs
    }
}

impl<'a> Plan<'a> {
    fn new(network: &'a Network, image: [usize; 2]) -> Self {
        let stem = &network.stem;
        let mut size = image.map(|cells| stem.output(cells));
        let mut places = Vec::with_capacity(network.blocks.len());
        let (mut inside_len, mut between_len, mut gated_panels) = (0, 0, 0);
        for block in &network.blocks {
            let window = &block.depthwise;
            let output = size.map(|cells| window.output(cells));
            let row_len = (size[1] + 2 * window.padding()) * PANEL;
            let streams = block.expand.is_none();
            let slots = if streams { window.kernel } else { size[0] };
            let room = EXPANDED / (slots * row_len);
            // Threes suit the registers of the matrix product.
            let panels = if room > 3 { room - room % 3 } else { room.max(1) }.min(window.panels);
            let place = Place { input: size, output, row_len, slots, panels };
            inside_len = inside_len.max(window.panels * place.panel_len());
            between_len = between_len.max(block.project.panels * place.panel_len());
            if let Some(gate) = &block.gate {
                gated_panels = gated_panels.max(gate[0].panels).max(gate[1].panels);
            }
            places.push(place);
            size = output;
        }
        inside_len = inside_len.max(network.last.panels * size[0] * size[1] * PANEL);
        let line_len = image[1] + 2 * stem.padding();
        Self {
            network,
            image,
            line_len,
            lines_len: stem.inputs * stem.kernel * line_len,
            expanded_len: places.iter().map(Place::expanded_len).max().unwrap_or(0),
            places,
            inside_len,
            between_len,
            gated_panels,
        }
    }

    fn scratch_len(&self, images: usize) -> usize {
        let maps = self.inside_len + 2 * self.between_len + 2 * self.gated_panels * PANEL;
        self.lines_len + self.expanded_len + images * maps
    }

    /// Some images, on this thread.
    fn run(&self, arch: Arch, images: &[&[f32]], scratch: &mut [f32], outputs: &mut [f32], output: Output) {
        let count = images.len();
        let (lines, rest) = scratch.split_at_mut(self.lines_len);
        let (expanded, rest) = rest.split_at_mut(self.expanded_len);
        let (inside, rest) = rest.split_at_mut(count * self.inside_len);
        let (mut current, rest) = rest.split_at_mut(count * self.between_len);
        let (mut next, rest) = rest.split_at_mut(count * self.between_len);
        let (sums, rest) = rest.split_at_mut(count * self.gated_panels * PANEL);
        let squeezed = &mut rest[..count * self.gated_panels * PANEL];
        lines.fill(0.0);
        for (block, place) in self.network.blocks.iter().zip(&self.places) {
            let expanded = &mut expanded[..place.expanded_len()];
            // The ends of the rows; all else is written before it is read.
            expanded.fill(0.0);
            sums.fill(0.0);
            for (image, map) in inside.chunks_exact_mut(self.inside_len).enumerate() {
                let sums = block.gate.is_some().then_some(&mut *sums);
                match &block.expand {
                    Some(expand) => {
                        let source = &current[image * self.between_len..][..self.between_len];
                        place.widen(arch, block, expand, source, expanded, map, sums, [image, count]);
                    }
                    None => {
                        self.start(
                            arch,
                            block,
                            place,
                            images[image],
                            lines,
                            expanded,
                            map,
                            sums,
                            [image, count],
                        );
                    }
                }
            }
            if let Some(gate) = &block.gate {
                place.gate(arch, gate, sums, squeezed, inside.chunks_exact_mut(self.inside_len), count);
            }
            let panel = place.panel_len();
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
        let last = &self.network.last;
        let cells = self.places[self.places.len() - 1].panel_len() / PANEL;
        let pitch = Pitch { panel: cells * PANEL, row: 0 };
        for (image, outputs) in outputs.chunks_exact_mut(outputs.len() / count).enumerate() {
            last.run(
                arch,
                Tile {
                    panels: 0..last.panels,
                    rows: 1,
                    width: cells,
                    source: &current[image * self.between_len..][..self.between_len],
                    from: pitch,
                    target: inside,
                    to: pitch,
                    shortcut: None,
                },
            );
            write(inside, cells, outputs, output);
        }
    }

    /// The first layer of an image and the filter of the first block, row by row.
    #[expect(clippy::too_many_arguments, reason = "the pieces of the working memory, and where in them")]
    fn start(
        &self,
        arch: Arch,
        block: &Block,
        place: &Place,
        image: &[f32],
        lines: &mut [f32],
        expanded: &mut [f32],
        map: &mut [f32],
        mut sums: Option<&mut [f32]>,
        [number, count]: [usize; 2],
    ) {
        let (stem, window) = (&self.network.stem, &block.depthwise);
        let [height, width] = self.image;
        let pad = stem.padding();
        for panel in 0..stem.panels {
            let (mut read, mut made) = (0, 0);
            for row in 0..place.output[0] {
                while made < window.seen(row, place.input[0]) {
                    let seen = stem.seen(made, height);
                    while read < seen {
                        for channel in 0..stem.inputs {
                            let source = &image[(channel * height + read) * width..][..width];
                            let slot = channel * stem.kernel + read % stem.kernel;
                            lines[slot * self.line_len + pad..][..width].copy_from_slice(source);
                        }
                        read += 1;
                    }
                    stem.run_dense(
                        arch,
                        Part {
                            panels: panel..panel + 1,
                            rows: made..made + 1,
                            width: place.input[1],
                            source: Lines {
                                values: lines,
                                slots: stem.kernel,
                                row_len: self.line_len,
                                height,
                            },
                            target: &mut expanded[window.padding() * PANEL..],
                            target_panel: 0,
                            target_row: place.row_len,
                            target_slots: place.slots,
                            sums: None,
                        },
                    );
                    made += 1;
                }
                window.run_depthwise(
                    arch,
                    Part {
                        panels: panel..panel + 1,
                        rows: row..row + 1,
                        width: place.output[1],
                        source: Lines {
                            values: expanded,
                            slots: place.slots,
                            row_len: place.row_len,
                            height: place.input[0],
                        },
                        target: &mut map[panel * place.panel_len()..],
                        target_panel: 0,
                        target_row: place.output[1] * PANEL,
                        target_slots: place.output[0],
                        sums: sums
                            .as_deref_mut()
                            .map(|sums| (&mut sums[(panel * count + number) * PANEL..], 0)),
                    },
                );
            }
        }
    }
}

impl Place {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn conv(shape: [usize; 4], stride: usize, activation: Activation) -> ConvSource {
        let value = |seed: usize| (seed * 7919 % 1013) as f32 / 506.0 - 1.0;
        let inputs: usize = shape[1..].iter().product();
        let weight = (0..shape[0] * inputs).map(|at| value(at + shape[0]) / (inputs as f32).sqrt());
        ConvSource {
            weight: weight.collect(),
            shape,
            bias: (0..shape[0]).map(|at| value(at + 3)).collect(),
            stride,
            activation,
        }
    }

    /// Every instruction set that this machine has: the others must not differ from the best one.
    #[test]
    fn every_instruction_set_gives_the_same_values() {
        let block =
            |input: usize, inside: usize, output: usize, kernel: usize, stride: usize, first: bool| {
                let act = Activation::HardSwish;
                BlockSource {
                    expand: (!first).then(|| conv([inside, input, 1, 1], 1, Activation::Relu)),
                    depthwise: conv([inside, 1, kernel, kernel], stride, act),
                    gate: Some([
                        conv([7, inside, 1, 1], 1, Activation::Relu),
                        conv([inside, 7, 1, 1], 1, Activation::Identity),
                    ]),
                    project: conv([output, inside, 1, 1], 1, Activation::Identity),
                    residual: !first && stride == 1 && input == output,
                }
            };
        let blocks = [
            block(20, 20, 24, 3, 2, true),
            block(24, 70, 24, 5, 1, false),
            block(24, 50, 33, 3, 1, false),
            block(33, 65, 40, 5, 2, false),
        ];
        let stem = conv([20, 3, 3, 3], 2, Activation::HardSwish);
        let last = conv([50, 40, 1, 1], 1, Activation::HardSwish);
        assert_eq!(misfit(&stem, &blocks, &last), None);
        let network = Network::new(&stem, &blocks, &last);
        let (images, size) = (3, [67, 59]);
        let input: Vec<f32> =
            (0..images * 3 * size[0] * size[1]).map(|at| (at * 31 % 255) as f32 / 127.0 - 1.0).collect();
        let run = |arch| network.forward_on(arch, &input, images, size, Output::Features);
        let mut sets = vec![Arch::Scalar];
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        {
            sets.extend(pulp::x86::V3::try_new().map(Arch::V3));
            sets.extend(pulp::x86::V4::try_new().map(Arch::V4));
        }
        let best = run(Arch::new());
        let size = best.iter().fold(0.0_f32, |size, value| size.max(value.abs()));
        assert!(size > 0.1, "a network that says something");
        for arch in sets {
            let apart = best.iter().zip(run(arch)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5 * size, "{arch:?}: {apart} apart, of {size}");
        }
    }
}
