//! The largest payloads that can reach the functions, each made to take as much memory as it can: every one is
//! answered, and none takes what the functions do not have.

use local::lambda::Function;
use local::logrocket::Behaviour;
use reqwest::Method;
use serde_json::{Value, json};
use stories::{BEARER, World};

/// What Lambda hands to a function at the most, in bytes.
const LARGEST_EVENT: usize = 6 * 1024 * 1024;
/// The functions are deployed with 256 MB; the system and what is called at the same time need some of it.
const ENOUGH: u64 = 200_000_000;

/// Small as text, and large when something is built of each.
const PARTS: [&str; 2] = ["[]", r#"{"":0}"#];

/// As many parts between `start` and `end` as fit.
fn filled(start: &str, part: &str, end: &str, bytes: usize) -> String {
    let count = (bytes - start.len() - end.len()) / (part.len() + 1);
    [start, &[part].repeat(count).join(","), end].concat()
}

#[track_caller]
fn assert_has_enough(function: &Function, what: &str) {
    // Other systems than Linux do not tell.
    if let Some(peak) = function.peak_memory() {
        assert!(peak < ENOUGH, "{what} took {} MB", peak / 1_000_000);
    }
}

#[tokio::test]
async fn the_largest_events_leave_request_its_memory() {
    let world = World::start().await;
    for part in PARTS {
        for (start, end, answer) in [
            (r#"{"userID":"1","metadata":["#, "]}", "131072"),
            (r#"{"httpMethod":"POST","requestContext":{},"x":["#, "]}", "404"),
            (r#"{"requestContext":{"http":["#, "]}}", "400"),
            (r#"{"Records":["#, "]}", "131072"),
            (r#"{"detail-type":"x","id":"x","detail":["#, "]}", "131072"),
        ] {
            let event = filled(start, part, end, LARGEST_EVENT);
            let said = match world.request.invoke_bytes(event, "largest").await {
                Ok(answer) => answer["statusCode"].to_string(),
                Err(error) => error.to_string(),
            };
            assert!(said.contains(answer) && said.len() < 200, "{start}: {said}");
            assert_has_enough(&world.request, start);
        }
    }
    world.ask(json!({ "userID": "1" })).await;
}

#[tokio::test]
async fn the_largest_events_leave_webhook_its_memory() {
    let world = World::start().await;
    for part in PARTS {
        for (start, end, answer) in [
            (r#"{"httpMethod":"POST","requestContext":{},"x":["#, "]}", "404"),
            (r#"{"Records":["#, "]}", "InvalidRequest"),
            (r#"{"job":"try","destination":["#, "]}", "131072"),
            (r#"{"x":["#, r#"],"job":"sweep"}"#, "swept"),
        ] {
            let event = filled(start, part, end, LARGEST_EVENT);
            let said = match world.webhook.invoke_bytes(event, "largest").await {
                Ok(answer) if answer["due"] == 0 => "swept".to_owned(),
                Ok(answer) => answer["statusCode"].to_string(),
                Err(error) => error.to_string(),
            };
            assert!(said.contains(answer) && said.len() < 300, "{start}: {said}");
            assert_has_enough(&world.webhook, start);
        }
    }
}

/// A callback of about so many bytes with as many of these sessions as fit, and what became of it.
async fn tell(world: &World, id: &str, session: &str, bytes: usize) -> u16 {
    let post = world.post_of(id, 1);
    let log_rocket_id = post.logrocket_request_id.as_deref().unwrap();
    let start = format!(
        r#"{{"requestID":"{log_rocket_id}","status":"READY","result":{{"highlights":"h","sessions":["#
    );
    let body = filled(&start, session, "]}}", bytes);
    let answer = world.callback(post.webhook_url().unwrap(), Value::String(body)).await;
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_sessions_leave_both_functions_their_memory() {
    let world = World::start().await;
    world.log_rocket.usually(Behaviour::manual());

    // 1. Two million that are none: nothing of them is kept.
    let id = world.ask(json!({ "userID": "1" })).await;
    assert_eq!(tell(&world, &id, "[]", 5_900_000).await, 400);
    assert_has_enough(&world.webhook, "sessions that are none");
    assert_eq!(world.read(&id).await["status"], "PENDING");

    // 2. More than fit: refused, and marked.
    for (session, count) in
        [(r#"{"recordingID":"5-1","highlights":""}"#, 100_000), (r#"{"recordingID":""}"#, 300_000)]
    {
        let id = world.ask(json!({ "userID": "1" })).await;
        assert_eq!(tell(&world, &id, session, count * (session.len() + 1)).await, 413);
        assert_has_enough(&world.webhook, session);
        let request = world.read(&id).await;
        assert_eq!(request["failure"]["code"], "RESULT_TOO_LARGE");
    }

    // 3. As many as fit: each is read back, and a machine is sent all of them, if it has the time for it.
    let url = world.hook("all");
    let id = world.ask(json!({ "userID": "1", "destinations": [{ "type": "webhook", "url": url }] })).await;
    let session = r#"{"recordingID":"","sessionID":0,"highlights":""}"#;
    let count = 84_000;
    assert_eq!(tell(&world, &id, session, count * (session.len() + 1)).await, 200);
    assert_has_enough(&world.webhook, "a result of the most sessions");
    let request = world.read(&id).await;
    let sessions = request["result"]["sessions"].as_array().unwrap();
    assert!(sessions.len() > count - 10, "{}", sessions.len());
    assert_has_enough(&world.request, "reading the most sessions");
    assert_eq!(world.sweep_deliveries().await["claimed"], 1);
    assert_has_enough(&world.webhook, "delivering the most sessions");

    // 4. As Markdown they are a page, or the caller is told to read them as JSON.
    let accept = [("authorization", BEARER), ("accept", "text/markdown")];
    let page = world.call(Method::GET, &format!("/highlights/{id}"), &accept, Value::Null).await;
    match page.status.as_u16() {
        200 => assert!(page.text.contains(&format!("Session {}", sessions.len()))),
        _ => assert!(page.problem(413)["detail"].as_str().unwrap().contains("as JSON")),
    }
    assert_has_enough(&world.request, "the most sessions as Markdown");
}
