//! The attention grammar of A1111: `(more)`, `[less]`, `(exactly:1.3)`, `\(literal\)` and `BREAK`.
//!
//! Its results are A1111's to the last bit, with two differences where A1111 fails: a weight that is no number, as in
//! `(a:1.2.3)`, is literal text, and `BREAK` breaks inside brackets too. Weights are kept finite, and brackets nested
//! deeper than [`MAX_OPEN`] weigh nothing more, so that time stays linear and no prompt overflows.

use super::{MAX_WEIGHT, find_words, is_space};

/// A piece of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum Segment {
    /// Text to tokenize as a whole.
    Text {
        /// The text, marks and escapes taken out. May be empty.
        text: String,
        /// What its text vectors are multiplied with. Finite.
        weight: f64,
    },
    /// `BREAK`: the rest goes into another chunk.
    Break,
}

/// What `(` multiplies with.
const ROUND: f64 = 1.1;
/// What `[` multiplies with.
const SQUARE: f64 = 1.0 / 1.1;
/// Brackets of one kind that can be open at once.
const MAX_OPEN: usize = 100;

/// Takes a prompt apart. There is at least one segment; neighbours of equal weight are one.
pub fn parse_attention(prompt: &str) -> Vec<Segment> {
    let mut items = Vec::new();
    let mut round = Brackets::default();
    let mut square = Brackets::default();
    let mut rest = prompt;
    while !rest.is_empty() {
        let (piece, length) = next_piece(rest);
        match piece {
            Piece::Escaped(text) => items.push(Item::text(text)),
            Piece::Mark('(') => round.open(items.len()),
            Piece::Mark('[') => square.open(items.len()),
            Piece::Weight(weight) if round.any_open() => round.close(&mut items, weight),
            Piece::Mark(')') if round.any_open() => round.close(&mut items, ROUND),
            Piece::Mark(']') if square.any_open() => square.close(&mut items, SQUARE),
            Piece::Mark(_) | Piece::Weight(_) | Piece::Run => split_at_breaks(&rest[..length], &mut items),
        }
        rest = &rest[length..];
    }
    round.close_all(&mut items, ROUND);
    square.close_all(&mut items, SQUARE);
    merge(&items)
}

/// A piece before neighbours are merged; `None` stands for a break.
struct Item<'a> {
    text: Option<&'a str>,
    weight: f64,
}

impl<'a> Item<'a> {
    fn text(text: &'a str) -> Self {
        Self { text: Some(text), weight: 1.0 }
    }
}

/// Where the open brackets of one kind began, as indices of items.
#[derive(Default)]
struct Brackets {
    starts: Vec<usize>,
    /// Open brackets beyond [`MAX_OPEN`], which count for nothing but finding their ends.
    beyond: usize,
}

impl Brackets {
    fn open(&mut self, start: usize) {
        if self.starts.len() < MAX_OPEN {
            self.starts.push(start);
        } else {
            self.beyond += 1;
        }
    }

    fn any_open(&self) -> bool {
        !self.starts.is_empty()
    }

