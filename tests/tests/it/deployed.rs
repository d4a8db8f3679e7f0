//! What is deployed fits the code: no call without its right and no right without a call, no variable that is read and
//! not set, none that is set and not read.

use local::gateway::HttpCall;
use local::lambda::Function;
use local::logrocket::{Behaviour, Outcome};
use local::proxy::{Fault, Match, Proxy};
use local::template::Template;
use model::settings::{RequestSettings, WebhookSettings};
use reqwest::Method;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use stories::{API_TOKEN, CALLBACK_KEY, World, project};

/// What Lambda and other services do in a function's name; none of it is a call of the code.
const BY_LAMBDA: [(&str, &str); 5] = [
    ("logs:CreateLogStream", "Lambda writes the function's log by its role"),
    ("logs:PutLogEvents", "Lambda writes the function's log by its role"),
    ("sqs:SendMessage", "Lambda puts events that failed to the end into FailedEvents"),
    ("kms:Decrypt", "with KmsKeyArn: the table, the secrets and the queue decrypt in the caller's name"),
    ("kms:GenerateDataKey", "with KmsKeyArn: the queue encrypts in the caller's name"),
];
const BY_LAMBDA_FOR_REQUEST: [(&str, &str); 3] = [
    ("sqs:ReceiveMessage", "with SourceQueueArn: Lambda reads the queue"),
    ("sqs:DeleteMessage", "with SourceQueueArn: Lambda reads the queue"),
    ("sqs:GetQueueAttributes", "with SourceQueueArn: Lambda reads the queue"),
];
const BY_LAMBDA_FOR_WEBHOOK: [(&str, &str); 4] = [
    ("dynamodb:DescribeStream", "Lambda reads the table's stream"),
    ("dynamodb:GetRecords", "Lambda reads the table's stream"),
    ("dynamodb:GetShardIterator", "Lambda reads the table's stream"),
    ("dynamodb:ListStreams", "Lambda reads the table's stream"),
];

/// What is read and not set by the template, and why.
const NOT_SET: [(&str, &str); 11] = [
    ("SECRETS_JSON", "local runs only"),
    ("ALLOW_PRIVATE_DESTINATIONS", "local runs only"),
    ("AWS_LAMBDA_RUNTIME_API", "Lambda sets it"),
    ("SLACK_API_URL", "there is one Slack"),
    ("ZENDESK_API_URL", "the secret's subdomain says where"),
    ("INTERCOM_API_URL", "the secret's region says where"),
    ("HUBSPOT_API_URL", "there is one HubSpot"),
    ("RETRY_AFTER_SECONDS", "a wait that fits LogRocket's one to three minutes"),
    ("POLL_AFTER_SECONDS", "a wait that fits LogRocket's one to three minutes"),
    ("UNKNOWN_GRACE_SECONDS", "a wait that fits LogRocket's one to three minutes"),
    ("PENDING_TIMEOUT_SECONDS", "an hour is long enough for LogRocket, and for a key to be rotated"),
];
/// Longer than the template's `Timeout`, which a parameter does not change either.
const LEASE: &str = "LEASE_SECONDS";

#[tokio::test]
async fn request_may_do_what_it_does_and_nothing_else() {
    let secrets = Proxy::start("http://127.0.0.1:9").await.unwrap();
    let world = world(&secrets).await;

    // 1. Asked in every way, read in every way, swept, redelivered, deleted.
    world.log_rocket.next(Behaviour::manual());
    let body = json!({ "userID": "1", "idempotencyKey": "ticket-35436", "webhookURL": world.hook("crm") });
    let id = world.ask(body.clone()).await;
    world.ask(body).await;
    assert_eq!(world.post(json!({ "userID": "1", "maxAge": 900 })).await.status, 200);
    world.read(&id).await;
    let log_rocket_id = world.post_of(&id, 1).logrocket_request_id.unwrap();
    world.get(&format!("/highlights/{log_rocket_id}")).await;
    assert_eq!(world.get("/highlights?userID=1").await.status, 200);
    world.sweep().await;
    world.redeliver(&id).await;
    let bearer = [("authorization", stories::BEARER)];
    let deleted = world.call(Method::DELETE, &format!("/highlights/{id}"), &bearer, Value::Null).await;
    assert_eq!(deleted.status, 204);

    // 2. These calls, and what Lambda does, are what its role allows.
    let mut needed = table_actions(&world.table_calls);
    needed.extend(actions("secretsmanager", &secrets));
    needed.extend(BY_LAMBDA.iter().chain(&BY_LAMBDA_FOR_REQUEST).map(|(action, _)| (*action).to_owned()));
    let template = template();
    assert_eq!(allowed(&template, "RequestRole"), needed);
    assert_eq!(queried_in(&template, "RequestRole"), queried(&world.table_calls));
    assert_eq!(secrets_of(&template, "RequestRole"), secret_ids(&template, "RequestFunction"));
}

