//! Loopback: what was made is what the next picture begins from, over and over.

use crate::ScriptError;
use crate::arguments::Arguments;
use crate::base::{Base, Context, Look, bitmap, source_of};
use crate::composition::{Answer, Ask, Composition, Made, Piece, Placed, outcomes, put_grid_first};
use crate::table::check_count;
use impasto_domain::{FromPicture, MaskedContent, python_float, with_parameters};
use std::f64::consts::FRAC_PI_2;
use std::sync::Arc;

/// Names of the curves, in the order of the argument's choices.
pub(crate) const CURVES: &[&str] = &["Aggressive", "Linear", "Lazy"];

#[derive(Debug)]
struct Loopback {
    base: Base,
    look: Look,
    source: Arc<FromPicture>,
    loops: u32,
    batches: u32,
    /// Strengths of the first and the last loop.
    strengths: [f64; 2],
    curve: usize,
    /// The loop and the batch that come next.
    at: [u32; 2],
    seed: u64,
    /// Pictures, and whether each is the last of its batch.
    pictures: Vec<(Placed, bool)>,
    asked: usize,
    problems: Vec<String>,
}

/// Begins it.
pub(crate) fn begin(
    arguments: Arguments<'_>,
    mut base: Base,
    context: &mut Context<'_>,
) -> Result<Box<dyn Composition>, ScriptError> {
    let loops = arguments.pixels(0)?;
    let last = arguments.real(1)?;
    let curve = arguments.choice(2)?;
    if arguments.choice(3)? != 0 {
        return Err(arguments.wrong(3, "is not there yet: no network that describes pictures can be run"));
    }
    context.fix_seeds(&mut base.request);
    base = base.of_picture(0);
    let batches = base.request.batch_count;
    (base.request.batch_size, base.request.batch_count) = (1, 1);
    check_count(u64::from(loops) * u64::from(batches), context.limits.max_images)?;
    base.check(&context.limits)?;
    let source = source_of(&base)?;
    Ok(Box::new(Loopback {
        look: context.look.clone(),
        loops,
        batches,
        strengths: [source.denoising_strength, last],
        curve,
        at: [0, 0],
        seed: base.request.seed.unwrap_or(0),
        pictures: Vec::new(),
        asked: 0,
        problems: Vec::new(),
        source,
        base,
    }))
}

impl Loopback {
    /// How much of the picture is made anew in a loop.
    fn strength(&self, number: u32) -> f64 {
        let [first, last] = self.strengths;
        if self.loops == 1 {
            return first;
        }
        let way = f64::from(number) / f64::from(self.loops - 1);
        let way = match self.curve {
            0 => (way * FRAC_PI_2).sin(),
            1 => way,
            _ => 1.0 - (way * FRAC_PI_2).cos(),
        };
        (last - first).mul_add(way, first)
    }
}

impl Composition for Loopback {
    fn batches(&self) -> u32 {
        self.loops * self.batches
    }

    fn next(&mut self) -> Result<Ask, ScriptError> {
        let [number, batch] = self.at;
        if batch == self.batches {
            return Ok(Ask::Nothing);
        }
        let mut source = (*self.source).clone();
        source.denoising_strength = self.strength(number);
        if let Some((last, _)) = self.pictures.last().filter(|_| number > 0) {
            source.images = vec![bitmap(&last.painted.picture)];
            if let Some(inpainting) = &mut source.inpainting {
                inpainting.content = MaskedContent::Original;
            }
        }
        let mut base = self.base.clone();
        base.request.from_picture = Some(Arc::new(source));
        base.request.seed = Some(self.seed);
        Ok(Ask::Generate(vec![base.complete()?]))
    }

