//! The same seed gives the same pixels, whatever else the engine is doing.

use crate::setup::{PLAIN, engine, finish, folder, request};
use impasto_domain::GenerationRequest;
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
fn a_picture_is_the_same_beside_other_jobs() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |_| {});
    let alone = pixels(&engine, request());
    let other =
        GenerationRequest { prompt: "a much longer prompt, with a dog".into(), steps: 9, ..request() };
    let previews = SubmitOptions { previews: true, ..PLAIN };
    let first = engine.submit(other.clone(), previews).unwrap();
    let middle = engine.submit(request(), previews).unwrap();
    let last = engine.submit(GenerationRequest { batch_size: 2, ..other }, PLAIN).unwrap();
    assert_eq!(finish(middle).images[0].picture.rgb, alone[0]);
    finish(first);
    finish(last);
}
