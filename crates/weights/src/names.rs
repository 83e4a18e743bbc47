//! From the names in a file to canonical names: those of the original Latent Diffusion code with a CLIP text model,
//! `model.diffusion_model.*`, `first_stage_model.*`, `cond_stage_model.transformer.text_model.*`. XL's first text encoder has
//! the place of the only one, its second the same names under `cond_stage_model_2.transformer`.
//! Only spelling: which model the names make up is told in `kind`.

use crate::entry::{Entries, Entry};
use crate::{open_clip, upscaler};

/// Names that begin so are training state, copies or constants that follow from the configuration.
const IGNORED_PREFIXES: &[&str] = &[
    "model_ema.",
    "optimizer_states.",
    "lr_schedulers.",
    "first_stage_model.loss.",
    "first_stage_model.model_ema.",
    "posterior_",
    "sqrt_",
    "alphas_cumprod",
    "log_one_minus_alphas_cumprod",
];

/// Names that are constants of the same kind.
const IGNORED_NAMES: &[&str] = &[
    "betas",
    "lvlb_weights",
    "logvar",
    "scale_factor",
    "cond_stage_model.logit_scale",
    "conditioner.embedders.1.model.logit_scale",
    "global_step",
];

/// Old text encoder names lack the `text_model` level (transformers before version 4.31).
const TEXT: &str = "cond_stage_model.transformer.";
const OLD_TEXT_PARTS: &[&str] = &["embeddings.", "encoder.", "final_layer_norm."];

/// Where XL has its first text encoder.
const FIRST_OF_TWO: &str = "conditioner.embedders.0.transformer.";

/// 1x1 convolutions of the original code that some tools save as matrices. [out, in] -> [out, in, 1, 1]
const POINTWISE: &[&str] = &[
    ".proj_in.weight",
    ".proj_out.weight",
    ".attn_1.q.weight",
    ".attn_1.k.weight",
    ".attn_1.v.weight",
    ".skip_connection.weight",
    ".nin_shortcut.weight",
];

/// Entries under canonical names, without those nobody needs.
pub(crate) fn canonical(entries: Entries) -> Entries {
    let entries = upscaler::names::canonical(entries);
    let mut renamed = Vec::new();
    let mut kept = Entries::new();
    for (name, mut entry) in entries {
        if ignored(&name) {
            continue;
        }
        if is_checkpoint_name(&name) {
            widen(&name, &mut entry);
        }
        match renamed_text(&name, &entry) {
            Some(entries) => renamed.extend(entries),
            None => _ = kept.insert(name, entry),
        }
    }
    for (name, entry) in renamed {
        kept.entry(name).or_insert(entry);
    }
    kept
}

/// Gives the weight of a pointwise convolution, by its canonical name, four dimensions.
pub(crate) fn widen(name: &str, entry: &mut Entry) {
    if entry.shape.len() == 2 && POINTWISE.iter().any(|end| name.ends_with(end)) {
        entry.shape.extend([1, 1]);
    }
}

/// Whether a name as found in a file is one that nobody needs.
pub(crate) fn ignored(name: &str) -> bool {
    name.ends_with(".position_ids")
        || IGNORED_NAMES.contains(&name)
        || IGNORED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn is_checkpoint_name(name: &str) -> bool {
    name.starts_with("model.diffusion_model.") || name.starts_with("first_stage_model.")
}

/// A tensor of a text encoder that has another name here; `None` for all others.
fn renamed_text(name: &str, entry: &Entry) -> Option<Vec<(String, Entry)>> {
    let alone = |name| vec![(name, entry.clone())];
    if let Some(part) = old_text(name) {
        return Some(alone(format!("{TEXT}text_model.{part}")));
    }
    match name.strip_prefix(FIRST_OF_TWO) {
        Some(part) => Some(alone(format!("{TEXT}{part}"))),
        None => open_clip::canonical(name, entry),
    }
}

/// What follows the text encoder's prefix in an old name.
fn old_text(name: &str) -> Option<&str> {
    let part = name.strip_prefix(TEXT)?;
    OLD_TEXT_PARTS.iter().any(|start| part.starts_with(start)).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Data, Element, Entry};
    use impasto_tensor::DType;

    fn entries(names: &[(&str, &[usize])]) -> Entries {
        let entry = |shape: &[usize]| Entry {
            element: Element::Readable(DType::F32),
            shape: shape.to_vec(),
            data: Data::InFile(0..0),
        };
        names.iter().map(|(name, shape)| ((*name).to_owned(), entry(shape))).collect()
    }

    #[test]
    fn renames_drops_and_widens() {
        let found = canonical(entries(&[
            ("model_ema.diffusion_modelx", &[1]),
            ("betas", &[1000]),
            ("sqrt_alphas_cumprod", &[1000]),
            ("cond_stage_model.transformer.text_model.embeddings.position_ids", &[1, 77]),
            ("cond_stage_model.transformer.encoder.layers.0.mlp.fc1.bias", &[8]),
            ("cond_stage_model.transformer.text_model.final_layer_norm.bias", &[2]),
            ("cond_stage_model.transformer.final_layer_norm.bias", &[3]),
            ("first_stage_model.decoder.mid.attn_1.q.weight", &[4, 4]),
            ("model.diffusion_model.out.0.bias", &[4]),
            ("conditioner.embedders.0.transformer.text_model.encoder.layers.0.mlp.fc2.bias", &[8]),
            ("conditioner.embedders.1.model.logit_scale", &[]),
            ("conditioner.embedders.1.model.ln_final.bias", &[8]),
        ]));
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.bias",
                "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc2.bias",
                "cond_stage_model.transformer.text_model.final_layer_norm.bias",
                "cond_stage_model_2.transformer.text_model.final_layer_norm.bias",
                "first_stage_model.decoder.mid.attn_1.q.weight",
                "model.diffusion_model.out.0.bias",
            ]
        );
        assert_eq!(found["first_stage_model.decoder.mid.attn_1.q.weight"].shape, [4, 4, 1, 1]);
        assert_eq!(found["cond_stage_model.transformer.text_model.final_layer_norm.bias"].shape, [2]);
    }
}
