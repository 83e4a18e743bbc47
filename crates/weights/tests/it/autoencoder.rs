//! Autoencoders in files of their own.

use crate::files::{TestFile, safetensors, tiny_checkpoint};
use impasto_weights::{Checkpoint, VaeConfig};
use safetensors::tensor::Dtype;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(name)
}

fn tiny() -> VaeConfig {
    Checkpoint::open(&golden("tiny.safetensors")).unwrap().config().unwrap().vae
}

#[test]
fn every_spelling_has_the_same_tensors() {
    let open = |name: &str| Checkpoint::open_autoencoder(&golden(name)).unwrap();
    let (diffusers, original) = (open("vae/diffusers.safetensors"), open("vae/ldm.pt"));
    let config = diffusers.autoencoder(&tiny()).unwrap();
    assert_eq!((config.channels.as_slice(), config.res_blocks), (&[4, 4, 8, 8][..], 1));
    assert_eq!(original.autoencoder(&tiny()).unwrap(), config);
    assert_eq!(diffusers.names().collect::<Vec<_>>(), original.names().collect::<Vec<_>>());
    for name in diffusers.names() {
        let bytes = |file: &Checkpoint| file.tensor(name).unwrap().read().unwrap().bytes().to_vec();
        assert_eq!(bytes(&diffusers), bytes(&original), "{name}");
    }
}

#[test]
fn a_whole_checkpoint_gives_its_own() {
    let file = TestFile::new("m.safetensors", &safetensors(&tiny_checkpoint(), Dtype::F16, &[]));
    let own = Checkpoint::open(&file.path).unwrap();
    let own = own.networks().unwrap().vae;
    assert_eq!(Checkpoint::open_autoencoder(&file.path).unwrap().autoencoder(&own).unwrap(), own);
}

#[test]
fn what_does_not_fit_is_told() {
    let refusal = |name: &str, of: &VaeConfig| {
        let file = Checkpoint::open_autoencoder(&golden(name)).unwrap();
        file.autoencoder(of).unwrap_err().to_string()
    };
    let (own, name) = (tiny(), "vae/diffusers.safetensors");
    for (of, wanted) in [
        (
            VaeConfig { latent_channels: 16, ..own.clone() },
            "4 channels of a latent do not fit the checkpoint's 16",
        ),
        (
            VaeConfig { channels: vec![8; 3], ..own.clone() },
            "8 pixels along the edge of a latent's do not fit the checkpoint's 4",
        ),
        (
            VaeConfig { groups: 3, ..own.clone() },
            "4 features of the autoencoder cannot be split into 3 groups",
        ),
    ] {
        let told = refusal(name, &of);
        assert!(told.starts_with("diffusers.safetensors is no autoencoder for this checkpoint: "), "{told}");
        assert!(told.contains(wanted), "{told}");
    }
    let told = refusal("adapters/lora.safetensors", &own);
    assert!(told.ends_with("`first_stage_model.decoder.conv_out.weight` is missing"), "{told}");
    assert!(Checkpoint::open_autoencoder(&golden("tokenizer.json")).is_err());
}
