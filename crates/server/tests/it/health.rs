//! `/livez`, `/readyz`, `/metrics`, `/internal/ping`, `/sdapi/v1/memory`

use crate::setup::{TestApp, small};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn probes_answer() {
    let app = TestApp::new();
    assert_eq!(app.get("/internal/ping").await.told(), "200 {}");
    assert_eq!(app.get("/livez").await.told(), "200 ok\n");
    assert_eq!(app.get("/readyz").await.told(), "200 ok\n");
    app.engine.shutdown(Duration::ZERO);
    assert_eq!(app.get("/readyz").await.told(), "503 the engine has stopped\n");
    let refused = app.post("/sdapi/v1/txt2img", small(json!({}))).await;
    insta::assert_snapshot!(refused.told(), @r#"503 {"error":"HTTPException","detail":"the engine has stopped","body":"","errors":""}"#);
    let empty = TestApp::build(&[], |_| {}, |_| {});
    assert_eq!(empty.get("/readyz").await.told(), "503 there is no model\n");
}

#[tokio::test]
async fn figures_count_steps_and_answers() {
    let app = TestApp::new();
    app.post("/sdapi/v1/txt2img", small(json!({}))).await.good();
    app.get("/nowhere").await;
    let page = app.get("/metrics").await;
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in
        ["impasto_steps_total 3", "impasto_images_total 1", "impasto_http_responses_total{class=\"4xx\"} 1"]
    {
        assert!(page.text().lines().any(|found| found == line), "{line}\n{}", page.text());
    }
}

#[tokio::test]
async fn memory_has_known_keys() {
    let app = TestApp::new();
    let memory = app.get("/sdapi/v1/memory").await.good();
    assert!(memory["ram"].is_object() && memory["cuda"]["error"].is_string(), "{memory}");
}
