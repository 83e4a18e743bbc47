//! The directory of a zip archive (PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5), for members that are stored as they
//! are. Nothing is decompressed: `torch.save` compresses nothing, and what is not compressed cannot explode.

use crate::error::Fault;
use std::collections::HashMap;
use std::ops::Range;

/// Where each member's bytes lie, by name.
pub(crate) type Members<'a> = HashMap<&'a str, Range<usize>>;

/// Most members of an archive; a checkpoint has one a tensor.
const MAX_MEMBERS: u64 = 100_000;

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

/// The members of an archive.
pub(crate) fn members(file: &[u8]) -> Result<Members<'_>, Fault> {
    let (count, offset) = directory(file)?;
    if count > MAX_MEMBERS {
        return Err(Fault::Unsupported(format!("{count} members")));
    }
    let mut members = Members::new();
    let mut at = usize::try_from(offset).map_err(|_| broken())?;
    for _ in 0..count {
        let entry = Record::at(file, at, CENTRAL, CENTRAL_LENGTH).ok_or_else(broken)?;
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
        let range = content(file, local, size)
            .ok_or_else(|| Fault::damaged(format!("its member `{name}` lies outside the file")))?;
        if members.insert(name, range).is_some() {
            return Err(Fault::damaged(format!("it has two members `{name}`")));
        }
    }
    Ok(members)
}

fn broken() -> Fault {
    Fault::damaged("its zip directory is broken")
}

/// Number of members and place of the first entry of the central directory.
fn directory(file: &[u8]) -> Result<(u64, u64), Fault> {
    let truncated = || Fault::damaged("it is truncated: the zip directory at its end is missing");
    // The record is followed by a comment of up to 65,535 bytes, whose length it ends with.
    let last = file.len().checked_sub(END_LENGTH).ok_or_else(truncated)?;
    let place = (last.saturating_sub(0xffff)..=last)
        .rev()
        .find(|&at| {
            Record::at(file, at, END, END_LENGTH)
                .is_some_and(|end| at + END_LENGTH + end.u16(20) == file.len())
        })
        .ok_or_else(truncated)?;
    let end = Record::at(file, place, END, END_LENGTH).ok_or_else(truncated)?;
    let (count, offset) = (end.u16(10) as u64, end.u32(16));
    if count != 0xffff && offset != 0xffff_ffff {
        return Ok((count, offset));
    }
    let large = || {
        let locator = Record::at(file, place.checked_sub(LOCATOR_64_LENGTH)?, LOCATOR_64, LOCATOR_64_LENGTH)?;
        let at = usize::try_from(locator.u64(8)).ok()?;
        let end = Record::at(file, at, END_64, END_64_LENGTH)?;
        Some((end.u64(32), end.u64(48)))
    };
    large().ok_or_else(broken)
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

/// The bytes of a member, which follow its local header.
fn content(file: &[u8], local: u64, size: u64) -> Option<Range<usize>> {
    let at = usize::try_from(local).ok()?;
    let header = Record::at(file, at, LOCAL, LOCAL_LENGTH)?;
    let start = at.checked_add(LOCAL_LENGTH + header.u16(26) + header.u16(28))?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    (end <= file.len()).then_some(start..end)
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
