//! What a network needs for one size of image.

use super::Network;
use crate::panel::PANEL;

/// Floats of the buffer of expanded panels: what stays in the second-level cache beside the rest.
const EXPANDED: usize = 1 << 16;

/// The sizes of one block for one size of image.
#[derive(Debug)]
pub(super) struct BlockSizes {
    /// Rows and columns that come in and go out.
    pub(super) input: [usize; 2],
    pub(super) output: [usize; 2],
    /// Floats of a row of an expanded panel, with the zeros at both ends.
    pub(super) row_len: usize,
    /// Rows of an expanded panel that are kept.
    pub(super) slots: usize,
    /// Panels that are expanded at once.
    pub(super) panels: usize,
}

impl BlockSizes {
    pub(super) fn expanded_len(&self) -> usize {
        self.panels * self.slots * self.row_len
    }

    /// Floats of one panel of the filtered map.
    pub(super) fn panel_len(&self) -> usize {
        self.output[0] * self.output[1] * PANEL
    }
}

/// The sizes of everything for one size of image, in floats.
pub(super) struct Plan<'a> {
    pub(super) network: &'a Network,
    pub(super) image: [usize; 2],
    pub(super) blocks: Vec<BlockSizes>,
    /// The window's rows of the image, with zeros at both ends.
    pub(super) line_len: usize,
    pub(super) lines_len: usize,
    pub(super) expanded_len: usize,
    /// The largest map inside of a block, and between blocks.
    pub(super) inside_len: usize,
    pub(super) between_len: usize,
    /// The most panels of a gated map.
    pub(super) gated_panels: usize,
}

impl<'a> Plan<'a> {
    pub(super) fn new(network: &'a Network, image: [usize; 2]) -> Self {
        let stem = &network.stem;
        let mut size = image.map(|cells| stem.output(cells));
        let mut blocks = Vec::with_capacity(network.blocks.len());
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
            let sizes = BlockSizes { input: size, output, row_len, slots, panels };
            inside_len = inside_len.max(window.panels * sizes.panel_len());
            between_len = between_len.max(block.project.panels * sizes.panel_len());
            if let Some(gate) = &block.gate {
                gated_panels = gated_panels.max(gate[0].panels).max(gate[1].panels);
            }
            blocks.push(sizes);
            size = output;
        }
        inside_len = inside_len.max(network.last.panels * size[0] * size[1] * PANEL);
        let line_len = image[1] + 2 * stem.padding();
        Self {
            network,
            image,
            line_len,
            lines_len: stem.inputs * stem.kernel * line_len,
            expanded_len: blocks.iter().map(BlockSizes::expanded_len).max().unwrap_or(0),
            blocks,
            inside_len,
            between_len,
            gated_panels,
        }
    }

    pub(super) fn scratch_len(&self, images: usize) -> usize {
        let maps = self.inside_len + 2 * self.between_len + 2 * self.gated_panels * PANEL;
        self.lines_len + self.expanded_len + images * maps
    }
}
