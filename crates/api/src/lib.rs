//! Wire types of the HTTP interfaces: `/sdapi/v1` as AUTOMATIC1111 v1.10 has it, and our own `/api/v1`.
//!
//! Bodies come in as JSON values and are read leniently, as A1111's library does; answers have its keys in its order.
//! Nothing here knows of an HTTP framework or of the engine.

mod absent;
mod coerce;
mod convert;
mod error;
mod extras;
mod flows;
mod img2img;
mod info;
mod infotext;
mod jobs;
mod lists;
mod neutral;
mod progress;
mod tasks;
mod tokens;
mod txt2img;

pub use absent::{Info, InterrogateRequest};
pub use convert::{decoding, override_options, precision, prompt_rules, sampler_options, shortcuts};
pub use error::{ApiError, Fault, ValidationError, ValidationErrors};
pub use extras::{
    ExtrasBatchRequest, ExtrasBatchResponse, ExtrasFields, ExtrasSingleRequest, ExtrasSingleResponse,
    FileData,
};
pub use img2img::{DecodedPictures, Img2ImgRequest, PictureFields};
pub use info::{
    Img2ImgResponse, PngInfo, PngInfoRequest, Txt2ImgInfo, Txt2ImgResponse, extra_generation_params,
};
pub use infotext::infotext_of;
pub use jobs::{
    Accepted, Job, JobImage, JobPreview, JobSubmission, KeptPicture, Limits, Model, SamplerName,
    ScheduleName, ServerInfo,
};
pub use lists::{
    EmbeddingItem, EmbeddingItems, FaceRestorerItem, HypernetworkItem, LATENT_UPSCALE_MODES, LoraItem,
    NameItem, REALESRGAN, RealesrganItem, SamplerItem, SchedulerItem, ScriptInfo, ScriptsList, SdModelItem,
    SdVaeItem, StyleItem, UpscalerItem, opened_metadata, samplers, schedulers,
};
pub use progress::{Progress, ProgressState};
pub use tasks::{PendingTasks, TaskProgress, TaskProgressRequest};
pub use tokens::{Tokens, TokensRequest};
pub use txt2img::Txt2ImgRequest;
