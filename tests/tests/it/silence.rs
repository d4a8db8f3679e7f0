//! What must not be told: canaries are sent through everything, and all that the functions print is searched for
//! them, and so is every answer for the secrets among them.

use local::gateway::HttpCall;
use local::lambda::FunctionError;
use local::logrocket::{Behaviour, Outcome, PollAnswer};
use local::proxy::{Fault, Match};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;
use stories::{API_TOKEN, Answer, BEARER, CALLBACK_KEY, OTHER_TOKEN, World, is_of_metrics};

const EMAIL: &str = "canary.alice@example.com";
const USER_ID: &str = "canary-user-4711";
const QUESTION: &str = "Why did the canary-question fail?";
const HIGHLIGHTS: &str = "canary-highlights: the user typed their name";
const TASK_TOKEN: &str = "canary-task-token";
const URL_SECRET: &str = "canary-url-secret";
const WRONG_TOKEN: &str = "canary-wrong-token";
const METADATA: &str = "canary-metadata";
/// A word of every simulated result, and of every link in it.
const SIMULATED: [&str; 2] = ["checks out their cart", "app.logrocket.com"];

#[tokio::test]
async fn nothing_private_is_printed_of_requests_that_go_their_whole_way() {
    let told = Told::new(World::with(&[("MAX_ATTEMPTS", "2")]).await);
    happy_paths(&told).await;
    told.assert_silent();
}

#[tokio::test]
async fn nothing_private_is_printed_of_pages_and_their_links() {
    let told = Told::new(World::start().await);
    let world = &told.world;
    let id = world.ask(body()).await;
    world.wait_for(&id, "READY").await;
    let html = [("authorization", BEARER), ("accept", "text/html")];
    let of_one = told.call(Method::GET, &format!("/highlights/{id}"), &html, Value::Null).await;
    told.call(Method::GET, &format!("/highlights?userEmail={EMAIL}"), &html, Value::Null).await;
    let (_, rest) = of_one.text.split_once(&format!("{}/view/", world.gateway.url())).unwrap();
    let link = format!("/view/{}", rest.split('"').next().unwrap().replace("&amp;", "&"));
    let (bare, query) = link.split_once('?').unwrap();
    for (method, path) in [
        (Method::GET, link.clone()),
        (Method::HEAD, link.clone()),
        (Method::PUT, link.clone()),
        (Method::GET, format!("{link}x")),
        (Method::GET, format!("/view/{EMAIL}?{query}&x={WRONG_TOKEN}")),
        (Method::POST, format!("{bare}/redeliver?{query}")),
    ] {
        told.call(method, &path, &[("accept", "text/html")], Value::Null).await;
    }
    world.table_calls.on(Match::any(), Fault::throttled());
    assert_eq!(told.call(Method::GET, &link, &[], Value::Null).await.status.as_u16(), 503);
    told.assert_silent();

    // Each of the two parts is enough to know the other from.
    let output = world.output();
    for part in query.split('&').map(|part| part.split_once('=').unwrap().1) {
        assert!(!output.contains(part), "{part}: {output}");
    }
}

#[tokio::test]
async fn nothing_private_is_printed_of_what_is_refused() {
    let told = Told::new(World::start().await);
    refusals(&told).await;
    callbacks(&told).await;
    broken_events(&told).await;
    told.assert_silent();

    let told = Told::new(World::with(&[("MONTHLY_REQUEST_LIMIT", "0")]).await);
    told.post(&[], body()).await.problem(429);
    told.assert_silent();
}

#[tokio::test]
async fn nothing_private_is_printed_when_logrocket_or_the_table_is_in_trouble() {
    let told = Told::new(World::start().await);
    troubles(&told).await;
    told.assert_silent();

    let told = Told::new(World::start().await);
    damaged_records(&told).await;
    told.assert_silent();
}

