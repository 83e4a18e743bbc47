//! `upscale`.

use crate::program::{Place, goldens};

/// A place with a picture, and its infotext.
fn place() -> (Place, String) {
    let place = Place::new();
    place
        .run(&["txt2img", "a cat", "--seed=3", "--steps=1", "--width=24", "--height=16", "-o", "small.png"])
        .ok();
    let infotext = "Seed: 3, Size: 24x16".to_owned();
    (place, infotext)
}

/// Width, height, and whether a text is in the file.
fn look(place: &Place, name: &str, text: &str) -> ([u32; 2], bool) {
    let bytes = std::fs::read(place.path(name)).unwrap();
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let has = bytes.windows(text.len()).any(|piece| piece == text.as_bytes());
    ([number(16), number(20)], has)
}

#[test]
fn networks_and_filters_enlarge_and_keep_the_infotext() {
    let (place, infotext) = place();
    let source = goldens().join("upscalers/compact_x2.safetensors");
    place.run(&["models", "import", source.to_str().unwrap()]).ok();
    for (arguments, size) in [
        (&["-u", "compact_x2", "--tile=8", "--tile-overlap=2"][..], [48, 32]),
        (&["-u", "compact_x2", "--scale=3"], [72, 48]),
        (&["-u", source.to_str().unwrap(), "--tile=0"], [48, 32]),
        (&["-u", "Lanczos"], [96, 64]),
        (&["-u", "Nearest", "--scale", "1.5"], [32, 24]),
    ] {
        let line = [&["upscale", "small.png", "-o", "large.png", "--force"], arguments].concat();
        let text = place.run(&line).ok();
        assert_eq!(text, format!("large.png {}x{}\n", size[0], size[1]), "{arguments:?}");
        assert_eq!(look(&place, "large.png", "Seed: 3"), (size, true), "{infotext} {arguments:?}");
    }
    let (error, _) = place.run(&["upscale", "small.png", "-u", "Nearest", "-o", "large.png"]).error(1);
    assert_eq!(error, "large.png exists");
}

#[test]
fn what_cannot_be_done_is_refused() {
    let (place, _) = place();
    let (error, help) = place.run(&["upscale", "small.png", "-u", "none", "-o", "a.png"]).error(1);
    assert_eq!(error, "upscaler \"none\" not found; there are Lanczos, Nearest");
    assert!(help.contains("models import"), "{help}");
    let tiny = "data/models/Stable-diffusion/tiny.safetensors";
    let run = place.run(&["upscale", "small.png", "-u", tiny, "-o", "a.png"]);
    assert!(run.code == Some(1) && run.stderr.contains("not supported as an upscaler"), "{run:?}");
    let run = place.run(&["upscale", tiny, "-u", "Lanczos", "-o", "a.png"]);
    assert!(run.code == Some(1) && run.stderr.contains("not a readable"), "{run:?}");
    for scale in ["0", "-1", "NaN", "17", "x"] {
        place.run(&["upscale", "small.png", "-u", "Lanczos", "--scale", scale]).error(2);
    }
    assert!(!place.path("a.png").exists());
}
