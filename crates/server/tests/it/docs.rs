//! `/docs` and `/openapi.json`

use crate::setup::TestApp;
use serde_json::Value;

#[tokio::test]
async fn the_description_is_that_of_the_routes() {
    let app = TestApp::with(|settings| settings.subpath = Some("/sd/".to_owned()));
    let mut document = app.get("/openapi.json").await.good();
    assert_eq!(document["servers"][0]["url"], "/sd");
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let steps = &document["components"]["schemas"]["Txt2ImgRequest"]["properties"]["steps"];
    assert_eq!(steps["default"], 50, "{steps}");
    document.as_object_mut().unwrap().remove("servers");
    assert_eq!(document, serde_json::to_value(impasto_server::openapi()).unwrap());
}

#[tokio::test]
async fn every_described_get_route_answers() {
    let app = TestApp::new();
    let document = serde_json::to_value(impasto_server::openapi()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        if item.get("get").is_some() && !path.contains('{') {
            let answer = app.get(path).await;
            assert!(answer.status.is_success(), "{path}: {}", answer.told());
        }
    }
}

#[tokio::test]
async fn the_page_of_the_description_loads_nothing_from_elsewhere() {
    let app = TestApp::new();
    let page = app.get("/docs").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(!page.text().contains("http://") && !page.text().contains("https://"));
}

#[test]
fn the_written_description_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let written: Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap_or_default()).unwrap_or_default();
    let fresh = serde_json::to_value(impasto_server::openapi()).unwrap();
    assert!(written == fresh, "docs/openapi.json is stale: run `cargo xtask docs`");
}
