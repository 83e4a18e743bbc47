//! Files of `torch.save` read as PyTorch reads them.

use crate::files::{TestFile, safetensors, tiny_checkpoint};
use crate::torch::{Pickle, archive, legacy_checkpoint, zip_checkpoint, zip64};
use impasto_weights::{Checkpoint, Container, EmbeddingVectors, Heads, ModelKind};
use safetensors::tensor::Dtype;

fn golden(name: &str) -> Checkpoint {
    Checkpoint::open(format!("{}/../../goldens/checkpoints/{name}", env!("CARGO_MANIFEST_DIR")).as_ref())
        .unwrap()
}

/// Same names, types, shapes and bytes, whatever the container, and whatever views the tensors were.
#[test]
fn every_container_holds_the_same_tensors() {
    let expected = golden("expected.safetensors");
    for (name, container) in [
        ("zip.ckpt", Container::TorchZip),
        ("legacy.ckpt", Container::TorchLegacy),
        ("protocol_4.pt", Container::TorchZip),
    ] {
        let found = golden(name);
        assert_eq!(found.container(), container);
        assert_eq!(found.names().collect::<Vec<_>>(), expected.names().collect::<Vec<_>>(), "{name}");
        for tensor in expected.names() {
            let (found, expected) = (found.tensor(tensor).unwrap(), expected.tensor(tensor).unwrap());
            assert_eq!(found.dtype(), expected.dtype(), "{name}: {tensor}");
            assert_eq!(found.shape(), expected.shape(), "{name}: {tensor}");
            assert_eq!(found.read().unwrap().bytes(), expected.read().unwrap().bytes(), "{name}: {tensor}");
        }
    }
    assert_eq!(expected.names().count(), 16);
}

#[test]
fn an_embedding_is_told() {
    assert_eq!(golden("embedding.pt").kind(), ModelKind::Embedding);
    // Its tokens are a tensor, too.
    let path = format!("{}/../../goldens/checkpoints/embedding.pt", env!("CARGO_MANIFEST_DIR"));
    assert_eq!(EmbeddingVectors::open(path.as_ref()).unwrap().first.shape(), [2, 8]);
}

#[test]
fn a_tensor_that_is_larger_than_its_storage_is_refused() {
    let path = format!("{}/../../goldens/checkpoints/expanded.pt", env!("CARGO_MANIFEST_DIR"));
    let message = Checkpoint::open(path.as_ref()).unwrap_err().to_string();
    assert!(message.contains("`expanded` stored as an overlapping view"), "{message}");
}

#[test]
fn checkpoints_of_all_containers_have_the_same_configuration() {
    let shapes = tiny_checkpoint();
    let expected = TestFile::new("m.safetensors", &safetensors(&shapes, Dtype::F16, &[])).open().unwrap();
    for bytes in [zip_checkpoint(&shapes), legacy_checkpoint(&shapes)] {
        let file = TestFile::new("m.ckpt", &bytes);
        let found = file.open().unwrap();
        assert_eq!(found.config().unwrap(), expected.config().unwrap());
        assert!(found.names().eq(expected.names()));
        file.beside("m.yaml", "num_heads: 4");
        assert_eq!(file.open().unwrap().config().unwrap().unet.heads, Heads::Count(4));
    }
}

/// Python 2 wrote ordered dictionaries as lists of pairs.
#[test]
fn pairs_make_an_ordered_dictionary() {
    let pickle = Pickle::new()
        .global("collections", "OrderedDict")
        .raw(b"(](](U\x01a")
        .tensor("0", 2, 0, &[2], &[1])
        .raw(b"eetR")
        .stop();
    let file = TestFile::new("m.pt", &archive(pickle, &[("0", &[0, 60, 0, 64])]));
    assert_eq!(file.open().unwrap().tensor("a").unwrap().read().unwrap().to_f32(), [1.0, 2.0]);
}

#[test]
fn large_archives_are_read() {
    let pickle = Pickle::new().raw(b"}").text("a").tensor("0", 2, 0, &[2], &[1]).raw(b"s").stop();
    let members = [("m/data.pkl".to_owned(), pickle), ("m/data/0".to_owned(), vec![0, 60, 0, 64])];
    let file = TestFile::new("m.pt", &zip64(&members));
    assert_eq!(file.open().unwrap().tensor("a").unwrap().read().unwrap().to_f32(), [1.0, 2.0]);
}

#[test]
fn threads_may_share_a_checkpoint() {
    fn shared<T: Send + Sync + std::fmt::Debug>(_: &T) {}
    shared(&golden("zip.ckpt"));
}

#[test]
fn views_start_where_they_say() {
    let pickle = Pickle::new().raw(b"}").text("a").tensor("7", 4, 2, &[2, 1], &[1, 9]).raw(b"s").stop();
    let bytes: Vec<u8> =
        [0.0, 1.0, 2.0, 3.0].into_iter().flat_map(|x| half::f16::from_f32(x).to_le_bytes()).collect();
    let file = TestFile::new("m.pt", &archive(pickle, &[("7", &bytes)]));
    let checkpoint = file.open().unwrap();
    let tensor = checkpoint.tensor("a").unwrap();
    assert_eq!((tensor.shape(), tensor.read().unwrap().to_f32()), (&[2, 1][..], vec![2.0, 3.0]));
}
