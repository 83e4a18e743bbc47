//! The lists of `/sdapi/v1`

use crate::setup::TestApp;
use serde_json::json;

#[tokio::test]
async fn samplers_and_schedulers() {
    let app = TestApp::new();
    insta::assert_snapshot!(app.get("/sdapi/v1/samplers").await.text(), @r#"[{"name":"DPM++ 2M","aliases":["k_dpmpp_2m"],"options":{"scheduler":"karras"}},{"name":"DPM++ SDE","aliases":["k_dpmpp_sde"],"options":{"brownian_noise":"True","scheduler":"karras","second_order":"True"}},{"name":"DPM++ 2M SDE","aliases":["k_dpmpp_2m_sde"],"options":{"brownian_noise":"True","scheduler":"exponential"}},{"name":"DPM++ 2M SDE Heun","aliases":["k_dpmpp_2m_sde_heun"],"options":{"brownian_noise":"True","scheduler":"exponential","solver_type":"heun"}},{"name":"DPM++ 2S a","aliases":["k_dpmpp_2s_a"],"options":{"scheduler":"karras","second_order":"True","uses_ensd":"True"}},{"name":"DPM++ 3M SDE","aliases":["k_dpmpp_3m_sde"],"options":{"brownian_noise":"True","discard_next_to_last_sigma":"True","scheduler":"exponential"}},{"name":"Euler a","aliases":["k_euler_a","k_euler_ancestral"],"options":{"uses_ensd":"True"}},{"name":"Euler","aliases":["k_euler"],"options":{}},{"name":"LMS","aliases":["k_lms"],"options":{}},{"name":"Heun","aliases":["k_heun"],"options":{"second_order":"True"}},{"name":"DPM2","aliases":["k_dpm_2"],"options":{"discard_next_to_last_sigma":"True","scheduler":"karras","second_order":"True"}},{"name":"DPM2 a","aliases":["k_dpm_2_a"],"options":{"discard_next_to_last_sigma":"True","scheduler":"karras","second_order":"True","uses_ensd":"True"}},{"name":"DPM fast","aliases":["k_dpm_fast"],"options":{"uses_ensd":"True"}},{"name":"DPM adaptive","aliases":["k_dpm_ad"],"options":{"uses_ensd":"True"}},{"name":"Restart","aliases":["restart"],"options":{"scheduler":"karras","second_order":"True"}},{"name":"DDIM","aliases":["ddim"],"options":{}},{"name":"DDIM CFG++","aliases":["ddim_cfgpp"],"options":{}},{"name":"PLMS","aliases":["plms"],"options":{}},{"name":"UniPC","aliases":["unipc"],"options":{}},{"name":"LCM","aliases":["k_lcm"],"options":{}}]"#);
    insta::assert_snapshot!(app.get("/sdapi/v1/schedulers").await.text(), @r#"[{"name":"automatic","label":"Automatic","aliases":null,"default_rho":-1.0,"need_inner_model":false},{"name":"uniform","label":"Uniform","aliases":null,"default_rho":-1.0,"need_inner_model":true},{"name":"karras","label":"Karras","aliases":null,"default_rho":7.0,"need_inner_model":false},{"name":"exponential","label":"Exponential","aliases":null,"default_rho":-1.0,"need_inner_model":false},{"name":"polyexponential","label":"Polyexponential","aliases":null,"default_rho":1.0,"need_inner_model":false},{"name":"sgm_uniform","label":"SGM Uniform","aliases":["SGMUniform"],"default_rho":-1.0,"need_inner_model":true},{"name":"kl_optimal","label":"KL Optimal","aliases":null,"default_rho":-1.0,"need_inner_model":false},{"name":"align_your_steps","label":"Align Your Steps","aliases":null,"default_rho":-1.0,"need_inner_model":false},{"name":"simple","label":"Simple","aliases":null,"default_rho":-1.0,"need_inner_model":true},{"name":"normal","label":"Normal","aliases":null,"default_rho":-1.0,"need_inner_model":true},{"name":"ddim","label":"DDIM","aliases":null,"default_rho":-1.0,"need_inner_model":true},{"name":"beta","label":"Beta","aliases":null,"default_rho":-1.0,"need_inner_model":true}]"#);
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
