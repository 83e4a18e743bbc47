//! A model that takes over from another on the way: A1111's refiner.

use crate::TrajectoryError;
use crate::conditions::Conditions;
use crate::denoiser::Denoiser;
use crate::spec::{ImageSpec, ModelFacts};
use impasto_domain::Refiner;
use serde::{Deserialize, Serialize};

/// Another model that takes over on the way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refining {
    pub(crate) conditions: Conditions,
    pub(crate) denoiser: Denoiser,
    /// The share of the way after which it does; at once if `None`.
    switch_at: Option<f64>,
    /// Whether that share is one of the steps.
    by_steps: bool,
}

impl Refining {
    /// The model of `facts`, which takes over from `model`.
    pub(crate) fn new(
        spec: &ImageSpec,
        model: &ModelFacts,
        facts: &ModelFacts,
        refiner: &Refiner,
    ) -> Result<Self, TrajectoryError> {
        spec.check(facts)?;
        let same = |facts: &ModelFacts| (facts.latent_channels, facts.downscale, facts.conditioning);
        if same(facts) != same(model) {
            let problem = "takes other latents than the model before it";
            return Err(TrajectoryError::request("refiner_checkpoint", &refiner.checkpoint, problem));
        }
        let sampling = spec.sampling(facts);
        Ok(Self {
            conditions: Conditions::new(spec, &facts.tokenizer, &facts.embeddings)?,
            denoiser: sampling.denoiser(sampling.levels(facts.betas), facts.prediction),
            switch_at: refiner.switch_at,
            by_steps: refiner.by_steps,
        })
    }

    /// Whether it takes over at a training time, 999 to 0, and this share of the calls.
    pub(crate) fn is_time(&self, timestep: f32, of_calls: f64) -> bool {
        let done = if self.by_steps { of_calls } else { (999.0 - f64::from(timestep)) / 1000.0 };
        self.switch_at.is_none_or(|at| done >= at)
    }
}