    fn close(&mut self, items: &mut [Item<'_>], factor: f64) {
        if self.beyond > 0 {
            self.beyond -= 1;
        } else if let Some(start) = self.starts.pop() {
            multiply(&mut items[start..], factor);
        }
    }

    /// Unclosed brackets reach to the end. The outermost counts first: the order shows in the last bits.
    fn close_all(self, items: &mut [Item<'_>], factor: f64) {
        for start in self.starts {
            multiply(&mut items[start..], factor);
        }
    }
}

fn multiply(items: &mut [Item<'_>], factor: f64) {
    for item in items {
        item.weight = (item.weight * factor).clamp(-MAX_WEIGHT, MAX_WEIGHT);
    }
}

enum Piece<'a> {
    /// Literal text after a backslash; a backslash before nothing special is dropped.
    Escaped(&'a str),
    /// One of the four brackets.
    Mark(char),
    /// `:1.3)`.
    Weight(f64),
    /// Text up to the next special character.
    Run,
}

/// The first piece of `rest`, which is not empty, and its length in bytes.
fn next_piece(rest: &str) -> (Piece<'_>, usize) {
    match rest.as_bytes()[0] {
        b'\\' if rest[1..].starts_with(['(', ')', '[', ']', '\\']) => (Piece::Escaped(&rest[1..2]), 2),
        b'\\' => (Piece::Escaped(""), 1),
        mark @ (b'(' | b')' | b'[' | b']') => (Piece::Mark(char::from(mark)), 1),
        b':' => weight_piece(rest).unwrap_or((Piece::Run, 1)),
        _ => (Piece::Run, rest.find(['\\', '(', ')', '[', ']', ':']).unwrap_or(rest.len())),
    }
}

/// `:`, a number and `)`, with spaces around the number, if `rest` begins so.
fn weight_piece(rest: &str) -> Option<(Piece<'_>, usize)> {
    let number_on = rest[1..].trim_start_matches(is_space);
    let digits_on = number_on.strip_prefix(['+', '-']).unwrap_or(number_on);
    let after = digits_on.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &number_on[..number_on.len() - after.len()];
    let end = after.trim_start_matches(is_space).strip_prefix(')')?;
    Some((Piece::Weight(number.parse().ok()?), rest.len() - end.len()))
}

/// Splits a run of text at each `BREAK` that is a word of its own; the spaces around it go with it.
fn split_at_breaks<'a>(run: &'a str, items: &mut Vec<Item<'a>>) {
    const BREAK: &str = "BREAK";
    let mut begin = 0;
    for at in find_words(run, BREAK) {
        items.push(Item::text(run[begin..at].trim_end_matches(is_space)));
        items.push(Item { text: None, weight: 1.0 });
        begin = run.len() - run[at + BREAK.len()..].trim_start_matches(is_space).len();
    }
    items.push(Item::text(&run[begin..]));
}

fn merge(items: &[Item<'_>]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for item in items {
        match (item.text, segments.last_mut()) {
            (None, _) => segments.push(Segment::Break),
            (Some(text), Some(Segment::Text { text: before, weight })) if *weight == item.weight => {
                before.push_str(text);
            }
            (Some(text), _) => segments.push(Segment::Text { text: text.into(), weight: item.weight }),
        }
    }
    if segments.is_empty() {
        segments.push(Segment::Text { text: String::new(), weight: 1.0 });
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Weights as A1111 prints them; `None` is a break.
    fn parsed(prompt: &str) -> Vec<(Option<String>, f64)> {
        parse_attention(prompt)
            .into_iter()
            .map(|segment| match segment {
                Segment::Text { text, weight } => (Some(text), weight),
                Segment::Break => (None, -1.0),
            })
            .collect()
    }

    fn texts(rows: &[(&str, f64)]) -> Vec<(Option<String>, f64)> {
        rows.iter()
            .map(|&(text, weight)| if text == "BREAK" { (None, -1.0) } else { (Some(text.into()), weight) })
            .collect()
    }

    #[test]
    fn weighs_as_a1111_does() {
        let long = "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).";
        let long_parts: &[(&str, f64)] = &[
            ("a ", 1.0),
            ("house", 1.573_000_000_000_000_4),
            (" ", 1.1),
            ("on", 1.0),
            (" a ", 1.1),
            ("hill", 0.55),
            (", sun, ", 1.1),
            ("sky", 1.464_100_000_000_000_6),
            (".", 1.1),
        ];
        let cases: &[(&str, &[(&str, f64)])] = &[
            ("normal text", &[("normal text", 1.0)]),
            ("an (important) word", &[("an ", 1.0), ("important", 1.1), (" word", 1.0)]),
            ("(unbalanced", &[("unbalanced", 1.1)]),
            ("[unbalanced", &[("unbalanced", 1.0 / 1.1)]),
            (r"\(literal\]", &[("(literal]", 1.0)]),
            ("(unnecessary)(parens)", &[("unnecessaryparens", 1.1)]),
            (long, long_parts),
            ("((x))", &[("x", 1.1 * 1.1)]),
            ("[x]", &[("x", 0.909_090_909_090_909_1)]),
            ("[a:1.2]", &[("a:1.2", 1.0 / 1.1)]),
            ("(a : 1.2 )", &[("a ", 1.2)]),
            ("(a:1.2:1.3)", &[("a:1.2", 1.3)]),
            ("((a)):1.2", &[("a", 1.1 * 1.1), (":1.2", 1.0)]),
            ("(a:-1)", &[("a", -1.0)]),
            ("(a:.5)(b:+2.)", &[("a", 0.5), ("b", 2.0)]),
            ("()", &[("", 1.0)]),
            ("", &[("", 1.0)]),
            (" BREAK ", &[("", 1.0), ("BREAK", -1.0), ("", 1.0)]),
            ("a BREAK b", &[("a", 1.0), ("BREAK", -1.0), ("b", 1.0)]),
            ("BREAKa aBREAK break", &[("BREAKa aBREAK break", 1.0)]),
            ("a (b (c:2):0.5) d", &[("a ", 1.0), ("b ", 0.5), ("c d", 1.0)]),
            ("(a:1.2", &[("a:1.2", 1.1)]),
            (r"a\b", &[("ab", 1.0)]),
            (r"a\", &[("a", 1.0)]),
            (r"\\(a)", &[("\\", 1.0), ("a", 1.1)]),
            ("a) b] :1.3) c", &[("a) b] :1.3) c", 1.0)]),
            ("über: 日本 (été:1.5)", &[("über: 日本 ", 1.0), ("été", 1.5)]),
        ];
        for (prompt, wanted) in cases {
            assert_eq!(parsed(prompt), texts(wanted), "{prompt:?}");
        }
    }

    #[test]
    fn a_weight_that_is_no_number_is_text() {
        assert_eq!(parsed("(a:1.2.3)"), texts(&[("a:1.2.3", 1.1)]));
        assert_eq!(parsed("(a:.)"), texts(&[("a:.", 1.1)]));
    }

    #[test]
    fn break_breaks_inside_brackets() {
        assert_eq!(parsed("(a BREAK b:1.2)"), texts(&[("a", 1.2), ("BREAK", -1.0), ("b", 1.2)]));
    }

    #[test]
    fn hostile_prompts_take_linear_time() {
        let size = 1 << 20;
        let many = |unit: &str| unit.repeat(size / unit.len());
        for unit in
            ["(", "(a", "[a)", "(a)", ":", ": ", ":1", "BREAK ", "\\", "(a:9", "((((a:99999999999999999999)"]
        {
            let begun = std::time::Instant::now();
            parse_attention(&many(unit));
            assert!(begun.elapsed().as_secs() < 5, "{unit:?} took {:?}", begun.elapsed());
        }
    }

    /// A prompt that means these segments, of which neighbours differ in weight and breaks stand between equals. A
    /// backslash that is dropped keeps words apart that would else be read as one, and stands for an empty text.
    fn printed(segments: &[Segment]) -> String {
        let mut groups: Vec<(f64, String)> = Vec::new();
        for segment in segments {
            match segment {
                Segment::Break => groups.last_mut().unwrap().1.push_str(r"\BREAK"),
                Segment::Text { text, weight } => {
                    let mut escaped = String::new();
                    let broken = groups.last().is_some_and(|(_, text)| text.ends_with("BREAK"));
                    for (at, c) in text.char_indices() {
                        match c {
                            '(' | ')' | '[' | ']' | '\\' => escaped.extend(['\\', c]),
                            // A break of their own, if they were read as a word.
                            'E' if text[..at].ends_with("BR") => escaped.push_str(r"\E"),
                            _ if at == 0 && broken => escaped.extend(['\\', c]),
                            _ => escaped.push(c),
                        }
                    }
                    match groups.last_mut() {
                        Some((before, text)) if before == weight => text.push_str(&escaped),
                        _ => groups.push((*weight, escaped)),
                    }
                }
            }
        }
        let print = |(weight, text): (f64, String)| match (weight, text.as_str()) {
            (weight, "") => format!(r"(\:{weight})"),
            (1.0, text) => text.to_owned(),
            (weight, text) => format!("({text}:{weight})"),
        };
        groups.into_iter().map(print).collect()
    }

    #[test]
    fn segments_are_printed() {
        let roundly = |prompt: &str| printed(&parse_attention(prompt));
        assert_eq!(
            roundly("a ((b)) [c BREAK d]"),
            r"a (b:1.2100000000000002) (c\BREAK\d:0.9090909090909091)"
        );
        assert_eq!(roundly(r"a\(b\): B\REAK"), r"a\(b\): BR\EAK");
        assert_eq!(roundly(""), r"(\:1)");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_parsed_back(
            prompt in r"([a-c ()\[\]:.0-9\\]|:1\.5\)|:-2\)| BREAK |BREAK|\PC){0,40}",
        ) {
            let segments = parse_attention(&prompt);
            let printed = printed(&segments);
            prop_assert_eq!(parse_attention(&printed), segments, "{}", printed);
        }

        #[test]
        fn any_prompt_has_finite_weights_and_loses_no_letters(prompt in r"([a-z ()\[\]:.0-9\\]|BREAK|\PC){0,60}") {
            let segments = parse_attention(&prompt);
            prop_assert!(!segments.is_empty());
            let letters = |text: &str| text.chars().filter(char::is_ascii_lowercase).count();
            let mut found = 0;
            for segment in segments {
                if let Segment::Text { text, weight } = segment {
                    prop_assert!(weight.is_finite());
                    found += letters(&text);
                }
            }
            prop_assert_eq!(found, letters(&prompt));
        }
    }
}
