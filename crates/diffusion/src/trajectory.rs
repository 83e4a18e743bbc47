//! One image in the making, as a state machine: text vectors, then denoising steps, then pixels.

use crate::TrajectoryError;
use crate::denoiser::{Denoiser, Level};
use crate::error::check_finite;
use crate::guidance::classifier_free;
use crate::noise::ImageNoise;
use crate::prompt::{CHUNK_TOKENS, Chunk, chunks_of, emphasize};
use crate::sampler::SamplerState;
use crate::schedule::NoiseLevels;
use crate::spec::{ImageSpec, ModelFacts};
use crate::step::{Answer, DecodeQuery, DenoiseQuery, DenoiseRow, Picture, Step, TextQuery};
use impasto_tensor::Array;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One image in the making. Ask [`Trajectory::next`] and [`Trajectory::answer`] in turns, until the step is
/// [`Step::Done`]. What comes out depends on the specification and the answers alone.
///
/// Stored with `serde` it is little more than two latents: text vectors are asked for again after loading.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trajectory {
    /// Chunks of the prompt and of the negative prompt.
    texts: [Vec<Chunk>; 2],
    /// Their text vectors, `[tokens, features]`, once known.
    #[serde(skip)]
    contexts: [Option<Arc<Array>>; 2],
    clip_skip: u32,
    cfg_scale: f64,
    denoiser: Denoiser,
    sampler: SamplerState,
    noise: ImageNoise,
    /// Pixels along the edge of a latent cell.
    downscale: usize,
    stage: Stage,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Stage {
    Sampling,
    Decoding,
    Done(Picture),
}

