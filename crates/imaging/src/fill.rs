//! Masked content "fill": what lies under the mask takes the colors around it, from blurs that grow finer.
//!
//! The blur is Pillow's: three box blurs in each direction, whose width is a fraction of pixels (Gwosdek and others 2011,
//! equations 7 and 11), in 24-bit fixed point, bit for bit.

use crate::color::{multiply, unmultiplied};
use crate::{ImagingError, Mask, Rgb, Rgba, alpha_composite};

/// Standard deviations of the blurs in pixels, and how often each is laid over those before.
const CASCADE: [(f32, usize); 6] = [(256.0, 1), (64.0, 1), (16.0, 2), (4.0, 4), (2.0, 2), (0.0, 1)];

/// Box blurs that make one Gaussian blur.
const PASSES: usize = 3;

/// The picture with its masked pixels filled from those around them. Black where all is masked.
pub fn fill_masked(picture: &Rgb, mask: &Mask) -> Result<Rgb, ImagingError> {
    // Alpha stays multiplied into the colors while they are blurred.
    let kept = picture.zip(mask, |color, [masked]| {
        let alpha = 255 - masked;
        let [r, g, b] = color.map(|sample| multiply(sample, alpha));
        [r, g, b, alpha]
    })?;
    let mut made = Rgba::filled(picture.width(), picture.height(), [0; 4])?;
    for (sigma, times) in CASCADE {
        let blurred = gaussian_blur(&kept, sigma)?.map(unmultiplied);
        for _ in 0..times {
            made = alpha_composite(&made, &blurred)?;
        }
    }
    Ok(made.to_rgb())
}

/// The mask blurred by a standard deviation in pixels.
pub fn gaussian_blur_mask(mask: &Mask, sigma: f32) -> Result<Mask, ImagingError> {
    Ok(gaussian_blur(&mask.map(|[value]| [value; 4]), sigma)?.map(|[value, ..]| [value]))
}

fn gaussian_blur(picture: &Rgba, sigma: f32) -> Result<Rgba, ImagingError> {
    let blur = BoxBlur::new(box_radius(sigma));
    transposed(&blur.blur_rows(&transposed(&blur.blur_rows(picture))?))
}

/// Radius of the box whose repeated blur has this standard deviation.
fn box_radius(sigma: f32) -> f32 {
    let variance = sigma * sigma / PASSES as f32;
    let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
    let whole = ((f64::from(length) - 1.0) / 2.0).floor() as f32;
    let part = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance)
        / (6.0 * (variance - (whole + 1.0) * (whole + 1.0)));
    whole + part
}

/// A box of whole pixels and one of a fraction at each end.
struct BoxBlur {
    radius: usize,
    whole_weight: u32,
    edge_weight: u32,
}

impl BoxBlur {
    fn new(radius: f32) -> Self {
        let whole = radius as u32;
        let whole_weight = ((1 << 24) as f32 / (radius * 2.0 + 1.0)) as u32;
        let edge_weight = ((1 << 24) - (whole * 2 + 1) * whole_weight) / 2;
        Self { radius: whole as usize, whole_weight, edge_weight }
    }

    fn blur_rows(&self, picture: &Rgba) -> Rgba {
        let width = picture.width() as usize;
        let mut made = picture.clone();
        let mut padded = Vec::with_capacity(width + 2 * self.radius + 2);
        for row in made.pixels_mut().chunks_exact_mut(width) {
            for _ in 0..PASSES {
                // Beyond its ends the line goes on with its last pixel.
                padded.clear();
                padded.resize(self.radius + 1, row[0]);
                padded.extend_from_slice(row);
                padded.resize(width + 2 * self.radius + 2, row[width - 1]);
                self.blur_line(&padded, row);
            }
        }
        made
    }

    /// The line has the radius and one pixel more at each end.
    fn blur_line(&self, line: &[[u8; 4]], blurred: &mut [[u8; 4]]) {
        let window = 2 * self.radius + 1;
        // The sum of the box around the pixel before the first.
        let mut sums = [0_u32; 4];
        for pixel in &line[..window] {
            (0..4).for_each(|channel| sums[channel] += u32::from(pixel[channel]));
        }
        for (((made, left), entering), right) in
            blurred.iter_mut().zip(line).zip(&line[window..]).zip(&line[window + 1..])
        {
            for channel in 0..4 {
                let (left, right) = (u32::from(left[channel]), u32::from(right[channel]));
                sums[channel] = sums[channel] + u32::from(entering[channel]) - left;
                let weighed = sums[channel] * self.whole_weight + (left + right) * self.edge_weight;
                made[channel] = ((weighed + (1 << 23)) >> 24) as u8;
            }
        }
    }
}

fn transposed(picture: &Rgba) -> Result<Rgba, ImagingError> {
    let width = picture.width() as usize;
    let columns = (0..width).flat_map(|column| picture.pixels().iter().skip(column).step_by(width));
    Rgba::new(picture.height(), picture.width(), columns.flatten().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_size_and_no_mask_does_harm(size in (1..20_u32, 1..20_u32), seed in any::<u32>()) {
            let count = size.0 * size.1;
            let noise = |count: u32| (0..count).map(|place| (place.wrapping_mul(seed) >> 13) as u8).collect::<Vec<_>>();
            let picture = Rgb::new(size.0, size.1, noise(count * 3)).unwrap();
            let mask = Mask::new(size.0, size.1, noise(count)).unwrap();
            let made = fill_masked(&picture, &mask).unwrap();
            prop_assert_eq!(made.size(), size);
            // Nothing masked, nothing changed.
            prop_assert_eq!(fill_masked(&picture, &Mask::filled(size.0, size.1, [0]).unwrap()).unwrap(), picture);
        }
    }
}
