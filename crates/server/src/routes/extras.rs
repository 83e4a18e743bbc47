//! `POST /sdapi/v1/extra-single-image` and `extra-batch-images`: pictures enlarged.

use crate::app::{App, Client};
use crate::body::{JsonBody, WITH_PICTURES};
use crate::clock;
use crate::error::Failure;
use crate::sent::{Allowance, MOST_PIXELS};
use axum::Json;
use axum::extract::State;
use impasto_api::{
    ApiError, ExtrasBatchRequest, ExtrasBatchResponse, ExtrasFields, ExtrasSingleRequest,
    ExtrasSingleResponse, Fault, ValidationErrors,
};
use impasto_domain::python_float;
use impasto_engine::EngineError;
use impasto_imaging::{Format, ImagingError, Rgb, encode_base64, encode_picture, read_metadata};

/// Enlarges a picture.
#[utoipa::path(
    post,
    path = "/sdapi/v1/extra-single-image",
    tag = "sdapi",
    request_body = ExtrasSingleRequest,
    responses(
        (status = 200, body = ExtrasSingleResponse),
        (status = 422, description = "A field cannot be used", body = ValidationErrors),
        (status = 500, description = "No such upscaler, or not a picture", body = Fault)
    )
)]
pub(crate) async fn single(
    State(app): State<App>,
    JsonBody(body): JsonBody<WITH_PICTURES>,
) -> Result<Json<ExtrasSingleResponse>, Failure> {
    let request = ExtrasSingleRequest::from_json(body)?;
    let work = move |mut enlarging: Enlarging| enlarging.enlarge(&request.image);
    let (image, info) = run(app, request.how, work).await?;
    Ok(Json(ExtrasSingleResponse { html_info: html(&info), image }))
}

/// Enlarges several pictures.
#[utoipa::path(
    post,
    path = "/sdapi/v1/extra-batch-images",
    tag = "sdapi",
    request_body = ExtrasBatchRequest,
    responses(
        (status = 200, body = ExtrasBatchResponse),
        (status = 422, description = "A field cannot be used", body = ValidationErrors),
        (status = 500, description = "No such upscaler, or not a picture", body = Fault)
    )
)]
pub(crate) async fn batch(
    State(app): State<App>,
    JsonBody(body): JsonBody<WITH_PICTURES>,
) -> Result<Json<ExtrasBatchResponse>, Failure> {
    let request = ExtrasBatchRequest::from_json(body)?;
    let made = run(app, request.how, move |mut enlarging| {
        request
            .image_list
            .iter()
            .map(|file| enlarging.enlarge(&file.data))
            .collect::<Result<Vec<_>, Failure>>()
    })
    .await?;
    let html_info = made.last().map(|(_, info)| html(info)).unwrap_or_default();
    Ok(Json(ExtrasBatchResponse { html_info, images: made.into_iter().map(|(image, _)| image).collect() }))
}

/// Does a request's work when its turn comes. Work whose client has gone ends at the next tile or picture.
async fn run<T: Send + 'static>(
    app: App,
    how: ExtrasFields,
    work: impl FnOnce(Enlarging) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let of = app.clone();
    let enlarging = move |client| Enlarging { app, how, client, allowance: Allowance::default() };
    of.enlarging(move |client| work(enlarging(client))).await
}

/// The work of one request.
struct Enlarging {
    app: App,
    how: ExtrasFields,
    client: Client,
    allowance: Allowance,
}

impl Enlarging {
    /// A picture file in base64, enlarged, and what was done.
    fn enlarge(&mut self, image: &str) -> Result<(String, String), Failure> {
        for name in [&self.how.upscaler_1, &self.how.upscaler_2] {
            if !self.app.engine().enlarger().knows(name) {
                let message = format!("could not find upscaler named {name}");
                return Err(ApiError::exception("AssertionError", message).into());
            }
        }
        let (file, picture) = self.allowance.read(image)?;
        let picture = picture.to_rgb();
        let (made, mut told) = self.made(&picture)?;
        if self.how.gfpgan_visibility > 0.0 || self.how.codeformer_visibility > 0.0 {
            told.push(missing_restorer(&self.app, &self.how));
        }
        let info = told.join(", ");
        let options = self.app.options();
        let format = Format::from_name(&options.samples_format, options.jpeg_quality).unwrap_or(Format::Png);
        let metadata = read_metadata(&file, MOST_PIXELS).unwrap_or_default();
        let kept = metadata.texts().filter(|(key, _)| *key != "postprocessing");
        let texts: Vec<(&str, &str)> = kept.chain([("postprocessing", info.as_str())]).collect();
        let file = encode_picture(&made, format, texts).map_err(wrong)?;
        tracing::debug!(width = made.width(), height = made.height(), at = %clock::now(), "enlarged a picture");
        Ok((encode_base64(&file), info))
    }

    /// What becomes of a picture, and what was done to it.
    fn made(&mut self, picture: &Rgb) -> Result<(Rgb, Vec<String>), Failure> {
        if self.how.upscaler_1 == "None" {
            return Ok((picture.clone(), Vec::new()));
        }
        let factor = self.how.factor(picture.size());
        self.allowance.take_result(picture.size(), factor)?;
        let (how, mut told) = (&self.how, Vec::new());
        let mut made = self.upscaled(&how.upscaler_1, picture, factor)?;
        told.push(if how.resize_mode == 1 {
            format!("Postprocess upscale to: {}x{}", how.upscaling_resize_w, how.upscaling_resize_h)
        } else {
            format!("Postprocess upscale by: {}", python_float(factor))
        });
        told.push(format!("Postprocess upscaler: {}", how.upscaler_1));
        if let Some(second) = how.second() {
            let over = self.upscaled(second, picture, factor)?;
            made = made.blend(&over, how.extras_upscaler_2_visibility as f32).map_err(wrong)?;
            told.push(format!("Postprocess upscaler 2: {second}"));
        }
        if let Some((width, height)) = how.crop() {
            made = made.centered(width, height).map_err(wrong)?;
            told.push(format!("Postprocess crop to: {}x{}", made.width(), made.height()));
        }
        Ok((made, told))
    }

    fn upscaled(&self, name: &str, picture: &Rgb, factor: f64) -> Result<Rgb, Failure> {
        let options = self.app.options();
        let tiles = [options.esrgan_tile, options.esrgan_tile_overlap];
        let mut is_wanted = |_, _| self.client.waits();
        if !is_wanted(0, 0) {
            return Err(EngineError::Cancelled.into());
        }
        Ok(self.app.engine().enlarger().enlarge(name, picture, factor, tiles, &mut is_wanted)?)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it takes the place of a closure")]
fn wrong(error: ImagingError) -> Failure {
    ApiError::exception("RuntimeError", error.to_string()).into()
}

/// What is told of faces that were to be restored.
fn missing_restorer(app: &App, how: &ExtrasFields) -> String {
    let (name, folder) = if how.gfpgan_visibility > 0.0 {
        ("GFPGAN", "models/GFPGAN")
    } else {
        ("CodeFormer", "models/Codeformer")
    };
    let folder = app.settings().data_dir.join(folder);
    format!(
        "faces are as they were: {name} cannot be run in this version; its file would belong into {}",
        folder.display()
    )
}

/// A line of text as A1111's page shows it.
fn html(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<p>{escaped}</p>")
}
