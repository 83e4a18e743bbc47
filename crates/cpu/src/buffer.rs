//! Memory for tensors and packed weights: blocks of `f32` that are recycled instead of freed.
//!
//! Fresh memory is slow: the kernel clears each page at its first touch, which can cost more than the operation that
//! fills it. Large blocks are mapped with huge pages, come in a few sizes for each power of two, and go back to a list
//! for the next tensor of the size. What lies idle never exceeds the most that has been in use at once.

use crate::bytes;
use impasto_tensor::{SharedBytes, TensorError, WeightView};
use memmap2::MmapMut;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Elements of a cache line.
const LINE: usize = 16;
const HUGE_PAGE: usize = 2 << 20;

/// A cache line, to have the allocator align blocks.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

enum Storage {
    Heap(Vec<Line>),
    /// A mapping, and how many bytes into it the first huge page starts.
    Map(MmapMut, usize),
    /// What was kept in an earlier run: whole lines, at the start of one. Never written to.
    Kept(SharedBytes),
}

impl Storage {
    /// Zeros.
    fn allocate(lines: usize) -> Result<Self, TensorError> {
        let bytes = lines.saturating_mul(size_of::<Line>());
        let out_of_memory = || TensorError::OutOfMemory { bytes };
        if bytes < HUGE_PAGE {
            let mut heap = Vec::new();
            heap.try_reserve_exact(lines).map_err(|_| out_of_memory())?;
            heap.resize(lines, Line([0.0; LINE]));
            return Ok(Self::Heap(heap));
        }
        let mapped = bytes.checked_add(HUGE_PAGE).filter(|&bytes| isize::try_from(bytes).is_ok());
        let map = MmapMut::map_anon(mapped.ok_or_else(out_of_memory)?).map_err(|_| out_of_memory())?;
        // Advice only: where it is refused, small pages do.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let skip = map.as_ptr().align_offset(HUGE_PAGE).min(HUGE_PAGE);
        Ok(Self::Map(map, skip))
    }

    fn pointer(&self) -> *const f32 {
        match self {
            Self::Heap(lines) => lines.as_ptr().cast(),
            Self::Map(map, skip) => map[*skip..].as_ptr().cast(),
            Self::Kept(bytes) => bytes.as_ptr().cast(),
        }
    }

    /// Where to write; nowhere in what was kept.
    fn pointer_mut(&mut self) -> Option<*mut f32> {
        match self {
            Self::Heap(lines) => Some(lines.as_mut_ptr().cast()),
            Self::Map(map, skip) => Some(map[*skip..].as_mut_ptr().cast()),
            Self::Kept(_) => None,
        }
    }
}

/// A block of elements, aligned to a cache line. Recycled when dropped.
pub(crate) struct Buffer {
    storage: Option<Storage>,
    /// Elements asked for.
    length: usize,
    /// Lines there are.
    lines: usize,
    /// Where the block goes when it is dropped; nowhere if it is freed.
    home: Option<BufferPool>,
}

impl Buffer {
    /// Zeros that are freed, not recycled: for weights.
    pub(crate) fn zeros(length: usize) -> Result<Self, TensorError> {
        let lines = length.div_ceil(LINE);
        Ok(Self { storage: Some(Storage::allocate(lines)?), length, lines, home: None })
    }

    /// A weight as it is, in single precision.
    pub(crate) fn widened(weight: &WeightView<'_>) -> Result<Self, TensorError> {
        let mut elements = Self::zeros(weight.len())?;
        weight.read()?.copy_to_f32(0, &mut elements);
        Ok(elements)
    }

    /// What is to be made of `weight` as `part`: as an earlier run kept it, or else zeros that `fill` makes it of.
    pub(crate) fn prepared(
        weight: &WeightView<'_>,
        part: &str,
        length: usize,
        fill: impl FnOnce(&mut Self) -> Result<(), TensorError>,
    ) -> Result<Self, TensorError> {
        if let Some(kept) = Self::kept(weight, part, length) {
            return Ok(kept);
        }
        let mut made = Self::zeros(length)?;
        fill(&mut made)?;
        made.keep(weight, part);
        Ok(made)
    }

    /// What an earlier run made of `weight` as `part`, if it was kept.
    pub(crate) fn kept(weight: &WeightView<'_>, part: &str, length: usize) -> Option<Self> {
        let lines = length.div_ceil(LINE);
        let bytes = weight.find_kept(part, lines.checked_mul(size_of::<Line>())?)?;
        if bytes.as_ptr().align_offset(align_of::<Line>()) != 0 {
            return None;
        }
        Some(Self { storage: Some(Storage::Kept(bytes)), length, lines, home: None })
    }

    /// Keeps this for later runs, as `part` of what is made of `weight`.
    pub(crate) fn keep(&self, weight: &WeightView<'_>, part: &str) {
        let whole = self.storage.as_ref().map_or(&[][..], |storage| {
            // SAFETY: the storage has all its lines, initialised, and lives as long as `self`.
            unsafe { std::slice::from_raw_parts(storage.pointer(), self.lines * LINE) }
        });
        weight.keep(part, bytes::of(whole));
    }

    /// The same memory as twice as many elements of half the width.
    pub(crate) fn halves(&self) -> &[u16] {
        // SAFETY: every bit pattern is a `u16`, whose alignment is less, and twice as many take the same memory.
        unsafe { std::slice::from_raw_parts(self.as_ptr().cast(), 2 * self.length) }
    }

