//! The infotext in a request: what it gives to fields, options and scripts of which the request itself does not speak.

use impasto_domain::{InfotextRules, InfotextValue, SoftInpainting, infotext_settings, parse_infotext_by};
use impasto_scripts::SOFT_INPAINTING;
use serde_json::{Map, Value, json};

/// Keys of an infotext and the fields they stand for.
const FIELDS: &[(&str, &str)] = &[
    ("Prompt", "prompt"),
    ("Negative prompt", "negative_prompt"),
    ("Steps", "steps"),
    ("Sampler", "sampler_name"),
    ("Schedule type", "scheduler"),
    ("CFG scale", "cfg_scale"),
    ("Seed", "seed"),
    ("Denoising strength", "denoising_strength"),
    ("Hires upscale", "hr_scale"),
    ("Hires upscaler", "hr_upscaler"),
    ("Hires steps", "hr_second_pass_steps"),
    ("Hires resize-1", "hr_resize_x"),
    ("Hires resize-2", "hr_resize_y"),
    ("Hires prompt", "hr_prompt"),
    ("Hires negative prompt", "hr_negative_prompt"),
    ("Hires sampler", "hr_sampler_name"),
    ("Hires schedule type", "hr_scheduler"),
    ("Hires checkpoint", "hr_checkpoint_name"),
    ("Refiner", "refiner_checkpoint"),
    ("Refiner switch at", "refiner_switch_at"),
    ("Seed resize from-1", "seed_resize_from_w"),
    ("Seed resize from-2", "seed_resize_from_h"),
    ("Size-1", "width"),
    ("Size-2", "height"),
    ("Variation seed", "subseed"),
    ("Variation seed strength", "subseed_strength"),
];

/// Keys of an infotext and the options they stand for.
const OPTIONS: &[(&str, &str)] = &[
    ("Clip skip", "CLIP_stop_at_last_layers"),
    ("RNG", "randn_source"),
    ("VAE", "sd_vae"),
    ("VAE Encoder", "sd_vae_encode_method"),
    ("VAE Decoder", "sd_vae_decode_method"),
    ("ENSD", "eta_noise_seed_delta"),
    ("Eta", "eta_ancestral"),
    ("Eta DDIM", "eta_ddim"),
    ("Token merging ratio", "token_merging_ratio"),
    ("Token merging ratio hr", "token_merging_ratio_hr"),
    ("Tiling", "tiling"),
    ("Hires refiner", "hires_fix_refiner_pass"),
    ("Refiner switch by sampling steps", "refiner_switch_by_sample_steps"),
    ("Conditional mask weight", "inpainting_mask_weight"),
    ("Hypertile U-Net second pass", "hypertile_enable_unet_secondpass"),
    ("Hypertile U-Net", "hypertile_enable_unet"),
    ("Hypertile U-Net max depth", "hypertile_max_depth_unet"),
    ("Hypertile U-Net max tile size", "hypertile_max_tile_unet"),
    ("Hypertile U-Net swap size", "hypertile_swap_size_unet"),
    ("Skip Early CFG", "skip_early_cond"),
    ("Skip Late CFG", "skip_late_cond"),
    ("NGMS", "s_min_uncond"),
    ("NGMS all steps", "s_min_uncond_all"),
    ("DeepCache interval", "deepcache_interval"),
    ("DeepCache depth", "deepcache_depth"),
    ("Precision", "precision"),
    ("Emphasis", "emphasis"),
    ("Downcast alphas_cumprod", "use_downcasted_alpha_bar"),
    ("Noise Schedule", "sd_noise_schedule"),
    ("SGM noise multiplier", "sgm_noise_multiplier"),
    ("Discard penultimate sigma", "always_discard_next_to_last_sigma"),
    ("Schedule min sigma", "sigma_min"),
    ("Schedule max sigma", "sigma_max"),
    ("Schedule rho", "rho"),
    ("Beta schedule alpha", "beta_dist_alpha"),
    ("Beta schedule beta", "beta_dist_beta"),
    ("Beta scheduler alpha", "beta_dist_alpha"),
    ("Beta scheduler beta", "beta_dist_beta"),
    ("Face restoration", "face_restoration"),
    ("Sigma churn", "s_churn"),
    ("Sigma tmin", "s_tmin"),
    ("Sigma tmax", "s_tmax"),
    ("Sigma noise", "s_noise"),
    ("UniPC variant", "uni_pc_variant"),
    ("UniPC skip type", "uni_pc_skip_type"),
    ("UniPC order", "uni_pc_order"),
    ("UniPC lower order final", "uni_pc_lower_order_final"),
    ("Noise multiplier", "initial_noise_multiplier"),
    ("Extra noise", "img2img_extra_noise"),
    ("Old prompt editing timelines", "use_old_scheduling"),
];

/// Words of infotexts and the numbers that requests have for them.
type Meanings = &'static [(&'static str, i64)];

