//! Trajectories of several models, of models that are told of a picture, and with soft seams.

use crate::fake;
use crate::pictures::{bitmap, hires, inpainting, request, source};
use crate::trajectory::kind;
use impasto_diffusion::{Answer, ImageSpec, ModelFacts, ModelSlot, Models, RowOutput, Step, Trajectory};
use impasto_domain::{
    Conditioning, FromPicture, GenerationRequest, Inpainting, RefinedPass, Refiner, Sampler, Schedule,
    SoftInpainting,
};
use impasto_tensor::Array;
use impasto_weights::Prediction::{Epsilon, Velocity};
use std::sync::Arc;

fn begin(request: &GenerationRequest, models: Models<'_>) -> Trajectory {
    Trajectory::new(ImageSpec::of(request, 0, (512, 512)), models).unwrap()
}

/// What is asked of which model, until the picture is there; texts are left out, and whether a refiner was at work.
fn asked(mut trajectory: Trajectory) -> (String, bool) {
    let mut asked = String::new();
    loop {
        let step = trajectory.next().unwrap();
        let model = match trajectory.model() {
            ModelSlot::First => "1",
            ModelSlot::Second => "2",
            ModelSlot::Refiner => "r",
        };
        match &step {
            Step::Done(_) => return (asked, trajectory.is_refined()),
            Step::EncodeText(_) => {}
            Step::Denoise(_) => asked.push_str(model),
            other => asked.extend([" ", kind(other), model, " "]),
        }
        trajectory.answer(fake::answer(&step, Epsilon).unwrap()).unwrap();
    }
}

fn refined(switch_at: Option<f64>, by_steps: bool, pass: RefinedPass) -> GenerationRequest {
    let refiner = Refiner { checkpoint: "other".into(), switch_at, by_steps, pass };
    GenerationRequest { refiner: Some(refiner), ..fake::request(Sampler::Euler, Schedule::Automatic, 8) }
}

#[test]
fn a_refiner_takes_over_on_the_way() {
    let (first, other) = (fake::model(Epsilon), fake::model(Velocity));
    let models = || Models { refiner: Some(&other), ..Models::from(&first) };
    let of = |switch_at, by_steps| asked(begin(&refined(switch_at, by_steps, RefinedPass::Second), models()));
    assert_eq!(of(Some(0.5), true), ("1111rrrr decoder ".to_owned(), true));
    // Times from 999 in steps of 142.7: the fifth is at 428.
    assert_eq!(of(Some(0.5), false), ("1111rrrr decoder ".to_owned(), true));
    assert_eq!(of(Some(0.58), false), ("11111rrr decoder ".to_owned(), true));
    assert_eq!(of(None, false), ("rrrrrrrr decoder ".to_owned(), true));
    assert_eq!(of(Some(1.0), true), ("11111111 decode1 ".to_owned(), false));
    let alone = asked(begin(&refined(Some(0.5), true, RefinedPass::Second), Models::from(&first)));
    assert_eq!(alone, ("11111111 decode1 ".to_owned(), false), "without a model, nothing takes over");
    let smaller = ModelFacts { latent_channels: 3, ..fake::model(Epsilon) };
    let spec = ImageSpec::of(&refined(Some(0.5), true, RefinedPass::Second), 0, (512, 512));
    let error =
        Trajectory::new(spec, Models { refiner: Some(&smaller), ..Models::from(&first) }).unwrap_err();
    assert!(error.to_string().contains("refiner_checkpoint other takes other latents"), "{error}");
}

#[test]
fn a_refiner_and_the_second_pass_share_the_way() {
    let (first, second, refiner) = (fake::model(Epsilon), fake::model(Epsilon), fake::model(Epsilon));
    let of = |pass, second| {
        let request =
            GenerationRequest { hires: Some(hires("Lanczos")), steps: 2, ..refined(Some(0.5), true, pass) };
        asked(begin(&request, Models { first: &first, second, refiner: Some(&refiner) })).0
    };
    assert_eq!(of(RefinedPass::First, None), "1r decoder  encode1 111 decode1 ");
    assert_eq!(of(RefinedPass::Second, None), "11 decode1  encode1 11r decoder ");
    assert_eq!(of(RefinedPass::Both, Some(&second)), "1r decoder  encode2 22r decoder ");
}

