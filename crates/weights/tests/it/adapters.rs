//! Adapter files, well-formed and not.

use impasto_weights::{AdapterChange, AdapterFile, AdapterKeys, AdapterLayers, StableDiffusionConfig};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};

/// A layer of 320 outputs and inputs.
const LAYER: &str = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
const CANONICAL: &str = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q";

fn keys() -> AdapterKeys {
    AdapterKeys::new(&StableDiffusionConfig::stable_diffusion_1_5())
}

/// What a file of these tensors, all ones, changes.
fn read(tensors: &[(String, Vec<usize>)]) -> AdapterLayers {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter.safetensors");
    let data: Vec<Vec<u8>> =
        tensors.iter().map(|(_, shape)| 1.0_f32.to_le_bytes().repeat(shape.iter().product())).collect();
    let views = tensors.iter().zip(&data).map(|((name, shape), data)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap())
    });
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    AdapterFile::open(&path).unwrap().read(&keys()).unwrap()
}

fn parts(layer: &str, parts: &[(&str, &[usize])]) -> Vec<(String, Vec<usize>)> {
    parts.iter().map(|(part, shape)| (format!("{layer}{part}"), shape.to_vec())).collect()
}

#[test]
fn kinds_are_told_by_their_parts() {
    let kind = |list: &[(&str, &[usize])]| {
        let found = read(&parts(LAYER, list));
        assert!(found.left_out.is_empty(), "{:?}", found.left_out);
        found.layers[CANONICAL].clone()
    };
    let low_rank = kind(&[(".lora_down.weight", &[4, 320]), (".lora_up.weight", &[320, 4]), (".alpha", &[])]);
    assert!(matches!(low_rank.change, AdapterChange::LowRank { .. }));
    assert_eq!(low_rank.scale, 0.25);
    let dora =
        kind(&[(".lora_down.weight", &[4, 320]), (".lora_up.weight", &[320, 4]), (".dora_scale", &[1, 320])]);
    assert!(!dora.dora.unwrap().of_outputs);
    let loha = kind(&[
        (".hada_w1_a", &[320, 4]),
        (".hada_w1_b", &[4, 320]),
        (".hada_w2_a", &[320, 4]),
        (".hada_w2_b", &[4, 320]),
    ]);
    assert!(matches!(loha.change, AdapterChange::Hadamard(_)));
    let lokr = kind(&[(".lokr_w1", &[8, 8]), (".lokr_w2_a", &[40, 4]), (".lokr_w2_b", &[4, 40])]);
    assert!(matches!(lokr.change, AdapterChange::Kronecker(_)));
    let ia3 = kind(&[(".weight", &[320]), (".on_input", &[])]);
    assert!(matches!(ia3.change, AdapterChange::Rescale { on_input: true, .. }));
    let glora = kind(&[
        (".a1.weight", &[4, 320]),
        (".a2.weight", &[320, 4]),
        (".b1.weight", &[4, 320]),
        (".b2.weight", &[320, 4]),
    ]);
    assert!(matches!(glora.change, AdapterChange::Generalised { .. }));
    let oft = kind(&[(".oft_blocks", &[8, 40, 40]), (".alpha", &[])]);
    assert!(matches!(oft.change, AdapterChange::Orthogonal { constraint: Some(1.0), .. }));
    let full = kind(&[(".diff", &[320, 320]), (".diff_b", &[320])]);
    assert!(matches!(full.change, AdapterChange::Full(_)) && full.bias.is_some());
}

#[test]
fn what_does_not_fit_is_left_out_and_told() {
    let mut tensors = parts(LAYER, &[(".lora_down.weight", &[4, 320]), (".lora_up.weight", &[320, 5])]);
    tensors.extend(parts("lora_unet_nowhere", &[(".lora_down.weight", &[4, 320])]));
    tensors.extend(parts(
        "lora_unet_mid_block_attentions_0_proj_in",
        &[(".lora_down.weight", &[4, 1280, 1, 1])],
    ));
    tensors.extend(parts(
        "lora_te_text_model_encoder_layers_0_mlp_fc1",
        &[(".lora_down.weight", &[2, 768]), (".lora_up.weight", &[3072, 2])],
    ));
    let found = read(&tensors);
    assert_eq!(found.layers.len(), 1);
    assert_eq!(
        found.left_out,
        [
            "lora_unet_nowhere.lora_down.weight".to_owned(),
            format!("{CANONICAL}: `up` has the shape [320, 5], 1280 elements are wanted"),
            "model.diffusion_model.middle_block.1.proj_in: no `up`".to_owned(),
        ]
    );
}

/// Every spelling of a part.
const SUFFIXES: &[&str] = &[
    "lora_down.weight",
    "lora_up.weight",
    "lora_mid.weight",
    "alpha",
    "scale",
    "dora_scale",
    "hada_w1_a",
    "hada_w1_b",
    "hada_w2_a",
    "hada_w2_b",
    "hada_t1",
    "hada_t2",
    "lokr_w1",
    "lokr_w1_a",
    "lokr_w1_b",
    "lokr_w2",
    "lokr_w2_a",
    "lokr_w2_b",
    "lokr_t2",
    "weight",
    "on_input",
    "diff",
    "diff_b",
    "w_norm",
    "b_norm",
    "a1.weight",
    "a2.weight",
    "b1.weight",
    "b2.weight",
    "oft_blocks",
    "oft_diag",
    "nonsense",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_parts_of_any_shape_panic(
        chosen in prop::collection::vec((0..SUFFIXES.len(), prop::collection::vec(0_usize..6, 0..5)), 1..9),
        layer in prop::sample::select(vec![
            LAYER, "lora_unet_conv_in", "lora_unet_conv_norm_out", "lora_unet_down_blocks_0_resnets_0_conv1",
        ]),
    ) {
        let mut tensors: Vec<_> =
            chosen.into_iter().map(|(at, shape)| (format!("{layer}.{}", SUFFIXES[at]), shape)).collect();
        tensors.sort();
        tensors.dedup_by(|a, b| a.0 == b.0);
        let found = read(&tensors);
        prop_assert!(found.layers.len() <= 1);
    }
}
