//! Color correction: a result takes the colors of the picture it was made from, and keeps its own brightness.
//!
//! Each channel of L*a*b* is mapped so that its histogram becomes the target's (Gonzalez and Woods, histogram matching); then
//! each pixel gets back its former luminosity (W3C Compositing and Blending 1, section 10.2).

use crate::lab::Lab;
use crate::{ImagingError, Rgb};

/// The colors that results are to take.
#[derive(Debug, Clone)]
pub struct ColorCorrection {
    /// For L*, a* and b*: the values that occur, and the share of pixels up to each.
    levels: [Vec<Level>; 3],
}

#[derive(Debug, Clone, Copy)]
struct Level {
    share: f64,
    value: f64,
}

impl ColorCorrection {
    /// The colors of a picture.
    pub fn of(picture: &Rgb) -> Self {
        let lab = Lab::new();
        let lab = picture.map(|pixel| lab.convert(pixel));
        Self { levels: histograms(&lab).map(|histogram| levels(&histogram).collect()) }
    }

    /// The picture in these colors.
    pub fn apply(&self, picture: &Rgb) -> Result<Rgb, ImagingError> {
        let lab = Lab::new();
        let converted = picture.map(|pixel| lab.convert(pixel));
        let mut tables = [[0_u8; 256]; 3];
        for ((table, wanted), histogram) in tables.iter_mut().zip(&self.levels).zip(histograms(&converted)) {
            for level in levels(&histogram) {
                table[level.value as usize] = interpolated(wanted, level.share) as u8;
            }
        }
        let matched = converted.map(|pixel| {
            lab.revert(std::array::from_fn(|channel| tables[channel][usize::from(pixel[channel])]))
        });
        matched.zip(picture, with_luminosity)
    }
}

fn histograms(picture: &Rgb) -> [[u64; 256]; 3] {
    let mut histograms = [[0; 256]; 3];
    for pixel in picture.pixels() {
        for (histogram, &value) in histograms.iter_mut().zip(pixel) {
            histogram[usize::from(value)] += 1;
        }
    }
    histograms
}

/// The values that occur, lowest first.
fn levels(histogram: &[u64; 256]) -> impl Iterator<Item = Level> {
    let whole = histogram.iter().sum::<u64>() as f64;
    let occurring = histogram.iter().enumerate().filter(|(_, count)| **count > 0);
    occurring.scan(0, move |sum, (value, count)| {
        *sum += count;
        Some(Level { share: *sum as f64 / whole, value: value as f64 })
    })
}

/// The value at a share, on the straight line between its neighbours.
fn interpolated(levels: &[Level], share: f64) -> f64 {
    let above = levels.partition_point(|level| level.share <= share);
    match (above.checked_sub(1).and_then(|below| levels.get(below)), levels.get(above)) {
        (Some(below), Some(above)) => {
            let slope = (above.value - below.value) / (above.share - below.share);
            slope * (share - below.share) + below.value
        }
        (Some(end), None) | (None, Some(end)) => end.value,
        (None, None) => 0.0,
    }
}

/// The color of one pixel with the luminosity of another.
fn with_luminosity(color: [u8; 3], bright: [u8; 3]) -> [u8; 3] {
    let luminosity = |[r, g, b]: [f64; 3]| r * 0.299 + g * 0.587 + b * 0.114;
    let unit = |pixel: [u8; 3]| pixel.map(|value| f64::from(value) / 255.0);
    let color = unit(color);
    let shift = luminosity(unit(bright)) - luminosity(color);
    let mut made = color.map(|value| value + shift);
    let center = luminosity(made);
    // Both ends are those before anything is pulled in.
    let least = made.into_iter().fold(f64::INFINITY, f64::min);
    let most = made.into_iter().fold(f64::NEG_INFINITY, f64::max);
    if least < 0.0 {
        made = made.map(|value| center + (value - center) * center / (center - least));
    }
    if most > 1.0 {
        made = made.map(|value| center + (value - center) * (1.0 - center) / (most - center));
    }
    made.map(|value| (value.clamp(0.0, 1.0) * 255.0) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_colors_do_harm(target in any::<[u8; 3]>(), samples in prop::collection::vec(any::<u8>(), 12)) {
            let target = ColorCorrection::of(&Rgb::filled(1, 1, target).unwrap());
            let picture = Rgb::new(2, 2, samples).unwrap();
            let made = target.apply(&picture).unwrap();
            for (made, before) in made.luminance().pixels().iter().zip(picture.luminance().pixels()) {
                prop_assert!(made[0].abs_diff(before[0]) <= 2, "{:?} {:?}", made, before);
            }
        }
    }
}
