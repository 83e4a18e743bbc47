//! Writing infotexts: order, spelling and quoting as A1111 v1.10 has them for a request through its API.

use crate::{Conditioning, Decoding, GenerationRequest, NoiseSource, Precision, RefinedPass, Schedule};

/// What pictures made by this build say in their `Version` field. Its form keeps A1111 from taking it for an old
/// version of its own, for which it would switch on compatibility settings.
pub const PROGRAM_VERSION: &str = concat!("impasto ", env!("CARGO_PKG_VERSION"));

/// What the infotext of one picture is composed of.
#[derive(Debug, Clone, Copy)]
pub struct InfotextFacts<'a> {
    /// The request, with its seeds drawn.
    pub request: &'a GenerationRequest,
    /// Number of the picture within the request, from 0.
    pub index: u32,
    /// Width and height that were asked for, in pixels.
    pub size: (u32, u32),
    /// Base name of the model's file, without suffix.
    pub model_name: &'a str,
    /// First ten hexadecimal digits of the SHA-256 of the model's file.
    pub model_hash: Option<&'a str>,
    /// The file's name of an autoencoder in the place of the model's own.
    pub vae_name: Option<&'a str>,
    /// First ten digits of that file's SHA-256.
    pub vae_hash: Option<&'a str>,
    /// Names of adapters and the first twelve digits of their hashes: `a: 0123456789ab, b: ...`.
    pub lora_hashes: Option<&'a str>,
    /// What the model is told beside the latent.
    pub conditioning: Conditioning,
    /// Name and hash of the model that made the last steps, `name [0123456789]`, if one took over.
    pub refiner: Option<&'a str>,
    /// The same of the second pass's model, if it is another.
    pub hires_model: Option<&'a str>,
    /// The same of embeddings.
    pub ti_hashes: Option<&'a str>,
    /// Program and version; normally [`PROGRAM_VERSION`].
    pub version: &'a str,
}

/// The infotext of one picture.
pub fn compose_infotext(facts: &InfotextFacts<'_>) -> String {
    let request = facts.request;
    let settings: Vec<String> = settings(facts)
        .into_iter()
        .filter_map(|(key, value)| {
            let value = value?;
            Some(if value == key { key.to_owned() } else { format!("{key}: {}", quote(&value)) })
        })
        .collect();
    let negative = if request.negative_prompt.is_empty() {
        String::new()
    } else {
        format!("\nNegative prompt: {}", request.negative_prompt)
    };
    format!("{}{negative}\n{}", request.prompt, settings.join(", ")).trim().to_owned()
}

/// An infotext with more settings before its version, in order: what scripts add.
pub fn with_parameters(infotext: &str, parameters: &[(String, String)]) -> String {
    const VERSION: &str = ", Version: ";
    let written: Vec<String> =
        parameters.iter().map(|(key, value)| format!(", {key}: {}", quote(value))).collect();
    let more = written.concat();
    let line = infotext.rfind('\n').map_or(0, |end| end + 1);
    match infotext[line..].rfind(VERSION) {
        Some(place) => {
            let (before, after) = infotext.split_at(line + place);
            format!("{before}{more}{after}")
        }
        None => format!("{infotext}{more}"),
    }
}

