//! Poor man's outpainting: the picture is laid into a larger one, whose tiles are painted anew where they are not of the picture
//! alone.

use super::{Growth, directions, painted_under, white_around};
use crate::ScriptError;
use crate::arguments::Arguments;
use crate::base::{Base, Context, first_picture};
use crate::composition::{Answer, Ask, Composition, Made, PieceKind, Placed, outcomes};
use crate::table::check_count;
use impasto_domain::MaskedContent;
use impasto_imaging::{Mask, Rgb, Tiles};

/// What is there before, in the order of the argument's choices.
pub(crate) const CONTENTS: &[&str] = &["fill", "original", "latent noise", "latent nothing"];

#[derive(Debug)]
struct Outpainting {
    base: Base,
    tiles: Tiles,
    /// The tiles before they are painted.
    cut: Vec<Rgb>,
    /// Masks of the tiles, and of their latents.
    masks: [Vec<Mask>; 2],
    /// Which tiles are painted, in order.
    open: Vec<usize>,
    blur: u32,
    content: MaskedContent,
    overlay: bool,
    painted: Vec<Placed>,
    asked: usize,
    problems: Vec<String>,
    ended: bool,
}

/// Begins it.
pub(crate) fn begin(
    arguments: Arguments<'_>,
    mut base: Base,
    context: &mut Context<'_>,
) -> Result<Box<dyn Composition>, ScriptError> {
    let (pixels, blur) = (arguments.pixels(0)?, arguments.pixels(1)?);
    let content = MaskedContent::from_number(arguments.choice(2)? as i64).unwrap_or_default();
    let chosen = directions(&arguments, 3)?;
    let picture = first_picture(&base.request)?;
    let growth = Growth::of(&chosen, pixels, picture.size());
    let whole = growth.grown(picture.size());
    let mut largest = base.light();
    (largest.request.width, largest.request.height) = (Some(whole.0), Some(whole.1));
    largest.check(&context.limits)?;
    context.fix_seeds(&mut base.request);
    let tiles = Tiles::new(whole.0, whole.1, base.size(), pixels)
        .map_err(|error| arguments.wrong(0, format!("cannot be used: {error}")))?;
    let mut ground = Rgb::filled(whole.0, whole.1, [0; 3])?;
    ground.paste(&picture, growth.left.into(), growth.up.into());
    let hole = |edge: u32| {
        let more = |grows: u32| if grows > 0 { i64::from(edge) } else { 0 };
        let far = |side: u32, grows: u32| i64::from(side) - i64::from(grows) - more(grows);
        [
            i64::from(growth.left) + more(growth.left),
            i64::from(growth.up) + more(growth.up),
            far(whole.0, growth.right),
            far(whole.1, growth.down),
        ]
    };
    let masks = |edge: u32| -> Result<Vec<Mask>, ScriptError> {
        let mask = white_around(whole, hole(edge))?.to_rgb();
        let cut: Vec<Rgb> = tiles.cut(&mask).collect::<Result<_, _>>()?;
        Ok(cut.iter().map(|tile| tile.map(|[value, ..]| [value])).collect())
    };
    let inside = |(left, top): (u32, u32)| {
        let (width, height) = base.size();
        left >= growth.left
            && u64::from(left) + u64::from(width) <= u64::from(whole.0 - growth.right)
            && top >= growth.up
            && u64::from(top) + u64::from(height) <= u64::from(whole.1 - growth.down)
    };
    let open: Vec<usize> =
        tiles.places().enumerate().filter(|(_, place)| !inside(*place)).map(|(at, _)| at).collect();
    check_count(open.len() as u64, context.limits.max_images)?;
    Ok(Box::new(Outpainting {
        cut: tiles.cut(&ground).collect::<Result<_, _>>()?,
        masks: [masks(blur * 2)?, masks(blur / 2)?],
        blur,
        content,
        overlay: context.overlay,
        painted: Vec::new(),
        asked: 0,
        problems: Vec::new(),
        ended: false,
        tiles,
        open,
        base,
    }))
}

impl Composition for Outpainting {
    fn batches(&self) -> u32 {
        self.open.len() as u32
    }

