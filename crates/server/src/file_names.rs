//! Names of files and folders from A1111's patterns, such as `[seed]-[prompt_words]`.
//!
//! What a pattern brings into a name comes from clients. It cannot leave its folder: separators and other characters that
//! file systems mind become underscores, and names are cut off.

use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use time::OffsetDateTime;

/// Characters that no file name gets.
const FORBIDDEN: &str = "#<>:\"/\\|?*\n\r\t";
/// Characters of a value within a name.
const LONGEST: usize = 128;
/// Bytes of a name, below what file systems take, with room for a number and an ending.
const LONGEST_NAME: usize = 220;
/// Digits of hashes where a pattern does not say.
const DIGITS: usize = 8;
/// Most levels of folders that a pattern may make.
const MOST_FOLDERS: usize = 8;

/// What a pattern can name of a picture.
#[derive(Debug, Clone)]
pub(crate) struct Facts<'a> {
    /// Seed of this picture, of the batch's first and of its last.
    pub(crate) seeds: [u64; 3],
    pub(crate) steps: u32,
    pub(crate) cfg_scale: String,
    pub(crate) size: (u32, u32),
    pub(crate) styles: &'a [String],
    pub(crate) sampler: &'a str,
    pub(crate) scheduler: &'a str,
    pub(crate) model_hash: &'a str,
    pub(crate) model_name: &'a str,
    pub(crate) vae: &'a str,
    pub(crate) prompt: &'a str,
    pub(crate) negative_prompt: &'a str,
    pub(crate) clip_skip: u32,
    /// Where there is one.
    pub(crate) denoising_strength: Option<f64>,
    /// Place within the batch, from 0, and pictures of a batch.
    pub(crate) place: (u32, u32),
    /// Place within the job, from 0, and pictures of the job.
    pub(crate) number: (u32, u32),
    /// When the job began.
    pub(crate) began: OffsetDateTime,
    pub(crate) now: OffsetDateTime,
    /// Words that `[prompt_words]` takes at most.
    pub(crate) most_words: usize,
}

/// What a name in brackets stands for.
enum Value {
    Text(String),
    /// Nothing, and what stands before it goes too.
    Skip,
}

/// A file's name, without number and ending.
pub(crate) fn file_name(pattern: &str, facts: &Facts<'_>) -> String {
    let name = expand(pattern, facts).replace(['/', '\\'], "_");
    cut(name.trim_matches([' ', '.']), LONGEST_NAME).to_owned()
}

/// A folder below that of all pictures: the names of its levels.
pub(crate) fn folders(pattern: &str, facts: &Facts<'_>) -> Vec<String> {
    let path = expand(pattern, facts);
    let levels = path.split(['/', '\\']).map(|level| cut(level.trim_matches([' ', '.']), LONGEST_NAME));
    levels.filter(|level| !level.is_empty()).take(MOST_FOLDERS).map(str::to_owned).collect()
}

/// The pattern with what is in brackets replaced. Slashes of the pattern itself stay, those of values do not.
fn expand(pattern: &str, facts: &Facts<'_>) -> String {
    let mut name = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((inside, after)) = after.split_once(']') else { break };
        rest = after;
        match facts.value(inside) {
            Some(Value::Text(text)) => {
                push_plain(&mut name, before);
                name.push_str(&text);
            }
            Some(Value::Skip) => {}
            None => {
                push_plain(&mut name, before);
                push_plain(&mut name, &format!("[{inside}]"));
            }
        }
    }
    push_plain(&mut name, rest);
    name
}

fn push_plain(name: &mut String, text: &str) {
    name.extend(text.chars().map(|c| if c != '/' && c != '\\' && is_bad(c) { '_' } else { c }));
}

fn is_bad(c: char) -> bool {
    FORBIDDEN.contains(c) || c.is_control()
}

/// A value as part of a name.
fn part(text: &str, keep_spaces: bool) -> String {
    let plain = |c: char| if is_bad(c) || (c == ' ' && !keep_spaces) { '_' } else { c };
    let text: String = text.trim_start_matches(' ').chars().map(plain).take(LONGEST).collect();
    text.trim_end_matches([' ', '.']).to_owned()
}

