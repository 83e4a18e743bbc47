//! Legends of grids: what each column and row shows, in words above and beside it, laid out as A1111 does.
//!
//! Texts break at spaces where they do not fit; a word that is still too long is written smaller. What does not hold in a place is
//! crossed out.

use crate::picture::checked;
use crate::{ImagingError, Lettering, Region, Rgb};

/// Grids with legends of more pixels are not made.
const MOST_PIXELS: u64 = 200_000_000;

/// No more letters of a text are written.
const LONGEST: usize = 4000;

/// How thick the line is that crosses a text out, in pixels.
const STROKE: i64 = 4;

/// One text of a legend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The text.
    pub text: String,
    /// Whether it holds; if not, it is crossed out.
    pub active: bool,
}

impl Label {
    /// A text that holds.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), active: true }
    }
}

/// What is written around a grid.
#[derive(Debug, Clone)]
pub struct Legend<'a> {
    /// What stands above each column.
    pub columns: &'a [Vec<Label>],
    /// What stands beside each row.
    pub rows: &'a [Vec<Label>],
    /// Pixels between two columns or rows.
    pub margin: u32,
    /// In what it is written.
    pub lettering: &'a Lettering,
    /// The colour of texts that hold, of those that do not, and of the ground.
    pub colors: [[u8; 3]; 3],
}

/// A line of a legend as it is written.
struct Line<'a> {
    label: &'a Label,
    text: String,
    size: (u32, u32),
}

impl Legend<'_> {
    /// A grid of cells of one size, with the legend around it. There are as many columns and rows as labels.
    pub fn around(&self, grid: &Rgb, cell: (u32, u32)) -> Result<Rgb, ImagingError> {
        let (width, height) = cell;
        let (columns, rows) = (self.columns.len().max(1) as u32, self.rows.len().max(1) as u32);
        let letters = (width.saturating_add(height) / 25).max(1);
        let spacing = letters / 2;
        let has_rows = self.rows.iter().flatten().any(|label| !label.text.is_empty());
        let left = if has_rows { width / 4 * 3 + width % 4 * 3 / 4 } else { 0 };
        let above: Vec<Vec<Line<'_>>> =
            self.columns.iter().map(|labels| self.wrap(labels, letters, width)).collect();
        let beside: Vec<Vec<Line<'_>>> =
            self.rows.iter().map(|labels| self.wrap(labels, letters, left)).collect();
        let tall = |lines: &[Line<'_>]| -> u64 {
            lines.iter().map(|line| u64::from(line.size.1) + u64::from(spacing)).sum()
        };
        let tallest = above.iter().map(|lines| tall(lines).saturating_sub(spacing.into())).max().unwrap_or(0);
        let top = if tallest == 0 { 0 } else { tallest + 2 * u64::from(spacing) };
        let margin = u64::from(self.margin);
        let whole_width = u64::from(grid.width()) + u64::from(left) + margin * u64::from(columns - 1);
        let whole_height = u64::from(grid.height()) + top + margin * u64::from(rows - 1);
        checked(whole_width, whole_height)?;
        if whole_width * whole_height > MOST_PIXELS {
            return Err(ImagingError::Size { width: whole_width, height: whole_height, most: MOST_PIXELS });
        }
        let mut made = Rgb::filled(whole_width as u32, whole_height as u32, self.colors[2])?;
        let place = |index: u32, side: u32, before: u64| {
            (before + u64::from(index) * (u64::from(side) + margin)) as i64
        };
        for row in 0..rows {
            for column in 0..columns {
                let (x, y) = (i64::from(width) * i64::from(column), i64::from(height) * i64::from(row));
                let part =
                    Region { left: x, top: y, right: x + i64::from(width), bottom: y + i64::from(height) };
                made.paste(&grid.crop(part)?, place(column, width, left.into()), place(row, height, top));
            }
        }
        for (column, lines) in (0..).zip(&above) {
            let x = place(column, width, left.into()) as f32 + width as f32 / 2.0;
            let height = tall(lines).saturating_sub(spacing.into());
            self.write(&mut made, lines, letters, width, (x, (top as f32 - height as f32) / 2.0));
        }
        for (row, lines) in (0..).zip(&beside) {
            let y = place(row, height, top) as f32 + height as f32 / 2.0;
            let height = tall(lines).saturating_sub(u64::from(spacing) * lines.len() as u64);
            self.write(&mut made, lines, letters, left, (left as f32 / 2.0, y - height as f32 / 2.0));
        }
        Ok(made)
    }

    /// The lines of some labels, of `width` pixels if their words allow it.
    fn wrap<'a>(&self, labels: &'a [Label], letters: u32, width: u32) -> Vec<Line<'a>> {
        let mut lines = Vec::new();
        for label in labels {
            let mut texts = vec![String::new()];
            let end = label.text.char_indices().nth(LONGEST).map_or(label.text.len(), |(end, _)| end);
            for word in label.text[..end].split_whitespace() {
                let last = texts.last().map_or("", String::as_str);
                let longer = format!("{last} {word}").trim().to_owned();
                match texts.last_mut() {
                    Some(last) if self.lettering.width(&longer, letters) <= width as f32 => *last = longer,
                    _ => texts.push(word.to_owned()),
                }
            }
            lines.extend(texts.into_iter().map(|text| {
                let size = self.lettering.covered(&text, letters);
                Line { label, text, size }
            }));
        }
        lines
    }

    /// Writes lines one under the other, the first with its top at `y`, around `x`.
    fn write(&self, made: &mut Rgb, lines: &[Line<'_>], letters: u32, width: u32, (x, mut y): (f32, f32)) {
        for line in lines {
            let mut size = letters;
            while size > 1 && self.lettering.width(&line.text, size) > width as f32 {
                size -= 1;
            }
            let middle = y + line.size.1 as f32 / 2.0;
            let color = self.colors[usize::from(!line.label.active)];
            self.lettering.draw(made, &line.text, size, (x, middle), color);
            if !line.label.active && !line.text.is_empty() {
                let half = i64::from(line.size.0.min(width) / 2);
                strike(made, (x as i64 - half, x as i64 + half), middle as i64, color);
            }
            y += (line.size.1 + letters / 2) as f32;
        }
    }
}

