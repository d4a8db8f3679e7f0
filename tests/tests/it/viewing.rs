//! For people who look: a request's page, by a signed link or a token, and its button.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local::destinations::{Behaviour, Kind};
use local::gateway::HttpCall;
use local::logrocket::{self, Outcome};
use model::id::RequestId;
use model::render::SafeUrl;
use model::secrets::SecretDocument;
use model::time::Time;
use model::token::CallbackKeys;
use model::view_link::ViewLink;
use reqwest::{Method, StatusCode};
use scraper::{Html, Selector};
use serde_json::{Value, json};
use std::time::Duration;
use stories::{Answer, BEARER, CALLBACK_KEY, World};

const SLACK: &str = "C0123456789";
const DAY: Duration = Duration::from_secs(86_400);

/// Asked with a message to Slack, and delivered to it; and the link that the message carries.
async fn told(world: &World) -> (String, String) {
    let body = json!({
        "userEmail": "alice@example.com", "question": "Why did checkout fail?",
        "destinations": [{ "type": "slack", "channel": SLACK }],
    });
    let id = world.ask(body).await;
    world.wait_for_deliveries(&id).await;
    let told = world.destinations.wait_for(Kind::Slack, 1).await.unwrap();
    (id, link_in(world, told.last().unwrap().body["markdown_text"].as_str().unwrap()))
}

/// The path and query of the link to a page that stands in a text.
pub(super) fn link_in(world: &World, text: &str) -> String {
    let start = format!("{}/view/", world.gateway.url());
    let (_, rest) = text.split_once(&start).unwrap_or_else(|| panic!("no link to a page in {text}"));
    format!("/view/{}", rest.split([')', '"']).next().unwrap().replace("&amp;", "&"))
}

/// What a browser does that has nothing but the link.
async fn open(world: &World, link: &str) -> Answer {
    let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    world.call(Method::GET, link, &[("accept", accept)], Value::Null).await
}

/// Asserts that this is a page of this status under the strict policy, and reads it.
#[track_caller]
fn page(answer: &Answer, status: u16) -> Html {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-robots-tag", "noindex"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(policy.ends_with("'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    Html::parse_document(&answer.text)
}

fn all(page: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    let text = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    page.select(&selector).map(|element| text(element.text().collect())).collect()
}

/// Where the page's button posts to, as the browser resolves it.
fn button(page: &Html, link: &str) -> Option<String> {
    let form = Selector::parse("form[method=post]").unwrap();
    let action = page.select(&form).next()?.attr("action")?.to_owned();
    let base = format!("http://host{link}");
    let url = reqwest::Url::parse(&base).unwrap().join(&action).unwrap();
    Some(format!("{}?{}", url.path(), url.query().unwrap()))
}

fn keys(secrets: &Value) -> CallbackKeys {
    let mut document = SecretDocument::default();
    document.merge("test", &secrets.to_string()).unwrap();
    document.for_webhook().unwrap().callback_keys
}

/// A link as it is made at this time, to live that long.
pub(super) fn link(world: &World, id: &str, now: Time, lives: Duration) -> ViewLink {
    let opened = Time(world.item(id)["createdAt"].as_i64().unwrap());
    ViewLink::view(&RequestId::parse(id).unwrap(), opened, i64::MAX, lives, now)
}

/// The link as somebody with these keys would sign it.
pub(super) fn path(world: &World, link: &ViewLink, keys: &CallbackKeys) -> String {
    let url: SafeUrl = link.url(&world.gateway.url().parse().unwrap(), keys);
    url.as_str().strip_prefix(&world.gateway.url()).unwrap().to_owned()
}

/// When a link's time is over, in epoch seconds.
fn expires(link: &str) -> i64 {
    link.split_once("expires=").unwrap().1.split('&').next().unwrap().parse().unwrap()
}

pub(super) fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time(i64::try_from(since.as_millis()).unwrap())
}

