//! Stream, sweeps, redeliveries and deletions run together as they like: a destination is called once.

use local::destinations::{Behaviour, Kind};
use local::logrocket;
use local::proxy::{Match, Point};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use stories::{BEARER, World};
use tokio::time::{Instant, sleep};

const SOON: Duration = Duration::from_secs(20);

/// The claim of a delivery: it alone says until when somebody is at it.
fn claim() -> Match {
    Match::operation("UpdateItem").containing("inFlightUntil")
}

fn to(world: &World, names: &[&str]) -> Value {
    let hooks = names.iter().map(|name| json!({ "type": "webhook", "url": world.hook(name) }));
    json!({ "userID": "1", "destinations": hooks.collect::<Vec<_>>() })
}

/// A result that nobody has delivered yet, in a world without the stream.
async fn ready(world: &World, names: &[&str]) -> String {
    let id = world.ask(to(world, names)).await;
    world.wait_for(&id, "READY").await;
    id
}

/// Every call so far had an id of its own, and there were so many.
#[track_caller]
fn assert_called_once_each(world: &World, calls: usize) {
    let received = world.destinations.received();
    let ids: BTreeSet<&str> = received.iter().map(|call| call.headers["webhook-id"].as_str()).collect();
    assert_eq!((received.len(), ids.len()), (calls, calls), "{received:#?}");
}

#[tokio::test]
async fn stream_and_sweeps_at_once_call_each_destination_once() {
    let world = World::delivering(&[]).await;
    world.destinations.usually(Kind::Webhook, Behaviour::Slow(Duration::from_millis(150)));
    let asking = async {
        let mut asked = Vec::new();
        for n in 0..5 {
            let names = ["a", "b", "c"].map(|name| format!("{name}{n}"));
            asked.push(world.ask(to(&world, &names.each_ref().map(String::as_str))).await);
        }
        for id in &asked {
            world.wait_for_deliveries(id).await;
        }
        asked
    };
    let sweeping = async {
        loop {
            let sweep = || world.webhook.invoke(json!({ "job": "sweep" }));
            // On a slow machine, one of them may wait for the table in vain.
            let _ = tokio::join!(sweep(), sweep());
            sleep(Duration::from_millis(20)).await;
        }
    };
    let asked = tokio::select! {
        asked = asking => asked,
        () = sweeping => unreachable!(),
    };
    assert_called_once_each(&world, 15);
    for id in &asked {
        for delivery in world.deliveries(id).await {
            assert_eq!(delivery["status"], "DELIVERED", "{delivery}");
        }
    }
}

#[tokio::test]
async fn of_many_sweeps_at_once_each_delivery_is_made_by_one() {
    let world = World::start().await;
    // On a slow machine, one of them may wait for the table in vain.
    let sweeps =
        || futures::future::join_all((0..4).map(|_| world.webhook.invoke(json!({ "job": "sweep" }))));
    // The processes are warm: none comes when the others are done.
    sweeps().await;
    let mut asked = Vec::new();
    for _ in 0..6 {
        asked.push(ready(&world, &["a", "b"]).await);
    }
    world.destinations.usually(Kind::Webhook, Behaviour::Slow(Duration::from_millis(150)));
    sweeps().await;
    // What nobody could claim then is a later sweep's.
    for id in &asked {
        world.sweep_until_delivered(id).await;
    }
    assert_called_once_each(&world, 12);
    assert_eq!(world.sweep_deliveries().await["due"], 0);
}