/// The longest start of `text` of at most `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn hash(text: &str, digits: Option<&str>) -> String {
    let digits = digits.and_then(|digits| digits.parse().ok()).filter(|&digits| digits > 0).unwrap_or(DIGITS);
    let mut hex = String::new();
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a text never fails.
        let _ = write!(hex, "{byte:02x}");
    }
    hex.truncate(digits);
    hex
}

impl Facts<'_> {
    /// What a name stands for, with arguments in angle brackets after it; `None` if there is no such name.
    fn value(&self, inside: &str) -> Option<Value> {
        let (name, arguments) = inside.split_once('<').unwrap_or((inside, ""));
        let arguments: Vec<&str> = arguments.split('<').map(|part| part.trim_end_matches('>')).collect();
        let first = arguments.first().copied().filter(|argument| !argument.is_empty());
        let several = |count: u32, value: u64| {
            if count > 1 { Value::Text(value.to_string()) } else { Value::Skip }
        };
        let [seed, seed_first, seed_last] = self.seeds;
        let text = match name.to_lowercase().as_str() {
            "basename" => "img".to_owned(),
            "seed" => seed.to_string(),
            "seed_first" => seed_first.to_string(),
            "seed_last" => return Some(several(self.place.1, seed_last)),
            "steps" => self.steps.to_string(),
            "cfg" => self.cfg_scale.clone(),
            "width" => self.size.0.to_string(),
            "height" => self.size.1.to_string(),
            "styles" if self.styles.is_empty() => "None".to_owned(),
            "styles" => part(&self.styles.join(", "), true),
            "sampler" => part(self.sampler, true),
            "sampler_scheduler" if self.scheduler == "Automatic" => part(self.sampler, true),
            "sampler_scheduler" => part(&format!("{} {}", self.sampler, self.scheduler), true),
            "scheduler" => part(self.scheduler, true),
            "model_hash" => self.model_hash.to_owned(),
            "model_name" => part(self.model_name, true),
            "date" => crate::clock::date(self.now),
            "datetime" => part(&datetime(self.now, first), true),
            "job_timestamp" => crate::clock::timestamp(self.began),
            "prompt_hash" => hash(self.prompt, first),
            "negative_prompt_hash" => hash(self.negative_prompt, first),
            "full_prompt_hash" => hash(&format!("{} {}", self.prompt, self.negative_prompt), first),
            "prompt" | "prompt_no_styles" => part(self.prompt, false),
            "prompt_spaces" => part(self.prompt, true),
            "prompt_words" => part(&self.words(), true),
            "batch_number" => return Some(several(self.place.1, u64::from(self.place.0) + 1)),
            "batch_size" => self.place.1.to_string(),
            "generation_number" => return Some(several(self.number.1, u64::from(self.number.0) + 1)),
            "hasprompt" => self.words_found(&arguments),
            "clip_skip" => self.clip_skip.to_string(),
            "denoising" => match self.denoising_strength.filter(|&strength| strength != 0.0) {
                Some(strength) => strength.to_string(),
                None => return Some(Value::Skip),
            },
            "vae_filename" => part(self.vae, true),
            "user" | "none" => String::new(),
            _ => return None,
        };
        Some(Value::Text(text))
    }

    /// The first words of the prompt.
    fn words(&self) -> String {
        let words = self.prompt.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '-'));
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).take(self.most_words).collect();
        if words.is_empty() { "empty".to_owned() } else { words.join(" ") }
    }

    /// Of each argument `word|else` the word if the prompt has it, or else what stands after the bar.
    fn words_found(&self, arguments: &[&str]) -> String {
        let prompt = self.prompt.to_lowercase();
        let found = arguments.iter().filter(|argument| !argument.is_empty()).map(|argument| {
            let (word, otherwise) = argument.split_once('|').unwrap_or((argument, ""));
            if prompt.contains(&word.to_lowercase()) { word } else { otherwise }
        });
        part(&found.collect::<String>(), true)
    }
}

