//! Reading JSON values as other types, as pydantic v1 does, which A1111's interface stands on: `"3"`, `3.7` and `true`
//! are integers, `1` and `"on"` are true, `5` is a text.

use crate::ValidationError;
use crate::error::shortened;
use impasto_domain::python_float;
use serde_json::{Map, Value};

/// Why a value cannot be read: message and kind of error, and where inside the value.
pub(crate) struct Refusal {
    message: &'static str,
    kind: &'static str,
    index: Option<usize>,
}

const fn refuse(message: &'static str, kind: &'static str) -> Refusal {
    Refusal { message, kind, index: None }
}

/// A type that fields of a request can have.
pub(crate) trait Coerce: Sized {
    /// Reads a value that is not null. What is large is taken out of it rather than copied.
    fn coerce(value: &mut Value) -> Result<Self, Refusal>;

    /// Reads a value that may be null.
    fn coerce_nullable(value: &mut Value) -> Result<Self, Refusal> {
        if value.is_null() {
            return Err(refuse("none is not an allowed value", "type_error.none.not_allowed"));
        }
        Self::coerce(value)
    }
}

/// Takes a field, or keeps `default` when it is absent. What is wrong with it is added to `errors`.
pub(crate) fn read_field<T: Coerce>(
    body: &mut Map<String, Value>,
    name: &str,
    default: T,
    errors: &mut Vec<ValidationError>,
) -> T {
    let Some(value) = body.get_mut(name) else { return default };
    T::coerce_nullable(value).unwrap_or_else(|refusal| {
        let mut loc = vec![Value::from("body"), Value::from(name)];
        loc.extend(refusal.index.map(Value::from));
        errors.push(ValidationError {
            loc,
            msg: refusal.message.to_owned(),
            kind: refusal.kind.to_owned(),
            input: Some(shortened(value)),
        });
        default
    })
}

impl Coerce for i64 {
    fn coerce(value: &mut Value) -> Result<Self, Refusal> {
        const REFUSAL: Refusal = refuse("value is not a valid integer", "type_error.integer");
        /// Beyond it, 64-bit floats and integers part.
        const MOST: f64 = 9.2e18;
        match value {
            Value::Bool(flag) => Ok(Self::from(*flag)),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Ok(integer),
                (None, Some(real)) if real.abs() < MOST => Ok(real as Self),
                _ => Err(REFUSAL),
            },
            Value::String(text) => text.trim().parse().map_err(|_| REFUSAL),
            _ => Err(REFUSAL),
        }
    }
}

impl Coerce for f64 {
    fn coerce(value: &mut Value) -> Result<Self, Refusal> {
        const REFUSAL: Refusal = refuse("value is not a valid float", "type_error.float");
        match value {
            Value::Bool(flag) => Ok(Self::from(u8::from(*flag))),
            Value::Number(number) => number.as_f64().ok_or(REFUSAL),
            Value::String(text) => text.trim().parse().map_err(|_| REFUSAL),
            _ => Err(REFUSAL),
        }
    }
}

impl Coerce for bool {
    fn coerce(value: &mut Value) -> Result<Self, Refusal> {
        let known = match value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => match number.as_f64() {
                Some(0.0) => Some(false),
                Some(1.0) => Some(true),
                _ => None,
            },
            Value::String(text) => match text.to_lowercase().as_str() {
                "1" | "on" | "t" | "true" | "y" | "yes" => Some(true),
                "0" | "off" | "f" | "false" | "n" | "no" => Some(false),
                _ => None,
            },
            _ => None,
        };
        known.ok_or(refuse("value could not be parsed to a boolean", "type_error.bool"))
    }
}

impl Coerce for String {
    fn coerce(value: &mut Value) -> Result<Self, Refusal> {
        match value {
            Value::String(text) => Ok(std::mem::take(text)),
            Value::Bool(flag) => Ok(if *flag { "True" } else { "False" }.to_owned()),
            Value::Number(number) => Ok(match number.as_f64() {
                Some(real) if number.is_f64() => python_float(real),
                _ => number.to_string(),
            }),
            _ => Err(refuse("str type expected", "type_error.str")),
        }
    }
}

