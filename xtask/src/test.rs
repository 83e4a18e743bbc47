//! Every test there is, from a clean clone: Rust, page, browser, and the program as users run it.

use crate::tally::Tally;
use crate::{chromium, process, real_weights, web};
use anyhow::{Context as _, bail, ensure};
use std::path::{Path, PathBuf};

pub(crate) fn run(_arguments: &[String]) -> anyhow::Result<()> {
    let mut tally = Tally::default();
    let has_page = web::has_node() && web::folder().join("package-lock.json").is_file();
    if has_page {
        let built = web::build();
        tally.add_check("web: build", &built);
        if built.is_ok() {
            web::test(&mut tally)?;
        }
    } else {
        tally.skip("the page's tests", "Node 20.19 or newer with npm is needed, see https://nodejs.org/");
    }

    let (ended_well, lines) = process::watch(&mut process::cargo(["test", "--workspace", "--no-fail-fast"]))?;
    tally.add("cargo test --workspace", ended_well, &lines);

    upscaler_tests(&mut tally)?;

    let program = build_release();
    tally.add_check(
        "release build",
        &program.as_ref().map(|_| ()).map_err(|error| anyhow::anyhow!("{error:#}")),
    );
    if let Ok(program) = program {
        program_tests(&program, &mut tally)?;
        if has_page {
            browser_tests(&program, &mut tally)?;
        }
    }
    if !tally.finish() {
        bail!("some tests failed");
    }
    Ok(())
}

/// Upscalers with real weights, which are fetched first and kept beside what cargo builds. The tests are ignored where nobody has fetched them.
fn upscaler_tests(tally: &mut Tally) -> anyhow::Result<()> {
    let models =
        process::target_folder().and_then(|folder| real_weights::fetch(&folder.join("real-weights")));
    tally.add_check(
        "upscalers: real weights are there",
        &models.as_ref().map(|_| ()).map_err(|error| anyhow::anyhow!("{error:#}")),
    );
    if let Ok(models) = models {
        let arguments = ["test", "--workspace", "--test=it", "--", "--ignored", "real_upscalers"];
        let mut tests = process::cargo(arguments);
        let (ended_well, lines) = process::watch(tests.env("REAL_UPSCALERS", models))?;
        tally.add("upscalers: tests with real weights", ended_well, &lines);
    }
    Ok(())
}

/// Builds the program as users get it; its path.
fn build_release() -> anyhow::Result<PathBuf> {
    process::run(&mut process::cargo(["build", "--release", "--package=impasto-cli"]))?;
    Ok(process::target_folder()?.join("release").join(format!("impasto{}", std::env::consts::EXE_SUFFIX)))
}

/// The page in a real browser, against the real program.
fn browser_tests(program: &Path, tally: &mut Tally) -> anyhow::Result<()> {
    let chromium = match chromium::find_or_install() {
        Ok(chromium) => chromium,
        Err(why) => {
            tally.skip("browser tests", &why);
            return Ok(());
        }
    };
    let mut tests = web::npm(&["run", "e2e"]);
    tests.env("IMPASTO_BIN", program).env("CHROMIUM", chromium);
    let (ended_well, lines) = process::watch(&mut tests)?;
    tally.add("web: npm run e2e", ended_well, &lines);
    Ok(())
}

/// The release program with the demo model, as the README uses it.
fn program_tests(program: &Path, tally: &mut Tally) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("impasto-xtask-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    tally.add_check("program: the demo model draws", &draws(program, &folder));
    tally.add_check("program: the same seed draws the same", &repeats(program, &folder));
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn txt2img(program: &Path, folder: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let file = folder.join(name);
    let mut command = process::command(
        program.to_str().context("the program's path is no UTF-8")?,
        ["txt2img", "a red apple on a blue background", "--steps=4", "--seed=7", "--force"],
    );
    process::run(command.arg("--data-dir").arg(folder).arg("-o").arg(&file))?;
    Ok(std::fs::read(&file)?)
}

fn draws(program: &Path, folder: &Path) -> anyhow::Result<()> {
    let picture = txt2img(program, folder, "apple.png")?;
    ensure!(picture.starts_with(b"\x89PNG"), "not a PNG");
    let infotext: &[u8] = b"Seed: 7,";
    ensure!(picture.windows(infotext.len()).any(|bytes| bytes == infotext), "no infotext with the seed");
    Ok(())
}

fn repeats(program: &Path, folder: &Path) -> anyhow::Result<()> {
    let first = txt2img(program, folder, "first.png")?;
    let second = txt2img(program, folder, "second.png")?;
    ensure!(first == second, "two files of one seed differ");
    Ok(())
}
