//! Outpainting mk2: the picture grows to one side after the other; what is new begins as noise that looks like the picture.

use super::noise::matched;
use super::{Growth, UNIT, directions, painted_under, region, white_around};
use crate::ScriptError;
use crate::arguments::Arguments;
use crate::base::{Base, Context, Look, first_picture};
use crate::composition::{
    Answer, Ask, Composition, Made, Piece, PieceKind, Placed, outcomes, put_grid_first,
};
use crate::table::check_count;
use impasto_domain::MaskedContent;
use impasto_imaging::Rgb;

/// A side of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Top,
    Bottom,
}

#[derive(Debug)]
struct Outpainting {
    base: Base,
    look: Look,
    picture: Rgb,
    /// Sides in the order in which they grow, and by how many pixels.
    sides: Vec<(Side, u32)>,
    /// Blur of the mask's edges across and down.
    blur: [u32; 2],
    noise: [f64; 2],
    overlay: bool,
    batch_size: usize,
    batches: u32,
    /// The batch and the side that come next.
    at: (u32, usize),
    /// Pictures at work, on their noise.
    grown: Vec<Rgb>,
    /// Where in them what is painted belongs, and their size then.
    corner: (i64, i64),
    size: (u32, u32),
    /// The newest painting of each of them.
    newest: Vec<Placed>,
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
    let (pixels, blur) = (arguments.pixels(1)?, arguments.pixels(2)?);
    let chosen = directions(&arguments, 3)?;
    let noise = [arguments.real(4)?, arguments.real(5)?];
    let picture = first_picture(&base.request)?;
    let growth = Growth::of(&chosen, pixels, picture.size());
    context.fix_seeds(&mut base.request);
    let grows = [
        (Side::Left, growth.left),
        (Side::Right, growth.right),
        (Side::Top, growth.up),
        (Side::Bottom, growth.down),
    ];
    let sides: Vec<(Side, u32)> = grows.into_iter().filter(|(_, more)| *more > 0).collect();
    let (batch_size, batches) = (base.request.batch_size.max(1), base.request.batch_count);
    let pictures = u64::from(batch_size) * u64::from(batches) * sides.len() as u64;
    check_count(pictures, context.limits.max_images)?;
    // The largest that is painted at once, and the whole.
    let whole = growth.grown(picture.size());
    let mut largest = base.light();
    (largest.request.width, largest.request.height) = (Some(whole.0), Some(whole.1));
    largest.check(&context.limits)?;
    let edges = |one: u32, other: u32| if one > 0 || other > 0 { blur } else { 0 };
    let mut outpainting = Outpainting {
        blur: [edges(growth.left, growth.right), edges(growth.up, growth.down)],
        look: context.look.clone(),
        overlay: context.overlay,
        batch_size: batch_size as usize,
        batches,
        at: (0, 0),
        grown: Vec::new(),
        corner: (0, 0),
        size: picture.size(),
        newest: Vec::new(),
        asked: 0,
        pieces: Vec::new(),
        problems: Vec::new(),
        picture,
        sides,
        noise,
        base,
    };
    outpainting.begin_batch();
    Ok(Box::new(outpainting))
}

impl Outpainting {
    fn begin_batch(&mut self) {
        self.grown = vec![self.picture.clone(); self.batch_size];
        self.size = self.picture.size();
        self.newest.clear();
    }

    /// The request that paints one side of all pictures at work, which are laid on their noise.
    fn grow(&mut self, side: Side, pixels: u32) -> Result<Base, ScriptError> {
        let level = matches!(side, Side::Left | Side::Right);
        let (width, height) = self.grown.first().map_or((1, 1), Rgb::size);
        let size = if level { (width + pixels, height) } else { (width, height + pixels) };
        let laid = (size.0.div_ceil(UNIT) * UNIT, size.1.div_ceil(UNIT) * UNIT);
        let before = |own: Side| if side == own { i64::from(pixels) } else { 0 };
        let mask = |blurs: i64| {
            let [across, down] = self.blur.map(|blur| i64::from(blur) * blurs);
            let place = |own: Side, blur: i64| if side == own { i64::from(pixels) + blur } else { 0 };
            let end = |own: Side, whole: u32, blur: i64, own_size: u32| {
                if side == own { i64::from(whole) - i64::from(pixels) - blur } else { own_size.into() }
            };
            let hole = [
                place(Side::Left, across),
                place(Side::Top, down),
                end(Side::Right, laid.0, across, size.0),
                end(Side::Bottom, laid.1, down, size.1),
            ];
            white_around(laid, hole)
        };
        let (shown, latent) = (mask(1)?, mask(2)?);
        for picture in &mut self.grown {
            let mut ground = Rgb::filled(laid.0, laid.1, [0; 3])?;
            ground.paste(picture, before(Side::Left), before(Side::Top));
            *picture = matched(&ground, &shown, self.noise[0], self.noise[1]);
        }
        // Only a stretch along the edge is painted, as large as the request asks.
        let asked = self.base.size();
        let target = if level { (asked.0.min(size.0), laid.1) } else { (laid.0, asked.1.min(size.1)) };
        let (left, top) = (
            if side == Side::Left { 0 } else { i64::from(laid.0) - i64::from(target.0) },
            if side == Side::Top { 0 } else { i64::from(laid.1) - i64::from(target.1) },
        );
        let stretch = region([left, top, left + i64::from(target.0), top + i64::from(target.1)]);
        let parts: Vec<Rgb> =
            self.grown.iter().map(|picture| picture.crop(stretch)).collect::<Result<_, _>>()?;
        let masks = (&shown.crop(stretch)?, &latent.crop(stretch)?);
        (self.corner, self.size) = ((left, top), size);
        let blur = self.blur.map(|blur| blur * 4);
        let mut base = painted_under(&self.base, &parts, masks, blur, MaskedContent::Original, self.overlay);
        let step = u64::from(self.at.0) * self.batch_size as u64;
        base.request.seed = base.request.seed.map(|seed| seed.wrapping_add(step));
        Ok(base)
    }

