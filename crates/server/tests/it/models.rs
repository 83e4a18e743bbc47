//! `/api/v1/models`, `/api/v1/models/info` and `/api/v1/info`

use crate::setup::{TestApp, small};
use serde_json::json;

#[tokio::test]
async fn a_header_tells_native_size_and_guidance() {
    let app = TestApp::new();
    let folder = app.folder.path().join("models/Stable-diffusion");
    std::fs::write(
        folder.join("tiny.json"),
        r#"{"impasto.cfg_scale": "4", "modelspec.resolution": "48x32"}"#,
    )
    .unwrap();
    let tiny = |models: &serde_json::Value| models[1].clone();

    // The default model alone is opened unasked.
    let listed = tiny(&app.get("/api/v1/models").await.good());
    assert_eq!((&listed["name"], &listed["native_width"]), (&json!("tiny"), &json!(null)));
    let title = listed["title"].as_str().unwrap();
    let told = app.get(&format!("/api/v1/models/info?name={title}")).await.good();
    let (width, height, cfg_scale) = (&told["native_width"], &told["native_height"], &told["cfg_scale"]);
    assert_eq!((width, height, cfg_scale), (&json!(48), &json!(32), &json!(4.0)));
    assert_eq!((&told["hash"], &told["is_default"]), (&json!(null), &json!(false)), "nothing was hashed");
    assert_eq!(tiny(&app.get("/api/v1/models").await.good()), told);

    // What clients of A1111 get without asking stays theirs.
    let body = small(json!({ "override_settings": { "sd_model_checkpoint": title } }));
    let answer = app.post("/sdapi/v1/txt2img", body).await.good();
    assert_eq!(answer["parameters"]["cfg_scale"], 7.0);
}

#[tokio::test]
async fn the_default_model_is_meant_where_none_is_named() {
    let app = TestApp::build(&["tiny.safetensors"], |_| {}, |_| {});
    let folder = app.folder.path().join("models/Stable-diffusion");
    std::fs::write(folder.join("tiny.json"), r#"{"impasto.cfg_scale": 2.5}"#).unwrap();
    let told = app.get("/api/v1/models/info").await.good();
    assert_eq!((&told["name"], &told["cfg_scale"]), (&json!("tiny"), &json!(2.5)));
    assert_eq!(app.get("/api/v1/info").await.good()["cfg_scale"], 2.5);
}

#[tokio::test]
async fn a_model_that_cannot_be_used_says_why() {
    let app = TestApp::new();
    let folder = app.folder.path().join("models/Stable-diffusion");
    std::fs::write(folder.join("tiny.json"), r#"{"impasto.cfg_scale": 31}"#).unwrap();
    let told = app.get("/api/v1/models/info?name=tiny").await.good();
    let problem = told["problem"].as_str().unwrap();
    assert!(problem.contains("impasto.cfg_scale") && problem.contains("1 to 30"), "{problem}");
    insta::assert_snapshot!(app.get("/api/v1/models/info?name=absent").await.told(), @r#"404 {"error":"HTTPException","detail":"model \"absent\" not found","body":"","errors":""}"#);
}
