//! Attention in 8 bits: near that in `f32`, as independent of neighbours and threads, and harmless on odd numbers. The
//! portable path has none.

use crate::backend;
use impasto_cpu::{CpuBackend, IsaName};
use impasto_tensor::conformance::{Operation, relative_error};
use impasto_tensor::reference::ReferenceBackend;
use impasto_tensor::{Array, AttentionArgs, Backend, Precision, TensorError};

const fn attention(queries: usize, keys: usize, heads: usize, head_size: usize) -> Operation {
    Operation::Attention { queries, keys, heads, head_size, causal: false, key_lengths: None }
}

/// Sizes around those of blocks, panels, lines and quads.
const OPERATIONS: [Operation; 8] = [
    attention(300, 300, 2, 40),
    attention(64, 4096, 1, 40),
    attention(65, 256, 3, 80),
    attention(33, 513, 1, 160),
    attention(1, 337, 2, 64),
    attention(70, 400, 2, 17),
    attention(31, 259, 1, 66),
    attention(5, 1000, 1, 512),
];

/// Instruction sets that multiply bytes faster than numbers.
fn isas() -> impl Iterator<Item = IsaName> {
    CpuBackend::supported_isas().into_iter().filter(|&isa| isa != IsaName::Portable)
}

fn is_rounded(isa: IsaName, operation: Operation) -> Result<bool, TensorError> {
    let backend = backend(isa, 2);
    Ok(operation.run_at(&backend, 0..2, Precision::Int8)? != operation.run(&backend, 0..2)?)
}

#[test]
fn it_is_near_the_reference() {
    for isa in isas() {
        let backend = backend(isa, 2);
        for operation in OPERATIONS {
            let rounded = operation.run_at(&backend, 0..2, Precision::Int8).unwrap();
            let wanted = operation.run(&ReferenceBackend::new(), 0..2).unwrap();
            let error = relative_error(&rounded, &wanted).unwrap();
            assert!(error < 0.01, "{isa}: {operation:?} is off by {error:.1e}");
            assert!(is_rounded(isa, operation).unwrap(), "{isa}: {operation:?}");
        }
    }
}

#[test]
fn instruction_sets_differ_little() {
    for operation in OPERATIONS {
        let results: Vec<Array> =
            isas().map(|isa| operation.run_at(&backend(isa, 1), 0..2, Precision::Int8).unwrap()).collect();
        for other in results.iter().skip(1) {
            // A weight in a few thousand is rounded the other way.
            let error = relative_error(&results[0], other).unwrap();
            assert!(error < 1e-4, "{operation:?} differs by {error:.1e}");
        }
    }
}

