//! `/api/v1/jobs`

use crate::setup::{TestApp, long, request, small};
use axum::body::Body;
use axum::http::{Method, StatusCode};
use impasto_imaging::read_metadata;
use serde_json::{Value, json};

fn quick(more: Value) -> Value {
    let mut body = small(more);
    body["kind"] = json!("txt2img");
    body
}

/// Names and data of the events in a stream that has ended.
fn events(text: &str) -> Vec<(String, Value)> {
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    text.split("\n\n")
        .filter_map(|block| {
            Some((field(block, "event:")?, serde_json::from_str(&field(block, "data:")?).unwrap()))
        })
        .collect()
}

#[tokio::test]
async fn a_job_is_accepted_made_and_fetched() {
    let app = TestApp::new();
    let accepted = app.post("/api/v1/jobs", quick(json!({ "batch_size": 2 }))).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert!(["queued", "running"].contains(&accepted.json()["state"].as_str().unwrap()));
    let id = accepted.json()["id"].as_str().unwrap().to_owned();
    let job = app.wait_until(&id, |job| job["state"] == "done").await;
    assert_eq!(
        (job["progress"].as_f64(), job["step"].as_u64(), job["steps"].as_u64()),
        (Some(1.0), Some(3), Some(3))
    );
    assert_eq!(job["images"].as_array().unwrap().len(), 2);
    assert_eq!(job["images"][1]["seed"], 8);
    let url = job["images"][1]["url"].as_str().unwrap();
    let picture = app.get(url).await;
    assert_eq!(picture.header("content-type"), Some("image/png"));
    let infotext = read_metadata(&picture.body, 4096).unwrap().infotext.unwrap();
    assert_eq!(infotext, job["images"][1]["infotext"].as_str().unwrap());
    assert_eq!(app.get(url.strip_suffix(".png").unwrap()).await.body, picture.body);
    assert_eq!(app.get("/api/v1/jobs").await.good()[0], job);
    assert_eq!(app.get(&format!("/api/v1/jobs/{id}/images/2.png")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn events_tell_a_job_from_start_to_end() {
    let app = TestApp::new();
    let id = app.submit(quick(json!({ "steps": 20 }))).await;
    let stream = app.get(&format!("/api/v1/jobs/{id}/events")).await;
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    let events = events(&stream.text());
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.last(), Some(&"finished"), "{names:?}");
    let at = |name: &str| names.iter().position(|found| *found == name);
    assert!(at("started") < at("step") && at("step").is_some(), "{names:?}");
    let number = |data: &Value, key| data[key].as_u64().unwrap();
    let steps: Vec<(u64, u64)> = events
        .iter()
        .filter(|(name, _)| name == "step")
        .map(|(_, data)| (number(data, "batches_done"), number(data, "step")))
        .collect();
    assert!(steps.is_sorted(), "{steps:?}");
    let preview = events.iter().find(|(name, _)| name == "preview");
    assert!(preview.unwrap().1["image"].as_str().unwrap().starts_with("data:image/png;base64,"), "{names:?}");
    let last = &events.last().unwrap().1;
    assert_eq!((last["state"].as_str(), last["images"].as_array().unwrap().len()), (Some("done"), 1));
    // One that comes late gets the end alone.
    let late = app.get(&format!("/api/v1/jobs/{id}/events")).await.text();
    assert_eq!(self::events(&late).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["finished"]);
}

#[tokio::test]
async fn jobs_can_be_cancelled_interrupted_and_skipped() {
    let app = TestApp::new();
    for (method, action, state, images) in [
        (Method::DELETE, "", "cancelled", 0),
        (Method::POST, "/interrupt", "done", 1),
        (Method::POST, "/skip", "running", 1),
    ] {
        let id = app.submit(long(json!({ "n_iter": 2 }))).await;
        app.wait_until(&id, |job| job["step"].as_u64() > Some(0)).await;
        let path = format!("/api/v1/jobs/{id}{action}");
        let answer = app.send(request(method, &path, &[], Body::empty())).await;
        assert_eq!(answer.good()["id"], id.as_str());
        let holds = |job: &Value| job["state"] == state && job["images"].as_array().unwrap().len() == images;
        app.wait_until(&id, holds).await;
        app.send(request(Method::DELETE, &format!("/api/v1/jobs/{id}"), &[], Body::empty())).await.good();
    }
}

#[tokio::test]
async fn previews_can_be_fetched() {
    let app = TestApp::new();
    let id = app.submit(long(json!({}))).await;
    let job = app.wait_until(&id, |job| job["preview"].is_string()).await;
    let preview = app.get(job["preview"].as_str().unwrap()).await;
    assert_eq!(
        (preview.header("content-type"), preview.header("cache-control")),
        (Some("image/png"), Some("no-store"))
    );
    assert!(impasto_imaging::decode(&preview.body, 4096).is_ok());
}

#[tokio::test]
async fn unknown_jobs_and_bad_submissions_are_told() {
    let app = TestApp::new();
    let mut told = String::new();
    for path in [
        "/api/v1/jobs/0123456789abcdef",
        "/api/v1/jobs/x",
        "/api/v1/jobs/x/events",
        "/api/v1/jobs/%2e%2e/preview",
    ] {
        told.push_str(&app.get(path).await.told());
        told.push('\n');
    }
    for body in [
        json!({}),
        json!({ "kind": "video" }),
        quick(json!({ "width": 0 })),
        quick(json!({ "batch_size": 4, "n_iter": 100 })),
        quick(json!({ "override_settings": { "sd_model_checkpoint": "no such model" } })),
    ] {
        told.push_str(&app.post("/api/v1/jobs", body).await.told());
        told.push('\n');
    }
    insta::assert_snapshot!(told, @r#"
404 {"error":"HTTPException","detail":"job \"0123456789abcdef\" not found; jobs are forgotten some time after they end","body":"","errors":""}
404 {"error":"HTTPException","detail":"job \"x\" not found; jobs are forgotten some time after they end","body":"","errors":""}
404 {"error":"HTTPException","detail":"job \"x\" not found; jobs are forgotten some time after they end","body":"","errors":""}
404 {"error":"HTTPException","detail":"job \"..\" not found; jobs are forgotten some time after they end","body":"","errors":""}
422 {"detail":[{"loc":["body","kind"],"msg":"field required","type":"value_error.missing"}]}
422 {"detail":[{"loc":["body","kind"],"msg":"kind \"video\" is unknown: allowed is \"txt2img\"","type":"value_error","input":"video"}]}
422 {"detail":[{"loc":["body","width"],"msg":"width 0 is out of range: allowed are 8 to 2048","type":"value_error","input":0}]}
422 {"detail":[{"loc":["body","n_iter"],"msg":"n_iter 100 is out of range: allowed are 1 to 64 with batch_size 4","type":"value_error","input":100}]}
422 {"detail":[{"loc":["body","override_settings","sd_model_checkpoint"],"msg":"model \"no such model\" not found","type":"value_error","input":"no such model"}]}
"#);
}

#[tokio::test]
async fn a_picture_is_kept_with_a_line_in_the_log() {
    let app = TestApp::new();
    let id = app.submit(quick(json!({ "prompt": "a cat, big" }))).await;
    app.wait_until(&id, |job| job["state"] == "done").await;
    let keep =
        async |number: &str| app.post(&format!("/api/v1/jobs/{id}/images/{number}/keep"), json!({})).await;
    assert_eq!(keep("0").await.good(), json!({ "path": "log/images/00000-7-a cat, big.png" }));
    assert_eq!(keep("0").await.good(), json!({ "path": "log/images/00001-7-a cat, big.png" }));
    assert_eq!(keep("1").await.status, 404);
    let log = std::fs::read_to_string(app.folder.path().join("log/images/log.csv")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("prompt,seed,width,"), "{log}");
    assert!(lines[1].starts_with("\"a cat, big\",7,32,32,Euler,7.0,3,\"00000-7-a cat, big.png\",,"), "{log}");
    assert!(app.folder.path().join("log/images/00001-7-a cat, big.png").is_file());
}
