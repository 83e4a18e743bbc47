//! Styles: texts with a name that are merged into prompts, and the CSV file they are kept in, which is A1111's.
//!
//! The file is read as Python's `csv` module does with `skipinitialspace`: spaces before a value do not count, even before
//! a quoted one, which makes it no CSV that other readers know. Where the file lies, and who may change it, is not decided
//! here.

use crate::RequestError;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;

/// Marks the place of the prompt in a style's text.
const PLACE: &str = "{prompt}";
/// Excel's sign that a file is UTF-8. A1111 writes it, and reads files with and without.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A style.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Style {
    /// What requests call it.
    pub name: String,
    /// What it makes of the prompt: replaces `{prompt}` in it, or is added after a comma.
    pub prompt: String,
    /// The same for the negative prompt.
    pub negative_prompt: String,
}

impl Style {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.prompt.is_empty() && self.negative_prompt.is_empty()
    }
}

/// A style file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StylesError {
    /// Not text.
    #[error("not a styles file: {0}; save it as UTF-8")]
    NotText(#[from] std::str::Utf8Error),
    /// The first line does not name the columns.
    #[error(
        "not a styles file: its first line is {0:?}, wanted are the columns name, prompt and negative_prompt"
    )]
    NoColumns(String),
}

/// The styles of a CSV file with the columns `name`, `prompt` (`text` in old files) and `negative_prompt`, in any order.
/// Lines whose name begins with `#` are comments. An empty file has no styles; of two with one name, the last counts.
pub fn parse_styles(file: &[u8]) -> Result<Vec<Style>, StylesError> {
    let text = std::str::from_utf8(file)?;
    let mut records = Records(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).chars().peekable());
    let Some(columns) = records.next() else { return Ok(Vec::new()) };
    let column = |name: &str| columns.iter().position(|column| column == name);
    let (Some(name), Some(prompt)) = (column("name"), column("prompt").or_else(|| column("text"))) else {
        return Err(StylesError::NoColumns(columns.join(",")));
    };
    let negative_prompt = column("negative_prompt");
    let mut styles: Vec<Style> = Vec::new();
    let mut places = HashMap::new();
    for mut record in records {
        let mut value = |column: usize| record.get_mut(column).map(std::mem::take).unwrap_or_default();
        let style = Style {
            name: value(name),
            prompt: value(prompt),
            negative_prompt: negative_prompt.map(&mut value).unwrap_or_default(),
        };
        if style.name.starts_with('#') {
            continue;
        }
        if let Some(&place) = places.get(&style.name) {
            styles[place] = style;
        } else {
            places.insert(style.name.clone(), styles.len());
            styles.push(style);
        }
    }
    Ok(styles)
}

/// The records of a CSV text that are not empty.
struct Records<'a>(Peekable<Chars<'a>>);

impl Iterator for Records<'_> {
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        while self.0.next_if(|&c| matches!(c, '\r' | '\n')).is_some() {}
        self.0.peek()?;
        let mut record = Vec::new();
        loop {
            record.push(self.field());
            if self.0.next() != Some(',') {
                return Some(record);
            }
        }
    }
}

impl Records<'_> {
    /// The next value, up to the comma or the end of the line after it.
    fn field(&mut self) -> String {
        while self.0.next_if_eq(&' ').is_some() {}
        let mut value = String::new();
        let mut quoted = self.0.next_if_eq(&'"').is_some();
        while let Some(&c) = self.0.peek() {
            if !quoted && matches!(c, ',' | '\r' | '\n') {
                break;
            }
            self.0.next();
            if quoted && c == '"' && self.0.next_if_eq(&'"').is_none() {
                // What stands between here and the comma still belongs to the value.
                quoted = false;
            } else {
                value.push(c);
            }
        }
        value
    }
}

/// A CSV file of styles, as A1111 writes it.
pub fn write_styles(styles: &[Style]) -> String {
    let mut file = format!("{BYTE_ORDER_MARK}name,prompt,negative_prompt\r\n");
    for style in styles {
        file.push_str(&csv_line(&[&style.name, &style.prompt, &style.negative_prompt]));
    }
    file
}

/// A line of a CSV file, with its end.
pub fn csv_line(values: &[&str]) -> String {
    let values: Vec<String> = values.iter().map(|value| quote(value)).collect();
    format!("{}\r\n", values.join(","))
}

