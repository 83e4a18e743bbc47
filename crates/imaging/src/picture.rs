//! Pictures in memory: 8 bits a sample, row-major, no padding, never empty.
//!
//! Copying and pasting follow Pillow: what lies outside a picture is zero when it is cut out, and left out when it is
//! pasted. Colors, scaling and blending have files of their own.

use crate::{ImagingError, Pixels};

/// Pictures of more pixels are not made.
pub const MOST_PIXELS: u64 = 1 << 28;

/// A picture of 1 (mask, luminance), 3 (RGB) or 4 (RGB and alpha) samples a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture<const CHANNELS: usize> {
    width: u32,
    height: u32,
    samples: Vec<u8>,
}

/// A mask or a picture's luminance: white is 255.
pub type Mask = Picture<1>;
/// A picture without transparency.
pub type Rgb = Picture<3>;
/// A picture with alpha, 255 being opaque; colors are not multiplied by it.
pub type Rgba = Picture<4>;

/// A rectangle of pixels; it may reach beyond a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First column.
    pub left: i64,
    /// First row.
    pub top: i64,
    /// Column after the last.
    pub right: i64,
    /// Row after the last.
    pub bottom: i64,
}

impl Region {
    /// Pixels across; 0 where the edges are in the wrong order.
    pub fn width(&self) -> u64 {
        self.right.saturating_sub(self.left).max(0).unsigned_abs()
    }

    /// Pixels down; 0 where the edges are in the wrong order.
    pub fn height(&self) -> u64 {
        self.bottom.saturating_sub(self.top).max(0).unsigned_abs()
    }
}

/// The number of pixels of a size, if a picture may have it.
pub(crate) fn checked(width: u64, height: u64) -> Result<usize, ImagingError> {
    let pixels = width.checked_mul(height).filter(|&pixels| pixels != 0 && pixels <= MOST_PIXELS);
    pixels.map(|pixels| pixels as usize).ok_or(ImagingError::Size { width, height, most: MOST_PIXELS })
}

impl<const CHANNELS: usize> Picture<CHANNELS> {
    /// A picture of `samples`, `CHANNELS * width * height` of them.
    pub fn new(width: u32, height: u32, samples: Vec<u8>) -> Result<Self, ImagingError> {
        if checked(width.into(), height.into())? * CHANNELS != samples.len() {
            return Err(ImagingError::Length { width, height, channels: CHANNELS, length: samples.len() });
        }
        Ok(Self { width, height, samples })
    }

    /// A picture of one color.
    pub fn filled(width: u32, height: u32, pixel: [u8; CHANNELS]) -> Result<Self, ImagingError> {
        let pixels = checked(width.into(), height.into())?;
        Ok(Self { width, height, samples: pixel.repeat(pixels) })
    }

    /// Pixels across, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Pixels across and down.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// All samples, `[height, width, CHANNELS]`.
    pub fn samples(&self) -> &[u8] {
        &self.samples
    }

    /// All samples, `[height, width, CHANNELS]`.
    pub fn into_samples(self) -> Vec<u8> {
        self.samples
    }

    /// All pixels, row by row.
    pub fn pixels(&self) -> &[[u8; CHANNELS]] {
        self.samples.as_chunks().0
    }

    /// All pixels, row by row.
    pub fn pixels_mut(&mut self) -> &mut [[u8; CHANNELS]] {
        self.samples.as_chunks_mut().0
    }

