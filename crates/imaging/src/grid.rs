//! Several pictures side by side in one, laid out as A1111 does: as square as can be, rows first, black where none is left.

use crate::{OwnedPixels, Pixels};

/// Grids of more pixels are not made; A1111's limit.
const MOST_PIXELS: u64 = 200_000_000;

/// The grid of pictures of one size; `None` for no pictures, other sizes among them, or too many pixels.
pub fn grid(pictures: &[Pixels<'_>]) -> Option<OwnedPixels> {
    let first = pictures.first()?;
    let (cell_width, cell_height) = (first.width as usize, first.height as usize);
    let row_bytes = cell_width * 3;
    let sound = |picture: &Pixels<'_>| {
        (picture.width, picture.height) == (first.width, first.height)
            && picture.rgb.len() == row_bytes * cell_height
    };
    let rows = ((pictures.len() as f64).sqrt().round() as usize).max(1);
    let columns = pictures.len().div_ceil(rows);
    let pixels = (cell_width * cell_height) as u64 * (rows * columns) as u64;
    if row_bytes == 0 || pixels > MOST_PIXELS || !pictures.iter().all(sound) {
        return None;
    }
    let width = cell_width * columns;
    let mut rgb = vec![0; width * cell_height * rows * 3];
    for (index, picture) in pictures.iter().enumerate() {
        let (row, column) = (index / columns, index % columns);
        for (y, line) in picture.rgb.chunks_exact(row_bytes).enumerate() {
            let start = ((row * cell_height + y) * width + column * cell_width) * 3;
            rgb[start..start + row_bytes].copy_from_slice(line);
        }
    }
    Some(OwnedPixels { width: width as u32, height: (cell_height * rows) as u32, rgb })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_in_rows() {
        let colours: Vec<[u8; 6]> = (1..=5).map(|colour| [colour; 6]).collect();
        let pictures: Vec<Pixels<'_>> =
            colours.iter().map(|rgb| Pixels { width: 2, height: 1, rgb }).collect();
        let three = grid(&pictures[..3]).unwrap();
        assert_eq!((three.width, three.height), (4, 2));
        assert_eq!(three.rgb, [[1; 6], [2; 6], [3; 6], [0; 6]].concat());
        let five = grid(&pictures).unwrap();
        assert_eq!((five.width, five.height), (6, 2));
        assert_eq!(five.rgb, [[1; 6], [2; 6], [3; 6], [4; 6], [5; 6], [0; 6]].concat());
    }

    #[test]
    fn what_does_not_fit_makes_no_grid() {
        let rgb = [0; 12];
        let wide = Pixels { width: 4, height: 1, rgb: &rgb };
        let tall = Pixels { width: 1, height: 4, rgb: &rgb };
        assert_eq!(grid(&[]), None);
        assert_eq!(grid(&[wide, tall]), None);
        assert_eq!(grid(&[Pixels { width: 0, height: 0, rgb: &[] }; 2]), None);
        assert_eq!(grid(&[Pixels { width: 100_000, height: 100_000, rgb: &[] }; 2]), None);
    }
}
