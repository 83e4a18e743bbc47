//! The lists of `/sdapi/v1`

use crate::setup::TestApp;
use serde_json::json;

#[tokio::test]
async fn samplers_and_schedulers() {
    let app = TestApp::new();
    insta::assert_snapshot!(app.get("/sdapi/v1/samplers").await.text(), @r#"[{"name":"DPM++ 2M","aliases":["k_dpmpp_2m"],"options":{"scheduler":"karras"}},{"name":"Euler a","aliases":["k_euler_a","k_euler_ancestral"],"options":{"uses_ensd":"True"}},{"name":"Euler","aliases":["k_euler"],"options":{}},{"name":"DDIM","aliases":["ddim"],"options":{}}]"#);
    insta::assert_snapshot!(app.get("/sdapi/v1/schedulers").await.text(), @r#"[{"name":"automatic","label":"Automatic","aliases":null,"default_rho":-1.0,"need_inner_model":false},{"name":"uniform","label":"Uniform","aliases":null,"default_rho":-1.0,"need_inner_model":true},{"name":"karras","label":"Karras","aliases":null,"default_rho":7.0,"need_inner_model":false},{"name":"exponential","label":"Exponential","aliases":null,"default_rho":-1.0,"need_inner_model":false},{"name":"sgm_uniform","label":"SGM Uniform","aliases":["SGMUniform"],"default_rho":-1.0,"need_inner_model":true}]"#);
}

#[tokio::test]
async fn models_appear_when_the_folder_is_looked_at_again() {
    let app = TestApp::build(&["tiny.safetensors"], |_| {}, |_| {});
    let models = app.get("/sdapi/v1/sd-models").await.good();
    let keys: Vec<&str> = models[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["title", "model_name", "hash", "sha256", "filename", "config"]);
    assert_eq!((&models[0]["model_name"], &models[0]["config"]), (&json!("tiny"), &json!(null)));
    let folder = app.folder.path().join("models/Stable-diffusion");
    std::fs::copy(folder.join("tiny.safetensors"), folder.join("new.safetensors")).unwrap();
    assert_eq!(app.get("/sdapi/v1/sd-models").await.good().as_array().unwrap().len(), 1);
    assert_eq!(app.post("/sdapi/v1/refresh-checkpoints", json!({})).await.told(), "200 null");
    assert_eq!(app.get("/sdapi/v1/sd-models").await.good().as_array().unwrap().len(), 2);
}
