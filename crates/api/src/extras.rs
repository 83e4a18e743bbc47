//! Bodies and answers of `/sdapi/v1/extra-single-image` and `extra-batch-images`: pictures enlarged.

use crate::ApiError;
use crate::coerce::read_field;
use crate::txt2img::request;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

request! {
    /// How pictures are to be enlarged.
    pub struct ExtrasFields {
        /// 0 by a factor, 1 to a size.
        resize_mode: i64 = 0;
        /// Has no effect: all results are answered.
        show_extras_results: bool = true;
        /// How much of faces is restored; networks for that are not there.
        gfpgan_visibility: f64 = 0.0;
        /// How much of faces is restored; networks for that are not there.
        codeformer_visibility: f64 = 0.0;
        /// Has no effect without `codeformer_visibility`.
        codeformer_weight: f64 = 0.0;
        /// The factor.
        upscaling_resize: f64 = 2.0;
        /// The size's width.
        upscaling_resize_w: i64 = 512;
        /// The size's height.
        upscaling_resize_h: i64 = 512;
        /// Whether a picture of another aspect is cropped to the size.
        upscaling_crop: bool = true;
        /// What enlarges.
        upscaler_1: String = "None".to_owned();
        /// What enlarges a second time, to be laid over the first.
        upscaler_2: String = "None".to_owned();
        /// How much of the second shows, 0 to 1.
        extras_upscaler_2_visibility: f64 = 0.0;
        /// Has no effect: there is nothing else to do first.
        upscale_first: bool = false;
    }
}

/// The body of `POST /sdapi/v1/extra-single-image`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExtrasSingleRequest {
    /// How it is to be enlarged.
    #[serde(flatten)]
    pub how: ExtrasFields,
    /// A picture file in base64.
    pub image: String,
}

/// The body of `POST /sdapi/v1/extra-batch-images`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExtrasBatchRequest {
    /// How they are to be enlarged.
    #[serde(flatten)]
    pub how: ExtrasFields,
    /// Picture files.
    #[serde(rename = "imageList")]
    pub image_list: Vec<FileData>,
}

/// A picture file with a name.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FileData {
    /// The file in base64.
    pub data: String,
    /// Its name.
    pub name: String,
}

/// The answer for one picture.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ExtrasSingleResponse {
    /// What was done, as HTML.
    pub html_info: String,
    /// The picture file in base64.
    pub image: String,
}

/// The answer for several pictures.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ExtrasBatchResponse {
    /// What was done, as HTML.
    pub html_info: String,
    /// Picture files in base64.
    pub images: Vec<String>,
}

fn fields(body: Value) -> Result<(ExtrasFields, Map<String, Value>), ApiError> {
    let Value::Object(mut body) = body else {
        return Err(ApiError::field(&[], "value is not a valid dict", "type_error.dict", Some(&body)));
    };
    let how = ExtrasFields::read(&mut body).map_err(ApiError::Validation)?;
    how.check()?;
    Ok((how, body))
}

impl ExtrasFields {
    /// Refuses numbers beyond the interface's bounds.
    fn check(&self) -> Result<(), ApiError> {
        let bad = |field: &str, value: Value, allowed: &str| {
            let message = format!("{field} {value} is out of range: allowed are {allowed}");
            Err(ApiError::field(&[field], message, "value_error", Some(&value)))
        };
        if !(0..=1).contains(&self.resize_mode) {
            return bad("resize_mode", self.resize_mode.into(), "0 and 1");
        }
        for (field, value) in [
            ("gfpgan_visibility", self.gfpgan_visibility),
            ("codeformer_visibility", self.codeformer_visibility),
            ("codeformer_weight", self.codeformer_weight),
            ("extras_upscaler_2_visibility", self.extras_upscaler_2_visibility),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return bad(field, value.into(), "0 to 1");
            }
        }
        if !(self.upscaling_resize > 0.0 && self.upscaling_resize <= 16.0) {
            return bad("upscaling_resize", self.upscaling_resize.into(), "above 0 to 16");
        }
        for (field, value) in
            [("upscaling_resize_w", self.upscaling_resize_w), ("upscaling_resize_h", self.upscaling_resize_h)]
        {
            if !(1..=16384).contains(&value) {
                return bad(field, value.into(), "1 to 16384");
            }
        }
        Ok(())
    }

    /// The factor for a picture of so many pixels.
    pub fn factor(&self, (width, height): (u32, u32)) -> f64 {
        if self.resize_mode == 0 {
            return self.upscaling_resize;
        }
        let across = self.upscaling_resize_w as f64 / f64::from(width.max(1));
        across.max(self.upscaling_resize_h as f64 / f64::from(height.max(1)))
    }

    /// The size to crop to, if there is one.
    pub fn crop(&self) -> Option<(u32, u32)> {
        let size = (self.upscaling_resize_w as u32, self.upscaling_resize_h as u32);
        (self.resize_mode == 1 && self.upscaling_crop).then_some(size)
    }

    /// Whether there is a second upscaler that shows.
    pub fn second(&self) -> Option<&str> {
        let shows = self.upscaler_2 != "None" && self.extras_upscaler_2_visibility > 0.0;
        shows.then_some(self.upscaler_2.as_str())
    }
}

