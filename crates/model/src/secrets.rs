//! The secrets, read from JSON objects that are merged: the same shape from every source.

use crate::token::{ApiTokens, CallbackKeys};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{SecretSlice, SecretString};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use url::{Host, Url};

/// A key shorter than this can be guessed.
pub const MIN_KEY_BYTES: usize = 32;
/// As Standard Webhooks has it: <https://github.com/standard-webhooks/standard-webhooks>.
const MIN_SIGNING_KEY_BYTES: usize = 24;

/// A secret that is missing or malformed, by the name of its field; never its value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadSecret {
    #[error("{field} is missing from the secret")]
    Missing { field: String },
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
    pub destinations: DestinationSecrets,
}

/// What the destinations ask for, each by itself: one that is missing or malformed is in nobody else's way.
#[derive(Clone, Debug)]
pub struct DestinationSecrets {
    pub slack_bot_token: Found<SecretString>,
    slack_webhooks: Found<BTreeMap<String, SecretString>>,
    pub zendesk: Found<ZendeskSecret>,
    pub intercom: Found<IntercomSecret>,
    pub hubspot_access_token: Found<SecretString>,
    pub salesforce: Found<SalesforceSecret>,
    teams_webhooks: Found<BTreeMap<String, SecretString>>,
    /// The key itself, of Standard Webhooks' `whsec_…`.
    pub signing_key: Found<SecretSlice<u8>>,
}

type Found<T> = Result<T, BadSecret>;

#[derive(Clone, Debug)]
pub struct ZendeskSecret {
    /// `acme` of `acme.zendesk.com`
    pub subdomain: String,
    /// Half of what lets us in, and an agent's address.
    pub email: SecretString,
    pub api_token: SecretString,
}

#[derive(Clone, Debug)]
pub struct IntercomSecret {
    pub access_token: SecretString,
    /// Whose notes they are.
    pub admin_id: String,
    pub region: IntercomRegion,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntercomRegion {
    Us,
    Eu,
    Au,
}

#[derive(Clone, Debug)]
pub struct SalesforceSecret {
    /// Without a slash at its end.
    pub instance_url: String,
    pub client_id: SecretString,
    pub client_secret: SecretString,
}

impl DestinationSecrets {
    /// The URL of an incoming webhook, by its configured name.
    pub fn slack_webhook(&self, name: &str) -> Found<SecretString> {
        named("destinations.slack.webhooks", &self.slack_webhooks, name)
    }

