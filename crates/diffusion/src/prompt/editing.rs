//! `[from:to:when]` and `[this|that]`: a prompt whose text changes while the picture is made.
//!
//! A group in square brackets is one of the two if what stands in it is well formed, with all its brackets in pairs; any
//! other bracket is text, which the attention grammar reads. As in A1111, a `|` that belongs to no group, or a backslash
//! before nothing, leaves the whole prompt as it is. One pass finds the groups, and another writes the text of a step, so
//! that time is linear and nesting costs no stack.

use super::is_space;
use impasto_domain::RequestError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// Most bytes of text that a prompt may stand for, over all steps at which it changes. A bound on work: what would be
/// tokenized beyond it fills more chunks than are allowed, or is white space.
const MAX_BYTES: usize = 1 << 23;

/// What the numbers of a schedule count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeline {
    /// Calls of the model in this pass, as the sampler counts them: twice the steps if it is of second order.
    pub calls: u32,
    /// The calls of the pass before, if this is the second.
    pub before: Option<u32>,
    /// Whether numbers mean what they did before A1111 1.6: see [`impasto_domain::PromptRules::old_scheduling`].
    pub old: bool,
}

impl Timeline {
    /// Calls in this pass; the old rules repeat those of the first.
    fn calls(self) -> u32 {
        self.before.filter(|_| self.old).unwrap_or(self.calls)
    }

    /// The last call at which `from` holds, counted from 1; 0 if it never does.
    fn last_call(self, when: &str) -> Option<u32> {
        let is_number = |byte: u8| byte.is_ascii_digit() || b".+-eE".contains(&byte);
        let value: f64 = when.parse().ok().filter(|_| when.bytes().all(is_number))?;
        let calls = f64::from(self.calls());
        let before = f64::from(self.before.unwrap_or(0));
        let last = match (self.old, when.contains('.')) {
            (true, _) if value < 1.0 => value * calls,
            (true, _) => value,
            // The first pass ends at 1.0, which is where the second begins.
            (false, true) => (value - if self.before.is_some() { 1.0 } else { 0.0 }) * calls,
            (false, false) => value - before,
        };
        Some(last.clamp(0.0, calls) as u32)
    }
}

/// The texts of a prompt over a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextSchedule {
    /// The texts, each once, in the order in which they come.
    pub texts: Vec<String>,
    /// Which of them holds when, in order, without gaps. There is at least one.
    pub spans: Vec<TextSpan>,
}

/// A text and when it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextSpan {
    /// The last call at which it holds, counted from 1.
    pub until: u32,
    /// Its place among the texts.
    pub text: usize,
}

impl TextSchedule {
    /// The texts of the prompt in `field`. An error if there is too much of them.
    pub fn of(prompt: &str, timeline: Timeline, field: &'static str) -> Result<Self, RequestError> {
        let calls = timeline.calls();
        let groups = groups_of(prompt, timeline).unwrap_or_default();
        let ends: BTreeSet<u32> = if groups.iter().any(|group| matches!(group.kind, Kind::Alternate { .. })) {
            (1..=calls).collect()
        } else {
            let last_calls = groups.iter().filter_map(|group| match group.kind {
                Kind::Scheduled { last_call, .. } => Some(last_call),
                Kind::Alternate { .. } => None,
            });
            last_calls.filter(|&last_call| last_call > 0).chain([calls]).collect()
        };
        if ends.len() > 1 && prompt.len() > MAX_BYTES / ends.len() {
            return Err(RequestError {
                field,
                value: format!("of {} bytes that changes at {} steps", prompt.len(), ends.len() - 1),
                problem: format!("is out of range: allowed are {MAX_BYTES} bytes in all"),
            });
        }
        let mut schedule = Self { texts: Vec::new(), spans: Vec::with_capacity(ends.len()) };
        let mut known = HashMap::new();
        for until in ends {
            let text = text_at(prompt, &groups, until);
            let place = *known.entry(text).or_insert_with_key(|text| {
                schedule.texts.push(text.clone());
                schedule.texts.len() - 1
            });
            schedule.spans.push(TextSpan { until, text: place });
        }
        Ok(schedule)
    }
}

/// A group whose text depends on the step. Ranges are bytes of the prompt.
#[derive(Debug)]
struct Group {
    /// With its brackets.
    span: Range<usize>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// `before` up to that call, then `after`.
    Scheduled { before: Range<usize>, after: Range<usize>, last_call: u32 },
    /// One after the other, call by call.
    Alternate { choices: Vec<Range<usize>> },
}

