//! Who learns what: a destination's credentials are known to its vendor alone, whatever it answers, and nobody is told
//! anything of another's.

use super::{CASES, Case, Round, one_of_each_kind, usually, world};
use local::destinations::{Behaviour, Kind, Received};
use local::logrocket::{Outcome, Post};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use stories::{API_TOKEN, BEARER, CALLBACK_KEY, OTHER_TOKEN, World};

const EMAIL: &str = "canary.alice@example.com";
const HIGHLIGHTS: &str = "canary-highlights: the user typed their name";
const METADATA: &str = "canary-metadata";
const OTHERS_METADATA: &str = "canary-others-metadata";
const URL_SECRET: &str = "canary-url-secret-0123456789";

/// What of the secret lets somebody in at a vendor: its field, and whose door it opens.
const CREDENTIALS: [(&str, Kind); 9] = [
    ("/slack/botToken", Kind::Slack),
    ("/slack/webhooks/nps", Kind::SlackWebhook),
    ("/zendesk/email", Kind::Zendesk),
    ("/zendesk/apiToken", Kind::Zendesk),
    ("/intercom/accessToken", Kind::Intercom),
    ("/hubspot/accessToken", Kind::Hubspot),
    ("/salesforce/clientSecret", Kind::SalesforceToken),
    ("/teams/webhooks/support", Kind::Teams),
    ("/webhook/signingSecret", Kind::Webhook),
];

/// Each with its owner.
fn credentials(world: &World) -> Vec<(String, Kind)> {
    let secrets = world.destinations.secrets();
    let of = |pointer: &str| secrets.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    CREDENTIALS.iter().map(|(pointer, kind)| (of(pointer).replace("whsec_", ""), *kind)).collect()
}

/// From now on, all calls go like that, those for a token of Salesforce's among them.
fn all(world: &World, behaviour: &Behaviour) {
    usually(world, behaviour);
    world.destinations.usually(Kind::SalesforceToken, behaviour.clone());
}

/// From now on, each vendor answers with that status, and with all that it was shown to be let in.
fn quoting(world: &World, status: u16) {
    all(world, &Behaviour::status(status));
    for (_, owner) in CREDENTIALS {
        let its = credentials(world).into_iter().filter(|(_, kind)| *kind == owner);
        let its: Vec<String> = its.map(|(credential, _)| credential).collect();
        let body = json!({ "error": { "message": its.join(" or ") } }).to_string();
        world.destinations.usually(owner, Behaviour::status(status).body(body));
    }
}

fn request() -> Value {
    json!({ "userEmail": EMAIL, "metadata": { "k": METADATA } })
}

/// What LogRocket found.
fn result() -> Value {
    json!({ "highlights": HIGHLIGHTS, "sessions": [
        { "recordingID": "5-1", "sessionID": 0, "highlights": HIGHLIGHTS },
    ]})
}

