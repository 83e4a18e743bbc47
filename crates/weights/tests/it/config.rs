//! From a file's shapes to a configuration, and what is said of files that have none.

use crate::files::{Shapes, TestFile, refusal, safetensors, tiny_checkpoint};
use impasto_tensor::DType;
use impasto_weights::{Checkpoint, ClipTextConfig, Heads, ModelKind, Prediction, StableDiffusionConfig};
use impasto_weights::{UNetConfig, UNetLevel, VaeConfig};
use safetensors::tensor::Dtype;

fn tiny_config() -> StableDiffusionConfig {
    StableDiffusionConfig {
        text: ClipTextConfig {
            vocabulary: 600,
            positions: 77,
            width: 16,
            layers: 2,
            heads: 1,
            hidden: 64,
            quick_gelu: true,
            pooled: None,
        },
        second_text: None,
        unet: UNetConfig {
            in_channels: 4,
            out_channels: 4,
            model_channels: 32,
            time_features: 128,
            levels: vec![
                UNetLevel { channels: 32, res_blocks: 1, transformer_depth: 1 },
                UNetLevel { channels: 64, res_blocks: 1, transformer_depth: 0 },
            ],
            middle_depth: 1,
            context_features: 16,
            label_features: None,
            heads: Heads::Count(8),
            groups: 32,
        },
        vae: VaeConfig {
            image_channels: 3,
            latent_channels: 4,
            channels: vec![32, 64],
            res_blocks: 1,
            groups: 32,
            scale_factor: 0.18215,
        },
        prediction: Prediction::Epsilon,
        betas: (0.00085, 0.012),
        native_size: (512, 512),
        cfg_scale: None,
    }
}

/// What is said of the tiny checkpoint after a change of its tensors.
fn refusal_after(change: impl FnOnce(&mut Shapes)) -> String {
    let mut shapes = tiny_checkpoint();
    change(&mut shapes);
    refusal(&TestFile::new("m.safetensors", &safetensors(&shapes, Dtype::F16, &[])).path)
}

#[test]
fn shapes_make_the_configuration() {
    for (dtype, wanted) in [(Dtype::F16, DType::F16), (Dtype::BF16, DType::BF16), (Dtype::F32, DType::F32)] {
        let bytes = safetensors(&tiny_checkpoint(), dtype, &[]);
        let file = TestFile::new("m.safetensors", &bytes);
        let checkpoint = file.open().unwrap();
        assert_eq!(checkpoint.kind(), ModelKind::StableDiffusion1);
        assert_eq!(checkpoint.config().unwrap(), tiny_config());
        assert_eq!(checkpoint.bytes(), bytes.len() as u64);
        let tensor = checkpoint.tensor("model.diffusion_model.out.2.weight").unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (wanted, &[4, 32, 3, 3][..]));
        assert!(checkpoint.tensor("absent").unwrap_err().to_string().contains("no tensor `absent`"));
    }
}

/// A file that PyTorch wrote, of the layout the models' tests load.
#[test]
fn the_tiny_golden_model_has_a_configuration() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/tiny.safetensors");
    let checkpoint = Checkpoint::open(path.as_ref()).unwrap();
    let config = checkpoint.config().unwrap();
    assert_eq!((config.text.positions, config.vae.image_channels), (77, 3));
    assert_eq!(config.unet.context_features, config.text.width);
}

#[test]
fn a_checkpoint_inside_the_program_is_the_same() {
    let bytes: &'static [u8] =
        safetensors(&tiny_checkpoint(), Dtype::F16, &[("impasto.unet.heads", "4")]).leak();
    let checkpoint = Checkpoint::from_bytes("demo", bytes).unwrap();
    assert_eq!(checkpoint.config().unwrap().unet.heads, Heads::Count(4));
    assert!(Checkpoint::from_bytes("demo", &bytes[..100]).unwrap_err().to_string().contains("demo"));
}

#[test]
fn the_extension_does_not_matter() {
    let file = TestFile::new("renamed.ckpt", &safetensors(&tiny_checkpoint(), Dtype::F16, &[]));
    assert_eq!(file.open().unwrap().config().unwrap(), tiny_config());
}

