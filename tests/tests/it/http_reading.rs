//! The HTTP contract of reading: one request, its Markdown, the list, and what is left after a `DELETE`.

use local::logrocket::{Behaviour, Outcome};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stories::{Answer, BEARER, World};

#[tokio::test]
async fn a_list_shows_one_subjects_requests_newest_first_page_by_page() {
    let world = World::start().await;

    // 1. Five of Alice's, among others'.
    let mut asked = Vec::new();
    for n in 0..5 {
        asked.insert(
            0,
            world
                .ask(json!({ "userEmail": "alice+1@example.com", "metadata": { "n": n.to_string() } }))
                .await,
        );
        world.ask(json!({ "userEmail": "bob@example.com" })).await;
    }
    world.ask(json!({ "userID": "alice+1@example.com" })).await;
    for id in &asked {
        world.wait_for(id, "READY").await;
    }
    let list = async |query: &str| {
        let answer = world.get(&format!("/highlights?userEmail=alice%2B1%40example.com{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    };

    // 2. All on one page, in order, with what a list shows and no more.
    let all = list("").await;
    assert_eq!(ids(&all), asked);
    assert_eq!(all.get("nextCursor"), None);
    let entry = &all["requests"][0];
    assert_eq!(entry["metadata"]["n"], "4");
    assert_eq!(entry["status"], "READY");
    for (name, value) in world.read(&asked[0]).await.as_object().unwrap() {
        let shown = entry.get(name);
        if ["result", "deliveries"].contains(&name.as_str()) {
            assert_eq!(shown, None, "{name}");
        } else {
            assert_eq!(shown, Some(value), "{name}");
        }
    }

    // 3. Page by page: every one once, and no cursor on the last page, even if it is full.
    for limit in [1, 2, 4, 5, 100] {
        let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = list(&format!("&limit={limit}{cursor}")).await;
            assert!(ids(&page).len() <= limit);
            seen.extend(ids(&page));
            pages += 1;
            let Some(next) = page.get("nextCursor") else { break };
            cursor = format!("&cursor={}", next.as_str().unwrap());
        }
        assert_eq!(seen, asked, "limit {limit}");
        assert_eq!(pages, 5usize.div_ceil(limit), "limit {limit}");
    }

    // 4. A subject without requests has an empty list.
    let none = world.get("/highlights?userID=nobody").await;
    assert_eq!((none.status, none.json()), (StatusCode::OK, json!({ "requests": [] })));
}

#[tokio::test]
async fn a_list_asked_wrongly_says_what_is_wrong() {
    let world = World::start().await;
    let foreign = world.get("/highlights?userID=1&limit=1").await.json();
    assert_eq!(foreign.get("nextCursor"), None);
    let long = format!("userID={}", "a".repeat(1025));
    for (query, pointer) in [
        ("", "#/userEmail"),
        ("userID=", "#/userID"),
        (&long, "#/userID"),
        ("userID=1&userEmail=a%40b.c", "#/userID"),
        ("userID=1&userID=2", "#/userID"),
        ("userID=1&limit=0", "#/limit"),
        ("userID=1&limit=101", "#/limit"),
        ("userID=1&limit=-1", "#/limit"),
        ("userID=1&limit=ten", "#/limit"),
        ("userID=1&limit=", "#/limit"),
        ("userID=1&limit=99999999999999999999", "#/limit"),
        ("userID=1&cursor=", "#/cursor"),
        ("userID=1&cursor=x", "#/cursor"),
        ("userID=1&cursor=e30", "#/cursor"),
        ("userID=1&cursor=%F0%9F%98%80", "#/cursor"),
        ("userID=1&offset=5", "#/offset"),
        ("userid=1", "#/userid"),
    ] {
        let pointers = world.get(&format!("/highlights?{query}")).await.pointers();
        assert!(pointers.iter().any(|named| named == pointer), "{query}: {pointers:?}");
    }
    let mut pointers = world.get("/highlights?limit=0&cursor=x&sort=up").await.pointers();
    pointers.sort();
    assert_eq!(pointers, ["#/cursor", "#/limit", "#/sort", "#/userEmail"]);
}

#[tokio::test]
async fn what_is_deleted_is_gone_at_once_and_its_callback_is_told_so() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::manual());
    let body = || json!({ "userID": "1", "idempotencyKey": "k" });
    let id = world.ask(body()).await;
    let path = format!("/highlights/{id}");
    let log_rocket_id = world.log_rocket.posts()[0].logrocket_request_id.clone().unwrap();

    // 1. 204, and nothing in it.
    let deleted = delete(&world, &path).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (StatusCode::NO_CONTENT, ""));

    // 2. Nobody finds it.
    delete(&world, &path).await.problem(404);
    world.get(&path).await.problem(404);
    world.get(&format!("/highlights/{log_rocket_id}")).await.problem(404);
    assert_eq!(world.get("/highlights?userID=1").await.json(), json!({ "requests": [] }));
    assert_eq!(world.table.items().unwrap(), [] as [Value; 0]);

    // 3. Its callback comes too late, and brings nothing back.
    let post = world.log_rocket.posts().remove(0);
    let payload = world.log_rocket.payload(&log_rocket_id, Outcome::Ready).unwrap();
    world.callback(post.webhook_url().unwrap(), payload).await.problem(410);
    assert_eq!(world.table.items().unwrap(), [] as [Value; 0]);
    assert_eq!(world.sweep().await["due"], 0);

    // 4. Its key asks anew, under the same id.
    let again = world.post(body()).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::ACCEPTED, ""));
    world.wait_for(&id, "READY").await;
    assert_eq!(world.log_rocket.posts().len(), 2);
}

