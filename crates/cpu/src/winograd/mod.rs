//! 3 x 3 convolutions by minimal filtering, F(2 x 2, 3 x 3) and F(4 x 4, 3 x 3) of Lavin and Gray (2016).
//!
//! The output is cut into tiles of 2 x 2 or 4 x 4 pixels. Each tile's window, two pixels larger, is transformed
//! (`B^T d B`), as are the kernels when they are prepared (`G g G^T`); the convolution is then one product for each of the
//! window's 16 or 36 points, and the tile comes out of `A^T m A`. Where the direct sum takes 9 multiplications for a pixel,
//! that takes 4 or 2.25. The price is memory: transformed kernels are 16/9 or 4 times as large. The transforms
//! themselves are in `transform`.

mod transform;

use crate::conv::Windows;
use crate::gemm::{
    Cut, Epilogue, Machine, MatrixSizes, PANEL_VECTORS, PackedMatrix, Tile, inner_blocks, tile_rows,
};
use crate::isa::Isa;
use crate::pool::{Disjoint, ThreadPool};
use crate::simd::{Kernel, MAX_LANES, Simd};
use impasto_tensor::meter::ByteMeter;
use impasto_tensor::shapes::Conv2dSizes;
use impasto_tensor::{Conv2dConfig, PaddingMode, TensorError, WeightView};
use std::ops::Range;
pub(crate) use transform::Filter;
use transform::transform_kernel;

/// The most tile rows of a task: its transformed windows for one point stay in the second-level cache.
const MOST_ROWS: usize = 18;
/// Keeps the points' parts of the scratch from starting at the same place of a cache.
const STAGGER: usize = 5 * MAX_LANES;

/// The most input times output channels of a layer that is filtered with 4 x 4 tiles, and with 2 x 2 tiles: beyond, the
/// transformed kernels would take more memory than they are worth. Layers of few channels work on large pictures, so that
/// their kernels are worth the most. Of Stable Diffusion 1.5's 3 x 3 layers, those beyond the second bound hold 88 % of
/// the weights and 45 % of the work.
const MOST_WEIGHTS: [(usize, Filter); 2] = [(640 * 320, Filter::Four), (1280 * 640, Filter::Two)];

/// The filter of a layer of `[out, in, kernel height, kernel width]`, if it has one: a matter of its shape alone.
pub(crate) fn filter([outputs, inputs, height, width]: [usize; 4], config: Conv2dConfig) -> Option<Filter> {
    // Fewer channels would not fill the vectors of the transforms.
    let suits = [height, width] == [3, 3]
        && config.stride == 1
        && outputs >= MAX_LANES
        && inputs.is_multiple_of(MAX_LANES);
    let fits = |&&(most, _): &&(usize, Filter)| outputs.saturating_mul(inputs) <= most;
    MOST_WEIGHTS.iter().find(fits).filter(|_| suits).map(|&(_, filter)| filter)
}

/// Packs a weight `[outputs, inputs, 3, 3]` as a matrix `[inputs, outputs]` for each point.
pub(crate) fn prepare(
    filter: Filter,
    tools: (Isa, &ThreadPool, &ByteMeter),
    [columns, inner, _, _]: [usize; 4],
    weight: &WeightView<'_>,
    bias: Option<&WeightView<'_>>,
) -> Result<PackedMatrix, TensorError> {
    let sizes = MatrixSizes { parts: filter.points(), inner, columns };
    PackedMatrix::new(tools, sizes, weight, bias, &|kernels, row| {
        let (kernels, _) = kernels.as_chunks::<9>();
        for (input, kernel) in kernels.iter().enumerate() {
            transform_kernel(filter, kernel, |point, element| row[point * inner + input] = element);
        }
    })
}

/// `out = epilogue(conv(x))`, with `weights` from [`prepare`].
pub(crate) fn conv2d(
    machine: Machine<'_>,
    x: &[f32],
    (filter, weights): (Filter, &PackedMatrix),
    sizes: &Conv2dSizes,
    how: (Conv2dConfig, PaddingMode),
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) -> Result<(), TensorError> {
    match filter {
        Filter::Two => filtered::<2, 4>(machine, x, weights, sizes, how, epilogue, out),
        Filter::Four => filtered::<4, 6>(machine, x, weights, sizes, how, epilogue, out),
    }
}

fn filtered<const TILE: usize, const EDGE: usize>(
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
    let tile_config = Conv2dConfig { stride: TILE, ..config };
    let windows = Windows { x, sizes: &tiles, config: tile_config, mode, zeros: &zeros };
    let tile = tile_rows(machine.isa, PANEL_VECTORS);
    let threads = machine.threads.threads();
    let cut = Cut::new(rows.div_ceil(tile), weights, tile, MOST_ROWS, threads);
    let scratch = Scratch::new(
        EDGE * EDGE,
        cut.most_tiles() * tile,
        sizes.inputs,
        cut.most_panels() * weights.panel_width(),
    );
    let mut memory = machine.buffers.take(threads * scratch.size())?;
    let (memory, out) = (Disjoint::new(&mut memory), Disjoint::new(out));
    machine.threads.run(cut.tasks(), &|worker, task| {
        let (tile_rows, panels) = cut.task(task);
        let rows = tile_rows.start * tile..rows.min(tile_rows.end * tile);
        // SAFETY: the scratch is this worker's.
        let memory = unsafe { memory.part(worker * scratch.size()..(worker + 1) * scratch.size()) };
        let block: Block<'_, TILE, EDGE> =
            Block { isa: machine.isa, windows: &windows, weights, epilogue, sizes, rows, panels, tile };
        let (transformed, products) = memory.split_at_mut(scratch.points * scratch.windows);
        block.transform_windows(transformed, scratch.windows);
        block.multiply(transformed, products, &scratch);
        // SAFETY: no other task has these tiles and panels.
        unsafe { block.transform_products(products, scratch.products, &out) };
    })
}

