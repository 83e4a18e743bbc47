//! Which source samples make a sample of a scaled line, and by how much.
//!
//! A filter is a function of the distance from the sample's centre. Where a line shrinks, it is widened by the factor, so
//! that every source sample counts (antialiasing). This is how Pillow and PyTorch's antialiased interpolation do it;
//! bicubic is Keys 1981 with a = -0.5.

use std::f64::consts::PI;

/// How pictures are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// The nearest pixel.
    Nearest,
    /// A triangle of 1 pixel to each side.
    Bilinear,
    /// Keys' cubic, 2 pixels to each side.
    Bicubic,
    /// A windowed sinc, 3 pixels to each side.
    Lanczos,
}

/// A scaled sample: the first source sample it is made of, and the weights of that and those after it.
pub(crate) struct Taps {
    pub(crate) start: usize,
    pub(crate) weights: Vec<f64>,
}

/// The taps of a line of `size` samples made of the stretch `from..to` of a line of `source` samples. `Nearest` has none:
/// it chooses samples and weighs nothing.
pub(crate) fn taps(filter: Filter, source: usize, from: f64, to: f64, size: usize) -> Vec<Taps> {
    let scale = (to - from) / size as f64;
    let widened = scale.max(1.0);
    let support = widened * support(filter);
    let sample = |index: usize| {
        let center = from + (index as f64 + 0.5) * scale;
        let start = ((center - support + 0.5) as usize).min(source);
        let end = ((center + support + 0.5) as usize).clamp(start, source);
        let mut weights: Vec<f64> = (start..end)
            .map(|place| weight(filter, (place as f64 - center + 0.5) * (1.0 / widened)))
            .collect();
        let sum: f64 = weights.iter().sum();
        if sum != 0.0 {
            for weight in &mut weights {
                *weight /= sum;
            }
        }
        Taps { start, weights }
    };
    (0..size).map(sample).collect()
}

fn support(filter: Filter) -> f64 {
    match filter {
        Filter::Nearest => 0.0,
        Filter::Bilinear => 1.0,
        Filter::Bicubic => 2.0,
        Filter::Lanczos => 3.0,
    }
}

fn weight(filter: Filter, distance: f64) -> f64 {
    match filter {
        Filter::Bilinear => (1.0 - distance.abs()).max(0.0),
        Filter::Bicubic => cubic(distance, -0.5),
        Filter::Lanczos if (-3.0..3.0).contains(&distance) => sinc(distance) * sinc(distance / 3.0),
        Filter::Nearest | Filter::Lanczos => 0.0,
    }
}

/// Keys 1981, equation 8, for any parameter.
pub(crate) fn cubic(distance: f64, a: f64) -> f64 {
    let x = distance.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

/// With the sine of `libm`, so that all machines agree.
fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { libm::sin(x * PI) / (x * PI) }
}