    /// Puts the pictures at work among those of the answer.
    fn keep(&mut self) {
        for (placed, picture) in self.newest.iter().zip(std::mem::take(&mut self.grown)) {
            self.pieces.push(placed.with(picture, PieceKind::Joined));
        }
    }
}

impl Composition for Outpainting {
    fn batches(&self) -> u32 {
        self.batches.saturating_mul(self.sides.len() as u32)
    }

    fn next(&mut self) -> Result<Ask, ScriptError> {
        if self.at.0 == self.batches {
            return Ok(Ask::Nothing);
        }
        let (side, pixels) = self.sides[self.at.1];
        Ok(Ask::Generate(vec![self.grow(side, pixels)?.complete()?]))
    }

    fn take(&mut self, answer: Answer) -> Result<(), ScriptError> {
        for outcome in outcomes(answer) {
            self.problems.extend(outcome.problem.clone());
            let painted = Placed::all(outcome, self.asked);
            self.asked += 1;
            let (width, height) = self.size;
            let whole = region([0, 0, width.into(), height.into()]);
            for (picture, placed) in self.grown.iter_mut().zip(&painted) {
                picture.paste(&placed.painted.picture, self.corner.0, self.corner.1);
                *picture = picture.crop(whole)?;
            }
            if painted.len() < self.grown.len() {
                // What is missing has no picture to go on from.
                self.grown.truncate(painted.len());
                self.at = (self.batches, 0);
            } else if self.at.1 + 1 < self.sides.len() {
                self.at.1 += 1;
            } else {
                self.at = (self.at.0 + 1, 0);
            }
            self.newest = painted;
            if self.at.1 == 0 && self.at.0 < self.batches {
                self.keep();
                self.begin_batch();
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Made, ScriptError> {
        self.keep();
        let mut pieces = std::mem::take(&mut self.pieces);
        if self.look.wants_grid(pieces.len()) {
            put_grid_first(&mut pieces, &self.look, self.look.n_rows)?;
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
        Rgb::filled(128, 64, [200, 100, 50]).unwrap()
    }

    #[test]
    fn a_picture_grows_to_all_sides() {
        let mut base = base_from(&source());
        (base.request.width, base.request.height) = (Some(128), Some(96));
        let begun = begin("outpainting mk2", &json!(["", 64, 8]), base, Tab::Picture).unwrap();
        let (requests, made) = run(begun);
        let sizes: Vec<_> = requests.iter().map(|it| (it.width.unwrap(), it.height.unwrap())).collect();
        // Across, stretches of 128 pixels of the whole height; then down, of 96 of the whole width.
        assert_eq!(sizes, [(128, 64), (128, 64), (256, 96), (256, 96)]);
        assert_eq!(shown(&made), [(256, 192)]);
        let picture = &made.pieces[0].picture;
        // The fake painter paints the stretch as a whole; the middle was covered by it, too.
        assert_eq!(picture.pixels()[0], [10, 20, 5]);
        let inpainting = requests[0].from_picture.as_ref().unwrap().inpainting.as_ref().unwrap();
        assert_eq!((inpainting.blur, inpainting.only_masked), ([32, 32], false));
        let at =
            |x: usize| (inpainting.mask.rgba[x * 4], inpainting.latent_mask.as_ref().unwrap().rgba[x * 4]);
        assert_eq!((at(63), at(72), at(80), at(127)), ((255, 255), (0, 255), (0, 0), (0, 0)));
    }

    #[test]
    fn noise_lies_where_nothing_was() {
        let begun =
            begin("outpainting mk2", &json!(["", 64, 0, ["right"]]), base_from(&source()), Tab::Picture);
        let (requests, made) = run(begun.unwrap());
        let from = &requests[0].from_picture.as_ref().unwrap().images[0];
        // 64 pixels of the width that the request asks, all of them new but the edge.
        assert_eq!((from.width, from.height, requests.len()), (64, 64, 1));
        assert_eq!(from.rgba[..3], [200, 100, 50]);
        assert_eq!(shown(&made), [(192, 64)]);
        assert_eq!(made.pieces[0].picture.pixels()[0], [200, 100, 50]);
    }

    #[test]
    fn batches_become_pictures_and_a_grid() {
        let mut base = base_from(&source());
        (base.request.batch_size, base.request.batch_count) = (2, 2);
        let begun =
            begin("outpainting mk2", &json!(["", 64, 8, ["left"]]), base.clone(), Tab::Picture).unwrap();
        let (requests, made) = run(begun);
        assert_eq!((requests.len(), requests[1].seed, requests[1].batch_size), (2, Some(12), 2));
        assert_eq!(shown(&made), [(384, 128), (192, 64), (192, 64), (192, 64), (192, 64)]);
        let begun = begin("outpainting mk2", &json!(["", 64, 8, ["left"]]), base, Tab::Picture).unwrap();
        assert_eq!(shown(&run_until(begun, 1).1).len(), 3);
    }

    #[test]
    fn what_it_cannot_do_is_refused() {
        let told = |arguments| refusal("outpainting mk2", &arguments, base_from(&source()), Tab::Picture);
        assert!(told(json!(["", 64, 8, []])).contains("has no direction to grow in"));
        assert!(
            told(json!(["", 64, 8, ["north"]])).contains("has to be a list of some of left, right, up, down")
        );
        assert!(told(json!(["", 64, 65])).contains("has to be a whole number from 0 to 64"));
        assert!(told(json!(["", 2000])).contains("width 4160 is out of range"));
    }
}
