//! The file of given inputs and outputs: a `.safetensors` whose names say what is what.

use crate::failure::failure;
use anyhow::{Context as _, bail, ensure};
use impasto_tensor::Array;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeSet;
use std::path::Path;

/// The file, checked, with each tensor under its name.
pub(crate) struct Reference<'a> {
    tensors: SafeTensors<'a>,
}

impl<'a> Reference<'a> {
    /// Reads the header of a file's bytes.
    pub(crate) fn new(path: &Path, bytes: &'a [u8]) -> anyhow::Result<Self> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| {
            failure(
                format!("{} is no .safetensors file: {error}", path.display()),
                "--reference takes a file of inputs and outputs; `impasto bench parity --help` says which",
            )
        })?;
        Ok(Self { tensors })
    }

    /// Those of `names` that are not there.
    pub(crate) fn missing<'n>(&self, names: &[&'n str]) -> Vec<&'n str> {
        names.iter().copied().filter(|name| self.tensors.tensor(name).is_err()).collect()
    }

    /// The names between `trajectory.` and the next dot, sorted.
    pub(crate) fn trajectories(&self) -> BTreeSet<String> {
        let rests = self.tensors.names().into_iter().filter_map(|name| name.strip_prefix("trajectory."));
        rests.filter_map(|rest| Some(rest.split_once('.')?.0.to_owned())).collect()
    }

    /// A tensor of numbers as `f32`, whatever they are stored as.
    pub(crate) fn array(&self, name: &str) -> anyhow::Result<Array> {
        let view = self.view(name)?;
        let data = numbers(&view).with_context(|| format!("tensor {name}"))?;
        Ok(Array::new(view.shape().to_vec(), data.into_iter().map(|number| number as f32).collect())?)
    }

    /// A tensor of token ids `[batch, tokens]`.
    pub(crate) fn tokens(&self, name: &str) -> anyhow::Result<Vec<Vec<u32>>> {
        let view = self.view(name)?;
        let &[batch, tokens] = view.shape() else { bail!("tensor {name} has shape {:?}", view.shape()) };
        ensure!(batch > 0 && tokens > 0, "tensor {name} is empty");
        let numbers = numbers(&view).with_context(|| format!("tensor {name}"))?;
        let odd = numbers.iter().find(|number| !(0.0..=f64::from(u32::MAX)).contains(*number));
        ensure!(odd.is_none(), "tensor {name} has {odd:?}, which is no token id");
        let ids: Vec<u32> = numbers.into_iter().map(|number| number as u32).collect();
        Ok(ids.chunks_exact(tokens).map(<[u32]>::to_vec).collect())
    }

    /// A tensor of a single number.
    pub(crate) fn number(&self, name: &str) -> anyhow::Result<f64> {
        let view = self.view(name)?;
        match numbers(&view)?.as_slice() {
            [number] => Ok(*number),
            _ => bail!("tensor {name} has shape {:?}, one number is wanted", view.shape()),
        }
    }

    fn view(&self, name: &str) -> anyhow::Result<TensorView<'_>> {
        self.tensors.tensor(name).with_context(|| format!("tensor {name}"))
    }
}

/// The elements of a tensor. `f64` holds every `f32` and every token id.
fn numbers(view: &TensorView<'_>) -> anyhow::Result<Vec<f64>> {
    fn each<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()
    }
    let bytes = view.data();
    Ok(match view.dtype() {
        Dtype::F64 => each(bytes, f64::from_le_bytes),
        Dtype::F32 => each(bytes, |chunk| f32::from_le_bytes(chunk).into()),
        Dtype::I64 => each(bytes, |chunk| i64::from_le_bytes(chunk) as f64),
        Dtype::I32 => each(bytes, |chunk| i32::from_le_bytes(chunk).into()),
        other => bail!("has type {other:?}; F32, F64, I32 and I64 are read"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let floats: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|number| number.to_le_bytes()).collect();
        let ids: Vec<u8> = [49406i64, 3].iter().flat_map(|number| number.to_le_bytes()).collect();
        let views = [
            ("trajectory.euler.noise", TensorView::new(Dtype::F32, vec![2], &floats).unwrap()),
            ("clip.tokens", TensorView::new(Dtype::I64, vec![1, 2], &ids).unwrap()),
            ("halves", TensorView::new(Dtype::F16, vec![4], &floats).unwrap()),
        ];
        safetensors::serialize(views, None).unwrap()
    }

    #[test]
    fn reads_by_name() {
        let bytes = file();
        let reference = Reference::new(Path::new("r"), &bytes).unwrap();
        assert_eq!(reference.array("trajectory.euler.noise").unwrap().data(), [1.5, -2.0]);
        assert_eq!(reference.tokens("clip.tokens").unwrap(), [[49406, 3]]);
        assert_eq!(reference.trajectories().into_iter().collect::<Vec<_>>(), ["euler"]);
        assert_eq!(reference.missing(&["clip.tokens", "clip.hidden"]), ["clip.hidden"]);
        assert!(reference.number("clip.tokens").is_err());
        assert!(reference.array("halves").is_err());
        assert!(Reference::new(Path::new("r"), &bytes[..20]).is_err());
    }
}
