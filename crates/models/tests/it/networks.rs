//! Whole networks against transformers' and diffusers', and rows of a batch against themselves alone.

use crate::TOLERANCE;
use impasto_cpu::{CpuBackend, CpuOptions};
use impasto_models::blocks::Source;
use impasto_models::{
    Edges, ModelError, SelfAttention, StableDiffusion, Tiles, TokenVectors, UNetContext, UNetDepth, UNetRow,
    UNetTime, VaeDecoder, VaeEncoder,
};
use impasto_tensor::{Array, Backend, Precision};
use impasto_testkit::{Golden, assert_close, golden, goldens_folder, tiny_checkpoint};
use impasto_weights::Checkpoint;
use std::sync::Arc;

on_each_backend!(
    clip_gives_every_layer,
    clip_rows_do_not_depend_on_each_other,
    clip_refuses_what_it_does_not_know,
    clip_takes_vectors_in_place_of_tokens,
    unet_with_contexts_of_different_length,
    unet_rows_do_not_depend_on_each_other,
    unet_rows_share_what_was_prepared,
    unet_continues_from_kept_features,
    unet_attends_with_less_work_row_by_row,
    unet_refuses_what_does_not_fit,
    vae_decodes_and_encodes,
    an_autoencoder_of_a_file_of_its_own_is_diffusers,
    vae_rows_do_not_depend_on_each_other,
    vae_refuses_what_does_not_fit,
    patterns_have_no_edges
);

fn tiny<B: Backend>(backend: Arc<B>) -> StableDiffusion<B> {
    StableDiffusion::load(backend, &tiny_checkpoint(), Precision::F32).unwrap()
}

/// Row `row` of an array, as a batch of one.
fn row(array: &Array, row: usize) -> Array {
    Array::stack(&[&array.unstack()[row]]).unwrap()
}

fn clip_gives_every_layer<B: Backend>(backend: Arc<B>) {
    let (model, golden) = (tiny(backend), golden("clip"));
    for name in ["full", "short"] {
        let ids = golden.ids(&format!("{name}.tokens"));
        for skip in 1..=3 {
            let name = format!("{name}.skip_{skip}");
            assert_close(&name, &model.text.encode(&ids, skip).unwrap(), &golden.array(&name), TOLERANCE);
        }
    }
}

fn clip_rows_do_not_depend_on_each_other<B: Backend>(backend: Arc<B>) {
    let (model, golden) = (tiny(backend), golden("clip"));
    let ids = golden.ids("full.tokens");
    let together = model.text.encode(&ids, 1).unwrap();
    assert_eq!(model.text.encode(&ids[1..], 1).unwrap(), row(&together, 1));
}

fn clip_refuses_what_it_does_not_know<B: Backend>(backend: Arc<B>) {
    let model = tiny(backend);
    for skip in [0, 4] {
        assert!(matches!(model.text.encode(&[[0; 77]], skip), Err(ModelError::ClipSkip { layers: 3, .. })));
    }
    let end = model.tokenizer.end();
    assert!(model.text.encode(&[[end; 77]], 1).is_ok());
    assert!(model.text.encode(&[[end + 1; 77]], 1).is_err(), "an id beyond the vocabulary");
    assert!(model.text.encode(&[[0; 78]], 1).is_err(), "too many tokens");
    assert!(model.text.encode(&[vec![0; 77], vec![0; 76]], 1).is_err(), "unequal lengths");
    assert!(model.text.encode::<Vec<u32>>(&[], 1).is_err());
}

