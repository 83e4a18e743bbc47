//! Makes the golden files anew by the Python scripts of reference/. By hand, never in the test run.

use crate::process;
use anyhow::{Context as _, bail};

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [python] = arguments else {
        bail!(
            "which Python? `cargo xtask goldens VENV/bin/python`, with reference/requirements.txt installed"
        );
    };
    let folder = process::root().join("reference");
    let mut scripts: Vec<_> = std::fs::read_dir(&folder)
        .context("cannot read reference/")?
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .filter(|stem| stem.starts_with("make_"))
        .collect();
    scripts.sort();
    if scripts.is_empty() {
        bail!("reference/ has no make_*.py");
    }
    for script in scripts {
        process::run(&mut process::command(python, [format!("reference/{script}.py")]))?;
    }
    Ok(())
}