#[tokio::test]
async fn webhook_may_do_what_it_does_and_nothing_else() {
    let secrets = Proxy::start("http://127.0.0.1:9").await.unwrap();
    let world = world(&secrets).await;
    let table_calls = Proxy::start(world.table.endpoint()).await.unwrap();
    let events = Proxy::start(format!("{}/eventbridge", world.destinations.url())).await.unwrap();
    let states = Proxy::start(format!("{}/states", world.destinations.url())).await.unwrap();
    let webhook = world.another_webhook(
        &[
            ("AWS_ENDPOINT_URL_DYNAMODB", &table_calls.url()),
            ("AWS_ENDPOINT_URL_EVENTBRIDGE", &events.url()),
            ("AWS_ENDPOINT_URL_SFN", &states.url()),
        ],
        Duration::from_secs(30),
    );

    // 1. A result and a failure are told, each to a bus and a task; swept.
    for outcome in [Outcome::Ready, Outcome::Failed] {
        world.log_rocket.next(Behaviour::manual());
        let destinations = json!([{ "type": "eventBridge" }, { "type": "stepFunctions", "taskToken": world.destinations.issue_token() }]);
        let id = world.ask(json!({ "userID": "1", "destinations": destinations })).await;
        tell(&world, &webhook, &id, outcome).await;
        webhook.invoke(json!({ "job": "sweep" })).await.unwrap();
        let deliveries = world.deliveries(&id).await;
        assert!(deliveries.iter().all(|delivery| delivery["status"] == "DELIVERED"), "{deliveries:#?}");
    }

    // 2. These calls, and what Lambda does, are what its role allows.
    let mut needed = table_actions(&table_calls);
    needed.extend(actions("secretsmanager", &secrets));
    needed.extend(actions("events", &events));
    needed.extend(actions("states", &states));
    needed.extend(BY_LAMBDA.iter().chain(&BY_LAMBDA_FOR_WEBHOOK).map(|(action, _)| (*action).to_owned()));
    let template = template();
    assert_eq!(allowed(&template, "WebhookRole"), needed);
    assert_eq!(queried_in(&template, "WebhookRole"), queried(&table_calls));
    assert_eq!(secrets_of(&template, "WebhookRole"), secret_ids(&template, "WebhookFunction"));
}

#[test]
fn every_variable_that_is_read_is_set_or_has_a_reason_not_to_be_and_no_other_is_set() {
    let read = |reader: &dyn Fn(Variables)| {
        let asked = RefCell::new(BTreeSet::new());
        reader(&|name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            let value = match name {
                "TABLE_NAME" => "highlights",
                "LOGROCKET_APP_ID" => "org/app",
                "SECRET_IDS" => "secret",
                "WEBHOOK_URL" => "https://example.com/webhook",
                _ => return None,
            };
            Some(value.to_owned())
        });
        asked.into_inner()
    };
    let request = read(&|variable| {
        RequestSettings::read(variable).unwrap();
    });
    let webhook = read(&|variable| {
        WebhookSettings::read(variable).unwrap();
    });
    let template = template();
    let not_set: BTreeSet<String> =
        NOT_SET.iter().map(|(name, _)| *name).chain([LEASE]).map(str::to_owned).collect();
    for (function, read) in [("RequestFunction", &request), ("WebhookFunction", &webhook)] {
        let own: BTreeSet<String> =
            environment(&template, function).into_iter().map(|(name, _)| name).collect();
        // What both are given for simplicity's sake must be read by both.
        let unread: Vec<_> = own.difference(read).collect();
        assert!(unread.is_empty(), "{function} is given {unread:?}, which nobody reads");
        let unset: Vec<_> = read.difference(&own).filter(|name| !not_set.contains(*name)).collect();
        assert!(unset.is_empty(), "{function} reads {unset:?}, which nobody sets");
        let both: Vec<_> = own.intersection(&not_set).collect();
        assert!(both.is_empty(), "{function} is given {both:?}, with a reason not to be");
    }
    let read: BTreeSet<String> = request.union(&webhook).cloned().collect();
    assert_eq!(not_set.difference(&read).collect::<Vec<_>>(), Vec::<&String>::new(), "not read any more");
}

