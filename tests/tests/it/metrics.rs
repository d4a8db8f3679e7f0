//! What CloudWatch makes metrics of: read from what the real functions print. And what alarms and dashboard listen for.

use local::destinations::{Behaviour as Reaction, Kind};
use local::logrocket::{Behaviour, Outcome, PollAnswer, Shape};
use local::template::Template;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use stories::{World, is_of_metrics, project};

const STACK: [(&str, &str); 1] = [("STACK_NAME", "acme-highlights")];
const OF_WEBHOOK: [(&str, &str); 1] = [("Destination", "webhook")];

#[tokio::test]
async fn each_step_of_a_request_is_counted_once() {
    let world = World::with(&STACK).await;
    let body = json!({ "userID": "1", "idempotencyKey": "ticket-35436", "webhookURL": world.hook("crm") });

    // 1. Asked, and asked again.
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(body.clone()).await;
    world.ask(body).await;
    world.assert_count("Asked", &[], 1).await;
    world.assert_count("AskedAgain", &[], 1).await;
    world.assert_count("Posts", &[], 1).await;

    // 2. LogRocket tells, twice.
    for _ in 0..2 {
        assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    }
    world.assert_count("CallbacksTaken", &[], 2).await;
    world.assert_count("Ready", &[], 1).await;
    let told = world.metric_of("TimeToReady", &[], 1).await;
    let item = world.item(&id);
    let took = millis(&item["completedAt"]) - millis(&item["createdAt"]);
    // The outcome's time is taken before its write, the metric's after it.
    assert!(told[0] >= took, "{told:?}, not {took}");

    // 3. The first try is put off, the second gets through.
    world.destinations.next(Kind::Webhook, Reaction::status(503));
    world.sweep_deliveries().await;
    world.assert_count("Postponed", &OF_WEBHOOK, 1).await;
    world.assert_count("Delivered", &OF_WEBHOOK, 0).await;
    world.redeliver(&id).await;
    world.sweep_until_delivered(&id).await;
    world.assert_count("Delivered", &OF_WEBHOOK, 1).await;
    let took =
        millis(&world.item(&id)["deliveries"]["0-result"]["deliveredAt"]) - millis(&item["completedAt"]);
    assert_eq!(world.metric_of("TimeToDelivered", &OF_WEBHOOK, 1).await, [took]);

    // 4. No line is of another stack, each is as CloudWatch wants it, and nothing was counted that did not happen.
    let lines: Vec<Value> = world.lines().into_iter().filter(is_of_metrics).collect();
    lines.iter().for_each(assert_embedded);
    assert!(lines.iter().all(|line| line["Stack"] == "acme-highlights"));
    for name in ["Failed", "Expired", "NotTaken", "RefusedByLogRocket", "KeyRefused", "OverBudget", "GivenUp"]
    {
        world.assert_count(name, &[], 0).await;
    }
}

#[tokio::test]
async fn what_logrocket_refuses_is_told_apart() {
    let world = World::with(&[("MAX_ATTEMPTS", "1")]).await;

    // 1. The request, then the key; neither promised anything to anybody else.
    for status in [400, 403] {
        world.log_rocket.next(Behaviour::status(status));
        world.post(json!({ "userID": "1" })).await.problem(502);
    }
    world.assert_count("RefusedByLogRocket", &[], 2).await;
    world.assert_count("KeyRefused", &[], 1).await;
    world.assert_count("Failed", &[], 0).await;

    // 2. Not taken at first, then by a sweep; the key is refused to its poll.
    world.log_rocket.next(Behaviour::status(429));
    world.log_rocket.next(Behaviour::lost());
    world.log_rocket.next_poll(PollAnswer::Status(401));
    let id = world.ask(json!({ "userID": "1" })).await;
    world.assert_count("NotTaken", &[], 1).await;
    world.sweep_until(&id, "READY").await;
    world.assert_count("KeyRefused", &[], 2).await;
    world.assert_count("Ready", &[], 1).await;

    // 3. The last attempt fails.
    world.log_rocket.next(Behaviour::failed());
    let failed = world.ask(json!({ "userID": "1" })).await;
    world.wait_for(&failed, "FAILED").await;
    world.assert_count("Failed", &[], 1).await;
    let posts = u32::try_from(world.log_rocket.posts().len()).unwrap();
    world.assert_count("Posts", &[], posts).await;
}

