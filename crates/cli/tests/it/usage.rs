//! Command lines that make no sense, and those that ask for help.

use crate::program::Place;

#[test]
fn what_makes_no_sense_is_refused_with_two_lines_and_code_2() {
    let place = Place::new();
    for (arguments, wanted) in [
        (&["--prot=1"][..], "--prot"),
        (&["paint"], "paint"),
        (&["txt2img"], "<PROMPT>"),
        (&["txt2img", "a cat", "--sampler", "Eulre"], "Eulre"),
        (&["txt2img", "a cat", "--steps", "many"], "many"),
        (&["txt2img", "a cat", "--steps", "0"], "steps 0"),
        (&["txt2img", "a cat", "--width", "4"], "width 4"),
        (&["txt2img", "a cat", "--cfg-scale", "NaN"], "cfg_scale NaN"),
        (&["txt2img", "a cat", "--width", "-8"], "'-8' for '--width <PIXELS>'"),
        (&["txt2img", "a cat", "--eta", "-1"], "eta -1 is out of range"),
        (&["bench", "parity"], "--model"),
        (&["--port=70000"], "--port: setting port is \"70000\", which is not an integer from 0 to 65535"),
        (&["--isa=sse9"], "sse9"),
        (&["--subpath=/a b"], "--subpath: setting subpath is \"/a b\", which is not a path such as /studio"),
        (&["txt2img", "a cat", "-o", "cat.gif"], "cat.gif"),
        (
            &["txt2img", "a cat", "--batch-count", "300"],
            "batch_count 300 is out of range: allowed are 1 to 256",
        ),
        (
            &["txt2img", "a cat", "--batch-size=4294967295", "--batch-count=4294967295"],
            "batch_size 4294967295",
        ),
        (&["txt2img", "a cat", "-o", "-", "--batch-size", "2"], "2 pictures"),
        (&["txt2img", "a cat", "-o", "-", "--json"], "--json"),
    ] {
        let (error, help) = place.run(arguments).error(2);
        assert!(error.contains(wanted), "{arguments:?}: {error}");
        assert!(!help.is_empty(), "{arguments:?}");
    }
}

#[test]
fn listening_for_everybody_needs_a_password() {
    let (error, help) = Place::new().run(&["serve", "--listen", "--port=0"]).error(2);
    assert!(error.contains("--listen"), "{error}");
    assert!(help.contains("--api-auth"), "{help}");
}

#[test]
fn help_and_version_go_to_stdout() {
    let place = Place::new();
    assert!(place.run(&["--version"]).ok().starts_with("impasto "));
    let help = place.run(&["--help"]).ok();
    for word in
        ["serve", "txt2img", "models", "doctor", "openapi", "bench", "--port", "--api-auth", "--data-dir"]
    {
        assert!(help.contains(word), "{word} is missing");
    }
}

#[test]
fn settings_come_from_file_and_environment_too() {
    let place = Place::new();
    std::fs::write(place.path("data/impasto.toml"), "max_steps = 3\n").unwrap();
    let (error, _) = place.run(&["txt2img", "a cat", "--steps=4"]).error(2);
    assert!(error.contains("steps 4 is out of range: allowed are 1 to 3"), "{error}");
    let (error, _) = crate::program::Run::of(
        place.command(&["txt2img", "a cat", "--steps=3"]).env("IMPASTO_MAX_STEPS", "2"),
    )
    .error(2);
    assert!(error.contains("allowed are 1 to 2"), "{error}");
    std::fs::write(place.path("data/impasto.toml"), "max_stepz = 3\n").unwrap();
    let (error, _) = place.run(&["models", "list"]).error(2);
    assert!(error.contains("impasto.toml") && error.contains("max_stepz"), "{error}");
}

#[test]
fn the_interface_describes_itself() {
    let description = Place::new().run(&["openapi"]).json();
    assert!(description["paths"]["/sdapi/v1/txt2img"]["post"].is_object());
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new();
    let mut child = place
        .command(&["openapi"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
