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

/// Sets options.
async fn set(app: &TestApp, options: Value) {
    assert!(app.post("/sdapi/v1/options", options).await.status.is_success());
}

/// Names of files below a folder of the data root.
fn files(app: &TestApp, folder: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![app.folder.path().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                names.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    names
}

#[tokio::test]
async fn masks_are_returned_and_saved_if_wanted() {
    let app = TestApp::new();
    let mask = file(32, 32, |x| if x < 16 { 0 } else { 255 });
    let ask = json!({ "mask": mask, "mask_blur": 0, "inpaint_full_res": false, "save_images": true });
    set(&app, json!({ "return_mask": true, "save_mask_composite": true, "save_images_before_color_correction": true, "img2img_color_correction": true })).await;
    let answer = img2img(&app, ask.clone()).await;
    assert_eq!(answer["images"].as_array().unwrap().len(), 2);
    let (_, _, shown) = pixels(&answer, 1);
    assert_eq!((shown[0], shown[3 * 31]), (0, 255));
    assert_eq!(
        files(&app, "outputs/img2img-images"),
        ["00000-7-before-color-correction.png", "00000-7-mask-composite.png", "00000-7.png"]
    );
    set(&app, json!({ "return_mask_composite": true })).await;
    assert_eq!(img2img(&app, ask).await["images"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn the_first_pass_is_saved_if_wanted() {
    let app = TestApp::new();
    set(&app, json!({ "save_images_before_highres_fix": true })).await;
    let ask = small(json!({ "enable_hr": true, "hr_second_pass_steps": 2, "save_images": true }));
    let answer = app.post("/sdapi/v1/txt2img", ask).await.good();
    assert_eq!(answer["images"].as_array().unwrap().len(), 1);
    assert_eq!(files(&app, "outputs/txt2img-images"), ["00000-7-before-highres-fix.png", "00000-7.png"]);
}

#[tokio::test]
async fn pictures_to_begin_from_are_kept_under_their_sums() {
    let app = TestApp::new();
    let plain = img2img(&app, json!({})).await;
    assert!(!info(&plain)["infotexts"][0].as_str().unwrap().contains("Init image hash"));
    set(&app, json!({ "save_init_img": true })).await;
    let answer = img2img(&app, json!({ "init_images": [file(2, 1, |x| x as u8)] })).await;
    // `md5sum` of the bytes 0 0 0 1 1 1.
    let sum = "09e312b26c39d4cb23eb6247e1d1a23a";
    let text = info(&answer)["infotexts"][0].as_str().unwrap().to_owned();
    assert!(text.contains(&format!("Init image hash: {sum}")), "{text}");
    assert_eq!(files(&app, "outputs/init-images"), [format!("{sum}.png")]);
}

#[tokio::test]
async fn small_pictures_are_enlarged_as_the_options_say() {
    let app = TestApp::new();
    let ask =
        json!({ "init_images": [file(8, 8, |x| if x % 2 == 0 { 0 } else { 255 })], "denoising_strength": 0 });
    let plain = pixels(&img2img(&app, ask.clone()).await, 0).2;
    set(&app, json!({ "upscaler_for_img2img": "Nearest" })).await;
    assert_ne!(pixels(&img2img(&app, ask.clone()).await, 0).2, plain);
    // As in A1111, a name that nobody has is none.
    set(&app, json!({ "upscaler_for_img2img": "nobody's" })).await;
    assert_eq!(pixels(&img2img(&app, ask).await, 0).2, plain);
}

#[tokio::test]
async fn second_passes_begin_with_a_given_picture() {
    let app = TestApp::new();
    let first = app.post("/sdapi/v1/txt2img", small(json!({}))).await.good();
    let again = |more: Value| {
        let mut body = small(
            json!({ "enable_hr": true, "hr_upscaler": "Lanczos", "hr_second_pass_steps": 2, "denoising_strength": 0.4 }),
        );
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        app.post("/sdapi/v1/txt2img", body)
    };
    let whole = again(json!({})).await.good();
    let given = again(json!({ "firstpass_image": first["images"][0] })).await.good();
    assert_eq!(pixels(&given, 0), pixels(&whole, 0));
    assert_eq!(again(json!({ "firstpass_image": "%%" })).await.status, 500);
}
