//! Answers of `/sdapi/v1/txt2img` and `img2img`: pictures as files, saved if that is asked for, and what is said of them.

use crate::app::App;
use crate::clock;
use crate::disk::{
    Disk, Shot, file_beside, file_of, format_of, not_made, not_saved, pixels_of, remember_parameters,
};
use crate::save::{GRID, Kind, save_beside};
use impasto_api::{ApiError, Txt2ImgInfo, Txt2ImgRequest, extra_generation_params};
use impasto_domain::{AsideKind, Bitmap, Conditioning, GenerationRequest, PROGRAM_VERSION};
use impasto_engine::{JobState, JobStatus, Watcher};
use impasto_imaging::{GridRows, Pixels, Rgb, encode_base64, grid, parse_color};
use impasto_scripts::PieceKind;
use impasto_settings::Options;
use std::sync::Arc;

/// Waits for a job that came in through A1111's interface, under the name that its client gave it. The job ends when the client
/// hangs up.
pub(crate) async fn wait_for(
    app: &App,
    watcher: Watcher,
    name: Option<&str>,
) -> Result<Arc<JobStatus>, ApiError> {
    let run = app.begin_run(name);
    run.work_on(vec![watcher.id()]);
    let status = watcher.finished().await;
    drop(run);
    match failure_of(&status) {
        None => Ok(status),
        Some(reason) => Err(ApiError::exception("RuntimeError", reason)),
    }
}

