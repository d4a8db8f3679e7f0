//! The secrets: where they come from, how long they serve, and what is said when they cannot be had.

use crate::world::{START, after, config};
use aws::secrets::{Secrets, SecretsError};
use local::proxy::{Fault, Match, Proxy};
use model::secrets::{RequestSecrets, SecretDocument};
use model::settings::SecretSource;
use serde_json::json;

const OWN: &str = r#"{"logRocketAPIKey":"org:app:k","apiTokens":{"ops":"token of ops"}}"#;
const GENERATED: &str =
    r#"{"callbackKey":"0123456789abcdef0123456789abcdef","apiTokens":{"crm":"token of crm"}}"#;

/// Secrets Manager, as far as it is asked here.
struct Manager(Proxy);

impl Manager {
    async fn start() -> Self {
        // Nothing is passed on: every call that is expected is answered by a rule, the others by a 502.
        Self(Proxy::start("http://127.0.0.1:9").await.unwrap())
    }

    fn has(&self, id: &str, text: &str) {
        let body = json!({ "ARN": "arn", "Name": id, "SecretString": text, "VersionId": "v" });
        self.answers(id, 200, body);
    }

    fn has_no(&self, id: &str) {
        let body = json!({ "__type": "ResourceNotFoundException", "Message": "there is none" });
        self.answers(id, 400, body);
    }

    fn answers(&self, id: &str, status: u16, body: serde_json::Value) {
        let calls = Match::operation("GetSecretValue").containing(format!("\"{id}\""));
        self.0.on(calls, Fault::Answer { status, body: body.to_string() });
    }

    fn breaks(&self) {
        self.0.clear();
        self.0.on(Match::any(), Fault::Answer { status: 400, body: r#"{"__type":"AccessDenied"}"#.into() });
    }

    fn calls(&self) -> usize {
        self.0.calls().len()
    }

    async fn secrets(&self, ids: &[&str]) -> Secrets<RequestSecrets> {
        let ids = SecretSource::Ids(ids.iter().map(|id| (*id).to_owned()).collect());
        Secrets::new(&ids, &config(&self.0.url()).await, SecretDocument::for_request)
    }

    async fn with_both() -> (Self, Secrets<RequestSecrets>) {
        let manager = Self::start().await;
        manager.has("own", OWN);
        manager.has("generated", GENERATED);
        let secrets = manager.secrets(&["own", "generated"]).await;
        (manager, secrets)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_json_serves_without_secrets_manager() {
    let manager = Manager::start().await;
    let json = r#"{"logRocketAPIKey":"k","callbackKey":"0123456789abcdef0123456789abcdef"}"#;
    let source = SecretSource::Json(json.into());
    let secrets = Secrets::new(&source, &config(&manager.0.url()).await, SecretDocument::for_request);
    assert!(secrets.get(START).await.unwrap().api_tokens.is_empty());
    assert_eq!(manager.calls(), 0);

    let bad = SecretSource::Json(r#"{"logRocketAPIKey":"hush"#.into());
    let secrets = Secrets::new(&bad, &config(&manager.0.url()).await, SecretDocument::for_request);
    let error = secrets.get(START).await.unwrap_err().to_string();
    assert_eq!(error, "SECRETS_JSON is not a JSON object");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_secrets_are_one_merged_deeply_and_fetched_once_in_five_minutes() {
    let (manager, secrets) = Manager::with_both().await;
    let both = secrets.get(START).await.unwrap();
    assert_eq!(both.api_tokens.name_of("token of ops"), Some("ops"));
    assert_eq!(both.api_tokens.name_of("token of crm"), Some("crm"));
    assert_eq!(manager.calls(), 2);

    secrets.get(START).await.unwrap();
    secrets.get(after(299)).await.unwrap();
    assert_eq!(manager.calls(), 2);
    secrets.get(after(300)).await.unwrap();
    assert_eq!(manager.calls(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named_and_never_shown() {
    let manager = Manager::start().await;
    manager.has("own", OWN);
    manager.has_no("missing");
    manager.answers("binary", 200, json!({ "ARN": "arn", "Name": "binary", "SecretBinary": "aHVzaA==" }));
    manager.has("text", "hush");
    manager.has("short", r#"{"callbackKey":"hush"}"#);

    for (id, names, unreadable) in [
        ("missing", "missing", true),
        ("binary", "binary", false),
        ("text", "the secret text", false),
        ("short", "callbackKey", false),
    ] {
        let error = manager.secrets(&["own", id]).await.get(START).await.unwrap_err();
        assert_eq!(matches!(error, SecretsError::Unreadable { .. }), unreadable, "{error:?}");
        assert!(error.to_string().contains(names), "{error}");
        assert!(!aws::telemetry::chain(&error).contains("hush"), "{error}");
    }
    let error = manager.secrets(&["own"]).await.get(START).await.unwrap_err();
    assert!(error.to_string().contains("callbackKeys is missing"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_could_not_be_had_are_asked_for_at_the_next_invocation() {
    let manager = Manager::start().await;
    manager.has_no("own");
    let secrets = manager.secrets(&["own", "generated"]).await;
    assert!(secrets.get(START).await.is_err());
    manager.0.clear();
    manager.has("own", OWN);
    manager.has("generated", GENERATED);
    assert!(secrets.get(START).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_nobody_knows_refreshes_them_at_most_once_a_minute() {
    let (manager, secrets) = Manager::with_both().await;
    secrets.get(START).await.unwrap();
    assert_eq!(manager.calls(), 2);

    // One that was added a second after the start works at once.
    manager.0.clear();
    manager.has("own", &OWN.replace("token of ops", "a new token"));
    manager.has("generated", GENERATED);
    let refreshed = secrets.refresh(after(1)).await.unwrap();
    assert_eq!(refreshed.api_tokens.name_of("a new token"), Some("ops"));
    assert_eq!(manager.calls(), 4);

    // Then not for a minute, whoever asks.
    assert!(secrets.refresh(after(60)).await.is_none());
    assert_eq!(manager.calls(), 4);
    let served = secrets.get(after(60)).await.unwrap();
    assert_eq!(served.api_tokens.name_of("a new token"), Some("ops"), "they are kept");
    assert!(secrets.refresh(after(61)).await.is_some());
    assert_eq!(manager.calls(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_secrets_serve_on_while_new_ones_cannot_be_had() {
    let (manager, secrets) = Manager::with_both().await;
    secrets.get(START).await.unwrap();
    manager.breaks();
    let stale = secrets.get(after(301)).await.unwrap();
    assert_eq!(stale.api_tokens.name_of("token of ops"), Some("ops"));
    let calls = manager.calls();
    assert!(calls > 2);

    // Not asked for at every opening, but again within minutes.
    secrets.get(after(302)).await.unwrap();
    assert_eq!(manager.calls(), calls);
    manager.0.clear();
    manager.has("own", &OWN.replace("token of ops", "a new token"));
    manager.has("generated", GENERATED);
    let fresh = secrets.get(after(361)).await.unwrap();
    assert_eq!(fresh.api_tokens.name_of("a new token"), Some("ops"));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_secrets_manager_is_down_strangers_cannot_make_it_be_called_either() {
    let (manager, secrets) = Manager::with_both().await;
    secrets.get(START).await.unwrap();
    manager.breaks();
    assert!(secrets.refresh(after(100)).await.is_none());
    let calls = manager.calls();
    assert!(calls > 2);
    assert!(secrets.refresh(after(101)).await.is_none());
    assert_eq!(manager.calls(), calls);
    assert!(secrets.get(after(101)).await.is_ok());
}
