//! What guides an image: the parts of its prompt and the negative prompt, each with its texts over time and their vectors.

use crate::TrajectoryError;
use crate::error::check_finite;
use crate::guidance::compose;
use crate::prompt::{
    CHUNK_TOKENS, Chunk, Chunker, EmbeddingWord, MAX_CHUNKS, Part, TextSchedule, TextSpan, Timeline,
    emphasize, split_parts, too_many_chunks,
};
use crate::spec::ImageSpec;
use impasto_domain::{Emphasis, RequestError};
use impasto_models::Tokenizer;
use impasto_tensor::Array;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most parts that `AND` may join. Each is a row of every UNet call. A1111 knows no limit.
const MAX_PARTS: usize = 64;

/// A prompt, or a part of one: its texts, and which of them holds when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Condition {
    /// The chunks of each text; all texts have equally many.
    texts: Vec<Vec<Chunk>>,
    spans: Vec<TextSpan>,
    /// Text vectors as they came, `[chunks, 77, features]`, until those of all texts are there.
    #[serde(skip)]
    vectors: Vec<Array>,
    /// What the UNet attends to for each text, `[tokens, features]`, once known.
    #[serde(skip)]
    contexts: Vec<Arc<Array>>,
}

impl Condition {
    /// Lays out what the text of a prompt in `field` is over time. `spare` are the chunks that its texts may have together;
    /// theirs are taken off it.
    fn new(
        text: &str,
        timeline: Timeline,
        chunker: &Chunker<'_>,
        field: &'static str,
        spare: &mut usize,
    ) -> Result<Self, RequestError> {
        let schedule = TextSchedule::of(text, timeline, field)?;
        let mut texts = Vec::with_capacity(schedule.texts.len());
        let (mut count, mut longest) = (0, 0);
        for text in &schedule.texts {
            let laid_out = chunker.lay_out(text);
            longest = laid_out.count.max(longest);
            count = longest * (texts.len() + 1);
            if count > *spare {
                return Err(too_many_chunks(field, MAX_CHUNKS - *spare + count));
            }
            texts.push(laid_out.chunks);
        }
        *spare -= count;
        // As in A1111, texts of one prompt are encoded in one batch.
        for chunks in &mut texts {
            chunks.resize_with(longest, || chunker.empty());
        }
        Ok(Self { texts, spans: schedule.spans, vectors: Vec::new(), contexts: Vec::new() })
    }

    /// The text to encode next, unless all are.
    fn next_text(&self) -> Option<&[Chunk]> {
        let next = self.texts.get(self.vectors.len()).filter(|_| self.contexts.is_empty());
        next.map(Vec::as_slice)
    }

    fn chunks(&self) -> usize {
        self.texts.first().map_or(0, Vec::len)
    }

    /// Takes the vectors of the text to encode next. Those of the last make contexts of at least `chunks` chunks, for which
    /// their last vector is repeated.
    fn take(&mut self, vectors: Array, emphasis: Emphasis, chunks: usize) -> Result<(), TrajectoryError> {
        let count = self.chunks();
        let fits = matches!(vectors.shape(), &[given, CHUNK_TOKENS, _] if given == count)
            && self.vectors.first().is_none_or(|first| first.shape() == vectors.shape());
        if !fits {
            let wanted = format!("text vectors [{count}, {CHUNK_TOKENS}, features]");
            return Err(TrajectoryError::answer(wanted, format!("{:?}", vectors.shape())));
        }
        check_finite("the text encoder", vectors.data())?;
        self.vectors.push(vectors);
        if self.vectors.len() < self.texts.len() {
            return Ok(());
        }
        let mut uses = vec![0; self.texts.len()];
        self.spans.iter().for_each(|span| uses[span.text] += 1);
        let wrong =
            |error: impasto_tensor::TensorError| TrajectoryError::answer("text vectors", error.to_string());
        let contexts =
            emphasize(emphasis, std::mem::take(&mut self.vectors), &self.texts, &uses).map_err(wrong)?;
        self.contexts = contexts
            .into_iter()
            .map(|context| lengthen(context, chunks * CHUNK_TOKENS).map(Arc::new).map_err(wrong))
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    /// What the UNet attends to at its call `call`, counted from 0. The first text holds for one call more than its number
    /// says, as in A1111; the last holds to the end, however many calls there are.
    fn context(&self, call: usize) -> Option<&Arc<Array>> {
        let span = self.spans.iter().find(|span| call <= span.until as usize).or(self.spans.last())?;
        self.contexts.get(span.text)
    }
}

/// Repeats the last vector of `[tokens, features]` until there are `tokens`.
fn lengthen(context: Array, tokens: usize) -> Result<Array, impasto_tensor::TensorError> {
    let &[given, features] = context.shape() else { return Ok(context) };
    if given == 0 || given >= tokens {
        return Ok(context);
    }
    let mut values = context.into_data();
    let last = values.len() - features;
    for _ in given..tokens {
        values.extend_from_within(last..last + features);
    }
    Array::new([tokens, features], values)
}

/// All that guides an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Conditions {
    /// The prompt's parts, each once, then the negative prompt.
    all: Vec<Condition>,
    /// Which of them guides towards itself, and how strongly, in the order of the prompt.
    parts: Vec<(usize, f64)>,
    emphasis: Emphasis,
}

