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

#[test]
fn prepared_weights_give_the_same_picture_and_go_with_their_model() {
    let place = Place::new();
    let draw = |name: &str| {
        let arguments = [
            "txt2img",
            "a cat",
            "--model=tiny",
            "--seed=1",
            "--steps=2",
            "--width=32",
            "--height=32",
            "-o",
            name,
        ];
        place.run(&arguments).ok();
        std::fs::read(place.path(name)).unwrap()
    };
    let before = draw("before.png");
    let text = place.run(&["models", "prebuild", "tiny"]).ok();
    assert!(text.starts_with("tiny.safetensors") && text.contains("prepared, 0.00 GB"), "{text}");
    assert_eq!(prepared(&place), 1);
    assert_eq!(draw("after.png"), before);
    assert!(place.run(&["models", "prebuild", "tiny"]).ok().contains("is prepared already"));
    place.run(&["models", "prebuild", "tiny", "--precision=int8"]).ok();
    assert_eq!(prepared(&place), 2);
    // A damaged file is as good as none, and is made anew.
    for file in std::fs::read_dir(place.path("data/cache/prepared")).unwrap() {
        std::fs::write(file.unwrap().path(), "nonsense").unwrap();
    }
    assert_eq!(draw("damaged.png"), before);
    assert!(place.run(&["models", "prebuild", "tiny"]).ok().contains("prepared, "));
    assert_eq!(draw("again.png"), before);

    std::fs::remove_file(place.path("data/models/Stable-diffusion/tiny.safetensors")).unwrap();
    std::fs::write(place.path("data/models/Stable-diffusion/broken.safetensors"), "nonsense").unwrap();
    let refused = place.run(&["models", "prebuild", "broken"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("broken.safetensors is of an unknown format"));
    assert_eq!(prepared(&place), 0);
}

/// Files of prepared weights.
fn prepared(place: &Place) -> usize {
    std::fs::read_dir(place.path("data/cache/prepared")).unwrap().count()
}
