//! What a pickle makes: values, and the heap that holds those with parts. Values are small and copied; parts are
//! referred to by number, so that no nesting, however deep, and no cycle costs anything to drop.

use super::globals::{Global, StorageType};
use crate::error::Fault;

/// Most steps and copied values a file's pickles may take; a full checkpoint with optimiser state needs 200,000.
/// Memory is bounded with it: no step makes more than about 200 bytes.
const BUDGET: usize = 1_000_000;

/// A value on the stack.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    Global(Global),
    /// Index into [`Heap::sequences`]: a tuple.
    Tuple(usize),
    /// Index into [`Heap::sequences`]: a list.
    List(usize),
    /// Index into [`Heap::dicts`].
    Dict(usize),
    /// Index into [`Heap::storages`].
    Storage(usize),
    /// Index into [`Heap::tensors`].
    Tensor(usize),
    /// Anything nobody needs.
    Opaque,
}

/// The raw elements that tensors are views of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Storage<'a> {
    /// Its name in the file.
    pub(crate) key: &'a str,
    pub(crate) kind: StorageType,
    /// Number of elements.
    pub(crate) elements: usize,
}

/// A view of a storage. Sizes and strides have been checked to stay inside it.
#[derive(Debug)]
pub(crate) struct Tensor {
    /// Index into [`Heap::storages`].
    pub(crate) storage: usize,
    /// First element.
    pub(crate) offset: usize,
    /// Sizes, outermost first.
    pub(crate) shape: Vec<usize>,
    /// Elements from one index to the next, outermost first.
    pub(crate) strides: Vec<usize>,
}

/// Everything with parts that the pickles of one file made.
#[derive(Debug)]
pub(crate) struct Heap<'a> {
    pub(crate) sequences: Vec<Vec<Value<'a>>>,
    pub(crate) dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub(crate) storages: Vec<Storage<'a>>,
    pub(crate) tensors: Vec<Tensor>,
    budget: usize,
}

impl<'a> Heap<'a> {
    pub(crate) fn new() -> Self {
        Self { sequences: vec![], dicts: vec![], storages: vec![], tensors: vec![], budget: BUDGET }
    }

    /// Pays for so many steps or copies.
    pub(crate) fn charge(&mut self, cost: usize) -> Result<(), Fault> {
        self.budget = self
            .budget
            .checked_sub(cost)
            .ok_or_else(|| Fault::Unsupported(format!("a pickle of more than {BUDGET} steps")))?;
        Ok(())
    }

    pub(crate) fn tuple(&mut self, items: Vec<Value<'a>>) -> Value<'a> {
        self.sequences.push(items);
        Value::Tuple(self.sequences.len() - 1)
    }

    pub(crate) fn list(&mut self, items: Vec<Value<'a>>) -> Value<'a> {
        self.sequences.push(items);
        Value::List(self.sequences.len() - 1)
    }

    pub(crate) fn dict(&mut self, pairs: Vec<(Value<'a>, Value<'a>)>) -> Value<'a> {
        self.dicts.push(pairs);
        Value::Dict(self.dicts.len() - 1)
    }

    /// The items of a tuple or list.
    pub(crate) fn items(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match value {
            Value::Tuple(index) | Value::List(index) => self.sequences.get(index).map(Vec::as_slice),
            _ => None,
        }
    }

    /// The pairs of a dictionary.
    pub(crate) fn pairs(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match value {
            Value::Dict(index) => self.dicts.get(index).map(Vec::as_slice),
            _ => None,
        }
    }
}
