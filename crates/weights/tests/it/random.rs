//! Checkpoints of random weights.

use impasto_tensor::DType;
use impasto_weights::{Checkpoint, Heads, ModelKind, Prediction, StableDiffusionConfig};

/// Differs from Stable Diffusion 1.5 in everything that shapes do not tell.
fn odd_config() -> StableDiffusionConfig {
    let mut config = StableDiffusionConfig::stable_diffusion_1_5();
    config.unet.heads = Heads::Count(5);
    config.unet.groups = 20;
    config.vae.groups = 16;
    config.vae.scale_factor = 0.13025;
    config.text.heads = 3;
    config.prediction = Prediction::Velocity;
    config.betas = (0.001, 0.02);
    config.native_size = (768, 640);
    config.cfg_scale = Some(4.5);
    config
}

#[test]
fn a_random_checkpoint_is_told_as_what_it_was_made_from() {
    for config in [StableDiffusionConfig::stable_diffusion_1_5(), odd_config()] {
        let checkpoint = Checkpoint::random(&config);
        assert_eq!(checkpoint.kind(), ModelKind::StableDiffusion1);
        assert_eq!(checkpoint.config().unwrap(), config);
        // 859,520,964 + 83,653,863 + 123,060,480 parameters of two bytes.
        assert_eq!(checkpoint.bytes(), 2 * 1_066_235_307);
    }
}

/// Differs from Stable Diffusion XL in what shapes do not tell of it alone.
fn odd_xl_config() -> StableDiffusionConfig {
    let mut config = StableDiffusionConfig::stable_diffusion_xl();
    config.unet.heads = Heads::Features(32);
    config.second_text.as_mut().unwrap().heads = 10;
    config
}

#[test]
fn so_is_one_of_xl() {
    for config in [StableDiffusionConfig::stable_diffusion_xl(), odd_xl_config()] {
        let checkpoint = Checkpoint::random(&config);
        assert_eq!(checkpoint.kind(), ModelKind::StableDiffusionXl);
        assert_eq!(checkpoint.networks().unwrap(), config);
        assert!(checkpoint.config().is_err(), "no picture can be made with it");
        // 2,567,463,684 + 83,653,863 + 123,060,480 + 694,659,840 parameters of two bytes.
        assert_eq!(checkpoint.bytes(), 2 * 3_468_837_867);
    }
}

#[test]
fn a_tensor_is_the_same_each_time() {
    let config = StableDiffusionConfig::stable_diffusion_1_5();
    let name = "model.diffusion_model.input_blocks.1.0.in_layers.2.weight";
    let (first, second) = (Checkpoint::random(&config), Checkpoint::random(&config));
    let tensor = first.tensor(name).unwrap();
    assert_eq!((tensor.dtype(), tensor.shape()), (DType::F16, &[320, 320, 3, 3][..]));
    assert_eq!(tensor.read().unwrap().bytes(), second.tensor(name).unwrap().read().unwrap().bytes());
    assert_eq!(tensor.read().unwrap().bytes(), first.tensor(name).unwrap().read().unwrap().bytes());
    let error = first.tensor("model.diffusion_model.label_emb.0.0.weight").unwrap_err().to_string();
    assert!(error.contains("random weights"), "{error}");
}
