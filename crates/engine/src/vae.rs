//! Which autoencoder a checkpoint is used with: its own or one of the library's files, found as A1111 finds it.

use crate::ModelEntry;
use crate::catalog::BUILTIN;
use crate::library::{FileKind, Library, LibraryFile};
use impasto_domain::VaeChoice;
use impasto_weights::{Checkpoint, VaeConfig};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// Largest `NAME.json` beside a checkpoint that is looked into.
const MOST_BYTES: u64 = 1 << 20;

/// An autoencoder's file in the place of a checkpoint's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaeFile {
    /// Its file's name, with ending.
    pub name: String,
    /// First ten digits of the file's SHA-256, if it could be read.
    pub hash: Option<String>,
    /// Which it is: see [`LibraryFile::id`].
    pub(crate) id: String,
}

/// What was found for a checkpoint.
#[derive(Debug, Default)]
pub(crate) struct FoundVae {
    /// The file; none for the checkpoint's own autoencoder.
    pub(crate) file: Option<Arc<VaeFile>>,
    /// Why it is not the one asked for.
    pub(crate) comment: Option<String>,
}

/// The autoencoder that a request wants with a checkpoint whose own has the sizes `of`. One that is not there, or cannot be used,
/// leaves the checkpoint its own.
pub(crate) fn find(library: &Library, choice: &VaeChoice, model: &ModelEntry, of: &VaeConfig) -> FoundVae {
    let Some(wanted) = resolve(library, choice, &model.filename) else {
        return FoundVae::default();
    };
    let left_out = |reason: String| FoundVae {
        file: None,
        comment: Some(format!("{reason}; the checkpoint's own autoencoder is used")),
    };
    let Wanted::File(file) = wanted else {
        return left_out(format!("VAE not found: {}", choice.name));
    };
    if let Err(error) = Checkpoint::open_autoencoder(&file.path).and_then(|opened| opened.autoencoder(of)) {
        return left_out(format!("VAE {} is left out: {error}", file.file_name));
    }
    let hash = library.sha256(&file).ok().and_then(|hash| hash.get(..10).map(str::to_owned));
    let file = VaeFile { name: file.file_name.clone(), hash, id: file.id() };
    FoundVae { file: Some(Arc::new(file)), comment: None }
}

/// Something other than the checkpoint's own.
enum Wanted {
    File(Arc<LibraryFile>),
    /// What the request names is not there.
    Missing,
}

/// The choice, if it is to override what belongs to the checkpoint; what the user noted beside the checkpoint; a file whose name begins
/// as the checkpoint's; the choice.
fn resolve(library: &Library, choice: &VaeChoice, model: &str) -> Option<Wanted> {
    let files = library.files(FileKind::Vae);
    let named = |name: &str| files.iter().find(|file| file.file_name == name).cloned();
    let chosen = || match choice.name.as_str() {
        VaeChoice::AUTOMATIC | VaeChoice::OWN => None,
        name => Some(named(name).map_or(Wanted::Missing, Wanted::File)),
    };
    let is_automatic = choice.name == VaeChoice::AUTOMATIC;
    if choice.overrides_preferences && !is_automatic {
        return chosen();
    }
    let (file, inside) = match model.strip_prefix(BUILTIN) {
        Some(name) => (Path::new(name), true),
        None => (Path::new(model), false),
    };
    let noted = if inside { None } else { noted(file) };
    match noted.as_deref() {
        Some(VaeChoice::OWN) => return None,
        Some(name) => {
            if let Some(file) = named(name) {
                return Some(Wanted::File(file));
            }
        }
        None => {}
    }
    let base = file.file_stem().unwrap_or_default().to_string_lossy();
    let beside = files.iter().find(|file| !base.is_empty() && file.file_name.starts_with(&*base)).cloned();
    beside.map(Wanted::File).or_else(chosen)
}

/// What the user noted as the checkpoint's autoencoder, in the file beside it.
fn noted(model: &Path) -> Option<String> {
    let path = model.with_extension("json");
    path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mut text = Vec::new();
    std::fs::File::open(path).ok()?.take(MOST_BYTES).read_to_end(&mut text).ok()?;
    let notes: serde_json::Value = serde_json::from_slice(&text).ok()?;
    notes
        .get("vae")?
        .as_str()
        .filter(|name| *name != VaeChoice::AUTOMATIC && !name.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The autoencoder that is chosen for `models/Stable-diffusion/cat.safetensors`, by its file's name, `own` or `missing`.
    fn chosen(files: &[&str], notes: &str, name: &str, overrides_preferences: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for name in files {
            put(name, "x");
        }
        put("models/Stable-diffusion/cat.json", notes);
        let library = Library::new(Some(folder.path().to_owned()), None);
        let choice = VaeChoice { name: name.to_owned(), overrides_preferences, ..VaeChoice::default() };
        match resolve(
            &library,
            &choice,
            folder.path().join("models/Stable-diffusion/cat.safetensors").to_str().unwrap(),
        ) {
            None => "own".to_owned(),
            Some(Wanted::Missing) => "missing".to_owned(),
            Some(Wanted::File(file)) => file.file_name.clone(),
        }
    }

    #[test]
    fn the_order_is_a1111s() {
        let files = ["models/VAE/sharp.pt", "models/VAE/noted.ckpt", "models/Stable-diffusion/cat.vae.pt"];
        let noted = r#"{"vae":"noted.ckpt"}"#;
        for (notes, name, overrides, wanted) in [
            (noted, "sharp.pt", true, "sharp.pt"),
            (noted, "sharp.pt", false, "noted.ckpt"),
            (noted, "None", true, "own"),
            (noted, "None", false, "noted.ckpt"),
            (noted, "Automatic", true, "noted.ckpt"),
            (r#"{"vae":"None"}"#, "Automatic", true, "own"),
            (r#"{"vae":"Automatic"}"#, "Automatic", true, "cat.vae.pt"),
            (r#"{"vae":"gone.pt"}"#, "Automatic", true, "cat.vae.pt"),
            ("nonsense", "Automatic", true, "cat.vae.pt"),
            ("{}", "sharp.pt", false, "cat.vae.pt"),
            ("{}", "gone.pt", true, "missing"),
        ] {
            assert_eq!(chosen(&files, notes, name, overrides), wanted, "{notes} {name} {overrides}");
        }
        assert_eq!(chosen(&files[..2], "{}", "Automatic", true), "own");
        assert_eq!(chosen(&files[..2], "{}", "sharp.pt", false), "sharp.pt");
        assert_eq!(chosen(&["models/VAE/cat-fine.pt"], "{}", "Automatic", true), "cat-fine.pt");
    }
}
