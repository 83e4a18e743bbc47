//! One image in the making, as a state machine: pixels to begin from, text vectors, denoising steps, a second pass, and pixels
//! at the end.

use crate::TrajectoryError;
use crate::begin::{Aside, Beginning, Ending, bitmap_of, planes, rgba, whole_cells};
use crate::denoiser::Level;
use crate::error::check_finite;
use crate::kept::Kept;
use crate::larger::{enlarge_plainly, middle, rgb, stretched, too_large};
use crate::pass::{Noising, Pass, Wants};
use crate::prompt::Chunk;
use crate::spec::{ImageSpec, Models};
use crate::step::{Answer, DecodeQuery, EncodeQuery, ModelSlot, Picture, Step, UpscaleQuery};
use crate::told::{Told, masked, nothing_to_see};
use impasto_domain::{AsideKind, Bitmap, Conditioning, HiresSizes, MaskedContent, SoftInpainting};
use impasto_imaging::{ImagingError, PlaneFilter, ResizeMode, Rgb, fit};
use impasto_tensor::Array;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One image in the making. Ask [`Trajectory::next`] and [`Trajectory::answer`] in turns, until the step is
/// [`Step::Done`]. What comes out depends on the specification and the answers alone.
///
/// Stored with `serde` it is little more than the few latents that its sampler remembers, and the features that a shortcut
/// keeps: text vectors are asked for again after loading.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trajectory {
    /// The pass at work.
    pass: Pass,
    /// The pass after it.
    second: Option<Second>,
    /// Steps of passes that are over.
    steps_before: u32,
    ending: Ending,
    /// Pixels along the edge of a latent cell.
    downscale: usize,
    /// What a latent is larger by than what the autoencoder gives.
    latent_scale: f32,
    /// How much of what is painted anew is hidden from models made for inpainting.
    mask_weight: f32,
    tiling: bool,
    /// Whether a refiner has taken over.
    refined: bool,
    /// Whether the image is to be ended with what there is.
    early: bool,
    /// Whether the first pass's picture is wanted.
    wants_first: bool,
    asides: Vec<Aside>,
    stage: Stage,
}

/// A second pass, and what enlarges its beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Second {
    pass: Pass,
    sizes: HiresSizes,
    upscaler: String,
    tiles: [u32; 2],
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Stage {
    /// The pass begins with what comes of these pixels.
    Encoding {
        pixels: Arc<Array>,
        mask: Option<LatentMask>,
        /// Where the pixels are painted anew, 0 to 1; everywhere if nothing.
        pixel_mask: Option<Vec<f32>>,
    },
    /// The model is to be told of what comes of these pixels.
    Conditioning {
        pixels: Arc<Array>,
        /// Where the latent is painted anew, 0 to 1.
        mask: Vec<f32>,
    },
    Sampling,
    /// The second pass begins with what comes of these pixels, enlarged as a latent.
    Given {
        pixels: Arc<Array>,
    },
    /// The picture of the first pass is to be enlarged for the second.
    Showing,
    /// A network is to enlarge it.
    Enlarging(Picture),
    Decoding,
    Done(Picture),
}

impl Stage {
    fn telling(Told { pixels, mask }: Told) -> Self {
        Self::Conditioning { pixels: Arc::new(pixels), mask }
    }
}

/// How a latent is painted anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LatentMask {
    /// Where, 0 to 1.
    anew: Vec<f32>,
    content: MaskedContent,
    soft: Option<SoftInpainting>,
}

