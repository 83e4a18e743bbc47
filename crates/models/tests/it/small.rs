//! Small decoders and encoders against PyTorch and diffusers (`reference/make_small.py`).

use impasto_models::{ApproximateDecoder, Edges, TinyDecoder, TinyEncoder};
use impasto_tensor::{Array, Backend};
use impasto_testkit::{assert_close, golden, goldens_folder};
use impasto_weights::Checkpoint;
use std::sync::Arc;

on_each_backend!(they_are_pytorchs, what_does_not_fit_is_refused);

/// Largest relative distance from PyTorch's in single precision.
const TOLERANCE: f64 = 1e-5;

fn open(name: &str) -> Checkpoint {
    Checkpoint::open(&goldens_folder().join("small").join(name)).unwrap()
}

fn they_are_pytorchs<B: Backend>(backend: Arc<B>) {
    let golden = golden("small");
    let latent = golden.array("latent");
    let tiny = TinyDecoder::load(backend.clone(), &open("taesd_decoder.pth")).unwrap();
    assert_close("decoder", &tiny.decode(&latent, Edges::Ends).unwrap(), &golden.array("decoded"), TOLERANCE);
    assert_ne!(tiny.decode(&latent, Edges::GoOn).unwrap(), golden.array("decoded"));
    let encoder = TinyEncoder::load(backend.clone(), &open("taesd_encoder.pth"), 4).unwrap();
    let encoded = encoder.encode(&golden.array("picture"), Edges::Ends).unwrap();
    assert_close("encoder", &encoded, &golden.array("encoded"), TOLERANCE);
    let approximate = ApproximateDecoder::load(backend, &open("model.pt")).unwrap();
    let approximated = approximate.decode(&latent).unwrap();
    assert_close("approximate", &approximated, &golden.array("approximated"), TOLERANCE);
}

fn what_does_not_fit_is_refused<B: Backend>(backend: Arc<B>) {
    let decoder = TinyDecoder::load(backend.clone(), &open("taesd_decoder.pth")).unwrap();
    assert!(decoder.decode(&Array::zeros([1, 3, 4, 4]), Edges::Ends).is_err());
    let encoder = TinyEncoder::load(backend.clone(), &open("taesd_encoder.pth"), 4).unwrap();
    assert!(encoder.encode(&Array::zeros([1, 3, 12, 8]), Edges::Ends).is_err(), "not a multiple of 8");
    assert!(TinyEncoder::load(backend.clone(), &open("taesd_encoder.pth"), 16).is_err());
    assert!(TinyDecoder::load(backend.clone(), &open("taesd_encoder.pth")).is_err());
    assert!(ApproximateDecoder::load(backend.clone(), &open("taesd_decoder.pth")).is_err());
    assert!(TinyDecoder::load(backend, &open("model.pt")).is_err());
}