#[tokio::test]
async fn the_highlights_are_markdown_for_those_who_want_it() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::manual());
    let id =
        world.ask(json!({ "userEmail": "alice@example.com", "question": "Why did\ncheckout fail?" })).await;
    let path = format!("/highlights/{id}");
    let accepting = async |accept: &str| {
        let headers = [("authorization", BEARER), ("accept", accept)];
        world.call(Method::GET, &path, &headers, json!(null)).await
    };

    // 1. PENDING: a document that says so.
    let pending = accepting("text/markdown").await;
    assert_eq!(pending.header("content-type"), "text/markdown; charset=utf-8");
    assert!(pending.text.starts_with("# Highlights of `alice@example.com`\n"), "{}", pending.text);
    assert!(pending.text.contains("at work"), "{}", pending.text);

    // 2. READY: the highlights, each session's behind a link to its recording, and where all are.
    let log_rocket_id = world.log_rocket.posts()[0].logrocket_request_id.clone().unwrap();
    world.log_rocket.send_callback(&log_rocket_id, Outcome::Ready).await.unwrap();
    let result = world.read(&id).await["result"].clone();
    let ready = accepting("text/markdown").await;
    assert!(ready.text.contains("\n> Why did\\\n> checkout fail?\n"), "{}", ready.text);
    for link in links_of(result["highlights"].as_str().unwrap()) {
        assert!(ready.text.contains(link), "{link}: {}", ready.text);
    }
    let app_url = format!("https://app.logrocket.com/{}", world.log_rocket.app_id());
    for (number, session) in (1..).zip(result["sessions"].as_array().unwrap()) {
        let path = format!("{}/{}", session["recordingID"].as_str().unwrap(), session["sessionID"]);
        let line = format!("\n- [Session {number}]({app_url}/s/{path}): ");
        assert!(ready.text.contains(&line), "{}", ready.text);
        for link in links_of(session["highlights"].as_str().unwrap()) {
            assert!(ready.text.contains(link), "{link}: {}", ready.text);
        }
    }
    assert!(ready.text.contains(&format!("({app_url}/sessions?e=alice%40example.com)")), "{}", ready.text);
    assert!(ready.text.ends_with(&format!("\n_Request {id}_\n")), "{}", ready.text);

    // 3. Whoever would rather have JSON has JSON.
    for (accept, content_type) in [
        ("*/*", "application/json"),
        ("application/json, text/markdown;q=0.9", "application/json"),
        ("text/markdown;q=0, */*", "application/json"),
        ("image/png", "application/json"),
        ("text/markdown, application/json;q=0.5", "text/markdown; charset=utf-8"),
        ("TEXT/MARKDOWN", "text/markdown; charset=utf-8"),
    ] {
        let answer = accepting(accept).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (StatusCode::OK, content_type),
            "{accept}"
        );
        assert_eq!(answer.header("cache-control"), "no-store");
    }

    // 4. A problem is JSON whatever was accepted.
    let headers = [("authorization", BEARER), ("accept", "text/markdown")];
    world.call(Method::GET, "/highlights/x", &headers, json!(null)).await.problem(404);
}

#[tokio::test]
async fn times_are_rfc_3339_in_utc() {
    let world = World::start().await;
    let id = world.ask(json!({ "userID": "1" })).await;
    let request = world.wait_for(&id, "READY").await;
    for time in [&request["createdAt"], &request["completedAt"], &request["attempts"][0]["startedAt"]] {
        let time = time.as_str().unwrap();
        let form: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(form, "0000-00-00T00:00:00.000Z", "{time}");
    }
}

async fn delete(world: &World, path: &str) -> Answer {
    world.call(Method::DELETE, path, &[("authorization", BEARER)], json!(null)).await
}

fn ids(list: &Value) -> Vec<String> {
    let requests = list["requests"].as_array().unwrap();
    requests.iter().map(|request| request["requestID"].as_str().unwrap().to_owned()).collect()
}

/// The links of a Markdown text, as they are written.
fn links_of(markdown: &str) -> Vec<&str> {
    let ends = markdown.split_inclusive(')').filter(|part| part.contains("]("));
    ends.map(|part| &part[part.find('[').unwrap()..]).collect()
}
