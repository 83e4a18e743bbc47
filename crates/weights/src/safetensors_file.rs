//! Reading the header of a safetensors file. The format and its checks (no overlap, no hole, no overflow) are the
//! `safetensors` crate's; this adds a tighter bound on the header and messages that tell a truncated file.

use crate::entry::{Data, Element, Entries, Entry, MAX_DIMENSIONS};
use crate::error::Fault;
use crate::source::Source;
use impasto_tensor::DType;
use safetensors::tensor::{Dtype, Metadata};
use std::collections::BTreeMap;

/// Largest header read, in bytes. A checkpoint's is about 150 kB, and parsing may need 16 times the size in memory.
const MAX_HEADER: usize = 16 << 20;

/// Bytes of the length field in front of the header.
const LENGTH_FIELD: usize = 8;

/// Tensors and metadata of a file.
pub(crate) fn read(file: &Source) -> Result<(Entries, BTreeMap<String, String>), Fault> {
    let Some(length) = file.array::<LENGTH_FIELD>(0)? else {
        return Err(Fault::damaged(format!("{} bytes are too few for a header", file.len())));
    };
    let length = u64::from_le_bytes(length);
    let Some(length) = usize::try_from(length).ok().filter(|&length| length <= MAX_HEADER) else {
        return Err(Fault::damaged(format!("its header claims {length} bytes, the limit is {MAX_HEADER}")));
    };
    let start = LENGTH_FIELD + length;
    let Some(data) = file.len().checked_sub(start) else {
        return Err(Fault::damaged(format!(
            "it is truncated: the header alone has {length} bytes, the file {}",
            file.len()
        )));
    };
    let header: Metadata = serde_json::from_slice(&file.read(LENGTH_FIELD..start)?)
        .map_err(|error| Fault::damaged(format!("its header is invalid: {error}")))?;
    if header.data_len() != data {
        let relation = if data < header.data_len() { "it is truncated" } else { "it is too long" };
        return Err(Fault::damaged(format!(
            "{relation}: the header describes {} bytes of tensors, the file has {data}",
            header.data_len()
        )));
    }
    let mut entries = Entries::new();
    for (name, info) in header.tensors() {
        if info.shape.len() > MAX_DIMENSIONS {
            return Err(Fault::damaged(format!("tensor `{name}` has {} dimensions", info.shape.len())));
        }
        let (from, to) = info.data_offsets;
        let entry = Entry {
            element: element(info.dtype),
            shape: info.shape.clone(),
            data: Data::InFile(start + from..start + to),
        };
        entries.insert(name, entry);
    }
    let metadata = header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone()));
    Ok((entries, metadata.collect()))
}

/// The engine's name of an element type.
fn element(dtype: Dtype) -> Element {
    Element::Readable(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::U8 | Dtype::BOOL => DType::U8,
        other => return Element::Other(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(Entries, BTreeMap<String, String>), Fault> {
        super::read(&Source::Memory(bytes.to_vec().into()))
    }

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 7);
        bytes
    }

    fn problem(bytes: &[u8]) -> String {
        match read(bytes) {
            Err(Fault::Damaged(problem)) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_tensors_and_metadata() {
        let header = r#"{"__metadata__":{"k":"v"},"a":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]},
            "b":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[4,7]}}"#;
        let (entries, metadata) = read(&file(header, 7)).unwrap();
        assert_eq!(metadata["k"], "v");
        let start = 8 + header.len();
        assert_eq!(entries["a"].data, Data::InFile(start..start + 4));
        assert_eq!(
            (&entries["a"].element, &entries["a"].shape),
            (&Element::Readable(DType::F16), &vec![2, 1])
        );
        assert_eq!(entries["b"].element, Element::Other("F8_E4M3".to_owned()));
    }

    #[test]
    fn names_the_damage() {
        let good = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        assert!(
            problem(&file(good, 7))
                .contains("truncated: the header describes 8 bytes of tensors, the file has 7")
        );
        assert!(problem(&file(good, 9)).contains("too long"));
        assert!(problem(&file(good, 8)[..20]).contains("truncated: the header alone"));
        assert!(problem(&u64::MAX.to_le_bytes()).contains("limit"));
        for (header, wanted) in [
            (r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, "invalid"),
            (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, "invalid"),
            (r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#, "invalid"),
            (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, "invalid"),
            (
                r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#,
                "invalid",
            ),
            (r#"{"a":{"dtype":"F32","shape":[2,1,1,1,1,1,1,1,1],"data_offsets":[0,8]}}"#, "dimensions"),
            ("{\"a\":", "invalid"),
        ] {
            assert!(problem(&file(header, 8)).contains(wanted), "{header}");
        }
    }
}
