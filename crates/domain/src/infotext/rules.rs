//! How infotexts are taken: what becomes of styles that prompts show, of files of old versions, and of values that are not
//! wanted.

use crate::Style;
use crate::styles::without_style;
use std::collections::BTreeMap;

/// Most styles that are found in one infotext.
const MOST_STYLES: usize = 100;

/// What becomes of styles that are found in prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FoundStyles {
    /// They stay text.
    Ignore,
    /// They are taken out, and all styles are named, even if there are none.
    Apply,
    /// They are taken out and named, if there are any.
    #[default]
    ApplyIfAny,
    /// They are taken out.
    Discard,
}

impl FoundStyles {
    /// Names of A1111's option `infotext_styles`.
    pub const NAMES: &'static [&'static str] = &["Ignore", "Apply", "Discard", "Apply if any"];

    /// The meaning of a name.
    pub fn from_exact_name(name: &str) -> Option<Self> {
        match name {
            "Ignore" => Some(Self::Ignore),
            "Apply" => Some(Self::Apply),
            "Discard" => Some(Self::Discard),
            "Apply if any" => Some(Self::ApplyIfAny),
            _ => None,
        }
    }
}

/// How infotexts are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfotextRules {
    /// Styles to look for.
    pub styles: Vec<Style>,
    /// What becomes of those that are found.
    pub found_styles: FoundStyles,
    /// Whether files of old versions of A1111 name the settings that repeat what those did.
    pub old_behaviour: bool,
    /// Whether `Size` is that of the second pass, where there is one.
    pub size_of_second_pass: bool,
    /// Keys that are left out.
    pub left_out: Vec<String>,
    /// Whether a request takes the model.
    pub takes_model: bool,
    /// What tags call the adapters here, by the first twelve digits of their hashes.
    pub loras: BTreeMap<String, String>,
}

impl Default for InfotextRules {
    fn default() -> Self {
        Self {
            styles: Vec::new(),
            found_styles: FoundStyles::default(),
            old_behaviour: true,
            size_of_second_pass: false,
            left_out: Vec::new(),
            takes_model: false,
            loras: BTreeMap::new(),
        }
    }
}

impl InfotextRules {
    /// The prompts without the styles that they show, and the names of those in the order in which they were applied.
    pub(super) fn find_styles(&self, prompt: &mut String, negative_prompt: &mut String) -> Vec<String> {
        let mut left: Vec<&Style> = self.styles.iter().filter(|style| !style.is_empty()).collect();
        let mut found = Vec::new();
        while found.len() < MOST_STYLES {
            let next = left.iter().enumerate().find_map(|(at, style)| {
                let prompt = without_style(prompt, &style.prompt)?;
                let negative_prompt = without_style(negative_prompt, &style.negative_prompt)?;
                Some((at, prompt, negative_prompt))
            });
            let Some((at, without, negative_without)) = next else { break };
            found.push(left.remove(at).name.clone());
            (*prompt, *negative_prompt) = (without, negative_without);
        }
        // The last one that was applied is on the outside.
        found.reverse();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> InfotextRules {
        let style = |name: &str, prompt: &str, negative: &str| Style {
            name: name.into(),
            prompt: prompt.into(),
            negative_prompt: negative.into(),
        };
        let styles = vec![
            style("empty", "", ""),
            style("photo", "photo of {prompt}, 35 mm", "blurry"),
            style("oil", "oil on canvas", ""),
        ];
        InfotextRules { styles, ..InfotextRules::default() }
    }

    fn found(prompt: &str, negative: &str) -> (String, String, Vec<String>) {
        let (mut prompt, mut negative) = (prompt.to_owned(), negative.to_owned());
        let names = rules().find_styles(&mut prompt, &mut negative);
        (prompt, negative, names)
    }

    #[test]
    fn styles_are_found_where_they_were_applied() {
        let is = |text: &str, negative: &str, names: &[&str]| {
            (text.to_owned(), negative.to_owned(), names.iter().map(|name| (*name).to_owned()).collect())
        };
        assert_eq!(found("a cat", "dog"), is("a cat", "dog", &[]));
        assert_eq!(found("photo of a cat, 35 mm", "dog, blurry"), is("a cat", "dog", &["photo"]));
        // Both prompts have to show it.
        assert_eq!(found("photo of a cat, 35 mm", "dog"), is("photo of a cat, 35 mm", "dog", &[]));
        assert_eq!(
            found("photo of a cat, oil on canvas, 35 mm", "blurry"),
            is("a cat", "", &["oil", "photo"])
        );
        assert_eq!(
            found("photo of a cat, 35 mm, oil on canvas", "blurry"),
            is("a cat", "", &["photo", "oil"])
        );
    }

    #[test]
    fn every_name_has_a_meaning() {
        assert!(FoundStyles::NAMES.iter().all(|name| FoundStyles::from_exact_name(name).is_some()));
        assert_eq!(FoundStyles::from_exact_name("apply"), None);
    }
}