#[tokio::test]
async fn the_link_in_a_message_opens_the_page_without_a_token() {
    let world = World::delivering(&[]).await;
    let (id, link) = told(&world).await;

    // 1. A browser is shown whose highlights, the question, the summary, the sessions and the deliveries.
    let answer = open(&world, &link).await;
    let shown = page(&answer, 200);
    assert_eq!(all(&shown, "h1"), ["Highlights of alice@example.com"]);
    assert_eq!(all(&shown, "header .status"), ["Ready"]);
    assert_eq!(all(&shown, "blockquote"), ["Why did checkout fail?"]);
    assert!(all(&shown, "main .said").join("").contains("checks out their cart"), "{}", answer.text);
    assert_eq!(all(&shown, "tbody th"), [format!("Slack channel {SLACK}")]);
    assert_eq!(all(&shown, "tbody .status"), ["Delivered"]);
    assert!(all(&shown, "footer").join("").contains(&id), "{}", answer.text);
    assert_eq!(button(&shown, &link), None);

    // 2. It sees no more than that: not the history of this user, no link that lives longer.
    assert!(!answer.text.contains("/view/") && !answer.text.contains("highlights?"), "{}", answer.text);

    // 3. HEAD is answered as GET, without the page.
    let head = world.call(Method::HEAD, &link, &[], Value::Null).await;
    assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
    assert_eq!(head.header("content-security-policy"), answer.header("content-security-policy"));

    // 4. The link is for this path and this method alone.
    let query = link.split_once('?').unwrap().1;
    for (method, path) in [
        (Method::GET, format!("/highlights/{id}?{query}")),
        (Method::DELETE, format!("/highlights/{id}?{query}")),
        (Method::POST, format!("/highlights/{id}/redeliver?{query}")),
    ] {
        world.call(method, &path, &[], Value::Null).await.problem(401);
    }
    let posted = world.call(Method::POST, &link, &[("accept", "text/html")], Value::Null).await;
    page(&posted, 405);
    assert_eq!(posted.header("allow"), "GET, HEAD");
}

#[tokio::test]
async fn a_link_that_is_not_one_of_ours_opens_nothing_and_does_not_reach_the_table() {
    let world = World::delivering(&[]).await;
    let (id, good) = told(&world).await;
    let other = world.ask(json!({ "userID": "2" })).await;
    world.wait_for(&other, "READY").await;
    let (bare, query) = good.split_once('?').unwrap();
    let (expires, signature) = query.split_once('&').unwrap();
    let callback =
        world.log_rocket.posts()[0].webhook_url().unwrap().split_once("token=").unwrap().1.to_owned();
    let stranger = keys(&json!({ "callbackKey": "a key that a stranger made up, of 40 bytes" }));
    let ours = keys(&json!({ "callbackKey": CALLBACK_KEY }));
    let strangers = path(&world, &link(&world, &id, now(), DAY), &stranger);
    let buttons = path(&world, &link(&world, &id, now(), DAY).button(now()), &ours);
    let buttons = buttons.split_once('?').unwrap().1.to_owned();
    let calls = world.table_calls.calls().len();
    for forged in [
        bare.to_owned(),
        format!("{bare}?{expires}"),
        format!("{bare}?{signature}"),
        format!("{bare}?{expires}0&{signature}"),
        format!("{bare}?{query}&{expires}"),
        format!("{bare}?{query}x"),
        format!("{bare}?{expires}&signature={callback}"),
        format!("{bare}?{buttons}"),
        format!("/view/{other}?{query}"),
        format!("/view/x?{query}"),
        format!("/view/{}?{query}", world.log_rocket.posts()[0].logrocket_request_id.clone().unwrap()),
        strangers,
    ] {
        let answer = open(&world, &forged).await;
        assert_eq!(all(&page(&answer, 401), "h1"), ["This link does not fit"], "{forged}");
        world.call(Method::GET, &forged, &[("accept", "application/json")], Value::Null).await.problem(401);
        assert_eq!(world.call(Method::HEAD, &forged, &[], Value::Null).await.status, 401, "{forged}");
    }
    for query in [query, &callback, ""] {
        let posted = world.call(Method::POST, &format!("{bare}/redeliver?{query}"), &[], Value::Null).await;
        page(&posted, 401);
    }
    assert_eq!(world.table_calls.calls().len(), calls);
    page(&open(&world, &good).await, 200);
}

