//! Prompts from file or textbox: a request for each line of a text. A line is a prompt, or flags such as
//! `--prompt "a cat" --steps 20`.

mod flags;

use crate::ScriptError;
use crate::arguments::Arguments;
use crate::base::{Base, Context};
use crate::composition::{Answer, Ask, Composition, Made, Placed, outcomes};
use crate::table::check_count;
use impasto_domain::GenerationRequest;
use serde_json::json;

/// The argument with the lines.
const LINES: usize = 3;

#[derive(Debug)]
struct PromptsFromFile {
    lines: std::vec::IntoIter<Base>,
    batches: u32,
    asked: usize,
    /// Whether the pictures of each request are saved.
    saved: Vec<bool>,
    pictures: Vec<Placed>,
    problems: Vec<String>,
}

/// Begins it.
pub(crate) fn begin(
    arguments: Arguments<'_>,
    mut base: Base,
    context: &mut Context<'_>,
) -> Result<Box<dyn Composition>, ScriptError> {
    let (iterate, same) = (arguments.flag(0)?, arguments.flag(1)?);
    let at_start = arguments.choice(2)? == 0;
    let text = arguments.text(LINES)?;
    if iterate || same {
        let seed = context.seed();
        base.request.seed.get_or_insert(seed);
    }
    let mut lines = Vec::new();
    let mut pictures = 0;
    for (number, line) in text.lines().enumerate().map(|(number, line)| (number + 1, line.trim())) {
        if line.is_empty() {
            continue;
        }
        check_count(pictures + 1, context.limits.max_images)?;
        let wrong = |problem: String| {
            arguments.wrong_value(LINES, json!(line), format!("in line {number}: {problem}"))
        };
        let own = line_of(line, &base, at_start, context).map_err(wrong)?;
        own.check(&context.limits).map_err(|error| match error {
            ScriptError::Request(error) => wrong(error.to_string()),
            other => other,
        })?;
        pictures += u64::from(own.request.image_count());
        check_count(pictures, context.limits.max_images)?;
        lines.push(own);
        if iterate {
            let step = u64::from(base.request.image_count());
            base.request.seed = base.request.seed.map(|seed| seed.wrapping_add(step));
        }
    }
    if lines.is_empty() {
        return Err(arguments.wrong(LINES, "has no line with a prompt"));
    }
    Ok(Box::new(PromptsFromFile {
        batches: lines.iter().map(|line| line.request.batch_count).sum(),
        saved: lines.iter().map(|line| line.saved).collect(),
        lines: lines.into_iter(),
        asked: 0,
        pictures: Vec::new(),
        problems: Vec::new(),
    }))
}

/// What a line asks for. One that does not begin with a flag is a prompt, whatever else it has.
fn line_of(line: &str, base: &Base, at_start: bool, context: &Context<'_>) -> Result<Base, String> {
    let mut own = base.clone();
    // What the line says for itself; what the request said stands beside it.
    let prompts = |request: &mut GenerationRequest| {
        (std::mem::take(&mut request.prompt), std::mem::take(&mut request.negative_prompt))
    };
    let (prompt, negative_prompt) = prompts(&mut own.request);
    if line.starts_with("--") {
        flags::apply(line, &mut own, context)?;
    } else {
        line.clone_into(&mut own.request.prompt);
    }
    let beside = |text: &mut String, other: String| {
        *text = match (text.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => std::mem::take(text),
            _ if at_start => format!("{text} {other}"),
            _ => format!("{other} {text}"),
        };
    };
    beside(&mut own.request.prompt, prompt);
    beside(&mut own.request.negative_prompt, negative_prompt);
    Ok(own)
}

impl Composition for PromptsFromFile {
    fn batches(&self) -> u32 {
        self.batches
    }

    fn next(&mut self) -> Result<Ask, ScriptError> {
        match self.lines.next() {
            Some(line) => Ok(Ask::Generate(vec![line.complete()?])),
            None => Ok(Ask::Nothing),
        }
    }

