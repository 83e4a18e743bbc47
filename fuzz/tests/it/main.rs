//! Every file of `corpus/`, and some thousands of mutations of them, which are the same in every run.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod mutate;

use impasto_fuzz::{TARGETS, Target};
use mutate::{Rng, mutated};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Mutations of each target in the test run.
const MUTATIONS: usize = 1500;
/// Most time that one input may take, in a build for tests on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// The files of a target, in the order of their names.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Runs a target, and names the input where that fails.
fn run(target: &Target, input: &[u8]) {
    let begun = Instant::now();
    let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let time = begun.elapsed();
    if ended.is_err() || time > PATIENCE {
        let kept = std::env::temp_dir().join(format!("impasto-fuzz-{}-{}", target.name, input.len()));
        std::fs::write(&kept, input).unwrap();
        panic!("{} after {time:?} with the bytes in {}", target.name, kept.display());
    }
}

fn run_mutations(count: usize) {
    for target in TARGETS {
        let corpus = corpus(target);
        let mut rng = Rng::new(target.name);
        for _ in 0..count {
            run(target, &mutated(&corpus, target.words, &mut rng));
        }
    }
}

#[test]
fn the_corpus_does_no_harm() {
    for target in TARGETS {
        let corpus = corpus(target);
        assert!(corpus.len() > 2, "{}", target.name);
        assert!(corpus.iter().map(Vec::len).sum::<usize>() < 64 << 10, "{}", target.name);
        for input in corpus.iter().map(Vec::as_slice).chain([&[][..]]) {
            run(target, input);
        }
    }
}

#[test]
fn mutations_of_the_corpus_do_no_harm() {
    run_mutations(MUTATIONS);
}

#[test]
#[ignore = "minutes; `cargo test -p impasto-fuzz -- --ignored`"]
fn many_mutations_of_the_corpus_do_no_harm() {
    run_mutations(100 * MUTATIONS);
}
