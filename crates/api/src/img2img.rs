//! The body of `POST /sdapi/v1/img2img`: what text to image has, and the pictures to begin from.

use crate::infotext::take_picture_infotext;
use crate::txt2img::request;
use crate::{ApiError, Txt2ImgRequest};
use impasto_domain::{
    Bitmap, FromPicture, GenerationRequest, InfotextRules, Inpainting, MaskedContent, RequestLimits,
    ResizeMode, Style,
};
use impasto_settings::Options;
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// Fields of text to image that image to image does not have.
const TEXT_ONLY: &[&str] = &["enable_hr", "firstphase_width", "firstphase_height"];
/// The first field that stands after those of pictures.
const AFTER_PICTURES: &str = "force_task_id";
/// What the strength is where nothing is said.
const USUAL_STRENGTH: f64 = 0.75;
/// Standard deviation of a mask's blur where nothing is said.
const USUAL_BLUR: i64 = 4;

request! {
    /// What image to image has beyond text to image.
    pub struct PictureFields {
        /// Picture files in base64: one for all of a batch, or one for each.
        init_images: Option<Vec<String>> = None;
        /// How they are fitted: 0 stretched, 1 cropped, 2 filled up, 3 stretched as latents.
        resize_mode: Option<i64> = Some(0);
        /// Strength of guidance by the picture, of models that follow instructions; null means none of its own.
        image_cfg_scale: Option<f64> = None;
        /// A picture file in base64, white where the picture is painted anew; of one with alpha, where it is opaque.
        mask: Option<String> = None;
        /// Standard deviation of the mask's blur, in pixels, across and down.
        mask_blur: Option<i64> = None;
        /// The same across.
        mask_blur_x: Option<i64> = Some(USUAL_BLUR);
        /// The same down.
        mask_blur_y: Option<i64> = Some(USUAL_BLUR);
        /// Whether the mask is nothing or all, not between.
        mask_round: Option<bool> = Some(true);
        /// What is there before it is painted anew: 0 colours from around, 1 the original, 2 noise, 3 nothing.
        inpainting_fill: Option<i64> = Some(0);
        /// Whether only the mask's surroundings are made, at the full size.
        inpaint_full_res: Option<bool> = Some(true);
        /// Pixels around the mask that belong to its surroundings.
        inpaint_full_res_padding: Option<i64> = Some(0);
        /// 1 to paint the rest anew instead.
        inpainting_mask_invert: Option<i64> = Some(0);
        /// What noise on the pictures is multiplied with; null means the option.
        initial_noise_multiplier: Option<f64> = None;
        /// Has no effect.
        latent_mask: Option<String> = None;
        /// Whether the answer repeats the pictures.
        include_init_images: bool = false;
    }
}

/// A request for pictures from pictures. Unknown fields are ignored; `"3"` and `3.7` will do for 3.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Img2ImgRequest {
    /// What text to image has. The second pass has no effect here.
    #[serde(flatten)]
    pub text: Txt2ImgRequest,
    /// The pictures.
    #[serde(flatten)]
    pub picture: PictureFields,
}

/// The pictures of a request, decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedPictures {
    /// Those to begin from.
    pub images: Vec<Bitmap>,
    /// The mask, if there is one.
    pub mask: Option<Bitmap>,
}

impl Img2ImgRequest {
    /// Reads a request's body, and its infotext by the usual rules.
    pub fn from_json(body: Value) -> Result<Self, ApiError> {
        Self::from_json_by(body, &InfotextRules::default())
    }

