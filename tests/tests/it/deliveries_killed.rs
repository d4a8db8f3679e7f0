//! webhook λ is killed with SIGKILL in the middle of a delivery, begun by the stream or by the sweep. Nothing is lost:
//! what was not made is due again when the try's time is over, under the same `webhook-id`.

use local::destinations::{Behaviour, Kind, Received};
use local::hold::Hold;
use local::proxy::{Fault, Match, Point};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use stories::World;
use tokio::time::{Instant, sleep};

fn update() -> Match {
    Match::operation("UpdateItem")
}

/// The claim of a delivery: it alone says until when somebody is at it.
fn claim() -> Match {
    update().containing("inFlightUntil")
}

/// That a request's only delivery is done.
fn mark() -> Match {
    update().containing("DELIVERED")
}

/// The calls of one receiver.
fn calls(world: &World, name: &str) -> Vec<Received> {
    let path = format!("/hook/{name}");
    world.destinations.received().into_iter().filter(|call| call.path == path).collect()
}

/// The ids under which a receiver was called.
fn ids(calls: &[Received]) -> BTreeSet<&str> {
    calls.iter().map(|call| call.headers["webhook-id"].as_str()).collect()
}

async fn ask(world: &World, name: &str) -> String {
    world.ask(json!({ "userID": "1", "webhookURL": world.hook(name) })).await
}

/// A result that nobody has delivered yet, in a world without the stream.
async fn ready(world: &World, name: &str) -> String {
    let id = ask(world, name).await;
    world.wait_for(&id, "READY").await;
    id
}

/// A sweep during which webhook λ is killed at the call that is held.
async fn sweep_and_kill(world: &World, hold: &Hold) {
    let sweeping = world.webhook.invoke(json!({ "job": "sweep" }));
    let (killed, ()) = tokio::join!(sweeping, world.kill_webhook_at(hold));
    assert_eq!(killed.unwrap_err().error_type, "Runtime.ExitError");
}

/// A delivery that was killed with its try counted: nobody takes it before that try's time is over.
async fn assert_claimed(world: &World, id: &str) {
    let delivery = &world.deliveries(id).await[0];
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("PENDING"), &json!(1)), "{delivery}");
    let mark = &world.item(id)["deliveries"]["0-result"];
    assert!(mark["nextAt"].as_i64().unwrap() >= mark["dueSince"].as_i64().unwrap() + 10_000, "{mark}");
    let before = world.item(id);
    world.sweep_deliveries().await;
    assert_eq!(world.item(id), before);
}

/// Waits until the tries' time is over, and sweeps until each is delivered; answers the last call's delivery.
async fn sweep_when_due(world: &World, ids: &[&str]) {
    let due = ids.iter().filter_map(|id| world.item(id)["webhookDueAt"].as_u64()).max();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    sleep(Duration::from_millis(due.unwrap_or_default()).saturating_sub(now)).await;
    for id in ids {
        assert_eq!(world.sweep_until_delivered(id).await[0]["status"], "DELIVERED");
    }
}

/// Delivered by that many tries, of which so many reached the receiver, all under one id.
#[track_caller]
fn assert_delivered(world: &World, deliveries: &[Value], id: &str, name: &str, tries: u32, reached: usize) {
    let delivery = &deliveries[0];
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("DELIVERED"), &json!(tries)), "{name}");
    let calls = calls(world, name);
    assert_eq!(calls.len(), reached, "{name}: {calls:#?}");
    assert_eq!(ids(&calls), BTreeSet::from([world.delivery_id(id, "0-result").as_str()]));
    assert!(calls.last().unwrap().accepted, "{name}: {calls:#?}");
    assert_eq!(world.item(id)["webhookDueAt"], Value::Null);
}

