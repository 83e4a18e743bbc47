//! Weights that an earlier run prepared and kept.

use crate::backend;
use impasto_cpu::CpuBackend;
use impasto_tensor::{
    Array, Backend, Conv2dArgs, Conv2dConfig, DType, LinearArgs, Precision, PreparedStore, SharedBytes,
    TensorError, WeightView,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Pieces in memory.
#[derive(Debug, Default)]
struct Memory {
    pieces: Mutex<BTreeMap<String, Vec<u8>>>,
}

/// Bytes at the start of a line, as a mapped file has them.
struct Aligned(Vec<u8>, usize);

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        &self.0[self.1..]
    }
}

impl PreparedStore for Memory {
    fn find(&self, name: &str, length: usize) -> Option<SharedBytes> {
        let pieces = self.pieces.lock().unwrap();
        let piece = pieces.get(name).filter(|piece| piece.len() == length)?;
        let mut room = vec![0; length + 64];
        let skip = room.as_ptr().align_offset(64);
        room[skip..skip + length].copy_from_slice(piece);
        SharedBytes::new(Arc::new(Aligned(room, skip)), 0..length)
    }

    fn keep(&self, name: &str, bytes: &[u8]) {
        self.pieces.lock().unwrap().insert(name.to_owned(), bytes.to_vec());
    }
}

/// Halves of a few hundred different values.
fn halves(shape: &[usize]) -> WeightView<'static> {
    let count = shape.iter().product::<usize>();
    let bytes = (0..count).flat_map(|at| (0x2000 + (at * 37 % 811) as u16).to_le_bytes());
    WeightView::new(DType::F16, shape.to_vec(), bytes.collect::<Vec<u8>>()).unwrap()
}

/// A weight whose elements must not be asked for.
fn unreadable(shape: &[usize]) -> WeightView<'static> {
    let refuse = || Err(TensorError::Weight("was read".to_owned()));
    WeightView::later(DType::F16, shape.to_vec(), refuse).unwrap()
}

/// What layers of three kinds and a table give, their weights made by `weight`.
fn results(
    backend: &CpuBackend,
    precision: Precision,
    weight: impl Fn(&[usize]) -> WeightView<'static>,
    store: &Arc<Memory>,
) -> Vec<Array> {
    let kept = |shape: &[usize], name: &str| weight(shape).kept_in(store.clone(), name);
    let waves = |shape: &[usize]| {
        let elements = (0..shape.iter().product()).map(|at: usize| (at as f32 * 0.7).sin()).collect();
        backend.upload(&Array::new(shape, elements).unwrap()).unwrap()
    };
    let linear = backend.prepare_linear(&kept(&[50, 64], "linear"), None, precision).unwrap();
    let filtered = Conv2dConfig::padded(1);
    let filtered = backend.prepare_conv2d(&kept(&[20, 64, 3, 3], "filtered"), None, filtered, precision);
    let direct = Conv2dConfig { stride: 2, padding: [1; 4] };
    let direct = backend.prepare_conv2d(&kept(&[20, 64, 3, 3], "direct"), None, direct, precision);
    let table = backend.prepare_embedding(&kept(&[30, 8], "table")).unwrap();
    let picture = waves(&[1, 9, 7, 64]);
    [
        backend.linear(&waves(&[5, 64]), &linear, LinearArgs::default()),
        backend.conv2d(&picture, &filtered.unwrap(), Conv2dArgs::default()),
        backend.conv2d(&picture, &direct.unwrap(), Conv2dArgs::default()),
        backend.embedding(&table, &[3, 29, 0], 1),
    ]
    .map(|result| backend.download(&result.unwrap()).unwrap())
    .to_vec()
}

#[test]
fn what_was_kept_serves_without_reading_the_weight() {
    for isa in CpuBackend::supported_isas() {
        for precision in Precision::ALL {
            let store = Arc::new(Memory::default());
            let made = results(&backend(isa, 2), precision, halves, &store);
            let kept = results(&backend(isa, 1), precision, unreadable, &store);
            assert_eq!(made, kept, "{isa} {}", precision.name());
        }
    }
}

#[test]
fn the_form_is_the_one_that_its_number_names() {
    let mut sums = Vec::new();
    for isa in CpuBackend::supported_isas() {
        let backend = backend(isa, 1);
        for precision in Precision::ALL {
            let store = Arc::new(Memory::default());
            results(&backend, precision, halves, &store);
            let form = backend.prepared_form().unwrap();
            for (name, piece) in store.pieces.lock().unwrap().iter() {
                let sum = piece.iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, &byte| {
                    (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
                sums.push(format!("{form} {} {name} {sum:016x}", precision.name()));
            }
        }
    }
    // Where this fails, what is kept has changed: raise PREPARED_FORM, and then write the new sums here.
    let wanted = include_str!("prepared_form.txt");
    for line in &sums {
        assert!(wanted.lines().any(|known| known == line), "not the form that was:\n{}", sums.join("\n"));
    }
}
