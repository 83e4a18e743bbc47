//! Guidance: one estimate out of a conditional and an unconditional one.

/// Classifier-free guidance (Ho and Salimans 2022): `unconditional + scale * (conditional - unconditional)`.
pub fn classifier_free(conditional: &[f32], unconditional: &[f32], scale: f64) -> Vec<f32> {
    let scale = scale as f32;
    conditional.iter().zip(unconditional).map(|(with, without)| without + (with - without) * scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_the_difference() {
        assert_eq!(classifier_free(&[3.0, 1.0], &[1.0, 1.0], 7.0), [15.0, 1.0]);
        assert_eq!(classifier_free(&[3.0], &[1.0], 0.0), [1.0]);
    }
}
