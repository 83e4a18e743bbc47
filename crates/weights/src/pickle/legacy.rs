//! The layout of `torch.save` before version 1.6: pickles of a magic number, a version, facts about the machine, the
//! object and the keys of its storages; then each storage, its number of elements in front.

use super::MAX_PICKLE;
use super::machine;
use super::tensors::{self, StorageRanges};
use super::value::{Heap, Value};
use crate::entry::Entries;
use crate::error::Fault;
use crate::facts::Metadata;
use crate::source::Source;
use std::collections::HashMap;

/// The only version there has been.
const VERSION: i64 = 1001;

/// The tensors of a file, and what it says beside them.
pub(crate) fn read(file: &Source) -> Result<(Entries, Metadata), Fault> {
    let pickles = &*file.read(0..file.len().min(MAX_PICKLE))?;
    let mut heap = Heap::new();
    let mut at = 0;
    let mut next = |heap: &mut _| {
        let (value, length) = machine::run(&pickles[at..], heap)?;
        at += length;
        Ok::<_, Fault>(value)
    };
    next(&mut heap)?;
    let Value::Int(VERSION) = next(&mut heap)? else {
        return Err(Fault::Unsupported("an unknown version number".to_owned()));
    };
    let machine = next(&mut heap)?;
    let big = |&(key, value): &(Value<'_>, Value<'_>)| {
        matches!((key, value), (Value::Text("little_endian"), Value::Bool(false)))
    };
    if heap.pairs(machine).is_some_and(|pairs| pairs.iter().any(big)) {
        return Err(Fault::Unsupported("big-endian numbers".to_owned()));
    }
    let object = next(&mut heap)?;
    let keys = next(&mut heap)?;
    let storages = ranges(&heap, keys, file, at)?;
    let notes = tensors::notes(&heap, object);
    Ok((tensors::entries(&mut heap, object, &storages)?, notes))
}

/// Walks the storages, which follow one another in the order of their keys.
fn ranges<'a>(
    heap: &Heap<'a>,
    keys: Value<'a>,
    file: &Source,
    mut at: usize,
) -> Result<StorageRanges<'a>, Fault> {
    let sizes: HashMap<&str, usize> =
        heap.storages.iter().map(|storage| (storage.key, storage.kind.size())).collect();
    let keys = heap.items(keys).ok_or_else(|| Fault::damaged("it has no list of storages"))?;
    let mut ranges = StorageRanges::new();
    for key in keys {
        let Value::Text(key) = key else {
            return Err(Fault::damaged("its list of storages holds something else"));
        };
        let size =
            *sizes.get(key).ok_or_else(|| Fault::damaged(format!("storage `{key}` is not described")))?;
        let range = file.array(at)?.and_then(|count: [u8; 8]| {
            let bytes = usize::try_from(u64::from_le_bytes(count)).ok()?.checked_mul(size)?;
            let start = at + count.len();
            start.checked_add(bytes).filter(|&end| end <= file.len()).map(|end| start..end)
        });
        let range = range.ok_or_else(|| Fault::damaged(format!("it is truncated in storage `{key}`")))?;
        at = range.end;
        ranges.insert(key, range);
    }
    Ok(ranges)
}
