//! The layout of `torch.save` since version 1.6: `NAME/data.pkl` refers to storages `NAME/data/KEY`.

use super::MAX_PICKLE;
use super::machine;
use super::tensors::{self, StorageRanges};
use super::value::Heap;
use super::zip;
use crate::entry::Entries;
use crate::error::Fault;
use crate::facts::Metadata;
use crate::source::Source;

/// The tensors of a file, and what it says beside them.
pub(crate) fn read(file: &Source) -> Result<(Entries, Metadata), Fault> {
    let members = zip::members(file)?;
    let mut pickles =
        members.iter().filter_map(|(name, range)| Some((name.strip_suffix("data.pkl")?, range)));
    let mut pickles =
        pickles.by_ref().filter(|(root, _)| root.ends_with('/') && root.matches('/').count() == 1);
    let Some((root, pickle)) = pickles.next() else {
        return Err(Fault::Foreign(
            "a zip archive that torch.save did not write (it has no data.pkl)".to_owned(),
        ));
    };
    if pickles.next().is_some() {
        return Err(Fault::damaged("it has more than one data.pkl"));
    }
    if members.contains_key(format!("{root}constants.pkl").as_str()) {
        return Err(Fault::Foreign("a TorchScript program, which would have to be executed".to_owned()));
    }
    if let Some(order) = members.get(format!("{root}byteorder").as_str())
        && file.array(order.start)?.filter(|_| order.len() == 6) != Some(*b"little")
    {
        return Err(Fault::Unsupported("big-endian numbers".to_owned()));
    }
    let prefix = format!("{root}data/");
    let storages: StorageRanges<'_> = members
        .iter()
        .filter_map(|(name, range)| Some((name.strip_prefix(&prefix)?, range.clone())))
        .collect();
    if pickle.len() > MAX_PICKLE {
        return Err(Fault::Unsupported(format!(
            "a data.pkl of {} bytes (the limit is {MAX_PICKLE})",
            pickle.len()
        )));
    }
    let pickle = file.read(pickle.clone())?;
    let mut heap = Heap::new();
    let (value, _) = machine::run(&pickle, &mut heap)?;
    let notes = tensors::notes(&heap, value);
    Ok((tensors::entries(&mut heap, value, &storages)?, notes))
}
