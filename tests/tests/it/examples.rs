//! The recipes of `examples/`, each as its reader runs it: what a vendor would fill in is filled in, what it would send
//! is sent, and the highlights arrive. And what the README says of destinations: its requests, and its receiver.

use local::destinations::{Kind, Message};
use local::logrocket::{Behaviour, Outcome};
use local::stream::Filter;
use local::template::Template;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stories::{API_TOKEN, World, project};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

pub(super) const ALICE: &str = "alice@example.com";
pub(super) const CHANNEL: &str = "C0123456789";

#[test]
fn every_example_is_named_here_and_in_its_readme() {
    let tests =
        [include_str!("examples.rs"), include_str!("examples_aws.rs"), include_str!("examples_workflow.rs")];
    let tests = tests.concat();
    let readme = example("README.md");
    for file in files(&project().join("examples")) {
        let name = file.strip_prefix(project().join("examples")).unwrap().to_str().unwrap().to_owned();
        assert!(tests.contains(&format!("\"{name}\"")), "{name} has no test");
        assert!(name == "README.md" || readme.contains(&format!("({name})")), "{name} is not in the README");
    }
}

#[test]
fn every_link_of_the_readmes_leads_somewhere() {
    for readme in ["README.md", "examples/README.md"] {
        let folder = project().join(readme).parent().unwrap().to_owned();
        let text = std::fs::read_to_string(project().join(readme)).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("https://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { project().join(readme) } else { folder.join(file) };
            assert!(target.exists(), "{readme}: {link} is no file");
            if !anchor.is_empty() {
                let target = std::fs::read_to_string(target).unwrap();
                assert!(
                    target.lines().any(|line| anchor_of(line) == anchor),
                    "{readme}: {link} is no heading"
                );
            }
        }
    }
}

