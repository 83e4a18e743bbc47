//! The same seed gives the same pixels, whatever else the engine is doing.

use crate::setup::{PLAIN, engine, finish, folder, request};
use impasto_domain::{Decoding, GenerationRequest, Precision, Shortcuts};
use impasto_engine::{Engine, SubmitOptions};

fn pixels(engine: &Engine, request: GenerationRequest) -> Vec<Vec<u8>> {
    let status = finish(engine.submit(request, PLAIN).unwrap());
    assert_eq!(status.error, None);
    status.images.iter().map(|image| image.picture.rgb.clone()).collect()
}

#[test]
fn a_picture_is_the_same_alone_and_in_a_batch() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |_| {});
    let batch = pixels(&engine, GenerationRequest { batch_size: 3, batch_count: 2, ..request() });
    assert_eq!(batch.len(), 6);
    for index in [0, 2, 5] {
        let alone = pixels(&engine, GenerationRequest { seed: Some(7 + index), ..request() });
        assert_eq!(alone[0], batch[index as usize], "image {index}");
    }
    assert_ne!(batch[0], batch[1]);
}

#[test]
fn a_picture_made_with_shortcuts_is_the_same_alone_and_in_a_batch() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |_| {});
    let exact = GenerationRequest { steps: 5, batch_size: 3, ..request() };
    let plain = pixels(&engine, exact.clone());
    let all = Shortcuts {
        skip_early_cond: 0.1,
        skip_late_cond: 0.2,
        deepcache_interval: 2,
        ..Shortcuts::default()
    };
    for shortcuts in [
        Shortcuts { skip_early_cond: 0.1, ..Shortcuts::default() },
        Shortcuts { deepcache_interval: 2, ..Shortcuts::default() },
        Shortcuts { deepcache_interval: 5, deepcache_depth: 3, ..Shortcuts::default() },
        Shortcuts { token_merging_ratio: 0.5, ..Shortcuts::default() },
        Shortcuts { token_merging_ratio: 0.5, ..all },
    ] {
        let batch = pixels(&engine, GenerationRequest { shortcuts, ..exact.clone() });
        let seed = Some(9);
        let alone = pixels(&engine, GenerationRequest { shortcuts, seed, batch_size: 1, ..exact.clone() });
        assert_eq!(alone[0], batch[2], "{shortcuts:?}");
        assert_ne!(plain[2], batch[2], "{shortcuts:?}");
    }
}

/// More contexts than are kept prepared, and rows of different depth.
#[test]
fn a_picture_of_a_prompt_with_parts_that_change_is_the_same_alone_and_in_a_batch() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |_| {});
    let part = |number: u32| format!("{number} [cat|(dog:1.5)] BREAK a [mat:{number}:2]");
    let prompt = (0..12).map(part).collect::<Vec<_>>().join(" AND ");
    let cached = Shortcuts { deepcache_interval: 2, ..Shortcuts::default() };
    for shortcuts in [Shortcuts::default(), cached] {
        let edited = GenerationRequest { prompt: prompt.clone(), shortcuts, steps: 4, ..request() };
        let batch = pixels(&engine, GenerationRequest { batch_size: 3, ..edited.clone() });
        let alone = pixels(&engine, GenerationRequest { seed: Some(9), ..edited.clone() });
        assert!(alone[0] == batch[2], "{shortcuts:?}");
        let plain = GenerationRequest { prompt: "0 cat BREAK a mat".into(), seed: Some(9), ..edited };
        assert!(alone != pixels(&engine, plain), "{shortcuts:?}");
    }
}

#[test]
fn prompts_that_no_picture_can_be_made_of_are_refused_at_once() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |_| {});
    let items: Vec<String> = (0..300).map(|item| item.to_string()).collect();
    let endless = GenerationRequest { prompt: format!("[{}]", items.join("|")), steps: 300, ..request() };
    assert_eq!(
        engine.submit(endless, PLAIN).unwrap_err().to_string(),
        "prompt of 257 chunks is out of range: allowed are 1 to 256, of 75 tokens each"
    );
}

#[test]
fn a_request_may_ask_for_another_precision_than_the_engines() {
    let folder = folder(&["tiny.safetensors"]);
    for usual in [Precision::F32, Precision::Int8] {
        let engine = engine(&folder, |config| config.precision = usual);
        for asked in [None, Some(Precision::F32), Some(Precision::Int8)] {
            let status =
                finish(engine.submit(GenerationRequest { precision: asked, ..request() }, PLAIN).unwrap());
            let infotext = &status.images[0].infotext;
            let narrow = asked.unwrap_or(usual) == Precision::Int8;
            assert_eq!(infotext.contains(", Precision: int8, Version: "), narrow, "{infotext}");
            assert!(narrow || !infotext.contains("Precision"), "{infotext}");
        }
        // The same file, held in both ways.
        assert_eq!(engine.stats().resident_models, 2);
    }
}

#[test]
fn a_picture_is_the_same_beside_other_jobs() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |_| {});
    let alone = pixels(&engine, request());
    let other =
        GenerationRequest { prompt: "a much longer prompt, with a dog".into(), steps: 9, ..request() };
    let previews = SubmitOptions { previews: Some(Decoding::ApproxNn), ..PLAIN };
    let first = engine.submit(other.clone(), previews).unwrap();
    let middle = engine.submit(request(), previews).unwrap();
    let last = engine.submit(GenerationRequest { batch_size: 2, ..other }, PLAIN).unwrap();
    assert_eq!(finish(middle).images[0].picture.rgb, alone[0]);
    finish(first);
    finish(last);
}
