//! SD upscale: a picture is enlarged by an upscaler, painted over tile by tile, and joined again.

use crate::ScriptError;
use crate::arguments::Arguments;
use crate::base::{Base, Context, bitmap, first_picture, source_of};
use crate::composition::{Answer, Ask, Composition, Made, Piece, PieceKind, Placed, outcomes};
use crate::table::check_count;
use impasto_domain::{FromPicture, GenerationRequest, with_parameters};
use impasto_imaging::{Rgb, Tiles, upscaled_size};
use std::sync::Arc;

/// Pictures of more pixels are not made.
const MOST_PIXELS: u64 = 1 << 26;

#[derive(Debug)]
struct SdUpscale {
    base: Base,
    source: Arc<FromPicture>,
    overlap: u32,
    upscaler: String,
    factor: f64,
    tiles: Tiles,
    /// The enlarged picture's tiles, once it is enlarged.
    cut: Vec<Rgb>,
    together: usize,
    /// How often all of it is done.
    runs: u32,
    run: u32,
    /// What became of the tiles of the run at work.
    painted: Vec<Placed>,
    asked: usize,
    pieces: Vec<Piece>,
    problems: Vec<String>,
}

/// Begins it.
pub(crate) fn begin(
    arguments: Arguments<'_>,
    mut base: Base,
    context: &mut Context<'_>,
) -> Result<Box<dyn Composition>, ScriptError> {
    let overlap = arguments.pixels(1)?;
    let upscalers = context.names.upscalers();
    let upscaler = upscalers[arguments.named(2, &upscalers, 0)?].clone();
    let factor = arguments.real(3)?;
    let picture = first_picture(&base.request)?;
    let source = source_of(&base)?;
    if source.inpainting.is_some() {
        let problem = "SD upscale paints the whole picture anew: it takes no mask".to_owned();
        return Err(ScriptError::Unusable(problem));
    }
    let (width, height) =
        if upscaler == "None" { picture.size() } else { upscaled_size(picture.size(), factor) };
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(
            arguments.wrong(3, format!("makes {width}x{height} pixels: at most {MOST_PIXELS} are made"))
        );
    }
    let tiles = Tiles::new(width, height, base.size(), overlap)
        .map_err(|error| arguments.wrong(1, format!("cannot be used: {error}")))?;
    context.fix_seeds(&mut base.request);
    let (together, runs) = (base.request.batch_size.max(1) as usize, base.request.batch_count);
    base.request.batch_count = 1;
    check_count(tiles.count() as u64 * u64::from(runs), context.limits.max_images)?;
    base.check(&context.limits)?;
    let mut upscale = SdUpscale {
        base,
        source,
        overlap,
        upscaler,
        factor,
        tiles,
        cut: Vec::new(),
        together,
        runs,
        run: 0,
        painted: Vec::new(),
        asked: 0,
        pieces: Vec::new(),
        problems: Vec::new(),
    };
    if upscale.upscaler == "None" {
        upscale.cut(&picture)?;
    }
    Ok(Box::new(upscale))
}

impl SdUpscale {
    fn cut(&mut self, picture: &Rgb) -> Result<(), ScriptError> {
        self.cut = self.tiles.cut(picture).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The request for the tiles from one on.
    fn request(&self, from: usize) -> Result<GenerationRequest, ScriptError> {
        let tiles = &self.cut[from..(from + self.together).min(self.cut.len())];
        let source = &self.source;
        let images = tiles.iter().map(bitmap).collect();
        let mut base = self.base.clone();
        base.request.from_picture =
            Some(Arc::new(FromPicture { images, inpainting: None, hash: source.hash.clone(), ..**source }));
        base.request.batch_size = tiles.len() as u32;
        // One more for each batch, as in A1111: pictures of neighbouring batches share seeds.
        let step = u64::from(self.run) + (from / self.together) as u64;
        base.request.seed = base.request.seed.map(|seed| seed.wrapping_add(step));
        base.complete()
    }

    /// Joins the tiles of a run; those that were not painted stay as they were enlarged.
    fn join(&mut self) -> Result<(), ScriptError> {
        let painted = std::mem::take(&mut self.painted);
        let Some(first) = painted.first() else { return Ok(()) };
        let made = painted.iter().map(|placed| (*placed.painted.picture).clone());
        let tiles: Vec<Rgb> = made.chain(self.cut.iter().skip(painted.len()).cloned()).collect();
        let piece = first.with(self.tiles.join(&tiles)?, PieceKind::Joined);
        let told = [
            ("SD upscale overlap".to_owned(), self.overlap.to_string()),
            ("SD upscale upscaler".to_owned(), self.upscaler.clone()),
        ];
        self.pieces.push(Piece { infotext: with_parameters(&piece.infotext, &told), ..piece });
        Ok(())
    }
}

impl Composition for SdUpscale {
    fn batches(&self) -> u32 {
        (self.tiles.count().div_ceil(self.together) as u32).saturating_mul(self.runs)
    }

