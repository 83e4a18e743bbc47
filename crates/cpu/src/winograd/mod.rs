//! 3 x 3 convolutions by minimal filtering, F(4 x 4, 3 x 3) of Lavin and Gray (2016).
//!
//! The output is cut into tiles of 4 x 4 pixels. Each tile's window, of 6 x 6 pixels, is transformed (`B^T d B`), and so are
//! the kernels (`G g G^T`); the convolution is then one product for each of the window's 36 points, and the tile comes out
//! of `A^T m A`. Where the direct sum takes 9 multiplications for a pixel, that takes 2.25.
//!
//! Transformed kernels are four times as large as kernels, and would take longer to come from memory than to be made anew:
//! they are made block by block where they are needed, and used for as many tiles as there are. The transforms themselves
//! are in `transform`.

mod transform;

use crate::conv::Windows;
use crate::gemm::{
    Brain, Epilogue, Half, Machine, MatrixSizes, Order, PANEL_VECTORS, PackedMatrix, Panel, Single, Stored,
    Tile, tile_rows,
};
use crate::isa::Isa;
use crate::pool::{Disjoint, ThreadPool};
use crate::simd::{Kernel, MAX_LANES, Simd};
use crate::transpose::transposed;
use impasto_tensor::meter::ByteMeter;
use impasto_tensor::shapes::Conv2dSizes;
use impasto_tensor::{Conv2dConfig, PaddingMode, TensorError, WeightView};
use std::ops::Range;
use transform::{EDGE, POINTS, TILE, expand, gather, spread};

/// Elements that the transformed windows of a group of tiles take, roughly: 8 MB.
const GROUP: usize = 2 << 20;
/// The most rows of tiles that share a transformed block of kernels. Their products of a panel, and the block, stay in the
/// second-level cache.
const SHARING: usize = 9;
/// Channels of a window that a task transforms.
const CHANNELS: usize = 320;
/// Taps of a kernel.
const TAPS: usize = 9;
/// Keeps the points' parts of the scratch from starting at the same place of a cache.
const STAGGER: usize = 5 * MAX_LANES;

/// Whether a layer of `[out, in, kernel height, kernel width]` is computed this way: a matter of its shape alone.
pub(crate) fn suits([_, inputs, height, width]: [usize; 4], config: Conv2dConfig) -> bool {
    // Fewer channels would not fill the vectors of the transforms.
    [height, width] == [3, 3] && config.stride == 1 && inputs >= MAX_LANES && inputs.is_multiple_of(MAX_LANES)
}

/// Packs a weight `[outputs, inputs, 3, 3]`.
pub(crate) fn prepare(
    tools: (Isa, &ThreadPool, &ByteMeter),
    [columns, inner, _, _]: [usize; 4],
    weight: &WeightView<'_>,
    bias: Option<&WeightView<'_>>,
) -> Result<PackedMatrix, TensorError> {
    PackedMatrix::new(tools, MatrixSizes { inner, taps: TAPS, columns }, weight, bias, Order::AsStored)
}

/// `out = epilogue(conv(x))`, with `weights` from [`prepare`].
pub(crate) fn conv2d(
    machine: Machine<'_>,
    x: &[f32],
    weights: &PackedMatrix,
    sizes: &Conv2dSizes,
    (config, mode): (Conv2dConfig, PaddingMode),
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) -> Result<(), TensorError> {
    let tiles = Conv2dSizes {
        out_height: sizes.out_height.div_ceil(TILE),
        out_width: sizes.out_width.div_ceil(TILE),
        kernel: [EDGE, EDGE],
        ..*sizes
    };
    let rows = tiles.batch * tiles.out_height * tiles.out_width;
    if rows == 0 {
        return Ok(());
    }
    let mut zeros = machine.buffers.take(sizes.inputs)?;
    zeros.fill(0.0);
    let config = Conv2dConfig { stride: TILE, ..config };
    let windows = Windows { x, sizes: &tiles, config, mode, zeros: &zeros };
    let groups = rows.div_ceil((GROUP / (POINTS * sizes.inputs)).max(1));
    let layer = Layer { machine, windows, weights, epilogue, sizes };
    let stride = rows.div_ceil(groups) * sizes.inputs + STAGGER;
    let mut transformed = machine.buffers.take(POINTS * stride)?;
    let out = Disjoint::new(out);
    for group in 0..groups {
        let rows = group * rows / groups..(group + 1) * rows / groups;
        if !rows.is_empty() {
            let group = Group { layer: &layer, tile: even_tile(machine.isa, rows.len()), rows, stride };
            group.transform_windows(&mut transformed)?;
            group.multiply(&transformed, &out)?;
        }
    }
    Ok(())
}

