//! What deliveries must not print: canaries are sent through all that can become of them. What they must print, so
//! that one can be followed: its request, and which it is.

use local::destinations::{Behaviour, Kind};
use local::logrocket;
use local::proxy::{Fault, Match};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use stories::{World, is_of_metrics};

const EMAIL: &str = "canary.alice@example.com";
const QUESTION: &str = "Why did the canary-question fail?";
const HIGHLIGHTS: &str = "canary-highlights: the user typed their name";
const TASK_TOKEN: &str = "canary-task-token-0123456789";
const URL_SECRET: &str = "canary-url-secret-0123456789";
const METADATA: &str = "canary-metadata";

/// Asks with a canary in every field, for so many receivers and a workflow.
async fn ask(world: &World, receivers: usize) -> String {
    let mut destinations = vec![json!({ "type": "stepFunctions", "taskToken": TASK_TOKEN })];
    for n in 0..receivers {
        let url = world.hook(&format!("crm{n}?key={URL_SECRET}#{URL_SECRET}"));
        destinations.push(json!({ "type": "webhook", "url": url }));
    }
    world.log_rocket.next(logrocket::Behaviour::manual());
    let id = world
        .ask(json!({ "userEmail": EMAIL, "question": QUESTION, "metadata": { "k": METADATA },
            "destinations": destinations }))
        .await;
    let post = world.post_of(&id, 1);
    let ready = json!({ "requestID": post.logrocket_request_id, "appID": "acme/shop", "status": "READY", "result": {
        "highlights": HIGHLIGHTS,
        "sessions": [{ "recordingID": "5-1", "sessionID": 0, "highlights": HIGHLIGHTS }],
    }});
    assert_eq!(world.callback(post.webhook_url().unwrap(), ready).await.status, StatusCode::OK);
    id
}

