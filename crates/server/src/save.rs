//! Writing pictures below the data root: `outputs/txt2img-images/2026-01-31/00042-1234.png`, and several in one as
//! `outputs/txt2img-grids/2026-01-31/grid-0042.png`. Nothing that is there is ever overwritten.

use crate::file_names::{Facts, file_name, folders};
use impasto_settings::Options;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Tries with the next number when another writer was faster.
const TRIES: u32 = 100;

/// What names of grids begin with that no script has made.
pub(crate) const GRID: &str = "grid";

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Picture,
    /// Several pictures in one; the name begins so.
    Grid(&'static str),
}

/// Writes a picture's file under the next free number of its folder, and gives its path. `folder` is the option for pictures of
/// its kind, below `root`; that it has no `..` is checked where the option is set.
pub(crate) fn save_picture(
    root: &Path,
    (kind, folder): (Kind, &str),
    options: &Options,
    facts: &Facts<'_>,
    (bytes, suffix): (&[u8], &str),
    infotext: &str,
) -> Result<PathBuf, Error> {
    let (common, sorted) = match kind {
        Kind::Picture => (&options.outdir_samples, options.save_to_dirs),
        Kind::Grid(_) => (&options.outdir_grids, options.grid_save_to_dirs),
    };
    let mut path = root.join(if common.is_empty() { folder } else { common });
    if sorted {
        path.extend(folders(&options.directories_filename_pattern, facts));
    }
    std::fs::create_dir_all(&path)?;
    let pattern = match options.samples_filename_pattern.as_str() {
        "" if options.save_to_dirs => "[seed]",
        "" => "[seed]-[prompt_spaces]",
        pattern => pattern,
    };
    let decoration = match kind {
        Kind::Grid(GRID) if !options.grid_extended_filename => String::new(),
        _ => file_name(pattern, facts),
    };
    let numbered = options.save_images_add_number || decoration.is_empty();
    let first = if numbered { next_number(&path, kind)? } else { 0 };
    for number in first..first.saturating_add(TRIES) {
        let stem = stem(kind, number, numbered, &decoration);
        let file = path.join(format!("{stem}.{suffix}"));
        match OpenOptions::new().write(true).create_new(true).open(&file) {
            Ok(open) => {
                write(open, bytes, &file)?;
                if options.save_txt && kind == Kind::Picture {
                    std::fs::write(path.join(format!("{stem}.txt")), format!("{infotext}\n"))?;
                }
                return Ok(file);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(ErrorKind::AlreadyExists, format!("no free name in {}", path.display())))
}

/// Writes a file beside a picture's, named as that with `more` behind it. One that is there is left as it is.
pub(crate) fn save_beside(picture: &Path, more: &str, bytes: &[u8], suffix: &str) -> Result<(), Error> {
    let stem = picture.file_stem().unwrap_or_default().to_string_lossy();
    save_once(&picture.with_file_name(format!("{stem}{more}.{suffix}")), bytes)
}

/// Writes a file, with the folders it is in. One that is there is left as it is.
pub(crate) fn save_once(file: &Path, bytes: &[u8]) -> Result<(), Error> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(file) {
        Ok(open) => write(open, bytes, file),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// A file's name without ending. Names without numbers get one once there is a file of that name.
fn stem(kind: Kind, number: u32, numbered: bool, decoration: &str) -> String {
    let number = match (kind, numbered) {
        (Kind::Picture, true) => format!("{number:05}"),
        (Kind::Grid(name), true) => format!("{name}-{number:04}"),
        (_, false) if number > 0 => return format!("{decoration}-{number}"),
        (Kind::Picture, false) => String::new(),
        (Kind::Grid(name), false) => name.to_owned(),
    };
    match (number.is_empty(), decoration.is_empty()) {
        (true, _) => decoration.to_owned(),
        (_, true) => number,
        _ => format!("{number}-{decoration}"),
    }
}

fn write(mut file: File, bytes: &[u8], path: &Path) -> Result<(), Error> {
    file.write_all(bytes).inspect_err(|_| {
        // A part of a picture is of no use; if it cannot be removed, the first error is still the one to tell.
        let _ = std::fs::remove_file(path);
    })
}

/// One more than the greatest number of a picture or grid in the folder.
fn next_number(folder: &Path, kind: Kind) -> Result<u32, Error> {
    let mut next = 0;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_str().and_then(|name| match kind {
            Kind::Picture => Some(name),
            Kind::Grid(grid) => name.strip_prefix(grid)?.strip_prefix('-'),
        });
        let number = name.and_then(|name| name.split(['-', '.']).next()?.parse::<u32>().ok());
        next = next.max(number.map_or(0, |number| number.saturating_add(1)));
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_names::tests::facts;

    struct Place {
        root: tempfile::TempDir,
        options: Options,
    }

    impl Place {
        fn save(&self, kind: Kind, seed: u64) -> String {
            let facts = Facts { seeds: [seed; 3], ..facts() };
            let place = (kind, "outputs/x");
            let path =
                save_picture(self.root.path(), place, &self.options, &facts, (b"picture", "png"), "info")
                    .unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"picture");
            path.strip_prefix(self.root.path()).unwrap().to_str().unwrap().to_owned()
        }
    }

    fn place(change: impl FnOnce(&mut Options)) -> Place {
        let mut options = Options::default();
        change(&mut options);
        Place { root: tempfile::tempdir().unwrap(), options }
    }

    #[test]
    fn numbers_count_up_over_what_is_there() {
        let place = place(|_| {});
        assert_eq!(place.save(Kind::Picture, 7), "outputs/x/2026-01-31/00000-7.png");
        let day = place.root.path().join("outputs/x/2026-01-31");
        std::fs::write(day.join("00041-1.jpg"), b"").unwrap();
        std::fs::write(day.join("notes.txt"), b"").unwrap();
        assert_eq!(
            place.save(Kind::Picture, u64::MAX),
            "outputs/x/2026-01-31/00042-18446744073709551615.png"
        );
        assert_eq!(place.save(Kind::Grid(GRID), 7), "outputs/x/2026-01-31/grid-0000.png");
        assert_eq!(place.save(Kind::Grid(GRID), 7), "outputs/x/2026-01-31/grid-0001.png");
        assert_eq!(place.save(Kind::Grid("xyz_grid"), 7), "outputs/x/2026-01-31/xyz_grid-0000-7.png");
        assert_eq!(place.save(Kind::Grid("xyz_grid"), 8), "outputs/x/2026-01-31/xyz_grid-0001-8.png");
    }

    #[test]
    fn names_and_folders_follow_the_options() {
        let named = place(|options| {
            options.samples_filename_pattern = "[prompt_words]".to_owned();
            options.directories_filename_pattern = "[seed]/../[sampler]".to_owned();
            options.save_images_add_number = false;
            options.save_txt = true;
            options.grid_extended_filename = true;
            options.outdir_samples = "all".to_owned();
        });
        assert_eq!(named.save(Kind::Picture, 7), "all/7/DPM++ 2M/a cat it's.png");
        assert_eq!(named.save(Kind::Picture, 7), "all/7/DPM++ 2M/a cat it's-1.png");
        assert_eq!(named.save(Kind::Grid(GRID), 7), "outputs/x/7/DPM++ 2M/grid-a cat it's.png");
        let text =
            std::fs::read_to_string(named.root.path().join("all/7/DPM++ 2M/a cat it's-1.txt")).unwrap();
        assert_eq!(text, "info\n");
        let flat = place(|options| options.save_to_dirs = false);
        assert_eq!(flat.save(Kind::Picture, 7), "outputs/x/00000-7-a cat, it's_so _ good_ .._.._etc.png");
    }
}
