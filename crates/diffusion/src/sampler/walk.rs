//! Samplers that walk a list of sigmas: what is common to them. Each rule is a file of its own.

use super::math::add;
use super::{Told, euler, heun, lcm, lms, multistep, two_stage};
use crate::denoiser::Level;
use crate::noise::{BrownianTree, ImageNoise};
use impasto_domain::SamplerOptions;
use serde::{Deserialize, Serialize};

/// The step that a rule is to make.
pub(super) struct Span<'a> {
    /// Where the latent is.
    pub(super) from: f32,
    /// Where it is to go.
    pub(super) to: f32,
    /// The sigmas passed before this step, the last one last.
    pub(super) passed: &'a [f32],
}

/// A step half done: what the rule was told at its beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Half {
    /// The latent that the step began with.
    pub(super) start: Vec<f32>,
    /// The estimate there.
    pub(super) denoised: Vec<f32>,
    /// The sigma in between, at which a second estimate is needed.
    pub(super) sigma: f32,
}

/// Noise of unit variance for the way from one sigma to another.
pub(super) type Draw<'a> = dyn FnMut(f32, f32) -> Vec<f32> + 'a;

/// What tells samplers apart.
pub(super) trait SigmaRule {
    /// Where within the step, or at its end, the rule needs a second estimate, if it does.
    fn middle(&self, _span: &Span<'_>) -> Option<f32> {
        None
    }

    /// Moves the latent to the middle or, where there is none, over the whole span, given the estimate at its beginning.
    fn step(&mut self, span: &Span<'_>, denoised: &[f32], latent: &mut [f32], draw: &mut Draw<'_>);

    /// Replaces the latent at the middle by that at the end, given the estimate at the middle.
    fn finish(
        &self,
        _span: &Span<'_>,
        _half: &Half,
        _denoised: &[f32],
        _latent: &mut [f32],
        _: &mut Draw<'_>,
    ) {
    }
}

/// The rules there are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Rule {
    Euler(euler::Euler),
    EulerAncestral(euler::EulerAncestral),
    Heun(heun::Heun),
    Dpm2(two_stage::Dpm2),
    DpmPp2s(two_stage::DpmPp2s),
    DpmPpSde(two_stage::DpmPpSde),
    DpmPp2m(multistep::DpmPp2m),
    DpmPp2mSde(multistep::DpmPp2mSde),
    DpmPp3mSde(multistep::DpmPp3mSde),
    Lms(lms::Lms),
    Lcm(lcm::Lcm),
}

macro_rules! rule_of {
    ($rule:expr) => {
        match $rule {
            Rule::Euler(rule) => rule,
            Rule::EulerAncestral(rule) => rule,
            Rule::Heun(rule) => rule,
            Rule::Dpm2(rule) => rule,
            Rule::DpmPp2s(rule) => rule,
            Rule::DpmPpSde(rule) => rule,
            Rule::DpmPp2m(rule) => rule,
            Rule::DpmPp2mSde(rule) => rule,
            Rule::DpmPp3mSde(rule) => rule,
            Rule::Lms(rule) => rule,
            Rule::Lcm(rule) => rule,
        }
    };
}

impl Rule {
    fn get(&self) -> &dyn SigmaRule {
        rule_of!(self)
    }

    fn get_mut(&mut self) -> &mut dyn SigmaRule {
        rule_of!(self)
    }
}

/// A walk down a list of sigmas. Where the list rises, noise is added and nothing asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SigmaWalk {
    rule: Rule,
    sigmas: Vec<f32>,
    /// Spans passed.
    index: usize,
    /// Where the latent is: at the span's beginning, or higher by churn.
    sigma: f32,
    half: Option<Half>,
    churn: Option<Churn>,
    /// Where noise comes from that depends on sigma.
    brownian: Option<BrownianTree>,
}

/// Noise added before each step and taken away by it: Karras et al. 2022, algorithm 2.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Churn {
    /// How much sigma is raised, as a share of it.
    share: f64,
    /// Where that is done.
    lowest: f64,
    highest: f64,
    s_noise: f32,
}

impl Churn {
    fn new(options: &SamplerOptions, steps: usize) -> Option<Self> {
        let highest = if options.s_tmax == 0.0 { f64::INFINITY } else { options.s_tmax };
        (options.s_churn > 0.0).then(|| Self {
            share: (options.s_churn / steps.max(1) as f64).min(std::f64::consts::SQRT_2 - 1.0),
            lowest: options.s_tmin,
            // Text formats have no infinity.
            highest: highest.min(f64::MAX),
            s_noise: options.s_noise as f32,
        })
    }