/// The values of the last line, in order; `None` is left out.
fn settings(facts: &InfotextFacts<'_>) -> Vec<(&'static str, Option<String>)> {
    let request = facts.request;
    let told = request.infotext;
    let seeds = request.seeds(facts.index);
    let (width, height) = facts.size;
    let varied = request.subseed_strength != 0.0;
    let source = request.noise_source;
    let (eta_key, eta) = eta(request);
    let mut settings = vec![
        ("Steps", Some(request.steps.to_string())),
        ("Sampler", Some(request.sampler.name().to_owned())),
        ("Schedule type", Some(schedule_label(request).to_owned())),
        ("CFG scale", Some(python_float(request.cfg_scale))),
        ("Image CFG scale", image_cfg_scale(facts).map(python_float)),
        ("Seed", Some(seeds.seed.to_string())),
        ("Size", Some(format!("{width}x{height}"))),
        ("Model hash", facts.model_hash.filter(|_| told.model_hash).map(str::to_owned)),
        ("Model", told.model_name.then(|| facts.model_name.to_owned())),
        ("VAE hash", facts.vae_hash.filter(|_| told.vae_hash).map(str::to_owned)),
        ("VAE", facts.vae_name.filter(|_| told.vae_name).map(str::to_owned)),
        ("Variation seed", varied.then(|| seeds.subseed.to_string())),
        ("Variation seed strength", varied.then(|| python_float(request.subseed_strength))),
        ("Seed resize from", request.seed_resize_from.map(|(width, height)| format!("{width}x{height}"))),
        ("Denoising strength", request.denoising_strength().map(python_float)),
        ("Conditional mask weight", mask_weight(facts).map(python_float)),
        ("Clip skip", (request.clip_skip > 1).then(|| request.clip_skip.to_string())),
        ("ENSD", noise_seed_delta(request).map(|delta| delta.to_string())),
        ("Token merging ratio", request.shortcuts.infotext_merging()),
        (
            "Token merging ratio hr",
            request.hires.as_ref().and_then(|hires| unless_zero(hires.token_merging_ratio)),
        ),
        ("Init image hash", request.from_picture.as_ref().and_then(|source| source.hash.clone())),
        ("RNG", (source != NoiseSource::Gpu).then(|| source.name().to_owned())),
        ("Tiling", request.tiling.then(|| "True".to_owned())),
    ];
    settings.extend(soft_inpainting(request));
    settings.extend(request.shortcuts.infotext_tiles());
    settings.extend(second_pass(facts));
    settings.extend(inpainting(request));
    let encodes = request.from_picture.is_some() || request.hires.is_some();
    settings.push(("VAE Encoder", unless_full(request.vae.encode).filter(|_| encodes)));
    settings.push(("Lora hashes", facts.lora_hashes.filter(|_| told.lora_hashes).map(str::to_owned)));
    settings.push(("TI hashes", facts.ti_hashes.filter(|_| told.ti_hashes).map(str::to_owned)));
    settings.extend(request.prompt_rules.infotext(request));
    let [before, after] = request.sampler_options.infotext();
    settings.extend(before);
    settings.push((eta_key, eta.map(python_float)));
    settings.extend(after);
    settings.extend(refiner(facts));
    settings.extend(request.shortcuts.infotext_end());
    settings.extend(noise(request));
    settings.push(("VAE Decoder", unless_full(request.vae.decode)));
    // A key of our own: A1111 has none for it.
    let narrow = request.precision.filter(|&precision| precision != Precision::F32);
    settings.push(("Precision", narrow.map(|precision| precision.name().to_owned())));
    settings.push(("Version", told.version.then(|| facts.version.to_owned())));
    settings
}

/// What is told of a second pass.
fn second_pass(facts: &InfotextFacts<'_>) -> Vec<(&'static str, Option<String>)> {
    let request = facts.request;
    let Some(hires) = &request.hires else { return Vec::new() };
    let other = |text: &Option<String>, first: &String| text.clone().filter(|text| text != first);
    let sized = (hires.width, hires.height) != (0, 0);
    vec![
        ("Hires checkpoint", facts.hires_model.map(str::to_owned)),
        ("Hires sampler", hires.sampler.map(|sampler| sampler.name().to_owned())),
        ("Hires prompt", other(&hires.prompt, &request.prompt)),
        ("Hires negative prompt", other(&hires.negative_prompt, &request.negative_prompt)),
        ("Hires schedule type", hires.schedule.map(|schedule| schedule.label().to_owned())),
        ("Hires upscale", (!sized).then(|| python_float(hires.scale))),
        ("Hires resize", sized.then(|| format!("{}x{}", hires.width, hires.height))),
        ("Hires steps", (hires.steps > 0).then(|| hires.steps.to_string())),
        ("Hires upscaler", Some(hires.upscaler.clone())),
    ]
}

/// What is told of a mask.
fn inpainting(request: &GenerationRequest) -> Vec<(&'static str, Option<String>)> {
    let Some(inpainting) = request.from_picture.as_ref().and_then(|source| source.inpainting.as_ref()) else {
        return Vec::new();
    };
    let [across, down] = inpainting.blur;
    let text = |told: bool, text: &str| told.then(|| text.to_owned());
    vec![
        ("Mask mode", text(inpainting.invert, "Inpaint not masked")),
        ("Mask blur", (across == down && across > 0).then(|| across.to_string())),
        ("Inpaint area", text(inpainting.only_masked, "Only masked")),
        ("Masked area padding", inpainting.only_masked.then(|| inpainting.padding.to_string())),
        ("Masked content", inpainting.content.infotext().map(str::to_owned)),
    ]
}