/// Else the test above would not know of it.
#[test]
fn the_environment_is_read_in_main_alone() {
    let mut found = Vec::new();
    for package in ["aws", "model", "request", "webhook"] {
        find(&project().join("crates").join(package).join("src"), "env::var", &mut found);
    }
    found.sort();
    // The SDK's own variables are Lambda's to set, and roots an operator's; the snapshots are compiled for tests alone.
    let known = [
        "aws/src/clients.rs",
        "aws/src/tls.rs",
        "request/src/main.rs",
        "webhook/src/destinations/snapshots.rs",
        "webhook/src/main.rs",
    ];
    assert_eq!(found, known.map(|path| project().join("crates").join(path)));
}

#[tokio::test]
async fn roots_that_cannot_be_read_stop_both_functions_with_one_line_that_names_them() {
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let world = World::with(&[(variable, "/nowhere/roots")]).await;
        for function in [&world.request, &world.webhook] {
            function.invoke(json!({ "job": "sweep" })).await.unwrap_err();
            let lines = function.output();
            let [line] = lines.as_slice() else { panic!("{lines:?}") };
            assert!(line.contains("the function stops"), "{line}");
            assert!(line.contains(variable) && line.contains("/nowhere/roots"), "{line}");
        }
    }
}

#[tokio::test]
async fn roots_that_are_set_to_nothing_are_those_that_are_compiled_in() {
    let world = World::with(&[("SSL_CERT_FILE", ""), ("SSL_CERT_DIR", "")]).await;
    assert!(world.request.invoke(json!({ "job": "sweep" })).await.is_ok());
}

#[test]
fn every_route_has_a_share_of_its_own() {
    let template = template();
    let routes: BTreeSet<&str> = template
        .resources("AWS::ApiGatewayV2::Route")
        .map(|route| route.properties["RouteKey"].as_str().unwrap())
        .collect();
    let stage = template.resources("AWS::ApiGatewayV2::Stage").next().unwrap();
    let settings = stage.properties["RouteSettings"].as_object().unwrap();
    assert_eq!(settings.keys().map(String::as_str).collect::<BTreeSet<_>>(), routes);
    for (route, limits) in settings {
        for limit in ["ThrottlingRateLimit", "ThrottlingBurstLimit"] {
            assert!(limits[limit].as_u64().is_some_and(|limit| limit > 0), "{route}: {limits}");
        }
    }
    let format = stage.properties["AccessLogSettings"]["Format"].as_str().unwrap();
    for part in ["path", "query", "Uri", "authorizer"] {
        assert!(!format.contains(part), "{part}: {format}");
    }
}