#[tokio::test]
async fn nothing_private_is_printed_of_a_configuration_that_cannot_work() {
    let malformed =
        json!({ "logRocketAPIKey": "canary key", "callbackKey": "canary-short", "apiToken": WRONG_TOKEN });
    let cut_off = format!("{{\"logRocketAPIKey\": \"{WRONG_TOKEN}\"");
    for secrets in [malformed.to_string(), cut_off] {
        let told = Told::new(World::with(&[("SECRETS_JSON", &secrets)]).await);
        told.post(&[], body()).await.problem(503);
        told.callback("?request=x&attempt=1&token=canary", json!(HIGHLIGHTS)).await.problem(401);
        told.assert_silent();
    }

    let destinations = json!([{ "type": "webhook", "url": format!("no URL {URL_SECRET}") }]).to_string();
    let told = Told::new(World::with(&[("DEFAULT_DESTINATIONS", &destinations)]).await);
    told.invoke(body()).await.unwrap_err();
    told.assert_silent();
}

/// Asked every way, answered by callback and by poll, read every way.
async fn happy_paths(told: &Told) {
    let world = &told.world;
    let answer = told.post(&[("idempotency-key", "canary-key-1")], body()).await;
    let id = answer.json()["requestID"].as_str().unwrap().to_owned();
    world.wait_for(&id, "READY").await;
    told.post(&[("idempotency-key", "canary-key-1")], body()).await;
    let mut recent = body();
    recent["maxAge"] = json!(900);
    told.post(&[], recent).await;
    for path in [format!("/highlights/{id}"), format!("/highlights?userEmail={EMAIL}")] {
        told.call(Method::GET, &path, &[("authorization", BEARER)], Value::Null).await;
        let markdown = [("authorization", BEARER), ("accept", "text/markdown")];
        told.call(Method::GET, &path, &markdown, Value::Null).await;
    }

    let text = body().to_string();
    told.invoke(body()).await.unwrap();
    told.invoke(json!({ "id": "canary-event", "detail-type": "x", "source": "x", "detail": body() }))
        .await
        .unwrap();
    let sns = json!({ "EventSource": "aws:sns", "Sns": { "MessageId": "m-1", "Message": text } });
    told.invoke(json!({ "Records": [sns] })).await.unwrap();
    let sqs = |id: &str, body: &str| json!({ "eventSource": "aws:sqs", "messageId": id, "body": body });
    told.invoke(json!({ "Records": [sqs("m-1", &text), sqs("m-2", QUESTION), sqs("m-3", "{}")] }))
        .await
        .unwrap();

    // Callbacks are lost, and the first poll for each is answered badly.
    let mut lost = Vec::new();
    for answer in [PollAnswer::Garbage, PollAnswer::Status(401), PollAnswer::Cut, PollAnswer::OtherId] {
        world.log_rocket.next(Behaviour::lost());
        world.log_rocket.next_poll(answer);
        lost.push(told.invoke(json!({ "userID": USER_ID })).await.unwrap());
    }
    for receipt in lost {
        told.sweep_until(receipt["requestID"].as_str().unwrap(), "READY").await;
    }

    // FAILED, then FAILED again.
    world.log_rocket.next(Behaviour::failed());
    world.log_rocket.next(Behaviour::failed());
    let failed = told.invoke(json!({ "userEmail": EMAIL, "question": QUESTION })).await.unwrap();
    told.sweep_until(failed["requestID"].as_str().unwrap(), "FAILED").await;

    let path = format!("/highlights/{id}");
    told.call(Method::DELETE, &path, &[("authorization", BEARER)], Value::Null).await;
    told.call(Method::DELETE, &path, &[("authorization", BEARER)], Value::Null).await.problem(404);
}