    fn next(&mut self) -> Result<Ask, ScriptError> {
        if self.cut.is_empty() {
            let picture = first_picture(&self.base.request)?;
            return Ok(Ask::Upscale { picture, upscaler: self.upscaler.clone(), factor: self.factor });
        }
        if self.run == self.runs {
            return Ok(Ask::Nothing);
        }
        Ok(Ask::Generate(vec![self.request(self.painted.len())?]))
    }

    fn take(&mut self, answer: Answer) -> Result<(), ScriptError> {
        let answer = match answer {
            Answer::Upscaled(picture) => return self.cut(&picture),
            generated @ Answer::Generated(_) => generated,
        };
        for outcome in outcomes(answer) {
            let wanted = self.together.min(self.cut.len() - self.painted.len());
            let whole = outcome.pictures.len() == wanted;
            self.problems.extend(outcome.problem.clone());
            self.painted.extend(Placed::all(outcome, self.asked));
            self.asked += 1;
            if !whole {
                // Without all of its tiles, the picture is not gone on with.
                self.run = self.runs;
            } else if self.painted.len() == self.cut.len() {
                self.run += 1;
                self.join()?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Made, ScriptError> {
        self.join()?;
        let pieces = std::mem::take(&mut self.pieces);
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
        Rgb::filled(64, 64, [200, 100, 50]).unwrap()
    }

    #[test]
    fn tiles_are_painted_and_joined() {
        let mut base = base_from(&source());
        base.request.batch_size = 3;
        let arguments = json!(["", 8, "lanczos", 2.0]);
        let (requests, made) = run(begin("sd upscale", &arguments, base, Tab::Picture).unwrap());
        // 128 x 128 in tiles of 64 x 32 that share 8: 3 across, 5 down.
        assert_eq!(requests.len(), 5);
        assert_eq!((requests[0].batch_size, requests[4].seed), (3, Some(14)));
        let tile = &requests[0].from_picture.as_ref().unwrap().images[2];
        assert_eq!((tile.width, tile.height, &tile.rgba[..4]), (64, 32, &[200, 100, 50, 255][..]));
        assert_eq!(shown(&made), [(128, 128)]);
        assert!(made.pieces[0].infotext.contains("SD upscale overlap: 8, SD upscale upscaler: Lanczos"));
        assert_eq!(made.pieces[0].picture.pixels()[0], [10, 20, 5]);
    }

    #[test]
    fn it_may_be_done_several_times_and_without_enlarging() {
        let mut base = base_from(&source());
        base.request.batch_count = 2;
        let (requests, made) = run(begin("sd upscale", &json!(["", 0, 0, 3]), base, Tab::Picture).unwrap());
        assert_eq!((requests.len(), requests[2].seed), (4, Some(11)));
        assert_eq!(shown(&made), [(64, 64), (64, 64)]);
    }

    #[test]
    fn what_was_not_painted_stays_as_it_was() {
        let begun = begin("sd upscale", &json!(["", 0]), base_from(&source()), Tab::Picture).unwrap();
        let (_, made) = run_until(begun, 1);
        let pixels = made.pieces[0].picture.pixels();
        assert_eq!((pixels[0], pixels[64 * 64 - 1]), ([10, 20, 5], [200, 100, 50]));
    }

    #[test]
    fn what_it_cannot_do_is_refused() {
        let told = |arguments| refusal("sd upscale", &arguments, base_from(&source()), Tab::Picture);
        assert!(
            told(json!(["", 8, "nothing"])).contains("is not there: names are known, and places from 0 to 2")
        );
        assert!(told(json!(["", 40])).contains("the overlap of tiles is 40"));
        assert!(told(json!(["", 8, "Lanczos", 9])).contains("has to be a number from 1 to 8"));
        assert!(told(json!(["", 16, "Lanczos", 8])).contains("pictures are too many"));
    }
}
