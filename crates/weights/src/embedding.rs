//! Textual inversions (Gal et al. 2022): vectors that stand in a text for a word. Not those inside pictures, whose text is to be given.

use crate::{Checkpoint, WeightsError};
use impasto_tensor::Array;
use std::path::Path;

/// Names under which files have the vectors for a second text encoder.
const SECOND: &[&str] = &["clip_g"];

/// What names of vectors begin with in files that have more than vectors.
const VECTORS: &str = "string_to_param.";

/// Most elements of an embedding.
const MAX_ELEMENTS: usize = 1 << 22;

/// Vectors for a model's text encoders.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingVectors {
    /// `[vectors, width]` for the first or only text encoder.
    pub first: Array,
    /// The same for XL's second.
    pub second: Option<Array>,
    /// What the file says of how they were trained.
    pub training: EmbeddingTraining,
}

/// How an embedding was trained.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EmbeddingTraining {
    /// Steps.
    pub step: Option<i64>,
    /// Hash of the checkpoint.
    pub sd_checkpoint: Option<String>,
    /// Its name.
    pub sd_checkpoint_name: Option<String>,
}

impl EmbeddingTraining {
    /// From what `said` gives of the keys of A1111's files.
    fn of(said: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            step: said("step").and_then(|step| step.parse().ok()),
            sd_checkpoint: said("sd_checkpoint"),
            sd_checkpoint_name: said("sd_checkpoint_name"),
        }
    }
}

impl EmbeddingVectors {
    /// Reads `.safetensors`, and `.pt` or `.bin` by the allow-list: `string_to_param`, a single tensor under any name, or `clip_l` and `clip_g`.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let file = Checkpoint::open(path)?;
        let names: Vec<&str> = file.names().collect();
        let second = names.iter().find(|name| SECOND.contains(name)).copied();
        // Beside the vectors, files of the first trainer of such have the number of their token as a tensor.
        let dictionary = names.iter().any(|name| name.starts_with(VECTORS));
        let is_vectors = |name: &&str| Some(*name) != second && (!dictionary || name.starts_with(VECTORS));
        let mut others = names.iter().copied().filter(is_vectors);
        let (Some(first), None) = (others.next(), others.next()) else {
            return Err(problem(&file, format!("{} tensors, where an embedding has one", names.len())));
        };
        Ok(Self {
            first: read(&file, first)?,
            second: second.map(|name| read(&file, name)).transpose()?,
            training: EmbeddingTraining::of(|key| file.metadata().get(key).cloned()),
        })
    }

    /// Reads the JSON that A1111 writes into a picture, decoded from base64: `{"string_to_param": {"*": {"TORCHTENSOR": [[...]]}}}`.
    /// `None` if it is no such.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        let json: serde_json::Value = serde_json::from_slice(json).ok()?;
        let (_, tensor) = json.get("string_to_param")?.as_object()?.iter().next()?;
        let rows = tensor.get("TORCHTENSOR")?.as_array()?;
        let number = |value: &serde_json::Value| value.as_f64().map(|value| value as f32);
        let row = |row: &serde_json::Value| row.as_array()?.iter().map(number).collect::<Option<Vec<f32>>>();
        let rows: Vec<Vec<f32>> = rows.iter().map(row).collect::<Option<_>>()?;
        let width = rows.first().map_or(0, Vec::len);
        if width == 0 || rows.iter().any(|row| row.len() != width) {
            return None;
        }
        let said = |key: &str| match json.get(key)? {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Some(Self {
            first: Array::new([rows.len(), width], rows.concat()).ok()?,
            second: None,
            training: EmbeddingTraining::of(said),
        })
    }
}

/// A tensor `[vectors, width]` or, for one vector, `[width]`.
fn read(file: &Checkpoint, name: &str) -> Result<Array, WeightsError> {
    let view = file.tensor(name)?;
    let shape = match *view.shape() {
        [width] if width > 0 => [1, width],
        [vectors, width] if vectors > 0 && width > 0 => [vectors, width],
        _ => return Err(problem(file, format!("`{name}` of the shape {:?}", view.shape()))),
    };
    if view.len() > MAX_ELEMENTS {
        return Err(problem(file, format!("`{name}` of the shape {shape:?}, which is no embedding's")));
    }
    let elements = view.read().map_err(|error| problem(file, error.to_string()))?.to_f32();
    Array::new(shape, elements).map_err(|error| problem(file, error.to_string()))
}

fn problem(file: &Checkpoint, problem: String) -> WeightsError {
    WeightsError::Damaged { file: file.file().to_owned(), container: file.container(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_picture_is_read_and_nonsense_is_not() {
        let read = |json: &str| EmbeddingVectors::from_json(json.as_bytes());
        let found = read(r#"{"name":"x","step":9,"sd_checkpoint":null,"string_to_param":{"*":{"TORCHTENSOR":[[1,2.5],[3,-4]]}}}"#).unwrap();
        assert_eq!((found.first.shape(), found.first.data()), (&[2, 2][..], &[1.0, 2.5, 3.0, -4.0][..]));
        assert_eq!(found.training, EmbeddingTraining { step: Some(9), ..EmbeddingTraining::default() });
        for odd in [
            "",
            "[]",
            "{}",
            r#"{"string_to_param":{}}"#,
            r#"{"string_to_param":{"*":{"TORCHTENSOR":[]}}}"#,
            r#"{"string_to_param":{"*":{"TORCHTENSOR":[[1],[2,3]]}}}"#,
            r#"{"string_to_param":{"*":{"TORCHTENSOR":[["a"]]}}}"#,
        ] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