#[tokio::test]
async fn a_request_that_is_never_heard_of_is_counted_as_expired() {
    let world = World::with(&[("PENDING_TIMEOUT_SECONDS", "2"), ("RETRY_AFTER_SECONDS", "30")]).await;
    world.log_rocket.next(Behaviour::status(429));
    let id = world.ask(json!({ "userID": "1" })).await;
    world.sweep_until(&id, "EXPIRED").await;
    world.assert_count("Expired", &[], 1).await;
    assert_eq!(world.metric("TimeToReady", &[]), Vec::<f64>::new());
}

#[tokio::test]
async fn callbacks_that_are_not_taken_are_told_apart() {
    let world = World::start().await;
    world.log_rocket.next(too_large());
    let id = world.ask(json!({ "userID": "1" })).await;
    let post = world.post_of(&id, 1);
    let url = post.webhook_url().unwrap();

    world.callback(&format!("{url}x"), json!({})).await.problem(401);
    world.assert_count("CallbacksRefused", &[], 1).await;
    world.callback(url, json!("nothing readable")).await.problem(400);
    world.assert_count("CallbacksUnreadable", &[], 1).await;
    let ready =
        world.log_rocket.payload(post.logrocket_request_id.as_ref().unwrap(), Outcome::Ready).unwrap();
    let mut other = ready;
    other["requestID"] = json!("another");
    other["result"]["highlights"] = json!("short");
    world.callback(url, other).await.problem(409);
    world.assert_count("CallbacksConflicting", &[], 1).await;
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 413);
    world.assert_count("CallbacksTooLarge", &[], 1).await;
    world.assert_count("Failed", &[], 1).await;
    world.assert_count("CallbacksTaken", &[], 0).await;
}

#[tokio::test]
async fn deliveries_that_end_otherwise_are_told_by_their_destination() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::status(429));
    world.log_rocket.next(Behaviour::status(400));
    // 1. It fails, which a channel does not want to hear of, and a webhook that is gone cannot.
    let destinations = json!([{ "type": "slack", "channel": "C0123456789" }, { "type": "webhook", "url": world.hook("crm") }]);
    let id = world.ask(json!({ "userID": "1", "destinations": destinations })).await;
    world.sweep_until(&id, "FAILED").await;
    world.assert_count("Failed", &[], 1).await;
    world.destinations.next(Kind::Webhook, Reaction::status(410));
    world.sweep_until_delivered(&id).await;
    world.assert_count("Skipped", &[("Destination", "slack")], 1).await;
    world.assert_count("GivenUp", &OF_WEBHOOK, 1).await;
    // 2. Once more over all destinations: for the alarm.
    world.assert_count("GivenUp", &[], 1).await;
    for (message, destination) in [("skipped", "slack"), ("given up", "webhook")] {
        let told = |line: &Value| {
            line["message"] == message
                && line["destination"] == destination
                && line["requestID"] == id.as_str()
        };
        assert_eq!(world.lines().into_iter().filter(told).count(), 1, "{message}");
    }
}

/// Nine tries that were begun, each killed before its mark: the tenth claim gives it up, and has to say so.
#[tokio::test]
async fn a_delivery_that_the_claim_itself_gives_up_is_told() {
    let world = World::start().await;
    let id = world.ask(json!({ "userID": "1", "webhookURL": world.hook("crm") })).await;
    world.wait_for(&id, "READY").await;
    let mark = json!({ "M": { "state": { "S": "PENDING" }, "tries": { "N": "9" }, "nextAt": { "N": "1" }, "dueSince": { "N": "1" } } });
    world.damage(&id, "deliveries", json!({ "M": { "0-result": mark } })).await;

    let swept = world.sweep_deliveries().await;
    assert_eq!((&swept["claimed"], &swept["givenUp"]), (&json!(1), &json!(1)), "{swept}");
    assert_eq!(world.deliveries(&id).await[0]["status"], "FAILED");
    world.assert_count("GivenUp", &OF_WEBHOOK, 1).await;
    world.assert_count("GivenUp", &[], 1).await;
    let told = |line: &Value| line["message"] == "given up" && line["requestID"] == id.as_str();
    assert_eq!(world.lines().into_iter().filter(told).count(), 1);
    assert!(world.destinations.received().is_empty());
}

