//! The sinusoids of diffusion time (Vaswani et al. 2017 §3.5, in the order that Ho et al. 2020 use them).

/// `[timesteps, features]`: cosines of `t * 10000^(-i / (features / 2))` in the first half, sines in the second.
///
/// Exponent, frequency and angle are each rounded to `f32`, as in PyTorch: with `t` near 1000 the rounding of the
/// frequency is visible in the fifth digit of the result, so an exact formula would be further from what the networks
/// were trained with. The functions come from `libm`, so that every machine agrees.
pub fn sinusoids(timesteps: &[f32], features: usize) -> impl Iterator<Item = f32> {
    let half = features / 2;
    let frequency = move |i: usize| {
        let exponent = -(10_000f64.ln() as f32) * i as f32 / half as f32;
        libm::exp(f64::from(exponent)) as f32
    };
    timesteps.iter().flat_map(move |&t| {
        let angle = move |i: usize| f64::from(t * frequency(i));
        let cosines = (0..half).map(move |i| libm::cos(angle(i)) as f32);
        cosines.chain((0..half).map(move |i| libm::sin(angle(i)) as f32))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_come_first() {
        let row: Vec<f32> = sinusoids(&[2.0], 4).collect();
        let wanted = [2f32.cos(), 0.02f32.cos(), 2f32.sin(), 0.02f32.sin()];
        for (got, wanted) in row.iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-6, "{row:?}");
        }
    }
}
