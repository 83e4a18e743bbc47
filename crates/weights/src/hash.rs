//! Hashes by which people name model files, as `AUTOMATIC1111` and model sites print them.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// Where the old hash looks, and how many bytes it takes.
const OLD_OFFSET: u64 = 0x10_0000;
const OLD_LENGTH: u64 = 0x1_0000;

/// SHA-256 of a whole file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileHash {
    /// 64 lower case hexadecimal digits.
    pub sha256: String,
}

impl FileHash {
    /// The first 10 digits, the "model hash" of infotexts (AUTOV2 on model sites).
    pub fn short(&self) -> &str {
        self.sha256.get(..10).unwrap_or(&self.sha256)
    }
}

/// Hash of a file, read once from start to end.
pub fn hash_file(path: impl AsRef<Path>) -> io::Result<FileHash> {
    Ok(FileHash { sha256: digest(open_regular(path.as_ref())?)? })
}

/// Hash of bytes in memory, such as a checkpoint that is part of the program.
pub fn hash_bytes(bytes: &[u8]) -> FileHash {
    FileHash { sha256: hex(&Sha256::digest(bytes)) }
}

/// The "model hash" of infotexts before November 2022: 8 digits of SHA-256 over 64 KiB at 1 MiB. A shorter file gives
/// the hash of what is there, down to nothing.
pub fn old_hash(path: impl AsRef<Path>) -> io::Result<String> {
    let mut file = open_regular(path.as_ref())?;
    file.seek(SeekFrom::Start(OLD_OFFSET))?;
    let mut digits = digest(file.take(OLD_LENGTH))?;
    digits.truncate(8);
    Ok(digits)
}

/// Hash of a safetensors file without its header, which tools change; of any other file, hash of the whole. The first 12 digits
/// are what infotexts have of adapters.
pub fn hash_tensors(path: impl AsRef<Path>) -> io::Result<FileHash> {
    let mut file = open_regular(path.as_ref())?;
    let length = file.metadata()?.len();
    let mut start = [0; 9];
    let is_safetensors = length > start.len() as u64 && {
        file.read_exact(&mut start)?;
        start[8] == b'{'
    };
    let header = u64::from_le_bytes(*start.first_chunk().unwrap_or(&[0; 8]));
    let data = header.checked_add(8).filter(|&data| is_safetensors && data <= length);
    file.seek(SeekFrom::Start(data.unwrap_or(0)))?;
    Ok(FileHash { sha256: digest(file)? })
}

/// Opens a file, but no folder, device or pipe: reading those may never end.
fn open_regular(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    File::open(path)
}

fn digest(mut reader: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(count) => hasher.update(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_published() {
        let hash = hash_bytes(b"abc");
        assert_eq!(hash.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hash.short(), "ba7816bf8f");
    }

    #[test]
    fn the_header_of_safetensors_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        std::fs::write(&path, b"\x02\0\0\0\0\0\0\0{}abc").unwrap();
        assert_eq!(hash_tensors(&path).unwrap(), hash_bytes(b"abc"));
        for whole in [&b"abc"[..], b"\xff\xff\xff\xff\xff\xff\xff\xff{}abc", b"PK\x03\x04rest of it"] {
            std::fs::write(&path, whole).unwrap();
            assert_eq!(hash_tensors(&path).unwrap(), hash_bytes(whole));
        }
    }

    #[test]
    fn old_hash_reads_its_window() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.ckpt");
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(old_hash(&path).unwrap(), "e3b0c442");
        let mut bytes = vec![1; OLD_OFFSET as usize];
        bytes.extend(b"abc");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(old_hash(&path).unwrap(), "ba7816bf");
        bytes.extend(vec![2; OLD_LENGTH as usize]);
        std::fs::write(&path, &bytes).unwrap();
        let window = &bytes[OLD_OFFSET as usize..][..OLD_LENGTH as usize];
        assert_eq!(old_hash(&path).unwrap(), &hash_bytes(window).sha256[..8]);
        assert_eq!(hash_file(&path).unwrap(), hash_bytes(&bytes));
        assert!(hash_file(folder.path()).is_err());
    }
}
