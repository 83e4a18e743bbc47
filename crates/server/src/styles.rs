//! The styles of the data root, from A1111's `styles.csv`.

use crate::error::Failure;
use impasto_api::ApiError;
use impasto_domain::{Style, parse_styles};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

/// Most bytes of the file that are read.
const MOST_BYTES: u64 = 16 << 20;

/// The styles in the file below `data_dir`; none if there is no file.
pub(crate) fn read_styles(data_dir: &Path) -> Result<Vec<Style>, Failure> {
    let path = data_dir.join("styles.csv");
    let unreadable = |problem: String| {
        Failure(ApiError::exception("RuntimeError", format!("cannot read {}: {problem}", path.display())))
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(unreadable(format!("it is larger than {MOST_BYTES} bytes")));
    }
    parse_styles(&bytes).map_err(|error| unreadable(error.to_string()))
}
