//! Every field that A1111's requests have, tried: what acts changes the answer, and what is ignored, as there, does not.

use crate::setup::{TestApp, small};
use impasto_imaging::{Format, Pixels, encode, encode_base64};
use serde_json::{Map, Value, json};

/// A field, a value of it, and what else the request must have for it to matter.
type Case = (&'static str, Value, Value);

/// What both kinds of requests have.
fn common() -> Vec<Case> {
    let churn = || json!({ "s_churn": 5, "steps": 4 });
    let refiner = || json!({ "refiner_checkpoint": "tiny", "refiner_switch_at": 0.6, "steps": 4 });
    vec![
        ("prompt", json!("a dog"), json!({})),
        ("negative_prompt", json!("dog"), json!({})),
        ("styles", json!(["oil"]), json!({})),
        ("seed", json!(8), json!({})),
        ("subseed", json!(5), json!({ "subseed_strength": 0.5 })),
        ("subseed_strength", json!(0.5), json!({ "subseed": 3 })),
        ("seed_resize_from_h", json!(64), json!({ "seed_resize_from_w": 48 })),
        ("seed_resize_from_w", json!(64), json!({ "seed_resize_from_h": 48 })),
        ("sampler_name", json!("Heun"), json!({})),
        ("scheduler", json!("Karras"), json!({})),
        ("batch_size", json!(2), json!({})),
        ("n_iter", json!(2), json!({})),
        ("steps", json!(4), json!({})),
        ("cfg_scale", json!(2), json!({})),
        ("width", json!(40), json!({})),
        ("height", json!(40), json!({})),
        ("restore_faces", json!(true), json!({})),
        ("tiling", json!(true), json!({})),
        ("eta", json!(0.3), json!({ "sampler_name": "Euler a" })),
        ("s_min_uncond", json!(10), json!({ "steps": 4 })),
        ("s_churn", json!(5), json!({ "steps": 4 })),
        ("s_tmax", json!(0.1), churn()),
        ("s_tmin", json!(10), churn()),
        ("s_noise", json!(1.5), churn()),
        ("override_settings", json!({ "CLIP_stop_at_last_layers": 2 }), json!({})),
        ("refiner_checkpoint", json!("tiny"), json!({ "refiner_switch_at": 0.5 })),
        ("refiner_switch_at", json!(0.2), refiner()),
        ("disable_extra_networks", json!(true), json!({ "prompt": "a cat <lora:none:1>" })),
        ("sampler_index", json!("Heun"), json!({})),
        ("send_images", json!(false), json!({})),
        ("infotext", json!("a\nSteps: 3, Sampler: Euler, CFG scale: 3, Seed: 9, Size: 32x32"), json!({})),
    ]
}

fn of_text() -> Vec<Case> {
    let second = |more: Value| {
        let mut with = json!({ "enable_hr": true, "denoising_strength": 0.5, "hr_second_pass_steps": 3 });
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with
    };
    vec![
        ("denoising_strength", json!(0.9), second(json!({}))),
        ("firstpass_image", json!(picture(8)), second(json!({}))),
        ("enable_hr", json!(true), json!({ "denoising_strength": 0.5 })),
        ("firstphase_width", json!(16), second(json!({ "firstphase_height": 24 }))),
        ("firstphase_height", json!(16), second(json!({ "firstphase_width": 24 }))),
        ("hr_scale", json!(1.5), second(json!({}))),
        ("hr_upscaler", json!("Lanczos"), second(json!({}))),
        ("hr_second_pass_steps", json!(5), second(json!({}))),
        ("hr_resize_x", json!(40), second(json!({ "hr_resize_y": 48 }))),
        ("hr_resize_y", json!(40), second(json!({ "hr_resize_x": 48 }))),
        ("hr_checkpoint_name", json!("tiny"), second(json!({}))),
        ("hr_sampler_name", json!("Heun"), second(json!({}))),
        ("hr_scheduler", json!("Karras"), second(json!({}))),
        ("hr_prompt", json!("a dog"), second(json!({}))),
        ("hr_negative_prompt", json!("dog"), second(json!({}))),
    ]
}

fn of_pictures() -> Vec<Case> {
    let masked = |more: Value| {
        let mut with =
            json!({ "mask": mask(), "denoising_strength": 0.7, "steps": 3, "inpaint_full_res": false });
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with
    };
    vec![
        ("denoising_strength", json!(0.9), json!({})),
        ("init_images", json!([picture(3)]), json!({})),
        ("resize_mode", json!(1), json!({ "width": 48 })),
        ("mask", json!(mask()), json!({ "inpaint_full_res": false })),
        ("mask_blur", json!(1), masked(json!({}))),
        ("mask_blur_x", json!(1), masked(json!({}))),
        ("mask_blur_y", json!(1), masked(json!({}))),
        ("mask_round", json!(false), masked(json!({}))),
        ("inpainting_fill", json!(2), masked(json!({}))),
        ("inpaint_full_res", json!(true), masked(json!({}))),
        ("inpaint_full_res_padding", json!(9), masked(json!({ "inpaint_full_res": true }))),
        ("inpainting_mask_invert", json!(1), masked(json!({}))),
        ("initial_noise_multiplier", json!(1.3), json!({})),
        ("include_init_images", json!(true), json!({})),
        ("alwayson_scripts", json!({ "soft inpainting": { "args": [true] } }), masked(json!({}))),
    ]
}

/// Fields that change no answer: those that are ignored there too, those that act elsewhere, and those that only models of another kind
/// or scripts look at.
const SILENT: [&str; 12] = [
    "do_not_save_samples",
    "do_not_save_grid",
    "override_settings_restore_afterwards",
    "comments",
    "latent_mask",
    // Names the job for /internal/progress: see the tests of tasks.
    "force_task_id",
    // Writes files: see the tests of saving.
    "save_images",
    "script_args",
    "script_name",
    "alwayson_scripts",
    // For models that follow instructions: see the engine's tests.
    "image_cfg_scale",
    // Only a second pass looks at them; image to image has none.
    "firstpass_image",
];

fn picture(step: u32) -> String {
    let rgb: Vec<u8> = (0..32 * 32).flat_map(|at| [(at * step) as u8, (at / 32 * step) as u8, 90]).collect();
    encode_base64(&encode(Pixels { width: 32, height: 32, rgb: &rgb }, Format::Png, None).unwrap())
}

fn mask() -> String {
    let rgb: Vec<u8> = (0..32 * 32)
        .flat_map(|at| [if (8..20).contains(&(at % 32)) && at / 32 < 21 { 255 } else { 0 }; 3])
        .collect();
    encode_base64(&encode(Pixels { width: 32, height: 32, rgb: &rgb }, Format::Png, None).unwrap())
}

/// The pictures, what is told of them, and whether the request is told back with its pictures.
async fn made(app: &TestApp, path: &str, body: &Map<String, Value>) -> Value {
    let answer = app.post(path, Value::Object(body.clone())).await.good();
    let mut info: Value = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
    info.as_object_mut().unwrap().remove("job_timestamp");
    json!([answer["images"], info, answer["parameters"]["init_images"]])
}

fn names(route: &str) -> Vec<String> {
    let names: Value = serde_json::from_str(include_str!("../../src/compatibility/a1111.json")).unwrap();
    names["fields"][route].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

async fn try_all(path: &str, base: Value, cases: Vec<Case>) {
    let app = TestApp::new();
    std::fs::write(
        app.folder.path().join("styles.csv"),
        "name,prompt,negative_prompt\noil,\"{prompt}, oil\",flat\n",
    )
    .unwrap();
    let known = names(&format!("POST {path}"));
    let mut wrong = Vec::new();
    for name in &known {
        if !cases.iter().any(|(field, ..)| field == name) && !SILENT.contains(&name.as_str()) {
            wrong.push(format!("{name} is not tried"));
        }
    }
    for (field, value, with) in cases {
        assert!(known.iter().any(|name| name == field), "{field} is no field of {path}");
        let mut body = base.as_object().unwrap().clone();
        body.extend(with.as_object().unwrap().clone());
        let before = made(&app, path, &body).await;
        if field == "sampler_index" {
            body.remove("sampler_name");
        } else if field == "infotext" {
            body.retain(|name, _| ["init_images", "width", "height"].contains(&name.as_str()));
        }
        body.insert(field.to_owned(), value);
        if made(&app, path, &body).await == before {
            wrong.push(format!("{field} changes nothing"));
        }
    }
    // What is ignored changes nothing.
    let body = base.as_object().unwrap().clone();
    let before = made(&app, path, &body).await;
    for (field, value) in [
        ("do_not_save_samples", json!(true)),
        ("do_not_save_grid", json!(true)),
        ("override_settings_restore_afterwards", json!(false)),
        ("comments", json!({ "a": "b" })),
        ("latent_mask", json!("x")),
    ] {
        let mut body = body.clone();
        body.insert(field.to_owned(), value);
        if made(&app, path, &body).await != before {
            wrong.push(format!("{field} changes something"));
        }
    }
    assert!(wrong.is_empty(), "{path}:\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn fields_of_text_to_image_act() {
    let cases = common().into_iter().chain(of_text()).collect();
    try_all("/sdapi/v1/txt2img", small(json!({ "sampler_name": "Euler", "subseed": 4 })), cases).await;
}

#[tokio::test]
async fn fields_of_image_to_image_act() {
    let base = small(
        json!({ "sampler_name": "Euler", "subseed": 4, "init_images": [picture(5)], "denoising_strength": 0.6 }),
    );
    try_all("/sdapi/v1/img2img", base, common().into_iter().chain(of_pictures()).collect()).await;
}
