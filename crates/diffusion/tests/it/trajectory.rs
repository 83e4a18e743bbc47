//! Whole trajectories on networks made of formulas.

use crate::fake;
use impasto_diffusion::{Answer, ImageSpec, Picture, RowOutput, Step, Trajectory, TrajectoryError};
use impasto_domain::{GenerationRequest, Sampler, SamplerOptions, Schedule};
use impasto_tensor::Array;
use impasto_weights::Prediction::Epsilon;

fn ancestral(steps: u32) -> GenerationRequest {
    fake::request(Sampler::EulerAncestral, Schedule::Automatic, steps)
}

pub(crate) fn kind(step: &Step) -> &'static str {
    match step {
        Step::EncodeText(_) => "text",
        Step::Denoise(_) => "denoise",
        Step::EncodeImage(_) => "encode",
        Step::Upscale(_) => "upscale",
        Step::Decode(_) => "decode",
        Step::Done(_) => "done",
    }
}

/// Answers one step; the picture, if it was the last.
fn advance(trajectory: &mut Trajectory) -> Option<Picture> {
    let step = trajectory.next().unwrap();
    match (fake::answer(&step, Epsilon), step) {
        (Some(answer), _) => {
            trajectory.answer(answer).unwrap();
            None
        }
        (None, Step::Done(picture)) => Some(picture),
        (None, step) => panic!("{} has no answer", kind(&step)),
    }
}

pub(crate) fn finish(mut trajectory: Trajectory) -> Picture {
    loop {
        if let Some(picture) = advance(&mut trajectory) {
            return picture;
        }
    }
}

#[test]
fn goes_from_text_over_steps_to_a_picture() {
    let mut trajectory = fake::trajectory(&GenerationRequest { clip_skip: 2, ..ancestral(3) }, Epsilon);
    let mut kinds = Vec::new();
    let mut progress = Vec::new();
    loop {
        let (step, again) = (trajectory.next().unwrap(), trajectory.next().unwrap());
        assert_eq!(format!("{step:?}"), format!("{again:?}"), "a step is the same until it is answered");
        kinds.push(kind(&step));
        if let Step::EncodeText(query) = &step {
            assert_eq!((query.chunks.len(), query.clip_skip), (1, 2));
        }
        progress.push(trajectory.progress());
        let Some(answer) = fake::answer(&step, Epsilon) else { break };
        trajectory.answer(answer).unwrap();
    }
    assert_eq!(kinds, ["text", "text", "denoise", "denoise", "denoise", "decode", "done"]);
    assert_eq!(progress, [(0, 3), (0, 3), (0, 3), (1, 3), (2, 3), (3, 3), (3, 3)]);
    let picture = finish(trajectory);
    assert_eq!((picture.width, picture.height, picture.rgb.len()), (48, 32, 3 * 48 * 32));
}

#[test]
fn rows_are_conditional_first_and_share_latent_and_time() {
    let mut trajectory = fake::trajectory(&GenerationRequest { cfg_scale: 1.0, ..ancestral(2) }, Epsilon);
    advance(&mut trajectory);
    advance(&mut trajectory);
    let Step::Denoise(query) = trajectory.next().unwrap() else { panic!("a denoising step") };
    let [with, without] = &query.rows[..] else { panic!("two rows, with a cfg_scale of 1 too") };
    assert_eq!(with.timestep, 999.0);
    assert_eq!((with.timestep, &with.latent), (without.timestep, &without.latent));
    assert_eq!(with.context.shape(), [77, 2]);
    assert_ne!(with.context, without.context);
}

#[test]
fn contexts_of_different_length_are_not_padded() {
    let long = GenerationRequest { prompt: "a BREAK b BREAK c".into(), ..ancestral(1) };
    let mut trajectory = fake::trajectory(&long, Epsilon);
    advance(&mut trajectory);
    advance(&mut trajectory);
    let Step::Denoise(query) = trajectory.next().unwrap() else { panic!("a denoising step") };
    let lengths: Vec<usize> = query.rows.iter().map(|row| row.context.shape()[0]).collect();
    assert_eq!(lengths, [231, 77]);
}

/// The contexts of each call, by the prompt's part and then the negative prompt; equal ones have one letter.
fn contexts(mut trajectory: Trajectory) -> String {
    let mut known: Vec<std::sync::Arc<Array>> = Vec::new();
    let mut told = Vec::new();
    loop {
        let step = trajectory.next().unwrap();
        if let Step::Denoise(query) = &step {
            let letter = |context: &std::sync::Arc<Array>| {
                let at = known.iter().position(|other| std::sync::Arc::ptr_eq(other, context));
                let at = at.unwrap_or_else(|| {
                    known.push(context.clone());
                    known.len() - 1
                });
                char::from(b'a' + at as u8)
            };
            told.push(query.rows.iter().map(|row| &row.context).map(letter).collect::<String>());
        }
        let Some(answer) = fake::answer(&step, Epsilon) else { return told.join(" ") };
        trajectory.answer(answer).unwrap();
    }
}

