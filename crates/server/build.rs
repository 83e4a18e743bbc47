//! Puts the page into the program: builds it with npm where it is missing or older than its sources, and lists its files.
//!
//! Without Node or npm, or when they fail, the program is built without the page, and says so. Cargo runs this only when
//! a source of the page has changed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// What the page is made of.
const SOURCES: &[&str] = &[
    "src",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "svelte.config.js",
    "tsconfig.json",
];

fn main() {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web");
    let dist = web.join("dist");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=IMPASTO_SKIP_WEB");
    let sources = sources(&web);
    for path in sources.iter().chain(std::iter::once(&dist.join("index.html"))).filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let skip = std::env::var_os("IMPASTO_SKIP_WEB").is_some_and(|value| !value.is_empty());
    if !skip
        && is_stale(&sources, &dist)
        && let Err(problem) = build(&web)
    {
        println!("cargo::warning=the page was not built: {problem}");
    }
    let files = list(&dist);
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default().join("page.rs");
    if let Err(error) = std::fs::write(&out, files) {
        println!("cargo::error=cannot write {}: {error}", out.display());
    }
}

fn sources(web: &Path) -> Vec<PathBuf> {
    SOURCES.iter().map(|name| web.join(name)).filter(|path| path.exists()).collect()
}

/// Whether the page is missing or older than one of its sources.
fn is_stale(sources: &[PathBuf], dist: &Path) -> bool {
    let Some(built) = changed(&dist.join("index.html")) else { return true };
    sources.iter().filter_map(|path| newest(path)).any(|source| source > built)
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

fn newest(path: &Path) -> Option<SystemTime> {
    let below =
        std::fs::read_dir(path).into_iter().flatten().flatten().filter_map(|entry| newest(&entry.path()));
    below.chain(path.is_file().then(|| changed(path)).flatten()).max()
}

/// Installs what the page needs, unless it is there already, and builds it.
fn build(web: &Path) -> Result<(), String> {
    if !web.join("package-lock.json").exists() {
        return Err("its sources are not there".to_owned());
    }
    let installed = changed(&web.join("node_modules/.package-lock.json"));
    if installed.is_none() || installed < changed(&web.join("package-lock.json")) {
        npm(web, &["ci", "--no-audit", "--no-fund"])?;
    }
    npm(web, &["run", "build"])?;
    // As old as its newest source: were it newer than this run, Cargo would run this again next time.
    let index = std::fs::File::options().append(true).open(web.join("dist/index.html"));
    if let (Ok(index), Some(newest)) = (index, sources(web).iter().filter_map(|path| newest(path)).max()) {
        // If that fails, the next build takes a little longer.
        let _ = index.set_modified(newest);
    }
    Ok(())
}

fn npm(web: &Path, arguments: &[&str]) -> Result<(), String> {
    let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let output = Command::new(program)
        .args(arguments)
        .current_dir(web)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run npm ({error}); install Node 20 or newer"))?;
    if output.status.success() {
        return Ok(());
    }
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    let lines = || told.lines().map(str::trim).filter(|line| !line.is_empty());
    let reason = lines().find(|line| line.to_lowercase().contains("error")).or_else(|| lines().next_back());
    Err(format!("npm {} failed: {}", arguments.join(" "), reason.unwrap_or("no message")))
}

/// The files of the page as a Rust expression: path, media type, contents.
fn list(dist: &Path) -> String {
    let mut found = Vec::new();
    collect(dist, dist, &mut found);
    found.sort();
    let mut code = String::from("&[\n");
    if found.iter().any(|(name, _)| name == "index.html") {
        for (name, path) in &found {
            // Writing to a string does not fail.
            let path = path.to_string_lossy();
            let _ = writeln!(code, "({name:?}, {:?}, include_bytes!({path:?})),", media_type(name));
        }
    }
    code.push(']');
    code
}

fn collect(dist: &Path, folder: &Path, found: &mut Vec<(String, PathBuf)>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(dist, &path, found);
        } else if let Some(name) = path.strip_prefix(dist).ok().and_then(Path::to_str) {
            found.push((name.replace('\\', "/"), path.canonicalize().unwrap_or(path.clone())));
        }
    }
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" | "webmanifest" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}
