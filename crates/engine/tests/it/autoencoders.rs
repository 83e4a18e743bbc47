//! Autoencoders in the place of a checkpoint's own.

use crate::flows::source;
use crate::setup::{PLAIN, engine, finish, folder, request};
use impasto_domain::{GenerationRequest, VaeChoice};
use impasto_engine::{Engine, FileKind, JobState, JobStatus};
use std::path::Path;
use std::sync::Arc;

fn copy(folder: &tempfile::TempDir, golden: &str, to: &str) {
    let to = folder.path().join(to);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(golden);
    std::fs::copy(golden, to).unwrap();
}

fn make(engine: &Engine, vae: &str, change: impl FnOnce(&mut GenerationRequest)) -> Arc<JobStatus> {
    let vae = VaeChoice { name: vae.to_owned(), ..VaeChoice::default() };
    let mut request = GenerationRequest { vae, ..request() };
    change(&mut request);
    let status = finish(engine.submit(request, PLAIN).unwrap());
    assert_eq!(status.state, JobState::Done, "{:?}", status.error);
    status
}

#[test]
fn pictures_are_made_with_the_autoencoder_that_is_asked_for() {
    let folder = folder(&["tiny.safetensors"]);
    copy(&folder, "vae/diffusers.safetensors", "models/VAE/sharp.safetensors");
    copy(&folder, "vae/ldm.pt", "models/VAE/same.pt");
    copy(&folder, "adapters/lora.safetensors", "models/VAE/odd.safetensors");
    let engine = engine(&folder, |config| config.data_dir = Some(folder.path().to_owned()));
    let own = make(&engine, "None", |_| {});
    let sharp = make(&engine, "sharp.safetensors", |_| {});
    assert_ne!(own.images[0].picture, sharp.images[0].picture);
    assert_eq!(make(&engine, "same.pt", |_| {}).images[0].picture, sharp.images[0].picture);
    assert_eq!(make(&engine, "Automatic", |_| {}).images[0].picture, own.images[0].picture);
    let vae = sharp.vae.as_ref().unwrap();
    let told = format!("VAE hash: {}, VAE: sharp.safetensors", vae.hash.as_ref().unwrap());
    assert!(sharp.images[0].infotext.contains(&told), "{}", sharp.images[0].infotext);
    assert!(own.vae.is_none() && !own.images[0].infotext.contains("VAE"));

    let begun = |vae: &str| {
        make(&engine, vae, |request| request.from_picture = Some(source())).images[0].picture.clone()
    };
    assert_ne!(begun("None"), begun("same.pt"));
    assert_eq!(begun("sharp.safetensors"), begun("same.pt"));

    for (name, comment) in [
        ("gone.pt", "VAE not found: gone.pt; the checkpoint's own autoencoder is used"),
        (
            "odd.safetensors",
            "VAE odd.safetensors is left out: odd.safetensors is no autoencoder for this checkpoint",
        ),
    ] {
        let status = make(&engine, name, |_| {});
        assert!(status.comments[0].starts_with(comment), "{:?}", status.comments);
        assert_eq!(status.images[0].picture, own.images[0].picture);
    }
}

#[test]
fn a_file_of_the_checkpoints_name_belongs_to_it() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |config| config.data_dir = Some(folder.path().to_owned()));
    let own = make(&engine, "Automatic", |_| {});
    copy(&folder, "vae/ldm.pt", "models/VAE/tiny.vae.pt");
    engine.library().refresh(FileKind::Vae);
    let beside = make(&engine, "Automatic", |_| {});
    assert_eq!(beside.vae.as_ref().unwrap().name, "tiny.vae.pt");
    assert_ne!(beside.images[0].picture, own.images[0].picture);
    assert_eq!(make(&engine, "None", |_| {}).images[0].picture, own.images[0].picture);
}
