//! Lists of files of the data root.

use crate::setup::TestApp;
use serde_json::json;

#[tokio::test]
async fn files_are_listed_by_kind() {
    let app = TestApp::new();
    let put = |path: &str, bytes: &[u8]| {
        let path = app.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    assert_eq!(app.get("/sdapi/v1/loras").await.good(), json!([]));
    let header = r#"{"__metadata__":{"ss_output_name":"Fine","ss_tag_frequency":"{\"a\":1}","n":"1"},"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend([0; 2]);
    put("models/Lora/sub/fine_v1.safetensors", &file);
    put("models/VAE/sharp.pt", b"x");
    put("models/hypernetworks/old.pt", b"x");
    assert_eq!(app.get("/sdapi/v1/loras").await.good(), json!([]));
    assert_eq!(app.post("/sdapi/v1/refresh-loras", json!({})).await.told(), "200 null");
    let loras = app.get("/sdapi/v1/loras").await.good();
    let keys: Vec<&str> = loras[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["name", "alias", "path", "metadata"]);
    assert_eq!((&loras[0]["name"], &loras[0]["alias"]), (&json!("fine_v1"), &json!("Fine")));
    assert_eq!(
        loras[0]["metadata"],
        json!({ "ss_output_name": "Fine", "ss_tag_frequency": { "a": 1 }, "n": "1" })
    );
    let path = |name: &str| json!(app.folder.path().join(name).to_str().unwrap());
    assert_eq!(
        app.get("/sdapi/v1/sd-vae").await.good(),
        json!([{ "model_name": "sharp.pt", "filename": path("models/VAE/sharp.pt") }])
    );
    assert_eq!(
        app.get("/sdapi/v1/hypernetworks").await.good(),
        json!([{ "name": "old", "path": path("models/hypernetworks/old.pt") }])
    );
    for route in ["refresh-vae", "refresh-embeddings"] {
        assert_eq!(app.post(&format!("/sdapi/v1/{route}"), json!({})).await.told(), "200 null");
    }
    let faces = app.get("/sdapi/v1/face-restorers").await.good();
    assert_eq!(faces[1], json!({ "name": "GFPGAN", "cmd_dir": path("models/GFPGAN") }));
    assert_eq!(app.get("/sdapi/v1/realesrgan-models").await.good().as_array().unwrap().len(), 6);
    assert_eq!(app.get("/sdapi/v1/extensions").await.good(), json!([]));
    let modes = app.get("/sdapi/v1/latent-upscale-modes").await.good();
    assert_eq!((&modes[0], modes.as_array().unwrap().len()), (&json!({ "name": "Latent" }), 6));
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let app = TestApp::new();
    let ask = |body| app.post("/sdapi/v1/interrogate", body);
    insta::assert_snapshot!(ask(json!({})).await.told(), @r#"404 {"error":"HTTPException","detail":"Image not found","body":"","errors":""}"#);
    insta::assert_snapshot!(ask(json!({ "image": "x", "model": "y" })).await.told(), @r#"404 {"error":"HTTPException","detail":"Model not found","body":"","errors":""}"#);
    let answer = ask(json!({ "image": "x" })).await;
    assert!(answer.status == 500 && answer.text().contains("models/BLIP"), "{}", answer.told());
    for what in ["create/embedding", "create/hypernetwork", "train/embedding", "train/hypernetwork"] {
        let answer = app.post(&format!("/sdapi/v1/{what}"), json!({ "name": "x" })).await.good();
        let wanted = format!("{} error: training is not in this version", what.replace('/', " "));
        assert_eq!(answer, json!({ "info": wanted }));
    }
}
