//! How prompts are read, where there is more than one way. The defaults are A1111's, and so are the names of the ways.

use crate::GenerationRequest;
use serde::{Deserialize, Serialize};

/// What weights on words do to text vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Emphasis {
    /// Vectors are multiplied, then all are scaled so that their mean is what it was.
    #[default]
    Original,
    /// Vectors are multiplied.
    NoNorm,
    /// Marks are taken out of the text and weigh nothing.
    Ignore,
    /// There are no marks: brackets, backslashes and `BREAK` are text.
    None,
}

/// In the order in which they are listed.
const EMPHASES: [(Emphasis, &str); 4] = [
    (Emphasis::None, "None"),
    (Emphasis::Ignore, "Ignore"),
    (Emphasis::Original, "Original"),
    (Emphasis::NoNorm, "No norm"),
];

impl Emphasis {
    /// Every mode, in listing order.
    pub fn all() -> impl Iterator<Item = Self> {
        EMPHASES.iter().map(|(mode, _)| *mode)
    }

    /// The name in options and infotexts.
    pub fn name(self) -> &'static str {
        EMPHASES.iter().find(|(mode, _)| *mode == self).map_or("Original", |(_, name)| name)
    }

    /// The mode of exactly this name.
    pub fn from_exact_name(name: &str) -> Option<Self> {
        EMPHASES.iter().find(|(_, known)| *known == name).map(|(mode, _)| *mode)
    }
}

/// How prompts are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PromptRules {
    /// What weights do.
    pub emphasis: Emphasis,
    /// Whether the numbers in `[from:to:when]` mean what they did before A1111 1.6: below 1 a share of the steps, else a
    /// step, with or without a decimal point; and again from the start in a second pass.
    pub old_scheduling: bool,
    /// How many tokens before the end of a full chunk its last comma may be to end it there; 0 ends it where it is full.
    pub comma_padding_backtrack: u32,
}

impl Default for PromptRules {
    fn default() -> Self {
        Self { emphasis: Emphasis::Original, old_scheduling: false, comma_padding_backtrack: 20 }
    }
}

impl PromptRules {
    /// What an infotext says of them: what is not usual, and only where the prompts have marks that it could matter to.
    pub(crate) fn infotext(self, request: &GenerationRequest) -> Vec<(&'static str, Option<String>)> {
        let contains = |marks: &[char]| {
            [&request.prompt, &request.negative_prompt].iter().any(|text| text.contains(marks))
        };
        let old = self.old_scheduling && contains(&['[']);
        let emphasised = self.emphasis != Emphasis::Original && contains(&['(', '[']);
        vec![
            ("Old prompt editing timelines", old.then(|| "True".to_owned())),
            ("Emphasis", emphasised.then(|| self.emphasis.name().to_owned())),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_emphasis_finds_itself() {
        for mode in Emphasis::all() {
            assert_eq!(Emphasis::from_exact_name(mode.name()), Some(mode));
        }
        assert_eq!(Emphasis::from_exact_name("original"), None);
    }

    #[test]
    fn an_infotext_tells_what_is_not_usual_where_it_matters() {
        let told = |prompt: &str, negative_prompt: &str, rules: PromptRules| {
            let request = GenerationRequest {
                prompt: prompt.into(),
                negative_prompt: negative_prompt.into(),
                ..GenerationRequest::default()
            };
            let told = rules.infotext(&request).into_iter();
            told.filter_map(|(key, value)| Some(format!("{key}: {}", value?))).collect::<Vec<_>>().join(", ")
        };
        let usual = PromptRules::default();
        let no_norm = PromptRules { emphasis: Emphasis::NoNorm, ..usual };
        let old = PromptRules { old_scheduling: true, ..usual };
        assert_eq!(told("a (cat)", "[dog]", usual), "");
        assert_eq!(told("a cat", "dog)", no_norm), "");
        assert_eq!(told("a cat", "(dog", no_norm), "Emphasis: No norm");
        assert_eq!(told("a [cat]", "", no_norm), "Emphasis: No norm");
        assert_eq!(told("a [cat:dog:3]", "", old), "Old prompt editing timelines: True");
        assert_eq!(told("a (cat)", "", old), "");
    }
}
