//! `/sdapi/v1/txt2img`

use crate::setup::{TestApp, long, request, small};
use axum::body::Body;
use axum::http::Method;
use impasto_imaging::{decode, decode_base64, read_metadata};
use serde_json::{Value, json};
use std::time::Duration;

fn info(answer: &Value) -> Value {
    serde_json::from_str(answer["info"].as_str().unwrap()).unwrap()
}

fn file(answer: &Value, index: usize) -> Vec<u8> {
    decode_base64(answer["images"][index].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn answers_pictures_parameters_and_info() {
    let app = TestApp::new();
    let body = small(json!({ "batch_size": 2, "n_iter": 2, "negative_prompt": "dog", "cfg_scale": 4 }));
    let answer = app.post("/sdapi/v1/txt2img", body).await.good();
    let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["images", "parameters", "info"]);
    assert_eq!(answer["images"].as_array().unwrap().len(), 4);
    assert_eq!(answer["parameters"]["sampler_index"], "Euler");
    assert_eq!(answer["parameters"]["cfg_scale"], 4.0);
    let info = info(&answer);
    let keys: Vec<&str> = info.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys.join(" "),
        "prompt all_prompts negative_prompt all_negative_prompts seed all_seeds subseed all_subseeds \
         subseed_strength width height sampler_name cfg_scale steps batch_size restore_faces \
         face_restoration_model sd_model_name sd_model_hash sd_vae_name sd_vae_hash seed_resize_from_w \
         seed_resize_from_h denoising_strength extra_generation_params index_of_first_image infotexts styles \
         job_timestamp clip_skip is_using_inpainting_conditioning version"
    );
    assert_eq!(info["all_seeds"], json!([7, 8, 9, 10]));
    assert_eq!(info["job_timestamp"].as_str().unwrap().len(), 14);
    let hash = info["sd_model_hash"].as_str().unwrap();
    for index in 0..4 {
        let wanted = format!(
            "a cat\nNegative prompt: dog\nSteps: 3, Sampler: Euler, Schedule type: Automatic, CFG scale: 4.0, \
             Seed: {}, Size: 32x32, Model hash: {hash}, Model: other, Version: impasto 0.1.0",
            7 + index
        );
        assert_eq!(info["infotexts"][index], wanted);
        let file = file(&answer, index);
        assert_eq!(read_metadata(&file, 4096).unwrap().infotext, Some(wanted));
        let pixels = decode(&file, 4096).unwrap();
        assert_eq!(pixels.size(), (32, 32));
    }
}