#[tokio::test]
async fn a_claim_that_another_overtakes_delivers_nothing() {
    let world = World::start().await;
    // Two processes that are warm: a call of the table is not held for long.
    tokio::join!(world.sweep_deliveries(), world.sweep_deliveries());
    let id = ready(&world, &["a", "b"]).await;

    // 1. One sweep has read the record, and its claim is on its way, when another claims and delivers.
    let hold = world.table_calls.hold(claim(), Point::Before);
    let slow = async {
        let swept = world.sweep_deliveries().await;
        assert_eq!((&swept["claimed"], &swept["delivered"]), (&json!(0), &json!(0)), "{swept}");
    };
    let quick = async {
        hold.arrived().await.unwrap();
        assert_eq!(world.sweep_deliveries().await["delivered"], 2);
        hold.release();
    };
    tokio::join!(slow, quick);

    // 2. Nor does one that comes while the destination has the call before it.
    let held = world.destinations.hold_next(Kind::Webhook);
    let second = ready(&world, &["c"]).await;
    let slow = world.sweep_deliveries();
    let quick = async {
        held.arrived().await.unwrap();
        let claimed = world.item(&second);
        assert_eq!(world.sweep_deliveries().await["claimed"], 0);
        // It is being tried: there is nothing to bring forward.
        assert_eq!(world.redeliver(&second).await.status, StatusCode::OK);
        assert_eq!(world.sweep_deliveries().await["claimed"], 0);
        assert_eq!(world.item(&second), claimed);
        held.release();
    };
    let (swept, ()) = tokio::join!(slow, quick);
    assert_eq!(swept["delivered"], 1, "{swept}");
    assert_called_once_each(&world, 3);
    assert_eq!(world.deliveries(&id).await[1]["attempts"], 1);
}

#[tokio::test]
async fn a_try_that_outlives_its_lease_is_not_made_again_before_its_backoff_and_its_end_counts() {
    let world = World::with(&[("LEASE_SECONDS", "1")]).await;
    let id = ready(&world, &["a"]).await;
    let held = world.destinations.hold_next(Kind::Webhook);
    let slow = world.sweep_deliveries();
    let quick = async {
        held.arrived().await.unwrap();
        // Redelivered while nobody is known to be at it any more: the try is made once more beside the first.
        let give_up = Instant::now() + SOON;
        while world.redeliver(&id).await.status != StatusCode::ACCEPTED {
            assert!(Instant::now() < give_up);
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(world.sweep_deliveries().await["delivered"], 1);
        held.release();
    };
    let (swept, ()) = tokio::join!(slow, quick);
    assert_eq!((&swept["claimed"], &swept["postponed"]), (&json!(1), &json!(0)), "{swept}");
    let delivery = &world.deliveries(&id).await[0];
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("DELIVERED"), &json!(2)), "{delivery}");
    // The receiver can tell that both are one.
    let received = world.destinations.received();
    let ids: BTreeSet<&str> = received.iter().map(|call| call.headers["webhook-id"].as_str()).collect();
    assert_eq!((received.len(), ids.len()), (2, 1));
    assert_eq!(world.sweep_deliveries().await["due"], 0);
}

#[tokio::test]
async fn a_stream_that_loses_or_duplicates_its_changes_costs_nobody_anything() {
    let world = World::delivering(&[]).await;
    let stream = world.stream.as_ref().unwrap();

    // 1. Lost: the sweep delivers.
    stream.drop_next(1);
    let id = ready(&world, &["a", "b"]).await;
    assert!(stream.caught_up(SOON).await);
    assert!(stream.invocations().is_empty() && world.destinations.received().is_empty());
    assert_eq!(world.sweep_deliveries().await["delivered"], 2);

    // 2. Duplicated: the second finds nothing to do.
    stream.duplicate_next(1);
    let twice = ready(&world, &["c"]).await;
    world.wait_for_deliveries(&twice).await;
    assert!(stream.caught_up(SOON).await);
    assert_eq!(stream.invocations().len(), 2);

    // 3. Late: the sweep is quicker, or is not.
    stream.delay(Duration::from_millis(300));
    let late = ready(&world, &["d"]).await;
    world.sweep_deliveries().await;
    world.wait_for_deliveries(&late).await;
    let later = ready(&world, &["e"]).await;
    world.wait_for_deliveries(&later).await;
    assert_eq!(world.sweep_deliveries().await["due"], 0);
    assert!(stream.caught_up(SOON).await);
    assert_eq!(stream.invocations().len(), 4);

    for id in [&id, &twice, &late, &later] {
        for delivery in world.deliveries(id).await {
            assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("DELIVERED"), &json!(1)));
        }
    }
    assert_called_once_each(&world, 5);
    assert!(stream.errors().is_empty() && stream.on_failure().is_empty());
}