impl Conditions {
    /// Reads the prompts of `spec`. An error if there is too much in one of them.
    pub(crate) fn new(
        spec: &ImageSpec,
        tokenizer: &Tokenizer,
        words: &[EmbeddingWord],
    ) -> Result<Self, RequestError> {
        let chunker = Chunker::new(tokenizer, spec.prompt_rules, words);
        let timeline = spec.timeline();
        let mut texts: Vec<&str> = Vec::new();
        let mut parts = Vec::new();
        for Part { text, weight } in split_parts(&spec.prompt) {
            if parts.len() == MAX_PARTS {
                return Err(RequestError {
                    field: "prompt",
                    value: format!("of more than {MAX_PARTS} parts"),
                    problem: "is out of range: AND may join no more".to_owned(),
                });
            }
            // Spaces before a text are no tokens.
            let text = text.trim_start();
            let known = texts.iter().position(|known| *known == text);
            parts.push((known.unwrap_or(texts.len()), weight));
            if known.is_none() {
                texts.push(text);
            }
        }
        let read =
            |text: &str, field, spare: &mut usize| Condition::new(text, timeline, &chunker, field, spare);
        let mut spare = MAX_CHUNKS;
        let mut conditions: Vec<Condition> =
            texts.into_iter().map(|text| read(text, "prompt", &mut spare)).collect::<Result<_, _>>()?;
        conditions.push(read(&spec.negative_prompt, "negative_prompt", &mut MAX_CHUNKS.clone())?);
        Ok(Self { all: conditions, parts, emphasis: spec.prompt_rules.emphasis })
    }

    /// Rows of a UNet call with guidance, or without the negative prompt.
    pub(crate) fn rows(&self, guided: bool) -> usize {
        self.all.len() - usize::from(!guided)
    }

    /// Where there is a text to encode before the next call, and its chunks.
    pub(crate) fn next_text(&self, guided: bool) -> Option<(usize, &[Chunk])> {
        let mut needed = self.all.iter().take(self.rows(guided)).enumerate();
        needed.find_map(|(at, condition)| Some((at, condition.next_text()?)))
    }

    /// Takes the vectors of the text that was told to be encoded next, with where it is.
    pub(crate) fn take_text(&mut self, at: usize, vectors: Array) -> Result<(), TrajectoryError> {
        // Parts that guide side by side have contexts of one length.
        let parts = &self.all[..self.all.len() - 1];
        let longest = parts.iter().map(Condition::chunks).max().unwrap_or(0);
        let chunks = if at < parts.len() { longest } else { 0 };
        self.all[at].take(vectors, self.emphasis, chunks)
    }

    /// What the rows of the UNet's call `call`, counted from 0, attend to.
    pub(crate) fn contexts(&self, call: usize, guided: bool) -> impl Iterator<Item = &Arc<Array>> {
        self.all.iter().take(self.rows(guided)).filter_map(move |condition| condition.context(call))
    }

    /// The negative prompt's estimate among those of the rows, if it is there.
    pub(crate) fn unconditional<'a>(&self, estimates: &'a [Vec<f32>]) -> Option<&'a [f32]> {
        estimates.get(self.all.len() - 1).map(Vec::as_slice)
    }

    /// One estimate out of those of the rows. Without the negative prompt's, they guide away from the first.
    pub(crate) fn guide(&self, estimates: &[Vec<f32>], cfg_scale: f64) -> Vec<f32> {
        let (without, scale) = match self.unconditional(estimates) {
            Some(negative) => (negative, cfg_scale),
            None => (estimates[0].as_slice(), 1.0),
        };
        let parts = self.parts.iter().map(|&(at, weight)| (estimates[at].as_slice(), weight * scale));
        compose(without, parts)
    }
}

