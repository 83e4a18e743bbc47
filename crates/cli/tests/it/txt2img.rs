//! Pictures into files.

use crate::program::Place;

const SMALL: [&str; 4] = ["--steps=2", "--seed=7", "--width=64", "--height=48"];

fn txt2img<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["txt2img", "a cat", "--model=tiny"], &SMALL[..], arguments].concat()
}

#[test]
fn a_prompt_becomes_a_png_with_its_settings() {
    let place = Place::new();
    let stdout = place.run(&txt2img(&["-o", "cat.png"])).ok();
    assert_eq!(stdout, "cat.png\n");
    let png = std::fs::read(place.path("cat.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n"));
    // Width and height stand at fixed places of the header chunk.
    assert_eq!((&png[16..20], &png[20..24]), (&[0, 0, 0, 64][..], &[0, 0, 0, 48][..]));
    let text = String::from_utf8_lossy(&png).into_owned();
    for part in ["a cat\nSteps: 2, Sampler: Euler", "Seed: 7", "Size: 64x48", "Model: tiny"] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn guidance_is_the_models_own_unless_given() {
    let place = Place::new();
    let sidecar = place.path("data/models/Stable-diffusion/tiny.json");
    for (recommended, arguments, wanted) in [
        ("{}", &[][..], "CFG scale: 7.0,"),
        (r#"{"impasto.cfg_scale": 2.5}"#, &[], "CFG scale: 2.5,"),
        (r#"{"impasto.cfg_scale": 2.5}"#, &["--cfg-scale=3"], "CFG scale: 3.0,"),
    ] {
        std::fs::write(&sidecar, recommended).unwrap();
        let report =
            place.run(&txt2img(&[&["-o", "cat.png", "--force", "--json"], arguments].concat())).json();
        let infotext = report["files"][0]["infotext"].as_str().unwrap();
        assert!(infotext.contains(wanted), "{infotext}");
    }
}

#[test]
fn the_same_seed_gives_the_same_file_and_another_seed_another() {
    let place = Place::new();
    for name in ["1.png", "2.png"] {
        place.run(&txt2img(&["-o", name])).ok();
    }
    place.run(&txt2img(&["-o", "3.png", "--threads=1"])).ok();
    place.run(&txt2img(&["-o", "4.png", "--negative=dog"])).ok();
    let read = |name: &str| std::fs::read(place.path(name)).unwrap();
    assert_eq!(read("1.png"), read("2.png"));
    assert_eq!(read("1.png"), read("3.png"));
    assert_ne!(read("1.png"), read("4.png"));
}

#[test]
fn several_pictures_are_numbered_and_reported() {
    let place = Place::new();
    let report =
        place.run(&txt2img(&["-o", "cat.png", "--batch-size=2", "--batch-count=2", "--json"])).json();
    let files = report["files"].as_array().unwrap();
    let of = |key: &str| files.iter().map(|file| file[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("path"), ["cat-1.png", "cat-2.png", "cat-3.png", "cat-4.png"]);
    assert_eq!(of("seed"), [7, 8, 9, 10]);
    assert!(files.iter().all(|file| place.path(file["path"].as_str().unwrap()).is_file()));
    assert!(report["model"].as_str().unwrap().starts_with("tiny.safetensors"));
    assert_eq!(report["interrupted"], false);
}

#[test]
fn the_suffix_decides_the_format() {
    let place = Place::new();
    for (name, start) in [
        ("cat.jpg", &b"\xff\xd8\xff"[..]),
        ("cat.JPEG", b"\xff\xd8\xff"),
        ("cat.webp", b"RIFF"),
        ("cat.png", b"\x89PNG"),
        ("cat", b"\x89PNG"),
    ] {
        assert_eq!(place.run(&txt2img(&["-o", name])).ok(), format!("{name}\n"));
        let file = std::fs::read(place.path(name)).unwrap();
        assert!(file.starts_with(start), "{name}");
        let infotext = impasto_imaging::read_metadata(&file, 1 << 20).unwrap().infotext.unwrap();
        assert!(infotext.starts_with("a cat\nSteps: 2, Sampler: Euler"), "{name}: {infotext}");
    }
    let (error, help) = place.run(&txt2img(&["-o", "cat.tiff"])).error(2);
    assert!(error.contains("cat.tiff"), "{error}");
    for suffix in [".png", ".jpg", ".jpeg", ".webp"] {
        assert!(help.contains(suffix), "{help}");
    }
}

#[test]
fn a_dash_writes_the_picture_to_standard_output() {
    let place = Place::new();
    let output = place.command(&txt2img(&["-o", "-"])).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    place.run(&txt2img(&["-o", "cat.png"])).ok();
    assert!(output.stdout == std::fs::read(place.path("cat.png")).unwrap());
    assert!(!place.path("-").exists());
}

#[test]
fn nothing_is_overwritten_unasked() {
    let place = Place::new();
    std::fs::write(place.path("cat.png"), "mine").unwrap();
    let (error, help) = place.run(&txt2img(&["-o", "cat.png"])).error(1);
    assert!(error.contains("cat.png exists") && help.contains("--force"), "{error} {help}");
    assert_eq!(std::fs::read(place.path("cat.png")).unwrap(), b"mine");
    place.run(&txt2img(&["-o", "cat.png", "--force"])).ok();
    assert!(std::fs::read(place.path("cat.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn without_a_name_the_first_free_one_is_taken() {
    let place = Place::new();
    assert_eq!(place.run(&txt2img(&[])).ok(), "impasto-0001.png\n");
    assert_eq!(place.run(&txt2img(&[])).ok(), "impasto-0002.png\n");
}

#[test]
fn an_unknown_model_is_told() {
    let (error, help) = Place::new().run(&["txt2img", "a cat", "--model=none"]).error(1);
    assert!(error.contains("\"none\"") && help.contains("models list"), "{error} {help}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing_behind() {
    let place = Place::new();
    let line = [
        "txt2img",
        "a cat",
        "--model=tiny",
        "--steps=1000",
        "--batch-count=200",
        "--width=512",
        "--height=512",
    ];
    let mut command = place.command(&[&line[..], &["-o", "cat.png"]].concat());
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    crate::serve::signal(child.id(), "INT");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: interrupted; nothing was written"), "{stderr}");
    let left: Vec<_> =
        std::fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["data"]);
}
