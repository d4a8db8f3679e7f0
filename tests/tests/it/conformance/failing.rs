//! What goes wrong at a destination: for a while, for good, too fast, and beyond all sense.

use super::{CASES, Case, Round, Told, now_ms, one_of_each_kind, result, time, usually, world};
use local::destinations::{Behaviour, Kind, Place};
use serde_json::{Value, json};
use std::fs;
use stories::World;

#[tokio::test]
async fn what_passes_is_tried_again_and_arrives_once() {
    let world = world().await;
    let busy = Behaviour::status(503).header("retry-after", 70).body("down for maintenance");
    for behaviour in [Behaviour::Failure, busy.clone(), Behaviour::CutBefore] {
        // 1. It is to be tried again, and says why.
        usually(&world, &behaviour);
        let round = Round::ask_all(&world).await.result(&result()).await;
        for told in round.tried().await {
            let name = format!("{} {behaviour:?}: {:#}", told.name(), told.delivery);
            assert_eq!((told.status(), told.attempts()), ("PENDING", 1), "{name}");
            assert!(!told.last_error().is_empty() && told.messages.is_empty(), "{name}");
            let called = i64::try_from(told.calls.last().unwrap().at_ms).unwrap();
            // AWS's SDK keeps Retry-After to itself.
            let is_asked_to_wait = behaviour == busy && !is_aws(told.case.kind);
            let least = if is_asked_to_wait { 70_000 } else { 8_000 };
            let next = told.delivery["nextAttemptAt"].as_str().unwrap().to_owned();
            assert!((time(called + least)..time(now_ms() + 80_000)).contains(&next), "{name}");
        }

        // 2. It is over.
        usually(&world, &Behaviour::Ok);
        for told in round.again().await {
            told.assert_delivered(2);
        }
    }
}

fn is_aws(kind: Kind) -> bool {
    matches!(kind, Kind::EventBridge | Kind::StepFunctions)
}

