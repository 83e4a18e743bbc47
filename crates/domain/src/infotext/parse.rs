//! Reading infotexts, also those of other programs and of old versions, with A1111's own idea of what absent values
//! mean. Any text can be read; text that says nothing of settings is a prompt.

use super::loras::renamed;
use super::rules::{FoundStyles, InfotextRules};
use regex::Regex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

/// A value of a parsed infotext. What stood in the text is text; some values that are filled in are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum InfotextValue {
    /// As it stood there.
    Text(String),
    /// Filled in.
    Integer(i64),
    /// Filled in.
    Flag(bool),
    /// Names that were found in the text.
    List(Vec<String>),
}

impl fmt::Display for InfotextValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Flag(flag) => f.write_str(if *flag { "True" } else { "False" }),
            Self::List(names) => f.write_str(&names.join(", ")),
        }
    }
}

use InfotextValue::{Flag, Integer, List, Text};

/// What a picture without these keys was made with.
const DEFAULTS: &[(&str, Default)] = &[
    ("Clip skip", Default::Text("1")),
    ("Hires resize-1", Default::Integer(0)),
    ("Hires resize-2", Default::Integer(0)),
    ("Hires sampler", Default::Text("Use same sampler")),
    ("Hires schedule type", Default::Text("Use same scheduler")),
    ("Hires checkpoint", Default::Text("Use same checkpoint")),
    ("Hires prompt", Default::Text("")),
    ("Hires negative prompt", Default::Text("")),
    ("Mask mode", Default::Text("Inpaint masked")),
    ("Masked content", Default::Text("original")),
    ("Inpaint area", Default::Text("Whole picture")),
    ("Masked area padding", Default::Integer(32)),
    ("RNG", Default::Text("GPU")),
    ("Schedule type", Default::Text("Automatic")),
    ("Schedule max sigma", Default::Integer(0)),
    ("Schedule min sigma", Default::Integer(0)),
    ("Schedule rho", Default::Integer(0)),
    ("VAE Encoder", Default::Text("Full")),
    ("VAE Decoder", Default::Text("Full")),
    ("FP8 weight", Default::Text("Disable")),
];

#[derive(Clone, Copy)]
enum Default {
    Text(&'static str),
    Integer(i64),
}

impl From<Default> for InfotextValue {
    fn from(value: Default) -> Self {
        match value {
            Default::Text(text) => Text(text.to_owned()),
            Default::Integer(number) => Integer(number),
        }
    }
}

/// A key, a colon and a value, which may be a JSON string; up to a comma or the end.
static SETTING: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)"#).ok());

/// The last line is one of settings only if it has this many of them.
const LEAST_SETTINGS: usize = 3;

/// Reads an infotext: `Prompt`, `Negative prompt`, then the settings as they come, then defaults for what is absent.
/// `Size: 512x768` becomes `Size-1` and `Size-2`. Keys are unique.
pub fn parse_infotext(text: &str) -> Vec<(String, InfotextValue)> {
    parse_infotext_by(text, &InfotextRules::default())
}

/// Reads an infotext by rules. Styles that are found are named under `Styles array`.
pub fn parse_infotext_by(text: &str, rules: &InfotextRules) -> Vec<(String, InfotextValue)> {
    let (prompts, settings) = split(text.trim());
    let (mut prompt, mut negative_prompt) = split_prompts(prompts);
    let styles = match rules.found_styles {
        FoundStyles::Ignore => Vec::new(),
        _ => rules.find_styles(&mut prompt, &mut negative_prompt),
    };
    let mut parsed = Parsed(vec![
        ("Prompt".to_owned(), Text(prompt)),
        ("Negative prompt".to_owned(), Text(negative_prompt)),
    ]);
    for (key, value) in settings {
        parsed.add(&key, &value);
    }
    if rules.found_styles == FoundStyles::Apply
        || (rules.found_styles == FoundStyles::ApplyIfAny && !styles.is_empty())
    {
        parsed.set("Styles array", List(styles));
    }
    parsed.rename_loras(&rules.loras);
    parsed.restore_hypernetwork();
    parsed.restore_first_pass(rules.size_of_second_pass);
    parsed.fill_defaults();
    if rules.old_behaviour {
        parsed.mark_old_behaviour();
    }
    parsed.0.retain(|(key, _)| !rules.left_out.contains(key));
    parsed.0
}

