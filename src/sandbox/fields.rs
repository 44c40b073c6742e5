//! Reads the fields of a JSON object with the types that the documents give them: no number in a string, no null.

use serde_json::{Map, Value};

use super::answer::{Refusal, invalid};

pub(super) struct Fields<'a> {
    path: &'static str,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value) -> Result<Self, Refusal> {
        let map = value.as_object().ok_or_else(|| invalid("json_type", "The request body is not a JSON object"))?;
        Ok(Self { path: "", map })
    }

    pub(super) fn object(&self, path: &'static str) -> Result<Fields<'a>, Refusal> {
        let value = self.map.get(path).ok_or_else(|| missing("", path))?;
        let map = value.as_object().ok_or_else(|| wrong("", path, "an object"))?;
        Ok(Fields { path, map })
    }

    fn typed<T>(&self, name: &str, kind: &str, get: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, Refusal> {
        match self.map.get(name) {
            None => Ok(None),
            Some(value) => Ok(Some(get(value).ok_or_else(|| wrong(self.path, name, kind))?)),
        }
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        self.typed(name, "a string", Value::as_str)
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Refusal> {
        self.typed(name, "a boolean", Value::as_bool)
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        self.typed(name, "an integer", Value::as_i64)
    }

    pub(super) fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, Refusal> {
        value.ok_or_else(|| missing(self.path, name))
    }
}

fn missing(path: &str, name: &str) -> Refusal {
    invalid("field_missing", format!("The field {path}{}{name} is missing", dot(path)))
}

fn wrong(path: &str, name: &str, kind: &str) -> Refusal {
    invalid("json_type", format!("The field {path}{}{name} is not {kind}", dot(path)))
}

fn dot(path: &str) -> &'static str {
    if path.is_empty() { "" } else { "." }
}
