//! Infotexts of pictures that NovelAI made, in A1111's words.

use super::python_float;
use crate::Sampler;
use serde_json::Value;

/// What NovelAI leaves out: the layers it skips, and what it adds to seeds of noise.
const ALWAYS: &str = "Clip skip: 2, ENSD: 31337";

/// The infotext of NovelAI's texts: the prompt, and its settings as JSON. `size` is that of the picture in pixels. Nothing if the
/// settings cannot be read.
pub fn novel_ai_infotext(prompt: &str, settings: &str, (width, height): (u32, u32)) -> Option<String> {
    let settings: Value = serde_json::from_str(settings).ok()?;
    let negative = settings.get("uc")?.as_str()?;
    let steps = settings.get("steps")?.as_u64()?;
    let seed = settings.get("seed")?.as_u64()?;
    let scale = settings.get("scale")?;
    // As Python prints it: whole numbers stay whole.
    let scale = scale.as_i64().map(|scale| scale.to_string()).or_else(|| scale.as_f64().map(python_float))?;
    let sampler = settings.get("sampler")?.as_str()?.to_lowercase();
    let answers = |known: &Sampler| {
        known.name().to_lowercase() == sampler || known.aliases().contains(&sampler.as_str())
    };
    let sampler = Sampler::all().find(answers).unwrap_or(Sampler::EulerAncestral).name();
    Some(format!(
        "{prompt}\nNegative prompt: {negative}\n\
         Steps: {steps}, Sampler: {sampler}, CFG scale: {scale}, Seed: {seed}, Size: {width}x{height}, {ALWAYS}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_an_infotext() {
        let settings = r#"{"steps": 28, "sampler": "k_euler", "seed": 7, "strength": 0.7, "scale": 11.5, "uc": "blurry"}"#;
        assert_eq!(
            novel_ai_infotext("a {cat}", settings, (512, 768)).unwrap(),
            "a {cat}\nNegative prompt: blurry\nSteps: 28, Sampler: Euler, CFG scale: 11.5, Seed: 7, Size: 512x768, \
             Clip skip: 2, ENSD: 31337"
        );
        let unknown = settings.replace("k_euler", "nai_smea").replace("11.5", "11");
        let text = novel_ai_infotext("", &unknown, (1, 1)).unwrap();
        assert!(text.contains("Sampler: Euler a, CFG scale: 11, "), "{text}");
        for broken in ["", "{}", "[1]", r#"{"steps": -1}"#] {
            assert_eq!(novel_ai_infotext("", broken, (1, 1)), None);
        }
    }
}
