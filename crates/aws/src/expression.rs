//! DynamoDB update expressions, built part by part.

use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;

/// Attribute names and values of one expression, by placeholder.
#[derive(Default)]
pub(crate) struct Expression {
    set: String,
    remove: String,
    condition: String,
    /// Those that have a placeholder.
    names: Vec<String>,
    /// Each with its placeholder.
    values: Vec<(String, AttributeValue)>,
}

/// An expression as the SDK's builders take it.
pub(crate) struct Parts {
    pub update: String,
    pub condition: String,
    /// `None` where there would be none: DynamoDB refuses an empty map.
    pub names: Option<HashMap<String, String>>,
    pub values: HashMap<String, AttributeValue>,
}

impl Expression {
    /// A path as an expression has it; its steps are separated by dots, `attempts.1.state`.
    pub fn path(&mut self, path: &str) -> String {
        let mut steps = String::with_capacity(path.len() + 4);
        for name in path.split('.') {
            if !steps.is_empty() {
                steps.push('.');
            }
            if !is_of_words(name) {
                steps.push('#');
                if !self.names.iter().any(|known| known == name) {
                    self.names.push(name.to_owned());
                }
            }
            steps.push_str(name);
        }
        steps
    }

    /// The placeholder of a value. Equal values share one.
    pub fn value(&mut self, value: AttributeValue) -> String {
        if let Some((placeholder, _)) = self.values.iter().find(|(_, known)| *known == value) {
            return placeholder.clone();
        }
        let placeholder = format!(":v{}", self.values.len());
        self.values.push((placeholder.clone(), value));
        placeholder
    }

    pub fn set(&mut self, path: &str, value: AttributeValue) {
        let (path, value) = (self.path(path), self.value(value));
        add(&mut self.set, ", ", &[&path, " = ", &value]);
    }

    pub fn set_if_absent(&mut self, path: &str, value: AttributeValue) {
        let (path, value) = (self.path(path), self.value(value));
        add(&mut self.set, ", ", &[&path, " = if_not_exists(", &path, ", ", &value, ")"]);
    }

    pub fn increment(&mut self, path: &str) {
        let (path, one) = (self.path(path), self.value(number(1)));
        add(&mut self.set, ", ", &[&path, " = ", &path, " + ", &one]);
    }

    pub fn remove(&mut self, path: &str) {
        let path = self.path(path);
        add(&mut self.remove, ", ", &[&path]);
    }

    /// All conditions must hold.
    pub fn require(&mut self, condition: &str) {
        add(&mut self.condition, " AND ", &[condition]);
    }

    pub fn require_equal(&mut self, path: &str, value: AttributeValue) {
        self.compare(path, "=", value);
    }

    /// `path operator value`
    pub fn compare(&mut self, path: &str, operator: &str, value: AttributeValue) {
        let (path, value) = (self.path(path), self.value(value));
        add(&mut self.condition, " AND ", &[&path, " ", operator, " ", &value]);
    }

    pub fn finish(self) -> Parts {
        let mut update = String::new();
        for (clause, actions) in [("SET ", &self.set), ("REMOVE ", &self.remove)] {
            if !actions.is_empty() {
                add(&mut update, " ", &[clause, actions]);
            }
        }
        let names = self.names.into_iter().map(|name| (format!("#{name}"), name));
        let names = Some(names.collect()).filter(|names: &HashMap<_, _>| !names.is_empty());
        Parts { update, condition: self.condition, names, values: self.values.into_iter().collect() }
    }
}

/// One more of a list, of these parts.
fn add(list: &mut String, separator: &str, parts: &[&str]) {
    if !list.is_empty() {
        list.push_str(separator);
    }
    list.extend(parts.iter().copied());
}

/// Whether an expression may spell the name out: `createdAt`. A name of one word may be one that DynamoDB reserves, as
/// `status` is, and a number is no name to it. Hardly any reserved word could be written as several; that none of a
/// record's is one is tested.
///
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html>
fn is_of_words(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && name.bytes().all(|letter| letter.is_ascii_alphabetic())
        && letters.any(|letter| letter.is_ascii_uppercase())
}

pub(crate) fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(crate) fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_several_words_are_spelled_out_and_all_others_have_a_placeholder() {
        let mut expression = Expression::default();
        expression.set("attempts.1.nextAt", number(5));
        expression.set("status", string("READY"));
        expression.remove("requestDueAt");
        expression.compare("status", "<>", string("READY"));
        expression.compare("createdAt", ">", number(5));
        let Parts { update, condition, names, values } = expression.finish();
        assert_eq!(update, "SET #attempts.#1.nextAt = :v0, #status = :v1 REMOVE requestDueAt");
        assert_eq!(condition, "#status <> :v1 AND createdAt > :v0");
        let name = |name: &str| (format!("#{name}"), name.to_owned());
        assert_eq!(names, Some(["attempts", "1", "status"].map(name).into()));
        let value = |(place, value)| (format!(":v{place}"), value);
        assert_eq!(values, [(0, number(5)), (1, string("READY"))].map(value).into());
    }

    #[test]
    fn where_no_name_has_a_placeholder_there_are_no_names() {
        let mut expression = Expression::default();
        expression.require_equal("subjectHash", string("h"));
        assert_eq!(expression.finish().names, None);
    }
}
