//! Guidance: one estimate out of conditional ones and an unconditional one.

/// Classifier-free guidance (Ho and Salimans 2022): `unconditional + scale * (conditional - unconditional)`.
pub fn classifier_free(conditional: &[f32], unconditional: &[f32], scale: f64) -> Vec<f32> {
    compose(unconditional, [(conditional, scale)])
}

/// Guidance by several conditions (Liu et al. 2022): the unconditional estimate, and the difference that each condition
/// makes to it, times its scale.
pub(crate) fn compose<'a>(
    unconditional: &[f32],
    conditional: impl IntoIterator<Item = (&'a [f32], f64)>,
) -> Vec<f32> {
    let mut guided = unconditional.to_vec();
    for (condition, scale) in conditional {
        let scale = scale as f32;
        for ((value, with), without) in guided.iter_mut().zip(condition).zip(unconditional) {
            *value += (with - without) * scale;
        }
    }
    guided
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_the_difference() {
        assert_eq!(classifier_free(&[3.0, 1.0], &[1.0, 1.0], 7.0), [15.0, 1.0]);
        assert_eq!(classifier_free(&[3.0], &[1.0], 0.0), [1.0]);
    }

    #[test]
    fn each_condition_adds_its_difference() {
        let conditional: [(&[f32], f64); 2] = [(&[3.0, 1.0], 7.0), (&[0.0, 2.0], -2.0)];
        assert_eq!(compose(&[1.0, 1.0], conditional), [17.0, -1.0]);
    }
}
