//! Where a picture begins if not from noise alone: from another picture, some of which a mask may keep; and the second pass that
//! makes a picture larger.

use crate::{Sampler, Schedule, SoftInpainting};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A picture in a request: 8-bit RGBA, row by row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bitmap {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// `4 * width * height` bytes.
    pub rgba: Vec<u8>,
}

/// How a picture is fitted into another size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    /// It is stretched.
    #[default]
    Stretch,
    /// It covers the size, and what reaches beyond is cut off.
    Crop,
    /// It fits into the size, and its edges fill what is left.
    Fill,
    /// Its latent is stretched.
    Latent,
}

impl ResizeMode {
    /// The mode of A1111's number.
    pub fn from_number(number: i64) -> Option<Self> {
        let modes = [Self::Stretch, Self::Crop, Self::Fill, Self::Latent];
        usize::try_from(number).ok().and_then(|number| modes.get(number).copied())
    }
}

/// What is where the picture is painted anew, before that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskedContent {
    /// Colours from around it.
    #[default]
    Fill,
    /// What was there.
    Original,
    /// Noise.
    LatentNoise,
    /// Nothing.
    LatentNothing,
}

impl MaskedContent {
    /// The content of A1111's number.
    pub fn from_number(number: i64) -> Option<Self> {
        let contents = [Self::Fill, Self::Original, Self::LatentNoise, Self::LatentNothing];
        usize::try_from(number).ok().and_then(|number| contents.get(number).copied())
    }

    /// What infotexts say of it; nothing of the original.
    pub(crate) fn infotext(self) -> Option<&'static str> {
        match self {
            Self::Fill => Some("fill"),
            Self::Original => None,
            Self::LatentNoise => Some("latent noise"),
            Self::LatentNothing => Some("latent nothing"),
        }
    }
}

/// A part of a picture that is painted anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inpainting {
    /// White, or opaque where it has alpha, where the picture is painted anew.
    pub mask: Bitmap,
    /// The same for the latent alone, as it is: neither inverted nor blurred. The mask itself if absent.
    #[serde(default)]
    pub latent_mask: Option<Bitmap>,
    /// Whether alpha and the latent's mask are nothing or all.
    pub round: bool,
    /// Whether the rest is painted anew instead.
    pub invert: bool,
    /// Standard deviations of the mask's blur in pixels, across and down.
    pub blur: [u32; 2],
    /// What is there before.
    pub content: MaskedContent,
    /// Whether only the mask's surroundings are made, at the full size.
    pub only_masked: bool,
    /// Pixels around the mask that belong to its surroundings.
    pub padding: u32,
    /// Whether what is not painted anew is put back from the original.
    pub overlay: bool,
    /// How its seams are softened, if they are.
    #[serde(default)]
    pub soft: Option<SoftInpainting>,
}

/// A beginning from pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FromPicture {
    /// One picture for all of a batch, or one for each.
    pub images: Vec<Bitmap>,
    /// How they are fitted into the size asked for.
    pub resize_mode: ResizeMode,
    /// How much of them is made anew, 0 to 1.
    pub denoising_strength: f64,
    /// Whether as many steps are made as were asked for, rather than the share that the strength leaves of them.
    pub fix_steps: bool,
    /// What the noise on them is multiplied with.
    pub noise_multiplier: f64,
    /// Noise beyond that, as a share of the latent's scale.
    pub extra_noise: f64,
    /// Whether results take the colours of the pictures.
    pub color_correction: bool,
    /// What shows through where they are transparent.
    pub background: [u8; 3],
    /// What is painted anew, if not all.
    pub inpainting: Option<Inpainting>,
    /// Strength of guidance by the picture, for models that follow instructions; `None` or 1 is none of its own.
    #[serde(default)]
    pub image_cfg_scale: Option<f64>,
    /// MD5 sum of the last picture's samples, where such pictures are kept.
    #[serde(default)]
    pub hash: Option<String>,
}

impl FromPicture {
    /// The picture that image `index` of a request begins from.
    pub fn image(&self, index: u32) -> Option<&Bitmap> {
        self.images.get(index as usize % self.images.len().max(1))
    }
}

