//! `OpenCLIP`'s text transformer, as XL files have it, under the names of transformers' CLIP text model.
//!
//! The two name the same network. `OpenCLIP` keeps the projections to queries, keys and values one below the other in one
//! tensor, as PyTorch's `MultiheadAttention` does, and the text projection as `[in, out]`. What comes out are views into the
//! same bytes: nothing is read or copied here.

use crate::entry::{Data, Entry};
use crate::layout::SECOND_TEXT;

/// Names of XL's second text encoder begin so.
pub(crate) const PREFIX: &str = "conditioner.embedders.1.model.";

/// Beginnings of names outside the layers.
const PARTS: &[(&str, &str)] =
    &[("token_embedding.", "embeddings.token_embedding."), ("ln_final.", "final_layer_norm.")];

/// Beginnings of names inside a layer.
const LAYER_PARTS: &[(&str, &str)] = &[
    ("ln_1.", "layer_norm1."),
    ("ln_2.", "layer_norm2."),
    ("attn.out_proj.", "self_attn.out_proj."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
];

/// The tensors that one of `OpenCLIP`'s stands for; `None` if it is none of them, or of a shape that it never has.
pub(crate) fn canonical(name: &str, entry: &Entry) -> Option<Vec<(String, Entry)>> {
    let name = name.strip_prefix(PREFIX)?;
    let alone = |name: String| Some(vec![(format!("{SECOND_TEXT}.{name}"), entry.clone())]);
    match name {
        "positional_embedding" => alone("text_model.embeddings.position_embedding.weight".to_owned()),
        "text_projection" => {
            Some(vec![(format!("{SECOND_TEXT}.text_projection.weight"), transposed(entry)?)])
        }
        _ => match name.strip_prefix("transformer.resblocks.") {
            None => alone(format!("text_model.{}", renamed(name, PARTS)?)),
            Some(rest) => {
                let (layer, part) = rest.split_once('.')?;
                let layer = format!("text_model.encoder.layers.{layer}");
                match part.strip_prefix("attn.in_proj_") {
                    Some(kind) => projections(&layer, kind, entry),
                    None => alone(format!("{layer}.{}", renamed(part, LAYER_PARTS)?)),
                }
            }
        },
    }
}

fn renamed(name: &str, table: &[(&str, &str)]) -> Option<String> {
    table.iter().find_map(|(from, to)| Some(format!("{to}{}", name.strip_prefix(from)?)))
}

/// Weights or biases, as `kind` says, of the three projections that stand one below the other.
fn projections(layer: &str, kind: &str, entry: &Entry) -> Option<Vec<(String, Entry)>> {
    let name = |part| format!("{SECOND_TEXT}.{layer}.self_attn.{part}_proj.{kind}");
    let parts = ["q", "k", "v"].iter().enumerate();
    parts.map(|(number, part)| Some((name(part), third(entry, number)?))).collect()
}

/// One of the three equal parts of a tensor along its first dimension.
fn third(entry: &Entry, number: usize) -> Option<Entry> {
    let mut shape = entry.shape.clone();
    let first = shape.first_mut().filter(|size| **size > 0 && size.is_multiple_of(3))?;
    *first /= 3;
    let data = match &entry.data {
        Data::InFile(range) => {
            let length = range.len() / 3;
            let start = range.start + number * length;
            Data::InFile(start..start + length)
        }
        Data::Strided(range, strides) => {
            let skipped = strides.first()?.checked_mul(number.checked_mul(*first)?)?;
            let start = range.start.checked_add(skipped).filter(|start| *start <= range.end)?;
            Data::Strided(start..range.end, strides.clone())
        }
        Data::Made(_) => return None,
    };
    Some(Entry { element: entry.element.clone(), shape, data })
}

/// A matrix turned over.
fn transposed(entry: &Entry) -> Option<Entry> {
    let &[rows, columns] = entry.shape.as_slice() else { return None };
    let data = match &entry.data {
        Data::InFile(range) => {
            let size = range.len().checked_div(rows.checked_mul(columns)?)?;
            Data::Strided(range.clone(), vec![size, columns * size])
        }
        Data::Strided(range, strides) => {
            Data::Strided(range.clone(), strides.iter().rev().copied().collect())
        }
        Data::Made(_) => return None,
    };
    Some(Entry { element: entry.element.clone(), shape: vec![columns, rows], data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Element, gather};
    use impasto_tensor::DType;

    /// A tensor of bytes whose numbers tell their place.
    fn entry(shape: &[usize]) -> Entry {
        let data = Data::InFile(100..100 + shape.iter().product::<usize>());
        Entry { element: Element::Readable(DType::U8), shape: shape.to_vec(), data }
    }

    /// The elements of a tensor where element `n` of the file is `n`.
    fn elements(entry: &Entry) -> Vec<u8> {
        let file: Vec<u8> = (0..=255).collect();
        match &entry.data {
            Data::InFile(range) => file[range.clone()].to_vec(),
            Data::Strided(range, strides) => gather(&file[range.clone()], &entry.shape, strides, 1).unwrap(),
            Data::Made(_) => panic!("{entry:?}"),
        }
    }

    #[test]
    fn names_of_one_network_become_those_of_the_other() {
        for (from, to) in [
            ("token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
            ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
            ("ln_final.bias", "text_model.final_layer_norm.bias"),
            ("transformer.resblocks.31.ln_2.weight", "text_model.encoder.layers.31.layer_norm2.weight"),
            ("transformer.resblocks.0.mlp.c_proj.bias", "text_model.encoder.layers.0.mlp.fc2.bias"),
            (
                "transformer.resblocks.0.attn.out_proj.weight",
                "text_model.encoder.layers.0.self_attn.out_proj.weight",
            ),
        ] {
            let found = canonical(&format!("{PREFIX}{from}"), &entry(&[2, 3])).unwrap();
            let [(name, found)] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!((name, &found.shape), (&format!("cond_stage_model_2.transformer.{to}"), &vec![2, 3]));
        }
        for name in ["visual.proj", "transformer.resblocks.1", "transformer.resblocks.0.attn.q.weight"] {
            assert!(canonical(&format!("{PREFIX}{name}"), &entry(&[2, 3])).is_none(), "{name}");
        }
        assert!(canonical("conditioner.embedders.0.model.ln_final.bias", &entry(&[2])).is_none());
    }

    #[test]
    fn a_fused_projection_is_three() {
        for (kind, shape) in [("weight", &[6, 2][..]), ("bias", &[6])] {
            let name = format!("{PREFIX}transformer.resblocks.7.attn.in_proj_{kind}");
            let fused = entry(shape);
            // The same tensor, once as it is stored and once as a view with strides.
            let strided = transposed(&entry(&[2, 6]));
            let whole = elements(&fused);
            let parts = canonical(&name, &fused).unwrap();
            let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
            let place = "cond_stage_model_2.transformer.text_model.encoder.layers.7.self_attn";
            assert_eq!(names, ["q", "k", "v"].map(|part| format!("{place}.{part}_proj.{kind}")));
            assert_eq!(parts.iter().flat_map(|(_, part)| elements(part)).collect::<Vec<_>>(), whole);
            if let (2, Some(strided)) = (shape.len(), strided) {
                let parts = canonical(&name, &strided).unwrap();
                let joined: Vec<u8> = parts.iter().flat_map(|(_, part)| elements(part)).collect();
                assert_eq!(joined, elements(&strided));
            }
        }
        for shape in [&[][..], &[0, 2], &[4, 2]] {
            let name = format!("{PREFIX}transformer.resblocks.0.attn.in_proj_weight");
            assert!(canonical(&name, &entry(shape)).is_none(), "{shape:?}");
        }
    }

    #[test]
    fn the_text_projection_is_turned_over() {
        let found = canonical(&format!("{PREFIX}text_projection"), &entry(&[2, 3])).unwrap();
        let [(name, found)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(name, "cond_stage_model_2.transformer.text_projection.weight");
        assert_eq!((&found.shape[..], elements(found)), (&[3, 2][..], vec![100, 103, 101, 104, 102, 105]));
        assert_eq!(elements(&transposed(found).unwrap()), [100, 101, 102, 103, 104, 105]);
        for shape in [&[6][..], &[0, 3], &[usize::MAX, 2]] {
            let odd = Entry { shape: shape.to_vec(), ..entry(&[]) };
            assert!(canonical(&format!("{PREFIX}text_projection"), &odd).is_none(), "{shape:?}");
        }
    }
}
