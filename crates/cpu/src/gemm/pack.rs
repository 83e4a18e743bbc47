//! Weights in the order in which the micro-kernel reads them, and the left side's rows on their way to it.

use super::tile::PANEL_VECTORS;
use crate::buffer::Buffer;
use crate::isa::Isa;
use crate::pool::{Disjoint, ThreadPool};
use crate::simd::{Kernel, MAX_LANES, Simd};
use impasto_tensor::meter::{ByteMeter, CountedBytes};
use impasto_tensor::{DType, TensorError, WeightView};
use std::ops::Range;

/// The most products that are summed in registers before they are added to the result. Short chains also keep the
/// rounding error down.
const INNER_BLOCK: usize = 384;
/// The same where kernels are transformed block by block: the transformed block stays in the second-level cache.
const KERNEL_BLOCK: usize = 128;

/// What packed elements are kept as.
const PANELS: &str = "panels";

/// How many of `inner` things are taken in one go, `most` at the most: as evenly as can be, so that the order of a sum is
/// fixed by its length. A multiple of every vector's length.
fn even_block(inner: usize, most: usize) -> usize {
    let blocks = inner.div_ceil(most).max(1);
    inner.div_ceil(blocks).next_multiple_of(MAX_LANES)
}

/// Sizes of a [`PackedMatrix`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct MatrixSizes {
    /// Rows: products that an element of the result is the sum of, or input channels where there are `taps`.
    pub(crate) inner: usize,
    /// Elements of a column that stay together in each row: 1, or the taps of a kernel to be transformed.
    pub(crate) taps: usize,
    /// Columns.
    pub(crate) columns: usize,
}

impl MatrixSizes {
    /// Rows of the largest block.
    pub(crate) fn block(&self) -> usize {
        even_block(self.inner, if self.taps == 1 { INNER_BLOCK } else { KERNEL_BLOCK })
    }

    /// The blocks of rows whose products are summed in one go.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (inner, block) = (self.inner, self.block());
        (0..inner).step_by(block).map(move |first| first..inner.min(first + block))
    }
}

/// Which of a column's stored elements is the `i`th of the packed ones.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// The `i`th.
    AsStored,
    /// Stored are this many taps for each input, wanted the inputs for each tap.
    TapsFirst(usize),
}

/// Where packed elements are, and how wide. Halves are kept as they came, and widened block by block, which is exact.
#[derive(Debug)]
enum Elements {
    F32(Buffer),
    F16(Buffer),
    BF16(Buffer),
}

