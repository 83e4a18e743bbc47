//! Upscalers by file, on pictures: tiles, progress, cancelling, and what is kept in memory.

use impasto_engine::{EngineError, Upscalers};
use impasto_imaging::{Filter, Rgb};
use impasto_models::Upscaler;
use impasto_tensor::reference::ReferenceBackend;
use impasto_tensor::{Array, Backend as _};
use impasto_weights::Checkpoint;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/upscalers").join(name)
}

fn upscalers(limit: u64) -> (Arc<ReferenceBackend>, Upscalers<ReferenceBackend>) {
    let backend = Arc::new(ReferenceBackend::new());
    (backend.clone(), Upscalers::new(backend, limit))
}

fn picture(width: u32, height: u32) -> Rgb {
    let samples = (0..width * height * 3).map(|i| (i * 37 % 251) as u8).collect();
    Rgb::new(width, height, samples).unwrap()
}

fn run(name: &str, picture: &Rgb, tile: u32, overlap: u32) -> Rgb {
    upscalers(1 << 20).1.run(&file(name), picture, tile, overlap, &mut |_, _| true).unwrap()
}

#[test]
fn a_whole_picture_is_what_the_network_makes_of_it() {
    let picture = picture(9, 7);
    let backend = Arc::new(ReferenceBackend::new());
    let network = Upscaler::load(backend, &Checkpoint::open(&file("rrdb_x4.pth")).unwrap()).unwrap();
    let given = picture.samples().iter().map(|&sample| f32::from(sample) / 255.0).collect();
    let made = network.forward(&Array::new([1, 7, 9, 3], given).unwrap()).unwrap();
    let wanted: Vec<u8> =
        made.data().iter().map(|x| (x.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8).collect();
    for tile in [0, 9, 192] {
        let found = run("rrdb_x4.pth", &picture, tile, 8);
        assert_eq!((found.size(), found.samples()), ((36, 28), &wanted[..]), "{tile}");
    }
}

#[test]
fn every_network_makes_a_picture_of_its_scale() {
    for (name, scale) in [
        ("rrdb_x1.safetensors", 1),
        ("rrdb_x2.safetensors", 2),
        ("rrdb_x8.safetensors", 8),
        ("rrdb_gray_x2.safetensors", 2),
        ("compact_x1.safetensors", 1),
        ("compact_x2.safetensors", 2),
        ("compact_x4.safetensors", 4),
    ] {
        let found = run(name, &picture(11, 5), 4, 1);
        assert_eq!(found.size(), (11 * scale, 5 * scale), "{name}");
        assert_eq!(found, run(name, &picture(11, 5), 4, 1), "{name}");
    }
}

/// A network that sees a few pixels around each makes the same of a tile, but for its edge.
#[test]
fn tiles_that_overlap_enough_show_no_seams() {
    let picture = picture(40, 24);
    let whole = run("compact_x2.safetensors", &picture, 0, 0);
    let tiled = run("compact_x2.safetensors", &picture, 16, 8);
    let largest = |a: &Rgb| a.samples().iter().zip(whole.samples()).map(|(a, b)| a.abs_diff(*b)).max();
    let far = run("compact_x2.safetensors", &picture, 16, 0);
    assert!(largest(&tiled) < largest(&far), "{:?} {:?}", largest(&tiled), largest(&far));
    assert_ne!(whole, picture.resize(80, 48, Filter::Nearest).unwrap());
}

#[test]
fn progress_is_told_and_may_cancel() {
    let (_, upscalers) = upscalers(1 << 20);
    let mut told = Vec::new();
    let mut run = |cancel_at: usize| {
        told.clear();
        let outcome =
            upscalers.run(&file("compact_x2.safetensors"), &picture(8, 8), 4, 0, &mut |done, all| {
                told.push((done, all));
                done < cancel_at
            });
        (outcome, told.clone())
    };
    let (outcome, told) = run(9);
    assert!(outcome.is_ok());
    assert_eq!(told, [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]);
    let (outcome, told) = run(2);
    assert!(matches!(outcome, Err(EngineError::Cancelled)));
    assert_eq!(told, [(0, 4), (1, 4), (2, 4)]);
    assert!(matches!(run(0).0, Err(EngineError::Cancelled)));
}

#[test]
fn networks_are_kept_until_others_need_the_room_or_the_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str, from: &str| {
        let path = folder.path().join(name);
        std::fs::copy(file(from), &path).unwrap();
        path
    };
    let first = place("first.safetensors", "compact_x2.safetensors");
    let second = place("second.safetensors", "rrdb_x2.safetensors");
    let limit = std::fs::metadata(&second).unwrap().len() + 1;
    let (backend, upscalers) = upscalers(limit);
    let size = |path: &Path| {
        let made = upscalers.run(path, &picture(3, 3), 0, 0, &mut |_, _| true).unwrap();
        (made.width(), backend.weight_bytes())
    };
    let (width, small) = size(&first);
    assert_eq!((width, size(&first)), (6, (6, small)));
    let (_, large) = size(&second);
    assert!(large > small);
    // The first has gone, or else there would be more.
    assert_eq!(size(&first), (6, small));
    place("first.safetensors", "compact_x4.safetensors");
    assert_eq!(size(&first).0, 12);
}

#[test]
fn files_that_are_no_upscalers_are_refused_by_name() {
    let (_, upscalers) = upscalers(1 << 20);
    let refusal = |path: &Path| {
        let error = upscalers.run(path, &picture(3, 3), 0, 0, &mut |_, _| true).unwrap_err();
        assert!(matches!(error, EngineError::BadModel { .. }), "{error:?}");
        error.to_string()
    };
    let tiny = crate::setup::tiny_checkpoint();
    assert!(refusal(&tiny).contains("model \"tiny.safetensors\" cannot be used"));
    assert!(refusal(&file("none.pth")).contains("none.pth"));
}