/// The settings of an infotext as they stand there, without those that are filled in.
pub fn infotext_settings(text: &str) -> Vec<(String, String)> {
    let settings = split(text.trim()).1.into_iter();
    settings.map(|(key, value)| (key, unquoted(&value))).filter(|(_, value)| !value.is_empty()).collect()
}

/// A value that may be a JSON string.
fn unquoted(value: &str) -> String {
    let quoted = value.starts_with('"') && value.ends_with('"');
    quoted.then(|| serde_json::from_str(value).ok()).flatten().unwrap_or_else(|| value.to_owned())
}

/// The lines of the prompts, and the key-value pairs of the last line.
fn split(text: &str) -> (&str, Vec<(String, String)>) {
    let (before, last) = text.rsplit_once('\n').unwrap_or(("", text));
    let settings: Vec<(String, String)> = SETTING
        .iter()
        .flat_map(|setting| setting.captures_iter(last))
        .map(|found| (found[1].to_owned(), found[2].to_owned()))
        .collect();
    if settings.len() < LEAST_SETTINGS { (text, Vec::new()) } else { (before, settings) }
}

fn split_prompts(lines: &str) -> (String, String) {
    let mut prompt: Vec<&str> = Vec::new();
    let mut negative: Option<Vec<&str>> = None;
    for line in lines.split('\n').map(str::trim) {
        match (line.strip_prefix("Negative prompt:"), &mut negative) {
            (Some(rest), Some(lines)) => lines.push(rest.trim()),
            (Some(rest), None) => negative = Some(vec![rest.trim()]),
            (None, Some(lines)) => lines.push(line),
            (None, None) => prompt.push(line),
        }
    }
    let join = |lines: Vec<&str>| lines.join("\n").trim_start_matches('\n').to_owned();
    (join(prompt), join(negative.unwrap_or_default()))
}

struct Parsed(Vec<(String, InfotextValue)>);

impl Parsed {
    fn get(&self, key: &str) -> Option<&InfotextValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.get(key)?.to_string().parse().ok()
    }

    fn set(&mut self, key: &str, value: InfotextValue) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    fn add(&mut self, key: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let value = unquoted(value);
        if let Some((width, height)) = size(&value) {
            self.set(&format!("{key}-1"), Text(width.to_owned()));
            self.set(&format!("{key}-2"), Text(height.to_owned()));
        } else {
            self.set(key, Text(value));
        }
    }

    /// Calls adapters what they are called here.
    fn rename_loras(&mut self, here: &BTreeMap<String, String>) {
        if let Some(hashes) = self.get("Lora hashes").filter(|_| !here.is_empty()).map(ToString::to_string) {
            let prompt = self.get("Prompt").map(ToString::to_string).unwrap_or_default();
            self.set("Prompt", Text(renamed(&prompt, &hashes, here)));
        }
    }

    /// Versions before extra networks kept the hypernetwork in settings, not in the prompt.
    fn restore_hypernetwork(&mut self) {
        let Some(name) = self.get("Hypernet").cloned() else { return };
        let strength = self.get("Hypernet strength").map_or_else(|| "1.0".to_owned(), ToString::to_string);
        let prompt = self.get("Prompt").map(ToString::to_string).unwrap_or_default();
        self.set("Prompt", Text(format!("{prompt}<hypernet:{name}:{strength}>")));
    }

    /// Old versions wrote the size of the second pass as `Size`. Where that is what `Size` means, it comes from the size that new
    /// versions write beside it.
    fn restore_first_pass(&mut self, size_of_second_pass: bool) {
        if size_of_second_pass {
            let size = (self.number("Hires resize-1"), self.number("Hires resize-2"));
            if let (Some(width @ 1..), Some(height @ 1..)) = size {
                self.set("Size-1", Integer(width));
                self.set("Size-2", Integer(height));
            }
            return;
        }
        let (Some(first_width), Some(first_height)) =
            (self.number("First pass size-1"), self.number("First pass size-2"))
        else {
            return;
        };
        let width = self.number("Size-1").unwrap_or(512);
        let height = self.number("Size-2").unwrap_or(512);
        let known = first_width != 0 && first_height != 0;
        let (first_width, first_height) =
            if known { (first_width, first_height) } else { old_first_pass(width, height) };
        self.set("Size-1", Integer(first_width));
        self.set("Size-2", Integer(first_height));
        self.set("Hires resize-1", Integer(width));
        self.set("Hires resize-2", Integer(height));
    }

    fn fill_defaults(&mut self) {
        for &(key, value) in DEFAULTS {
            if self.get(key).is_none() {
                self.set(key, value.into());
            }
        }
        let emphasised = ["Prompt", "Negative prompt"]
            .iter()
            .any(|key| self.get(key).is_some_and(|prompt| uses_emphasis(&prompt.to_string())));
        if emphasised && self.get("Emphasis").is_none() {
            self.set("Emphasis", Text("Original".to_owned()));
        }
        if self.get("Refiner switch by sampling steps").is_none() {
            self.set("Refiner switch by sampling steps", Flag(false));
        }
    }

    /// Names the settings that repeat what old versions of A1111 did.
    fn mark_old_behaviour(&mut self) {
        let Some(version) = self.get("Version").and_then(|version| version_of(&version.to_string())) else {
            return;
        };
        let prompt = self.get("Prompt").map(ToString::to_string).unwrap_or_default();
        let sampler = self.get("Sampler").map(ToString::to_string).unwrap_or_default();
        let timestep_based = matches!(sampler.as_str(), "DDIM" | "PLMS");
        for (before, applies, key) in [
            ((1, 6, 0, 0), prompt.contains('['), "Old prompt editing timelines"),
            ((1, 6, 0, 0), timestep_based, "Pad conds v0"),
            ((1, 7, 0, 225), true, "Downcast alphas_cumprod"),
            ((1, 8, 0, 0), self.get("Refiner").is_some(), "Refiner switch by sampling steps"),
        ] {
            if version < before && applies {
                self.set(key, Flag(true));
            }
        }
    }
}