/// Refuses prompts that no trajectory of a model with this tokenizer would take, in which `words` stand for vectors, and says which
/// of those they use. Short ones without such words need no tokenizer.
pub fn check_prompts<E: From<RequestError>>(
    spec: &ImageSpec,
    tokenizer: impl FnOnce() -> Result<Arc<Tokenizer>, E>,
    words: &[EmbeddingWord],
) -> Result<Vec<String>, E> {
    if words.is_empty() && [&spec.prompt, &spec.negative_prompt].into_iter().all(|prompt| surely_fits(prompt))
    {
        return Ok(Vec::new());
    }
    let conditions = Conditions::new(spec, &*tokenizer()?, words)?;
    let chunks = conditions.all.iter().flat_map(|condition| &condition.texts).flatten();
    Ok(chunks.flat_map(|chunk| &chunk.embeddings).map(|placed| placed.id.clone()).collect())
}

/// Whether a prompt is so short that its texts cannot have too many chunks, whatever the tokenizer. A chunk takes the five
/// bytes of a BREAK at least, since otherwise it has over fifty tokens; a bracket adds one text at most if nothing
/// alternates.
fn surely_fits(prompt: &str) -> bool {
    let texts = 1 + prompt.matches('[').count();
    let most = (prompt.len() / 5 + 1).saturating_mul(texts);
    most <= MAX_CHUNKS && !prompt.contains('|') && !prompt.contains("AND")
}

#[cfg(test)]
mod tests {
    use super::*;
    use impasto_domain::{GenerationRequest, PromptRules};

    const FEATURES: usize = 2;

    fn spec(prompt: &str, steps: u32) -> ImageSpec {
        let request = GenerationRequest { prompt: prompt.into(), steps, ..GenerationRequest::default() };
        ImageSpec::of(&request, 0, (512, 512))
    }

    fn conditions(prompt: &str, steps: u32) -> Result<Conditions, RequestError> {
        Conditions::new(&spec(prompt, steps), &Tokenizer::new(300).unwrap(), &[])
    }

    /// Encodes all texts; each one's vectors are filled with its number, from 1. Gives their chunks.
    fn encode(conditions: &mut Conditions) -> Vec<usize> {
        let mut asked = Vec::new();
        while let Some((at, chunks)) = conditions.next_text(true) {
            asked.push(chunks.len());
            let mut vectors = Array::zeros([chunks.len(), CHUNK_TOKENS, FEATURES]);
            vectors.data_mut().fill(asked.len() as f32);
            conditions.take_text(at, vectors).unwrap();
        }
        asked
    }

    /// The number of the text that each row attends to.
    fn shown(conditions: &Conditions, call: usize) -> Vec<f32> {
        conditions.contexts(call, true).map(|context| context.data()[0]).collect()
    }