#[tokio::test]
async fn a_stream_that_was_disabled_for_a_while_meets_what_the_sweep_did_meanwhile() {
    let world = World::delivering(&[]).await;
    let stream = world.stream.as_ref().unwrap();

    // 1. Disabled: the sweep delivers some.
    stream.pause();
    let swept = [ready(&world, &["a"]).await, ready(&world, &["b"]).await];
    assert_eq!(world.sweep_deliveries().await["delivered"], 2);
    let left = ready(&world, &["c"]).await;

    // 2. Enabled, it delivers the rest.
    stream.resume();
    world.wait_for_deliveries(&left).await;
    assert!(stream.caught_up(SOON).await);
    assert_called_once_each(&world, 3);
    for id in swept.iter().chain([&left]) {
        assert_eq!(world.deliveries(id).await[0]["attempts"], 1);
    }
}

#[tokio::test]
async fn a_request_that_is_deleted_during_its_delivery_stays_deleted() {
    let world = World::start().await;
    let bearer = [("authorization", BEARER)];

    // 1. Deleted while the destination has the call, which may succeed or fail.
    for (n, behaviour) in
        [Behaviour::Ok, Behaviour::status(503), Behaviour::status(410)].into_iter().enumerate()
    {
        let id = ready(&world, &["a", "b"]).await;
        world.destinations.next(Kind::Webhook, behaviour);
        let held = world.destinations.hold_next(Kind::Webhook);
        let deleting = async {
            held.arrived().await.unwrap();
            let path = format!("/highlights/{id}");
            let deleted = world.call(Method::DELETE, &path, &bearer, Value::Null).await;
            assert_eq!(deleted.status, StatusCode::NO_CONTENT);
            held.release();
        };
        let (swept, ()) = tokio::join!(world.sweep_deliveries(), deleting);
        assert_eq!((&swept["claimed"], &swept["failed"]), (&json!(1), &json!(0)), "{swept}");
        world.get(&format!("/highlights/{id}")).await.problem(404);
        assert_eq!(world.redeliver(&id).await.status, StatusCode::NOT_FOUND);
        assert_eq!(world.table.items().unwrap(), Vec::<Value>::new(), "{n}");
        assert_eq!(world.sweep_deliveries().await["due"], 0);
    }

    // 2. Deleted between the sweep's look and its claim: nobody is called.
    let before = world.destinations.received().len();
    let id = ready(&world, &["c"]).await;
    let hold = world.table_calls.hold(claim(), Point::Before);
    let deleting = async {
        hold.arrived().await.unwrap();
        world.call(Method::DELETE, &format!("/highlights/{id}"), &bearer, Value::Null).await;
        hold.release();
    };
    let (swept, ()) = tokio::join!(world.sweep_deliveries(), deleting);
    assert_eq!((&swept["claimed"], &swept["failed"]), (&json!(0), &json!(0)), "{swept}");
    assert_eq!(world.table.items().unwrap(), Vec::<Value>::new());
    assert_eq!(world.destinations.received().len(), before);
}

#[tokio::test]
async fn a_request_that_is_asked_anew_under_its_key_during_a_delivery_is_not_taken_for_the_old_one() {
    let world = World::start().await;
    let mut body = to(&world, &["a"]);
    body["idempotencyKey"] = json!("ticket-35436");
    let id = world.ask(body.clone()).await;
    world.wait_for(&id, "READY").await;

    // 1. Deleted and asked again while the destination has the call; to the new result, it is deaf at first.
    let held = world.destinations.hold_next(Kind::Webhook);
    let anew = async {
        held.arrived().await.unwrap();
        let path = format!("/highlights/{id}");
        world.call(Method::DELETE, &path, &[("authorization", BEARER)], Value::Null).await;
        world.log_rocket.next(logrocket::Behaviour::manual());
        assert_eq!(world.ask(body).await, id);
        assert_eq!(world.tell(&id, 1, logrocket::Outcome::Ready).await, 200);
        world.destinations.next(Kind::Webhook, Behaviour::status(503));
        assert_eq!(world.sweep_deliveries().await["postponed"], 1);
        held.release();
    };
    let (swept, ()) = tokio::join!(world.sweep_deliveries(), anew);
    assert_eq!((&swept["claimed"], &swept["delivered"]), (&json!(1), &json!(0)), "{swept}");
    let delivery = &world.deliveries(&id).await[0];
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("PENDING"), &json!(1)), "{delivery}");

    // 2. The new result is delivered.
    assert_eq!(world.redeliver(&id).await.status, StatusCode::ACCEPTED);
    assert_eq!(world.sweep_deliveries().await["delivered"], 1);
    assert_eq!(world.destinations.received().len(), 3);
}
