//! Running a network over overlapping tiles of a large picture, so that memory stays bounded.
//!
//! Tiles fade into each other linearly. Normalisation and attention see one tile at a time, so the result is close to
//! that of the whole picture, not equal. Sizes are in units of one latent pixel.

use super::Edges;
use crate::ModelError;
use impasto_tensor::Array;

/// Largest area that is run as a whole: 768 x 768 pixels.
const WHOLE: usize = 96 * 96;
/// Edge of a tile: 512 pixels.
const TILE: usize = 64;
/// What neighbours share at least.
const OVERLAP: usize = 16;

/// A picture of `height` x `width` units, which the network turns from `input_unit` pixels a unit to `output_unit`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiling {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) input_unit: usize,
    pub(super) output_unit: usize,
}

impl Tiling {
    /// Runs `network`, `[1, channels, h, w]` to the same of other channels and unit, over `input`
    /// `[channels, height, width]`.
    pub(super) fn run(
        self,
        input: &Array,
        edges: Edges,
        network: impl Fn(&Array, Edges) -> Result<Array, ModelError>,
    ) -> Result<Array, ModelError> {
        let channels = input.shape()[0];
        if self.height * self.width <= WHOLE {
            let [height, width] = [self.height, self.width].map(|size| size * self.input_unit);
            let output = network(&input.clone().reshape([1, channels, height, width])?, edges)?;
            let shape = output.shape()[1..].to_vec();
            return Ok(output.reshape(shape)?);
        }
        if edges == Edges::GoOn {
            return self.run_with_margins(input, network);
        }
        let mut sum = Array::zeros([0, 0, 0]);
        for rows in tiles(self.height) {
            for columns in tiles(self.width) {
                let output = network(&self.cut(input, rows, columns)?, Edges::Ends)?;
                if sum.data().is_empty() {
                    let [height, width] = [self.height, self.width].map(|size| size * self.output_unit);
                    sum = Array::zeros([output.shape()[1], height, width]);
                }
                self.add(&mut sum, &output, rows, columns);
            }
        }
        Ok(sum)
    }

    /// Runs it over the picture with margins from its other sides, and takes what lies between.
    fn run_with_margins(
        self,
        input: &Array,
        network: impl Fn(&Array, Edges) -> Result<Array, ModelError>,
    ) -> Result<Array, ModelError> {
        let (channels, unit) = (input.shape()[0], self.input_unit);
        let wider = Self { height: self.height + 2 * OVERLAP, width: self.width + 2 * OVERLAP, ..self };
        let [height, width] = [self.height, self.width].map(|size| size * unit);
        let [tall, wide] = [wider.height, wider.width].map(|size| size * unit);
        // Where a line or column of the wider picture comes from.
        let from = |at: usize, size: usize| (at + size - OVERLAP * unit % size) % size;
        let mut data = Vec::with_capacity(channels * tall * wide);
        for (channel, y) in (0..channels).flat_map(|channel| (0..tall).map(move |y| (channel, y))) {
            let line = &input.data()[(channel * height + from(y, height)) * width..][..width];
            data.extend((0..wide).map(|x| line[from(x, width)]));
        }
        let output = wider.run(&Array::new([channels, tall, wide], data)?, Edges::Ends, network)?;
        let (channels, unit) = (output.shape()[0], self.output_unit);
        let [height, width] = [self.height, self.width].map(|size| size * unit);
        let [tall, wide] = [wider.height, wider.width].map(|size| size * unit);
        let mut data = Vec::with_capacity(channels * height * width);
        for (channel, y) in (0..channels).flat_map(|channel| (0..height).map(move |y| (channel, y))) {
            let start = (channel * tall + y + OVERLAP * unit) * wide + OVERLAP * unit;
            data.extend_from_slice(&output.data()[start..start + width]);
        }
        Ok(Array::new([channels, height, width], data)?)
    }

    fn cut(self, input: &Array, rows: Span, columns: Span) -> Result<Array, ModelError> {
        let unit = self.input_unit;
        let (channels, height, width) = (input.shape()[0], self.height * unit, self.width * unit);
        let (tall, wide) = (rows.length * unit, columns.length * unit);
        let mut data = Vec::with_capacity(channels * tall * wide);
        for channel in 0..channels {
            for y in 0..tall {
                let start = (channel * height + rows.start * unit + y) * width + columns.start * unit;
                data.extend_from_slice(&input.data()[start..start + wide]);
            }
        }
        Ok(Array::new([1, channels, tall, wide], data)?)
    }