    fn take(&mut self, answer: Answer) -> Result<(), ScriptError> {
        for outcome in outcomes(answer) {
            self.problems.extend(outcome.problem.clone());
            let stopped = outcome.stopped;
            let made = Placed::all(outcome, self.asked).into_iter().next();
            self.asked += 1;
            self.seed = self.seed.wrapping_add(1);
            let [number, batch] = self.at;
            let Some(made) = made else {
                // Without a picture there is nothing to go on from.
                self.at = [0, self.batches];
                continue;
            };
            let ends = stopped || number + 1 == self.loops;
            self.at = if ends { [0, batch + 1] } else { [number + 1, batch] };
            self.pictures.push((made, ends));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Made, ScriptError> {
        let told = [
            ("Final denoising strength".to_owned(), python_float(self.strengths[1])),
            ("Denoising curve".to_owned(), CURVES[self.curve].to_owned()),
        ];
        let mut pieces: Vec<Piece> = Vec::new();
        for (placed, is_last) in &self.pictures {
            let piece = placed.piece();
            let infotext = with_parameters(&piece.infotext, &told);
            pieces.push(Piece { infotext, shown: *is_last || self.batches == 1, ..piece });
        }
        if pieces.iter().filter(|piece| piece.shown).count() > 1 {
            put_grid_first(&mut pieces, &self.look, 1)?;
        }
        Ok(Made { pieces, comments: std::mem::take(&mut self.problems) })
    }
}

#[cfg(test)]
mod tests {
    use crate::Tab;
    use crate::fake::{base_from, begin, refusal, run, run_until, shown};
    use impasto_imaging::Rgb;
    use serde_json::json;

    fn source() -> Rgb {
        Rgb::filled(64, 32, [9; 3]).unwrap()
    }

    #[test]
    fn each_loop_begins_from_the_last_picture() {
        let begun =
            begin("loopback", &json!([3, 0.25, "Linear"]), base_from(&source()), Tab::Picture).unwrap();
        let (requests, made) = run(begun);
        let told: Vec<_> = requests
            .iter()
            .map(|request| {
                let from = request.from_picture.as_ref().unwrap();
                (request.seed.unwrap(), from.denoising_strength, from.images[0].rgba[0])
            })
            .collect();
        // The fake painter's red is the seed.
        assert_eq!(told, [(10, 0.75, 9), (11, 0.5, 10), (12, 0.25, 11)]);
        assert_eq!(shown(&made), [(192, 32), (64, 32), (64, 32), (64, 32)]);
        let text = &made.pieces[3].infotext;
        assert!(
            text.contains("Seed: 12")
                && text.contains("Final denoising strength: 0.25, Denoising curve: Linear")
        );
    }

    #[test]
    fn curves_bend_as_they_are_named() {
        for (curve, middle) in [("Aggressive", 0.707), ("Lazy", 0.293)] {
            let mut base = base_from(&source());
            base.source_mut().unwrap().denoising_strength = 0.0;
            let begun = begin("loopback", &json!([3, 1.0, curve]), base, Tab::Picture).unwrap();
            let strength = run(begun).0[1].from_picture.as_ref().unwrap().denoising_strength;
            assert!((strength - middle).abs() < 1e-3, "{curve}: {strength}");
        }
    }

    #[test]
    fn of_several_batches_the_last_pictures_are_shown() {
        let mut base = base_from(&source());
        base.request.batch_count = 2;
        let begun = begin("loopback", &json!([2]), base.clone(), Tab::Picture).unwrap();
        let (requests, made) = run(begun);
        assert_eq!(requests[2].from_picture.as_ref().unwrap().images[0].rgba[0], 9);
        assert_eq!((shown(&made).len(), made.pieces.len()), (3, 5));
        let begun = begin("loopback", &json!([2]), base, Tab::Picture).unwrap();
        assert_eq!(shown(&run_until(begun, 1).1).len(), 0);
    }

    #[test]
    fn what_it_cannot_do_is_refused() {
        let told = |arguments| refusal("loopback", &arguments, base_from(&source()), Tab::Picture);
        assert!(told(json!([4, 0.5, "Linear", "CLIP"])).contains("is not there yet"));
        assert!(told(json!([0])).contains("has to be a whole number from 1 to 1000"));
        assert!(told(json!([300])).contains("300 pictures are too many"));
        assert!(told(json!([4, 1.5])).contains("has to be a number from 0 to 1"));
    }
}
