//! Adapters: names that trainers give to layers and parts, and shapes that fit or do not.

use impasto_weights::{AdapterFile, AdapterKeys, Checkpoint, StableDiffusionConfig};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;
use std::sync::OnceLock;

pub(crate) const WORDS: &[&[u8]] = &[
    b"lora_unet_",
    b"lora_te_text_model_encoder_layers_0_self_attn_q_proj",
    b"unet.",
    b"text_encoder.",
    b"base_model.model.",
    b".processor",
    b"down_blocks_0_attentions_0_proj_in",
    b".lora_down.weight",
    b".lora_up.weight",
    b".lora_mid.weight",
    b".lora_A.weight",
    b".alpha",
    b".dora_scale",
    b".hada_w1_a",
    b".hada_t1",
    b".lokr_w1",
    b".lokr_w2_a",
    b".lokr_t2",
    b".weight",
    b".on_input",
    b".diff",
    b".diff_b",
    b".a1.weight",
    b".b2.weight",
    b".oft_blocks",
    b".oft_diag",
    b" 4 320\n",
    b" 320 4\n",
    b" 0\n",
    b" 1 1 1 1\n",
    b"\n",
    b" ",
];

/// Most elements of a tensor.
const MOST_ELEMENTS: usize = 1 << 14;
/// Most tensors.
const MOST_TENSORS: usize = 64;

/// Lines of a tensor's name and its sides, made a file of ones, and read as changes of a model.
pub(crate) fn adapter(bytes: &[u8]) {
    static KEYS: OnceLock<AdapterKeys> = OnceLock::new();
    static ONES: [u8; 4 * MOST_ELEMENTS] = [0x3f; 4 * MOST_ELEMENTS];
    let text = String::from_utf8_lossy(bytes);
    let mut tensors = BTreeMap::new();
    for line in text.lines().take(MOST_TENSORS) {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default().to_owned();
        let shape: Vec<usize> = words.filter_map(|word| word.parse().ok()).collect();
        let elements = shape.iter().try_fold(1_usize, |product, &side| product.checked_mul(side));
        let Some(elements) = elements.filter(|&elements| elements <= MOST_ELEMENTS) else { continue };
        if let Ok(view) = TensorView::new(Dtype::F32, shape, &ONES[..4 * elements]) {
            tensors.insert(name, view);
        }
    }
    let Ok(file) = safetensors::serialize(tensors, None) else { return };
    let Ok(checkpoint) = Checkpoint::from_bytes("adapter", file) else { return };
    let keys = KEYS.get_or_init(|| AdapterKeys::new(&StableDiffusionConfig::stable_diffusion_1_5()));
    let _ = AdapterFile::from(checkpoint).read(keys);
}