/// Some elements of a [`PackedMatrix`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Panel<'a> {
    F32(&'a [f32]),
    F16(&'a [u16]),
    BF16(&'a [u16]),
}

impl<'a> Panel<'a> {
    /// The elements in single precision: where they are, or else in `scratch`.
    pub(crate) fn widened(self, isa: Isa, scratch: &'a mut [f32]) -> &'a [f32] {
        match self {
            Self::F32(elements) => elements,
            Self::F16(stored) => isa.run(Widen::<Half> { stored, wide: scratch }),
            Self::BF16(stored) => isa.run(Widen::<Brain> { stored, wide: scratch }),
        }
    }

    /// Where the `i`th of `count` tiles that use these elements begins to ask for those that are stored behind them: all of
    /// them are asked for, evenly, by the time they are needed.
    pub(crate) fn ahead(self, i: usize, count: usize) -> *const f32 {
        let (start, lines) = match self {
            Self::F32(elements) => (elements.as_ptr(), elements.len() / MAX_LANES),
            Self::F16(halves) | Self::BF16(halves) => (halves.as_ptr().cast(), halves.len() / 2 / MAX_LANES),
        };
        start.wrapping_add((lines + i * lines / count) * MAX_LANES)
    }
}

/// How elements are stored, for kernels that read them.
pub(crate) trait Stored {
    /// Their bits.
    type Bits: Copy;

    /// Reads a vector of them.
    ///
    /// # Safety
    /// `LANES` elements must be readable at `from`.
    unsafe fn load<S: Simd>(s: S, from: *const Self::Bits) -> S::F;
}

/// `f32`.
pub(crate) struct Single;
/// IEEE 754 halves.
pub(crate) struct Half;
/// Upper halves of `f32`.
pub(crate) struct Brain;

macro_rules! stored {
    ($($name:ident: $bits:ty = $load:ident),*) => {
        $(impl Stored for $name {
            type Bits = $bits;

            #[inline(always)]
            unsafe fn load<S: Simd>(s: S, from: *const $bits) -> S::F {
                // SAFETY: the caller vouches for the address.
                unsafe { s.$load(from) }
            }
        })*
    };
}

stored!(Single: f32 = load, Half: u16 = load_f16, Brain: u16 = load_bf16);

/// Widens elements into the start of `wide`.
struct Widen<'a, E: Stored> {
    stored: &'a [E::Bits],
    wide: &'a mut [f32],
}

impl<'a, E: Stored> Kernel for Widen<'a, E> {
    type Output = &'a [f32];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> &'a [f32] {
        let wide = &mut self.wide[..self.stored.len()];
        for (from, to) in self.stored.chunks_exact(S::LANES).zip(wide.chunks_exact_mut(S::LANES)) {
            // SAFETY: the piece has LANES elements.
            s.write(to, unsafe { E::load(s, from.as_ptr()) });
        }
        wide
    }
}

/// Vectors of a panel: as many as a tile takes, unless the columns are few and half of the last panel would be empty.
fn panel_vectors(isa: Isa, sizes: MatrixSizes) -> usize {
    let vectors = sizes.columns.div_ceil(isa.lanes());
    if sizes.taps == 1 && vectors < 2 * PANEL_VECTORS && !vectors.is_multiple_of(PANEL_VECTORS) {
        1
    } else {
        PANEL_VECTORS
    }
}

/// A matrix `[inner, columns]` cut into panels, with the bias of the columns.
///
/// For each block of `inner`, for each panel, for each `k` of the block: the panel's columns, padded with zeros. Where there
/// are taps, for each panel, for each block, for each `k`, for each tap. So the elements lie in the order of their use.
#[derive(Debug)]
pub(crate) struct PackedMatrix {
    elements: Elements,
    bias: Option<Buffer>,
    pub(crate) sizes: MatrixSizes,
    /// Columns of a panel.
    width: usize,
    _counted: CountedBytes,
}

impl PackedMatrix {
    /// Packs `weight`, `[columns, ..]`, whose columns are stored one after the other. Half precision stays.
    pub(crate) fn new(
        (isa, pool, meter): (Isa, &ThreadPool, &ByteMeter),
        sizes: MatrixSizes,
        weight: &WeightView<'_>,
        bias: Option<&WeightView<'_>>,
        order: Order,
    ) -> Result<Self, TensorError> {
        let width = isa.lanes() * panel_vectors(isa, sizes);
        let layout = Layout { sizes, width };
        let too_large = || TensorError::OutOfMemory { bytes: usize::MAX };
        let row = sizes.taps.checked_mul(sizes.inner).ok_or_else(too_large)?;
        let size = (layout.panels() * width).checked_mul(row).ok_or_else(too_large)?;
        let dtype = weight.dtype();
        let elements = if matches!(dtype, DType::F16 | DType::BF16) {
            let halves = Buffer::prepared(weight, PANELS, size.div_ceil(2), |halves| {
                let stored = weight.read()?;
                let (stored, _) = stored.bytes().as_chunks();
                pack(pool, &layout, order, stored, u16::from_le_bytes, halves.halves_mut())
            })?;
            if dtype == DType::F16 { Elements::F16(halves) } else { Elements::BF16(halves) }
        } else {
            Elements::F32(Buffer::prepared(weight, PANELS, size, |wide| {
                let stored = weight.read()?;
                if dtype == DType::F32 {
                    let (stored, _) = stored.bytes().as_chunks();
                    pack(pool, &layout, order, stored, f32::from_le_bytes, wide)
                } else {
                    pack(pool, &layout, order, &stored.to_f32(), |element| element, wide)
                }
            })?)
        };
        let bias = bias.map(Buffer::widened).transpose()?;
        let (Elements::F32(buffer) | Elements::F16(buffer) | Elements::BF16(buffer)) = &elements;
        let bytes = buffer.bytes() + bias.as_ref().map_or(0, Buffer::bytes);
        Ok(Self { elements, bias, sizes, width, _counted: meter.count(bytes) })
    }

    /// Columns of a panel.
    pub(crate) fn panel_width(&self) -> usize {
        self.width
    }

    /// Whether panels can be used as they are.
    pub(crate) fn is_wide(&self) -> bool {
        matches!(self.elements, Elements::F32(_))
    }

    /// Number of panels.
    pub(crate) fn panels(&self) -> usize {
        self.layout().panels()
    }

    /// The bias of each column.
    pub(crate) fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// One panel for one block of products: `[block, taps, panel width]`.
    pub(crate) fn panel(&self, block: &Range<usize>, panel: usize) -> Panel<'_> {
        let place = self.layout().place(block, panel);
        match &self.elements {
            Elements::F32(buffer) => Panel::F32(&buffer[place]),
            Elements::F16(buffer) => Panel::F16(&buffer.halves()[place]),
            Elements::BF16(buffer) => Panel::BF16(&buffer.halves()[place]),
        }
    }

    fn layout(&self) -> Layout {
        Layout { sizes: self.sizes, width: self.width }
    }
}

/// Where things lie among the packed elements.
#[derive(Clone, Copy)]
struct Layout {
    sizes: MatrixSizes,
    width: usize,
}

impl Layout {
    fn panels(&self) -> usize {
        self.sizes.columns.div_ceil(self.width)
    }

    fn place(&self, block: &Range<usize>, panel: usize) -> Range<usize> {
        let row = self.width * self.sizes.taps;
        let start = if self.sizes.taps == 1 {
            block.start * self.panels() + panel * block.len()
        } else {
            panel * self.sizes.inner + block.start
        };
        start * row..(start + block.len()) * row
    }
}

/// Fills `packed` with the elements of `stored`, as `read` reads them.
fn pack<U: Copy + Sync, T: Send>(
    pool: &ThreadPool,
    layout: &Layout,
    order: Order,
    stored: &[U],
    read: impl Fn(U) -> T + Sync,
    packed: &mut [T],
) -> Result<(), TensorError> {
    /// Elements of a column that are taken in one go, so that what is read and what is written stays near.
    const RUN: usize = 32;
    let &Layout { sizes, width } = layout;
    let MatrixSizes { inner, taps, columns } = sizes;
    let length = inner * taps;
    let packed = Disjoint::new(packed);
    pool.run(layout.panels(), &|_, panel| {
        let columns = panel * width..columns.min((panel + 1) * width);
        for block in sizes.blocks() {
            // SAFETY: the panel is this task's.
            let packed = unsafe { packed.part(layout.place(&block, panel)) };
            for (run, packed) in packed.chunks_mut(RUN * width).enumerate() {
                let first = block.start * taps + run * RUN;
                for (column, stored) in
                    stored[columns.start * length..columns.end * length].chunks_exact(length).enumerate()
                {
                    let to = packed[column..].iter_mut().step_by(width);
                    match order {
                        Order::AsStored => {
                            to.zip(&stored[first..]).for_each(|(to, &element)| *to = read(element));
                        }
                        Order::TapsFirst(taps) => {
                            let inputs = length / taps;
                            let from = |i: usize| stored[i % inputs * taps + i / inputs];
                            to.zip(first..).for_each(|(to, i)| *to = read(from(i)));
                        }
                    }
                }
            }
        }
    })
}

/// The left side of a product: rows that can be packed piece by piece.
pub(crate) trait LeftRows: Sync {
    /// Packs elements `inner` of the rows `rows`, which belong to one tile: element `k` of row `r`, both counted from
    /// the range's start, goes to `k / L * rows * L + r * L + k % L` for vectors of `L` lanes. What pads the last group
    /// of `L` may have any value.
    fn pack(&self, isa: Isa, rows: Range<usize>, inner: Range<usize>, packed: &mut [f32]);
}

/// The rows of a matrix `[.., inner]`.
pub(crate) struct MatrixRows<'a> {
    pub(crate) elements: &'a [f32],
    pub(crate) inner: usize,
}

impl LeftRows for MatrixRows<'_> {
    fn pack(&self, isa: Isa, rows: Range<usize>, inner: Range<usize>, packed: &mut [f32]) {
        let count = rows.len();
        for (row, i) in rows.enumerate() {
            let elements = &self.elements[i * self.inner + inner.start..i * self.inner + inner.end];
            isa.run(Spread { elements, packed: &mut *packed, row, rows: count });
        }
    }
}

/// Copies a row's consecutive elements to its places in a packed tile.
pub(crate) struct Spread<'a> {
    pub(crate) elements: &'a [f32],
    pub(crate) packed: &'a mut [f32],
    pub(crate) row: usize,
    pub(crate) rows: usize,
}

impl Kernel for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let groups = self.packed.chunks_exact_mut(self.rows * S::LANES);
        for (from, group) in self.elements.chunks(S::LANES).zip(groups) {
            s.write(&mut group[self.row * S::LANES..(self.row + 1) * S::LANES], s.read(from));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_even_and_depend_on_the_length_alone() {
        for (inner, block) in [(1, 16), (320, 320), (384, 384), (385, 208), (2880, 368), (1280, 320)] {
            assert_eq!(even_block(inner, 384), block, "{inner}");
        }
    }
}