/// As GitHub makes it of a heading.
fn anchor_of(line: &str) -> String {
    let Some((marks, heading)) = line.split_once(' ') else { return String::new() };
    if !marks.bytes().all(|byte| byte == b'#') {
        return String::new();
    }
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[tokio::test]
async fn a_new_zendesk_ticket_gets_an_internal_note() {
    let world = World::delivering(&[]).await;

    // 1. The script makes the webhook and the trigger.
    let zendesk = ZendeskAdmin::start().await;
    let made = run(
        &world,
        "zendesk-new-ticket/install.py",
        &[
            ("ZENDESK_URL", &zendesk.url),
            ("ZENDESK_EMAIL", "admin@acme.example"),
            ("ZENDESK_API_TOKEN", "hush"),
        ],
        &[],
        "",
    )
    .await;
    assert_eq!(made, Ok("webhook 01HOOK, trigger 42\n".to_owned()));
    let calls = zendesk.calls.lock().unwrap().clone();
    let [(first, basic, webhook), (second, _, trigger)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((first.as_str(), second.as_str()), ("POST /api/v2/webhooks", "POST /api/v2/triggers"));
    assert_eq!(basic, "Basic YWRtaW5AYWNtZS5leGFtcGxlL3Rva2VuOmh1c2g=");
    // All that its documentation has as mandatory, and nothing of ours left to fill in.
    for field in ["name", "endpoint", "http_method", "request_format", "status"] {
        assert!(webhook["webhook"][field].is_string(), "{field}: {webhook}");
    }
    let files = ["zendesk-new-ticket/webhook.json", "zendesk-new-ticket/trigger.json"].map(example);
    let placeholders = ["{api}", "{apiToken}", "{webhookID}"];
    for placeholder in placeholders {
        assert!(files.iter().any(|file| file.contains(placeholder)), "{placeholder}");
        assert!(!webhook.to_string().contains(placeholder) && !trigger.to_string().contains(placeholder));
    }

    // 2. A ticket is made: Zendesk renders the body, and sends it twice.
    let conditions = trigger["trigger"]["conditions"]["all"].as_array().unwrap();
    assert!(conditions.contains(&json!({ "field": "update_type", "operator": "is", "value": "Create" })));
    let action = &trigger["trigger"]["actions"][0];
    assert_eq!((&action["field"], &action["value"][0]), (&json!("notification_webhook"), &json!("01HOOK")));
    let body = action["value"][1].as_str().unwrap();
    let body = body.replace("{{ticket.id}}", "35436").replace("{{ticket.requester.email}}", ALICE);
    assert!(!body.contains("{{"), "{body}");
    let mut ids = BTreeSet::new();
    for _ in 0..2 {
        let answer = send_as_zendesk(&world, &webhook["webhook"], &body).await;
        assert_eq!(answer["requestID"], answer["id"]);
        ids.insert(answer["requestID"].as_str().unwrap().to_owned());
    }
    assert_eq!((ids.len(), world.log_rocket.posts().len()), (1, 1));

    // 3. One note arrives.
    let id = ids.pop_first().unwrap();
    world.wait_for_deliveries(&id).await;
    let notes = messages(&world, Kind::Zendesk, 1).await;
    assert_eq!((notes.len(), notes[0].place.as_str()), (1, "ticket 35436, internal note"));
    assert!(notes[0].text.starts_with("Highlights of alice@example.com\n> What went wrong for this user"));
    assert_eq!(world.read(&id).await["metadata"], json!({ "ticket": "35436" }));
}

#[tokio::test]
async fn a_low_nps_score_gets_a_slack_message_by_curl() {
    let world = World::delivering(&[]).await;
    let script = "nps-to-slack/nps-to-slack.sh";
    let env = [("SLACK_CHANNEL", CHANNEL)];
    for _ in 0..2 {
        let told = run(&world, script, &env, &["r-17", ALICE, "3"], "").await.unwrap();
        let told: Value = serde_json::from_str(&told).unwrap();
        assert!(told["requestID"].is_string(), "{told}");
    }
    the_score_is_told_once(&world, Kind::Slack, CHANNEL, "What went wrong for them?").await;

    let content = run(&world, script, &env, &["r-18", ALICE, "9"], "").await;
    assert_eq!(content, Ok("score 9: nothing is asked\n".to_owned()));
    let forged = run(&world, script, &env, &["r-19", "a\"b@example.com", "1"], "").await;
    assert!(forged.unwrap_err().contains("a quote or backslash"));
    let refused = run(&world, script, &[("TOKEN", "wrong"), env[0]], &["r-20", ALICE, "1"], "").await;
    assert!(refused.unwrap_err().contains("401"));
    assert_eq!(world.log_rocket.posts().len(), 1);
}

#[tokio::test]
async fn a_low_nps_score_gets_a_slack_message_by_python() {
    let world = World::delivering(&[]).await;
    let script = "nps-to-slack/nps_to_slack.py";
    let answer = json!({ "id": "r-17", "email": ALICE, "score": 3, "comment": "\"Pay\" does\nnothing." });
    for _ in 0..2 {
        let told = run(&world, script, &[("SLACK_WEBHOOK", "nps")], &[], &answer.to_string()).await;
        assert_eq!(told.unwrap().trim().len(), 36);
    }
    the_score_is_told_once(&world, Kind::SlackWebhook, "nps", "They wrote: \"Pay\" does").await;

    let answer = json!({ "id": "r-18", "email": ALICE, "score": 9 }).to_string();
    let content = run(&world, script, &[("SLACK_CHANNEL", CHANNEL)], &[], &answer).await;
    assert_eq!(content, Ok("score 9: nothing is asked\n".to_owned()));
    let answer = json!({ "id": "r-19", "email": ALICE, "score": 1 }).to_string();
    let told = run(&world, script, &[("SLACK_CHANNEL", CHANNEL)], &[], &answer).await;
    messages(&world, Kind::Slack, 1).await;
    let request = world.read(told.unwrap().trim()).await;
    assert_eq!(request["question"], "This user gave us 1 of 10. What went wrong for them?");
    let refused = run(&world, script, &[("SLACK_CHANNEL", "")], &[], &answer).await;
    assert!(refused.unwrap_err().starts_with("422: "));
}

async fn the_score_is_told_once(world: &World, kind: Kind, place: &str, question: &str) {
    let seen = messages(world, kind, 1).await;
    assert!(seen.len() == 1 && seen[0].place.contains(place), "{seen:?}");
    let text = &seen[0].text;
    assert!(text.starts_with("Highlights of alice@example.com\n> This user gave us 3 of 10. "), "{text}");
    assert!(text.contains(question), "{text}");
    assert_eq!(world.log_rocket.posts().len(), 1);
}

#[tokio::test]
async fn a_customers_record_is_ready_before_the_call() {
    let world = World::delivering(&[]).await;
    let script = "crm-before-a-call/before_call.py";
    let contact = "003000000000001AAA";

    // 1. One prepares in HubSpot, another in Salesforce; LogRocket is asked once.
    let told = run(&world, script, &[], &[ALICE, "--hubspot-contact", "101"], "").await;
    assert_eq!(told, Ok("DELIVERED {\"contactID\": \"101\", \"type\": \"hubspot\"}\n".to_owned()));
    let note = messages(&world, Kind::Hubspot, 1).await;
    assert_eq!(note[0].place, "contact 101");
    assert!(note[0].text.starts_with("Highlights of alice@example.com\n> What is this customer"));
    let told = run(&world, script, &[], &[ALICE, "--salesforce", contact], "").await.unwrap();
    assert!(told.contains(&format!("DELIVERED {{\"recordID\": \"{contact}\", \"type\": \"salesforce\"}}")));
    assert_eq!(messages(&world, Kind::Salesforce, 1).await[0].place, format!("contact {contact}"));
    assert_eq!(world.log_rocket.posts().len(), 1);

    // 2. What went wrong is told.
    world.destinations.place(Kind::Hubspot, "102", local::destinations::Place::Missing);
    let told = run(&world, script, &[], &["bob@example.com", "--hubspot-deal", "102"], "").await;
    assert!(
        told.unwrap_err()
            .contains("FAILED {\"dealID\": \"102\", \"type\": \"hubspot\"} HubSpot answered 404")
    );
    let told = run(&world, script, &[], &["bob@example.com", "--salesforce", "short"], "").await;
    assert!(told.unwrap_err().starts_with("422: "));
    world.log_rocket.usually(Behaviour::manual());
    let args = ["carol@example.com", "--hubspot-company", "1", "--patience", "1"];
    let told = run(&world, script, &[], &args, "").await;
    assert!(told.unwrap_err().starts_with("still under way: GET /highlights/"));
}

#[tokio::test]
async fn the_rules_of_event_bridge_take_each_their_outcome() {
    let world = World::delivering(&[("MAX_ATTEMPTS", "1"), ("PENDING_TIMEOUT_SECONDS", "2")]).await;
    world.log_rocket.usually(Behaviour::manual());
    let template = Template::read(&path("eventbridge/rules.yaml")).unwrap();
    let rules: Vec<_> = template.resources("AWS::Events::Rule").collect();
    let patterns = ["TellOfFailures", "StartOnResult"].map(|id| {
        let rule = rules.iter().find(|rule| rule.id == id).unwrap();
        Filter::parse(&rule.properties["EventPattern"].to_string()).unwrap()
    });
    assert_eq!(rules.len(), patterns.len());
    let alarm = rules.iter().find(|rule| rule.id == "TellOfFailures").unwrap();
    let transformer = &alarm.properties["Targets"][0]["InputTransformer"];

    let body = json!({ "userEmail": ALICE, "destinations": [{ "type": "eventBridge" }] });
    let expectations = [("READY", [false, true]), ("FAILED", [true, false]), ("EXPIRED", [true, false])];
    for (count, (status, taken_by)) in (1..).zip(expectations) {
        let id = world.ask(body.clone()).await;
        match status {
            "READY" => assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200),
            "FAILED" => assert_eq!(world.tell(&id, 1, Outcome::Failed).await, 200),
            _ => drop(world.sweep_until(&id, status).await),
        }
        let calls = world.destinations.wait_for(Kind::EventBridge, count).await.unwrap();
        let event = event_of(&calls.last().unwrap().body["Entries"][0]);
        assert_eq!(event["detail"]["requestID"], json!(id));
        assert_eq!(patterns.each_ref().map(|pattern| pattern.matches(&event)), taken_by, "{status}");
        if taken_by[0] {
            let mail: String = serde_json::from_str(&transformed(transformer, &event)).unwrap();
            assert!(mail.starts_with(&format!("Highlights of acme/shop are {status} (")), "{mail}");
            assert!(mail.ends_with(&format!(". Request {id}")) && !mail.contains('<'), "{mail}");
        }
        let other = json!({ "source": "com.example", "detail-type": event["detail-type"], "detail": event["detail"] });
        assert!(patterns.iter().all(|pattern| !pattern.matches(&other)));
    }
}

/// The event that EventBridge makes of an entry.
fn event_of(entry: &Value) -> Value {
    let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
    json!({ "version": "0", "source": entry["Source"], "detail-type": entry["DetailType"], "detail": detail })
}

/// What an input transformer makes of an event: a variable is JSON, but between quotes a bare text
/// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html>).
pub(super) fn transformed(transformer: &Value, event: &Value) -> String {
    let mut text = transformer["InputTemplate"].as_str().unwrap().to_owned();
    for (name, path) in transformer["InputPathsMap"].as_object().unwrap() {
        let (value, variable) = (at(event, path.as_str().unwrap()), format!("<{name}>"));
        assert!(!value.is_null(), "{path}: {event}");
        while let Some(place) = text.find(&variable) {
            let is_quoted = text[..place].matches('"').count() % 2 == 1;
            let put = value.as_str().filter(|_| is_quoted).map_or_else(|| value.to_string(), str::to_owned);
            text.replace_range(place..place + variable.len(), &put);
        }
    }
    text
}

#[tokio::test]
async fn a_workflow_waits_for_its_highlights_and_goes_on_with_them() {
    let world = World::delivering(&[("MAX_ATTEMPTS", "1")]).await;
    world.log_rocket.usually(Behaviour::manual());
    let definition: Value = serde_json::from_str(&example("step-functions/highlights.asl.json")).unwrap();
    let states = &definition["States"];
    let task = &states[definition["StartAt"].as_str().unwrap()];
    assert_eq!(task["Resource"], "arn:aws:states:::lambda:invoke.waitForTaskToken");
    assert_eq!(task["Parameters"]["FunctionName"], "${RequestFunctionArn}");
    let input = json!({ "userEmail": ALICE });
    let invocation = |run: &str, token: &str| {
        let execution = format!("arn:aws:states:us-east-1:123456789012:execution:highlights:{run}");
        let context = json!({ "Execution": { "Id": execution }, "Task": { "Token": token } });
        filled(&task["Parameters"]["Payload"], &input, &context)
    };
    let tokens = [(); 3].map(|()| world.destinations.issue_token());

    // 1. It asks; its answer was lost, and Step Functions asks again, with a new token.
    let first = world.invoke(invocation("one", &tokens[0])).await.unwrap();
    let again = world.invoke(invocation("one", &tokens[1])).await.unwrap();
    let id = first["requestID"].as_str().unwrap().to_owned();
    assert_eq!((&first["requestID"], world.log_rocket.posts().len()), (&again["requestID"], 1));

    // 2. Both tokens are answered; the one that is waited for brings the highlights.
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    let calls = world.destinations.wait_for(Kind::StepFunctions, 2).await.unwrap();
    let call = calls.iter().find(|call| call.body["taskToken"] == tokens[1].as_str()).unwrap();
    let output: Value = serde_json::from_str(call.body["output"].as_str().unwrap()).unwrap();
    assert_eq!((task["ResultPath"].as_str(), &output["status"]), (Some("$.highlights"), &json!("READY")));
    let state = json!({ "userEmail": ALICE, "highlights": output });
    let ended = filled(&states[task["Next"].as_str().unwrap()]["Parameters"], &state, &Value::Null);
    let result = &world.read(&id).await["result"];
    let expected = json!({
        "userEmail": ALICE, "highlights": result["highlights"], "sessions": result["sessions"]
    });
    assert_eq!(ended, expected);
    assert!(ended["highlights"].is_string() && ended["sessions"].is_array());

    // 3. LogRocket fails: the workflow goes on without.
    let failed = world.invoke(invocation("two", &tokens[2])).await.unwrap();
    assert_eq!(world.tell(failed["requestID"].as_str().unwrap(), 1, Outcome::Failed).await, 200);
    let calls = world.destinations.wait_for(Kind::StepFunctions, 3).await.unwrap();
    let error = calls[2].body["error"].as_str().unwrap();
    assert_eq!((error, catcher(task, error)), ("FAILED", Some("WithoutHighlights")));
    let state = json!({ "userEmail": ALICE, "error": { "Error": error, "Cause": calls[2].body["cause"] } });
    let ended = filled(&states["WithoutHighlights"]["Parameters"], &state, &Value::Null);
    assert_eq!(ended, json!({ "userEmail": ALICE, "why": "FAILED" }));
    assert_eq!(catcher(task, "EXPIRED"), Some("WithoutHighlights"));

    // 4. What the function itself refuses is caught by its name, or tried again.
    let error = world.invoke(filled(
        &task["Parameters"]["Payload"],
        &json!({ "userEmail": "" }),
        &json!({
            "Execution": { "Id": "three" }, "Task": { "Token": tokens[2] },
        }),
    ));
    assert_eq!(catcher(task, &error.await.unwrap_err().error_type), Some("Mend"));
    world.log_rocket.next(Behaviour::status(401));
    let error = world.invoke(invocation("four", &tokens[2])).await.unwrap_err();
    assert_eq!(error.error_type, "LogRocketRefused");
    assert_eq!(catcher(task, &error.error_type), Some("Mend"));
    assert_eq!(catcher(task, "OverBudget"), Some("Mend"));
    let retried = task["Retry"][0]["ErrorEquals"].as_array().unwrap();
    assert!(retried.contains(&json!("Unavailable")) && !retried.contains(&json!("FAILED")));
    for name in states.as_object().unwrap().values().filter_map(|state| state["Next"].as_str()) {
        assert!(states[name].is_object(), "{name}");
    }
}

/// The state that an error of this name leads to.
pub(super) fn catcher<'a>(task: &'a Value, error: &str) -> Option<&'a str> {
    let catchers = task["Catch"].as_array()?;
    let taken =
        |catcher: &&Value| catcher["ErrorEquals"].as_array().is_some_and(|all| all.contains(&json!(error)));
    catchers.iter().find(taken)?["Next"].as_str()
}

