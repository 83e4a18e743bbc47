//! What tensor shapes cannot tell: heads, groups, prediction type, noise schedule, scale factor, native size,
//! recommended guidance.
//! Found in the file's own metadata (our `impasto.*` keys and the `modelspec.*` standard) and beside the file, in
//! `NAME.json` (the same keys) and `NAME.yaml` (a Latent Diffusion configuration such as `v1-inference.yaml`, of which
//! five scalars are read by a scan of lines; no YAML document is built).

use crate::architecture::{Heads, Prediction};
use crate::kind::ModelKind;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Keys and values, whatever their source.
pub(crate) type Metadata = BTreeMap<String, String>;

/// Facts with the values that a kind of model has where nothing else is said.
#[derive(Debug, PartialEq)]
pub(crate) struct Facts {
    pub(crate) unet_heads: Heads,
    pub(crate) unet_groups: usize,
    pub(crate) vae_groups: usize,
    /// Heads of the text encoder; absent means 64 features each.
    pub(crate) text_heads: Option<usize>,
    /// The same of XL's second text encoder.
    pub(crate) second_text_heads: Option<usize>,
    pub(crate) prediction: Prediction,
    pub(crate) betas: (f64, f64),
    pub(crate) scale_factor: f32,
    pub(crate) native_size: (usize, usize),
    /// Guidance that suits the model, if its maker recommends one.
    pub(crate) cfg_scale: Option<f64>,
}

/// A value that cannot be meant: key, value, what was wanted.
#[derive(Debug, PartialEq)]
pub(crate) struct OddFact {
    pub(crate) key: &'static str,
    pub(crate) value: String,
    pub(crate) wanted: &'static str,
}

/// Largest `NAME.json` or `NAME.yaml` looked into, in bytes.
const MAX_SIDECAR: u64 = 1 << 20;

/// Widest or highest native size believed, in pixels.
const MAX_PIXELS: usize = 8192;

/// Keys of a Latent Diffusion configuration, and of the metadata they stand for.
const YAML_KEYS: &[(&str, &str)] = &[
    ("num_heads", "impasto.unet.heads"),
    ("parameterization", "modelspec.prediction_type"),
    ("scale_factor", "impasto.scale_factor"),
    ("linear_start", "impasto.beta.start"),
    ("linear_end", "impasto.beta.end"),
];

impl Facts {
    /// Reads the facts. An odd value under one of our own keys is an error; a foreign one is skipped, since other
    /// programs wrote it, for people.
    pub(crate) fn read(metadata: &Metadata, kind: ModelKind) -> Result<Self, OddFact> {
        let xl = kind == ModelKind::StableDiffusionXl;
        let count =
            |key| parse(metadata, key, "a whole number from 1 to 1024", |n: &usize| (1..=1024).contains(n));
        let number = |key, wanted, good: fn(&f64) -> bool| parse(metadata, key, wanted, good);
        let beta = |key| number(key, "a number between 0 and 1", |&beta| beta > 0.0 && beta < 1.0);
        let betas =
            (beta("impasto.beta.start")?.unwrap_or(0.00085), beta("impasto.beta.end")?.unwrap_or(0.012));
        if betas.0 >= betas.1 {
            return Err(OddFact {
                key: "impasto.beta.end",
                value: betas.1.to_string(),
                wanted: "more than impasto.beta.start",
            });
        }
        let scale =
            number("impasto.scale_factor", "a positive number", |&scale| scale > 1e-6 && scale < 1e6)?;
        let heads = count("impasto.unet.heads")?.map(Heads::Count);
        let head_features = count("impasto.unet.head_features")?.map(Heads::Features);
        let usual_heads = if xl { Heads::Features(64) } else { Heads::Count(8) };
        Ok(Self {
            unet_heads: head_features.or(heads).unwrap_or(usual_heads),
            unet_groups: count("impasto.unet.groups")?.unwrap_or(32),
            vae_groups: count("impasto.vae.groups")?.unwrap_or(32),
            text_heads: count("impasto.text.heads")?,
            second_text_heads: count("impasto.second_text.heads")?,
            prediction: prediction(metadata),
            betas,
            scale_factor: scale.map_or(if xl { 0.13025 } else { 0.18215 }, |scale| scale as f32),
            native_size: native_size(metadata).unwrap_or(if xl { (1024, 1024) } else { (512, 512) }),
            cfg_scale: number("impasto.cfg_scale", "a number from 1 to 30", |scale| {
                (1.0..=30.0).contains(scale)
            })?,
        })
    }
}