    /// The rows, top to bottom.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, [u8; CHANNELS]> {
        self.pixels().chunks_exact(self.width as usize)
    }

    /// Each pixel on its own made another.
    pub fn map<const OTHER: usize>(&self, change: impl Fn([u8; CHANNELS]) -> [u8; OTHER]) -> Picture<OTHER> {
        let samples = self.pixels().iter().flat_map(|&pixel| change(pixel)).collect();
        Picture { width: self.width, height: self.height, samples }
    }

    /// Each pixel and its like in a picture of the same size made another.
    pub(crate) fn zip<const OTHER: usize, const MADE: usize>(
        &self,
        other: &Picture<OTHER>,
        join: impl Fn([u8; CHANNELS], [u8; OTHER]) -> [u8; MADE],
    ) -> Result<Picture<MADE>, ImagingError> {
        if self.size() != other.size() {
            return Err(ImagingError::Mismatch { one: self.size(), other: other.size() });
        }
        let pairs = self.pixels().iter().zip(other.pixels());
        let samples = pairs.flat_map(|(&one, &two)| join(one, two)).collect();
        Ok(Picture { width: self.width, height: self.height, samples })
    }

    /// A rectangle of the picture; zero where it reaches beyond.
    pub fn crop(&self, region: Region) -> Result<Self, ImagingError> {
        checked(region.width(), region.height())?;
        let mut made = Self::filled(region.width() as u32, region.height() as u32, [0; CHANNELS])?;
        made.paste(self, region.left.saturating_neg(), region.top.saturating_neg());
        Ok(made)
    }

    /// Puts a picture over this one with its corner at `left`, `top`; what reaches beyond is left out.
    pub fn paste(&mut self, other: &Self, left: i64, top: i64) {
        self.overlaps(other, left, top, |to, from, _| to.copy_from_slice(from));
    }

    /// Calls `work` with each stretch of a row of this picture, the part of a row of `other` that lies over it, and the
    /// index of that part's first pixel in `other`.
    pub(crate) fn overlaps(
        &mut self,
        other: &Self,
        left: i64,
        top: i64,
        work: impl Fn(&mut [[u8; CHANNELS]], &[[u8; CHANNELS]], usize),
    ) {
        let (width, other_width) = (self.width as usize, other.width as usize);
        let (x, skip_x, across) = overlap(self.width, other.width, left);
        let (y, skip_y, down) = overlap(self.height, other.height, top);
        for row in (0..down).filter(|_| across > 0) {
            let to = (y + row) * width + x;
            let from = (skip_y + row) * other_width + skip_x;
            work(&mut self.pixels_mut()[to..to + across], &other.pixels()[from..from + across], from);
        }
    }
}

/// Where a stretch of `length` that begins at `start` lies over one of `whole`: the first place in the whole, in the
/// stretch, and how many there are.
fn overlap(whole: u32, length: u32, start: i64) -> (usize, usize, usize) {
    let first = start.clamp(0, i64::from(whole));
    let last = start.saturating_add(i64::from(length)).clamp(first, i64::from(whole));
    (first as usize, first.saturating_sub(start) as usize, (last - first) as usize)
}

impl<'a> From<&'a Rgb> for Pixels<'a> {
    fn from(picture: &'a Rgb) -> Self {
        Self { width: picture.width, height: picture.height, rgb: &picture.samples }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_that_make_no_picture_are_refused() {
        for (width, height) in [(0, 1), (1, 0), (u32::MAX, u32::MAX), (1 << 15, 1 << 14)] {
            assert!(matches!(Mask::filled(width, height, [0]), Err(ImagingError::Size { .. })));
        }
        let error = Rgb::new(2, 2, vec![0; 11]).unwrap_err();
        assert_eq!(error.to_string(), "11 samples make no picture of 2x2 pixels of 3 samples");
    }

    #[test]
    fn what_lies_outside_is_zero_or_left_out() {
        let picture = Mask::new(2, 2, vec![1, 2, 3, 4]).unwrap();
        let cut = picture.crop(Region { left: -1, top: 1, right: 2, bottom: 3 }).unwrap();
        assert_eq!((cut.size(), cut.samples()), ((3, 2), &[0, 3, 4, 0, 0, 0][..]));
        let mut under = Mask::filled(2, 2, [9]).unwrap();
        under.paste(&picture, 1, -1);
        assert_eq!(under.samples(), [9, 3, 9, 9]);
    }

    proptest! {
        #[test]
        fn no_place_does_harm(
            size in (1..9_u32, 1..9_u32), left in any::<i64>(), top in any::<i64>(), near in -12..12_i64, far in -12..12_i64,
        ) {
            let picture = Rgb::filled(size.0, size.1, [7; 3]).unwrap();
            for (left, top, right, bottom) in [(left, top, near, far), (near, far, left, top), (near, near, far, far)] {
                let _ = picture.crop(Region { left, top, right, bottom });
                let mut under = picture.clone();
                under.paste(&picture, left, bottom);
                prop_assert_eq!(&under, &picture);
            }
        }
    }
}
