//! Trajectories that begin from pictures, and those of two passes.

use crate::fake;
use crate::trajectory::{finish, kind};
use impasto_diffusion::{Answer, ImageSpec, Step, Trajectory};
use impasto_domain::{
    AsideKind, Asides, Bitmap, FromPicture, GenerationRequest, Hires, Inpainting, MaskedContent, ResizeMode,
    Sampler, Schedule,
};
use impasto_weights::Prediction::Epsilon;
use std::sync::Arc;

pub(crate) fn bitmap(width: u32, height: u32, grey: impl Fn(u32) -> u8) -> Bitmap {
    let rows = (0..height).flat_map(|_| 0..width);
    Bitmap { width, height, rgba: rows.flat_map(|x| [grey(x), grey(x), grey(x), 255]).collect() }
}

pub(crate) fn source() -> FromPicture {
    FromPicture {
        images: vec![bitmap(48, 32, |x| (x * 5) as u8)],
        resize_mode: ResizeMode::Stretch,
        denoising_strength: 0.5,
        fix_steps: false,
        noise_multiplier: 1.0,
        extra_noise: 0.0,
        color_correction: false,
        background: [255; 3],
        inpainting: None,
        image_cfg_scale: None,
        hash: None,
    }
}

pub(crate) fn inpainting() -> Inpainting {
    Inpainting {
        mask: bitmap(48, 32, |x| if x < 24 { 0 } else { 255 }),
        latent_mask: None,
        round: true,
        invert: false,
        blur: [0, 0],
        content: MaskedContent::Original,
        only_masked: false,
        padding: 0,
        overlay: false,
        soft: None,
    }
}

pub(crate) fn request(sampler: Sampler, source: FromPicture) -> GenerationRequest {
    GenerationRequest {
        from_picture: Some(Arc::new(source)),
        ..fake::request(sampler, Schedule::Automatic, 4)
    }
}

pub(crate) fn hires(upscaler: &str) -> Hires {
    Hires {
        scale: 2.0,
        width: 0,
        height: 0,
        upscaler: upscaler.to_owned(),
        tiles: [192, 8],
        steps: 3,
        denoising_strength: 0.7,
        sampler: None,
        schedule: None,
        prompt: None,
        negative_prompt: None,
        model: None,
        token_merging_ratio: 0.0,
        first_networks: false,
        first_picture: None,
    }
}

/// What a trajectory asks for, and the steps in all that it tells at first.
fn kinds(mut trajectory: Trajectory) -> String {
    let mut kinds = Vec::new();
    loop {
        let step = trajectory.next().unwrap();
        kinds.push(kind(&step));
        let Some(answer) = fake::answer(&step, Epsilon) else { return kinds.join(" ") };
        trajectory.answer(answer).unwrap();
        // Stored and loaded wherever there are no texts to lose.
        if matches!(step, Step::EncodeImage(_) | Step::Upscale(_) | Step::Decode(_)) {
            let stored = serde_json::to_string(&trajectory).unwrap();
            trajectory = serde_json::from_str(&stored).unwrap();
        }
    }
}

/// The latent that is decoded at the end.
fn latent(request: &GenerationRequest) -> Vec<f32> {
    let mut trajectory = fake::trajectory(request, Epsilon);
    loop {
        let step = trajectory.next().unwrap();
        if let Step::Decode(query) = &step {
            return query.latent.data().to_vec();
        }
        trajectory.answer(fake::answer(&step, Epsilon).unwrap()).unwrap();
    }
}

#[test]
fn a_picture_is_encoded_first_and_made_anew_in_part() {
    // Half of four steps, and the one at which noise is put on.
    let asked = kinds(fake::trajectory(&request(Sampler::Euler, source()), Epsilon));
    let count = |word: &str| asked.split(' ').filter(|asked| *asked == word).count();
    assert!(asked.starts_with("encode ") && asked.ends_with("decode done"), "{asked}");
    assert_eq!((count("encode"), count("denoise"), count("decode")), (1, 3, 1));
    let ddim = kinds(fake::trajectory(&request(Sampler::Ddim, source()), Epsilon));
    assert_eq!(ddim.matches("denoise").count(), 1, "{ddim}");
}

#[test]
fn little_strength_changes_little() {
    let close = |strength: f64| {
        let made = latent(&request(Sampler::Euler, FromPicture { denoising_strength: strength, ..source() }));
        // The first row's cells of the picture: means of 8 pixels, five levels apart.
        let picture = |cell: usize| (cell as f32 * 40.0 + 17.5) / 255.0 * 2.0 - 1.0;
        (0..6).map(|cell| (made[cell] - picture(cell)).abs()).fold(0.0, f32::max)
    };
    assert!(close(0.0) < 0.1, "{}", close(0.0));
    assert!(close(0.5) > 2.0 * close(0.0) && close(1.0) > close(0.25), "{} {}", close(0.25), close(1.0));
}

