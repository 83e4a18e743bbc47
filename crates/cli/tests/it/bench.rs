//! `bench` on the tiny checkpoint: every command's figures, its tables, its turns, and what makes no sense.

use crate::program::{Place, Run, goldens};
use serde_json::Value;
use std::io::Write as _;
use std::process::Stdio;

/// What every line of JSON has.
const KEYS: [&str; 16] = [
    "bench",
    "arch",
    "model",
    "batch",
    "precision",
    "isa",
    "threads",
    "cpu",
    "version",
    "min_s",
    "median_s",
    "max_s",
    "flops",
    "gflops",
    "peak_share",
    "rss_bytes",
];

fn bench(arguments: &[&str]) -> Run {
    Place::new().run(&[&["bench"], arguments].concat())
}

/// The single line of JSON of a run that went well.
fn figures(arguments: &[&str]) -> Value {
    let output = bench(&[arguments, &["--json"]].concat()).ok();
    assert_eq!(output.lines().count(), 1, "{output}");
    let figures: Value = serde_json::from_str(&output).unwrap();
    for key in KEYS {
        assert!(figures.get(key).is_some(), "{key} is missing: {figures}");
    }
    assert_eq!((&figures["bench"], &figures["precision"]), (&arguments[0].into(), &"f32".into()));
    let time = |key: &str| figures[key].as_f64().unwrap();
    assert!(0.0 < time("min_s") && time("min_s") <= time("median_s") && time("median_s") <= time("max_s"));
    figures
}

#[test]
fn networks_tell_times_rates_and_memory() {
    for (network, size) in [("unet", Some(48)), ("vae", Some(48)), ("clip", None)] {
        let sizes: &[&str] = if size.is_some() { &["--width=48", "--height=64"] } else { &[] };
        let line = [&[network, "--model=tiny", "--runs=3", "--batch=2", "--threads=1"], sizes].concat();
        let found = figures(&line);
        assert_eq!((&found["model"], &found["arch"]), (&"tiny".into(), &Value::Null));
        assert_eq!((&found["batch"], &found["threads"]), (&2.into(), &1.into()));
        assert_eq!(found["width"].as_u64(), size);
        assert_eq!(found["seconds"].as_array().unwrap().len(), 3);
        let [gflops, share, flops] =
            ["gflops", "peak_share", "flops"].map(|key| found[key].as_f64().unwrap());
        assert!(gflops > 0.0 && share > 0.0 && flops > 1e5, "{found}");
        assert!((gflops * found["median_s"].as_f64().unwrap() * 1e9 / flops - 1.0).abs() < 1e-6, "{found}");
        assert!(found["load_s"].as_f64().unwrap() > 0.0 && found["profile"].is_null(), "{found}");
    }
}

#[test]
fn twice_the_rows_are_twice_the_work() {
    let work = |batch| figures(&["unet", "--model=tiny", "--runs=1", batch])["flops"].as_f64().unwrap();
    assert_eq!(2.0 * work("--batch=1"), work("--batch=2"));
}

#[test]
fn random_weights_need_no_file() {
    let found = figures(&["clip", "--runs=1"]);
    assert_eq!((&found["arch"], &found["model"]), (&"sd15".into(), &Value::Null));
    // 12 layers of 77 tokens: what is published is 13.3e9.
    assert!((found["flops"].as_f64().unwrap() / 13.3e9 - 1.0).abs() < 0.01, "{found}");
}

#[test]
fn networks_of_sdxl_run_one_by_one() {
    let file = goldens().join("tiny_xl.safetensors");
    let model = format!("--model={}", file.display());
    for network in ["unet", "vae"] {
        let found = figures(&[network, &model, "--runs=1", "--width=64", "--height=64"]);
        assert!(found["flops"].as_f64().unwrap() > 1e5, "{found}");
    }
    let found = figures(&["clip", &model, "--runs=1"]);
    for part in ["first_encoder_s", "second_encoder_s"] {
        assert!(found[part].as_f64().unwrap() > 0.0, "{found}");
    }
    // Two of three layers of the first, all of the second, each of 12 width^2 products a token and its attention.
    let layers = |count: f64, width: f64| count * 77.0 * (24.0 * width * width + 4.0 * 77.0 * width);
    let wanted = layers(2.0, 16.0) + layers(3.0, 24.0) + 2.0 * 24.0 * 20.0;
    assert!((found["flops"].as_f64().unwrap() / wanted - 1.0).abs() < 0.01, "{found} is not {wanted}");
    let refused = bench(&["txt2img", &model]);
    assert!(refused.stderr.contains("a Stable Diffusion XL base checkpoint, which is not"), "{refused:?}");
}