/// A second pass, which makes a finished picture larger and paints over it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hires {
    /// How much larger, where no size is given.
    pub scale: f64,
    /// Width in pixels, or 0 for what the aspect or the scale gives.
    pub width: u32,
    /// Height in pixels, likewise.
    pub height: u32,
    /// What enlarges: a way for latents, or for pictures.
    pub upscaler: String,
    /// Edge and overlap of the tiles in which a network enlarges, in pixels; 0 for the picture as a whole.
    pub tiles: [u32; 2],
    /// Steps; 0 for as many as of the first pass.
    pub steps: u32,
    /// How much is made anew, 0 to 1.
    pub denoising_strength: f64,
    /// Sampler, if another.
    pub sampler: Option<Sampler>,
    /// Schedule, if another.
    pub schedule: Option<Schedule>,
    /// Prompt, if another.
    pub prompt: Option<String>,
    /// Negative prompt, if another.
    pub negative_prompt: Option<String>,
    /// Title, file name or hash of a model, if another.
    #[serde(default)]
    pub model: Option<String>,
    /// Share of pixels that attend as one with similar ones; 0 for as in the first pass.
    #[serde(default)]
    pub token_merging_ratio: f64,
    /// Whether its texts are encoded with the networks of the first pass's prompt.
    #[serde(default)]
    pub first_networks: bool,
    /// The picture it begins with, instead of one of a first pass, which is left out then.
    #[serde(default)]
    pub first_picture: Option<Arc<Bitmap>>,
}

/// Sizes of a second pass, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HiresSizes {
    /// What the first picture is enlarged to.
    pub enlarged: (u32, u32),
    /// What is left of that, from its middle.
    pub target: (u32, u32),
}

impl Hires {
    /// The sizes for a first picture of so many pixels.
    pub fn sizes(&self, (width, height): (u32, u32)) -> HiresSizes {
        let whole = |pixels: f64| pixels.clamp(0.0, f64::from(u32::MAX)) as u32;
        let share = |pixels: u32, of: u32, whole: u32| {
            u32::try_from(u64::from(pixels) * u64::from(of) / u64::from(whole.max(1))).unwrap_or(u32::MAX)
        };
        let same = |size| HiresSizes { enlarged: size, target: size };
        match (self.width, self.height) {
            (0, 0) => same((whole(f64::from(width) * self.scale), whole(f64::from(height) * self.scale))),
            (across, 0) => same((across, share(height, across, width))),
            (0, down) => same((share(width, down, height), down)),
            target @ (across, down) => {
                // The first picture's aspect against the target's.
                let wider = u64::from(width) * u64::from(down) > u64::from(across) * u64::from(height);
                let enlarged = if wider {
                    (share(width, down, height), down)
                } else {
                    (across, share(height, across, width))
                };
                HiresSizes { enlarged, target }
            }
        }
    }

    /// Steps of the pass, after a first of so many.
    pub fn steps_after(&self, first: u32) -> u32 {
        if self.steps == 0 { first } else { self.steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hires(width: u32, height: u32) -> Hires {
        Hires {
            scale: 1.5,
            width,
            height,
            upscaler: "Latent".to_owned(),
            tiles: [192, 8],
            steps: 0,
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

    #[test]
    fn sizes_follow_scale_or_sides() {
        let sizes = |width, height| {
            let HiresSizes { enlarged, target } = hires(width, height).sizes((512, 768));
            (enlarged, target)
        };
        assert_eq!(sizes(0, 0), ((768, 1152), (768, 1152)));
        assert_eq!(sizes(1000, 0), ((1000, 1500), (1000, 1500)));
        assert_eq!(sizes(0, 1000), ((666, 1000), (666, 1000)));
        assert_eq!(sizes(1024, 1024), ((1024, 1536), (1024, 1024)));
        assert_eq!(sizes(512, 1024), ((682, 1024), (512, 1024)));
    }

    #[test]
    fn numbers_are_a1111s() {
        assert_eq!(ResizeMode::from_number(3), Some(ResizeMode::Latent));
        assert_eq!(MaskedContent::from_number(0), Some(MaskedContent::Fill));
        for number in [-1, 4] {
            assert_eq!((ResizeMode::from_number(number), MaskedContent::from_number(number)), (None, None));
        }
    }
}
