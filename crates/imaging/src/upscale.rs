//! Enlarging by an upscaler that knows one factor only: how often it runs, and to what size its output is brought.

use crate::{Filter, ImagingError, Picture};

/// An upscaler runs so often at most.
const MOST_PASSES: usize = 3;

/// The size of a picture enlarged by `factor`: sides are rounded down to multiples of 8, as in A1111, and are at least 1.
pub fn upscaled_size((width, height): (u32, u32), factor: f64) -> (u32, u32) {
    let side = |side: u32| ((f64::from(side) * factor / 8.0).floor() * 8.0).max(1.0) as u32;
    (side(width), side(height))
}

/// A picture enlarged by `factor`. `pass` runs the upscaler once; it runs until the picture is large enough, at most three
/// times, and for a factor of exactly 1 once. Lanczos brings it to [`upscaled_size`].
pub fn upscale<const CHANNELS: usize, E: From<ImagingError>>(
    picture: &Picture<CHANNELS>,
    factor: f64,
    mut pass: impl FnMut(&Picture<CHANNELS>) -> Result<Picture<CHANNELS>, E>,
) -> Result<Picture<CHANNELS>, E> {
    let (width, height) = upscaled_size(picture.size(), factor);
    let mut made = picture.clone();
    for number in 0..MOST_PASSES {
        let enough = made.width() >= width && made.height() >= height;
        if enough && (number > 0 || factor != 1.0) {
            break;
        }
        let before = made.size();
        made = pass(&made)?;
        if made.size() == before {
            break;
        }
    }
    Ok(made.resize(width, height, Filter::Lanczos)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rgb;

    /// The size that comes out, and how often an upscaler of factor 2 ran.
    fn run(size: (u32, u32), factor: f64) -> ((u32, u32), usize) {
        let mut passes = 0;
        let picture = Rgb::filled(size.0, size.1, [3; 3]).unwrap();
        let made = upscale(&picture, factor, |picture| {
            passes += 1;
            picture.resize(picture.width() * 2, picture.height() * 2, Filter::Nearest)
        });
        (made.unwrap().size(), passes)
    }

    #[test]
    fn upscalers_run_until_it_is_enough() {
        assert_eq!(run((20, 9), 2.0), ((40, 16), 1));
        assert_eq!(run((16, 16), 3.0), ((48, 48), 2));
        assert_eq!(run((16, 16), 16.0), ((256, 256), 3));
        assert_eq!(run((16, 16), 1.0), ((16, 16), 1));
        assert_eq!(run((16, 16), 0.5), ((8, 8), 0));
        assert_eq!(run((3, 3), 1.0), ((1, 1), 1));
    }

    #[test]
    fn factors_without_sense_do_no_harm() {
        let picture = Rgb::filled(8, 8, [3; 3]).unwrap();
        for (factor, makes) in [(f64::NAN, true), (-1.0, true), (f64::INFINITY, false), (1e300, false)] {
            let made: Result<Rgb, ImagingError> = upscale(&picture, factor, |picture| Ok(picture.clone()));
            assert_eq!(made.is_ok(), makes, "{factor}");
        }
    }

    #[test]
    fn an_upscaler_that_does_nothing_is_not_asked_again() {
        let picture = Rgb::filled(8, 8, [3; 3]).unwrap();
        let mut passes = 0;
        let made: Result<Rgb, ImagingError> = upscale(&picture, 2.0, |picture| {
            passes += 1;
            Ok(picture.clone())
        });
        assert_eq!((made.unwrap().size(), passes), ((16, 16), 1));
    }
}