#[tokio::test]
async fn credentials_are_known_to_their_vendor_alone_whatever_it_answers() {
    let world = world().await;
    let secrets = credentials(&world);
    let mut answers = Vec::new();
    let mut ids = BTreeSet::new();
    let mut task_tokens = BTreeSet::new();

    // 1. Another request, of which none of those may hear who are told of the next ones.
    let other = json!({
        "userID": "7", "metadata": { "k": OTHERS_METADATA },
        "destinations": [{ "type": "webhook", "url": format!("{}?{URL_SECRET}", world.hook("other")) }],
    });
    let other = world.ask(other).await;
    assert_eq!(world.tell(&other, 1, Outcome::Ready).await, 200);
    assert_eq!(world.wait_for_deliveries(&other).await[0]["status"], "DELIVERED");

    // 2. All destinations, with every kind of answer; read, listed, delivered again.
    for behaviour in [
        Behaviour::Ok,
        Behaviour::Refused,
        Behaviour::CutBefore,
        Behaviour::CutAfter,
        Behaviour::Garbage,
        Behaviour::status(401),
        Behaviour::status(400),
        Behaviour::status(503),
    ] {
        match behaviour {
            Behaviour::Status { status, .. } => quoting(&world, status),
            behaviour => all(&world, &behaviour),
        }
        world.destinations.expire_tokens();
        let round = Round::ask(&world, CASES, &request(), &Value::Null).await.result(&result()).await;
        for told in round.tried().await {
            answers.push(told.delivery.to_string());
            task_tokens.extend(told.destination["taskToken"].as_str().map(str::to_owned));
        }
        all(&world, &Behaviour::Ok);
        for id in round.ids() {
            answers.push(world.redeliver(&id).await.text);
            ids.insert(id);
        }
        round.ended().await;
    }

    // 3. Each tried out, at last with vendors that quote.
    for status in [None, Some(401)] {
        if let Some(status) = status {
            quoting(&world, status);
        }
        for case in one_of_each_kind() {
            let mut destination = case.destination(&world);
            task_tokens.extend(destination["taskToken"].as_str().map(str::to_owned));
            if case.kind == Kind::Webhook {
                destination["url"] = json!(format!("{}?{URL_SECRET}", world.hook("crm")));
            }
            let tried = world.webhook.invoke(json!({ "job": "try", "destination": destination })).await;
            answers.push(format!("{tried:?}"));
        }
    }
    for path in ids.iter().map(|id| format!("/highlights/{id}")).chain([
        format!("/highlights/{other}"),
        format!("/highlights?userEmail={EMAIL}"),
        "/highlights?userID=7".to_owned(),
    ]) {
        let answer = world.call(Method::GET, &path, &[("authorization", BEARER)], Value::Null).await;
        answers.push(format!("{answer:?}"));
    }

    // 4. No answer and no line of a log shows one of them, nor what else lets somebody in.
    let callback_tokens: Vec<String> = world.log_rocket.posts().iter().filter_map(callback_token).collect();
    let others =
        [API_TOKEN, OTHER_TOKEN, CALLBACK_KEY, world.log_rocket.api_key(), URL_SECRET].map(str::to_owned);
    let ours: Vec<&String> = others.iter().chain(&callback_tokens).collect();
    let everything: Vec<&String> =
        secrets.iter().map(|(secret, _)| secret).chain(ours.iter().copied()).chain(&task_tokens).collect();
    assert!(everything.len() > 40 && everything.iter().all(|secret| secret.len() > 15), "{everything:?}");
    for answer in &answers {
        assert_none(answer, &everything);
    }
    for line in world.output().lines() {
        assert_none(line, &everything);
        assert_none(line, &[EMAIL, HIGHLIGHTS, METADATA, OTHERS_METADATA].map(str::to_owned).each_ref());
    }

    // 5. The table holds what it takes to deliver, a task token and a caller's URL among it, and nothing that is
    //    configured; the callback's token is made anew each time.
    let items = world.table.items().unwrap();
    for item in &items {
        let item = item.to_string();
        let configured = secrets.iter().map(|(secret, _)| secret).chain(ours.iter().copied());
        let never: Vec<&String> = configured.filter(|secret| *secret != URL_SECRET).collect();
        assert_none(&item, &never);
    }
    let items = Value::from(items).to_string();
    assert!(items.contains(URL_SECRET) && task_tokens.iter().any(|token| items.contains(token)));

    // 6. A vendor is shown its own, and nothing of anybody else's; LogRocket none of them.
    let received = world.destinations.received();
    let kinds: BTreeSet<Kind> = received.iter().map(|call| call.kind).collect();
    assert!(CASES.iter().all(|case| kinds.contains(&case.kind)) && kinds.contains(&Kind::SalesforceToken));
    assert!(received.iter().any(|call| call.path.ends_with("/other")));
    for call in &received {
        let shown = as_text(call);
        let anothers = secrets.iter().filter(|(_, owner)| *owner != call.kind).map(|(secret, _)| secret);
        assert_none(&shown, &anothers.chain(ours.iter().copied()).collect::<Vec<_>>());
        if call.kind != Kind::StepFunctions {
            assert_none(&shown, &task_tokens.iter().collect::<Vec<_>>());
        }
        let is_others = call.path.ends_with("/other");
        assert_eq!(shown.contains(OTHERS_METADATA), is_others && shown.contains(&other), "{shown}");
        assert!(!is_others || !shown.contains(METADATA), "{shown}");
    }
    for post in world.log_rocket.posts() {
        let asked = post.body.to_string();
        let own = callback_token(&post).unwrap();
        let never = everything.iter().copied().filter(|secret| **secret != own).collect::<Vec<_>>();
        assert_none(&asked, &never);
        assert_none(&asked, &[METADATA, OTHERS_METADATA, URL_SECRET].map(str::to_owned).each_ref());
    }
}

fn callback_token(post: &Post) -> Option<String> {
    Some(post.webhook_url()?.split_once("&token=")?.1.to_owned())
}

/// All of the call that a stand-in keeps: what let it in, it does not.
fn as_text(call: &Received) -> String {
    json!({ "path": call.path, "headers": call.headers, "body": call.body }).to_string()
}

#[track_caller]
fn assert_none(text: &str, secrets: &[&String]) {
    let found = secrets.iter().find(|secret| text.contains(secret.as_str()));
    assert_eq!(found, None, "{text}");
}

/// No credential is left out of the search.
#[tokio::test]
async fn every_case_that_needs_a_credential_has_it_among_those_that_are_searched_for() {
    let is_known = |case: &Case| {
        let pointer = format!("/{}", case.secret.replace('.', "/"));
        case.secret.is_empty() || CREDENTIALS.iter().any(|(known, _)| *known == pointer)
    };
    assert!(CASES.iter().all(is_known));
}