#[tokio::test]
async fn nothing_private_is_printed_of_deliveries_and_each_can_be_followed() {
    let world = World::start().await;
    let mut private: Vec<String> =
        ["canary", EMAIL, QUESTION, HIGHLIGHTS, TASK_TOKEN, URL_SECRET, METADATA, "whsec_", "token="]
            .map(str::to_owned)
            .into();
    let secret = world.destinations.secrets()["webhook"]["signingSecret"].as_str().unwrap().to_owned();
    private.push(secret.strip_prefix("whsec_").unwrap().to_owned());

    // 1. Every answer that there is, each with all in it that the receiver knows.
    let knows = format!("{URL_SECRET} {TASK_TOKEN}");
    let mut followed = Vec::new();
    for behaviours in [
        vec![Behaviour::Ok, Behaviour::Garbage, Behaviour::CutAfter, Behaviour::CutBefore, Behaviour::Huge],
        vec![Behaviour::status(410), Behaviour::status(503), Behaviour::RateLimited(30), Behaviour::Refused],
        vec![
            Behaviour::redirect(format!("https://example.com/?{URL_SECRET}")),
            Behaviour::status(401).body(URL_SECRET),
            Behaviour::status(500).body(json!({ "error": URL_SECRET }).to_string()),
            Behaviour::status(400).header("retry-after", &knows),
        ],
    ] {
        let receivers = behaviours.len();
        for behaviour in behaviours {
            world.destinations.next(Kind::Webhook, behaviour);
        }
        let id = ask(&world, receivers).await;
        world.sweep_deliveries().await;
        world.redeliver(&id).await;
        world.sweep_deliveries().await;
        followed.push((id, 1 + receivers));
    }

    // 2. Nobody there; trouble with the table at the claim and at the mark; a deletion; a kill.
    let id = world
        .ask(json!({ "userEmail": EMAIL, "webhookURL": format!("http://127.0.0.1:9/?{URL_SECRET}") }))
        .await;
    world.wait_for(&id, "READY").await;
    world.sweep_deliveries().await;
    for (containing, fault) in [
        ("inFlightUntil", Fault::throttled()),
        ("DELIVERED", Fault::internal_error()),
        ("DELIVERED", Fault::CutAfter),
    ] {
        ask(&world, 1).await;
        world.table_calls.on(Match::operation("UpdateItem").containing(containing).times(4), fault);
        world.sweep_deliveries().await;
        world.table_calls.clear();
        world.sweep_deliveries().await;
    }
    let id = ask(&world, 1).await;
    let hold = world.destinations.hold_next(Kind::Webhook);
    let deleting = async {
        hold.arrived().await.unwrap();
        let bearer = [("authorization", stories::BEARER)];
        world.call(reqwest::Method::DELETE, &format!("/highlights/{id}"), &bearer, Value::Null).await;
        hold.release();
    };
    tokio::join!(world.sweep_deliveries(), deleting);
    ask(&world, 1).await;
    let hold = world.destinations.hold_next(Kind::Webhook);
    let (_, ()) = tokio::join!(world.webhook.invoke(json!({ "job": "sweep" })), world.kill_webhook_at(&hold));
    hold.discard();

    // 3. A record that somebody damaged; events by hand; destinations tried out.
    for (attribute, value) in [
        ("result", json!({ "S": format!("{{\"highlights\": [\"{HIGHLIGHTS}\"]}}") })),
        ("destinations", json!({ "S": URL_SECRET })),
        ("request", json!({ "S": EMAIL })),
    ] {
        let id = ask(&world, 1).await;
        world.damage(&id, attribute, value).await;
        world.sweep_deliveries().await;
        let event = json!({ "Records": [{ "eventSource": "aws:dynamodb", "dynamodb": {
            "SequenceNumber": "1", "Keys": { "requestID": { "S": id } },
            "NewImage": { "request": { "S": EMAIL }, "result": { "S": HIGHLIGHTS } },
        }}]});
        world.webhook.invoke(event).await.unwrap();
    }
    for destination in [
        json!({ "type": "webhook", "url": world.hook(&format!("crm?{URL_SECRET}")) }),
        json!({ "type": "webhook", "url": format!("ftp://{URL_SECRET}") }),
        json!({ "type": "stepFunctions", "taskToken": TASK_TOKEN }),
        json!({ "type": TASK_TOKEN, "taskToken": [TASK_TOKEN] }),
    ] {
        let _ = world.webhook.invoke(json!({ "job": "try", "destination": destination })).await;
    }

    // 4. Nothing of it is printed, and every line is one JSON object without a name twice.
    let lines: Vec<String> = world.output().lines().map(str::to_owned).collect();
    for line in &lines {
        let found = private.iter().find(|word| line.contains(word.as_str()));
        assert_eq!(found, None, "{line}");
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        // There, each name stands among the metrics and beside its value.
        let log = parsed.as_object().filter(|_| !is_of_metrics(&parsed));
        for name in log.into_iter().flat_map(|members| members.keys()) {
            assert_eq!(line.matches(&format!("\"{name}\":")).count(), 1, "{name}: {line}");
        }
    }

    // 5. Each delivery's end names its request, which one it is, and what it goes to.
    let parsed: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (id, deliveries) in followed {
        let ends = parsed.iter().filter(|line| {
            line["requestID"] == id
                && matches!(line["message"].as_str(), Some("delivered" | "postponed" | "given up"))
        });
        let mut ended = BTreeSet::new();
        for line in ends {
            assert!(line["spans"][0]["lambdaRequestID"].is_string(), "{line}");
            let delivery = line["delivery"].as_str().unwrap();
            let destination = if delivery == "0-result" { "stepFunctions" } else { "webhook" };
            assert_eq!(line["destination"], destination, "{line}");
            assert_eq!(line["error"].is_string(), line["message"] != "delivered", "{line}");
            ended.insert(delivery);
        }
        let all: Vec<String> = (0..deliveries).map(|n| format!("{n}-result")).collect();
        assert_eq!(ended, all.iter().map(String::as_str).collect());
    }
    for message in [
        "swept",
        "the deliveries stay due",
        "a mark is not written",
        "the request was deleted meanwhile",
        "tried out",
    ] {
        assert!(parsed.iter().any(|line| line["message"] == message), "{message}");
    }
}
