//! Each kind of the UNet's blocks against diffusers' (`reference/make_models.py`).

use crate::TOLERANCE;
use impasto_models::blocks::{
    Context, Downsample, LevelSizes, Place, ResBlock, ResBlockNames, Run, Source, SpatialTransformer, Stage,
    StageConditions, TimeEmbedding, TransformerSizes, UpPart, Upsample,
};
use impasto_tensor::{Array, Backend};
use impasto_testkit::{Golden, assert_close, golden, tiny_checkpoint};
use impasto_weights::Checkpoint;
use std::sync::Arc;

on_each_backend!(
    time_embedding,
    residual_blocks,
    spatial_transformer,
    resampling,
    down_level,
    bottom,
    up_level,
    a_damaged_checkpoint_is_refused_by_name,
    too_few_skips_are_an_error
);

/// Channels of the fine and the coarse level, features of a context token and of the time embedding.
const FINE: usize = 16;
const COARSE: usize = 32;
const CONTEXT: usize = 32;
const TIME: usize = 64;
const GROUPS: usize = 8;

struct Bench<B> {
    backend: Arc<B>,
    checkpoint: Checkpoint,
    golden: Golden,
}

impl<B: Backend> Bench<B> {
    fn new(backend: Arc<B>) -> Self {
        Self { backend, checkpoint: tiny_checkpoint(), golden: golden("unet_blocks") }
    }

    fn plain(&self) -> Run<'_, B> {
        Run::plain(&*self.backend)
    }

    fn source(&self) -> Source<'_, B> {
        Source::new(&*self.backend, &self.checkpoint).at("model.diffusion_model")
    }

    fn picture(&self, name: &str) -> B::Tensor {
        self.backend.upload(&self.golden.array(name).to_channels_last().unwrap()).unwrap()
    }

    fn time(&self) -> B::Tensor {
        self.backend.upload(&self.golden.array("time")).unwrap()
    }

    fn context(&self, transformer: Option<&SpatialTransformer<B>>) -> Context<B::Tensor> {
        let rows = self.golden.array("context").unstack();
        let keys = |text: &Array| {
            let text = self.backend.upload(text).unwrap();
            transformer.map(|transformer| transformer.project_context(&self.plain(), &text).unwrap())
        };
        Context { rows: rows.iter().map(|text| keys(text).unwrap_or_default()).collect() }
    }

    fn conditions(&self, stage: &Stage<B>) -> StageConditions<B::Tensor> {
        let time = stage.project_time(&self.plain(), &self.time()).unwrap();
        StageConditions {
            time,
            context: self.context(stage.transformer()),
            self_attention: Vec::new(),
            index: 0,
        }
    }

    fn run(&self, stage: &Stage<B>, x: &B::Tensor) -> B::Tensor {
        stage.forward(&self.plain(), x, &self.conditions(stage)).unwrap()
    }

    fn check(&self, name: &str, picture: &B::Tensor) {
        let got: Array = self.backend.download(picture).unwrap().to_channels_first().unwrap();
        assert_close(name, &got, &self.golden.array(name), TOLERANCE);
    }
}

fn level(channels: usize, depth: usize) -> LevelSizes {
    LevelSizes {
        transformer: TransformerSizes {
            channels,
            context_features: CONTEXT,
            heads: 2,
            depth,
            groups: GROUPS,
        },
        time_features: TIME,
        level: 0,
    }
}

fn time_embedding<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    let block = TimeEmbedding::load(&bench.source().at("time_embed"), FINE, TIME).unwrap();
    let timesteps = bench.golden.array("time_embedding.timesteps");
    let output = block.forward(&bench.plain(), timesteps.data(), None).unwrap();
    let name = "time_embedding.output";
    assert_close(name, &bench.backend.download(&output).unwrap(), &bench.golden.array(name), TOLERANCE);
}

fn residual_blocks<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    for (name, place, inputs) in
        [("resnet", "input_blocks.1.0", FINE), ("resnet_shortcut", "output_blocks.3.0", 2 * FINE)]
    {
        let source = bench.source().at(place);
        let block =
            ResBlock::load(&source, &ResBlockNames::UNET, [inputs, FINE], Some(TIME), GROUPS).unwrap();
        let x = bench.picture(&format!("{name}.x"));
        let time = block.project_time(&bench.plain(), &bench.time()).unwrap();
        let output = block.forward(&bench.plain(), &x, Some(&time)).unwrap();
        bench.check(&format!("{name}.output"), &output);
    }
}