    pub fn teams_webhook(&self, name: &str) -> Found<SecretString> {
        named("destinations.teams.webhooks", &self.teams_webhooks, name)
    }
}

fn named(field: &str, webhooks: &Found<BTreeMap<String, SecretString>>, name: &str) -> Found<SecretString> {
    let missing = || BadSecret::Missing { field: format!("{field}.{name}") };
    webhooks.as_ref().map_err(Clone::clone)?.get(name).cloned().ok_or_else(missing)
}

/// The merged JSON of all sources, not yet looked at. What stands in it is plain, as JSON is: it is made to be read at
/// once and dropped, and shows nothing of itself.
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
        Ok(WebhookSecrets { callback_keys: self.callback_keys()?, destinations: self.destinations() })
    }

    fn destinations(&self) -> DestinationSecrets {
        let section = |name| Section::of(&self.0, name);
        DestinationSecrets {
            slack_bot_token: section("slack").and_then(|slack| slack.header("botToken")),
            slack_webhooks: section("slack").and_then(|slack| slack.webhooks()),
            zendesk: section("zendesk").and_then(|zendesk| {
                Ok(ZendeskSecret {
                    subdomain: zendesk.label("subdomain")?,
                    email: SecretString::from(zendesk.text("email")?),
                    api_token: SecretString::from(zendesk.text("apiToken")?),
                })
            }),
            intercom: section("intercom").and_then(|intercom| {
                Ok(IntercomSecret {
                    access_token: intercom.header("accessToken")?,
                    admin_id: intercom.id("adminID")?,
                    region: match intercom.optional("region")?.as_deref() {
                        None | Some("us") => IntercomRegion::Us,
                        Some("eu") => IntercomRegion::Eu,
                        Some("au") => IntercomRegion::Au,
                        Some(_) => return Err(malformed(&intercom.field("region"), "must be us, eu or au")),
                    },
                })
            }),
            hubspot_access_token: section("hubspot").and_then(|hubspot| hubspot.header("accessToken")),
            salesforce: section("salesforce").and_then(|salesforce| {
                Ok(SalesforceSecret {
                    instance_url: salesforce.url("instanceURL")?.trim_end_matches('/').to_owned(),
                    client_id: SecretString::from(salesforce.text("clientID")?),
                    client_secret: SecretString::from(salesforce.text("clientSecret")?),
                })
            }),
            teams_webhooks: section("teams").and_then(|teams| teams.webhooks()),
            signing_key: self.signing_key(),
        }
    }

    /// `destinations.webhook.signingSecret`; else `signingSecret`, as Secrets Manager makes it.
    fn signing_key(&self) -> Found<SecretSlice<u8>> {
        let (field, secret) = match self.0.get("signingSecret") {
            Some(generated) if Section::of(&self.0, "webhook").is_err() => {
                ("signingSecret".to_owned(), text("signingSecret", generated)?)
            }
            _ => {
                let section = Section::of(&self.0, "webhook")?;
                (section.field("signingSecret"), section.text("signingSecret")?)
            }
        };
        let encoded = secret.strip_prefix("whsec_").unwrap_or(&secret);
        let key = STANDARD.decode(encoded).map_err(|_| malformed(&field, "is not whsec_ and base64"))?;
        // What Standard Webhooks asks for at least.
        if key.len() < MIN_SIGNING_KEY_BYTES {
            return Err(malformed(&field, &format!("has fewer than {MIN_SIGNING_KEY_BYTES} bytes")));
        }
        Ok(SecretSlice::from(key))
    }

    fn api_key(&self) -> Result<SecretString, BadSecret> {
        let field = "logRocketAPIKey";
        let key = text(field, self.0.get(field).ok_or_else(|| missing(field))?)?;
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
        CallbackKeys::new(keys).ok_or_else(|| missing("callbackKeys"))
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

/// One destination's part of the secret.
struct Section<'a> {
    name: &'static str,
    fields: &'a Map<String, Value>,
}

impl<'a> Section<'a> {
    fn of(document: &'a Map<String, Value>, name: &'static str) -> Found<Self> {
        let path = || format!("destinations.{name}");
        let section = document.get("destinations").and_then(|all| all.get(name));
        let section = section.ok_or_else(|| BadSecret::Missing { field: path() })?;
        let fields = section.as_object().ok_or_else(|| malformed(&path(), "must be an object"))?;
        Ok(Self { name, fields })
    }

    fn field(&self, name: &str) -> String {
        format!("destinations.{}.{name}", self.name)
    }

    fn optional(&self, name: &str) -> Found<Option<String>> {
        let field = self.field(name);
        self.fields.get(name).filter(|value| !value.is_null()).map(|value| text(&field, value)).transpose()
    }

    fn text(&self, name: &str) -> Found<String> {
        self.optional(name)?.ok_or_else(|| BadSecret::Missing { field: self.field(name) })
    }

    /// Text that goes into a header: a line feed pasted along with it would break every call.
    fn header(&self, name: &str) -> Found<SecretString> {
        let value = self.text(name)?;
        if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed(
                &self.field(name),
                "holds white space or other than visible ASCII characters",
            ));
        }
        Ok(SecretString::from(value))
    }

    /// A part of a host's name.
    fn label(&self, name: &str) -> Found<String> {
        let value = self.text(name)?;
        let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if plain { Ok(value) } else { Err(malformed(&self.field(name), "must be letters, digits and -")) }
    }

    /// An id that may be written as a number.
    fn id(&self, name: &str) -> Found<String> {
        match self.fields.get(name).and_then(Value::as_u64) {
            Some(number) => Ok(number.to_string()),
            None => self.text(name),
        }
    }

    fn url(&self, name: &str) -> Found<String> {
        usable_url(&self.field(name), self.text(name)?)
    }

    fn webhooks(&self) -> Found<BTreeMap<String, SecretString>> {
        let path = self.field("webhooks");
        let Some(all) = self.fields.get("webhooks") else { return Ok(BTreeMap::new()) };
        let all = all.as_object().ok_or_else(|| malformed(&path, "must be an object of URLs"))?;
        all.iter()
            .map(|(name, url)| {
                let field = format!("{path}.{name}");
                Ok((name.clone(), SecretString::from(usable_url(&field, text(&field, url)?)?)))
            })
            .collect()
    }
}

