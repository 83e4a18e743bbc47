//! Where pictures go: names are chosen and checked before any work is done, and nothing is overwritten unasked.

use crate::failure::failure;
use anyhow::Context as _;
use impasto_engine::FinishedImage;
use impasto_imaging::{Format, Pixels, encode};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Default names run up to this number.
const LAST_NUMBER: u32 = 9999;

/// The files of one run.
#[derive(Debug)]
pub(crate) struct Destination {
    /// By number of the picture.
    paths: Vec<PathBuf>,
    force: bool,
}

impl Destination {
    /// Chooses the files; an error if one exists and `force` is not given, or if the folder is missing.
    pub(crate) fn plan(output: Option<&Path>, pictures: u32, force: bool) -> anyhow::Result<Self> {
        let base = match output {
            Some(path) => path.to_path_buf(),
            None => free_name()?,
        };
        if base.file_name().is_none() || base.is_dir() {
            return Err(failure(
                format!("{} is not a file name", base.display()),
                "give a file, such as -o apple.png",
            ));
        }
        let folder = base.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(failure(
                format!("there is no folder {}", folder.display()),
                format!("make it: mkdir -p {}", folder.display()),
            ));
        }
        let paths = if pictures <= 1 {
            vec![base]
        } else {
            (1..=pictures).map(|number| numbered(&base, number)).collect()
        };
        if let Some(path) = paths.iter().find(|path| !force && path.exists()) {
            return Err(exists(path));
        }
        Ok(Self { paths, force })
    }

    /// Writes the pictures; the files written, in their order.
    pub(crate) fn write(&self, images: &[FinishedImage]) -> anyhow::Result<Vec<PathBuf>> {
        images.iter().map(|image| self.write_one(image)).collect()
    }

    fn write_one(&self, image: &FinishedImage) -> anyhow::Result<PathBuf> {
        let path = self.paths.get(image.index as usize).context("more pictures than were asked for")?;
        let picture = &image.picture;
        let pixels = Pixels { width: picture.width, height: picture.height, rgb: &picture.rgb };
        let bytes = encode(pixels, Format::Png, Some(&image.infotext))?;
        let mut options = OpenOptions::new();
        options.write(true);
        // Asked of the file system once more: somebody may have made the file while the picture was in the making.
        let options = if self.force { options.create(true).truncate(true) } else { options.create_new(true) };
        let mut file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(exists(path)),
            Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
        };
        if let Err(error) = file.write_all(&bytes) {
            // Half a picture is worse than none.
            let _ = std::fs::remove_file(path);
            return Err(error).with_context(|| format!("cannot write {}", path.display()));
        }
        Ok(path.clone())
    }
}

fn exists(path: &Path) -> anyhow::Error {
    failure(format!("{} exists", path.display()), "--force overwrites it; -o names another file")
}

/// `folder/name.png` and 2 make `folder/name-2.png`.
fn numbered(base: &Path, number: u32) -> PathBuf {
    let stem = base.file_stem().unwrap_or_default().to_string_lossy();
    let name = match base.extension() {
        Some(extension) => format!("{stem}-{number}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{number}"),
    };
    base.with_file_name(name)
}

/// The first name of the default row that neither one picture nor a numbered row of them has taken.
fn free_name() -> anyhow::Result<PathBuf> {
    (1..=LAST_NUMBER)
        .map(|number| PathBuf::from(format!("impasto-{number:04}.png")))
        .find(|path| !path.exists() && !numbered(path, 1).exists())
        .ok_or_else(|| failure("all names up to impasto-9999.png are taken", "name a file with -o"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_pictures_are_numbered() {
        let folder = std::env::temp_dir();
        let base = folder.join("impasto-test-none.png");
        let plan = Destination::plan(Some(&base), 2, false).unwrap();
        let names: Vec<_> =
            plan.paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["impasto-test-none-1.png", "impasto-test-none-2.png"]);
        assert_eq!(Destination::plan(Some(&base), 1, false).unwrap().paths, [base]);
    }

    #[test]
    fn what_cannot_be_written_is_refused_before_work() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        for path in [here.to_path_buf(), here.join("Cargo.toml"), here.join("no/such/apple.png")] {
            assert!(Destination::plan(Some(&path), 1, false).is_err(), "{}", path.display());
        }
        assert!(Destination::plan(Some(&here.join("Cargo.toml")), 1, true).is_ok());
    }
}