/// A worker's memory.
struct Scratch {
    points: usize,
    /// Elements of the transformed windows of a task for one point.
    windows: usize,
    /// Elements of the products of a task for one point.
    products: usize,
}

impl Scratch {
    fn new(points: usize, rows: usize, inputs: usize, columns: usize) -> Self {
        Self { points, windows: rows * inputs + STAGGER, products: rows * columns + STAGGER }
    }

    fn size(&self) -> usize {
        self.points * (self.windows + self.products)
    }
}

/// Some tiles and some panels of a convolution.
struct Block<'a, const TILE: usize, const EDGE: usize> {
    isa: Isa,
    windows: &'a Windows<'a>,
    weights: &'a PackedMatrix,
    epilogue: Epilogue<'a>,
    sizes: &'a Conv2dSizes,
    /// The output tiles, numbered over the whole batch.
    rows: Range<usize>,
    panels: Range<usize>,
    /// Rows of a tile of the products.
    tile: usize,
}

impl<const TILE: usize, const EDGE: usize> Block<'_, TILE, EDGE> {
    fn row_tiles(&self) -> impl Iterator<Item = Range<usize>> {
        let end = self.rows.end;
        self.rows.clone().step_by(self.tile).map(move |first| first..end.min(first + self.tile))
    }

    /// Transforms the windows into the left sides of the products, `stride` elements for each point.
    fn transform_windows(&self, transformed: &mut [f32], stride: usize) {
        let inputs = self.sizes.inputs;
        for rows in self.row_tiles() {
            let start = (rows.start - self.rows.start) * inputs;
            let transformed = &mut transformed[start..];
            let windows = self.windows;
            self.isa.run(TransformWindows::<EDGE> { windows, rows, stride, transformed });
        }
    }

    /// Multiplies, point by point.
    fn multiply(&self, transformed: &[f32], products: &mut [f32], scratch: &Scratch) {
        let width = self.weights.panel_width();
        let lanes = width / PANEL_VECTORS;
        let inputs = self.sizes.inputs;
        for (point, products) in products.chunks_exact_mut(scratch.products).enumerate() {
            let transformed = &transformed[point * scratch.windows..(point + 1) * scratch.windows];
            for block in inner_blocks(inputs) {
                for (i, panel) in self.panels.clone().enumerate() {
                    let right = self.weights.panel(point, &block, panel);
                    for (index, rows) in self.row_tiles().enumerate() {
                        let (count, first) = (rows.len(), rows.start - self.rows.start);
                        let left =
                            &transformed[first * inputs + block.start * count..][..block.len() * count];
                        let to = (i * self.rows.len() + first) * width;
                        let tile = Tile {
                            left: left.as_ptr(),
                            left_stride: count * lanes,
                            right: right.as_ptr(),
                            ahead: Tile::ahead(right, index),
                            inner: block.len(),
                            out: products[to..to + count * width].as_mut_ptr(),
                            row_stride: width,
                            vector_stride: lanes,
                            accumulate: block.start > 0,
                        };
                        // SAFETY: the slices hold `count` rows of the block, a whole panel, and `count` whole rows.
                        unsafe { tile.compute(self.isa, count, PANEL_VECTORS) };
                    }
                }
            }
        }
    }

    /// Transforms the products, `stride` elements for each point, into output pixels.
    ///
    /// # Safety
    /// Nobody else may use the block's part of `out`.
    unsafe fn transform_products(&self, products: &[f32], stride: usize, out: &Disjoint<'_>) {
        let width = self.weights.panel_width();
        for (i, panel) in self.panels.clone().enumerate() {
            let columns = panel * width..self.sizes.outputs.min((panel + 1) * width);
            let products = &products[i * self.rows.len() * width..];
            self.isa.run(TransformProducts { block: self, columns, width, stride, products, out });
        }
    }
}

/// `B^T d B` for the windows of one tile of rows.
struct TransformWindows<'a, const EDGE: usize> {
    windows: &'a Windows<'a>,
    rows: Range<usize>,
    stride: usize,
    /// For each point, at distances of `stride`: channel `k` of row `r` at `k / L * rows * L + r * L + k % L`.
    transformed: &'a mut [f32],
}

