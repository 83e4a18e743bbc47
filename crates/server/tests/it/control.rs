//! `/sdapi/v1/interrupt` and `/sdapi/v1/skip`

use crate::setup::{TestApp, long, small};
use serde_json::json;
use std::time::Duration;

async fn stop_at_work(path: &str) -> (serde_json::Value, String) {
    let app = TestApp::new();
    let other = app.submit(long(json!({}))).await;
    let stop = async {
        loop {
            let jobs = app.get("/api/v1/jobs").await.good();
            let working = jobs
                .as_array()
                .unwrap()
                .iter()
                .any(|job| job["id"] != other && job["step"].as_u64() > Some(0));
            if working {
                return app.post(path, json!(null)).await.told();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let body = small(json!({ "steps": 60, "n_iter": 2 }));
    let (answer, told) = tokio::join!(app.post("/sdapi/v1/txt2img", body), stop);
    let untouched = app.get(&format!("/api/v1/jobs/{other}")).await.good();
    assert_eq!(
        (untouched["state"].as_str(), untouched["interrupted"].as_bool()),
        (Some("running"), Some(false))
    );
    (answer.good(), told)
}

#[tokio::test]
async fn interrupting_answers_what_there_is() {
    let (answer, told) = stop_at_work("/sdapi/v1/interrupt").await;
    assert_eq!(answer["images"].as_array().unwrap().len(), 1);
    assert_eq!(told, "200 {}");
}

#[tokio::test]
async fn skipping_goes_on_with_the_next_batch() {
    let (answer, told) = stop_at_work("/sdapi/v1/skip").await;
    assert_eq!(answer["images"].as_array().unwrap().len(), 2);
    assert_eq!(told, "200 null");
}

#[tokio::test]
async fn nothing_at_work_is_no_error() {
    let app = TestApp::new();
    assert_eq!(app.post("/sdapi/v1/interrupt", json!({})).await.told(), "200 {}");
    assert_eq!(app.post("/sdapi/v1/skip", json!({})).await.told(), "200 null");
}
