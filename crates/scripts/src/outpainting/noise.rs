//! Noise that looks like a picture: where nothing is known of it, its spectrum goes on and its colours are kept.
//!
//! White noise, low-passed, is squared in the frequency domain, and multiplied with the amplitudes (to a power) and the phases of
//! the picture's spectrum; then the values of each channel get the distribution of what is known. This is the idea of A1111's
//! outpainting "mk2", which has it from g-diffuser. Random numbers are our own (`SplitMix64`, Steele et al. 2014): the same for
//! every picture, so that results follow from the request.

use impasto_imaging::{Mask, Rgb};
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

type Plane = Vec<Complex<f64>>;

/// The picture with what is white in the mask replaced by noise. `power` is what amplitudes are raised to, `color` how colourful
/// noise is to begin with, 0 to 1. A picture of which nothing is known stays as it is.
pub(super) fn matched(picture: &Rgb, unknown: &Mask, power: f64, color: f64) -> Rgb {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let hidden: Vec<bool> = unknown.samples().iter().map(|&value| value > 127).collect();
    if hidden.iter().all(|&hidden| hidden) || !hidden.contains(&true) {
        return picture.clone();
    }
    let mut waves = Waves::new(width, height);
    let filter = low_pass(width, height);
    let noise = white_noise(width * height, color);
    let known = known_channels(picture, &hidden);
    let mut shaped: Vec<Vec<f64>> = Vec::with_capacity(3);
    for (noise, known) in noise.into_iter().zip(&known) {
        let mut noise = complex(&noise);
        waves.forward(&mut noise);
        for (value, weight) in noise.iter_mut().zip(&filter) {
            *value *= weight;
        }
        // There and back again keeps what is real of it.
        waves.backward(&mut noise);
        let mut noise = complex(&noise.iter().map(|value| value.re).collect::<Vec<_>>());
        waves.forward(&mut noise);
        let mut spectrum = complex(known);
        waves.forward(&mut spectrum);
        for (value, noise) in spectrum.iter_mut().zip(&noise) {
            let amplitude = value.norm();
            let phase = if amplitude > 0.0 { *value / amplitude } else { Complex::default() };
            *value = phase * (noise.norm_sqr() * amplitude.powf(power));
        }
        waves.backward(&mut spectrum);
        shaped.push(spectrum.iter().map(|value| value.re).collect());
    }
    let mut made = picture.clone();
    for (channel, shaped) in shaped.iter().enumerate() {
        let reference: Vec<u8> = picture
            .pixels()
            .iter()
            .zip(&hidden)
            .filter(|(_, hidden)| !**hidden)
            .map(|(pixel, _)| pixel[channel])
            .collect();
        let values: Vec<f64> =
            shaped.iter().zip(&hidden).filter(|(_, hidden)| **hidden).map(|(&value, _)| value).collect();
        let mut matched = distributed(&values, reference).into_iter();
        for (pixel, _) in made.pixels_mut().iter_mut().zip(&hidden).filter(|(_, hidden)| **hidden) {
            pixel[channel] = matched.next().unwrap_or(0);
        }
    }
    made
}

/// Channels from 0 to 1 of what is known, the rest filled with the mean of all.
fn known_channels(picture: &Rgb, hidden: &[bool]) -> [Vec<f64>; 3] {
    let known = picture.pixels().iter().zip(hidden).filter(|(_, hidden)| !**hidden);
    let (mut sum, mut most) = (0.0, 0_u8);
    for (pixel, _) in known {
        sum += pixel.iter().map(|&sample| f64::from(sample) / 255.0).sum::<f64>();
        most = most.max(pixel.iter().copied().max().unwrap_or(0));
    }
    let mean = sum / (hidden.len() * 3) as f64;
    let scale = 1.0 / (f64::from(most.max(1)) / 255.0);
    [0, 1, 2].map(|channel| {
        let value = |(pixel, &hidden): (&[u8; 3], &bool)| {
            if hidden { mean } else { f64::from(pixel[channel]) / 255.0 * scale }
        };
        picture.pixels().iter().zip(hidden).map(value).collect()
    })
}

/// Weights that let slow waves pass: the product of 1/(1 + f^2) across and down, f from -1 to 1 along the shorter edge.
fn low_pass(width: usize, height: usize) -> Vec<f64> {
    let least = width.min(height) as f64;
    let weights = |length: usize| -> Vec<f64> {
        // The slowest wave comes first; in A1111's order it is in the middle.
        let place = |wave: usize| ((wave + length / 2) % length) as f64 / length as f64;
        let frequency = |wave: usize| place(wave).mul_add(2.0, -1.0) * (length as f64 / least);
        (0..length).map(|wave| 1.0 / (frequency(wave).powi(2) + 1.0)).collect()
    };
    let (across, down) = (weights(width), weights(height));
    down.iter().flat_map(|row| across.iter().map(move |column| row * column)).collect()
}

/// Three channels of white noise from 0 to 1, `color` of each its own and the rest common.
fn white_noise(count: usize, color: f64) -> [Vec<f64>; 3] {
    let mut state = 0_u64;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut channels = [(); 3].map(|()| Vec::with_capacity(count));
    for _ in 0..count {
        let own = [random(), random(), random()];
        let common = own.iter().sum::<f64>() / 3.0;
        for (channel, own) in channels.iter_mut().zip(own) {
            channel.push(own.mul_add(color, common * (1.0 - color)));
        }
    }
    channels
}

