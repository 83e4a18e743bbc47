//! 3 x 3 convolutions by minimal filtering, F(2 x 2, 3 x 3) of Lavin and Gray (2016).
//!
//! The output is cut into tiles of 2 x 2 pixels. Each tile's window of 4 x 4 input pixels is transformed (`B^T d B`),
//! as are the kernels when they are prepared (`G g G^T`); the convolution is then one product for each of the 16
//! points, and the tile comes out of `A^T m A`. That takes 16 multiplications where the direct sum takes 36. The
//! matrices hold nothing but 0, 1 and 1/2, so the rounding error stays that of the direct sum.

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

/// Elements of a transformed window.
const POINTS: usize = 16;
/// Pixels of a tile in each direction.
const TILE: usize = 2;
/// The most tile rows of a task: its transformed windows for one point stay in the second-level cache.
const MOST_ROWS: usize = 9;
/// Keeps the points' parts of the scratch from starting at the same place of a cache.
const STAGGER: usize = 5 * MAX_LANES;

/// The most input times output channels of a layer. Transformed kernels take 16/9 of the memory of plain ones: of Stable
/// Diffusion 1.5's 3 x 3 layers, those beyond this hold 88 % of the weights, which would take 1.4 GB more, and 45 % of the
/// work.
const MOST_WEIGHTS: usize = 1280 * 640;

/// Whether a layer of `[out, in, kernel height, kernel width]` is computed this way: a matter of its shape alone.
pub(crate) fn suits([outputs, inputs, height, width]: [usize; 4], config: Conv2dConfig) -> bool {
    // Fewer channels would not fill the vectors of the transforms.
    [height, width] == [3, 3]
        && config.stride == 1
        && outputs >= MAX_LANES
        && inputs.is_multiple_of(MAX_LANES)
        && outputs * inputs <= MOST_WEIGHTS
}

/// Packs a weight `[outputs, inputs, 3, 3]` as 16 matrices `[inputs, outputs]`.
pub(crate) fn prepare(
    tools: (Isa, &ThreadPool, &ByteMeter),
    [columns, inner, _, _]: [usize; 4],
    weight: &WeightView<'_>,
    bias: Option<&WeightView<'_>>,
) -> Result<PackedMatrix, TensorError> {
    let sizes = MatrixSizes { parts: POINTS, inner, columns };
    PackedMatrix::new(tools, sizes, weight, bias, &|kernels, row| {
        let (kernels, _) = kernels.as_chunks::<9>();
        for (input, kernel) in kernels.iter().enumerate() {
            for (point, element) in transform_kernel(kernel).into_iter().enumerate() {
                row[point * inner + input] = element;
            }
        }
    })
}

/// `G g G^T`.
fn transform_kernel(g: &[f32; 9]) -> [f32; POINTS] {
    let across = |a: f32, b: f32, c: f32| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
    let columns = [0, 1, 2].map(|x| across(g[x], g[3 + x], g[6 + x]));
    let mut out = [0.0; POINTS];
    for (y, out) in out.chunks_exact_mut(4).enumerate() {
        out.copy_from_slice(&across(columns[0][y], columns[1][y], columns[2][y]));
    }
    out
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
        kernel: [4, 4],
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
    let scratch =
        Scratch::new(cut.most_tiles() * tile, sizes.inputs, cut.most_panels() * weights.panel_width());
    let mut memory = machine.buffers.take(threads * scratch.size())?;
    let (memory, out) = (Disjoint::new(&mut memory), Disjoint::new(out));
    machine.threads.run(cut.tasks(), &|worker, task| {
        let (tile_rows, panels) = cut.task(task);
        let rows = tile_rows.start * tile..rows.min(tile_rows.end * tile);
        // SAFETY: the scratch is this worker's.
        let memory = unsafe { memory.part(worker * scratch.size()..(worker + 1) * scratch.size()) };
        let block =
            Block { isa: machine.isa, windows: &windows, weights, epilogue, sizes, rows, panels, tile };
        let (transformed, products) = memory.split_at_mut(POINTS * scratch.windows);
        block.transform_windows(transformed, scratch.windows);
        block.multiply(transformed, products, &scratch);
        // SAFETY: no other task has these tiles and panels.
        unsafe { block.transform_products(products, scratch.products, &out) };
    })
}

/// A worker's memory.
struct Scratch {
    /// Elements of the transformed windows of a task for one point.
    windows: usize,
    /// Elements of the products of a task for one point.
    products: usize,
}

impl Scratch {
    fn new(rows: usize, inputs: usize, columns: usize) -> Self {
        Self { windows: rows * inputs + STAGGER, products: rows * columns + STAGGER }
    }

    fn size(&self) -> usize {
        POINTS * (self.windows + self.products)
    }
}

/// Some tiles and some panels of a convolution.
struct Block<'a> {
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

impl Block<'_> {
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
            self.isa.run(TransformWindows { windows: self.windows, rows, stride, transformed });
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

/// `B^T d` of a column. The transforms are loops and not `array::map`, whose closures may stay calls.
#[inline(always)]
fn spread<S: Simd>(s: S, [a, b, c, d]: [S::F; 4]) -> [S::F; 4] {
    [s.sub(a, c), s.add(b, c), s.sub(c, b), s.sub(b, d)]
}

/// `A^T m` of a column.
#[inline(always)]
fn gather<S: Simd>(s: S, [a, b, c, d]: [S::F; 4]) -> [S::F; TILE] {
    [s.add(s.add(a, b), c), s.sub(s.sub(b, c), d)]
}