/// A moment by the letters of C's `strftime` that are of use in names; others stay as they are.
fn datetime(moment: OffsetDateTime, format: Option<&str>) -> String {
    let Some(format) = format else { return crate::clock::timestamp(moment) };
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        let Some(letter) = letters.next() else {
            text.push('%');
            break;
        };
        // Writing to a text never fails.
        let _ = match letter {
            'Y' => write!(text, "{}", moment.year()),
            'y' => write!(text, "{:02}", moment.year().rem_euclid(100)),
            'm' => write!(text, "{:02}", u8::from(moment.month())),
            'd' => write!(text, "{:02}", moment.day()),
            'H' => write!(text, "{:02}", moment.hour()),
            'I' => write!(text, "{:02}", (moment.hour() + 11) % 12 + 1),
            'M' => write!(text, "{:02}", moment.minute()),
            'S' => write!(text, "{:02}", moment.second()),
            'f' => write!(text, "{:06}", moment.microsecond()),
            'j' => write!(text, "{:03}", moment.ordinal()),
            'b' => write!(text, "{:.3}", moment.month().to_string()),
            'B' => write!(text, "{}", moment.month()),
            'a' => write!(text, "{:.3}", moment.weekday().to_string()),
            'A' => write!(text, "{}", moment.weekday()),
            'p' => write!(text, "{}", if moment.hour() < 12 { "AM" } else { "PM" }),
            '%' => write!(text, "%"),
            other => write!(text, "%{other}"),
        };
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use time::macros::datetime;

    /// What is known of some picture.
    pub(crate) fn facts() -> Facts<'static> {
        Facts {
            seeds: [8, 7, 9],
            steps: 20,
            cfg_scale: "7.0".to_owned(),
            size: (512, 768),
            styles: &[],
            sampler: "DPM++ 2M",
            scheduler: "Karras",
            model_hash: "0123456789",
            model_name: "v1-5",
            vae: "NoneType",
            prompt: "a cat, it's/so \\ good: ../../etc",
            negative_prompt: "dog",
            clip_skip: 1,
            denoising_strength: None,
            place: (1, 3),
            number: (4, 6),
            began: datetime!(2026-01-31 07:08:09 UTC),
            now: datetime!(2026-01-31 13:08:19.5 UTC),
            most_words: 3,
        }
    }

    #[test]
    fn names_follow_their_patterns() {
        for (pattern, wanted) in [
            ("", ""),
            ("[seed]", "8"),
            ("[seed]-[prompt_spaces]", "8-a cat, it's_so _ good_ .._.._etc"),
            ("[prompt]", "a_cat,_it's_so___good__.._.._etc"),
            ("[prompt_words]", "a cat it's"),
            ("[seed_first]..[seed_last]", "7..9"),
            ("[width]x[height] [steps] [cfg]", "512x768 20 7.0"),
            ("[sampler_scheduler]|[SAMPLER]", "DPM++ 2M Karras_DPM++ 2M"),
            ("[model_name] [model_hash] [styles]", "v1-5 0123456789 None"),
            ("[date] [job_timestamp] [datetime]", "2026-01-31 20260131070809 20260131130819"),
            ("[datetime<%d.%m.%y %Ih%M%p %b>]", "31.01.26 01h08PM Jan"),
            ("b[batch_number]g[generation_number]", "b2g5"),
            ("x-[denoising]", ""),
            ("[hasprompt<CAT|no><bird|none>]", "CATnone"),
            ("[prompt_hash<4>] [negative_prompt_hash]", "4b36 cd6357ef"),
            ("[unknown] [seed", "[unknown] [seed"),
            ("a/b\\c", "a_b_c"),
        ] {
            let name = file_name(pattern, &facts());
            if pattern.starts_with("[prompt_hash") {
                assert_eq!((name.len(), &name[5..]), (13, &wanted[5..]), "{name}");
            } else {
                assert_eq!(name, wanted, "{pattern}");
            }
        }
    }

    #[test]
    fn single_pictures_skip_their_numbers() {
        let single = Facts { place: (0, 1), number: (0, 1), ..facts() };
        assert_eq!(file_name("[seed]-[batch_number]x[generation_number]y[seed_last]", &single), "8");
    }

    #[test]
    fn folders_stay_below_theirs() {
        assert_eq!(folders("[date]/[prompt]", &facts()), ["2026-01-31", "a_cat,_it's_so___good__.._.._etc"]);
        assert_eq!(folders("../..//x/./[none]/ y. ", &facts()), ["x", "y"]);
        let hostile = Facts { prompt: "../../../x", ..facts() };
        assert_eq!(folders("[prompt_spaces]", &hostile), [".._.._.._x".trim_matches('.')]);
        let long = "é".repeat(300);
        let long = Facts { prompt: &long, ..facts() };
        assert!(file_name("[prompt][prompt][prompt]", &long).len() <= LONGEST_NAME);
    }
}
