//! Stable Diffusion XL: from the names and shapes of a file to a configuration, and what is said of files that are damaged.

use crate::files::{Shapes, TestFile, safetensors};
use impasto_weights::{Checkpoint, ClipTextConfig, Heads, ModelKind, UNetLevel};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

/// What shapes cannot tell of the golden file.
const FACTS: [(&str, &str); 5] = [
    ("impasto.text.heads", "2"),
    ("impasto.second_text.heads", "3"),
    ("impasto.unet.head_features", "4"),
    ("impasto.unet.groups", "4"),
    ("impasto.vae.groups", "4"),
];

fn golden_bytes() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/tiny_xl.safetensors")).unwrap()
}

/// The golden file, its tensors all zeros, after a change of their names and shapes.
fn changed(change: impl FnOnce(&mut Shapes)) -> TestFile {
    let bytes = golden_bytes();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut shapes: Shapes =
        file.tensors().into_iter().map(|(name, view)| (name, view.shape().to_vec())).collect();
    change(&mut shapes);
    TestFile::new("xl.safetensors", &safetensors(&shapes, Dtype::F16, &FACTS))
}

fn refusal_after(change: impl FnOnce(&mut Shapes)) -> String {
    changed(change).open().unwrap().networks().unwrap_err().to_string()
}

#[test]
fn names_and_shapes_make_the_configuration() {
    let checkpoint = TestFile::new("xl.safetensors", &golden_bytes()).open().unwrap();
    assert_eq!(checkpoint.kind(), ModelKind::StableDiffusionXl);
    let config = checkpoint.networks().unwrap();
    let first = ClipTextConfig {
        vocabulary: 576,
        positions: 77,
        width: 16,
        layers: 3,
        heads: 2,
        hidden: 64,
        quick_gelu: true,
        pooled: None,
    };
    let second = ClipTextConfig {
        width: 24,
        heads: 3,
        hidden: 96,
        quick_gelu: false,
        pooled: Some(20),
        ..first.clone()
    };
    assert_eq!((config.text, config.second_text), (first, Some(second)));
    let level = |channels, transformer_depth| UNetLevel { channels, res_blocks: 1, transformer_depth };
    assert_eq!(config.unet.levels, [level(8, 0), level(8, 1), level(16, 2)]);
    assert_eq!((config.unet.middle_depth, config.unet.heads), (2, Heads::Features(4)));
    assert_eq!((config.unet.context_features, config.unet.label_features), (40, Some(68)));
    assert_eq!((config.vae.scale_factor, config.native_size), (0.13025, (64, 64)));
    let error = checkpoint.config().unwrap_err().to_string();
    assert!(error.contains("a Stable Diffusion XL base checkpoint, which is not supported"), "{error}");
}

#[test]
fn the_fused_projection_and_the_turned_one_are_the_same_numbers() {
    let bytes = golden_bytes();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let checkpoint = TestFile::new("xl.safetensors", &bytes).open().unwrap();
    let tensor = |name: &str| checkpoint.tensor(name).unwrap().read().unwrap().to_f32();
    let stored = |name: &str| {
        let view = file.tensor(name).unwrap();
        view.data().chunks(2).map(|pair| half::f16::from_le_bytes([pair[0], pair[1]]).to_f32()).collect()
    };
    let fused: Vec<f32> = stored("conditioner.embedders.1.model.transformer.resblocks.2.attn.in_proj_weight");
    let layer = "cond_stage_model_2.transformer.text_model.encoder.layers.2.self_attn";
    let parts = ["q", "k", "v"].map(|part| tensor(&format!("{layer}.{part}_proj.weight")));
    assert_eq!(parts.concat(), fused);
    let projection: Vec<f32> = stored("conditioner.embedders.1.model.text_projection");
    let turned = tensor("cond_stage_model_2.transformer.text_projection.weight");
    assert_eq!((projection.len(), turned.len()), (24 * 20, 24 * 20));
    for (at, number) in turned.into_iter().enumerate() {
        assert_eq!(number, projection[at % 24 * 20 + at / 24]);
    }
}

#[test]
fn wrong_tensors_are_named() {
    let model = "conditioner.embedders.1.model";
    let layer = format!("{model}.transformer.resblocks.1");
    let gone = refusal_after(|shapes| _ = shapes.remove(&format!("{layer}.attn.in_proj_bias")));
    let found = "encoder.layers.1.self_attn.k_proj.bias` [24] is missing";
    assert!(gone.contains(found) && gone.contains("XL base checkpoint, but not a complete one"), "{gone}");
    let odd = refusal_after(|shapes| {
        _ = shapes.insert(format!("{layer}.attn.in_proj_weight"), vec![71, 24]);
    });
    assert!(odd.contains("attn.in_proj_weight` is not expected"), "{odd}");
    let extra = refusal_after(|shapes| _ = shapes.insert(format!("{model}.visual.proj"), vec![2]));
    assert!(extra.contains("visual.proj` is not expected"), "{extra}");
    let pooled = refusal_after(|shapes| _ = shapes.remove(&format!("{model}.text_projection")));
    assert!(pooled.contains("text_projection.weight` is missing"), "{pooled}");
    let label = "model.diffusion_model.label_emb.0.0.weight";
    let none = refusal_after(|shapes| _ = shapes.remove(label));
    assert!(none.contains(&format!("`{label}` is missing")), "{none}");
    for features in [20, 67, 69] {
        let misfit = refusal_after(|shapes| _ = shapes.insert(label.to_owned(), vec![32, features]));
        let wanted = format!("{features} label features of the UNet are not the 20");
        assert!(misfit.contains(&wanted), "{misfit}");
    }
    let first = refusal_after(|shapes| shapes.retain(|name, _| !name.contains("embedders.0")));
    assert!(first.contains("text_model.embeddings.token_embedding.weight` is missing"), "{first}");
    let context = refusal_after(|shapes| {
        for (name, shape) in shapes {
            if name.ends_with("attn2.to_k.weight") || name.ends_with("attn2.to_v.weight") {
                shape[1] = 24;
            }
        }
    });
    assert!(context.contains("24 context features of the UNet do not fit 40"), "{context}");
}

#[test]
fn absurd_shapes_are_refused() {
    let model = "conditioner.embedders.1.model";
    let label = "model.diffusion_model.label_emb.0.0.weight";
    for (name, shape, wanted) in [
        (format!("{model}.text_projection"), &[0, usize::MAX][..], "text_projection.weight` is missing"),
        (format!("{model}.text_projection"), &[0, 0], "text_projection.weight` is missing"),
        (
            format!("{model}.transformer.resblocks.0.attn.in_proj_weight"),
            &[0, usize::MAX],
            "self_attn.q_proj.weight` [24, 24] is missing",
        ),
        (format!("{model}.positional_embedding"), &[], "position_embedding.weight` has shape []"),
        (label.to_owned(), &[0], "label_emb.0.0.weight` has shape [0]"),
    ] {
        let message = refusal_after(|shapes| _ = shapes.insert(name, shape.to_vec()));
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn a_file_cut_while_open_is_an_error() {
    let file = changed(|_| ());
    let checkpoint: Checkpoint = file.open().unwrap();
    std::fs::File::options().write(true).open(&file.path).unwrap().set_len(4096).unwrap();
    let name = "cond_stage_model_2.transformer.text_projection.weight";
    let message = checkpoint.tensor(name).unwrap().read().unwrap_err().to_string();
    assert!(message.contains("became shorter"), "{message}");
}