fn parse<T: std::str::FromStr>(
    metadata: &Metadata,
    key: &'static str,
    wanted: &'static str,
    good: impl Fn(&T) -> bool,
) -> Result<Option<T>, OddFact> {
    let Some(value) = metadata.get(key) else { return Ok(None) };
    match value.trim().parse() {
        Ok(number) if good(&number) => Ok(Some(number)),
        _ => Err(OddFact { key, value: value.clone(), wanted }),
    }
}

/// `v` in the modelspec standard and in Latent Diffusion's configurations; everything else is epsilon.
fn prediction(metadata: &Metadata) -> Prediction {
    match metadata.get("modelspec.prediction_type").map(|value| value.trim()) {
        Some("v" | "v_prediction") => Prediction::Velocity,
        _ => Prediction::Epsilon,
    }
}

/// `WIDTHxHEIGHT`, or one number for both.
fn native_size(metadata: &Metadata) -> Option<(usize, usize)> {
    let value = metadata.get("modelspec.resolution")?;
    let (width, height) = value.split_once(['x', 'X']).unwrap_or((value, value));
    let size =
        |text: &str| text.trim().parse().ok().filter(|size| (8..=MAX_PIXELS).contains(size) && size % 8 == 0);
    Some((size(width)?, size(height)?))
}

/// Adds what `NAME.json` and `NAME.yaml` beside `path` say; YAML has the last word, as in `AUTOMATIC1111`. Files that are
/// absent, too large or malformed add nothing.
pub(crate) fn add_sidecars(metadata: &mut Metadata, path: &Path) {
    if let Some(text) = small_text(&path.with_extension("json")) {
        metadata.extend(scan_json(&text));
    }
    if let Some(text) = small_text(&path.with_extension("yaml")) {
        metadata.extend(scan_yaml(&text));
    }
}

fn small_text(path: &Path) -> Option<String> {
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_SIDECAR + 1).read_to_string(&mut text).ok()?;
    (text.len() as u64 <= MAX_SIDECAR).then_some(text)
}