    #[test]
    fn the_first_text_holds_for_one_call_more_than_its_number() {
        let mut edited = conditions("a [b:c:3]", 6).unwrap();
        assert_eq!(encode(&mut edited), [1, 1, 1]);
        let texts: Vec<f32> = (0..8).map(|call| shown(&edited, call)[0]).collect();
        assert_eq!(texts, [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0], "and the last to the end");
        let mut alternating = conditions("[a|b|]", 6).unwrap();
        encode(&mut alternating);
        let texts: Vec<f32> = (0..7).map(|call| shown(&alternating, call)[0]).collect();
        assert_eq!(texts, [1.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_thousand_alternations_are_two_texts_and_their_contexts_are_shared() {
        let mut alternating = conditions("[a|b]", 1000).unwrap();
        assert_eq!(encode(&mut alternating), [1, 1, 1]);
        let context = |call: usize| alternating.contexts(call, false).next().unwrap().clone();
        assert!(Arc::ptr_eq(&context(2), &context(998)));
        assert!(!Arc::ptr_eq(&context(2), &context(3)));
    }

    #[test]
    fn texts_of_a_prompt_have_equally_many_chunks() {
        let mut edited = conditions("a [:BREAK b:3]", 6).unwrap();
        assert_eq!(encode(&mut edited), [2, 2, 1], "the negative prompt's are its own");
        let tokenizer = Tokenizer::new(300).unwrap();
        let filled = &edited.all[0].texts[0][1];
        assert_eq!(*filled, Chunker::new(&tokenizer, PromptRules::default(), &[]).empty());
    }

    #[test]
    fn shorter_parts_repeat_their_last_vector() {
        let mut parts = conditions("a AND b BREAK c", 6).unwrap();
        let mut number = 0.0;
        while let Some((at, chunks)) = parts.next_text(true) {
            let mut vectors = Array::zeros([chunks.len(), CHUNK_TOKENS, FEATURES]);
            vectors.data_mut().fill_with(|| {
                number += 1.0;
                number
            });
            parts.take_text(at, vectors).unwrap();
        }
        let contexts: Vec<_> = parts.contexts(0, true).cloned().collect();
        let lengths: Vec<usize> = contexts.iter().map(|context| context.shape()[0]).collect();
        assert_eq!(lengths, [154, 154, 77]);
        let own = CHUNK_TOKENS * FEATURES;
        let short = contexts[0].data();
        assert!(short[own..].chunks(FEATURES).all(|vector| *vector == short[own - FEATURES..own]));
    }

    #[test]
    fn equal_parts_share_a_row_and_each_has_its_weight() {
        let mut parts = conditions("a AND b :-0.5 AND a AND b:2", 6).unwrap();
        assert_eq!(parts.rows(true), 3);
        parts = conditions("a:3 AND b AND b:-0.5", 6).unwrap();
        assert_eq!((parts.rows(true), parts.rows(false)), (3, 2));
        let [a, b, negative] = [[2.0, 0.0], [1.0, 5.0], [1.0, 1.0]].map(|values: [f32; 2]| values.to_vec());
        // 1 + 10 (3 * 1 + 0.5 * 0), 1 + 10 (3 * -1 + 0.5 * 4)
        assert_eq!(parts.guide(&[a.clone(), b.clone(), negative], 10.0), [31.0, -9.0]);
        // Without the negative prompt, away from the first part: 2 + 0.5 * -1, 0 + 0.5 * 5
        assert_eq!(parts.guide(&[a.clone(), b], 10.0), [1.5, 2.5]);
        assert_eq!(conditions("a:3", 6).unwrap().guide(std::slice::from_ref(&a), 10.0), a);
    }

    #[test]
    fn too_much_text_is_refused_with_its_chunks() {
        let refusal = |prompt: &str, steps: u32| conditions(prompt, steps).unwrap_err().to_string();
        let out = "is out of range: allowed are 1 to 256, of 75 tokens each";
        assert_eq!(refusal(&"a BREAK ".repeat(257), 9), format!("prompt of 257 chunks {out}"));
        assert_eq!(
            refusal(&format!("[a|b] {}", "c BREAK ".repeat(129)), 9),
            format!("prompt of 258 chunks {out}")
        );
        let many: Vec<String> = (0..300).map(|number| number.to_string()).collect();
        assert_eq!(refusal(&format!("[{}]", many.join("|")), 900), format!("prompt of 257 chunks {out}"));
        assert!(conditions(&format!("[{}]", many.join("|")), 200).is_ok());
        let halves = format!("{0} AND {0}a", "a BREAK ".repeat(128));
        assert_eq!(refusal(&halves, 9), format!("prompt of 257 chunks {out}"), "parts count together");
        assert!(conditions(&"a AND ".repeat(63), 9).is_ok());
        assert_eq!(
            refusal(&"a AND ".repeat(64), 9),
            "prompt of more than 64 parts is out of range: AND may join no more"
        );
        let negative = ImageSpec { negative_prompt: "a BREAK ".repeat(257), ..spec("a BREAK ", 9) };
        let error = Conditions::new(&negative, &Tokenizer::new(300).unwrap(), &[]).unwrap_err();
        assert_eq!(error.to_string(), format!("negative_prompt of 257 chunks {out}"));
    }

    #[test]
    fn what_is_short_surely_fits() {
        for unit in ["BREAK ", "BREAK,", ",", "[,:1]"] {
            for length in [1, 50, 1279] {
                let prompt = unit.repeat(length / unit.len());
                if surely_fits(&prompt) {
                    assert!(conditions(&prompt, 1000).is_ok(), "{prompt}");
                }
            }
        }
        assert!(surely_fits(&"BREAK,".repeat(213)) && !surely_fits(&"BREAK".repeat(256)));
        assert!(
            surely_fits("a [cat:dog:0.5] on a (mat:1.2)") && !surely_fits("[a|b]") && !surely_fits("a AND b")
        );
        assert!(!surely_fits(&format!("{}{}", "[a:1]".repeat(20), "a".repeat(100))));
    }

    #[test]
    fn the_negative_prompt_has_no_parts_and_keeps_its_tags() {
        let spec = ImageSpec { negative_prompt: "a AND b <lora:x:1>".into(), ..spec("c <lora:x:1>", 9) };
        let tokenizer = Tokenizer::new(300).unwrap();
        let conditions = Conditions::new(&spec, &tokenizer, &[]).unwrap();
        let text = |at: usize| tokenizer.decode(&conditions.all[at].texts[0][0].tokens);
        assert_eq!((conditions.rows(true), text(0)), (2, "c".to_owned()));
        assert!(text(1).starts_with("a and b < lora : x : 1 >"), "{}", text(1));
    }
}
