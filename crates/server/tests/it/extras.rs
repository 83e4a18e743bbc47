//! Pictures enlarged.

use crate::setup::{TestApp, small};
use impasto_imaging::{decode, decode_base64, read_metadata};
use serde_json::{Value, json};

async fn picture(app: &TestApp) -> String {
    let answer = app.post("/sdapi/v1/txt2img", small(json!({ "steps": 1 }))).await.good();
    answer["images"][0].as_str().unwrap().to_owned()
}

fn size(image: &Value) -> (u32, u32) {
    decode(&decode_base64(image.as_str().unwrap()).unwrap(), 1 << 24).unwrap().size()
}

#[tokio::test]
async fn pictures_become_larger_and_keep_their_texts() {
    let app = TestApp::new();
    let image = picture(&app).await;
    let ask = |more: Value| {
        let mut body = json!({ "image": image });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        app.post("/sdapi/v1/extra-single-image", body)
    };
    let answer = ask(json!({ "upscaler_1": "Lanczos", "upscaling_resize": 2 })).await.good();
    assert_eq!(answer["html_info"], "<p>Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos</p>");
    assert_eq!(size(&answer["image"]), (64, 64));
    let file = decode_base64(answer["image"].as_str().unwrap()).unwrap();
    let metadata = read_metadata(&file, 1 << 20).unwrap();
    assert!(metadata.infotext.is_some());
    assert_eq!(
        metadata.item("postprocessing"),
        Some("Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos")
    );
    assert_eq!(size(&ask(json!({})).await.good()["image"]), (32, 32));
    let to = json!({ "upscaler_1": "Nearest", "upscaler_2": "Lanczos", "extras_upscaler_2_visibility": 0.5, "resize_mode": 1,
        "upscaling_resize_w": 96, "upscaling_resize_h": 64 });
    assert_eq!(size(&ask(to).await.good()["image"]), (96, 64));
    let batch = json!({ "upscaler_1": "Lanczos", "imageList": [{ "data": image, "name": "a" }, { "data": image, "name": "b" }] });
    let answer = app.post("/sdapi/v1/extra-batch-images", batch).await.good();
    assert_eq!(answer["images"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_enlarged_says_so() {
    let app = TestApp::new();
    let image = picture(&app).await;
    let ask = |body| app.post("/sdapi/v1/extra-single-image", body);
    insta::assert_snapshot!(ask(json!({ "image": image, "upscaler_1": "x" })).await.told(), @r#"500 {"error":"AssertionError","detail":"","body":"","errors":"could not find upscaler named x"}"#);
    assert_eq!(ask(json!({ "image": "%%", "upscaler_1": "Lanczos" })).await.status, 500);
    assert_eq!(ask(json!({ "image": image, "resize_mode": 3 })).await.status, 422);
    let faces = ask(json!({ "image": image, "gfpgan_visibility": 1 })).await.good();
    assert!(faces["html_info"].as_str().unwrap().contains("models/GFPGAN"), "{faces}");
    let upscalers = app.get("/sdapi/v1/upscalers").await.good();
    assert_eq!(
        upscalers[0],
        json!({ "name": "None", "model_name": null, "model_path": null, "model_url": null, "scale": 4.0 })
    );
    let unknown = small(json!({ "enable_hr": true, "hr_upscaler": "x" }));
    insta::assert_snapshot!(app.post("/sdapi/v1/txt2img", unknown).await.told(), @r#"500 {"error":"AssertionError","detail":"","body":"","errors":"could not find upscaler named x"}"#);
}