    /// Reads a request's body, and its infotext by these rules.
    pub fn from_json_by(mut body: Value, rules: &InfotextRules) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        let picture = match &mut body {
            Value::Object(fields) => {
                take_picture_infotext(fields, rules);
                PictureFields::read(fields).unwrap_or_else(|found| {
                    errors = found;
                    PictureFields::default()
                })
            }
            // Told with the rest.
            _ => PictureFields::default(),
        };
        let text = match (Txt2ImgRequest::from_json_by(body, rules), errors.is_empty()) {
            (Ok(text), true) => text,
            (Ok(_), false) => return Err(ApiError::Validation(errors)),
            (Err(ApiError::Validation(more)), _) => {
                errors.extend(more);
                return Err(ApiError::Validation(errors));
            }
            (Err(other), _) => return Err(other),
        };
        let text = Txt2ImgRequest { enable_hr: Some(false), ..text };
        Ok(Self { text, picture })
    }

    /// The files of the pictures to begin from, and of the mask.
    pub fn files(&self) -> Result<(&[String], Option<&str>), ApiError> {
        let images = self.picture.init_images.as_deref().unwrap_or_default();
        if images.is_empty() {
            return Err(ApiError::http(404, "Init image not found"));
        }
        let most = usize::try_from(self.text.batch_size.unwrap_or(1).max(1)).unwrap_or(usize::MAX);
        if images.len() > most {
            let message = format!("bad number of images passed: {}; expecting {most} or less", images.len());
            return Err(ApiError::exception("RuntimeError", message));
        }
        Ok((images, self.picture.mask.as_deref().filter(|mask| !mask.is_empty())))
    }

    /// What the engine is to make of the decoded pictures, under the options that hold for this request and with the styles
    /// there are. `hash` is the sum of the last picture, where they are kept.
    pub fn to_generation(
        &self,
        options: &Options,
        limits: &RequestLimits,
        styles: &[Style],
        pictures: DecodedPictures,
        hash: Option<String>,
    ) -> Result<GenerationRequest, ApiError> {
        let mut generation = self.text.to_generation(options, limits, styles)?;
        let fields = &self.picture;
        let resize_mode = number("resize_mode", fields.resize_mode, ResizeMode::from_number)?;
        if pictures.images.len() > 1 {
            // As many as there are pictures.
            generation.batch_size = pictures.images.len() as u32;
        }
        let inpainting = pictures.mask.map(|mask| self.inpainting(mask, options)).transpose()?;
        if options.token_merging_ratio_img2img > 0.0 {
            generation.shortcuts.token_merging_ratio = options.token_merging_ratio_img2img;
        }
        generation.from_picture = Some(Arc::new(FromPicture {
            images: pictures.images,
            resize_mode,
            denoising_strength: self.text.denoising_strength.unwrap_or(USUAL_STRENGTH),
            fix_steps: options.img2img_fix_steps,
            noise_multiplier: fields.initial_noise_multiplier.unwrap_or(options.initial_noise_multiplier),
            extra_noise: options.img2img_extra_noise,
            color_correction: options.img2img_color_correction,
            background: color(&options.img2img_background_color),
            inpainting,
            image_cfg_scale: fields.image_cfg_scale,
            hash,
        }));
        Ok(generation)
    }

    fn inpainting(&self, mask: Bitmap, options: &Options) -> Result<Inpainting, ApiError> {
        let fields = &self.picture;
        let blur = |own: Option<i64>| fields.mask_blur.or(own).unwrap_or(USUAL_BLUR);
        Ok(Inpainting {
            mask,
            latent_mask: None,
            round: fields.mask_round.unwrap_or(true),
            invert: fields.inpainting_mask_invert.unwrap_or(0) != 0,
            blur: [
                pixels("mask_blur", blur(fields.mask_blur_x))?,
                pixels("mask_blur", blur(fields.mask_blur_y))?,
            ],
            content: number("inpainting_fill", fields.inpainting_fill, MaskedContent::from_number)?,
            only_masked: fields.inpaint_full_res.unwrap_or(true),
            padding: pixels("inpaint_full_res_padding", fields.inpaint_full_res_padding.unwrap_or(0))?,
            overlay: options.overlay_inpaint,
            soft: self.text.soft_inpainting()?,
        })
    }

    /// The request as the answer repeats it, in A1111's order. Pictures are left out unless they are asked for.
    pub fn echo(&self) -> Value {
        let fields = |value| match serde_json::to_value(value) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let mut picture = fields(&self.picture);
        let include = picture.shift_remove("include_init_images");
        if !self.picture.include_init_images {
            picture.insert("init_images".to_owned(), Value::Null);
            picture.insert("mask".to_owned(), Value::Null);
        }
        let mut echo = Map::new();
        let text = serde_json::to_value(&self.text);
        for (name, value) in text.ok().and_then(|text| text.as_object().cloned()).unwrap_or_default() {
            if TEXT_ONLY.contains(&name.as_str()) || name.starts_with("hr_") {
                continue;
            }
            if name == AFTER_PICTURES {
                echo.append(&mut picture);
            }
            let strength = Value::from(self.text.denoising_strength.unwrap_or(USUAL_STRENGTH));
            echo.insert(name.clone(), if name == "denoising_strength" { strength } else { value });
        }
        echo.extend(include.map(|include| ("include_init_images".to_owned(), include)));
        Value::Object(echo)
    }
}

/// What a number stands for.
fn number<T: Default>(
    field: &'static str,
    value: Option<i64>,
    meaning: impl Fn(i64) -> Option<T>,
) -> Result<T, ApiError> {
    let Some(value) = value else { return Ok(T::default()) };
    meaning(value).ok_or_else(|| {
        let message = format!("{field} {value} is out of range: allowed are 0 to 3");
        ApiError::field(&[field], message, "value_error", Some(&value.into()))
    })
}

/// A number of pixels.
fn pixels(field: &'static str, value: i64) -> Result<u32, ApiError> {
    const MOST: i64 = 4096;
    u32::try_from(value).ok().filter(|&value| i64::from(value) <= MOST).ok_or_else(|| {
        let message = format!("{field} {value} is out of range: allowed are 0 to {MOST}");
        ApiError::field(&[field], message, "value_error", Some(&value.into()))
    })
}