#[tokio::test]
async fn absent_sizes_are_the_models_own() {
    let app = TestApp::new();
    let answer = app.post("/sdapi/v1/txt2img", json!({ "steps": 1 })).await.good();
    let native = app.get("/api/v1/info").await.good();
    assert_eq!(answer["parameters"]["width"], native["native_width"]);
    assert_eq!(info(&answer)["height"], native["native_height"]);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_pixels_alone_and_in_a_batch() {
    let app = TestApp::new();
    let alone =
        app.post("/sdapi/v1/txt2img", small(json!({ "seed": 8, "sampler_name": "Euler a" }))).await.good();
    let batch = small(json!({ "sampler_name": "Euler a", "batch_size": 3 }));
    let batch = app.post("/sdapi/v1/txt2img", batch).await.good();
    let pixels = |answer: &Value, index| decode(&file(answer, index), 4096).unwrap();
    assert_eq!(pixels(&alone, 0), pixels(&batch, 1));
    assert_ne!(pixels(&alone, 0), pixels(&batch, 2));
}

#[tokio::test]
async fn what_clients_send_is_read_as_they_mean_it() {
    let app = TestApp::new();
    let body = json!({
        "prompt": 5, "width": "32", "height": 32.9, "steps": true, "seed": "7", "send_images": "yes", "eta": 0,
        "denoising_strength": 0, "sampler_name": "nonsense", "url": "x", "auth": "y", "clip_skip": 2,
        "override_settings": { "sd_model_checkpoint": "no such model", "CLIP_stop_at_last_layers": "2" }
    });
    let info = info(&app.post("/sdapi/v1/txt2img", body).await.good());
    let known = ["prompt", "width", "height", "steps", "seed", "sampler_name", "clip_skip"]
        .map(|key| info[key].clone());
    assert_eq!(json!(known), json!(["5", 32, 32, 1, 7, "DPM++ 2M", 2]));
    assert!(info["infotexts"][0].as_str().unwrap().contains("Schedule type: Karras"), "{info}");
}

#[tokio::test]
async fn empty_and_endless_prompts_and_odd_sizes_work() {
    let app = TestApp::new();
    let endless = "a ".repeat(10_000);
    for (prompt, width) in [("", 33), (endless.as_str(), 47), ("\u{1f408} \u{732b} \0", 32)] {
        let body = small(json!({ "prompt": prompt, "width": width, "steps": 1 }));
        let answer = app.post("/sdapi/v1/txt2img", body).await.good();
        assert!(info(&answer)["infotexts"][0].as_str().unwrap().contains(&format!("Size: {width}x32")));
        assert_eq!(decode(&file(&answer, 0), 4096).unwrap().width(), width / 8 * 8);
    }
}

#[tokio::test]
async fn pictures_can_be_left_out_or_saved() {
    let app = TestApp::new();
    let body = small(json!({ "send_images": false, "save_images": true, "n_iter": 2, "steps": 1 }));
    let answer = app.post("/sdapi/v1/txt2img", body).await.good();
    assert_eq!(answer["images"], json!([]));
    let days = std::fs::read_dir(app.folder.path().join("outputs/txt2img-images")).unwrap();
    let day = days.map(|day| day.unwrap().path()).next().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(day)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["00000-7.png", "00001-8.png"]);
    assert_eq!(info(&answer)["index_of_first_image"], 1);
    let days = std::fs::read_dir(app.folder.path().join("outputs/txt2img-grids")).unwrap();
    let day = days.map(|day| day.unwrap().path()).next().unwrap();
    assert!(day.join("grid-0000.png").exists());
}

