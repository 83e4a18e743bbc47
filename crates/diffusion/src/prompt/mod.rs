//! From a prompt to what the UNet attends to: attention marks, chunks of tokens, and weights on text vectors.

mod attention;
mod chunks;
mod emphasis;

pub use attention::{Segment, parse_attention};
pub use chunks::{CHUNK_TOKENS, Chunk, MAX_CHUNKS, Vocabulary, chunk, chunks_of, surely_fits};
pub(crate) use emphasis::emphasize;
