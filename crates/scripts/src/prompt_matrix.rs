//! Prompt matrix: a prompt `a|b|c` with every choice of its parts after the first.

use crate::ScriptError;
use crate::arguments::Arguments;
use crate::base::{Base, Context, Look};
use crate::composition::{Answer, Ask, Composition, Made, PieceKind, Placed, outcomes};
use crate::table::check_count;
use impasto_imaging::{Label, Rgb};

/// Parts beyond this would make more pictures than any limit.
const MOST_PARTS: usize = 20;

#[derive(Debug)]
struct PromptMatrix {
    base: Base,
    look: Look,
    /// The parts after the first, which come and go.
    parts: Vec<String>,
    /// The prompt of each picture.
    prompts: Vec<String>,
    is_negative: bool,
    different_seeds: bool,
    margin: u32,
    /// Pictures that are asked for together.
    together: usize,
    asked: usize,
    pictures: Vec<Option<Placed>>,
    problems: Vec<String>,
}

/// Begins it.
pub(crate) fn begin(
    arguments: Arguments<'_>,
    mut base: Base,
    context: &mut Context<'_>,
) -> Result<Box<dyn Composition>, ScriptError> {
    let put_at_start = arguments.flag(0)?;
    let different_seeds = arguments.flag(1)?;
    let is_negative = arguments.choice(2)? == 1;
    let delimiter = [", ", " "][arguments.choice(3)?];
    let margin = arguments.pixels(4)?;
    let prompt = if is_negative { &base.request.negative_prompt } else { &base.request.prompt };
    let mut parts: Vec<String> = prompt.split('|').map(str::to_owned).collect();
    let first = parts.remove(0);
    let count = 1_u64 << parts.len().min(MOST_PARTS);
    check_count(count, context.limits.max_images)?;
    context.look.check(count, &base.request)?;
    let prompt_of = |choice: usize| {
        let chosen = parts.iter().enumerate().filter(|(at, _)| choice >> at & 1 == 1);
        let mut texts: Vec<&str> = chosen.map(|(_, part)| part.trim().trim_matches(',')).collect();
        texts.insert(if put_at_start { texts.len() } else { 0 }, &first);
        texts.join(delimiter)
    };
    let prompts: Vec<String> = (0..count as usize).map(prompt_of).collect();
    context.fix_seeds(&mut base.request);
    let together = base.request.batch_size.max(1) as usize;
    (base.request.batch_size, base.request.batch_count) = (1, 1);
    let matrix = PromptMatrix {
        pictures: vec![None; prompts.len()],
        look: context.look.clone(),
        base,
        parts,
        prompts,
        is_negative,
        different_seeds,
        margin,
        together,
        asked: 0,
        problems: Vec::new(),
    };
    for at in 0..matrix.prompts.len() {
        matrix.variant(at).check(&context.limits)?;
    }
    Ok(Box::new(matrix))
}

impl PromptMatrix {
    /// The request for one of the pictures.
    fn variant(&self, at: usize) -> Base {
        let mut base = self.base.of_picture(at % self.together);
        let request = &mut base.request;
        let prompt = if self.is_negative { &mut request.negative_prompt } else { &mut request.prompt };
        prompt.clone_from(&self.prompts[at]);
        let step = at as u64;
        if self.different_seeds {
            request.seed = request.seed.map(|seed| seed.wrapping_add(step));
        }
        request.subseed = request.subseed.map(|seed| seed.wrapping_add(step));
        base
    }

    /// What stands at each place along an edge: the parts that belong to it, of which some hold.
    fn labels(parts: &[String]) -> Vec<Vec<Label>> {
        let label = |choice: usize, (at, part): (usize, &String)| Label {
            text: part.clone(),
            active: choice >> at & 1 == 1,
        };
        (0..1_usize << parts.len())
            .map(|choice| parts.iter().enumerate().map(|part| label(choice, part)).collect())
            .collect()
    }
}

impl Composition for PromptMatrix {
    fn batches(&self) -> u32 {
        self.prompts.len() as u32
    }

    fn next(&mut self) -> Result<Ask, ScriptError> {
        let end = (self.asked + self.together).min(self.prompts.len());
        if self.asked == end {
            return Ok(Ask::Nothing);
        }
        (self.asked..end).map(|at| self.variant(at).complete()).collect::<Result<_, _>>().map(Ask::Generate)
    }