    fn take(&mut self, answer: Answer) -> Result<(), ScriptError> {
        for outcome in outcomes(answer) {
            self.problems.extend(outcome.problem.clone());
            self.pictures.extend(Placed::all(outcome, self.asked));
            self.asked += 1;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Made, ScriptError> {
        let mut pieces: Vec<_> = self.pictures.iter().map(Placed::piece).collect();
        for piece in &mut pieces {
            piece.saved = self.saved.get(piece.origin.0).copied().unwrap_or(true);
        }
        Ok(Made { pieces, comments: std::mem::take(&mut self.problems) })
    }
}

#[cfg(test)]
mod tests {
    use crate::Tab;
    use crate::fake::{base, begin, refusal, run, shown};
    use impasto_domain::{GenerationRequest, Sampler};
    use serde_json::{Value, json};

    fn requests(arguments: &Value, prompt: &str) -> Vec<GenerationRequest> {
        run(begin("Prompts from file or textbox", arguments, base(prompt), Tab::Text).unwrap()).0
    }

    #[test]
    fn each_line_is_a_request() {
        let made = requests(&json!([false, false, "start", "a cat\n\n  a -- dog \n"]), "in a house");
        let prompts: Vec<_> = made.iter().map(|request| request.prompt.as_str()).collect();
        assert_eq!(prompts, ["a cat in a house", "a -- dog in a house"]);
        assert_eq!(made[1].seed, Some(10));
        let made = requests(&json!([true, false, "end", "a\nb"]), "x");
        assert_eq!((made[1].prompt.as_str(), made[1].seed), ("x b", Some(11)));
    }

    #[test]
    fn flags_set_what_they_name() {
        let line = "--prompt a \"big cat\" --negative_prompt 'dog' --steps 7 --seed 5 --sampler_name \"euler A\" \
                    --width 128 --height 64 --cfg_scale 3.5 --n_iter 2 --styles oil --sd_model two \
                    --subseed_strength 0.5 --tiling true --seed_resize_from_w 64 --seed_resize_from_h 32";
        let made = requests(&json!([false, false, "start", line]), "");
        let request = &made[0];
        assert_eq!((request.prompt.as_str(), request.negative_prompt.as_str()), ("a big cat, in oil", "dog"));
        assert_eq!((request.steps, request.seed, request.sampler), (7, Some(5), Sampler::EulerAncestral));
        assert_eq!((request.width, request.height, request.batch_count), (Some(128), Some(64), 2));
        assert_eq!((request.cfg_scale, request.eta, request.tiling), (3.5, Some(1.0), true));
        assert_eq!(request.model.as_deref(), Some("sub/two.safetensors"));
        assert_eq!(request.seed_resize_from, Some((64, 32)));
    }

    #[test]
    fn the_same_seed_serves_all_lines_if_it_is_asked_for() {
        let mut unseeded = base("");
        unseeded.request.seed = None;
        let arguments = json!([false, true, "start", "a\nb"]);
        let begun = begin("prompts from file or textbox", &arguments, unseeded.clone(), Tab::Text).unwrap();
        let seeds: Vec<_> = run(begun).0.iter().map(|request| request.seed).collect();
        assert!(seeds[0].is_some() && seeds[0] == seeds[1], "{seeds:?}");
        let arguments = json!([false, false, "start", "a --x\n--prompt b --do_not_save_samples true"]);
        let begun = begin("prompts from file or textbox", &arguments, unseeded, Tab::Text).unwrap();
        let made = run(begun).1;
        let saved: Vec<bool> = made.pieces.iter().map(|piece| piece.saved).collect();
        assert_eq!((shown(&made).len(), saved, made.index_of_first_image()), (2, vec![true, false], 0));
    }

    #[test]
    fn a_wrong_line_is_named() {
        let told = |lines: &str| {
            refusal(
                "prompts from file or textbox",
                &json!([false, false, "start", lines]),
                base(""),
                Tab::Text,
            )
        };
        for (lines, problem) in [
            ("", "has no line with a prompt"),
            ("a\n--steps x", "in line 2: --steps: \"x\" is no number of the kind that is needed"),
            ("--outpath_samples /etc --prompt a", "in line 1: --outpath_samples is refused"),
            ("--color red", "in line 1: there is no flag --color"),
            ("--prompt a --steps", "in line 1: --steps has no value"),
            ("--prompt 'a", "in line 1: a ' is not closed"),
            ("--prompt a --width 1", "in line 1: width 1 is out of range"),
            ("--prompt a --sd_model three", "in line 1: --sd_model: there is no model \"three\""),
            ("--prompt a --n_iter 200\n--prompt b --n_iter 57", "257 pictures are too many"),
        ] {
            assert!(told(lines).contains(problem), "{lines}: {}", told(lines));
        }
    }
}
