//! Several pictures side by side in one, laid out as A1111 does: as square as can be, rows first.

use crate::{Pixels, Rgb};

/// Grids of more pixels are not made; A1111's limit.
const MOST_PIXELS: u64 = 200_000_000;

/// How many rows a grid has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GridRows {
    /// As many as make it square.
    #[default]
    Square,
    /// The greatest number up to that without an empty place.
    Full,
    /// So many, or as many as there are pictures.
    Count(u32),
}

impl GridRows {
    /// What the options `n_rows` (-1: square, 0: the batch's size) and `grid_prevent_empty_spots` say.
    pub fn from_options(n_rows: i64, batch_size: u32, prevent_empty_spots: bool) -> Self {
        match u32::try_from(n_rows) {
            Ok(0) => Self::Count(batch_size),
            Ok(rows) => Self::Count(rows),
            Err(_) if prevent_empty_spots => Self::Full,
            Err(_) => Self::Square,
        }
    }

    /// Rows and columns of a grid of `count` pictures, at least one.
    fn layout(self, count: usize) -> (usize, usize) {
        let square = (count as f64).sqrt();
        let rows = match self {
            Self::Square => square.round() as usize,
            Self::Full => (1..=square as usize).rev().find(|&rows| count.is_multiple_of(rows)).unwrap_or(1),
            Self::Count(rows) => rows as usize,
        };
        let rows = rows.clamp(1, count);
        (rows, count.div_ceil(rows))
    }
}

/// The grid of some pictures, each in the middle of a place as large as the largest; `None` for no pictures, empty ones, or
/// too many pixels.
pub fn grid(pictures: &[Pixels<'_>], rows: GridRows, background: [u8; 3]) -> Option<Rgb> {
    let cell_width = pictures.iter().map(|picture| picture.width).max()?;
    let cell_height = pictures.iter().map(|picture| picture.height).max()?;
    let (rows, columns) = rows.layout(pictures.len());
    let width = u64::from(cell_width) * columns as u64;
    let height = u64::from(cell_height) * rows as u64;
    if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
        return None;
    }
    let mut made = Rgb::filled(width as u32, height as u32, background).ok()?;
    for (index, pixels) in pictures.iter().enumerate() {
        let picture = Rgb::new(pixels.width, pixels.height, pixels.rgb.to_vec()).ok()?;
        let left = (index % columns) as i64 * i64::from(cell_width);
        let top = (index / columns) as i64 * i64::from(cell_height);
        let spare = ((cell_width - pixels.width) / 2, (cell_height - pixels.height) / 2);
        made.paste(&picture, left + i64::from(spare.0), top + i64::from(spare.1));
    }
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_in_rows() {
        let colours: Vec<[u8; 6]> = (1..=5).map(|colour| [colour; 6]).collect();
        let pictures: Vec<Pixels<'_>> =
            colours.iter().map(|rgb| Pixels { width: 2, height: 1, rgb }).collect();
        let three = grid(&pictures[..3], GridRows::Square, [9; 3]).unwrap();
        assert_eq!(three.size(), (4, 2));
        assert_eq!(three.samples(), [[1; 6], [2; 6], [3; 6], [9; 6]].concat());
        let five = grid(&pictures, GridRows::Square, [0; 3]).unwrap();
        assert_eq!(five.size(), (6, 2));
        assert_eq!(five.samples(), [[1; 6], [2; 6], [3; 6], [4; 6], [5; 6], [0; 6]].concat());
    }

    #[test]
    fn small_pictures_stand_in_the_middle() {
        let small = Pixels { width: 1, height: 1, rgb: &[1; 3] };
        let large = Pixels { width: 3, height: 3, rgb: &[2; 27] };
        let made = grid(&[small, large], GridRows::Count(1), [0; 3]).unwrap();
        let first_row: Vec<u8> = made.pixels()[6..12].iter().map(|pixel| pixel[0]).collect();
        assert_eq!((made.size(), first_row), ((6, 3), vec![0, 1, 0, 2, 2, 2]));
    }

    #[test]
    fn options_say_how_many_rows() {
        let layout =
            |n_rows, batch_size, full, count| GridRows::from_options(n_rows, batch_size, full).layout(count);
        assert_eq!(layout(-1, 1, false, 7), (3, 3));
        assert_eq!(layout(-1, 1, true, 7), (1, 7));
        assert_eq!(layout(-1, 1, true, 12), (3, 4));
        assert_eq!(layout(0, 2, false, 8), (2, 4));
        assert_eq!(layout(0, 0, false, 8), (1, 8));
        assert_eq!(layout(9, 2, true, 4), (4, 1));
        assert_eq!(layout(i64::MAX, 2, false, 5), (2, 3));
    }

    #[test]
    fn what_does_not_fit_makes_no_grid() {
        let made = |pictures: &[Pixels<'_>]| grid(pictures, GridRows::Square, [0; 3]);
        assert_eq!(made(&[]), None);
        assert_eq!(made(&[Pixels { width: 0, height: 0, rgb: &[] }; 2]), None);
        assert_eq!(made(&[Pixels { width: 4, height: 1, rgb: &[] }; 2]), None);
        assert_eq!(made(&[Pixels { width: 100_000, height: 100_000, rgb: &[] }; 2]), None);
        assert_eq!(made(&[Pixels { width: u32::MAX, height: u32::MAX, rgb: &[] }; 9]), None);
    }
}