/// Every status that a caller's own mistake has.
async fn refusals(told: &Told) {
    told.post(&[], json!(format!("{{\"userEmail\": \"{EMAIL}\", {QUESTION}"))).await.problem(400);
    told.post(&[("idempotency-key", QUESTION)], body()).await.problem(400);
    for scheme in ["Bearer", "Basic", "AWS4-HMAC-SHA256"] {
        let header = format!("{scheme} {WRONG_TOKEN}");
        told.call(Method::POST, "/highlights", &[("authorization", &header)], body()).await.problem(401);
    }
    for path in [EMAIL, USER_ID, "budget%232026-11", API_TOKEN] {
        let path = format!("/highlights/{path}");
        told.call(Method::GET, &path, &[("authorization", BEARER)], Value::Null).await.problem(404);
        told.call(Method::PUT, &path, &[("authorization", BEARER)], body()).await.problem(405);
        told.call(Method::GET, &format!("{path}/{EMAIL}"), &[], Value::Null).await.problem(404);
    }
    let padded = format!("{}{}", body(), " ".repeat(128 * 1024));
    told.post(&[], json!(padded)).await.problem(413);
    told.post(&[("content-type", "text/plain")], body()).await.problem(415);
    told.post(&[], json!({ "userEmail": 5, "question": [QUESTION], "taskToken": TASK_TOKEN }))
        .await
        .problem(422);
    told.post(&[("idempotency-key", "canary-key-2")], body()).await;
    told.post(&[("idempotency-key", "canary-key-2")], json!({ "userEmail": EMAIL })).await.problem(422);
    for query in
        [format!("userEmail={EMAIL}&userID={USER_ID}"), format!("userEmail={EMAIL}&cursor={URL_SECRET}")]
    {
        let path = format!("/highlights?{query}");
        told.call(Method::GET, &path, &[("authorization", BEARER)], Value::Null).await.problem(422);
    }
    for payload in
        [json!(QUESTION), json!([EMAIL]), json!({ "job": QUESTION }), json!({ "userEmail": [EMAIL] })]
    {
        told.invoke(payload).await.unwrap_err();
    }
}

/// Callbacks of every kind, true, unreadable and forged.
async fn callbacks(told: &Told) {
    let world = &told.world;
    world.log_rocket.next(Behaviour::manual());
    told.post(&[], body()).await;
    let post = world.log_rocket.posts().pop().unwrap();
    let id = post.logrocket_request_id.clone().unwrap();
    let query = post.webhook_url().unwrap().strip_prefix(&world.gateway.webhook_url()).unwrap().to_owned();
    let result = json!({ "highlights": HIGHLIGHTS, "sessions": [
        { "recordingID": "5-1", "sessionID": 0, "highlights": HIGHLIGHTS },
    ]});

    for unreadable in [
        json!(format!("{{\"highlights\": {HIGHLIGHTS}")),
        json!({ "requestID": id, "status": HIGHLIGHTS }),
        json!({ "requestID": HIGHLIGHTS, "status": "READY", "result": result }),
        json!({ "requestID": id, "status": "READY", "result": HIGHLIGHTS }),
        json!({ "requestID": id, "status": "READY", "result": { "highlights": [HIGHLIGHTS] } }),
        json!({ "requestID": id, "status": "READY", "result": { "highlights": "", "sessions": HIGHLIGHTS } }),
        json!({ "requestId": id, "status": "COMPLETE", "result": { "highlights": HIGHLIGHTS, "sessions": [HIGHLIGHTS] } }),
    ] {
        told.callback(&query, unreadable).await.problem(400);
    }
    let ready =
        |id: &str| json!({ "requestID": id, "status": "READY", "appID": "acme/shop", "result": result });
    told.callback(&query, ready("canary-other-id")).await.problem(409);
    let mut complete = ready("canary-other-id");
    complete["status"] = json!("COMPLETE");
    told.callback(&query, complete).await.problem(409);
    told.callback(&query.replace("attempt=1", "attempt=2"), ready(&id)).await.problem(401);
    told.callback(&format!("{query}x"), ready(&id)).await.problem(401);
    told.callback(&format!("?request={EMAIL}&attempt=1&token={WRONG_TOKEN}"), ready(&id)).await.problem(401);
    told.callback(&query, json!({ "requestID": id, "status": "PENDING", "result": null })).await;
    let answer = told.callback(&query, ready(&id)).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    told.callback(&query, ready(&id)).await;
    let of_it = format!("/highlights/{id}");
    let read = told.call(Method::GET, &of_it, &[("authorization", BEARER)], Value::Null).await;
    assert!(read.text.contains(HIGHLIGHTS), "{}", read.text);
}