/// Rows of a tile of the products, so that the last has about as many as the others.
fn even_tile(isa: Isa, rows: usize) -> usize {
    rows.div_ceil(rows.div_ceil(tile_rows(isa)))
}

/// A convolution.
struct Layer<'a> {
    machine: Machine<'a>,
    windows: Windows<'a>,
    weights: &'a PackedMatrix,
    epilogue: Epilogue<'a>,
    sizes: &'a Conv2dSizes,
}

/// Some tiles of a convolution, whose windows are transformed together.
struct Group<'a> {
    layer: &'a Layer<'a>,
    /// The output tiles, numbered over the whole batch. They are the rows of the products.
    rows: Range<usize>,
    /// Rows of a tile of the products.
    tile: usize,
    /// Elements from one point's transformed windows to the next's.
    stride: usize,
}

impl Group<'_> {
    fn row_tiles(&self) -> usize {
        self.rows.len().div_ceil(self.tile)
    }

    /// Rows of the `i`th tile of the products.
    fn rows_of(&self, i: usize) -> Range<usize> {
        let first = self.rows.start + i * self.tile;
        first..self.rows.end.min(first + self.tile)
    }

    /// Fills the left sides of the products.
    fn transform_windows(&self, transformed: &mut [f32]) -> Result<(), TensorError> {
        let Layer { machine, windows, sizes, .. } = self.layer;
        let pieces = sizes.inputs.div_ceil(CHANNELS);
        let transformed = Disjoint::new(transformed);
        machine.threads.run(self.row_tiles() * pieces, &|_, task| {
            let (tile, piece) = (task / pieces, task % pieces);
            let rows = self.rows_of(tile);
            let channels = piece * CHANNELS..sizes.inputs.min((piece + 1) * CHANNELS);
            let start = (rows.start - self.rows.start) * sizes.inputs;
            let last = (POINTS - 1) * self.stride + start + rows.len() * sizes.inputs;
            let to = transformed.pointer(start..last);
            machine.isa.run(TransformWindows { windows, rows, channels, stride: self.stride, to });
        })
    }

    /// Multiplies and transforms back.
    fn multiply(&self, transformed: &[f32], out: &Disjoint<'_>) -> Result<(), TensorError> {
        let Layer { machine, weights, .. } = self.layer;
        let parts = self.row_tiles().div_ceil(SHARING);
        let most_rows = self.row_tiles().div_ceil(parts) * self.tile;
        let width = weights.panel_width();
        let kernels_size = POINTS * (weights.sizes.block() * width + STAGGER);
        let scratch_size = kernels_size + POINTS * (most_rows * width + STAGGER);
        let mut scratch = machine.buffers.take(machine.threads.threads() * scratch_size)?;
        let scratch = Disjoint::new(&mut scratch);
        machine.threads.run(parts * weights.panels(), &|worker, task| {
            // SAFETY: the scratch is this worker's.
            let scratch = unsafe { scratch.part(worker * scratch_size..(worker + 1) * scratch_size) };
            let (kernels, products) = scratch.split_at_mut(kernels_size);
            let (part, panel) = (task % parts, task / parts);
            let tiles = part * self.row_tiles() / parts..(part + 1) * self.row_tiles() / parts;
            let stride = most_rows * width + STAGGER;
            self.multiply_panel(transformed, tiles.clone(), panel, kernels, (products, stride));
            let rows = self.rows_of(tiles.start).start..self.rows_of(tiles.end - 1).end;
            let columns = panel * width..self.layer.sizes.outputs.min((panel + 1) * width);
            let layer = self.layer;
            machine.isa.run(TransformProducts { layer, rows, columns, width, stride, products, out });
        })
    }

    /// The products of some tiles of rows with a panel, point by point.
    fn multiply_panel(
        &self,
        transformed: &[f32],
        tiles: Range<usize>,
        panel: usize,
        kernels: &mut [f32],
        (products, products_stride): (&mut [f32], usize),
    ) {
        let Layer { machine, weights, sizes, .. } = self.layer;
        let width = weights.panel_width();
        let lanes = width / PANEL_VECTORS;
        let kernels_stride = weights.sizes.block() * width + STAGGER;
        let first_row = self.rows_of(tiles.start).start;
        for block in weights.sizes.blocks() {
            let stored = weights.panel(&block, panel);
            machine.isa.run(TransformKernels { stored, stride: kernels_stride, width, kernels });
            let left = |point: usize, tile: usize| {
                let rows = self.rows_of(tile);
                let start = (rows.start - self.rows.start) * sizes.inputs + block.start * rows.len();
                &transformed[point * self.stride + start..][..block.len() * rows.len()]
            };
            let mut turns = (0..POINTS)
                .flat_map(|point| tiles.clone().map(move |tile| (point, tile)))
                .enumerate()
                .peekable();
            while let Some((turn, (point, tile))) = turns.next() {
                let (right, rows) = (&kernels[point * kernels_stride..], self.rows_of(tile));
                let count = rows.len();
                let to = point * products_stride + (rows.start - first_row) * width;
                let here = left(point, tile);
                let next = turns.peek().map_or(here, |&(_, (point, tile))| left(point, tile));
                let tile = Tile {
                    vectors: PANEL_VECTORS,
                    left: here.as_ptr(),
                    left_stride: count * lanes,
                    left_next: next.as_ptr(),
                    right: right[..block.len() * width].as_ptr(),
                    ahead: stored.ahead(turn, POINTS * tiles.len()),
                    inner: block.len(),
                    more: &[],
                    more_left: std::ptr::null(),
                    out: products[to..to + count * width].as_mut_ptr(),
                    row_stride: width,
                    vector_stride: lanes,
                    accumulate: block.start > 0,
                    bias: std::ptr::null(),
                    residual: std::ptr::null(),
                };
                // SAFETY: the slices hold `count` rows of the block, a whole panel, and `count` whole rows.
                unsafe { tile.compute(machine.isa, count) };
            }
        }
    }
}

