//! What is not heard of: a destination that hangs, and one that does what it is asked to and cannot say so.

use super::{CASES, Case, Repeat, Round, Told, one_of_each_kind, request, result, usually, world};
use local::destinations::{Behaviour, Kind};
use model::time::Time;
use serde_json::Value;
use std::time::Duration;
use stories::World;
use tokio::time::{Instant, sleep};

/// As the function waits for a destination.
const WAITED_FOR_MS: u64 = 10_000;

/// How a destination is in one of three worlds; in each world, a third of them is in each way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Well,
    /// It never answers, and does nothing.
    Hangs,
    /// It does what it is asked to, and never answers.
    HangsAfter,
}

fn way(kind: Kind, number: usize) -> Way {
    let at = one_of_each_kind().iter().position(|case| case.kind == kind).unwrap();
    [Way::Well, Way::Hangs, Way::HangsAfter][(at + number) % 3]
}

#[tokio::test]
async fn one_that_never_answers_is_asked_again_and_keeps_no_other_waiting() {
    // Side by side: each waits as long as a destination is waited for.
    tokio::join!(hanging(0), hanging(1), hanging(2));
}

async fn hanging(number: usize) {
    let world = world().await;
    for case in CASES {
        let behave = |kind, behaviour| world.destinations.next(kind, behaviour);
        match (way(case.kind, number), case.kind) {
            (Way::Well, _) => {}
            // Before a task stands a token: one that is not got is no better than a task that is not made.
            (Way::Hangs, Kind::Salesforce) => {
                world.destinations.usually(Kind::SalesforceToken, Behaviour::Hang)
            }
            (Way::Hangs, kind) => world.destinations.usually(kind, Behaviour::Hang),
            (Way::HangsAfter, kind) => behave(kind, Behaviour::HangAfter),
        }
    }
    let round = Round::ask_all(&world).await.result(&result()).await;
    assert_nobody_waits_for_others(&round, number).await;

    // 1. That nothing was heard is on record; AWS's services are asked again within the try.
    for told in round.tried().await {
        let name = format!("{}: {:#}\n{:#?}", told.name(), told.delivery, told.calls);
        match way(told.case.kind, number) {
            Way::HangsAfter if !repeats_within_the_try(told.case) => {
                assert_eq!((told.status(), told.last_error()), ("PENDING", "no answer"), "{name}");
                assert_eq!((told.attempts(), told.messages.len()), (1, 1), "{name}");
            }
            Way::HangsAfter => assert_repeated(&told, 1),
            Way::Hangs => {
                assert_eq!((told.status(), told.last_error()), ("PENDING", "no answer"), "{name}");
                assert_eq!((told.attempts(), told.messages.len()), (1, 0), "{name}");
                assert!(told.delivery["nextAttemptAt"].is_string(), "{name}");
            }
            Way::Well => told.assert_delivered(1),
        }
    }

    // 2. They are back.
    usually(&world, &Behaviour::Ok);
    world.destinations.usually(Kind::SalesforceToken, Behaviour::Ok);
    for told in round.again().await {
        match way(told.case.kind, number) {
            Way::Well => told.assert_delivered(1),
            Way::Hangs => told.assert_delivered(2),
            Way::HangsAfter if repeats_within_the_try(told.case) => assert_repeated(&told, 1),
            Way::HangsAfter => assert_repeated(&told, 2),
        }
    }
}

/// Those that are well have all been told, and marked so, before any of the others has been given up waiting for.
async fn assert_nobody_waits_for_others(round: &Round<'_>, number: usize) {
    let give_up = Instant::now() + super::PATIENCE;
    let all = loop {
        let all = round.now().await;
        let is_told = |told: &Told| way(told.case.kind, number) != Way::Well || told.status() == "DELIVERED";
        if all.iter().all(is_told) {
            break all;
        }
        assert!(Instant::now() < give_up, "waited for those that are well");
        sleep(Duration::from_millis(50)).await;
    };
    let (well, hung): (Vec<&Told>, Vec<&Told>) =
        all.iter().partition(|told| way(told.case.kind, number) == Way::Well);
    let called = hung.iter().flat_map(|told| &told.calls).map(|call| call.at_ms).min().expect("a call");
    let given_up = Time(i64::try_from(called + WAITED_FOR_MS).unwrap()).to_string();
    for told in well {
        let delivered = told.delivery["deliveredAt"].as_str().expect("a time");
        assert!(delivered < given_up.as_str(), "{}: {:#}", told.name(), told.delivery);
    }
}

/// By AWS's SDK, or for it: that waits a second or so.
fn repeats_within_the_try(case: &Case) -> bool {
    matches!(case.kind, Kind::EventBridge | Kind::StepFunctions)
}

#[tokio::test]
async fn what_was_done_unheard_is_not_done_twice_or_says_that_it_is_the_same() {
    let world = world().await;
    for case in CASES {
        world.destinations.next(case.kind, Behaviour::CutAfter);
    }
    let round = Round::ask_all(&world).await.result(&result()).await;
    for told in round.tried().await {
        if repeats_within_the_try(told.case) {
            assert_repeated(&told, 1);
        } else {
            let ended = (told.status(), told.last_error(), told.messages.len());
            assert_eq!(ended, ("PENDING", "no answer", 1), "{}: {:#}", told.name(), told.delivery);
        }
    }
    for told in round.again().await {
        assert_repeated(&told, if repeats_within_the_try(told.case) { 1 } else { 2 });
    }
    assert_none_is_taken_for_anothers(&world).await;
}

fn assert_repeated(told: &Told, attempts: u64) {
    let name = format!("{}: {:#}\n{:#?}", told.name(), told.delivery, told.calls);
    assert_eq!((told.status(), told.attempts()), ("DELIVERED", attempts), "{name}");
    told.assert_says_its_request();
    match told.case.repeat {
        Repeat::Found => {
            assert_eq!(told.messages.len(), 1, "{name}");
            let id = if told.case.has_id { told.messages[0].id.as_deref() } else { None };
            assert_eq!(told.delivery["externalID"].as_str(), id, "{name}");
        }
        Repeat::Twice => assert_eq!(told.messages.len(), 2, "{name}"),
        Repeat::SameID => {
            assert_eq!(told.messages.len(), 2, "{name}");
            assert_eq!(told.messages[0].id, told.messages[1].id, "{name}");
            assert!(told.messages[0].id.as_ref().is_some_and(|id| id.starts_with(&told.id)), "{name}");
        }
    }
    let bodies = told.taken();
    if let [first, second] = bodies[..] {
        assert_eq!(first.body, second.body, "{name}");
    }
}

/// Zendesk's repeat finds the marks of other requests, and makes its own comment.
async fn assert_none_is_taken_for_anothers(world: &World) {
    let zendesk = CASES.iter().filter(|case| case.kind == Kind::Zendesk);
    world.destinations.next(Kind::Zendesk, Behaviour::CutBefore);
    let round = Round::ask(world, zendesk, &request(), &Value::Null).await.result(&result()).await;
    assert_eq!(round.tried().await[0].messages.len(), 0);
    round.again().await[0].assert_delivered(2);
}
