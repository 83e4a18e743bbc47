//! A weight as a checkpoint has it, on its way to a backend.
//!
//! Its bytes may come when they are asked for, since a backend that kept what it made of a weight in an earlier run does not
//! need them.

use crate::{DType, TensorError};
use half::{bf16, f16};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Reads the bytes of a weight.
type Reader<'a> = Arc<dyn Fn() -> Result<Cow<'a, [u8]>, TensorError> + Send + Sync + 'a>;

/// Where the bytes of a weight are.
#[derive(Clone)]
enum Bytes<'a> {
    Here(Cow<'a, [u8]>),
    Later(Reader<'a>),
}

/// A tensor of a checkpoint.
#[derive(Clone)]
pub struct WeightView<'a> {
    dtype: DType,
    shape: Vec<usize>,
    elements: usize,
    bytes: Bytes<'a>,
    kept: Option<(Arc<dyn PreparedStore>, Arc<str>)>,
}

impl<'a> WeightView<'a> {
    /// A view of `bytes`, borrowed or just read, whose length must be that of `shape` elements of `dtype`.
    pub fn new(
        dtype: DType,
        shape: Vec<usize>,
        bytes: impl Into<Cow<'a, [u8]>>,
    ) -> Result<Self, TensorError> {
        let bytes = bytes.into();
        let view = Self::with(dtype, shape, Bytes::Here(Cow::Borrowed(&[])))?;
        view.check(&bytes)?;
        Ok(Self { bytes: Bytes::Here(bytes), ..view })
    }

    /// A view of what `read` gives, which is called each time that the elements are wanted.
    pub fn later(
        dtype: DType,
        shape: Vec<usize>,
        read: impl Fn() -> Result<Cow<'a, [u8]>, TensorError> + Send + Sync + 'a,
    ) -> Result<Self, TensorError> {
        Self::with(dtype, shape, Bytes::Later(Arc::new(read)))
    }

    fn with(dtype: DType, shape: Vec<usize>, bytes: Bytes<'a>) -> Result<Self, TensorError> {
        let count = shape.iter().try_fold(1, |product: usize, &n| product.checked_mul(n));
        let elements = count.filter(|count| count.checked_mul(dtype.size()).is_some());
        let too_large = || TensorError::shape("weight", format!("shape {shape:?} of {dtype:?} is too large"));
        Ok(Self { elements: elements.ok_or_else(too_large)?, dtype, shape, bytes, kept: None })
    }

    fn check(&self, bytes: &[u8]) -> Result<(), TensorError> {
        let Self { dtype, shape, elements, .. } = self;
        if bytes.len() == elements * dtype.size() {
            return Ok(());
        }
        Err(TensorError::shape("weight", format!("{} bytes for shape {shape:?} of {dtype:?}", bytes.len())))
    }

    /// The same, of which `store` keeps under `name` what a backend makes.
    #[must_use]
    pub fn kept_in(self, store: Arc<dyn PreparedStore>, name: &str) -> Self {
        Self { kept: Some((store, name.into())), ..self }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.elements
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.elements == 0
    }

    /// The same elements under another shape of equal size.
    pub fn reshape(self, shape: Vec<usize>) -> Result<Self, TensorError> {
        if shape.iter().try_fold(1, |product: usize, &n| product.checked_mul(n)) != Some(self.elements) {
            return Err(TensorError::shape("weight", format!("{:?} as {shape:?}", self.shape)));
        }
        Ok(Self { shape, ..self })
    }

    /// The elements.
    pub fn read(&self) -> Result<StoredElements<'_>, TensorError> {
        let bytes = match &self.bytes {
            Bytes::Here(bytes) => Cow::Borrowed(&**bytes),
            Bytes::Later(read) => read()?,
        };
        self.check(&bytes)?;
        Ok(StoredElements { dtype: self.dtype, bytes })
    }

    /// What was kept of this weight as `part`, `length` bytes.
    pub fn find_kept(&self, part: &str, length: usize) -> Option<SharedBytes> {
        let (store, name) = self.kept.as_ref()?;
        store.find(&format!("{name} {part}"), length)
    }

    /// Keeps what was made of this weight as `part`, if there is a place for it.
    pub fn keep(&self, part: &str, bytes: &[u8]) {
        if let Some((store, name)) = &self.kept {
            store.keep(&format!("{name} {part}"), bytes);
        }
    }
}

