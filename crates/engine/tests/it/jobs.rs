//! The life of jobs: accepted, in turns, stopped, failed, shut down.

use crate::setup::{PLAIN, engine, finish, folder, request, wait};
use impasto_domain::{Decoding, GenerationRequest};
use impasto_engine::{EngineError, JobState, Stop, SubmitOptions};
use std::time::Duration;

fn long() -> GenerationRequest {
    GenerationRequest { steps: 900, ..request() }
}

#[test]
fn a_job_ends_with_its_pictures_and_their_settings() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |_| {});
    let mut watcher = engine.submit(GenerationRequest { batch_size: 2, ..request() }, PLAIN).unwrap();
    let id = watcher.id();
    let accepted = watcher.status();
    assert_eq!(accepted.request.model.as_deref(), Some("tiny.safetensors"));
    let status = finish(watcher);
    assert_eq!((status.state, status.progress, status.step), (JobState::Done, 1.0, 3));
    assert_eq!(status.images.len(), 2);
    let second = &status.images[1];
    assert_eq!((second.index, second.seed), (1, 8));
    assert_eq!((second.picture.width, second.picture.height), (32, 32));
    let hash = status.model.as_ref().unwrap().short_hash().unwrap().to_owned();
    let wanted = format!("Seed: 8, Size: 32x32, Model hash: {hash}, Model: tiny,");
    assert!(second.infotext.contains(&wanted), "{}", second.infotext);
    // A finished job can be looked at again.
    assert_eq!(engine.watch(id).unwrap().status().images.len(), 2);
    assert_eq!(engine.stats().images_total, 2);
    assert_eq!(engine.stats().steps_total, 6);
}

#[test]
fn two_jobs_advance_in_turns() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |_| {});
    let mut first = engine.submit(long(), PLAIN).unwrap();
    let second = engine.submit(request(), PLAIN).unwrap();
    assert_eq!(finish(second).state, JobState::Done);
    let status = first.status();
    assert_eq!(status.state, JobState::Running);
    assert!(status.step < 100, "the short job waited for {} steps of the long one", status.step);
    assert!(status.eta.is_some());
    engine.stop(first.id(), Stop::Cancel);
    let status = finish(first);
    assert_eq!((status.state, status.images.len()), (JobState::Cancelled, 0));
}

#[test]
fn interrupting_gives_what_there_is_and_skipping_goes_on() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |_| {});
    for (how, images) in [(Stop::Interrupt, 1), (Stop::Skip, 2)] {
        let request = GenerationRequest { steps: 60, batch_count: 2, ..request() };
        let mut watcher = engine.submit(request, PLAIN).unwrap();
        while wait(watcher.changed()).step == 0 {}
        assert!(engine.stop(watcher.id(), how));
        let status = finish(watcher);
        assert_eq!((status.state, status.images.len()), (JobState::Done, images), "{how:?}");
        assert!(status.interrupted);
        assert!((1..60).contains(&status.step), "step {}", status.step);
    }
}

#[test]
fn a_job_that_nobody_watches_is_cancelled() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |_| {});
    let options = SubmitOptions { cancel_when_unwatched: true, previews: None };
    let watcher = engine.submit(long(), options).unwrap();
    let id = watcher.id();
    drop(watcher);
    // The next job comes to its end long before 900 steps would have been made.
    finish(engine.submit(request(), PLAIN).unwrap());
    assert_eq!(engine.watch(id).unwrap().status().state, JobState::Cancelled);
}

#[test]
fn previews_come_only_when_asked_for() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |_| {});
    let options = SubmitOptions { cancel_when_unwatched: false, previews: Some(Decoding::ApproxNn) };
    let status = finish(engine.submit(request(), options).unwrap());
    let preview = status.preview.as_ref().unwrap();
    assert_eq!((preview.width, preview.height), (32, 32));
    assert!(status.preview_number > 0);
    let status = finish(engine.submit(request(), PLAIN).unwrap());
    assert!(status.preview.is_none());
}

