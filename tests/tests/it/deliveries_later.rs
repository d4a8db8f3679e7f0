//! Destinations and tables that are down, busy or slow: a delivery is made when they are back, it is told when it will
//! be tried next, and it keeps nobody else waiting.

use local::destinations::{Behaviour, Kind};
use local::proxy::{Fault, Match, Point};
use model::time::Time;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use stories::World;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

/// Of an invocation that has just time enough to begin a delivery: a destination is waited for half of it.
const SHORT: Duration = Duration::from_secs(7);

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

fn to(urls: &[String]) -> Value {
    let hooks = urls.iter().map(|url| json!({ "type": "webhook", "url": url }));
    json!({ "userID": "1", "destinations": hooks.collect::<Vec<_>>() })
}

/// A result that nobody has delivered yet, in a world without the stream.
async fn ready(world: &World, names: &[&str]) -> String {
    let urls: Vec<String> = names.iter().map(|name| world.hook(name)).collect();
    let id = world.ask(to(&urls)).await;
    world.wait_for(&id, "READY").await;
    id
}

/// When the first destination is tried next, as callers see it and in epoch milliseconds.
async fn next_at(world: &World, id: &str) -> i64 {
    let next = world.item(id)["deliveries"]["0-result"]["nextAt"].as_i64().unwrap();
    let delivery = &world.deliveries(id).await[0];
    assert_eq!(delivery["nextAttemptAt"], Time(next).to_string(), "{delivery}");
    next
}

/// Waits until the first destination has been tried so often.
async fn tried(world: &World, id: &str, tries: u32) -> Value {
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        let mark = world.item(id)["deliveries"]["0-result"].take();
        if mark["tries"] == tries && mark["inFlightUntil"].is_null() {
            return world.deliveries(id).await.remove(0);
        }
        assert!(Instant::now() < give_up, "{mark:#}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A port of this machine that refuses connections until it is opened.
struct Port(TcpSocket);

impl Port {
    fn closed() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.local_addr().unwrap())
    }

    /// From now on it passes all on.
    fn open(self, upstream: &str) {
        let upstream = upstream.strip_prefix("http://").unwrap().to_owned();
        let listener = self.0.listen(64).unwrap();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let upstream = upstream.clone();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(upstream).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
    }
}

#[tokio::test]
async fn a_destination_that_is_down_is_tried_after_longer_and_longer_waits_and_then_given_up() {
    let world = World::delivering(&[]).await;
    world.destinations.usually(Kind::Webhook, Behaviour::status(503).body("down for maintenance"));
    let id = world.ask(to(&[world.hook("crm")])).await;

    // 1. Each try has its own wait behind it, a fifth more or less; whoever asks for it has it now.
    for (wait, tries) in [10, 60, 300, 900, 3_600, 10_800, 21_600, 43_200].into_iter().zip(1..) {
        let delivery = tried(&world, &id, tries).await;
        assert_eq!(delivery["status"], "PENDING");
        assert_eq!(delivery["lastError"], "the webhook answered 503: down for maintenance");
        let called = i64::try_from(world.destinations.received().last().unwrap().at_ms).unwrap();
        let next = next_at(&world, &id).await;
        let expected = (called + wait * 800)..=(now_ms() + wait * 1_200);
        assert!(expected.contains(&next), "{tries}: {next} is not in {expected:?}");
        assert_eq!(world.item(&id)["webhookDueAt"], next);
        assert_eq!(world.sweep_deliveries().await["due"], 0);
        assert_eq!(world.redeliver(&id).await.status, StatusCode::ACCEPTED);
    }

    // 2. The ninth is the last.
    let delivery = tried(&world, &id, 9).await;
    assert_eq!((&delivery["status"], &delivery["nextAttemptAt"]), (&json!("FAILED"), &Value::Null));
    assert_eq!(world.item(&id)["webhookDueAt"], Value::Null);
    assert_eq!(world.destinations.received().len(), 9);

    // 3. It is back: somebody asks for what was given up, and the tries begin anew.
    world.destinations.usually(Kind::Webhook, Behaviour::Ok);
    assert_eq!(world.redeliver(&id).await.status, StatusCode::ACCEPTED);
    let delivery = &world.wait_for_deliveries(&id).await[0];
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("DELIVERED"), &json!(1)), "{delivery}");
    assert_eq!(delivery["lastError"], Value::Null);
}

