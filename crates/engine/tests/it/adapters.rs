//! Adapters that prompts ask for.

use crate::setup::{PLAIN, engine, finish, folder, request};
use impasto_domain::{DefaultNetworks, GenerationRequest, PromptRules};
use impasto_engine::{EmbeddingInfo, Engine, FileKind, JobState, JobStatus, Library, PromptSide};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    let hypernetworks = folder.path().join("models/hypernetworks");
    std::fs::create_dir(&hypernetworks).unwrap();
    for kind in ["deep", "norm"] {
        let golden = format!("../../goldens/hypernetworks/{kind}.pt");
        std::fs::copy(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(golden),
            hypernetworks.join(format!("{kind}.pt")),
        )
        .unwrap();
    }
    std::fs::copy(loras.join("lora.safetensors"), hypernetworks.join("odd.safetensors")).unwrap();
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
    for nothing in ["<lora:lora:0>", "<hypernet:deep:0>", "<hypernet:odd>"] {
        assert_eq!(pixels(&format!("a cat{nothing}")), plain, "{nothing}");
    }
    let different = [
        "<lora:lora>",
        "<lora:lora:0.5>",
        "<lora:lora:0:1>",
        "<lora:lora:1:0>",
        "<lora:loha>",
        "<hypernet:deep>",
        "<hypernet:deep:0.5>",
        "<hypernet:norm>",
        "<hypernet:norm><hypernet:deep:-1>",
        "<lora:lora><hypernet:deep>",
    ];
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
    let prompts =
        ["a cat<lora:lora>", "a cat<lora:loha>", "a cat", "a cat<hypernet:deep>", "a cat<hypernet:norm>"];
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
    let [problem, broken, missing, hypernetwork] = &status.comments[..] else {
        panic!("{:?}", status.comments)
    };
    assert_eq!(problem, "<lora:lora:bad> is left out: the strength \"bad\" is not a number");
    assert!(broken.starts_with("Lora broken is left out: broken.safetensors is"), "{broken}");
    assert_eq!(hypernetwork, "Hypernetwork not found: h");
    assert_eq!(missing, "Lora not found: x, y");
    let infotext = &status.images[0].infotext;
    let hashes = infotext.split("Lora hashes: \"lora: ").nth(1).and_then(|rest| rest.split_once('"'));
    let (hash, _) = hashes.unwrap_or_else(|| panic!("{infotext}"));
    assert!(hash.len() == 12 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()), "{infotext}");
    assert!(!make(&engine, "a cat").images[0].infotext.contains("Lora hashes"));
}

/// Tensors as a safetensors file has them.
fn safetensors(name: &str, shape: &[usize], elements: &[f32]) -> Vec<u8> {
    let data: Vec<u8> = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
    let header =
        format!(r#"{{"{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[0,{}]}}}}"#, data.len());
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

#[test]
fn embeddings_are_words_of_prompts() {
    let folder = data_root();
    let place = folder.path().join("embeddings");
    std::fs::create_dir(&place).unwrap();
    let elements: Vec<f32> = (0..96).map(|at| (at as f32).sin() / 2.0).collect();
    std::fs::write(place.join("mystyle.safetensors"), safetensors("emb_params", &[3, 32], &elements))
        .unwrap();
    std::fs::write(place.join("other.safetensors"), safetensors("emb_params", &[2, 48], &elements)).unwrap();
    std::fs::write(place.join("broken.pt"), b"nothing").unwrap();
    let hidden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/hidden_embedding.png");
    std::fs::copy(hidden, place.join("hidden.png")).unwrap();
    let engine = engine(&folder, |config| config.data_dir = Some(folder.path().to_owned()));
    let list = engine.embeddings().unwrap();
    let told = |info: &EmbeddingInfo| (info.name.clone(), info.width, info.vectors);
    assert_eq!(
        list.loaded.iter().map(told).collect::<Vec<_>>(),
        [("hidden".to_owned(), 32, 2), ("mystyle".to_owned(), 32, 3)]
    );
    assert_eq!((list.loaded[0].training.step, list.loaded[1].training.step), (Some(7), None));
    assert_eq!(list.skipped.iter().map(told).collect::<Vec<_>>(), [("other".to_owned(), 48, 2)]);

    let count =
        |prompt| engine.count_tokens(prompt, PromptSide::Positive, 20, PromptRules::default()).unwrap();
    assert_eq!(count("mystyle").count, 3);
    assert_ne!(make(&engine, "a cat hidden").images[0].picture, make(&engine, "a cat").images[0].picture);
    let styled = make(&engine, "a cat mystyle");
    let infotext = &styled.images[0].infotext;
    let hash = infotext.split("TI hashes: \"mystyle: ").nth(1).and_then(|rest| rest.split_once('"'));
    assert!(hash.is_some_and(|(hash, _)| hash.len() == 12), "{infotext}");
    std::fs::remove_file(place.join("mystyle.safetensors")).unwrap();
    engine.library().refresh(FileKind::Embedding);
    let plain = make(&engine, "a cat mystyle");
    assert_ne!(styled.images[0].picture, plain.images[0].picture);
    assert!(!plain.images[0].infotext.contains("TI hashes"));
}

#[test]
fn networks_of_the_options_are_in_every_prompt_that_does_not_name_them() {
    let folder = data_root();
    let engine = engine(&folder, |config| config.data_dir = Some(folder.path().to_owned()));
    let asked = |prompt: &str, lora: &str, hypernetwork: &str| {
        let networks = DefaultNetworks {
            lora: Some(lora.to_owned()),
            hypernetwork: Some(hypernetwork.to_owned()),
            multiplier: 0.5,
        };
        let request = GenerationRequest { prompt: prompt.into(), networks, ..request() };
        finish(engine.submit(request, PLAIN).unwrap())
    };
    let (by_options, by_tags) =
        (asked("a cat", "lora", "deep"), make(&engine, "a cat<hypernet:deep:0.5><lora:lora:0.5>"));
    assert_eq!(by_options.images[0].picture, by_tags.images[0].picture);
    assert_eq!(by_options.images[0].infotext, by_tags.images[0].infotext);
    let named = asked("a cat<lora:lora:1>", "lora", "gone");
    assert_eq!(named.images[0].picture, make(&engine, "a cat<lora:lora:1>").images[0].picture);
    assert_eq!(*named.comments, ["Hypernetwork not found: gone"]);
}

#[test]
fn thousands_of_files_are_listed_at_once() {
    const FILES: usize = 5000;
    let folder = data_root();
    let loras = folder.path().join("models/Lora/many");
    std::fs::create_dir(&loras).unwrap();
    for number in 0..FILES {
        let file = safetensors(&format!("lora_{number}"), &[1], &[0.0]);
        std::fs::write(loras.join(format!("{number:04}.safetensors")), file).unwrap();
    }
    let library = Library::new(Some(folder.path().to_owned()), None);
    let timed = |what: &str, list: &dyn Fn() -> usize| {
        let begun = Instant::now();
        assert_eq!(list(), FILES + 3, "{what}");
        let took = begun.elapsed();
        eprintln!("{what}: {took:?}");
        took
    };
    timed("first", &|| library.files(FileKind::Lora).len());
    let again = timed("again", &|| library.files(FileKind::Lora).len());
    let refreshed = timed("refreshed", &|| library.refresh(FileKind::Lora).len());
    // Loose bounds: machines are busy. Listing again takes next to nothing, and refreshing reads no file.
    assert!(
        again < Duration::from_millis(100) && refreshed < Duration::from_secs(3),
        "{again:?} {refreshed:?}"
    );
}