#[tokio::test]
async fn every_sweep_tells_how_old_the_work_is_and_nothing_else_does() {
    let world = World::start().await;
    let (request, webhook) = ([("Function", "request")], [("Function", "webhook")]);
    // 1. Nothing is due.
    for sweeps in 1..=2 {
        world.sweep().await;
        world.sweep_deliveries().await;
        for function in [&request, &webhook] {
            assert_eq!(world.metric_of("OldestDue", function, sweeps).await, vec![0.0; sweeps]);
            assert_eq!(world.metric_of("WorkDue", function, sweeps).await, vec![0.0; sweeps]);
        }
    }
    // 2. Neither reading nor asking tells it anew.
    world.log_rocket.next(Behaviour::status(429));
    let id = world.ask(json!({ "userID": "1" })).await;
    world.read(&id).await;
    world.metric_of("OldestDue", &request, 2).await;
    // 3. What has waited for three seconds is two seconds late, at least.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    world.sweep().await;
    let oldest = world.metric_of("OldestDue", &request, 3).await[2];
    assert!(oldest >= 2.0, "{oldest}");
    world.assert_count("WorkDue", &request, 1).await;
    world.assert_count("WorkClaimed", &request, 1).await;
    world.assert_count("WorkFailed", &request, 0).await;
    // 4. A sweep that cannot look tells nothing.
    world.table_calls.on(local::proxy::Match::operation("Query"), local::proxy::Fault::internal_error());
    world.invoke(json!({ "job": "sweep" })).await.unwrap_err();
    world.metric_of("OldestDue", &request, 3).await;
}

#[tokio::test]
async fn the_budget_is_read_once_a_sweep_and_only_where_there_is_one() {
    let world = World::with(&[("MONTHLY_REQUEST_LIMIT", "4"), ("POLL_AFTER_SECONDS", "180")]).await;
    world.sweep().await;
    assert_eq!(world.metric_of("BudgetUsed", &[], 1).await, [0.0]);
    for _ in 0..3 {
        world.log_rocket.next(Behaviour::manual());
        world.ask(json!({ "userID": "1" })).await;
    }
    let before = world.table_calls.calls().len();
    world.sweep().await;
    let calls = world.table_calls.calls().split_off(before);
    assert_eq!(calls.iter().filter(|call| call.operation == "Query").count(), 4);
    assert_eq!(calls.iter().filter(|call| call.operation == "GetItem").count(), 1);
    assert_eq!(calls.len(), 5);
    assert_eq!(world.metric_of("BudgetUsed", &[], 2).await, [0.0, 75.0]);

    // Over it, who asks is told, and it is counted.
    world.ask(json!({ "userID": "1" })).await;
    world.post(json!({ "userID": "1" })).await.problem(429);
    world.assert_count("OverBudget", &[], 1).await;
    world.sweep().await;
    assert_eq!(world.metric_of("BudgetUsed", &[], 3).await, [0.0, 75.0, 100.0]);

    let world = World::start().await;
    world.sweep().await;
    assert_eq!(world.metric("BudgetUsed", &[]), Vec::<f64>::new());
}

#[tokio::test]
async fn more_values_than_a_line_takes_are_told_in_several() {
    // All by one sweep: on a machine that is busy the table may be too slow for it, then in another world.
    let mut swept = Value::Null;
    for _ in 0..4 {
        let world = World::start().await;
        swept = deliver_by_one_sweep(&world, 110).await;
        if swept["delivered"] == 110 {
            world.metric_of("TimeToDelivered", &OF_WEBHOOK, 110).await;
            world.assert_count("Delivered", &OF_WEBHOOK, 110).await;
            world.lines().iter().filter(|line| is_of_metrics(line)).for_each(assert_embedded);
            assert!(world.lines().iter().all(|line| line["level"] != "ERROR"));
            return;
        }
    }
    panic!("no sweep delivered all: {swept}");
}

