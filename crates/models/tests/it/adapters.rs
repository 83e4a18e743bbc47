//! Adapters of each kind against PyTorch with edited weights (`reference/make_adapters.py`), and rows with different ones in a batch
//! against themselves alone.

#![expect(clippy::needless_pass_by_value, reason = "tests of a backend are given it")]

use impasto_models::{Adapter, AdapterSet, SelfAttention, StableDiffusion, Strengths, UNetDepth, UNetRow};
use impasto_tensor::{Array, Backend, Precision};
use impasto_testkit::{assert_close, golden, goldens_folder, relative_l2, tiny_checkpoint};
use impasto_weights::{AdapterFile, AdapterKeys};
use std::sync::Arc;

on_each_backend!(
    each_kind_is_what_edited_weights_give,
    rows_with_different_adapters_give_what_they_give_alone,
    strengths_of_zero_change_nothing,
    less_of_the_rank_is_used_if_asked_for,
);

/// Largest relative distance from PyTorch's in single precision.
const TOLERANCE: f64 = 1e-5;

const STRENGTHS: Strengths = Strengths { text_encoder: -0.6, unet: 0.8 };

const KINDS: [&str; 11] =
    ["lora", "locon", "dora", "dora_rows", "loha", "lokr", "ia3", "full", "norm", "glora", "oft"];

fn adapter<B: Backend>(backend: &B, kind: &str, rank: Option<usize>) -> Arc<Adapter<B>> {
    let checkpoint = tiny_checkpoint();
    let keys = AdapterKeys::new(&checkpoint.config().unwrap());
    let file = AdapterFile::open(&goldens_folder().join(format!("adapters/{kind}.safetensors"))).unwrap();
    let layers = file.read(&keys).unwrap();
    assert!(layers.left_out.is_empty(), "{kind}: {:?}", layers.left_out);
    assert!(layers.layers.len() > 2, "{kind}");
    Arc::new(Adapter::new(backend, &checkpoint, layers, rank).unwrap())
}

fn set<B: Backend>(adapters: &[(Arc<Adapter<B>>, Strengths)]) -> AdapterSet<B> {
    AdapterSet::new(adapters, &Arc::new(tiny_checkpoint()))
}

struct Bench<B: Backend> {
    model: StableDiffusion<B>,
    latent: Array,
    context: Array,
    timestep: f32,
    tokens: Vec<Vec<u32>>,
}

impl<B: Backend> Bench<B> {
    fn new(backend: Arc<B>, precision: Precision) -> Self {
        let golden = golden("adapters");
        Self {
            model: StableDiffusion::load(backend, &tiny_checkpoint(), precision).unwrap(),
            latent: golden.array("latent").unstack().remove(0),
            context: golden.array("context"),
            timestep: golden.array("timestep").data()[0],
            tokens: golden.ids("tokens"),
        }
    }

    /// The UNet's output with each of some sets, in one call.
    fn unet(&self, sets: &[Option<&AdapterSet<B>>]) -> Vec<Array> {
        let unet = &self.model.unet;
        let prepare = |set: Option<&AdapterSet<B>>| {
            let time = unet.prepare_time_with(self.timestep, None, set).unwrap();
            (time, unet.prepare_context_with(&self.context, set).unwrap())
        };
        let prepared: Vec<_> = sets.iter().copied().map(prepare).collect();
        let row = |((time, context), adapters)| UNetRow {
            time,
            context,
            self_attention: SelfAttention::default(),
            tiling: false,
            adapters,
        };
        let rows: Vec<_> = prepared
            .iter()
            .map(|(time, context)| (time, context))
            .zip(sets.iter().copied())
            .map(row)
            .collect();
        let latents = Array::stack(&vec![&self.latent; sets.len()]).unwrap();
        unet.run(&latents, &rows, UNetDepth::Whole).unwrap().output.unstack()
    }

    fn text(&self, set: Option<&AdapterSet<B>>) -> Array {
        self.model.text.encode_with(&self.tokens, 1, set, &[]).unwrap()
    }
}

fn each_kind_is_what_edited_weights_give<B: Backend>(backend: Arc<B>) {
    let (bench, golden) = (Bench::new(backend.clone(), Precision::F32), golden("adapters"));
    let plain = golden.array("plain.unet").unstack().remove(0);
    assert_close("plain", &bench.unet(&[None])[0], &plain, TOLERANCE);
    for kind in KINDS {
        let set = set(&[(adapter(&*backend, kind, None), STRENGTHS)]);
        let wanted = golden.array(&format!("{kind}.unet")).unstack().remove(0);
        assert!(relative_l2(&wanted, &plain) > 0.01, "{kind} changes something");
        assert_close(kind, &bench.unet(&[Some(&set)])[0], &wanted, TOLERANCE);
        assert_close(kind, &bench.text(Some(&set)), &golden.array(&format!("{kind}.text")), TOLERANCE);
    }
}

fn rows_with_different_adapters_give_what_they_give_alone<B: Backend>(backend: Arc<B>) {
    let sets: Vec<AdapterSet<B>> =
        KINDS.map(|kind| set(&[(adapter(&*backend, kind, None), STRENGTHS)])).into();
    let lora = adapter(&*backend, "lora", None);
    let both =
        set(&[(lora.clone(), STRENGTHS), (adapter(&*backend, "loha", None), STRENGTHS), (lora, STRENGTHS)]);
    let mut asked: Vec<Option<&AdapterSet<B>>> = sets.iter().map(Some).collect();
    asked.extend([None, None, Some(&both), Some(&both), Some(&sets[0])]);
    for precision in [Precision::F32, Precision::Int8] {
        let bench = Bench::new(backend.clone(), precision);
        let together = bench.unet(&asked);
        for (row, set) in asked.iter().enumerate() {
            assert_eq!(bench.unet(&[*set])[0], together[row], "row {row} at {precision:?}");
        }
        assert_eq!(together[0], together[asked.len() - 1]);
        assert_ne!(together[0], together[asked.len() - 2]);
    }
}

fn strengths_of_zero_change_nothing<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend.clone(), Precision::F32);
    let only =
        |text_encoder, unet| set(&[(adapter(&*backend, "lora", None), Strengths { text_encoder, unet })]);
    let (text, unet) = (only(1.0, 0.0), only(0.0, 1.0));
    assert_eq!(bench.unet(&[Some(&text)]), bench.unet(&[None]));
    assert_ne!(bench.unet(&[Some(&unet)]), bench.unet(&[None]));
    assert_eq!(bench.text(Some(&unet)), bench.text(None));
    assert_ne!(bench.text(Some(&text)), bench.text(None));
}

fn less_of_the_rank_is_used_if_asked_for<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend.clone(), Precision::F32);
    let with = |rank| bench.text(Some(&set(&[(adapter(&*backend, "lora", rank), STRENGTHS)])));
    assert_eq!(with(Some(4)), with(None));
    assert_eq!(with(Some(9)), with(None));
    assert_ne!(with(Some(2)), with(None));
}
