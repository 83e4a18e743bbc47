//! `impasto models import`: puts a model file where the data root has files of its kind, after a look at what it is.

use crate::failure::failure;
use crate::output;
use crate::resolve::Settings;
use anyhow::Context as _;
use impasto_weights::{Checkpoint, Container, ModelKind};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io;
use std::path::{Path, PathBuf};

const TEMPLATE: &str = "{wide_bar:.cyan} {bytes}/{total_bytes} {msg}";
/// How one of the two files of an ncnn network ends.
const NCNN: &str = "param";

/// Where files of a kind belong, and the endings by which they are found there: of safetensors, and of `torch.save`.
struct Place {
    folder: &'static str,
    safetensors: &'static str,
    torch: &'static [&'static str],
}

const fn place(folder: &'static str, torch: &'static [&'static str]) -> Place {
    Place { folder, safetensors: "safetensors", torch }
}

/// Imports a file, or every ncnn network of a folder, into the folder of the data root for its kind or into `to`.
pub(crate) fn run(settings: &Settings, source: &Path, to: Option<&Path>) -> anyhow::Result<()> {
    if !source.is_dir() {
        return output::print(&import(settings, source, to)?).map_err(Into::into);
    }
    let mut imported = 0;
    let networks = networks(source)?;
    for path in &networks {
        match import(settings, path, to) {
            Ok(line) => {
                imported += 1;
                output::print(&line)?;
            }
            Err(error) => output::complain(&format!("left out: {error:#}")),
        }
    }
    if imported == 0 {
        return Err(failure(
            format!("nothing of {} was imported; it has {} ncnn networks", source.display(), networks.len()),
            "name a file, or a folder of pairs NAME.param and NAME.bin",
        ));
    }
    Ok(())
}

/// The ncnn networks of a folder, by name.
fn networks(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read {}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(NCNN)) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Imports a file; says what it was and where it is now.
fn import(settings: &Settings, source: &Path, to: Option<&Path>) -> anyhow::Result<String> {
    let checkpoint = Checkpoint::open(source)?;
    let (place, what) = look(&checkpoint)?;
    let folder = to.map_or_else(|| settings.data_dir().join(place.folder), Path::to_owned);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let target = folder.join(file_name(source, checkpoint.container(), &place));
    let bar = ProgressBar::with_draw_target(Some(checkpoint.bytes()), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    bar.set_message(checkpoint.file().to_owned());
    let copied = checkpoint.copy_to(&target, |bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    match copied {
        Ok(()) => Ok(format!("{}: {what}; now {}", checkpoint.file(), target.display())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(failure(
            format!("{} is there already", target.display()),
            "rename one of the two, or import into another folder with --to",
        )),
        Err(error) => Err(error).with_context(|| format!("cannot write {}", target.display())),
    }
}

/// What a file is and where it belongs; an error if it could not be used there.
fn look(checkpoint: &Checkpoint) -> anyhow::Result<(Place, String)> {
    Ok(match checkpoint.kind() {
        ModelKind::Upscaler | ModelKind::OtherUpscaler(_) => {
            (place("models/ESRGAN", &["pth", "pt"]), format!("an upscaler, {}", checkpoint.upscaler()?))
        }
        ModelKind::Adapter => (place("models/Lora", &["pt", "ckpt"]), "a LoRA or kin".to_owned()),
        ModelKind::Vae => (place("models/VAE", &["pt", "ckpt"]), "an autoencoder".to_owned()),
        ModelKind::Embedding => {
            (place("embeddings", &["pt", "bin"]), "a textual inversion embedding".to_owned())
        }
        kind => {
            // Says what is wrong with those that cannot be run.
            checkpoint.networks()?;
            (place("models/Stable-diffusion", &["ckpt"]), kind.to_string())
        }
    })
}

/// The name under which a file is found in its place.
fn file_name(source: &Path, container: Container, place: &Place) -> PathBuf {
    let name = PathBuf::from(source.file_name().unwrap_or_default());
    let (usual, also): (_, &[&str]) = match container {
        Container::Safetensors => (place.safetensors, &[]),
        Container::Ncnn => return name.with_extension(place.safetensors),
        Container::TorchZip | Container::TorchLegacy => (place.torch[0], place.torch),
    };
    let ending = name.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if ending == usual || also.contains(&ending.as_str()) {
        return name;
    }
    let mut longer = name.into_os_string();
    longer.push(format!(".{usual}"));
    longer.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_keep_their_names_where_they_are_found_by_them() {
        let place = place("models/ESRGAN", &["pth", "pt"]);
        for (source, container, wanted) in [
            ("a/4x.pth", Container::TorchZip, "4x.pth"),
            ("4x.PT", Container::TorchLegacy, "4x.PT"),
            ("4x.ckpt", Container::TorchZip, "4x.ckpt.pth"),
            ("4x", Container::TorchZip, "4x.pth"),
            ("4x.safetensors", Container::Safetensors, "4x.safetensors"),
            ("4x.v2.pth", Container::Safetensors, "4x.v2.pth.safetensors"),
            ("a/4x-v3.param", Container::Ncnn, "4x-v3.safetensors"),
            ("4x-v3.bin", Container::Ncnn, "4x-v3.safetensors"),
        ] {
            assert_eq!(file_name(Path::new(source), container, &place), Path::new(wanted), "{source}");
        }
    }
}
