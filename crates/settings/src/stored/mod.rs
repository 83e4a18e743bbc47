//! Options of A1111's that are kept for clients' sake: checked, stored and given back, without an effect.

mod table;

use crate::SettingsError;
use crate::value::SettingValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use table::STORED;

/// Why an option does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is about A1111's page.
    Page,
    /// It is about what the engine decides for itself.
    Engine,
    /// It is about a part that is not in this version.
    Absent,
    /// It is about A1111's console and profiler.
    Console,
    /// It is about pictures given as links, which are not fetched. Clients cannot change it.
    NoLinks,
    /// It chooses between ways of which there is one here.
    Fixed,
    /// It would change pictures or files, and is not there yet: only its default is taken.
    NotYet,
}

impl Why {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Page => "about A1111's page; the page here remembers such things by itself",
            Self::Engine => "about memory, threads and precision, which the engine sees to",
            Self::Absent => "about a part that is not in this version",
            Self::Console => "about A1111's console and profiler",
            Self::NoLinks => "about pictures given as links, which are not fetched; clients cannot change it",
            Self::Fixed => {
                "a choice that this program does not have; docs/differences.md says where results differ"
            }
            Self::NotYet => "not there yet: only the default is taken",
        }
    }
}

/// An option's default, which also says what values it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Usual {
    Flag(bool),
    Whole(i64),
    Real(f64),
    Text(&'static str),
    Texts(&'static [&'static str]),
}

impl Usual {
    /// The default as JSON.
    pub(crate) fn show(self) -> Value {
        match self {
            Self::Flag(flag) => json!(flag),
            Self::Whole(number) => json!(number),
            Self::Real(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Texts(texts) => json!(texts),
        }
    }

    /// What can be given, in words.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Flag(_) => bool::KIND,
            Self::Whole(_) => i64::KIND,
            Self::Real(_) => f64::KIND,
            Self::Text(_) => String::KIND,
            Self::Texts(_) => "a list of texts",
        }
    }

    /// The value that is meant, if it can be one.
    fn read(self, value: &Value) -> Option<Value> {
        fn of<T: SettingValue>(value: &Value) -> Option<Value> {
            T::read(value).map(|read| read.show())
        }
        match self {
            Self::Flag(_) => of::<bool>(value),
            Self::Whole(_) => of::<i64>(value),
            Self::Real(_) => of::<f64>(value),
            Self::Text(_) => of::<String>(value),
            Self::Texts(_) => {
                value.as_array().filter(|texts| texts.iter().all(Value::is_string)).map(|_| value.clone())
            }
        }
    }
}

/// The rows of the table, for docs/settings.md.
pub(crate) fn rows() -> impl Iterator<Item = &'static (&'static str, Usual, Why)> {
    STORED.iter()
}

/// Why an option has no effect, if it has none, and whether that is for want of a part that is yet to come.
pub fn option_without_effect(name: &str) -> Option<(&'static str, bool)> {
    let &(.., why) = STORED.iter().find(|(known, ..)| *known == name)?;
    Some((why.text(), matches!(why, Why::Absent | Why::NotYet)))
}

/// Values of these options that are not the default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredOptions {
    changed: BTreeMap<&'static str, Value>,
}

impl StoredOptions {
    /// Changes an option by name.
    pub(crate) fn set(&mut self, name: &str, value: &Value) -> Result<(), SettingsError> {
        let row = STORED.iter().find(|(known, ..)| *known == name);
        let &(name, usual, why) = row.ok_or_else(|| SettingsError::Unknown(name.to_owned()))?;
        let bad = |expected| SettingsError::BadValue { name, value: value.to_string(), expected };
        let read = usual.read(value).ok_or_else(|| bad(usual.expected().to_owned()))?;
        if read == usual.show() {
            self.changed.remove(name);
            return Ok(());
        }
        match why {
            Why::NotYet => Err(bad(format!("{}, the one value that is there yet", usual.show()))),
            Why::NoLinks => Ok(()),
            _ => {
                self.changed.insert(name, read);
                Ok(())
            }
        }
    }

    /// Adds all values to `values`.
    pub(crate) fn show(&self, values: &mut Map<String, Value>) {
        for &(name, usual, _) in STORED {
            values.insert(name.to_owned(), self.changed.get(name).cloned().unwrap_or_else(|| usual.show()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use std::collections::HashSet;

    #[test]
    fn every_name_stands_once() {
        let mut names: HashSet<&str> = Options::rows().iter().map(|row| row.name).collect();
        for (name, usual, _) in rows() {
            assert!(names.insert(name), "{name}");
            assert_eq!(usual.read(&usual.show()), Some(usual.show()), "{name}");
        }
    }

    #[test]
    fn values_are_checked_and_kept() {
        let mut options = Options::default();
        let set = |options: &mut Options, name: &str, value: Value| {
            options.set(name, &value).map_err(|error| error.to_string())
        };
        set(&mut options, "gallery_height", json!("50vh")).unwrap();
        set(&mut options, "quicksettings_list", json!(["a", "b"])).unwrap();
        set(&mut options, "send_seed", json!("false")).unwrap();
        set(&mut options, "localization", Value::Null).unwrap_err();
        let shown = options.show();
        assert_eq!(
            (&shown["gallery_height"], &shown["quicksettings_list"], &shown["send_seed"]),
            (&json!("50vh"), &json!(["a", "b"]), &json!(false))
        );
        set(&mut options, "gallery_height", json!("")).unwrap();
        assert_eq!(options.show()["gallery_height"], json!(""));
        for (name, value, wanted) in [
            ("send_seed", json!("perhaps"), "setting send_seed is \"perhaps\", which is not true or false"),
            (
                "quicksettings_list",
                json!([1]),
                "setting quicksettings_list is [1], which is not a list of texts",
            ),
        ] {
            assert_eq!(set(&mut options, name, value).unwrap_err(), wanted);
        }
    }

    #[test]
    fn links_stay_forbidden() {
        let mut options = Options::default();
        options.set("api_forbid_local_requests", &json!(false)).unwrap();
        assert_eq!(options.show()["api_forbid_local_requests"], json!(true));
    }
}