impl Group {
    fn choice(&self, call: u32) -> Range<usize> {
        match &self.kind {
            Kind::Scheduled { before, last_call, .. } if call <= *last_call => before.clone(),
            Kind::Scheduled { after, .. } => after.clone(),
            Kind::Alternate { choices } => choices[(call.max(1) - 1) as usize % choices.len()].clone(),
        }
    }
}

/// The text at a call, counted from 1. What is chosen lies further on in the prompt than what was chosen before, so that
/// the groups are gone through once.
fn text_at(prompt: &str, groups: &[Group], call: u32) -> String {
    let mut text = String::new();
    // What is still to be written, the next one last.
    let whole = 0..prompt.len();
    let mut ranges = vec![whole];
    let mut groups = groups.iter().peekable();
    while let Some(range) = ranges.pop() {
        while groups.next_if(|group| group.span.start < range.start).is_some() {}
        if let Some(group) = groups.next_if(|group| group.span.start < range.end) {
            text.push_str(&prompt[range.start..group.span.start]);
            ranges.push(group.span.end..range.end);
            ranges.push(group.choice(call));
        } else {
            text.push_str(&prompt[range]);
        }
    }
    text
}

/// A bracket that is open, and what stands right in it.
struct Open {
    at: usize,
    is_square: bool,
    colons: Vec<usize>,
    bars: Vec<usize>,
}

/// The groups of a prompt, in their order; `None` if it is to be left as it is.
fn groups_of(prompt: &str, timeline: Timeline) -> Option<Vec<Group>> {
    let mut groups = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut characters = prompt.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => {
                characters.next().filter(|(_, escaped)| *escaped != '\n')?;
            }
            '[' | '(' => {
                open.push(Open { at, is_square: character == '[', colons: Vec::new(), bars: Vec::new() });
            }
            ':' => open.last_mut().into_iter().for_each(|open| open.colons.push(at)),
            '|' => open.last_mut()?.bars.push(at),
            ']' | ')' => match open.pop().map(|open| open.close(at, character == ']', prompt, timeline)) {
                Some(Closed::Group(group)) => groups.push(group),
                Some(Closed::Emphasis) | None => {}
                Some(Closed::Text) => forget(&mut open)?,
                Some(Closed::Nonsense) => return None,
            },
            _ => {}
        }
    }
    forget(&mut open)?;
    groups.sort_unstable_by_key(|group| group.span.start);
    Some(groups)
}

/// Brackets around one that is text are text, too; `None` if a `|` stands right in one of them.
fn forget(open: &mut Vec<Open>) -> Option<()> {
    open.drain(..).all(|open| open.bars.is_empty()).then_some(())
}

/// What a pair of brackets turned out to be.
enum Closed {
    Group(Group),
    /// More or less weight: left to the attention grammar, but well formed.
    Emphasis,
    /// Two brackets that mean nothing here.
    Text,
    /// A `|` where none can be.
    Nonsense,
}