/// A value, in quotes where it would be misread without.
fn quote(value: &str) -> String {
    if value.contains([',', '"', '\r', '\n']) || value.starts_with(' ') {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

/// What the styles' texts, in order, make of the prompt in `field`: one with `{prompt}` in it takes the prompt in there,
/// any other follows after a comma. An error if that has more than `most` bytes.
pub fn merge_styles<'a>(
    prompt: &str,
    texts: impl IntoIterator<Item = &'a str>,
    most: usize,
    field: &'static str,
) -> Result<String, RequestError> {
    let check = |length: usize| {
        let problem = || format!("bytes with styles are out of range: allowed are 0 to {most}");
        let refuse = || RequestError { field, value: length.to_string(), problem: problem() };
        if length > most { Err(refuse()) } else { Ok(()) }
    };
    check(prompt.len())?;
    let mut merged = prompt.to_owned();
    for text in texts {
        let places = text.matches(PLACE).count();
        let around = text.len() - places * PLACE.len();
        check(around.saturating_add(merged.len().saturating_mul(places.max(1))))?;
        merged = if places > 0 {
            text.replace(PLACE, &merged)
        } else {
            let parts = [merged.trim(), text.trim()].into_iter().filter(|part| !part.is_empty());
            parts.collect::<Vec<_>>().join(", ")
        };
    }
    Ok(merged)
}

/// The prompt as it was before a style's text was applied; nothing if it does not show it. One that is empty is everywhere.
pub(crate) fn without_style(prompt: &str, text: &str) -> Option<String> {
    let (prompt, text) = (prompt.trim(), text.trim());
    if let Some((before, after)) = text.split_once(PLACE) {
        return Some(prompt.strip_prefix(before)?.strip_suffix(after)?.to_owned());
    }
    let before = prompt.strip_suffix(text)?;
    // A text of its own was joined by a comma.
    let joined = text.is_empty() || before.is_empty();
    if joined { Some(before.to_owned()) } else { before.strip_suffix(", ").map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn style(name: &str, prompt: &str, negative_prompt: &str) -> Style {
        Style { name: name.into(), prompt: prompt.into(), negative_prompt: negative_prompt.into() }
    }

    #[test]
    fn reads_what_a1111_writes() {
        let file = "\u{feff}name,prompt,negative_prompt\r\nPhoto,\"photo of {prompt}, \"\"35 mm\"\"\",blurry\r\n\
                    # divider,,\r\n\r\nOil,\"oil\nlines\",\r\n";
        let wanted =
            [style("Photo", "photo of {prompt}, \"35 mm\"", "blurry"), style("Oil", "oil\nlines", "")];
        assert_eq!(parse_styles(file.as_bytes()).unwrap(), wanted);
        assert!(parse_styles(write_styles(&wanted).as_bytes()).unwrap() == wanted);
        assert_eq!(
            write_styles(&wanted[..1]),
            "\u{feff}name,prompt,negative_prompt\r\nPhoto,\"photo of {prompt}, \"\"35 mm\"\"\",blurry\r\n"
        );
    }

    #[test]
    fn reads_what_people_write() {
        let read = |file: &str| parse_styles(file.as_bytes()).unwrap();
        assert_eq!(read("name,prompt\nA, \"b, c\""), [style("A", "b, c", "")], "spaces before quotes");
        assert_eq!(read("name,text\nA,b"), [style("A", "b", "")], "columns of old files");
        assert_eq!(
            read("negative_prompt, name, prompt, more\nn,A,p,x,y\nm"),
            [style("A", "p", "n"), style("", "", "m")]
        );
        assert_eq!(read("name,prompt\nA,1\nB,2\nA,3"), [style("A", "3", ""), style("B", "2", "")]);
        assert_eq!(
            read("name,prompt\nA,b \"c\" d\nB,\"open"),
            [style("A", "b \"c\" d", ""), style("B", "open", "")]
        );
        assert_eq!(
            (read(""), read("\u{feff}"), read("name,prompt,negative_prompt\r\n")),
            (vec![], vec![], vec![])
        );
    }

    #[test]
    fn refuses_what_is_no_table_of_styles() {
        let refusal = |file: &[u8]| parse_styles(file).unwrap_err().to_string();
        assert_eq!(
            refusal(b"title,prompt\nA,b"),
            "not a styles file: its first line is \"title,prompt\", wanted are the columns name, prompt and negative_prompt"
        );
        assert!(refusal(b"name,prompt\n\xff").ends_with("; save it as UTF-8"));
    }

    #[test]
    fn styles_are_merged_in_order() {
        let merged = |prompt: &str, texts: &[&str]| {
            merge_styles(prompt, texts.iter().copied(), 1000, "prompt").unwrap()
        };
        assert_eq!(merged(" a cat ", &[]), " a cat ");
        assert_eq!(merged(" a cat ", &["oil painting "]), "a cat, oil painting");
        assert_eq!(merged("a cat", &["photo of {prompt}, 35 mm", "blue"]), "photo of a cat, 35 mm, blue");
        assert_eq!(merged("a cat", &["blue", "photo of {prompt}"]), "photo of a cat, blue");
        assert_eq!(merged("", &["oil", "", " "]), "oil");
        assert_eq!(merged(" a cat ", &[""]), "a cat", "as for an unknown style");
        assert_eq!(merged("x", &["{prompt}{prompt}"]), "xx");
    }

    #[test]
    fn styles_that_double_the_prompt_end_somewhere() {
        let error = merge_styles("ab", ["{prompt}{prompt}"; 100], 1000, "negative_prompt").unwrap_err();
        assert_eq!(
            error.to_string(),
            "negative_prompt 1024 bytes with styles are out of range: allowed are 0 to 1000"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(rows in proptest::collection::vec("[a-z ,\"#\r\n\u{e9}]{0,9}", 9)) {
            let styles: Vec<Style> = rows
                .chunks(3)
                .enumerate()
                .map(|(number, row)| style(&format!("{number}{}", row[0]), &row[1], &row[2]))
                .collect();
            prop_assert_eq!(parse_styles(write_styles(&styles).as_bytes()).unwrap(), styles);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(name,prompt\n)?[a,\"\r\n #]{0,60}") {
            if let Ok(styles) = parse_styles(text.as_bytes()) {
                prop_assert!(styles.iter().all(|style| !style.name.starts_with('#')));
            }
        }
    }
}
