//! Pictures from pictures, masks and second passes with a real model of hardly any width, against AUTOMATIC1111's way restated
//! over diffusers' networks and k-diffusion's samplers (`goldens/flows.safetensors`).

use crate::fake;
use crate::pictures::{hires, inpainting, source};
use impasto_diffusion::{
    Answer, DecodeQuery, DenoiseQuery, EncodeQuery, ImageSpec, RowOutput, Step, Trajectory,
};
use impasto_domain::{
    Bitmap, FromPicture, GenerationRequest, Hires, Inpainting, MaskedContent, Sampler, Schedule,
};
use impasto_models::{StableDiffusion, VaeEncoder};
use impasto_tensor::reference::ReferenceBackend;
use impasto_tensor::{Array, Precision};
use impasto_testkit::{Golden, assert_close, golden, tiny_checkpoint};
use impasto_weights::Prediction::Epsilon;
use std::sync::Arc;

/// As the specification has it for a trajectory.
const TOLERANCE: f64 = 1e-3;

struct Bench {
    golden: Golden,
    model: StableDiffusion<ReferenceBackend>,
    encoder: VaeEncoder<ReferenceBackend>,
}

impl Bench {
    fn new() -> Self {
        let backend = Arc::new(ReferenceBackend::new());
        let encoder = StableDiffusion::load_encoder(&backend, &tiny_checkpoint()).unwrap();
        let model = StableDiffusion::load(backend, &tiny_checkpoint(), Precision::F32).unwrap();
        Self { golden: golden("flows"), model, encoder }
    }

    fn bitmap(&self, name: &str) -> Bitmap {
        let array = self.golden.array(name);
        let (height, width) = (array.shape()[0], array.shape()[1]);
        let channels = array.data().len() / (height * width);
        let pixel = |pixel: &[f32]| [0, 1, 2].map(|channel| pixel[channel % channels] as u8);
        let rgba = array.data().chunks(channels).flat_map(|values| {
            let [r, g, b] = pixel(values);
            [r, g, b, 255]
        });
        Bitmap { width: width as u32, height: height as u32, rgba: rgba.collect() }
    }

    fn source(&self, strength: f64, inpainting: Option<Inpainting>) -> FromPicture {
        let images = vec![self.bitmap("picture")];
        FromPicture { images, denoising_strength: strength, inpainting, ..source() }
    }

    fn mask(&self, content: MaskedContent) -> Inpainting {
        Inpainting { mask: self.bitmap("mask"), round: false, content, ..inpainting() }
    }

    /// The latent that is decoded at last, and its pixels.
    fn run(&self, request: &GenerationRequest) -> (Array, Array) {
        let spec = ImageSpec::of(request, 0, (48, 64));
        let mut trajectory = Trajectory::new(spec, &fake::model(Epsilon)).unwrap();
        let mut texts = ["context", "uncond"].into_iter().cycle();
        let mut last = None;
        loop {
            let answer = match trajectory.next().unwrap() {
                Step::EncodeText(_) => Answer::Text(self.golden.array(texts.next().unwrap())),
                Step::EncodeImage(EncodeQuery { pixels, .. }) => {
                    let batch = Array::stack(&[&*pixels]).unwrap();
                    Answer::Encoded(self.encoder.encode_mean(&batch).unwrap().unstack().remove(0))
                }
                Step::Denoise(query) => Answer::Output(self.denoise(&query)),
                Step::Decode(DecodeQuery { latent, .. }) => {
                    let batch = Array::stack(&[&*latent]).unwrap();
                    let pixels = self.model.decoder.decode(&batch).unwrap();
                    last = Some((batch, pixels.clone()));
                    Answer::Decoded(pixels.unstack().remove(0))
                }
                Step::Upscale(_) => panic!("there is no network to enlarge with"),
                Step::Done(_) => return last.unwrap(),
            };
            trajectory.answer(answer).unwrap();
        }
    }

    fn denoise(&self, query: &DenoiseQuery) -> Vec<RowOutput> {
        let latents: Vec<&Array> = query.rows.iter().map(|row| &*row.latent).collect();
        let times: Vec<f32> = query.rows.iter().map(|row| row.timestep).collect();
        let contexts: Vec<&Array> = query.rows.iter().map(|row| &*row.context).collect();
        let outputs = self.model.unet.forward(&Array::stack(&latents).unwrap(), &times, &contexts).unwrap();
        outputs.unstack().into_iter().map(|output| RowOutput { output, features: None }).collect()
    }

    fn compare(&self, name: &str, request: &GenerationRequest) -> Array {
        let (latent, pixels) = self.run(request);
        assert_close(name, &latent, &self.golden.array(&format!("{name}.latent")), TOLERANCE);
        pixels
    }
}

fn request(sampler: Sampler, steps: u32, source: Option<FromPicture>) -> GenerationRequest {
    GenerationRequest {
        width: Some(48),
        height: Some(64),
        seed: Some(5),
        cfg_scale: 6.0,
        from_picture: source.map(Arc::new),
        ..fake::request(sampler, Schedule::Automatic, steps)
    }
}

#[test]
fn a_picture_becomes_another_as_in_a1111() {
    let bench = Bench::new();
    let pixels = bench.compare("img2img", &request(Sampler::Euler, 8, Some(bench.source(0.6, None))));
    assert_close("img2img", &pixels, &bench.golden.array("img2img.pixels"), TOLERANCE);
}

#[test]
fn a_mask_keeps_what_it_keeps_in_a1111() {
    let bench = Bench::new();
    let of = |strength, content| Some(bench.source(strength, Some(bench.mask(content))));
    let original = MaskedContent::Original;
    bench.compare("inpaint", &request(Sampler::DpmPp2m, 8, of(0.75, original)));
    bench.compare("inpaint_noise", &request(Sampler::Euler, 8, of(0.9, MaskedContent::LatentNoise)));
    bench.compare("inpaint_ddim", &request(Sampler::Ddim, 10, of(0.7, original)));
}

#[test]
fn a_second_pass_is_as_in_a1111() {
    let bench = Bench::new();
    let second = Hires { scale: 1.5, steps: 5, ..hires("Latent") };
    let request = GenerationRequest { hires: Some(second), ..request(Sampler::Euler, 6, None) };
    bench.compare("hires", &request);
}
