//! What known kinds of clients send and look for, one sequence of calls each.

use crate::setup::{Answer, TestApp};
use serde_json::{Value, json};

async fn picture(app: &TestApp) -> String {
    let body = json!({ "prompt": "a cat", "steps": 1, "width": 32, "height": 32 });
    app.post("/sdapi/v1/txt2img", body).await.good()["images"][0].as_str().unwrap().to_owned()
}

fn null(answer: &Answer) {
    assert_eq!(answer.told(), "200 null");
}

/// Chat programs: lists first, then the model as an option, then a request with fields of their own, progress meanwhile.
#[tokio::test]
async fn chats_look_around_choose_a_model_and_paint() {
    let app = TestApp::new();
    for list in ["samplers", "schedulers", "upscalers", "latent-upscale-modes", "sd-models", "sd-vae"] {
        let list = app.get(&format!("/sdapi/v1/{list}")).await.good();
        assert!(list.is_array(), "{list}");
    }
    let options = app.get("/sdapi/v1/options").await.good();
    let model = app.get("/sdapi/v1/sd-models").await.good()[1]["title"].clone();
    null(&app.post("/sdapi/v1/options", json!({ "sd_model_checkpoint": model })).await);
    null(&app.post("/sdapi/v1/options", options).await);
    let idle = app.get("/sdapi/v1/progress").await.good();
    assert_eq!(
        (&idle["progress"], &idle["eta_relative"], &idle["state"]["job_count"], &idle["current_image"]),
        (&json!(0.0), &json!(0.0), &json!(0), &Value::Null)
    );
    let body = json!({
        "url": "http://localhost:7860", "auth": "", "prompt": "a cat", "negative_prompt": "dog", "sampler_name": "Euler a", "scheduler": "Karras",
        "steps": 2, "cfg_scale": 7, "width": 32, "height": 32, "restore_faces": false, "enable_hr": false, "hr_upscaler": "Latent", "hr_scale": 1.5,
        "hr_additional_steps": 0, "denoising_strength": 0.7, "hr_second_pass_steps": 0, "seed": -1, "override_settings": { "CLIP_stop_at_last_layers": 1 },
        "override_settings_restore_afterwards": true, "clip_skip": 1, "save_images": true, "send_images": true, "do_not_save_grid": false, "do_not_save_samples": false
    });
    let answer = app.post("/sdapi/v1/txt2img", body).await.good();
    assert!(!answer["images"][0].as_str().unwrap().starts_with("data:"));
    let info: Value = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
    assert_eq!(info["sd_model_hash"].as_str().unwrap().len(), 10);
    assert!(info["seed"].as_u64().is_some() && info["sd_vae_name"].is_null(), "{info}");
    null(&app.post("/sdapi/v1/skip", json!({})).await);
    assert_eq!(app.post("/sdapi/v1/interrupt", json!({})).await.told(), "200 {}");
}

/// Libraries in Python: every field, most of them null or false, pictures with and without a prefix.
#[tokio::test]
async fn libraries_send_every_field() {
    let app = TestApp::new();
    let image = picture(&app).await;
    let body = json!({
        "init_images": [format!("data:image/png;base64,{image}")], "resize_mode": 0, "denoising_strength": 0, "image_cfg_scale": 1.5, "mask": null,
        "mask_blur": 4, "inpainting_fill": 0, "inpaint_full_res": true, "inpaint_full_res_padding": 0, "inpainting_mask_invert": false,
        "initial_noise_multiplier": 1, "prompt": "a cat", "styles": [], "seed": -1, "subseed": -1, "subseed_strength": 0, "seed_resize_from_h": 0,
        "seed_resize_from_w": 0, "sampler_name": null, "scheduler": null, "batch_size": 1, "n_iter": 1, "steps": 2, "cfg_scale": 7.0, "width": 32,
        "height": 32, "restore_faces": false, "tiling": false, "do_not_save_samples": false, "do_not_save_grid": false, "negative_prompt": "", "eta": 0,
        "s_churn": 0, "s_tmax": 0, "s_tmin": 0, "s_noise": 1, "override_settings": {}, "override_settings_restore_afterwards": true, "script_args": [],
        "sampler_index": "Euler", "include_init_images": false, "script_name": null, "send_images": true, "save_images": false, "alwayson_scripts": {}
    });
    let answer = app.post("/sdapi/v1/img2img", body).await.good();
    let echo = answer["parameters"].as_object().unwrap();
    for absent in ["mask", "init_images", "sampler_name", "scheduler", "refiner_checkpoint", "latent_mask"] {
        assert_eq!(echo.get(absent), Some(&Value::Null), "{absent} must be there as null");
    }
    let told = app
        .post("/sdapi/v1/png-info", json!({ "image": format!("data:image/png;base64,{image}") }))
        .await
        .good();
    assert!(told["info"].as_str().unwrap().starts_with("a cat"));
    for refresh in ["checkpoints", "vae", "loras", "embeddings"] {
        null(&app.post(&format!("/sdapi/v1/refresh-{refresh}"), json!({})).await);
    }
}

/// Plug-ins of painting programs: a selection as picture and mask, then enlarged with everything that restores faces.
#[tokio::test]
async fn plug_ins_paint_selections_and_enlarge() {
    let app = TestApp::new();
    let image = picture(&app).await;
    let body = json!({
        "init_images": [image], "mask": image, "mask_blur": 0, "inpainting_fill": 1, "inpaint_full_res": false, "inpainting_mask_invert": 0,
        "denoising_strength": 0.8, "prompt": "hat", "sampler_index": "DPM++ 2M Karras", "steps": 2, "width": 32, "height": 32, "batch_size": 2, "n_iter": 1,
        "include_init_images": true, "override_settings": { "show_progress_every_n_steps": 1 }, "force_task_id": "task(krita)"
    });
    let answer = app.post("/sdapi/v1/img2img", body).await.good();
    assert_eq!(answer["images"].as_array().unwrap().len(), 2);
    assert_eq!(answer["parameters"]["init_images"], json!([image]));
    let done = json!({ "id_task": "task(krita)", "id_live_preview": -1, "live_preview": true });
    assert_eq!(app.post("/internal/progress", done).await.good()["completed"], true);
    let body = json!({
        "resize_mode": 0, "show_extras_results": true, "gfpgan_visibility": 0, "codeformer_visibility": 0, "codeformer_weight": 0, "upscaling_resize": 2,
        "upscaling_resize_w": 512, "upscaling_resize_h": 512, "upscaling_crop": true, "upscaler_1": "Lanczos", "upscaler_2": "None",
        "extras_upscaler_2_visibility": 0, "upscale_first": false, "image": image
    });
    assert!(app.post("/sdapi/v1/extra-single-image", body).await.good()["image"].is_string());
}