#[tokio::test]
async fn a_destination_that_cannot_be_connected_to_or_hangs_up_has_its_delivery_when_it_is_back() {
    let world = World::delivering(&[]).await;
    let port = Port::closed();
    let refused = world.ask(to(&[port.url("/hook/closed")])).await;
    let delivery = tried(&world, &refused, 1).await;
    assert_eq!((&delivery["status"], &delivery["lastError"]), (&json!("PENDING"), &json!("no connection")));

    world.destinations.next(Kind::Webhook, Behaviour::CutBefore);
    let cut = world.ask(to(&[world.hook("cut")])).await;
    assert_eq!(tried(&world, &cut, 1).await["lastError"], "no answer");

    port.open(&world.destinations.url());
    for id in [&refused, &cut] {
        assert_eq!(world.redeliver(id).await.status, StatusCode::ACCEPTED);
        let delivery = &world.wait_for_deliveries(id).await[0];
        let ended = (&delivery["status"], &delivery["attempts"], &delivery["lastError"]);
        assert_eq!(ended, (&json!("DELIVERED"), &json!(2), &Value::Null));
    }
}

#[tokio::test]
async fn a_wait_that_the_destination_asks_for_is_kept_within_a_day() {
    const DAY: i64 = 86_400_000;
    let world = World::delivering(&[]).await;
    let date = |seconds: i64| {
        let by = Duration::from_secs(seconds.unsigned_abs());
        let now = SystemTime::now();
        httpdate::fmt_http_date(if seconds < 0 { now - by } else { now + by })
    };
    let backoff = 8_000..=12_000;
    // A date has no milliseconds.
    for (status, retry_after, wait) in [
        (503, "120", 120_000..=120_000),
        (429, " 600 ", 600_000..=600_000),
        (500, "86400", DAY..=DAY),
        (503, "86401", DAY..=DAY),
        (429, "99999999999999999999999999", DAY..=DAY),
        (503, "{date 300}", 298_000..=300_000),
        (503, "{date 34560000}", DAY..=DAY),
        (429, "{date -600}", backoff.clone()),
        (408, "1", backoff.clone()),
        (503, "0", backoff.clone()),
        (503, "-5", backoff.clone()),
        (503, "1.5", backoff.clone()),
        (425, "soon", backoff.clone()),
        (599, "Sun, 99 Foo 2026 00:00:00 GMT", backoff.clone()),
        (502, "", backoff.clone()),
    ] {
        let seconds = retry_after.strip_prefix("{date ").and_then(|rest| rest.strip_suffix('}'));
        let retry_after =
            seconds.map_or_else(|| retry_after.to_owned(), |seconds| date(seconds.parse().unwrap()));
        let asked = now_ms();
        world.destinations.next(Kind::Webhook, Behaviour::status(status).header("retry-after", &retry_after));
        let id = world.ask(to(&[world.hook("busy")])).await;
        assert_eq!(tried(&world, &id, 1).await["status"], "PENDING");
        let next = next_at(&world, &id).await;
        let expected = (asked + wait.start())..=(now_ms() + wait.end());
        assert!(expected.contains(&next), "{status} {retry_after:?}: {next} is not in {expected:?}");
        assert_eq!(world.item(&id)["webhookDueAt"], next);
    }
}

#[tokio::test]
async fn a_dead_destination_keeps_no_other_of_its_request_waiting() {
    let world = World::delivering(&[("LEASE_SECONDS", "60")]).await;
    let held = world.destinations.hold_next(Kind::Webhook);
    let names = ["a", "b", "c", "d"].map(|name| world.hook(name));
    let id = world.ask(to(&names)).await;
    held.arrived().await.unwrap();

    // 1. While it hangs, all others are told, and it is written down.
    let dead = world.destinations.received()[0].path.clone();
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        let deliveries = world.deliveries(&id).await;
        let delivered = deliveries.iter().filter(|delivery| delivery["status"] == "DELIVERED");
        if delivered.count() == 3 {
            let left = deliveries.iter().find(|delivery| delivery["status"] == "PENDING").unwrap();
            assert!(left["destination"]["url"].as_str().unwrap().ends_with(&dead), "{left}");
            break;
        }
        assert!(Instant::now() < give_up, "{deliveries:#?}");
        sleep(Duration::from_millis(20)).await;
    }
    // The others' ends took nothing of its claim away.
    assert_eq!(world.sweep_deliveries().await["due"], 0);

    // 2. It answers after all.
    held.release();
    world.wait_for_deliveries(&id).await;
    assert_eq!(world.destinations.received().len(), 4);
}

