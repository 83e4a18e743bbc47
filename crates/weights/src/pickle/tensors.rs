//! From a pickle's values to tensors in a file: which dictionary is the state dict, which names it gives, and where each
//! view's elements lie.

use super::globals::StorageType;
use super::value::{Heap, Tensor, Value};
use crate::entry::{Data, Entries, Entry, MAX_DIMENSIONS};
use crate::error::Fault;
use crate::facts::Metadata;
use crate::names;
use std::collections::HashMap;
use std::ops::Range;

/// Where each storage lies in the file, by key.
pub(crate) type StorageRanges<'a> = HashMap<&'a str, Range<usize>>;

/// How deep dictionaries inside a state dict are searched for tensors: embeddings and hypernetworks have two levels.
const MAX_DEPTH: usize = 3;

/// The view that `torch._utils._rebuild_tensor_v2(storage, offset, sizes, strides, ...)` makes.
pub(crate) fn rebuild<'a>(heap: &Heap<'a>, arguments: &[Value<'a>]) -> Result<Tensor, Fault> {
    let damaged = || Fault::damaged("its pickle describes an impossible tensor");
    let &[Value::Storage(storage), Value::Int(offset), sizes, strides, ..] = arguments else {
        return Err(damaged());
    };
    let list = |value| -> Result<Vec<usize>, Fault> {
        let items = heap.items(value).filter(|items| items.len() <= MAX_DIMENSIONS).ok_or_else(damaged)?;
        let number = |item: &Value<'_>| match item {
            Value::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        items.iter().map(number).collect::<Option<_>>().ok_or_else(damaged)
    };
    let offset = usize::try_from(offset).map_err(|_| damaged())?;
    let tensor = Tensor { storage, offset, shape: list(sizes)?, strides: list(strides)? };
    if tensor.shape.len() != tensor.strides.len() {
        return Err(damaged());
    }
    let elements = heap.storages.get(storage).ok_or_else(damaged)?.elements;
    if tensor.end().is_none_or(|end| end > elements) {
        return Err(Fault::damaged(format!(
            "its pickle describes a tensor {:?} outside its storage of {elements} elements",
            tensor.shape
        )));
    }
    Ok(tensor)
}

impl Tensor {
    /// One past the last element touched, unless that is beyond counting.
    fn end(&self) -> Option<usize> {
        self.count()?;
        let mut last = self.offset;
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            let Some(steps) = size.checked_sub(1) else { return Some(self.offset) };
            last = last.checked_add(steps.checked_mul(stride)?)?;
        }
        last.checked_add(1)
    }

    /// Number of elements. Sizes are multiplied before an empty dimension can hide what they are.
    fn count(&self) -> Option<usize> {
        let product =
            self.shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size.max(1)))?;
        Some(if self.shape.contains(&0) { 0 } else { product })
    }

    /// Whether the elements lie in row-major order without gaps.
    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != expected {
                return false;
            }
            expected *= size.max(1);
        }
        true
    }
}

/// The tensors of the state dict that `root` is or has.
pub(crate) fn entries<'a>(
    heap: &mut Heap<'a>,
    root: Value<'a>,
    storages: &StorageRanges<'a>,
) -> Result<Entries, Fault> {
    let pairs = heap.pairs(root).ok_or_else(|| Fault::Unsupported("no dictionary of tensors".to_owned()))?;
    let inner = pairs.iter().find_map(|&(key, value)| match (key, value) {
        (Value::Text("state_dict"), Value::Dict(_)) => Some(value),
        _ => None,
    });
    let mut found = vec![];
    collect(heap, inner.unwrap_or(root), "", MAX_DEPTH, &mut found)?;
    let placing = Placing { heap, storages };
    let mut entries = Entries::new();
    for (name, tensor) in found {
        let entry = placing.place(&name, tensor)?;
        entries.insert(name, entry);
    }
    Ok(entries)
}

