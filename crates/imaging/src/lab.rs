//! CIE L*a*b* in 8 bits, as OpenCV keeps it: L* from 0 to 255, a* and b* around 128, for sRGB under D65.
//!
//! The formulas are those of CIE 15 and IEC 61966-2-1, in OpenCV's fixed point: histograms compare its values. OpenCV's cube
//! roots, in single precision, differ in two places by their last bit, which shows in one pixel of some ten thousand.

/// Linear sRGB to XYZ, ITU-R BT.709 primaries.
const TO_XYZ: [[f64; 3]; 3] =
    [[0.412_453, 0.357_580, 0.180_423], [0.212_671, 0.715_160, 0.072_169], [0.019_334, 0.119_193, 0.950_227]];
const FROM_XYZ: [[f64; 3]; 3] = [
    [3.240_479, -1.537_15, -0.498_535],
    [-0.969_256, 1.875_991, 0.041_556],
    [0.055_648, -0.204_043, 1.057_311],
];
/// White of D65 in XYZ.
const WHITE: [f64; 3] = [0.950_456, 1.0, 1.088_754];

/// Bits behind the point of linear light, of the matrices, of the cube roots, and of what leads back.
const LIGHT_BITS: u32 = 3;
const MATRIX_BITS: u32 = 12;
const ROOT_BITS: u32 = 15;
const BACK_BITS: u32 = 14;

/// 6/29, where the cube root begins, and 16/116, where its straight line crosses, behind `BACK_BITS`.
const LINE_END: i32 = 3390;
const LINE_START: i32 = 2259;

/// Tables that turn sRGB into Lab and back.
pub(crate) struct Lab {
    /// Linear light of each sRGB value.
    light: Vec<i32>,
    /// Cube root, or the straight line below it, of each amount of light.
    root: Vec<i32>,
    to: [[i32; 3]; 3],
    /// Y and its root for each L*.
    luminance: Vec<[i32; 2]>,
    from: [[i32; 3]; 3],
    /// sRGB value of each amount of light in 4096ths.
    encoded: Vec<u8>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let light = |value: i32| fixed(255.0 * linear(f64::from(value) / 255.0), LIGHT_BITS);
        // Half as much again as white, for sums that are rounded up.
        let amounts = 0..(384 << LIGHT_BITS);
        let luminance = |value: i32| {
            let root = (f64::from(value) * 100.0 / 255.0 + 16.0) / 116.0;
            let line = (root - 16.0 / 116.0) * (108.0 / 841.0);
            [if root <= 6.0 / 29.0 { line } else { root * root * root }, root]
                .map(|value| fixed(value, BACK_BITS))
        };
        let encoded = |light: i32| (255.0 * encoded(f64::from(light) / 4096.0)).round_ties_even() as u8;
        let matrix = |value: &dyn Fn(usize, usize) -> f64| {
            let place = |row, column| fixed(value(row, column), MATRIX_BITS);
            [0, 1, 2].map(|row| [place(row, 0), place(row, 1), place(row, 2)])
        };
        Self {
            light: (0..256).map(light).collect(),
            root: amounts.map(root).collect(),
            to: matrix(&|row, column| TO_XYZ[row][column] / WHITE[row]),
            luminance: (0..256).map(luminance).collect(),
            from: matrix(&|row, column| FROM_XYZ[row][column] * WHITE[column]),
            encoded: (0..4096).map(encoded).collect(),
        }
    }

    /// The Lab value of an sRGB one.
    pub(crate) fn convert(&self, rgb: [u8; 3]) -> [u8; 3] {
        let light = rgb.map(|value| self.light[usize::from(value)]);
        let [x, y, z] = product(&self.to, light).map(|sum| self.root[rounded(sum, MATRIX_BITS) as usize]);
        // 116 f(Y) - 16 of 100, in 255ths; the factors are rounded as OpenCV rounds them.
        let lightness = (116 * 255 + 50) / 100 * y - (16 * 255 * (1 << ROOT_BITS) + 50) / 100;
        let middle = 128 << ROOT_BITS;
        [lightness, 500 * (x - y) + middle, 200 * (y - z) + middle]
            .map(|value| rounded(value, ROOT_BITS).clamp(0, 255) as u8)
    }

    /// The sRGB value of a Lab one; what lies outside is clipped.
    pub(crate) fn revert(&self, [lightness, a, b]: [u8; 3]) -> [u8; 3] {
        let [y, root] = self.luminance[usize::from(lightness)];
        // a* / 500 and b* / 200, with the divisions as products: 53687 / 2^13 is 2^15 / 5000, and 41943 / 2^9 is 2^14 / 200.
        let a = ((5 * i32::from(a) * 53687 + (1 << 7)) >> 13) - 128 * (1 << BACK_BITS) / 500;
        let b = ((i32::from(b) * 41943 + (1 << 4)) >> 9) - 128 * (1 << BACK_BITS) / 200 + 1;
        let xyz = [cube(root + a), y, cube(root - b)];
        product(&self.from, xyz).map(|sum| self.encoded[rounded(sum, BACK_BITS).clamp(0, 4095) as usize])
    }
}

fn product(matrix: &[[i32; 3]; 3], [x, y, z]: [i32; 3]) -> [i32; 3] {
    matrix.map(|row| row[0] * x + row[1] * y + row[2] * z)
}

fn fixed(value: f64, bits: u32) -> i32 {
    (value * f64::from(1 << bits)).round_ties_even() as i32
}

fn rounded(value: i32, bits: u32) -> i32 {
    (value + (1 << (bits - 1))) >> bits
}

/// The cube root of an amount of light, or the straight line below 216/24389.
fn root(amount: i32) -> i32 {
    let light = f64::from(amount) / f64::from(255 << LIGHT_BITS);
    let line = light * (841.0 / 108.0) + 16.0 / 116.0;
    fixed(if light < 216.0 / 24389.0 { line } else { libm::cbrt(light) }, ROOT_BITS)
}

/// The light that a root stands for, rounded down after each product.
fn cube(root: i32) -> i32 {
    if root <= LINE_END {
        return root * 108 / 841 - LINE_START * 108 / 841;
    }
    let one = 1 << BACK_BITS;
    root * root / one * root / one
}

/// Light of an sRGB value, IEC 61966-2-1.
fn linear(value: f64) -> f64 {
    if value <= 0.040_45 { value / 12.92 } else { libm::pow((value + 0.055) / 1.055, 2.4) }
}

/// sRGB value of light.
fn encoded(light: f64) -> f64 {
    if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * libm::pow(light, 1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greys_stay_grey_and_colors_come_back() {
        let lab = Lab::new();
        for grey in 0..=255_u8 {
            let [_, a, b] = lab.convert([grey; 3]);
            assert_eq!([a, b], [128, 128], "{grey}");
        }
        // Eight bits are few for saturated colors.
        for rgb in [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [200, 100, 50]] {
            let back = lab.revert(lab.convert(rgb));
            for (value, wanted) in back.into_iter().zip(rgb) {
                assert!(value.abs_diff(wanted) <= 8, "{rgb:?} {back:?}");
            }
        }
    }

    #[test]
    fn no_value_is_beyond_the_tables() {
        let lab = Lab::new();
        for l in (0..=255).step_by(5) {
            for a in (0..=255).step_by(5) {
                for b in (0..=255).step_by(5) {
                    let _ = (lab.convert([l, a, b]), lab.revert([l, a, b]));
                }
            }
        }
    }
}
