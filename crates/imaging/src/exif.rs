//! The one Exif field we need: the user comment, which holds the infotext in JPEG and WebP files.
//!
//! Exif is a TIFF file in small (Exif 2.32, section 4.6): a header, a directory, and in it the offset of a second
//! directory that has the comment. Reading follows offsets, so every one of them is checked.

/// Offset of the private Exif directory, in the first directory.
const EXIF_DIRECTORY: u16 = 0x8769;
const USER_COMMENT: u16 = 0x9286;
const UNICODE: &[u8; 8] = b"UNICODE\0";
const ASCII: &[u8; 8] = b"ASCII\0\0\0";

/// An Exif block, big-endian, with the comment in UTF-16BE.
pub(crate) fn with_user_comment(comment: &str) -> Vec<u8> {
    let mut value = UNICODE.to_vec();
    value.extend(comment.encode_utf16().flat_map(u16::to_be_bytes));
    let mut block = b"MM\0\x2a\0\0\0\x08".to_vec();
    // First directory: one entry, a 32-bit offset (type 4).
    directory(&mut block, EXIF_DIRECTORY, 4, 1, 26);
    // Second directory: one entry, undefined bytes (type 7).
    directory(&mut block, USER_COMMENT, 7, value.len() as u32, 44);
    block.extend(value);
    block
}

/// A directory of one entry, 18 bytes.
fn directory(block: &mut Vec<u8>, tag: u16, kind: u16, count: u32, value: u32) {
    block.extend(1_u16.to_be_bytes());
    block.extend(tag.to_be_bytes());
    block.extend(kind.to_be_bytes());
    block.extend(count.to_be_bytes());
    block.extend(value.to_be_bytes());
    block.extend(0_u32.to_be_bytes());
}

/// The user comment of an Exif block, if there is one.
pub(crate) fn user_comment(block: &[u8]) -> Option<String> {
    let little = match block.get(..4)? {
        b"II\x2a\0" => true,
        b"MM\0\x2a" => false,
        _ => return None,
    };
    let reader = Reader { block, little };
    let (_, exif) = reader.find(reader.long(4)?, EXIF_DIRECTORY)?;
    let (count, value) = reader.find(exif, USER_COMMENT)?;
    let bytes = block.get(value as usize..(value as usize).checked_add(count as usize)?)?;
    let text = bytes.get(8..)?;
    if bytes.starts_with(UNICODE) {
        // Most programs write UTF-16 big-endian whatever the block's own byte order; the first character tells.
        let little = text.first().is_some_and(|&byte| byte != 0) && text.get(1) == Some(&0);
        let pairs = text.as_chunks::<2>().0.iter();
        let units: Vec<u16> = if little {
            pairs.map(|&pair| u16::from_le_bytes(pair)).collect()
        } else {
            pairs.map(|&pair| u16::from_be_bytes(pair)).collect()
        };
        Some(String::from_utf16_lossy(&units))
    } else if bytes.starts_with(ASCII) {
        Some(String::from_utf8_lossy(text).into_owned())
    } else {
        // No code that names an encoding: some programs leave it out, some leave it blank.
        let text = if bytes.starts_with(&[0; 8]) { text } else { bytes };
        Some(String::from_utf8_lossy(text).replace(char::REPLACEMENT_CHARACTER, ""))
    }
}

struct Reader<'a> {
    block: &'a [u8],
    little: bool,
}

impl Reader<'_> {
    fn short(&self, at: u32) -> Option<u16> {
        let at = at as usize;
        let bytes = self.block.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn long(&self, at: u32) -> Option<u32> {
        let at = at as usize;
        let bytes = self.block.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// Count and value of a directory's entry.
    fn find(&self, directory: u32, tag: u16) -> Option<(u32, u32)> {
        let entries = u32::from(self.short(directory)?);
        (0..entries).find_map(|entry| {
            let at = directory.checked_add(2)?.checked_add(entry * 12)?;
            (self.short(at)? == tag)
                .then(|| Some((self.long(at.checked_add(4)?)?, self.long(at.checked_add(8)?)?)))?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(comment in "[a-z\u{4e2d}].{0,40}") {
            prop_assert_eq!(user_comment(&with_user_comment(&comment)), Some(comment));
        }

        #[test]
        fn damaged_blocks_do_no_harm(at in 0..60usize, byte in any::<u8>(), length in 0..60usize) {
            let mut block = with_user_comment("a cat");
            if let Some(place) = block.get_mut(at) {
                *place = byte;
            }
            block.truncate(length);
            let _ = user_comment(&block);
        }
    }
}