fn spatial_transformer<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    let source = bench.source().at("input_blocks.1.1");
    let block = SpatialTransformer::load(&source, level(FINE, 1).transformer).unwrap();
    let x = bench.picture("transformer.x");
    let context = bench.context(Some(&block));
    bench.check(
        "transformer.output",
        &block.forward(&bench.plain(), &x, &context, &[], Place { level: 0, stage: 0 }).unwrap(),
    );
}

fn resampling<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    let source = bench.source();
    let padding = Downsample::<B>::UNET_PADDING;
    let down = Downsample::load(&source, "input_blocks.2.0.op", FINE, padding).unwrap();
    bench.check("downsample.output", &down.forward(&bench.plain(), &bench.picture("downsample.x")).unwrap());
    let up = Upsample::load(&source, "output_blocks.3.2.conv", FINE).unwrap();
    for (name, size) in [("upsample", [12, 10]), ("upsample_odd", [11, 9])] {
        let x = bench.picture(&format!("{name}.x"));
        bench.check(&format!("{name}.output"), &up.forward(&bench.plain(), &x, size).unwrap());
    }
}

fn down_level<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    let source = bench.source().at("input_blocks");
    let stage = Stage::load(&source.at("1"), FINE, level(FINE, 1)).unwrap();
    let skip = bench.run(&stage, &bench.picture("down.x"));
    bench.check("down.skip", &skip);
    let padding = Downsample::<B>::UNET_PADDING;
    let down = Downsample::load(&source, "2.0.op", FINE, padding).unwrap();
    bench.check("down.output", &down.forward(&bench.plain(), &skip).unwrap());
}

fn bottom<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    let source = bench.source().at("middle_block");
    let first = Stage::load(&source, COARSE, level(COARSE, 1)).unwrap();
    let second = Stage::load_plain(&source.at("2"), COARSE, level(COARSE, 1)).unwrap();
    bench.check("bottom.output", &bench.run(&second, &bench.run(&first, &bench.picture("bottom.x"))));
}

/// The two parts of the finer level on the way up, as far as its upsampling.
fn up_parts<B: Backend>(bench: &Bench<B>) -> [UpPart<B>; 2] {
    let source = bench.source().at("output_blocks");
    let sizes = level(FINE, 1);
    let upsample = Upsample::load(&source.at("3"), "2.conv", FINE).unwrap();
    [
        UpPart { stage: Stage::load(&source.at("2"), COARSE + FINE, sizes).unwrap(), upsample: None },
        UpPart { stage: Stage::load(&source.at("3"), FINE + FINE, sizes).unwrap(), upsample: Some(upsample) },
    ]
}

fn up_level<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    // The picture that tells the size comes from the level above, whose skip is not taken.
    let size = bench.backend.upload(&Array::zeros([2, 6, 6, FINE])).unwrap();
    let mut skips = vec![size, bench.picture("up.skip_0"), bench.picture("up.skip_1")];
    let mut x = bench.picture("up.x");
    for part in up_parts(&bench) {
        x = part.forward(&bench.plain(), &x, &bench.conditions(&part.stage), &mut skips).unwrap();
    }
    bench.check("up.output", &x);
    assert_eq!(skips.len(), 1);
}

fn a_damaged_checkpoint_is_refused_by_name<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    let error = TimeEmbedding::load(&bench.source().at("time_embed"), FINE, TIME + 1).err().unwrap();
    assert!(error.to_string().contains("model.diffusion_model.time_embed.0"), "{error}");
    assert!(TimeEmbedding::load(&bench.source().at("nowhere"), FINE, TIME).is_err());
}

fn too_few_skips_are_an_error<B: Backend>(backend: Arc<B>) {
    let bench = Bench::new(backend);
    let [first, last] = up_parts(&bench);
    let (x, mut skips) = (bench.picture("up.x"), vec![bench.picture("up.skip_1")]);
    let conditions = bench.conditions(&first.stage);
    let next = first.forward(&bench.plain(), &x, &conditions, &mut skips).unwrap();
    assert!(last.forward(&bench.plain(), &next, &conditions, &mut skips).is_err());
}
