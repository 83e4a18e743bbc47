//! What a request may ask for beyond one model's straight way: another model for the last steps, and soft seams of what is painted
//! anew.

use serde::{Deserialize, Serialize};

/// Which passes a refiner takes over, where there are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefinedPass {
    /// The first alone.
    First,
    /// The second alone.
    #[default]
    Second,
    /// Both.
    Both,
}

impl RefinedPass {
    const NAMES: [(Self, &str); 3] =
        [(Self::First, "first pass"), (Self::Second, "second pass"), (Self::Both, "both passes")];

    /// The pass of A1111's name.
    pub fn from_exact_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(_, known)| *known == name).map(|(pass, _)| pass)
    }

    /// A1111's name of it.
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(pass, _)| *pass == self).map_or("", |(_, name)| name)
    }
}

/// Another model, which makes the last steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refiner {
    /// Title, file name or hash of the model.
    pub checkpoint: String,
    /// The share of the way after which it takes over, 0 to 1; at once if `None`.
    pub switch_at: Option<f64>,
    /// Whether that share is one of the steps, rather than of the training times.
    pub by_steps: bool,
    /// Where there are two passes, which of them.
    pub pass: RefinedPass,
}

/// What a model's denoising network is told of a picture beside the latent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conditioning {
    /// Nothing.
    #[default]
    None,
    /// A mask and what it leaves of the picture: models made for inpainting.
    Inpainting,
    /// The picture: models that follow instructions about it (instruct-pix2pix).
    Instructions,
}

impl Conditioning {
    /// Of a network with so many input channels, for latents of so many.
    pub fn of_channels(inputs: usize, latent: usize) -> Option<Self> {
        match inputs {
            _ if inputs == latent => Some(Self::None),
            _ if inputs == 2 * latent + 1 => Some(Self::Inpainting),
            _ if inputs == 2 * latent => Some(Self::Instructions),
            _ => None,
        }
    }
}

/// Which pictures are wanted beside the finished one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Asides {
    /// The first pass's, where there are two.
    pub before_hires: bool,
    /// That before its colours are corrected, where they are.
    pub before_color_correction: bool,
    /// The mask.
    pub mask: bool,
    /// What was made where the mask shows it, alone.
    pub mask_composite: bool,
}

/// A picture beside the finished one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AsideKind {
    /// Of the first pass.
    BeforeHires,
    /// Before its colours were corrected.
    BeforeColorCorrection,
    /// The mask.
    Mask,
    /// What was made, under the mask.
    MaskComposite,
}

impl AsideKind {
    /// What names of files have of it, as in A1111.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::BeforeHires => "-before-highres-fix",
            Self::BeforeColorCorrection => "-before-color-correction",
            Self::Mask => "-mask",
            Self::MaskComposite => "-mask-composite",
        }
    }
}

/// Soft inpainting: what is kept is blended in by the noise level, and laid over the result by how much has changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SoftInpainting {
    /// How the noise level counts: shifts when what is kept is blended in.
    pub schedule_bias: f64,
    /// How much of what is kept is kept.
    pub preservation_strength: f64,
    /// How strongly the larger of two contrasts wins where they meet.
    pub transition_contrast_boost: f64,
    /// How much the mask counts for what is laid over the result, beside the change; 0 to 1.
    pub mask_influence: f64,
    /// How large a change hides half of what was there.
    pub difference_threshold: f64,
    /// How sharply that sets in.
    pub difference_contrast: f64,
}

impl Default for SoftInpainting {
    fn default() -> Self {
        Self {
            schedule_bias: 1.0,
            preservation_strength: 0.5,
            transition_contrast_boost: 4.0,
            mask_influence: 0.0,
            difference_threshold: 0.5,
            difference_contrast: 2.0,
        }
    }
}

impl SoftInpainting {
    /// Name in infotexts, value and range of each number, in the order of A1111's arguments.
    pub fn numbers(&self) -> [(&'static str, f64, [f64; 2]); 6] {
        [
            ("Soft inpainting schedule bias", self.schedule_bias, [0.0, 8.0]),
            ("Soft inpainting preservation strength", self.preservation_strength, [0.0, 8.0]),
            ("Soft inpainting transition contrast boost", self.transition_contrast_boost, [1.0, 32.0]),
            ("Soft inpainting mask influence", self.mask_influence, [0.0, 1.0]),
            ("Soft inpainting difference threshold", self.difference_threshold, [0.0, 8.0]),
            ("Soft inpainting difference contrast", self.difference_contrast, [0.0, 8.0]),
        ]
    }

    /// Of numbers in the order of [`SoftInpainting::numbers`]; those that are missing are the usual ones.
    pub fn of(numbers: [Option<f64>; 6]) -> Self {
        let usual = Self::default();
        let [bias, preservation, boost, influence, threshold, contrast] = numbers;
        Self {
            schedule_bias: bias.unwrap_or(usual.schedule_bias),
            preservation_strength: preservation.unwrap_or(usual.preservation_strength),
            transition_contrast_boost: boost.unwrap_or(usual.transition_contrast_boost),
            mask_influence: influence.unwrap_or(usual.mask_influence),
            difference_threshold: threshold.unwrap_or(usual.difference_threshold),
            difference_contrast: contrast.unwrap_or(usual.difference_contrast),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_have_a1111s_names() {
        for pass in [RefinedPass::First, RefinedPass::Second, RefinedPass::Both] {
            assert_eq!(RefinedPass::from_exact_name(pass.name()), Some(pass));
        }
        assert_eq!(RefinedPass::from_exact_name("third pass"), None);
    }

    #[test]
    fn numbers_come_back_in_their_order() {
        let given = [2.0, 0.25, 5.0, 0.75, 1.5, 3.0];
        let read = SoftInpainting::of(given.map(Some));
        assert_eq!(read.numbers().map(|(_, value, _)| value), given);
        assert_eq!(SoftInpainting::of([None; 6]), SoftInpainting::default());
    }
}
