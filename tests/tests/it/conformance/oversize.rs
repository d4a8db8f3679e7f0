//! More than fits: every message is within its vendor's limit, and whoever reads it sees all, or that it is not all.

use super::seen::Seen;
use super::{Repeat, Round, Told, one_of_each_kind, request, usually, world};
use local::destinations::{Behaviour, Kind, Received};
use serde_json::{Value, json};

/// What stands where a reader is told to go for the rest.
const REST: &str = "There is more than fits here";

/// Highlights of about so many bytes, in steps that are numbered, and a hundred sessions.
fn long(bytes: usize) -> Value {
    const STEP: &str = "the user waits & sees <b>nothing</b> \u{1f600} of the *cart* é";
    let steps = bytes / (STEP.len() + 16);
    let paragraph = |step: usize| format!("Step{step:05}: {STEP}.\n\n");
    let session = |index: usize| json!({ "recordingID": format!("5-{index:05}"), "sessionID": index, "highlights": format!("Visit{index:05}: {STEP}.") });
    json!({
        "highlights": (1..=steps).map(paragraph).collect::<String>(),
        "sessions": (1..=100).map(session).collect::<Vec<_>>(),
    })
}

/// The numbers behind that word, in their order.
fn numbers(text: &str, word: &str) -> Vec<usize> {
    let behind =
        text.match_indices(word).filter_map(|(at, _)| text.get(at + word.len()..at + word.len() + 5));
    behind.filter_map(|number| number.parse().ok()).collect()
}

#[tokio::test]
async fn what_is_too_long_for_one_message_comes_in_parts() {
    let world = world().await;
    let result = long(40_000);
    for told in Round::ask_all(&world).await.result(&result).await.ended().await {
        assert_arrived(&told, &result);
    }
}

#[tokio::test]
async fn what_is_too_long_for_some_comes_in_parts_to_the_others() {
    one_after_the_other(&long(200_000)).await;
}

#[tokio::test]
async fn what_is_too_long_for_anybody_says_so_and_where_the_rest_is() {
    let result = long(1_000_000);
    let (whole, all) = one_after_the_other(&result).await;
    assert_eq!((whole, all), (1, 10), "the webhook alone has all of it");
}

/// How many were told all, of how many. A machine that is busy has time enough for each.
async fn one_after_the_other(result: &Value) -> (usize, usize) {
    let world = world().await;
    let (mut whole, mut all) = (0, 0);
    for case in one_of_each_kind() {
        let round = Round::ask(&world, [case], &request(), &Value::Null).await.result(result).await;
        let told = round.ended().await.remove(0);
        assert_arrived(&told, result);
        let says_so = |call: &&Received| call.body.to_string().contains(REST) || told.truncated(call);
        whole += usize::from(!told.taken().iter().any(says_so));
        all += 1;
    }
    (whole, all)
}

impl Told {
    fn truncated(&self, call: &Received) -> bool {
        !self.case.is_people_facing() && self.case.form.payload(call)["truncated"] == true
    }
}

#[track_caller]
fn assert_arrived(told: &Told, result: &Value) {
    let name = format!("{} of {}", told.name(), result["highlights"].as_str().unwrap().len());
    assert_eq!((told.status(), told.attempts()), ("DELIVERED", 1), "{name}: {:#}", told.delivery);
    assert!(told.calls.iter().all(|call| call.accepted), "{name}: {:?}", complaints(told));
    if told.case.is_people_facing() {
        assert_is_all_there_is(told, result, &name);
    } else {
        assert_is_whole_or_truncated(told, result, &name);
    }
}

fn complaints(told: &Told) -> Vec<&str> {
    told.calls.iter().filter_map(|call| call.complaint.as_deref()).collect()
}

fn steps(result: &Value) -> usize {
    numbers(result["highlights"].as_str().unwrap(), "Step").len()
}

/// Parts that go on where the one before ended; all of them, or as many as one can be expected to read.
#[track_caller]
fn assert_is_all_there_is(told: &Told, result: &Value, name: &str) {
    let parts = told.seen();
    let text: String = parts.iter().map(|part| part.text.as_str()).collect();
    for part in &parts {
        assert_eq!(part.active, [""; 0], "{name}");
    }
    let (shown, visits) = (numbers(&text, "Step"), numbers(&text, "Visit"));
    assert!(shown.iter().copied().eq(1..=shown.len()), "{name}: {shown:?}");
    assert!(visits.iter().copied().eq(1..=visits.len()), "{name}: {visits:?}");
    let is_all = shown.len() == steps(result) && visits.len() == 100;
    assert_eq!(text.contains(REST), !is_all, "{name}: {} steps, {} visits", shown.len(), visits.len());
    let last = &parts.last().unwrap().text;
    assert!(is_all || last.contains(REST), "{name}: {last}");
    assert!(last.contains(&told.id), "{name}: {last}");
    assert_parts_are_named(&parts, name);
    // Nothing of a part is lost: between two steps there is what each of them says.
    assert_eq!(text.matches("sees <b>nothing</b>").count(), shown.len() + visits.len(), "{name}");

    let threads: Vec<Option<&str>> = told.messages.iter().map(|message| message.thread.as_deref()).collect();
    let first = told.messages[0].id.as_deref();
    assert_eq!(told.delivery["externalID"].as_str(), if told.case.has_id { first } else { None }, "{name}");
    let expected = if told.case.kind == Kind::Slack { first } else { None };
    assert_eq!(threads[0], None, "{name}");
    assert!(threads[1..].iter().all(|thread| *thread == expected), "{name}: {threads:?}");
}

