//! `/sdapi/v1/progress`

use crate::setup::{TestApp, long, small};
use impasto_imaging::{decode, decode_base64};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn idle_is_all_zeros() {
    let app = TestApp::new();
    insta::assert_snapshot!(app.get("/sdapi/v1/progress").await.told(), @r#"200 {"progress":0.0,"eta_relative":0.0,"state":{"skipped":false,"interrupted":false,"stopping_generation":false,"job":"","job_count":0,"job_timestamp":"0","job_no":0,"sampling_step":0,"sampling_steps":0},"current_image":null,"textinfo":null}"#);
}

/// The answer to a request for progress, once it is as wanted.
async fn progress_when(app: &TestApp, holds: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..2000 {
        let progress = app.get("/sdapi/v1/progress").await.good();
        if holds(&progress) {
            return progress;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("progress does not get there");
}

#[tokio::test]
async fn a_job_at_work_is_told_with_a_preview() {
    let app = TestApp::new();
    app.post("/sdapi/v1/options", json!({ "show_progress_every_n_steps": 1 })).await.good();
    let look = async {
        let progress = progress_when(&app, |progress| progress["current_image"].is_string()).await;
        let state = &progress["state"];
        assert_eq!((state["job"].as_str(), state["job_count"].as_u64()), (Some("scripts_txt2img"), Some(2)));
        assert_eq!((state["job_no"].as_u64(), state["sampling_steps"].as_u64()), (Some(0), Some(900)));
        assert!(state["sampling_step"].as_u64() > Some(0));
        assert_eq!(state["job_timestamp"].as_str().unwrap().len(), 14);
        assert!(progress["progress"].as_f64() > Some(0.01) && progress["eta_relative"].as_f64() > Some(0.0));
        let preview = decode_base64(progress["current_image"].as_str().unwrap()).unwrap();
        assert!(decode(&preview, 4096).is_ok());
        let without = app.get("/sdapi/v1/progress?skip_current_image=true").await.good();
        assert_eq!(without["current_image"], json!(null));
        app.post("/sdapi/v1/options", json!({ "live_previews_enable": false })).await.good();
        assert_eq!(app.get("/sdapi/v1/progress").await.good()["current_image"], json!(null));
        app.post("/sdapi/v1/interrupt", json!({})).await.good();
    };
    let (answer, ()) =
        tokio::join!(app.post("/sdapi/v1/txt2img", small(json!({ "steps": 900, "n_iter": 2 }))), look);
    answer.good();
}

#[tokio::test]
async fn jobs_of_others_are_not_told() {
    let app = TestApp::new();
    let idle = app.get("/sdapi/v1/progress").await.good();
    let other = app.submit(long(json!({}))).await;
    app.wait_until(&other, |job| job["preview"].is_string()).await;
    assert_eq!(app.get("/sdapi/v1/progress").await.good(), idle);
}

#[tokio::test]
async fn a_job_that_waits_is_told_and_can_be_stopped() {
    let app = TestApp::new();
    // As many as take turns.
    for _ in 0..4 {
        let other = app.submit(long(json!({ "n_iter": 50 }))).await;
        app.wait_until(&other, |job| job["state"] == "running").await;
    }
    let look = async {
        let progress = progress_when(&app, |progress| progress["state"]["job_count"] == 3).await;
        assert_eq!((&progress["progress"], &progress["eta_relative"]), (&json!(0.01), &json!(0.0)));
        app.post("/sdapi/v1/interrupt", json!({})).await.good();
    };
    let (answer, ()) = tokio::join!(app.post("/sdapi/v1/txt2img", small(json!({ "n_iter": 3 }))), look);
    assert_eq!(answer.good()["images"], json!([]));
    assert_eq!(app.get("/sdapi/v1/progress").await.good()["progress"], json!(0.0));
}

#[tokio::test]
async fn a_bad_flag_is_named() {
    let app = TestApp::new();
    insta::assert_snapshot!(app.get("/sdapi/v1/progress?skip_current_image=perhaps").await.told(), @r#"422 {"detail":[{"loc":["query","skip_current_image"],"msg":"value could not be parsed to a boolean","type":"type_error.bool","input":"perhaps"}]}"#);
}
