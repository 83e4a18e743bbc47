//! What a script begins from: the request of its client, prompts still in parts, and what may be asked about the world.

use crate::ScriptError;
use impasto_domain::{
    Bitmap, FromPicture, GenerationRequest, Refiner, RequestLimits, Sampler, Style, merge_styles,
    without_comments,
};
use impasto_imaging::{GridRows, Label, Legend, Lettering, Pixels, Rgb, Rgba, grid};
use std::sync::Arc;

/// The kind of request that a script is used with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    /// Pictures from text.
    Text,
    /// Pictures from pictures.
    Picture,
}

/// Names that a script looks up. A name is found as its clients write it, and comes back as requests have it.
pub trait Names {
    /// The title of the model that a name is closest to.
    fn model(&self, name: &str) -> Option<String>;
    /// All models.
    fn models(&self) -> Vec<String>;
    /// All upscalers of pictures, in the order of their list.
    fn upscalers(&self) -> Vec<String>;
    /// All files of separate autoencoders.
    fn vaes(&self) -> Vec<String>;
}

/// How grids are made.
#[derive(Debug, Clone)]
pub struct Look {
    /// Whether answers have grids where they are not the point.
    pub return_grid: bool,
    /// Whether they have them for several pictures only.
    pub only_if_multiple: bool,
    /// Rows, as the option `n_rows` says.
    pub n_rows: i64,
    /// Whether rows are chosen so that no place is left empty.
    pub prevent_empty_spots: bool,
    /// Most megapixels of a grid.
    pub most_megapixels: u32,
    /// Colours of texts that hold, of those that do not, and of the ground.
    pub colors: [[u8; 3]; 3],
    /// What legends are written in.
    pub lettering: Lettering,
}

impl Look {
    /// Refuses a grid that would be too large.
    pub(crate) fn check(&self, pictures: u64, request: &GenerationRequest) -> Result<(), ScriptError> {
        let (width, height) = (request.width.unwrap_or(0), request.height.unwrap_or(0));
        let pixels = pictures.saturating_mul(u64::from(width) * u64::from(height));
        let (megapixels, most) = ((pixels + 500_000) / 1_000_000, self.most_megapixels);
        if megapixels >= u64::from(most) {
            return Err(ScriptError::GridTooLarge { megapixels, most });
        }
        Ok(())
    }

    /// Pictures side by side in so many rows.
    pub(crate) fn grid(&self, pictures: &[&Rgb], rows: usize) -> Result<Rgb, ScriptError> {
        let rows = GridRows::Count(u32::try_from(rows).unwrap_or(u32::MAX));
        self.arranged(pictures, rows)
    }

    /// Pictures side by side as the options say.
    pub(crate) fn usual_grid(&self, pictures: &[&Rgb], batch_size: u32) -> Result<Rgb, ScriptError> {
        let rows = GridRows::from_options(self.n_rows, batch_size, self.prevent_empty_spots);
        self.arranged(pictures, rows)
    }

    fn arranged(&self, pictures: &[&Rgb], rows: GridRows) -> Result<Rgb, ScriptError> {
        let pixels: Vec<Pixels<'_>> = pictures.iter().map(|&picture| Pixels::from(picture)).collect();
        grid(&pixels, rows, self.colors[2]).ok_or_else(|| {
            ScriptError::Unusable(format!("a grid of {} pictures cannot be made", pixels.len()))
        })
    }

    /// Whether there is a grid of so many pictures where it is not the point.
    pub(crate) fn wants_grid(&self, pictures: usize) -> bool {
        pictures > 1 || (pictures == 1 && !self.only_if_multiple)
    }

    /// Pictures side by side, in rows as the option `n_rows` or something like it says, unless there are too many pixels for a grid
    /// that is not the point.
    pub(crate) fn grid_if_small(
        &self,
        pictures: &[&Rgb],
        n_rows: i64,
        batch_size: u32,
    ) -> Result<Option<Rgb>, ScriptError> {
        let pixels: u64 =
            pictures.iter().map(|picture| u64::from(picture.width()) * u64::from(picture.height())).sum();
        if pixels > u64::from(self.most_megapixels) * 1_000_000 {
            return Ok(None);
        }
        let rows = GridRows::from_options(n_rows, batch_size, self.prevent_empty_spots);
        self.arranged(pictures, rows).map(Some)
    }

