//! Writing pictures below the data root: `outputs/txt2img-images/2026-01-31/00042-1234.png`, and several in one as
//! `outputs/txt2img-grids/2026-01-31/grid-0042.png`.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Tries with the next number when another writer was faster.
const TRIES: u32 = 100;

/// What names of grids start with.
const GRID: &str = "grid-";

/// The file name of a picture.
pub(crate) fn picture_name(number: u32, seed: u64, suffix: &str) -> String {
    format!("{number:05}-{seed}.{suffix}")
}

/// The file name of a grid.
pub(crate) fn grid_name(number: u32, suffix: &str) -> String {
    format!("{GRID}{number:04}.{suffix}")
}

/// Writes a picture's file under the next free number of the day's folder, and gives its path. `folder` is below `root`;
/// that it has no `..` is checked where the option is set.
pub(crate) fn save_picture(
    root: &Path,
    folder: &str,
    date: &str,
    name: impl Fn(u32) -> String,
    bytes: &[u8],
) -> Result<PathBuf, Error> {
    let folder = root.join(folder).join(date);
    std::fs::create_dir_all(&folder)?;
    let first = next_number(&folder)?;
    for number in first..first.saturating_add(TRIES) {
        let path = folder.join(name(number));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return write(file, bytes, path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(ErrorKind::AlreadyExists, format!("no free number in {}", folder.display())))
}

fn write(mut file: File, bytes: &[u8], path: PathBuf) -> Result<PathBuf, Error> {
    file.write_all(bytes).inspect_err(|_| {
        // A part of a picture is of no use; if it cannot be removed, the first error is still the one to tell.
        let _ = std::fs::remove_file(&path);
    })?;
    Ok(path)
}

/// One more than the greatest number of a picture or grid in the folder.
fn next_number(folder: &Path) -> Result<u32, Error> {
    let mut next = 0;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_str().map(|name| name.strip_prefix(GRID).unwrap_or(name));
        let number = name.and_then(|name| name.split(['-', '.']).next()?.parse::<u32>().ok());
        next = next.max(number.map_or(0, |number| number.saturating_add(1)));
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_up_over_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        let save = |seed| {
            let name = |number| picture_name(number, seed, "png");
            save_picture(root.path(), "outputs/x", "2026-01-31", name, b"picture").unwrap()
        };
        let day = root.path().join("outputs/x/2026-01-31");
        assert_eq!(save(7), day.join("00000-7.png"));
        std::fs::write(day.join("00041-1.jpg"), b"").unwrap();
        std::fs::write(day.join("notes.txt"), b"").unwrap();
        assert_eq!(save(u64::MAX), day.join("00042-18446744073709551615.png"));
        let grid =
            || save_picture(root.path(), "g", "2026-01-31", |number| grid_name(number, "webp"), b"").unwrap();
        assert_eq!(grid(), root.path().join("g/2026-01-31/grid-0000.webp"));
        assert_eq!(grid(), root.path().join("g/2026-01-31/grid-0001.webp"));
        assert_eq!(std::fs::read(day.join("00000-7.png")).unwrap(), b"picture");
    }
}