/// What is to be answered.
enum Pending<'a> {
    Encode(&'a Arc<Array>),
    Text(usize, &'a [Chunk]),
    Denoise(Level, bool),
    Decode,
    Upscale(&'a Picture, &'a Second),
    Nothing(&'a Picture),
}

impl Trajectory {
    /// An image about to be made. Refuses what this model cannot do, naming field and value.
    #[expect(clippy::needless_pass_by_value, reason = "a specification is spent on its trajectory")]
    pub fn new<'a>(spec: ImageSpec, models: impl Into<Models<'a>>) -> Result<Self, TrajectoryError> {
        let models = models.into();
        let model = models.first;
        let noising = spec.from_picture.as_deref().map(|source| Noising {
            denoising_strength: source.denoising_strength,
            fix_steps: source.fix_steps,
            noise_multiplier: source.noise_multiplier,
            extra_noise: source.extra_noise,
        });
        let mut pass = Pass::new(&spec, &models, ModelSlot::First, noising)?;
        let second = spec.second_pass().map(|(after, hires)| {
            let noising = Noising {
                denoising_strength: hires.denoising_strength,
                fix_steps: true,
                noise_multiplier: 1.0,
                extra_noise: 0.0,
            };
            Ok::<_, TrajectoryError>(Second {
                pass: Pass::new(&after, &models, ModelSlot::Second, Some(noising))?,
                sizes: hires.sizes((spec.width, spec.height)),
                upscaler: hires.upscaler.clone(),
                tiles: hires.tiles,
            })
        });
        let second = second.transpose()?;
        let mut ending = Ending::default();
        let stage = match &spec.from_picture {
            None => {
                pass.begin();
                nothing_to_see(&pass, model.downscale)?.map_or(Stage::Sampling, Stage::telling)
            }
            Some(source) => {
                let beginning =
                    Beginning::new(source, spec.index, pass.cells(), model.downscale, spec.asides)?;
                ending = beginning.ending;
                let (content, soft) = (beginning.content, beginning.soft);
                let mask = beginning.mask.map(|anew| LatentMask { anew, content, soft });
                Stage::Encoding { pixels: Arc::new(beginning.pixels), mask, pixel_mask: beginning.pixel_mask }
            }
        };
        let downscale = model.downscale;
        let mut made = Self {
            pass,
            second,
            steps_before: 0,
            ending,
            downscale,
            latent_scale: model.latent_scale,
            mask_weight: spec.inpainting_mask_weight as f32,
            tiling: spec.tiling,
            refined: false,
            early: false,
            wants_first: spec.asides.before_hires,
            asides: Vec::new(),
            stage,
        };
        let given = spec.hires.as_ref().and_then(|hires| hires.first_picture.as_deref());
        match given {
            Some(given) => made.begin_given(given)?,
            None => made.settle()?,
        }
        Ok(made)
    }

    /// What is needed next: the same again until it is answered. Fails if the latent has become infinite, as too high
    /// a `cfg_scale` makes it.
    #[expect(clippy::should_implement_trait, reason = "it repeats itself until answered: no iterator")]
    pub fn next(&mut self) -> Result<Step, TrajectoryError> {
        Ok(match self.pending() {
            Pending::Encode(pixels) => {
                Step::EncodeImage(EncodeQuery { pixels: Arc::clone(pixels), tiling: self.tiling })
            }
            Pending::Text(_, chunks) => Step::EncodeText(self.pass.text_query(chunks)),
            Pending::Denoise(level, guided) => {
                self.pass.check()?;
                Step::Denoise(self.pass.denoise_query(level, guided))
            }
            Pending::Decode => {
                Step::Decode(DecodeQuery { latent: Arc::new(self.pass.result()?), tiling: self.tiling })
            }
            Pending::Upscale(picture, second) => Step::Upscale(UpscaleQuery {
                picture: picture.clone(),
                upscaler: second.upscaler.clone(),
                tiles: second.tiles,
                size: second.sizes.enlarged,
            }),
            Pending::Nothing(picture) => Step::Done(picture.clone()),
        })
    }

    /// Takes the answer to the step that [`Trajectory::next`] gives. Refuses one of another kind or shape, and one with
    /// values that are not numbers.
    pub fn answer(&mut self, answer: Answer) -> Result<(), TrajectoryError> {
        match (self.pending(), answer) {
            (Pending::Encode(_), Answer::Encoded(latent)) => self.take_latent(latent)?,
            (Pending::Text(which, _), Answer::Text(vectors)) => self.pass.take_text(which, vectors)?,
            (Pending::Denoise(level, guided), Answer::Output(rows)) => {
                self.pass.take_output(level, guided, rows)?;
            }
            (Pending::Decode, Answer::Decoded(pixels)) => self.take_pixels(&pixels)?,
            (Pending::Upscale(..), Answer::Upscaled(picture)) => self.take_enlarged(picture)?,
            (pending, answer) => return Err(TrajectoryError::answer(pending.wants(), kind(&answer))),
        }
        self.refined |= self.pass.slot() == ModelSlot::Refiner;
        self.settle()
    }

    /// The pictures beside the finished one that were asked for, once.
    pub fn take_asides(&mut self) -> Vec<(AsideKind, Bitmap)> {
        std::mem::take(&mut self.asides)
    }

    /// Whether the image was ended with what there was.
    pub fn is_early(&self) -> bool {
        self.early
    }

    /// Height and width of the latent at work.
    pub fn cells(&self) -> [usize; 2] {
        self.pass.cells()
    }

    /// Which model answers the next step.
    pub fn model(&self) -> ModelSlot {
        self.pass.slot()
    }

    /// Whether a refiner has taken over on the way.
    pub fn is_refined(&self) -> bool {
        self.refined
    }

    /// Sampler steps done, and in all, over all passes. Those of DDIM and its kin are those they make, which may differ from
    /// those asked for.
    pub fn progress(&self) -> (u32, u32) {
        let (done, steps) = self.pass.progress();
        let to_come = self.second.as_ref().map_or(0, |second| second.pass.progress().1);
        (self.steps_before + done, self.steps_before + steps + to_come)
    }

    /// The newest estimate of the clean latent, `[channels, height, width]`, for previews.
    pub fn denoised(&self) -> Option<&Array> {
        self.pass.denoised()
    }

    /// Stops sampling: the next step decodes the newest estimate, or, where there is none yet, the noise. There is no second
    /// pass any more.
    pub fn finish_early(&mut self) {
        self.early |= !matches!(self.stage, Stage::Decoding | Stage::Done(_));
        match self.stage {
            Stage::Conditioning { .. } | Stage::Sampling | Stage::Showing | Stage::Enlarging(_) => {
                self.second = None;
                self.stage = Stage::Decoding;
                self.pass.end();
            }
            Stage::Encoding { .. } | Stage::Given { .. } | Stage::Decoding | Stage::Done(_) => {}
        }
    }

    fn pending(&self) -> Pending<'_> {
        match &self.stage {
            Stage::Encoding { pixels, .. } | Stage::Conditioning { pixels, .. } | Stage::Given { pixels } => {
                Pending::Encode(pixels)
            }
            Stage::Sampling => match self.pass.wants() {
                Wants::Text(which, chunks) => Pending::Text(which, chunks),
                Wants::Denoise(level, guided) => Pending::Denoise(level, guided),
                Wants::Nothing => Pending::Decode,
            },
            Stage::Showing | Stage::Decoding => Pending::Decode,
            Stage::Enlarging(picture) => match &self.second {
                Some(second) => Pending::Upscale(picture, second),
                None => Pending::Decode,
            },
            Stage::Done(picture) => Pending::Nothing(picture),
        }
    }

    /// Goes on from a pass that has arrived.
    fn settle(&mut self) -> Result<(), TrajectoryError> {
        if !matches!((&self.stage, self.pass.wants()), (Stage::Sampling, Wants::Nothing)) {
            return Ok(());
        }
        match (&self.second, self.latent_filter()) {
            (None, _) => self.stage = Stage::Decoding,
            (Some(_), None) => self.stage = Stage::Showing,
            (Some(_), Some(_)) if self.wants_first => self.stage = Stage::Showing,
            (Some(_), Some(filter)) => self.enlarge_latent(&self.pass.result()?, filter)?,
        }
        Ok(())
    }

    /// How the second pass wants latents enlarged, if it does.
    fn latent_filter(&self) -> Option<PlaneFilter> {
        self.second.as_ref().and_then(|second| PlaneFilter::from_latent_upscaler(&second.upscaler))
    }

    /// Begins the second pass with a first one's latent.
    fn enlarge_latent(&mut self, latent: &Array, filter: PlaneFilter) -> Result<(), TrajectoryError> {
        let Some(second) = &self.second else { return Ok(()) };
        let (width, height) = second.sizes.enlarged;
        let cells = [height, width].map(|side| side as usize / self.downscale);
        let enlarged = stretched(latent, cells, filter)?;
        self.stage = Stage::Sampling;
        self.begin_second(&enlarged)
    }

    fn take_latent(&mut self, latent: Array) -> Result<(), TrajectoryError> {
        check_finite("VAE", latent.data())?;
        if let (Stage::Given { .. }, Some(filter)) = (&self.stage, self.latent_filter()) {
            self.enlarge_latent(&latent, filter)?;
            self.end_if_early();
            return Ok(());
        }
        let cells = self.pass.cells();
        // Only a latent that was not fitted as pixels has another size.
        let fits = latent.shape().get(1..) == Some(&cells[..]);
        let latent = if fits { latent } else { stretched(&latent, cells, PlaneFilter::Bilinear)? };
        match std::mem::replace(&mut self.stage, Stage::Sampling) {
            Stage::Conditioning { mask, .. } => {
                let [height, width] = cells;
                let channels = 1 + latent.shape()[0];
                let told = Array::new([channels, height, width], [&mask[..], latent.data()].concat());
                self.pass.tell(told.map_err(|error| TrajectoryError::answer("a latent", error.to_string()))?);
            }
            Stage::Encoding { pixels, mask, pixel_mask } => {
                if self.pass.conditioning() == Conditioning::Instructions {
                    let mut told = latent.clone();
                    told.data_mut().iter_mut().for_each(|value| *value /= self.latent_scale);
                    self.pass.tell(told);
                }
                self.pass.begin_from(latent, |latent, noise| {
                    let LatentMask { anew, content, soft } = mask?;
                    Some(Kept::new(anew, content, soft, latent, noise))
                })?;
                let told = masked(&self.pass, &pixels, pixel_mask.as_deref(), self.mask_weight)?;
                self.stage = told.map_or(Stage::Sampling, Stage::telling);
            }
            other => self.stage = other,
        }
        self.end_if_early();
        Ok(())
    }

    /// Ends a pass that has just begun, if that was asked for before.
    fn end_if_early(&mut self) {
        if self.early {
            self.second = None;
            self.stage = Stage::Decoding;
        }
    }

    fn take_pixels(&mut self, pixels: &Array) -> Result<(), TrajectoryError> {
        let [height, width] = self.pass.cells().map(|cells| cells * self.downscale);
        if pixels.shape() != [3, height, width] {
            let wanted = format!("pixels [3, {height}, {width}]");
            return Err(TrajectoryError::answer(wanted, format!("{:?}", pixels.shape())));
        }
        check_finite("VAE", pixels.data())?;
        let picture = Picture::from_decoded(pixels)?;
        if self.second.is_none() || !matches!(self.stage, Stage::Showing) {
            let changed = |size| match self.pass.kept() {
                // A latent that could not be decoded is none that was.
                Some(kept) => self.pass.result().map_or(Ok(None), |latent| kept.changed(&latent, size)),
                None => Ok(None),
            };
            let (finished, asides) = self.ending.apply(picture, changed)?;
            self.asides.extend(asides);
            self.stage = Stage::Done(finished);
            return Ok(());
        }
        if self.wants_first {
            self.asides.push((
                AsideKind::BeforeHires,
                bitmap_of(&rgb(picture.clone()).map_err(|error| too_large(&error))?.to_rgba()),
            ));
        }
        if let Some(filter) = self.latent_filter() {
            return self.enlarge_latent(&self.pass.result()?, filter);
        }
        self.enlarge(picture)
    }

    /// Begins the second pass with a picture in place of the first pass.
    fn begin_given(&mut self, given: &Bitmap) -> Result<(), TrajectoryError> {
        if self.second.is_none() {
            return self.settle();
        }
        let unusable = |error| {
            TrajectoryError::request("firstpass_image", "a picture", format!("cannot be used: {error}"))
        };
        let picture = rgba(given).map_err(|error: ImagingError| unusable(error.to_string()))?.to_rgb();
        if self.latent_filter().is_some() {
            let whole = whole_cells(&picture, self.downscale).map_err(|error| unusable(error.to_string()))?;
            self.stage = Stage::Given { pixels: Arc::new(planes(&whole)) };
            return Ok(());
        }
        let (width, height) = picture.size();
        self.enlarge(Picture { width, height, rgb: picture.into_samples() })
    }

    /// Begins the second pass with a picture, once it is enlarged.
    fn enlarge(&mut self, picture: Picture) -> Result<(), TrajectoryError> {
        let Some(second) = &self.second else { return Ok(()) };
        if let Some(enlarged) = enlarge_plainly(&picture, &second.upscaler, second.sizes.enlarged)
            .map_err(|error| too_large(&error))?
        {
            return self.begin_with(&enlarged);
        }
        self.stage = Stage::Enlarging(picture);
        Ok(())
    }

    fn take_enlarged(&mut self, picture: Picture) -> Result<(), TrajectoryError> {
        let Some(second) = &self.second else { return Ok(()) };
        let (width, height) = second.sizes.enlarged;
        let enlarged = rgb(picture).and_then(|picture| fit(&picture, ResizeMode::Stretch, width, height));
        let enlarged = enlarged.map_err(|error| too_large(&error))?;
        self.begin_with(&enlarged)
    }

    /// Begins the second pass with the middle of an enlarged picture.
    fn begin_with(&mut self, picture: &Rgb) -> Result<(), TrajectoryError> {
        let Some(second) = self.second.take() else { return Ok(()) };
        self.steps_before += self.pass.progress().0;
        self.pass = second.pass;
        let [height, width] = self.pass.cells().map(|cells| (cells * self.downscale) as u32);
        let cut = |whole: u32, part: u32| {
            // As many latent cells are left out before as after, as A1111 counts them.
            let beyond = i64::from(whole.saturating_sub(part)) / self.downscale as i64;
            beyond / 2 * self.downscale as i64
        };
        let (left, top) = (cut(picture.width(), width), cut(picture.height(), height));
        let region = impasto_imaging::Region {
            left,
            top,
            right: left + i64::from(width),
            bottom: top + i64::from(height),
        };
        let pixels = planes(&picture.crop(region).map_err(|error| too_large(&error))?);
        self.stage = Stage::Encoding { pixels: Arc::new(pixels), mask: None, pixel_mask: None };
        Ok(())
    }

    /// Begins the second pass with the middle of an enlarged latent.
    fn begin_second(&mut self, enlarged: &Array) -> Result<(), TrajectoryError> {
        let Some(second) = self.second.take() else { return Ok(()) };
        self.steps_before += self.pass.progress().0;
        self.pass = second.pass;
        let latent = middle(enlarged, self.pass.cells())?;
        self.pass.begin_from(latent, |_, _| None)?;
        if let Some(told) = nothing_to_see(&self.pass, self.downscale)? {
            self.stage = Stage::telling(told);
        }
        self.settle()
    }
}

impl Pending<'_> {
    fn wants(&self) -> &'static str {
        match self {
            Self::Encode(_) => "a latent",
            Self::Text(..) => "text vectors",
            Self::Denoise(..) => "UNet outputs",
            Self::Decode => "pixels",
            Self::Upscale(..) => "an enlarged picture",
            Self::Nothing(_) => "nothing more",
        }
    }
}

fn kind(answer: &Answer) -> &'static str {
    match answer {
        Answer::Encoded(_) => "a latent",
        Answer::Text(_) => "text vectors",
        Answer::Output(_) => "UNet outputs",
        Answer::Decoded(_) => "pixels",
        Answer::Upscaled(_) => "an enlarged picture",
    }
}
