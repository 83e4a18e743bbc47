//! The programs of docs/examples, run as their page says, against a server that asks for a password.

use crate::program::Place;
use crate::serve::Server;
use impasto_imaging::{decode, read_metadata};
use std::path::Path;
use std::process::Command;

/// Runs one of them, and looks at the pictures it writes.
#[expect(clippy::print_stderr, reason = "a test that cannot be run here says so")]
fn run(program: &str, example: &str) {
    if Command::new(program).arg("--version").output().is_err() {
        eprintln!("skipped: {example}: there is no {program}");
        return;
    }
    let place = Place::new();
    let server = Server::start(&place, &["--api-auth=me:se:cret"]);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples").join(example);
    let run = |credentials: &str| {
        let url = format!("http://{}", server.address);
        Command::new(program)
            .arg(&example)
            .args([&url, credentials])
            .current_dir(place.path(""))
            .output()
            .unwrap()
    };
    let refused = run("me:wrong");
    assert!(!refused.status.success(), "it does not see that it is refused");
    let ended = run("me:se:cret");
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{told}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(told.contains("a red apple on a blue background") && told.contains("Seed: 7"), "{told}");
    let mut sizes = Vec::new();
    for (name, prompt) in
        [("apple", "a red apple"), ("variation", "a green apple"), ("large", "a green apple")]
    {
        let file = std::fs::read(place.path(&format!("{name}.png"))).unwrap();
        let infotext = read_metadata(&file, 1 << 20).unwrap().infotext.unwrap();
        assert!(infotext.starts_with(prompt), "{name}: {infotext}");
        sizes.push(decode(&file, 1 << 20).unwrap().size());
    }
    let (width, height) = sizes[0];
    assert_eq!(sizes, [(width, height), (width, height), (2 * width, 2 * height)]);
}

#[test]
fn python() {
    run("python3", "pictures.py");
}

#[test]
fn javascript() {
    run("node", "pictures.mjs");
}

#[test]
fn shell() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: pictures.sh: there is no curl");
        return;
    }
    run("bash", "pictures.sh");
}