#[test]
fn a_mask_keeps_the_rest_of_the_latent() {
    for sampler in [Sampler::Euler, Sampler::Ddim, Sampler::DpmPp2mSde] {
        for content in [MaskedContent::Original, MaskedContent::LatentNoise, MaskedContent::LatentNothing] {
            let masked = Inpainting { content, ..inpainting() };
            let made = latent(&request(sampler, FromPicture { inpainting: Some(masked), ..source() }));
            let mut changed = 0;
            for (at, value) in made.iter().enumerate() {
                let column = at % 6;
                let far = (value - (column as f32 * 40.0 + 17.5) / 255.0 * 2.0 + 1.0).abs() > 1e-4;
                assert!(column >= 3 || !far, "{sampler:?} {content:?} {at}: {value}");
                changed += usize::from(far);
            }
            assert!(changed > 40, "{sampler:?} {content:?}: {changed} of 48");
        }
    }
    let inverted = Inpainting { invert: true, ..inpainting() };
    let made = latent(&request(Sampler::Euler, FromPicture { inpainting: Some(inverted), ..source() }));
    assert!((made[5] - ((5.0 * 40.0 + 17.5) / 255.0 * 2.0 - 1.0)).abs() < 0.02);
}

#[test]
fn only_masked_comes_back_at_the_size_of_the_original() {
    let images = vec![bitmap(96, 64, |x| x as u8)];
    let mask = bitmap(96, 64, |x| if (40..56).contains(&x) { 255 } else { 0 });
    let masked = Inpainting { mask, only_masked: true, padding: 4, overlay: true, ..inpainting() };
    let source = FromPicture { images, inpainting: Some(masked), ..source() };
    let made = finish(fake::trajectory(&request(Sampler::Euler, source), Epsilon));
    assert_eq!((made.width, made.height), (96, 64));
    assert_eq!((made.rgb[0], made.rgb[3 * 95]), (0, 95));
}

#[test]
fn a_latent_may_be_stretched_instead_of_its_picture() {
    let images = vec![bitmap(24, 16, |x| (x * 10) as u8)];
    let made =
        latent(&request(Sampler::Euler, FromPicture { images, resize_mode: ResizeMode::Latent, ..source() }));
    assert_eq!(made.len(), 4 * 4 * 6);
}

#[test]
fn a_second_pass_enlarges_the_first() {
    let plain = fake::request(Sampler::Euler, Schedule::Automatic, 2);
    let asked = |upscaler: &str| {
        let request = GenerationRequest { hires: Some(hires(upscaler)), ..plain.clone() };
        let trajectory = fake::trajectory(&request, Epsilon);
        assert_eq!(trajectory.progress(), (0, 5));
        kinds(trajectory)
    };
    let text = "text text ";
    let passes =
        |between: &str| format!("{text}denoise denoise {between}{text}denoise denoise denoise decode done");
    let without_text = |asked: String| asked.replace("text ", "");
    for (upscaler, between) in [
        ("Latent", ""),
        ("Latent (nearest-exact)", ""),
        ("Lanczos", "decode encode "),
        ("Nearest", "decode encode "),
        ("R-ESRGAN 4x+", "decode upscale encode "),
    ] {
        assert_eq!(without_text(asked(upscaler)), without_text(passes(between)), "{upscaler}");
    }
    let request = GenerationRequest { hires: Some(hires("Latent")), ..plain.clone() };
    let made = finish(fake::trajectory(&request, Epsilon));
    assert_eq!((made.width, made.height), (96, 64));
    // The middle of what covers the size.
    let cropped = Hires { width: 64, height: 64, ..hires("Lanczos") };
    let made =
        finish(fake::trajectory(&GenerationRequest { hires: Some(cropped), ..plain.clone() }, Epsilon));
    assert_eq!((made.width, made.height), (64, 64));
    // No strength at all is no reason to fail.
    let still = Hires { denoising_strength: 0.0, ..hires("Latent") };
    let made = finish(fake::trajectory(&GenerationRequest { hires: Some(still), ..plain }, Epsilon));
    assert_eq!((made.width, made.height), (96, 64));
}