    /// A grid with its legend.
    pub(crate) fn annotated(
        &self,
        grid: &Rgb,
        cell: (u32, u32),
        (columns, rows): (&[Vec<Label>], &[Vec<Label>]),
        margin: u32,
    ) -> Result<Rgb, ScriptError> {
        let legend = Legend { columns, rows, margin, lettering: &self.lettering, colors: self.colors };
        Ok(legend.around(grid, cell)?)
    }
}

/// What a script may know when it begins.
pub struct Context<'a> {
    /// The kind of request.
    pub tab: Tab,
    /// What may be asked for.
    pub limits: RequestLimits,
    /// Names of the world.
    pub names: &'a dyn Names,
    /// Gives 64 random bits.
    pub draw: &'a mut dyn FnMut() -> u64,
    /// How grids are made.
    pub look: Look,
    /// The styles there are.
    pub styles: &'a [Style],
    /// Whether what a mask keeps is put back from the original.
    pub overlay: bool,
}

impl Context<'_> {
    /// A seed, in the range that A1111 draws from.
    pub(crate) fn seed(&mut self) -> u64 {
        const SEEDS: u64 = 4_294_967_294;
        (self.draw)() % SEEDS
    }

    /// Gives a request its seeds, if it has none.
    pub(crate) fn fix_seeds(&mut self, request: &mut GenerationRequest) {
        request.draw_seeds(&mut *self.draw);
    }
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("tab", &self.tab).finish_non_exhaustive()
    }
}

/// How prompts come about from what clients write.
#[derive(Debug, Default)]
pub struct Wording {
    /// The styles there are.
    pub styles: Vec<Style>,
    /// Whether comments are taken out.
    pub drops_comments: bool,
    /// Most bytes of a prompt.
    pub most_bytes: usize,
}

/// Strength of the noise of each step: the client's, or what the options say for the two kinds of samplers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Etas {
    /// The client's.
    pub asked: Option<f64>,
    /// Of samplers that count in training times.
    pub ddim: f64,
    /// Of the others.
    pub ancestral: f64,
}

/// A request in the making.
#[derive(Debug, Clone)]
pub struct Base {
    /// The request, with its size; prompts are as they were written, without styles and with their comments.
    pub request: GenerationRequest,
    /// Names of styles.
    pub styles: Vec<String>,
    /// How prompts come about.
    pub wording: Arc<Wording>,
    /// Strengths of noise.
    pub etas: Etas,
    /// The model that makes the last steps; nothing if its name is empty.
    pub refiner: Refiner,
    /// Whether its pictures are saved, where saving is asked for.
    pub saved: bool,
}

impl Base {
    /// The request as it is to be painted.
    pub fn complete(&self) -> Result<GenerationRequest, ScriptError> {
        let mut request = self.request.clone();
        request.prompt = self.worded("prompt", &request.prompt, |style| &style.prompt)?;
        request.negative_prompt =
            self.worded("negative_prompt", &request.negative_prompt, |style| &style.negative_prompt)?;
        if let Some(hires) = request.hires.as_mut().filter(|_| self.wording.drops_comments) {
            for text in [&mut hires.prompt, &mut hires.negative_prompt].into_iter().flatten() {
                *text = without_comments(text);
            }
        }
        request.eta = self.etas.asked.or(match request.sampler {
            sampler if sampler.default_eta().is_none() => None,
            sampler if sampler.is_timestep_based() => Some(self.etas.ddim),
            _ => Some(self.etas.ancestral),
        });
        request.refiner = Some(self.refiner.clone()).filter(|refiner| !refiner.checkpoint.is_empty());
        Ok(request)
    }