/// So many requests, which are READY when webhook λ sweeps; answers what the sweep did.
async fn deliver_by_one_sweep(world: &World, requests: usize) -> Value {
    let mut ids = Vec::new();
    for n in 0..requests {
        world.log_rocket.next(Behaviour::manual());
        let body = json!({ "userID": n.to_string(), "webhookURL": world.hook("crm") });
        ids.push(world.ask(body).await);
    }
    for id in &ids {
        assert_eq!(world.tell(id, 1, Outcome::Ready).await, 200);
    }
    world.sweep_deliveries().await
}

/// An alarm for a metric that nobody tells would never be heard; a graph of one stays empty.
#[tokio::test]
async fn alarms_and_dashboard_listen_for_what_is_told() {
    let template = Template::read(&project().join("template.yaml")).unwrap();
    let mut wanted = BTreeSet::new();
    for alarm in template.resources("AWS::CloudWatch::Alarm") {
        if alarm.properties["Namespace"] == "GalileoHighlights" {
            let dimensions = alarm.properties["Dimensions"].as_array().unwrap();
            let names = dimensions.iter().map(|dimension| text(&dimension["Name"])).collect::<Vec<_>>();
            wanted.insert((text(&alarm.properties["MetricName"]), names));
        }
    }
    let dashboard = template.resources("AWS::CloudWatch::Dashboard").next().unwrap();
    let body = dashboard.properties["DashboardBody"]["Fn::Sub"].as_str().unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    for metric in body["widgets"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|widget| widget["properties"]["metrics"].as_array().unwrap())
    {
        let parts = metric.as_array().unwrap();
        if let Some(search) = parts[0]["expression"].as_str() {
            let name = search.split_once("MetricName=\"").unwrap().1.split_once('"').unwrap().0;
            assert!(search.contains("{GalileoHighlights,Stack,Destination}"), "{search}");
            wanted.insert((name.to_owned(), vec!["Stack".to_owned(), "Destination".to_owned()]));
        } else if parts[0] == "GalileoHighlights" {
            let names = parts[2..].iter().step_by(2).filter_map(Value::as_str).map(str::to_owned).collect();
            wanted.insert((text(&parts[1]), names));
        }
    }
    assert!(wanted.len() > 20, "{wanted:?}");

    let told = everything().await;
    assert_eq!(wanted.difference(&told).collect::<Vec<_>>(), Vec::<&(String, Vec<String>)>::new());
}

#[test]
fn a_sweep_that_stops_is_an_alarm_of_its_function_and_every_alarm_tells_the_topic() {
    let template = Template::read(&project().join("template.yaml")).unwrap();
    let mut missed = BTreeSet::new();
    for alarm in template.resources("AWS::CloudWatch::Alarm") {
        let properties = alarm.properties;
        assert_eq!(properties["AlarmActions"], json!([{ "Ref": "AlarmTopic" }]), "{}", alarm.id);
        assert_eq!(properties["OKActions"], json!([{ "Ref": "AlarmTopic" }]), "{}", alarm.id);
        if properties["TreatMissingData"] == "breaching" {
            let of = properties["Dimensions"]
                .as_array()
                .unwrap()
                .iter()
                .find(|dimension| dimension["Name"] == "Function");
            missed.insert((text(&properties["MetricName"]), text(&of.unwrap()["Value"])));
        }
    }
    let both = ["request", "webhook"].map(|function| ("OldestDue".to_owned(), function.to_owned()));
    assert_eq!(missed, both.into());
}

