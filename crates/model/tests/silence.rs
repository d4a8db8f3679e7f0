//! What `Debug` shows: a canary stands wherever something secret or private can, and none is found in what any type
//! that can hold one, whole or in part, is formatted as.

#![cfg(test)]

use model::answer::PollAnswer;
use model::callback::{Outcome, Report};
use model::delivery::DeliveryAnswer;
use model::id::RequestId;
use model::record::{Record, Summary};
use model::request::NewRequest;
use model::rules::{News, NewsOutcome, Origin, Received};
use model::secrets::SecretDocument;
use model::settings::{RequestSettings, SecretSource, WebhookSettings};
use model::time::Time;
use serde_json::{Value, json};
use std::fmt::Debug;

const NOW: Time = Time(1_715_481_030_123);

/// Both functions' secrets, whole: base64 where it has to be, of bytes with a canary in them.
fn secrets() -> Value {
    json!({
        "logRocketAPIKey": "canary:api:key",
        // "canary callback key of 32 bytes!"
        "callbackKeys": ["Y2FuYXJ5IGNhbGxiYWNrIGtleSBvZiAzMiBieXRlcyE="],
        "callbackKey": "canary-callback-key-0123456789abcdef",
        "apiTokens": { "ops": "canary-api-token" },
        "apiToken": "canary-default-token-0123456789abcdef",
        "destinations": {
            "slack": { "botToken": "canary-bot", "webhooks": { "nps": "https://hooks.slack.com/canary-hook" } },
            "zendesk": { "subdomain": "acme", "email": "canary@example.com", "apiToken": "canary-zendesk" },
            "intercom": { "accessToken": "canary-intercom", "adminID": "7", "region": "us" },
            "hubspot": { "accessToken": "canary-hubspot" },
            "salesforce": { "instanceURL": "https://acme.my.salesforce.com", "clientID": "canary-id",
                "clientSecret": "canary-salesforce" },
            "teams": { "webhooks": { "support": "https://example.com/canary-flow" } },
            // "canary signing key of 32 bytes !"
            "webhook": { "signingSecret": "whsec_Y2FuYXJ5IHNpZ25pbmcga2V5IG9mIDMyIGJ5dGVzICE=" },
        },
    })
}

/// A body with a canary in every field that can hold one.
fn body() -> Value {
    json!({
        "userEmail": "canary@example.com",
        "question": "canary?",
        "metadata": { "k": "canary" },
        "destinations": [
            { "type": "stepFunctions", "taskToken": "canary-task-token" },
            { "type": "webhook", "url": "https://example.com/hook?key=canary#canary" },
        ],
    })
}

#[track_caller]
fn assert_silent(shown: &impl Debug) {
    let shown = format!("{shown:?} {shown:#?}");
    assert!(shown.len() > 4, "nothing is shown: nothing is proved");
    for word in ["canary", "Y2FuYXJ5", "99, 97, 110, 97, 114, 121"] {
        assert!(!shown.contains(word), "{shown}");
    }
}

#[test]
fn no_setting_shows_a_secret() {
    let variable = |name: &str| {
        let value = match name {
            "TABLE_NAME" => "highlights".to_owned(),
            "LOGROCKET_APP_ID" => "org/app".to_owned(),
            "WEBHOOK_URL" => "https://example.com/webhook".to_owned(),
            "SECRETS_JSON" => secrets().to_string(),
            "DEFAULT_DESTINATIONS" => body()["destinations"].to_string(),
            _ => return None,
        };
        Some(value)
    };
    let (request, webhook) = (RequestSettings::read(variable), WebhookSettings::read(variable));
    assert_eq!(request.as_ref().unwrap().request_rules.defaults.len(), 2);
    assert_silent(&request);
    assert_silent(&webhook);
    assert_silent(&SecretSource::Json("canary".into()));

    let bad = |name: &str| match name {
        "DEFAULT_DESTINATIONS" => Some(json!([{ "type": "webhook", "url": "canary" }]).to_string()),
        name => variable(name),
    };
    assert_silent(&RequestSettings::read(bad).unwrap_err());
}

#[test]
fn no_secret_shows_itself_nor_its_error() {
    let mut document = SecretDocument::default();
    document.merge("test", &secrets().to_string()).unwrap();
    let (request, webhook) = (document.for_request().unwrap(), document.for_webhook().unwrap());
    let all = &webhook.destinations;
    assert!(all.slack_webhook("nps").is_ok() && all.teams_webhook("support").is_ok());
    assert!(all.slack_bot_token.is_ok() && all.zendesk.is_ok() && all.intercom.is_ok());
    assert!(all.hubspot_access_token.is_ok() && all.salesforce.is_ok() && all.signing_key.is_ok());
    assert_silent(&request);
    assert_silent(&webhook);
    assert_silent(&(all.slack_webhook("nps"), all.teams_webhook("support")));

    // Each field made what it must not be: the error names the field, and nothing of what stands there.
    for (pointer, field) in FIELDS {
        for wrong in [json!(["canary"]), json!({ "name": ["canary"] }), json!("canary canary\n")] {
            // Any text is a password.
            let is_fine = wrong.is_string() && TAKE_ANY_TEXT.contains(&field);
            let mut damaged = secrets();
            *damaged.pointer_mut(pointer).unwrap() = wrong;
            let mut document = SecretDocument::default();
            document.merge("test", &damaged.to_string()).unwrap();
            let (request, webhook) = (document.for_request(), document.for_webhook());
            assert_silent(&request);
            assert_silent(&webhook);
            let told = format!("{request:?} {webhook:?}");
            assert_ne!(told.contains(field), is_fine, "{field}: {told}");
        }
    }
}