impl<const EDGE: usize> Kernel for TransformWindows<'_, EDGE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let count = self.rows.len();
        let channels = self.windows.sizes.inputs;
        let needed = (EDGE * EDGE - 1) * self.stride + count * channels;
        assert!(self.transformed.len() >= needed && channels.is_multiple_of(S::LANES));
        let to = self.transformed.as_mut_ptr();
        for (r, at) in self.windows.positions(self.rows).enumerate() {
            let mut pixels: [[&[f32]; EDGE]; EDGE] = [[&[]; EDGE]; EDGE];
            for (y, line) in pixels.iter_mut().enumerate() {
                for (x, pixel) in line.iter_mut().enumerate() {
                    *pixel = &self.windows.pixel(at, y * EDGE + x)[..channels];
                }
            }
            for channel in (0..channels).step_by(S::LANES) {
                let mut columns = [[s.splat(0.0); EDGE]; EDGE];
                for (x, column) in columns.iter_mut().enumerate() {
                    let mut d = [s.splat(0.0); EDGE];
                    for (d, line) in d.iter_mut().zip(&pixels) {
                        // SAFETY: each pixel has `channels` elements, a multiple of the vector's.
                        *d = unsafe { s.load(line[x].as_ptr().add(channel)) };
                    }
                    *column = transform::spread(s, d);
                }
                for y in 0..EDGE {
                    let mut line = [s.splat(0.0); EDGE];
                    for (element, column) in line.iter_mut().zip(&columns) {
                        *element = column[y];
                    }
                    for (x, element) in transform::spread(s, line).into_iter().enumerate() {
                        let place = (EDGE * y + x) * self.stride + channel * count + r * S::LANES;
                        // SAFETY: `needed` elements are there, and the largest place is a vector before its end.
                        unsafe { s.store(to.add(place), element) };
                    }
                }
            }
        }
    }
}

/// `A^T m A` and the epilogue for the tiles of a block and the columns of a panel.
struct TransformProducts<'a, const TILE: usize, const EDGE: usize> {
    block: &'a Block<'a, TILE, EDGE>,
    columns: Range<usize>,
    /// Columns of a whole panel.
    width: usize,
    stride: usize,
    /// For each point, at distances of `stride`: `[rows, width]`.
    products: &'a [f32],
    /// The block's part is this caller's.
    out: &'a Disjoint<'a>,
}

impl<const TILE: usize, const EDGE: usize> Kernel for TransformProducts<'_, TILE, EDGE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Block { sizes, windows, epilogue, ref rows, .. } = *self.block;
        let (width, stride) = (self.width, self.stride);
        assert!(self.products.len() >= (EDGE * EDGE - 1) * stride + rows.len() * width);
        for (r, [image, y, x]) in windows.positions(rows.clone()).enumerate() {
            // Where the tile's pixels start, and what is to be added to them; nothing beyond the border.
            let mut pixels = [[None; TILE]; TILE];
            for (down, line) in pixels.iter_mut().enumerate() {
                for (right, place) in line.iter_mut().enumerate() {
                    let (y, x) = (y * TILE + down, x * TILE + right);
                    let pixel = (image * sizes.out_height + y) * sizes.out_width + x;
                    *place = (y < sizes.out_height && x < sizes.out_width).then(|| {
                        (pixel * sizes.outputs, epilogue.of_row(pixel, &self.columns, sizes.outputs))
                    });
                }
            }
            for vector in (0..self.columns.len()).step_by(S::LANES) {
                let mut columns = [[s.splat(0.0); TILE]; EDGE];
                for (i, column) in columns.iter_mut().enumerate() {
                    let mut m = [s.splat(0.0); EDGE];
                    for (j, m) in m.iter_mut().enumerate() {
                        let place = (EDGE * j + i) * stride + r * width + vector;
                        // SAFETY: the points' products are there, by the assertion.
                        *m = unsafe { s.load(self.products.as_ptr().add(place)) };
                    }
                    *column = transform::gather(s, m);
                }
                let there = S::LANES.min(self.columns.len() - vector);
                for (y, places) in pixels.iter().enumerate() {
                    let mut line = [s.splat(0.0); EDGE];
                    for (element, column) in line.iter_mut().zip(&columns) {
                        *element = column[y];
                    }
                    let sums: [S::F; TILE] = transform::gather(s, line);
                    for (place, sum) in places.iter().zip(sums) {
                        let Some((start, epilogue)) = place else { continue };
                        let start = start + self.columns.start + vector;
                        // SAFETY: the pixel's piece is part of the block.
                        let out = unsafe { self.out.part(start..start + there) };
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
    fn the_shape_chooses_the_filter() {
        let same = Conv2dConfig::padded(1);
        assert_eq!(filter([320, 320, 3, 3], same), Some(Filter::Four));
        assert_eq!(filter([640, 1280, 3, 3], same), Some(Filter::Two));
        assert_eq!(filter([1280, 1280, 3, 3], same), None);
        assert_eq!(filter([320, 320, 3, 3], Conv2dConfig { stride: 2, padding: [1; 4] }), None);
        assert_eq!(filter([320, 4, 3, 3], same), None);
        assert_eq!(filter([4, 320, 3, 3], same), None);
        assert_eq!(filter([320, 320, 1, 1], Conv2dConfig::padded(0)), None);
    }
}
