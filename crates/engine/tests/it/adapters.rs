//! Adapters that prompts ask for.

use crate::setup::{PLAIN, engine, finish, folder, request};
use impasto_domain::GenerationRequest;
use impasto_engine::{Engine, JobState, JobStatus};
use std::path::Path;
use std::sync::Arc;

fn data_root() -> tempfile::TempDir {
    let folder = folder(&["tiny.safetensors"]);
    let loras = folder.path().join("models/Lora");
    std::fs::create_dir(&loras).unwrap();
    for kind in ["lora", "loha"] {
        let golden = format!("../../goldens/adapters/{kind}.safetensors");
        std::fs::copy(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(golden),
            loras.join(format!("{kind}.safetensors")),
        )
        .unwrap();
    }
    std::fs::write(loras.join("broken.safetensors"), b"no adapter").unwrap();
    folder
}

fn make(engine: &Engine, prompt: &str) -> Arc<JobStatus> {
    let status =
        finish(engine.submit(GenerationRequest { prompt: prompt.into(), ..request() }, PLAIN).unwrap());
    assert_eq!(status.state, JobState::Done, "{:?}", status.error);
    status
}

#[test]
fn pictures_change_with_their_adapters_and_with_nothing_else() {
    let folder = data_root();
    let engine = engine(&folder, |config| config.data_dir = Some(folder.path().to_owned()));
    let pixels = |prompt: &str| make(&engine, prompt).images[0].picture.clone();
    let plain = pixels("a cat");
    assert_eq!(pixels("a cat<lora:lora:0>"), plain);
    let different = ["<lora:lora>", "<lora:lora:0.5>", "<lora:lora:0:1>", "<lora:lora:1:0>", "<lora:loha>"];
    let changed = different.map(|tag| pixels(&format!("a cat{tag}")));
    for (at, picture) in changed.iter().enumerate() {
        assert_ne!(*picture, plain, "{}", different[at]);
        assert!(changed[..at].iter().all(|other| other != picture), "{}", different[at]);
    }
    assert_eq!(pixels("a cat"), plain);
    assert_eq!(pixels("a cat<lora:lora>"), changed[0]);
    assert_eq!(pixels("a cat<lora:lora:0.3><lora:lora:0.5>"), pixels("a cat<lora:lora:0.5><lora:lora:0.5>"));
}

#[test]
fn jobs_with_different_adapters_side_by_side_give_what_they_give_alone() {
    let folder = data_root();
    let engine = engine(&folder, |config| config.data_dir = Some(folder.path().to_owned()));
    let prompts = ["a cat<lora:lora>", "a cat<lora:loha>", "a cat"];
    let alone = prompts.map(|prompt| make(&engine, prompt).images[0].picture.clone());
    let submit = |prompt: &str| {
        engine.submit(GenerationRequest { prompt: prompt.into(), batch_size: 2, ..request() }, PLAIN).unwrap()
    };
    let together = prompts.map(submit).map(finish);
    for (status, alone) in together.iter().zip(alone) {
        assert_eq!(status.images[0].picture, alone);
    }
}

#[test]
fn what_is_missing_or_broken_is_told_and_the_picture_is_made() {
    let folder = data_root();
    let engine = engine(&folder, |config| config.data_dir = Some(folder.path().to_owned()));
    let status =
        make(&engine, "a cat<lora:x><lora:lora:0.5><lora:broken><lora:y><hypernet:h><lora:lora:bad>");
    let [problem, broken, hypernetwork, missing] = &status.comments[..] else {
        panic!("{:?}", status.comments)
    };
    assert_eq!(problem, "<lora:lora:bad> is left out: the strength \"bad\" is not a number");
    assert!(broken.starts_with("Lora broken is left out: broken.safetensors is"), "{broken}");
    assert!(hypernetwork.starts_with("hypernetwork h is left out"), "{hypernetwork}");
    assert_eq!(missing, "Lora not found: x, y");
    let infotext = &status.images[0].infotext;
    let hashes = infotext.split("Lora hashes: \"lora: ").nth(1).and_then(|rest| rest.split_once('"'));
    let (hash, _) = hashes.unwrap_or_else(|| panic!("{infotext}"));
    assert!(hash.len() == 12 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()), "{infotext}");
    assert!(!make(&engine, "a cat").images[0].infotext.contains("Lora hashes"));
}