#[tokio::test]
async fn a_dead_destination_keeps_no_other_request_of_the_sweep_waiting() {
    let world = World::with(&[("LEASE_SECONDS", "60")]).await;
    let mut asked = Vec::new();
    for n in 0..5 {
        asked.push(ready(&world, &[&format!("crm{n}")]).await);
    }
    let held = world.destinations.hold_next(Kind::Webhook);
    let others = async {
        held.arrived().await.unwrap();
        let dead = world.destinations.received()[0].body["requestID"].clone();
        for id in asked.iter().filter(|id| dead != **id) {
            assert_eq!(world.wait_for_deliveries(id).await[0]["status"], "DELIVERED");
        }
        assert_eq!(world.deliveries(dead.as_str().unwrap()).await[0]["status"], "PENDING");
        held.release();
    };
    let (swept, ()) = tokio::join!(world.sweep_deliveries(), others);
    assert_eq!((&swept["claimed"], &swept["delivered"]), (&json!(5), &json!(5)), "{swept}");
}

#[tokio::test]
async fn an_invocation_ends_in_time_though_destinations_never_answer() {
    let world = World::with(&[("LEASE_SECONDS", "60")]).await;
    let short = world.another_webhook(&[("LEASE_SECONDS", "60")], SHORT);
    world.destinations.usually(Kind::Webhook, Behaviour::Hang);
    let mut asked = Vec::new();
    for n in 0..3 {
        asked.push(ready(&world, &[&format!("a{n}"), &format!("b{n}")]).await);
    }
    let swept = short.invoke(json!({ "job": "sweep" })).await.unwrap();
    assert_eq!((&swept["claimed"], &swept["postponed"]), (&json!(3), &json!(6)), "{swept}");
    for id in &asked {
        for delivery in world.deliveries(id).await {
            let ended = (&delivery["status"], &delivery["attempts"], &delivery["lastError"]);
            assert_eq!(ended, (&json!("PENDING"), &json!(1), &json!("no answer")));
        }
    }

    // It is back.
    world.destinations.usually(Kind::Webhook, Behaviour::Ok);
    for id in &asked {
        assert_eq!(world.redeliver(id).await.status, StatusCode::ACCEPTED);
    }
    assert_eq!(world.sweep_deliveries().await["delivered"], 6);
}

#[tokio::test]
async fn with_too_little_time_left_nothing_is_begun_and_it_stays_due() {
    let world = World::start().await;
    let id = ready(&world, &["crm"]).await;
    let before = world.item(&id);

    // 1. Neither by a sweep nor by the stream.
    let hasty = world.another_webhook(&[], Duration::from_millis(5_000));
    let swept = hasty.invoke(json!({ "job": "sweep" })).await.unwrap();
    assert_eq!(
        (&swept["due"], &swept["claimed"], &swept["failed"]),
        (&json!(1), &json!(0), &json!(0)),
        "{swept}"
    );
    let event = json!({ "Records": [{ "eventSource": "aws:dynamodb", "dynamodb": {
        "SequenceNumber": "1", "Keys": { "requestID": { "S": id } },
    }}]});
    assert_eq!(hasty.invoke(event).await.unwrap(), json!({ "batchItemFailures": [] }));
    assert_eq!(world.item(&id), before);
    assert!(world.destinations.received().is_empty());

    // 2. The next one with time enough.
    assert_eq!(world.sweep_deliveries().await["delivered"], 1);
}

/// That a request's only delivery is done.
fn mark() -> Match {
    Match::operation("UpdateItem").containing("DELIVERED")
}