/// A payload template of the Amazon States Language: names that end in `.$` have a path into the input (`$.`) or the
/// context (`$$.`), or `States.Format` with one, however deep they stand.
pub(super) fn filled(template: &Value, input: &Value, context: &Value) -> Value {
    match template {
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| match (name.strip_suffix(".$"), value.as_str()) {
                (Some(name), Some(expression)) => (name.to_owned(), evaluated(expression, input, context)),
                _ => (name.clone(), filled(value, input, context)),
            };
            Value::Object(fields.iter().map(field).collect())
        }
        Value::Array(items) => items.iter().map(|item| filled(item, input, context)).collect(),
        scalar => scalar.clone(),
    }
}

fn evaluated(expression: &str, input: &Value, context: &Value) -> Value {
    if let Some(arguments) = expression.strip_prefix("States.Format('") {
        let (text, path) = arguments.strip_suffix(')').unwrap().split_once("', ").unwrap();
        let value = evaluated(path, input, context);
        return json!(text.replacen("{}", value.as_str().unwrap(), 1));
    }
    let value = match expression.strip_prefix("$$.") {
        Some(rest) => at(context, &format!("$.{rest}")),
        None => at(input, expression),
    };
    assert!(!value.is_null(), "{expression} leads nowhere");
    value.clone()
}

