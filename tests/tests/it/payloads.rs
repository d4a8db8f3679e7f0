//! What callers can send at its limits, just over them, and beyond all reason: through the gateway and by direct
//! invocation, each is taken, or refused by an error that says what to mend and is itself short.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use local::gateway::HttpCall;
use local::lambda::FunctionError;
use local::logrocket::Behaviour;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stories::{Answer, BEARER, World};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// What a direct invocation with this payload, byte for byte, is told.
async fn invoked(world: &World, payload: impl Into<Vec<u8>>) -> Result<Value, FunctionError> {
    world.request.invoke_bytes(payload, "one").await
}

/// An event of `POST /highlights` whose body stands in it as given.
fn event(body: &str, is_base64: bool) -> Value {
    let mut call = HttpCall::new(Method::POST, "/highlights");
    call.headers.insert("authorization", BEARER.parse().unwrap());
    let mut event = call.http_api_event();
    event["body"] = json!(body);
    event["isBase64Encoded"] = json!(is_base64);
    event
}

#[tokio::test]
async fn a_body_at_its_limit_is_taken_and_one_byte_more_is_told_the_limit() {
    let world = World::start().await;
    let body = |bytes: usize| [r#"{"userID":"1"}"#, &" ".repeat(bytes - 14)].concat();

    // 1. As text, as base64, and as a payload of its own.
    for (bytes, fits) in [(131_071, true), (131_072, true), (131_073, false), (4_000_000, false)] {
        let base64 = event(&BASE64_STANDARD.encode(body(bytes)), true);
        for answer in [
            world.post_bytes(&JSON, body(bytes)).await,
            Answer::of_event(&world.invoke(base64).await.unwrap()),
        ] {
            if fits {
                assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
            } else {
                let detail = answer.problem(413)["detail"].clone();
                assert_eq!(detail, format!("The body has {bytes} bytes; at most 131072 are taken."));
            }
        }
    }
    // White space around a payload is not the payload's.
    let direct = |bytes: usize| {
        let start = r#"{"userID":"1""#;
        [start, &" ".repeat(bytes - start.len() - 1), "}"].concat()
    };
    assert!(invoked(&world, direct(131_072)).await.is_ok());
    let error = invoked(&world, direct(131_073)).await.unwrap_err();
    assert_eq!(error.error_type, "InvalidRequest");
    assert_eq!(error.error_message, "The body has 131073 bytes; at most 131072 are taken.");

    // 2. As large as Lambda takes an event, and base64 that breaks off or is none.
    let base64 = BASE64_STANDARD.encode(body(4_700_000));
    Answer::of_event(&world.invoke(event(&base64, true)).await.unwrap()).problem(413);
    for broken in [&base64[..base64.len() - 1], "eyJ1c2VySUQiOiIxIn0", "{\"userID\":\"1\"}", "=", "\u{0}"] {
        let answer = Answer::of_event(&world.invoke(event(broken, true)).await.unwrap());
        assert!(answer.problem(400)["detail"].as_str().unwrap().contains("body"), "{}", answer.text);
        assert!(answer.text.len() < 1_000);
    }
    // Ten megabytes are the gateway's own limit.
    assert_eq!(
        world.post_bytes(&JSON, vec![b' '; 10 * 1024 * 1024 + 1]).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let logged: usize = world.request.output().iter().map(String::len).sum();
    assert!(logged < 100_000, "the log has {logged} bytes");
}

#[tokio::test]
async fn a_compressed_body_is_told_to_come_as_it_is() {
    let world = World::start().await;
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xabV*-N-\xf2tQ\xb2R2T\xaa\x05\0";
    for encoding in ["gzip", "br", "GZIP", "gzip, gzip", "deflate"] {
        let headers = [JSON[0], ("content-encoding", encoding)];
        let answer = world.post_bytes(&headers, &gzip[..]).await;
        assert!(answer.problem(415)["detail"].as_str().unwrap().contains("Content-Encoding"));
    }
    // Without the header that says so, its first bytes do.
    let answer = world.post_bytes(&JSON, &gzip[..]).await;
    assert!(answer.problem(400)["detail"].as_str().unwrap().contains("compressed"), "{}", answer.text);
    let plain = [JSON[0], ("content-encoding", "identity")];
    assert_eq!(world.post_bytes(&plain, r#"{"userID":"1"}"#).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_name_that_stands_twice_is_refused_by_every_way_in() {
    let world = World::start().await;
    let body = r#"{"userID":"1","destinations":[],"metadata":{"a":"1","a":"2"},"userID":"2"}"#;
    let answer = world.post_bytes(&JSON, body).await;
    assert_eq!(answer.pointers(), ["#/metadata/a", "#/userID"]);

    let told = invoked(&world, body).await.unwrap_err();
    assert_eq!(told.error_type, "InvalidRequest");
    assert_eq!(told.error_message, "#/metadata/a is given more than once; #/userID is given more than once");
    let event = format!(r#"{{"id":"1","detail-type":"x","source":"x","detail":{body}}}"#);
    assert_eq!(invoked(&world, event).await.unwrap_err(), told);
    let message = |id: &str, body: &str| json!({ "eventSource": "aws:sqs", "messageId": id, "body": body });
    let batch = json!({ "Records": [message("bad", body), message("good", r#"{"userID":"1"}"#)] });
    let answer = world.invoke(batch).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "bad" }] }));
    assert_eq!(world.log_rocket.posts().len(), 1);
}

#[tokio::test]
async fn letters_that_no_text_holds_are_refused_and_all_others_come_back_as_they_went() {
    let world = World::start().await;
    // 1. Half a surrogate pair, in a value or in a name.
    for body in [r#"{"userID":"\ud800"}"#, r#"{"userID":"1","\udfff":1}"#, r#"{"userID":"1","x":["\ud83d"]}"#]
    {
        let answer = world.post_bytes(&JSON, body).await;
        let detail = answer.problem(400)["detail"].clone();
        assert!(detail.as_str().unwrap().contains("half a surrogate pair"), "{detail}");
        let told = invoked(&world, body).await.unwrap_err();
        assert_eq!((told.error_type.as_str(), json!(told.error_message)), ("InvalidRequest", detail));
    }
    // 2. NUL and its like are letters; they come back, and reach LogRocket, as they were sent.
    let odd = "a\0b\u{1b}\u{7f}\u{202e}\u{feff}\u{fffd}\u{10ffff}";
    let id = world.ask(json!({ "userID": odd, "question": odd, "metadata": { odd: odd } })).await;
    let request = world.wait_for(&id, "READY").await;
    let posted = &world.log_rocket.posts()[0].body;
    for (at, text) in [
        ("userID", &request["userID"]),
        ("question", &request["question"]),
        ("metadata", &request["metadata"][odd]),
        ("POST", &posted["question"]),
    ] {
        assert_eq!(text, odd, "{at}");
    }
    // 3. Raw they are no JSON.
    for raw in [&b"{\"userID\":\"a\0b\"}"[..], b"{\"userID\":\"a\nb\"}"] {
        let answer = world.post_bytes(&JSON, raw).await;
        assert!(answer.problem(400)["detail"].as_str().unwrap().contains("control character"));
    }
    // 4. A list finds the user whose name it is.
    let query = url_encoded(odd);
    let list = world.get(&format!("/highlights?userID={query}")).await.json();
    assert_eq!(list["requests"][0]["requestID"], json!(id));
}

fn url_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn depth_has_a_limit_that_is_named_and_no_stack_is_used_up() {
    let world = World::start().await;
    let nested = |levels: usize| {
        [r#"{"userID":"1","x":"#, &"[".repeat(levels - 1), &"]".repeat(levels - 1), "}"].concat()
    };
    assert_eq!(world.post_bytes(&JSON, nested(127)).await.pointers(), ["#/x"]);
    for levels in [128, 129, 10_000, 60_000] {
        let answer = world.post_bytes(&JSON, nested(levels)).await;
        let detail = answer.problem(400)["detail"].clone();
        assert!(detail.as_str().unwrap().contains("more than 127 levels"), "{detail}");
        let told = invoked(&world, nested(levels)).await.unwrap_err();
        assert_eq!((told.error_type.as_str(), json!(told.error_message)), ("InvalidRequest", detail));
    }
    // Deeper than a body may be long, in a payload of each kind.
    let deep = ["[".repeat(1_000_000), "]".repeat(1_000_000)].concat();
    for payload in [
        deep.clone(),
        format!(r#"{{"userID":{deep}}}"#),
        format!(r#"{{"detail-type":"x","id":"1","detail":{deep}}}"#),
        format!(r#"{{"Records":[{{"eventSource":"aws:sqs","x":{deep}}}]}}"#),
        format!(r#"{{"job":{deep}}}"#),
    ] {
        let told = invoked(&world, payload).await.unwrap_err();
        assert_eq!(told.error_type, "InvalidRequest");
        assert!(told.error_message.len() < 200, "{told}");
    }
    for payload in [
        format!(r#"{{"requestContext":{{"http":{deep}}}}}"#),
        format!(r#"{{"httpMethod":"POST","requestContext":{{"x":{deep}}}}}"#),
    ] {
        let answer = Answer::of_event(&invoked(&world, payload).await.unwrap());
        assert!([400, 404].contains(&answer.status.as_u16()), "{}", answer.text);
    }
    world.ask(json!({ "userID": "1" })).await;
    let starts = world.request.output().iter().filter(|line| !line.contains("lambdaRequestID")).count();
    assert!(starts <= 1, "the process was lost: {:#?}", world.request.output());
}

#[tokio::test]
async fn an_answer_to_a_hundred_thousand_mistakes_is_short() {
    let world = World::start().await;
    // 1. As many unknown fields as fit: the first hundred are named, and how many there are.
    let fields: String = (0..11_000).map(|n| format!(r#","x{n}":0"#)).collect();
    let body = format!(r#"{{"userID":"1"{fields}}}"#);
    let answer = world.post_bytes(&JSON, body.clone()).await;
    let problem = answer.problem(422);
    assert_eq!(problem["detail"], "11000 fields are to be mended; the first 100 are named.");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 100);
    assert!(answer.text.len() < 50_000, "{}", answer.text.len());
    let told = invoked(&world, body).await.unwrap_err();
    assert!(told.error_message.len() < 32_768, "Step Functions cuts a longer cause");

    // 2. A name as long as a body, and one that would write into somebody's terminal.
    for name in ["k".repeat(130_000), "\u{1b}[31m\r\n\u{202e}\"<script>".to_owned()] {
        let answer = world.post_bytes(&JSON, json!({ "userID": "1", &name: 1 }).to_string()).await;
        let pointers = answer.pointers();
        assert!(pointers[0].len() < 250 && pointers[0].is_ascii(), "{pointers:?}");
        assert!(!pointers[0].contains(['\u{1b}', '<', '"', '\n']), "{pointers:?}");
        assert!(answer.text.len() < 2_000);
    }

    // 3. Thousands of parameters, and one that is long.
    let many: String = (0..5_000).map(|n| format!("&x{n}=0")).collect();
    let answer = world.get(&format!("/highlights?userID=1{many}")).await;
    assert_eq!(answer.pointers().len(), 100);
    assert_eq!(answer.json()["detail"], "5000 fields are to be mended; the first 100 are named.");
    let answer = world.get(&format!("/highlights?userID=1&{}%2F~%00=1", "k".repeat(50))).await;
    assert_eq!(answer.pointers(), [format!("#/{}~1~0%00", "k".repeat(50))]);

    // 4. Headers as long as a gateway lets through.
    for header in ["x-long", "accept", "idempotency-key", "authorization"] {
        let long = "a, ".repeat(2_700);
        let answer = world.post_with(&[(header, long.trim_end())], json!({ "userID": "1" })).await;
        assert!([202, 400, 401].contains(&answer.status.as_u16()), "{header}: {}", answer.text);
        assert!(answer.text.len() < 1_000);
    }
}

#[tokio::test]
async fn numbers_beyond_all_reason_are_refused_or_mean_what_they_say() {
    let world = World::start().await;
    let answer = world.post_bytes(&JSON, r#"{"userID":"1","maxAge":1e999}"#).await;
    assert!(answer.problem(400)["detail"].as_str().unwrap().contains("number out of range"));
    let body = r#"{"userID":"1","maxAge":9223372036854775808,"timeRange":{"startMs":-0,"endMs":1e300},
        "destinations":[{"type":"zendesk","ticketID":18446744073709551616}]}"#;
    let answer = world.post_bytes(&JSON, body).await;
    assert_eq!(answer.pointers(), ["#/timeRange/endMs", "#/destinations/0/ticketID", "#/maxAge"]);

    // The longest age finds whatever there is; none finds nothing.
    let first = world.ask(json!({ "userID": "1" })).await;
    let aged = async |age: &str| {
        let answer = world.post_bytes(&JSON, format!(r#"{{"userID":"1","maxAge":{age}}}"#)).await;
        (answer.status.as_u16(), answer.json()["requestID"] == json!(first))
    };
    assert_eq!(aged("9007199254740991").await, (200, true));
    assert_eq!(aged("-0").await.0, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_the_longest_requests_comes_in_as_many_answers_as_it_takes() {
    let world = World::start().await;
    world.log_rocket.usually(Behaviour::manual());
    // 1. A hundred, each of letters that take seven bytes where the answer is carried.
    let long = |count| "\u{1}".repeat(count);
    let mut metadata = json!({ "k": long(1947) });
    for name in 'A'..='Y' {
        metadata[format!("\u{1}{name}")] = json!("");
        metadata[format!("\u{2}{name}")] = json!("");
    }
    let body = json!({ "userID": long(1024), "question": long(4000), "metadata": metadata });
    let mut asked = Vec::new();
    for _ in 0..100 {
        asked.push(world.ask(body.clone()).await);
    }
    // 2. Each page is an answer that Lambda carries, and together they are all of them, once.
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    for _ in 0..20 {
        let user = url_encoded(&long(1024));
        let answer = world.get(&format!("/highlights?userID={user}&limit=100{cursor}")).await;
        // A test's table, on a busy machine, may take longer for so much than it is given.
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            continue;
        }
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let list = answer.json();
        let ids = list["requests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["requestID"].as_str().unwrap().to_owned());
        seen.extend(ids);
        pages += 1;
        let Some(next) = list["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    asked.reverse();
    assert_eq!(seen, asked);
    assert_eq!(pages, 2);
}

#[tokio::test]
async fn a_batch_of_the_largest_messages_fails_by_the_one_that_is_wrong() {
    let world = World::start().await;
    // 1. Ten of the queue's messages, as large as Lambda takes them together: five are bodies at their limit.
    let body = |bytes: usize| [r#"{"userID":"1"}"#, &" ".repeat(bytes - 14)].concat();
    let message = |n: usize, bytes: usize| json!({ "eventSource": "aws:sqs", "messageId": n.to_string(), "body": body(bytes) });
    let records: Vec<Value> =
        (0..10).map(|n| message(n, if n % 2 == 0 { 128 * 1024 } else { 1024 * 1024 })).collect();
    let answer = world.invoke(json!({ "Records": records })).await.unwrap();
    let failed = [1, 3, 5, 7, 9].map(|n| json!({ "itemIdentifier": n.to_string() }));
    assert_eq!(answer, json!({ "batchItemFailures": failed }));
    assert_eq!(world.log_rocket.posts().len(), 5);

    // 2. SNS and EventBridge bring one; at 256 KB it is refused by name.
    let large = body(256 * 1024);
    let sns =
        json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "MessageId": "1", "Message": large } }] });
    let detail = json!({ "userID": "1", "question": "q".repeat(256 * 1024) });
    let event = json!({ "id": "1", "detail-type": "x", "source": "x", "detail": detail });
    for event in [sns, event] {
        let told = world.invoke(event).await.unwrap_err();
        assert_eq!(told.error_type, "InvalidRequest");
        assert!(told.error_message.contains("at most 131072"), "{told}");
    }
}
