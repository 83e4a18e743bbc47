//! Scaling as Pillow 9.5 does it, bit for bit: first across, then down, weights in 22-bit fixed point, rounded and clipped
//! to 8 bits after each pass. Alpha is multiplied into the colors before and divided out after.

use crate::color::{premultiplied, unmultiplied};
use crate::kernel::{Filter, Taps, taps};
use crate::picture::checked;
use crate::{ImagingError, Picture};

/// Bits of a weight behind the point.
const PRECISION: u32 = 22;

/// The part of a picture to scale: left, top, right, bottom. It may have no width or height: the filter then sees what is
/// near.
type Bounds = [u32; 4];

impl<const CHANNELS: usize> Picture<CHANNELS> {
    /// The picture at another size.
    pub fn resize(&self, width: u32, height: u32, filter: Filter) -> Result<Self, ImagingError> {
        self.resize_part([0, 0, self.width(), self.height()], width, height, filter)
    }

    /// A part of the picture, within it, at another size.
    pub(crate) fn resize_part(
        &self,
        part: Bounds,
        width: u32,
        height: u32,
        filter: Filter,
    ) -> Result<Self, ImagingError> {
        // The two passes have a picture between them.
        checked(width.into(), self.height().into())?;
        checked(width.into(), height.into())?;
        if part == [0, 0, width, height] && self.size() == (width, height) {
            return Ok(self.clone());
        }
        if filter == Filter::Nearest {
            let mut made = Self::filled(width, height, [0; CHANNELS])?;
            self.choose(part, &mut made);
            return Ok(made);
        }
        let mut source = std::borrow::Cow::Borrowed(self.samples());
        if CHANNELS == 4 {
            each_rgba(source.to_mut(), premultiplied);
        }
        let mut samples = self.passes(&source, part, width, height, filter);
        if CHANNELS == 4 {
            each_rgba(&mut samples, unmultiplied);
        }
        Self::new(width, height, samples)
    }

    /// Fills `made` with the nearest pixels. Places are summed up one by one, as Pillow does, rounding errors included.
    fn choose(&self, [left, top, right, bottom]: Bounds, made: &mut Self) {
        let places = |first: u32, last: u32, whole: u32, size: u32| -> Vec<usize> {
            let step = f64::from(last - first) / f64::from(size);
            let start = f64::from(first) + step * 0.5;
            let places = std::iter::successors(Some(start), |place| Some(place + step));
            places.take(size as usize).map(|place| (place as u32).min(whole - 1) as usize).collect()
        };
        let columns = places(left, right, self.width(), made.width());
        let rows = places(top, bottom, self.height(), made.height());
        let width = self.width() as usize;
        let wanted = rows.iter().flat_map(|row| columns.iter().map(move |column| row * width + column));
        for (pixel, place) in made.pixels_mut().iter_mut().zip(wanted) {
            *pixel = self.pixels()[place];
        }
    }

    fn passes(
        &self,
        samples: &[u8],
        [left, top, right, bottom]: Bounds,
        width: u32,
        height: u32,
        filter: Filter,
    ) -> Vec<u8> {
        let fixed = |source: u32, first: u32, last: u32, size: u32| {
            let taps = taps(filter, source as usize, first.into(), last.into(), size as usize);
            let unchanged = source == size && first == 0 && last == size;
            (!unchanged).then(|| taps.iter().map(Fixed::new).collect::<Vec<_>>())
        };
        let across = fixed(self.width(), left, right, width)
            .map(|taps| across::<CHANNELS>(samples, self.width() as usize, &taps));
        let samples = across.as_deref().unwrap_or(samples);
        let row = width as usize * CHANNELS;
        fixed(self.height(), top, bottom, height)
            .map_or_else(|| samples.to_vec(), |taps| down(samples, row, &taps))
    }
}

fn each_rgba(samples: &mut [u8], change: impl Fn([u8; 4]) -> [u8; 4]) {
    for pixel in samples.as_chunks_mut().0 {
        *pixel = change(*pixel);
    }
}

/// Taps with weights in fixed point.
struct Fixed {
    start: usize,
    weights: Vec<i32>,
}

impl Fixed {
    fn new(taps: &Taps) -> Self {
        let scaled = taps.weights.iter().map(|weight| weight * f64::from(1 << PRECISION));
        // Rounded away from zero at a half; the conversion cuts off.
        let weights = scaled.map(|weight| (weight + if weight < 0.0 { -0.5 } else { 0.5 }) as i32);
        Self { start: taps.start, weights: weights.collect() }
    }
}

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (PRECISION - 1);

/// Scales each row.
fn across<const CHANNELS: usize>(samples: &[u8], width: usize, taps: &[Fixed]) -> Vec<u8> {
    let rows = samples.as_chunks::<CHANNELS>().0.chunks_exact(width);
    let mut made = Vec::with_capacity(rows.len() * taps.len() * CHANNELS);
    for row in rows {
        for tap in taps {
            let mut sums = [HALF; CHANNELS];
            for (pixel, weight) in row[tap.start..].iter().zip(&tap.weights) {
                for (sum, &sample) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(sample) * weight;
                }
            }
            made.extend(sums.map(clip));
        }
    }
    made
}

/// Scales each column; rows are `row` samples long.
fn down(samples: &[u8], row: usize, taps: &[Fixed]) -> Vec<u8> {
    let mut made = Vec::with_capacity(row * taps.len());
    let mut sums = vec![HALF; row];
    for tap in taps {
        sums.fill(HALF);
        for (line, weight) in samples[tap.start * row..].chunks_exact(row).zip(&tap.weights) {
            for (sum, &sample) in sums.iter_mut().zip(line) {
                *sum += i32::from(sample) * weight;
            }
        }
        made.extend(sums.iter().map(|&sum| clip(sum)));
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILTERS: [Filter; 4] = [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos];

    proptest! {
        #[test]
        fn one_color_stays_one_color(
            size in (1..40_u32, 1..40_u32), made in (1..40_u32, 1..40_u32), color in any::<[u8; 3]>(), kind in 0..4_usize,
        ) {
            let picture = Picture::<3>::filled(size.0, size.1, color).unwrap();
            let resized = picture.resize(made.0, made.1, FILTERS[kind]).unwrap();
            prop_assert_eq!(resized, Picture::<3>::filled(made.0, made.1, color).unwrap());
        }

        #[test]
        fn no_part_does_harm(
            size in (1..12_u32, 1..12_u32), edges in any::<[u32; 4]>(), made in (0..70_u32, 0..70_u32), kind in 0..4_usize,
        ) {
            let samples = (0..size.0 * size.1 * 4).map(|place| (place * 97) as u8).collect();
            let picture = Picture::<4>::new(size.0, size.1, samples).unwrap();
            let (left, top) = (edges[0] % (size.0 + 1), edges[1] % (size.1 + 1));
            let part = [left, top, left + edges[2] % (size.0 - left + 1), top + edges[3] % (size.1 - top + 1)];
            let resized = picture.resize_part(part, made.0, made.1, FILTERS[kind]);
            prop_assert_eq!(resized.is_ok(), made.0 > 0 && made.1 > 0);
        }
    }

    #[test]
    fn sizes_without_bound_are_refused() {
        let picture = Picture::<1>::filled(1, 4000, [1]).unwrap();
        assert!(matches!(
            picture.resize(u32::MAX, u32::MAX, Filter::Lanczos),
            Err(ImagingError::Size { .. })
        ));
        // The picture between the passes counts.
        assert!(picture.resize(u32::MAX / 64, 1, Filter::Lanczos).is_err());
    }
}