/// A LogRocket and a table in every kind of trouble.
async fn troubles(told: &Told) {
    let world = &told.world;
    let key = world.log_rocket.api_key();
    for status in [400, 401, 402, 403, 404, 301, 429, 500, 502, 503, 504] {
        for echo in [
            json!({ "error": format!("{EMAIL} may not with {key}: {QUESTION}") }).to_string(),
            format!("{}{key} {EMAIL}", " ".repeat(290)),
        ] {
            world.log_rocket.next(Behaviour::status(status).body(echo));
            told.post(&[], body()).await;
        }
    }
    for behaviour in [Behaviour::cut(), Behaviour::garbage(), Behaviour::without_id()] {
        world.log_rocket.next(behaviour);
        told.post(&[], body()).await;
    }
    for fault in [Fault::throttled(), Fault::internal_error(), Fault::CutBefore] {
        world.table_calls.on(Match::any(), fault);
        told.post(&[], body()).await.problem(503);
        told.call(
            Method::GET,
            &format!("/highlights?userEmail={EMAIL}"),
            &[("authorization", BEARER)],
            Value::Null,
        )
        .await
        .problem(503);
        told.invoke(body()).await.unwrap_err();
        told.invoke(json!({ "job": "sweep" })).await.unwrap_err();
        let post = world.log_rocket.posts().pop().unwrap();
        let query =
            post.webhook_url().unwrap().strip_prefix(&world.gateway.webhook_url()).unwrap().to_owned();
        let failed = json!({ "requestID": "canary-id", "status": "FAILED", "result": null });
        told.callback(&query, failed).await.problem(503);
        world.table_calls.clear();
    }
    // A request that was refused is opened again by its key.
    let key_header = [("idempotency-key", "canary-key-3")];
    world.log_rocket.next(Behaviour::status(400).body(format!("{EMAIL} may not with {key}")));
    told.post(&key_header, body()).await.problem(502);
    world.log_rocket.next(Behaviour::status(401).body(key));
    told.post(&key_header, body()).await.problem(502);
    told.post(&key_header, body()).await;
    // LogRocket's answer cannot be written down.
    for behaviour in [Behaviour::ready(), Behaviour::status(401).body(key), Behaviour::status(429)] {
        world.log_rocket.next(behaviour);
        let times = Match::operation("UpdateItem").times(3);
        world.table_calls.on(times, Fault::throttled());
        told.post(&[], body()).await;
        world.table_calls.clear();
    }
    // The sweep repeats what was not taken, while LogRocket refuses the key.
    world.log_rocket.usually(Behaviour::status(401).body(key));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    told.invoke(json!({ "job": "sweep" })).await.unwrap();
    world.log_rocket.usually(Behaviour::ready());
}