/// The rows of the first call of the UNet, and the pixels that were encoded before it.
fn told(request: &GenerationRequest, model: &ModelFacts) -> (Vec<Array>, Vec<Array>) {
    let mut trajectory = begin(request, Models::from(model));
    let mut encoded = Vec::new();
    loop {
        let step = trajectory.next().unwrap();
        match &step {
            Step::Denoise(query) => {
                return (query.rows.iter().map(|row| (*row.latent).clone()).collect(), encoded);
            }
            Step::EncodeImage(query) => encoded.push((*query.pixels).clone()),
            _ => {}
        }
        trajectory.answer(fake::answer(&step, Epsilon).unwrap()).unwrap();
    }
}

fn channel(row: &Array, channel: usize) -> &[f32] {
    &row.data()[channel * 24..(channel + 1) * 24]
}

#[test]
fn models_for_inpainting_are_told_what_is_hidden() {
    let model = ModelFacts { conditioning: Conditioning::Inpainting, ..fake::model(Epsilon) };
    let (rows, encoded) = told(&fake::request(Sampler::Euler, Schedule::Automatic, 4), &model);
    assert_eq!((rows[0].shape(), rows.len(), encoded.len()), (&[9, 4, 6][..], 2, 1));
    assert!(encoded[0].data().iter().all(|&value| value == 0.0), "without a picture all is grey");
    assert!(channel(&rows[0], 4).iter().all(|&value| value == 1.0));
    let masked = FromPicture { inpainting: Some(inpainting()), ..source() };
    let (rows, encoded) = told(&request(Sampler::Euler, masked.clone()), &model);
    assert_eq!(encoded.len(), 2);
    let (whole, hidden) = (encoded[0].data(), encoded[1].data());
    assert!(
        whole
            .iter()
            .zip(hidden)
            .enumerate()
            .all(|(at, (whole, hidden))| { if at % 48 < 24 { whole == hidden } else { *hidden == 0.0 } })
    );
    assert_eq!(channel(&rows[0], 4)[..6], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    assert_eq!(channel(&rows[0], 5)[5], 0.0, "what is hidden is grey");
    let half = GenerationRequest { inpainting_mask_weight: 0.5, ..request(Sampler::Euler, masked) };
    let (_, encoded) = told(&half, &model);
    assert!((encoded[1].data()[40] - encoded[0].data()[40] * 0.5).abs() < 1e-6);
    let (rows, _) = told(&request(Sampler::Euler, source()), &model);
    assert!(channel(&rows[0], 4).iter().all(|&value| value == 1.0), "without a mask all is painted anew");
    let ending = asked(begin(
        &GenerationRequest {
            hires: Some(hires("Latent")),
            ..fake::request(Sampler::Euler, Schedule::Automatic, 2)
        },
        Models::from(&model),
    ));
    assert_eq!(ending.0, " encode1 11 encode1 111 decode1 ", "each pass is told at its size");
}

#[test]
fn models_that_follow_instructions_are_guided_by_the_picture() {
    let model = ModelFacts { conditioning: Conditioning::Instructions, ..fake::model(Epsilon) };
    let guided = FromPicture { image_cfg_scale: Some(1.5), ..source() };
    let (rows, encoded) = told(&request(Sampler::Euler, guided.clone()), &model);
    assert_eq!((rows.len(), rows[0].shape(), encoded.len()), (3, &[8, 4, 6][..], 1));
    let latent = (17.5f32 / 255.0 * 2.0 - 1.0) / 0.18215;
    assert!((channel(&rows[0], 4)[0] - latent).abs() < 1e-4, "unscaled: {}", channel(&rows[0], 4)[0]);
    assert_eq!(rows[0], rows[1]);
    assert!(channel(&rows[2], 4).iter().all(|&value| value == 0.0));
    for scale in [None, Some(1.0)] {
        let plain = FromPicture { image_cfg_scale: scale, ..source() };
        assert_eq!(told(&request(Sampler::Euler, plain), &model).0.len(), 2);
    }
    let spec = ImageSpec::of(&fake::request(Sampler::Euler, Schedule::Automatic, 4), 0, (512, 512));
    let error = Trajectory::new(spec, &model).unwrap_err().to_string();
    assert!(error.contains("this model follows instructions about a picture"), "{error}");

    // Outputs that say 1, 2 and 4 at a step of one sigma: 4 + 7 (1 - 2) + 1.5 (2 - 4), times minus sigma.
    let asked = GenerationRequest { cfg_scale: 7.0, ..request(Sampler::Euler, guided) };
    let mut trajectory = begin(&asked, Models::from(&model));
    let (before, after) = loop {
        let step = trajectory.next().unwrap();
        let Step::Denoise(query) = &step else {
            trajectory.answer(fake::answer(&step, Epsilon).unwrap()).unwrap();
            continue;
        };
        let rows = [1.0, 2.0, 4.0].map(|value| {
            let mut output = Array::zeros([4, 4, 6]);
            output.data_mut().fill(value);
            RowOutput { output, features: None }
        });
        let scaled = query.rows[0].latent.data()[0];
        trajectory.answer(Answer::Output(rows.to_vec())).unwrap();
        break (scaled, trajectory.denoised().unwrap().data()[0]);
    };
    // The scaled latent x / sqrt(sigma^2 + 1) and the estimate x + 6 sigma.
    let sigma = (1..2000).map(|n| n as f32 * 0.01).min_by(|a, b| {
        let off = |sigma: f32| (before * (sigma * sigma + 1.0).sqrt() + 6.0 * sigma - after).abs();
        off(*a).total_cmp(&off(*b))
    });
    let off = |sigma: f32| (before * (sigma * sigma + 1.0).sqrt() + 6.0 * sigma - after).abs();
    assert!(off(sigma.unwrap()) < 0.1, "no sigma explains {before} and {after}");
}

#[test]
fn soft_seams_keep_what_has_not_changed() {
    let mask = bitmap(192, 32, |x| if x < 96 { 0 } else { 255 });
    let soft = Inpainting { mask, soft: Some(SoftInpainting::default()), blur: [6, 6], ..inpainting() };
    let images = vec![bitmap(192, 32, |x| x as u8)];
    let request = GenerationRequest {
        width: Some(192),
        from_picture: Some(Arc::new(FromPicture { images, inpainting: Some(soft), ..source() })),
        ..fake::request(Sampler::Euler, Schedule::Automatic, 6)
    };
    let mut trajectory = begin(&request, Models::from(&fake::model(Epsilon)));
    let picture = loop {
        match trajectory.next().unwrap() {
            Step::Done(picture) => break picture,
            Step::Decode(_) => {
                let pixels = Array::new([3, 32, 192], vec![1.0; 3 * 32 * 192]).unwrap();
                let stored = serde_json::to_string(&trajectory).unwrap();
                trajectory = serde_json::from_str(&stored).unwrap();
                trajectory.answer(Answer::Decoded(pixels)).unwrap();
            }
            step => trajectory.answer(fake::answer(&step, Epsilon).unwrap()).unwrap(),
        }
    };
    let row: Vec<u8> = picture.rgb.iter().step_by(3).take(192).copied().collect();
    assert!(row[0] < 8 && row[40].abs_diff(40) < 8, "what has not changed is the original: {row:?}");
    assert!(row[191] > 247 && row[140] > 240, "what has changed is new: {row:?}");
}