    /// Adds a tile's output, weighted so that the weights of all tiles at a pixel sum to 1.
    fn add(self, sum: &mut Array, output: &Array, rows: Span, columns: Span) {
        let unit = self.output_unit;
        let (channels, height, width) = (sum.shape()[0], self.height * unit, self.width * unit);
        let vertical = weights(self.height, rows, unit);
        let horizontal = weights(self.width, columns, unit);
        let mut source = output.data().iter();
        for channel in 0..channels {
            for (y, down) in vertical.iter().enumerate() {
                let start = (channel * height + rows.start * unit + y) * width + columns.start * unit;
                let line = &mut sum.data_mut()[start..start + horizontal.len()];
                for ((target, across), value) in line.iter_mut().zip(&horizontal).zip(&mut source) {
                    *target += down * across * value;
                }
            }
        }
    }
}

/// A tile's extent along one edge, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    length: usize,
}

/// Tiles that cover `length`, evenly spread.
fn tiles(length: usize) -> Vec<Span> {
    if length <= TILE {
        return vec![Span { start: 0, length }];
    }
    let gaps = (length - TILE).div_ceil(TILE - OVERLAP);
    (0..=gaps).map(|i| Span { start: i * (length - TILE) / gaps, length: TILE }).collect()
}

/// Weights of a tile's `unit * length` pixels along one edge.
fn weights(length: usize, span: Span, unit: usize) -> Vec<f32> {
    let all = tiles(length);
    let weight =
        |tile: &Span, pixel: usize| ramp(length * unit, tile.start * unit, tile.length * unit, pixel);
    let first = span.start * unit;
    (first..first + span.length * unit)
        .map(|pixel| weight(&span, pixel) / all.iter().map(|tile| weight(tile, pixel)).sum::<f32>())
        .collect()
}

/// How much the tile `start..start + length` of an edge of `whole` pixels knows about `pixel`: the distance to where the
/// tile was cut off.
fn ramp(whole: usize, start: usize, length: usize, pixel: usize) -> f32 {
    let end = start + length;
    if !(start..end).contains(&pixel) {
        return 0.0;
    }
    let from_start = if start == 0 { length } else { pixel - start };
    let from_end = if end == whole { length } else { end - 1 - pixel };
    from_start.min(from_end) as f32 + 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_and_overlap() {
        for length in 1..400 {
            let tiles = tiles(length);
            assert_eq!(tiles[0].start, 0);
            assert_eq!(tiles.last().map(|tile| tile.start + tile.length), Some(length));
            assert!(tiles.windows(2).all(|pair| pair[0].start + TILE >= pair[1].start + OVERLAP), "{length}");
        }
    }

    #[test]
    fn blending_a_pointwise_network_is_exact() {
        for (input_unit, output_unit) in [(1, 2), (2, 1)] {
            let tiling = Tiling { height: 70, width: 200, input_unit, output_unit };
            let (height, width) = (70 * input_unit, 200 * input_unit);
            let data = (0..height * width).map(|i| (i / width * 3 + i % width) as f32).collect();
            let input = Array::new([1, height, width], data).unwrap();
            let calls = std::cell::Cell::new(0);
            let output = tiling
                .run(&input, Edges::Ends, |tile, _| {
                    calls.set(calls.get() + 1);
                    Ok(scale(tile, input_unit, output_unit))
                })
                .unwrap();
            assert_eq!(calls.get(), 2 * 4);
            let whole =
                scale(&input.clone().reshape([1, 1, height, width]).unwrap(), input_unit, output_unit);
            assert_eq!(output.shape(), &whole.shape()[1..]);
            assert!(output.data().iter().zip(whole.data()).all(|(a, b)| (a - b).abs() < 1e-3));
            let run = |tile: &Array, edges| {
                assert_eq!(edges, Edges::Ends, "a part has ends, whatever the whole has");
                Ok(scale(tile, input_unit, output_unit))
            };
            let wrapped = tiling.run(&input, Edges::GoOn, run).unwrap();
            assert_eq!(wrapped.shape(), output.shape());
            assert!(wrapped.data().iter().zip(whole.data()).all(|(a, b)| (a - b).abs() < 1e-3));
        }
    }

    /// Doubles or halves a picture by the nearest pixel.
    fn scale(picture: &Array, input_unit: usize, output_unit: usize) -> Array {
        let [h, w] = [picture.shape()[2], picture.shape()[3]];
        let (height, width) = (h * output_unit / input_unit, w * output_unit / input_unit);
        let pixel = |i: usize| {
            let (y, x) = (i / width * input_unit / output_unit, i % width * input_unit / output_unit);
            picture.data()[y * w + x]
        };
        Array::new([1, 1, height, width], (0..height * width).map(pixel).collect()).unwrap()
    }

    #[test]
    fn small_pictures_stay_whole() {
        let tiling = Tiling { height: 64, width: 144, input_unit: 1, output_unit: 1 };
        let input = Array::zeros([4, 64, 144]);
        let output = tiling.run(&input, Edges::GoOn, |tile, edges| {
            assert_eq!(edges, Edges::GoOn);
            assert_eq!(tile.shape(), [1, 4, 64, 144]);
            Ok(tile.clone())
        });
        assert_eq!(output.unwrap().shape(), [4, 64, 144]);
    }
}
