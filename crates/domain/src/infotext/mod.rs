//! Infotext: the settings of a picture as text, kept in the picture's file.
//!
//! The form is AUTOMATIC1111's, so that its users' tools read our files and we read theirs: the prompt, a line
//! `Negative prompt: ...`, and a last line `Steps: 20, Sampler: Euler, ...`. [`compose_infotext`] writes it,
//! [`parse_infotext`] reads it. Which of the values a request takes up is not decided here.

mod compose;
mod loras;
mod novel_ai;
mod options;
mod parse;
mod rules;

pub use compose::{InfotextFacts, PROGRAM_VERSION, compose_infotext, python_float, with_parameters};
pub use novel_ai::novel_ai_infotext;
pub use options::InfotextOptions;
pub use parse::{InfotextValue, infotext_settings, old_first_pass, parse_infotext, parse_infotext_by};
pub use rules::{FoundStyles, InfotextRules};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GenerationRequest, NoiseSource, Precision, Sampler, Schedule};
    use proptest::prelude::*;

    fn find<'a>(parsed: &'a [(String, InfotextValue)], key: &str) -> Option<&'a InfotextValue> {
        parsed.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn number<T: std::str::FromStr>(parsed: &[(String, InfotextValue)], key: &str) -> Option<T> {
        find(parsed, key)?.to_string().parse().ok()
    }

    /// The request that a composed infotext stands for, as far as it says.
    fn request_of(parsed: &[(String, InfotextValue)]) -> GenerationRequest {
        let text = |key| find(parsed, key).map(ToString::to_string).unwrap_or_default();
        let (sampler, schedule) = Sampler::resolve(&text("Sampler"), Some(&text("Schedule type")));
        GenerationRequest {
            model: None,
            prompt: text("Prompt"),
            negative_prompt: text("Negative prompt"),
            width: number(parsed, "Size-1"),
            height: number(parsed, "Size-2"),
            steps: number(parsed, "Steps").unwrap(),
            cfg_scale: number(parsed, "CFG scale").unwrap(),
            sampler,
            schedule,
            seed: number(parsed, "Seed"),
            subseed: number(parsed, "Variation seed"),
            subseed_strength: number(parsed, "Variation seed strength").unwrap_or(0.0),
            clip_skip: number(parsed, "Clip skip").unwrap(),
            noise_source: NoiseSource::from_exact_name(&text("RNG")).unwrap(),
            eta: number(parsed, "Eta").or_else(|| number(parsed, "Eta DDIM")),
            eta_noise_seed_delta: number(parsed, "ENSD").unwrap_or(0),
            precision: find(parsed, "Precision")
                .and_then(|value| Precision::from_exact_name(&value.to_string())),
            ..GenerationRequest::default()
        }
    }

    fn sampler() -> impl Strategy<Value = Sampler> {
        proptest::sample::select(Sampler::all().collect::<Vec<_>>())
    }

    fn schedule() -> impl Strategy<Value = Schedule> {
        proptest::sample::select(Schedule::all().collect::<Vec<_>>())
    }

    prop_compose! {
        // Lines as they come out of the parser: stripped, and no line that claims to start the negative prompt.
        fn prompt()(lines in proptest::collection::vec("[a-z\u{e9}\u{4e2d}(),:\"\\\\ .<>]{0,12}x", 1..4)) -> String {
            lines.iter().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n")
        }
    }

    prop_compose! {
        fn request()(
            (prompt, negative_prompt) in (prompt(), proptest::option::of(prompt())),
            (sampler, schedule) in (sampler(), schedule()),
            (seed, subseed, strength) in (0..u64::MAX, 0..u64::MAX, proptest::option::of(0.001..1.0f64)),
            (width, height, steps) in (8..4096u32, 8..4096u32, 1..1000u32),
            (cfg_scale, clip_skip, eta) in (-1e20..1e20f64, 1..=12u32, proptest::option::of(0.0..2.0f64)),
            delta in proptest::option::of(1..100_000i64),
            noise_source in proptest::sample::select(vec![NoiseSource::Gpu, NoiseSource::Cpu, NoiseSource::Nv]),
            precision in proptest::sample::select(vec![None, Some(Precision::Int8)]),
        ) -> GenerationRequest {
            let eta = eta.filter(|_| sampler.default_eta().is_some());
            let (sampler, schedule) = Sampler::resolve(sampler.name(), Some(schedule.name()));
            GenerationRequest {
                prompt,
                negative_prompt: negative_prompt.unwrap_or_default(),
                width: Some(width),
                height: Some(height),
                steps,
                cfg_scale,
                sampler,
                schedule,
                seed: Some(seed),
                subseed: strength.map(|_| subseed),
                subseed_strength: strength.unwrap_or(0.0),
                clip_skip,
                noise_source,
                eta,
                eta_noise_seed_delta: delta.filter(|_| sampler.uses_ensd() && eta != Some(0.0)).unwrap_or(0),
                precision,
                ..GenerationRequest::default()
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_composed_is_parsed_back(request in request(), model_name in "[a-z,: \"\\\\]{1,9}") {
            let facts = InfotextFacts {
                request: &request,
                index: 0,
                size: (request.width.unwrap(), request.height.unwrap()),
                model_name: &model_name,
                model_hash: Some("0123456789"),
                vae_name: Some("a, b.pt"),
                vae_hash: Some("0123456789"),
                lora_hashes: Some("a: 0123456789ab, b: ba9876543210"),
                ti_hashes: Some("c: 0123456789ab"),
                conditioning: crate::Conditioning::None,
                refiner: None,
                hires_model: None,
                version: PROGRAM_VERSION,
            };
            let parsed = parse_infotext(&compose_infotext(&facts));
            prop_assert_eq!(request_of(&parsed), request);
        }

        #[test]
        fn any_text_is_parsed(text in "(?s).{0,200}") {
            let parsed = parse_infotext(&text);
            prop_assert!(find(&parsed, "Prompt").is_some());
        }
    }
}
