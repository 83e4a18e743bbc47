//! Autoencoders, hypernetworks, adapters and embeddings of the data root, as clients of A1111's interface ask for them.

use crate::setup::{TestApp, small};
use serde_json::{Value, json};
use std::path::Path;

fn copy(app: &TestApp, golden: &str, to: &str) {
    let to = app.folder.path().join(to);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(golden);
    std::fs::copy(golden, to).unwrap();
}

/// What is said of a picture, and its file.
async fn made(app: &TestApp, more: Value) -> (Value, Value) {
    let answer = app.post("/sdapi/v1/txt2img", small(more)).await.good();
    let info = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
    (info, answer["images"][0].clone())
}

#[tokio::test]
async fn a_vae_is_an_option_and_comes_back_from_infotexts() {
    let app = TestApp::new();
    copy(&app, "vae/ldm.pt", "models/VAE/sharp.pt");
    let (plain, own) = made(&app, json!({})).await;
    assert_eq!((&plain["sd_vae_name"], &plain["sd_vae_hash"]), (&Value::Null, &Value::Null));
    let (info, sharp) = made(&app, json!({ "override_settings": { "sd_vae": "sharp.pt" } })).await;
    assert_ne!(sharp, own);
    assert_eq!((&info["sd_vae_name"], &info["comments"]), (&json!("sharp.pt"), &Value::Null));
    let infotext = info["infotexts"][0].as_str().unwrap();
    let told = format!("VAE hash: {}, VAE: sharp.pt", info["sd_vae_hash"].as_str().unwrap());
    assert!(infotext.contains(&told), "{infotext}");
    let (again, picture) = made(&app, json!({ "prompt": "a cat", "infotext": infotext })).await;
    assert_eq!((&again["sd_vae_name"], &picture), (&json!("sharp.pt"), &sharp));
    assert_eq!(app.post("/sdapi/v1/options", json!({ "sd_vae": "gone.pt" })).await.told(), "200 null");
    let (info, picture) = made(&app, json!({})).await;
    assert_eq!(picture, own);
    assert_eq!(info["comments"], json!(["VAE not found: gone.pt; the checkpoint's own autoencoder is used"]));
}

#[tokio::test]
async fn loras_of_infotexts_are_called_what_they_are_called_here() {
    let app = TestApp::new();
    copy(&app, "adapters/lora.safetensors", "models/Lora/mine.safetensors");
    let (info, picture) = made(&app, json!({ "prompt": "a cat<lora:mine:0.5>" })).await;
    let infotext = info["infotexts"][0].as_str().unwrap();
    let theirs = infotext.replace("lora:mine:", "lora:theirs:").replace("\"mine: ", "\"theirs: ");
    assert!(theirs.contains("<lora:theirs:0.5>") && theirs.contains("Lora hashes: \"theirs: "), "{theirs}");
    let body = json!({ "infotext": theirs, "width": 32, "height": 32, "seed": 7 });
    let answer = app.post("/sdapi/v1/txt2img", body).await.good();
    assert_eq!(answer["parameters"]["prompt"], json!("a cat<lora:mine:0.5>"));
    assert_eq!(answer["images"][0], picture);
    let hidden = json!({ "prompt": "a cat<lora:mine:0.5>", "override_settings": { "lora_add_hashes_to_infotext": false } });
    let (info, _) = made(&app, hidden).await;
    assert!(!info["infotexts"][0].as_str().unwrap().contains("Lora hashes"));
}

#[tokio::test]
async fn embeddings_are_listed_with_what_their_files_say() {
    let app = TestApp::new();
    copy(&app, "hidden_embedding.png", "embeddings/hidden.png");
    copy(&app, "checkpoints/embedding.pt", "embeddings/wide.pt");
    let list = app.get("/sdapi/v1/embeddings").await.good();
    assert_eq!(
        list["loaded"],
        json!({ "hidden": { "step": 7, "sd_checkpoint": "abcd", "sd_checkpoint_name": null, "shape": 32, "vectors": 2 } })
    );
    let keys: Vec<&str> = list["skipped"]["wide"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["step", "sd_checkpoint", "sd_checkpoint_name", "shape", "vectors"]);
}

#[tokio::test]
async fn previews_have_the_file_format_of_the_option() {
    let app = TestApp::new();
    let values = json!({ "live_previews_image_format": "jpeg", "show_progress_type": "Approx cheap", "show_progress_every_n_steps": 1 });
    assert_eq!(app.post("/sdapi/v1/options", values).await.told(), "200 null");
    let refused = app.post("/sdapi/v1/options", json!({ "show_progress_type": "Best" })).await;
    assert_eq!(refused.status.as_u16(), 422);
    let picture = async {
        loop {
            let progress = app.get("/sdapi/v1/progress").await.good();
            if let Some(picture) = progress["current_image"].as_str() {
                return picture.to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let work = app.post("/sdapi/v1/txt2img", small(json!({ "steps": 400 })));
    let picture = tokio::select! {
        picture = picture => picture,
        answer = work => panic!("no preview before {}", answer.status),
    };
    assert!(picture.starts_with("/9j/"), "{}", &picture[..12]);
}