/// Events that no service sends.
async fn broken_events(told: &Told) {
    let call = HttpCall::new(Method::POST, "/highlights").json(&body());
    let callback = HttpCall::new(Method::POST, "/webhook").json(&json!(HIGHLIGHTS));
    for (call, function) in [(&call, &told.world.request), (&callback, &told.world.webhook)] {
        let mut no_base64 = call.http_api_event();
        no_base64["isBase64Encoded"] = json!(true);
        let mut no_path = call.rest_api_event();
        no_path["headers"]["host"] = json!(format!("{EMAIL} {QUESTION}"));
        no_path["multiValueHeaders"]["host"] = json!([QUESTION]);
        let mut no_method = call.http_api_event();
        no_method["requestContext"]["http"]["method"] = json!(QUESTION);
        let mut no_headers = call.http_api_event();
        no_headers["headers"] = json!([EMAIL]);
        for event in [no_base64, no_path, no_method, no_headers] {
            let answer = function.invoke(event).await.unwrap();
            told.keep(answer.to_string());
            Answer::of_event(&answer).problem(400);
        }
    }
    for event in [
        json!({ "Records": [{ "eventSource": "aws:sqs", "body": body().to_string() }] }),
        json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": [EMAIL], "body": QUESTION }] }),
        json!({ "Records": [{ "EventSource": "aws:sns", "Sns": QUESTION }] }),
        json!({ "detail-type": QUESTION, "detail": body() }),
        json!({ "id": [EMAIL], "detail-type": "x", "detail": body() }),
    ] {
        told.invoke(event).await.unwrap_err();
    }
    for payload in [json!(HIGHLIGHTS), json!({ "question": QUESTION }), json!([EMAIL])] {
        let answer = told.world.webhook.invoke(payload).await;
        told.keep(answer.unwrap_err().to_string());
    }
}

/// Records that somebody damaged by hand.
async fn damaged_records(told: &Told) {
    let world = &told.world;
    for (attribute, value) in [
        ("result", json!({ "S": format!("{{\"highlights\": [\"{HIGHLIGHTS}\"]}}") })),
        ("result", json!({ "S": format!("{{\"sessions\": \"{HIGHLIGHTS}\"}}") })),
        ("status", json!({ "S": QUESTION })),
        ("destinations", json!({ "S": URL_SECRET })),
        ("request", json!({ "S": EMAIL })),
        ("createdAt", json!({ "N": "-1e120" })),
    ] {
        let id = world.ask(body()).await;
        world.wait_for(&id, "READY").await;
        world.damage(&id, attribute, value).await;
        let path = format!("/highlights/{id}");
        told.call(Method::GET, &path, &[("authorization", BEARER)], Value::Null).await.problem(503);
    }
    told.call(
        Method::GET,
        &format!("/highlights?userEmail={EMAIL}"),
        &[("authorization", BEARER)],
        Value::Null,
    )
    .await;
    told.invoke(json!({ "job": "sweep" })).await.unwrap();
}

/// A body with a canary in every field that can hold one.
fn body() -> Value {
    json!({
        "userEmail": EMAIL,
        "question": QUESTION,
        "metadata": { "k": METADATA },
        "destinations": [
            { "type": "stepFunctions", "taskToken": TASK_TOKEN },
            { "type": "webhook", "url": format!("https://example.com/hook?key={URL_SECRET}#{URL_SECRET}") },
        ],
    })
}

/// A world, and all that it answered.
struct Told {
    world: World,
    answers: Mutex<Vec<String>>,
}

impl Told {
    fn new(world: World) -> Self {
        Self { world, answers: Mutex::default() }
    }

    fn keep(&self, answer: String) {
        self.answers.lock().unwrap().push(answer);
    }

