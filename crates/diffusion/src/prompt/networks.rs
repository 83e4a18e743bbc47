//! `<lora:name:0.8>`: networks that a prompt asks for. They are told by type, name and numbers, and taken out of the text;
//! which files they are, and what they do to a model, is not known here.

use super::is_word;
use serde::{Deserialize, Serialize};

/// A network beside the model that a prompt asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExtraNetwork {
    /// Low-rank changes of weights (Hu et al. 2021) and their kin: `<lora:name:text_encoder:unet:rank>`, or by the names
    /// `te`, `unet` and `dyn`. `lyco` is the same.
    Lora {
        /// The file's name without its suffix, or the name it has for itself.
        name: String,
        /// Strength in the text encoder; 1 if none is given.
        text_encoder: f64,
        /// Strength in the UNet; the text encoder's if none is given.
        unet: f64,
        /// How much of its rank to use; all if `None`.
        rank: Option<u32>,
    },
    /// A hypernetwork: `<hypernet:name:strength>`.
    Hypernetwork {
        /// The file's name without its suffix.
        name: String,
        /// Its strength; 1 if none is given.
        strength: f64,
    },
}

impl ExtraNetwork {
    /// Whether it is the LoRA, or the hypernetwork, of a name.
    pub fn is_called(&self, name: &str, lora: bool) -> bool {
        match self {
            Self::Lora { name: own, .. } => lora && own == name,
            Self::Hypernetwork { name: own, .. } => !lora && own == name,
        }
    }
}

/// What the tags of a prompt ask for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ExtraNetworks {
    /// The networks, in their order in the prompt. One may be there twice.
    pub networks: Vec<ExtraNetwork>,
    /// What is wrong with tags that were left out.
    pub problems: Vec<String>,
}

impl ExtraNetworks {
    /// The prompt without its tags, and what they ask for. A tag of an unknown kind goes without a trace, as in A1111.
    pub fn take_from(prompt: &str) -> (String, Self) {
        let mut text = String::with_capacity(prompt.len());
        let mut asked = Self::default();
        // Up to here, every search for the end of a tag finds one.
        let (mut rest, tail) = prompt.split_at(prompt.rfind('>').map_or(0, |at| at + 1));
        while let Some(at) = rest.find('<') {
            let (before, tag) = rest.split_at(at);
            text.push_str(before);
            let kind = &tag[1..tag[1..].find(|c| !is_word(c)).map_or(tag.len(), |end| 1 + end)];
            let arguments = tag[1 + kind.len()..].strip_prefix(':').filter(|_| !kind.is_empty());
            let end = arguments.and_then(|arguments| arguments.find('>')).filter(|&end| end > 0);
            if let (Some(arguments), Some(end)) = (arguments, end) {
                asked.add(kind, &arguments[..end]);
                rest = &arguments[end + 1..];
            } else {
                text.push('<');
                rest = &tag[1..];
            }
        }
        text.push_str(rest);
        text.push_str(tail);
        (text, asked)
    }

    fn add(&mut self, kind: &str, arguments: &str) {
        let outcome = match kind {
            "lora" | "lyco" => Arguments::of(arguments).lora(),
            "hypernet" => Arguments::of(arguments).hypernetwork(),
            _ => return,
        };
        match outcome {
            Ok(network) => self.networks.push(network),
            Err(problem) => self.problems.push(format!("<{kind}:{arguments}> is left out: {problem}")),
        }
    }
}

/// What stands between the colons of a tag. With exactly one `=` in it, it has a name.
struct Arguments<'a> {
    by_place: Vec<&'a str>,
    by_name: Vec<(&'a str, &'a str)>,
}

impl<'a> Arguments<'a> {
    fn of(arguments: &'a str) -> Self {
        let mut sorted = Self { by_place: Vec::new(), by_name: Vec::new() };
        for argument in arguments.split(':') {
            match argument.split_once('=').filter(|(_, value)| !value.contains('=')) {
                Some(named) => sorted.by_name.push(named),
                None => sorted.by_place.push(argument),
            }
        }
        sorted
    }

    fn lora(&self) -> Result<ExtraNetwork, String> {
        let text_encoder = self.number(1, "te")?.unwrap_or(1.0);
        let rank = self.value(3, "dyn").map(|rank| {
            rank.trim().parse().map_err(|_| format!("the rank {rank:?} is not a whole number of at least 0"))
        });
        Ok(ExtraNetwork::Lora {
            name: self.name()?,
            text_encoder,
            unet: self.number(2, "unet")?.unwrap_or(text_encoder),
            rank: rank.transpose()?,
        })
    }

