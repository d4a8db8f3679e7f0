//! DynamoDB update expressions, built part by part.

use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;

/// Attribute names and values of one expression, by placeholder. Every name gets one, so that none can meet a
/// reserved word.
#[derive(Default)]
pub(crate) struct Expression {
    set: Vec<String>,
    remove: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

/// An expression as the SDK's builders take it.
pub(crate) struct Parts {
    pub update: String,
    pub condition: String,
    pub names: HashMap<String, String>,
    pub values: HashMap<String, AttributeValue>,
}

impl Expression {
    /// The placeholder of a path; its steps are separated by dots, `attempts.1.state`.
    pub fn path(&mut self, path: &str) -> String {
        let mut placeholders = String::with_capacity(path.len() + 4);
        for name in path.split('.') {
            if !placeholders.is_empty() {
                placeholders.push('.');
            }
            let start = placeholders.len();
            placeholders.push('#');
            placeholders.push_str(name);
            let placeholder = placeholders.get(start..).unwrap_or_default();
            if !self.names.contains_key(placeholder) {
                self.names.insert(placeholder.to_owned(), name.to_owned());
            }
        }
        placeholders
    }

    /// The placeholder of a value.
    pub fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    pub fn set(&mut self, path: &str, value: AttributeValue) {
        let (path, value) = (self.path(path), self.value(value));
        self.set.push(format!("{path} = {value}"));
    }

    pub fn set_if_absent(&mut self, path: &str, value: AttributeValue) {
        let (path, value) = (self.path(path), self.value(value));
        self.set.push(format!("{path} = if_not_exists({path}, {value})"));
    }

    pub fn increment(&mut self, path: &str) {
        let (path, one) = (self.path(path), self.value(number(1)));
        self.set.push(format!("{path} = {path} + {one}"));
    }

    pub fn remove(&mut self, path: &str) {
        let path = self.path(path);
        self.remove.push(path);
    }

    /// All conditions must hold.
    pub fn require(&mut self, condition: String) {
        self.conditions.push(condition);
    }

    pub fn require_equal(&mut self, path: &str, value: AttributeValue) {
        self.compare(path, "=", value);
    }

    /// `path operator value`
    pub fn compare(&mut self, path: &str, operator: &str, value: AttributeValue) {
        let (path, value) = (self.path(path), self.value(value));
        self.require(format!("{path} {operator} {value}"));
    }

    pub fn finish(self) -> Parts {
        let mut update = String::new();
        if !self.set.is_empty() {
            update = format!("SET {}", self.set.join(", "));
        }
        if !self.remove.is_empty() {
            let gap = if update.is_empty() { "" } else { " " };
            update = format!("{update}{gap}REMOVE {}", self.remove.join(", "));
        }
        Parts { update, condition: self.conditions.join(" AND "), names: self.names, values: self.values }
    }
}

pub(crate) fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(crate) fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}
