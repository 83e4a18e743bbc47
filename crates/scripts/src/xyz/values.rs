//! Values of an axis as they are written: separated by commas, with quotes where a value has one; numbers also as `1-5`,
//! `1-9 (+2)` and `1-10 [5]`.

use regex::Regex;
use std::sync::LazyLock;

/// From, to, and how: by a step or in so many numbers.
static RANGE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let number = r"([+-]?\s*\d+(?:\.\d*)?)";
    let how = r"(?:\(([+-]\d+(?:\.\d*)?)\s*\)|\[(\d+)\s*\])";
    Regex::new(&format!(r"^\s*{number}\s*-\s*{number}\s*{how}?\s*$")).ok()
});

/// A part of a step by which a range may go beyond its end, for rounding.
const SLACK: f64 = 1e-9;

/// The values of a text. A value that begins with a quote goes on to the next quote; two quotes in it are one.
pub(super) fn separated(text: &str) -> Vec<String> {
    let mut values = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mut rest = line;
        loop {
            let (value, after) = first(rest);
            values.push(value.trim().to_owned());
            match after {
                Some(after) => rest = after,
                None => break,
            }
        }
    }
    values
}

/// The first value of a line, and what stands after its comma.
fn first(line: &str) -> (String, Option<&str>) {
    let line = line.trim_start_matches(' ');
    let Some(quoted) = line.strip_prefix('"') else {
        return match line.split_once(',') {
            Some((value, after)) => (value.to_owned(), Some(after)),
            None => (line.to_owned(), None),
        };
    };
    let mut value = String::new();
    let mut inside = true;
    let mut letters = quoted.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' if inside && letters.next_if(|(_, next)| *next == '"').is_some() => value.push('"'),
            '"' if inside => inside = false,
            ',' if !inside => return (value, Some(&quoted[at + 1..])),
            other => value.push(other),
        }
    }
    (value, None)
}

/// The texts as one, so that [`separated`] gives them back.
pub(super) fn joined(values: &[String]) -> String {
    let quoted = |value: &String| {
        if value.contains([',', '"', '\n', '\r']) || value.starts_with(' ') {
            format!("\"{}\"", value.replace('"', "\"\""))
        } else {
            value.clone()
        }
    };
    values.iter().map(quoted).collect::<Vec<_>>().join(",")
}

/// A written range in its parts.
struct Range {
    first: f64,
    last: f64,
    step: Option<f64>,
    count: Option<usize>,
}

fn range(text: &str) -> Option<Range> {
    let found = RANGE.as_ref()?.captures(text)?;
    let number = |part: usize| -> Option<f64> {
        let digits: String =
            found.get(part)?.as_str().chars().filter(|letter| !letter.is_whitespace()).collect();
        digits.parse().ok()
    };
    Some(Range {
        first: number(1)?,
        last: number(2)?,
        step: number(3),
        count: found.get(4).and_then(|count| count.as_str().parse().ok()),
    })
}

/// The numbers of a text that is one number or a range of them, at most `most`.
fn numbers(text: &str, most: usize) -> Result<Vec<f64>, String> {
    let Some(Range { first, last, step, count }) = range(text) else {
        let number: f64 = text.trim().parse().map_err(|_| format!("{text:?} is no number"))?;
        return if number.is_finite() { Ok(vec![number]) } else { Err(format!("{text:?} is no number")) };
    };
    let count = match (count, step.unwrap_or(1.0)) {
        (Some(count), _) => count,
        (None, 0.0) => return Err(format!("{text:?} goes nowhere: its step is 0")),
        (None, step) => {
            let steps = (last - first) / step;
            if steps < 0.0 { 0 } else { (steps + SLACK) as usize + 1 }
        }
    };
    if count > most {
        return Err(format!("{text:?} are {count} values: at most {most} pictures are made by one request"));
    }
    let counted = text.contains('[');
    let step =
        if counted { (last - first) / count.saturating_sub(1).max(1) as f64 } else { step.unwrap_or(1.0) };
    Ok((0..count).map(|at| step.mul_add(at as f64, first)).collect())
}

/// Numbers of texts, of which each may be a range; at most `most` of one range.
pub(super) fn reals(texts: &[String], most: usize) -> Result<Vec<f64>, String> {
    let texts = texts.iter().filter(|text| !text.trim().is_empty());
    let found: Vec<Vec<f64>> = texts.map(|text| numbers(text, most)).collect::<Result<_, _>>()?;
    Ok(found.concat())
}