#[tokio::test]
async fn killed_by_the_stream_around_its_claim_nothing_is_lost() {
    let world = World::delivering(&[]).await;

    // 1. The claim never arrives: the stream hands the change over again.
    let hold = world.table_calls.hold(claim(), Point::Before);
    let lost = ask(&world, "lost").await;
    world.kill_webhook_at(&hold).await;
    hold.discard();
    let deliveries = world.wait_for_deliveries(&lost).await;
    assert_delivered(&world, &deliveries, &lost, "lost", 1, 1);

    // 2. It arrives when another has delivered: it meets another version.
    let hold = world.table_calls.hold(claim(), Point::Before);
    let late = ask(&world, "late").await;
    world.kill_webhook_at(&hold).await;
    let deliveries = world.wait_for_deliveries(&late).await;
    let delivered = world.item(&late);
    hold.release();
    refused(&world, &late).await;
    assert_eq!(world.item(&late), delivered);
    assert_delivered(&world, &deliveries, &late, "late", 1, 1);

    // 3. It took effect, and nobody was called: the try is counted, and the sweep makes the next in its time.
    let hold = world.table_calls.hold(claim(), Point::After);
    let claimed = ask(&world, "claimed").await;
    world.kill_webhook_at(&hold).await;
    drop(hold);
    assert!(world.stream.as_ref().unwrap().caught_up(Duration::from_secs(20)).await);
    assert_claimed(&world, &claimed).await;

    // 4. It took effect, and whoever made it never hears so: it is nobody's until its time is over.
    world.table_calls.on(claim().times(1), Fault::CutAfter);
    let unheard = ask(&world, "unheard").await;
    world.wait_for(&unheard, "READY").await;
    assert!(world.stream.as_ref().unwrap().caught_up(Duration::from_secs(20)).await);
    assert_claimed(&world, &unheard).await;
    assert!(calls(&world, "claimed").is_empty() && calls(&world, "unheard").is_empty());

    let due = world.item(&claimed)["webhookDueAt"].as_u64().unwrap();
    sweep_when_due(&world, &[&claimed, &unheard]).await;
    assert!(calls(&world, "claimed")[0].at_ms >= due);
    for (id, name) in [(&claimed, "claimed"), (&unheard, "unheard")] {
        assert_delivered(&world, &world.deliveries(id).await, id, name, 2, 1);
    }
}

#[tokio::test]
async fn killed_by_the_stream_behind_its_claim_nothing_is_lost() {
    let world = World::delivering(&[]).await;

    // 1. While the destination holds the call, which it then never reads; or reads all the same.
    let hold = world.destinations.hold_next(Kind::Webhook);
    let unread = ask(&world, "unread").await;
    world.kill_webhook_at(&hold).await;
    hold.discard();
    assert_claimed(&world, &unread).await;
    let hold = world.destinations.hold_next(Kind::Webhook);
    let read = ask(&world, "read").await;
    world.kill_webhook_at(&hold).await;
    hold.release();
    assert_claimed(&world, &read).await;

    // 2. At its mark, which never arrives; or arrives late, and counts.
    let hold = world.table_calls.hold(mark(), Point::Before);
    let unmarked = ask(&world, "unmarked").await;
    world.kill_webhook_at(&hold).await;
    hold.discard();
    assert_claimed(&world, &unmarked).await;
    let hold = world.table_calls.hold(mark(), Point::Before);
    let late = ask(&world, "late").await;
    world.kill_webhook_at(&hold).await;
    hold.release();
    let deliveries = world.wait_for_deliveries(&late).await;
    assert_delivered(&world, &deliveries, &late, "late", 1, 1);

    // 3. When the mark is written: done.
    let hold = world.table_calls.hold(mark(), Point::After);
    let marked = ask(&world, "marked").await;
    world.kill_webhook_at(&hold).await;
    drop(hold);
    let deliveries = world.deliveries(&marked).await;
    assert_delivered(&world, &deliveries, &marked, "marked", 1, 1);

    // 4. What is not marked is made once more: who got it twice can tell by the id.
    sweep_when_due(&world, &[&unread, &read, &unmarked]).await;
    for (id, name) in [(&unread, "unread"), (&read, "read"), (&unmarked, "unmarked")] {
        assert_delivered(&world, &world.deliveries(id).await, id, name, 2, 2);
    }
    let accepted = |name| calls(&world, name).iter().filter(|call| call.accepted).count();
    assert_eq!(["unread", "read", "unmarked"].map(accepted), [1, 2, 2]);
    for (id, name) in [(&late, "late"), (&marked, "marked")] {
        assert_delivered(&world, &world.deliveries(id).await, id, name, 1, 1);
    }
}