/// Keys of an infotext and what they mean for masks, as A1111's page has it: the field, and its value, or nothing for the value
/// itself.
const MASKS: &[(&str, &str, Meanings)] = &[
    ("Mask mode", "inpainting_mask_invert", &[("Inpaint masked", 0), ("Inpaint not masked", 1)]),
    ("Mask blur", "mask_blur", &[]),
    ("Inpaint area", "inpaint_full_res", &[("Whole picture", 0), ("Only masked", 1)]),
    ("Masked area padding", "inpaint_full_res_padding", &[]),
    (
        "Masked content",
        "inpainting_fill",
        &[("fill", 0), ("original", 1), ("latent noise", 2), ("latent nothing", 3)],
    ),
];

/// The infotext in a body, if there is one.
pub fn infotext_of(body: &Value) -> Option<&str> {
    given(body.as_object()?)
}

fn given(body: &Map<String, Value>) -> Option<&str> {
    body.get("infotext").and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Gives absent fields and options the values of the body's infotext.
pub(crate) fn take_infotext(body: &mut Map<String, Value>, rules: &InfotextRules) {
    let Some(text) = given(body) else { return };
    let parsed = parse_infotext_by(text, rules);
    let named = |table: &'static [(&str, &str)], key: &str| {
        table.iter().find(|(name, _)| *name == key).map(|(_, field)| (*field).to_owned())
    };
    let given = body.get_mut("override_settings");
    let unusable = given.as_deref().is_some_and(|given| !given.is_object() && !given.is_null());
    let mut overrides = given.and_then(Value::as_object_mut).map(std::mem::take).unwrap_or_default();
    soften(body, &parsed);
    plot(body, &parsed);
    for (key, value) in parsed {
        let text = || Value::from(value.to_string());
        match &value {
            InfotextValue::List(names) if key == "Styles array" => {
                body.entry("styles").or_insert_with(|| json!(names));
            }
            _ if key == "Hires upscaler" => {
                body.entry("enable_hr").or_insert(Value::Bool(true));
            }
            _ if key == "Model hash" && rules.takes_model => {
                overrides.entry("sd_model_checkpoint").or_insert_with(text);
            }
            _ => {}
        }
        if let Some(field) = named(FIELDS, &key) {
            body.entry(field).or_insert_with(text);
        } else if let Some(option) = named(OPTIONS, &key) {
            overrides.entry(option).or_insert_with(text);
        }
    }
    if !unusable {
        body.insert("override_settings".to_owned(), Value::Object(overrides));
    }
}

/// Gives absent fields of pictures the values of the body's infotext.
pub(crate) fn take_picture_infotext(body: &mut Map<String, Value>, rules: &InfotextRules) {
    let Some(text) = given(body) else { return };
    let parsed = parse_infotext_by(text, rules);
    let find = |key: &str| parsed.iter().find(|(name, _)| name == key).map(|(_, value)| value.to_string());
    // An infotext without a mask has defaults of A1111's page for it, which are none of the picture's.
    let told = infotext_settings(text);
    let masked = told.iter().any(|(told, _)| MASKS.iter().any(|(key, ..)| key == told));
    if let Some(scale) = find("Image CFG scale") {
        body.entry("image_cfg_scale").or_insert(Value::from(scale));
    }
    for (key, field, meanings) in MASKS.iter().filter(|_| masked) {
        let Some(text) = find(key) else { continue };
        let meaning = meanings.iter().find(|(name, _)| *name == text).map(|(_, number)| Value::from(*number));
        if meaning.is_some() || meanings.is_empty() {
            body.entry(*field).or_insert_with(|| meaning.unwrap_or_else(|| Value::from(text)));
        }
    }
}

/// Gives the script for soft seams its arguments, if the infotext has them and the request does not.
fn soften(body: &mut Map<String, Value>, parsed: &[(String, InfotextValue)]) {
    let find = |key: &str| parsed.iter().find(|(name, _)| name == key).map(|(_, value)| value.to_string());
    if find("Soft inpainting enabled").as_deref() != Some("True") {
        return;
    }
    let numbers = SoftInpainting::default().numbers();
    let numbers = numbers
        .iter()
        .map(|(key, usual, _)| json!(find(key).and_then(|text| text.parse::<f64>().ok()).unwrap_or(*usual)));
    let arguments: Vec<Value> = [Value::Bool(true)].into_iter().chain(numbers).collect();
    let scripts = body.entry("alwayson_scripts").or_insert_with(|| json!({}));
    if let Some(scripts) = scripts.as_object_mut()
        && !scripts.keys().any(|name| name.eq_ignore_ascii_case(SOFT_INPAINTING))
    {
        scripts.insert(SOFT_INPAINTING.to_owned(), json!({ "args": arguments }));
    }
}