/// What is told of the noise on a picture.
fn noise(request: &GenerationRequest) -> Vec<(&'static str, Option<String>)> {
    let Some(source) = &request.from_picture else { return Vec::new() };
    let multiplier = Some(source.noise_multiplier).filter(|&multiplier| multiplier != 1.0);
    vec![("Noise multiplier", multiplier.map(python_float)), ("Extra noise", unless_zero(source.extra_noise))]
}

/// What is told of soft seams.
fn soft_inpainting(request: &GenerationRequest) -> Vec<(&'static str, Option<String>)> {
    let inpainting = request.from_picture.as_ref().and_then(|source| source.inpainting.as_ref());
    let Some(soft) = inpainting.and_then(|inpainting| inpainting.soft) else { return Vec::new() };
    let numbers = soft.numbers().map(|(name, value, _)| (name, Some(python_float(value))));
    [("Soft inpainting enabled", Some("True".to_owned()))].into_iter().chain(numbers).collect()
}

/// What is told of a model that took over.
fn refiner(facts: &InfotextFacts<'_>) -> Vec<(&'static str, Option<String>)> {
    let Some((refiner, name)) = facts.request.refiner.as_ref().zip(facts.refiner) else { return Vec::new() };
    let pass =
        Some(refiner.pass).filter(|&pass| pass != RefinedPass::Second && facts.request.hires.is_some());
    vec![
        ("Refiner switch by sampling steps", refiner.by_steps.then(|| "True".to_owned())),
        ("Hires refiner", pass.map(|pass| pass.name().to_owned())),
        ("Refiner", Some(name.to_owned())),
        ("Refiner switch at", refiner.switch_at.map(python_float)),
    ]
}

/// The strength of guidance by the picture, of models that have it.
fn image_cfg_scale(facts: &InfotextFacts<'_>) -> Option<f64> {
    let source = facts.request.from_picture.as_ref()?;
    source.image_cfg_scale.filter(|_| facts.conditioning == Conditioning::Instructions)
}

/// How much is hidden, of models made for inpainting.
fn mask_weight(facts: &InfotextFacts<'_>) -> Option<f64> {
    (facts.conditioning == Conditioning::Inpainting).then_some(facts.request.inpainting_mask_weight)
}

fn unless_full(decoding: Decoding) -> Option<String> {
    (decoding != Decoding::Full).then(|| decoding.name().to_owned())
}

fn unless_zero(value: f64) -> Option<String> {
    (value != 0.0).then(|| python_float(value))
}

/// The label of the schedule that is used, where the sampler has one of its own to fall back to.
fn schedule_label(request: &GenerationRequest) -> &'static str {
    let own = request.sampler.default_schedule().filter(|_| request.schedule == Schedule::Automatic);
    own.unwrap_or(request.schedule).label()
}

/// The key and, where it was asked for and differs from the sampler's default, the value of eta.
fn eta(request: &GenerationRequest) -> (&'static str, Option<f64>) {
    let own = request.sampler.default_eta();
    let eta = request.eta.filter(|_| own.is_some()).filter(|_| request.eta != own);
    if request.sampler.is_timestep_based() { ("Eta DDIM", eta) } else { ("Eta", eta) }
}

/// The noise seed delta, where it makes a difference.
fn noise_seed_delta(request: &GenerationRequest) -> Option<i64> {
    let draws_noise = request.sampler.uses_ensd() && request.eta != Some(0.0);
    Some(request.eta_noise_seed_delta).filter(|&delta| draws_noise && delta != 0)
}

/// Values with a comma, colon or line break are written as JSON strings.
fn quote(value: &str) -> String {
    if value.contains([',', ':', '\n']) {
        serde_json::Value::from(value).to_string()
    } else {
        value.to_owned()
    }
}

