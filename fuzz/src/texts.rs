//! Texts: the infotext inside a picture, and prompts.

use impasto_api::Txt2ImgRequest;
use impasto_diffusion::{PromptSide, count_tokens, parse_attention};
use impasto_domain::{GenerationRequest, PromptRules, parse_infotext};
use impasto_models::Tokenizer;
use serde_json::json;
use std::sync::OnceLock;

pub(crate) const INFOTEXT_WORDS: &[&[u8]] = &[
    b"\nNegative prompt: ",
    b"\nSteps: 20, ",
    b"Sampler: Euler a, ",
    b"Size: 512x512, ",
    b"Hires resize: 1x1, ",
    b"Lora hashes: \"a: 0123456789ab\", ",
    b"Seed: -1, ",
    b"Version: v1.5.0, ",
    b"\"",
    b"\\",
    b"\\u0000",
    b": ",
    b", ",
];

pub(crate) const PROMPT_WORDS: &[&[u8]] = &[
    b"(",
    b")",
    b"[",
    b"]",
    b":1.1)",
    b":0.5]",
    b":",
    b"|",
    b" AND ",
    b" BREAK ",
    b"<lora:a:1:2>",
    b"<",
    b">",
    b"\\",
    b"1e999",
    b"\xe7\x8c\xab",
    b"# ",
];

/// Longer texts are no prompts: a request has a bound of its own.
const LONGEST: usize = 1 << 16;

/// An infotext: parsed, and asked for as a request.
pub(crate) fn infotext(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for (_, value) in parse_infotext(&text) {
        let _ = value.to_string();
    }
    let _ = Txt2ImgRequest::from_json(json!({ "infotext": text }));
}

/// A prompt, on both sides and under all rules: taken apart, and cut into tokens. Its first byte is the number of steps.
pub(crate) fn prompt(bytes: &[u8]) {
    static TOKENIZER: OnceLock<Option<Tokenizer>> = OnceLock::new();
    let Some((&steps, text)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(text.get(..LONGEST).unwrap_or(text));
    let _ = parse_attention(&text);
    let Some(tokenizer) = TOKENIZER.get_or_init(|| Tokenizer::new(2000).ok()) else { return };
    for old_scheduling in [false, true] {
        let rules = PromptRules { old_scheduling, ..GenerationRequest::default().prompt_rules };
        for side in [PromptSide::Positive, PromptSide::Negative] {
            let _ = count_tokens(&text, side, u32::from(steps).max(1), rules, tokenizer, &[]);
        }
    }
}