/// Whole numbers of texts, likewise. Of so many numbers over a range, fractions are cut off.
pub(super) fn wholes(texts: &[String], most: usize) -> Result<Vec<i64>, String> {
    let mut found = Vec::new();
    for text in texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        if let Ok(number) = text.parse::<i64>() {
            found.push(number);
            continue;
        }
        let whole = |number: f64| number.fract() == 0.0 && number.abs() < 1e15;
        let ends_are_whole = range(text)
            .is_some_and(|range| [range.first, range.last, range.step.unwrap_or(1.0)].into_iter().all(whole));
        if !ends_are_whole {
            return Err(format!("{text:?} is no whole number, nor a range of them"));
        }
        found.extend(numbers(text, most)?.into_iter().map(|number| number as i64));
    }
    Ok(found)
}

/// Every order of some texts, at most `most`.
pub(super) fn orders(texts: &[String], most: usize) -> Result<Vec<Vec<String>>, String> {
    let count = (1..=texts.len()).try_fold(1_usize, usize::checked_mul).unwrap_or(usize::MAX);
    if count > most {
        return Err(format!("{} texts have too many orders: at most {most} pictures are made", texts.len()));
    }
    let mut orders = vec![Vec::new()];
    for _ in texts {
        orders = orders
            .into_iter()
            .flat_map(|begun: Vec<usize>| {
                let more = (0..texts.len()).filter(|at| !begun.contains(at)).collect::<Vec<_>>();
                more.into_iter().map(move |at| [begun.clone(), vec![at]].concat())
            })
            .collect();
    }
    Ok(orders.into_iter().map(|order| order.into_iter().map(|at| texts[at].clone()).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn values_are_separated_by_commas_and_kept_together_by_quotes() {
        for (text, wanted) in [
            ("a, b ,c", "a|b|c"),
            ("\"a, b\", c", "a, b|c"),
            ("\"a \"\"b\"\"\",c", "a \"b\"|c"),
            ("a,,b", "a||b"),
            ("a,", "a|"),
            ("a\n\nb", "a|b"),
            ("\"open, c", "open, c"),
            ("a\"b\"", "a\"b\""),
            ("", ""),
        ] {
            assert_eq!(separated(text).join("|"), wanted, "{text:?}");
        }
    }

    #[test]
    fn numbers_may_be_ranges() {
        let wholes = |text: &str| wholes(&separated(text), 100);
        assert_eq!(wholes("1-5, 9"), Ok(vec![1, 2, 3, 4, 5, 9]));
        assert_eq!(wholes("1-10 (+4), -3"), Ok(vec![1, 5, 9, -3]));
        assert_eq!(wholes("5-1 (-2)"), Ok(vec![5, 3, 1]));
        assert_eq!(wholes("1-10 [5], ,"), Ok(vec![1, 3, 5, 7, 10]));
        assert_eq!(wholes("-2 - +2"), Ok(vec![-2, -1, 0, 1, 2]));
        assert_eq!(wholes("9-1"), Ok(vec![]));
        assert_eq!(wholes("7-7 [1]"), Ok(vec![7]));
        let reals = |text: &str| reals(&separated(text), 100);
        assert_eq!(reals("0-1 (+0.25), 7"), Ok(vec![0.0, 0.25, 0.5, 0.75, 1.0, 7.0]));
        assert_eq!(reals("0-1 (+0.1)").unwrap().len(), 11);
        assert_eq!(reals("0-1 (+0.3)").unwrap().len(), 4);
        assert_eq!(reals("1-2 [3], 1e1"), Ok(vec![1.0, 1.5, 2.0, 10.0]));
    }

    #[test]
    fn what_is_no_number_is_told_and_nothing_grows_without_bound() {
        let told = |text: &str| wholes(&separated(text), 100).unwrap_err();
        assert_eq!(told("1, x"), "\"x\" is no whole number, nor a range of them");
        assert_eq!(told("1.5"), "\"1.5\" is no whole number, nor a range of them");
        assert_eq!(told("1-5 (+0)"), "\"1-5 (+0)\" goes nowhere: its step is 0");
        assert!(told("1-1000000000000").contains("at most 100"));
        assert!(told("1-2 [99999999999]").contains("at most 100"));
        assert!(reals(&texts(&["nan"]), 9).is_err() && reals(&texts(&["1e999"]), 9).is_err());
        assert!(orders(&texts(&["a"; 30]), 256).is_err());
    }

    #[test]
    fn orders_come_as_they_stand() {
        let orders = orders(&texts(&["a", "b", "c"]), 6).unwrap();
        let told: Vec<String> = orders.iter().map(|order| order.concat()).collect();
        assert_eq!(told, ["abc", "acb", "bac", "bca", "cab", "cba"]);
    }

    proptest! {
        #[test]
        fn what_is_joined_is_separated_again(values in proptest::collection::vec("[a-c,\"]{1,5}", 1..4)) {
            prop_assert_eq!(separated(&joined(&values)), values);
        }

        #[test]
        fn any_text_is_read(text in "(?s).{0,60}") {
            let values = separated(&text);
            let _ = (reals(&values, 50), wholes(&values, 50));
        }
    }
}
