//! What a request asks of the way that a picture takes: a refiner, noise of another size, soft seams.

use crate::error::shortened;
use crate::{ApiError, Txt2ImgRequest};
use impasto_domain::{RefinedPass, Refiner, RequestError, RequestLimits, SoftInpainting};
use impasto_scripts::SOFT_INPAINTING;
use impasto_settings::Options;
use serde_json::{Map, Value};

impl Txt2ImgRequest {
    /// The model that makes the last steps, if there is to be one.
    pub(crate) fn refiner(&self, options: &Options) -> Option<Refiner> {
        let checkpoint = self.refiner_checkpoint.clone().filter(|name| !name.is_empty() && name != "None")?;
        Some(Refiner {
            checkpoint,
            switch_at: self.refiner_switch_at,
            by_steps: options.refiner_switch_by_sample_steps,
            pass: RefinedPass::from_exact_name(&options.hires_fix_refiner_pass).unwrap_or_default(),
        })
    }

    /// Width and height of the picture whose noise is taken, if both are given.
    pub(crate) fn seed_resize_from(
        &self,
        limits: &RequestLimits,
    ) -> Result<Option<(u32, u32)>, RequestError> {
        let above_zero = |side: Option<i64>| side.filter(|&side| side > 0);
        let (Some(width), Some(height)) =
            (above_zero(self.seed_resize_from_w), above_zero(self.seed_resize_from_h))
        else {
            return Ok(None);
        };
        Ok(Some((limits.edge("seed_resize_from_w", width)?, limits.edge("seed_resize_from_h", height)?)))
    }

    /// How seams are to be softened, if they are: by the arguments of A1111's script, `[enabled, six numbers]`, or by their names.
    pub(crate) fn soft_inpainting(&self) -> Result<Option<SoftInpainting>, ApiError> {
        let is_it = |name: &&String| name.eq_ignore_ascii_case(SOFT_INPAINTING);
        let Some(name) = self.alwayson_scripts.keys().find(is_it) else { return Ok(None) };
        let arguments = self.alwayson_scripts[name].get("args").unwrap_or(&Value::Null);
        let bad = |what: &str, value: &Value| {
            let message = format!("{name}: {what} {} is not usable: a number is needed", shortened(value));
            ApiError::field(&["alwayson_scripts", name, "args"], message, "value_error", Some(value))
        };
        let named = |arguments: &Map<String, Value>, names: &[&str]| {
            names.iter().find_map(|name| arguments.get(*name)).cloned()
        };
        let usual = SoftInpainting::default().numbers();
        let given: Vec<Option<Value>> = match arguments {
            Value::Array(values) => (0..=usual.len()).map(|at| values.get(at).cloned()).collect(),
            Value::Object(values) => {
                let enabled = named(values, &["Soft inpainting", "enabled"]);
                let numbers = usual.iter().map(|(name, ..)| {
                    let short = name.trim_start_matches("Soft inpainting ");
                    let capital = format!("{}{}", short[..1].to_uppercase(), &short[1..]);
                    named(values, &[&capital, short, name])
                });
                [enabled].into_iter().chain(numbers).collect()
            }
            Value::Null => return Ok(None),
            other => return Err(bad("args", other)),
        };
        let enabled = given[0].as_ref().is_some_and(|value| match value {
            Value::Bool(flag) => *flag,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => text.eq_ignore_ascii_case("true"),
            _ => false,
        });
        if !enabled {
            return Ok(None);
        }
        let mut numbers = [None; 6];
        for ((number, value), (what, ..)) in numbers.iter_mut().zip(&given[1..]).zip(usual) {
            *number = match value {
                None | Some(Value::Null) => None,
                Some(value) => Some(value.as_f64().ok_or_else(|| bad(what, value))?),
            };
        }
        Ok(Some(SoftInpainting::of(numbers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn soft(scripts: &Value) -> Result<Option<SoftInpainting>, ApiError> {
        Txt2ImgRequest::from_json(json!({ "alwayson_scripts": scripts })).unwrap().soft_inpainting()
    }

    #[test]
    fn soft_inpainting_is_read_as_its_clients_write_it() {
        assert_eq!(soft(&json!({})), Ok(None));
        assert_eq!(soft(&json!({ "Soft Inpainting": { "args": [false, 1, 2, 3] } })), Ok(None));
        let read = soft(&json!({ "Soft Inpainting": { "args": [true, 2, 0.25] } })).unwrap().unwrap();
        assert_eq!((read.schedule_bias, read.preservation_strength), (2.0, 0.25));
        assert_eq!(read.transition_contrast_boost, 4.0);
        let named =
            json!({ "soft inpainting": { "args": { "Soft inpainting": true, "Mask influence": 0.5 } } });
        assert_eq!(soft(&named).unwrap().unwrap().mask_influence, 0.5);
        let told =
            soft(&json!({ "soft inpainting": { "args": [true, "x"] } })).unwrap_err().body().to_string();
        assert!(told.contains("Soft inpainting schedule bias \\\"x\\\" is not usable"), "{told}");
        assert!(soft(&json!({ "soft inpainting": { "args": 5 } })).is_err());
    }

    #[test]
    fn a_refiner_and_noise_of_another_size_are_read() {
        let limits = RequestLimits::default();
        let body = json!({
            "refiner_checkpoint": "other", "refiner_switch_at": 0.8, "seed_resize_from_w": 512, "seed_resize_from_h": 256
        });
        let request = Txt2ImgRequest::from_json(body).unwrap();
        let refiner = request.refiner(&Options::default()).unwrap();
        assert_eq!((refiner.checkpoint.as_str(), refiner.switch_at), ("other", Some(0.8)));
        assert_eq!(request.seed_resize_from(&limits), Ok(Some((512, 256))));
        for name in ["", "None"] {
            let request = Txt2ImgRequest { refiner_checkpoint: Some(name.to_owned()), ..request.clone() };
            assert_eq!(request.refiner(&Options::default()), None);
        }
        let half = Txt2ImgRequest { seed_resize_from_h: Some(-1), ..request.clone() };
        assert_eq!(half.seed_resize_from(&limits), Ok(None));
        let huge = Txt2ImgRequest { seed_resize_from_h: Some(1 << 40), ..request };
        assert!(huge.seed_resize_from(&limits).is_err());
    }
}
