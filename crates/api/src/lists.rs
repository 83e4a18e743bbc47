//! Items of the lists of `/sdapi/v1`.

use impasto_domain::{Sampler, Schedule};
use impasto_scripts::{ScriptFacts, Tab, titles};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A sampler.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SamplerItem {
    /// Its name in requests.
    pub name: &'static str,
    /// Names it is known by elsewhere. They are not understood in requests.
    pub aliases: &'static [&'static str],
    /// What is special about it.
    pub options: BTreeMap<&'static str, &'static str>,
}

/// A schedule.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SchedulerItem {
    /// Its name.
    pub name: &'static str,
    /// Its name in the page, which requests may use too.
    pub label: &'static str,
    /// Older names.
    pub aliases: Option<&'static [&'static str]>,
    /// Rho, or -1 where there is none.
    pub default_rho: f64,
    /// Whether it asks the model for its noise levels.
    pub need_inner_model: bool,
}

/// A model.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SdModelItem {
    /// Its name and short hash.
    pub title: String,
    /// Its name.
    pub model_name: String,
    /// Short hash, once computed.
    pub hash: Option<String>,
    /// SHA-256, once computed.
    pub sha256: Option<String>,
    /// Path of its file.
    pub filename: String,
    /// Always null: configurations are read from the file's tensors.
    pub config: Option<String>,
}

/// A way to enlarge pictures.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UpscalerItem {
    /// Its name in requests.
    pub name: String,
    /// The network's name, of those that are networks.
    pub model_name: Option<String>,
    /// Path of its file.
    pub model_path: Option<String>,
    /// Always null: nothing is fetched.
    pub model_url: Option<String>,
    /// How much larger a picture becomes.
    pub scale: f64,
}

/// Something that has only a name.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NameItem {
    /// The name in requests.
    pub name: &'static str,
}

/// An autoencoder of its own.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SdVaeItem {
    /// Its file's name.
    pub model_name: String,
    /// Path of its file.
    pub filename: String,
}

/// A hypernetwork.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HypernetworkItem {
    /// Its name in prompts.
    pub name: String,
    /// Path of its file.
    pub path: String,
}

/// A way to restore faces.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FaceRestorerItem {
    /// Its name.
    pub name: &'static str,
    /// The folder of its network.
    pub cmd_dir: String,
}

/// A network of the Real-ESRGAN family that A1111 knows by name.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RealesrganItem {
    /// Its name.
    pub name: &'static str,
    /// Where its file belongs.
    pub path: String,
    /// How much larger a picture becomes.
    pub scale: u32,
}

/// A style: what a prompt becomes by its name.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StyleItem {
    /// Its name.
    pub name: String,
    /// What it makes of prompts.
    pub prompt: String,
    /// What it makes of negative prompts.
    pub negative_prompt: String,
}

/// An embedding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EmbeddingItem {
    /// Steps that it was trained for, if the file says so.
    pub step: Option<i64>,
    /// Hash of the checkpoint that it was trained on, likewise.
    pub sd_checkpoint: Option<String>,
    /// That checkpoint's name.
    pub sd_checkpoint_name: Option<String>,
    /// Features of a vector.
    pub shape: usize,
    /// Number of vectors.
    pub vectors: usize,
}

/// The embeddings there are, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EmbeddingItems {
    /// Those that the model in use can use.
    pub loaded: BTreeMap<String, EmbeddingItem>,
    /// Those that belong to other models.
    pub skipped: BTreeMap<String, EmbeddingItem>,
}

/// A LoRA or one of its kin.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LoraItem {
    /// Its name in prompts.
    pub name: String,
    /// Another name for it: the one that its maker gave it.
    pub alias: String,
    /// Path of its file.
    pub path: String,
    /// What the file says of itself. Values that are JSON are given as such.
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
}

/// Titles of scripts in small letters.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ScriptsList {
    /// For pictures from text.
    pub txt2img: Vec<String>,
    /// For pictures from pictures.
    pub img2img: Vec<String>,
}

/// What a script takes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ScriptInfo {
    /// Its title in small letters.
    pub name: String,
    /// Whether it is always on, and has its arguments in `alwayson_scripts`.
    pub is_alwayson: bool,
    /// Whether this is told of it for pictures from pictures.
    pub is_img2img: bool,
    /// Its arguments, in order: `label`, `value` if nothing is said, `minimum`, `maximum` and `step` of A1111's slider, `choices`.
    #[schema(value_type = Vec<Object>)]
    pub args: Vec<Map<String, Value>>,
}

impl ScriptsList {
    /// All scripts.
    pub fn all() -> Self {
        Self { txt2img: titles(Tab::Text), img2img: titles(Tab::Picture) }
    }
}

impl From<ScriptFacts> for ScriptInfo {
    fn from(facts: ScriptFacts) -> Self {
        Self {
            name: facts.name,
            is_alwayson: facts.is_always_on,
            is_img2img: facts.tab == Tab::Picture,
            args: facts.arguments,
        }
    }
}

/// Ways to enlarge a latent.
pub const LATENT_UPSCALE_MODES: [&str; 6] = [
    "Latent",
    "Latent (antialiased)",
    "Latent (bicubic)",
    "Latent (bicubic antialiased)",
    "Latent (nearest)",
    "Latent (nearest-exact)",
];

/// Names, files and factors of the Real-ESRGAN networks that A1111 offers.
pub const REALESRGAN: [(&str, &str, u32); 6] = [
    ("R-ESRGAN General 4xV3", "realesr-general-x4v3.pth", 4),
    ("R-ESRGAN General WDN 4xV3", "realesr-general-wdn-x4v3.pth", 4),
    ("R-ESRGAN AnimeVideo", "realesr-animevideov3.pth", 4),
    ("R-ESRGAN 4x+", "RealESRGAN_x4plus.pth", 4),
    ("R-ESRGAN 4x+ Anime6B", "RealESRGAN_x4plus_anime_6B.pth", 4),
    ("R-ESRGAN 2x+", "RealESRGAN_x2plus.pth", 2),
];

/// A file's own words as A1111 gives them: texts that hold JSON objects are opened.
pub fn opened_metadata<'a>(
    metadata: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Map<String, Value> {
    let open = |text: &String| {
        let is_object = text.trim_start().starts_with('{');
        is_object
            .then(|| serde_json::from_str(text).ok())
            .flatten()
            .unwrap_or_else(|| Value::from(text.as_str()))
    };
    metadata.into_iter().map(|(key, text)| (key.clone(), open(text))).collect()
}

/// All samplers.
pub fn samplers() -> Vec<SamplerItem> {
    let item = |sampler: Sampler| SamplerItem {
        name: sampler.name(),
        aliases: sampler.aliases(),
        options: sampler.options().iter().copied().collect(),
    };
    Sampler::all().map(item).collect()
}

/// All schedules.
pub fn schedulers() -> Vec<SchedulerItem> {
    let item = |schedule: Schedule| SchedulerItem {
        name: schedule.name(),
        label: schedule.label(),
        aliases: Some(schedule.aliases()).filter(|aliases| !aliases.is_empty()),
        default_rho: schedule.default_rho(),
        need_inner_model: schedule.need_inner_model(),
    };
    Schedule::all().map(item).collect()
}