    fn next(&mut self) -> Result<Ask, ScriptError> {
        let Some(&at) = self.open.get(self.painted.len()).filter(|_| !self.ended) else {
            return Ok(Ask::Nothing);
        };
        let masks = (&self.masks[0][at], &self.masks[1][at]);
        let tile = std::slice::from_ref(&self.cut[at]);
        let mut base = painted_under(&self.base, tile, masks, [self.blur * 2; 2], self.content, self.overlay);
        let step = self.painted.len() as u64;
        base.request.seed = base.request.seed.map(|seed| seed.wrapping_add(step));
        Ok(Ask::Generate(vec![base.complete()?]))
    }

    fn take(&mut self, answer: Answer) -> Result<(), ScriptError> {
        for outcome in outcomes(answer) {
            self.problems.extend(outcome.problem.clone());
            match Placed::all(outcome, self.asked).into_iter().next() {
                Some(made) => self.painted.push(made),
                None => self.ended = true,
            }
            self.asked += 1;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Made, ScriptError> {
        let comments = std::mem::take(&mut self.problems);
        let Some(first) = self.painted.first() else { return Ok(Made { pieces: Vec::new(), comments }) };
        let mut tiles = self.cut.clone();
        for (&at, placed) in self.open.iter().zip(&self.painted) {
            tiles[at] = (*placed.painted.picture).clone();
        }
        let whole = self.tiles.join(&tiles)?;
        Ok(Made { pieces: vec![first.with(whole, PieceKind::Joined)], comments })
    }
}

#[cfg(test)]
mod tests {
    use crate::Tab;
    use crate::fake::{base_from, begin, refusal, run, run_until, shown};
    use impasto_domain::MaskedContent;
    use impasto_imaging::Rgb;
    use serde_json::json;

    fn source() -> Rgb {
        Rgb::filled(128, 128, [200, 100, 50]).unwrap()
    }

    fn base() -> crate::Base {
        let mut base = base_from(&source());
        (base.request.width, base.request.height) = (Some(64), Some(64));
        base
    }

    #[test]
    fn tiles_around_the_picture_are_painted() {
        let arguments = json!([32, 4, "latent noise", ["left", "right"]]);
        let (requests, made) =
            run(begin("poor man's outpainting", &arguments, base(), Tab::Picture).unwrap());
        // 192 x 128 in tiles of 64 that share 32: 5 across, 3 down; the middle ones are of the picture alone.
        assert_eq!(requests.len(), 2 * 3);
        assert_eq!(shown(&made), [(192, 128)]);
        let inpainting = requests[0].from_picture.as_ref().unwrap().inpainting.as_ref().unwrap();
        assert_eq!((inpainting.blur, inpainting.content), ([8, 8], MaskedContent::LatentNoise));
        let at =
            |x: usize| (inpainting.mask.rgba[x * 4], inpainting.latent_mask.as_ref().unwrap().rgba[x * 4]);
        assert_eq!((at(33), at(34), at(39), at(40)), ((255, 255), (255, 0), (255, 0), (0, 0)));
        let pixels = made.pieces[0].picture.pixels();
        assert_eq!((pixels[0], pixels[96]), ([10, 20, 5], [200, 100, 50]));
        assert_eq!(requests[5].seed, Some(15));
    }

    #[test]
    fn what_was_not_painted_stays_black() {
        let begun = begin("poor man's outpainting", &json!([32, 4]), base(), Tab::Picture).unwrap();
        let (_, made) = run_until(begun, 1);
        let pixels = made.pieces[0].picture.pixels();
        assert_eq!((pixels[0], pixels[pixels.len() - 1]), ([10, 20, 5], [0; 3]));
    }

    #[test]
    fn what_it_cannot_do_is_refused() {
        let told = |arguments| refusal("poor man's outpainting", &arguments, base(), Tab::Picture);
        assert!(told(json!([64])).contains("cannot be used: the overlap of tiles is 64"));
        assert!(
            told(json!([32, 4, "nothing"]))
                .contains("has to be one of fill, original, latent noise, latent nothing")
        );
        assert!(told(json!([32, 4, "fill", "left"])).contains("has to be a list of some of"));
    }
}