#[test]
fn a_job_tells_loading_steps_and_decoding() {
    let file = goldens().join("tiny.safetensors");
    for model in ["tiny", file.to_str().unwrap()] {
        let found = figures(&["txt2img", "--model", model, "--steps=4", "--width=64", "--height=64"]);
        for key in ["load_s", "decode_s", "gflops"] {
            assert!(found[key].as_f64().unwrap() > 0.0, "{key}: {found}");
        }
        // Steps of this model are so short that a busy machine may miss some, but none is told twice.
        let time = |key: &str| found[key].as_f64().unwrap();
        assert!(time("text_and_first_step_s") + time("decode_s") <= time("median_s"), "{found}");
        assert_eq!(found["seconds"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn loading_tells_when_the_model_is_ready() {
    let found = figures(&["load", "--model=tiny", "--runs=2"]);
    assert!(found["ready_s"].as_f64() >= found["min_s"].as_f64(), "{found}");
    assert!(found["weight_bytes"].as_u64().unwrap() > 100_000);
    assert!(found["gflops"].is_null() && found["peak_share"].is_null());
}

#[test]
fn kernels_are_picked_by_name() {
    let found = figures(&["kernels", "unet linear 77 x 768 to 320", "--runs=2"]);
    let [operation] = found["operations"].as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!(
        (&operation["operation"], &operation["calls"]),
        (&"linear 77 x 768 to 320".into(), &10.into())
    );
    assert!(operation["median_s"].as_f64().unwrap() > 0.0);
    assert_eq!(found["flops"].as_f64().unwrap(), 10.0 * operation["flops"].as_f64().unwrap());
    let found = figures(&["kernels", "layer norm 1024", "--arch=sdxl", "--runs=1", "--threads=1"]);
    assert_eq!((&found["arch"], &found["clock"]), (&"sdxl".into(), &"thread".into()));
    assert!(found["gflops"].is_null());
    let table = bench(&["kernels", "group norm 64 x", "--runs=1"]).ok();
    assert!(table.contains("unet group norm 64 x 1280, Silu") && table.contains("one pass"), "{table}");
}

#[test]
fn a_profile_tells_operations_and_what_is_outside_them() {
    let table = bench(&["unet", "--model=tiny", "--runs=1", "--profile"]).ok();
    for part in
        ["time    min", "of the peak beside", "GB at most", "conv2d 3x3, ", "attention", "outside them"]
    {
        assert!(table.contains(part), "{part} is missing: {table}");
    }
    let table = bench(&["txt2img", "--model=tiny", "--steps=2"]).ok();
    assert!(table.contains("parts   text and first step ") && table.contains(", decode "), "{table}");
    for network in ["vae", "clip", "txt2img"] {
        let profile = &figures(&[network, "--model=tiny", "--runs=1", "--profile"])["profile"];
        let rows = profile["operations"].as_array().unwrap();
        let seconds: f64 = rows.iter().map(|row| row["seconds"].as_f64().unwrap()).sum();
        assert!(rows.len() > 3 && rows.iter().all(|row| row["calls"].as_u64() > Some(0)), "{profile}");
        assert!(seconds > 0.0 && seconds <= profile["wall_s"].as_f64().unwrap(), "{network}: {profile}");
    }
}

#[test]
fn calls_with_adapters_stand_beside_plain_ones() {
    let line = ["unet", "--model=tiny", "--runs=2", "--adapter-rank=3", "--threads=1"];
    let found = figures(&line);
    let time = |key: &str| found[key].as_f64().unwrap();
    assert!(time("plain_s") > 0.0 && time("adapted_s") > 0.0 && time("ratio") > 0.0, "{found}");
    assert_eq!(found["clock"], "thread");
    // Both calls, and what the adapter adds to the second.
    let plain = figures(&["unet", "--model=tiny", "--runs=1"])["flops"].as_f64().unwrap();
    assert!(time("flops") > 2.0 * plain, "{found}");
    let table = bench(&line).ok();
    assert!(table.contains("parts   plain ") && table.contains("ratio   adapted to plain "), "{table}");
}

#[test]
fn turns_are_taken_when_asked() {
    let place = Place::new();
    for network in ["unet", "txt2img"] {
        let line = ["bench", network, "--model=tiny", "--turns", "--width=64", "--height=64"];
        let mut child = place
            .command(&line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"\n\n").unwrap();
        let output = child.wait_with_output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{stdout}");
        let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [ready, first, second] = lines.as_slice() else { panic!("{stdout}") };
        assert_eq!(
            (&ready["ready"], &ready["width"], &ready["bench"]),
            (&true.into(), &64.into(), &network.into())
        );
        for turn in [first, second] {
            assert!(
                turn["seconds"].as_f64().unwrap() > 0.0 && turn["gflops"].as_f64().unwrap() > 0.0,
                "{turn}"
            );
        }
        assert_eq!(first["flops"], second["flops"]);
    }
}

#[test]
fn what_makes_no_sense_is_told_with_what_to_do() {
    for (arguments, code, wanted) in [
        (&["unet", "--width=500"][..], 2, "multiple of 8 from 8 to 4096, such as 512"),
        (&["vae", "--height=0"], 2, "multiple of 8"),
        (&["unet", "--width=-8"], 2, "multiple of 8"),
        (&["unet", "--width=8192"], 2, "multiple of 8 from 8 to 4096"),
        (&["unet", "--runs=0"], 2, "runs from 1 to 1000"),
        (&["kernels", "--runs=many"], 2, "runs from 1 to 1000"),
        (&["unet", "--batch=0"], 2, "1 to 64 rows"),
        (&["unet", "--adapter-rank=0"], 2, "a rank is a number from 1 to 1024"),
        (&["unet", "--arch=sd9"], 2, "[possible values: sd15, sdxl]"),
        (&["unet", "--precision=f8"], 2, "[possible values: f32, int8]"),
        (&["unet", "--arch=sd15", "--model=tiny"], 2, "cannot be used with"),
        (&["unet", "--turns", "--runs=3"], 2, "cannot be used with"),
        (&["unet", "--model=none"], 1, "model \"none\" not found"),
        (&["load", "--model=none.safetensors"], 1, "model \"none.safetensors\" not found"),
        (&["txt2img", "--model=none"], 1, "model \"none\" not found"),
        (&["txt2img", "--model=tiny", "--steps=0"], 2, "steps 0"),
        (&["txt2img", "--arch=sdxl"], 2, "jobs do not take SDXL yet"),
        (&["load", "--arch=sdxl"], 2, "jobs do not take SDXL yet"),
        (&["kernels", "no such kernel"], 2, "no operation's name contains \"no such kernel\""),
    ] {
        let (error, help) = bench(arguments).error(code);
        assert!(error.contains(wanted), "{arguments:?}: {error}");
        assert!(!help.is_empty(), "{arguments:?}");
    }
}