#[test]
fn ending_early_leaves_the_second_pass_out() {
    let request = GenerationRequest {
        hires: Some(hires("Lanczos")),
        ..fake::request(Sampler::Euler, Schedule::Automatic, 2)
    };
    for steps in 0..9 {
        let mut trajectory = fake::trajectory(&request, Epsilon);
        for _ in 0..steps {
            let step = trajectory.next().unwrap();
            if let Some(answer) = fake::answer(&step, Epsilon) {
                trajectory.answer(answer).unwrap();
            }
        }
        trajectory.finish_early();
        let mut left = 0;
        let made = loop {
            let step = trajectory.next().unwrap();
            if let Step::Done(made) = step {
                break made;
            }
            trajectory.answer(fake::answer(&step, Epsilon).unwrap()).unwrap();
            left += 1;
        };
        assert!(left <= 2 && (made.width == 48 || made.width == 96), "{steps}: {left} steps, {}", made.width);
    }
}

#[test]
fn answers_of_another_kind_are_refused() {
    let mut trajectory = fake::trajectory(&request(Sampler::Euler, source()), Epsilon);
    let step = trajectory.next().unwrap();
    assert_eq!(kind(&step), "encode");
    for bad in [
        Answer::Decoded(impasto_tensor::Array::zeros([3, 32, 48])),
        Answer::Encoded(impasto_tensor::Array::zeros([3, 4, 6])),
        Answer::Encoded(impasto_tensor::Array::zeros([4])),
    ] {
        assert!(trajectory.clone().answer(bad).is_err());
    }
    let none = FromPicture { images: Vec::new(), ..source() };
    let spec = ImageSpec::of(&request(Sampler::Euler, none), 0, (512, 512));
    assert!(Trajectory::new(spec, &fake::model(Epsilon)).is_err());
}

#[test]
fn a_second_pass_may_begin_with_a_given_picture() {
    let given = Some(Arc::new(bitmap(24, 16, |x| (x * 10) as u8)));
    let asked = |upscaler: &str| {
        let hires = Hires { first_picture: given.clone(), ..hires(upscaler) };
        let plain = fake::request(Sampler::Euler, Schedule::Automatic, 2);
        fake::trajectory(&GenerationRequest { hires: Some(hires), ..plain }, Epsilon)
    };
    for (upscaler, before) in
        [("Latent", "encode"), ("Lanczos", "encode"), ("R-ESRGAN 4x+", "upscale encode")]
    {
        let steps = kinds(asked(upscaler)).replace("text ", "");
        assert_eq!(steps, format!("{before} denoise denoise denoise decode done"), "{upscaler}");
        let made = finish(asked(upscaler));
        assert_eq!((made.width, made.height), (96, 64), "{upscaler}");
        let mut early = asked(upscaler);
        early.finish_early();
        assert!(finish(early).width > 0);
    }
}

#[test]
fn pictures_beside_the_finished_one_are_kept_if_wanted() {
    let all = Asides { before_hires: true, before_color_correction: true, mask: true, mask_composite: true };
    let kinds = |request: GenerationRequest| {
        let mut trajectory = fake::trajectory(&GenerationRequest { asides: all, ..request }, Epsilon);
        while let Some(answer) = fake::answer(&trajectory.next().unwrap(), Epsilon) {
            trajectory.answer(answer).unwrap();
        }
        let asides = trajectory.take_asides();
        assert!(trajectory.take_asides().is_empty());
        asides
    };
    let masked = Inpainting { overlay: true, ..inpainting() };
    let source = FromPicture { inpainting: Some(masked), color_correction: true, ..source() };
    let asides = kinds(request(Sampler::Euler, source.clone()));
    let found: Vec<AsideKind> = asides.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(found, [AsideKind::BeforeColorCorrection, AsideKind::Mask, AsideKind::MaskComposite]);
    let pixel = |at: usize, x: usize| &asides[at].1.rgba[4 * x..4 * x + 4];
    assert_eq!((pixel(1, 0), pixel(1, 47)), (&[0, 0, 0, 255][..], &[255, 255, 255, 255][..]));
    assert_eq!((pixel(2, 0)[3], pixel(2, 47)[3]), (0, 255));
    // What a mask keeps is the original's before and after; the rest differs from it.
    assert_eq!(pixel(0, 3)[..3], [15, 15, 15]);
    for upscaler in ["Latent", "Lanczos"] {
        let plain = fake::request(Sampler::Euler, Schedule::Automatic, 2);
        let asides = kinds(GenerationRequest { hires: Some(hires(upscaler)), ..plain });
        let found: Vec<_> = asides.iter().map(|(kind, bitmap)| (*kind, bitmap.width)).collect();
        assert_eq!(found, [(AsideKind::BeforeHires, 48)], "{upscaler}");
    }
    // Nothing is kept that nobody wants.
    let mut trajectory = fake::trajectory(&request(Sampler::Euler, source), Epsilon);
    while let Some(answer) = fake::answer(&trajectory.next().unwrap(), Epsilon) {
        trajectory.answer(answer).unwrap();
    }
    assert!(trajectory.take_asides().is_empty() && !trajectory.is_early());
}