#[test]
fn prompts_change_while_the_picture_is_made() {
    let of = |prompt: &str| {
        contexts(fake::trajectory(&GenerationRequest { prompt: prompt.into(), ..ancestral(6) }, Epsilon))
    };
    assert_eq!(of("cat"), "ab ab ab ab ab ab");
    assert_eq!(of("[cat:dog:2]"), "ab ab ab cb cb cb");
    assert_eq!(of("[cat:dog:.5]"), "ab ab ab ab cb cb");
    assert_eq!(of("[cat|dog]"), "ab ab cb ab cb ab");
    assert_eq!(of("cat AND [dog:mouse:1] :0.5"), "abc abc adc adc adc adc");
    assert_eq!(of("cat AND dog AND dog :2"), "abc abc abc abc abc abc");
}

#[test]
fn every_part_guides_by_its_weight() {
    let latent = |prompt: &str, cfg_scale| {
        let request = GenerationRequest { prompt: prompt.into(), cfg_scale, ..ancestral(3) };
        fake::final_latent(fake::trajectory(&request, Epsilon), Epsilon)
    };
    assert_eq!(latent("cat :2", 2.0), latent("cat", 4.0));
    assert_eq!(latent("cat :0.5", 4.0), latent("cat", 2.0));
    assert_ne!(latent("cat AND dog", 2.0), latent("cat", 2.0));
    assert_eq!(latent("cat AND dog :0", 2.0), latent("cat", 2.0));
}

#[test]
fn networks_are_told_and_leave_the_prompt() {
    let request = GenerationRequest { prompt: "wanted<lora:oil:0.5>".into(), ..ancestral(3) };
    let spec = ImageSpec::of(&request, 0, (512, 512));
    assert_eq!((spec.prompt.as_str(), spec.networks.networks.len()), ("wanted", 1));
    assert!(finish(fake::trajectory(&request, Epsilon)) == finish(fake::trajectory(&ancestral(3), Epsilon)));
}

/// Stored and loaded at any point, with the text vectors asked for again, it ends in the same bits.
#[test]
fn a_stored_trajectory_ends_in_the_same_picture() {
    let request = GenerationRequest { prompt: "[cat|(dog:1.5)] AND [mouse:3]".into(), ..ancestral(5) };
    let wanted = finish(fake::trajectory(&request, Epsilon));
    for cut in 0..12 {
        let mut trajectory = fake::trajectory(&request, Epsilon);
        (0..cut).for_each(|_| _ = advance(&mut trajectory));
        let stored = serde_json::to_string(&trajectory).unwrap();
        let restored: Trajectory = serde_json::from_str(&stored).unwrap();
        assert_eq!(restored.progress(), trajectory.progress());
        assert!(finish(restored) == wanted, "cut after {cut} answers");
    }
}

/// Several trajectories stepped in turns, in whatever order, end as each does alone.
#[test]
fn trajectories_do_not_see_each_other() {
    let requests: Vec<GenerationRequest> =
        (0..3).map(|seed| GenerationRequest { seed: Some(seed), ..ancestral(4) }).collect();
    let alone: Vec<Picture> =
        requests.iter().map(|request| finish(fake::trajectory(request, Epsilon))).collect();
    assert!(alone[0] != alone[1], "seeds differ");
    let mut together: Vec<Trajectory> =
        requests.iter().map(|request| fake::trajectory(request, Epsilon)).collect();
    for round in 0..5 {
        for index in [2, 0, 1, 1, 0, 2].into_iter().cycle().skip(round).take(3) {
            advance(&mut together[index]);
        }
    }
    assert!(together.into_iter().map(finish).eq(alone));
}

#[test]
fn images_of_a_request_count_up_their_seeds() {
    let model = fake::model(Epsilon);
    let request = ancestral(1);
    let second = Trajectory::new(ImageSpec::of(&request, 1, (512, 512)), &model).unwrap();
    let same = fake::trajectory(&GenerationRequest { seed: Some(43), ..request }, Epsilon);
    assert!(finish(second) == finish(same));
}