/// Scalars of a JSON object under our keys and modelspec's; `AUTOMATIC1111` keeps notes in the same file.
fn scan_json(text: &str) -> Metadata {
    let Ok(serde_json::Value::Object(object)) = serde_json::from_str(text) else {
        return Metadata::new();
    };
    let known = |key: &str| key.starts_with("impasto.") || key.starts_with("modelspec.");
    let scalar = |value| match value {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    object
        .into_iter()
        .filter(|(key, _)| known(key))
        .filter_map(|(key, value)| Some((key, scalar(value)?)))
        .collect()
}

/// The known scalars of a Latent Diffusion configuration, at whatever depth.
fn scan_yaml(text: &str) -> Metadata {
    let mut found = Metadata::new();
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or_default();
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim().trim_matches(['"', '\'']);
        let Some((_, name)) = YAML_KEYS.iter().find(|(yaml, _)| key.trim() == *yaml) else { continue };
        // Another program's file: a value of another type is left out rather than refused later.
        if *name == "modelspec.prediction_type" || value.parse::<f64>().is_ok_and(f64::is_finite) {
            found.insert((*name).to_owned(), value.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: ModelKind = ModelKind::StableDiffusion1;

    fn metadata(pairs: &[(&str, &str)]) -> Metadata {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn defaults_are_those_of_stable_diffusion_1() {
        let facts = Facts::read(&Metadata::new(), KIND).unwrap();
        assert_eq!(
            (facts.unet_heads, facts.text_heads, facts.scale_factor),
            (Heads::Count(8), None, 0.18215)
        );
        assert_eq!((facts.betas, facts.native_size), ((0.00085, 0.012), (512, 512)));
        assert_eq!((facts.prediction, facts.cfg_scale), (Prediction::Epsilon, None));
    }

    #[test]
    fn xl_has_defaults_of_its_own() {
        let facts = Facts::read(&Metadata::new(), ModelKind::StableDiffusionXl).unwrap();
        assert_eq!((facts.unet_heads, facts.scale_factor), (Heads::Features(64), 0.13025));
        assert_eq!((facts.native_size, facts.second_text_heads), ((1024, 1024), None));
        let keys = metadata(&[("impasto.unet.head_features", "8"), ("impasto.second_text.heads", "3")]);
        let facts = Facts::read(&keys, ModelKind::StableDiffusionXl).unwrap();
        assert_eq!((facts.unet_heads, facts.second_text_heads), (Heads::Features(8), Some(3)));
    }

    #[test]
    fn reads_our_keys_and_modelspec() {
        let keys = metadata(&[
            ("impasto.unet.heads", "4"),
            ("impasto.text.heads", " 2 "),
            ("impasto.scale_factor", "0.5"),
            ("modelspec.prediction_type", "v"),
            ("modelspec.resolution", "128x96"),
            ("impasto.cfg_scale", "4"),
        ]);
        let facts = Facts::read(&keys, KIND).unwrap();
        assert_eq!((facts.unet_heads, facts.text_heads, facts.scale_factor), (Heads::Count(4), Some(2), 0.5));
        assert_eq!((facts.prediction, facts.native_size), (Prediction::Velocity, (128, 96)));
        assert_eq!(facts.cfg_scale, Some(4.0));
    }

    #[test]
    fn odd_values_of_ours_are_errors_and_foreign_ones_are_skipped() {
        for (key, value) in [
            ("impasto.unet.heads", "0"),
            ("impasto.unet.heads", "-1"),
            ("impasto.unet.heads", "99999999999999999999"),
            ("impasto.unet.head_features", "0"),
            ("impasto.text.heads", "two"),
            ("impasto.second_text.heads", "0"),
            ("impasto.scale_factor", "NaN"),
            ("impasto.scale_factor", "inf"),
            ("impasto.scale_factor", "0"),
            ("impasto.beta.start", "0.5"),
            ("impasto.beta.end", "NaN"),
            ("impasto.cfg_scale", "NaN"),
            ("impasto.cfg_scale", "inf"),
            ("impasto.cfg_scale", "0.9"),
            ("impasto.cfg_scale", "30.1"),
            ("impasto.cfg_scale", "strong"),
        ] {
            assert!(Facts::read(&metadata(&[(key, value)]), KIND).is_err(), "{key}={value}");
        }
        for value in ["", "x", "NaNxNaN", "-1x5", "512", "7x7", "99999999999999999999999x8", "8192x8200"] {
            let size = Facts::read(&metadata(&[("modelspec.resolution", value)]), KIND).unwrap().native_size;
            assert_eq!(size, (512, 512), "{value}");
        }
    }

    #[test]
    fn scans_a_latent_diffusion_configuration() {
        let found = scan_yaml(
            "model:\n  base_learning_rate: 1.0e-4\n  params:\n    parameterization: \"v\" # or eps\n    \
             linear_start: 0.00085\n    linear_end: 0.0120\n    scale_factor: 0.13025\n    unet_config:\n      \
             params:\n        num_heads: 4\n        num_head_channels: 64\n",
        );
        let facts = Facts::read(&found, KIND).unwrap();
        assert_eq!(
            (facts.unet_heads, facts.scale_factor, facts.prediction),
            (Heads::Count(4), 0.13025, Prediction::Velocity)
        );
        assert_eq!(scan_yaml("num_heads: many\nscale_factor: .nan\n:::\n\0"), Metadata::new());
    }

    #[test]
    fn scans_json_of_others_too() {
        let found = scan_json(
            r#"{"description":"x","vae":"y","impasto.unet.heads":4,"modelspec.resolution":"64x64"}"#,
        );
        assert_eq!(found, metadata(&[("impasto.unet.heads", "4"), ("modelspec.resolution", "64x64")]));
        assert_eq!(scan_json("[1,2"), Metadata::new());
    }
}
