//! The CPU backend against the reference and against itself, for every instruction set of this machine.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod int8;
mod int8_attention;
mod prepared;

use impasto_cpu::{ConvolutionMethod, CpuBackend, CpuOptions, IsaName};
use impasto_tensor::conformance::{Operation, accepted_nonsense, conformance_cases};
use impasto_tensor::{
    Array, Backend, Conv2dArgs, Conv2dConfig, DType, LinearArgs, Precision, Resample, TensorError, WeightView,
};
use std::num::NonZero;

fn backend(isa: IsaName, threads: usize) -> CpuBackend {
    let options = CpuOptions {
        threads: NonZero::new(threads),
        isa: Some(isa),
        activation_bytes: None,
        convolution: ConvolutionMethod::default(),
    };
    CpuBackend::new(options).unwrap_or_else(|error| panic!("{error}"))
}

/// Whether a batch row's result stands alone.
fn is_rowwise(operation: &Operation) -> bool {
    !matches!(operation, Operation::RotateRows { .. })
}

#[test]
fn every_operation_agrees_with_the_reference() {
    for isa in CpuBackend::supported_isas() {
        let backend = backend(isa, 2);
        for operation in conformance_cases() {
            let error = operation.error(&backend, 2).unwrap();
            assert!(error < 2e-6, "{isa}: {operation:?} is off by {error:.1e}");
        }
    }
}

#[test]
fn direct_convolutions_agree_with_the_reference() {
    for isa in CpuBackend::supported_isas() {
        let convolution = ConvolutionMethod::Direct;
        let options = CpuOptions { isa: Some(isa), convolution, ..CpuOptions::default() };
        let backend = CpuBackend::new(options).unwrap();
        for operation in conformance_cases() {
            if let Operation::Conv2d { .. } = operation {
                let error = operation.error(&backend, 2).unwrap();
                assert!(error < 1e-6, "{isa}: {operation:?} is off by {error:.1e}");
            }
        }
    }
}

