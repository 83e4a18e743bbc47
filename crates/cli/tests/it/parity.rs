//! `bench parity` on the tiny checkpoint and what PyTorch, diffusers and k-diffusion made of it.

use crate::program::{Place, goldens};

fn parity(extra: &[&str], reference: &str) -> crate::program::Run {
    let model = goldens().join("tiny.safetensors");
    let reference = goldens().join(reference);
    let line =
        ["bench", "parity", "--model", model.to_str().unwrap(), "--reference", reference.to_str().unwrap()];
    Place::new().run(&[&line[..], extra].concat())
}

#[test]
fn every_output_is_within_tolerance() {
    let report = parity(&["--json"], "tiny_parity.safetensors").json();
    let outputs = report["outputs"].as_array().unwrap();
    let names: Vec<&str> = outputs.iter().map(|row| row["name"].as_str().unwrap()).collect();
    let wanted = [
        "clip.hidden",
        "clip.penultimate",
        "unet.output",
        "vae.decoded",
        "vae.encoded_mean",
        "trajectory.dpmpp_2m_karras.latent",
        "trajectory.euler.latent",
    ];
    assert_eq!(names, wanted);
    for row in outputs {
        assert_eq!(row["outcome"], "ok", "{row}");
        assert!(row["relative_l2"].as_f64().unwrap() < 1e-3, "{row}");
    }
}

#[test]
fn past_tolerance_is_a_failure() {
    let (error, _) = parity(&["--tolerance=1e-12"], "tiny_parity.safetensors").error(1);
    assert!(error.contains("unet.output"), "{error}");
}

#[test]
fn missing_groups_are_skipped_and_said_so_and_none_at_all_is_a_failure() {
    let run = parity(&[], "tiny.safetensors");
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.stdout.lines().filter(|line| line.contains("skipped: the reference has no")).count(),
        6,
        "{run:?}"
    );
    assert!(run.stderr.contains("none of the groups"), "{run:?}");
}

#[test]
fn a_reference_of_another_kind_is_refused() {
    let (error, _) = parity(&[], "tokenizer.json").error(1);
    assert!(error.contains("no .safetensors file"), "{error}");
}
