//! The directory of a zip archive (PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5), for members that are stored as they
//! are. Nothing is decompressed: `torch.save` compresses nothing, and what is not compressed cannot explode.

use crate::error::Fault;
use crate::source::Source;
use std::collections::HashMap;
use std::ops::Range;

/// Where each member's bytes lie, by name.
pub(crate) type Members = HashMap<String, Range<usize>>;

/// Most members of an archive; a checkpoint has one a tensor.
const MAX_MEMBERS: u64 = 100_000;
/// Largest directory read, in bytes: 100 a member are usual.
const MAX_DIRECTORY: usize = 32 << 20;

const END: &[u8] = b"PK\x05\x06";
const END_LENGTH: usize = 22;
const END_64: &[u8] = b"PK\x06\x06";
const END_64_LENGTH: usize = 56;
const LOCATOR_64: &[u8] = b"PK\x06\x07";
const LOCATOR_64_LENGTH: usize = 20;
const CENTRAL: &[u8] = b"PK\x01\x02";
const CENTRAL_LENGTH: usize = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_LENGTH: usize = 30;
/// The record at the end is followed by a comment of up to so many bytes.
const MAX_COMMENT: usize = 0xffff;

/// The members of an archive.
pub(crate) fn members(file: &Source) -> Result<Members, Fault> {
    let Directory { count, range } = directory(file)?;
    if count > MAX_MEMBERS || range.len() > MAX_DIRECTORY {
        return Err(Fault::Unsupported(format!(
            "{count} members, listed in {} bytes (the limits are {MAX_MEMBERS} and {MAX_DIRECTORY})",
            range.len()
        )));
    }
    let directory = file.read(range)?;
    let mut members = Members::new();
    let mut at = 0;
    for _ in 0..count {
        let entry = Record::at(&directory, at, CENTRAL, CENTRAL_LENGTH).ok_or_else(broken)?;
        let (name_length, extra_length) = (entry.u16(28), entry.u16(30));
        let name = entry.after(CENTRAL_LENGTH, name_length).ok_or_else(broken)?;
        let extra = entry.after(CENTRAL_LENGTH + name_length, extra_length).ok_or_else(broken)?;
        at += CENTRAL_LENGTH + name_length + extra_length + entry.u16(32);
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if entry.u16(8) & 1 != 0 {
            return Err(Fault::Unsupported("encrypted members".to_owned()));
        }
        if entry.u16(10) != 0 {
            return Err(Fault::Unsupported("compressed members".to_owned()));
        }
        let [size, packed, local] = sizes(&entry, extra).ok_or_else(broken)?;
        if size != packed {
            return Err(broken());
        }
        let range = content(file, local, size)?
            .ok_or_else(|| Fault::damaged(format!("its member `{name}` lies outside the file")))?;
        if members.insert(name.to_owned(), range).is_some() {
            return Err(Fault::damaged(format!("it has two members `{name}`")));
        }
    }
    Ok(members)
}

fn broken() -> Fault {
    Fault::damaged("its zip directory is broken")
}

/// Where the central directory lies, and how many entries it has.
struct Directory {
    count: u64,
    range: Range<usize>,
}

fn directory(file: &Source) -> Result<Directory, Fault> {
    let truncated = || Fault::damaged("it is truncated: the zip directory at its end is missing");
    let from = file.len().saturating_sub(END_LENGTH + MAX_COMMENT);
    let tail = file.read(from..file.len())?;
    let last = tail.len().checked_sub(END_LENGTH).ok_or_else(truncated)?;
    // The comment's length is the last thing that the record says.
    let ends = |end: &Record<'_>, at: usize| at + END_LENGTH + end.u16(20) == tail.len();
    let (place, end) = (0..=last)
        .rev()
        .find_map(|at| {
            Record::at(&tail, at, END, END_LENGTH).filter(|end| ends(end, at)).map(|end| (from + at, end))
        })
        .ok_or_else(truncated)?;
    let (count, offset) = (end.u16(10) as u64, end.u32(16));
    let (count, offset, limit) = if count != 0xffff && offset != 0xffff_ffff {
        (count, offset, place)
    } else {
        large_directory(file, place)?.ok_or_else(broken)?
    };
    let start = usize::try_from(offset).ok().filter(|&start| start <= limit).ok_or_else(broken)?;
    Ok(Directory { count, range: start..limit })
}

