//! Arguments of scripts: what each is, and reading them from what clients send, by their places.

use crate::xyz::axes;
use crate::{Names, ScriptError, Tab};
use impasto_domain::{Sampler, Schedule, python_float};
use serde_json::{Map, Value, json};

/// One argument of a script.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// What A1111's page calls it.
    pub label: &'static str,
    /// What it takes.
    pub kind: Kind,
}

/// What an argument takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Yes or no.
    Flag(bool),
    /// A whole number: where nothing is said; least, most and step of A1111's slider; least and most that are taken.
    Whole(i64, [i64; 3], [i64; 2]),
    /// A number, likewise.
    Real(f64, [f64; 3], [f64; 2]),
    /// A text.
    Text(&'static str),
    /// One of some texts, by itself or by its place.
    Choice(&'static str, &'static [&'static str]),
    /// Some of some texts.
    Choices(&'static [&'static str], &'static [&'static str]),
    /// An axis of X/Y/Z plot, by its name or its place.
    Axis(&'static str),
    /// Values of an axis, as a list.
    Values,
    /// An upscaler, by its name or its place.
    Upscaler,
    /// A sampler, by its name.
    Sampler,
    /// A schedule, by its label.
    Schedule,
    /// A model, by its title.
    Model,
    /// A note on the page; whatever is sent does nothing.
    Note,
}

impl Argument {
    /// What `/sdapi/v1/script-info` tells of it.
    pub fn info(&self, tab: Tab, names: &dyn Names) -> Map<String, Value> {
        let listed = |first: Option<&str>, choices: &[String]| {
            let value = first.or(choices.first().map(String::as_str)).map(str::to_owned);
            vec![("value", json!(value)), ("choices", json!(choices))]
        };
        let texts =
            |texts: &mut dyn Iterator<Item = &'static str>| texts.map(str::to_owned).collect::<Vec<_>>();
        let numbers = |value: Value, [least, most, step]: [Value; 3]| {
            [("value", value), ("minimum", least), ("maximum", most), ("step", step)].to_vec()
        };
        let told: Vec<(&str, Value)> = match self.kind {
            Kind::Flag(value) => vec![("value", json!(value))],
            Kind::Whole(value, slider, _) => numbers(json!(value), slider.map(|number| json!(number))),
            Kind::Real(value, slider, _) => numbers(json!(value), slider.map(|number| json!(number))),
            Kind::Text(value) => vec![("value", json!(value))],
            Kind::Choice(value, choices) => vec![("value", json!(value)), ("choices", json!(choices))],
            Kind::Choices(value, choices) => vec![("value", json!(value)), ("choices", json!(choices))],
            Kind::Axis(value) => {
                let labels: Vec<&str> = axes::of_tab(tab).map(|axis| axis.label).collect();
                vec![("value", json!(value)), ("choices", json!(labels))]
            }
            Kind::Values => vec![("value", json!([]))],
            Kind::Upscaler => listed(None, &names.upscalers()),
            Kind::Sampler => listed(None, &texts(&mut Sampler::all().map(Sampler::name))),
            Kind::Schedule => listed(None, &texts(&mut Schedule::all().map(Schedule::label))),
            Kind::Model => listed(Some(""), &names.models()),
            Kind::Note => Vec::new(),
        };
        let mut info = Map::new();
        info.insert("label".to_owned(), json!(self.label));
        for name in ["value", "minimum", "maximum", "step", "choices"] {
            let value = told.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
            info.insert(name.to_owned(), value.unwrap_or_default());
        }
        info
    }
}

/// The arguments of one call. Those missing at the end are what they usually are.
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a> {
    script: &'static str,
    table: &'static [Argument],
    values: &'a [Value],
}

impl<'a> Arguments<'a> {
    /// Arguments that clients send to a script.
    pub(crate) fn new(
        script: &'static str,
        table: &'static [Argument],
        values: &'a [Value],
    ) -> Result<Self, ScriptError> {
        if values.len() > table.len() {
            return Err(ScriptError::Argument {
                script,
                argument: "script_args".to_owned(),
                value: Box::new(json!(values.len())),
                problem: format!("are too many: it takes {}", table.len()),
            });
        }
        Ok(Self { script, table, values })
    }

    /// What was sent at a place, unless it is null.
    pub(crate) fn raw(&self, at: usize) -> Option<&'a Value> {
        self.values.get(at).filter(|value| !value.is_null())
    }

    /// An error about the argument at a place.
    pub(crate) fn wrong(&self, at: usize, problem: impl Into<String>) -> ScriptError {
        let value = self.values.get(at).cloned().unwrap_or_default();
        self.wrong_value(at, value, problem)
    }

    /// An error about a value that the argument at a place has in it.
    pub(crate) fn wrong_value(&self, at: usize, value: Value, problem: impl Into<String>) -> ScriptError {
        let name = self.table.get(at).map_or("", |argument| argument.label);
        let argument =
            if name.is_empty() { format!("argument {at}") } else { format!("{name:?} (argument {at})") };
        ScriptError::Argument {
            script: self.script,
            argument,
            value: Box::new(value),
            problem: problem.into(),
        }
    }

    fn kind(&self, at: usize) -> Kind {
        self.table.get(at).map_or(Kind::Note, |argument| argument.kind)
    }

    /// Yes or no.
    pub(crate) fn flag(&self, at: usize) -> Result<bool, ScriptError> {
        let Kind::Flag(usual) = self.kind(at) else { return Ok(false) };
        let Some(value) = self.raw(at) else { return Ok(usual) };
        let known = match value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => {
                [0.0, 1.0].iter().position(|&it| number.as_f64() == Some(it)).map(|it| it == 1)
            }
            Value::String(text) => match text.to_lowercase().as_str() {
                "true" | "1" | "on" | "yes" => Some(true),
                "false" | "0" | "off" | "no" => Some(false),
                _ => None,
            },
            _ => None,
        };
        known.ok_or_else(|| self.wrong(at, "has to be true or false"))
    }

    /// A whole number.
    pub(crate) fn whole(&self, at: usize) -> Result<i64, ScriptError> {
        let Kind::Whole(usual, _, [least, most]) = self.kind(at) else { return Ok(0) };
        let Some(value) = self.raw(at) else { return Ok(usual) };
        let number = match value {
            Value::Number(number) => number
                .as_i64()
                .or_else(|| number.as_f64().filter(|real| real.fract() == 0.0).map(|real| real as i64)),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.wrong(at, format!("has to be a whole number from {least} to {most}")))
    }

    /// A whole number of at least 0.
    pub(crate) fn pixels(&self, at: usize) -> Result<u32, ScriptError> {
        Ok(u32::try_from(self.whole(at)?).unwrap_or(0))
    }

    /// A number.
    pub(crate) fn real(&self, at: usize) -> Result<f64, ScriptError> {
        let Kind::Real(usual, _, [least, most]) = self.kind(at) else { return Ok(0.0) };
        let Some(value) = self.raw(at) else { return Ok(usual) };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.wrong(at, format!("has to be a number from {least} to {most}")))
    }

    /// A text. Numbers stand for what they look like.
    pub(crate) fn text(&self, at: usize) -> Result<String, ScriptError> {
        let usual = if let Kind::Text(usual) = self.kind(at) { usual } else { "" };
        match self.raw(at) {
            None => Ok(usual.to_owned()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(match number.as_f64() {
                Some(real) if number.is_f64() => python_float(real),
                _ => number.to_string(),
            }),
            Some(_) => Err(self.wrong(at, "has to be a text")),
        }
    }

    /// The place of the text that is chosen.
    pub(crate) fn choice(&self, at: usize) -> Result<usize, ScriptError> {
        let Kind::Choice(usual, choices) = self.kind(at) else { return Ok(0) };
        let place = |text: &str| choices.iter().position(|choice| *choice == text);
        let found = match self.raw(at) {
            None => place(usual),
            Some(Value::String(text)) => place(text),
            Some(Value::Number(number)) => {
                number.as_u64().map(|place| place as usize).filter(|&place| place < choices.len())
            }
            Some(_) => None,
        };
        found.ok_or_else(|| self.wrong(at, format!("has to be one of {}", choices.join(", "))))
    }

    /// Whether each of the texts is chosen.
    pub(crate) fn choices(&self, at: usize) -> Result<Vec<bool>, ScriptError> {
        let Kind::Choices(usual, choices) = self.kind(at) else { return Ok(Vec::new()) };
        let wrong = || self.wrong(at, format!("has to be a list of some of {}", choices.join(", ")));
        let chosen: Vec<&str> = match self.raw(at) {
            None => usual.to_vec(),
            Some(Value::Array(texts)) => {
                texts.iter().map(|text| text.as_str().ok_or_else(wrong)).collect::<Result<_, _>>()?
            }
            Some(_) => return Err(wrong()),
        };
        if chosen.iter().any(|text| !choices.contains(text)) {
            return Err(wrong());
        }
        Ok(choices.iter().map(|choice| chosen.contains(choice)).collect())
    }

    /// A thing of a list, by its name, in capitals or not, or by its place. `usual` is the place where nothing is said.
    pub(crate) fn named(&self, at: usize, names: &[String], usual: usize) -> Result<usize, ScriptError> {
        let found = match self.raw(at) {
            None => Some(usual),
            Some(Value::String(text)) => {
                let wanted = text.to_lowercase();
                names.iter().position(|name| name.to_lowercase() == wanted)
            }
            Some(Value::Number(number)) => number.as_u64().map(|place| place as usize),
            Some(_) => None,
        };
        let most = names.len().saturating_sub(1);
        found.filter(|&place| place < names.len()).ok_or_else(|| {
            self.wrong(at, format!("is not there: names are known, and places from 0 to {most}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Argument] = &[
        Argument { label: "Yes", kind: Kind::Flag(true) },
        Argument { label: "Pixels", kind: Kind::Whole(8, [0, 10, 1], [0, 99]) },
        Argument { label: "Share", kind: Kind::Real(0.5, [0.0, 1.0, 0.1], [0.0, 2.0]) },
        Argument { label: "Curve", kind: Kind::Choice("b", &["a", "b"]) },
        Argument { label: "", kind: Kind::Choices(&["a"], &["a", "b"]) },
        Argument { label: "Words", kind: Kind::Text("x") },
    ];

    fn with<T>(
        values: &Value,
        read: impl FnOnce(Arguments<'_>) -> Result<T, ScriptError>,
    ) -> Result<T, String> {
        let values = values.as_array().unwrap();
        Arguments::new("Test", TABLE, values).and_then(read).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_missing_is_as_usual() {
        let nothing = json!([null]);
        assert_eq!(with(&nothing, |it| it.flag(0)), Ok(true));
        assert_eq!(with(&nothing, |it| it.whole(1)), Ok(8));
        assert_eq!(with(&nothing, |it| it.real(2)), Ok(0.5));
        assert_eq!(with(&nothing, |it| it.choice(3)), Ok(1));
        assert_eq!(with(&nothing, |it| it.choices(4)), Ok(vec![true, false]));
        assert_eq!(with(&nothing, |it| it.text(5)), Ok("x".to_owned()));
    }

    #[test]
    fn values_are_read_as_clients_write_them() {
        let values = json!(["false", 7.0, "1", 0, ["b"], 2.5]);
        assert_eq!(with(&values, |it| it.flag(0)), Ok(false));
        assert_eq!(with(&values, |it| it.whole(1)), Ok(7));
        assert_eq!(with(&values, |it| it.real(2)), Ok(1.0));
        assert_eq!(with(&values, |it| it.choice(3)), Ok(0));
        assert_eq!(with(&values, |it| it.choices(4)), Ok(vec![false, true]));
        assert_eq!(with(&values, |it| it.text(5)), Ok("2.5".to_owned()));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let values = json!(["x", 100, {}, "c", ["a", "c"], []]);
        let told = |read: fn(Arguments<'_>) -> Option<ScriptError>| {
            with(&values, |it| Ok(read(it).map(|error| error.to_string()).unwrap_or_default())).unwrap()
        };
        assert_eq!(told(|it| it.flag(0).err()), "Test: \"Yes\" (argument 0) \"x\" has to be true or false");
        assert_eq!(
            told(|it| it.whole(1).err()),
            "Test: \"Pixels\" (argument 1) 100 has to be a whole number from 0 to 99"
        );
        assert_eq!(
            told(|it| it.real(2).err()),
            "Test: \"Share\" (argument 2) {} has to be a number from 0 to 2"
        );
        assert_eq!(told(|it| it.choice(3).err()), "Test: \"Curve\" (argument 3) \"c\" has to be one of a, b");
        assert_eq!(
            told(|it| it.choices(4).err()),
            "Test: argument 4 [\"a\",\"c\"] has to be a list of some of a, b"
        );
        assert_eq!(told(|it| it.text(5).err()), "Test: \"Words\" (argument 5) [] has to be a text");
        let many = json!([1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(
            with(&many, |it| it.flag(0)),
            Err("Test: script_args 7 are too many: it takes 6".to_owned())
        );
    }
}
