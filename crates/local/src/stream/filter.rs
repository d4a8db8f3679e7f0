//! Filter patterns of an event source mapping: EventBridge's, as far as Lambda takes them.
//!
//! The operators: <https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html>, and what is special
//! to DynamoDB: <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-filtering.html>. Two things that surprise:
//! - `exists` sees leaves only. An attribute is an object (`{"S": …}`), so `"name": [{"exists": false}]` is true of
//!   every record; `"name": {"S": [{"exists": true}]}` is what asks for it.
//! - A number attribute is a string in a stream's record (`{"N": "5"}`), so `numeric` is true of none, and `[5]`
//!   does not match it where `["5"]` does.

use serde_json::{Map, Value};

/// One `Pattern`, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    fields: Fields,
}

/// Why a pattern is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not JSON.
    #[error("the pattern is not JSON")]
    Json(#[from] serde_json::Error),
    /// An operator that Lambda does not have, or that is not emulated.
    #[error("{at}: the operator {operator:?} is not known")]
    Operator {
        /// The path of the field.
        at: String,
        /// Its spelling in the pattern.
        operator: String,
    },
    /// Anything else that CreateEventSourceMapping would refuse.
    #[error("{at}: {problem}")]
    Shape {
        /// The path of the field; `$` for the pattern itself.
        at: String,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Filter {
    /// Parses the text of a `Pattern`.
    ///
    /// # Errors
    /// When it is no pattern, or has an operator that is not known.
    pub fn parse(pattern: &str) -> Result<Self, Error> {
        match serde_json::from_str(pattern)? {
            Value::Object(fields) => Ok(Self { fields: Fields::parse(&fields, "$")? }),
            _ => Err(shape("$", "a pattern must be an object")),
        }
    }

    /// Whether the record, with `eventName` and `dynamodb` at its top, is one that the function is to see.
    pub fn matches(&self, record: &Value) -> bool {
        self.fields.match_in(Some(record))
    }
}

/// An object of a pattern: every field must match, and one branch of `$or` where there is any.
#[derive(Clone, Debug, PartialEq)]
struct Fields {
    all: Vec<(String, Node)>,
    any: Vec<Fields>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Fields(Fields),
    /// Alternatives for one leaf.
    Tests(Vec<Test>),
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Equals(Value),
    EqualsIgnoreCase(String),
    Prefix(String),
    Suffix(String),
    AnythingBut(Vec<Value>),
    Numeric(Vec<(Comparison, f64)>),
    Exists(bool),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Fields {
    fn parse(fields: &Map<String, Value>, at: &str) -> Result<Self, Error> {
        if fields.is_empty() {
            return Err(shape(at, "an empty object matches nothing"));
        }
        let mut parsed = Self { all: Vec::new(), any: Vec::new() };
        for (name, value) in fields {
            let at = format!("{at}.{name}");
            match (name.as_str(), value) {
                ("$or", Value::Array(branches)) => {
                    for branch in branches {
                        let Value::Object(branch) = branch else {
                            return Err(shape(&at, "each branch must be an object"));
                        };
                        parsed.any.push(Self::parse(branch, &at)?);
                    }
                }
                (_, Value::Object(inner)) => {
                    parsed.all.push((name.clone(), Node::Fields(Self::parse(inner, &at)?)));
                }
                (_, Value::Array(tests)) if !tests.is_empty() => {
                    let tests = tests.iter().map(|test| Test::parse(test, &at)).collect::<Result<_, _>>()?;
                    parsed.all.push((name.clone(), Node::Tests(tests)));
                }
                _ => return Err(shape(&at, "a field must be an object or an array of alternatives")),
            }
        }
        Ok(parsed)
    }

    fn match_in(&self, node: Option<&Value>) -> bool {
        if let Some(Value::Array(items)) = node
            && !items.is_empty()
        {
            return items.iter().any(|item| self.match_in(Some(item)));
        }
        let all = self.all.iter().all(|(name, inner)| {
            let field = node.and_then(|node| node.get(name));
            match inner {
                Node::Fields(fields) => fields.match_in(field),
                Node::Tests(tests) => {
                    let leaves = leaves(field);
                    tests.iter().any(|test| test.is_met_by(&leaves))
                }
            }
        });
        all && (self.any.is_empty() || self.any.iter().any(|branch| branch.match_in(node)))
    }
}

impl Test {
    fn parse(test: &Value, at: &str) -> Result<Self, Error> {
        let Value::Object(test) = test else {
            return match test {
                Value::Array(_) => Err(shape(at, "an alternative must not be an array")),
                scalar => Ok(Self::Equals(scalar.clone())),
            };
        };
        let mut entries = test.iter();
        let (Some((operator, operand)), None) = (entries.next(), entries.next()) else {
            return Err(shape(at, "an alternative must have one operator"));
        };
        match (operator.as_str(), operand) {
            ("exists", Value::Bool(exists)) => Ok(Self::Exists(*exists)),
            ("prefix", Value::String(text)) => Ok(Self::Prefix(text.clone())),
            ("suffix", Value::String(text)) => Ok(Self::Suffix(text.clone())),
            ("equals-ignore-case", Value::String(text)) => Ok(Self::EqualsIgnoreCase(text.to_lowercase())),
            ("anything-but", Value::String(_) | Value::Number(_)) => {
                Ok(Self::AnythingBut(vec![operand.clone()]))
            }
            ("anything-but", Value::Array(values))
                if !values.is_empty()
                    && (values.iter().all(Value::is_string) || values.iter().all(Value::is_number)) =>
            {
                Ok(Self::AnythingBut(values.clone()))
            }
            ("numeric", Value::Array(range)) => Ok(Self::Numeric(range_of(range, at)?)),
            ("exists" | "prefix" | "suffix" | "equals-ignore-case" | "anything-but" | "numeric", _) => {
                Err(shape(at, "the operator does not take that operand"))
            }
            _ => Err(Error::Operator { at: at.to_owned(), operator: operator.clone() }),
        }
    }

    fn is_met_by(&self, leaves: &[&Value]) -> bool {
        match self {
            Self::Exists(exists) => *exists != leaves.is_empty(),
            test => leaves.iter().any(|leaf| test.is_met_by_leaf(leaf)),
        }
    }

    fn is_met_by_leaf(&self, leaf: &Value) -> bool {
        let text = leaf.as_str();
        match self {
            Self::Equals(value) => leaf == value,
            Self::EqualsIgnoreCase(lower) => text.is_some_and(|text| text.to_lowercase() == *lower),
            Self::Prefix(prefix) => text.is_some_and(|text| text.starts_with(prefix)),
            Self::Suffix(suffix) => text.is_some_and(|text| text.ends_with(suffix)),
            Self::AnythingBut(values) => !values.contains(leaf),
            Self::Numeric(bounds) => leaf.as_f64().is_some_and(|number| {
                bounds.iter().all(|(comparison, bound)| comparison.holds(number, *bound))
            }),
            Self::Exists(exists) => *exists,
        }
    }
}

impl Comparison {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "=" => Self::Equal,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn holds(self, number: f64, bound: f64) -> bool {
        match self {
            Self::Equal => number == bound,
            Self::Less => number < bound,
            Self::LessOrEqual => number <= bound,
            Self::Greater => number > bound,
            Self::GreaterOrEqual => number >= bound,
        }
    }
}

/// `[">", 10, "<=", 20]`.
fn range_of(range: &[Value], at: &str) -> Result<Vec<(Comparison, f64)>, Error> {
    let problem = "numeric takes one or two comparisons, each with a number";
    let (pairs, []) = range.as_chunks::<2>() else {
        return Err(shape(at, problem));
    };
    if !(1..=2).contains(&pairs.len()) {
        return Err(shape(at, problem));
    }
    pairs
        .iter()
        .map(|[comparison, bound]| {
            let comparison = comparison.as_str().and_then(Comparison::parse);
            comparison.zip(bound.as_f64()).ok_or_else(|| shape(at, problem))
        })
        .collect()
}

/// The scalars at a field: itself, or an array's, through arrays in arrays. An object is none.
fn leaves(field: Option<&Value>) -> Vec<&Value> {
    match field {
        None | Some(Value::Object(_)) => Vec::new(),
        Some(Value::Array(items)) => items.iter().flat_map(|item| leaves(Some(item))).collect(),
        Some(scalar) => vec![scalar],
    }
}

fn shape(at: &str, problem: &'static str) -> Error {
    Error::Shape { at: at.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record() -> Value {
        json!({
            "eventName": "MODIFY",
            "dynamodb": {
                "Keys": {"requestID": {"S": "r-1"}},
                "NewImage": {
                    "streamHint": {"S": "webhook"}, "version": {"N": "5"}, "gone": {"NULL": true},
                    "names": {"SS": ["alice", "bob"]}, "empty": {"S": ""},
                    "tries": {"L": [{"M": {"code": {"S": "a"}, "kind": {"S": "x"}}}, {"M": {"code": {"S": "b"}}}]},
                },
                "SizeBytes": 54,
            },
        })
    }

    fn matches(pattern: &Value) -> bool {
        Filter::parse(&pattern.to_string()).unwrap().matches(&record())
    }

    fn image(pattern: Value) -> Value {
        json!({"dynamodb": {"NewImage": pattern}})
    }

    #[test]
    fn a_pattern_matches_what_eventbridge_says_it_does() {
        let table = [
            // Exactly, one of several, all fields.
            (json!({"eventName": ["MODIFY"]}), true),
            (json!({"eventName": ["INSERT", "MODIFY"]}), true),
            (json!({"eventName": ["modify"]}), false),
            (json!({"eventName": [{"equals-ignore-case": "modify"}]}), true),
            (json!({"eventName": ["MODIFY"], "dynamodb": {"Keys": {"requestID": {"S": ["r-2"]}}}}), false),
            (image(json!({"streamHint": {"S": ["webhook"]}})), true),
            (image(json!({"streamHint": {"S": ["request"]}})), false),
            (image(json!({"empty": {"S": [""]}})), true),
            (image(json!({"gone": {"NULL": [true]}})), true),
            (image(json!({"gone": {"NULL": [null]}})), false),
            (image(json!({"none": {"S": [null]}})), false),
            // Numbers: an attribute's is text, the record's own are numbers.
            (image(json!({"version": {"N": ["5"]}})), true),
            (image(json!({"version": {"N": [5]}})), false),
            (image(json!({"version": {"N": [{"numeric": [">", 1]}]}})), false),
            (json!({"dynamodb": {"SizeBytes": [54]}}), true),
            (json!({"dynamodb": {"SizeBytes": [54.0]}}), false),
            (json!({"dynamodb": {"SizeBytes": [{"numeric": ["=", 54.0]}]}}), true),
            (json!({"dynamodb": {"SizeBytes": [{"numeric": [">", 10, "<=", 54]}]}}), true),
            (json!({"dynamodb": {"SizeBytes": [{"numeric": [">=", 10, "<", 54]}]}}), false),
            // A leaf that is there, or is not; an attribute's name is none.
            (image(json!({"streamHint": {"S": [{"exists": true}]}})), true),
            (image(json!({"streamHint": {"S": [{"exists": false}]}})), false),
            (image(json!({"none": {"S": [{"exists": false}]}})), true),
            (image(json!({"none": {"S": [{"exists": true}]}})), false),
            (image(json!({"streamHint": [{"exists": true}]})), false),
            (image(json!({"streamHint": [{"exists": false}]})), true),
            (json!({"dynamodb": {"OldImage": {"streamHint": {"S": [{"exists": false}]}}}}), true),
            // Beginnings, ends, anything else.
            (image(json!({"streamHint": {"S": [{"prefix": "web"}]}})), true),
            (image(json!({"streamHint": {"S": [{"prefix": "hook"}]}})), false),
            (image(json!({"streamHint": {"S": [{"suffix": "hook"}]}})), true),
            (image(json!({"streamHint": {"S": [{"anything-but": "request"}]}})), true),
            (image(json!({"streamHint": {"S": [{"anything-but": ["request", "webhook"]}]}})), false),
            (image(json!({"none": {"S": [{"anything-but": "request"}]}})), false),
            (json!({"dynamodb": {"SizeBytes": [{"anything-but": [1, 2]}]}}), true),
            // Arrays: any element; all fields in the same one.
            (image(json!({"names": {"SS": ["bob"]}})), true),
            (image(json!({"names": {"SS": ["carol"]}})), false),
            (image(json!({"tries": {"L": {"M": {"code": {"S": ["b"]}}}}})), true),
            (image(json!({"tries": {"L": {"M": {"code": {"S": ["b"]}, "kind": {"S": ["x"]}}}}})), false),
            // Or.
            (json!({"$or": [{"eventName": ["INSERT"]}, image(json!({"version": {"N": ["5"]}}))]}), true),
            (json!({"$or": [{"eventName": ["INSERT"]}, {"eventName": ["REMOVE"]}]}), false),
            (json!({"eventName": ["INSERT"], "$or": [{"eventName": ["MODIFY"]}]}), false),
        ];
        for (pattern, expected) in table {
            assert_eq!(matches(&pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for operator in ["wildcard", "cidr", "Exists"] {
            let pattern = json!({"dynamodb": {"NewImage": {"a": {"S": [{operator: "x"}]}}}}).to_string();
            let error = Filter::parse(&pattern).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("$.dynamodb.NewImage.a.S: the operator {operator:?} is not known")
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert!(matches!(Filter::parse("{eventName"), Err(Error::Json(_))));
        let patterns = [
            json!([]),
            json!({}),
            json!({"eventName": "INSERT"}),
            json!({"eventName": []}),
            json!({"eventName": [["INSERT"]]}),
            json!({"eventName": [{}]}),
            json!({"eventName": [{"prefix": "a", "suffix": "b"}]}),
            json!({"eventName": [{"prefix": 1}]}),
            json!({"eventName": [{"exists": "true"}]}),
            json!({"eventName": [{"anything-but": ["a", 1]}]}),
            json!({"eventName": [{"anything-but": {"prefix": "a"}}]}),
            json!({"eventName": [{"numeric": [">"]}]}),
            json!({"eventName": [{"numeric": ["!=", 1]}]}),
            json!({"eventName": [{"numeric": []}]}),
            json!({"$or": ["a"]}),
        ];
        for pattern in patterns {
            let parsed = Filter::parse(&pattern.to_string());
            assert!(matches!(parsed, Err(Error::Shape { .. })), "{pattern}: {parsed:?}");
        }
    }
}