/// Number of entries, place of the first and end of the last, from the records for archives beyond 4 GB, which stand
/// before the one at `place`.
fn large_directory(file: &Source, place: usize) -> Result<Option<(u64, u64, usize)>, Fault> {
    let Some(locator) = place.checked_sub(LOCATOR_64_LENGTH) else { return Ok(None) };
    let locator = file.read(locator..place)?;
    let at = Record::at(&locator, 0, LOCATOR_64, LOCATOR_64_LENGTH).map(|locator| locator.u64(8));
    let Some(at) = at.and_then(|at| usize::try_from(at).ok()) else { return Ok(None) };
    let Some(end) = file.array::<END_64_LENGTH>(at)? else { return Ok(None) };
    Ok(Record::at(&end, 0, END_64, END_64_LENGTH).map(|end| (end.u64(32), end.u64(48), at)))
}

/// Size, compressed size and place of a member, from the extra field where they do not fit 32 bits.
fn sizes(entry: &Record<'_>, extra: &[u8]) -> Option<[u64; 3]> {
    let mut sizes = [entry.u32(24), entry.u32(20), entry.u32(42)];
    let mut large = large_sizes(extra);
    for size in &mut sizes {
        if *size == 0xffff_ffff {
            let (bytes, rest) = large.split_first_chunk()?;
            *size = u64::from_le_bytes(*bytes);
            large = rest;
        }
    }
    Some(sizes)
}

/// The part of an extra field that holds 64-bit sizes.
fn large_sizes(mut extra: &[u8]) -> &[u8] {
    const ZIP64: [u8; 2] = [1, 0];
    while let Some(([id0, id1, length0, length1], rest)) = extra.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes([*length0, *length1]));
        let Some((part, rest)) = rest.split_at_checked(length) else { break };
        if [*id0, *id1] == ZIP64 {
            return part;
        }
        extra = rest;
    }
    &[]
}

/// The bytes of a member, which follow its local header; `None` where they lie outside.
fn content(file: &Source, local: u64, size: u64) -> Result<Option<Range<usize>>, Fault> {
    let (Ok(at), Ok(size)) = (usize::try_from(local), usize::try_from(size)) else { return Ok(None) };
    let Some(header) = file.array::<LOCAL_LENGTH>(at)? else { return Ok(None) };
    let Some(header) = Record::at(&header, 0, LOCAL, LOCAL_LENGTH) else { return Ok(None) };
    // `at` is within the file, so this cannot overflow.
    let start = at + LOCAL_LENGTH + header.u16(26) + header.u16(28);
    Ok(start.checked_add(size).filter(|&end| end <= file.len()).map(|end| start..end))
}

/// A record of known length; what follows it may be read, too.
struct Record<'a> {
    bytes: &'a [u8],
}

impl<'a> Record<'a> {
    fn at(file: &'a [u8], at: usize, signature: &[u8], length: usize) -> Option<Self> {
        let bytes = file.get(at..)?;
        (bytes.len() >= length && bytes.starts_with(signature)).then_some(Self { bytes })
    }

    /// A number of the record; the caller keeps within the length it asked for.
    fn u16(&self, at: usize) -> usize {
        usize::from(u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]))
    }

    fn u32(&self, at: usize) -> u64 {
        (self.u16(at) | self.u16(at + 2) << 16) as u64
    }

    fn u64(&self, at: usize) -> u64 {
        self.u32(at) | self.u32(at + 4) << 32
    }

    fn after(&self, at: usize, length: usize) -> Option<&'a [u8]> {
        self.bytes.get(at..at.checked_add(length)?)
    }
}
