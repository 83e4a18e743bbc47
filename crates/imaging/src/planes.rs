//! Scaling of planes of floats, `[channels, height, width]`, as PyTorch's `interpolate` does it with `align_corners` off:
//! for latents.
//!
//! Without antialiasing a sample is made of its 2 or 4 nearest neighbours whatever the factor; places beyond the edge take
//! the edge's value. Bicubic then has a = -0.75; with antialiasing it has -0.5, and the taps are Pillow's.

use crate::kernel::{Filter, Taps, cubic, taps};
use crate::{ImagingError, MOST_PIXELS};

/// How planes are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaneFilter {
    /// The sample at the rounded-down place.
    Nearest,
    /// The sample nearest to the centre.
    NearestExact,
    /// Two neighbours a side.
    Bilinear,
    /// All samples under a triangle.
    BilinearAntialiased,
    /// Four neighbours a side.
    Bicubic,
    /// All samples under Keys' cubic.
    BicubicAntialiased,
}

/// A1111's names of the latent upscalers.
const LATENT_UPSCALERS: [(&str, PlaneFilter); 6] = [
    ("Latent", PlaneFilter::Bilinear),
    ("Latent (antialiased)", PlaneFilter::BilinearAntialiased),
    ("Latent (bicubic)", PlaneFilter::Bicubic),
    ("Latent (bicubic antialiased)", PlaneFilter::BicubicAntialiased),
    ("Latent (nearest)", PlaneFilter::Nearest),
    ("Latent (nearest-exact)", PlaneFilter::NearestExact),
];

impl PlaneFilter {
    /// The names of the latent upscalers, in A1111's order.
    pub fn latent_upscalers() -> impl Iterator<Item = &'static str> {
        LATENT_UPSCALERS.iter().map(|(name, _)| *name)
    }

    /// The filter of the latent upscaler of this name.
    pub fn from_latent_upscaler(name: &str) -> Option<Self> {
        LATENT_UPSCALERS.iter().find(|(known, _)| *known == name).map(|(_, filter)| *filter)
    }
}

/// Planes `[channels, height, width]` scaled to `[channels, new_height, new_width]`.
pub fn resize_planes(
    planes: &[f32],
    [channels, height, width]: [usize; 3],
    [new_height, new_width]: [usize; 2],
    filter: PlaneFilter,
) -> Result<Vec<f32>, ImagingError> {
    let most = MOST_PIXELS as usize;
    let bounded = |height: usize, width: usize| {
        channels.checked_mul(height)?.checked_mul(width).filter(|&count| count > 0 && count <= most)
    };
    if bounded(height, width) != Some(planes.len()) {
        return Err(ImagingError::Length {
            width: width as u32,
            height: height as u32,
            channels,
            length: planes.len(),
        });
    }
    if bounded(new_height, new_width).is_none() || bounded(height, new_width).is_none() {
        return Err(ImagingError::Size {
            width: new_width as u64,
            height: new_height as u64,
            most: MOST_PIXELS,
        });
    }
    let columns = plane_taps(filter, width, new_width);
    let rows = plane_taps(filter, height, new_height);
    let mut made = Vec::with_capacity(channels * new_height * new_width);
    for plane in planes.chunks_exact(height * width) {
        let across: Vec<f32> = plane
            .chunks_exact(width)
            .flat_map(|row| columns.iter().map(move |taps| taps.apply(row)))
            .collect();
        for taps in &rows {
            made.extend((0..new_width).map(|column| taps.apply_from(&across, column, new_width)));
        }
    }
    Ok(made)
}

/// The same taps in single precision.
struct PlaneTaps {
    start: usize,
    weights: Vec<f32>,
}

impl PlaneTaps {
    fn new(taps: &Taps) -> Self {
        Self { start: taps.start, weights: taps.weights.iter().map(|&weight| weight as f32).collect() }
    }

    fn apply(&self, line: &[f32]) -> f32 {
        self.apply_from(line, 0, 1)
    }

