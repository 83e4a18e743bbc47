//! Types that settings can have: how they are read from what a file, a variable, a flag or a client says.

use serde_json::Value;
use std::path::PathBuf;

/// What a value must keep to, beyond its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Nothing.
    Any,
    /// Least and greatest number.
    Range(f64, f64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A path below the data root: relative, without `..`.
    InsideDataRoot,
    /// The same, or nothing.
    EmptyOrInside,
    /// A colour as `#rrggbb` or `#rgb`.
    Colour,
    /// A path that stands in a URL as it is.
    UrlPath,
    /// Anything, and it is never shown.
    Secret,
}

/// One line of the table of settings.
#[derive(Debug, Clone)]
pub struct Row {
    /// Name, as in `impasto.toml` and in A1111.
    pub name: &'static str,
    /// Type, in words.
    pub kind: &'static str,
    /// Its value where nothing is said.
    pub default: Value,
    /// What it does.
    pub doc: &'static str,
    /// What a value must keep to.
    pub bound: Bound,
}

impl Row {
    /// What can be given, in words.
    pub fn expected(&self) -> String {
        match self.bound {
            Bound::Any | Bound::Secret => self.kind.to_owned(),
            Bound::Range(least, most) if most >= 1e15 => format!("{} of at least {least}", self.kind),
            Bound::Range(least, most) => format!("{} from {least} to {most}", self.kind),
            Bound::OneOf(choices) => format!("one of {}", choices.join(", ")),
            Bound::InsideDataRoot | Bound::EmptyOrInside => "a relative path without ..".to_owned(),
            Bound::Colour => "a colour such as #ffffff".to_owned(),
            Bound::UrlPath => {
                "a path such as /studio, of letters, digits and -._~ between single slashes, without .."
                    .to_owned()
            }
        }
    }

    /// Whether a value of the right type keeps to the bound.
    pub(crate) fn admits(&self, value: &Value) -> bool {
        match self.bound {
            Bound::Any | Bound::Secret => true,
            Bound::Range(least, most) => {
                value.is_null() || value.as_f64().is_some_and(|number| (least..=most).contains(&number))
            }
            Bound::OneOf(choices) => {
                value.is_null() || value.as_str().is_some_and(|text| choices.contains(&text))
            }
            Bound::InsideDataRoot => value.as_str().is_some_and(is_inside),
            Bound::EmptyOrInside => value.as_str().is_some_and(|path| path.is_empty() || is_inside(path)),
            Bound::Colour => value.as_str().is_some_and(is_colour),
            Bound::UrlPath => value.is_null() || value.as_str().is_some_and(is_url_path),
        }
    }
}

fn is_inside(path: &str) -> bool {
    let separators = ['/', '\\'];
    !path.is_empty()
        && !path.starts_with(separators)
        && !path.contains([':', '\0'])
        && path.split(separators).all(|part| part != "..")
}

fn is_colour(text: &str) -> bool {
    text.strip_prefix('#').is_some_and(|digits| {
        matches!(digits.len(), 3 | 6) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

/// Slashes at both ends may be left out; a slash alone is the path of everything.
fn is_url_path(path: &str) -> bool {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_segment =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(is_plain);
    path == "/" || inner.split('/').all(is_segment)
}

/// A type that settings can have.
pub(crate) trait SettingValue: Sized {
    /// Its name in words.
    const KIND: &'static str;
    /// The value that is meant, if it can be one. Texts stand for what they say: `"3"` is 3.
    fn read(value: &Value) -> Option<Self>;
    /// The value as JSON.
    fn show(&self) -> Value;
}

impl SettingValue for bool {
    const KIND: &'static str = "true or false";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => match number.as_f64()? {
                0.0 => Some(false),
                1.0 => Some(true),
                _ => None,
            },
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "on" | "yes" => Some(true),
                "0" | "false" | "off" | "no" | "" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    fn show(&self) -> Value {
        Value::from(*self)
    }
}

fn read_integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().filter(|real| real.fract() == 0.0).map(|real| real as i64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

macro_rules! integer_settings {
    ($($type:ty),+) => {$(
        impl SettingValue for $type {
            const KIND: &'static str = "an integer";

            fn read(value: &Value) -> Option<Self> {
                read_integer(value)?.try_into().ok()
            }

            fn show(&self) -> Value {
                Value::from(*self)
            }
        }
    )+};
}

integer_settings!(u8, u16, u32, u64, i64);

impl SettingValue for f64 {
    const KIND: &'static str = "a number";

    fn read(value: &Value) -> Option<Self> {
        let number = match value {
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    fn show(&self) -> Value {
        Value::from(*self)
    }
}

impl SettingValue for String {
    const KIND: &'static str = "text";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }

    fn show(&self) -> Value {
        Value::from(self.as_str())
    }
}

impl SettingValue for Vec<String> {
    const KIND: &'static str = "a list of texts";

    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
    }

    fn show(&self) -> Value {
        Value::from(self.as_slice())
    }
}

impl SettingValue for PathBuf {
    const KIND: &'static str = "a path";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().filter(|text| !text.is_empty()).map(Self::from)
    }

    fn show(&self) -> Value {
        Value::from(self.to_string_lossy())
    }
}

impl<T: SettingValue> SettingValue for Option<T> {
    const KIND: &'static str = T::KIND;

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            Value::String(text) if text.is_empty() => Some(None),
            other => T::read(other).map(Some),
        }
    }

    fn show(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::show)
    }
}