    async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let answer = self.world.call(method, path, headers, body).await;
        self.keep(format!("{:?} {}", answer.headers, answer.text));
        answer
    }

    async fn post(&self, headers: &[(&str, &str)], body: Value) -> Answer {
        let mut all = vec![("authorization", BEARER)];
        all.extend_from_slice(headers);
        self.call(Method::POST, "/highlights", &all, body).await
    }

    async fn callback(&self, query: &str, body: Value) -> Answer {
        self.call(Method::POST, &format!("/webhook{query}"), &[], body).await
    }

    async fn invoke(&self, payload: Value) -> Result<Value, FunctionError> {
        let answer = self.world.invoke(payload).await;
        self.keep(format!("{answer:?}"));
        answer
    }

    async fn sweep_until(&self, id: &str, status: &str) {
        self.keep(self.world.sweep_until(id, status).await.to_string());
    }

    fn assert_silent(&self) {
        let posts = self.world.log_rocket.posts();
        let tokens = posts.iter().filter_map(|post| post.webhook_url()?.split_once("token="));
        let tokens: Vec<&str> = tokens.map(|(_, token)| token).collect();
        let mut secret = vec![
            API_TOKEN,
            OTHER_TOKEN,
            CALLBACK_KEY,
            TASK_TOKEN,
            URL_SECRET,
            WRONG_TOKEN,
            self.world.log_rocket.api_key(),
            // Part of it, where a message was cut short.
            "acme:",
        ];
        secret.extend(tokens);
        for answer in self.answers.lock().unwrap().iter() {
            // What a caller gives as a field's name is named to him.
            let found = secret.iter().find(|secret| answer.contains(**secret));
            assert_eq!(found, None, "{answer}");
        }

        let lines: Vec<String> = self.world.output().lines().map(str::to_owned).collect();
        assert!(!lines.is_empty());
        let personal = [EMAIL, USER_ID, QUESTION, HIGHLIGHTS, METADATA, "canary"];
        for line in &lines {
            let found =
                [&secret[..], &personal, &SIMULATED].concat().into_iter().find(|word| line.contains(word));
            assert_eq!(found, None, "{line}");
            assert_readable(line);
        }
    }
}

/// Every line is one JSON object of the same form; what was decided about a request names it and its invocation.
fn assert_readable(line: &str) {
    let parsed: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    if is_of_metrics(&parsed) {
        return assert!(parsed["lambdaRequestID"].as_str().is_some_and(|id| id.len() == 36), "{line}");
    }
    for member in ["timestamp", "level", "message", "target"] {
        assert!(parsed[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {line}");
        assert_eq!(line.matches(&format!("\"{member}\":")).count(), 1, "{line}");
    }
    let message = parsed["message"].as_str().unwrap();
    let at_start = parsed.get("spans").is_none() && parsed.get("variable").is_some()
        || ["the secrets cannot be had", "the function stops"].contains(&message);
    if !at_start {
        let id = parsed["spans"][0]["lambdaRequestID"].as_str();
        assert!(id.is_some_and(|id| id.len() == 36), "{line}");
    }
    if DECISIONS.contains(&message) {
        let id = parsed["requestID"].as_str();
        assert!(id.is_some_and(|id| id.len() == 36), "{line}");
    }
}

const DECISIONS: [&str; 17] = [
    "asked",
    "asked again",
    "a recent request was found",
    "a refused request is tried again",
    "LogRocket took it",
    "LogRocket refused it",
    "LogRocket refuses the key; it is tried again later",
    "LogRocket did not take it; it is tried again later",
    "nobody knows whether LogRocket took it; its callback is waited for",
    "LogRocket's answer could not be written down; the sweep will find out",
    "callback",
    "unreadable callback",
    "claimed",
    "the next attempt",
    "polled",
    "failed: no attempt is left",
    "deleted",
];

/// What the search would find, if it were there: else it proves nothing.
#[tokio::test]
async fn the_decisions_are_in_the_log() {
    let world = World::with(&[("MAX_ATTEMPTS", "1")]).await;
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(json!({ "userID": "1", "idempotencyKey": "k" })).await;
    let log_rocket_id = world.log_rocket.posts()[0].logrocket_request_id.clone().unwrap();
    world.log_rocket.send_callback(&log_rocket_id, Outcome::Ready).await.unwrap();
    let output = world.output();
    for decision in ["asked", "LogRocket took it", "callback"] {
        assert!(DECISIONS.contains(&decision));
        let told = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["message"] == decision && line["requestID"] == id.as_str()
        };
        assert_eq!(output.lines().filter(|line| told(line)).count(), 1, "{decision}: {output}");
    }
}