#[test]
fn old_names_and_matrices_make_the_same_configuration() {
    let old = |name: &str| {
        name.replace("cond_stage_model.transformer.text_model.", "cond_stage_model.transformer.")
    };
    let mut shapes: Shapes = tiny_checkpoint().into_iter().map(|(name, shape)| (old(&name), shape)).collect();
    for (name, shape) in &mut shapes {
        if name.contains("attn_1") || name.contains("proj_in") {
            shape.truncate(2);
        }
    }
    shapes.insert("model_ema.decay".to_owned(), vec![]);
    shapes.insert("alphas_cumprod".to_owned(), vec![1000]);
    shapes.insert("cond_stage_model.transformer.embeddings.position_ids".to_owned(), vec![1, 77]);
    let file = TestFile::new("m.safetensors", &safetensors(&shapes, Dtype::F16, &[]));
    let checkpoint = file.open().unwrap();
    assert_eq!(checkpoint.config().unwrap(), tiny_config());
    assert!(checkpoint.names().eq(tiny_checkpoint().keys().map(String::as_str)));
}

#[test]
fn metadata_and_files_beside_tell_the_rest() {
    let metadata =
        [("impasto.unet.heads", "4"), ("impasto.text.heads", "2"), ("modelspec.resolution", "128x64")];
    let file = TestFile::new("m.safetensors", &safetensors(&tiny_checkpoint(), Dtype::F16, &metadata));
    let config = file.open().unwrap().config().unwrap();
    assert_eq!((config.unet.heads, config.text.heads, config.native_size), (Heads::Count(4), 2, (128, 64)));

    file.beside("m.json", r#"{"impasto.unet.heads":2,"impasto.scale_factor":0.5,"impasto.cfg_scale":4}"#);
    let config = file.open().unwrap().config().unwrap();
    assert_eq!((config.unet.heads, config.vae.scale_factor, config.text.heads), (Heads::Count(2), 0.5, 2));
    assert_eq!(config.cfg_scale, Some(4.0));

    file.beside(
        "m.yaml",
        "model:\n  params:\n    parameterization: \"v\"\n    unet_config:\n      num_heads: 16\n",
    );
    let config = file.open().unwrap().config().unwrap();
    assert_eq!((config.unet.heads, config.prediction), (Heads::Count(16), Prediction::Velocity));

    file.beside("m.json", "not json");
    file.beside("m.yaml", "\u{0}: [");
    assert_eq!(file.open().unwrap().config().unwrap().unet.heads, Heads::Count(4));
}

#[test]
fn odd_metadata_is_one_error() {
    for (key, value, wanted) in [
        ("impasto.unet.heads", "0", "whole number"),
        ("impasto.unet.heads", "7", "cannot be split into 7 heads"),
        ("impasto.unet.head_features", "3", "cannot be split into 3 features a head"),
        ("impasto.unet.groups", "5", "cannot be split into 5 groups"),
        ("impasto.scale_factor", "nan", "positive"),
    ] {
        let file =
            TestFile::new("m.safetensors", &safetensors(&tiny_checkpoint(), Dtype::F16, &[(key, value)]));
        let message = refusal(&file.path);
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn wrong_tensors_are_named() {
    let convolution = "model.diffusion_model.output_blocks.3.0.in_layers.2.weight";
    let gone = refusal_after(|shapes| _ = shapes.remove(convolution));
    assert!(
        gone.contains(
            "`model.diffusion_model.output_blocks.3.0.in_layers.2.weight` [32, 64, 3, 3] is missing"
        )
    );
    let odd = refusal_after(|shapes| _ = shapes.insert(convolution.to_owned(), vec![32, 64, 1, 1]));
    assert!(odd.contains("has shape [32, 64, 1, 1], wanted [32, 64, 3, 3]"), "{odd}");
    let attention = "first_stage_model.decoder.up.0.attn.0.q.bias";
    let extra = refusal_after(|shapes| _ = shapes.insert(attention.to_owned(), vec![1]));
    assert!(extra.contains("`first_stage_model.decoder.up.0.attn.0.q.bias` is not expected"), "{extra}");
    let text = refusal_after(|shapes| shapes.retain(|name, _| !name.starts_with("cond_stage_model")));
    assert!(text.contains("text_model.embeddings.token_embedding.weight` is missing"), "{text}");
    let many = refusal_after(|shapes| shapes.retain(|name, _| !name.contains("output_blocks")));
    assert!(many.contains(" more") && many.len() < 1000, "{many}");
    let blind = refusal_after(|shapes| shapes.retain(|name, _| !name.contains("attn2")));
    assert!(blind.contains("no cross attention"), "{blind}");
    let misfit = refusal_after(|shapes| {
        for (name, shape) in shapes {
            if name.ends_with("attn2.to_k.weight") || name.ends_with("attn2.to_v.weight") {
                shape[1] = 24;
            }
        }
    });
    assert!(misfit.contains("24 context features of the UNet do not fit 16"), "{misfit}");
}

#[test]
fn absurd_shapes_are_refused() {
    for (name, shape) in [
        ("model.diffusion_model.input_blocks.0.0.weight", &[0, 4, 3, 3][..]),
        ("model.diffusion_model.input_blocks.0.0.weight", &[]),
        ("model.diffusion_model.input_blocks.0.0.weight", &[0, usize::MAX, 4]),
        ("model.diffusion_model.time_embed.0.weight", &[0, usize::MAX]),
        ("first_stage_model.decoder.conv_in.weight", &[0, 1 << 40, 1 << 20, 3]),
        ("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", &[0, 0]),
    ] {
        let message = refusal_after(|shapes| _ = shapes.insert(name.to_owned(), shape.to_vec()));
        assert!(message.contains(name), "{name} {shape:?}: {message}");
    }
}

#[test]
fn element_types_are_checked() {
    for (dtype, wanted) in [(Dtype::F8_E4M3, "F8_E4M3"), (Dtype::I64, "I64"), (Dtype::U8, "U8")] {
        let file = TestFile::new("m.safetensors", &safetensors(&tiny_checkpoint(), dtype, &[]));
        let message = refusal(&file.path);
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn foreign_files_are_called_by_their_names() {
    let shapes = |names: &[(&str, &[usize])]| -> Vec<u8> {
        let shapes = names.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect();
        safetensors(&shapes, Dtype::F16, &[])
    };
    for (bytes, wanted) in [
        (vec![], "empty"),
        (b"<html><body>404</body></html>".to_vec(), "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "git-lfs"),
        (b"GGUF....".to_vec(), "GGUF"),
        (shapes(&[("lora_unet_x.lora_down.weight", &[4, 8])]), "LoRA"),
        (shapes(&[("conditioner.embedders.0.model.ln_final.weight", &[1280])]), "refiner"),
        (shapes(&[("emb_params", &[1, 8])]), "embedding"),
        (shapes(&[]), "no known kind"),
    ] {
        let message = refusal(&TestFile::new("x.safetensors", &bytes).path);
        assert!(message.starts_with("x.safetensors is ") && message.contains(wanted), "{message}");
        assert!(message.contains("supported are Stable Diffusion 1.x"), "{message}");
    }
}

#[test]
fn folders_pipes_and_absent_files_are_errors() {
    let file = TestFile::new("model_index.json", b"{}");
    assert!(refusal(file.folder.path()).contains("diffusers folder"));
    assert!(
        refusal(&file.folder.path().join("absent.safetensors")).contains("cannot read absent.safetensors")
    );
    if cfg!(unix) {
        assert!(refusal("/dev/null".as_ref()).contains("not a regular file"));
    }
}

#[test]
fn a_file_cut_while_open_is_an_error() {
    let file = TestFile::new("m.safetensors", &safetensors(&tiny_checkpoint(), Dtype::F16, &[]));
    let checkpoint = file.open().unwrap();
    std::fs::File::options().write(true).open(&file.path).unwrap().set_len(4096).unwrap();
    let tensor = checkpoint.tensor("model.diffusion_model.out.2.weight").unwrap();
    let message = tensor.read().unwrap_err().to_string();
    assert!(message.contains("became shorter"), "{message}");
}