/// Longest text that is kept of what a file says beside its tensors.
const MAX_NOTE: usize = 4096;

/// What the dictionary `root` says beside its tensors: texts, whole numbers and flags. Flags are `True` and `False`.
pub(crate) fn notes<'a>(heap: &Heap<'a>, root: Value<'a>) -> Metadata {
    let note = |&(key, value): &(Value<'a>, Value<'a>)| {
        let Value::Text(key) = key else { return None };
        let value = match value {
            Value::Text(text) if text.len() <= MAX_NOTE => text.to_owned(),
            Value::Int(number) => number.to_string(),
            Value::Bool(flag) => if flag { "True" } else { "False" }.to_owned(),
            _ => return None,
        };
        (key.len() <= MAX_NOTE).then(|| (key.to_owned(), value))
    };
    heap.pairs(root).into_iter().flatten().filter_map(note).collect()
}

/// Names and tensors of a dictionary and of the collections in it, names joined by dots.
fn collect<'a>(
    heap: &mut Heap<'a>,
    value: Value<'a>,
    name: &str,
    depth: usize,
    found: &mut Vec<(String, usize)>,
) -> Result<(), Fault> {
    if let Value::Tensor(tensor) = value {
        if !names::ignored(name) {
            found.push((name.to_owned(), tensor));
        }
        return Ok(());
    }
    let count = heap.pairs(value).map(<[_]>::len).or(heap.items(value).map(<[_]>::len));
    let Some(count) = count.filter(|_| depth > 0) else { return Ok(()) };
    heap.charge(count)?;
    for place in 0..count {
        let pair = heap.pairs(value).and_then(|pairs| pairs.get(place)).copied();
        let item = heap.items(value).and_then(|items| items.get(place)).copied();
        let (key, part) = match (pair, item) {
            (Some((Value::Text(key), part)), _) => (key.to_owned(), part),
            (Some((Value::Int(key), part)), _) => (key.to_string(), part),
            (None, Some(part)) => (place.to_string(), part),
            _ => continue,
        };
        heap.charge(key.len() / 32 + name.len() / 32)?;
        let name = if name.is_empty() { key } else { format!("{name}.{key}") };
        collect(heap, part, &name, depth - 1, found)?;
    }
    Ok(())
}

struct Placing<'a, 'b> {
    heap: &'b Heap<'a>,
    storages: &'b StorageRanges<'a>,
}

impl Placing<'_, '_> {
    fn place(&self, name: &str, tensor: usize) -> Result<Entry, Fault> {
        let damaged = || Fault::damaged(format!("`{name}` lies outside the file"));
        let tensor = self.heap.tensors.get(tensor).ok_or_else(damaged)?;
        let storage = self.heap.storages.get(tensor.storage).ok_or_else(damaged)?;
        let size = StorageType::size(storage.kind);
        let Some(range) = self.storages.get(storage.key) else {
            return Err(Fault::damaged(format!("storage `{}` of `{name}` is missing", storage.key)));
        };
        if storage.elements.checked_mul(size) != Some(range.len()) {
            return Err(Fault::damaged(format!(
                "storage `{}` of `{name}` has {} bytes instead of {} elements of {size}",
                storage.key,
                range.len(),
                storage.elements
            )));
        }
        let count = tensor.count().ok_or_else(damaged)?;
        let start = range.start + tensor.offset * size;
        let data = if count == 0 {
            Data::InFile(range.start..range.start)
        } else if tensor.is_contiguous() {
            Data::InFile(start..start + count * size)
        } else if count > storage.elements {
            // Elements that are used many times could make much of little.
            return Err(Fault::Unsupported(format!("`{name}` stored as an overlapping view")));
        } else {
            let end = range.start + tensor.end().ok_or_else(damaged)? * size;
            Data::Strided(start..end, tensor.strides.iter().map(|stride| stride * size).collect())
        };
        Ok(Entry { element: storage.kind.element(), shape: tensor.shape.clone(), data })
    }
}
