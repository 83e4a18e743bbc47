//! Flags of a line: `--seed 5 --sampler_name "Euler a"`, split as a shell splits words.

use crate::base::{Base, Context};
use impasto_domain::Sampler;
use std::str::FromStr;

/// Sets what a flag says, or tells what is wrong with its value.
type Set = fn(&mut Base, &str, &Context<'_>) -> Result<(), String>;

/// Flags that may name any folder of the machine in A1111.
const FOLDERS: &[&str] = &["outpath_samples", "outpath_grids"];

/// Flags and what they set.
const FLAGS: &[(&str, Set)] = &[
    ("sd_model", |base, value, context| {
        let model = context.names.model(value).ok_or_else(|| format!("there is no model {value:?}"))?;
        base.request.model = Some(model);
        Ok(())
    }),
    ("prompt_for_display", |_, _, _| Ok(())),
    ("styles", |base, value, _| {
        base.styles = value.split(',').map(|name| name.trim().to_owned()).collect();
        Ok(())
    }),
    ("seed", |base, value, _| {
        base.request.seed = seed(value)?;
        Ok(())
    }),
    ("subseed", |base, value, _| {
        base.request.subseed = seed(value)?;
        Ok(())
    }),
    ("subseed_strength", |base, value, _| set(&mut base.request.subseed_strength, value)),
    ("seed_resize_from_h", |base, value, _| {
        let (_, height) = base.request.seed_resize_from.get_or_insert((0, 0));
        set(height, value)
    }),
    ("seed_resize_from_w", |base, value, _| {
        let (width, _) = base.request.seed_resize_from.get_or_insert((0, 0));
        set(width, value)
    }),
    ("sampler_index", |_, value, _| number::<i64>(value).map(|_| ())),
    ("sampler_name", |base, value, _| {
        let sampler =
            Sampler::from_any_name(value).ok_or_else(|| format!("there is no sampler {value:?}"))?;
        base.choose_sampler(sampler);
        Ok(())
    }),
    ("batch_size", |base, value, _| set(&mut base.request.batch_size, value)),
    ("n_iter", |base, value, _| set(&mut base.request.batch_count, value)),
    ("steps", |base, value, _| set(&mut base.request.steps, value)),
    ("cfg_scale", |base, value, _| set(&mut base.request.cfg_scale, value)),
    ("width", |base, value, _| {
        base.request.width = Some(number(value)?);
        Ok(())
    }),
    ("height", |base, value, _| {
        base.request.height = Some(number(value)?);
        Ok(())
    }),
    ("restore_faces", |base, value, _| {
        base.request.restore_faces = value == "true";
        Ok(())
    }),
    ("tiling", |base, value, _| {
        base.request.tiling = value == "true";
        Ok(())
    }),
    ("do_not_save_samples", |base, value, _| {
        base.saved = value != "true";
        Ok(())
    }),
    ("do_not_save_grid", |_, _, _| Ok(())),
];

fn number<T: FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{value:?} is no number of the kind that is needed"))
}

fn set<T: FromStr>(field: &mut T, value: &str) -> Result<(), String> {
    *field = number(value)?;
    Ok(())
}

fn seed(value: &str) -> Result<Option<u64>, String> {
    match number::<i64>(value)? {
        -1 => Ok(None),
        seed => u64::try_from(seed).map(Some).map_err(|_| format!("{seed} is no seed")),
    }
}

/// Sets what the flags of a line say. Prompts that are missing stay as they are.
pub(super) fn apply(line: &str, base: &mut Base, context: &Context<'_>) -> Result<(), String> {
    let words = split(line)?;
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        let name = word.strip_prefix("--").ok_or_else(|| format!("{word:?} is no flag: it has no --"))?;
        let value = words.next().ok_or_else(|| format!("{word} has no value"))?;
        if name == "prompt" || name == "negative_prompt" {
            let mut text = value.to_owned();
            while let Some(more) = words.next_if(|word| !word.starts_with("--")) {
                text = format!("{text} {more}");
            }
            let request = &mut base.request;
            *(if name == "prompt" { &mut request.prompt } else { &mut request.negative_prompt }) = text;
            continue;
        }
        if FOLDERS.contains(&name) {
            return Err(format!("{word} is refused: clients do not choose where files go"));
        }
        let (_, set) = FLAGS
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| format!("there is no flag {word}"))?;
        set(base, value, context).map_err(|problem| format!("{word}: {problem}"))?;
    }
    // One side alone asks for nothing.
    base.request.seed_resize_from = base.request.seed_resize_from.filter(|size| size.0 > 0 && size.1 > 0);
    Ok(())
}

/// Words as a shell reads them: separated by spaces, with quotes and backslashes.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            space if space.is_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(letters.next().ok_or("it ends with a backslash")?),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or_else(|| format!("a {letter} is not closed"))? {
                        end if end == letter => break,
                        '\\' if letter == '"' => {
                            let next = letters.next().ok_or("a \" is not closed")?;
                            if !matches!(next, '"' | '\\') {
                                word.push('\\');
                            }
                            word.push(next);
                        }
                        other => word.push(other),
                    }
                }
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        let words = |line: &str| split(line).map(|words| words.join("|"));
        assert_eq!(words("--a 'b c'  \"d \\\" \\e\" f\\ g"), Ok("--a|b c|d \" \\e|f g".to_owned()));
        assert_eq!(words("'' x"), Ok("|x".to_owned()));
        assert_eq!(words("a'b'\"c\""), Ok("abc".to_owned()));
        for open in ["'a", "\"a", "a\\", "\"a\\"] {
            assert!(split(open).is_err(), "{open}");
        }
    }
}