impl fmt::Debug for WeightView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dtype, shape, .. } = self;
        f.debug_struct("WeightView").field("dtype", dtype).field("shape", shape).finish_non_exhaustive()
    }
}

/// The elements of a weight as they are stored: row-major and little-endian, perhaps unaligned.
#[derive(Debug, Clone)]
pub struct StoredElements<'a> {
    dtype: DType,
    bytes: Cow<'a, [u8]>,
}

impl StoredElements<'_> {
    /// Their bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Every element widened (or, from `f64` and integers, rounded) to `f32`.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.len()];
        self.copy_to_f32(0, &mut out);
        out
    }

    /// Widens the elements from `start` on into `out`; the caller keeps within [`StoredElements::len`].
    pub fn copy_to_f32(&self, start: usize, out: &mut [f32]) {
        let size = self.dtype.size();
        let bytes = &self.bytes[start * size..(start + out.len()) * size];
        match self.dtype {
            DType::F64 => convert(bytes, out, |b| f64::from_le_bytes(b) as f32),
            DType::F32 => convert(bytes, out, f32::from_le_bytes),
            DType::F16 => convert(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
            DType::BF16 => convert(bytes, out, |b| bf16::from_le_bytes(b).to_f32()),
            DType::I64 => convert(bytes, out, |b| i64::from_le_bytes(b) as f32),
            DType::I32 => convert(bytes, out, |b| i32::from_le_bytes(b) as f32),
            DType::U8 => convert(bytes, out, |[b]: [u8; 1]| f32::from(b)),
        }
    }
}

fn convert<const SIZE: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; SIZE]) -> f32) {
    let (elements, _) = bytes.as_chunks::<SIZE>();
    for (target, element) in out.iter_mut().zip(elements) {
        *target = read(*element);
    }
}

/// Where a backend keeps what it made of weights, from one run of the program to the next.
pub trait PreparedStore: fmt::Debug + Send + Sync {
    /// What was kept under `name`, if it has `length` bytes.
    fn find(&self, name: &str, length: usize) -> Option<SharedBytes>;

    /// Keeps `bytes` under `name`. A store that cannot says so elsewhere: the weight is ready all the same.
    fn keep(&self, name: &str, bytes: &[u8]);
}

/// Bytes that belong to something larger, such as a mapped file.
#[derive(Clone)]
pub struct SharedBytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl SharedBytes {
    /// The bytes `range` of `owner`; nothing if it has fewer.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>, range: Range<usize>) -> Option<Self> {
        (*owner).as_ref().get(range.clone())?;
        Some(Self { owner, range })
    }
}

impl std::ops::Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // The range was there when this was made.
        (*self.owner).as_ref().get(self.range.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({:?})", self.range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widens_each_type() {
        for (dtype, bytes) in [
            (DType::F64, (-1.5f64).to_le_bytes().to_vec()),
            (DType::F32, (-1.5f32).to_le_bytes().to_vec()),
            (DType::F16, f16::from_f32(-1.5).to_le_bytes().to_vec()),
            (DType::BF16, bf16::from_f32(-1.5).to_le_bytes().to_vec()),
        ] {
            let view = WeightView::new(dtype, vec![1], &bytes).unwrap();
            assert_eq!(view.read().unwrap().to_f32(), [-1.5], "{dtype:?}");
        }
    }

    #[test]
    fn refuses_wrong_lengths() {
        assert!(WeightView::new(DType::F16, vec![2, 2], &[0; 7]).is_err());
        assert!(WeightView::new(DType::F32, vec![usize::MAX, 8], &[]).is_err());
        assert!(WeightView::later(DType::F32, vec![usize::MAX, 8], || Ok(Cow::Borrowed(&[]))).is_err());
        let short = WeightView::later(DType::F16, vec![2, 2], || Ok(Cow::Borrowed(&[0; 7]))).unwrap();
        assert_eq!(short.len(), 4);
        assert!(short.read().is_err());
        assert!(short.reshape(vec![5]).is_err());
    }

    #[test]
    fn shared_bytes_lie_within_their_owner() {
        let owner: Arc<Vec<u8>> = Arc::new(vec![1, 2, 3]);
        assert_eq!(*SharedBytes::new(owner.clone(), 1..3).unwrap(), [2, 3]);
        assert!(SharedBytes::new(owner.clone(), 1..4).is_none());
        assert!(SharedBytes::new(owner, 4..4).is_none());
    }
}
