//! Reading `goldens/`, which the scripts in `reference/` write.

use impasto_tensor::{Array, DType, WeightView};
use impasto_weights::Checkpoint;
use safetensors::{Dtype, SafeTensors};
use std::path::PathBuf;

/// The folder of golden files.
pub fn goldens_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../goldens")
}

fn read(file: &str) -> Vec<u8> {
    let path = goldens_folder().join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The golden file `NAME.json`.
///
/// # Panics
/// Where the file is missing or no JSON.
pub fn golden_json(name: &str) -> serde_json::Value {
    let file = format!("{name}.json");
    serde_json::from_slice(&read(&file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The golden file `NAME.safetensors`.
///
/// # Panics
/// Where the file is missing or damaged.
pub fn golden(name: &str) -> Golden {
    let file = format!("{name}.safetensors");
    let bytes = read(&file);
    if let Err(error) = SafeTensors::deserialize(&bytes) {
        panic!("{file}: {error}");
    }
    Golden { file, bytes }
}

/// The random Stable Diffusion 1.x checkpoint `goldens/tiny.safetensors`: all parts and names of a real one, 64 x 64
/// pixels, and hardly any width.
///
/// # Panics
/// Where the file is missing or damaged.
pub fn tiny_checkpoint() -> Checkpoint {
    checkpoint("tiny.safetensors")
}

/// The same of Stable Diffusion XL, `goldens/tiny_xl.safetensors`.
///
/// # Panics
/// Where the file is missing or damaged.
pub fn tiny_xl_checkpoint() -> Checkpoint {
    checkpoint("tiny_xl.safetensors")
}

fn checkpoint(file: &str) -> Checkpoint {
    Checkpoint::open(&goldens_folder().join(file)).unwrap_or_else(|error| panic!("{error}"))
}

/// Tensors by name.
#[derive(Debug)]
pub struct Golden {
    file: String,
    bytes: Vec<u8>,
}

impl Golden {
    /// Names of the tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tensors().names().into_iter().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// A tensor of floats.
    ///
    /// # Panics
    /// Where there is none of this name.
    pub fn array(&self, name: &str) -> Array {
        let view = self.tensor(name);
        view.read()
            .and_then(|elements| Array::new(view.shape(), elements.to_f32()))
            .unwrap_or_else(|error| panic!("{}: {name}: {error}", self.file))
    }

    /// The rows of a matrix of token ids.
    ///
    /// # Panics
    /// Where there is none of this name.
    pub fn ids(&self, name: &str) -> Vec<Vec<u32>> {
        let array = self.array(name);
        array.unstack().iter().map(|row| row.data().iter().map(|&id| id as u32).collect()).collect()
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap_or_else(|error| panic!("{}: {error}", self.file))
    }

    fn tensor(&self, name: &str) -> WeightView<'_> {
        let explain = |error: &dyn std::fmt::Display| -> ! { panic!("{}: {name}: {error}", self.file) };
        let view = self.tensors().tensor(name).unwrap_or_else(|error| explain(&error));
        let dtype = match view.dtype() {
            Dtype::F64 => DType::F64,
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::I64 => DType::I64,
            Dtype::I32 => DType::I32,
            Dtype::U8 => DType::U8,
            other => explain(&format!("element type {other:?}")),
        };
        let made = WeightView::new(dtype, view.shape().to_vec(), view.data());
        made.unwrap_or_else(|error| explain(&error))
    }
}
