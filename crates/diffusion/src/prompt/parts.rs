//! `a :1.2 AND b :-0.5`: parts of a prompt that guide side by side, each with a weight (composable diffusion: Liu et al.
//! 2022).

use super::{MAX_WEIGHT, find_words, is_space};

/// A part of a prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part<'a> {
    /// Its text, without the weight and the spaces before it.
    pub text: &'a str,
    /// What `cfg_scale` is multiplied with for it. Finite.
    pub weight: f64,
}

/// The parts of a prompt, of which there is at least one. A weight counts where there is no `AND`, too: `a cat :2` is
/// `a cat` with a weight of 2, and `[a:b:0.5` is `[a:b` with one of a half.
pub fn split_parts(prompt: &str) -> impl Iterator<Item = Part<'_>> {
    const AND: &str = "AND";
    let ends = find_words(prompt, AND).chain([prompt.len()]);
    ends.scan(0, move |begin, end| {
        let text = &prompt[*begin..end];
        *begin = end + AND.len();
        Some(part(text))
    })
}

fn part(text: &str) -> Part<'_> {
    let text = text.trim_end_matches(is_space);
    match weighted(text) {
        Some((text, weight)) => Part { text, weight },
        None => Part { text, weight: 1.0 },
    }
}

/// Text and weight of what ends in a colon and a number.
fn weighted(text: &str) -> Option<(&str, f64)> {
    let before = text.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let before = before.strip_suffix(['+', '-']).unwrap_or(before);
    let weight: f64 = text[before.len()..].parse().ok()?;
    let text = before.trim_end_matches(is_space).strip_suffix(':')?;
    Some((text.trim_end_matches(is_space), weight.clamp(-MAX_WEIGHT, MAX_WEIGHT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_a1111_does() {
        let cases: &[(&str, &[(&str, f64)])] = &[
            ("", &[("", 1.0)]),
            ("a cat", &[("a cat", 1.0)]),
            ("a cat :2", &[("a cat", 2.0)]),
            ("a cat:1.5 \n", &[("a cat", 1.5)]),
            ("a : -.5 AND b: +2. AND c", &[("a", -0.5), (" b", 2.0), (" c", 1.0)]),
            ("a AND AND b", &[("a", 1.0), ("", 1.0), (" b", 1.0)]),
            ("AND", &[("", 1.0), ("", 1.0)]),
            ("SAND ANDY and AND_ a", &[("SAND ANDY and AND_ a", 1.0)]),
            ("(a:1.2)", &[("(a:1.2)", 1.0)]),
            ("a:1.2.3", &[("a:1.2.3", 1.0)]),
            ("a:.", &[("a:.", 1.0)]),
            ("a:1:2", &[("a:1", 2.0)]),
            ("a:--2", &[("a:--2", 1.0)]),
            ("[a:b:0.5", &[("[a:b", 0.5)]),
            ("a,AND,b\nAND(c)", &[("a,", 1.0), (",b", 1.0), ("(c)", 1.0)]),
            (":3", &[("", 3.0)]),
            ("3", &[("3", 1.0)]),
        ];
        for (prompt, wanted) in cases {
            let parts: Vec<_> = split_parts(prompt).map(|part| (part.text, part.weight)).collect();
            assert_eq!(parts, *wanted, "{prompt:?}");
        }
    }

    #[test]
    fn weights_stay_finite() {
        let huge = format!("a:{}", "9".repeat(500));
        assert_eq!(split_parts(&huge).next().unwrap().weight, MAX_WEIGHT);
    }
}
