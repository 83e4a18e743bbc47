//! Jobs of several models, and of models that are told of a picture.

use crate::setup::{self, PLAIN, finish, request};
use impasto_domain::{Bitmap, FromPicture, GenerationRequest, Hires, RefinedPass, Refiner, ResizeMode};
use impasto_engine::{BuiltinContent, BuiltinModel, Engine, JobState, JobStatus};
use impasto_weights::{Checkpoint, StableDiffusionConfig};
use std::sync::Arc;

fn tiny_config() -> StableDiffusionConfig {
    Checkpoint::open(&setup::tiny_checkpoint()).unwrap().config().unwrap()
}

/// An engine with the tiny model and others of its size but random weights and so many input channels; memory is for one.
fn engine(folder: &tempfile::TempDir, others: &[(&'static str, usize)]) -> Engine {
    setup::engine(folder, |config| {
        config.model_bytes = 1;
        config.builtin = others
            .iter()
            .map(|&(file_name, channels)| {
                let mut other = tiny_config();
                other.unet.in_channels = channels;
                BuiltinModel { file_name, content: BuiltinContent::Random(Arc::new(other)) }
            })
            .collect();
    })
}

fn run(engine: &Engine, request: &GenerationRequest) -> Arc<JobStatus> {
    let status = finish(engine.submit(request.clone(), PLAIN).unwrap());
    assert_eq!(status.state, JobState::Done, "{:?}", status.error);
    status
}

pub(crate) fn source() -> Arc<FromPicture> {
    Arc::new(FromPicture {
        images: vec![Bitmap { width: 32, height: 32, rgba: [200, 100, 50, 255].repeat(32 * 32) }],
        resize_mode: ResizeMode::Stretch,
        denoising_strength: 0.75,
        fix_steps: false,
        noise_multiplier: 1.0,
        extra_noise: 0.0,
        color_correction: false,
        background: [255; 3],
        inpainting: None,
        image_cfg_scale: Some(1.5),
        hash: None,
    })
}

#[test]
fn another_model_ends_what_one_began() {
    let folder = setup::folder(&["a.safetensors"]);
    let engine = engine(&folder, &[("other.safetensors", 4)]);
    let refiner = |switch_at| {
        Some(Refiner { checkpoint: "other".into(), switch_at, by_steps: true, pass: RefinedPass::Second })
    };
    let plain = GenerationRequest { model: Some("a".into()), batch_size: 2, batch_count: 2, ..request() };
    let of = |switch_at| run(&engine, &GenerationRequest { refiner: refiner(switch_at), ..plain.clone() });
    let (never, halfway) = (of(Some(1.0)), of(Some(0.5)));
    let alone = run(&engine, &plain);
    for ((never, alone), halfway) in never.images.iter().zip(&alone.images).zip(&halfway.images) {
        assert_eq!(never.picture, alone.picture);
        assert_ne!(never.picture, halfway.picture);
        assert!(!never.infotext.contains("Refiner"), "{}", never.infotext);
        let told = &halfway.infotext;
        assert!(told.contains(", Refiner: other [") && told.contains("], Refiner switch at: 0.5"), "{told}");
        assert!(told.contains("Model: a,"), "{told}");
    }
    let entirely = of(None);
    let other = run(&engine, &GenerationRequest { model: Some("other.safetensors".into()), ..plain.clone() });
    assert_eq!(entirely.images[3].picture, other.images[3].picture, "a refiner from the start is the model");
    let missing = Some(Refiner { checkpoint: "nobody".into(), ..refiner(None).unwrap() });
    let error = engine.submit(GenerationRequest { refiner: missing, ..plain }, PLAIN).unwrap_err();
    assert!(error.to_string().contains("nobody"), "{error}");
}

#[test]
fn a_second_pass_may_have_a_model_of_its_own() {
    let folder = setup::folder(&["a.safetensors"]);
    let engine = engine(&folder, &[("other.safetensors", 4)]);
    let hires = |model: Option<&str>| Hires {
        scale: 2.0,
        width: 0,
        height: 0,
        upscaler: "Lanczos".into(),
        tiles: [192, 8],
        steps: 2,
        denoising_strength: 0.7,
        sampler: None,
        schedule: None,
        prompt: None,
        negative_prompt: None,
        model: model.map(str::to_owned),
        token_merging_ratio: 0.0,
        first_networks: false,
        first_picture: None,
    };
    let plain = GenerationRequest { model: Some("a".into()), ..request() };
    let of = |model| run(&engine, &GenerationRequest { hires: Some(hires(model)), ..plain.clone() });
    let (same, other, named) = (of(None), of(Some("other")), of(Some("a.safetensors")));
    assert_eq!(same.images[0].picture, named.images[0].picture);
    assert_ne!(same.images[0].picture, other.images[0].picture);
    let told = &other.images[0].infotext;
    assert!(told.contains("Hires checkpoint: other ["), "{told}");
    assert!(!named.images[0].infotext.contains("Hires checkpoint"));
}

#[test]
fn models_for_inpainting_and_instructions_make_pictures() {
    let folder = setup::folder(&["a.safetensors"]);
    let engine = engine(&folder, &[("inpainting.safetensors", 9), ("instructions.safetensors", 8)]);
    let inpainting = GenerationRequest { model: Some("inpainting".into()), ..request() };
    let status = run(&engine, &inpainting);
    assert!(
        status.images[0].infotext.contains("Conditional mask weight: 1.0"),
        "{}",
        status.images[0].infotext
    );
    run(&engine, &GenerationRequest { from_picture: Some(source()), ..inpainting });
    let instructions = GenerationRequest { model: Some("instructions".into()), ..request() };
    let begun = GenerationRequest { from_picture: Some(source()), ..instructions.clone() };
    let status = run(&engine, &begun);
    assert!(status.images[0].infotext.contains("Image CFG scale: 1.5"), "{}", status.images[0].infotext);
    let error = engine.submit(instructions, PLAIN).unwrap_err().to_string();
    assert!(error.contains("init_images of no pictures will not do"), "{error}");
}

#[test]
fn patterns_and_noise_of_another_size_are_other_pictures() {
    let folder = setup::folder(&["a.safetensors"]);
    let engine = engine(&folder, &[]);
    let plain = run(&engine, &request());
    let tile = run(&engine, &GenerationRequest { tiling: true, ..request() });
    let resized = run(&engine, &GenerationRequest { seed_resize_from: Some((16, 24)), ..request() });
    assert_ne!(plain.images[0].picture, tile.images[0].picture);
    assert_ne!(plain.images[0].picture, resized.images[0].picture);
    assert!(tile.images[0].infotext.contains("Tiling: True"));
    assert!(resized.images[0].infotext.contains("Seed resize from: 16x24"));
}

#[test]
fn faces_stay_as_they_are_and_that_is_told() {
    let folder = setup::folder(&["a.safetensors"]);
    let engine = engine(&folder, &[]);
    let status = run(&engine, &GenerationRequest { restore_faces: true, ..request() });
    assert_eq!(status.images[0].picture, run(&engine, &request()).images[0].picture);
    assert!(status.comments[0].contains("models/GFPGAN"), "{:?}", status.comments);
}
