//! Pictures from pictures, and second passes.

use crate::setup::{TestApp, small};
use impasto_imaging::{Format, Pixels, decode, decode_base64, encode, encode_base64};
use serde_json::{Value, json};

/// A picture file in base64 whose grey is a function of its column.
fn file(width: u32, height: u32, grey: impl Fn(u32) -> u8) -> String {
    let rgb: Vec<u8> = (0..height).flat_map(|_| 0..width).flat_map(|x| [grey(x); 3]).collect();
    encode_base64(&encode(Pixels { width, height, rgb: &rgb }, Format::Png, None).unwrap())
}

fn pixels(answer: &Value, index: usize) -> (u32, u32, Vec<u8>) {
    let bytes = decode_base64(answer["images"][index].as_str().unwrap()).unwrap();
    let picture = decode(&bytes, 1 << 20).unwrap().to_rgb();
    (picture.width(), picture.height(), picture.into_samples())
}

fn info(answer: &Value) -> Value {
    serde_json::from_str(answer["info"].as_str().unwrap()).unwrap()
}

async fn img2img(app: &TestApp, more: Value) -> Value {
    let mut body = small(json!({ "init_images": [file(32, 32, |x| (x * 8) as u8)] }));
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app.post("/sdapi/v1/img2img", body).await.good()
}

#[tokio::test]
async fn a_picture_becomes_another() {
    let app = TestApp::new();
    let answer = img2img(&app, json!({ "denoising_strength": 0.5 })).await;
    let told = info(&answer);
    assert_eq!(told["denoising_strength"], 0.5);
    assert!(told["infotexts"][0].as_str().unwrap().contains("Denoising strength: 0.5"), "{told}");
    assert_eq!(
        (&answer["parameters"]["init_images"], &answer["parameters"]["denoising_strength"]),
        (&Value::Null, &json!(0.5))
    );
    let (width, height, rgb) = pixels(&answer, 0);
    assert_eq!((width, height), (32, 32));
    // The same again, and another where the strength is another.
    assert_eq!(pixels(&img2img(&app, json!({ "denoising_strength": 0.5 })).await, 0).2, rgb);
    assert_ne!(pixels(&img2img(&app, json!({ "denoising_strength": 0.9 })).await, 0).2, rgb);
    // A batch gives each picture what it gives alone.
    let batch = img2img(&app, json!({ "denoising_strength": 0.5, "batch_size": 2, "n_iter": 2 })).await;
    assert_eq!(batch["images"].as_array().unwrap().len(), 4);
    assert_eq!(pixels(&batch, 0).2, rgb);
    let two = json!({ "init_images": [file(32, 32, |_| 9), file(16, 8, |_| 200)], "batch_size": 2, "resize_mode": 1 });
    assert_eq!(img2img(&app, two).await["images"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_a_mask_keeps_stays() {
    let app = TestApp::new();
    let mask = file(32, 32, |x| if x < 16 { 0 } else { 255 });
    let whole = json!({ "mask": mask, "mask_blur": 0, "inpaint_full_res": false, "inpainting_fill": 1 });
    let answer = img2img(&app, whole).await;
    let (_, _, rgb) = pixels(&answer, 0);
    let kept = (0..32).all(|y| (0..16).all(|x| rgb[(y * 32 + x) * 3] == (x * 8) as u8));
    assert!(kept, "{:?}", &rgb[..48]);
    let only = json!({
        "init_images": [file(96, 64, |x| x as u8)], "mask": file(96, 64, |x| if (40..56).contains(&x) { 255 } else { 0 }),
        "mask_blur": 0, "inpaint_full_res": true, "inpaint_full_res_padding": 4
    });
    let answer = img2img(&app, only).await;
    let (width, height, rgb) = pixels(&answer, 0);
    assert_eq!((width, height, rgb[0], rgb[95 * 3]), (96, 64, 0, 95));
    let text = info(&answer)["infotexts"][0].as_str().unwrap().to_owned();
    assert!(
        text.contains("Inpaint area: Only masked, Masked area padding: 4, Masked content: fill"),
        "{text}"
    );
}

#[tokio::test]
async fn a_second_pass_makes_it_larger() {
    let app = TestApp::new();
    let ask = |upscaler: &str| {
        small(
            json!({ "enable_hr": true, "hr_upscaler": upscaler, "hr_scale": 2, "denoising_strength": 0.7, "hr_second_pass_steps": 2 }),
        )
    };
    for upscaler in ["Latent", "Latent (nearest-exact)", "Lanczos", "None"] {
        let answer = app.post("/sdapi/v1/txt2img", ask(upscaler)).await.good();
        let (width, height, _) = pixels(&answer, 0);
        assert_eq!((width, height), (64, 64), "{upscaler}");
        let text = info(&answer)["infotexts"][0].as_str().unwrap().to_owned();
        let wanted = format!("Hires upscale: 2.0, Hires steps: 2, Hires upscaler: {upscaler}, Version");
        assert!(
            text.contains(&wanted)
                && text.contains("Denoising strength: 0.7")
                && text.contains("Size: 32x32"),
            "{text}"
        );
        // The infotext asks for the same again.
        let again = app.post("/sdapi/v1/txt2img", json!({ "infotext": text })).await.good();
        assert_eq!(again["images"], answer["images"], "{upscaler}");
    }
    let huge = small(json!({ "enable_hr": true, "hr_scale": 16, "width": 512, "height": 512 }));
    assert_eq!(app.post("/sdapi/v1/txt2img", huge).await.status, 422);
}

#[tokio::test]
async fn unusable_pictures_are_refused() {
    let app = TestApp::new();
    let ask = |more| app.post("/sdapi/v1/img2img", small(more));
    insta::assert_snapshot!(ask(json!({})).await.told(), @r#"404 {"error":"HTTPException","detail":"Init image not found","body":"","errors":""}"#);
    for bad in ["", "%%%", "AAAA", "https://example.org/x.png"] {
        let answer = ask(json!({ "init_images": [bad] })).await;
        assert_eq!(answer.status, 500, "{bad}: {}", answer.text());
    }
    let picture = file(32, 32, |_| 0);
    for (field, value) in
        [("mask_blur", json!(5000)), ("denoising_strength", json!(2)), ("resize_mode", json!(7))]
    {
        let answer = ask(json!({ "init_images": [picture], "mask": picture, (field): value })).await;
        assert_eq!(answer.status, 422, "{field}: {}", answer.text());
    }
}

#[tokio::test]
async fn sampler_options_change_pictures_and_are_told() {
    let app = TestApp::new();
    let plain = app.post("/sdapi/v1/txt2img", small(json!({ "sampler_name": "Euler" }))).await.good();
    for (more, wanted) in [
        (json!({ "s_churn": 5 }), "Sigma churn: 5.0"),
        (json!({ "override_settings": { "sigma_min": 0.5 } }), "Schedule min sigma: 0.5"),
        (
            json!({ "override_settings": { "sd_noise_schedule": "Zero Terminal SNR" } }),
            "Noise Schedule: Zero Terminal SNR",
        ),
    ] {
        let mut body = small(more);
        body["sampler_name"] = json!("Euler");
        let answer = app.post("/sdapi/v1/txt2img", body).await.good();
        let text = info(&answer)["infotexts"][0].as_str().unwrap().to_owned();
        assert!(text.contains(wanted), "{text}");
        assert_ne!(answer["images"], plain["images"], "{wanted}");
        let again = app.post("/sdapi/v1/txt2img", json!({ "infotext": text })).await.good();
        assert_eq!(again["images"], answer["images"], "{wanted}");
    }
}