/// `B^T d B` for some channels of the windows of one tile of rows.
struct TransformWindows<'a> {
    windows: &'a Windows<'a>,
    rows: Range<usize>,
    channels: Range<usize>,
    stride: usize,
    /// For each point, at distances of `stride`: channel `k` of row `r` at `k / L * rows * L + r * L + k % L`. The channels'
    /// part is this caller's.
    to: *mut f32,
}

impl Kernel for TransformWindows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { windows, rows, channels, stride, to } = self;
        let count = rows.len();
        assert!(channels.end <= windows.sizes.inputs && channels.len().is_multiple_of(S::LANES));
        for (r, at) in windows.positions(rows).enumerate() {
            let mut pixels: [[&[f32]; EDGE]; EDGE] = [[&[]; EDGE]; EDGE];
            for (y, line) in pixels.iter_mut().enumerate() {
                for (x, pixel) in line.iter_mut().enumerate() {
                    *pixel = &windows.pixel(at, y * EDGE + x)[..channels.end];
                }
            }
            for channel in channels.clone().step_by(S::LANES) {
                let mut columns = [[s.splat(0.0); EDGE]; EDGE];
                for (x, column) in columns.iter_mut().enumerate() {
                    let mut d = [s.splat(0.0); EDGE];
                    for (d, line) in d.iter_mut().zip(&pixels) {
                        // SAFETY: a whole vector lies before the channels' end, which each pixel has.
                        *d = unsafe { s.load(line[x].as_ptr().add(channel)) };
                    }
                    *column = spread(s, d);
                }
                for (y, line) in transposed(columns).into_iter().enumerate() {
                    for (x, element) in spread(s, line).into_iter().enumerate() {
                        let place = (EDGE * y + x) * stride + channel * count + r * S::LANES;
                        // SAFETY: the place is one of the rows' and channels', for which `to` has room.
                        unsafe { s.store(to.add(place), element) };
                    }
                }
            }
        }
    }
}

/// `G g G^T` for the kernels of a panel and a block of inputs.
struct TransformKernels<'a> {
    /// `[inputs, taps, width]`.
    stored: Panel<'a>,
    width: usize,
    stride: usize,
    /// For each point, at distances of `stride`: `[inputs, width]`.
    kernels: &'a mut [f32],
}

impl Kernel for TransformKernels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.stored {
            Panel::F32(stored) => self.transform::<S, Single>(s, stored),
            Panel::F16(stored) => self.transform::<S, Half>(s, stored),
            Panel::BF16(stored) => self.transform::<S, Brain>(s, stored),
        }
    }
}