#[tokio::test]
async fn a_link_whose_time_is_over_says_so_and_what_to_do() {
    let world = World::with(&[("VIEW_LINK_DAYS", "3")]).await;
    let id = world.ask(json!({ "userID": "1" })).await;
    world.wait_for(&id, "READY").await;
    let keys = keys(&json!({ "callbackKey": CALLBACK_KEY }));
    let two_days_ago = Time(now().0 - 2 * 86_400_000);

    // 1. Made two days ago for one day, and for three.
    let expired = path(&world, &link(&world, &id, two_days_ago, DAY), &keys);
    let answer = open(&world, &expired).await;
    let shown = page(&answer, 410);
    assert_eq!(all(&shown, "h1"), ["This link has expired"]);
    assert!(all(&shown, "main").join("").contains("a new link"), "{}", answer.text);
    world
        .call(Method::GET, &expired, &[("accept", "application/problem+json")], Value::Null)
        .await
        .problem(410);
    let lives = path(&world, &link(&world, &id, two_days_ago, 3 * DAY), &keys);
    page(&open(&world, &lives).await, 200);

    // 2. The button's time is over before the link's.
    let button = link(&world, &id, two_days_ago, 3 * DAY).button(two_days_ago);
    let posted = world.call(Method::POST, &path(&world, &button, &keys), &[], Value::Null).await;
    assert!(
        all(&page(&posted, 410), "main").join("").contains("Open the page's link again"),
        "{}",
        posted.text
    );

    // 3. As it is set, a link lives three days.
    let headers = [("authorization", BEARER), ("accept", "text/html")];
    let answer = world.call(Method::GET, &format!("/highlights/{id}"), &headers, Value::Null).await;
    let left = expires(&link_in(&world, &answer.text)) - now().0 / 1000;
    assert!((3 * 86_400 - 60..=3 * 86_400 + 1).contains(&left), "{left}");
}

#[tokio::test]
async fn a_link_does_not_open_the_request_that_took_the_place_of_its_own() {
    let world = World::start().await;
    let body = json!({ "userID": "1", "question": "one", "idempotencyKey": "k" });
    let id = world.ask(body).await;
    world.wait_for(&id, "READY").await;
    let keys = keys(&json!({ "callbackKey": CALLBACK_KEY }));
    let first = link(&world, &id, now(), DAY);
    let (old, old_button) = (path(&world, &first, &keys), path(&world, &first.button(now()), &keys));
    page(&open(&world, &old).await, 200);

    // 1. Deleted.
    let bearer = [("authorization", BEARER)];
    world.call(Method::DELETE, &format!("/highlights/{id}"), &bearer, Value::Null).await;
    let answer = open(&world, &old).await;
    assert_eq!(all(&page(&answer, 404), "h1"), ["There is nothing here any more"]);

    // 2. Asked anew under the same key, about somebody else.
    let again = world.ask(json!({ "userID": "2", "question": "two", "idempotencyKey": "k" })).await;
    assert_eq!(again, id);
    page(&open(&world, &old).await, 404);
    page(&world.call(Method::POST, &old_button, &[], Value::Null).await, 404);
    page(&open(&world, &path(&world, &link(&world, &id, now(), DAY), &keys)).await, 200);
}

