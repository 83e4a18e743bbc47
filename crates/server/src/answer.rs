//! Answers of `/sdapi/v1/txt2img` and `img2img`: pictures as files, saved if that is asked for, and what is said of them.

use crate::app::App;
use crate::clock;
use crate::file_names::Facts;
use crate::save::{Kind, save_beside, save_picture};
use impasto_api::{ApiError, Txt2ImgInfo, Txt2ImgRequest};
use impasto_domain::{
    AsideKind, Bitmap, Conditioning, GenerationRequest, PROGRAM_VERSION, Schedule, python_float,
};
use impasto_engine::{FinishedImage, JobState, JobStatus, Watcher};
use impasto_imaging::{
    Filter, Format, GridRows, ImagingError, Pixels, Rgb, Rgba, encode, encode_base64, encode_picture, grid,
    parse_color,
};
use impasto_settings::Options;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Keyword of the infotext in files.
const PARAMETERS: &str = "parameters";

/// Waits for a job that came in through A1111's interface, under the name that its client gave it. The job ends when the client
/// hangs up.
pub(crate) async fn wait_for(
    app: &App,
    watcher: Watcher,
    name: Option<&str>,
) -> Result<Arc<JobStatus>, ApiError> {
    let waited_for = app.wait_for(watcher.id());
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        app.name_task(name, watcher.id());
    }
    let status = watcher.finished().await;
    drop(waited_for);
    match status.state {
        JobState::Done => Ok(status),
        JobState::Cancelled => Err(ApiError::exception("RuntimeError", "the job was cancelled")),
        _ => {
            let reason = status.error.clone().unwrap_or_else(|| "the engine has stopped".to_owned());
            Err(ApiError::exception("RuntimeError", reason))
        }
    }
}

/// What of a request an answer goes by.
pub(crate) struct Asked {
    /// Whether pictures are written to the data root.
    pub(crate) save_images: bool,
    /// Whether the answer has the pictures.
    pub(crate) send_images: bool,
    /// Names of styles.
    pub(crate) styles: Vec<String>,
}

impl Asked {
    /// What a request asks.
    pub(crate) fn of(request: &Txt2ImgRequest) -> Self {
        Self {
            save_images: request.save_images,
            send_images: request.send_images,
            styles: request.styles.clone().unwrap_or_default(),
        }
    }
}

/// The pictures of a job that has ended well, as files in base64, and what is said of them, a JSON object in a text. Encodes,
/// and saves if asked to: takes a while for large pictures.
pub(crate) fn answer(
    app: &App,
    asked: &Asked,
    options: &Options,
    status: &Arc<JobStatus>,
) -> Result<(Vec<String>, String), ApiError> {
    let save = asked.save_images && options.samples_save;
    let begun = status.request.from_picture.is_some();
    let (samples, grids) = if begun {
        (&options.outdir_img2img_samples, &options.outdir_img2img_grids)
    } else {
        (&options.outdir_txt2img_samples, &options.outdir_txt2img_grids)
    };
    let disk = Disk { root: &app.settings().data_dir, options, status, styles: &asked.styles };
    let format = format_of(&options.samples_format, options);
    let mut files = Vec::with_capacity(status.images.len());
    for image in &status.images {
        let file = file_of(pixels_of(image), &image.infotext, format, options)?;
        let save = save && (!image.is_early || options.save_incomplete_images);
        let saved = save.then(|| disk.save((Kind::Picture, samples), image, (&file, format.suffix())));
        let saved = saved.transpose()?;
        if let Some(path) = &saved {
            disk.save_smaller(image, file.len(), path)?;
        }
        files.push(file);
        for (kind, bitmap) in &*image.asides {
            let (keep, show) = asked_for(*kind, options);
            let file = file_beside(bitmap, &image.infotext, format, options)?;
            if let Some(path) = saved.as_ref().filter(|_| keep) {
                save_beside(path, kind.suffix(), &file, format.suffix()).map_err(not_saved)?;
            }
            if show {
                files.push(file);
            }
        }
    }
    disk.remember_parameters();
    let mut info = info(asked, status, options);
    if let Some((file, infotext)) = grid_of(asked, status, options)? {
        if let Some(first) = status.images.first().filter(|_| options.grid_save) {
            let suffix = format_of(&options.grid_format, options).suffix();
            disk.save((Kind::Grid, grids), first, (&file, suffix))?;
        }
        if options.return_grid {
            files.insert(0, file);
            info.infotexts.insert(0, infotext);
            info.index_of_first_image = 1;
        }
    }
    let images =
        if asked.send_images { files.iter().map(|file| encode_base64(file)).collect() } else { Vec::new() };
    Ok((images, serde_json::to_string(&info).unwrap_or_default()))
}