impl TransformKernels<'_> {
    #[inline(always)]
    fn transform<S: Simd, E: Stored>(self, s: S, stored: &[E::Bits]) {
        let Self { width, stride, kernels, .. } = self;
        let size = stored.len() / TAPS;
        assert!(width.is_multiple_of(S::LANES) && kernels.len() >= (POINTS - 1) * stride + size);
        let to = kernels.as_mut_ptr();
        for (input, taps) in stored.chunks_exact(TAPS * width).enumerate() {
            for column in (0..width).step_by(S::LANES) {
                let mut columns = [[s.splat(0.0); EDGE]; 3];
                for (x, out) in columns.iter_mut().enumerate() {
                    // SAFETY: the taps are TAPS times `width` elements, and a whole vector lies before the width's end.
                    let tap =
                        |y: usize| unsafe { E::load(s, taps.as_ptr().add((3 * y + x) * width + column)) };
                    *out = expand(s, [tap(0), tap(1), tap(2)]);
                }
                for (y, line) in transposed(columns).into_iter().enumerate() {
                    for (x, element) in expand(s, line).into_iter().enumerate() {
                        let place = (EDGE * y + x) * stride + input * width + column;
                        // SAFETY: by the assertion, the last point has room for all inputs.
                        unsafe { s.store(to.add(place), element) };
                    }
                }
            }
        }
    }
}

/// `A^T m A` and the epilogue for some tiles and the columns of a panel.
struct TransformProducts<'a> {
    layer: &'a Layer<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    /// Columns of a whole panel.
    width: usize,
    stride: usize,
    /// For each point, at distances of `stride`: `[rows, width]`.
    products: &'a [f32],
    /// The tiles' columns are this caller's.
    out: &'a Disjoint<'a>,
}

impl Kernel for TransformProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Layer { sizes, windows, epilogue, .. } = self.layer;
        let Self { rows, columns: panel, width, stride, products, out, .. } = self;
        assert!(products.len() >= (POINTS - 1) * stride + rows.len() * width);
        for (r, [image, y, x]) in windows.positions(rows.clone()).enumerate() {
            // Where the tile's pixels start, and what is to be added to them; nothing beyond the border.
            let mut pixels = [[None; TILE]; TILE];
            for (down, line) in pixels.iter_mut().enumerate() {
                for (right, place) in line.iter_mut().enumerate() {
                    let (y, x) = (y * TILE + down, x * TILE + right);
                    let pixel = (image * sizes.out_height + y) * sizes.out_width + x;
                    *place = (y < sizes.out_height && x < sizes.out_width)
                        .then(|| (pixel * sizes.outputs, epilogue.of_row(pixel, &panel, sizes.outputs)));
                }
            }
            for vector in (0..panel.len()).step_by(S::LANES) {
                let mut columns = [[s.splat(0.0); TILE]; EDGE];
                for (i, column) in columns.iter_mut().enumerate() {
                    let mut m = [s.splat(0.0); EDGE];
                    for (j, m) in m.iter_mut().enumerate() {
                        let place = (EDGE * j + i) * stride + r * width + vector;
                        // SAFETY: the points' products are there, by the assertion.
                        *m = unsafe { s.load(products.as_ptr().add(place)) };
                    }
                    *column = gather(s, m);
                }
                let there = S::LANES.min(panel.len() - vector);
                for (places, line) in pixels.iter().zip(transposed(columns)) {
                    for (place, sum) in places.iter().zip(gather(s, line)) {
                        let Some((start, epilogue)) = place else { continue };
                        let start = start + panel.start + vector;
                        // SAFETY: the pixel's piece is one of the tiles' columns.
                        let out = unsafe { out.part(start..start + there) };
                        s.write(out, epilogue.apply(s, sum, vector));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_decides() {
        let same = Conv2dConfig::padded(1);
        assert!(suits([320, 320, 3, 3], same) && suits([1280, 2560, 3, 3], same));
        assert!(!suits([320, 320, 3, 3], Conv2dConfig { stride: 2, padding: [1; 4] }));
        assert!(!suits([320, 4, 3, 3], same) && !suits([320, 0, 3, 3], same));
        assert!(suits([4, 320, 3, 3], same));
        assert!(!suits([320, 320, 1, 1], Conv2dConfig::padded(0)));
    }
}