    fn hypernetwork(&self) -> Result<ExtraNetwork, String> {
        let strength = self.by_place.get(1).map(|value| number(value)).transpose()?.unwrap_or(1.0);
        Ok(ExtraNetwork::Hypernetwork { name: self.name()?, strength })
    }

    fn name(&self) -> Result<String, String> {
        let name = self.by_place.first().filter(|name| !name.is_empty());
        name.map(|name| (*name).to_owned()).ok_or_else(|| "it names no network".to_owned())
    }

    /// What is given by name or else by place; of two with one name, the last.
    fn value(&self, place: usize, name: &str) -> Option<&'a str> {
        let named = self.by_name.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value);
        named.or_else(|| self.by_place.get(place).copied())
    }

    fn number(&self, place: usize, name: &str) -> Result<Option<f64>, String> {
        self.value(place, name).map(number).transpose()
    }
}

fn number(value: &str) -> Result<f64, String> {
    let number: Option<f64> = value.trim().parse().ok();
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| format!("the strength {value:?} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ExtraNetwork::{Hypernetwork, Lora};
    use proptest::prelude::*;

    fn lora(name: &str, text_encoder: f64, unet: f64, rank: Option<u32>) -> ExtraNetwork {
        Lora { name: name.into(), text_encoder, unet, rank }
    }

    #[test]
    fn tags_become_networks_and_leave_the_text() {
        let (text, asked) = ExtraNetworks::take_from(
            "a<lora:one>, <lora:two:0.5> b <lyco:three:1:-2:8><hypernet:four:0.3>\
             <lora:five:unet=0.2:te=0.1:dyn=4><lora:six:7:te=0.5> c <other:thing> <hypernet:seven>",
        );
        assert_eq!(text, "a,  b  c  ");
        assert_eq!(asked.problems, [""; 0]);
        assert_eq!(
            asked.networks,
            [
                lora("one", 1.0, 1.0, None),
                lora("two", 0.5, 0.5, None),
                lora("three", 1.0, -2.0, Some(8)),
                Hypernetwork { name: "four".into(), strength: 0.3 },
                lora("five", 0.1, 0.2, Some(4)),
                lora("six", 0.5, 0.5, None),
                Hypernetwork { name: "seven".into(), strength: 1.0 },
            ]
        );
    }

    #[test]
    fn what_is_no_tag_is_text() {
        for prompt in
            ["<", "a < b > c", "<lora>", "<lora:>", "<:x>", "<lo ra:x>", "<lora:x", "<3 <lora:", "<lora :x>"]
        {
            assert_eq!(
                ExtraNetworks::take_from(prompt),
                (prompt.to_owned(), ExtraNetworks::default()),
                "{prompt}"
            );
        }
        assert_eq!(ExtraNetworks::take_from("<<lora:x>>").0, "<>");
        assert_eq!(
            ExtraNetworks::take_from("<a:<lora:x>>").0,
            ">",
            "the first bracket that fits begins the tag"
        );
    }

    #[test]
    fn tags_that_cannot_be_meant_are_told() {
        let (text, asked) = ExtraNetworks::take_from(
            "a<lora:x:strong><lora::1><hypernet:y:nan><lora:z:dyn=-1>, <lora:w=1=2:0.5><lora:te=1>",
        );
        assert_eq!(text, "a, ");
        assert_eq!(asked.networks, [lora("w=1=2", 0.5, 0.5, None)]);
        assert_eq!(
            asked.problems,
            [
                "<lora:x:strong> is left out: the strength \"strong\" is not a number",
                "<lora::1> is left out: it names no network",
                "<hypernet:y:nan> is left out: the strength \"nan\" is not a number",
                "<lora:z:dyn=-1> is left out: the rank \"-1\" is not a whole number of at least 0",
                "<lora:te=1> is left out: it names no network",
            ]
        );
    }

    #[test]
    fn hostile_tags_take_linear_time() {
        let begun = std::time::Instant::now();
        for unit in ["<", "<a", "<a:", "<a:b", "<lora:x:", "<lora:x>", ":=>"] {
            ExtraNetworks::take_from(&unit.repeat((1 << 20) / unit.len()));
        }
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_but_tags(prompt in "[a<>:=. ]{0,40}|\\PC{0,20}") {
            let (text, _) = ExtraNetworks::take_from(&prompt);
            let mut kept = prompt.chars();
            prop_assert!(text.chars().all(|c| kept.any(|other| other == c)), "{text:?} of {prompt:?}");
            if !prompt.contains('<') || !prompt.contains('>') {
                prop_assert_eq!(text, prompt);
            }
        }
    }
}
