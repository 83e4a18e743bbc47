//! Files: pictures that clients send, and checkpoints that somebody downloaded.

use impasto_imaging::{decode, read_metadata};
use impasto_weights::Checkpoint;

pub(crate) const PICTURE_WORDS: &[&[u8]] = &[
    b"\x89PNG\r\n\x1a\n",
    b"IHDR",
    b"IDAT",
    b"tEXtparameters\0",
    b"zTXt",
    b"iTXtparameters\0\0\0\0\0",
    b"eXIf",
    b"acTL",
    b"fcTL",
    b"PLTE",
    b"tRNS",
    b"IEND",
    b"\xff\xd8",
    b"\xff\xe1",
    b"Exif\0\0II*\0",
    b"UNICODE\0",
    b"\xff\xfe",
    b"\xff\xda",
    b"RIFF",
    b"WEBPVP8X",
    b"VP8L",
    b"ANIM",
    b"EXIF",
    b"GIF89a",
    b"!\xfe",
    b"!\xf9\x04",
    b",\0\0\0\0",
];

pub(crate) const PICKLE_WORDS: &[&[u8]] = &[
    b"\x80\x02",
    b"}",
    b"]",
    b"(",
    b")",
    b"X\x01\0\0\0a",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch\nHalfStorage\n",
    b"cos\nsystem\n",
    b"ccollections\nOrderedDict\n",
    b"J\xff\xff\xff\xff",
    b"K\x04",
    b"tQ",
    b"R",
    b"\x93",
    b"q\0",
    b"h\0",
    b"\x94",
    b"s",
    b"u",
    b"e",
    b"\x85",
    b"\x86",
    b"\x87",
    b"\x8a\x08",
    b"b",
    b".",
    b"\x95\xff\xff\xff\xff\xff\xff\xff\xff",
];

pub(crate) const CHECKPOINT_WORDS: &[&[u8]] = &[
    b"{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}",
    b"\"shape\":[18446744073709551615,2]",
    b"\"__metadata__\":{",
    b"F8_E4M3",
    b"BF16",
    b"[0,0]",
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"m/data.pkl",
    b"m/data/0",
    b"m/byteorder",
    b"\xff\xff\xff\xff",
];

/// Most pixels of a picture here: enough for every path, few enough for many runs.
const MOST_PIXELS: u64 = 1 << 16;

/// A picture's file: its pixels, and its texts.
pub(crate) fn picture(bytes: &[u8]) {
    let _ = decode(bytes, MOST_PIXELS);
    if let Ok(metadata) = read_metadata(bytes, MOST_PIXELS) {
        let _ = metadata.novel_ai();
    }
}

/// A checkpoint's file: its tensors, what it is, and what it holds.
pub(crate) fn checkpoint(bytes: &[u8]) {
    let Ok(checkpoint) = Checkpoint::from_bytes("file", bytes.to_vec()) else { return };
    let _ = (checkpoint.kind(), checkpoint.config(), checkpoint.networks(), checkpoint.upscaler());
    let names: Vec<&str> = checkpoint.names().collect();
    // A view may repeat the few bytes that there are without end; nobody reads such a tensor but at its size.
    for name in names {
        if let Ok(tensor) = checkpoint.tensor(name)
            && tensor.len() <= MOST_PIXELS as usize
        {
            let _ = tensor.read();
        }
    }
}

/// A pickle of tensors, as the second of the five in a file from before zip archives; the rest of it is as it should be.
pub(crate) fn pickle(bytes: &[u8]) {
    const BEFORE: &[u8] =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.";
    const AFTER: &[u8] = b"\x80\x02]X\x01\0\0\x000a.\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    checkpoint(&[BEFORE, bytes, AFTER].concat());
}
