//! The CloudFormation template, read as JSON: what runs locally is made from what is deployed.

use std::io;
use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

/// A parsed template. Intrinsics stand in their long form: `!Ref Name` is `{"Ref": "Name"}`, `!Sub text` is
/// `{"Fn::Sub": "text"}`. Nothing is resolved.
#[derive(Clone, Debug)]
pub struct Template {
    root: Value,
}

/// Why there is no template.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("the template {} cannot be read", path.display())]
    Read {
        /// The file that was asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not YAML.
    #[error("the template is not YAML")]
    Syntax(#[source] saphyr::ScanError),
    /// The text is YAML that CloudFormation would not take: several documents, aliases, or no mapping at all.
    #[error("the template is no CloudFormation template: {0}")]
    Shape(&'static str),
}

/// A resource of the template.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    /// Its logical id.
    pub id: &'a str,
    /// Its `Properties`; null where there are none.
    pub properties: &'a Value,
}

impl Template {
    /// Reads and parses a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Parses a template's text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let documents = Yaml::load_from_str(text).map_err(Error::Syntax)?;
        let [document] = documents.as_slice() else {
            return Err(Error::Shape("it must be one YAML document"));
        };
        let root = json(document)?;
        if !root.is_object() {
            return Err(Error::Shape("it must be a mapping"));
        }
        Ok(Self { root })
    }

    /// The whole template.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The resources of one `Type`, in the template's order.
    pub fn resources<'a>(&'a self, kind: &str) -> impl Iterator<Item = Resource<'a>> {
        let resources = self.root["Resources"].as_object();
        resources
            .into_iter()
            .flatten()
            .filter(move |(_, resource)| resource["Type"] == kind)
            .map(|(id, resource)| Resource { id, properties: &resource["Properties"] })
    }
}

/// The logical id and the attribute of `Fn::GetAtt`, in its string or its array form.
pub fn get_att(value: &Value) -> Option<(&str, &str)> {
    match value.get("Fn::GetAtt")? {
        Value::String(text) => text.split_once('.'),
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(id), Value::String(attribute)] => Some((id, attribute)),
            _ => None,
        },
        _ => None,
    }
}

fn json(node: &Yaml) -> Result<Value, Error> {
    match node {
        Yaml::Value(scalar) => scalar_json(scalar),
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(entries) => {
            let mut object = Map::new();
            for (key, value) in entries {
                object.insert(key_text(key)?, json(value)?);
            }
            Ok(Value::Object(object))
        }
        Yaml::Tagged(tag, value) => {
            let name = match tag.suffix.as_str() {
                "Ref" => "Ref".to_owned(),
                "Condition" => "Condition".to_owned(),
                suffix => format!("Fn::{suffix}"),
            };
            Ok(Value::Object(Map::from_iter([(name, json(value)?)])))
        }
        Yaml::Alias(_) => Err(Error::Shape("it must have no aliases")),
        Yaml::Representation(..) | Yaml::BadValue => Err(Error::Shape("a value contradicts its tag")),
    }
}

fn scalar_json(scalar: &Scalar) -> Result<Value, Error> {
    Ok(match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => Value::Bool(*value),
        Scalar::Integer(value) => Value::from(*value),
        Scalar::FloatingPoint(value) => Value::from(value.into_inner()),
        Scalar::String(value) => Value::from(value.as_ref()),
    })
}

/// Keys are strings to CloudFormation, also those that look like numbers (`Mappings` by account id).
fn key_text(key: &Yaml) -> Result<String, Error> {
    match json(key)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(Error::Shape("a key must be a scalar")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn short_intrinsics_are_read_as_their_long_form() {
        let template = Template::parse(
            "Resources:\n\
             \x20 One:\n\
             \x20   Type: T\n\
             \x20   Properties: { A: !Ref B, C: !Sub '${D}-x', E: !GetAtt F.G, H: !If [I, 1, !Ref 'AWS::NoValue'] }\n\
             \x20 Other: { Type: U }\n\
             \x20 Two: { Type: T }\n",
        )
        .unwrap();

        let found: Vec<_> = template.resources("T").map(|r| (r.id, r.properties.clone())).collect();
        let expected = json!({
            "A": {"Ref": "B"},
            "C": {"Fn::Sub": "${D}-x"},
            "E": {"Fn::GetAtt": "F.G"},
            "H": {"Fn::If": ["I", 1, {"Ref": "AWS::NoValue"}]},
        });
        assert_eq!(found, [("One", expected), ("Two", Value::Null)]);
    }

    #[test]
    fn both_forms_of_an_attribute_are_read() {
        assert_eq!(get_att(&json!({"Fn::GetAtt": "Table.StreamArn"})), Some(("Table", "StreamArn")));
        assert_eq!(get_att(&json!({"Fn::GetAtt": ["Queue", "Arn"]})), Some(("Queue", "Arn")));
        for other in [json!({"Ref": "Queue"}), json!("Queue.Arn"), json!({"Fn::GetAtt": ["Queue"]})] {
            assert_eq!(get_att(&other), None);
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        assert!(matches!(Template::parse("a: [1"), Err(Error::Syntax(_))));
        assert!(matches!(Template::parse("- a\n- b"), Err(Error::Shape(_))));
        assert!(matches!(Template::parse(""), Err(Error::Shape(_))));
        assert!(matches!(Template::read(Path::new("no/such/file")), Err(Error::Read { .. })));
    }
}
