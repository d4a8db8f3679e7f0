//! The HTTP contract: who is let in, what is where, and which bodies are read.

use local::gateway::HttpCall;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stories::{API_TOKEN, Answer, BEARER, OTHER_TOKEN, World};

#[tokio::test]
async fn who_has_no_token_is_told_how_to_give_one() {
    let world = World::start().await;
    let body = || json!({ "userID": "1" });

    // 1. None, wrong, empty, another scheme: 401 with a challenge, on every route.
    let wrong = format!("Bearer {}x", API_TOKEN);
    let cut = format!("Bearer {}", &API_TOKEN[..API_TOKEN.len() - 1]);
    let basic = format!("Basic {API_TOKEN}");
    for header in [None, Some(&*wrong), Some(&*cut), Some(&*basic), Some("Bearer"), Some(""), Some(API_TOKEN)]
    {
        for (method, path) in [
            (Method::POST, "/highlights"),
            (Method::GET, "/highlights?userID=1"),
            (Method::GET, "/highlights/019f3a52-7a1c-7000-8000-000000000000"),
            (Method::DELETE, "/highlights/019f3a52-7a1c-7000-8000-000000000000"),
        ] {
            let headers: Vec<_> = header.map(|header| ("authorization", header)).into_iter().collect();
            let answer = world.call(method, path, &headers, body()).await;
            answer.problem(401);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    assert_eq!(world.table_calls.calls().len(), 0);

    // 2. Both spellings are taken, in any case, and each of the tokens.
    for header in [
        format!("Bearer {API_TOKEN}"),
        format!("bearer {OTHER_TOKEN}"),
        format!("token {API_TOKEN}"),
        format!("Token {OTHER_TOKEN}"),
    ] {
        let answer = world.call(Method::POST, "/highlights", &[("authorization", &header)], body()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    }

    // 3. A stranger's body is not looked at.
    world.call(Method::POST, "/highlights", &[("content-type", "text/plain")], json!("{")).await.problem(401);
}

#[tokio::test]
async fn what_is_not_there_is_404_whatever_it_is_called() {
    // A budget's counter is an item of the same table.
    let world = World::with(&[("MONTHLY_REQUEST_LIMIT", "1")]).await;
    let id = world.ask(json!({ "userID": "1" })).await;
    let ids: Vec<_> = world.table.items().unwrap().iter().map(|item| item["requestID"].clone()).collect();
    let counter = ids.iter().filter_map(Value::as_str).find(|id| id.starts_with("budget#")).unwrap();

    // 1. Paths that are none.
    for path in ["/", "/highlight", "/highlights/", "/Highlights", "/highlights//", "//highlights", "/view"] {
        world.get(path).await.problem(404);
        world
            .call(Method::POST, path, &[("authorization", BEARER)], json!({ "userID": "1" }))
            .await
            .problem(404);
    }
    for path in [format!("/highlights/{id}/"), format!("/highlights/{id}/x"), format!("/highlights/{id}%2Fx")]
    {
        world.get(&path).await.problem(404);
    }

    // 2. Ids that are none, in every form.
    let long = "a".repeat(3000);
    let longer_than_an_index_key = "%F0%9F%98%80".repeat(600);
    let cut = &id[..35];
    let of_budget = counter.replace('#', "%23");
    for unknown in [
        "019f3a52-7a1c-7000-8000-000000000000",
        "x",
        "0cc12cad0cc12cad0cc12cad0cc12cad0cc12cad0cc12cad0cc12cad0cc12cad",
        cut,
        &long,
        &longer_than_an_index_key,
        &of_budget,
        "budget%232026-11",
        "%20",
        "%00",
        "%0A",
        "%25",
        "%ff%fe",
        "%F0%9F%98%80",
        "%3Cscript%3E",
        "%22%5C%7B%7D%7C%5E%60",
        "a%3Fb",
        "..%2f..%2fetc",
        "null",
        "%E2%80%AE",
    ] {
        for method in [Method::GET, Method::DELETE] {
            let path = format!("/highlights/{unknown}");
            let answer = world.call(method, &path, &[("authorization", BEARER)], json!(null)).await;
            answer.problem(404);
        }
    }
    assert_eq!(world.read(&id).await["requestID"], id);
    let counted = world.item(counter);
    assert!(counted.is_object(), "the counter was deleted");

    // 3. An id is the same in capitals.
    assert_eq!(world.read(&id.to_uppercase()).await["requestID"], id);
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_405_and_says_which_it_does() {
    let world = World::start().await;
    for (method, path, allow) in [
        (Method::PUT, "/highlights", "POST, GET"),
        (Method::DELETE, "/highlights", "POST, GET"),
        (Method::OPTIONS, "/highlights", "POST, GET"),
        (Method::POST, "/highlights/x", "GET, DELETE"),
        (Method::PATCH, "/highlights/x", "GET, DELETE"),
        (Method::POST, "/view/x", "GET, HEAD"),
        (Method::GET, "/view/x/redeliver", "POST"),
        (Method::GET, "/webhook", "POST"),
        (Method::PUT, "/webhook", "POST"),
    ] {
        let headers = [("authorization", BEARER), ("accept", "application/json")];
        let answer = world.call(method, path, &headers, json!({ "userID": "1" })).await;
        answer.problem(405);
        assert_eq!(answer.header("allow"), allow, "{path}");
    }
    assert_eq!(world.table_calls.calls().len(), 0);
}

#[tokio::test]
async fn a_body_that_is_no_json_is_400_and_one_with_a_byte_order_mark_is_read() {
    let world = World::start().await;
    let json = [("content-type", "application/json")];

    let deep = "[".repeat(100_000);
    for body in [
        &b""[..],
        b" ",
        b"{",
        b"userID=1",
        b"{\"userID\":\"1\"} x",
        b"{\"userID\":\"1\"}{}",
        b"{'userID':'1'}",
        b"{\"userID\":\"1\",}",
        b"{\"userID\":\"a\0b\"}",
        b"\0",
        b"{\"userID\":\"\xff\"}",
        b"\xff\xfe{\0}\0",
        b"{\"userID\":\"\\ud800\"}",
        b"{\"userID\":1e999}",
        deep.as_bytes(),
    ] {
        let answer = world.post_bytes(&json, body).await;
        let shown = String::from_utf8_lossy(body).chars().take(40).collect::<String>();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{shown}: {}", answer.text);
        answer.problem(400);
    }
    for body in ["null", "5", "[]", "\"text\"", "true"] {
        let answer = world.post_bytes(&json, body).await;
        assert_eq!(answer.pointers(), ["#"], "{body}");
    }
    assert_eq!(world.table.items().unwrap(), [] as [Value; 0]);

    let answer = world.post_bytes(&json, "\u{feff}{\"userID\":\"1\"}").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
}

#[tokio::test]
async fn json_is_read_under_its_many_names_and_nothing_else_is() {
    let world = World::start().await;
    for content_type in [
        None,
        Some(""),
        Some("application/json"),
        Some("application/json; charset=utf-8"),
        Some("APPLICATION/JSON;charset=UTF-8"),
        Some("application/vnd.api+json"),
        Some("text/json"),
        Some("application/x-www-form-urlencoded"),
    ] {
        let headers: Vec<_> = content_type.map(|value| ("content-type", value)).into_iter().collect();
        let answer = world.post_bytes(&headers, r#"{"userID":"1"}"#).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{content_type:?}: {}", answer.text);
    }
    for content_type in
        ["text/plain", "application/xml", "multipart/form-data; boundary=x", "json", "application/jsonx"]
    {
        let answer = world.post_bytes(&[("content-type", content_type)], r#"{"userID":"1"}"#).await;
        answer.problem(415);
    }
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    world.post_bytes(&headers, r#"{"userID":"1"}"#).await.problem(415);
    assert_eq!(world.log_rocket.posts().len(), 8);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413() {
    let world = World::start().await;
    let json = [("content-type", "application/json")];
    let body = |size: usize| [br#"{"userID":"1"}"#, " ".repeat(size - 14).as_bytes()].concat();

    let answer = world.post_bytes(&json, body(128 * 1024 + 1)).await;
    assert!(answer.problem(413)["detail"].as_str().unwrap().contains("131072"), "{}", answer.text);
    world.post_bytes(&json, body(5 * 1024 * 1024)).await.problem(413);
    assert_eq!(world.log_rocket.posts().len(), 0);

    assert_eq!(world.post_bytes(&json, body(128 * 1024)).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn an_idempotency_key_of_another_form_is_400() {
    let world = World::start().await;
    let long = "k".repeat(256);
    for key in ["", long.as_str(), "two words", "k\u{e9}y", "tab\tbed"] {
        let answer = world.post_with(&[("idempotency-key", key)], json!({ "userID": "1" })).await;
        let problem = answer.problem(400);
        assert!(problem["detail"].as_str().unwrap().contains("Idempotency-Key"), "{problem}");
    }
    assert_eq!(world.table.items().unwrap(), [] as [Value; 0]);
    let longest = &long[1..];
    let answer = world.post_with(&[("idempotency-key", longest)], json!({ "userID": "1" })).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
}

#[tokio::test]
async fn an_http_event_that_cannot_be_read_gets_a_problem_and_no_bare_500() {
    let world = World::start().await;
    let call = HttpCall::new(Method::POST, "/highlights").json(&json!({ "userID": "1" }));

    // A body that is not the base64 it claims to be, a query and a host that no URL can have.
    let mut no_base64 = call.http_api_event();
    no_base64["isBase64Encoded"] = json!(true);
    let mut no_query = call.http_api_event();
    no_query["rawQueryString"] = json!("a=<b> \u{7f}");
    let mut no_host = call.rest_api_event();
    no_host["headers"]["host"] = json!("a b");
    no_host["multiValueHeaders"]["host"] = json!(["a b"]);
    for event in [no_base64, no_query, no_host] {
        Answer::of_event(&world.invoke(event).await.unwrap()).problem(400);
    }

    // The function goes on.
    world.ask(json!({ "userID": "1" })).await;
}
