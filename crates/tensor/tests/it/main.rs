//! The reference backend against results worked out by hand, and the conformance suite against itself.

use impasto_tensor::conformance::{accepted_nonsense, conformance_cases};
use impasto_tensor::reference::ReferenceBackend;
use impasto_tensor::{
    Activation, Array, AttentionArgs, Backend, Conv2dArgs, Conv2dConfig, DType, PaddingMode, Precision,
    Resample, WeightView,
};

fn bytes(elements: &[f32]) -> Vec<u8> {
    elements.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[test]
fn every_case_runs_and_rows_do_not_meet() {
    let backend = ReferenceBackend::new();
    for operation in conformance_cases() {
        if matches!(operation, impasto_tensor::conformance::Operation::RotateRows { .. }) {
            continue;
        }
        let both = operation.run(&backend, 0..2).unwrap().unstack();
        assert!(both[1].data().iter().all(|x| x.is_finite()), "{operation:?}");
        assert_eq!(operation.run(&backend, 1..2).unwrap().unstack(), both[1..], "{operation:?}");
    }
}

#[test]
fn nonsense_is_refused() {
    assert_eq!(accepted_nonsense(&ReferenceBackend::new()).unwrap(), Vec::<&str>::new());
}

#[test]
fn convolution_correlates() {
    let backend = ReferenceBackend::new();
    let x = backend.upload(&Array::new([1, 2, 3, 1], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap()).unwrap();
    let kernel = bytes(&[1.0, 10.0, 100.0]);
    let kernel = WeightView::new(DType::F32, vec![1, 1, 1, 3], &kernel).unwrap();
    let config = Conv2dConfig { stride: 1, padding: [0, 0, 1, 1] };
    let layer = backend.prepare_conv2d(&kernel, None, config, Precision::F32).unwrap();
    for (padding_mode, wanted) in [
        (PaddingMode::Zeros, [210.0, 321.0, 32.0, 540.0, 654.0, 65.0]),
        (PaddingMode::Circular, [213.0, 321.0, 132.0, 546.0, 654.0, 465.0]),
    ] {
        let args = Conv2dArgs { padding_mode, ..Conv2dArgs::default() };
        let out = backend.download(&backend.conv2d(&x, &layer, args).unwrap()).unwrap();
        assert_eq!(out.data(), wanted);
    }
}

#[test]
fn slopes_are_for_what_is_below_zero() {
    let backend = ReferenceBackend::new();
    let upload = |shape: &[usize], data: &[f32]| {
        backend.upload(&Array::new(shape.to_vec(), data.to_vec()).unwrap()).unwrap()
    };
    let (kernel, x) = (bytes(&[1.0, -1.0]), upload(&[1, 1, 1, 1], &[3.0]));
    let kernel = WeightView::new(DType::F32, vec![2, 1, 1, 1], &kernel).unwrap();
    let layer = backend.prepare_conv2d(&kernel, None, Conv2dConfig::padded(0), Precision::F32).unwrap();
    let (slopes, residual) = (upload(&[2], &[5.0, 0.5]), upload(&[1, 1, 1, 2], &[100.0, 200.0]));
    let args = Conv2dArgs { slopes: Some(&slopes), residual: Some(&residual), ..Conv2dArgs::default() };
    assert_eq!(backend.download(&backend.conv2d(&x, &layer, args).unwrap()).unwrap().data(), [103.0, 198.5]);
}

/// Against PyTorch's: `pixel_shuffle(arange(8).reshape(1, 8, 1, 1), 2)` is `[[[0, 1], [2, 3]], [[4, 5], [6, 7]]]`.
#[test]
fn channels_become_squares() {
    let backend = ReferenceBackend::new();
    let x = Array::new([1, 1, 1, 8], (0..8u8).map(f32::from).collect()).unwrap();
    let how = Resample::PixelShuffle { factor: 2 };
    let out = backend.download(&backend.resample(&backend.upload(&x).unwrap(), how).unwrap()).unwrap();
    assert_eq!(out.shape(), [1, 2, 2, 2]);
    assert_eq!(out.to_channels_first().unwrap().data(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
}

#[test]
fn attention_weighs_the_visible_values() {
    let backend = ReferenceBackend::new();
    let tensor = |data: &[f32]| backend.upload(&Array::new([1, 2, 1], data.to_vec()).unwrap()).unwrap();
    let (query, key, value) = (tensor(&[0.0, 1.0]), tensor(&[0.0, 3f32.ln()]), tensor(&[8.0, 4.0]));
    let attend = |causal, key_lengths| {
        let args = AttentionArgs { causal, key_lengths, ..AttentionArgs::new(1) };
        backend.download(&backend.attention(&query, &key, &value, args).unwrap()).unwrap().into_data()
    };
    assert_eq!(attend(false, None), [6.0, 5.0]);
    assert_eq!(attend(true, None), [8.0, 5.0]);
    assert_eq!(attend(false, Some([1].as_slice())), [8.0, 8.0]);
}

#[test]
fn activations_at_known_points() {
    let backend = ReferenceBackend::new();
    let x = backend.upload(&Array::new([2], vec![1.0, -2.0]).unwrap()).unwrap();
    for (activation, wanted) in [
        (Activation::Identity, [1.0, -2.0]),
        (Activation::Silu, [0.731_058_6, -0.238_405_85]),
        (Activation::Gelu, [0.841_344_8, -0.045_500_264]),
        (Activation::QuickGelu, [0.845_795_3, -0.064_341_37]),
        (Activation::LeakyRelu, [1.0, -0.4]),
    ] {
        let out = backend.download(&backend.activate(&x, activation).unwrap()).unwrap();
        for (got, wanted) in out.data().iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-6, "{activation:?}: {got} for {wanted}");
        }
    }
}

#[test]
fn group_norm_takes_neighbouring_features() {
    let backend = ReferenceBackend::new();
    let x = backend.upload(&Array::new([1, 2, 2], vec![1.0, 10.0, 3.0, 30.0]).unwrap()).unwrap();
    let (scale, shift) = (bytes(&[1.0, 2.0]), bytes(&[0.0, 5.0]));
    let view = |data| WeightView::new(DType::F32, vec![2], data).unwrap();
    let norm = backend.prepare_norm(&view(&scale), &view(&shift)).unwrap();
    let out = backend.group_norm(&x, &norm, 2, 0.0, Activation::Identity).unwrap();
    assert_eq!(backend.download(&out).unwrap().data(), [-1.0, 3.0, 1.0, 7.0]);
}

#[test]
fn weight_bytes_fall_when_weights_are_dropped() {
    let backend = ReferenceBackend::new();
    let data = bytes(&[0.0; 6]);
    let layer = backend
        .prepare_linear(&WeightView::new(DType::F32, vec![2, 3], &data).unwrap(), None, Precision::F32)
        .unwrap();
    assert_eq!(backend.weight_bytes(), 32);
    drop(layer);
    assert_eq!(backend.weight_bytes(), 0);
}
