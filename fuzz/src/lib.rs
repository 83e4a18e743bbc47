//! Whatever reads bytes of strangers, as functions that take any bytes: infotexts, prompts, pictures, checkpoints, adapters.
//!
//! A target does what the program does with such bytes and ignores the answer. It fails by panicking, by running on, or by
//! taking memory without bound. The tests replay `corpus/` and mutations of it; `libfuzzer/` hands the same functions to a
//! fuzzer that looks for new paths. What was found stays in the corpus.

mod adapter;
mod files;
mod texts;

/// A function to be fed with bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Words of the format, for mutations.
    pub words: &'static [&'static [u8]],
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "infotext", run: texts::infotext, words: texts::INFOTEXT_WORDS },
    Target { name: "prompt", run: texts::prompt, words: texts::PROMPT_WORDS },
    Target { name: "picture", run: files::picture, words: files::PICTURE_WORDS },
    Target { name: "pickle", run: files::pickle, words: files::PICKLE_WORDS },
    Target { name: "checkpoint", run: files::checkpoint, words: files::CHECKPOINT_WORDS },
    Target { name: "adapter", run: adapter::adapter, words: adapter::WORDS },
];
