//! Stable Diffusion XL's text encoders and UNet against transformers' and diffusers' (`reference/make_xl_models.py`), and
//! rows of a batch against themselves alone.

use crate::TOLERANCE;
use impasto_models::{
    ClipText, ModelError, PictureSizes, SelfAttention, StableDiffusion, UNet, UNetDepth, UNetRow,
};
use impasto_tensor::{Array, Backend, Precision};
use impasto_testkit::{Golden, assert_close, golden, tiny_checkpoint, tiny_xl_checkpoint};
use impasto_weights::Checkpoint;
use std::sync::Arc;

on_each_backend!(
    text_encoders_give_layers_and_pooled_text,
    texts_do_not_depend_on_each_other,
    labels_are_text_and_waves,
    unet_with_labels,
    unet_rows_do_not_depend_on_each_other,
    labels_of_other_sizes_are_refused,
    whole_models_are_refused
);

/// The golden checkpoint, what others make of it, and the backend.
struct Bench<B> {
    backend: Arc<B>,
    checkpoint: Checkpoint,
    golden: Golden,
}

impl<B: Backend> Bench<B> {
    fn new(backend: Arc<B>) -> Self {
        Self { backend, checkpoint: tiny_xl_checkpoint(), golden: golden("xl") }
    }

    fn first_encoder(&self) -> ClipText<B> {
        StableDiffusion::load_text(&self.backend, &self.checkpoint).unwrap()
    }

    fn second_encoder(&self) -> ClipText<B> {
        StableDiffusion::load_second_text(&self.backend, &self.checkpoint).unwrap().unwrap()
    }

    fn unet(&self) -> UNet<B> {
        StableDiffusion::load_unet(&self.backend, &self.checkpoint, Precision::F32).unwrap()
    }

    /// The label of each row.
    fn labels(&self, unet: &UNet<B>) -> Vec<Array> {
        let pair = |row: &[u32], at: usize| [row[at], row[at + 1]];
        let texts = self.golden.array("pooled").unstack();
        let label = |(text, row): (&Array, &Vec<u32>)| {
            let sizes = PictureSizes { original: pair(row, 0), crop: pair(row, 2), target: pair(row, 4) };
            unet.label(text, sizes).unwrap()
        };
        texts.iter().zip(&self.golden.ids("sizes")).map(label).collect()
    }

    /// Latents, timesteps and contexts.
    fn query(&self, name: &str) -> (Array, Vec<f32>, [Array; 2]) {
        let timesteps = self.golden.array(&format!("{name}.timestep")).into_data();
        let contexts = [0, 1].map(|row| self.golden.array(&format!("{name}.context_{row}")));
        (self.golden.array(&format!("{name}.latent")), timesteps, contexts)
    }

    fn check(&self, name: &str, found: &Array) {
        assert_close(name, found, &self.golden.array(name), TOLERANCE);
    }
}

/// Row `row` of an array, as a batch of one.
fn row(array: &Array, row: usize) -> Array {
    Array::stack(&[&array.unstack()[row]]).unwrap()
}

fn text_encoders_give_layers_and_pooled_text<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    let ids = bench.golden.ids("tokens");
    let [first, second] = [bench.first_encoder(), bench.second_encoder()];
    for skip in [1, 2] {
        let found = first.encode_for_xl(&ids, skip).unwrap();
        bench.check(&format!("first.skip_{skip}"), &found.hidden);
        assert_eq!(found.pooled, None);

        let found = second.encode_for_xl(&ids, skip).unwrap();
        bench.check(&format!("second.skip_{skip}"), &found.hidden);
        bench.check("second.pooled", &found.pooled.unwrap());
    }
    assert!(matches!(second.encode_for_xl(&ids, 4), Err(ModelError::ClipSkip { skip: 4, layers: 3 })));
    assert!(StableDiffusion::load_second_text(&bench.backend, &tiny_checkpoint()).unwrap().is_none());
}