impl Open {
    fn close(self, end: usize, is_square: bool, prompt: &str, timeline: Timeline) -> Closed {
        let span = self.at..end + 1;
        let begin = self.at + 1;
        if !self.bars.is_empty() {
            if !(is_square && self.is_square && self.colons.is_empty()) {
                return Closed::Nonsense;
            }
            let begins = [begin].into_iter().chain(self.bars.iter().map(|bar| bar + 1));
            let ends = self.bars.iter().copied().chain([end]);
            let choices = begins.zip(ends).map(|(begin, end)| begin..end).collect();
            return Closed::Group(Group { span, kind: Kind::Alternate { choices } });
        }
        let (before, after) = match (self.is_square, is_square, &self.colons[..]) {
            (true, true, []) | (false, false, [] | [_]) => return Closed::Emphasis,
            (true, true, &[second]) => (begin..begin, begin..second),
            (true, true, &[first, second]) => (begin..first, first + 1..second),
            _ => return Closed::Text,
        };
        let when = prompt[after.end + 1..end].trim_matches(is_space);
        match timeline.last_call(when) {
            Some(last_call) => {
                Closed::Group(Group { span, kind: Kind::Scheduled { before, after, last_call } })
            }
            None => Closed::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEN: Timeline = Timeline { calls: 10, before: None, old: false };
    const SECOND: Timeline = Timeline { before: Some(10), ..TEN };

    /// Ends and texts.
    fn schedule(prompt: &str, timeline: Timeline) -> Vec<(u32, String)> {
        let schedule = TextSchedule::of(prompt, timeline, "prompt").unwrap();
        schedule.spans.iter().map(|span| (span.until, schedule.texts[span.text].clone())).collect()
    }

    fn check(timeline: Timeline, cases: &[(&str, &[(u32, &str)])]) {
        for (prompt, wanted) in cases {
            let wanted: Vec<_> = wanted.iter().map(|&(until, text)| (until, text.to_owned())).collect();
            assert_eq!(schedule(prompt, timeline), wanted, "{prompt:?}");
        }
    }

    #[test]
    fn schedules_are_a1111s() {
        check(
            TEN,
            &[
                ("test", &[(10, "test")]),
                ("a [b:3]", &[(3, "a "), (10, "a b")]),
                ("a [b: 3]", &[(3, "a "), (10, "a b")]),
                ("a [[[b]]:2]", &[(2, "a "), (10, "a [[b]]")]),
                ("[(a:2):3]", &[(3, ""), (10, "(a:2)")]),
                ("a [b : c : 1] d", &[(1, "a b  d"), (10, "a  c  d")]),
                ("a[b:[c:d:2]:1]e", &[(1, "abe"), (2, "ace"), (10, "ade")]),
                ("a [unbalanced", &[(10, "a [unbalanced")]),
                ("a [b:.5] c", &[(5, "a  c"), (10, "a b c")]),
                ("a [{b|d{:.5] c", &[(10, "a [{b|d{:.5] c")]),
                ("((a][:b:c [d:3]", &[(3, "((a][:b:c "), (10, "((a][:b:c d")]),
                (
                    "[a|(b:1.1)]",
                    &[
                        (1, "a"),
                        (2, "(b:1.1)"),
                        (3, "a"),
                        (4, "(b:1.1)"),
                        (5, "a"),
                        (6, "(b:1.1)"),
                        (7, "a"),
                        (8, "(b:1.1)"),
                        (9, "a"),
                        (10, "(b:1.1)"),
                    ],
                ),
                ("[a:b|c:0.5]", &[(10, "[a:b|c:0.5]")]),
                ("[a::4]", &[(4, "a"), (10, "")]),
                ("[::4][:5]", &[(4, ""), (5, ""), (10, "")]),
            ],
        );
        check(
            SECOND,
            &[
                ("a [b:.5] c", &[(10, "a b c")]),
                ("a [b:1.5] c", &[(5, "a  c"), (10, "a b c")]),
                ("a [b:14] c", &[(4, "a  c"), (10, "a b c")]),
            ],
        );
    }

    #[test]
    fn items_of_an_alternation_may_be_empty() {
        let texts: Vec<_> = schedule("[fe|]male", TEN).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts[..4], ["female", "male", "female", "male"]);
        let three = schedule("[|a|b]", Timeline { calls: 4, ..TEN });
        assert_eq!(three.into_iter().map(|(_, text)| text).collect::<String>(), "ab");
    }

    #[test]
    fn numbers_are_shares_with_a_point_and_steps_without() {
        for (when, last_call) in [
            ("1", 1),
            ("1.0", 10),
            ("1.5", 10),
            ("0.29", 2),
            ("99", 10),
            ("0", 0),
            ("-3", 0),
            ("-.5", 0),
            ("+2", 2),
            ("1e1", 10),
            ("5e-1", 0),
            ("1.e-1", 1),
            ("9e999", 10),
        ] {
            assert_eq!(TEN.last_call(when), Some(last_call), "{when}");
        }
        for word in ["", "b", "1 2", "inf", "nan", "1,5", "0x1", "--1", "e1"] {
            assert_eq!(TEN.last_call(word), None, "{word}");
        }
        check(TEN, &[("[a:b:0]", &[(10, "b")]), ("[a:b:-1]", &[(10, "b")]), ("[a:b:99]", &[(10, "a")])]);
    }

    #[test]
    fn old_numbers_are_shares_below_one() {
        let old = Timeline { old: true, ..TEN };
        for (when, last_call) in
            [("1.0", 1), ("1.9", 1), ("0.5", 5), (".99", 9), ("3", 3), ("0", 0), ("-.5", 0)]
        {
            assert_eq!(old.last_call(when), Some(last_call), "{when}");
        }
        let second = Timeline { calls: 7, before: Some(10), old: true };
        assert_eq!(
            schedule("[a:b:.5]", second),
            schedule("[a:b:.5]", old),
            "a second pass repeats the first"
        );
    }

    #[test]
    fn what_is_not_well_formed_is_text() {
        check(
            TEN,
            &[
                ("[a:b]", &[(10, "[a:b]")]),
                ("[[a:b]:c:3]", &[(10, "[[a:b]:c:3]")]),
                ("[(a:b:c):d:3]", &[(10, "[(a:b:c):d:3]")]),
                ("[a:b:c:3]", &[(10, "[a:b:c:3]")]),
                ("[a (b:3]", &[(10, "[a (b:3]")]),
                ("[a (b:3] [c:3]", &[(3, "[a (b:3] "), (10, "[a (b:3] c")]),
                ("([a:3]", &[(3, "("), (10, "(a")]),
                ("[x ([a:3]]", &[(3, "[x (]"), (10, "[x (a]")]),
                ("a: [b:3]: c", &[(3, "a: : c"), (10, "a: b: c")]),
                (r"[a\:b:3]", &[(3, ""), (10, r"a\:b")]),
                (r"\[a:b:3\]", &[(10, r"\[a:b:3\]")]),
            ],
        );
    }

    /// A1111 parses the whole prompt or nothing of it.
    #[test]
    fn a_stray_bar_or_backslash_leaves_the_whole_prompt_as_it_is() {
        for stray in ["|", "(b|c)", "[b|c", "[b|(c]", "[[b:c]|d]", "[b|c:d]", "\\", "\\\nb", "(x|[y:2])"] {
            let prompt = format!("[a:3] {stray}");
            assert_eq!(schedule(&prompt, TEN), [(10, prompt.clone())]);
        }
        assert_eq!(schedule("[a:3] \\|", TEN).len(), 2, "escaped, it is text");
    }

    #[test]
    fn equal_texts_are_one() {
        let thousand = Timeline { calls: 1000, ..TEN };
        let schedule = TextSchedule::of("[a|b|a]", thousand, "prompt").unwrap();
        assert_eq!((schedule.texts.len(), schedule.spans.len()), (2, 1000));
        assert_eq!(TextSchedule::of("[a:a:3]", TEN, "prompt").unwrap().texts, ["a"]);
    }

    #[test]
    fn hostile_schedules_take_linear_time_and_no_stack() {
        let thousand = Timeline { calls: 1000, ..TEN };
        let size = 1 << 20;
        let begun = std::time::Instant::now();
        for unit in
            ["[", "(", "[a:", "[a|", "[:", "[|", "]", ")", "[a:b:1]", "[(", "([", ":", "\\", "[a|b]", "[:1]"]
        {
            let _ = TextSchedule::of(&unit.repeat(size / unit.len()), thousand, "prompt");
        }
        let nested = |open: &str, close: &str, count: usize| open.repeat(count) + &close.repeat(count);
        for (open, close) in
            [("[", ":3]"), ("[a:", ":3]"), ("[a|", "]"), ("(", ")"), ("[", "]"), ("[|", "|]")]
        {
            let _ = TextSchedule::of(&nested(open, close, size / 8), thousand, "prompt");
            assert!(TextSchedule::of(&nested(open, close, 1000), thousand, "prompt").is_ok());
        }
        assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    }

    #[test]
    fn texts_without_end_are_refused() {
        let prompt = format!("[a|b]{}", " ".repeat(MAX_BYTES / 1000));
        let thousand = Timeline { calls: 1000, ..TEN };
        assert_eq!(
            TextSchedule::of(&prompt, thousand, "negative_prompt").unwrap_err().to_string(),
            "negative_prompt of 8393 bytes that changes at 999 steps is out of range: allowed are 8388608 bytes in all"
        );
        assert!(
            TextSchedule::of(&" ".repeat(MAX_BYTES + 1), thousand, "prompt").is_ok(),
            "it does not change"
        );
    }

    proptest! {
        #[test]
        fn any_prompt_has_a_text_at_every_step(
            prompt in r"([a-c \[\]|:():.1-9\\]|\[a:b:3\]|\[c\|d\]|:\.5\]|\PC){0,40}",
            calls in 1..40u32,
        ) {
            let timeline = Timeline { calls, ..TEN };
            let schedule = TextSchedule::of(&prompt, timeline, "prompt").unwrap();
            prop_assert!(schedule.spans.windows(2).all(|pair| pair[0].until < pair[1].until));
            prop_assert_eq!(schedule.spans.last().unwrap().until, calls);
            // A text is the prompt with something left out.
            for text in &schedule.texts {
                let mut rest = prompt.chars();
                prop_assert!(text.chars().all(|c| rest.any(|other| other == c)), "{text:?}");
            }
        }
    }
}
