//! `models import`.

use crate::program::{Place, goldens};
use std::path::Path;

/// Writes an ncnn network of two convolutions as `NAME.param` and `NAME.bin`.
fn ncnn(place: &Place, name: &str, end: &str) {
    let text = format!(
        "7767517\n5 5\nInput a 0 1 x\nConvolution b 1 1 x y 0=4 1=3 4=1 5=1 6=108\nPReLU c 1 1 y z 0=4\n\
         Convolution d 1 1 z w 0=3 1=3 4=1 5=1 6=108\n{end} e 2 1 w x o\n"
    );
    let tag = 0x0130_6B47_u32.to_le_bytes().to_vec();
    let weights = [tag.clone(), vec![0; 216 + 16 + 16], tag, vec![0; 216 + 12]].concat();
    std::fs::create_dir_all(place.path("pairs")).unwrap();
    std::fs::write(place.path(&format!("pairs/{name}.param")), text).unwrap();
    std::fs::write(place.path(&format!("pairs/{name}.bin")), weights).unwrap();
}

fn golden(name: &str) -> String {
    goldens().join(name).to_str().unwrap().to_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_goes_where_its_kind_belongs() {
    let place = Place::new();
    for (source, told, target) in [
        ("upscalers/rrdb_x4.pth", "an upscaler, 4x, RRDB of 2 blocks", "models/ESRGAN/rrdb_x4.pth"),
        (
            "upscalers/compact_x2.safetensors",
            "an upscaler, 2x, compact network of 3 layers",
            "models/ESRGAN/compact_x2.safetensors",
        ),
        ("tiny_xl.safetensors", "Stable Diffusion XL", "models/Stable-diffusion/tiny_xl.safetensors"),
        ("checkpoints/embedding.pt", "a textual inversion embedding", "embeddings/embedding.pt"),
    ] {
        let source = golden(source);
        let text = place.run(&["models", "import", &source]).ok();
        assert!(text.contains(told) && text.trim_end().ends_with(target), "{text}");
        let target = place.path("data").join(target);
        assert_eq!(std::fs::read(&target).unwrap(), std::fs::read(&source).unwrap());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // As the user's other files, not as a temporary one.
            let plain = std::fs::metadata(place.path("data/models/Stable-diffusion")).unwrap();
            let mode = std::fs::metadata(&target).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, plain.permissions().mode() & 0o666);
        }
    }
    let text = place.run(&["models", "import", &golden("upscalers/rrdb_x4.pth"), "--to", "else/where"]).ok();
    assert!(text.trim_end().ends_with("rrdb_x4.pth") && place.path("else/where/rrdb_x4.pth").is_file());
}

#[test]
fn nothing_is_overwritten() {
    let place = Place::new();
    let source = golden("upscalers/rrdb_x4.pth");
    std::fs::create_dir_all(place.path("data/models/ESRGAN")).unwrap();
    std::fs::write(place.path("data/models/ESRGAN/rrdb_x4.pth"), "mine").unwrap();
    let (error, help) = place.run(&["models", "import", &source]).error(1);
    assert!(error.ends_with("rrdb_x4.pth is there already") && help.contains("--to"), "{error} {help}");
    assert_eq!(std::fs::read(place.path("data/models/ESRGAN/rrdb_x4.pth")).unwrap(), b"mine");
    assert_eq!(names(&place.path("data/models/ESRGAN")), ["rrdb_x4.pth"]);
}

#[test]
fn a_pair_becomes_one_file_and_so_does_each_of_a_folder() {
    let place = Place::new();
    ncnn(&place, "one", "BinaryOp");
    ncnn(&place, "two", "BinaryOp");
    // A copy of a network with a resize behind it.
    ncnn(&place, "half", "Interp");
    let folder = place.path("data/models/ESRGAN");
    let text = place.run(&["models", "import", "pairs/one.bin"]).ok();
    assert!(text.contains("one.bin: an upscaler, 1x, compact network of 2 layers"), "{text}");
    assert_eq!(names(&folder), ["one.safetensors"]);
    let run = place.run(&["models", "import", "pairs"]);
    assert!(
        run.stderr.contains("left out: half.param is a network for ncnn with a resize at its end"),
        "{run:?}"
    );
    assert!(run.stderr.contains("one.safetensors is there already"), "{run:?}");
    assert!(run.ok().starts_with("two.param: an upscaler"));
    assert_eq!(names(&folder), ["one.safetensors", "two.safetensors"]);
    let run = place.run(&["models", "import", "pairs"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("nothing of pairs was imported; it has 3 ncnn networks"), "{run:?}");
}

#[test]
fn what_cannot_be_used_is_refused() {
    let place = Place::new();
    std::fs::write(place.path("page.pth"), "<!doctype html>").unwrap();
    std::fs::write(place.path("alone.param"), "7767517\n0 0\n").unwrap();
    for (source, wanted) in [
        ("missing.pth", "cannot read missing.pth"),
        ("page.pth", "page.pth is an HTML page"),
        ("alone.param", "cannot read alone.bin"),
        (&golden("unet.safetensors"), "of no known kind of model"),
        (&golden("checkpoints/zip.ckpt"), "of no known kind of model"),
    ] {
        let run = place.run(&["models", "import", source]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains(wanted), "{run:?}");
    }
    assert!(!place.path("data/models/ESRGAN").exists());
    place.run(&["models", "import"]).error(2);
}