#[tokio::test]
async fn a_mark_that_the_table_does_not_take_at_once_is_written_in_the_end_and_the_destination_called_once() {
    let world = World::with(&[("LEASE_SECONDS", "60")]).await;
    // More often than the SDK tries by itself; and once done, but not heard of.
    for (fault, times) in [
        (Fault::throttled(), 5),
        (Fault::internal_error(), 5),
        (Fault::CutBefore, 5),
        (Fault::CutAfter, 1),
        (Fault::CutAfter, 4),
    ] {
        let id = ready(&world, &["crm"]).await;
        let before = world.destinations.received().len();
        world.table_calls.on(mark().times(times), fault);
        let swept = world.sweep_deliveries().await;
        assert_eq!(swept["claimed"], 1, "{swept}");
        let delivery = &world.deliveries(&id).await[0];
        assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("DELIVERED"), &json!(1)));
        assert_eq!(world.destinations.received().len(), before + 1);
        assert_eq!(world.sweep_deliveries().await["due"], 0);
        world.table_calls.clear();
    }
}

#[tokio::test]
async fn an_invocation_ends_in_time_though_the_table_never_takes_its_marks() {
    let ends = |fault| async {
        let world = World::with(&[("LEASE_SECONDS", "60")]).await;
        let short = world.another_webhook(&[("LEASE_SECONDS", "60")], SHORT);
        let id = ready(&world, &["a", "b", "c"]).await;
        world.table_calls.on(mark(), fault);
        // It ends by itself, and is not ended: that would take the marks of others with it.
        let swept = short.invoke(json!({ "job": "sweep" })).await.unwrap();
        assert_eq!((&swept["claimed"], &swept["delivered"]), (&json!(1), &json!(0)), "{swept}");
        assert_eq!(world.destinations.received().len(), 3);
        for delivery in world.deliveries(&id).await {
            assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("PENDING"), &json!(1)));
        }
    };
    tokio::join!(ends(Fault::CutBefore), ends(Fault::Delay(Duration::from_secs(60))));
}

#[tokio::test]
async fn a_claim_that_the_table_does_not_take_calls_nobody_and_stays_due() {
    let world = World::start().await;
    let claim = || Match::operation("UpdateItem").containing("inFlightUntil");
    let id = ready(&world, &["crm"]).await;
    let before = world.item(&id);
    for fault in [Fault::throttled(), Fault::internal_error(), Fault::CutBefore] {
        world.table_calls.on(claim(), fault);
        let swept = world.sweep_deliveries().await;
        assert_eq!((&swept["claimed"], &swept["failed"]), (&json!(0), &json!(1)), "{swept}");
        world.table_calls.clear();
        assert_eq!(world.item(&id), before);
    }
    // What is due cannot be seen: the sweep fails by name, for its schedule to count.
    world.table_calls.on(Match::operation("Query"), Fault::throttled());
    let failed = world.webhook.invoke(json!({ "job": "sweep" })).await.unwrap_err();
    assert_eq!(failed.error_type, "Unavailable");
    world.table_calls.clear();
    assert!(world.destinations.received().is_empty());
    assert_eq!(world.sweep_deliveries().await["delivered"], 1);
}

#[tokio::test]
async fn what_is_claimed_beside_other_writes_is_marked_all_the_same() {
    let world = Arc::new(World::start().await);
    let id = ready(&world, &["a"]).await;
    // While the mark is on its way, others write: the request gathers another destination.
    let held = world.table_calls.hold(mark(), Point::Before);
    let others = async {
        held.arrived().await.unwrap();
        let mut more = to(&[world.hook("b")]);
        more["maxAge"] = json!(900);
        let answer = world.post(more).await;
        assert_eq!((answer.status, &answer.json()["requestID"]), (StatusCode::OK, &json!(id)));
        held.release();
    };
    tokio::join!(world.sweep_deliveries(), others);
    assert_eq!(world.sweep_deliveries().await["delivered"], 1);
    for delivery in world.deliveries(&id).await {
        assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("DELIVERED"), &json!(1)));
    }
    assert_eq!(world.destinations.received().len(), 2);
}

/// Guards the stories above: a closed port is one.
#[tokio::test]
async fn a_port_refuses_until_it_is_opened() {
    let port = Port::closed();
    let address = port.0.local_addr().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    port.open(&format!("http://{}", upstream.local_addr().unwrap()));
    assert!(TcpStream::connect(address).await.is_ok());
}
