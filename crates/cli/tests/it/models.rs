//! `models list` and `models info`.

use crate::program::Place;

#[test]
fn lists_what_there_is_and_what_is_wrong_with_it() {
    let place = Place::new();
    std::fs::write(place.path("data/models/Stable-diffusion/broken.safetensors"), "nonsense").unwrap();
    let list = place.run(&["models", "list", "--json"]).json();
    let find =
        |name: &str| list.as_array().unwrap().iter().find(|model| model["name"] == name).unwrap().clone();
    assert_eq!(find("tiny")["native_size"], serde_json::json!([64, 64]));
    assert_eq!(find("tiny")["problem"], serde_json::Value::Null);
    assert!(find("broken")["problem"].as_str().unwrap().contains("broken.safetensors"));
    let text = place.run(&["models", "list"]).ok();
    assert!(
        text.lines().any(|line| line.starts_with("tiny.safetensors") && line.ends_with("64x64")),
        "{text}"
    );
    assert!(
        text.lines().any(|line| line.starts_with("broken.safetensors") && line.contains("cannot be used"))
    );
}

#[test]
fn shows_one_with_its_hash() {
    let place = Place::new();
    let info = place.run(&["models", "info", "tiny", "--json"]).json();
    let hash = info["sha256"].as_str().unwrap();
    assert_eq!(hash.len(), 64);
    assert_eq!(info["title"], format!("tiny.safetensors [{}]", &hash[..10]));
    // The hash is a name of the model, too.
    assert!(place.run(&["models", "info", &hash[..10]]).ok().contains("tiny.safetensors"));
    let (error, _) = place.run(&["models", "info", "none"]).error(1);
    assert!(error.contains("\"none\""), "{error}");
}