/// The values, each replaced by the reference's value at the same place of its order: between two of them in a straight line.
fn distributed(values: &[f64], mut reference: Vec<u8>) -> Vec<u8> {
    reference.sort_unstable();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&one, &other| values[one].total_cmp(&values[other]));
    let last = (reference.len() - 1) as f64;
    let mut made = vec![0; values.len()];
    for (rank, &at) in order.iter().enumerate() {
        let place = (rank as f64 + 0.5) / values.len() as f64 * (last + 1.0) - 0.5;
        let place = place.clamp(0.0, last);
        let (before, part) = (place.floor(), place.fract());
        let [low, high] = [before, (before + 1.0).min(last)].map(|at| f64::from(reference[at as usize]));
        made[at] = (high - low).mul_add(part, low).round() as u8;
    }
    made
}

fn complex(values: &[f64]) -> Plane {
    values.iter().map(|&value| Complex::new(value, 0.0)).collect()
}

/// Transforms of planes, rows first.
struct Waves {
    width: usize,
    height: usize,
    plans: [Arc<dyn Fft<f64>>; 4],
}

impl Waves {
    fn new(width: usize, height: usize) -> Self {
        let mut planner = FftPlanner::new();
        let plans = [
            planner.plan_fft_forward(width),
            planner.plan_fft_forward(height),
            planner.plan_fft_inverse(width),
            planner.plan_fft_inverse(height),
        ];
        Self { width, height, plans }
    }

    fn forward(&mut self, plane: &mut Plane) {
        self.transform(plane, 0);
    }

    fn backward(&mut self, plane: &mut Plane) {
        self.transform(plane, 2);
        let scale = 1.0 / plane.len() as f64;
        for value in plane {
            *value *= scale;
        }
    }

    fn transform(&self, plane: &mut Plane, first: usize) {
        self.plans[first].process(plane);
        *plane = turned(plane, self.width, self.height);
        self.plans[first + 1].process(plane);
        *plane = turned(plane, self.height, self.width);
    }
}

/// A plane over its diagonal.
fn turned(plane: &Plane, width: usize, height: usize) -> Plane {
    (0..width).flat_map(|column| (0..height).map(move |row| plane[row * width + column])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn striped() -> (Rgb, Mask) {
        let pixel = |x: u32| if (x / 4_u32).is_multiple_of(2) { [240, 40, 10] } else { [20, 60, 200] };
        let samples = (0..48).flat_map(|_| (0..64).flat_map(pixel)).collect();
        let hidden = (0..48).flat_map(|_| (0..64).map(|x| if x < 40 { 0 } else { 255 })).collect();
        (Rgb::new(64, 48, samples).unwrap(), Mask::new(64, 48, hidden).unwrap())
    }

    #[test]
    fn what_is_known_stays_and_the_rest_has_its_colours() {
        let (picture, hidden) = striped();
        let made = matched(&picture, &hidden, 1.0, 0.05);
        let (mut changed, mut sums) = (0, [[0_u64; 3]; 2]);
        for (at, (new, old)) in made.pixels().iter().zip(picture.pixels()).enumerate() {
            let unknown = at % 64 >= 40;
            assert!(unknown || new == old, "{at}");
            changed += usize::from(new != old);
            for channel in 0..3 {
                sums[usize::from(unknown)][channel] += u64::from(new[channel]);
            }
        }
        assert!(changed > 24 * 48 / 4, "{changed}");
        for (known, unknown) in sums[0].iter().zip(sums[1]) {
            let means = [*known as f64 / (40.0 * 48.0), unknown as f64 / (24.0 * 48.0)];
            assert!((means[0] - means[1]).abs() < 6.0, "{means:?}");
        }
        assert_eq!(matched(&picture, &hidden, 1.0, 0.05), made);
        assert_ne!(matched(&picture, &hidden, 2.0, 0.05), made);
    }

    #[test]
    fn noise_of_stripes_is_striped() {
        // The spectrum of upright stripes goes on: columns differ more than rows do.
        let (picture, hidden) = striped();
        let made = matched(&picture, &hidden, 2.0, 0.0);
        let red = |x: usize, y: usize| i32::from(made.pixels()[y * 64 + x][0]);
        let (mut across, mut down) = (0, 0);
        for y in 0..47 {
            for x in 40..63 {
                across += (red(x, y) - red(x + 1, y)).abs();
                down += (red(x, y) - red(x, y + 1)).abs();
            }
        }
        assert!(across > 2 * down, "{across} {down}");
    }

    #[test]
    fn there_and_back_again_is_the_same() {
        let mut waves = Waves::new(6, 4);
        let values: Vec<f64> = (0..24).map(|at| f64::from(at * at % 7)).collect();
        let mut plane = complex(&values);
        waves.forward(&mut plane);
        assert!((plane[0].re - values.iter().sum::<f64>()).abs() < 1e-9);
        waves.backward(&mut plane);
        assert!(plane.iter().zip(&values).all(|(made, value)| (made.re - value).abs() < 1e-9));
    }

    #[test]
    fn nothing_known_and_nothing_hidden_do_no_harm() {
        let (picture, _) = striped();
        for value in [0, 255] {
            let mask = Mask::filled(64, 48, [value]).unwrap();
            assert_eq!(matched(&picture, &mask, 1.0, 0.5), picture);
        }
        let black = Rgb::filled(8, 8, [0; 3]).unwrap();
        let mut half = Mask::filled(8, 8, [0]).unwrap();
        half.pixels_mut()[..32].fill([255]);
        assert_eq!(matched(&black, &half, 1.0, 0.5), black);
    }
}
