//! Networks made of formulas: the denoiser of `reference/make_samplers.py`, and a text encoder and a decoder to go with it.

use impasto_diffusion::{
    Answer, DenoiseRow, Denoiser, Depth, ImageSpec, Level, ModelFacts, Picture, RowOutput, Step, Trajectory,
    classifier_free,
};
use impasto_domain::{Conditioning, GenerationRequest, NoiseSource, Sampler, Schedule};
use impasto_models::Tokenizer;
use impasto_tensor::Array;
use impasto_weights::Prediction;
use std::sync::Arc;

/// A model that can make pictures of 8 pixels a cell.
pub(crate) fn model(prediction: Prediction) -> ModelFacts {
    ModelFacts {
        tokenizer: Arc::new(Tokenizer::new(300).unwrap()),
        embeddings: Arc::default(),
        latent_channels: 4,
        downscale: 8,
        prediction,
        latent_scale: 0.18215,
        conditioning: Conditioning::None,
        betas: (0.00085, 0.012),
        text_layers: 12,
        is_xl: false,
    }
}

/// A picture of 6 x 4 cells, with what `reference/make_samplers.py` chose.
pub(crate) fn request(sampler: Sampler, schedule: Schedule, steps: u32) -> GenerationRequest {
    GenerationRequest {
        prompt: "wanted".into(),
        negative_prompt: "not".into(),
        width: Some(48),
        height: Some(32),
        steps,
        cfg_scale: 3.5,
        sampler,
        schedule,
        seed: Some(42),
        subseed: Some(0),
        noise_source: NoiseSource::Cpu,
        ..GenerationRequest::default()
    }
}

pub(crate) fn trajectory(request: &GenerationRequest, prediction: Prediction) -> Trajectory {
    Trajectory::new(ImageSpec::of(request, 0, (512, 512)), &model(prediction)).unwrap()
}

/// A good answer to any step but the last.
pub(crate) fn answer(step: &Step, prediction: Prediction) -> Option<Answer> {
    Some(match step {
        // The text's mark is its first vector: the mean that its pictures have.
        Step::EncodeText(query) => {
            let text: f32 = query.chunks.concat().iter().map(|&id| id as f32).sum();
            let mut vectors = Array::zeros([query.chunks.len(), 77, 2]);
            vectors.data_mut().fill(text);
            Answer::Text(vectors)
        }
        Step::Denoise(query) => {
            // The prompt's parts, the negative prompt last.
            let means = std::iter::repeat_n(0.4, query.rows.len().max(2) - 1).chain([-0.3]);
            let rows = query.rows.iter().zip(means);
            Answer::Output(rows.map(|(row, mean)| row_output(row, mean, prediction)).collect())
        }
        Step::Decode(query) => {
            let &[_, height, width] = query.latent.shape() else { panic!("a latent has three dimensions") };
            let mut pixels = Array::zeros([3, height * 8, width * 8]);
            // Any difference between latents shows.
            let cell = |index: usize| (query.latent.data()[index % query.latent.data().len()] * 1e3).sin();
            pixels.data_mut().iter_mut().enumerate().for_each(|(index, pixel)| *pixel = cell(index));
            Answer::Decoded(pixels)
        }
        // The mean of each cell's pixels, channel by channel; the last channel is the first again.
        Step::EncodeImage(query) => {
            let &[_, height, width] = query.pixels.shape() else { panic!("pixels have three dimensions") };
            let (rows, columns) = (height / 8, width / 8);
            let mut latent = Array::zeros([4, rows, columns]);
            for (at, value) in latent.data_mut().iter_mut().enumerate() {
                let (channel, row, column) = (at / (rows * columns) % 3, at / columns % rows, at % columns);
                let pixel = |at: usize| {
                    query.pixels.data()[(channel * height + row * 8 + at / 8) * width + column * 8 + at % 8]
                };
                *value = (0..64).map(pixel).sum::<f32>() / 64.0;
            }
            Answer::Encoded(latent)
        }
        Step::Upscale(query) => {
            let (width, height) = query.size;
            Answer::Upscaled(Picture { width, height, rgb: vec![77; (width * height * 3) as usize] })
        }
        Step::Done(_) => return None,
    })
}

/// A row's answer. The deep part of this network is the latent it saw; a part of it goes by that.
fn row_output(row: &DenoiseRow, mean: f64, prediction: Prediction) -> RowOutput {
    let (seen, features) = match &row.depth {
        Depth::Whole => (row.clone(), None),
        Depth::Keep { .. } => (row.clone(), Some(row.latent.clone())),
        Depth::Reuse { features, .. } => (DenoiseRow { latent: features.clone(), ..row.clone() }, None),
    };
    // What a model is told beside the latent is behind it.
    let own: Vec<f32> = seen.latent.data()[..seen.latent.data().len() / seen.latent.shape()[0] * 4].to_vec();
    let shape = [4, seen.latent.shape()[1], seen.latent.shape()[2]];
    let seen = DenoiseRow { latent: Arc::new(Array::new(shape, own).unwrap()), ..seen };
    RowOutput { output: output(&seen, mean, prediction), features }
}

/// The estimate after guidance, and that without the prompt, as a trajectory would tell a sampler.
pub(crate) fn estimates(
    denoiser: &Denoiser,
    latent: &Array,
    level: Level,
    sampler: Sampler,
    prediction: Prediction,
) -> (Array, Array) {
    let (input, timestep) = denoiser.input(latent, level);
    let estimate = |mean| {
        let output = network(&input, timestep, mean, prediction);
        denoiser.estimate(latent.data(), output.data(), level)
    };
    let (with, without) = (estimate(0.4), estimate(-0.3));
    let array = |values: Vec<f32>| Array::new(latent.shape().to_vec(), values).unwrap();
    (array(classifier_free(&with, &without, 3.5 * sampler.guidance_factor())), array(without))
}

fn output(row: &DenoiseRow, mean: f64, prediction: Prediction) -> Array {
    network(&row.latent, row.timestep, mean, prediction)
}

/// What a perfect network says of pictures that are normally distributed about `mean`, with variance 1/4.
fn network(latent: &Array, timestep: f32, mean: f64, prediction: Prediction) -> Array {
    const VARIANCE: f64 = 0.25;
    let sigma = (f64::from(timestep) * 0.00622 - 3.53).exp();
    let root = (sigma * sigma + 1.0).sqrt();
    let mut output = latent.clone();
    for value in output.data_mut() {
        let noisy = f64::from(*value) * root;
        let clean = (mean * sigma * sigma + noisy * VARIANCE) / (sigma * sigma + VARIANCE);
        let epsilon = (noisy - clean) / sigma;
        *value = match prediction {
            Prediction::Epsilon => epsilon,
            Prediction::Velocity => (epsilon - sigma * clean) / root,
        } as f32;
    }
    output
}

/// The latent that `trajectory` wants decoded in the end.
pub(crate) fn final_latent(mut trajectory: Trajectory, prediction: Prediction) -> Array {
    loop {
        let step = trajectory.next().unwrap();
        if let Step::Decode(query) = &step {
            return (*query.latent).clone();
        }
        trajectory.answer(answer(&step, prediction).unwrap()).unwrap();
    }
}
