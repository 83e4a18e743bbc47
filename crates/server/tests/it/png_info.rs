//! `/sdapi/v1/png-info`

use crate::setup::{TestApp, small};
use impasto_imaging::{Format, Rgb, encode_base64, encode_picture};
use serde_json::json;

#[tokio::test]
async fn tells_how_a_picture_was_made() {
    let app = TestApp::new();
    let made = app.post("/sdapi/v1/txt2img", small(json!({ "negative_prompt": "dog" }))).await.good();
    let image = made["images"][0].as_str().unwrap();
    for image in [image.to_owned(), format!("data:image/png;base64,{image}")] {
        let told = app.post("/sdapi/v1/png-info", json!({ "image": image })).await.good();
        assert!(told["info"].as_str().unwrap().starts_with("a cat\nNegative prompt: dog\nSteps: 3, "));
        let known = ["Prompt", "Negative prompt", "Steps", "Size-1", "RNG"]
            .map(|key| told["parameters"][key].clone());
        assert_eq!(json!(known), json!(["a cat", "dog", "3", "32", "GPU"]));
        assert_eq!(told["items"], json!({}));
    }
}

#[tokio::test]
async fn a_picture_without_infotext_has_defaults() {
    let app = TestApp::new();
    let body = small(json!({ "steps": 1, "override_settings": { "enable_pnginfo": false } }));
    let made = app.post("/sdapi/v1/txt2img", body).await.good();
    let told = app.post("/sdapi/v1/png-info", json!({ "image": made["images"][0] })).await.good();
    assert_eq!((&told["info"], &told["parameters"]["Clip skip"]), (&json!(""), &json!("1")));
}

#[tokio::test]
async fn what_is_no_picture_is_refused() {
    let app = TestApp::new();
    let mut told = String::new();
    for image in ["", "!", "aGFsbG8=", "http://127.0.0.1/a.png"] {
        told.push_str(&app.post("/sdapi/v1/png-info", json!({ "image": image })).await.told());
        told.push('\n');
    }
    told.push_str(&app.post("/sdapi/v1/png-info", json!({})).await.told());
    insta::assert_snapshot!(told, @r#"
500 {"error":"HTTPException","detail":"Invalid encoded image: not a readable PNG, JPEG, WebP or GIF picture: unknown kind of file, 0 bytes","body":"","errors":""}
500 {"error":"HTTPException","detail":"Invalid encoded image: not base64: invalid symbol 33, offset 0.","body":"","errors":""}
500 {"error":"HTTPException","detail":"Invalid encoded image: not a readable PNG, JPEG, WebP or GIF picture: unknown kind of file, 5 bytes","body":"","errors":""}
500 {"error":"HTTPException","detail":"Requests not allowed: pictures are not fetched from links such as \"http://127.0.0.1/a.png\"; send the picture as base64","body":"","errors":""}
422 {"detail":[{"loc":["body","image"],"msg":"field required","type":"value_error.missing"}]}
"#);
}

#[tokio::test]
async fn pictures_of_novel_ai_are_understood() {
    let app = TestApp::new();
    let comment = r#"{"steps": 28, "sampler": "k_dpmpp_2m", "seed": 7, "scale": 11, "uc": "blurry"}"#;
    let texts = [("Software", "NovelAI"), ("Description", "a cat"), ("Comment", comment)];
    let picture = Rgb::filled(16, 8, [9; 3]).unwrap();
    let file = encode_base64(&encode_picture(&picture, Format::Png, texts).unwrap());
    let told = app.post("/sdapi/v1/png-info", json!({ "image": file })).await.good();
    let wanted = "a cat\nNegative prompt: blurry\nSteps: 28, Sampler: DPM++ 2M, CFG scale: 11, Seed: 7, Size: 16x8, \
                  Clip skip: 2, ENSD: 31337";
    assert_eq!((&told["info"], &told["parameters"]["ENSD"]), (&json!(wanted), &json!("31337")));
}

#[tokio::test]
async fn options_say_how_infotexts_are_taken() {
    let app = TestApp::new();
    let styles = "name,prompt,negative_prompt\noil,\"{prompt}, oil on canvas\",\n";
    std::fs::write(app.folder.path().join("styles.csv"), styles).unwrap();
    let body = small(json!({ "steps": 1, "styles": ["oil"] }));
    let made = app.post("/sdapi/v1/txt2img", body).await.good();
    let parameters = async || {
        let told = app.post("/sdapi/v1/png-info", json!({ "image": made["images"][0] })).await.good();
        let told = &told["parameters"];
        [told["Prompt"].clone(), told["Styles array"].clone(), told["Seed"].clone()]
    };
    assert_eq!(parameters().await, [json!("a cat"), json!(["oil"]), json!("7")]);
    let options = json!({ "infotext_styles": "Ignore", "infotext_skip_pasting": ["Seed"] });
    assert!(app.post("/sdapi/v1/options", options).await.status.is_success());
    assert_eq!(parameters().await, [json!("a cat, oil on canvas"), json!(null), json!(null)]);
}
