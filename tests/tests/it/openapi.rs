//! `openapi.yaml` and `asyncapi.yaml`, held to the code, to the template and to what the README shows; and
//! schemathesis, which asks the two binaries what the description has it ask, and more.

use crate::viewing::{link, link_in, now, path};
use local::destinations::{Kind, Place};
use local::gateway::HttpCall;
use local::logrocket::{Behaviour, Outcome, Shape};
use local::proxy::{Fault, Match};
use local::template::Template;
use model::secrets::SecretDocument;
use model::time::Time;
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use stories::{API_TOKEN, Answer, BEARER, CALLBACK_KEY, World, project};
use tokio::task::spawn_blocking;

#[test]
fn the_routes_of_the_template_are_those_of_the_description() {
    let template = Template::read(&project().join("template.yaml")).unwrap();
    let routes = template.resources("AWS::ApiGatewayV2::Route");
    let keys = routes.map(|route| route.properties["RouteKey"].as_str().unwrap().to_owned());
    let deployed: BTreeSet<String> = keys.filter(|key| key != "$default").collect();
    let document = document("openapi.yaml");
    let described: BTreeSet<String> = operations(&document).map(|(key, _)| key).collect();
    assert_eq!(deployed, described);
}

#[test]
fn every_problem_of_the_code_is_described_and_no_other() {
    // Each kind has one line there: `Self::Malformed => (400, "malformed", "Malformed request"),`.
    let code = include_str!("../../../crates/model/src/problem.rs");
    let lines = code.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => ("));
    let kinds: BTreeSet<(String, u64, String)> = lines
        .map(|(kind, facts)| {
            let mut facts = facts.split(", ");
            let status = facts.next().unwrap().parse().unwrap();
            let slug = facts.next().unwrap().trim_matches('"');
            (kind.to_owned(), status, format!("urn:galileo-highlights:problem:{slug}"))
        })
        .collect();

    let document = document("openapi.yaml");
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let described: BTreeSet<(String, u64, String)> = schemas
        .iter()
        .filter_map(|(name, schema)| {
            let properties = &schema["allOf"][1]["properties"];
            let status = properties["status"]["const"].as_u64()?;
            Some((name.clone(), status, properties["type"]["const"].as_str()?.to_owned()))
        })
        .collect();
    assert!(kinds.len() > 10, "{kinds:?}");
    assert_eq!(kinds, described);

    // And each stands in an answer of its status.
    for (kind, status, _) in kinds {
        let name = format!("#/components/schemas/{kind}");
        let stands = operations(&document).any(|(_, operation)| {
            let response = &operation["responses"][status.to_string()];
            let shared =
                response["$ref"].as_str().and_then(|at| document.pointer(at.trim_start_matches('#')));
            shared.unwrap_or(response).to_string().contains(&name)
        });
        assert!(stands, "{kind} is no answer");
    }
}

/// The README may leave out, where it says `…`, and nothing else.
#[test]
fn what_the_readme_shows_of_the_api_is_an_example_of_the_descriptions() {
    let examples: Vec<Value> =
        ["openapi.yaml", "asyncapi.yaml"].into_iter().flat_map(|name| examples(&document(name))).collect();
    let shown = shown_by_the_readme();
    for value in &shown {
        let fits = examples.iter().any(|example| shows(value, example));
        assert!(fits, "the README shows what is no example of openapi.yaml or asyncapi.yaml: {value:#}");
    }
    assert!(shown.len() >= 15, "{}", shown.len());
}

#[test]
fn what_is_left_out_has_to_be_said() {
    let example = json!({ "a": [1, 2], "b": "one two", "c": { "d": null } });
    let shown = |text: &str| shows(&readable(text).unwrap(), &example);
    for text in [
        r#"{"a":[1,2],"b":"one two","c":{"d":null}}"#,
        r#"{"a":[1,…],"b":"o… t…o","c":{…}}"#,
        r#"{"a":[1,2], …}"#,
    ] {
        assert!(shown(text), "{text}");
    }
    for text in [
        r#"{"a":[1,2],"b":"one two"}"#,
        r#"{"a":[1],"b":"one two","c":{"d":null}}"#,
        r#"{"a":[2,…],"b":"one two","c":{"d":null}}"#,
        r#"{"a":[1,2],"b":"…two t…","c":{"d":null}}"#,
        r#"{"a":[1,2],"b":"one two","c":{"d":null},"e":0}"#,
        r#"{"e":0,…}"#,
    ] {
        assert!(!shown(text), "{text}");
    }
}

/// Examples as they stand in the description, sent to the two binaries; and each answer that it knows.
#[tokio::test]
async fn every_example_is_answered_and_every_answer_is_described() {
    let mut met = Met::default();
    let world = World::delivering(&[]).await;
    let key = [("idempotency-key", "ticket-35436")];

    // 1. Each example of a request is accepted.
    let description = document("openapi.yaml");
    let asked = &description["paths"]["/highlights"]["post"]["requestBody"]["content"]["application/json"];
    for (name, example) in asked["examples"].as_object().unwrap() {
        let mut body = example["value"].clone();
        // Nobody is called who is not here, and each is the reader's first.
        send_to(&world.hook("openapi"), &mut body);
        body.as_object_mut().unwrap().remove("maxAge");
        let answer = met.post(&world, &[], body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{name}: {}", answer.text);
        let id = answer.json()["requestID"].as_str().unwrap().to_owned();
        // A token that no task waits for is given up.
        if name != "stepFunctions" && asked["examples"][name]["value"].get("destinations").is_some() {
            for delivery in world.wait_for_deliveries(&id).await {
                assert_eq!(delivery["status"], "DELIVERED", "{name}: {delivery}");
            }
        }
    }

    // 2. A request is read before and after its outcome, as JSON and as Markdown, by either id.
    world.log_rocket.usually(Behaviour::manual());
    let whole = asked["examples"]["whole"]["value"].clone();
    let mut whole = json!({ "metadata": { "by": "openapi" }, "timeRange": whole["timeRange"], "userID": "7",
        "question": whole["question"], "destinations": whole["destinations"] });
    let hook = json!({ "type": "webhook", "url": world.hook("whole?secret=1") });
    whole["destinations"].as_array_mut().unwrap().push(hook);
    let id = id_of(&met.post(&world, &key, whole.clone()).await);
    let read = "/highlights/{requestID}";
    met.get(&world, read, &id, &[]).await;
    world.tell(&id, 1, Outcome::Ready).await;
    world.wait_for_deliveries(&id).await;
    met.get(&world, read, &id, &[]).await;
    met.get(&world, read, &world.post_of(&id, 1).logrocket_request_id.unwrap(), &[]).await;
    let markdown = met.get(&world, read, &id, &[("accept", "text/markdown")]).await;
    assert!(markdown.text.starts_with("# Highlights of "), "{}", markdown.text);
    let page = met.get(&world, read, &id, &[("accept", "text/html")]).await;
    met.get(&world, "/highlights", "?userID=7", &[("accept", "text/html")]).await;
    let good = Good::of(&world, &id);
    assert_eq!(link_in(&world, &page.text).split('?').next(), good.view.split('?').next());
    for status in [200, 303] {
        met.look(&world, &good, status).await;
    }

    // 3. The same again: by its key, by its age, and another under its key.
    assert_eq!(met.post(&world, &key, whole.clone()).await.header("idempotent-replayed"), "true");
    let mut recent = whole.clone();
    recent["maxAge"] = json!(900);
    assert_eq!(id_of(&met.post(&world, &[], recent).await), id);
    assert_eq!(met.post(&world, &key, json!({ "userID": "8" })).await.status, 422);

    // 4. Lists, page by page.
    let first = met.get(&world, "/highlights", "?userEmail=alice@example.com&limit=10", &[]).await;
    let cursor = first.json()["nextCursor"].as_str().unwrap().to_owned();
    let page = format!("?userEmail=alice@example.com&limit=100&cursor={cursor}");
    assert!(met.get(&world, "/highlights", &page, &[]).await.json().get("nextCursor").is_none());
    met.get(&world, "/highlights", "?limit=0&colour=red&userID=1&userID=2", &[]).await;

    // 5. What failed is due again; what is deleted is gone.
    world.destinations.place(Kind::Zendesk, "404", Place::Missing);
    let lost = json!({ "userID": "9", "destinations": [{ "type": "zendesk", "ticketID": "404" }] });
    let lost = id_of(&met.post(&world, &[], lost).await);
    world.tell(&lost, 1, Outcome::Ready).await;
    world.wait_for_deliveries(&lost).await;
    met.get(&world, read, &lost, &[]).await;
    let again = "/highlights/{requestID}/redeliver";
    assert_eq!(met.call(&world, Method::POST, again, &lost, &[], Value::Null).await.status, 202);
    assert_eq!(met.call(&world, Method::POST, again, &id, &[], Value::Null).await.status, 200);
    let url = world.post_of(&lost, 1).webhook_url().unwrap().to_owned();
    let (old, gone) = (Good::made(&world, &lost, Time(now().0 - 3 * 86_400_000)), Good::of(&world, &lost));
    met.look(&world, &old, 410).await;
    assert_eq!(met.call(&world, Method::DELETE, read, &lost, &[], Value::Null).await.status, 204);
    met.call(&world, Method::DELETE, read, &lost, &[], Value::Null).await;
    met.call(&world, Method::POST, again, &lost, &[], Value::Null).await;
    met.get(&world, read, &lost, &[]).await;
    met.look(&world, &gone, 404).await;

    // 6. Callbacks, in each dialect: stored, known, pending, of another id, of nobody any more, unreadable, too large.
    assert_eq!(met.callback(&world, &url, json!({ "requestID": "0", "status": "FAILED" })).await.status, 410);
    for (name, example) in
        description["paths"]["/webhook"]["post"]["requestBody"]["content"]["application/json"]["examples"]
            .as_object()
            .unwrap()
    {
        let id = world.ask(json!({ "userID": name })).await;
        let post = world.post_of(&id, 1);
        let url = post.webhook_url().unwrap().to_owned();
        let mut body = example["value"].clone();
        assert_eq!(met.callback(&world, &url, body.clone()).await.status, 409, "{name}");
        body["requestID"] = json!(post.logrocket_request_id.unwrap());
        for _ in 0..2 {
            assert_eq!(met.callback(&world, &url, body.clone()).await.status, 200, "{name}");
        }
        body["status"] = json!("PENDING");
        met.callback(&world, &url, body.clone()).await;
        body["status"] = json!("DONE");
        assert_eq!(met.callback(&world, &url, body.clone()).await.status, 400);
        met.callback(&world, &format!("{url}x"), body).await;
        met.get(&world, read, &id, &[]).await;
    }
    let large =
        Behaviour::manual().result(Shape { bytes: 700_000, incompressible: true, ..Shape::default() });
    world.log_rocket.next(large);
    let asked = json!({ "userID": "large", "webhookURL": world.hook("failed") });
    let id = id_of(&met.post(&world, &[], asked).await);
    let post = world.post_of(&id, 1);
    let payload =
        world.log_rocket.payload(&post.logrocket_request_id.clone().unwrap(), Outcome::Ready).unwrap();
    assert_eq!(met.callback(&world, post.webhook_url().unwrap(), payload).await.status, 413);
    world.wait_for_deliveries(&id).await;
    met.get(&world, read, &id, &[]).await;
    // Each bracket takes two bytes in Markdown and four in HTML, for none may be active.
    let id = world.ask(json!({ "userID": "brackets" })).await;
    let post = world.post_of(&id, 1);
    let mut payload =
        world.log_rocket.payload(&post.logrocket_request_id.clone().unwrap(), Outcome::Ready).unwrap();
    payload["result"] = json!({ "highlights": "<".repeat(4_000_000), "sessions": [] });
    assert_eq!(met.callback(&world, post.webhook_url().unwrap(), payload).await.status, 200);
    assert_eq!(met.get(&world, read, &id, &[("accept", "text/markdown")]).await.status, 413);
    met.look(&world, &Good::of(&world, &id), 413).await;

    // 7. What is refused of a POST, whatever it asks.
    met.post(&world, &[], json!("{")).await;
    met.post(&world, &[("content-type", "text/plain")], json!({ "userID": "1" })).await;
    met.post(&world, &[], json!({ "userID": "1", "question": "?".repeat(200_000) })).await;
    let several = json!({ "userID": "1", "userEmail": "a", "question": 5, "colour": "red" });
    met.post(&world, &[], several).await;
    world.log_rocket.next(Behaviour::status(403));
    let refused = met.post(&world, &[], json!({ "userID": "refused", "idempotencyKey": "refused" })).await;
    assert_eq!(refused.status, 502);
    let refused = met.get(&world, "/highlights", "?userID=refused", &[]).await.json();
    met.get(&world, read, refused["requests"][0]["requestID"].as_str().unwrap(), &[]).await;

    // 8. Of every route: without a token, with a query that is none, with a method that it does not take, without the
    //    table.
    let routes: BTreeSet<(Method, String)> = operations(&description)
        .map(|(key, _)| {
            key.split_once(' ').map(|(method, path)| (method.parse().unwrap(), path.to_owned())).unwrap()
        })
        .collect();
    for (method, route) in &routes {
        let path = route.replace("{requestID}", &id);
        for accept in accepted(route) {
            let accepts = [("accept", *accept)];
            let answer = world.call(method.clone(), &path, &accepts, Value::Null).await;
            assert_eq!(answer.status, 401, "{method} {route}");
            met.add(method, route, &answer);
            let call = HttpCall::new(method.clone(), &path);
            let mut event = call.header(ACCEPT, HeaderValue::from_static(accept)).http_api_event();
            event["rawQueryString"] = json!("a=<b> \u{7f}");
            let function = if route == "/webhook" { &world.webhook } else { &world.request };
            let answer = Answer::of_event(&function.invoke(event).await.unwrap());
            assert_eq!(answer.status, 400, "{method} {route}");
            // A gateway does not pass a body on that nobody asked for.
            if *method != Method::HEAD {
                met.add(method, route, &answer);
            }
            let all = [("authorization", BEARER), ("accept", accept)];
            let answer = world.call(Method::PUT, &path, &all, Value::Null).await;
            assert_eq!(answer.status, 405, "{method} {route}");
            if *method != Method::HEAD {
                met.add(method, route, &answer);
            }
        }
    }
    let post = world.post_of(&world.ask(json!({ "userID": "unheard" })).await, 1);
    let good = Good::of(&world, &id);
    world.table_calls.on(Match::any(), Fault::internal_error());
    met.look(&world, &good, 503).await;
    for (method, route) in routes.iter().filter(|(_, route)| !route.starts_with("/view/")) {
        let path = match route.as_str() {
            "/webhook" => post.webhook_url().unwrap().strip_prefix(&world.gateway.url()).unwrap().to_owned(),
            "/highlights" if *method == Method::GET => "/highlights?userID=1".to_owned(),
            route => route.replace("{requestID}", &id),
        };
        let body = match route.as_str() {
            "/webhook" => json!({ "requestID": post.logrocket_request_id, "status": "FAILED" }),
            _ => json!({ "userID": "1" }),
        };
        let answer = world.call(method.clone(), &path, &[("authorization", BEARER)], body).await;
        assert_eq!(answer.status, 503, "{method} {route}");
        met.add(method, route, &answer);
    }
    world.table_calls.clear();
    let over_budget = World::with(&[("MONTHLY_REQUEST_LIMIT", "0")]).await;
    assert_eq!(met.post(&over_budget, &[], json!({ "userID": "1" })).await.status, 429);

    // 9. All of it is as described. What nobody met are the answers of AWS's gateway, and that of a race.
    let payloads = payloads(&world);
    let checked = met.check(payloads).await;
    let unmet: Vec<&str> =
        checked["unmet"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    let of_gateway = |key: &&&str| {
        key.ends_with(" 403 application/json")
            || key.ends_with(" 429 application/json")
            || key.ends_with(" 503 application/json")
    };
    let (of_gateway, others): (Vec<&&str>, Vec<&&str>) = unmet.iter().partition(of_gateway);
    assert_eq!(of_gateway.len(), 5 + 8 + 8, "{of_gateway:?}");
    assert_eq!(others, [&"POST /highlights 410 application/problem+json"]);
}

/// What those who ask for a route can show: its errors are pages, too, where a browser asks.
fn accepted(route: &str) -> &'static [&'static str] {
    if route.starts_with("/view/") { &["text/html", "application/json"] } else { &["*/*"] }
}

/// Links that were made by the functions' own key: to a page, and of its button.
struct Good {
    view: String,
    button: String,
}

impl Good {
    fn of(world: &World, id: &str) -> Self {
        Self::made(world, id, now())
    }

    /// As they were made at that time, to live for a day.
    fn made(world: &World, id: &str, at: Time) -> Self {
        let mut document = SecretDocument::default();
        document.merge("test", &json!({ "callbackKey": CALLBACK_KEY }).to_string()).unwrap();
        let keys = document.for_webhook().unwrap().callback_keys;
        let view = link(world, id, at, Duration::from_secs(86_400));
        Self { view: path(world, &view, &keys), button: path(world, &view.button(at), &keys) }
    }
}

/// What LogRocket sent and what a receiver got, each under its message of `asyncapi.yaml`.
fn payloads(world: &World) -> Vec<Value> {
    let mut payloads = Vec::new();
    for dialect in ["ready", "complete", "failed"] {
        let file = project().join(format!("events/webhook-http-{dialect}.json"));
        let event: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let body: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
        payloads.push(json!({ "message": dialect, "value": body }));
    }
    let id = world.log_rocket.posts().into_iter().find_map(|post| post.logrocket_request_id).unwrap();
    for (message, outcome) in
        [("ready", Outcome::Ready), ("failed", Outcome::Failed), ("pending", Outcome::Pending)]
    {
        payloads
            .push(json!({ "message": message, "value": world.log_rocket.payload(&id, outcome).unwrap() }));
    }
    let received = world.destinations.received();
    let told: Vec<Value> = received
        .iter()
        .filter(|call| call.kind == Kind::Webhook)
        .map(|call| {
            let signed: Map<String, Value> = call
                .headers
                .iter()
                .filter(|(name, _)| name.starts_with("webhook-"))
                .map(|(name, value)| (name.clone(), json!(value)))
                .collect();
            json!({ "message": "outcome", "value": call.body, "headers": signed })
        })
        .collect();
    for status in ["READY", "FAILED"] {
        assert!(told.iter().any(|told| told["value"]["status"] == status), "{told:#?}");
    }
    payloads.extend(told);
    payloads
}

/// The hook instead of whatever URL is called.
fn send_to(hook: &str, body: &mut Value) {
    if body["webhookURL"].is_string() {
        body["webhookURL"] = json!(hook);
    }
    for destination in body["destinations"].as_array_mut().into_iter().flatten() {
        if destination["type"] == "webhook" {
            destination["url"] = json!(hook);
        }
    }
}

fn id_of(answer: &Answer) -> String {
    answer.json()["requestID"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

/// The answers that were met.
#[derive(Default)]
struct Met(Vec<Value>);

impl Met {
    fn add(&mut self, method: &Method, route: &str, answer: &Answer) {
        let headers: Map<String, Value> = answer
            .headers
            .keys()
            .map(|name| (name.to_string(), json!(answer.header(name.as_str()))))
            .collect();
        self.0.push(json!({
            "method": method.as_str(), "route": route, "status": answer.status.as_u16(), "headers": headers,
            "body": answer.text,
        }));
    }

    async fn post(&mut self, world: &World, headers: &[(&str, &str)], body: Value) -> Answer {
        let answer = world.post_with(headers, body).await;
        self.add(&Method::POST, "/highlights", &answer);
        answer
    }

    async fn get(&mut self, world: &World, route: &str, id: &str, headers: &[(&str, &str)]) -> Answer {
        self.call(world, Method::GET, route, id, headers, Value::Null).await
    }

    /// `id` stands for the route's parameter, or is the query of a route without one.
    async fn call(
        &mut self,
        world: &World,
        method: Method,
        route: &str,
        id: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let path =
            if id.starts_with('?') { format!("{route}{id}") } else { route.replace("{requestID}", id) };
        let all = [headers, &[("authorization", BEARER)]].concat();
        let answer = world.call(method.clone(), &path, &all, body).await;
        self.add(&method, route, &answer);
        answer
    }

    /// Opens the page and presses its button as a browser does, and as a program; those that are answered so.
    async fn look(&mut self, world: &World, good: &Good, status: u16) {
        let calls = [
            (Method::GET, "/view/{requestID}", &good.view),
            (Method::HEAD, "/view/{requestID}", &good.view),
            (Method::POST, "/view/{requestID}/redeliver", &good.button),
        ];
        let mut seen = 0;
        for (method, route, path) in calls {
            for accept in accepted(route) {
                let answer = world.call(method.clone(), path, &[("accept", *accept)], Value::Null).await;
                if answer.status == status {
                    self.add(&method, route, &answer);
                    seen += 1;
                }
            }
        }
        assert!(seen >= 2, "{status} was met {seen} times");
    }

    async fn callback(&mut self, world: &World, url: &str, body: Value) -> Answer {
        let answer = world.callback(url, body).await;
        self.add(&Method::POST, "/webhook", &answer);
        answer
    }

    /// Fails if one of them, a payload or an example is not as described; tells what is described and was not met.
    async fn check(self, payloads: Vec<Value>) -> Value {
        let mut command = tool("python");
        command.arg("tests/openapi/check.py");
        let (ran, output) =
            run(command, json!({ "answers": self.0, "payloads": payloads }).to_string()).await;
        assert!(ran, "{output}");
        let checked: Value =
            serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
        assert_eq!(checked["complaints"], json!([]));
        checked
    }
}

#[tokio::test]
async fn schemathesis_finds_nothing() {
    // Without leave to call private addresses, as when deployed. Nothing is delivered, for nobody sweeps.
    let world = World::with(&[("ALLOW_PRIVATE_DESTINATIONS", "")]).await;

    // 1. It cannot guess a callback's token, and so is given one, of an attempt that stays open.
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(json!({ "userEmail": "alice@example.com" })).await;
    let url = world.post_of(&id, 1).webhook_url().unwrap().to_owned();
    let (_, token) = url.rsplit_once("&token=").unwrap();

    // 2. It asks what the description has it ask, and what that forbids.
    let mut command = tool("schemathesis");
    command.args(["--config-file", "tests/openapi/schemathesis.toml", "run", "openapi.yaml", "--no-color"]);
    command.args(["--url", &world.gateway.url()]);
    command.env("API_TOKEN", API_TOKEN).env("CALLBACK_REQUEST", &id).env("CALLBACK_TOKEN", token);
    command.env("HYPOTHESIS_STORAGE_DIRECTORY", concat!(env!("CARGO_TARGET_TMPDIR"), "/hypothesis"));
    let (passed, output) = run(command, String::new()).await;
    assert!(passed, "{output}");

    // 3. It got through to LogRocket, and not to what people are told by.
    assert!(world.log_rocket.posts().len() > 50, "{output}");
    assert!(world.destinations.received().is_empty());
}

fn document(name: &str) -> Value {
    Template::read(&project().join(name)).unwrap().root().clone()
}

/// Each operation under its route's key, `GET /highlights`.
fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters");
        methods.map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation))
    })
}