/// `B^T d B` for the windows of one tile of rows.
struct TransformWindows<'a> {
    windows: &'a Windows<'a>,
    rows: Range<usize>,
    stride: usize,
    /// For each point, at distances of `stride`: channel `k` of row `r` at `k / L * rows * L + r * L + k % L`.
    transformed: &'a mut [f32],
}

impl Kernel for TransformWindows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let count = self.rows.len();
        let channels = self.windows.sizes.inputs;
        let needed = (POINTS - 1) * self.stride + count * channels;
        assert!(self.transformed.len() >= needed && channels.is_multiple_of(S::LANES));
        let to = self.transformed.as_mut_ptr();
        for (r, at) in self.windows.positions(self.rows).enumerate() {
            let mut pixels: [&[f32]; POINTS] = [&[]; POINTS];
            for (tap, pixel) in pixels.iter_mut().enumerate() {
                *pixel = &self.windows.pixel(at, tap)[..channels];
            }
            for channel in (0..channels).step_by(S::LANES) {
                let mut d = [s.splat(0.0); POINTS];
                for (d, pixel) in d.iter_mut().zip(&pixels) {
                    // SAFETY: each pixel has `channels` elements, a multiple of the vector's.
                    *d = unsafe { s.load(pixel.as_ptr().add(channel)) };
                }
                let mut columns = [[s.splat(0.0); 4]; 4];
                for (x, column) in columns.iter_mut().enumerate() {
                    *column = spread(s, [d[x], d[4 + x], d[8 + x], d[12 + x]]);
                }
                let [a, b, c, d] = columns;
                for (y, (((a, b), c), d)) in a.into_iter().zip(b).zip(c).zip(d).enumerate() {
                    let row = spread(s, [a, b, c, d]);
                    for (x, element) in row.into_iter().enumerate() {
                        let place = (4 * y + x) * self.stride + channel * count + r * S::LANES;
                        // SAFETY: `needed` elements are there, and the largest place is a vector before its end.
                        unsafe { s.store(to.add(place), element) };
                    }
                }
            }
        }
    }
}

/// `A^T m A` and the epilogue for the tiles of a block and the columns of a panel.
struct TransformProducts<'a> {
    block: &'a Block<'a>,
    columns: Range<usize>,
    /// Columns of a whole panel.
    width: usize,
    stride: usize,
    /// For each point, at distances of `stride`: `[rows, width]`.
    products: &'a [f32],
    /// The block's part is this caller's.
    out: &'a Disjoint<'a>,
}

impl Kernel for TransformProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Block { sizes, windows, epilogue, ref rows, .. } = *self.block;
        let (width, stride) = (self.width, self.stride);
        assert!(self.products.len() >= (POINTS - 1) * stride + rows.len() * width);
        for (r, [image, y, x]) in windows.positions(rows.clone()).enumerate() {
            // Where the tile's pixels start, and what is to be added to them; nothing beyond the border.
            let pixels = [0, 1, 2, 3].map(|i| {
                let (y, x) = (y * TILE + i / TILE, x * TILE + i % TILE);
                let pixel = (image * sizes.out_height + y) * sizes.out_width + x;
                (y < sizes.out_height && x < sizes.out_width)
                    .then(|| (pixel * sizes.outputs, epilogue.of_row(pixel, &self.columns, sizes.outputs)))
            });
            for vector in (0..self.columns.len()).step_by(S::LANES) {
                let mut columns = [[s.splat(0.0); TILE]; 4];
                for (i, column) in columns.iter_mut().enumerate() {
                    let mut m = [s.splat(0.0); 4];
                    for (j, m) in m.iter_mut().enumerate() {
                        let place = (4 * j + i) * stride + r * width + vector;
                        // SAFETY: the points' products are there, by the assertion.
                        *m = unsafe { s.load(self.products.as_ptr().add(place)) };
                    }
                    *column = gather(s, m);
                }
                let [a, b, c, d] = columns;
                let there = S::LANES.min(self.columns.len() - vector);
                for (y, (((a, b), c), d)) in a.into_iter().zip(b).zip(c).zip(d).enumerate() {
                    let row = gather(s, [a, b, c, d]);
                    for (x, sum) in row.into_iter().enumerate() {
                        let Some((start, epilogue)) = &pixels[TILE * y + x] else { continue };
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
    fn a_kernel_of_one_tap_is_spread_over_the_points() {
        let mut centre = [0.0; 9];
        centre[4] = 4.0;
        let row = [0.0, 1.0, -1.0, 0.0];
        let wanted: Vec<f32> = [0.0, 1.0, -1.0, 0.0].iter().flat_map(|y| row.map(|x| x * y)).collect();
        assert_eq!(transform_kernel(&centre).to_vec(), wanted);
    }

    #[test]
    fn strides_and_few_channels_are_left_to_the_direct_sum() {
        assert!(suits([320, 320, 3, 3], Conv2dConfig::padded(1)));
        assert!(!suits([320, 320, 3, 3], Conv2dConfig { stride: 2, padding: [1; 4] }));
        assert!(!suits([320, 4, 3, 3], Conv2dConfig::padded(1)));
        assert!(!suits([4, 320, 3, 3], Conv2dConfig::padded(1)));
        assert!(!suits([320, 320, 1, 1], Conv2dConfig::padded(0)));
    }
}
