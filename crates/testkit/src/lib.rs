//! Golden files, a tiny random model and tolerance checks for tests. Test code: it panics with an explanation where a
//! library would return an error.

mod close;
mod golden;

pub use close::{assert_close, relative_l2};
pub use golden::{Golden, golden, golden_json, goldens_folder, tiny_checkpoint, tiny_xl_checkpoint};
