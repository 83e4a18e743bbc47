//! The stack machine. It runs in time and memory bounded by the heap's budget, and its only effects are values.

use super::globals::{self, Global};
use super::opcode as op;
use super::tensors;
use super::value::{Heap, Storage, Value};
use crate::error::Fault;
use std::collections::HashMap;

/// Runs the pickle at the start of `bytes`; answers its value and its length.
pub(crate) fn run<'a>(bytes: &'a [u8], heap: &mut Heap<'a>) -> Result<(Value<'a>, usize), Fault> {
    let mut machine = Machine { rest: bytes, heap, stack: vec![], marks: vec![], memo: HashMap::new() };
    loop {
        machine.heap.charge(1)?;
        let [code] = machine.take()?;
        if code == op::STOP {
            let value = machine.pop()?;
            return Ok((value, bytes.len() - machine.rest.len()));
        }
        machine.step(code)?;
    }
}

struct Machine<'a, 'h> {
    rest: &'a [u8],
    heap: &'h mut Heap<'a>,
    stack: Vec<Value<'a>>,
    /// Heights of the stack at which marks were set.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
}

impl<'a> Machine<'a, '_> {
    /// Instructions that push one value; the others are left to `effect`.
    #[expect(clippy::match_same_arms, reason = "a line a group of instructions")]
    fn step(&mut self, code: u8) -> Result<(), Fault> {
        let value = match code {
            op::NONE | op::NEWTRUE | op::NEWFALSE | op::BININT | op::BININT1 | op::BININT2 => {
                self.scalar(code)?
            }
            op::LONG1 | op::LONG4 | op::BINFLOAT => self.scalar(code)?,
            op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => self.string(code)?,
            op::BINSTRING | op::SHORT_BINSTRING => self.string(code)?,
            op::BINBYTES | op::SHORT_BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => self.string(code)?,
            op::EMPTY_TUPLE | op::TUPLE1 | op::TUPLE2 | op::TUPLE3 | op::TUPLE => self.collection(code)?,
            op::EMPTY_LIST | op::LIST | op::EMPTY_DICT | op::DICT => self.collection(code)?,
            op::EMPTY_SET | op::FROZENSET => self.collection(code)?,
            op::DUP => self.top()?,
            op::BINGET | op::LONG_BINGET => self.recall(code)?,
            op::GLOBAL | op::STACK_GLOBAL => self.global(code)?,
            op::BINPERSID => self.storage()?,
            op::REDUCE | op::NEWOBJ => self.construct()?,
            _ => return self.effect(code),
        };
        self.stack.push(value);
        Ok(())
    }

    fn effect(&mut self, code: u8) -> Result<(), Fault> {
        match code {
            op::PROTO => _ = self.take::<1>()?,
            op::FRAME => _ = self.take::<8>()?,
            op::MARK => self.marks.push(self.stack.len()),
            op::POP => _ = self.pop()?,
            op::BUILD => self.build()?,
            op::POP_MARK => _ = self.pop_to_mark()?,
            op::APPEND | op::APPENDS | op::ADDITEMS | op::SETITEM | op::SETITEMS => self.extend(code)?,
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.remember(code)?,
            other => return Err(Fault::Unsupported(format!("pickle instruction 0x{other:02x}"))),
        }
        Ok(())
    }

    fn scalar(&mut self, code: u8) -> Result<Value<'a>, Fault> {
        Ok(match code {
            op::NONE => Value::None,
            op::NEWTRUE => Value::Bool(true),
            op::NEWFALSE => Value::Bool(false),
            op::BININT => Value::Int(i32::from_le_bytes(self.take()?).into()),
            op::BININT1 => Value::Int(u8::from_le_bytes(self.take()?).into()),
            op::BININT2 => Value::Int(u16::from_le_bytes(self.take()?).into()),
            op::LONG1 | op::LONG4 => {
                let length = if code == op::LONG1 { self.length::<1>()? } else { self.length::<4>()? };
                integer(self.slice(length)?)
            }
            _ => {
                self.take::<8>()?;
                Value::Opaque
            }
        })
    }

    fn string(&mut self, code: u8) -> Result<Value<'a>, Fault> {
        let length = match code {
            op::SHORT_BINUNICODE | op::SHORT_BINSTRING | op::SHORT_BINBYTES => self.length::<1>()?,
            op::BINUNICODE | op::BINSTRING | op::BINBYTES => self.length::<4>()?,
            _ => self.length::<8>()?,
        };
        let bytes = self.slice(length)?;
        match code {
            op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => text(bytes).map(Value::Text),
            // Python 2 wrote text and bytes alike.
            op::BINSTRING | op::SHORT_BINSTRING => Ok(text(bytes).map_or(Value::Opaque, Value::Text)),
            _ => Ok(Value::Opaque),
        }
    }

    fn collection(&mut self, code: u8) -> Result<Value<'a>, Fault> {
        let popped = match code {
            op::EMPTY_TUPLE | op::EMPTY_LIST | op::EMPTY_DICT | op::EMPTY_SET => vec![],
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let mut items = (op::TUPLE1..=code).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                items
            }
            _ => self.pop_to_mark()?,
        };
        Ok(match code {
            op::EMPTY_LIST | op::LIST => self.heap.list(popped),
            op::EMPTY_DICT | op::DICT => {
                let pairs = pairs(&popped)?;
                self.heap.dict(pairs)
            }
            op::EMPTY_SET | op::FROZENSET => Value::Opaque,
            _ => self.heap.tuple(popped),
        })
    }

    /// Adds items to the collection below them.
    fn extend(&mut self, code: u8) -> Result<(), Fault> {
        let items = match code {
            op::APPEND => vec![self.pop()?],
            op::SETITEM => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_to_mark()?,
        };
        let sets = matches!(code, op::SETITEM | op::SETITEMS);
        match (self.top()?, sets) {
            (Value::List(index), false) => {
                self.heap.sequences.get_mut(index).ok_or_else(confused)?.extend(items);
            }
            (Value::Dict(index), true) => {
                self.heap.dicts.get_mut(index).ok_or_else(confused)?.extend(pairs(&items)?);
            }
            (Value::Opaque, _) => {}
            _ => return Err(confused()),
        }
        Ok(())
    }

    fn remember(&mut self, code: u8) -> Result<(), Fault> {
        let place = match code {
            op::BINPUT => u32::from(u8::from_le_bytes(self.take()?)),
            op::LONG_BINPUT => u32::from_le_bytes(self.take()?),
            _ => self.memo.len() as u32,
        };
        let value = self.top()?;
        self.memo.insert(place, value);
        Ok(())
    }

    fn recall(&mut self, code: u8) -> Result<Value<'a>, Fault> {
        let place = match code {
            op::BINGET => u32::from(u8::from_le_bytes(self.take()?)),
            _ => u32::from_le_bytes(self.take()?),
        };
        let value = self.memo.get(&place).copied();
        value.ok_or_else(|| Fault::damaged(format!("its pickle recalls nothing at {place}")))
    }

    fn global(&mut self, code: u8) -> Result<Value<'a>, Fault> {
        let (module, name) = match code {
            op::GLOBAL => (self.line()?, self.line()?),
            _ => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => (module, name),
                _ => return Err(confused()),
            },
        };
        globals::find(module, name).map(Value::Global)
    }

    fn storage(&mut self) -> Result<Value<'a>, Fault> {
        let reference = self.pop()?;
        let storage = storage(self.heap, reference)?;
        self.heap.storages.push(storage);
        Ok(Value::Storage(self.heap.storages.len() - 1))
    }

    /// What a permitted function would return.
    fn construct(&mut self) -> Result<Value<'a>, Fault> {
        let (arguments @ Value::Tuple(_), Value::Global(global)) = (self.pop()?, self.pop()?) else {
            return Err(confused());
        };
        let arguments = self.heap.items(arguments).ok_or_else(confused)?;
        match (global, arguments) {
            (Global::Inert, _) => Ok(Value::Opaque),
            (Global::OrderedDict, []) | (Global::ParameterDict, _) => Ok(self.heap.dict(vec![])),
            (Global::OrderedDict, &[list]) => self.ordered_dict(list),
            (Global::RebuildParameter, &[tensor @ Value::Tensor(_), ..]) => Ok(tensor),
            (Global::RebuildTensor, _) => {
                let tensor = tensors::rebuild(self.heap, arguments)?;
                self.heap.tensors.push(tensor);
                Ok(Value::Tensor(self.heap.tensors.len() - 1))
            }
            _ => Err(confused()),
        }
    }

    /// Sets attributes of an object. Of what is kept only modules that are dictionaries have any: what they hold.
    fn build(&mut self) -> Result<(), Fault> {
        let (attributes, object) = (self.pop()?, self.stack.last().copied());
        let is_held = |(key, _): &&(Value<'_>, Value<'_>)| matches!(key, Value::Text("_parameters"));
        let held = self.heap.pairs(attributes).and_then(|pairs| pairs.iter().find(is_held));
        let held = held.and_then(|&(_, held)| self.heap.pairs(held)).map(<[_]>::to_vec).unwrap_or_default();
        self.heap.charge(held.len())?;
        if let Some(Value::Dict(object)) = object
            && let Some(pairs) = self.heap.dicts.get_mut(object)
        {
            pairs.extend(held);
        }
        Ok(())
    }

    /// A dictionary from a list of pairs, as Python 2 wrote it.
    fn ordered_dict(&mut self, list: Value<'a>) -> Result<Value<'a>, Fault> {
        let count = self.heap.items(list).ok_or_else(confused)?.len();
        self.heap.charge(count)?;
        let mut pairs = Vec::with_capacity(count);
        for &pair in self.heap.items(list).ok_or_else(confused)? {
            let Some(&[key, value]) = self.heap.items(pair) else { return Err(confused()) };
            pairs.push((key, value));
        }
        Ok(self.heap.dict(pairs))
    }

    fn top(&self) -> Result<Value<'a>, Fault> {
        self.stack.last().copied().ok_or_else(confused)
    }

    fn pop(&mut self) -> Result<Value<'a>, Fault> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return Err(confused());
        }
        self.stack.pop().ok_or_else(confused)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, Fault> {
        let height = self.marks.pop().ok_or_else(confused)?;
        if height > self.stack.len() {
            return Err(confused());
        }
        Ok(self.stack.split_off(height))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(ended)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// A length of N bytes, least significant first.
    fn length<const N: usize>(&mut self) -> Result<usize, Fault> {
        let bytes: [u8; N] = self.take()?;
        let length = bytes.iter().rev().fold(0, |sum: u64, &byte| sum << 8 | u64::from(byte));
        usize::try_from(length).map_err(|_| ended())
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(ended)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Text up to the end of the line.
    fn line(&mut self) -> Result<&'a str, Fault> {
        let end = self.rest.iter().take(MAX_LINE).position(|&byte| byte == b'\n').ok_or_else(ended)?;
        let line = self.slice(end)?;
        self.take::<1>()?;
        text(line)
    }
}