#[test]
fn nonsense_is_refused_before_it_is_accepted() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |config| config.queue_limit = 1);
    let refuse = |request| engine.submit(request, PLAIN).unwrap_err().to_string();
    assert_eq!(
        refuse(GenerationRequest { width: Some(0), ..request() }),
        "width 0 is out of range: allowed are 8 to 2048"
    );
    assert!(
        refuse(GenerationRequest { model: Some("none".into()), ..request() }).contains("\"none\" not found")
    );
    assert_eq!(
        refuse(GenerationRequest { clip_skip: 12, ..request() }),
        "clip_skip 12 is out of range: this model's text encoder has 3 layers"
    );
    let running = engine.submit(long(), PLAIN).unwrap();
    let mut refused = false;
    for _ in 0..8 {
        match engine.submit(long(), PLAIN) {
            Ok(_) => {}
            Err(EngineError::QueueFull { limit: 1 }) => refused = true,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused);
    drop(running);
    engine.shutdown(Duration::ZERO);
    assert!(!engine.is_alive());
    assert!(matches!(engine.submit(request(), PLAIN), Err(EngineError::Stopped)));
    let ends: Vec<_> = engine.jobs().iter().map(|job| (job.state, job.error.clone())).collect();
    assert!(ends.iter().all(|(state, _)| *state == JobState::Cancelled), "{ends:?}");
}

#[test]
fn a_foreign_file_is_named_and_stops_nothing() {
    let folder = folder(&["good.safetensors"]);
    std::fs::write(folder.path().join("models/bad.safetensors"), "<html>not found</html>").unwrap();
    let engine = engine(&folder, |_| {});
    let error =
        engine.submit(GenerationRequest { model: Some("bad".into()), ..request() }, PLAIN).unwrap_err();
    assert!(matches!(error, EngineError::BadModel { .. }), "{error}");
    assert!(engine.find_model("bad").unwrap().problem.is_some());
    // Without a name, the first model that can be read is used.
    let status = finish(engine.submit(request(), PLAIN).unwrap());
    assert_eq!(status.request.model.as_deref(), Some("good.safetensors"));
}

#[test]
fn models_beyond_the_byte_limit_take_each_others_place() {
    let folder = folder(&["a.safetensors", "b.safetensors"]);
    let engine = engine(&folder, |config| config.model_bytes = 1);
    let of = |name: &str| GenerationRequest { model: Some(name.into()), ..request() };
    let jobs: Vec<_> = ["a", "b", "a"].iter().map(|name| engine.submit(of(name), PLAIN).unwrap()).collect();
    for job in jobs {
        assert_eq!(finish(job).error, None);
    }
    assert_eq!(engine.stats().resident_models, 1);
}

#[test]
fn models_that_fail_to_load_stop_nobody_else() {
    let folder = folder(&["good.safetensors", "first.safetensors", "second.safetensors"]);
    let engine = engine(&folder, |_| {});
    let of = |name: &str| GenerationRequest { model: Some(name.into()), ..request() };
    // Looked at while they were whole, so that they are accepted; then cut.
    for name in ["first", "second"] {
        engine.inspect_model(&engine.find_model(name).unwrap()).unwrap();
        let path = folder.path().join("models").join(name).with_extension("safetensors");
        std::fs::File::options().write(true).open(path).unwrap().set_len(100_000).unwrap();
    }
    let good = engine.submit(GenerationRequest { steps: 900, ..of("good") }, PLAIN).unwrap();
    let cut: Vec<_> =
        ["first", "second", "first"].iter().map(|name| engine.submit(of(name), PLAIN).unwrap()).collect();
    for watcher in cut {
        let status = finish(watcher);
        assert_eq!(status.state, JobState::Failed);
        let error = status.error.as_deref().unwrap();
        assert!(error.contains("truncated"), "{error}");
    }
    assert_eq!(engine.watch(good.id()).unwrap().status().state, JobState::Running);
    engine.stop(good.id(), Stop::Cancel);
}

#[test]
fn a_large_batch_is_heard_between_its_calls() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |_| {});
    let request =
        GenerationRequest { width: Some(128), height: Some(128), batch_size: 200, steps: 1, ..request() };
    let mut watcher = engine.submit(request, PLAIN).unwrap();
    while wait(watcher.changed()).state == JobState::Queued {}
    assert!(engine.stop(watcher.id(), Stop::Cancel));
    assert_eq!(finish(watcher).state, JobState::Cancelled);
    // 64 pictures of this size share a call; the rest was never begun.
    assert!(engine.stats().steps_total < 200, "{} steps", engine.stats().steps_total);
}