/// Every metric that there is, with the names of its dimensions: one story of all that can go well and wrong.
async fn everything() -> BTreeSet<(String, Vec<String>)> {
    let world = World::with(&[
        ("MONTHLY_REQUEST_LIMIT", "6"),
        ("MAX_ATTEMPTS", "1"),
        ("PENDING_TIMEOUT_SECONDS", "3"),
    ])
    .await;
    // 1. Asked twice, ready; delivered, put off and given up.
    let key = json!({ "userID": "1", "idempotencyKey": "k", "destinations": [
        { "type": "webhook", "url": world.hook("a") }, { "type": "webhook", "url": world.hook("b") },
        { "type": "webhook", "url": world.hook("c") },
    ]});
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(key.clone()).await;
    world.ask(key).await;
    let post = world.post_of(&id, 1);
    let url = post.webhook_url().unwrap();
    world.callback(&format!("{url}x"), json!({})).await.problem(401);
    world.callback(url, json!(5)).await.problem(400);
    let ready =
        world.log_rocket.payload(post.logrocket_request_id.as_ref().unwrap(), Outcome::Ready).unwrap();
    let mut other = ready;
    other["requestID"] = json!("another");
    world.callback(url, other).await.problem(409);
    world.tell(&id, 1, Outcome::Ready).await;
    world.destinations.next(Kind::Webhook, Reaction::status(410));
    world.destinations.next(Kind::Webhook, Reaction::status(503));
    world.sweep_deliveries().await;
    // 2. Failed, which nobody wants to hear.
    world.log_rocket.next(too_large());
    let channel = json!([{ "type": "slack", "channel": "C0123456789" }]);
    let id = world.ask(json!({ "userID": "1", "destinations": channel })).await;
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 413);
    world.sweep_deliveries().await;
    // 3. Not taken, refused, expired, over the budget.
    world.log_rocket.next(Behaviour::status(403));
    world.post(json!({ "userID": "1" })).await.problem(502);
    world.log_rocket.next(Behaviour::status(429));
    world.log_rocket.usually(Behaviour::status(429));
    let id = world.ask(json!({ "userID": "1" })).await;
    world.sweep_until(&id, "EXPIRED").await;
    world.log_rocket.usually(Behaviour::manual());
    for _ in 0..4 {
        world.ask(json!({ "userID": "1" })).await;
    }
    world.post(json!({ "userID": "1" })).await.problem(429);
    world.assert_count("OverBudget", &[], 1).await;

    let lines = world.lines().into_iter().filter(is_of_metrics);
    let metrics = lines.flat_map(|line| {
        let directive = line["_aws"]["CloudWatchMetrics"][0].clone();
        let dimensions: Vec<String> =
            directive["Dimensions"][0].as_array().unwrap().iter().map(text).collect();
        let names: Vec<String> =
            directive["Metrics"].as_array().unwrap().iter().map(|metric| text(&metric["Name"])).collect();
        names.into_iter().map(move |name| (name, dimensions.clone()))
    });
    metrics.collect()
}

/// The rules of CloudWatch's specification of the format.
fn assert_embedded(line: &Value) {
    let timestamp = line["_aws"]["Timestamp"].as_u64().unwrap_or_else(|| panic!("{line}"));
    assert!((1_600_000_000_000..10_000_000_000_000).contains(&timestamp), "not in milliseconds: {line}");
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap_or_else(|| panic!("{line}"));
    assert!(!directives.is_empty(), "{line}");
    for directive in directives {
        assert_eq!(directive["Namespace"], "GalileoHighlights");
        for set in directive["Dimensions"].as_array().unwrap_or_else(|| panic!("{line}")) {
            let names = set.as_array().unwrap_or_else(|| panic!("{line}"));
            assert!(names.len() <= 30, "{line}");
            for name in names {
                let known = ["Stack", "Function", "Destination"].contains(&name.as_str().unwrap());
                let value = line[name.as_str().unwrap()].as_str();
                assert!(
                    known && value.is_some_and(|value| (1..=1024).contains(&value.len())),
                    "{name}: {line}"
                );
            }
        }
        let metrics = directive["Metrics"].as_array().unwrap_or_else(|| panic!("{line}"));
        assert!((1..=100).contains(&metrics.len()), "{line}");
        for metric in metrics {
            let unit = metric.get("Unit").map(|unit| unit.as_str().unwrap());
            assert!(
                [None, Some("Milliseconds"), Some("Seconds"), Some("Percent"), Some("Count")].contains(&unit),
                "{line}"
            );
            match &line[metric["Name"].as_str().unwrap()] {
                Value::Number(_) => {}
                Value::Array(values) => {
                    assert!(
                        (1..=100).contains(&values.len()) && values.iter().all(Value::is_number),
                        "{line}"
                    );
                }
                other => panic!("{metric} is {other}: {line}"),
            }
        }
    }
}

/// A result that cannot be stored, when it is told.
fn too_large() -> Behaviour {
    Behaviour::manual().result(Shape { bytes: 700_000, incompressible: true, ..Shape::default() })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn millis(time: &Value) -> f64 {
    time.as_f64().unwrap_or_else(|| panic!("{time} is no time"))
}