    fn worded(
        &self,
        field: &'static str,
        text: &str,
        part: impl Fn(&Style) -> &String,
    ) -> Result<String, ScriptError> {
        let find = |name: &String| self.wording.styles.iter().find(|style| style.name == *name);
        let chosen = self.styles.iter().filter_map(find).map(|style| part(style).as_str());
        let merged = merge_styles(text, chosen, self.wording.most_bytes, field)?;
        Ok(if self.wording.drops_comments { without_comments(&merged) } else { merged })
    }

    /// The size of its pictures.
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.request.width.unwrap_or(512), self.request.height.unwrap_or(512))
    }

    /// Goes on with another sampler, and with the schedule that is chosen.
    pub(crate) fn choose_sampler(&mut self, sampler: Sampler) {
        let label = self.request.schedule.label();
        (self.request.sampler, self.request.schedule) = Sampler::resolve(sampler.name(), Some(label));
    }

    /// What the pictures begin from, to be changed.
    pub(crate) fn source_mut(&mut self) -> Option<&mut FromPicture> {
        self.request.from_picture.as_mut().map(Arc::make_mut)
    }

    /// The same for the picture at one place of a batch alone, where each begins from a picture of its own.
    pub(crate) fn of_picture(&self, at: usize) -> Self {
        let mut base = self.clone();
        if let Some(source) = self.request.from_picture.as_ref().filter(|source| source.images.len() > 1) {
            let images = source.image(at as u32).cloned().into_iter().collect();
            let inpainting = source.inpainting.clone();
            let hash = source.hash.clone();
            base.request.from_picture = Some(Arc::new(FromPicture { images, inpainting, hash, ..**source }));
        }
        base
    }

    /// The same with tiny pictures to begin from, for requests that are only to be checked.
    pub(crate) fn light(&self) -> Self {
        let mut light = self.clone();
        light.request.from_picture = None;
        if let Some(source) = &self.request.from_picture {
            let tiny = || Bitmap { width: 1, height: 1, rgba: vec![255; 4] };
            let images = source.images.iter().map(|_| tiny()).collect();
            light.request.from_picture = Some(Arc::new(FromPicture { images, ..bare(source) }));
        }
        light
    }

    /// Refuses what no request may ask for.
    pub(crate) fn check(&self, limits: &RequestLimits) -> Result<(), ScriptError> {
        Ok(self.complete()?.validate(limits, self.size())?)
    }
}

/// The same beginning without its pictures.
pub(crate) fn bare(source: &FromPicture) -> FromPicture {
    let inpainting = source.inpainting.as_ref().map(light_of);
    FromPicture { images: Vec::new(), inpainting, hash: source.hash.clone(), ..*source }
}

fn light_of(inpainting: &impasto_domain::Inpainting) -> impasto_domain::Inpainting {
    let mask = Bitmap { width: 1, height: 1, rgba: vec![255; 4] };
    impasto_domain::Inpainting { mask, latent_mask: None, ..*inpainting }
}

/// A picture as requests have it.
pub(crate) fn bitmap(picture: &Rgb) -> Bitmap {
    let (width, height) = picture.size();
    Bitmap { width, height, rgba: picture.to_rgba().into_samples() }
}

/// What a request begins from.
pub(crate) fn source_of(base: &Base) -> Result<Arc<FromPicture>, ScriptError> {
    let source = base.request.from_picture.clone();
    source.ok_or_else(|| ScriptError::Unusable("there is no picture to begin from".to_owned()))
}

/// The first picture that a request begins from, on its background.
pub(crate) fn first_picture(request: &GenerationRequest) -> Result<Rgb, ScriptError> {
    let source = request.from_picture.as_ref();
    let (source, first) = source
        .and_then(|source| Some((source, source.images.first()?)))
        .ok_or_else(|| ScriptError::Unusable("there is no picture to begin from".to_owned()))?;
    Ok(Rgba::new(first.width, first.height, first.rgba.clone())?.flatten(source.background))
}
