use crate::{NOW, as_text};
use model::id::RequestId;
use model::secrets::{BadSecret, MIN_KEY_BYTES, SecretDocument};
use secrecy::ExposeSecret;
use serde_json::Value;
use url::Url;

/// Stands in values of the corpus: it must not be shown.
const CANARY: &str = "hush-";

/// The secret of one or two sources, parted by [`crate::BETWEEN`]: what is taken can be used, and no value is told.
pub fn secrets(bytes: &[u8]) {
    let text = as_text(bytes);
    let mut document = SecretDocument::default();
    for (index, source) in text.split(crate::BETWEEN).enumerate() {
        let merged = document.merge(&format!("source {index}"), source);
        assert_eq!(merged.is_ok(), serde_json::from_str::<Value>(source).is_ok_and(|json| json.is_object()));
    }
    // Names are shown.
    let is_name = text
        .split(crate::BETWEEN)
        .any(|source| serde_json::from_str(source).is_ok_and(|json| has_name_with_canary(&json)));
    let told = |error: &BadSecret| {
        let shown = format!("{error} {error:?}");
        assert!(is_name || !shown.contains(CANARY), "{shown}");
    };
    match document.for_request() {
        Ok(secrets) => {
            assert!(is_name || !format!("{secrets:?}").contains(CANARY));
            let is_header = |text: &str| text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
            assert!(is_header(secrets.log_rocket_api_key.expose_secret()));
            let id = RequestId::for_key("a", "b");
            let token = secrets.callback_keys.sign("org/app", &id, 1, NOW);
            assert_eq!(secrets.callback_keys.verify("org/app", id.as_str(), 1, &token), Some(NOW));
            assert_eq!(secrets.callback_keys.verify("org/app", id.as_str(), 2, &token), None);
            assert_eq!(secrets.api_tokens.name_of(""), None);
        }
        Err(error) => told(&error),
    }
    let secrets = match document.for_webhook() {
        Ok(secrets) => secrets,
        Err(error) => return told(&error),
    };
    let all = secrets.destinations;
    for header in [&all.slack_bot_token, &all.hubspot_access_token] {
        match header {
            Ok(header) => assert!(header.expose_secret().bytes().all(|byte| (0x21..=0x7e).contains(&byte))),
            Err(error) => told(error),
        }
    }
    for url in [all.slack_webhook("nps"), all.teams_webhook("csat")] {
        match url {
            Ok(url) => assert_usable(url.expose_secret()),
            Err(error) => told(&error),
        }
    }
    match &all.salesforce {
        Ok(salesforce) => {
            assert_usable(&salesforce.instance_url);
            assert!(!salesforce.instance_url.ends_with('/'));
        }
        Err(error) => told(error),
    }
    match &all.zendesk {
        Ok(zendesk) => {
            let url = Url::parse(&format!("https://{}.zendesk.com/api", zendesk.subdomain));
            let host = format!("{}.zendesk.com", zendesk.subdomain.to_ascii_lowercase());
            assert!(url.is_ok_and(|url| url.host_str() == Some(&host)), "{}", zendesk.subdomain);
        }
        Err(error) => told(error),
    }
    match &all.intercom {
        Ok(intercom) => assert!(!intercom.admin_id.is_empty()),
        Err(error) => told(error),
    }
    match &all.signing_key {
        Ok(key) => assert!(key.expose_secret().len() >= MIN_KEY_BYTES - 8),
        Err(error) => told(error),
    }
}

/// `https`, or this machine itself.
fn assert_usable(url: &str) {
    let url = Url::parse(url).unwrap();
    let local = url.scheme() == "http" && url.host_str().is_some_and(|host| host.starts_with("127."));
    assert!(url.has_host() && (url.scheme() == "https" || local), "{url}");
}

fn has_name_with_canary(json: &Value) -> bool {
    match json {
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.contains(CANARY) || has_name_with_canary(value))
        }
        Value::Array(items) => items.iter().any(has_name_with_canary),
        _ => false,
    }
}