/// A word given as the vector that its token has gives what the token gives.
fn clip_takes_vectors_in_place_of_tokens<B: Backend>(backend: Arc<B>) {
    let (model, golden) = (tiny(backend), golden("clip"));
    let ids = golden.ids("short.tokens");
    let table = tiny_checkpoint();
    let table =
        table.tensor("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight").unwrap();
    let table = Array::new(table.shape(), table.read().unwrap().to_f32()).unwrap().unstack();
    let vectors = Array::stack(&[&table[ids[1][2] as usize], &table[ids[1][3] as usize]]).unwrap();
    let mut hidden = ids.clone();
    hidden[1][2..4].fill(0);
    let encode = |ids: &[Vec<u32>], part: &[TokenVectors<'_>]| model.text.encode_with(ids, 1, None, part);
    let part = TokenVectors { sequence: 1, at: 2, vectors: &vectors };
    assert_eq!(encode(&hidden, &[part]).unwrap(), encode(&ids, &[]).unwrap());
    assert_ne!(encode(&hidden, &[]).unwrap(), encode(&ids, &[]).unwrap());
    assert!(encode(&hidden, &[TokenVectors { at: 4, ..part }]).is_ok(), "what sticks out is left out");
    for odd in [
        TokenVectors { sequence: 2, ..part },
        TokenVectors { at: 9, ..part },
        TokenVectors { vectors: &Array::zeros([2, 31]), ..part },
    ] {
        assert!(encode(&hidden, &[odd]).is_err());
    }
}

/// Latents, timesteps and contexts of a UNet golden.
fn unet_query(golden: &Golden, name: &str) -> (Array, Vec<f32>, [Array; 2]) {
    let timesteps = golden.array(&format!("{name}.timestep")).into_data();
    let contexts = [0, 1].map(|row| golden.array(&format!("{name}.context_{row}")));
    (golden.array(&format!("{name}.latent")), timesteps, contexts)
}

fn unet_with_contexts_of_different_length<B: Backend>(backend: Arc<B>) {
    let (model, golden) = (tiny(backend), golden("unet"));
    for name in ["even", "odd", "line"] {
        let (latent, timesteps, [short, long]) = unet_query(&golden, name);
        let output = model.unet.forward(&latent, &timesteps, &[&short, &long]).unwrap();
        for (row, output) in output.unstack().iter().enumerate() {
            let name = format!("{name}.output_{row}");
            assert_close(&name, output, &golden.array(&name), TOLERANCE);
        }
    }
}

fn unet_rows_do_not_depend_on_each_other<B: Backend>(backend: Arc<B>) {
    let (model, golden) = (tiny(backend), golden("unet"));
    let (latent, timesteps, [short, long]) = unet_query(&golden, "odd");
    let together = model.unet.forward(&latent, &timesteps, &[&short, &long]).unwrap();
    let first = model.unet.forward(&row(&latent, 0), &timesteps[..1], &[&short]).unwrap();
    assert_eq!(first, row(&together, 0), "a longer context beside it changes nothing");
    let swapped = Array::stack(&[&latent.unstack()[1], &latent.unstack()[0]]).unwrap();
    let swapped = model.unet.forward(&swapped, &[timesteps[1], timesteps[0]], &[&long, &short]).unwrap();
    assert_eq!(row(&swapped, 1), first, "nor does the place in the batch");
}

/// A row whose pixels all attend to each other.
fn plain_row<'a, B: Backend>(time: &'a UNetTime<B>, context: &'a UNetContext<B>) -> UNetRow<'a, B> {
    UNetRow { time, context, self_attention: SelfAttention::default(), tiling: false, adapters: None }
}

fn unet_attends_with_less_work_row_by_row<B: Backend>(backend: Arc<B>) {
    let (model, golden) = (tiny(backend), golden("unet"));
    let (latent, timesteps, texts) = unet_query(&golden, "even");
    let unet = &model.unet;
    let time = unet.prepare_time(timesteps[0], None).unwrap();
    let contexts = texts.each_ref().map(|text| unet.prepare_context(text).unwrap());
    let run =
        |latent: &Array, rows: &[UNetRow<'_, B>]| unet.run(latent, rows, UNetDepth::Whole).unwrap().output;
    let plain = contexts.each_ref().map(|context| plain_row(&time, context));
    let whole = run(&latent, &plain);
    let tiles = Some(Tiles { edge: 2, choices: 1, max_level: 3, seed: 5 });
    let one_tile = Some(Tiles { edge: 99, choices: 1, max_level: 3, seed: 5 });
    for (self_attention, is_whole) in [
        (SelfAttention { merged: 0.5, tiles: None }, false),
        (SelfAttention { merged: 0.0, tiles }, false),
        (SelfAttention { merged: 0.0, tiles: one_tile }, true),
    ] {
        let [first, second] = contexts.each_ref().map(|context| plain_row(&time, context));
        let mixed = run(&latent, &[first, UNetRow { self_attention, ..second }]);
        assert_eq!(row(&mixed, 0), row(&whole, 0), "a row beside it changes nothing");
        assert_eq!(row(&mixed, 1) == row(&whole, 1), is_whole, "{self_attention:?}");
        let alone = UNetRow { self_attention, ..plain_row(&time, &contexts[1]) };
        assert_eq!(run(&row(&latent, 1), &[alone]), row(&mixed, 1));
    }
}

fn unet_rows_share_what_was_prepared<B: Backend>(backend: Arc<B>) {
    let (model, golden) = (tiny(backend), golden("unet"));
    let (latent, timesteps, [short, long]) = unet_query(&golden, "even");
    let time = model.unet.prepare_time(timesteps[0], None).unwrap();
    let contexts = [&short, &long].map(|text| model.unet.prepare_context(text).unwrap());
    let rows = contexts.each_ref().map(|context| plain_row(&time, context));
    let wanted = model.unet.forward(&latent, &[timesteps[0]; 2], &[&short, &long]).unwrap();
    for _ in 0..2 {
        assert_eq!(model.unet.run(&latent, &rows, UNetDepth::Whole).unwrap().output, wanted);
    }

    // The second text is so long that its keys are computed anew in each call.
    let many = Array::new([9 * 77, 32], [short.data(); 9].concat()).unwrap();
    let few = Array::new([8 * 77, 32], [short.data(); 8].concat()).unwrap();
    for text in [few, many] {
        let alone = model.unet.forward(&row(&latent, 0), &timesteps[..1], &[&text]).unwrap();
        let beside = model.unet.forward(&latent, &[timesteps[0]; 2], &[&text, &short]).unwrap();
        assert_eq!(row(&beside, 0), alone);
    }
}

fn unet_continues_from_kept_features<B: Backend>(backend: Arc<B>) {
    let (model, golden) = (tiny(backend), golden("unet"));
    let (latent, timesteps, texts) = unet_query(&golden, "odd");
    let unet = &model.unet;
    let times: Vec<_> = timesteps.iter().map(|&time| unet.prepare_time(time, None).unwrap()).collect();
    let contexts = texts.each_ref().map(|text| unet.prepare_context(text).unwrap());
    let rows: Vec<_> = times.iter().zip(&contexts).map(|(time, context)| plain_row(time, context)).collect();
    let whole = unet.run(&latent, &rows, UNetDepth::Whole).unwrap();
    assert_eq!(whole.features, None);
    for stages in [0, 1, 2, 3, 99] {
        let kept = unet.run(&latent, &rows, UNetDepth::Keep { stages }).unwrap();
        assert_eq!(kept.output, whole.output, "{stages}: keeping changes nothing");
        let features = kept.features.unwrap();
        let again = unet.run(&latent, &rows, UNetDepth::Reuse { stages, features: &features }).unwrap();
        assert_eq!(again, whole, "{stages}: features of the same step give its output");

        let other = Array::new(latent.shape(), latent.data().iter().map(|x| x * 0.9).collect()).unwrap();
        let reuse = UNetDepth::Reuse { stages, features: &features };
        let together = unet.run(&other, &rows, reuse).unwrap().output;
        assert_ne!(together, whole.output);
        let features = row(&features, 1);
        let reuse = UNetDepth::Reuse { stages, features: &features };
        let alone = unet.run(&row(&other, 1), &rows[1..], reuse).unwrap().output;
        assert_eq!(alone, row(&together, 1), "{stages}: nor do rows depend on each other");
    }
    let odd = Array::zeros([2, 3, 3, 16]);
    assert!(unet.run(&latent, &rows, UNetDepth::Reuse { stages: 1, features: &odd }).is_err());
}

fn unet_refuses_what_does_not_fit<B: Backend>(backend: Arc<B>) {
    let model = tiny(backend);
    let (latent, context) = (Array::zeros([1, 4, 8, 8]), Array::zeros([77, 32]));
    assert!(model.unet.forward(&latent, &[1.0], &[&context]).is_ok());
    for shape in [[1, 3, 8, 8], [1, 4, 0, 8], [0, 4, 8, 8]] {
        assert!(model.unet.forward(&Array::zeros(shape), &[1.0], &[&context]).is_err(), "{shape:?}");
    }
    assert!(model.unet.forward(&Array::zeros([4, 8, 8]), &[1.0], &[&context]).is_err());
    assert!(model.unet.forward(&latent, &[1.0, 2.0], &[&context]).is_err());
    assert!(model.unet.forward(&latent, &[1.0], &[]).is_err());
    let label = Array::zeros([68]);
    assert!(model.unet.forward_labelled(&latent, &[1.0], &[&context], &[Some(&label)]).is_err());
    for shape in [[77, 31], [0, 32]] {
        assert!(model.unet.forward(&latent, &[1.0], &[&Array::zeros(shape)]).is_err(), "{shape:?}");
    }
}

fn vae_decodes_and_encodes<B: Backend>(backend: Arc<B>) {
    let encoder = StableDiffusion::load_encoder(&backend, &tiny_checkpoint()).unwrap();
    let (model, golden) = (tiny(backend), golden("vae"));
    for name in ["square", "wide"] {
        let decoded = model.decoder.decode(&golden.array(&format!("{name}.latent"))).unwrap();
        assert_close(name, &decoded, &golden.array(&format!("{name}.decoded")), TOLERANCE);
        let encoded = encoder.encode_mean(&golden.array(&format!("{name}.image"))).unwrap();
        assert_close(name, &encoded, &golden.array(&format!("{name}.encoded")), TOLERANCE);
    }
}

#[expect(clippy::needless_pass_by_value, reason = "tests of a backend are given it")]
fn an_autoencoder_of_a_file_of_its_own_is_diffusers<B: Backend>(backend: Arc<B>) {
    let (golden, own) = (golden("vae_files"), tiny_checkpoint().config().unwrap().vae);
    for name in ["diffusers.safetensors", "ldm.pt"] {
        let file = Checkpoint::open_autoencoder(&goldens_folder().join("vae").join(name)).unwrap();
        let config = file.autoencoder(&own).unwrap();
        assert_eq!(config.channels, [4, 4, 8, 8]);
        let source = Source::new(&*backend, &file).at("first_stage_model");
        let decoder = VaeDecoder::load(backend.clone(), &source, &config).unwrap();
        let decoded = decoder.decode(&golden.array("latent")).unwrap();
        assert_close(name, &decoded, &golden.array("decoded"), TOLERANCE);
        let encoder = VaeEncoder::load(backend.clone(), &source, &config).unwrap();
        let encoded = encoder.encode_mean(&golden.array("picture")).unwrap();
        assert_close(name, &encoded, &golden.array("encoded"), TOLERANCE);
    }
}

fn vae_rows_do_not_depend_on_each_other<B: Backend>(backend: Arc<B>) {
    let (model, golden) = (tiny(backend), golden("vae"));
    let latent = golden.array("wide.latent");
    let together = model.decoder.decode(&latent).unwrap();
    assert_eq!(model.decoder.decode(&row(&latent, 1)).unwrap(), row(&together, 1));
}

fn vae_refuses_what_does_not_fit<B: Backend>(backend: Arc<B>) {
    let encoder = StableDiffusion::load_encoder(&backend, &tiny_checkpoint()).unwrap();
    let model = tiny(backend);
    assert!(model.decoder.decode(&Array::zeros([1, 3, 4, 4])).is_err());
    assert!(model.decoder.decode(&Array::zeros([0, 4, 4, 4])).is_err());
    assert!(model.decoder.decode(&Array::zeros([4, 4, 4])).is_err());
    assert!(encoder.encode_mean(&Array::zeros([1, 3, 12, 16])).is_err(), "not a multiple of 8");
    assert!(encoder.encode_mean(&Array::zeros([1, 3, 0, 16])).is_err());
}

/// A picture `[1, channels, height, width]` moved down and to the right, what leaves it coming back on the other side.
fn rolled(picture: &Array, [down, right]: [usize; 2]) -> Array {
    let &[_, channels, height, width] = picture.shape() else { panic!("{:?}", picture.shape()) };
    let at = |channel: usize, y: usize, x: usize| {
        let (y, x) = ((y + height - down) % height, (x + width - right) % width);
        picture.data()[(channel * height + y) * width + x]
    };
    let places =
        (0..channels * height * width).map(|i| (i / (height * width), i / width % height, i % width));
    Array::new(picture.shape().to_vec(), places.map(|(c, y, x)| at(c, y, x)).collect::<Vec<_>>()).unwrap()
}

fn patterns_have_no_edges<B: Backend>(backend: Arc<B>) {
    let encoder = StableDiffusion::load_encoder(&backend, &tiny_checkpoint()).unwrap();
    let model = tiny(backend);
    let element = |i: usize| (i as f32 * 1.3).sin();
    let array =
        |shape: [usize; 4]| Array::new(shape, (0..shape.iter().product()).map(element).collect()).unwrap();
    let latent = array([1, 4, 8, 16]);
    let decode = |latent: &Array, edges| model.decoder.decode_with(latent, edges).unwrap();
    let decoded = decode(&latent, Edges::GoOn);
    assert_close(
        "decoder",
        &decode(&rolled(&latent, [3, 5]), Edges::GoOn),
        &rolled(&decoded, [24, 40]),
        TOLERANCE,
    );
    assert_ne!(decode(&latent, Edges::Ends), decoded);
    assert_ne!(
        decode(&rolled(&latent, [3, 5]), Edges::Ends),
        rolled(&decode(&latent, Edges::Ends), [24, 40])
    );
    let picture = array([1, 3, 64, 64]);
    let edges = [Edges::Ends, Edges::GoOn].map(|edges| encoder.encode_mean_with(&picture, edges).unwrap());
    assert_ne!(edges[0], edges[1]);

    let time = model.unet.prepare_time(500.0, None).unwrap();
    let features = model.config.unet.context_features;
    let context = Array::new([3, features], (0..3 * features).map(element).collect()).unwrap();
    let context = model.unet.prepare_context(&context).unwrap();
    let run = |latent: &Array, tiling| {
        let row = UNetRow { tiling, ..plain_row(&time, &context) };
        model.unet.run(latent, &[row], UNetDepth::Whole).unwrap().output
    };
    // As far as the coarsest level's pixels reach.
    let whole = run(&latent, true);
    assert_close("unet", &run(&rolled(&latent, [0, 8]), true), &rolled(&whole, [0, 8]), TOLERANCE);
    assert_ne!(run(&latent, false), whole);
    let rows = [true, false].map(|tiling| UNetRow { tiling, ..plain_row(&time, &context) });
    let two = Array::stack(&[&latent.unstack()[0], &latent.unstack()[0]]).unwrap();
    assert!(model.unet.run(&two, &rows, UNetDepth::Whole).is_err());
}

/// On the fast backend alone: the picture is 512 x 1280 pixels.
#[test]
fn vae_decodes_large_latents_in_tiles() {
    let model = tiny(Arc::new(CpuBackend::new(CpuOptions::default()).unwrap()));
    let (height, width) = (64, 160);
    let element = |i: usize| (i as f32 * 1.3).sin();
    let latent = Array::new([1, 4, height, width], (0..4 * height * width).map(element).collect()).unwrap();
    let picture = model.decoder.decode(&latent).unwrap();
    assert_eq!(picture.shape(), [1, 3, 8 * height, 8 * width]);
    assert!(picture.data().iter().all(|pixel| pixel.is_finite()));

    // The first tile is 64 wide, the second begins at 48: up to there the picture is the first tile's alone.
    let first = latent.data().chunks(width).flat_map(|line| line[..64].to_vec()).collect();
    let first = model.decoder.decode(&Array::new([1, 4, height, 64], first).unwrap()).unwrap();
    let lines = picture.data().chunks(8 * width).zip(first.data().chunks(8 * 64));
    for (line, (whole, tile)) in lines.enumerate() {
        assert_eq!(whole[..8 * 48], tile[..8 * 48], "line {line}");
    }
}