/// A number as Python prints floats: `7.0`, `0.1`, `1e-05`, `1e+16`, `nan`, `inf`.
pub fn python_float(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string().to_lowercase();
    }
    // Rust's debug form agrees with Python's on the digits and on when an exponent is used, not on how it is written.
    let text = format!("{value:?}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Precision, Sampler, Shortcuts};

    fn composed(request: &GenerationRequest, index: u32) -> String {
        compose_infotext(&InfotextFacts {
            request,
            index,
            size: (512, 512),
            model_name: "v1-5-pruned-emaonly",
            model_hash: Some("6ce0161689"),
            vae_name: None,
            vae_hash: None,
            lora_hashes: None,
            ti_hashes: None,
            conditioning: Conditioning::None,
            refiner: None,
            hires_model: None,
            version: "v1.10.1",
        })
    }

    #[test]
    fn writes_what_a1111_writes() {
        let request =
            GenerationRequest { prompt: "cat".to_owned(), seed: Some(1), ..GenerationRequest::default() };
        assert_eq!(
            composed(&request, 0),
            "cat\nSteps: 20, Sampler: Euler, Schedule type: Automatic, CFG scale: 7.0, Seed: 1, Size: 512x512, \
             Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, Version: v1.10.1"
        );
    }

    #[test]
    fn writes_every_key_in_order() {
        let request = GenerationRequest {
            prompt: " cat\nDog ".to_owned(),
            negative_prompt: "mouse".to_owned(),
            seed: Some(1),
            subseed: Some(5),
            subseed_strength: 0.25,
            clip_skip: 2,
            sampler: Sampler::EulerAncestral,
            noise_source: NoiseSource::Cpu,
            eta: Some(0.5),
            eta_noise_seed_delta: 31337,
            shortcuts: Shortcuts {
                skip_early_cond: 0.1,
                skip_late_cond: 0.25,
                s_min_uncond: 3.0,
                s_min_uncond_all: true,
                deepcache_interval: 3,
                deepcache_depth: 2,
                token_merging_ratio: 0.5,
                hypertile_enable_unet: true,
                hypertile_max_tile_unet: 128,
                ..Shortcuts::default()
            },
            precision: Some(Precision::Int8),
            ..GenerationRequest::default()
        };
        assert_eq!(
            composed(&request, 3),
            "cat\nDog \nNegative prompt: mouse\nSteps: 20, Sampler: Euler a, Schedule type: Automatic, \
             CFG scale: 7.0, Seed: 1, Size: 512x512, Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, \
             Variation seed: 8, Variation seed strength: 0.25, Clip skip: 2, ENSD: 31337, Token merging ratio: 0.5, RNG: CPU, \
             Hypertile U-Net: True, Hypertile U-Net max tile size: 128, Eta: 0.5, \
             Skip Early CFG: 0.1, NGMS: 3.0, NGMS all steps: True, Skip Late CFG: 0.25, DeepCache interval: 3, \
             DeepCache depth: 2, Precision: int8, Version: v1.10.1"
        );
    }

    #[test]
    fn eta_and_noise_seed_delta_are_written_only_where_they_act() {
        let mut request = GenerationRequest { eta: Some(0.5), eta_noise_seed_delta: 7, ..Default::default() };
        assert!(!composed(&request, 0).contains("Eta") && !composed(&request, 0).contains("ENSD"));
        request.sampler = Sampler::Ddim;
        assert!(composed(&request, 0).contains("Eta DDIM: 0.5") && !composed(&request, 0).contains("ENSD"));
        request.sampler = Sampler::EulerAncestral;
        request.eta = Some(0.0);
        assert!(composed(&request, 0).contains("Eta: 0.0") && !composed(&request, 0).contains("ENSD"));
        request.sampler = Sampler::DpmPp2m;
        assert!(composed(&request, 0).contains("Schedule type: Karras"));
    }

    #[test]
    fn scripts_add_what_they_did_before_the_version() {
        let more =
            [("Script".to_owned(), "X/Y/Z plot".to_owned()), ("X Values".to_owned(), "1, 2".to_owned())];
        assert_eq!(
            with_parameters("cat, Version: 1\nSteps: 2, Seed: 1, Version: v1.10.1", &more),
            "cat, Version: 1\nSteps: 2, Seed: 1, Script: X/Y/Z plot, X Values: \"1, 2\", Version: v1.10.1"
        );
        assert_eq!(with_parameters("Steps: 2", &more[..1]), "Steps: 2, Script: X/Y/Z plot");
    }

    #[test]
    fn quotes_what_would_be_misread() {
        assert_eq!(quote("plain \"word\""), "plain \"word\"");
        assert_eq!(quote("a: \u{e9}, \"b\"\n"), r#""a: é, \"b\"\n""#);
    }

    #[test]
    fn floats_look_like_pythons() {
        for (value, text) in [
            (7.0, "7.0"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (-2.5e120, "-2.5e+120"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(python_float(value), text);
        }
    }
}
