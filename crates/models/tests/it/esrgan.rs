//! Upscalers against PyTorch, and rows of a batch against themselves alone.

use impasto_models::{ModelError, Upscaler};
use impasto_tensor::{Array, Backend};
use impasto_testkit::{assert_close, golden, goldens_folder};
use impasto_weights::Checkpoint;
use std::sync::Arc;

on_each_backend!(every_network_and_scale, rows_do_not_depend_on_each_other, refuses_what_does_not_fit);

/// Largest relative distance from PyTorch's in single precision.
const TOLERANCE: f64 = 1e-5;

fn checkpoint(file: &str) -> Checkpoint {
    Checkpoint::open(&goldens_folder().join("upscalers").join(file)).unwrap()
}

fn upscaler<B: Backend>(backend: Arc<B>, file: &str) -> Upscaler<B> {
    Upscaler::load(backend, &checkpoint(file)).unwrap()
}

fn pictures(name: &str) -> Array {
    golden("esrgan").array(name).to_channels_last().unwrap()
}

fn every_network_and_scale<B: Backend>(backend: Arc<B>) {
    let files = std::fs::read_dir(goldens_folder().join("upscalers")).unwrap();
    let files: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files.len(), 8, "{files:?}");
    let load = move |file: &str| upscaler(backend.clone(), file);
    for file in files {
        let (name, _) = file.split_once('.').unwrap();
        let made = load(&file).forward(&pictures(&format!("{name}.picture"))).unwrap();
        assert_close(name, &made, &pictures(&format!("{name}.made")), TOLERANCE);
    }
}

fn rows_do_not_depend_on_each_other<B: Backend>(backend: Arc<B>) {
    let load = move |file: &str| upscaler(backend.clone(), file);
    for file in ["rrdb_x2.safetensors", "compact_x4.safetensors"] {
        let model = load(file);
        let pictures = pictures(&file.replace("safetensors", "picture"));
        let together = model.forward(&pictures).unwrap().unstack();
        let alone = model.forward(&Array::stack(&[&pictures.unstack()[1]]).unwrap()).unwrap();
        assert_eq!(alone.unstack(), together[1..], "{file}");
    }
}

fn refuses_what_does_not_fit<B: Backend>(backend: Arc<B>) {
    let model = upscaler(backend.clone(), "rrdb_x4.pth");
    for shape in [&[1, 8, 8, 1][..], &[1, 0, 8, 3], &[0, 8, 8, 3], &[8, 8, 3]] {
        let made = model.forward(&Array::zeros(shape));
        assert!(matches!(made, Err(ModelError::Input(_))), "{shape:?}");
    }
    let path = goldens_folder().join("tiny.safetensors");
    let error = Upscaler::load(backend, &Checkpoint::open(&path).unwrap()).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("is a Stable Diffusion 1.x checkpoint, which is not supported as an upscaler")
    );
}