/// What is to be answered.
enum Pending<'a> {
    /// The text of this index.
    Text(usize),
    /// The rows of these contexts.
    Denoise(Level, [&'a Arc<Array>; 2]),
    Decode,
    Nothing(&'a Picture),
}

impl Trajectory {
    /// An image about to be made. Refuses what this model cannot do, naming field and value.
    #[expect(clippy::needless_pass_by_value, reason = "a specification is spent on its trajectory")]
    pub fn new(spec: ImageSpec, model: &ModelFacts) -> Result<Self, TrajectoryError> {
        spec.check(model)?;
        let shape = spec.latent_shape(model)?;
        let texts = [
            chunks_of(&spec.prompt, &model.tokenizer, "prompt")?,
            chunks_of(&spec.negative_prompt, &model.tokenizer, "negative_prompt")?,
        ];
        let levels = NoiseLevels::scaled_linear(model.betas);
        let (strength, delta) = (spec.subseed_strength, spec.eta_noise_seed_delta);
        let noise = ImageNoise::new(spec.noise_source, shape, spec.seeds, strength, delta);
        let initial = noise.initial();
        let sampler = SamplerState::new(spec.sampler, spec.schedule, spec.steps, spec.eta, &levels, initial);
        Ok(Self {
            texts,
            contexts: [None, None],
            clip_skip: spec.clip_skip,
            cfg_scale: spec.cfg_scale,
            denoiser: Denoiser::new(levels, model.prediction),
            sampler,
            noise,
            downscale: model.downscale,
            stage: Stage::Sampling,
        })
    }

    /// What is needed next: the same again until it is answered. Fails if the latent has become infinite, as too high
    /// a `cfg_scale` makes it.
    #[expect(clippy::should_implement_trait, reason = "it repeats itself until answered: no iterator")]
    pub fn next(&mut self) -> Result<Step, TrajectoryError> {
        let pending = self.pending();
        if !matches!(pending, Pending::Nothing(_)) {
            check_finite("the sampler", self.result().data())?;
        }
        Ok(match pending {
            Pending::Text(which) => Step::EncodeText(TextQuery {
                chunks: self.texts[which].iter().map(|chunk| chunk.tokens.clone()).collect(),
                clip_skip: self.clip_skip,
            }),
            Pending::Denoise(level, contexts) => {
                let (input, timestep) = self.denoiser.input(self.sampler.latent(), level);
                let latent = Arc::new(input);
                let row = |context: &Arc<Array>| DenoiseRow {
                    latent: Arc::clone(&latent),
                    timestep,
                    context: Arc::clone(context),
                };
                Step::Denoise(DenoiseQuery { rows: contexts.map(row).into() })
            }
            Pending::Decode => Step::Decode(DecodeQuery { latent: Arc::new(self.result().clone()) }),
            Pending::Nothing(picture) => Step::Done(picture.clone()),
        })
    }

    /// Takes the answer to the step that [`Trajectory::next`] gives. Refuses one of another kind or shape, and one with
    /// values that are not numbers.
    pub fn answer(&mut self, answer: Answer) -> Result<(), TrajectoryError> {
        match (self.pending(), answer) {
            (Pending::Text(which), Answer::Text(vectors)) => self.take_text(which, vectors),
            (Pending::Denoise(level, _), Answer::Output(output)) => self.take_output(level, &output),
            (Pending::Decode, Answer::Decoded(pixels)) => self.take_pixels(&pixels),
            (pending, answer) => Err(TrajectoryError::answer(pending.wants(), kind(&answer))),
        }
    }

    /// Sampler steps done, and in all. DDIM's are those it makes, which may differ from those asked for.
    pub fn progress(&self) -> (u32, u32) {
        (self.sampler.steps_done() as u32, self.sampler.steps() as u32)
    }

    /// The newest estimate of the clean latent, `[channels, height, width]`, for previews.
    pub fn denoised(&self) -> Option<&Array> {
        self.sampler.denoised()
    }

    /// Stops sampling: the next step decodes the newest estimate, or, where there is none yet, the noise.
    pub fn finish_early(&mut self) {
        if matches!(self.stage, Stage::Sampling) {
            self.stage = Stage::Decoding;
        }
    }

    fn pending(&self) -> Pending<'_> {
        match (&self.stage, self.sampler.level(), &self.contexts) {
            (Stage::Done(picture), ..) => Pending::Nothing(picture),
            (Stage::Decoding, ..) | (Stage::Sampling, None, _) => Pending::Decode,
            (_, Some(level), [Some(with), Some(without)]) => Pending::Denoise(level, [with, without]),
            (_, _, [None, _]) => Pending::Text(0),
            (_, _, [_, None]) => Pending::Text(1),
        }
    }

    /// The latent to decode: where the sampler arrived, or its best guess from where it is.
    fn result(&self) -> &Array {
        match (&self.stage, self.sampler.level(), self.sampler.denoised()) {
            (Stage::Decoding, Some(_), Some(denoised)) => denoised,
            _ => self.sampler.latent(),
        }
    }

    fn take_text(&mut self, which: usize, vectors: Array) -> Result<(), TrajectoryError> {
        let chunks = &self.texts[which];
        let fits = matches!(vectors.shape(), &[count, CHUNK_TOKENS, _] if count == chunks.len());
        if !fits {
            let wanted = format!("text vectors [{}, {CHUNK_TOKENS}, features]", chunks.len());
            return Err(TrajectoryError::answer(wanted, format!("{:?}", vectors.shape())));
        }
        check_finite("the text encoder", vectors.data())?;
        let context = emphasize(vectors, chunks)
            .map_err(|error| TrajectoryError::answer("text vectors", error.to_string()))?;
        self.contexts[which] = Some(Arc::new(context));
        Ok(())
    }

    fn take_output(&mut self, level: Level, output: &Array) -> Result<(), TrajectoryError> {
        let latent = self.sampler.latent();
        let size = latent.data().len();
        let wanted: Vec<usize> = [2].iter().chain(latent.shape()).copied().collect();
        if output.shape() != wanted {
            let wanted = format!("UNet outputs {wanted:?}");
            return Err(TrajectoryError::answer(wanted, format!("{:?}", output.shape())));
        }
        check_finite("Unet", output.data())?;
        let (with, without) = output.data().split_at(size);
        let estimate = |output: &[f32]| self.denoiser.estimate(latent.data(), output, level);
        let mut guided = latent.clone();
        guided.data_mut().copy_from_slice(&classifier_free(
            &estimate(with),
            &estimate(without),
            self.cfg_scale,
        ));
        self.sampler.advance(guided, self.denoiser.levels(), &mut self.noise);
        Ok(())
    }

    fn take_pixels(&mut self, pixels: &Array) -> Result<(), TrajectoryError> {
        let cells = |axis: usize| self.sampler.latent().shape().get(axis).copied().unwrap_or(0);
        let (height, width) = (cells(1) * self.downscale, cells(2) * self.downscale);
        if pixels.shape() != [3, height, width] {
            let wanted = format!("pixels [3, {height}, {width}]");
            return Err(TrajectoryError::answer(wanted, format!("{:?}", pixels.shape())));
        }
        check_finite("VAE", pixels.data())?;
        self.stage = Stage::Done(Picture::from_decoded(pixels)?);
        Ok(())
    }
}

impl Pending<'_> {
    fn wants(&self) -> &'static str {
        match self {
            Self::Text(_) => "text vectors",
            Self::Denoise(..) => "UNet outputs",
            Self::Decode => "pixels",
            Self::Nothing(_) => "nothing more",
        }
    }
}

fn kind(answer: &Answer) -> &'static str {
    match answer {
        Answer::Text(_) => "text vectors",
        Answer::Output(_) => "UNet outputs",
        Answer::Decoded(_) => "pixels",
    }
}