/// The values of all examples, wherever they stand.
fn examples(node: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    match node {
        Value::Array(items) => found.extend(items.iter().flat_map(examples)),
        Value::Object(fields) => {
            for (name, value) in fields {
                let of_it = match (name.as_str(), value) {
                    ("examples", Value::Object(named)) => named.values().cloned().collect(),
                    ("examples", Value::Array(listed)) => listed.clone(),
                    _ => {
                        found.extend(examples(value));
                        continue;
                    }
                };
                let value_of = |example: Value| {
                    example.get("value").or_else(|| example.get("payload")).cloned().unwrap_or(example)
                };
                found.extend(Vec::into_iter(of_it).map(value_of));
            }
        }
        _ => {}
    }
    found
}

/// The JSON of the API that the README shows: bodies behind `-d '`, and what begins a line of quoted text.
fn shown_by_the_readme() -> Vec<Value> {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let lines: Vec<&str> = readme.lines().map(|line| line.strip_prefix("    ").unwrap_or_default()).collect();
    let quoted = lines.join("\n");
    let bodies = quoted.split(" -d '{").skip(1).map(|rest| format!("{{{}", rest.split('\'').next().unwrap()));
    let blocks = quoted.split("\n\n").flat_map(|block| {
        let start = block.find("\n{").map(|at| at + 1).or_else(|| block.starts_with('{').then_some(0));
        let fragment = block.trim_start().starts_with("\"deliveries\"").then(|| format!("{{{block}, …}}"));
        start.map(|start| block[start..].to_owned()).into_iter().chain(fragment)
    });
    let all: Vec<String> = bodies.chain(blocks).collect();
    // Of other interfaces: the simulators' controls, an event of EventBridge, a state machine, a log line, the answer
    // to a trial.
    let others = [
        "\"steps\"",
        "\"answer\"",
        "\"dialect\"",
        "\"kind\"",
        "\"detail-type\"",
        "taskToken.$",
        "\"level\"",
        "\"delivered\"",
    ];
    let of_api = all.iter().filter(|text| !others.iter().any(|other| text.contains(other)));
    of_api.map(|text| readable(text).unwrap_or_else(|| panic!("no JSON: {text}"))).collect()
}

