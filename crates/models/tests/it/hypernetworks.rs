//! Hypernetworks against PyTorch (`reference/make_hypernetworks.py`), and rows with different ones in a batch against themselves alone.

#![expect(clippy::needless_pass_by_value, reason = "tests of a backend are given it")]

use impasto_models::{AdapterSet, Hypernetwork, SelfAttention, StableDiffusion, UNetDepth, UNetRow};
use impasto_tensor::{Array, Backend, Curve, Precision};
use impasto_testkit::{assert_close, golden, goldens_folder, relative_l2, tiny_checkpoint};
use impasto_weights::Hypernetwork as HypernetworkFile;
use std::sync::Arc;

on_each_backend!(each_structure_is_pytorchs, rows_with_different_ones_give_what_they_give_alone);

/// Largest relative distance from PyTorch's in single precision.
const TOLERANCE: f64 = 1e-5;

const STRENGTH: f32 = 0.7;

const KINDS: [&str; 6] = ["plain", "old", "norm", "deep", "prelu", "half"];

fn load<B: Backend>(backend: &B, kind: &str) -> Arc<Hypernetwork<B>> {
    let path = goldens_folder().join(format!("hypernetworks/{kind}.pt"));
    Arc::new(Hypernetwork::load(backend, &HypernetworkFile::open(&path).unwrap()).unwrap())
}

fn set<B: Backend>(hypernetworks: Vec<(Arc<Hypernetwork<B>>, f32)>) -> AdapterSet<B> {
    AdapterSet::new(&[], &Arc::new(tiny_checkpoint())).with_hypernetworks(hypernetworks)
}

/// The UNet's output with each of some sets, in one call.
fn unet<'a, B: Backend>(model: &StableDiffusion<B>, sets: &[Option<&'a AdapterSet<B>>]) -> Vec<Array> {
    let golden = golden("hypernetworks");
    let (latent, context) = (golden.array("latent").unstack().remove(0), golden.array("context"));
    let timestep = golden.array("timestep").data()[0];
    let prepare = |set: Option<&'a AdapterSet<B>>| {
        let time = model.unet.prepare_time_with(timestep, None, set).unwrap();
        (time, model.unet.prepare_context_with(&context, set).unwrap(), set)
    };
    let prepared: Vec<_> = sets.iter().copied().map(prepare).collect();
    let row = |(time, context, adapters)| UNetRow {
        time,
        context,
        self_attention: SelfAttention::default(),
        tiling: false,
        adapters,
    };
    let rows: Vec<_> = prepared.iter().map(|(time, context, set)| row((time, context, *set))).collect();
    let latents = Array::stack(&vec![&latent; sets.len()]).unwrap();
    model.unet.run(&latents, &rows, UNetDepth::Whole).unwrap().output.unstack()
}

fn model<B: Backend>(backend: Arc<B>, precision: Precision) -> StableDiffusion<B> {
    StableDiffusion::load(backend, &tiny_checkpoint(), precision).unwrap()
}

fn each_structure_is_pytorchs<B: Backend>(backend: Arc<B>) {
    let (model, golden) = (model(backend.clone(), Precision::F32), golden("hypernetworks"));
    let plain = golden.array("plain_unet").unstack().remove(0);
    assert_close("none", &unet(&model, &[None])[0], &plain, TOLERANCE);
    for kind in KINDS {
        let set = set(vec![(load(&*backend, kind), STRENGTH)]);
        let wanted = golden.array(kind).unstack().remove(0);
        assert!(relative_l2(&wanted, &plain) > 0.01, "{kind} changes something");
        assert_close(kind, &unet(&model, &[Some(&set)])[0], &wanted, TOLERANCE);
    }
}

fn rows_with_different_ones_give_what_they_give_alone<B: Backend>(backend: Arc<B>) {
    let one = |kind| set(vec![(load(&*backend, kind), STRENGTH)]);
    let sets: Vec<AdapterSet<B>> = KINDS.map(one).into();
    let both = set(vec![(load(&*backend, "deep"), 0.3), (load(&*backend, "norm"), -0.5)]);
    let none = set(vec![(load(&*backend, "deep"), 0.0)]);
    let mut asked: Vec<Option<&AdapterSet<B>>> = sets.iter().map(Some).collect();
    asked.extend([None, Some(&none), Some(&both), Some(&both), Some(&sets[0])]);
    for precision in [Precision::F32, Precision::Int8] {
        let model = model(backend.clone(), precision);
        let together = unet(&model, &asked);
        for (row, set) in asked.iter().enumerate() {
            assert_eq!(unet(&model, &[*set])[0], together[row], "row {row} at {precision:?}");
        }
        assert_eq!(together[6], together[7], "a strength of zero changes nothing");
        assert_ne!(together[8], together[3]);
    }
}

#[test]
fn curves_are_pytorchs() {
    let golden = golden("curves");
    let x = golden.array("x");
    let names: Vec<String> = golden.names().into_iter().filter(|name| name != "x").collect();
    assert_eq!(names.len(), 22);
    for name in names {
        let curve = Curve::from_name(&name).unwrap();
        let made = Array::new(x.shape(), x.data().iter().map(|&x| curve.at(x)).collect()).unwrap();
        assert_close(&name, &made, &golden.array(&name), 1e-6);
    }
}