/// Whether a picture beside a finished one is to be kept, and whether it is to be shown.
fn asked_for(kind: AsideKind, options: &Options) -> (bool, bool) {
    match kind {
        AsideKind::BeforeHires => (options.save_images_before_highres_fix, false),
        AsideKind::BeforeColorCorrection => (options.save_images_before_color_correction, false),
        AsideKind::Mask => (options.save_mask, options.return_mask),
        AsideKind::MaskComposite => (options.save_mask_composite, options.return_mask_composite),
    }
}

fn file_beside(
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

#[expect(clippy::needless_pass_by_value, reason = "it takes the place of a closure")]
fn not_made(error: ImagingError) -> ApiError {
    ApiError::exception("RuntimeError", error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "it takes the place of a closure")]
fn not_saved(error: std::io::Error) -> ApiError {
    ApiError::exception("OSError", format!("cannot save beside a picture: {error}"))
}

/// All pictures in one and its infotext, the first one's, where there are several and they are to be saved.
fn grid_of(
    asked: &Asked,
    status: &JobStatus,
    options: &Options,
) -> Result<Option<(Vec<u8>, String)>, ApiError> {
    let wanted = asked.save_images && (options.return_grid || options.grid_save);
    let [first, rest @ ..] = status.images.as_slice() else { return Ok(None) };
    if rest.is_empty() && options.grid_only_if_multiple {
        return Ok(None);
    }
    let pictures: Vec<Pixels<'_>> = status.images.iter().map(pixels_of).collect();
    let pixels: u64 =
        pictures.iter().map(|picture| u64::from(picture.width) * u64::from(picture.height)).sum();
    if pixels > u64::from(options.img_max_size_mp) * 1_000_000 {
        tracing::warn!(pixels, "no grid: its pictures are too large (img_max_size_mp)");
        return Ok(None);
    }
    let rows =
        GridRows::from_options(options.n_rows, status.request.batch_size, options.grid_prevent_empty_spots);
    let background = parse_color(&options.grid_background_color).unwrap_or([255; 3]);
    let make = || grid(&pictures, rows, background);
    let Some(grid) = wanted.then(make).flatten() else { return Ok(None) };
    let format = format_of(&options.grid_format, options);
    let file = file_of(Pixels::from(&grid), &first.infotext, format, options)?;
    Ok(Some((file, first.infotext.clone())))
}

/// Where the pictures of one answer go.
pub(crate) struct Disk<'a> {
    pub(crate) root: &'a Path,
    pub(crate) options: &'a Options,
    pub(crate) status: &'a JobStatus,
    pub(crate) styles: &'a [String],
}