    /// The sigma that the step begins at after the noise.
    fn raise(&self, sigma: f32) -> f32 {
        let applies = (self.lowest..=self.highest).contains(&f64::from(sigma));
        if applies { sigma * (self.share + 1.0) as f32 } else { sigma }
    }
}

impl SigmaWalk {
    /// A walk down `sigmas`, which has its first value at least.
    pub(super) fn new(rule: Rule, sigmas: Vec<f32>) -> Self {
        let sigma = sigmas.first().copied().unwrap_or(0.0);
        Self { rule, sigmas, index: 0, sigma, half: None, churn: None, brownian: None }
    }

    /// With churn, as the options have it.
    pub(super) fn churned(mut self, options: &SamplerOptions) -> Self {
        self.churn = Churn::new(options, self.sigmas.len() - 1);
        self
    }

    /// With noise from Brownian motion.
    pub(super) fn with_brownian(mut self, tree: BrownianTree) -> Self {
        self.brownian = Some(tree);
        self
    }

    /// Whether the span of this index goes down.
    fn falls(&self, index: usize) -> bool {
        index + 1 < self.sigmas.len() && self.sigmas[index] >= self.sigmas[index + 1]
    }

    fn span(&self, index: usize, from: f32) -> Option<Span<'_>> {
        let &to = self.sigmas.get(index + 1)?;
        Some(Span { from, to, passed: &self.sigmas[..index] })
    }

    pub(super) fn level(&self) -> Option<Level> {
        self.span(self.index, self.sigma)?;
        Some(Level::Sigma(self.half.as_ref().map_or(self.sigma, |half| half.sigma)))
    }

    /// Steps done and in all.
    pub(super) fn progress(&self) -> (usize, usize) {
        let falling = |spans: usize| (0..spans).filter(|&index| self.falls(index)).count();
        (falling(self.index), falling(self.sigmas.len()))
    }

    /// Estimates needed from the first step to the last.
    pub(super) fn calls(&self) -> usize {
        let spans = (0..self.sigmas.len()).filter(|&index| self.falls(index));
        let calls = |span: Span<'_>| if self.rule.get().middle(&span).is_some() { 2 } else { 1 };
        spans.filter_map(|index| self.span(index, self.sigmas[index])).map(calls).sum()
    }

    /// Makes the latent ready for the step that comes next.
    pub(super) fn enter(&mut self, latent: &mut [f32], noise: &mut ImageNoise) {
        while self.index + 1 < self.sigmas.len() && !self.falls(self.index) {
            let (from, to) = (self.sigmas[self.index], self.sigmas[self.index + 1]);
            add(latent, (to * to - from * from).sqrt(), &noise.ancestral());
            self.index += 1;
        }
        self.sigma = self.sigmas.get(self.index).copied().unwrap_or(0.0);
        if let Some(churn) = self.churn.as_ref().filter(|_| self.falls(self.index)) {
            // Drawn at each step, whether or not it is used.
            let mut added = noise.ancestral();
            for value in &mut added {
                *value *= churn.s_noise;
            }
            let raised = churn.raise(self.sigma);
            if raised > self.sigma {
                add(latent, (raised * raised - self.sigma * self.sigma).sqrt(), &added);
                self.sigma = raised;
            }
        }
    }

    pub(super) fn advance(&mut self, latent: &mut [f32], told: &Told<'_>, noise: &mut ImageNoise) {
        let (index, from) = (self.index, self.sigma);
        let Some(&to) = self.sigmas.get(index + 1) else { return };
        let span = Span { from, to, passed: &self.sigmas[..index] };
        let tree = self.brownian.as_ref();
        let mut draw = |from: f32, to: f32| match tree {
            Some(tree) => tree.noise(from, to),
            None => noise.ancestral(),
        };
        let rule = self.rule.get_mut();
        if let Some(half) = self.half.take() {
            rule.finish(&span, &half, told.estimate, latent, &mut draw);
        } else {
            let middle = rule.middle(&span);
            self.half =
                middle.map(|sigma| Half { start: latent.to_vec(), denoised: told.estimate.to_vec(), sigma });
            rule.step(&span, told.estimate, latent, &mut draw);
            if middle.is_some() {
                return;
            }
        }
        self.index += 1;
        self.enter(latent, noise);
    }
}