impl ExtrasSingleRequest {
    /// Reads a request's body.
    pub fn from_json(body: Value) -> Result<Self, ApiError> {
        let (how, mut body) = fields(body)?;
        let mut errors = Vec::new();
        let image = read_field(&mut body, "image", String::new(), &mut errors);
        if errors.is_empty() { Ok(Self { how, image }) } else { Err(ApiError::Validation(errors)) }
    }
}

impl ExtrasBatchRequest {
    /// Reads a request's body.
    pub fn from_json(body: Value) -> Result<Self, ApiError> {
        let (how, mut body) = fields(body)?;
        let list = match body.remove("imageList") {
            Some(Value::Array(list)) => list,
            None => {
                return Err(ApiError::field(&["imageList"], "field required", "value_error.missing", None));
            }
            Some(other) => {
                return Err(ApiError::field(
                    &["imageList"],
                    "value is not a valid list",
                    "type_error.list",
                    Some(&other),
                ));
            }
        };
        let file = |(at, item): (usize, Value)| {
            let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
            let missing = |name: &str| {
                let place = ["imageList".to_owned(), at.to_string(), name.to_owned()];
                let place: Vec<&str> = place.iter().map(String::as_str).collect();
                ApiError::field(&place, "str type expected", "type_error.str", item.get(name))
            };
            let data = text("data").ok_or_else(|| missing("data"))?;
            let name = text("name").ok_or_else(|| missing("name"))?;
            Ok(FileData { data, name })
        };
        let image_list = list.into_iter().enumerate().map(file).collect::<Result<_, ApiError>>()?;
        Ok(Self { how, image_list })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bounds_are_those_of_the_interface() {
        assert!(ExtrasSingleRequest::from_json(json!({})).is_ok());
        for bad in [
            json!({ "resize_mode": 2 }),
            json!({ "upscaling_resize": 0 }),
            json!({ "upscaling_resize_w": 0 }),
            json!({ "extras_upscaler_2_visibility": 1.5 }),
            json!({ "upscaler_1": null }),
            json!([]),
        ] {
            assert_eq!(ExtrasSingleRequest::from_json(bad.clone()).unwrap_err().status(), 422, "{bad}");
        }
        for bad in [json!({}), json!({ "imageList": 1 }), json!({ "imageList": [{ "data": "x" }] })] {
            assert_eq!(ExtrasBatchRequest::from_json(bad.clone()).unwrap_err().status(), 422, "{bad}");
        }
    }

    #[test]
    fn factors_cover_the_size() {
        let by = ExtrasFields { upscaling_resize: 3.0, ..ExtrasFields::default() };
        assert_eq!((by.factor((10, 20)), by.crop()), (3.0, None));
        let to = ExtrasFields { resize_mode: 1, upscaling_resize_w: 40, upscaling_resize_h: 40, ..by };
        assert_eq!((to.factor((10, 20)), to.crop()), (4.0, Some((40, 40))));
        assert_eq!(ExtrasFields { upscaling_crop: false, ..to }.crop(), None);
    }
}