#[test]
fn stopping_early_decodes_the_newest_estimate() {
    let mut trajectory = fake::trajectory(&ancestral(9), Epsilon);
    (0..4).for_each(|_| _ = advance(&mut trajectory));
    let estimate = trajectory.denoised().unwrap().clone();
    trajectory.finish_early();
    let Step::Decode(query) = trajectory.next().unwrap() else { panic!("a decoding step") };
    assert_eq!(*query.latent, estimate);
    assert_eq!(trajectory.progress(), (2, 9));
    finish(trajectory);
}

#[test]
fn stopping_before_the_first_step_decodes_the_noise() {
    let mut trajectory = fake::trajectory(&ancestral(9), Epsilon);
    trajectory.finish_early();
    assert!(trajectory.denoised().is_none());
    let Step::Decode(query) = trajectory.next().unwrap() else { panic!("a decoding step") };
    assert!(query.latent.data().iter().all(|value| value.is_finite()));
    let picture = finish(trajectory.clone());
    trajectory.finish_early();
    assert!(finish(trajectory) == picture, "stopping twice is stopping once");
}

/// A step of DDIM between two of A1111's times is none where there is but one time.
#[test]
fn ddim_of_one_step_makes_none() {
    let mut trajectory = fake::trajectory(&fake::request(Sampler::Ddim, Schedule::Automatic, 1), Epsilon);
    assert_eq!(trajectory.progress(), (0, 0));
    assert_eq!(kind(&trajectory.next().unwrap()), "decode");
}

#[test]
fn odd_sizes_are_rounded_down_to_cells() {
    let odd = GenerationRequest { width: Some(55), height: Some(39), ..ancestral(1) };
    assert!(finish(fake::trajectory(&odd, Epsilon)) == finish(fake::trajectory(&ancestral(1), Epsilon)));
}

#[test]
fn bytes_are_cut_off_not_rounded() {
    let mut trajectory = fake::trajectory(&ancestral(1), Epsilon);
    trajectory.finish_early();
    let mut pixels = Array::zeros([3, 32, 48]);
    pixels.data_mut()[..4].copy_from_slice(&[-7.0, -1.0, 0.999, 7.0]);
    trajectory.answer(Answer::Decoded(pixels)).unwrap();
    let picture = finish(trajectory);
    let reds: Vec<u8> = picture.rgb.iter().step_by(3).copied().take(5).collect();
    assert_eq!(reds, [0, 0, 254, 255, 127]);
}

/// Outputs of zeros, one for each shape.
fn outputs(shapes: &[[usize; 3]]) -> Answer {
    let row = |&shape: &[usize; 3]| RowOutput { output: Array::zeros(shape), features: None };
    Answer::Output(shapes.iter().map(row).collect())
}

#[test]
fn answers_to_other_questions_are_refused() {
    let mut trajectory = fake::trajectory(&ancestral(2), Epsilon);
    let refusal = |trajectory: &mut Trajectory, answer| trajectory.answer(answer).unwrap_err().to_string();
    let output = outputs(&[[4, 4, 6]; 2]);
    assert_eq!(
        refusal(&mut trajectory, output.clone()),
        "the trajectory waits for text vectors, but was given UNet outputs"
    );
    assert_eq!(
        refusal(&mut trajectory, Answer::Text(Array::zeros([2, 77, 2]))),
        "the trajectory waits for text vectors [1, 77, features], but was given [2, 77, 2]"
    );
    advance(&mut trajectory);
    advance(&mut trajectory);
    assert_eq!(
        refusal(&mut trajectory, outputs(&[[4, 4, 6]])),
        "the trajectory waits for 2 UNet outputs [4, 4, 6], but was given 1 of [4, 4, 6]"
    );
    assert_eq!(
        refusal(&mut trajectory, outputs(&[[4, 4, 6], [4, 6, 4]])),
        "the trajectory waits for 2 UNet outputs [4, 4, 6], but was given 2 of [4, 6, 4]"
    );
    trajectory.finish_early();
    assert_eq!(
        refusal(&mut trajectory, Answer::Decoded(Array::zeros([3, 8, 8]))),
        "the trajectory waits for pixels [3, 32, 48], but was given [3, 8, 8]"
    );
    let picture = finish(trajectory.clone());
    advance(&mut trajectory);
    assert_eq!(
        refusal(&mut trajectory, output),
        "the trajectory waits for nothing more, but was given UNet outputs"
    );
    assert!(finish(trajectory) == picture, "a refusal changes nothing");
}