/// A colour of an option, which has been checked: `#rrggbb` or `#rgb`.
fn color(text: &str) -> [u8; 3] {
    let digits = text.trim_start_matches('#');
    let each = if digits.len() == 3 { 1 } else { 2 };
    [0, 1, 2].map(|channel| {
        let part = digits.get(channel * each..(channel + 1) * each).unwrap_or("ff");
        let value = u8::from_str_radix(part, 16).unwrap_or(255);
        if each == 1 { value * 17 } else { value }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bitmap() -> Bitmap {
        Bitmap { width: 1, height: 1, rgba: vec![0; 4] }
    }

    fn convert(body: Value, images: usize, mask: bool) -> Result<FromPicture, ApiError> {
        let request = Img2ImgRequest::from_json(body)?;
        request.files()?;
        let pictures = DecodedPictures { images: vec![bitmap(); images], mask: mask.then(bitmap) };
        let generation =
            request.to_generation(&Options::default(), &RequestLimits::default(), &[], pictures, None)?;
        Ok(Arc::unwrap_or_clone(generation.from_picture.unwrap()))
    }

    #[test]
    fn defaults_are_those_of_the_interface() {
        let plain = convert(json!({ "init_images": ["x"] }), 1, true).unwrap();
        assert_eq!((plain.denoising_strength, plain.resize_mode), (0.75, ResizeMode::Stretch));
        let inpainting = plain.inpainting.unwrap();
        assert_eq!(
            (inpainting.blur, inpainting.content, inpainting.only_masked),
            ([4, 4], MaskedContent::Fill, true)
        );
        assert_eq!((inpainting.padding, inpainting.invert, inpainting.round), (0, false, true));
    }

    #[test]
    fn fields_are_read_as_their_clients_write_them() {
        let body = json!({
            "init_images": ["x", "y"], "batch_size": 3, "mask": "z", "mask_blur": 2, "inpainting_mask_invert": false,
            "inpaint_full_res": 0, "inpainting_fill": "1", "denoising_strength": 0, "resize_mode": 2, "initial_noise_multiplier": 1.1
        });
        let read = convert(body, 2, true).unwrap();
        assert_eq!((read.denoising_strength, read.noise_multiplier), (0.0, 1.1));
        let inpainting = read.inpainting.unwrap();
        assert_eq!((inpainting.blur, inpainting.invert, inpainting.only_masked), ([2, 2], false, false));
        assert_eq!((read.resize_mode, inpainting.content), (ResizeMode::Fill, MaskedContent::Original));
    }

    #[test]
    fn what_cannot_be_is_told() {
        let told = |body: Value| convert(body, 1, true).unwrap_err().body().to_string();
        insta::assert_snapshot!(told(json!({})), @r#"{"error":"HTTPException","detail":"Init image not found","body":"","errors":""}"#);
        insta::assert_snapshot!(told(json!({ "init_images": ["a", "b"] })), @r#"{"error":"RuntimeError","detail":"","body":"","errors":"bad number of images passed: 2; expecting 1 or less"}"#);
        insta::assert_snapshot!(told(json!({ "init_images": ["a"], "resize_mode": 4 })), @r#"{"detail":[{"loc":["body","resize_mode"],"msg":"resize_mode 4 is out of range: allowed are 0 to 3","type":"value_error","input":4}]}"#);
        insta::assert_snapshot!(told(json!({ "init_images": 5, "steps": "x" })), @r#"{"detail":[{"loc":["body","init_images"],"msg":"value is not a valid list","type":"type_error.list","input":5},{"loc":["body","steps"],"msg":"value is not a valid integer","type":"type_error.integer","input":"x"}]}"#);
    }

    #[test]
    fn answers_repeat_requests_in_their_order() {
        let request = Img2ImgRequest::from_json(json!({ "init_images": ["x"], "mask": "y" })).unwrap();
        let echo = request.echo();
        let keys: Vec<&str> = echo.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            (&echo["init_images"], &echo["mask"], &echo["denoising_strength"]),
            (&Value::Null, &Value::Null, &json!(0.75))
        );
        let at = |name: &str| keys.iter().position(|key| *key == name).unwrap();
        assert!(at("prompt") < at("init_images") && at("latent_mask") < at("force_task_id"));
        assert!(
            !keys.iter().any(|key| key.starts_with("hr_")) && *keys.last().unwrap() == "include_init_images"
        );
        let kept =
            Img2ImgRequest::from_json(json!({ "init_images": ["x"], "include_init_images": true })).unwrap();
        assert_eq!(kept.echo()["init_images"], json!(["x"]));
    }
}