    /// The sum over every `stride`-th value, counted from `first`.
    fn apply_from(&self, values: &[f32], first: usize, stride: usize) -> f32 {
        let places = (self.start..).map(|place| first + place * stride);
        self.weights.iter().zip(places).map(|(weight, place)| weight * values[place]).sum()
    }
}

fn plane_taps(filter: PlaneFilter, source: usize, size: usize) -> Vec<PlaneTaps> {
    let antialiased = |filter| taps(filter, source, 0.0, source as f64, size);
    let scale = source as f64 / size as f64;
    let sampled = |sample: &dyn Fn(usize) -> Taps| (0..size).map(sample).collect::<Vec<_>>();
    // PyTorch counts these places in single precision, which decides where they fall upon a border.
    let nearest = |offset: f32| {
        let scale = source as f32 / size as f32;
        move |index: usize| {
            let start = ((index as f32 + offset) * scale) as usize;
            Taps { start: start.min(source - 1), weights: vec![1.0] }
        }
    };
    let made = match filter {
        PlaneFilter::Nearest => sampled(&nearest(0.0)),
        PlaneFilter::NearestExact => sampled(&nearest(0.5)),
        PlaneFilter::BilinearAntialiased => antialiased(Filter::Bilinear),
        PlaneFilter::BicubicAntialiased => antialiased(Filter::Bicubic),
        PlaneFilter::Bilinear => sampled(&|index| {
            let place = ((index as f64 + 0.5) * scale - 0.5).max(0.0);
            let part = place - place.floor();
            gathered(source, place as i64, &[1.0 - part, part])
        }),
        PlaneFilter::Bicubic => sampled(&|index| {
            let place = (index as f64 + 0.5) * scale - 0.5;
            let part = place - place.floor();
            let weights = [part + 1.0, part, 1.0 - part, 2.0 - part].map(|distance| cubic(distance, -0.75));
            gathered(source, place.floor() as i64 - 1, &weights)
        }),
    };
    made.iter().map(PlaneTaps::new).collect()
}

/// Taps that begin at `first`, which may lie outside; weights outside go to the edge.
fn gathered(source: usize, first: i64, weights: &[f64]) -> Taps {
    let edge = source as i64 - 1;
    let place = |offset: usize| (first + offset as i64).clamp(0, edge) as usize;
    let start = place(0);
    let mut made = vec![0.0; place(weights.len() - 1) - start + 1];
    for (offset, weight) in weights.iter().enumerate() {
        made[place(offset) - start] += weight;
    }
    Taps { start, weights: made }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn upscalers_are_known_by_name() {
        assert_eq!(PlaneFilter::from_latent_upscaler("Latent"), Some(PlaneFilter::Bilinear));
        assert_eq!(PlaneFilter::from_latent_upscaler("latent"), None);
        assert_eq!(PlaneFilter::latent_upscalers().count(), 6);
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let resize = |shape, size| resize_planes(&[0.0; 6], shape, size, PlaneFilter::Bicubic);
        assert!(matches!(resize([1, 2, 2], [1, 1]), Err(ImagingError::Length { .. })));
        assert!(matches!(resize([usize::MAX, 2, 3], [1, 1]), Err(ImagingError::Length { .. })));
        for size in [[0, 1], [usize::MAX, 2], [1, 1 << 40]] {
            assert!(matches!(resize([1, 2, 3], size), Err(ImagingError::Size { .. })));
        }
    }

    proptest! {
        #[test]
        fn one_value_stays_one_value(shape in [1..3_usize, 1..12, 1..12], size in [1..30_usize, 1..30], kind in 0..6_usize) {
            let planes = vec![1.25; shape.iter().product()];
            let made = resize_planes(&planes, shape, size, LATENT_UPSCALERS[kind].1).unwrap();
            prop_assert_eq!(made.len(), shape[0] * size[0] * size[1]);
            prop_assert!(made.iter().all(|value| (value - 1.25).abs() < 1e-5));
        }
    }
}
