//! Layers in 8 bits: near the reference, and as independent of neighbours and threads as those of `f32`.

use crate::{backend, is_rowwise};
use impasto_cpu::CpuBackend;
use impasto_tensor::conformance::{Operation, conformance_cases, relative_error};
use impasto_tensor::reference::ReferenceBackend;
use impasto_tensor::{
    Activation, Array, Backend, Conv2dArgs, Conv2dConfig, DType, LinearArgs, PaddingMode, Precision,
    TensorError, WeightView,
};

const fn linear(tokens: usize, inputs: usize, outputs: usize) -> Operation {
    let activation = Activation::Silu;
    Operation::Linear { tokens, inputs, outputs, bias: true, activation, residual: true }
}

fn layers() -> Vec<Operation> {
    let products = conformance_cases()
        .into_iter()
        .filter(|operation| matches!(operation, Operation::Linear { .. } | Operation::Conv2d { .. }));
    // Inner sizes around those of groups, lines and steps.
    let sizes = [16, 17, 63, 65, 320, 321, 643, 2600];
    products.chain(sizes.map(|inner| linear(15, inner, 40))).chain([linear(300, 64, 100)]).collect()
}

#[test]
fn layers_are_near_the_reference() {
    for isa in CpuBackend::supported_isas() {
        let backend = backend(isa, 2);
        for operation in layers() {
            let rounded = operation.run_at(&backend, 0..2, Precision::Int8).unwrap();
            let wanted = operation.run(&ReferenceBackend::new(), 0..2).unwrap();
            let error = relative_error(&rounded, &wanted).unwrap();
            assert!(error < 0.01, "{isa}: {operation:?} is off by {error:.1e}");
        }
    }
}

#[test]
fn instruction_sets_differ_by_the_rounding_of_f32_alone() {
    let isas = CpuBackend::supported_isas();
    for operation in layers() {
        let results: Vec<Array> = isas
            .iter()
            .map(|&isa| operation.run_at(&backend(isa, 1), 0..2, Precision::Int8).unwrap())
            .collect();
        for other in &results[1..] {
            let error = relative_error(&results[0], other).unwrap();
            assert!(error < 1e-6, "{operation:?} differs by {error:.1e}");
        }
    }
}

#[test]
fn rows_do_not_depend_on_their_neighbours() {
    for isa in CpuBackend::supported_isas() {
        let backend = backend(isa, 2);
        for operation in layers().into_iter().filter(is_rowwise) {
            let together = operation.run_at(&backend, 0..4, Precision::Int8).unwrap().unstack();
            for (row, together) in together.iter().enumerate() {
                let alone = operation.run_at(&backend, row..row + 1, Precision::Int8).unwrap().unstack();
                assert_eq!(&alone[0], together, "{isa}: row {row} of {operation:?}");
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for isa in CpuBackend::supported_isas() {
        let backends = [1, 2, 3].map(|threads| backend(isa, threads));
        for operation in layers() {
            let [one, two, three] =
                backends.each_ref().map(|backend| operation.run_at(backend, 0..2, Precision::Int8).unwrap());
            assert_eq!(one, two, "{isa}: {operation:?}");
            assert_eq!(one, three, "{isa}: {operation:?}");
        }
    }
}

/// Bytes of `f32` elements.
fn stored(elements: &[f32]) -> Vec<u8> {
    elements.iter().flat_map(|element| element.to_le_bytes()).collect()
}

fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.7).sin()).collect()
}

/// A layer of `inputs` by `outputs` on rows `x`.
fn run_linear(backend: &CpuBackend, [outputs, inputs]: [usize; 2], weight: &[f32], x: Vec<f32>) -> Vec<f32> {
    try_linear(backend, [outputs, inputs], weight, x).unwrap_or_else(|error| panic!("{error}"))
}

fn try_linear(
    backend: &CpuBackend,
    [outputs, inputs]: [usize; 2],
    weight: &[f32],
    x: Vec<f32>,
) -> Result<Vec<f32>, TensorError> {
    let bytes = stored(weight);
    let view = WeightView::new(DType::F32, vec![outputs, inputs], &bytes)?;
    let layer = backend.prepare_linear(&view, None, Precision::Int8)?;
    let x = backend.upload(&Array::new([x.len() / inputs, inputs], x)?)?;
    let out = backend.linear(&x, &layer, LinearArgs::default())?;
    Ok(backend.download(&out)?.data().to_vec())
}