#[test]
fn a_deployment_has_to_be_told_logrockets_app_and_key_and_nothing_else() {
    let template = template();
    let parameters = template.root()["Parameters"].as_object().unwrap();
    let without: BTreeSet<&str> = parameters
        .iter()
        .filter(|(_, parameter)| parameter.get("Default").is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(without, BTreeSet::from(["LogRocketAppID", "LogRocketAPIKey"]));
}

/// Answers a variable's value by its name.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A world whose functions read their secrets from that manager, with a limit, so that the counter is written too.
async fn world(secrets: &Proxy) -> World {
    let world = World::with(&[
        ("SECRETS_JSON", ""),
        ("SECRET_IDS", "all"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &secrets.url()),
        ("MONTHLY_REQUEST_LIMIT", "100"),
        ("MAX_ATTEMPTS", "1"),
    ])
    .await;
    let text = json!({
        "logRocketAPIKey": world.log_rocket.api_key(), "callbackKey": CALLBACK_KEY, "apiToken": API_TOKEN,
        "destinations": world.destinations.secrets(),
    });
    let answer = json!({ "ARN": "arn", "Name": "all", "SecretString": text.to_string(), "VersionId": "v" });
    secrets.on(Match::operation("GetSecretValue"), Fault::Answer { status: 200, body: answer.to_string() });
    world
}

/// LogRocket's callback, past the world's own function.
async fn tell(world: &World, webhook: &Function, id: &str, outcome: Outcome) {
    let post = world.post_of(id, 1);
    let payload = world.log_rocket.payload(post.logrocket_request_id.as_ref().unwrap(), outcome).unwrap();
    let path = post.webhook_url().unwrap().strip_prefix(&world.gateway.url()).unwrap().to_owned();
    let event = HttpCall::new(Method::POST, &path).json(&payload).http_api_event();
    assert_eq!(webhook.invoke(event).await.unwrap()["statusCode"], 200);
}

fn template() -> Template {
    Template::read(&project().join("template.yaml")).unwrap()
}

/// The actions of the calls that were seen.
fn actions(service: &str, calls: &Proxy) -> BTreeSet<String> {
    calls.calls().iter().map(|call| format!("{service}:{}", call.operation)).collect()
}

/// The same for the table; a transaction needs what each of its parts needs.
fn table_actions(calls: &Proxy) -> BTreeSet<String> {
    let mut actions = actions("dynamodb", calls);
    if actions.remove("dynamodb:TransactWriteItems") {
        for call in calls.calls().iter().filter(|call| call.operation == "TransactWriteItems") {
            let body: Value = serde_json::from_slice(&call.body).unwrap();
            let parts = body["TransactItems"].as_array().unwrap().iter();
            actions.extend(
                parts
                    .flat_map(|part| part.as_object().unwrap().keys())
                    .map(|part| format!("dynamodb:{part}Item")),
            );
        }
    }
    actions
}

/// The indexes that were queried.
fn queried(calls: &Proxy) -> BTreeSet<String> {
    let calls = calls.calls();
    let queries = calls.iter().filter(|call| call.operation == "Query");
    let index = |call: &local::proxy::Call| {
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        body["IndexName"].as_str().unwrap().to_owned()
    };
    queries.map(index).collect()
}

/// A role's statements, those with a condition too.
fn statements(template: &Template, role: &str) -> Vec<Value> {
    let role = template.resources("AWS::IAM::Role").find(|resource| resource.id == role).unwrap();
    let policies = role.properties["Policies"].as_array().unwrap();
    let all = policies.iter().flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
    all.map(|statement| statement.get("Fn::If").map_or(statement, |branches| &branches[1]).clone()).collect()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}

fn allowed(template: &Template, role: &str) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for statement in statements(template, role) {
        assert_eq!(statement["Effect"], "Allow", "{statement}");
        assert!(!list(&statement["Resource"]).contains(&json!("*")), "on everything: {statement}");
        for action in list(&statement["Action"]) {
            assert!(
                allowed.insert(action.as_str().unwrap().to_owned()) || action == "dynamodb:Query",
                "twice: {action}"
            );
        }
    }
    allowed
}

fn queried_in(template: &Template, role: &str) -> BTreeSet<String> {
    let all = statements(template, role);
    let resources =
        all.iter().filter(|statement| list(&statement["Action"]).contains(&json!("dynamodb:Query")));
    let resources = resources.flat_map(|statement| list(&statement["Resource"]));
    resources
        .map(|arn| arn["Fn::Sub"].as_str().unwrap().split_once("/index/").unwrap().1.to_owned())
        .collect()
}

fn secrets_of(template: &Template, role: &str) -> BTreeSet<String> {
    let all = statements(template, role);
    let of = all
        .iter()
        .filter(|statement| list(&statement["Action"]).contains(&json!("secretsmanager:GetSecretValue")));
    of.flat_map(|statement| list(&statement["Resource"]))
        .map(|secret| secret["Ref"].as_str().unwrap().to_owned())
        .collect()
}

fn secret_ids(template: &Template, function: &str) -> BTreeSet<String> {
    let all = environment(template, function);
    let (_, ids) = all.iter().find(|(name, _)| name == "SECRET_IDS").unwrap();
    let ids = ids["Fn::Sub"].as_str().unwrap().split(',');
    ids.map(|id| id.trim_start_matches("${").trim_end_matches('}').to_owned()).collect()
}

/// A function's variables, what all functions have among them.
fn environment(template: &Template, function: &str) -> Vec<(String, Value)> {
    let own =
        template.resources("AWS::Serverless::Function").find(|resource| resource.id == function).unwrap();
    let parts = [&template.root()["Globals"]["Function"], own.properties];
    let variables = parts.into_iter().flat_map(|part| part["Environment"]["Variables"].as_object().unwrap());
    variables.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn find(folder: &Path, text: &str, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, text, found);
        } else if std::fs::read_to_string(&path).unwrap().contains(text) {
            found.push(path);
        }
    }
}