    /// As [`halves`](Self::halves).
    pub(crate) fn halves_mut(&mut self) -> &mut [u16] {
        let wide: &mut [f32] = self;
        // SAFETY: as in `halves`; every bit pattern is an `f32`, too, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(wide.as_mut_ptr().cast(), 2 * wide.len()) }
    }

    /// Bytes occupied.
    pub(crate) fn bytes(&self) -> usize {
        self.lines * size_of::<Line>()
    }
}

impl std::ops::Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.storage.as_ref().map_or(&[], |storage| {
            // SAFETY: the storage has at least `length` initialised elements, and lives as long as `self`.
            unsafe { std::slice::from_raw_parts(storage.pointer(), self.length) }
        })
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        let length = self.length;
        self.storage.as_mut().and_then(Storage::pointer_mut).map_or(&mut [], |pointer| {
            // SAFETY: as in `deref`, and `self` is borrowed mutably.
            unsafe { std::slice::from_raw_parts_mut(pointer, length) }
        })
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({})", self.length)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let (Some(home), Some(storage)) = (self.home.take(), self.storage.take()) {
            home.recycle(storage, self.lines);
        }
    }
}

/// Blocks waiting to be used again. Clones share them.
#[derive(Clone)]
pub(crate) struct BufferPool {
    shelves: Arc<Mutex<Shelves>>,
}

#[derive(Default)]
struct Shelves {
    idle: BTreeMap<usize, Vec<Storage>>,
    idle_lines: usize,
    used_lines: usize,
    most_used_lines: usize,
    /// The most lines that may be in use.
    limit: usize,
}

impl BufferPool {
    /// A pool that hands out at most `limit` bytes at once.
    pub(crate) fn new(limit: usize) -> Self {
        let shelves = Shelves { limit: limit / size_of::<Line>(), ..Shelves::default() };
        Self { shelves: Arc::new(Mutex::new(shelves)) }
    }

    /// A block of `length` elements of any value.
    pub(crate) fn take(&self, length: usize) -> Result<Buffer, TensorError> {
        let lines = size_class(length.div_ceil(LINE));
        let out_of_memory = || TensorError::OutOfMemory { bytes: length.saturating_mul(size_of::<f32>()) };
        let lines = lines.ok_or_else(out_of_memory)?;
        let recycled = {
            let mut shelves = self.lock();
            if shelves.used_lines.checked_add(lines).is_none_or(|used| used > shelves.limit) {
                return Err(out_of_memory());
            }
            shelves.used_lines += lines;
            shelves.most_used_lines = shelves.most_used_lines.max(shelves.used_lines);
            let recycled = shelves.idle.get_mut(&lines).and_then(Vec::pop);
            if recycled.is_some() {
                shelves.idle_lines -= lines;
            }
            recycled
        };
        let storage = match recycled {
            Some(storage) => storage,
            None => Storage::allocate(lines).inspect_err(|_| self.lock().used_lines -= lines)?,
        };
        Ok(Buffer { storage: Some(storage), length, lines, home: Some(self.clone()) })
    }

    fn recycle(&self, storage: Storage, lines: usize) {
        let mut shelves = self.lock();
        shelves.used_lines -= lines;
        if shelves.idle_lines + lines <= shelves.most_used_lines {
            shelves.idle_lines += lines;
            shelves.idle.entry(lines).or_default().push(storage);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shelves = self.lock();
        write!(f, "BufferPool({} lines used, {} idle)", shelves.used_lines, shelves.idle_lines)
    }
}

/// The smallest of 4, 5, 6, 7, 8, 10, 12, 14, 16, 20 ... that is not below `lines`: at most a quarter is wasted.
fn size_class(lines: usize) -> Option<usize> {
    let power = lines.max(4).ilog2() - 2;
    lines.max(4).checked_next_multiple_of(1 << power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_waste_little() {
        for lines in [0, 1, 4, 5, 9, 17, 1000, 123_457] {
            let class = size_class(lines).unwrap();
            assert!(class >= lines && class <= (lines + lines / 4).max(4), "{lines}: {class}");
        }
        assert_eq!(size_class(usize::MAX), None);
    }

    #[test]
    fn blocks_are_recycled() {
        for length in [1000, 3 << 20] {
            let pool = BufferPool::new(usize::MAX);
            let mut first = pool.take(length).unwrap();
            first.fill(1.0);
            let address = first.as_ptr();
            assert_eq!(address.addr() % align_of::<Line>(), 0);
            drop(first);
            assert_eq!(pool.take(length - 1).unwrap().as_ptr(), address);
        }
    }

    #[test]
    fn idle_blocks_never_exceed_the_most_used() {
        let pool = BufferPool::new(usize::MAX);
        for length in (1..200).map(|i| i * 100) {
            drop(pool.take(length).unwrap());
        }
        let shelves = pool.lock();
        assert_eq!(shelves.used_lines, 0);
        assert!(shelves.idle_lines <= shelves.most_used_lines);
    }

    #[test]
    fn too_much_is_an_error() {
        let limited = BufferPool::new(1 << 20);
        let kept = limited.take(200_000).unwrap();
        assert!(matches!(limited.take(100_000), Err(TensorError::OutOfMemory { bytes: 400_000 })));
        drop(kept);
        assert!(limited.take(100_000).is_ok());
        for length in [usize::MAX, usize::MAX / 4, usize::MAX / 64, 1 << 50] {
            assert!(matches!(BufferPool::new(usize::MAX).take(length), Err(TensorError::OutOfMemory { .. })));
            assert!(matches!(Buffer::zeros(length), Err(TensorError::OutOfMemory { .. })));
        }
    }
}
