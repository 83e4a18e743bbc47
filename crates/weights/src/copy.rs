//! Putting a model file into a folder: all of it or nothing, and never in place of another.
//!
//! What is copied are the bytes that were opened and checked, even if the name has come to mean another file since. Formats that
//! only converters know become safetensors.

use crate::Container;
use crate::checkpoint::Checkpoint;
use crate::entry::Element;
use impasto_tensor::DType;
use serde_json::{Map, Value, json};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Bytes copied at once.
const PIECE: usize = 8 << 20;
/// What a header's length is a multiple of.
const ALIGNMENT: usize = 8;

impl Checkpoint {
    /// Writes the file as `target`, whose folder is there: as it is, or as safetensors if it is an ncnn network. An error of kind
    /// `AlreadyExists` if there is such a file. `progress` is told the bytes written so far.
    pub fn copy_to(&self, target: &Path, mut progress: impl FnMut(u64)) -> io::Result<()> {
        if target.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        builder.prefix(".import-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
        let mut out = BufWriter::new(file.as_file_mut());
        if self.container() == Container::Ncnn {
            self.write_safetensors(&mut out, &mut progress)?;
        } else {
            for start in (0..self.source().len()).step_by(PIECE) {
                let end = self.source().len().min(start + PIECE);
                out.write_all(&self.source().read(start..end)?)?;
                progress(end as u64);
            }
        }
        out.flush()?;
        drop(out);
        file.as_file().sync_all()?;
        file.persist_noclobber(target).map_err(|error| error.error)?;
        Ok(())
    }

    /// Writes all tensors under their canonical names, and the metadata.
    fn write_safetensors(&self, out: &mut impl Write, progress: &mut impl FnMut(u64)) -> io::Result<()> {
        let mut tensors = Vec::new();
        for (name, entry) in self.entries() {
            let Element::Readable(dtype) = entry.element else {
                return Err(io::Error::other(format!("`{name}` has elements that cannot be written")));
            };
            tensors.push((name, dtype, &entry.shape));
        }
        // Wide elements first, so that all of them are aligned.
        tensors.sort_by_key(|(_, dtype, _)| std::cmp::Reverse(dtype.size()));
        let mut header = Map::new();
        if !self.metadata().is_empty() {
            header.insert("__metadata__".to_owned(), json!(self.metadata()));
        }
        let mut end = 0;
        for (name, dtype, shape) in &tensors {
            let start = end;
            end += shape.iter().product::<usize>() * dtype.size();
            let about = json!({ "dtype": type_name(*dtype), "shape": shape, "data_offsets": [start, end] });
            header.insert((*name).clone(), about);
        }
        let mut header = serde_json::to_vec(&Value::Object(header))?;
        header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        let mut written = 0;
        for (name, _, _) in tensors {
            let view = self.tensor(name).map_err(io::Error::other)?;
            let elements = view.read().map_err(io::Error::other)?;
            out.write_all(elements.bytes())?;
            written += elements.bytes().len();
            progress(written as u64);
        }
        Ok(())
    }
}

/// What safetensors calls a type.
fn type_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "F64",
        DType::F32 => "F32",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        DType::I64 => "I64",
        DType::I32 => "I32",
        DType::U8 => "U8",
    }
}