#[tokio::test]
async fn several_saved_pictures_come_with_all_of_them_in_one() {
    let app = TestApp::new();
    let body = small(json!({ "save_images": true, "batch_size": 2, "steps": 1 }));
    let answer = app.post("/sdapi/v1/txt2img", body).await.good();
    let sizes = [0, 1, 2].map(|index| decode(&file(&answer, index), 1 << 20).unwrap().size());
    // Two in one row: the square root of two, rounded, is one.
    assert_eq!(sizes, [(64, 32), (32, 32), (32, 32)]);
    let infotexts = info(&answer)["infotexts"].clone();
    assert_eq!((infotexts.as_array().unwrap().len(), &infotexts[0]), (3, &infotexts[1]));
    let body = small(json!({ "batch_size": 2, "steps": 1 }));
    assert_eq!(app.post("/sdapi/v1/txt2img", body).await.good()["images"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_format_is_an_option() {
    let app = TestApp::new();
    for (name, start) in [("jpg", &b"\xff\xd8\xff"[..]), ("webp", b"RIFF")] {
        let body = small(json!({ "steps": 1, "override_settings": { "samples_format": name } }));
        let answer = app.post("/sdapi/v1/txt2img", body).await.good();
        let file = file(&answer, 0);
        assert!(file.starts_with(start), "{name}");
        assert!(read_metadata(&file, 4096).unwrap().infotext.unwrap().starts_with("a cat\nSteps: 1,"));
    }
}

#[tokio::test]
async fn shortcuts_change_the_picture_and_stand_in_its_infotext() {
    let app = TestApp::new();
    let pixels = |answer: &Value| decode(&file(answer, 0), 4096).unwrap().into_samples();
    let exact = app.post("/sdapi/v1/txt2img", small(json!({ "steps": 4 }))).await.good();
    for (overrides, told) in [
        (json!({ "skip_early_cond": 0.25 }), "Skip Early CFG: 0.25"),
        (json!({ "skip_late_cond": 0.25 }), "Skip Late CFG: 0.25"),
        (json!({ "s_min_uncond": 5, "s_min_uncond_all": true }), "NGMS: 5.0, NGMS all steps: True"),
        (json!({ "deepcache_interval": 2 }), "DeepCache interval: 2, DeepCache depth: 1"),
        (json!({ "token_merging_ratio": 0.5 }), "Token merging ratio: 0.5"),
    ] {
        let body = small(json!({ "steps": 4, "override_settings": overrides }));
        let answer = app.post("/sdapi/v1/txt2img", body).await.good();
        let infotext = info(&answer)["infotexts"][0].as_str().unwrap().to_owned();
        assert!(infotext.contains(told), "{infotext}");
        assert_ne!(pixels(&answer), pixels(&exact), "{told}");
        let again = json!({ "infotext": infotext });
        let again = app.post("/sdapi/v1/txt2img", again).await.good();
        assert_eq!(pixels(&again), pixels(&answer), "{told}");
    }
    // The picture is too small to be cut into tiles: only the infotext tells.
    let body = small(json!({ "override_settings": { "hypertile_enable_unet": true } }));
    let answer = app.post("/sdapi/v1/txt2img", body).await.good();
    assert!(info(&answer)["infotexts"][0].as_str().unwrap().contains("Hypertile U-Net: True"));
}

#[tokio::test]
async fn refusals_name_field_and_value() {
    let app = TestApp::new();
    let mut told = String::new();
    for more in [
        json!({ "steps": 0 }),
        json!({ "steps": "many" }),
        json!({ "width": -8 }),
        json!({ "width": 100_000 }),
        json!({ "height": 7 }),
        json!({ "cfg_scale": "nan" }),
        json!({ "batch_size": 1000 }),
        json!({ "n_iter": 1000 }),
        json!({ "batch_size": 4, "n_iter": 100 }),
        json!({ "subseed_strength": 2 }),
        json!({ "seed": -5 }),
        json!({ "prompt": ["a"] }),
        json!({ "steps": null }),
        json!({ "save_images": null }),
        json!({ "override_settings": { "nonsense": 1 } }),
        json!({ "override_settings": { "samples_format": "gif" } }),
        json!({ "script_name": "x/y/z plot" }),
    ] {
        let answer = app.post("/sdapi/v1/txt2img", small(more)).await;
        told.push_str(&answer.told());
        told.push('\n');
    }
    insta::assert_snapshot!(told, @r#"
422 {"detail":[{"loc":["body","steps"],"msg":"steps 0 is out of range: allowed are 1 to 1000","type":"value_error","input":0}]}
422 {"detail":[{"loc":["body","steps"],"msg":"value is not a valid integer","type":"type_error.integer","input":"many"}]}
422 {"detail":[{"loc":["body","width"],"msg":"width -8 is out of range: allowed are 8 to 2048","type":"value_error","input":-8}]}
422 {"detail":[{"loc":["body","width"],"msg":"width 100000 is out of range: allowed are 8 to 2048","type":"value_error","input":100000}]}
422 {"detail":[{"loc":["body","height"],"msg":"height 7 is out of range: allowed are 8 to 2048","type":"value_error","input":7}]}
422 {"detail":[{"loc":["body","cfg_scale"],"msg":"cfg_scale NaN must be a finite number","type":"value_error","input":"NaN"}]}
422 {"detail":[{"loc":["body","batch_size"],"msg":"batch_size 1000 is out of range: allowed are 1 to 256","type":"value_error","input":1000}]}
422 {"detail":[{"loc":["body","n_iter"],"msg":"n_iter 1000 is out of range: allowed are 1 to 256","type":"value_error","input":1000}]}
422 {"detail":[{"loc":["body","n_iter"],"msg":"n_iter 100 is out of range: allowed are 1 to 64 with batch_size 4","type":"value_error","input":100}]}
422 {"detail":[{"loc":["body","subseed_strength"],"msg":"subseed_strength 2 is out of range: allowed are 0 to 1","type":"value_error","input":2}]}
422 {"detail":[{"loc":["body","seed"],"msg":"seed -5 is out of range: allowed are 0 to 9223372036854775807, and -1 to draw one","type":"value_error","input":-5}]}
422 {"detail":[{"loc":["body","prompt"],"msg":"str type expected","type":"type_error.str","input":"a list of 1"}]}
500 {"error":"TypeError","detail":"","body":"","errors":"steps must not be null"}
422 {"detail":[{"loc":["body","save_images"],"msg":"none is not an allowed value","type":"type_error.none.not_allowed","input":null}]}
500 {"error":"KeyError","detail":"","body":"","errors":"'nonsense'"}
422 {"detail":[{"loc":["body","override_settings","samples_format"],"msg":"setting samples_format is \"gif\", which is not one of png, jpg, jpeg, webp","type":"value_error","input":"gif"}]}
422 {"detail":[{"loc":["body","script_args"],"msg":"X/Y/Z plot: \"X values\" (argument 1) \"\" has no values","type":"value_error","input":""}]}
"#);
}

#[tokio::test]
async fn prompts_of_too_many_chunks_are_refused_at_once() {
    let app = TestApp::new();
    let endless = "a, ".repeat(20_000);
    let breaks = "a BREAK ".repeat(300);
    let mut told = String::new();
    for more in [json!({ "prompt": endless }), json!({ "negative_prompt": breaks })] {
        told.push_str(&app.post("/sdapi/v1/txt2img", small(more.clone())).await.told());
        told.push('\n');
        let mut own = small(more);
        own["kind"] = json!("txt2img");
        told.push_str(&app.post("/api/v1/jobs", own).await.told());
        told.push('\n');
    }
    insta::assert_snapshot!(told, @r#"
422 {"detail":[{"loc":["body","prompt"],"msg":"prompt of 534 chunks is out of range: allowed are 1 to 256, of 75 tokens each","type":"value_error","input":"of 534 chunks"}]}
422 {"detail":[{"loc":["body","prompt"],"msg":"prompt of 534 chunks is out of range: allowed are 1 to 256, of 75 tokens each","type":"value_error","input":"of 534 chunks"}]}
422 {"detail":[{"loc":["body","negative_prompt"],"msg":"negative_prompt of 300 chunks is out of range: allowed are 1 to 256, of 75 tokens each","type":"value_error","input":"of 300 chunks"}]}
422 {"detail":[{"loc":["body","negative_prompt"],"msg":"negative_prompt of 300 chunks is out of range: allowed are 1 to 256, of 75 tokens each","type":"value_error","input":"of 300 chunks"}]}
"#);
    let most = "a BREAK ".repeat(256);
    app.post("/sdapi/v1/txt2img", small(json!({ "prompt": most, "steps": 1 }))).await.good();
}

#[tokio::test]
async fn bodies_that_are_not_json_are_refused() {
    let app = TestApp::new();
    let mut told = String::new();
    for body in ["", "{\"steps\": 1,}", "{\n\"steps\": NaN}", "[1]", "\"text\"", "{\"a\": \"\u{0}\"}", "null"]
    {
        let answer = app.send(request(Method::POST, "/sdapi/v1/txt2img", &[], Body::from(body))).await;
        told.push_str(&answer.told());
        told.push('\n');
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = app.send(request(Method::POST, "/sdapi/v1/txt2img", &[], Body::from(deep))).await;
    told.push_str(&answer.told());
    let not_text =
        app.send(request(Method::POST, "/sdapi/v1/txt2img", &[], Body::from(vec![0xff, 0xfe]))).await;
    assert_eq!(not_text.status, 422);
    insta::assert_snapshot!(told, @r#"
422 {"detail":[{"loc":["body"],"msg":"field required","type":"value_error.missing"}]}
422 {"detail":[{"loc":["body",12],"msg":"trailing comma at line 1 column 13","type":"value_error.jsondecode"}]}
422 {"detail":[{"loc":["body",11],"msg":"expected value at line 2 column 10","type":"value_error.jsondecode"}]}
422 {"detail":[{"loc":["body"],"msg":"value is not a valid dict","type":"type_error.dict","input":"a list of 1"}]}
422 {"detail":[{"loc":["body"],"msg":"value is not a valid dict","type":"type_error.dict","input":"text"}]}
422 {"detail":[{"loc":["body",7],"msg":"control character (\\u0000-\\u001F) found while parsing a string at line 1 column 8","type":"value_error.jsondecode"}]}
422 {"detail":[{"loc":["body"],"msg":"value is not a valid dict","type":"type_error.dict","input":null}]}
422 {"detail":[{"loc":["body",127],"msg":"recursion limit exceeded at line 1 column 128","type":"value_error.jsondecode"}]}
"#);
}

#[tokio::test]
async fn a_full_queue_is_told_with_when_to_come_again() {
    let app = TestApp::build(&["tiny.safetensors"], |config| config.queue_limit = 0, |_| {});
    let answer = app.post("/sdapi/v1/txt2img", small(json!({}))).await;
    insta::assert_snapshot!(answer.told(), @r#"429 {"error":"HTTPException","detail":"the queue is full: 0 jobs are waiting; try again later","body":"","errors":""}"#);
    assert_eq!(answer.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn without_a_model_the_reason_is_told() {
    let app = TestApp::build(&[], |_| {}, |_| {});
    let answer = app.post("/sdapi/v1/txt2img", small(json!({}))).await;
    insta::assert_snapshot!(answer.told(), @r#"500 {"error":"RuntimeError","detail":"","body":"","errors":"there is no model: put a checkpoint into the models/Stable-diffusion folder of the data root"}"#);
}

#[tokio::test]
async fn hanging_up_cancels_the_job() {
    let app = TestApp::new();
    let body = small(json!({ "steps": 900 }));
    let waiting = app.post("/sdapi/v1/txt2img", body);
    assert!(tokio::time::timeout(Duration::from_millis(300), waiting).await.is_err());
    let jobs = app.get("/api/v1/jobs").await.good();
    let id = jobs[0]["id"].as_str().unwrap().to_owned();
    app.wait_until(&id, |job| job["state"] == "cancelled").await;
}

#[tokio::test]
async fn a_cancelled_job_is_an_error() {
    let app = TestApp::new();
    let cancel = async {
        loop {
            let jobs = app.get("/api/v1/jobs").await.good();
            if let Some(id) = jobs[0]["id"].as_str().filter(|_| jobs[0]["state"] == "running") {
                app.engine.stop(id.parse().unwrap(), impasto_engine::Stop::Cancel);
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (answer, ()) = tokio::join!(app.post("/sdapi/v1/txt2img", long(json!({}))), cancel);
    insta::assert_snapshot!(answer.told(), @r#"500 {"error":"RuntimeError","detail":"","body":"","errors":"the job was cancelled"}"#);
}

#[tokio::test]
async fn styles_are_merged_into_prompts() {
    let app = TestApp::new();
    let file = "name,prompt,negative_prompt\noil,\"{prompt}, oil on canvas\",photo\nblue,blue,\n";
    std::fs::write(app.folder.path().join("styles.csv"), file).unwrap();
    assert_eq!(
        app.get("/sdapi/v1/prompt-styles").await.good()[1],
        json!({ "name": "blue", "prompt": "blue", "negative_prompt": "" })
    );
    let asked = json!({ "styles": ["oil", "nobody knows", "blue"], "negative_prompt": "dog", "steps": 1 });
    let answer = app.post("/sdapi/v1/txt2img", small(asked)).await.good();
    let info: Value = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
    assert_eq!(info["prompt"], "a cat, oil on canvas, blue");
    assert_eq!(info["negative_prompt"], "dog, photo");
    assert_eq!(info["styles"], json!(["oil", "nobody knows", "blue"]));
    let plain = app.post("/sdapi/v1/txt2img", small(json!({ "steps": 1 }))).await.good();
    assert_ne!(plain["images"], answer["images"]);
    // Emphasis changes pictures where there are marks.
    let marked = |mode: &str| {
        small(json!({ "prompt": "a (cat:1.9)", "steps": 1, "override_settings": { "emphasis": mode } }))
    };
    let original = app.post("/sdapi/v1/txt2img", marked("Original")).await.good();
    let ignored = app.post("/sdapi/v1/txt2img", marked("Ignore")).await.good();
    assert_ne!(original["images"], ignored["images"]);
    assert!(ignored["info"].as_str().unwrap().contains("Emphasis: Ignore"), "{}", ignored["info"]);
}