/// Why a vendor says no for good, and what of its words is told on.
enum No {
    To(&'static str, &'static str),
    At(Place, &'static str),
}

fn refusals(kind: Kind) -> Vec<No> {
    use No::{At, To};
    use Place::{Closed, Foreign, Missing};
    match kind {
        Kind::Slack => vec![
            To("invalid_auth", "invalid_auth: check destinations.slack.botToken"),
            To("missing_scope", "missing_scope: give the app the scope chat:write"),
            To("restricted_action", "restricted_action"),
            To("token_revoked", "token_revoked"),
            At(Missing, "channel_not_found"),
            At(Closed, "is_archived"),
            At(Foreign, "not_in_channel: invite the app"),
        ],
        Kind::SlackWebhook => vec![
            To("invalid_payload", "400: invalid_payload"),
            To("invalid_token", "403: invalid_token: check its URL in destinations.slack.webhooks"),
            At(Missing, "404: no_service"),
            At(Closed, "410: channel_is_archived"),
            At(Foreign, "403: action_prohibited"),
        ],
        Kind::Zendesk => vec![
            To("RecordNotFound", "404: RecordNotFound"),
            To("RecordInvalid", "422: RecordInvalid"),
            To("Couldn't authenticate you", "401: Couldn't authenticate you"),
            At(Missing, "404: RecordNotFound"),
            At(Closed, "422: Status: closed prevents ticket update"),
            At(Foreign, "403: Forbidden"),
        ],
        Kind::Intercom => vec![
            To("admin_not_found", "Admin for admin_id not found"),
            To("token_revoked", "401: token_revoked"),
            To("parameter_invalid", "400: parameter_invalid"),
            At(Missing, "404: not_found"),
            At(Foreign, "403: api_plan_restricted"),
        ],
        Kind::Hubspot => vec![
            To("VALIDATION_ERROR", "400: "),
            To("EXPIRED_AUTHENTICATION", "401: The OAuth token used to make this call expired."),
            At(Missing, "404: Object not found."),
            At(Foreign, "403: This app hasn't been granted all required scopes"),
        ],
        Kind::Salesforce => vec![
            To("API_DISABLED_FOR_ORG", "403: API_DISABLED_FOR_ORG"),
            To("STRING_TOO_LONG", "400: STRING_TOO_LONG"),
            To("INVALID_SESSION_ID", "401: INVALID_SESSION_ID"),
            At(Missing, "INVALID_CROSS_REFERENCE_KEY"),
            At(Closed, "ENTITY_IS_DELETED"),
            At(Foreign, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"),
        ],
        Kind::Teams => vec![
            To("InvalidRequestContent", "400: InvalidRequestContent"),
            At(Missing, "404: WorkflowNotFound"),
            At(Closed, "400: WorkflowTriggerIsNotEnabled"),
            At(Foreign, "401: DirectApiAuthorizationRequired"),
        ],
        Kind::Webhook => vec![
            To("bad_request", "400: bad_request"),
            At(Missing, "404: not_found"),
            At(Closed, "410: gone"),
            At(Foreign, "403: forbidden"),
        ],
        Kind::EventBridge => vec![
            To("InvalidArgument", "InvalidArgument"),
            To("NotAuthorizedForDetailTypeException", "NotAuthorizedForDetailTypeException"),
            At(Foreign, "the function may not put events on this bus"),
        ],
        Kind::StepFunctions => vec![
            To("InvalidOutput", "InvalidOutput"),
            To("InvalidToken", "the task token is not one of Step Functions here"),
            At(Missing, "its task has ended or timed out"),
            At(Closed, "its task has ended or timed out"),
            At(Foreign, "the task token is not one of Step Functions here"),
        ],
        Kind::SalesforceToken => Vec::new(),
    }
}

#[tokio::test]
async fn what_does_not_pass_is_given_up_at_once_in_the_vendors_words() {
    let world = world().await;
    let rounds = CASES.iter().map(|case| refusals(case.kind).len()).max().unwrap();
    for number in 0..rounds {
        let left = CASES.iter().filter(|case| number < refusals(case.kind).len());
        usually(&world, &Behaviour::Ok);
        let round = Round::ask(&world, left, &super::request(), &Value::Null).await;
        for asked in &round.asked {
            let kind = asked.case.kind;
            match &refusals(kind)[number] {
                No::To(code, _) => world.destinations.usually(kind, Behaviour::refused_as(*code)),
                No::At(place, _) => {
                    world.destinations.place(kind, place_id(asked.case, &asked.destination), *place)
                }
            }
        }
        let round = round.result(&result()).await;
        for told in round.ended().await {
            let (No::To(_, words) | No::At(_, words)) = refusals(told.case.kind)[number];
            told.assert_given_up();
            assert!(told.last_error().contains(words), "{}: {words}: {}", told.name(), told.last_error());
            assert!(told.messages.is_empty(), "{}: {:#?}", told.name(), told.messages);
            assert_no_secret(&world, &told);
            let place = place_id(told.case, &told.destination);
            world.destinations.place(told.case.kind, place, Place::Open);
        }
        // What was mended meanwhile is delivered to whoever asks for it.
        usually(&world, &Behaviour::Ok);
        for told in round.again().await {
            told.assert_delivered(1);
        }
    }
}

/// The one who says yes and loses it: nothing in its answer tells, and so nobody can be told.
#[tokio::test]
async fn an_event_for_a_bus_that_is_not_there_is_gone_unheard() {
    let world = world().await;
    let event_bridge = CASES.iter().filter(|case| case.kind == Kind::EventBridge);
    world.destinations.place(Kind::EventBridge, "highlights", Place::Missing);
    let round =
        Round::ask(&world, event_bridge, &super::request(), &Value::Null).await.result(&result()).await;
    let told = round.ended().await.remove(0);
    assert_eq!((told.status(), told.messages.len(), told.calls.len()), ("DELIVERED", 0, 1));
    assert!(!told.calls[0].accepted);
}

fn place_id(case: &Case, destination: &Value) -> String {
    destination["taskToken"].as_str().unwrap_or(case.place_id).to_owned()
}

/// None of what is to be kept secret of the destination, nor a piece of it.
fn assert_no_secret(world: &World, told: &Told) {
    let secret = secret_of(world, told);
    let pieces = secret.split(['/', '?', ':']).filter(|piece| piece.len() >= 16);
    for piece in pieces.chain([secret.as_str()]).filter(|piece| !piece.is_empty()) {
        let tail = &piece[piece.len() / 2..];
        for hidden in [piece, tail] {
            assert!(!told.last_error().contains(hidden), "{}: {}", told.name(), told.last_error());
            assert!(!told.delivery.to_string().contains(hidden), "{}: {:#}", told.name(), told.delivery);
        }
    }
}

/// A token, or a URL that is one.
fn secret_of(world: &World, told: &Told) -> String {
    match told.destination["taskToken"].as_str() {
        Some(token) => token.to_owned(),
        None if told.case.secret.is_empty() => String::new(),
        None => {
            let secrets = world.destinations.secrets();
            let pointer = format!("/{}", told.case.secret.replace('.', "/"));
            secrets.pointer(&pointer).and_then(Value::as_str).unwrap().to_owned()
        }
    }
}

#[tokio::test]
async fn what_a_vendor_quotes_of_a_secret_is_not_told_on() {
    let world = world().await;
    // Each round another way to say it.
    for quote in [
        |secret: &str| {
            json!({ "error": "bad", "message": format!("no such {secret}, they say") }).to_string()
        },
        |secret: &str| format!("{}{secret}", "x".repeat(190)),
        |secret: &str| json!({ "error": format!("{}{secret}", "x".repeat(290)), "ok": false }).to_string(),
    ] {
        let round = Round::ask(&world, one_of_each_kind(), &super::request(), &Value::Null).await;
        let asked = round.now().await;
        for told in &asked {
            let body = quote(&secret_of(&world, told));
            let status = if told.case.kind == Kind::Slack { 200 } else { 400 };
            world.destinations.usually(told.case.kind, Behaviour::status(status).body(body));
        }
        let round = round.result(&result()).await;
        for told in round.tried().await {
            assert_ne!(told.status(), "DELIVERED", "{}", told.name());
            assert_no_secret(&world, &told);
        }
    }
    let output = world.output();
    for told in Round::ask(&world, one_of_each_kind(), &super::request(), &Value::Null).await.now().await {
        let secret = secret_of(&world, &told);
        assert!(secret.is_empty() || !output.contains(&secret), "{} is in the log", told.case.secret);
    }
}

#[tokio::test]
async fn a_limit_is_waited_for_as_long_as_the_vendor_asks() {
    const SECONDS: i64 = 100;
    let world = world().await;
    usually(&world, &Behaviour::RateLimited(SECONDS.unsigned_abs()));
    let round = Round::ask_all(&world).await.result(&result()).await;
    for told in round.tried().await {
        let name = format!("{}: {:#}", told.name(), told.delivery);
        assert_eq!((told.status(), told.attempts()), ("PENDING", 1), "{name}");
        assert!(!told.last_error().is_empty() && told.messages.is_empty(), "{name}");
        let wait = match told.case.kind {
            // It says nothing; the limit is of a day.
            Kind::Salesforce => 3_600_000..=3_600_000,
            // They say nothing: the backoff.
            kind if is_aws(kind) => 8_000..=12_000,
            // In whole seconds of the clock.
            Kind::Intercom => SECONDS * 1_000 - 1_000..=SECONDS * 1_000 + 1_000,
            _ => SECONDS * 1_000..=SECONDS * 1_000,
        };
        let (first, last) = (told.calls.first().unwrap(), told.calls.last().unwrap());
        let next = told.delivery["nextAttemptAt"].as_str().unwrap().to_owned();
        let expected = time(i64::try_from(last.at_ms).unwrap() + wait.start())..=time(now_ms() + wait.end());
        assert!(expected.contains(&next), "{name}: {expected:?}");
        // Nobody who says how long is asked any sooner; AWS's services are, within the same try.
        assert!(is_aws(told.case.kind) || first.number == last.number, "{name}: {:#?}", told.calls);
    }
    // Somebody who asks has it now.
    usually(&world, &Behaviour::Ok);
    for told in round.again().await {
        told.assert_delivered(2);
    }
}

/// What is made of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taken {
    /// For a yes.
    Yes,
    /// For a yes that does not say what it is called there.
    YesWithoutID,
    /// For nothing: it is asked again.
    Nothing,
    /// For a no.
    No,
}

#[tokio::test]
async fn an_answer_beyond_all_sense_is_no_yes_where_the_yes_stands_in_it() {
    use Taken::{No, Nothing, Yes, YesWithoutID};
    let world = world().await;
    let trap = world.hook("trap");
    for behaviour in [Behaviour::Garbage, Behaviour::WrongType, Behaviour::Huge, Behaviour::redirect(&trap)] {
        let expected = |kind: Kind| match (&behaviour, kind) {
            (Behaviour::Redirect(_), _) => No,
            // The content type is nobody's word for anything.
            (Behaviour::WrongType, _) => Yes,
            // Slack says no in a 200, too; so does an entry of an event.
            (_, Kind::Slack | Kind::SlackWebhook | Kind::EventBridge) => Nothing,
            // A repeat will find out.
            (_, Kind::Zendesk) => Nothing,
            // JSON that begins is Intercom's.
            (Behaviour::Garbage, Kind::Intercom) => YesWithoutID,
            (_, Kind::Intercom) => Nothing,
            // The status says all.
            (_, Kind::Hubspot | Kind::Salesforce) => YesWithoutID,
            _ => Yes,
        };
        // AWS's SDK reads as much as there is: its services are not to be doubted so far.
        let cases = CASES.iter().filter(|case| behaviour != Behaviour::Huge || !is_aws(case.kind));
        usually(&world, &behaviour);
        let round = Round::ask(&world, cases, &super::request(), &Value::Null).await.result(&result()).await;
        for told in round.tried().await {
            let name = format!("{} {behaviour:?}: {:#}", told.name(), told.delivery);
            let expected = expected(told.case.kind);
            let taken = match told.status() {
                "DELIVERED" if told.case.has_id && told.delivery["externalID"].is_null() => YesWithoutID,
                "DELIVERED" => Yes,
                "PENDING" => Nothing,
                _ => No,
            };
            assert_eq!(taken, expected, "{name}");
            assert_eq!(told.attempts(), 1, "{name}");
            if taken == No {
                told.assert_given_up();
                assert!(told.messages.is_empty(), "{name}");
            }
            if taken == Nothing {
                assert!(!told.last_error().is_empty(), "{name}");
            }
        }
        usually(&world, &Behaviour::Ok);
        for told in round.again().await {
            assert_eq!(told.status(), "DELIVERED", "{}: {:#}", told.name(), told.delivery);
            told.assert_says_its_request();
        }
    }
    let received = world.destinations.received();
    assert!(received.iter().all(|call| !call.path.ends_with("/trap")), "a redirect was followed");
    // The function has 256 MB; half of it is for all of this.
    for bytes in most_memory(&world) {
        assert!(bytes < 128 * 1024 * 1024, "{bytes} bytes");
    }
}

/// The most that each process of webhook λ had at once, in bytes. Only Linux tells; elsewhere there is nothing to say.
fn most_memory(world: &World) -> Vec<u64> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let ours = world.gateway.webhook_url();
    let most = processes.flatten().filter_map(|process| {
        let environment = fs::read(process.path().join("environ")).ok()?;
        String::from_utf8_lossy(&environment).contains(&ours).then_some(())?;
        let status = fs::read_to_string(process.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
    });
    most.collect()
}
