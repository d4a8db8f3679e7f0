//! The secrets, read from JSON objects that are merged: the same shape from every source.

use crate::token::{ApiTokens, CallbackKeys};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{SecretSlice, SecretString};
use serde_json::{Map, Value};

/// A key shorter than this can be guessed.
pub const MIN_KEY_BYTES: usize = 32;

/// A secret that is missing or malformed, by the name of its field; never its value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadSecret {
    #[error("{field} is missing from the secret")]
    Missing { field: &'static str },
    #[error("{field} in the secret {problem}")]
    Malformed { field: String, problem: String },
    #[error("{source_name} is not a JSON object")]
    NotAnObject { source_name: String },
}

/// What request λ needs.
#[derive(Clone, Debug)]
pub struct RequestSecrets {
    /// `org:app:secret`
    pub log_rocket_api_key: SecretString,
    pub callback_keys: CallbackKeys,
    pub api_tokens: ApiTokens,
}

/// What webhook λ needs.
#[derive(Clone, Debug)]
pub struct WebhookSecrets {
    pub callback_keys: CallbackKeys,
}

/// The merged JSON of all sources, not yet looked at.
#[derive(Clone, Default)]
pub struct SecretDocument(Map<String, Value>);

impl SecretDocument {
    /// Adds one source: objects are merged deeply, anything else of a later source replaces an earlier.
    /// `source_name` is told when the text is no JSON object.
    pub fn merge(&mut self, source_name: &str, json: &str) -> Result<(), BadSecret> {
        match serde_json::from_str(json) {
            Ok(Value::Object(object)) => {
                merge(&mut self.0, object);
                Ok(())
            }
            _ => Err(BadSecret::NotAnObject { source_name: source_name.to_owned() }),
        }
    }

    pub fn for_request(&self) -> Result<RequestSecrets, BadSecret> {
        Ok(RequestSecrets {
            log_rocket_api_key: self.api_key()?,
            callback_keys: self.callback_keys()?,
            api_tokens: self.api_tokens()?,
        })
    }

    pub fn for_webhook(&self) -> Result<WebhookSecrets, BadSecret> {
        Ok(WebhookSecrets { callback_keys: self.callback_keys()? })
    }

    fn api_key(&self) -> Result<SecretString, BadSecret> {
        let field = "logRocketAPIKey";
        let key = text(field, self.0.get(field).ok_or(BadSecret::Missing { field })?)?;
        // It goes into a header: a line feed pasted along with it would break every request.
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed(field, "holds white space or other than visible ASCII characters"));
        }
        Ok(SecretString::from(key))
    }

    /// `callbackKeys`, base64, newest first; then `callbackKey`, a plain string as Secrets Manager makes it.
    fn callback_keys(&self) -> Result<CallbackKeys, BadSecret> {
        let mut keys = Vec::new();
        if let Some(list) = self.0.get("callbackKeys") {
            let list = list
                .as_array()
                .ok_or_else(|| malformed("callbackKeys", "must be an array of base64 strings"))?;
            for (index, key) in list.iter().enumerate() {
                let field = format!("callbackKeys[{index}]");
                let bytes =
                    STANDARD.decode(text(&field, key)?).map_err(|_| malformed(&field, "is not base64"))?;
                keys.push(long_enough(&field, bytes)?);
            }
        }
        if let Some(key) = self.0.get("callbackKey") {
            keys.push(long_enough("callbackKey", text("callbackKey", key)?.into_bytes())?);
        }
        CallbackKeys::new(keys).ok_or(BadSecret::Missing { field: "callbackKeys" })
    }

    /// `apiTokens` by name, and `apiToken`, a plain string as Secrets Manager makes it, named `default`.
    fn api_tokens(&self) -> Result<ApiTokens, BadSecret> {
        let mut tokens = Vec::new();
        if let Some(named) = self.0.get("apiTokens") {
            let named =
                named.as_object().ok_or_else(|| malformed("apiTokens", "must be an object of strings"))?;
            for (name, token) in named {
                let token = text(&format!("apiTokens.{name}"), token)?;
                tokens.push((name.clone(), SecretString::from(token)));
            }
        }
        if let Some(token) = self.0.get("apiToken") {
            let token = text("apiToken", token)?;
            if token.len() < MIN_KEY_BYTES {
                return Err(malformed("apiToken", &format!("has fewer than {MIN_KEY_BYTES} bytes")));
            }
            tokens.push(("default".to_owned(), SecretString::from(token)));
        }
        Ok(ApiTokens::new(tokens))
    }
}

fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge(into, from),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

fn text(field: &str, value: &Value) -> Result<String, BadSecret> {
    match value.as_str() {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        Some(_) => Err(malformed(field, "is empty")),
        None => Err(malformed(field, "must be a string")),
    }
}

fn long_enough(field: &str, key: Vec<u8>) -> Result<SecretSlice<u8>, BadSecret> {
    if key.len() < MIN_KEY_BYTES {
        return Err(malformed(field, &format!("has fewer than {MIN_KEY_BYTES} bytes")));
    }
    Ok(SecretSlice::from(key))
}

fn malformed(field: &str, problem: &str) -> BadSecret {
    BadSecret::Malformed { field: field.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RequestId;
    use crate::time::Time;

    fn document(sources: &[&str]) -> SecretDocument {
        let mut document = SecretDocument::default();
        for source in sources {
            document.merge("test", source).unwrap();
        }
        document
    }

    #[test]
    fn sources_are_merged_deeply() {
        let secrets = document(&[
            r#"{"logRocketAPIKey":"org:app:x","apiTokens":{"ops":"one"}}"#,
            r#"{"callbackKey":"0123456789abcdef0123456789abcdef","apiTokens":{"zendesk":"two"}}"#,
        ])
        .for_request()
        .unwrap();
        assert_eq!(secrets.api_tokens.name_of("one"), Some("ops"));
        assert_eq!(secrets.api_tokens.name_of("two"), Some("zendesk"));
    }

    #[test]
    fn listed_callback_keys_sign_before_the_generated_one() {
        let listed = STANDARD.encode([7; 32]);
        let both = document(&[&format!(
            r#"{{"callbackKeys":["{listed}"],"callbackKey":"0123456789abcdef0123456789abcdef"}}"#
        )]);
        let only_listed = document(&[&format!(r#"{{"callbackKeys":["{listed}"]}}"#)]);
        let id = RequestId::for_key("a", "b");
        let token = both.for_webhook().unwrap().callback_keys.sign("org/app", &id, 1, Time(7));
        let keys = only_listed.for_webhook().unwrap().callback_keys;
        assert_eq!(keys.verify("org/app", id.as_str(), 1, &token), Some(Time(7)));
    }

    #[test]
    fn what_is_missing_or_malformed_is_named_and_never_shown() {
        let key = r#""callbackKey":"0123456789abcdef0123456789abcdef""#;
        for (json, named) in [
            (format!("{{{key}}}"), "logRocketAPIKey is missing"),
            (r#"{"logRocketAPIKey":"k"}"#.to_owned(), "callbackKeys is missing"),
            (format!(r#"{{"logRocketAPIKey":5,{key}}}"#), "logRocketAPIKey"),
            (format!(r#"{{"logRocketAPIKey":"hush hush",{key}}}"#), "logRocketAPIKey"),
            (r#"{"logRocketAPIKey":"k","callbackKeys":["hush"]}"#.to_owned(), "callbackKeys[0]"),
            (r#"{"logRocketAPIKey":"k","callbackKeys":["aHVzaA=="]}"#.to_owned(), "fewer than 32"),
            (r#"{"logRocketAPIKey":"k","callbackKeys":"hush"}"#.to_owned(), "callbackKeys"),
            (r#"{"logRocketAPIKey":"k","callbackKey":"hush"}"#.to_owned(), "callbackKey"),
            (format!(r#"{{"logRocketAPIKey":"k",{key},"apiTokens":["hush"]}}"#), "apiTokens"),
            (format!(r#"{{"logRocketAPIKey":"k",{key},"apiTokens":{{"ops":""}}}}"#), "apiTokens.ops"),
            (format!(r#"{{"logRocketAPIKey":"k",{key},"apiToken":"hush"}}"#), "apiToken"),
        ] {
            let error = document(&[&json]).for_request().unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
        let error = SecretDocument::default().merge("my-secret", "hush").unwrap_err();
        assert_eq!(error.to_string(), "my-secret is not a JSON object");
    }
}