#[test]
fn rows_do_not_depend_on_their_neighbours() {
    for isa in CpuBackend::supported_isas() {
        let backend = backend(isa, 2);
        for operation in conformance_cases().into_iter().filter(is_rowwise) {
            let together = operation.run(&backend, 0..4).unwrap().unstack();
            for (row, together) in together.iter().enumerate() {
                let alone = operation.run(&backend, row..row + 1).unwrap().unstack();
                assert_eq!(&alone[0], together, "{isa}: row {row} of {operation:?}");
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for isa in CpuBackend::supported_isas() {
        let backends = [1, 2, 3].map(|threads| backend(isa, threads));
        for operation in conformance_cases() {
            let [one, two, three] = backends.each_ref().map(|backend| operation.run(backend, 0..2).unwrap());
            assert_eq!(one, two, "{isa}: {operation:?}");
            assert_eq!(one, three, "{isa}: {operation:?}");
        }
    }
}

#[test]
fn nonsense_is_refused() {
    for isa in CpuBackend::supported_isas() {
        assert_eq!(accepted_nonsense(&backend(isa, 2)).unwrap(), Vec::<&str>::new(), "{isa}");
    }
}

#[test]
fn padding_does_not_reach_a_row() {
    for isa in CpuBackend::supported_isas() {
        let backend = backend(isa, 2);
        let long = |keys| Operation::Attention {
            queries: 40,
            keys,
            heads: 2,
            head_size: 40,
            causal: false,
            key_lengths: Some(&[77]),
        };
        assert_eq!(long(77).run(&backend, 0..1).unwrap(), long(300).run(&backend, 0..1).unwrap(), "{isa}");
    }
}

#[test]
fn half_precision_weights_are_widened() {
    let backend = backend(IsaName::Portable, 1);
    let x = backend.upload(&Array::new([1, 2], vec![2.0, 3.0]).unwrap()).unwrap();
    // 1.5 and -0.5.
    for (dtype, bytes) in [(DType::F16, [0x00, 0x3e, 0x00, 0xb8]), (DType::BF16, [0xc0, 0x3f, 0x00, 0xbf])] {
        let weight = WeightView::new(dtype, vec![1, 2], &bytes).unwrap();
        let layer = backend.prepare_linear(&weight, None, Precision::F32).unwrap();
        let out = backend.linear(&x, &layer, LinearArgs::default()).unwrap();
        assert_eq!(backend.download(&out).unwrap().data(), [1.5], "{dtype:?}");
    }
}

#[test]
fn weight_bytes_follow_the_weights() {
    let backend = backend(IsaName::Portable, 2);
    let bytes = vec![0; 4 * 64 * 64];
    let view = |shape: &[usize]| {
        WeightView::new(DType::F32, shape.to_vec(), &bytes[..4 * shape.iter().product::<usize>()]).unwrap()
    };
    let linear = backend.prepare_linear(&view(&[64, 64]), Some(&view(&[64])), Precision::F32).unwrap();
    let norm = backend.prepare_norm(&view(&[64]), &view(&[64])).unwrap();
    let table = backend.prepare_embedding(&view(&[64, 64])).unwrap();
    assert_eq!(backend.weight_bytes(), 4 * (64 * 64 + 64 + 64 + 64 + 64 * 64));
    drop((linear, norm, table));
    assert_eq!(backend.weight_bytes(), 0);
}

#[test]
fn too_large_a_result_is_an_error() {
    let options = CpuOptions { activation_bytes: Some(1 << 20), ..CpuOptions::default() };
    let backend = CpuBackend::new(options).unwrap();
    let picture = backend.upload(&Array::zeros([1, 8, 8, 4])).unwrap();
    let enlarged = backend.resample(&picture, Resample::Nearest { factor: 64 });
    assert!(matches!(enlarged, Err(TensorError::OutOfMemory { .. })));
    assert!(backend.resample(&picture, Resample::Nearest { factor: 8 }).is_ok());
}

/// Weights in half precision stay so in memory; what they give is what the same numbers in `f32` give.
#[test]
fn half_weights_are_widened_exactly() {
    let numbers: Vec<f32> = (0..48 * 32 * 9).map(|i| ((i * 37 % 101) as f32 - 50.0) / 64.0).collect();
    let bytes = |dtype| -> Vec<u8> {
        let of = |x: &f32| match dtype {
            DType::F16 => half::f16::from_f32(*x).to_le_bytes().to_vec(),
            DType::BF16 => half::bf16::from_f32(*x).to_le_bytes().to_vec(),
            _ => x.to_le_bytes().to_vec(),
        };
        numbers.iter().flat_map(of).collect()
    };
    let picture = Array::new([1, 9, 11, 32], (0..9 * 11 * 32).map(|i| (i as f32).sin()).collect()).unwrap();
    for isa in CpuBackend::supported_isas() {
        let backend = backend(isa, 2);
        let x = backend.upload(&picture).unwrap();
        let results = |dtype: DType| {
            let bytes = bytes(dtype);
            let view = |shape| WeightView::new(dtype, shape, &bytes[..]).unwrap();
            let linear = backend.prepare_linear(&view(vec![48 * 9, 32]), None, Precision::F32).unwrap();
            let kernels = view(vec![48, 32, 3, 3]);
            let filtered =
                backend.prepare_conv2d(&kernels, None, Conv2dConfig::padded(1), Precision::F32).unwrap();
            let halving = Conv2dConfig { stride: 2, padding: [1; 4] };
            let direct = backend.prepare_conv2d(&kernels, None, halving, Precision::F32).unwrap();
            [
                backend.linear(&x, &linear, LinearArgs::default()),
                backend.conv2d(&x, &filtered, Conv2dArgs::default()),
                backend.conv2d(&x, &direct, Conv2dArgs::default()),
            ]
            .map(|result| backend.download(&result.unwrap()).unwrap())
        };
        // All the numbers have few bits, so that every type holds them.
        let wide = results(DType::F32);
        assert_eq!(results(DType::F16), wide, "{isa}");
        assert_eq!(results(DType::BF16), wide, "{isa}");
    }
}

#[test]
fn half_weights_take_half_the_memory() {
    let backend = backend(IsaName::Portable, 1);
    let weight = WeightView::new(DType::F16, vec![512, 256], vec![0; 512 * 256 * 2]).unwrap();
    let _kept = backend.prepare_linear(&weight, None, Precision::F32).unwrap();
    assert_eq!(backend.weight_bytes(), 512 * 256 * 2);
}