#[test]
fn values_that_are_not_numbers_are_refused_by_the_part_that_made_them() {
    let mut trajectory = fake::trajectory(&ancestral(2), Epsilon);
    let filled = |shape: &[usize], value: f32| {
        let mut array = Array::zeros(shape);
        array.data_mut().fill(value);
        array
    };
    let part = |trajectory: &mut Trajectory, answer| match trajectory.answer(answer) {
        Err(TrajectoryError::NotFinite { part, bad, all }) => (part, bad == all),
        other => panic!("{other:?}"),
    };
    let text = Answer::Text(filled(&[1, 77, 2], f32::NAN));
    assert_eq!(part(&mut trajectory, text), ("the text encoder", true));
    advance(&mut trajectory);
    advance(&mut trajectory);
    let mut output = filled(&[4, 4, 6], 0.5);
    output.data_mut()[7] = f32::INFINITY;
    let rows = [filled(&[4, 4, 6], 0.5), output].map(|output| RowOutput { output, features: None });
    assert_eq!(part(&mut trajectory, Answer::Output(rows.into())), ("Unet", false));
    trajectory.finish_early();
    let pixels = Answer::Decoded(filled(&[3, 32, 48], f32::NAN));
    assert_eq!(part(&mut trajectory, pixels), ("VAE", true));
}

#[test]
fn a_guidance_that_overflows_fails_instead_of_making_a_black_picture() {
    let mut trajectory = fake::trajectory(&GenerationRequest { cfg_scale: 1e300, ..ancestral(2) }, Epsilon);
    (0..3).for_each(|_| _ = advance(&mut trajectory));
    let error = trajectory.next().unwrap_err().to_string();
    assert!(error.starts_with("a tensor with all NaNs was produced in the sampler"), "{error}");
}

#[test]
fn what_the_model_cannot_do_is_refused_by_field_and_value() {
    let (sound, usual) = (ancestral(2), SamplerOptions::default());
    let cases = [
        (GenerationRequest { steps: 0, ..sound.clone() }, "steps 0 is out of range: allowed are 1 to 1000"),
        (GenerationRequest { width: Some(7), ..sound.clone() }, "width 7 is below this model's 8 pixels"),
        (
            GenerationRequest { width: Some(u32::MAX), height: Some(u32::MAX), ..sound.clone() },
            "size 4294967295x4294967295 is too large for one picture",
        ),
        (
            GenerationRequest { clip_skip: 13, ..sound.clone() },
            "clip_skip 13 is out of range: this model's text encoder allows 1 to 12",
        ),
        (GenerationRequest { cfg_scale: f64::NAN, ..sound.clone() }, "cfg_scale NaN is out of range"),
        (GenerationRequest { eta: Some(-1.0), ..sound.clone() }, "eta -1 is out of range"),
        (GenerationRequest { subseed_strength: 2.0, ..sound.clone() }, "subseed_strength 2 is out of range"),
        (
            GenerationRequest {
                sampler_options: SamplerOptions { sigma_max: 0.01, sigma_min: 0.5, ..usual },
                ..sound.clone()
            },
            "sigma_min 0.5 is out of range: allowed are values below the highest sigma, 0.01",
        ),
    ];
    for (request, message) in cases {
        let spec = ImageSpec::of(&request, 0, (512, 512));
        let error = Trajectory::new(spec, &fake::model(Epsilon)).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn endless_prompts_are_refused_in_good_time() {
    let begun = std::time::Instant::now();
    for unit in ["a", "a ", "a, ", "(", "(a:2)", "\u{1F34E}", "\\", "1", "BREAK ", "[a:1]"] {
        let prompt = unit.repeat((1 << 20) / unit.len());
        let request = GenerationRequest { negative_prompt: prompt, ..ancestral(1) };
        let made = Trajectory::new(ImageSpec::of(&request, 0, (512, 512)), &fake::model(Epsilon));
        if let Err(error) = made {
            let error = error.to_string();
            assert!(error.starts_with("negative_prompt of "), "{error}");
            assert!(
                error.ends_with(" chunks is out of range: allowed are 1 to 256, of 75 tokens each"),
                "{error}"
            );
        }
    }
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
}

proptest::proptest! {
    #[test]
    fn any_prompt_makes_whole_chunks(prompt in r"([a-z ,()\[\]:.0-9\\]|BREAK |word, |\PC){0,200}") {
        let request = GenerationRequest { prompt, ..ancestral(1) };
        let mut trajectory = fake::trajectory(&request, Epsilon);
        let Step::EncodeText(query) = trajectory.next().unwrap() else { panic!("a text step") };
        proptest::prop_assert!(!query.chunks.is_empty());
        proptest::prop_assert!(query.chunks.iter().all(|chunk| chunk.len() == 77));
    }
}
