//! Files for tests: a kilobyte-sized Stable Diffusion 1.x checkpoint, and ways to spoil it.

use impasto_weights::{Checkpoint, WeightsError};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Names and shapes.
pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

/// A folder that vanishes with the test, and a file in it.
pub(crate) struct TestFile {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
}

impl TestFile {
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Self { folder, path }
    }

    pub(crate) fn open(&self) -> Result<Checkpoint, WeightsError> {
        Checkpoint::open(&self.path)
    }

    pub(crate) fn beside(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }
}

/// What opening or understanding a file answers, which must be an error.
pub(crate) fn refusal(path: &Path) -> String {
    match Checkpoint::open(path).and_then(|checkpoint| checkpoint.config()) {
        Ok(config) => panic!("accepted as {config:?}"),
        Err(error) => error.to_string(),
    }
}

/// A safetensors file of zeros.
pub(crate) fn safetensors(shapes: &Shapes, dtype: Dtype, metadata: &[(&str, &str)]) -> Vec<u8> {
    let size = |shape: &[usize]| shape.iter().product::<usize>() * dtype.bitsize() / 8;
    let zeros = vec![0; shapes.values().map(|shape| size(shape)).max().unwrap_or(0)];
    let views: Vec<(&str, TensorView<'_>)> = shapes
        .iter()
        .map(|(name, shape)| {
            (name.as_str(), TensorView::new(dtype, shape.clone(), &zeros[..size(shape)]).unwrap())
        })
        .collect();
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    safetensors::serialize(views, (!metadata.is_empty()).then_some(metadata)).unwrap()
}

/// The tensors of a Stable Diffusion 1.x checkpoint with two UNet levels of 32 and 64 channels, attention on the first
/// only, and an autoencoder of two levels. Written out independently of the crate's own list.
pub(crate) fn tiny_checkpoint() -> Shapes {
    let mut shapes = Shapes::new();
    unet(&mut shapes);
    autoencoder(&mut shapes);
    text(&mut shapes);
    shapes
}

fn put(shapes: &mut Shapes, name: &str, shape: &[usize]) {
    shapes.insert(format!("{name}.weight"), shape.to_vec());
    shapes.insert(format!("{name}.bias"), shape[..1].to_vec());
}

fn unet(shapes: &mut Shapes) {
    let root = "model.diffusion_model";
    put(shapes, &format!("{root}.time_embed.0"), &[128, 32]);
    put(shapes, &format!("{root}.time_embed.2"), &[128, 128]);
    put(shapes, &format!("{root}.input_blocks.0.0"), &[32, 4, 3, 3]);
    put(shapes, &format!("{root}.input_blocks.2.0.op"), &[32, 32, 3, 3]);
    put(shapes, &format!("{root}.output_blocks.1.1.conv"), &[64, 64, 3, 3]);
    put(shapes, &format!("{root}.out.0"), &[32]);
    put(shapes, &format!("{root}.out.2"), &[4, 32, 3, 3]);
    for (block, from, to) in [
        ("input_blocks.1.0", 32, 32),
        ("input_blocks.3.0", 32, 64),
        ("middle_block.0", 64, 64),
        ("middle_block.2", 64, 64),
        ("output_blocks.0.0", 128, 64),
        ("output_blocks.1.0", 96, 64),
        ("output_blocks.2.0", 96, 32),
        ("output_blocks.3.0", 64, 32),
    ] {
        put(shapes, &format!("{root}.{block}.in_layers.0"), &[from]);
        put(shapes, &format!("{root}.{block}.in_layers.2"), &[to, from, 3, 3]);
        put(shapes, &format!("{root}.{block}.emb_layers.1"), &[to, 128]);
        put(shapes, &format!("{root}.{block}.out_layers.0"), &[to]);
        put(shapes, &format!("{root}.{block}.out_layers.3"), &[to, to, 3, 3]);
        if from != to {
            put(shapes, &format!("{root}.{block}.skip_connection"), &[to, from, 1, 1]);
        }
    }
    for (block, c) in [
        ("input_blocks.1.1", 32),
        ("middle_block.1", 64),
        ("output_blocks.2.1", 32),
        ("output_blocks.3.1", 32),
    ] {
        let name = format!("{root}.{block}");
        put(shapes, &format!("{name}.norm"), &[c]);
        put(shapes, &format!("{name}.proj_in"), &[c, c, 1, 1]);
        put(shapes, &format!("{name}.proj_out"), &[c, c, 1, 1]);
        let name = format!("{name}.transformer_blocks.0");
        for (attention, context) in [("attn1", c), ("attn2", 16)] {
            shapes.insert(format!("{name}.{attention}.to_q.weight"), vec![c, c]);
            shapes.insert(format!("{name}.{attention}.to_k.weight"), vec![c, context]);
            shapes.insert(format!("{name}.{attention}.to_v.weight"), vec![c, context]);
            put(shapes, &format!("{name}.{attention}.to_out.0"), &[c, c]);
        }
        for norm in ["norm1", "norm2", "norm3"] {
            put(shapes, &format!("{name}.{norm}"), &[c]);
        }
        put(shapes, &format!("{name}.ff.net.0.proj"), &[8 * c, c]);
        put(shapes, &format!("{name}.ff.net.2"), &[c, 4 * c]);
    }
}

fn autoencoder(shapes: &mut Shapes) {
    let root = "first_stage_model";
    put(shapes, &format!("{root}.quant_conv"), &[8, 8, 1, 1]);
    put(shapes, &format!("{root}.post_quant_conv"), &[4, 4, 1, 1]);
    put(shapes, &format!("{root}.encoder.conv_in"), &[32, 3, 3, 3]);
    put(shapes, &format!("{root}.encoder.down.0.downsample.conv"), &[32, 32, 3, 3]);
    put(shapes, &format!("{root}.encoder.norm_out"), &[64]);
    put(shapes, &format!("{root}.encoder.conv_out"), &[8, 64, 3, 3]);
    put(shapes, &format!("{root}.decoder.conv_in"), &[64, 4, 3, 3]);
    put(shapes, &format!("{root}.decoder.up.1.upsample.conv"), &[64, 64, 3, 3]);
    put(shapes, &format!("{root}.decoder.norm_out"), &[32]);
    put(shapes, &format!("{root}.decoder.conv_out"), &[3, 32, 3, 3]);
    for (block, from, to) in [
        ("encoder.down.0.block.0", 32, 32),
        ("encoder.down.1.block.0", 32, 64),
        ("encoder.mid.block_1", 64, 64),
        ("encoder.mid.block_2", 64, 64),
        ("decoder.mid.block_1", 64, 64),
        ("decoder.mid.block_2", 64, 64),
        ("decoder.up.1.block.0", 64, 64),
        ("decoder.up.1.block.1", 64, 64),
        ("decoder.up.0.block.0", 64, 32),
        ("decoder.up.0.block.1", 32, 32),
    ] {
        put(shapes, &format!("{root}.{block}.norm1"), &[from]);
        put(shapes, &format!("{root}.{block}.conv1"), &[to, from, 3, 3]);
        put(shapes, &format!("{root}.{block}.norm2"), &[to]);
        put(shapes, &format!("{root}.{block}.conv2"), &[to, to, 3, 3]);
        if from != to {
            put(shapes, &format!("{root}.{block}.nin_shortcut"), &[to, from, 1, 1]);
        }
    }
    for part in ["encoder", "decoder"] {
        put(shapes, &format!("{root}.{part}.mid.attn_1.norm"), &[64]);
        for name in ["q", "k", "v", "proj_out"] {
            put(shapes, &format!("{root}.{part}.mid.attn_1.{name}"), &[64, 64, 1, 1]);
        }
    }
}

fn text(shapes: &mut Shapes) {
    let root = "cond_stage_model.transformer.text_model";
    shapes.insert(format!("{root}.embeddings.token_embedding.weight"), vec![600, 16]);
    shapes.insert(format!("{root}.embeddings.position_embedding.weight"), vec![77, 16]);
    put(shapes, &format!("{root}.final_layer_norm"), &[16]);
    for layer in 0..2 {
        let name = format!("{root}.encoder.layers.{layer}");
        put(shapes, &format!("{name}.layer_norm1"), &[16]);
        put(shapes, &format!("{name}.layer_norm2"), &[16]);
        for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            put(shapes, &format!("{name}.self_attn.{part}"), &[16, 16]);
        }
        put(shapes, &format!("{name}.mlp.fc1"), &[64, 16]);
        put(shapes, &format!("{name}.mlp.fc2"), &[16, 64]);
    }
}