#[tokio::test]
async fn killed_in_the_sweep_around_its_claim_nothing_is_lost() {
    let world = World::start().await;

    // 1. The claim never arrives: the next sweep finds it due as before.
    let lost = ready(&world, "lost").await;
    let before = world.item(&lost);
    let hold = world.table_calls.hold(claim(), Point::Before);
    sweep_and_kill(&world, &hold).await;
    hold.discard();
    assert_eq!(world.item(&lost), before);
    assert_eq!(world.sweep_deliveries().await["delivered"], 1);
    assert_delivered(&world, &world.deliveries(&lost).await, &lost, "lost", 1, 1);

    // 2. It arrives when another sweep has delivered.
    let late = ready(&world, "late").await;
    let hold = world.table_calls.hold(claim(), Point::Before);
    sweep_and_kill(&world, &hold).await;
    assert_eq!(world.sweep_deliveries().await["delivered"], 1);
    let delivered = world.item(&late);
    hold.release();
    refused(&world, &late).await;
    assert_eq!(world.item(&late), delivered);
    assert_delivered(&world, &world.deliveries(&late).await, &late, "late", 1, 1);

    // 3. It took effect.
    let claimed = ready(&world, "claimed").await;
    let hold = world.table_calls.hold(claim(), Point::After);
    sweep_and_kill(&world, &hold).await;
    drop(hold);
    assert_claimed(&world, &claimed).await;

    // 4. Whoever was not killed, but told to come again, waits no longer.
    let busy = ready(&world, "busy").await;
    world.destinations.next(Kind::Webhook, Behaviour::status(503));
    assert_eq!(world.sweep_deliveries().await["postponed"], 1);
    let due = world.item(&busy)["webhookDueAt"].as_u64().unwrap();

    sweep_when_due(&world, &[&claimed, &busy]).await;
    assert_delivered(&world, &world.deliveries(&claimed).await, &claimed, "claimed", 2, 1);
    assert_delivered(&world, &world.deliveries(&busy).await, &busy, "busy", 2, 2);
    assert!(calls(&world, "busy")[1].at_ms >= due);
}

#[tokio::test]
async fn killed_in_the_sweep_behind_its_claim_nothing_is_lost() {
    let world = World::start().await;

    // 1. While the destination holds the call, which it then never reads; or reads all the same.
    let unread = ready(&world, "unread").await;
    let hold = world.destinations.hold_next(Kind::Webhook);
    sweep_and_kill(&world, &hold).await;
    hold.discard();
    assert_claimed(&world, &unread).await;
    let read = ready(&world, "read").await;
    let hold = world.destinations.hold_next(Kind::Webhook);
    sweep_and_kill(&world, &hold).await;
    hold.release();
    assert_claimed(&world, &read).await;

    // 2. At its mark, which never arrives; or arrives late, and counts.
    let unmarked = ready(&world, "unmarked").await;
    let hold = world.table_calls.hold(mark(), Point::Before);
    sweep_and_kill(&world, &hold).await;
    hold.discard();
    assert_claimed(&world, &unmarked).await;
    let late = ready(&world, "late").await;
    let hold = world.table_calls.hold(mark(), Point::Before);
    sweep_and_kill(&world, &hold).await;
    hold.release();
    let deliveries = world.wait_for_deliveries(&late).await;
    assert_delivered(&world, &deliveries, &late, "late", 1, 1);

    // 3. What is not marked is made once more.
    sweep_when_due(&world, &[&unread, &read, &unmarked]).await;
    for (id, name) in [(&unread, "unread"), (&read, "read"), (&unmarked, "unmarked")] {
        assert_delivered(&world, &world.deliveries(id).await, id, name, 2, 2);
    }
    assert_delivered(&world, &world.deliveries(&late).await, &late, "late", 1, 1);
}

#[tokio::test]
async fn a_sweep_killed_among_many_deliveries_strands_none() {
    let world = World::start().await;
    let mut asked = Vec::new();
    for n in 0..4 {
        let destinations: Vec<Value> =
            (0..3).map(|m| json!({ "type": "webhook", "url": world.hook(&format!("{n}-{m}")) })).collect();
        asked.push(world.ask(json!({ "userID": "1", "destinations": destinations })).await);
    }
    for id in &asked {
        world.wait_for(id, "READY").await;
    }

    // 1. Killed in the middle of the work on all of them.
    let hold = world.destinations.hold_next(Kind::Webhook);
    sweep_and_kill(&world, &hold).await;
    hold.discard();

    // 2. Each destination is told, and of one delivery, however often.
    let all: Vec<&str> = asked.iter().map(String::as_str).collect();
    sweep_when_due(&world, &all).await;
    for (n, id) in asked.iter().enumerate() {
        for m in 0..3 {
            let calls = calls(&world, &format!("{n}-{m}"));
            assert!(calls.last().unwrap().accepted && calls.len() <= 2, "{calls:#?}");
            assert_eq!(ids(&calls), BTreeSet::from([world.delivery_id(id, &format!("{m}-result")).as_str()]));
        }
        assert_eq!(world.item(id)["webhookDueAt"], Value::Null);
    }
}

/// Waits until the table has refused an update of that record.
async fn refused(world: &World, id: &str) {
    let give_up = Instant::now() + Duration::from_secs(20);
    let is_refused = |call: &local::proxy::Call| {
        call.operation == "UpdateItem"
            && call.upstream == Some(400)
            && String::from_utf8_lossy(&call.body).contains(id)
    };
    while !world.table_calls.calls().iter().any(is_refused) {
        assert!(Instant::now() < give_up, "the late update never arrived");
        sleep(Duration::from_millis(20)).await;
    }
}
