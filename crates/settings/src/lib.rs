//! The one table of settings and what is derived from it.
//!
//! [`ServeSettings`] are read when the program starts: defaults, then `impasto.toml`, then `IMPASTO_*` variables, then
//! flags. [`Options`] may be changed while it runs, by `/sdapi/v1/options`, and live in `config.json` of the data root.
//! Both are declared in `table.rs`, and nowhere else; `stored` has the options of A1111's that are kept without an effect.

mod error;
mod load;
mod markdown;
mod options_file;
mod stored;
mod table;
mod value;

pub use error::SettingsError;
pub use load::{flag_name, from_toml, variable_name};
pub use markdown::render_markdown;
pub use options_file::OptionsFile;
pub use stored::{StoredOptions, option_without_effect};
pub use table::{Options, ServeSettings};
pub use value::{Bound, Row};
