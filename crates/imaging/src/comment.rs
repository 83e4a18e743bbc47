//! Comments of GIF (89a, section 24) and JPEG files (ISO 10918-1, B.2.4.5), where some programs keep the infotext.
//!
//! Both are read up to the first picture. Every length comes from outside and is checked by `get`.

/// Comments are read up to this many bytes.
const MOST_BYTES: usize = 2 << 20;

/// The comments of a GIF file, one a line.
pub(crate) fn of_gif(file: &[u8]) -> Option<String> {
    /// The size of the color table that a byte of flags announces.
    fn table(flags: u8) -> usize {
        if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
    }
    let mut at = 13 + table(*file.get(10)?);
    let mut comments: Vec<u8> = Vec::new();
    // Extensions: an introducer, a label, blocks of a length byte and so many bytes, and a block of none.
    while file.get(at) == Some(&b'!') && comments.len() < MOST_BYTES {
        let comment = file.get(at + 1) == Some(&0xfe);
        if comment && !comments.is_empty() {
            comments.push(b'\n');
        }
        at += 2;
        while let Some(&length) = file.get(at).filter(|length| **length != 0) {
            let Some(block) = file.get(at + 1..at + 1 + usize::from(length)) else { break };
            if comment {
                comments.extend(block);
            }
            at += 1 + block.len();
        }
        at += 1;
    }
    text(&comments)
}

/// The comment of a JPEG file; of several, the last.
pub(crate) fn of_jpeg(file: &[u8]) -> Option<String> {
    let mut at = 2;
    let mut found = None;
    while let Some(&[0xff, marker, high, low]) = file.get(at..at + 4) {
        let length = usize::from(u16::from_be_bytes([high, low]));
        match marker {
            // Fill bytes.
            0xff => at += 1,
            // Start of scan, end of image: pixels follow, or nothing.
            0xda | 0xd9 => break,
            _ => {
                let content = file.get(at + 4..(at + 2).checked_add(length)?);
                if marker == 0xfe {
                    found = content.and_then(text);
                }
                at += 2 + length;
            }
        }
    }
    found
}

/// UTF-8 without what is none.
fn text(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes).replace(char::REPLACEMENT_CHARACTER, "");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn comments_are_found() {
        let gif =
            b"GIF89a\x01\0\x01\0\x80\0\0ABCDEF!\xf9\x04\0\0\0\0\0!\xfe\x02a \x03\xe7\x8c\xab\0!\xfe\x01b\0,";
        assert_eq!(of_gif(gif).as_deref(), Some("a \u{732b}\nb"));
        assert_eq!(of_gif(&gif[..12]), None);
        let jpeg = b"\xff\xd8\xff\xe0\0\x04JF\xff\xff\xfe\0\x05cat\xff\xda\0\x02\xff\xfe\0\x05dog";
        assert_eq!(of_jpeg(jpeg).as_deref(), Some("cat"));
        assert_eq!(of_jpeg(&jpeg[..8]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(bytes in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 0x21, 0x80, 0xfe, 0xff]), 0..60)) {
            let _ = of_gif(&bytes);
            let _ = of_jpeg(&bytes);
        }
    }
}