/// What stands at a path as `$.detail.status`.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    let names = path.strip_prefix("$.").unwrap_or_else(|| panic!("{path} is no path"));
    names.split('.').fold(value, |value, name| &value[name])
}

#[tokio::test]
async fn a_receiver_in_python_takes_what_is_signed_and_nothing_else() {
    a_receiver_takes_what_is_signed("python3", "webhook-receiver/receiver.py").await;
}

#[tokio::test]
async fn a_receiver_in_node_takes_what_is_signed_and_nothing_else() {
    let there = Command::new("node").arg("--version").stdout(Stdio::null()).status();
    if there.is_err() && std::env::var_os("CI").is_none() {
        eprintln!("NOT TESTED: there is no node here");
        return;
    }
    a_receiver_takes_what_is_signed("node", "webhook-receiver/receiver.mjs").await;
}

async fn a_receiver_takes_what_is_signed(program: &str, script: &str) {
    let world = World::delivering(&[]).await;
    let secrets = world.destinations.secrets();
    let secret = secrets["webhook"]["signingSecret"].as_str().unwrap();
    let receiver = Receiver::start(program, script, secret).await;

    // 1. What is signed is taken.
    let body = json!({ "userEmail": ALICE, "metadata": { "nps": "3" }, "destinations": [
        { "type": "webhook", "url": receiver.url },
        { "type": "webhook", "url": world.hook("other") },
    ]});
    let id = world.ask(body).await;
    let deliveries = world.wait_for_deliveries(&id).await;
    assert_eq!(deliveries[0]["status"], "DELIVERED", "{deliveries:?}");
    let first = receiver.lines(1).await[0].clone();
    let (told, metadata) = first.split_once(" {").unwrap();
    assert_eq!(told, format!("READY {id}"));
    assert_eq!(metadata.replace(' ', ""), r#""nps":"3"}"#);

    // 2. With another secret, nothing is.
    let other = Receiver::start(program, script, "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3").await;
    let id = world.ask(json!({ "userEmail": ALICE, "webhookURL": other.url })).await;
    let deliveries = world.wait_for_deliveries(&id).await;
    assert_eq!(deliveries[0]["lastError"], "the webhook answered 401");

    // 3. What somebody else was sent is genuine too. A repeat is taken, and not heard twice; what was altered is not.
    let call = &world.destinations.wait_for(Kind::Webhook, 1).await.unwrap()[0];
    let genuine = call.body.to_string();
    let [message, timestamp, signature] =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| call.headers[name].as_str());
    let later = (timestamp.parse::<u64>().unwrap() + 1).to_string();
    let among_others = format!("v1a,x v1,AAAA {signature}");
    for (message, timestamp, signature, body, status) in [
        (message, timestamp, signature, genuine.as_str(), 204),
        (message, timestamp, &among_others, &genuine, 204),
        (message, timestamp, signature, "{}", 401),
        ("another", timestamp, signature, &genuine, 401),
        (message, &later, signature, &genuine, 401),
        (message, "soon", signature, &genuine, 401),
        (message, timestamp, "", &genuine, 401),
        (message, timestamp, "v1,é", &genuine, 401),
    ] {
        let signed =
            [("webhook-id", message), ("webhook-timestamp", timestamp), ("webhook-signature", signature)];
        assert_eq!(receiver.post(&signed, body).await, status, "{signed:?} {body}");
    }
    assert_eq!(receiver.post(&[], &genuine).await, 401);
    let lines = receiver.lines(2).await;
    assert_eq!(lines, [first.as_str(), first.as_str()]);

    // 4. Nor is what is too old: the vector of the specification's reference libraries is right, and years old.
    let old = Receiver::start(program, script, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").await;
    let vector = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmKtSyIJt5uwJ4zFxDM+yfNWWo="),
    ];
    assert_eq!(old.post(&vector, r#"{"test": 2432232314}"#).await, 401);
    assert!(other.lines(0).await.is_empty() && old.lines(0).await.is_empty());
}

/// A receiver as a process, ended when it is dropped.
struct Receiver {
    url: String,
    process: Child,
    printed: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn start(program: &str, script: &str, secret: &str) -> Self {
        let mut process = Command::new(program)
            .arg(path(script))
            .envs([("SIGNING_SECRET", secret), ("PORT", "0")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = Arc::<Mutex<Vec<String>>>::default();
        let (lines, kept) = (BufReader::new(process.stdout.take().unwrap()).lines(), printed.clone());
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line))
        });
        let mut receiver = Self { url: String::new(), process, printed };
        let first = receiver.printed(1).await.remove(0);
        receiver.url = first.strip_prefix("listening on ").unwrap().to_owned();
        receiver
    }

    /// What it has printed of messages, as soon as that is so much.
    async fn lines(&self, count: usize) -> Vec<String> {
        self.printed(count + 1).await.split_off(1)
    }

    async fn printed(&self, count: usize) -> Vec<String> {
        let give_up = Instant::now() + Duration::from_secs(20);
        loop {
            let printed = self.printed.lock().unwrap().clone();
            if printed.len() >= count {
                return printed;
            }
            assert!(Instant::now() < give_up, "waited for {count} lines: {printed:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn post(&self, headers: &[(&str, &str)], body: &str) -> u16 {
        let client = local::client().build().unwrap();
        let mut request = client.post(&self.url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        request.send().await.unwrap().status().as_u16()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// As much of Zendesk's API for administrators as makes webhooks and triggers.
struct ZendeskAdmin {
    url: String,
    /// Method and path, authorization, body.
    calls: Arc<Mutex<Vec<(String, String, Value)>>>,
}

impl ZendeskAdmin {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::<Mutex<Vec<_>>>::default();
        let kept = calls.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let call = read_call(&mut stream).await;
                let made =
                    json!({ "webhook": { "id": "01HOOK", "status": "active" }, "trigger": { "id": 42 } });
                kept.lock().unwrap().push(call);
                let (head, body) = ("HTTP/1.1 201 Created\r\nconnection: close", made.to_string());
                let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, calls }
    }
}

async fn read_call(stream: &mut (impl AsyncReadExt + Unpin)) -> (String, String, Value) {
    let mut text = String::new();
    loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let mut values =
                lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
            values.next().unwrap_or_default().to_owned()
        };
        if body.len() >= header("content-length").parse().unwrap() {
            let asked = head.split(" HTTP/").next().unwrap().to_owned();
            return (asked, header("authorization"), serde_json::from_str(body).unwrap());
        }
    }
}

/// Sends what Zendesk sends of a webhook, and answers what it was answered.
async fn send_as_zendesk(world: &World, webhook: &Value, body: &str) -> Value {
    assert_eq!(webhook["subscriptions"], json!(["conditional_ticket_events"]));
    assert_eq!((&webhook["http_method"], &webhook["request_format"]), (&json!("POST"), &json!("json")));
    let authentication = &webhook["authentication"];
    assert_eq!(
        (&authentication["type"], &authentication["add_position"]),
        (&json!("bearer_token"), &json!("header"))
    );
    let bearer = format!("Bearer {}", authentication["data"]["token"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let path = webhook["endpoint"].as_str().unwrap().strip_prefix(&world.gateway.url()).unwrap();
    let answer = world.call(Method::POST, path, &headers, json!(body)).await;
    assert!(answer.status.is_success(), "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn the_requests_of_the_readme_arrive() {
    let world = World::delivering(&[]).await;
    let bodies = bodies_of_the_readme();
    let mut types = BTreeSet::new();
    for body in &bodies {
        let mut body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        let tried = body["job"] == "try";
        let mut all = body["destinations"].as_array_mut().map(Vec::as_mut_slice).unwrap_or_default().to_vec();
        if tried {
            all.push(body["destination"].clone());
        }
        for destination in &mut all {
            types.insert(destination["type"].as_str().unwrap().to_owned());
            if destination["type"] == "webhook" {
                destination["url"] = json!(world.hook("readme"));
            }
        }
        if body["webhookURL"].is_string() {
            types.insert("webhook".to_owned());
            body["webhookURL"] = json!(world.hook("readme"));
        }
        if tried {
            let answer = world.webhook.invoke(json!({ "job": "try", "destination": all[0] })).await.unwrap();
            assert_eq!(answer["delivered"], true, "{body}: {answer}");
            continue;
        }
        if !all.is_empty() {
            body["destinations"] = json!(all);
        }
        // Each one is the reader's first.
        body["metadata"]["number"] = json!(types.len().to_string());
        body.as_object_mut().unwrap().remove("maxAge");
        let answer = world.post(body.clone()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{body}: {}", answer.text);
        let id = answer.json()["requestID"].as_str().unwrap().to_owned();
        for delivery in world.wait_for_deliveries(&id).await {
            assert_eq!(delivery["status"], "DELIVERED", "{body}: {delivery}");
        }
    }
    // A task token is nothing to copy.
    let with_requests =
        ["eventBridge", "hubspot", "intercom", "salesforce", "slack", "teams", "webhook", "zendesk"];
    assert!(types.iter().map(String::as_str).eq(with_requests), "{types:?}");
    assert!(bodies.len() > with_requests.len(), "{bodies:#?}");
}

/// What stands in quotes behind the `-d` and `--payload` of the README's chapter on destinations.
fn bodies_of_the_readme() -> Vec<String> {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let chapter =
        readme.split("\n## Destinations\n").nth(1).unwrap().split("\n## ").next().unwrap().to_owned();
    let lines: Vec<&str> = chapter.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let quoted = lines.join("\n");
    quoted.split(" '{").skip(1).map(|rest| format!("{{{}", rest.split('\'').next().unwrap())).collect()
}

#[test]
fn the_readme_shows_the_receiver_as_it_is() {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let receiver = example("webhook-receiver/receiver.py");
    let start = receiver.find("def is_genuine").unwrap();
    let function = receiver[start..].split("\n\n").next().unwrap();
    assert!(function.lines().count() <= 10 && readme.contains(function), "{function}");
}

/// Runs a recipe with the API's address and token, and gives what it printed; of one that failed, what it complained.
async fn run(
    world: &World,
    script: &str,
    env: &[(&str, &str)],
    args: &[&str],
    input: &str,
) -> Result<String, String> {
    let mut command = Command::new(if script.ends_with(".py") { "python3" } else { "sh" });
    command.arg(path(script)).args(args).env("API", world.gateway.url()).env("TOKEN", API_TOKEN);
    command.env_remove("http_proxy").env_remove("HTTP_PROXY").env("no_proxy", "127.0.0.1");
    command.envs(env.iter().copied());
    printed_by(command, input).await
}

/// What a process printed; of one that failed, what it complained.
pub(super) async fn printed_by(mut command: Command, input: &str) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let ended = spawn_blocking(move || {
        let mut process = command.spawn().unwrap();
        // Who does not read it may be gone by then.
        let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
        process.wait_with_output().unwrap()
    });
    let ended = ended.await.unwrap();
    let [printed, complained] =
        [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if ended.status.success() { Ok(printed) } else { Err(printed + &complained) }
}

/// What a vendor shows, as soon as there is so much.
pub(super) async fn messages(world: &World, kind: Kind, count: usize) -> Vec<Message> {
    world.destinations.wait_for_messages(kind, count).await.unwrap()
}

pub(super) fn example(name: &str) -> String {
    let path = path(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(super) fn path(name: &str) -> PathBuf {
    project().join("examples").join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
