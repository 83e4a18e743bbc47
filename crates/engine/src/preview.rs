//! A quick look at an unfinished latent: a linear map from latent channels to colours.
//!
//! The networks' latents are nearly linear in colour at low resolution, so a least-squares fit of 4 channels to RGB shows
//! what is coming for a few multiplications a pixel.

use impasto_diffusion::Picture;
use impasto_tensor::Array;

/// Latent channels to red, green and blue in 0 to 1: `sum over channels of weight * latent + bias`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LatentToRgb {
    /// One row of RGB weights a latent channel.
    weights: Vec<[f32; 3]>,
    bias: [f32; 3],
}

/// The fit for Stable Diffusion 1.x that user interfaces of the field share, for colours in 0 to 1.
const STABLE_DIFFUSION_1: [[f32; 3]; 4] = [
    [0.298 / 2.0, 0.207 / 2.0, 0.208 / 2.0],
    [0.187 / 2.0, 0.286 / 2.0, 0.173 / 2.0],
    [-0.158 / 2.0, 0.189 / 2.0, 0.264 / 2.0],
    [-0.184 / 2.0, -0.271 / 2.0, -0.473 / 2.0],
];

impl Default for LatentToRgb {
    fn default() -> Self {
        Self { weights: STABLE_DIFFUSION_1.to_vec(), bias: [0.5; 3] }
    }
}

impl LatentToRgb {
    /// The map in a model's metadata: a JSON list of one RGB row a channel and, last, the bias. Anything else is no map.
    pub(crate) fn from_metadata(text: &str, channels: usize) -> Option<Self> {
        let mut rows: Vec<[f32; 3]> = serde_json::from_str(text).ok()?;
        if rows.len() != channels + 1 || rows.iter().flatten().any(|value| !value.is_finite()) {
            return None;
        }
        let bias = rows.pop()?;
        Some(Self { weights: rows, bias })
    }

    /// Colours of a latent `[channels, height, width]`, enlarged by `factor` with bilinear interpolation. A latent of
    /// another number of channels shows what the map knows of.
    pub(crate) fn picture(&self, latent: &Array, factor: usize) -> Option<Picture> {
        let &[_, height, width] = latent.shape() else { return None };
        let plane = height * width;
        let mut colours = vec![self.bias; plane];
        for (channel, weights) in latent.data().chunks(plane).zip(&self.weights) {
            for (colour, &value) in colours.iter_mut().zip(channel) {
                for (part, weight) in colour.iter_mut().zip(weights) {
                    *part += weight * value;
                }
            }
        }
        Some(enlarge(&colours, width, height, factor))
    }
}

/// The picture of decoded values `[3, height, width]` from -1 to 1, enlarged by `factor` with bilinear interpolation.
pub(crate) fn enlarged(decoded: &Array, factor: usize) -> Option<Picture> {
    let &[3, height, width] = decoded.shape() else { return None };
    let plane = height * width;
    let colour = |at: usize| [0, 1, 2].map(|part| f32::midpoint(decoded.data()[part * plane + at], 1.0));
    let colours: Vec<[f32; 3]> = (0..plane).map(colour).collect();
    (plane > 0).then(|| enlarge(&colours, width, height, factor))
}

fn enlarge(colours: &[[f32; 3]], width: usize, height: usize, factor: usize) -> Picture {
    let (out_width, out_height) = (width * factor, height * factor);
    let mut rgb = Vec::with_capacity(out_width * out_height * 3);
    for y in 0..out_height {
        let (top, bottom, down) = neighbours(y, factor, height);
        for x in 0..out_width {
            let (left, right, across) = neighbours(x, factor, width);
            let corners = [(top, left), (top, right), (bottom, left), (bottom, right)]
                .map(|(row, column)| colours[row * width + column]);
            rgb.extend([0, 1, 2].map(|part| {
                let [top_left, top_right, bottom_left, bottom_right] = corners.map(|colour| colour[part]);
                let upper = top_left * (1.0 - across) + top_right * across;
                let lower = bottom_left * (1.0 - across) + bottom_right * across;
                ((upper * (1.0 - down) + lower * down).clamp(0.0, 1.0) * 255.0) as u8
            }));
        }
    }
    Picture { width: out_width as u32, height: out_height as u32, rgb }
}

/// The two samples around an enlarged pixel's centre, and the share of the second.
fn neighbours(position: usize, factor: usize, size: usize) -> (usize, usize, f32) {
    let centre = ((position as f32 + 0.5) / factor as f32 - 0.5).clamp(0.0, (size - 1) as f32);
    let first = centre as usize;
    (first, (first + 1).min(size - 1), centre - first as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_latent_is_the_bias() {
        let map = LatentToRgb::from_metadata("[[1,0,0],[0,1,0],[0.2,0.4,0.6]]", 2).unwrap();
        let picture = map.picture(&Array::zeros([2, 1, 2]), 2).unwrap();
        assert_eq!((picture.width, picture.height), (4, 2));
        assert_eq!(picture.rgb[..3], [51, 102, 153]);
        let latent = Array::new([2, 1, 2], vec![0.0, 0.8, 0.0, 0.0]).unwrap();
        let picture = map.picture(&latent, 2).unwrap();
        // Red rises from left to right, a quarter at a time between the two centres.
        let reds: Vec<u8> = picture.rgb.chunks(3).take(4).map(|pixel| pixel[0]).collect();
        assert_eq!(reds, [51, 102, 204, 255]);
    }

    #[test]
    fn refuses_maps_of_another_shape() {
        for text in ["", "[]", "[[1,2]]", "[[1,0,0],[0,1,0]]", "[[1e39,0,0],[0,0,0],[0,0,0]]"] {
            assert_eq!(LatentToRgb::from_metadata(text, 2), None, "{text}");
        }
    }
}