#[tokio::test]
async fn the_pages_button_delivers_again_what_was_given_up_and_a_second_press_does_nothing() {
    let world = World::delivering(&[]).await;
    world.destinations.next(Kind::Zendesk, Behaviour::status(422).body(r#"{"error":"RecordInvalid"}"#));
    let id =
        world.ask(json!({ "userID": "1", "destinations": [{ "type": "zendesk", "ticketID": 35436 }] })).await;
    assert_eq!(world.wait_for_deliveries(&id).await[0]["status"], "FAILED");
    let keys = keys(&json!({ "callbackKey": CALLBACK_KEY }));
    let view = path(&world, &link(&world, &id, now(), DAY), &keys);

    // 1. The page says what went wrong, and has a button.
    let answer = open(&world, &view).await;
    let shown = page(&answer, 200);
    assert_eq!(all(&shown, "tbody .status"), ["Given up"]);
    assert!(all(&shown, "tbody td").join("").contains("422"), "{}", answer.text);
    let button = button(&shown, &view).expect("a button");

    // 2. Pressed, it leads back to the page, by a link that lives no longer than the button did.
    let posted = world.call(Method::POST, &button, &[], Value::Null).await;
    assert_eq!(posted.status, StatusCode::SEE_OTHER, "{}", posted.text);
    let base = reqwest::Url::parse(&format!("http://host{button}")).unwrap();
    let back = base.join(posted.header("location")).unwrap();
    let back = format!("{}?{}", back.path(), back.query().unwrap());
    assert_eq!(expires(&back), expires(&button));
    page(&open(&world, &back).await, 200);
    assert_eq!(world.wait_for_deliveries(&id).await[0]["status"], "DELIVERED");
    assert_eq!(all(&page(&open(&world, &back).await, 200), "tbody .status"), ["Delivered"]);

    // 3. Pressed again, it has nothing left to do.
    let (before, told) = (world.item(&id), world.destinations.received().len());
    assert_eq!(world.call(Method::POST, &button, &[], Value::Null).await.status, StatusCode::SEE_OTHER);
    assert_eq!(world.item(&id), before);
    assert_eq!(world.destinations.received().len(), told);

    // 4. It opens no page, and no link to a page presses it.
    page(&open(&world, &button).await, 405);
    let (bare, query) = view.split_once('?').unwrap();
    page(&world.call(Method::POST, &format!("{bare}/redeliver?{query}"), &[], Value::Null).await, 401);
    let (_, query) = button.split_once('?').unwrap();
    page(&open(&world, &format!("{bare}?{query}")).await, 401);
}

#[tokio::test]
async fn a_page_looks_again_by_itself_until_there_is_an_outcome() {
    let world = World::with(&[("MAX_ATTEMPTS", "1")]).await;
    world.log_rocket.usually(logrocket::Behaviour::manual());
    let id = world.ask(json!({ "userID": "1" })).await;
    let keys = keys(&json!({ "callbackKey": CALLBACK_KEY }));
    let view = path(&world, &link(&world, &id, now(), DAY), &keys);
    let refresh = r#"meta[http-equiv="refresh"][content="10"]"#;

    let pending = page(&open(&world, &view).await, 200);
    assert_eq!(all(&pending, "header .status"), ["In progress"]);
    assert_eq!(all(&pending, refresh).len(), 1);

    assert_eq!(world.tell(&id, 1, Outcome::Failed).await, 200);
    let failed = page(&open(&world, &view).await, 200);
    assert_eq!(all(&failed, "header .status"), ["Failed"]);
    let message = world.read(&id).await["failure"]["message"].as_str().unwrap().to_owned();
    assert!(all(&failed, ".said").join("").contains(&message), "{message}");
    assert_eq!(all(&failed, refresh).len(), 0);
}

#[tokio::test]
async fn a_caller_is_shown_pages_that_link_to_all_requests_of_a_user() {
    let world = World::start().await;
    let user = "alice+1@example.com";
    let mut ids = Vec::new();
    for number in 1..=3 {
        let id = world.ask(json!({ "userEmail": user, "question": format!("Question {number}") })).await;
        world.wait_for(&id, "READY").await;
        ids.push(id);
    }
    world.ask(json!({ "userEmail": "bob@example.com" })).await;
    let html = [("authorization", BEARER), ("accept", "text/html")];

    // 1. The page of one, with a link to pass on, which opens it, and one to the history.
    let answer = world.call(Method::GET, &format!("/highlights/{}", ids[2]), &html, Value::Null).await;
    let shown = page(&answer, 200);
    assert_eq!(all(&shown, "blockquote"), ["Question 3"]);
    page(&open(&world, &link_in(&world, &answer.text)).await, 200);
    assert!(answer.text.contains("\"../highlights?userEmail=alice%2B1%40example.com\""), "{}", answer.text);

    // 2. The history, newest first, over pages; each entry's link opens its page.
    let answer = world
        .call(Method::GET, "/highlights?userEmail=alice%2B1%40example.com&limit=2", &html, Value::Null)
        .await;
    let shown = page(&answer, 200);
    assert_eq!(all(&shown, "h1"), [format!("History of {user}")]);
    assert_eq!(all(&shown, ".timeline a"), ["Question 3", "Question 2"]);
    assert_eq!(all(&shown, ".timeline .status"), ["Ready"; 2]);
    let opened = page(&open(&world, &link_in(&world, &answer.text)).await, 200);
    assert_eq!(all(&opened, "blockquote"), ["Question 3"]);
    let next = Selector::parse("nav a").unwrap();
    let next = shown.select(&next).next().unwrap().attr("href").unwrap().to_owned();
    let answer = world.call(Method::GET, &format!("/{next}"), &html, Value::Null).await;
    assert_eq!(all(&page(&answer, 200), ".timeline a"), ["Question 1"]);

    // 3. Neither is for those who have no token, and errors are JSON here.
    for path in [format!("/highlights/{}", ids[0]), format!("/highlights?userEmail={user}")] {
        world.call(Method::GET, &path, &[("accept", "text/html")], Value::Null).await.problem(401);
    }
}

#[tokio::test]
async fn whoever_prefers_a_page_has_a_page() {
    let world = World::start().await;
    let id = world.ask(json!({ "userID": "1" })).await;
    for (accept, content_type) in [
        ("text/html", "text/html; charset=utf-8"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json, text/html", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("text/html;q=0.5, text/markdown;q=0.6", "text/markdown; charset=utf-8"),
        ("text/html;q=0", "application/json"),
        ("*/*", "application/json"),
    ] {
        let headers = [("authorization", BEARER), ("accept", accept)];
        let answer = world.call(Method::GET, &format!("/highlights/{id}"), &headers, Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, content_type), "{accept}");
    }
}

#[tokio::test]
async fn where_callers_sign_for_iam_a_link_still_needs_no_signature_of_theirs() {
    let world = World::with(&[("API_AUTH", "iam")]).await;
    let asked = world.invoke(json!({ "userID": "1" })).await.unwrap();
    let id = asked["requestID"].as_str().unwrap();
    let keys = keys(&json!({ "callbackKey": CALLBACK_KEY }));
    let view = path(&world, &link(&world, id, now(), DAY), &keys);
    let event = HttpCall::new(Method::GET, &view).http_api_event();
    assert_eq!(event["routeKey"], "GET /view/{requestID}");
    let answer = Answer::of_event(&world.request.invoke(event).await.unwrap());
    page(&answer, 200);
    world
        .call(Method::GET, &format!("/highlights/{id}"), &[("accept", "text/html")], Value::Null)
        .await
        .problem(401);
}

#[tokio::test]
async fn when_keys_are_rotated_old_links_open_as_long_as_the_old_key_is_kept() {
    let (old, new) = ("the key of yesterday, 32 bytes of it", "the key of today, 32 bytes of it too");
    let secrets = |keys: &[&str]| {
        let keys: Vec<_> = keys.iter().map(|key| STANDARD.encode(key)).collect();
        json!({ "logRocketAPIKey": "acme:shop:secret", "callbackKeys": keys, "apiTokens": { "ops": stories::API_TOKEN } })
    };
    for (kept, status) in [(secrets(&[new, old]), 200), (secrets(&[new]), 401)] {
        let world = World::with(&[("SECRETS_JSON", &kept.to_string())]).await;
        let id = world.ask(json!({ "userID": "1" })).await;
        let before = keys(&secrets(&[old]));
        page(&open(&world, &path(&world, &link(&world, &id, now(), DAY), &before)).await, status);
    }
}

#[tokio::test]
async fn without_a_public_url_messages_carry_no_link_and_pages_link_beside_themselves() {
    let world = World::delivering(&[("PUBLIC_URL", "")]).await;
    let body = json!({ "userID": "1", "destinations": [{ "type": "slack", "channel": SLACK }] });
    let id = world.ask(body).await;
    world.wait_for_deliveries(&id).await;
    let told = world.destinations.wait_for(Kind::Slack, 1).await.unwrap();
    let text = told[0].body["markdown_text"].as_str().unwrap();
    assert!(!text.contains("/view/") && !text.contains("Open in the browser"), "{text}");

    let html = [("authorization", BEARER), ("accept", "text/html")];
    let answer = world.call(Method::GET, &format!("/highlights/{id}"), &html, Value::Null).await;
    let (_, rest) = answer.text.split_once("\"../view/").unwrap();
    let link = format!("/view/{}", rest.split('"').next().unwrap().replace("&amp;", "&"));
    page(&open(&world, &link).await, 200);
}
