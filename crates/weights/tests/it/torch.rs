//! What `torch.save` writes, assembled by hand, so that tests can also write what it never would.

use crate::files::Shapes;

/// Instructions of a pickle, one after another.
pub(crate) struct Pickle(Vec<u8>);

impl Pickle {
    pub(crate) fn new() -> Self {
        Self(b"\x80\x02".to_vec())
    }

    /// Any instructions.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    pub(crate) fn int(self, number: i32) -> Self {
        self.raw(b"J").raw(&number.to_le_bytes())
    }

    pub(crate) fn global(self, module: &str, name: &str) -> Self {
        self.raw(b"c").raw(module.as_bytes()).raw(b"\n").raw(name.as_bytes()).raw(b"\n")
    }

    pub(crate) fn ints(self, numbers: &[i32]) -> Self {
        numbers.iter().fold(self.raw(b"("), |pickle, &number| pickle.int(number)).raw(b"t")
    }

    /// A view of a half-precision storage.
    pub(crate) fn tensor(
        self,
        key: &str,
        elements: i32,
        offset: i32,
        shape: &[i32],
        strides: &[i32],
    ) -> Self {
        self.global("torch._utils", "_rebuild_tensor_v2")
            .raw(b"((")
            .text("storage")
            .global("torch", "HalfStorage")
            .text(key)
            .text("cpu")
            .int(elements)
            .raw(b"tQ")
            .int(offset)
            .ints(shape)
            .ints(strides)
            .raw(b"\x89ccollections\nOrderedDict\n)RtR")
    }

    pub(crate) fn stop(self) -> Vec<u8> {
        self.raw(b".").0
    }
}

/// The pickle of a state dict of half-precision tensors, the storages numbered.
fn state_dict(shapes: &Shapes) -> Vec<u8> {
    let mut pickle =
        Pickle::new().raw(b"}").text("state_dict").global("collections", "OrderedDict").raw(b")R(");
    for (number, (name, shape)) in shapes.iter().enumerate() {
        let shape: Vec<i32> = shape.iter().map(|&size| size as i32).collect();
        let strides: Vec<i32> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        pickle = pickle.text(name).tensor(&number.to_string(), shape.iter().product(), 0, &shape, &strides);
    }
    pickle.raw(b"us").stop()
}

fn storages(shapes: &Shapes) -> impl Iterator<Item = Vec<u8>> {
    shapes.values().map(|shape| vec![0; 2 * shape.iter().product::<usize>()])
}

/// A whole checkpoint as `torch.save` writes it.
pub(crate) fn zip_checkpoint(shapes: &Shapes) -> Vec<u8> {
    let mut members = vec![("m/data.pkl".to_owned(), state_dict(shapes))];
    members.extend(storages(shapes).enumerate().map(|(key, bytes)| (format!("m/data/{key}"), bytes)));
    zip(&members)
}

/// A whole checkpoint as `torch.save` wrote it before version 1.6.
pub(crate) fn legacy_checkpoint(shapes: &Shapes) -> Vec<u8> {
    let keys: Vec<String> = (0..shapes.len()).map(|key| key.to_string()).collect();
    let keys = keys.iter().fold(Pickle::new().raw(b"]("), |pickle, key| pickle.text(key)).raw(b"e").stop();
    let mut file = legacy(&state_dict(shapes), &keys);
    for bytes in storages(shapes) {
        file.extend((bytes.len() as u64 / 2).to_le_bytes());
        file.extend(bytes);
    }
    file
}

/// A legacy file up to its storages.
pub(crate) fn legacy(object: &[u8], keys: &[u8]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    file.extend(Pickle::new().raw(b"M\xe9\x03").stop());
    file.extend(Pickle::new().raw(b"}").text("little_endian").raw(b"\x88s").stop());
    file.extend(object);
    file.extend(keys);
    file
}

/// A zip archive of stored members.
pub(crate) fn zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    write_zip(members, false)
}

/// The same with every size and place in 64 bits, as archives beyond 4 GB have them.
pub(crate) fn zip64(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    write_zip(members, true)
}

fn write_zip(members: &[(String, Vec<u8>)], large: bool) -> Vec<u8> {
    let small = |number: usize| if large { u32::MAX } else { number as u32 }.to_le_bytes();
    let mut file = vec![];
    let mut directory = vec![];
    for (name, bytes) in members {
        let place = file.len();
        let mut extra = vec![];
        if large {
            // Another field first: readers must step over what they do not know.
            extra.extend(b"FB\x02\0ZZ\x01\0\x18\0");
            for number in [bytes.len(), bytes.len(), place] {
                extra.extend((number as u64).to_le_bytes());
            }
        }
        // Version, flags, method, time, date, checksum; then sizes, and lengths of name and extra field.
        let mut common = vec![0; 14];
        common.extend([small(bytes.len()), small(bytes.len())].concat());
        common.extend((name.len() as u16).to_le_bytes());
        file.extend(b"PK\x03\x04".iter().chain(&common).chain(&[0; 2]).chain(name.as_bytes()).chain(bytes));
        common.extend((extra.len() as u16).to_le_bytes());
        directory.extend(b"PK\x01\x02\0\0".iter().chain(&common));
        directory.extend([0; 10]);
        directory.extend(small(place));
        directory.extend(name.as_bytes().iter().chain(&extra));
    }
    let (place, length) = (file.len(), directory.len());
    file.extend(directory);
    if large {
        let end = file.len() as u64;
        file.extend(b"PK\x06\x06".iter().chain(&[0; 28]));
        for number in [members.len(), length, place] {
            file.extend((number as u64).to_le_bytes());
        }
        file.extend(b"PK\x06\x07".iter().chain(&[0; 4]).chain(&end.to_le_bytes()).chain(&[0; 4]));
    }
    let count = if large { u16::MAX } else { members.len() as u16 };
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count.to_le_bytes(); 2].concat());
    file.extend([small(length), small(place)].concat());
    file.extend([0; 2]);
    file
}

/// An archive of a pickle and of storages by key.
pub(crate) fn archive(pickle: Vec<u8>, storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut members = vec![("m/data.pkl".to_owned(), pickle)];
    members.extend(storages.iter().map(|(key, bytes)| (format!("m/data/{key}"), bytes.to_vec())));
    zip(&members)
}