impl Disk<'_> {
    pub(crate) fn save(
        &self,
        place: (Kind, &str),
        image: &FinishedImage,
        file: (&[u8], &str),
    ) -> Result<PathBuf, ApiError> {
        let facts = self.facts(image);
        let path =
            save_picture(self.root, place, self.options, &facts, file, &image.infotext).map_err(|error| {
                ApiError::exception("OSError", format!("cannot save to {}: {error}", place.1))
            })?;
        tracing::info!(path = %path.display(), "saved");
        Ok(path)
    }

    /// Saves a JPEG file beside a picture that is large, of no more pixels along an edge than the option says.
    fn save_smaller(&self, image: &FinishedImage, bytes: usize, path: &Path) -> Result<(), ApiError> {
        let options = self.options;
        let (width, height) = (image.picture.width, image.picture.height);
        let most = options.target_side_length;
        let wide = width > most || height > most;
        let heavy = bytes as f64 > options.img_downscale_threshold * f64::from(1 << 20);
        let is_jpeg = path.extension().is_some_and(|suffix| suffix == "jpg" || suffix == "jpeg");
        if !options.export_for_4chan || is_jpeg || !(wide || heavy) {
            return Ok(());
        }
        let mut picture = Rgb::new(width, height, image.picture.rgb.clone()).map_err(not_made)?;
        if wide {
            let share =
                |side: u32, of: u32| (f64::from(side) * f64::from(most) / f64::from(of)).round() as u32;
            let (width, height) =
                if width > height { (most, share(height, width)) } else { (share(width, height), most) };
            picture = picture.resize(width.max(1), height.max(1), Filter::Lanczos).map_err(not_made)?;
        }
        let format = Format::Jpeg { quality: options.jpeg_quality };
        let texts = options.enable_pnginfo.then_some((PARAMETERS, image.infotext.as_str()));
        let file = encode_picture(&picture, format, texts).map_err(not_made)?;
        save_beside(path, "", &file, "jpg").map_err(not_saved)
    }

    /// What the name of a picture's file may have.
    fn facts(&self, image: &FinishedImage) -> Facts<'_> {
        let request = &self.status.request;
        let model = self.status.model.as_deref();
        let now = clock::now();
        let (batch, images) = (request.batch_size.max(1), request.image_count());
        let first = image.index / batch * batch;
        let seed = |index: u32| request.seeds(index.min(images.saturating_sub(1))).seed;
        let schedule = match request.schedule {
            Schedule::Automatic => request.sampler.default_schedule().unwrap_or(Schedule::Automatic),
            chosen => chosen,
        };
        Facts {
            seeds: [image.seed, seed(first), seed(first + batch - 1)],
            steps: request.steps,
            cfg_scale: python_float(request.cfg_scale),
            size: (image.picture.width, image.picture.height),
            styles: self.styles,
            sampler: request.sampler.name(),
            scheduler: schedule.label(),
            model_hash: model.and_then(|model| model.short_hash()).unwrap_or_default(),
            model_name: model.map(|model| model.name.as_str()).unwrap_or_default(),
            vae: vae_part(self.status),
            prompt: &request.prompt,
            negative_prompt: &request.negative_prompt,
            clip_skip: request.clip_skip,
            denoising_strength: strength_of(request),
            place: (image.index % batch, batch),
            number: (image.index, images),
            began: now - self.status.elapsed,
            now,
            most_words: self.options.directories_max_prompt_words as usize,
        }
    }

    /// Writes the infotext of the first picture to `params.txt`, from where A1111's page and scripts take it.
    fn remember_parameters(&self) {
        let Some(first) = self.status.images.first() else { return };
        let path = self.root.join("params.txt");
        if let Err(error) = std::fs::write(&path, &first.infotext) {
            tracing::warn!(path = %path.display(), %error, "cannot write the last parameters");
        }
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

/// What was made, in A1111's words.
fn info(asked: &Asked, status: &JobStatus, options: &Options) -> Txt2ImgInfo {
    let request = &status.request;
    let count = request.image_count();
    let seeds: Vec<_> = (0..count).map(|index| request.seeds(index)).collect();
    let first = request.seeds(0);
    let strength = strength_of(request);
    let resized = request.seed_resize_from;
    let schedule = match request.schedule {
        Schedule::Automatic => request.sampler.default_schedule(),
        chosen => Some(chosen),
    };
    let extra = schedule.map(|schedule| ("Schedule type".to_owned(), Value::from(schedule.label())));
    Txt2ImgInfo {
        prompt: request.prompt.clone(),
        all_prompts: vec![request.prompt.clone(); count as usize],
        negative_prompt: request.negative_prompt.clone(),
        all_negative_prompts: vec![request.negative_prompt.clone(); count as usize],
        seed: first.seed,
        all_seeds: seeds.iter().map(|seeds| seeds.seed).collect(),
        subseed: first.subseed,
        all_subseeds: seeds.iter().map(|seeds| seeds.subseed).collect(),
        subseed_strength: request.subseed_strength,
        width: request.width.unwrap_or_default(),
        height: request.height.unwrap_or_default(),
        sampler_name: request.sampler.name(),
        cfg_scale: request.cfg_scale,
        steps: request.steps,
        batch_size: request.batch_size,
        restore_faces: request.restore_faces,
        face_restoration_model: None,
        sd_model_name: status.model.as_ref().map(|model| model.name.clone()).unwrap_or_default(),
        sd_model_hash: status.model.as_ref().and_then(|model| model.short_hash().map(str::to_owned)),
        sd_vae_name: status.vae.as_ref().map(|vae| vae.name.clone()),
        sd_vae_hash: status.vae.as_ref().and_then(|vae| vae.hash.clone()),
        seed_resize_from_w: resized.map_or(-1, |(width, _)| width.into()),
        seed_resize_from_h: resized.map_or(-1, |(_, height)| height.into()),
        denoising_strength: strength,
        extra_generation_params: extra.into_iter().collect::<BTreeMap<_, _>>(),
        index_of_first_image: 0,
        infotexts: status.images.iter().map(|image| image.infotext.clone()).collect(),
        styles: asked.styles.clone(),
        job_timestamp: clock::timestamp(clock::now() - status.elapsed),
        clip_skip: options.clip_stop_at_last_layers,
        is_using_inpainting_conditioning: status.conditioning == Conditioning::Inpainting,
        version: PROGRAM_VERSION,
        comments: status.comments.to_vec(),
    }
}

/// How much of a picture is made anew, in the pass that begins from one.
fn strength_of(request: &GenerationRequest) -> Option<f64> {
    let second = request.hires.as_ref().map(|hires| hires.denoising_strength);
    second.or(request.from_picture.as_ref().map(|source| source.denoising_strength))
}