#[track_caller]
fn assert_parts_are_named(parts: &[Seen], name: &str) {
    assert!(parts.len() <= 10, "{name}: {} parts", parts.len());
    for (part, number) in parts.iter().zip(1..) {
        let label = format!("Part {number} of {}", parts.len());
        assert_eq!(part.text.contains(&label), number > 1, "{name}: {label}: {:.200}", part.text);
        assert_eq!(part.text.contains("Part "), number > 1, "{name}: {:.200}", part.text);
    }
}

#[track_caller]
fn assert_is_whole_or_truncated(told: &Told, result: &Value, name: &str) {
    const AWS_BYTES: usize = 256 * 1024;
    // On a busy machine, AWS's SDK may not wait for the answer to so much, and put the same again.
    let mut payloads = told.payloads();
    payloads.dedup();
    assert_eq!(payloads.len(), 1, "{name}");
    let payload = payloads.remove(0);
    assert_eq!(payload["requestID"], told.id, "{name}");
    let is_limited = told.case.kind != Kind::Webhook;
    if !is_limited || result.to_string().len() + 2_000 < AWS_BYTES {
        assert_eq!((&payload["result"], payload.get("truncated")), (result, None), "{name}");
        return;
    }
    assert_eq!((&payload["truncated"], &payload["status"]), (&json!(true), &json!("READY")), "{name}");
    assert!(payload.to_string().len() <= AWS_BYTES, "{name}");
    let (whole, cut) =
        (result["highlights"].as_str().unwrap(), payload["result"]["highlights"].as_str().unwrap());
    assert!(whole.starts_with(cut) && cut.len() > 200_000, "{name}: {}", cut.len());
}

#[tokio::test]
async fn what_fails_between_two_parts_goes_on_behind_what_was_sent() {
    let world = world().await;
    let result = long(70_000);
    let people = || one_of_each_kind().into_iter().filter(|case| case.is_people_facing());
    for second in [Behaviour::RateLimited(60), Behaviour::Failure, Behaviour::Refused, Behaviour::CutAfter] {
        // 1. The first part is taken, the second is not; or it is, and nobody hears of it.
        for case in people() {
            world.destinations.next(case.kind, Behaviour::Ok);
            world.destinations.next(case.kind, second.clone());
            // Where the URL is the secret, a refusal has the secrets read again, and is heard twice.
            if second == Behaviour::Refused && matches!(case.kind, Kind::SlackWebhook | Kind::Teams) {
                world.destinations.next(case.kind, second.clone());
            }
        }
        let is_done = second == Behaviour::CutAfter;
        let round = Round::ask(&world, people(), &request(), &Value::Null).await.result(&result).await;
        for told in round.tried().await {
            let name = format!("{} {second:?}: {:#}", told.name(), told.delivery);
            assert_ne!(told.status(), "DELIVERED", "{name}");
            assert_eq!(told.messages.len(), if is_done { 2 } else { 1 }, "{name}");
        }

        // 2. All that is left.
        usually(&world, &Behaviour::Ok);
        for told in round.again().await {
            let name = format!("{} {second:?}", told.name());
            assert_eq!(told.status(), "DELIVERED", "{name}: {:#}", told.delivery);
            let is_double = is_done && told.case.repeat == Repeat::Twice;
            if is_double {
                let parts = told.taken();
                assert_eq!(parts[1].body, parts[2].body, "{name}: the second part, and that again");
            }
            let told = if is_double { without_repeat(told) } else { told };
            assert!(told.messages.len() > 1, "{name}");
            assert_is_all_there_is(&told, &result, &name);
        }
    }
}

#[tokio::test]
async fn credentials_that_are_refused_between_two_parts_are_read_again_and_no_part_is_sent_twice() {
    let world = world().await;
    let result = long(70_000);
    let people: Vec<_> = one_of_each_kind().into_iter().filter(|case| case.is_people_facing()).collect();
    for case in &people {
        world.destinations.next(case.kind, Behaviour::Ok);
        world.destinations.next(case.kind, Behaviour::status(401));
    }
    let round = Round::ask(&world, people, &request(), &Value::Null).await.result(&result).await;
    for told in round.ended().await {
        assert_eq!(
            (told.status(), told.attempts()),
            ("DELIVERED", 1),
            "{}: {:#}",
            told.name(),
            told.delivery
        );
        assert_eq!(told.calls.iter().filter(|call| !call.accepted).count(), 1, "{}", told.name());
        assert_is_all_there_is(&told, &result, told.name());
    }
}

/// Without the second time that the second part came.
fn without_repeat(mut told: Told) -> Told {
    told.messages.remove(2);
    told
}
