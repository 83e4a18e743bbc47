//! Which container a file is, told by its first bytes. The extension says nothing: people rename files.

use crate::error::Fault;
use crate::source::Source;
use std::fmt;

/// A file format that holds tensors and is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// A JSON header and raw tensors (huggingface.co/docs/safetensors).
    Safetensors,
    /// `torch.save` since version 1.6: a zip archive of one pickle and raw storages.
    TorchZip,
    /// `torch.save` before 1.6: five pickles in a row, then raw storages.
    TorchLegacy,
    /// Two files of an upscaler for ncnn: a text of layers, and their weights.
    Ncnn,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors file",
            Self::TorchZip => "torch checkpoint (zip)",
            Self::TorchLegacy => "torch checkpoint (legacy)",
            Self::Ncnn => "network for ncnn",
        })
    }
}

/// The pickled number with which every legacy `torch.save` file begins, 0x1950a86a20f9469cfc6c.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// First bytes of what is often found under a model's name, and what to call it.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"version https://git-lfs", "a git-lfs pointer, not the model itself (run `git lfs pull`)"),
    (b"GGUF", "a GGUF file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"RIFF", "a RIFF file (WebP picture or sound)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\0\0\0\0\0\0\0\0", "a file that begins with zero bytes, perhaps an unfinished download"),
];

/// How many bytes of a file are looked at.
const PREFIX: usize = 512;

/// The container of a file, or what it is instead.
pub(crate) fn sniff(file: &Source) -> Result<Container, Fault> {
    let bytes = &*file.read(0..file.len().min(PREFIX))?;
    let foreign = |found: &str| Err(Fault::Foreign(found.to_owned()));
    if bytes.is_empty() {
        return foreign("empty (0 bytes)");
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Ok(Container::TorchZip);
    }
    if bytes.starts_with(LEGACY_MAGIC) {
        return Ok(Container::TorchLegacy);
    }
    if bytes.len() < LEGACY_MAGIC.len() && LEGACY_MAGIC.starts_with(bytes) {
        return foreign("the very beginning of a torch checkpoint, cut off");
    }
    if let Some((_, found)) = FOREIGN.iter().find(|(start, _)| bytes.starts_with(start)) {
        return foreign(found);
    }
    if let Some(found) = markup(bytes) {
        return foreign(found);
    }
    // The length of a header may begin as a pickle does, but it has zeros at its end.
    let has_header = bytes.get(8) == Some(&b'{') || bytes.get(8..10) == Some(b" {");
    if matches!(bytes, [0x80, 0..=5, ..]) && !(has_header && bytes.get(5..8) == Some(&[0; 3])) {
        return foreign("a pickle that torch.save did not write");
    }
    if has_header {
        return Ok(Container::Safetensors);
    }
    let shown: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Err(Fault::Foreign(format!("of an unknown format ({} bytes, beginning {})", file.len(), shown.join(" "))))
}

/// What a web server sends instead of a model.
fn markup(prefix: &[u8]) -> Option<&'static str> {
    let text: String =
        String::from_utf8_lossy(prefix).trim_start_matches('\u{feff}').trim_start().to_lowercase();
    if text.starts_with("<!doctype html") || text.starts_with("<html") {
        return Some("an HTML page, perhaps a web site's error or login page saved under the model's name");
    }
    if text.starts_with("<?xml") {
        return Some("an XML document, perhaps a web site's error message");
    }
    if text.starts_with('{') || text.starts_with("[{") {
        return Some("a JSON text, perhaps a web site's error message");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniff(bytes: &'static [u8]) -> Result<Container, Fault> {
        super::sniff(&Source::Memory(bytes.into()))
    }

    #[test]
    fn tells_containers() {
        assert_eq!(sniff(b"\x10\0\0\0\0\0\0\0{\"a\":1}"), Ok(Container::Safetensors));
        assert_eq!(sniff(b"\x80\x02\0\0\0\0\0\0{\"a\":1}"), Ok(Container::Safetensors));
        assert_eq!(sniff(b"PK\x03\x04rest"), Ok(Container::TorchZip));
        assert_eq!(
            sniff(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.more"),
            Ok(Container::TorchLegacy)
        );
    }

    #[test]
    fn names_what_it_finds_instead() {
        for (bytes, wanted) in [
            (&b""[..], "empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n", "git-lfs"),
            (b"GGUF\x03\0\0\0", "GGUF"),
            (b"\n <!DOCTYPE html><html>", "HTML"),
            (b"{\"error\":\"unauthorized\"}", "JSON"),
            (b"\x80\x04\x95aaaaaaaa", "pickle"),
            (b"\x80\x02\x8a\x0a", "cut off"),
            (b"\0\0\0\0\0\0\0\0\0\0\0\0", "zero bytes"),
            (b"\xca\xfe\xba\xbe00000000", "ca fe ba be"),
            (b"x", "unknown format"),
        ] {
            match sniff(bytes) {
                Err(Fault::Foreign(found)) => assert!(found.contains(wanted), "{found} for {wanted}"),
                other => panic!("{other:?} for {wanted}"),
            }
        }
    }
}
