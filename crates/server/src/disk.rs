//! Files of pictures: made in the format that the options say, and written below the data root.

use crate::clock;
use crate::file_names::Facts;
use crate::save::{Kind, save_beside, save_picture};
use impasto_api::ApiError;
use impasto_domain::{Bitmap, Schedule, python_float};
use impasto_engine::{FinishedImage, JobStatus};
use impasto_imaging::{Filter, Format, ImagingError, Pixels, Rgb, Rgba, encode, encode_picture};
use impasto_settings::Options;
use std::path::{Path, PathBuf};

/// Keyword of the infotext in files.
const PARAMETERS: &str = "parameters";

/// A picture as it is written.
#[derive(Clone, Copy)]
pub(crate) struct Shot<'a> {
    /// Its number within its job.
    pub(crate) index: u32,
    pub(crate) pixels: Pixels<'a>,
    pub(crate) infotext: &'a str,
}

impl<'a> From<&'a FinishedImage> for Shot<'a> {
    fn from(image: &'a FinishedImage) -> Self {
        Self { index: image.index, pixels: pixels_of(image), infotext: &image.infotext }
    }
}

/// Where the pictures of one job go.
pub(crate) struct Disk<'a> {
    pub(crate) root: &'a Path,
    pub(crate) options: &'a Options,
    pub(crate) status: &'a JobStatus,
    pub(crate) styles: &'a [String],
}

impl Disk<'_> {
    /// Writes a picture's file, and gives its path.
    pub(crate) fn save(
        &self,
        place: (Kind, &str),
        shot: Shot<'_>,
        file: (&[u8], &str),
    ) -> Result<PathBuf, ApiError> {
        let facts = self.facts(shot);
        let path =
            save_picture(self.root, place, self.options, &facts, file, shot.infotext).map_err(|error| {
                ApiError::exception("OSError", format!("cannot save to {}: {error}", place.1))
            })?;
        tracing::info!(path = %path.display(), "saved");
        Ok(path)
    }

    /// Saves a JPEG file beside a picture that is large, of no more pixels along an edge than the option says.
    pub(crate) fn save_smaller(&self, shot: Shot<'_>, bytes: usize, path: &Path) -> Result<(), ApiError> {
        let options = self.options;
        let (width, height) = (shot.pixels.width, shot.pixels.height);
        let most = options.target_side_length;
        let wide = width > most || height > most;
        let heavy = bytes as f64 > options.img_downscale_threshold * f64::from(1 << 20);
        let is_jpeg = path.extension().is_some_and(|suffix| suffix == "jpg" || suffix == "jpeg");
        if !options.export_for_4chan || is_jpeg || !(wide || heavy) {
            return Ok(());
        }
        let mut picture = Rgb::new(width, height, shot.pixels.rgb.to_vec()).map_err(not_made)?;
        if wide {
            let share =
                |side: u32, of: u32| (f64::from(side) * f64::from(most) / f64::from(of)).round() as u32;
            let (width, height) =
                if width > height { (most, share(height, width)) } else { (share(width, height), most) };
            picture = picture.resize(width.max(1), height.max(1), Filter::Lanczos).map_err(not_made)?;
        }
        let format = Format::Jpeg { quality: options.jpeg_quality };
        let texts = options.enable_pnginfo.then_some((PARAMETERS, shot.infotext));
        let file = encode_picture(&picture, format, texts).map_err(not_made)?;
        save_beside(path, "", &file, "jpg").map_err(not_saved)
    }

    /// What the name of a picture's file may have.
    fn facts(&self, shot: Shot<'_>) -> Facts<'_> {
        let request = &self.status.request;
        let model = self.status.model.as_deref();
        let now = clock::now();
        let (batch, images) = (request.batch_size.max(1), request.image_count());
        let first = shot.index / batch * batch;
        let seed = |index: u32| request.seeds(index.min(images.saturating_sub(1))).seed;
        let schedule = match request.schedule {
            Schedule::Automatic => request.sampler.default_schedule().unwrap_or(Schedule::Automatic),
            chosen => chosen,
        };
        Facts {
            seeds: [seed(shot.index), seed(first), seed(first + batch - 1)],
            steps: request.steps,
            cfg_scale: python_float(request.cfg_scale),
            size: (shot.pixels.width, shot.pixels.height),
            styles: self.styles,
            sampler: request.sampler.name(),
            scheduler: schedule.label(),
            model_hash: model.and_then(|model| model.short_hash()).unwrap_or_default(),
            model_name: model.map(|model| model.name.as_str()).unwrap_or_default(),
            vae: vae_part(self.status),
            prompt: &request.prompt,
            negative_prompt: &request.negative_prompt,
            clip_skip: request.clip_skip,
            denoising_strength: request.denoising_strength(),
            place: (shot.index % batch, batch),
            number: (shot.index, images),
            began: now - self.status.elapsed,
            now,
            most_words: self.options.directories_max_prompt_words as usize,
        }
    }
}

/// Writes an infotext to `params.txt`, from where A1111's page and scripts take it.
pub(crate) fn remember_parameters(root: &Path, infotext: &str) {
    let path = root.join("params.txt");
    if let Err(error) = std::fs::write(&path, infotext) {
        tracing::warn!(path = %path.display(), %error, "cannot write the last parameters");
    }
}

/// What the name of a picture's file has of an autoencoder's: what is before its first dot.
fn vae_part(status: &JobStatus) -> &str {
    let Some(vae) = &status.vae else { return "NoneType" };
    vae.name.split('.').find(|part| !part.is_empty()).unwrap_or_default()
}

pub(crate) fn format_of(name: &str, options: &Options) -> Format {
    Format::from_name(name, options.jpeg_quality).unwrap_or(Format::Png)
}

pub(crate) fn pixels_of(image: &FinishedImage) -> Pixels<'_> {
    Pixels { width: image.picture.width, height: image.picture.height, rgb: &image.picture.rgb }
}

pub(crate) fn file_of(
    pixels: Pixels<'_>,
    infotext: &str,
    format: Format,
    options: &Options,
) -> Result<Vec<u8>, ApiError> {
    encode(pixels, format, options.enable_pnginfo.then_some(infotext)).map_err(not_made)
}

/// The file of a picture beside a finished one, with alpha where it is transparent.
pub(crate) fn file_beside(
    bitmap: &Bitmap,
    infotext: &str,
    format: Format,
    options: &Options,
) -> Result<Vec<u8>, ApiError> {
    let picture = Rgba::new(bitmap.width, bitmap.height, bitmap.rgba.clone()).map_err(not_made)?;
    let texts = options.enable_pnginfo.then_some((PARAMETERS, infotext));
    let opaque = picture.pixels().iter().all(|pixel| pixel[3] == 255);
    let file = if opaque {
        encode_picture(&picture.to_rgb(), format, texts)
    } else {
        encode_picture(&picture, format, texts)
    };
    file.map_err(not_made)
}

/// A picture that cannot be made.
#[expect(clippy::needless_pass_by_value, reason = "it takes the place of a closure")]
pub(crate) fn not_made(error: ImagingError) -> ApiError {
    ApiError::exception("RuntimeError", error.to_string())
}

/// A picture that cannot be written.
#[expect(clippy::needless_pass_by_value, reason = "it takes the place of a closure")]
pub(crate) fn not_saved(error: std::io::Error) -> ApiError {
    ApiError::exception("OSError", format!("cannot save beside a picture: {error}"))
}