fn texts_do_not_depend_on_each_other<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    let ids = bench.golden.ids("tokens");
    let second = bench.second_encoder();
    let together = second.encode_for_xl(&ids, 2).unwrap();
    let alone = second.encode_for_xl(&ids[2..], 2).unwrap();
    assert_eq!(alone.hidden, row(&together.hidden, 2));
    assert_eq!(alone.pooled.unwrap(), row(&together.pooled.unwrap(), 2));
}

fn labels_are_text_and_waves<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    let labels = bench.labels(&bench.unet());
    bench.check("label", &Array::stack(&labels.iter().collect::<Vec<_>>()).unwrap());
}

fn unet_with_labels<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    let unet = bench.unet();
    let labels = bench.labels(&unet);
    for name in ["even", "odd"] {
        let (latent, timesteps, [short, long]) = bench.query(name);
        let labels = labels.iter().map(Some).collect::<Vec<_>>();
        let output = unet.forward_labelled(&latent, &timesteps, &[&short, &long], &labels).unwrap();
        for (row, output) in output.unstack().iter().enumerate() {
            bench.check(&format!("{name}.output_{row}"), output);
        }
    }
}

fn unet_rows_do_not_depend_on_each_other<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    let unet = bench.unet();
    let labels = bench.labels(&unet);
    let (latent, timesteps, texts) = bench.query("odd");
    let contexts = texts.each_ref().map(|text| unet.prepare_context(text).unwrap());
    let times = [0, 1].map(|row| unet.prepare_time(timesteps[row], Some(&labels[row])).unwrap());
    let self_attention = SelfAttention::default();
    let row_of = |at: usize| UNetRow {
        time: &times[at],
        context: &contexts[at],
        self_attention,
        tiling: false,
        adapters: None,
    };
    let together = unet.run(&latent, &[row_of(0), row_of(1)], UNetDepth::Whole).unwrap().output;
    for at in [0, 1] {
        let alone = unet.run(&row(&latent, at), &[row_of(at)], UNetDepth::Whole).unwrap().output;
        assert_eq!(alone, row(&together, at));
    }
    let other = unet.prepare_time(timesteps[0], Some(&labels[1])).unwrap();
    let other =
        UNetRow { time: &other, context: &contexts[0], self_attention, tiling: false, adapters: None };
    let other = unet.run(&row(&latent, 0), &[other], UNetDepth::Whole).unwrap().output;
    assert_ne!(other, row(&together, 0), "another label changes something");
}

fn labels_of_other_sizes_are_refused<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    let unet = bench.unet();
    let sizes = PictureSizes { original: [64; 2], crop: [0; 2], target: [64; 2] };
    assert_eq!(unet.label(&Array::zeros([20]), sizes).unwrap().shape(), [68]);
    for shape in [&[19][..], &[68], &[80], &[1, 20]] {
        let error = unet.label(&Array::zeros(shape), sizes).unwrap_err().to_string();
        assert!(error.contains(&format!("{shape:?}")), "{error}");
    }
    for shape in [&[67][..], &[1, 68]] {
        let error = unet.prepare_time(1.0, Some(&Array::zeros(shape))).err().unwrap().to_string();
        assert!(error.contains(&format!("a label of shape {shape:?}, not [68]")), "{error}");
    }
    let error = unet.prepare_time(1.0, None).err().unwrap().to_string();
    assert!(error.contains("takes one of 68 features"), "{error}");

    let plain = StableDiffusion::load_unet(&bench.backend, &tiny_checkpoint(), Precision::F32).unwrap();
    for error in [
        plain.prepare_time(1.0, Some(&Array::zeros([68]))).err().unwrap(),
        plain.label(&Array::zeros([20]), sizes).unwrap_err(),
    ] {
        assert_eq!(error.to_string(), "a label for a UNet that takes none");
    }
}

fn whole_models_are_refused<B: Backend>(backend: Arc<B>) {
    let error = StableDiffusion::load(backend, &tiny_xl_checkpoint(), Precision::F32).err().unwrap();
    assert!(error.to_string().contains("a Stable Diffusion XL base checkpoint, which is not supported"));
}
