//! The checks, in the order in which they are printed. Each looks and answers; none changes anything that stays.

use super::Finding;
use super::machine::{Memory, free_disk, gib, vector_features};
use crate::resolve::Settings;
use crate::{builtin, setup};
use std::net::TcpListener;
use std::path::Path;

/// What is checked, and how.
type Check = (&'static str, fn(&Settings) -> Finding);

pub(super) const CHECKS: &[Check] = &[
    ("processor", processor),
    ("memory", memory),
    ("data root", data_root),
    ("disk", disk),
    ("demo model", demo_model),
    ("models", models),
    ("port", port),
    ("password", password),
    ("tls", tls),
];

/// Stable Diffusion 1.5 at 512x512 in f32, weights and activations.
const MEMORY_FOR_SD15: u64 = 6 << 30;
/// Enough for the demo model.
const MEMORY_FOR_DEMO: u64 = 1 << 30;
/// Below this a few hundred pictures fill the disk.
const LITTLE_DISK: u64 = 1 << 30;

fn processor(settings: &Settings) -> Finding {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let features = vector_features();
    match setup::backend(settings) {
        Ok(backend) => {
            let using = impasto_tensor::Backend::describe(&backend);
            let found = format!("using {using}; {threads} hardware threads, {}", features.join(" "));
            if features.contains(&"avx2") || !cfg!(target_arch = "x86_64") {
                Finding::good(found)
            } else {
                Finding::warning(found, "without AVX2 the portable kernels are used, several times slower")
            }
        }
        Err(error) => Finding::bad(format!("{error:#}"), "check the settings of the backend"),
    }
}

fn memory(_settings: &Settings) -> Finding {
    let Some(Memory { total, available }) = Memory::read() else {
        return Finding::warning("the system does not say how much there is", "have 6 GiB free for SD 1.5");
    };
    let found = format!("{} of {} free", gib(available), gib(total));
    if available < MEMORY_FOR_DEMO {
        Finding::bad(found, "the demo model needs 1 GiB: end other programs")
    } else if available < MEMORY_FOR_SD15 {
        Finding::warning(found, "SD 1.5 at 512x512 needs 6 GiB; the demo model fits")
    } else {
        Finding::good(found)
    }
}

fn data_root(settings: &Settings) -> Finding {
    let root = settings.data_dir();
    let shown = root.display();
    if !root.exists() {
        return match nearest(root).map(is_writable) {
            Some(true) => Finding::good(format!("{shown} does not exist yet; it is made when it is needed")),
            _ => Finding::bad(
                format!("{shown} does not exist and cannot be made"),
                format!("make it and own it: mkdir -p {shown}; or name another with --data-dir"),
            ),
        };
    }
    if !root.is_dir() {
        return Finding::bad(format!("{shown} is not a folder"), "name a folder with --data-dir");
    }
    if is_writable(root) {
        Finding::good(format!("{shown} is writable"))
    } else {
        Finding::bad(
            format!("{shown} is not writable"),
            format!(
                "give yourself the right to write: chown -R $USER {shown}; or name another with --data-dir"
            ),
        )
    }
}

/// The nearest folder above `path` that exists; an empty path is the current one.
fn nearest(path: &Path) -> Option<&Path> {
    path.ancestors()
        .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        .find(|folder| folder.is_dir())
}

/// Whether a file can be made in `folder`. It is tried, since permissions alone do not tell.
fn is_writable(folder: &Path) -> bool {
    let probe = folder.join(format!(".impasto-doctor-{}", std::process::id()));
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(&probe).is_ok();
    if made {
        // A probe that cannot be removed shows itself soon enough.
        let _ = std::fs::remove_file(&probe);
    }
    made
}

fn disk(settings: &Settings) -> Finding {
    let Some(free) = nearest(settings.data_dir()).and_then(free_disk) else {
        return Finding::warning("the system does not say how much is free", "have an eye on it");
    };
    let found = format!("{} free where the data root is", gib(free));
    if free < LITTLE_DISK {
        Finding::warning(found, "remove old pictures and models, or name another disk with --data-dir")
    } else {
        Finding::good(found)
    }
}

fn demo_model(_settings: &Settings) -> Finding {
    match builtin::models().first() {
        Some(model) => Finding::good(format!("{}, inside the program", model.file_name)),
        None => Finding::warning(
            "this program was built without it",
            "build from a checkout that has models/demo/demo.safetensors, or use a checkpoint of your own",
        ),
    }
}

fn models(settings: &Settings) -> Finding {
    let folder = settings.models_dir();
    let help = format!("put checkpoints (.safetensors, .ckpt) into {}", folder.display());
    let engine = match setup::engine(settings) {
        Ok(engine) => engine,
        Err(error) => return Finding::bad(format!("{error:#}"), help),
    };
    let entries = engine.models();
    let problems: Vec<String> = entries
        .iter()
        .filter_map(|entry| setup::open(entry).and_then(|checkpoint| checkpoint.config()).err())
        .map(|error| error.to_string())
        .collect();
    engine.shutdown(std::time::Duration::ZERO);
    let found = format!("{} found, {} of them cannot be used", entries.len(), problems.len());
    match (entries.len(), problems.first()) {
        (0, _) => Finding::bad(format!("none in {}", folder.display()), help),
        (_, None) => Finding::good(format!("{} in {} and the program", entries.len(), folder.display())),
        (_, Some(problem)) => Finding::warning(format!("{found}: {problem}"), "remove or replace the file"),
    }
}

fn port(settings: &Settings) -> Finding {
    let address = settings.address();
    match TcpListener::bind(address) {
        Ok(_) => Finding::good(format!("{address} is free")),
        Err(error) => Finding::bad(
            format!("cannot listen at {address}: {error}"),
            "another program has it, perhaps an Impasto that runs; --port takes another number",
        ),
    }
}

fn password(settings: &Settings) -> Finding {
    match (settings.listens_beyond_loopback(), settings.serve.api_auth.is_some()) {
        (_, true) => Finding::good("every route asks for it"),
        (false, false) => Finding::good("none is needed: only this machine can connect"),
        (true, false) => Finding::bad("--listen without a password", "set one: --api-auth NAME:PASSWORD"),
    }
}

fn tls(settings: &Settings) -> Finding {
    let files: Vec<_> =
        [&settings.serve.tls_certfile, &settings.serve.tls_keyfile].into_iter().flatten().collect();
    let unreadable = files.iter().find_map(|path| std::fs::File::open(path).err().map(|error| (path, error)));
    match (files.len(), unreadable) {
        (0, _) if settings.listens_beyond_loopback() => Finding::warning(
            "off: passwords travel in the clear",
            "--tls-certfile and --tls-keyfile turn it on",
        ),
        (0, _) => Finding::good("off"),
        (1, _) => {
            Finding::bad("only one of certificate and key is given", "give --tls-certfile and --tls-keyfile")
        }
        (_, Some((path, error))) => Finding::bad(
            format!("cannot read {}: {error}", path.display()),
            "check the path and its permissions",
        ),
        (_, None) => Finding::good("certificate and key are readable"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_folder_is_found() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(nearest(&here.join("no/such")), Some(here));
        assert_eq!(nearest(Path::new("no-such-folder")), Some(Path::new(".")));
    }

    #[test]
    fn no_probe_is_left() {
        let folder = std::env::temp_dir().join(format!("impasto-doctor-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert!(is_writable(&folder));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        std::fs::remove_dir(&folder).unwrap();
        assert!(!is_writable(&folder));
    }
}