/// Where each field stands, and what an error calls it.
const FIELDS: [(&str, &str); 22] = [
    ("/logRocketAPIKey", "logRocketAPIKey"),
    ("/callbackKeys", "callbackKeys"),
    ("/callbackKeys/0", "callbackKeys[0]"),
    ("/callbackKey", "callbackKey"),
    ("/apiTokens", "apiTokens"),
    ("/apiTokens/ops", "apiTokens.ops"),
    ("/apiToken", "apiToken"),
    ("/destinations/slack", "destinations.slack"),
    ("/destinations/slack/botToken", "destinations.slack.botToken"),
    ("/destinations/slack/webhooks", "destinations.slack.webhooks"),
    ("/destinations/slack/webhooks/nps", "destinations.slack.webhooks.nps"),
    ("/destinations/zendesk/subdomain", "destinations.zendesk.subdomain"),
    ("/destinations/zendesk/email", "destinations.zendesk.email"),
    ("/destinations/zendesk/apiToken", "destinations.zendesk.apiToken"),
    ("/destinations/intercom/accessToken", "destinations.intercom.accessToken"),
    ("/destinations/intercom/region", "destinations.intercom.region"),
    ("/destinations/hubspot/accessToken", "destinations.hubspot.accessToken"),
    ("/destinations/salesforce/instanceURL", "destinations.salesforce.instanceURL"),
    ("/destinations/salesforce/clientID", "destinations.salesforce.clientID"),
    ("/destinations/salesforce/clientSecret", "destinations.salesforce.clientSecret"),
    ("/destinations/teams/webhooks/support", "destinations.teams.webhooks.support"),
    ("/destinations/webhook/signingSecret", "destinations.webhook.signingSecret"),
];

const TAKE_ANY_TEXT: [&str; 5] = [
    "apiTokens.ops",
    "destinations.zendesk.email",
    "destinations.zendesk.apiToken",
    "destinations.salesforce.clientID",
    "destinations.salesforce.clientSecret",
];

#[test]
fn no_request_record_or_result_shows_what_is_in_it() {
    // 1. What a caller asked for, and what is wrong with it.
    let new = NewRequest::parse(body().to_string().as_bytes(), &Default::default()).unwrap();
    assert_silent(&new);
    for destination in &new.destinations {
        assert_silent(destination);
        assert_silent(&destination.target.to_public_json());
    }
    for wrong in [
        json!({ "userEmail": ["canary"], "question": 5, "metadata": "canary", "destinations": "canary" }),
        json!({ "userID": "canary", "userEmail": "canary", "idempotencyKey": "canary canary" }),
        json!({ "userID": "1", "destinations": [{ "type": "webhook", "url": "canary" }] }),
        json!({ "userID": "1", "destinations": [{ "type": "stepFunctions", "taskToken": ["canary"] }] }),
    ] {
        assert_silent(&NewRequest::parse(wrong.to_string().as_bytes(), &Default::default()).unwrap_err());
    }
    assert_silent(&NewRequest::parse(br#"{"userEmail": "canary"#, &Default::default()).unwrap_err());

    // 2. Its record, and what the record becomes.
    let origin = Origin { caller: "token:ops".to_owned(), opening: "1f0c9b2e".to_owned() };
    let rules = Default::default();
    let record = Record::open(RequestId::for_key("a", "b"), origin, new, None, NOW, &rules);
    assert_silent(&record);
    assert_silent(&Summary::from(&record));
    let said = json!({ "requestID": "0cc1", "status": "READY", "result": { "highlights": "canary",
        "sessions": [{ "recordingID": "5-1", "sessionID": 0, "highlights": "canary" }] } });
    let report = Report::parse(said.to_string().as_bytes()).unwrap();
    let Outcome::Ready(result) = report.outcome.clone() else { panic!("{report:?}") };
    let news = News {
        opened: NOW,
        attempt: 1,
        log_rocket_request_id: "0cc1".to_owned(),
        outcome: NewsOutcome::from(report.outcome.clone()),
    };
    let received = record.receive(&news, NOW, &rules);
    let Received::Changed(ready) = &received else { panic!("{received:?}") };
    let claimed = ready.claim_deliveries(NOW, &rules).unwrap();
    assert_eq!(claimed.1.len(), 2);
    assert_silent(&report);
    assert_silent(&result);
    assert_silent(&news);
    assert_silent(&received);
    assert_silent(&claimed);
    assert_silent(&PollAnswer::Report(report));
    assert_silent(&DeliveryAnswer::Delivered { external_id: None });
    assert_silent(&Report::parse(br#"{"requestID": "0cc1", "status": "canary"}"#).unwrap_err());
}