/// `https`; on this machine itself `http` too, for local runs.
fn usable_url(field: &str, text: String) -> Found<String> {
    let usable = Url::parse(&text).is_ok_and(|url| match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        _ => false,
    });
    if usable { Ok(text) } else { Err(malformed(field, "must be an https URL")) }
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

fn missing(field: &str) -> BadSecret {
    BadSecret::Missing { field: field.to_owned() }
}

fn malformed(field: &str, problem: &str) -> BadSecret {
    BadSecret::Malformed { field: field.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RequestId;
    use crate::time::Time;
    use secrecy::ExposeSecret;

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

    #[test]
    fn a_destination_that_is_malformed_is_in_nobody_elses_way() {
        let json = r#"{"callbackKey":"0123456789abcdef0123456789abcdef","destinations":{
            "slack":{"botToken":"xoxb-hush","webhooks":{"nps":"https://hooks.slack.com/hush"}},
            "zendesk":{"subdomain":"a.b","email":"e","apiToken":"hush"},
            "intercom":{"accessToken":"hush","adminID":7,"region":"eu"},
            "hubspot":{"accessToken":"hush hush"},
            "salesforce":"hush",
            "webhook":{"signingSecret":"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"}}}"#;
        let secrets = document(&[json]).for_webhook().unwrap();
        assert!(!format!("{secrets:?}").contains("hush"), "{secrets:?}");
        let all = secrets.destinations;
        assert!(all.slack_bot_token.is_ok() && all.slack_webhook("nps").is_ok());
        let named = |error: BadSecret| error.to_string();
        let expected = "destinations.slack.webhooks.other is missing from the secret";
        assert_eq!(named(all.slack_webhook("other").unwrap_err()), expected);
        let expected = "destinations.zendesk.subdomain in the secret must be letters, digits and -";
        assert_eq!(named(all.zendesk.clone().unwrap_err()), expected);
        let intercom = all.intercom.clone().unwrap();
        assert_eq!((intercom.admin_id.as_str(), intercom.region), ("7", IntercomRegion::Eu));
        let error = named(all.hubspot_access_token.clone().unwrap_err());
        assert!(
            error.starts_with("destinations.hubspot.accessToken in the secret holds white space"),
            "{error}"
        );
        assert_eq!(
            named(all.salesforce.clone().unwrap_err()),
            "destinations.salesforce in the secret must be an object"
        );
        let expected = "destinations.teams is missing from the secret";
        assert_eq!(named(all.teams_webhook("support").unwrap_err()), expected);
        assert_eq!(all.signing_key.unwrap().expose_secret().len(), 24);
    }

    #[test]
    fn a_generated_signing_secret_is_the_one_unless_another_is_configured() {
        let keys = r#"{"callbackKey":"0123456789abcdef0123456789abcdef"}"#;
        let generated = r#"{"signingSecret":"0123456789abcdef0123456789abcdef0123456789ab"}"#;
        let own =
            r#"{"destinations":{"webhook":{"signingSecret":"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"}}}"#;
        let bytes = |sources: &[&str]| {
            let secrets = document(sources).for_webhook().unwrap();
            secrets.destinations.signing_key.map(|key| key.expose_secret().len())
        };
        assert_eq!(bytes(&[keys, generated]), Ok(33));
        assert_eq!(bytes(&[keys, generated, own]), Ok(24));
        assert_eq!(bytes(&[keys]), Err(missing("destinations.webhook")));
    }
}
