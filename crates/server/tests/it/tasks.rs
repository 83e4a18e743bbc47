//! Jobs by the names that A1111's clients gave them.

use crate::setup::{TestApp, long};
use serde_json::{Value, json};
use std::time::Duration;

async fn progress(app: &TestApp, name: &str) -> Value {
    app.post("/internal/progress", json!({ "id_task": name })).await.good()
}

/// Waits until the progress of a task holds.
async fn wait_for(app: &TestApp, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..2000 {
        let answer = progress(app, name).await;
        if holds(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{name} does not get there: {}", progress(app, name).await);
}

#[tokio::test]
async fn a_task_can_be_followed_by_its_name() {
    let app =
        std::sync::Arc::new(TestApp::build(&["tiny.safetensors"], |config| config.queue_limit = 10, |_| {}));
    assert_eq!(progress(&app, "task(a)").await["textinfo"], "Waiting...");
    let start = |name: &'static str| {
        let app = app.clone();
        tokio::spawn(async move {
            app.post("/sdapi/v1/txt2img", long(json!({ "force_task_id": name, "kind": null }))).await.told()
        })
    };
    let mut tasks = Vec::new();
    for name in ["task(1)", "task(2)", "task(3)", "task(4)", "task(5)"] {
        tasks.push(start(name));
        wait_for(&app, name, |answer| answer["active"] == true || answer["queued"] == true).await;
    }
    let working = wait_for(&app, "task(1)", |answer| answer["progress"].as_f64() > Some(0.0)).await;
    assert_eq!(
        (&working["active"], &working["queued"], &working["completed"]),
        (&json!(true), &json!(false), &json!(false))
    );
    assert!(working["eta"].as_f64() > Some(0.0), "{working}");
    // Four jobs take turns, so the fifth waits.
    assert_eq!(progress(&app, "task(5)").await["textinfo"], "In queue: 1/1");
    assert_eq!(app.get("/internal/pending-tasks").await.good(), json!({ "size": 1, "tasks": ["task(5)"] }));
    let seen =
        app.post("/internal/progress", json!({ "id_task": "task(1)", "id_live_preview": -1 })).await.good();
    if let Some(link) = seen["live_preview"].as_str() {
        assert!(link.starts_with("data:image/png;base64,") && seen["id_live_preview"].as_i64() > Some(0));
    }
    for job in app.engine.jobs() {
        app.engine.stop(job.id, impasto_engine::Stop::Cancel);
    }
    for task in tasks {
        assert!(task.await.unwrap().starts_with("500"));
    }
    assert_eq!(progress(&app, "task(1)").await["completed"], true);
    assert_eq!(app.get("/internal/pending-tasks").await.good()["size"], 0);
}

#[tokio::test]
async fn models_are_forgotten_and_loaded_again() {
    let app = TestApp::new();
    let resident = || app.engine.stats().resident_models;
    app.post("/sdapi/v1/txt2img", crate::setup::small(json!({}))).await.good();
    assert_eq!(resident(), 1);
    assert_eq!(app.post("/sdapi/v1/unload-checkpoint", json!({})).await.told(), "200 {}");
    for _ in 0..1000 {
        if resident() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(resident(), 0);
    assert_eq!(app.post("/sdapi/v1/reload-checkpoint", json!({})).await.told(), "200 {}");
    app.post("/sdapi/v1/txt2img", crate::setup::small(json!({}))).await.good();
    assert_eq!(resident(), 1);
    let flags = app.get("/sdapi/v1/cmd-flags").await.good();
    assert_eq!((&flags["api_auth"], &flags["listen"]), (&Value::Null, &json!(false)));
    let hints = app.get("/internal/quicksettings-hint").await.good();
    assert!(hints.as_array().unwrap().iter().any(|hint| hint["name"] == "sd_model_checkpoint"));
}
