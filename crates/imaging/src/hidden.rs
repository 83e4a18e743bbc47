//! Data in the pixels of a picture, as AUTOMATIC1111 hides embeddings: the lower halves of bytes left of a black column, the upper halves right
//! of another, the picture between them. They stand in the lower four bits of each channel, mixed with a sequence of numbers, and make up a zlib
//! stream with something behind it.

use crate::Rgb;
use flate2::read::ZlibDecoder;
use std::io::Read as _;
use std::ops::Range;

/// Bits of a channel that hold data.
const NIBBLE: u8 = 0x0f;
/// Largest data, in bytes.
const MOST_BYTES: u64 = 64 << 20;

/// The data in a picture's pixels, if there are any.
pub fn hidden_data(picture: &Rgb) -> Option<Vec<u8>> {
    let (columns, rows) = lit(picture)?;
    let width = picture.width() as usize;
    let pixel = |x: usize, y: usize| {
        let at = 3 * (y * width + x);
        picture.samples().get(at..at + 3).unwrap_or_default()
    };
    let is_black = |&x: &usize| rows.clone().all(|y| pixel(x, y).iter().all(|value| value & NIBBLE == 0));
    let first = columns.clone().find(is_black)?;
    let last = columns.clone().rfind(is_black)?;
    let block = |columns: Range<usize>| -> Vec<u8> {
        let mut sequence = Sequence(0);
        let pixels = rows.clone().flat_map(|y| columns.clone().map(move |x| (x, y)));
        let values = pixels.flat_map(|(x, y)| pixel(x, y).to_vec());
        values.map(|value| (value ^ sequence.next()) & NIBBLE).collect()
    };
    let (lower, upper) = (block(columns.start..first), block(last + 1..columns.end));
    if lower.is_empty() || lower.len() != upper.len() {
        return None;
    }
    let bytes: Vec<u8> = lower.iter().zip(&upper).map(|(lower, upper)| upper << 4 | lower).collect();
    let mut data = Vec::new();
    let read = ZlibDecoder::new(&*bytes).take(MOST_BYTES).read_to_end(&mut data).ok()?;
    (0 < read && (read as u64) < MOST_BYTES).then_some(data)
}

/// The columns and rows between the first and the last with a pixel none of whose channels is 0.
fn lit(picture: &Rgb) -> Option<(Range<usize>, Range<usize>)> {
    let width = picture.width() as usize;
    let mut found: Option<(Range<usize>, Range<usize>)> = None;
    for (at, pixel) in picture.samples().chunks_exact(3).enumerate() {
        if pixel.contains(&0) {
            continue;
        }
        let (x, y) = (at % width, at / width);
        let (columns, rows) = found.get_or_insert((x..x + 1, y..y + 1));
        *columns = columns.start.min(x)..columns.end.max(x + 1);
        // Rows come in their order.
        rows.end = y + 1;
    }
    found
}

/// A linear congruential generator (Numerical Recipes' constants).
struct Sequence(u32);

impl Sequence {
    fn next(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 % 255) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_without_data_have_none() {
        for (width, height, value) in [(1, 1, 0), (1, 1, 255), (8, 8, 255), (8, 8, 16), (8, 8, 0)] {
            let samples = vec![value; (width * height * 3) as usize];
            assert_eq!(hidden_data(&Rgb::new(width, height, samples).unwrap()), None);
        }
        let noise = (0..64 * 64 * 3).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        assert_eq!(hidden_data(&Rgb::new(64, 64, noise).unwrap()), None);
    }
}
