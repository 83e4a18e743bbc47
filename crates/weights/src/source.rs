//! The bytes of a model file, read where and when they are asked for.
//!
//! Not a memory map: reading a mapped file that another program cuts short ends the process, while a read that meets the
//! new end is an error like any other. A model's weights are packed once after reading, so a map would save nothing.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;

/// Where the bytes are.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file, and the length that it had when it was opened.
    File { handle: File, length: usize },
    /// In memory, or part of the program.
    Memory(Cow<'static, [u8]>),
    /// No bytes at all: the tensors are made, of so many bytes together.
    Made { length: usize },
}

impl Source {
    /// An open file.
    pub(crate) fn file(handle: File) -> io::Result<Self> {
        let length = usize::try_from(handle.metadata()?.len())
            .map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, "larger than the address space"))?;
        Ok(Self::File { handle, length })
    }

    /// Number of bytes when it was opened.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::File { length, .. } | Self::Made { length } => *length,
            Self::Memory(bytes) => bytes.len(),
        }
    }

    /// The bytes of `range`. An error of kind `UnexpectedEof` where they end early, one of kind `OutOfMemory` where
    /// memory does.
    pub(crate) fn read(&self, range: Range<usize>) -> io::Result<Cow<'_, [u8]>> {
        let length = range.len();
        match self {
            Self::Memory(bytes) => bytes.get(range).map(Cow::Borrowed).ok_or_else(ended),
            Self::Made { .. } => Err(ended()),
            Self::File { .. } if range.start > range.end || range.end > self.len() => Err(ended()),
            Self::File { handle, .. } => {
                let mut bytes = Vec::new();
                bytes.try_reserve_exact(length)?;
                bytes.resize(length, 0);
                read_exact_at(handle, &mut bytes, range.start as u64)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// A few bytes at a place; `None` where they lie outside.
    pub(crate) fn array<const N: usize>(&self, at: usize) -> io::Result<Option<[u8; N]>> {
        let Some(end) = at.checked_add(N).filter(|&end| end <= self.len()) else { return Ok(None) };
        Ok(self.read(at..end)?.first_chunk().copied())
    }
}

fn ended() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at) {
            Ok(0) => return Err(ended()),
            Ok(count) => (bytes, at) = (&mut bytes[count..], at + count as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn reads_within_and_refuses_beyond() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        for source in [Source::file(file).unwrap(), Source::Memory(b"0123456789".into())] {
            assert_eq!(source.len(), 10);
            assert_eq!(&*source.read(3..6).unwrap(), b"345");
            assert_eq!(&*source.read(10..10).unwrap(), b"");
            assert_eq!(source.array(8).unwrap(), Some(*b"89"));
            assert_eq!(source.array::<3>(8).unwrap(), None);
            assert_eq!(source.array::<3>(usize::MAX).unwrap(), None);
            assert_eq!(source.read(5..11).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn a_file_cut_meanwhile_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        let source = Source::file(file.try_clone().unwrap()).unwrap();
        file.set_len(5_000).unwrap();
        assert_eq!(source.read(0..5_000).unwrap().len(), 5_000);
        assert_eq!(source.read(0..5_001).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