/// JSON in which `…` stands for what is left out; `{…}` and `[…]` become ones with a member of that name.
fn readable(text: &str) -> Option<Value> {
    let compact: String = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let mut made = compact.replace(", …", ",…");
    for (left_out, instead) in
        [("{…}", r#"{"…":0}"#), ("[…]", r#"["…"]"#), (",…}", r#","…":0}"#), (",…]", r#","…"]"#)]
    {
        made = made.replace(left_out, instead);
    }
    serde_json::from_str(&made).ok()
}

fn shows(shown: &Value, example: &Value) -> bool {
    match (shown, example) {
        (Value::String(shown), Value::String(text)) => shows_text(shown, text),
        (Value::Array(shown), Value::Array(items)) => {
            let cut = shown.last() == Some(&json!("…"));
            let whole = if cut { &shown[..shown.len() - 1] } else { shown };
            let lengths_fit = if cut { whole.len() <= items.len() } else { whole.len() == items.len() };
            lengths_fit && whole.iter().zip(items).all(|(shown, item)| shows(shown, item))
        }
        (Value::Object(shown), Value::Object(fields)) => {
            let known = |(name, value): (&String, &Value)| {
                name == "…" || fields.get(name).is_some_and(|field| shows(value, field))
            };
            let complete = shown.contains_key("…") || fields.keys().all(|name| shown.contains_key(name));
            complete && shown.iter().all(known)
        }
        (shown, example) => shown == example,
    }
}

fn shows_text(shown: &str, text: &str) -> bool {
    let pieces: Vec<&str> = shown.split('…').collect();
    let [first, middle @ .., last] = pieces.as_slice() else { return shown == text };
    let Some(mut rest) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    middle.iter().all(|piece| match rest.split_once(piece) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}

/// One of the tools that `make tools` installs; it runs in the project's folder and reaches this machine alone.
pub(super) fn tool(name: &str) -> Command {
    let path: PathBuf = project().join(".tools/bin").join(name);
    assert!(path.exists(), "{} is not there: make tools", path.display());
    let mut command = Command::new(path);
    command.current_dir(project()).env("PYTHONDONTWRITEBYTECODE", "1").env("no_proxy", "127.0.0.1");
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command
}

/// Whether it succeeded, and what it printed.
async fn run(mut command: Command, input: String) -> (bool, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = spawn_blocking(move || {
        let mut process = command.spawn().unwrap();
        process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        process.wait_with_output().unwrap()
    });
    let ended = ended.await.unwrap();
    let printed = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (ended.status.success(), printed.concat())
}