/// Longest line looked for; lines hold names of modules.
const MAX_LINE: usize = 1024;

fn confused() -> Fault {
    Fault::damaged("its pickle makes no sense")
}

fn ended() -> Fault {
    Fault::damaged("its pickle is truncated")
}

fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::damaged("its pickle has text that is not UTF-8"))
}

/// A little-endian two's complement integer; what does not fit in 64 bits is nothing that is needed.
fn integer(bytes: &[u8]) -> Value<'_> {
    let negative = bytes.last().is_some_and(|&byte| byte & 0x80 != 0);
    if bytes.len() > 8 {
        return Value::Opaque;
    }
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(wide))
}

fn pairs<'a>(items: &[Value<'a>]) -> Result<Vec<(Value<'a>, Value<'a>)>, Fault> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(confused());
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

/// A reference to a storage: `("storage", type, key, device, elements)`, in legacy files with a view as a sixth.
fn storage<'a>(heap: &Heap<'a>, reference: Value<'a>) -> Result<Storage<'a>, Fault> {
    let items = heap.items(reference).ok_or_else(confused)?;
    let (&[
        Value::Text("storage"),
        Value::Global(Global::Storage(kind)),
        Value::Text(key),
        _,
        Value::Int(elements),
    ]
    | &[
        Value::Text("storage"),
        Value::Global(Global::Storage(kind)),
        Value::Text(key),
        _,
        Value::Int(elements),
        Value::None,
    ]) = items
    else {
        return Err(Fault::damaged("its pickle refers to something that is no storage"));
    };
    let elements =
        usize::try_from(elements).ok().filter(|elements| elements.checked_mul(kind.size()).is_some());
    let elements = elements.ok_or_else(|| Fault::damaged(format!("storage `{key}` has an absurd length")))?;
    Ok(Storage { key, kind, elements })
}