/// `512x768` in its parts.
fn size(value: &str) -> Option<(&str, &str)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    value.split_once('x').filter(|(width, height)| digits(width) && digits(height))
}

/// Size of a first pass before a second of this size, as old versions of A1111 had it: about 512 x 512 pixels, in multiples of 64.
pub fn old_first_pass(width: i64, height: i64) -> (i64, i64) {
    let scale = (512.0 * 512.0 / (width.max(1) as f64 * height.max(1) as f64)).sqrt();
    let round = |edge: i64| ((scale * edge as f64 / 64.0).ceil() as i64).saturating_mul(64);
    (round(width), round(height))
}

fn uses_emphasis(prompt: &str) -> bool {
    let mut escaped = false;
    prompt.chars().any(|character| {
        let found = !escaped && matches!(character, '(' | '[');
        escaped = !escaped && character == '\\';
        found
    })
}

/// `v1.7.0-225-g123` as numbers: major, minor, patch, commits since.
fn version_of(text: &str) -> Option<(u32, u32, u32, u32)> {
    let mut parts = text.strip_prefix('v').unwrap_or(text).split('-');
    let mut numbers = parts.next()?.split('.').map(|number| number.parse().ok());
    let major = numbers.next()??;
    let minor = numbers.next().unwrap_or(Some(0))?;
    let patch = numbers.next().unwrap_or(Some(0))?;
    let commits = parts.next().map_or(Some(0), |commits| commits.parse().ok())?;
    Some((major, minor, patch, commits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(text: &str, key: &str) -> Option<InfotextValue> {
        Parsed(parse_infotext(text)).get(key).cloned()
    }

    #[expect(clippy::unnecessary_wraps, reason = "tests compare with what a look-up gives")]
    fn text(value: &str) -> Option<InfotextValue> {
        Some(Text(value.to_owned()))
    }

    #[test]
    fn reads_prompts_settings_and_sizes() {
        let infotext = "a cat,\n  on a mat \nNegative prompt: dog\nmouse\n\
                        Steps: 20, Sampler: DPM++ 2M, CFG scale: 7, Size: 512x768, Lora hashes: \"a: 0123, b: \\\"4\\\"\"";
        for (key, value) in [
            ("Prompt", "a cat,\non a mat"),
            ("Negative prompt", "dog\nmouse"),
            ("Sampler", "DPM++ 2M"),
            ("Size-1", "512"),
            ("Size-2", "768"),
            ("Lora hashes", "a: 0123, b: \"4\""),
            ("RNG", "GPU"),
        ] {
            assert_eq!(get(infotext, key), text(value), "{key}");
        }
        assert_eq!(get(infotext, "Size"), None);
        assert_eq!(get(infotext, "Emphasis"), None);
        assert_eq!(get(infotext, "Masked area padding"), Some(Integer(32)));
        assert_eq!(get(infotext, "Refiner switch by sampling steps"), Some(Flag(false)));
    }

    #[test]
    fn fewer_than_three_settings_are_a_prompt() {
        assert_eq!(get("a cat\nSteps: 20, Seed: 1", "Prompt"), text("a cat\nSteps: 20, Seed: 1"));
        assert_eq!(get("Steps: 20, Seed: 1, Size: 8x8", "Prompt"), text(""));
        assert_eq!(get("", "Prompt"), text(""));
        assert_eq!(get("Negative prompt: only", "Negative prompt"), text("only"));
    }

    #[test]
    fn emphasis_is_named_when_used() {
        assert_eq!(get("a (cat)", "Emphasis"), text("Original"));
        assert_eq!(get("a \\(cat\\)", "Emphasis"), None);
    }

    #[test]
    fn old_files_keep_their_meaning() {
        let old = "a [b:c:3]\nSteps: 20, Sampler: DDIM, Seed: 1, Version: v1.5.2";
        for key in ["Old prompt editing timelines", "Pad conds v0", "Downcast alphas_cumprod"] {
            assert_eq!(get(old, key), Some(Flag(true)), "{key}");
        }
        for version in ["v1.7.0-225-g01", "v1.10.1", "impasto 0.1.0", "nonsense"] {
            let infotext = format!("a\nSteps: 20, Seed: 1, Sampler: DDIM, Version: {version}");
            assert_eq!(get(&infotext, "Downcast alphas_cumprod"), None, "{version}");
        }
        let hires = "a\nSteps: 20, Seed: 1, Size: 1024x512, First pass size: 0x0, Hypernet: h";
        assert_eq!(get(hires, "Size-1"), Some(Integer(768)));
        assert_eq!(get(hires, "Size-2"), Some(Integer(384)));
        assert_eq!(get(hires, "Hires resize-1"), Some(Integer(1024)));
        assert_eq!(get(hires, "Prompt"), text("a<hypernet:h:1.0>"));
    }

    #[test]
    fn rules_say_what_is_taken() {
        let get = |text: &str, rules: &InfotextRules, key: &str| {
            Parsed(parse_infotext_by(text, rules)).get(key).cloned()
        };
        let style = crate::Style {
            name: "oil".into(),
            prompt: "{prompt}, oil".into(),
            negative_prompt: String::new(),
        };
        let old = "a [b], oil\nSteps: 20, Seed: 1, Size: 512x512, Hires resize: 1024x768, Version: v1.5.2";
        let rules = InfotextRules { styles: vec![style], ..InfotextRules::default() };
        let found = Some(List(vec!["oil".to_owned()]));
        for (found_styles, prompt, array) in [
            (FoundStyles::Ignore, "a [b], oil", None),
            (FoundStyles::Discard, "a [b]", None),
            (FoundStyles::Apply, "a [b]", found.clone()),
            (FoundStyles::ApplyIfAny, "a [b]", found),
        ] {
            let rules = InfotextRules { found_styles, ..rules.clone() };
            assert_eq!(get(old, &rules, "Prompt"), text(prompt), "{found_styles:?}");
            assert_eq!(get(old, &rules, "Styles array"), array, "{found_styles:?}");
        }
        let apply = InfotextRules { found_styles: FoundStyles::Apply, ..InfotextRules::default() };
        assert_eq!(get("a", &apply, "Styles array"), Some(List(Vec::new())));
        assert_eq!(get(old, &rules, "Old prompt editing timelines"), Some(Flag(true)));
        let new = InfotextRules {
            old_behaviour: false,
            size_of_second_pass: true,
            left_out: vec!["Seed".to_owned()],
            ..InfotextRules::default()
        };
        assert_eq!(get(old, &new, "Old prompt editing timelines"), None);
        assert_eq!(
            (get(old, &new, "Size-1"), get(old, &new, "Size-2")),
            (Some(Integer(1024)), Some(Integer(768)))
        );
        assert_eq!((get(old, &new, "Seed"), get(old, &new, "Steps")), (None, text("20")));
    }
}
