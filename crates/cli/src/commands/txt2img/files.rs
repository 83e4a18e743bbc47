//! Where pictures go: names are chosen and checked before any work is done, and nothing is overwritten unasked.

use crate::failure::{failure, usage};
use anyhow::Context as _;
use impasto_engine::FinishedImage;
use impasto_imaging::{Format, Metadata, Pixels, Rgb, encode, encode_picture};
use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

/// Default names run up to this number.
const LAST_NUMBER: u32 = 9999;

/// What stands for standard output.
const STDOUT: &str = "-";

/// Where the pictures of one run go, and in which format.
#[derive(Debug)]
pub(crate) struct Destination {
    place: Place,
    format: Format,
}

#[derive(Debug)]
enum Place {
    Stdout,
    Files {
        /// By number of the picture.
        paths: Vec<PathBuf>,
        force: bool,
    },
}

impl Destination {
    /// Chooses the files; an error if one exists and `force` is not given, or if the folder is missing. The suffix
    /// decides the format; without one it is PNG.
    pub(crate) fn plan(
        output: Option<&Path>,
        pictures: u32,
        force: bool,
        jpeg_quality: u8,
    ) -> anyhow::Result<Self> {
        if output == Some(Path::new(STDOUT)) {
            check_stdout(pictures)?;
            return Ok(Self { place: Place::Stdout, format: Format::Png });
        }
        let base = match output {
            Some(path) => path.to_path_buf(),
            None => free_name()?,
        };
        let is_folder = base.as_os_str().as_encoded_bytes().ends_with(b"/") || base.is_dir();
        if base.file_name().is_none() || is_folder {
            return Err(failure(
                format!("{} is not a file name", base.display()),
                "give a file, such as -o apple.png",
            ));
        }
        let format = format_of(&base, jpeg_quality)?;
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
        Ok(Self { place: Place::Files { paths, force }, format })
    }

    /// Whether pictures go to standard output, where nothing else may go then.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self.place, Place::Stdout)
    }

    /// Writes the pictures; the files written, in their order.
    pub(crate) fn write(&self, images: &[FinishedImage]) -> anyhow::Result<Vec<PathBuf>> {
        let mut written = Vec::new();
        for image in images {
            let picture = &image.picture;
            let pixels = Pixels { width: picture.width, height: picture.height, rgb: &picture.rgb };
            let bytes = encode(pixels, self.format, Some(&image.infotext))?;
            written.extend(self.put(image.index as usize, &bytes)?);
        }
        Ok(written)
    }

    /// Writes the only picture, with the texts of another; the file written.
    pub(crate) fn write_picture(&self, picture: &Rgb, texts: &Metadata) -> anyhow::Result<Option<PathBuf>> {
        self.put(0, &encode_picture(picture, self.format, texts.texts())?)
    }

    /// Writes the file of a picture's number; its path.
    fn put(&self, number: usize, bytes: &[u8]) -> anyhow::Result<Option<PathBuf>> {
        match &self.place {
            Place::Stdout => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()?;
                Ok(None)
            }
            Place::Files { paths, force } => {
                let path = paths.get(number).context("more pictures than were asked for")?;
                write_file(path, bytes, *force)?;
                Ok(Some(path.clone()))
            }
        }
    }
}

fn check_stdout(pictures: u32) -> anyhow::Result<()> {
    if pictures > 1 {
        return Err(usage(
            format!("-o - writes one picture to standard output, and {pictures} pictures are asked for"),
            "name a file with -o; they are numbered",
        ));
    }
    if std::io::stdout().is_terminal() {
        return Err(usage(
            "standard output is a terminal, and a picture would garble it",
            "send it elsewhere (-o - > apple.png), or name a file with -o",
        ));
    }
    Ok(())
}

/// The format that a file's suffix means.
fn format_of(path: &Path, jpeg_quality: u8) -> anyhow::Result<Format> {
    let Some(suffix) = path.extension() else { return Ok(Format::Png) };
    let suffix = suffix.to_string_lossy().to_lowercase();
    Format::from_name(&suffix, jpeg_quality).ok_or_else(|| {
        usage(
            format!("{} has a suffix that stands for no format of pictures here", path.display()),
            "end it with .png, .jpg, .jpeg or .webp; without a suffix it is PNG",
        )
    })
}

fn write_file(path: &Path, bytes: &[u8], force: bool) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    // Asked of the file system once more: somebody may have made the file while the picture was in the making.
    let options = if force { options.create(true).truncate(true) } else { options.create_new(true) };
    let mut file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(exists(path)),
        Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
    };
    if let Err(error) = file.write_all(bytes) {
        // Half a picture is worse than none; devices stay.
        if file.metadata().is_ok_and(|about| about.is_file()) {
            let _ = std::fs::remove_file(path);
        }
        return Err(error).with_context(|| format!("cannot write {}", path.display()));
    }
    Ok(())
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
        let names = |pictures| {
            let plan = Destination::plan(Some(&base), pictures, false, 80).unwrap();
            let Place::Files { paths, .. } = plan.place else { panic!("not files") };
            let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            paths.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(names(2), ["impasto-test-none-1.png", "impasto-test-none-2.png"]);
        assert_eq!(names(1), ["impasto-test-none.png"]);
    }

    #[test]
    fn what_cannot_be_written_is_refused_before_work() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("apple.png");
        std::fs::write(&there, b"").unwrap();
        for name in ["", "apple.png", "no/such/apple.png", "pear.png/"] {
            let path = folder.path().join(name);
            assert!(Destination::plan(Some(&path), 1, false, 80).is_err(), "{}", path.display());
        }
        assert!(Destination::plan(Some(&there), 1, true, 80).is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_and_a_device_stays() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("device");
        std::os::unix::fs::symlink("/dev/full", &device).unwrap();
        let error = write_file(&device, b"picture", true).unwrap_err();
        assert!(format!("{error:#}").contains("No space left"), "{error:#}");
        assert!(device.is_symlink());
    }
}
