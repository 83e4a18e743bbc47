//! For tests: a world with a few names, and a painter whose pictures are one colour, a function of the request.

use crate::{
    Answer, Ask, Base, Composition, Context, Etas, Look, Made, Names, Outcome, Painted, Script, ScriptError,
    Tab, Wording,
};
use impasto_domain::{
    Bitmap, FromPicture, GenerationRequest, RefinedPass, Refiner, RequestLimits, ResizeMode, Style,
};
use impasto_imaging::{Lettering, Rgb};
use serde_json::Value;
use std::sync::Arc;

pub(crate) struct World;

impl Names for World {
    fn model(&self, name: &str) -> Option<String> {
        self.models().into_iter().find(|title| title.contains(name))
    }

    fn models(&self) -> Vec<String> {
        ["one.safetensors [0123456789]", "sub/two.safetensors"].map(str::to_owned).to_vec()
    }

    fn upscalers(&self) -> Vec<String> {
        ["None", "Lanczos", "Nearest"].map(str::to_owned).to_vec()
    }

    fn vaes(&self) -> Vec<String> {
        vec!["soft.vae.pt".to_owned()]
    }
}

pub(crate) fn base(prompt: &str) -> Base {
    let styles = vec![Style { name: "oil".to_owned(), prompt: "in oil".to_owned(), ..Style::default() }];
    Base {
        request: GenerationRequest {
            prompt: prompt.to_owned(),
            width: Some(64),
            height: Some(32),
            seed: Some(10),
            subseed: Some(20),
            ..GenerationRequest::default()
        },
        styles: Vec::new(),
        wording: Arc::new(Wording { styles, drops_comments: true, most_bytes: 1 << 16 }),
        etas: Etas { asked: None, ddim: 0.0, ancestral: 1.0 },
        refiner: Refiner {
            checkpoint: String::new(),
            switch_at: None,
            by_steps: false,
            pass: RefinedPass::default(),
        },
        saved: true,
    }
}

/// The same from a picture.
pub(crate) fn base_from(picture: &Rgb) -> Base {
    let mut base = base("a cat");
    let (width, height) = picture.size();
    base.request.from_picture = Some(Arc::new(FromPicture {
        images: vec![Bitmap { width, height, rgba: picture.to_rgba().into_samples() }],
        resize_mode: ResizeMode::Stretch,
        denoising_strength: 0.75,
        fix_steps: false,
        noise_multiplier: 1.0,
        extra_noise: 0.0,
        color_correction: false,
        background: [255; 3],
        inpainting: None,
        image_cfg_scale: None,
        hash: None,
    }));
    base
}

pub(crate) fn look() -> Look {
    Look {
        return_grid: true,
        only_if_multiple: true,
        n_rows: -1,
        prevent_empty_spots: false,
        most_megapixels: 200,
        colors: [[0; 3], [153; 3], [255; 3]],
        lettering: Lettering::roboto().unwrap(),
    }
}

pub(crate) fn begin(
    script: &str,
    arguments: &Value,
    base: Base,
    tab: Tab,
) -> Result<Box<dyn Composition>, ScriptError> {
    begin_with(script, arguments, base, tab, look())
}

pub(crate) fn begin_with(
    script: &str,
    arguments: &Value,
    base: Base,
    tab: Tab,
    look: Look,
) -> Result<Box<dyn Composition>, ScriptError> {
    let mut drawn = 1000;
    let mut draw = || {
        drawn += 1;
        drawn
    };
    let wording = base.wording.clone();
    let mut context = Context {
        tab,
        limits: RequestLimits::default(),
        names: &World,
        draw: &mut draw,
        look,
        styles: &wording.styles,
        overlay: true,
    };
    Script::find(script, tab)?.begin(arguments.as_array().unwrap(), base, &mut context)
}

/// Why a script is refused.
pub(crate) fn refusal(script: &str, arguments: &Value, base: Base, tab: Tab) -> String {
    begin(script, arguments, base, tab).unwrap_err().to_string()
}

/// The pictures of a request, each of one colour.
pub(crate) fn paint(request: &GenerationRequest) -> Outcome {
    assert_eq!(request.validate(&RequestLimits::default(), (64, 64)), Ok(()));
    let (width, height) = (request.width.unwrap(), request.height.unwrap());
    let painted = |index: u32| {
        let seed = request.seeds(index).seed;
        let color = [seed as u8, request.steps as u8, request.prompt.len() as u8];
        let infotext = format!(
            "{}\nSteps: {}, Seed: {seed}, Size: {width}x{height}, Version: x",
            request.prompt, request.steps
        );
        Painted { picture: Arc::new(Rgb::filled(width, height, color).unwrap()), infotext, index }
    };
    Outcome { pictures: (0..request.image_count()).map(painted).collect(), ..Outcome::default() }
}

/// Drives a composition to its end, and gives the requests too.
pub(crate) fn run(composition: Box<dyn Composition>) -> (Vec<GenerationRequest>, Made) {
    run_until(composition, usize::MAX)
}

/// Drives a composition until so many requests are painted, as if it were interrupted then.
pub(crate) fn run_until(
    mut composition: Box<dyn Composition>,
    most: usize,
) -> (Vec<GenerationRequest>, Made) {
    let mut seen = Vec::new();
    while seen.len() < most {
        let answer = match composition.next().unwrap() {
            Ask::Nothing => {
                let batches: u32 = seen.iter().map(|request: &GenerationRequest| request.batch_count).sum();
                assert_eq!(composition.batches(), batches, "batches are told beforehand");
                break;
            }
            Ask::Generate(requests) => {
                let outcomes = requests.iter().map(paint).collect();
                seen.extend(requests);
                Answer::Generated(outcomes)
            }
            Ask::Upscale { picture, upscaler, factor } => {
                assert_ne!(upscaler, "None");
                Answer::Upscaled(
                    impasto_imaging::upscale(&picture, factor, |picture| {
                        picture.resize(
                            (f64::from(picture.width()) * factor) as u32,
                            (f64::from(picture.height()) * factor) as u32,
                            impasto_imaging::Filter::Nearest,
                        )
                    })
                    .map_err(|error: impasto_imaging::ImagingError| error)
                    .unwrap(),
                )
            }
        };
        composition.take(answer).unwrap();
    }
    let made = composition.finish().unwrap();
    (seen, made)
}

/// What answers have: sizes of the pictures.
pub(crate) fn shown(made: &Made) -> Vec<(u32, u32)> {
    made.pieces.iter().filter(|piece| piece.shown).map(|piece| piece.picture.size()).collect()
}