/// Draws a level line.
fn strike(picture: &mut Rgb, (left, right): (i64, i64), middle: i64, color: [u8; 3]) {
    let Ok(across) = u32::try_from(right - left) else { return };
    if let Ok(line) = Rgb::filled(across, STROKE as u32, color) {
        picture.paste(&line, left, middle - STROKE / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLORS: [[u8; 3]; 3] = [[0, 0, 0], [153, 153, 153], [255, 255, 255]];

    fn around(columns: &[Vec<Label>], rows: &[Vec<Label>], margin: u32) -> Result<Rgb, ImagingError> {
        let lettering = Lettering::roboto().unwrap();
        let grid = Rgb::filled(200 * columns.len() as u32, 100 * rows.len() as u32, [7, 200, 9]).unwrap();
        Legend { columns, rows, margin, lettering: &lettering, colors: COLORS }.around(&grid, (200, 100))
    }

    fn count(picture: &Rgb, color: [u8; 3]) -> usize {
        picture.pixels().iter().filter(|pixel| **pixel == color).count()
    }

    #[test]
    fn a_legend_without_words_takes_no_place() {
        let nothing = vec![vec![Label::new("")]; 2];
        let made = around(&nothing, &nothing, 0).unwrap();
        assert_eq!((made.size(), count(&made, [7, 200, 9])), ((400, 200), 400 * 200));
        assert_eq!(around(&nothing, &nothing, 30).unwrap().size(), (430, 230));
    }

    #[test]
    fn columns_have_words_above_and_rows_beside() {
        let labels = |texts: [&str; 2]| texts.map(|text| vec![Label::new(text)]).to_vec();
        let made = around(&labels(["Steps: 10", "Steps: 20"]), &labels(["Seed: 1", "Seed: 2"]), 4).unwrap();
        // Letters have 12 pixels, lines 6 between them; three quarters of a cell stand beside.
        let (width, height) = made.size();
        assert_eq!(width, 400 + 150 + 4);
        assert!((200 + 4 + 12 + 8..200 + 4 + 12 + 13).contains(&height), "{height}");
        assert_eq!(count(&made, [7, 200, 9]), 400 * 200);
        // Strokes of letters of this size are softer than their colour.
        let dark = made.pixels().iter().filter(|pixel| pixel.iter().all(|&sample| sample < 128)).count();
        assert!(dark > 50, "{dark}");
    }

    #[test]
    fn what_does_not_hold_is_crossed_out() {
        let off = vec![vec![Label { active: false, ..Label::new("cat") }]];
        let made = around(&off, &[vec![Label::new("")]], 0).unwrap();
        assert!(count(&made, COLORS[1]) > 40 && count(&made, [0, 0, 0]) == 0);
    }

    #[test]
    fn long_texts_break_and_long_words_shrink() {
        let one =
            |text: &str| around(&[vec![Label::new(text)]], &[vec![Label::new("")]], 0).unwrap().height();
        assert!(one("a cat that sits upon a mat and looks at the moon and at the stars") > one("a cat") + 10);
        let word = "n".repeat(500);
        let made = around(&[vec![Label::new(word)]], &[vec![Label::new("")]], 0).unwrap();
        assert_eq!((made.width(), count(&made, [7, 200, 9])), (200, 200 * 100));
    }

    #[test]
    fn a_legend_without_bound_is_cut_or_refused() {
        let lines = "long ".repeat(2_000_000);
        assert!(around(&[vec![Label::new(lines)]], &[vec![Label::new("")]], 0).unwrap().height() < 10_000);
        let nothing = vec![vec![Label::new("")]; 2];
        assert!(around(&nothing, &nothing, u32::MAX).is_err());
    }
}
