//! `/api/v1/tokens`

use crate::setup::TestApp;
use serde_json::{Value, json};

async fn told(app: &TestApp, body: Value) -> String {
    app.post("/api/v1/tokens", body).await.told()
}

#[tokio::test]
async fn counts_what_a_picture_would_be_made_of() {
    let app = TestApp::new();
    for (body, wanted) in [
        (json!({ "prompt": "" }), (0, 75)),
        // The tiny model knows single letters and few words.
        (json!({ "prompt": "x y z" }), (3, 75)),
        (json!({ "prompt": "(x:1.2) <lora:some:1> y # z" }), (2, 75)),
        (json!({ "prompt": "[x:y z x:0.5]" }), (3, 75)),
        (json!({ "prompt": "x BREAK y" }), (76, 150)),
        (json!({ "prompt": "x AND y z" }), (2, 75)),
        (json!({ "prompt": "x <a:b>", "negative": true }), (6, 75)),
    ] {
        let answer = app.post("/api/v1/tokens", body.clone()).await.good();
        assert_eq!(answer, json!({ "count": wanted.0, "limit": wanted.1 }), "{body}");
    }
}

#[tokio::test]
async fn styles_count_too() {
    let app = TestApp::new();
    let styled =
        |styles: Value, negative: bool| json!({ "prompt": "x", "styles": styles, "negative": negative });
    let count = async |body: Value| app.post("/api/v1/tokens", body).await.good()["count"].clone();
    assert_eq!(count(styled(json!(["Oil"]), false)).await, 1, "there is no file yet");
    let file = app.folder.path().join("styles.csv");
    std::fs::write(&file, "name,prompt,negative_prompt\nOil,y {prompt} z,q\nInk,\"y, z\",").unwrap();
    assert_eq!(count(styled(json!(["Oil"]), false)).await, 3);
    assert_eq!(count(styled(json!(["Oil", "unknown", "Ink"]), false)).await, 3 + 4, "with two commas");
    assert_eq!(count(styled(json!(["Oil"]), true)).await, 3, "x, q");
    std::fs::write(&file, "title\nOil").unwrap();
    let refusal = told(&app, styled(json!(["Oil"]), false)).await;
    assert!(
        refusal.starts_with("500 ") && refusal.contains("wanted are the columns name, prompt"),
        "{refusal}"
    );
    assert_eq!(count(styled(json!([]), false)).await, 1, "read only when asked for");
}

#[tokio::test]
async fn refuses_what_it_cannot_count() {
    let app = TestApp::new();
    insta::assert_snapshot!(told(&app, json!({})).await, @r#"422 {"detail":[{"loc":["body","prompt"],"msg":"field required","type":"value_error.missing"}]}"#);
    let steps = told(&app, json!({ "prompt": "x", "steps": 0 })).await;
    assert!(
        steps.starts_with("422 ") && steps.contains("steps 0 is out of range: allowed are 1 to 1000"),
        "{steps}"
    );
    let long = told(&app, json!({ "prompt": "x".repeat((1 << 20) + 1) })).await;
    assert!(long.starts_with("422 ") && long.contains("allowed are 0 to 1048576"), "{}", &long[..200]);
    let endless = format!("{}[x|y]", " ".repeat(1 << 15));
    let refusal = told(&app, json!({ "prompt": endless, "steps": 1000 })).await;
    assert!(refusal.starts_with("422 ") && refusal.contains("changes at 999 steps"), "{refusal}");
}
