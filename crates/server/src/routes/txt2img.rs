//! `POST /sdapi/v1/txt2img`: submits a job and waits for it.

use crate::app::App;
use crate::body::JsonBody;
use crate::clock;
use crate::error::Failure;
use crate::save::save_picture;
use axum::Json;
use axum::extract::State;
use impasto_api::{ApiError, Fault, Txt2ImgInfo, Txt2ImgRequest, Txt2ImgResponse, ValidationErrors};
use impasto_domain::{PROGRAM_VERSION, Schedule};
use impasto_engine::{FinishedImage, JobState, JobStatus};
use impasto_imaging::{Format, Pixels, encode, encode_base64};
use impasto_settings::Options;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Makes pictures from text and answers with them. The job ends when the client hangs up.
#[utoipa::path(
    post,
    path = "/sdapi/v1/txt2img",
    tag = "sdapi",
    request_body = Txt2ImgRequest,
    responses(
        (status = 200, body = Txt2ImgResponse),
        (status = 422, description = "A field cannot be used", body = ValidationErrors),
        (status = 429, description = "Too many jobs wait", body = Fault),
        (status = 500, description = "It came to an error", body = Fault)
    )
)]
pub(crate) async fn txt2img(
    State(app): State<App>,
    JsonBody(body): JsonBody,
) -> Result<Json<Txt2ImgResponse>, Failure> {
    let request = Txt2ImgRequest::from_json(&body)?;
    let options = app.options_for(&request)?;
    let watcher = app.submit(&request, &options, true).await?;
    let waited_for = app.wait_for(watcher.id());
    let status = watcher.finished().await;
    drop(waited_for);
    match status.state {
        JobState::Done => {}
        JobState::Cancelled => {
            return Err(ApiError::exception("RuntimeError", "the job was cancelled").into());
        }
        _ => {
            let reason = status.error.clone().unwrap_or_else(|| "the engine has stopped".to_owned());
            return Err(ApiError::exception("RuntimeError", reason).into());
        }
    }
    let answer = tokio::task::spawn_blocking(move || answer(&app, request, &options, &status));
    Ok(Json(answer.await??))
}

/// Encodes, and saves if asked to. Takes a while for large pictures.
fn answer(
    app: &App,
    mut request: Txt2ImgRequest,
    options: &Options,
    status: &Arc<JobStatus>,
) -> Result<Txt2ImgResponse, ApiError> {
    let root = app.settings().data_dir.as_path();
    let save = request.save_images && options.samples_save;
    let mut images = Vec::with_capacity(status.images.len());
    for image in &status.images {
        let file = file_of(image, options)?;
        if save {
            save_file(root, options, image, &file)?;
        }
        if request.send_images {
            images.push(encode_base64(&file));
        }
    }
    let info = serde_json::to_string(&info(status, options)).unwrap_or_default();
    request.width = status.request.width.map(i64::from);
    request.height = status.request.height.map(i64::from);
    Ok(Txt2ImgResponse { images, parameters: request, info })
}

fn format_of(options: &Options) -> Format {
    Format::from_name(&options.samples_format, options.jpeg_quality).unwrap_or(Format::Png)
}

fn file_of(image: &FinishedImage, options: &Options) -> Result<Vec<u8>, ApiError> {
    let picture = &image.picture;
    let pixels = Pixels { width: picture.width, height: picture.height, rgb: &picture.rgb };
    let infotext = options.enable_pnginfo.then_some(image.infotext.as_str());
    encode(pixels, format_of(options), infotext)
        .map_err(|error| ApiError::exception("RuntimeError", error.to_string()))
}

fn save_file(root: &Path, options: &Options, image: &FinishedImage, file: &[u8]) -> Result<(), ApiError> {
    let folder = &options.outdir_txt2img_samples;
    let date = clock::date(clock::now());
    let saved = save_picture(root, folder, &date, image.seed, format_of(options).suffix(), file);
    let path =
        saved.map_err(|error| ApiError::exception("OSError", format!("cannot save to {folder}: {error}")))?;
    tracing::info!(path = %path.display(), "saved");
    Ok(())
}

/// What was made, in A1111's words.
fn info(status: &JobStatus, options: &Options) -> Txt2ImgInfo {
    let request = &status.request;
    let count = request.image_count();
    let seeds: Vec<_> = (0..count).map(|index| request.seeds(index)).collect();
    let first = request.seeds(0);
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
        restore_faces: false,
        face_restoration_model: None,
        sd_model_name: status.model.as_ref().map(|model| model.name.clone()).unwrap_or_default(),
        sd_model_hash: status.model.as_ref().and_then(|model| model.short_hash().map(str::to_owned)),
        sd_vae_name: None,
        sd_vae_hash: None,
        seed_resize_from_w: -1,
        seed_resize_from_h: -1,
        denoising_strength: None,
        extra_generation_params: extra.into_iter().collect::<BTreeMap<_, _>>(),
        index_of_first_image: 0,
        infotexts: status.images.iter().map(|image| image.infotext.clone()).collect(),
        styles: Vec::new(),
        job_timestamp: clock::timestamp(clock::now() - status.elapsed),
        clip_skip: options.clip_stop_at_last_layers,
        is_using_inpainting_conditioning: false,
        version: PROGRAM_VERSION,
    }
}