#[test]
fn what_is_not_finite_makes_its_row_nan_and_no_other() {
    for isa in CpuBackend::supported_isas() {
        let backend = backend(isa, 2);
        let (inputs, outputs) = (70, 40);
        let clean = run_linear(&backend, [outputs, inputs], &ramp(inputs * outputs), ramp(20 * inputs));
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = ramp(20 * inputs);
            x[7 * inputs + 69] = odd;
            let out = run_linear(&backend, [outputs, inputs], &ramp(inputs * outputs), x);
            for (row, (out, clean)) in out.chunks(outputs).zip(clean.chunks(outputs)).enumerate() {
                let as_expected = if row == 7 { out.iter().all(|x| x.is_nan()) } else { out == clean };
                assert!(as_expected, "{isa}: row {row} beside {odd}");
            }
        }
    }
}

#[test]
fn weights_that_are_not_finite_make_their_column_nan() {
    let (backend, inputs, outputs) = (backend(CpuBackend::supported_isas()[0], 1), 70, 40);
    let mut weight = ramp(inputs * outputs);
    weight[3 * inputs + 5] = f32::NAN;
    weight[39 * inputs] = f32::INFINITY;
    let out = run_linear(&backend, [outputs, inputs], &weight, ramp(2 * inputs));
    for (column, out) in out.iter().enumerate() {
        assert_eq!(out.is_nan(), [3, 39].contains(&(column % outputs)), "{column}");
    }
}

#[test]
fn zeros_and_extremes_are_harmless() {
    for isa in CpuBackend::supported_isas() {
        let (backend, inputs, outputs) = (backend(isa, 2), 64, 33);
        let weight = ramp(inputs * outputs);
        let zeros = run_linear(&backend, [outputs, inputs], &weight, vec![0.0; 3 * inputs]);
        assert!(zeros.iter().all(|&x| x == 0.0), "{isa}");
        let zeros = run_linear(&backend, [outputs, inputs], &vec![0.0; inputs * outputs], ramp(3 * inputs));
        assert!(zeros.iter().all(|&x| x == 0.0), "{isa}");
        let tiny = run_linear(&backend, [outputs, inputs], &weight, vec![1e-40; inputs]);
        assert!(tiny.iter().all(|x| x.abs() < 1e-37), "{isa}");
        // The range of these overflows.
        let mut huge = vec![3e38; inputs];
        huge[0] = -3e38;
        assert!(run_linear(&backend, [outputs, inputs], &weight, huge).iter().all(|x| x.is_nan()), "{isa}");
        assert!(run_linear(&backend, [outputs, inputs], &weight, Vec::new()).is_empty(), "{isa}");
    }
}

#[test]
fn no_sum_overflows_however_many_inputs_a_layer_has() {
    for isa in CpuBackend::supported_isas() {
        let (backend, inputs) = (backend(isa, 2), 70_000);
        let mut x = vec![1.0; inputs];
        x[0] = 0.0;
        let out = run_linear(&backend, [16, inputs], &vec![1.0; 16 * inputs], x);
        assert!(out.iter().all(|&x| (x - 69_999.0).abs() < 1.0), "{isa}: {}", out[0]);
    }
}

#[test]
fn pixels_beyond_the_border_are_zeros() {
    // A kernel of ones on a picture of ones counts the pixels of the picture that each pixel sees.
    let backend = backend(CpuBackend::supported_isas()[0], 1);
    let bytes = stored(&[1.0; 16 * 16 * 9]);
    let view = WeightView::new(DType::F32, vec![16, 16, 3, 3], &bytes).unwrap();
    let layer = backend.prepare_conv2d(&view, None, Conv2dConfig::padded(1), Precision::Int8).unwrap();
    let picture = backend.upload(&Array::new([1, 3, 2, 16], vec![1.0; 96]).unwrap()).unwrap();
    for (padding_mode, counts) in
        [(PaddingMode::Zeros, [4.0, 4.0, 6.0, 6.0, 4.0, 4.0]), (PaddingMode::Circular, [9.0; 6])]
    {
        let out =
            backend.conv2d(&picture, &layer, Conv2dArgs { padding_mode, ..Conv2dArgs::default() }).unwrap();
        for (out, count) in backend.download(&out).unwrap().data().chunks(16).zip(counts) {
            assert!(out.iter().all(|x| (x - 16.0 * count).abs() < 1e-3), "{out:?}");
        }
    }
}

#[test]
fn weights_take_a_little_more_than_a_byte_each() {
    let backend = backend(CpuBackend::supported_isas()[0], 1);
    let bytes = stored(&ramp(640 * 1280));
    let view = WeightView::new(DType::F32, vec![1280, 640], &bytes).unwrap();
    let layer = backend.prepare_linear(&view, None, Precision::Int8).unwrap();
    let weights = 640 * 1280;
    assert!((weights..weights + weights / 8).contains(&backend.weight_bytes()), "{}", backend.weight_bytes());
    drop(layer);
    assert_eq!(backend.weight_bytes(), 0);
}