/// Why a job that has ended has no pictures, if it did not end well.
pub(crate) fn failure_of(status: &JobStatus) -> Option<String> {
    match status.state {
        JobState::Done => None,
        JobState::Cancelled => Some("the job was cancelled".to_owned()),
        _ => Some(status.error.clone().unwrap_or_else(|| "the engine has stopped".to_owned())),
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

/// A picture of an answer.
pub(crate) struct Output {
    pub(crate) picture: Arc<Rgb>,
    pub(crate) infotext: String,
    /// Of which job, and of which of its pictures, it has the settings.
    pub(crate) origin: (usize, u32),
    pub(crate) kind: PieceKind,
    /// Whether it is saved, where saving is asked for.
    pub(crate) saved: bool,
    /// Whether the answer has it.
    pub(crate) shown: bool,
    /// Whether it was ended before its time.
    pub(crate) is_early: bool,
    /// Pictures beside it.
    pub(crate) asides: Arc<[(AsideKind, Bitmap)]>,
}

/// What a request came to.
pub(crate) struct Results {
    /// What was asked.
    pub(crate) request: Arc<GenerationRequest>,
    /// The jobs that it came to.
    pub(crate) jobs: Vec<Arc<JobStatus>>,
    /// Pictures of the answer, in its order.
    pub(crate) outputs: Vec<Output>,
    /// Every picture that was painted to be one of the answer's: job and number.
    pub(crate) pictures: Vec<(usize, u32)>,
    /// Place in the answer of the first picture that is no grid.
    pub(crate) index_of_first_image: u32,
    /// What is to be said of it.
    pub(crate) comments: Vec<String>,
}

impl Results {
    /// The request of the first job, with what the engine filled in.
    pub(crate) fn first_request(&self) -> &GenerationRequest {
        self.jobs.first().map_or(&self.request, |status| &status.request)
    }

    /// Of a job that has ended well.
    pub(crate) fn of_job(
        status: &Arc<JobStatus>,
        asked: &Asked,
        options: &Options,
    ) -> Result<Self, ApiError> {
        let grid = grid_of(asked, status, options);
        let index_of_first_image = grid.iter().filter(|grid| grid.shown).count() as u32;
        let mut outputs: Vec<Output> = grid.into_iter().collect();
        for image in &status.images {
            let pixels = pixels_of(image);
            let picture = Rgb::new(pixels.width, pixels.height, pixels.rgb.to_vec()).map_err(not_made)?;
            outputs.push(Output {
                picture: Arc::new(picture),
                infotext: image.infotext.clone(),
                origin: (0, image.index),
                kind: PieceKind::Painted,
                saved: true,
                shown: true,
                is_early: image.is_early,
                asides: image.asides.clone(),
            });
        }
        Ok(Self {
            request: status.request.clone(),
            jobs: vec![status.clone()],
            outputs,
            pictures: (0..status.request.image_count()).map(|index| (0, index)).collect(),
            index_of_first_image,
            comments: status.comments.to_vec(),
        })
    }
}

/// The pictures of a request that has ended well, as files in base64, and what is said of them, a JSON object in a text. Encodes,
/// and saves if asked to: takes a while for large pictures.
pub(crate) fn answer(
    app: &App,
    asked: &Asked,
    options: &Options,
    results: &Results,
) -> Result<(Vec<String>, String), ApiError> {
    let begun = results.request.from_picture.is_some();
    let (samples, grids): (&str, &str) = if begun {
        (&options.outdir_img2img_samples, &options.outdir_img2img_grids)
    } else {
        (&options.outdir_txt2img_samples, &options.outdir_txt2img_grids)
    };
    let root = &app.settings().data_dir;
    let (mut images, mut infotexts) = (Vec::new(), Vec::new());
    let mut send = |file: &[u8]| {
        if asked.send_images {
            images.push(encode_base64(file));
        }
    };
    for output in &results.outputs {
        let (place, format, kept) = match output.kind {
            PieceKind::Grid(name) => ((Kind::Grid(name), grids), &options.grid_format, options.grid_save),
            PieceKind::Painted | PieceKind::Joined => {
                let whole = !output.is_early || options.save_incomplete_images;
                ((Kind::Picture, samples), &options.samples_format, options.samples_save && whole)
            }
        };
        let kept = kept && asked.save_images && output.saved;
        if !kept && !output.shown {
            continue;
        }
        let format = format_of(format, options);
        let pixels = Pixels::from(&*output.picture);
        let file = file_of(pixels, &output.infotext, format, options)?;
        let mut saved = None;
        if let Some(status) = results.jobs.get(output.origin.0).filter(|_| kept) {
            let disk = Disk { root, options, status, styles: &asked.styles };
            let shot = Shot { index: output.origin.1, pixels, infotext: &output.infotext };
            let path = disk.save(place, shot, (&file, format.suffix()))?;
            if place.0 == Kind::Picture {
                disk.save_smaller(shot, file.len(), &path)?;
            }
            saved = Some(path);
        }
        if output.shown {
            send(&file);
            infotexts.push(output.infotext.clone());
        }
        for (kind, bitmap) in &*output.asides {
            let (keep, show) = asked_for(*kind, options);
            let file = file_beside(bitmap, &output.infotext, format, options)?;
            if let Some(path) = saved.as_ref().filter(|_| keep) {
                save_beside(path, kind.suffix(), &file, format.suffix()).map_err(not_saved)?;
            }
            if show && output.shown {
                send(&file);
            }
        }
    }
    if let Some(first) = results.outputs.first() {
        remember_parameters(root, &first.infotext);
    }
    let info = info(asked, results, options, infotexts);
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

/// All pictures in one, with the first one's settings, where there are several and they are to be saved.
fn grid_of(asked: &Asked, status: &JobStatus, options: &Options) -> Option<Output> {
    let wanted = asked.save_images && (options.return_grid || options.grid_save);
    let [first, rest @ ..] = status.images.as_slice() else { return None };
    if rest.is_empty() && options.grid_only_if_multiple {
        return None;
    }
    let pictures: Vec<Pixels<'_>> = status.images.iter().map(pixels_of).collect();
    let pixels: u64 =
        pictures.iter().map(|picture| u64::from(picture.width) * u64::from(picture.height)).sum();
    if pixels > u64::from(options.img_max_size_mp) * 1_000_000 {
        tracing::warn!(pixels, "no grid: its pictures are too large (img_max_size_mp)");
        return None;
    }
    let rows =
        GridRows::from_options(options.n_rows, status.request.batch_size, options.grid_prevent_empty_spots);
    let background = parse_color(&options.grid_background_color).unwrap_or([255; 3]);
    let make = || grid(&pictures, rows, background);
    let grid = wanted.then(make).flatten()?;
    Some(Output {
        picture: Arc::new(grid),
        infotext: first.infotext.clone(),
        origin: (0, first.index),
        kind: PieceKind::Grid(GRID),
        saved: true,
        shown: options.return_grid,
        is_early: false,
        asides: Arc::default(),
    })
}

/// What was made, in A1111's words.
fn info(asked: &Asked, results: &Results, options: &Options, infotexts: Vec<String>) -> Txt2ImgInfo {
    let first_job = results.jobs.first();
    let request = results.first_request();
    let model = first_job.and_then(|status| status.model.as_ref());
    let vae = first_job.and_then(|status| status.vae.as_ref());
    let of: Vec<(&GenerationRequest, u32)> = results
        .pictures
        .iter()
        .map(|&(job, index)| (results.jobs.get(job).map_or(request, |status| &*status.request), index))
        .collect();
    let seeds: Vec<_> = of.iter().map(|(request, index)| request.seeds(*index)).collect();
    let first = seeds.first().copied().unwrap_or(request.seeds(0));
    let resized = request.seed_resize_from;
    let infotext =
        infotexts.get(results.index_of_first_image as usize).map(String::as_str).unwrap_or_default();
    let elapsed = first_job.map(|status| status.elapsed).unwrap_or_default();
    Txt2ImgInfo {
        prompt: request.prompt.clone(),
        all_prompts: of.iter().map(|(request, _)| request.prompt.clone()).collect(),
        negative_prompt: request.negative_prompt.clone(),
        all_negative_prompts: of.iter().map(|(request, _)| request.negative_prompt.clone()).collect(),
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
        sd_model_name: model.map(|model| model.name.clone()).unwrap_or_default(),
        sd_model_hash: model.and_then(|model| model.short_hash().map(str::to_owned)),
        sd_vae_name: vae.map(|vae| vae.name.clone()),
        sd_vae_hash: vae.and_then(|vae| vae.hash.clone()),
        seed_resize_from_w: resized.map_or(-1, |(width, _)| width.into()),
        seed_resize_from_h: resized.map_or(-1, |(_, height)| height.into()),
        denoising_strength: request.denoising_strength(),
        extra_generation_params: extra_generation_params(infotext),
        index_of_first_image: results.index_of_first_image,
        infotexts,
        styles: asked.styles.clone(),
        job_timestamp: clock::timestamp(clock::now() - elapsed),
        clip_skip: options.clip_stop_at_last_layers,
        is_using_inpainting_conditioning: first_job
            .is_some_and(|status| status.conditioning == Conditioning::Inpainting),
        version: PROGRAM_VERSION,
        comments: results.comments.clone(),
    }
}
