//! `/sdapi/v1/options`

use crate::setup::TestApp;
use serde_json::{Value, json};

fn stored(app: &TestApp) -> Value {
    let text = std::fs::read_to_string(app.folder.path().join("config.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

#[tokio::test]
async fn the_whole_of_them_can_be_sent_back() {
    let app = TestApp::new();
    let options = app.get("/sdapi/v1/options").await.good();
    assert!(options["sd_model_checkpoint"].as_str().unwrap().starts_with("other.safetensors"));
    assert_eq!(app.post("/sdapi/v1/options", options.clone()).await.told(), "200 null");
    assert_eq!(app.get("/sdapi/v1/options").await.good(), options);
    assert_eq!(stored(&app), Value::Null, "nothing changed, so nothing is written");
}

#[tokio::test]
async fn changes_act_and_are_kept() {
    let app = TestApp::new();
    let change =
        json!({ "CLIP_stop_at_last_layers": "2", "randn_source": "CPU", "sd_model_checkpoint": "tiny" });
    assert_eq!(app.post("/sdapi/v1/options", change).await.told(), "200 null");
    let options = app.get("/sdapi/v1/options").await.good();
    assert_eq!((&options["CLIP_stop_at_last_layers"], &options["randn_source"]), (&json!(2), &json!("CPU")));
    assert!(options["sd_model_checkpoint"].as_str().unwrap().starts_with("tiny.safetensors"));
    assert_eq!(stored(&app)["randn_source"], "CPU");
    let answer = app.post("/sdapi/v1/txt2img", crate::setup::small(json!({ "steps": 1 }))).await.good();
    let info: Value = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
    let infotext = info["infotexts"][0].as_str().unwrap();
    assert!(infotext.contains("Model: tiny, Clip skip: 2, RNG: CPU"), "{infotext}");
}

#[tokio::test]
async fn refusals_leave_what_came_before() {
    let app = TestApp::new();
    let mut told = String::new();
    for change in [
        json!({ "jpeg_quality": 50, "no_such_option": 1, "samples_format": "webp" }),
        json!({ "no_such_option": null }),
        json!({ "jpeg_quality": 500 }),
        json!({ "outdir_txt2img_samples": "../../etc" }),
        json!({ "sd_model_checkpoint": "no such model" }),
        json!({ "sd_model_checkpoint": 5 }),
        json!({ "sd_model_checkpoint": null }),
        json!([]),
    ] {
        told.push_str(&app.post("/sdapi/v1/options", change).await.told());
        told.push('\n');
    }
    insta::assert_snapshot!(told, @r#"
500 {"error":"KeyError","detail":"","body":"","errors":"'no_such_option'"}
200 null
422 {"detail":[{"loc":["body","jpeg_quality"],"msg":"setting jpeg_quality is 500, which is not an integer from 1 to 100","type":"value_error","input":500}]}
422 {"detail":[{"loc":["body","outdir_txt2img_samples"],"msg":"setting outdir_txt2img_samples is \"../../etc\", which is not a relative path without ..","type":"value_error","input":"../../etc"}]}
500 {"error":"RuntimeError","detail":"","body":"","errors":"model 'no such model' not found"}
500 {"error":"RuntimeError","detail":"","body":"","errors":"model '5' not found"}
200 null
422 {"detail":[{"loc":["body"],"msg":"value is not a valid dict","type":"type_error.dict","input":"a list of 0"}]}
"#);
    assert_eq!(stored(&app)["jpeg_quality"], 50);
    assert_eq!(app.get("/sdapi/v1/options").await.good()["samples_format"], "png");
}

#[tokio::test]
async fn a_model_chosen_in_a1111_is_found_before_its_hash_is_known() {
    let app = TestApp::build(
        &["tiny.safetensors", "other.safetensors"],
        |config| {
            let root = config.models_dir.as_ref().unwrap().ancestors().nth(2).unwrap();
            let options = json!({ "sd_model_checkpoint": "tiny.safetensors [0123456789]", "font": "" });
            std::fs::write(root.join("config.json"), options.to_string()).unwrap();
        },
        |_| {},
    );
    let title = |options: Value| options["sd_model_checkpoint"].as_str().unwrap().to_owned();
    assert_eq!(title(app.get("/sdapi/v1/options").await.good()), "tiny.safetensors");
    // Once the hash is known, a title with another one is another model.
    app.get("/api/v1/info").await.good();
    let told =
        app.post("/sdapi/v1/options", json!({ "sd_model_checkpoint": "tiny.safetensors [0123456789]" }));
    let told = told.await.told();
    assert!(told.contains("model 'tiny.safetensors [0123456789]' not found"), "{told}");
    let change = json!({ "sd_model_checkpoint": "other.safetensors [0123456789]" });
    app.post("/sdapi/v1/options", change).await.good();
    assert!(title(app.get("/sdapi/v1/options").await.good()).starts_with("other.safetensors"));
}

#[tokio::test]
async fn what_cannot_be_written_is_told_and_changes_nothing() {
    let app = TestApp::new();
    let before = app.get("/sdapi/v1/options").await.good();
    // The new file cannot take the place of a folder that holds something.
    std::fs::create_dir_all(app.folder.path().join("config.json/full")).unwrap();
    let change = json!({ "jpeg_quality": 5, "sd_model_checkpoint": "tiny" });
    let answer = app.post("/sdapi/v1/options", change).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["error"], "OSError");
    let reason = answer.json()["errors"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("cannot write") && reason.contains("config.json"), "{reason}");
    assert_eq!(app.get("/sdapi/v1/options").await.good(), before);
    assert!(!app.folder.path().join("config.json.new").exists());
}
