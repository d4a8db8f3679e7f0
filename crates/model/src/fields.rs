//! Reads a JSON object field by field and remembers everything that is wrong with it.

use crate::problem::{FieldError, pointer_token};
use serde_json::{Map, Value};

/// RFC 7493 §2.2.
const MAX_INTEGER: u64 = 9_007_199_254_740_991;

/// Collects every bad field, so that a caller mends them all at once.
#[derive(Default)]
pub(crate) struct Errors(Vec<FieldError>);

impl Errors {
    pub fn push(&mut self, pointer: &str, detail: impl Into<String>) {
        self.0.push(FieldError::at(pointer, detail));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn into_vec(self) -> Vec<FieldError> {
        self.0
    }
}

/// One JSON object under way: fields are taken by name, and those that nobody took are unknown.
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// JSON Pointer of the object itself, empty for the root.
    at: String,
    taken: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// `None`, with an error, if `value` is no object.
    pub fn of(value: &'a Value, at: &str, errors: &mut Errors) -> Option<Self> {
        match value {
            Value::Object(object) => Some(Self { object, at: at.to_owned(), taken: Vec::new() }),
            _ => {
                errors.push(at, "must be a JSON object");
                None
            }
        }
    }

    pub fn pointer(&self, name: &str) -> String {
        format!("{}/{}", self.at, pointer_token(name))
    }

    /// The field's value. `null` means absent, as it does for LogRocket's own clients.
    pub fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.taken.push(name);
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Text of 1 to `max` characters that is not all white space.
    pub fn text(&mut self, name: &'static str, max: usize, errors: &mut Errors) -> Option<String> {
        let value = self.take(name)?;
        let Some(text) = value.as_str() else {
            errors.push(&self.pointer(name), "must be a string");
            return None;
        };
        if text.trim().is_empty() {
            errors.push(&self.pointer(name), "must not be empty");
            return None;
        }
        let length = text.chars().count();
        if length > max {
            let detail = format!("must have at most {max} characters, has {length}");
            errors.push(&self.pointer(name), detail);
            return None;
        }
        Some(text.to_owned())
    }

    pub fn boolean(&mut self, name: &'static str, errors: &mut Errors) -> Option<bool> {
        let value = self.take(name)?;
        let boolean = value.as_bool();
        if boolean.is_none() {
            errors.push(&self.pointer(name), "must be true or false");
        }
        boolean
    }

    /// An integer that every reader of JSON takes for the same: beyond 53 bits, JavaScript takes it for a neighbour.
    pub fn integer(&mut self, name: &'static str, errors: &mut Errors) -> Option<i64> {
        let value = self.take(name)?;
        let integer = whole_number(value).filter(|integer| integer.unsigned_abs() <= MAX_INTEGER);
        if integer.is_none() {
            errors.push(&self.pointer(name), format!("must be an integer of at most {MAX_INTEGER}"));
        }
        integer
    }

    /// A number that other systems write as a JSON number or as a string of digits.
    pub fn digits(&mut self, name: &'static str, errors: &mut Errors) -> Option<String> {
        let value = self.take(name)?;
        let digits = match value {
            Value::Number(_) => natural_number(value).map(|number| number.to_string()),
            Value::String(text) => Some(text.clone()).filter(|text| {
                (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
            }),
            _ => None,
        };
        if digits.is_none() {
            errors.push(&self.pointer(name), "must be a whole number or a string of digits");
        }
        digits
    }

    /// Complains of every field that nobody took, by name.
    pub fn refuse_unknown(self, errors: &mut Errors) {
        for name in self.object.keys().filter(|name| !self.taken.contains(&name.as_str())) {
            let mut known = self.taken.clone();
            known.dedup();
            let detail = format!("unknown field; known are {}", known.join(", "));
            errors.push(&self.pointer(name), detail);
        }
    }
}

/// A JSON number without a fraction, however it is written: JavaScript cannot tell `1715481030000.0` from an integer.
pub(crate) fn whole_number(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| {
        let float = value.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT)?;
        // Exact within that range.
        Some(float as i64)
    })
}

/// A whole number that is not negative, up to the greatest `u64`.
pub(crate) fn natural_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| whole_number(value)?.try_into().ok())
}