#[test]
fn rows_do_not_depend_on_their_neighbours() {
    for isa in isas() {
        let backend = backend(isa, 2);
        for operation in OPERATIONS {
            let together = operation.run_at(&backend, 0..3, Precision::Int8).unwrap().unstack();
            for (row, together) in together.iter().enumerate() {
                let alone = operation.run_at(&backend, row..row + 1, Precision::Int8).unwrap().unstack();
                assert_eq!(&alone[0], together, "{isa}: row {row} of {operation:?}");
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for isa in isas() {
        let backends = [1, 2, 3].map(|threads| backend(isa, threads));
        for operation in OPERATIONS {
            let [one, two, three] =
                backends.each_ref().map(|backend| operation.run_at(backend, 0..2, Precision::Int8).unwrap());
            assert_eq!(one, two, "{isa}: {operation:?}");
            assert_eq!(one, three, "{isa}: {operation:?}");
        }
    }
}

/// Where key lengths differ or later keys are hidden, where there are few keys, and where bytes are multiplied no faster than
/// numbers, single precision stays.
#[test]
fn what_is_not_worth_rounding_is_not_rounded() {
    for operation in [
        attention(40, 77, 2, 40),
        attention(300, 300, 2, 8),
        Operation::Attention {
            queries: 300,
            keys: 300,
            heads: 2,
            head_size: 40,
            causal: true,
            key_lengths: None,
        },
        Operation::Attention {
            queries: 30,
            keys: 300,
            heads: 2,
            head_size: 40,
            causal: false,
            key_lengths: Some(&[300, 260]),
        },
    ] {
        assert!(!is_rounded(CpuBackend::supported_isas()[0], operation).unwrap(), "{operation:?}");
    }
    assert!(!is_rounded(IsaName::Portable, attention(300, 300, 2, 40)).unwrap());
}

/// Normal numbers, a function of the seed.
fn normal(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u32 << 24) as f32
    };
    (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

/// One head's attention, `[queries, head size]`.
fn attend(
    backend: &impl Backend,
    head_size: usize,
    [query, key, value]: [&[f32]; 3],
    precision: Precision,
) -> Result<Array, TensorError> {
    let upload = |x: &[f32]| backend.upload(&Array::new([1, x.len() / head_size, head_size], x.to_vec())?);
    let args = AttentionArgs { precision, ..AttentionArgs::new(1) };
    backend.download(&backend.attention(&upload(query)?, &upload(key)?, &upload(value)?, args)?)
}

/// Relative error of 8 bits beside single precision.
fn error(backend: &CpuBackend, head_size: usize, inputs: [&[f32]; 3]) -> Result<f64, TensorError> {
    let run = |precision| attend(backend, head_size, inputs, precision);
    relative_error(&run(Precision::Int8)?, &run(Precision::F32)?)
}

const HEAD: usize = 40;
const KEYS: usize = 1024;

fn scaled(seed: u64, tokens: usize, factor: f32) -> Vec<f32> {
    normal(seed, tokens * HEAD).into_iter().map(|x| x * factor).collect()
}

/// The sharper the softmax, the fewer keys share an error.
#[test]
fn sharp_and_flat_distributions_are_near_those_of_f32() {
    for isa in isas() {
        let backend = backend(isa, 2);
        for (factor, most) in [(0.0, 0.01), (0.5, 0.01), (1.0, 0.015), (2.0, 0.04), (4.0, 0.1)] {
            let (query, key, value) = (scaled(1, 64, factor), scaled(2, KEYS, 1.0), scaled(3, KEYS, 1.0));
            let error = error(&backend, HEAD, [&query, &key, &value]).unwrap();
            assert!(error < most, "{isa}: queries times {factor} are off by {error:.1e}");
        }
    }
}

/// An offset that all keys have in common changes no weight, and must not take the bytes' levels.
#[test]
fn what_all_keys_have_in_common_costs_nothing() {
    for isa in isas() {
        let backend = backend(isa, 2);
        let (query, mut key, value) = (scaled(1, 64, 1.0), scaled(2, KEYS, 1.0), scaled(3, KEYS, 1.0));
        let plain = error(&backend, HEAD, [&query, &key, &value]).unwrap();
        for token in key.chunks_mut(HEAD) {
            token[7] += 30.0;
            token[20] -= 12.0;
        }
        let shifted = error(&backend, HEAD, [&query, &key, &value]).unwrap();
        assert!(shifted < 1.3 * plain, "{isa}: {shifted:.1e} and {plain:.1e}");
    }
}

/// One key has most of the weight, all the others together the rest.
#[test]
fn many_small_weights_are_not_lost_beside_a_large_one() {
    for isa in isas() {
        let backend = backend(isa, 1);
        let (query, mut key, mut value) = (vec![1.0; HEAD], vec![0.0; KEYS * HEAD], vec![0.0; KEYS * HEAD]);
        // A score of ln 1023: the key weighs as much as all the others.
        let score = 1023_f32.ln();
        key[..HEAD].fill(score / (HEAD as f32).sqrt());
        value[..HEAD].fill(1.0);
        let out = attend(&backend, HEAD, [&query, &key, &value], Precision::Int8).unwrap();
        // Of the keys in the block of that key, a seventh, nothing is left.
        assert!(out.data().iter().all(|x| (0.5..0.56).contains(x)), "{isa}: {out:?}");
    }
}

#[test]
fn equal_numbers_are_exact() {
    for isa in isas() {
        let backend = backend(isa, 2);
        let (query, value) = (scaled(1, 40, 3.0), scaled(3, KEYS, 1.0));
        for key in [0.0, 2.5] {
            let key = vec![key; KEYS * HEAD];
            let out = attend(&backend, HEAD, [&query, &key, &value], Precision::Int8).unwrap();
            for feature in 0..HEAD {
                let mean = value.iter().skip(feature).step_by(HEAD).sum::<f32>() / KEYS as f32;
                let found = out.data()[feature];
                assert!((found - mean).abs() < 1e-3, "{isa}: {found} and {mean}");
            }
        }
        let key = scaled(2, KEYS, 1.0);
        let out = attend(&backend, HEAD, [&query, &key, &vec![-1.25; KEYS * HEAD]], Precision::Int8).unwrap();
        assert!(out.data().iter().all(|x| (x + 1.25).abs() < 1e-5), "{isa}");
        let out = attend(&backend, HEAD, [&query, &key, &vec![0.0; KEYS * HEAD]], Precision::Int8).unwrap();
        assert!(out.data().iter().all(|x| *x == 0.0), "{isa}");
    }
}

#[test]
fn one_key_can_have_all_the_weight() {
    for isa in isas() {
        let backend = backend(isa, 2);
        let (query, mut key, value) = (vec![1.0; HEAD], scaled(2, KEYS, 0.1), scaled(3, KEYS, 1.0));
        for huge in [1e2, 1e6, 1e20] {
            key[700 * HEAD..701 * HEAD].fill(huge);
            let out = attend(&backend, HEAD, [&query, &key, &value], Precision::Int8).unwrap();
            for (found, wanted) in out.data().iter().zip(&value[700 * HEAD..701 * HEAD]) {
                assert!((found - wanted).abs() < 0.02, "{isa}: {found} and {wanted} beside {huge}");
            }
        }
    }
}

#[test]
fn what_is_not_finite_reaches_those_who_see_it_and_no_others() {
    for isa in isas() {
        let backend = backend(isa, 2);
        let inputs = [scaled(1, 70, 1.0), scaled(2, KEYS, 1.0), scaled(3, KEYS, 1.0)];
        let run = |inputs: &[Vec<f32>; 3]| {
            let inputs = inputs.each_ref().map(Vec::as_slice);
            attend(&backend, HEAD, inputs, Precision::Int8).unwrap().data().to_vec()
        };
        let clean = run(&inputs);
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let with = |which: usize, place: usize| {
                let mut inputs = inputs.clone();
                inputs[which][place] = odd;
                run(&inputs)
            };
            let query = with(0, 33 * HEAD + 5);
            for (row, (out, clean)) in query.chunks(HEAD).zip(clean.chunks(HEAD)).enumerate() {
                let as_expected = if row == 33 { out.iter().all(|x| x.is_nan()) } else { out == clean };
                assert!(as_expected, "{isa}: query {row} beside {odd}");
            }
            assert!(with(1, 500 * HEAD).iter().all(|x| x.is_nan()), "{isa}: a key is {odd}");
            let value = with(2, 500 * HEAD + 8);
            for (i, (out, clean)) in value.iter().zip(&clean).enumerate() {
                let as_expected = if i % HEAD == 8 { out.is_nan() } else { out == clean };
                assert!(as_expected, "{isa}: feature {} beside {odd}", i % HEAD);
            }
        }
        // Ranges of these overflow; nothing is promised but an end.
        let mut huge = inputs.clone();
        for (i, x) in huge.iter_mut().flatten().enumerate() {
            *x = if i % 2 == 0 { 3e38 } else { -3e38 };
        }
        assert_eq!(run(&huge).len(), clean.len(), "{isa}");
    }
}
