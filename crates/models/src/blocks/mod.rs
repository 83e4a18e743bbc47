//! The blocks that the UNet and the autoencoder are made of. Each loads itself from a [`Source`] and runs forward on a
//! [`Run`] it is handed, which is a backend; pictures are `[batch, height, width, channels]`.

mod attention;
mod resnet;
mod run;
mod sample;
mod self_attention;
mod source;
mod stage;
mod time_embedding;
mod token_merging;
mod transformer;

pub use attention::PictureAttention;
pub use resnet::{ResBlock, ResBlockNames};
pub use run::{Conv2d, Layer, Linear, Norm, Run};
pub use sample::{Downsample, Upsample};
pub use self_attention::{Place, SelfAttention, Tiles, mix};
pub use source::Source;
pub use stage::{DownPart, LevelSizes, Stage, StageConditions, UpPart};
pub use time_embedding::{LabelEmbedding, TimeEmbedding};
pub use transformer::{Context, Keys, SpatialTransformer, TransformerSizes};