/// Gives X/Y/Z plot the axes of the infotext of a grid, if the request has that script and no arguments for it.
fn plot(body: &mut Map<String, Value>, parsed: &[(String, InfotextValue)]) {
    let chosen = body.get("script_name").and_then(Value::as_str).unwrap_or_default();
    let has_arguments =
        body.get("script_args").and_then(Value::as_array).is_some_and(|given| !given.is_empty());
    if !chosen.eq_ignore_ascii_case("X/Y/Z plot") || has_arguments {
        return;
    }
    let find = |key: String| parsed.iter().find(|(name, _)| *name == key).map(|(_, value)| value.to_string());
    let axis = |name: &str| {
        let kind = find(format!("{name} Type")).unwrap_or_else(|| "Nothing".to_owned());
        // Seeds that were drawn are taken as they were.
        let values = find(format!("Fixed {name} Values")).or_else(|| find(format!("{name} Values")));
        [Value::from(kind), Value::from(values.unwrap_or_default()), Value::Null]
    };
    if find("X Type".to_owned())
        .or_else(|| find("Y Type".to_owned()))
        .or_else(|| find("Z Type".to_owned()))
        .is_some()
    {
        body.insert("script_args".to_owned(), ["X", "Y", "Z"].into_iter().flat_map(axis).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Img2ImgRequest, Txt2ImgRequest};
    use impasto_domain::Style;

    const MASKED: &str = "cat\nSteps: 20, Sampler: Euler, Seed: 1, Mask mode: Inpaint not masked, Mask blur: 7, \
                          Inpaint area: Only masked, Masked area padding: 12, Masked content: latent noise, \
                          Image CFG scale: 1.25";

    fn from_picture(body: Value) -> Img2ImgRequest {
        Img2ImgRequest::from_json(body).unwrap()
    }

    #[test]
    fn masks_are_taken_over() {
        let read = from_picture(json!({ "infotext": MASKED, "mask_blur": 9 })).picture;
        assert_eq!((read.inpainting_mask_invert, read.mask_blur), (Some(1), Some(9)));
        assert_eq!((read.inpaint_full_res, read.inpaint_full_res_padding), (Some(true), Some(12)));
        assert_eq!((read.inpainting_fill, read.image_cfg_scale), (Some(2), Some(1.25)));
        // One mask key brings A1111's page's defaults for the others; without any, the interface's own hold.
        let blurred = from_picture(json!({ "infotext": "cat\nSteps: 20, Seed: 1, Mask blur: 4" })).picture;
        assert_eq!((blurred.inpainting_fill, blurred.inpaint_full_res), (Some(1), Some(false)));
        let plain = from_picture(json!({ "infotext": "cat\nSteps: 20, Seed: 1, Size: 8x8" })).picture;
        assert_eq!((plain.inpainting_fill, plain.inpaint_full_res), (Some(0), Some(true)));
    }

    #[test]
    fn soft_seams_are_taken_over() {
        let text =
            "cat\nSteps: 20, Seed: 1, Soft inpainting enabled: True, Soft inpainting schedule bias: 2.5";
        let read = Txt2ImgRequest::from_json(json!({ "infotext": text })).unwrap();
        assert_eq!(read.soft_inpainting().unwrap().unwrap().schedule_bias, 2.5);
        let own = json!({ "Soft Inpainting": { "args": [false] } });
        let read = Txt2ImgRequest::from_json(json!({ "infotext": text, "alwayson_scripts": own })).unwrap();
        assert_eq!(read.soft_inpainting(), Ok(None));
    }

    #[test]
    fn axes_of_a_grid_are_taken_over_by_its_script() {
        let text = "cat\nSteps: 20, Seed: 1, Script: X/Y/Z plot, X Type: Seed, X Values: \"-1, 5\", \
                    Fixed X Values: \"77, 5\", Y Type: Sampler, Y Values: \"Euler,DDIM\"";
        let read = |body: Value| Txt2ImgRequest::from_json(body).unwrap().script_args;
        assert_eq!(
            Value::from(read(json!({ "infotext": text, "script_name": "x/y/z plot" }))),
            json!(["Seed", "77, 5", null, "Sampler", "Euler,DDIM", null, "Nothing", "", null])
        );
        assert_eq!(
            read(json!({ "infotext": text, "script_name": "x/y/z plot", "script_args": [4] })),
            [json!(4)]
        );
        assert!(read(json!({ "infotext": text })).is_empty());
    }

    #[test]
    fn rules_say_what_is_taken() {
        let style = Style { name: "oil".into(), prompt: "oil".into(), negative_prompt: String::new() };
        let rules = InfotextRules { styles: vec![style], takes_model: true, ..InfotextRules::default() };
        let text = "cat, oil\nSteps: 20, Seed: 1, Model hash: 0123456789";
        let read = |body: Value| Txt2ImgRequest::from_json_by(body, &rules).unwrap();
        let taken = read(json!({ "infotext": text }));
        assert_eq!(taken.prompt.as_deref(), Some("cat"));
        assert_eq!(taken.styles, Some(vec!["oil".to_owned()]));
        assert_eq!(taken.override_settings.unwrap()["sd_model_checkpoint"], "0123456789");
        let usual = Txt2ImgRequest::from_json(json!({ "infotext": text })).unwrap();
        assert_eq!((usual.styles, usual.override_settings.unwrap().get("sd_model_checkpoint")), (None, None));
    }
}
