//! Autoencoders in the place of a checkpoint's own.

use crate::flows::source;
use crate::setup::{PLAIN, engine, finish, folder, request, wait};
use impasto_domain::{Decoding, GenerationRequest, VaeChoice};
use impasto_engine::{Engine, FileKind, JobState, JobStatus, Picture, SubmitOptions};
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

#[test]
fn small_networks_take_the_autoencoders_place_where_they_are() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |config| config.data_dir = Some(folder.path().to_owned()));
    let tiny = |request: &mut GenerationRequest| {
        request.vae.decode = Decoding::Taesd;
        request.vae.encode = Decoding::Taesd;
        request.from_picture = Some(source());
    };
    let begun = |request: &mut GenerationRequest| request.from_picture = Some(source());
    let (full, without) = (make(&engine, "None", begun), make(&engine, "None", tiny));
    assert_eq!(full.images[0].picture, without.images[0].picture);
    let missing = |place: &str| {
        format!("TAESD is left out: models/VAE-taesd/{place} is not there; the autoencoder is used")
    };
    assert_eq!(*without.comments, [missing("taesd_decoder.pth"), missing("taesd_encoder.pth")]);
    assert!(!without.images[0].infotext.contains("TAESD"));

    copy(&folder, "small/taesd_encoder.pth", "models/VAE-taesd/taesd_encoder.pth");
    let encoded = make(&engine, "None", tiny);
    copy(&folder, "small/taesd_decoder.pth", "models/VAE-taesd/taesd_decoder.pth");
    let both = make(&engine, "None", tiny);
    let infotext = &both.images[0].infotext;
    assert!(infotext.contains("VAE Encoder: TAESD") && infotext.contains("VAE Decoder: TAESD"), "{infotext}");
    assert!(both.comments.is_empty());
    let pictures = [&full, &encoded, &both].map(|status| status.images[0].picture.clone());
    assert!(pictures[0] != pictures[1] && pictures[1] != pictures[2] && pictures[0] != pictures[2]);
    assert_eq!((pictures[2].width, pictures[2].height), (32, 32));
    std::fs::write(folder.path().join("models/VAE-taesd/taesd_decoder.pth"), b"broken").unwrap();
    let broken = make(&engine, "None", tiny);
    assert_eq!(broken.images[0].picture, pictures[1]);
    assert!(
        broken.comments[0].starts_with("TAESD is left out: taesd_decoder.pth is"),
        "{:?}",
        broken.comments
    );
}

/// The first preview of a job, made in a way.
fn preview(engine: &Engine, how: Decoding) -> Arc<Picture> {
    let options = SubmitOptions { previews: Some(how), ..PLAIN };
    let mut watcher = engine.submit(request(), options).unwrap();
    wait(async {
        loop {
            let status = watcher.changed().await;
            assert!(!status.state.is_final() || status.preview.is_some(), "no preview by {how:?}");
            if let Some(picture) = &status.preview {
                return picture.clone();
            }
        }
    })
}

#[test]
fn previews_are_made_in_the_way_that_is_asked_for() {
    let folder = folder(&["tiny.safetensors"]);
    let engine = engine(&folder, |config| config.data_dir = Some(folder.path().to_owned()));
    let (full, cheap) = (preview(&engine, Decoding::Full), preview(&engine, Decoding::ApproxCheap));
    assert_ne!(full, cheap);
    // Small pictures are decoded in no time.
    assert_eq!(preview(&engine, Decoding::ApproxNn), full);
    copy(&folder, "small/taesd_decoder.pth", "models/VAE-taesd/taesd_decoder.pth");
    copy(&folder, "small/model.pt", "models/VAE-approx/model.pt");
    let (tiny, network) = (preview(&engine, Decoding::Taesd), preview(&engine, Decoding::ApproxNn));
    assert!(tiny != full && network != full && tiny != network && network != cheap);
    for picture in [full, cheap, tiny, network] {
        assert_eq!((picture.width, picture.height), (32, 32));
    }
}