impl Coerce for Vec<Value> {
    fn coerce(value: &mut Value) -> Result<Self, Refusal> {
        value.as_array_mut().map(std::mem::take).ok_or(refuse("value is not a valid list", "type_error.list"))
    }
}

impl Coerce for Vec<String> {
    fn coerce(value: &mut Value) -> Result<Self, Refusal> {
        let items = value.as_array_mut().ok_or(refuse("value is not a valid list", "type_error.list"))?;
        let read = |(index, item): (usize, &mut Value)| {
            String::coerce_nullable(item).map_err(|refusal| Refusal { index: Some(index), ..refusal })
        };
        items.iter_mut().enumerate().map(read).collect()
    }
}

impl Coerce for Map<String, Value> {
    fn coerce(value: &mut Value) -> Result<Self, Refusal> {
        value
            .as_object_mut()
            .map(std::mem::take)
            .ok_or(refuse("value is not a valid dict", "type_error.dict"))
    }
}

impl<T: Coerce> Coerce for Option<T> {
    fn coerce(value: &mut Value) -> Result<Self, Refusal> {
        T::coerce(value).map(Some)
    }

    fn coerce_nullable(value: &mut Value) -> Result<Self, Refusal> {
        if value.is_null() { Ok(None) } else { Self::coerce(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read<T: Coerce>(mut value: Value) -> Result<T, String> {
        T::coerce_nullable(&mut value).map_err(|refusal| refusal.kind.to_owned())
    }

    #[test]
    fn integers() {
        for (value, wanted) in [
            (json!("3"), 3),
            (json!(" -7 "), -7),
            (json!(3.7), 3),
            (json!(-3.7), -3),
            (json!(true), 1),
            (json!(4_294_967_294_u64), 4_294_967_294),
        ] {
            assert_eq!(read::<i64>(value.clone()), Ok(wanted), "{value}");
        }
        for value in [json!("3.7"), json!(""), json!([]), json!({}), json!(1e30), json!(u64::MAX)] {
            assert_eq!(read::<i64>(value.clone()), Err("type_error.integer".to_owned()), "{value}");
        }
        assert_eq!(read::<i64>(Value::Null), Err("type_error.none.not_allowed".to_owned()));
        assert_eq!(read::<Option<i64>>(Value::Null), Ok(None));
    }

    #[test]
    fn floats_booleans_and_texts() {
        assert_eq!(read::<f64>(json!(7)), Ok(7.0));
        assert_eq!(read::<f64>(json!("0.5")), Ok(0.5));
        assert!(read::<f64>(json!("nan")).unwrap().is_nan());
        assert_eq!(read::<f64>(json!("x")), Err("type_error.float".to_owned()));
        for value in [json!(1), json!(1.0), json!("ON"), json!("t"), json!("yes"), json!(true)] {
            assert_eq!(read::<bool>(value.clone()), Ok(true), "{value}");
        }
        for value in [json!(2), json!("maybe"), json!([])] {
            assert_eq!(read::<bool>(value.clone()), Err("type_error.bool".to_owned()), "{value}");
        }
        assert_eq!(read::<String>(json!(5)), Ok("5".to_owned()));
        assert_eq!(read::<String>(json!(5.0)), Ok("5.0".to_owned()));
        assert_eq!(read::<String>(json!(true)), Ok("True".to_owned()));
        assert_eq!(read::<String>(json!(["a"])), Err("type_error.str".to_owned()));
    }

    #[test]
    fn lists_name_the_item() {
        let mut errors = Vec::new();
        let mut body = json!({ "styles": ["a", 1, {}], "dict": 3 });
        let body = body.as_object_mut().unwrap();
        assert_eq!(read_field::<Option<Vec<String>>>(body, "styles", None, &mut errors), None);
        assert_eq!(read_field::<Option<Map<String, Value>>>(body, "dict", None, &mut errors), None);
        assert_eq!(read_field::<i64>(body, "absent", 5, &mut errors), 5);
        insta::assert_snapshot!(
            json!(errors),
            @r#"[{"loc":["body","styles",2],"msg":"str type expected","type":"type_error.str","input":"a list of 3"},{"loc":["body","dict"],"msg":"value is not a valid dict","type":"type_error.dict","input":3}]"#
        );
    }
}
