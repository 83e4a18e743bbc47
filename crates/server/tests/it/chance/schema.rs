//! The description of the interfaces as a thing to draw requests from and to hold answers against: as much of JSON schema as
//! it uses.

use serde_json::{Map, Value};

/// The whole description.
pub(crate) struct Description(Value);

/// A route: its method, path, and what the description says of it.
pub(crate) struct Route<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    about: &'a Value,
}

impl Description {
    pub(crate) fn read() -> Self {
        Self(serde_json::to_value(impasto_server::openapi()).unwrap())
    }

    /// All routes, in the order of their paths.
    pub(crate) fn routes(&self) -> Vec<Route<'_>> {
        let mut routes = Vec::new();
        for (path, item) in self.0["paths"].as_object().unwrap() {
            for (method, about) in item.as_object().unwrap() {
                routes.push(Route { method, path, about });
            }
        }
        routes
    }

    /// The fields of a route's body.
    pub(crate) fn fields(&self, route: &Route<'_>) -> Option<Map<String, Value>> {
        let schema = route.about["requestBody"]["content"]["application/json"].get("schema")?;
        let mut fields = Map::new();
        self.collect(schema, &mut fields);
        Some(fields)
    }

    fn collect(&self, schema: &Value, fields: &mut Map<String, Value>) {
        let schema = self.resolve(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.collect(part, fields);
        }
        fields.extend(schema["properties"].as_object().cloned().unwrap_or_default());
    }

    pub(crate) fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(name) => &self.0["components"]["schemas"][name.rsplit('/').next().unwrap()],
            None => schema,
        }
    }

    /// What is wrong with an answer, if anything is.
    pub(crate) fn fault(&self, route: &Route<'_>, status: u16, body: &[u8]) -> Option<String> {
        let responses = &route.about["responses"];
        let Some(response) = responses.get(status.to_string()) else {
            return Some(format!("status {status} is not described"));
        };
        let schema = response["content"]["application/json"].get("schema")?;
        let body: Value = match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(error) => return Some(format!("not JSON: {error}")),
        };
        self.mismatch(schema, &body, "")
    }

    /// Where a value does not have a schema.
    fn mismatch(&self, schema: &Value, value: &Value, at: &str) -> Option<String> {
        let schema = self.resolve(schema);
        let parts = |name: &str| schema[name].as_array();
        if let Some(parts) = parts("allOf") {
            return parts.iter().find_map(|part| self.mismatch(part, value, at));
        }
        if let Some(parts) = parts("oneOf").or(parts("anyOf")) {
            let fits = parts.iter().any(|part| self.mismatch(part, value, at).is_none());
            return (!fits).then(|| format!("{at}: fits none of the kinds; "));
        }
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(kind) => vec![kind],
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => return None,
        };
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let whole = kind == "integer" && kinds.contains(&"number");
        if !kinds.contains(&kind) && !whole {
            return Some(format!("{at}: {kind} is none of {kinds:?}; "));
        }
        let missing = parts("required").into_iter().flatten().filter_map(Value::as_str);
        if let Some(name) = missing.into_iter().find(|name| kind == "object" && value.get(name).is_none()) {
            return Some(format!("{at}: {name} is missing; "));
        }
        let items = value.as_array().into_iter().flatten().enumerate();
        let fields = schema["properties"].as_object().into_iter().flatten();
        let in_items = items.filter_map(|(number, item)| {
            self.mismatch(schema.get("items")?, item, &format!("{at}[{number}]"))
        });
        let in_fields = fields
            .filter_map(|(name, schema)| self.mismatch(schema, value.get(name)?, &format!("{at}.{name}")));
        in_items.chain(in_fields).next()
    }
}
