//! The secrets: where they come from, how long they serve, and what is said when they cannot be had.

use crate::world::{START, after, config};
use aws::secrets::{Secrets, SecretsError};
use futures::future::join_all;
use local::secrets::{Secret, SecretsManager};
use model::secrets::{RequestSecrets, SecretDocument};
use model::settings::SecretSource;
use serde_json::{Value, json};

fn own() -> Value {
    own_with("token of ops")
}

fn own_with(token: &str) -> Value {
    json!({ "logRocketAPIKey": "org:app:k", "apiTokens": { "ops": token } })
}

fn generated() -> Value {
    json!({ "callbackKey": "0123456789abcdef0123456789abcdef", "apiTokens": { "crm": "token of crm" } })
}

async fn secrets(manager: &SecretsManager, ids: &[&str]) -> Secrets<RequestSecrets> {
    let ids = SecretSource::Ids(ids.iter().map(|id| (*id).to_owned()).collect());
    Secrets::new(&ids, &config(&manager.url()), SecretDocument::for_request)
}

async fn with_both() -> (SecretsManager, Secrets<RequestSecrets>) {
    let manager = SecretsManager::start().await.unwrap();
    manager.put("own", &own());
    manager.put("generated", &generated());
    let secrets = secrets(&manager, &["own", "generated"]).await;
    (manager, secrets)
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_json_serves_without_secrets_manager() {
    let manager = SecretsManager::start().await.unwrap();
    let json = r#"{"logRocketAPIKey":"k","callbackKey":"0123456789abcdef0123456789abcdef"}"#;
    let source = SecretSource::Json(json.into());
    let secrets = Secrets::new(&source, &config(&manager.url()), SecretDocument::for_request);
    assert!(secrets.get(START).await.unwrap().api_tokens.is_empty());
    assert_eq!(manager.calls(), 0);

    let bad = SecretSource::Json(r#"{"logRocketAPIKey":"hush"#.into());
    let secrets = Secrets::new(&bad, &config(&manager.url()), SecretDocument::for_request);
    let error = secrets.get(START).await.unwrap_err().to_string();
    assert_eq!(error, "SECRETS_JSON is not a JSON object");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_secrets_are_one_merged_deeply_and_fetched_once_in_five_minutes() {
    let (manager, secrets) = with_both().await;
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
async fn where_two_secrets_say_different_things_the_later_is_right() {
    let manager = SecretsManager::start().await.unwrap();
    manager.put("own", &own());
    manager.put("generated", &generated());
    for (later, ops, crm) in [
        (json!({ "apiTokens": { "ops": "another" } }), None, Some("crm")),
        (json!({ "apiTokens": { "new": "token of ops" } }), Some("ops"), Some("crm")),
        (json!({ "apiTokens": {} }), Some("ops"), Some("crm")),
    ] {
        manager.put("later", &later);
        let all = secrets(&manager, &["own", "generated", "later"]).await.get(START).await.unwrap();
        assert_eq!(all.api_tokens.name_of("token of ops").is_some(), ops.is_some(), "{later}");
        assert_eq!(all.api_tokens.name_of("token of crm"), crm, "{later}");
    }
    // An object cannot be merged into what is none: it is replaced, and missed if it should have been one.
    for (later, named) in [
        (json!({ "apiTokens": "hush" }), "apiTokens in the secret must be an object"),
        (json!({ "logRocketAPIKey": { "hush": "hush" } }), "logRocketAPIKey in the secret must be a string"),
        (json!({ "callbackKeys": { "0": "hush" } }), "callbackKeys in the secret must be an array"),
        (json!({ "callbackKey": null }), "callbackKey in the secret must be a string"),
    ] {
        manager.put("later", &later);
        let error = secrets(&manager, &["own", "generated", "later"]).await.get(START).await.unwrap_err();
        assert!(error.to_string().starts_with(named), "{error}");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named_and_never_shown() {
    let manager = SecretsManager::start().await.unwrap();
    manager.put("own", &own());
    let text = |text: &str| Some(Secret::Text(text.to_owned()));
    let answer = |body: Value| Some(Secret::Answer(body.to_string()));
    let cut_off = r#"{"Name":"other","SecretString":"{\"callbackKey\":\"hush hush"#;
    for (secret, named) in [
        (None, "the secret other cannot be read: service error: ResourceNotFoundException"),
        (Some(Secret::Refused("AccessDeniedException")), "the secret other cannot be read: service error"),
        (Some(Secret::Refused("DecryptionFailure")), "the secret other cannot be read: service error"),
        (Some(Secret::Refused("InternalServiceError")), "the secret other cannot be read: service error"),
        (Some(Secret::Answer(cut_off.to_owned())), "the secret other cannot be read: "),
        (answer(json!({ "Name": "other", "SecretString": ["hush"] })), "the secret other cannot be read: "),
        (answer(json!({ "Name": "other" })), "the secret other has no text in it"),
        (Some(Secret::Binary(b"hush".to_vec())), "the secret other has no text in it"),
        (text(""), "the secret other is not a JSON object"),
        (text("hush"), "the secret other is not a JSON object"),
        (text(r#"["hush"]"#), "the secret other is not a JSON object"),
        (text(r#"{"callbackKey":"hush"#), "the secret other is not a JSON object"),
        (text(r#"{"callbackKey":"hush"}"#), "callbackKey in the secret has fewer than 32 bytes"),
        (text("{}"), "callbackKeys is missing from the secret"),
    ] {
        match &secret {
            Some(secret) => manager.put_as("other", secret.clone()),
            None => manager.remove("other"),
        }
        let error = secrets(&manager, &["own", "other"]).await.get(START).await.unwrap_err();
        let said = aws::telemetry::chain(&error);
        assert!(said.starts_with(named), "{secret:?}: {said}");
        assert!(!format!("{said} {error:?}").contains("hush"), "{said} {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_could_not_be_had_are_asked_for_at_the_next_invocation() {
    let (manager, secrets) = with_both().await;
    manager.remove("own");
    assert!(secrets.get(START).await.is_err());
    manager.put("own", &own());
    assert!(secrets.get(START).await.is_ok());
}

/// On one thread, as in the functions: with more, a call may be answered before the next asks.
#[tokio::test]
async fn those_who_ask_at_once_while_they_cannot_be_had_are_told_by_one_call() {
    let manager = SecretsManager::start().await.unwrap();
    let secrets = secrets(&manager, &["own"]).await;
    for calls in 1..=2 {
        let told = join_all((0..20).map(|_| secrets.get(START))).await;
        let unreadable = |told: &Result<_, _>| matches!(told, Err(SecretsError::Unreadable { .. }));
        assert!(told.iter().all(unreadable));
        assert_eq!(manager.calls(), calls, "and those who ask later by another");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_nobody_knows_refreshes_them_at_most_once_a_minute() {
    let (manager, secrets) = with_both().await;
    secrets.get(START).await.unwrap();
    assert_eq!(manager.calls(), 2);

    // One that was added a second after the start works at once.
    manager.put("own", &own_with("a new token"));
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
async fn where_something_is_missing_they_are_fetched_however_lately_that_was_done_but_once_for_all() {
    let (manager, secrets) = with_both().await;
    let lacking = secrets.refresh(START).await.unwrap();
    assert_eq!(manager.calls(), 2);
    manager.put("own", &own_with("a new token"));
    let all = join_all((0..10).map(|_| secrets.beyond(&lacking, after(1)))).await;
    assert!(all.iter().all(|those| those.api_tokens.name_of("a new token") == Some("ops")));
    assert_eq!(manager.calls(), 4);

    // A stranger still has to wait for his minute.
    assert!(secrets.refresh(after(59)).await.is_none());
    // While they cannot be had, what is known serves on.
    manager.set_down(true);
    let known = secrets.get(after(60)).await.unwrap();
    let same = secrets.beyond(&known, after(60)).await;
    assert_eq!(same.api_tokens.name_of("a new token"), Some("ops"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_secrets_serve_on_while_new_ones_cannot_be_had() {
    let (manager, secrets) = with_both().await;
    secrets.get(START).await.unwrap();
    manager.set_down(true);
    let stale = secrets.get(after(301)).await.unwrap();
    assert_eq!(stale.api_tokens.name_of("token of ops"), Some("ops"));
    let calls = manager.calls();
    assert!(calls > 2);

    // Not asked for at every opening, but again within minutes.
    secrets.get(after(302)).await.unwrap();
    assert_eq!(manager.calls(), calls);
    manager.set_down(false);
    manager.put("own", &own_with("a new token"));
    let fresh = secrets.get(after(361)).await.unwrap();
    assert_eq!(fresh.api_tokens.name_of("a new token"), Some("ops"));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_secrets_manager_is_down_strangers_cannot_make_it_be_called_either() {
    let (manager, secrets) = with_both().await;
    secrets.get(START).await.unwrap();
    manager.set_down(true);
    assert!(secrets.refresh(after(100)).await.is_none());
    let calls = manager.calls();
    assert!(calls > 2);
    assert!(secrets.refresh(after(101)).await.is_none());
    assert_eq!(manager.calls(), calls);
    assert!(secrets.get(after(101)).await.is_ok());
}