    fn take(&mut self, answer: Answer) -> Result<(), ScriptError> {
        for outcome in outcomes(answer) {
            self.problems.extend(outcome.problem.clone());
            if let Some(place) = self.pictures.get_mut(self.asked) {
                *place = Placed::all(outcome, self.asked).into_iter().next();
            }
            self.asked += 1;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Made, ScriptError> {
        let comments = std::mem::take(&mut self.problems);
        let Some(first) = self.pictures.iter().flatten().next() else {
            return Ok(Made { pieces: Vec::new(), comments });
        };
        let size = first.painted.picture.size();
        // Places of pictures that are missing stay black.
        let black = Rgb::filled(size.0, size.1, [0; 3])?;
        let places: Vec<&Rgb> = self
            .pictures
            .iter()
            .map(|place| place.as_ref().map_or(&black, |placed| &*placed.painted.picture))
            .collect();
        let (above, beside) = self.parts.split_at(self.parts.len().div_ceil(2));
        let grid = self.look.grid(&places, 1 << beside.len())?;
        let grid =
            self.look.annotated(&grid, size, (&Self::labels(above), &Self::labels(beside)), self.margin)?;
        let mut pieces = vec![first.with(grid, PieceKind::Grid("prompt_matrix"))];
        pieces.extend(self.pictures.iter().flatten().map(Placed::piece));
        Ok(Made { pieces, comments })
    }
}

#[cfg(test)]
mod tests {
    use crate::fake::{base, begin, refusal, run, run_until, shown};
    use crate::{PieceKind, Tab};
    use serde_json::json;

    fn prompts(arguments: &serde_json::Value, prompt: &str) -> Vec<String> {
        let begun = begin("prompt matrix", arguments, base(prompt), Tab::Text).unwrap();
        run(begun).0.into_iter().map(|request| request.prompt).collect()
    }

    #[test]
    fn every_choice_of_parts_is_a_prompt() {
        assert_eq!(prompts(&json!([]), "a|b,|c"), ["a", "a, b", "a, c", "a, b, c"]);
        assert_eq!(prompts(&json!([true, false, "positive", "space"]), "a|b"), ["a", "b a"]);
        assert_eq!(prompts(&json!([]), "a"), ["a"]);
    }

    #[test]
    fn the_grid_comes_first_and_has_a_place_for_each() {
        let begun = begin("Prompt matrix", &json!([false, true]), base("a|b|c"), Tab::Text).unwrap();
        let (requests, made) = run(begun);
        let seeds: Vec<_> = requests.iter().map(|request| (request.seed, request.subseed)).collect();
        assert_eq!(seeds[3], (Some(13), Some(23)));
        let sizes = shown(&made);
        assert_eq!((sizes.len(), &sizes[1..]), (5, &[(64, 32); 4][..]));
        // Two columns, two rows, words beside and above.
        assert!(sizes[0].0 == 128 + 48 && sizes[0].1 > 64, "{sizes:?}");
        assert_eq!((made.pieces[0].kind, made.index_of_first_image()), (PieceKind::Grid("prompt_matrix"), 1));
        assert_eq!(made.pieces[0].infotext, made.pieces[1].infotext);
    }

    #[test]
    fn negative_prompts_can_have_parts_too() {
        let mut negative = base("a|b");
        negative.request.negative_prompt = "x|y".to_owned();
        negative.styles = vec!["oil".to_owned()];
        let begun = begin("prompt matrix", &json!([false, false, "negative"]), negative, Tab::Text).unwrap();
        let told: Vec<_> =
            run(begun).0.into_iter().map(|request| (request.prompt, request.negative_prompt)).collect();
        let pair = |negative: &str| ("a|b, in oil".to_owned(), negative.to_owned());
        assert_eq!(told, [pair("x"), pair("x, y")]);
    }

    #[test]
    fn an_interrupted_matrix_has_black_places() {
        let begun = begin("prompt matrix", &json!([]), base("a|b|c"), Tab::Text).unwrap();
        let (_, made) = run_until(begun, 2);
        assert_eq!(shown(&made).len(), 3);
        let grid = &made.pieces[0].picture;
        assert!(grid.pixels().iter().filter(|pixel| **pixel == [0; 3]).count() >= 2 * 64 * 32);
        let begun = begin("prompt matrix", &json!([]), base("a|b|c"), Tab::Text).unwrap();
        assert!(run_until(begun, 0).1.pieces.is_empty());
    }

    #[test]
    fn too_many_pictures_and_wrong_arguments_are_refused() {
        let told = |arguments, prompt: &str| refusal("prompt matrix", &arguments, base(prompt), Tab::Text);
        assert_eq!(
            told(json!([]), &"a|".repeat(40)),
            "script_args 1048576 pictures are too many: at most 256 are made by one request (max_images)"
        );
        assert_eq!(
            told(json!([false, false, "both"]), "a"),
            "Prompt matrix: \"Select prompt\" (argument 2) \"both\" has to be one of positive, negative"
        );
    }
}
