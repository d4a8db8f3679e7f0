//! Secrets that are missing or malformed: nobody is served who needs them, the log names the field, and the same process
//! goes on as soon as they are mended. (Those of destinations: `conformance/credentials`.)

use local::lambda::Function;
use local::logrocket::{Behaviour, Outcome};
use local::secrets::{Secret, SecretsManager};
use serde_json::{Value, json};
use std::time::Duration;
use stories::{Answer, CALLBACK_KEY, World};
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(10);

/// 31 bytes, in base64.
const SHORT_KEY: &str = "Y2FuYXJ5IGNhbmFyeSBjYW5hcnkgY2FuYXJ5IGNhbg==";

/// What may be wrong with the secret that people edit, for a function that reads these fields: what it is then, and how
/// the log calls what is wrong.
fn wrong(right: &Value, fields: &[(&str, Value, &'static str)]) -> Vec<(Secret, &'static str)> {
    let of_field = fields.iter().map(|(field, value, named)| {
        let mut secret = right.clone();
        if value.is_null() {
            secret.as_object_mut().unwrap().remove(*field);
        } else {
            secret[*field] = value.clone();
        }
        (Secret::Text(secret.to_string()), *named)
    });
    of_field.chain(UNREADABLE.map(|(make, named)| (make(), named))).collect()
}

type Make = fn() -> Secret;

/// What no function can read.
const UNREADABLE: [(Make, &str); 7] = [
    (|| Secret::Refused("ResourceNotFoundException"), "the secret own cannot be read"),
    (|| Secret::Refused("AccessDeniedException"), "the secret own cannot be read"),
    (|| Secret::Refused("DecryptionFailure"), "the secret own cannot be read"),
    (
        || Secret::Answer(r#"{"Name":"own","SecretString":"{\"canary"#.to_owned()),
        "the secret own cannot be read",
    ),
    (|| Secret::Binary(b"canary".to_vec()), "the secret own has no text in it"),
    (|| Secret::Text("canary, no JSON".to_owned()), "the secret own is not a JSON object"),
    (|| Secret::Text(r#"["canary"]"#.to_owned()), "the secret own is not a JSON object"),
];

/// A world with nothing yet in the secret that the stack generates, so that `own` has to have it all.
async fn world() -> (World, SecretsManager, Value) {
    let (world, manager) = World::with_secrets_manager(&[]).await;
    manager.put("generated", &json!({}));
    let mut right = world.own_secrets();
    right["callbackKey"] = json!(CALLBACK_KEY);
    right["apiToken"] = json!("canary-default-token-0123456789abcdef");
    (world, manager, right)
}

/// Of what the function wrote behind the lines that were there, one line of trouble, in an invocation, names what is wrong
/// (and this request, where it is about one); none quotes it.
async fn assert_named_once(function: &Function, before: usize, named: &str, request_id: &str) {
    let give_up = Instant::now() + PATIENCE;
    let names = |line: &&String| {
        let is_trouble = line.contains("lambdaRequestID") && line.contains("ERROR");
        is_trouble && line.contains(named) && line.contains(request_id)
    };
    loop {
        let lines = function.output().split_off(before);
        let count = lines.iter().filter(names).count();
        if count > 0 || Instant::now() > give_up {
            assert_eq!(count, 1, "{named}: {lines:#?}");
            assert!(!lines.concat().contains("canary"), "{lines:#?}");
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// A process whose first try to read them was in vain says so outside of any invocation: another would have said it again.
fn processes(function: &Function) -> usize {
    function.output().iter().filter(|line| !line.contains("lambdaRequestID")).count()
}

#[track_caller]
fn assert_try_again(answer: &Answer) {
    answer.problem(503);
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert!(!answer.text.contains("canary"), "{}", answer.text);
}

#[tokio::test]
async fn request_says_which_field_it_misses_and_goes_on_when_it_is_mended() {
    let (world, manager, right) = world().await;
    let fields = [
        ("logRocketAPIKey", Value::Null, "logRocketAPIKey is missing"),
        ("logRocketAPIKey", json!(5), "logRocketAPIKey in the secret must be a string"),
        ("logRocketAPIKey", json!(""), "logRocketAPIKey in the secret is empty"),
        ("logRocketAPIKey", json!("canary\n"), "logRocketAPIKey in the secret holds white space"),
        ("callbackKey", Value::Null, "callbackKeys is missing"),
        ("callbackKey", json!("canary"), "callbackKey in the secret has fewer than 32 bytes"),
        ("callbackKey", json!(["canary"]), "callbackKey in the secret must be a string"),
        ("callbackKeys", json!("canary"), "callbackKeys in the secret must be an array"),
        ("callbackKeys", json!(["canary!"]), "callbackKeys[0] in the secret is not base64"),
        ("callbackKeys", json!([SHORT_KEY]), "callbackKeys[0] in the secret has fewer than 32 bytes"),
        ("apiTokens", json!(["canary"]), "apiTokens in the secret must be an object"),
        ("apiTokens", json!({ "ops": ["canary"] }), "apiTokens.ops in the secret must be a string"),
        ("apiTokens", json!({ "ops": "" }), "apiTokens.ops in the secret is empty"),
        ("apiToken", json!("canary"), "apiToken in the secret has fewer than 32 bytes"),
        ("apiToken", json!({ "canary": 1 }), "apiToken in the secret must be a string"),
    ];

    // 1. Whatever is wrong: nobody is served, and each time one line says why.
    for (secret, named) in wrong(&right, &fields) {
        manager.put_as("own", secret);
        let before = world.request.output().len();
        assert_try_again(&world.post(json!({ "userID": "1" })).await);
        assert_named_once(&world.request, before, named, "").await;
        let failed = world.invoke(json!({ "userID": "1" })).await.unwrap_err();
        assert_eq!(failed.error_type, "Unavailable", "{failed}");
        assert!(!failed.error_message.contains("canary"), "{failed}");
    }
    assert_eq!((world.log_rocket.posts().len(), world.table.items().unwrap().len()), (0, 0));

    // 2. Without any token nobody can be let in; direct invocations need none.
    let mut without = right.clone();
    without.as_object_mut().unwrap().retain(|field, _| !field.starts_with("apiToken"));
    manager.put("own", &without);
    for _ in 0..2 {
        let before = world.request.output().len();
        assert_try_again(&world.post(json!({ "userID": "1" })).await);
        assert_named_once(&world.request, before, "apiTokens is missing", "").await;
    }
    world.invoke(json!({ "userID": "1" })).await.unwrap();

    // 3. It is mended: the next who asks is served, by the process that has run from the first.
    manager.put("own", &right);
    world.ask(json!({ "userID": "1" })).await;
    assert_eq!(processes(&world.request), 1, "{:#?}", world.request.output());
}

#[tokio::test]
async fn webhook_says_which_field_it_misses_and_takes_callbacks_and_delivers_when_it_is_mended() {
    let (world, manager, right) = world().await;
    world.log_rocket.usually(Behaviour::manual());
    // Request λ has read what is right, and keeps it.
    manager.put("own", &right);
    let body = json!({ "userID": "1", "webhookURL": world.hook("crm") });
    let id = world.ask(body.clone()).await;
    let other = world.ask(body).await;
    let fields = [
        ("callbackKey", Value::Null, "callbackKeys is missing"),
        ("callbackKey", json!("canary"), "callbackKey in the secret has fewer than 32 bytes"),
        ("callbackKeys", json!({ "canary": 1 }), "callbackKeys in the secret must be an array"),
        ("callbackKeys", json!(["canary!"]), "callbackKeys[0] in the secret is not base64"),
    ];
    let wrong = wrong(&right, &fields);

    // 1. A callback whose token nobody can check is not turned away: LogRocket may send it again.
    let post = world.post_of(&id, 1);
    let payload =
        world.log_rocket.payload(&post.logrocket_request_id.clone().unwrap(), Outcome::Ready).unwrap();
    let before = world.item(&id);
    for (secret, named) in &wrong {
        manager.put_as("own", secret.clone());
        let lines = world.webhook.output().len();
        assert_try_again(&world.callback(post.webhook_url().unwrap(), payload.clone()).await);
        assert_named_once(&world.webhook, lines, named, "").await;
    }
    assert_eq!(world.item(&id), before);

    // 2. It is mended, and the same callback is taken.
    manager.put("own", &right);
    assert_eq!(world.callback(post.webhook_url().unwrap(), payload).await.status, 200);
    assert_eq!(world.tell(&other, 1, Outcome::Ready).await, 200);
    assert_eq!(processes(&world.webhook), 1, "{:#?}", world.webhook.output());

    // 3. A process that starts while they cannot be read leaves the deliveries due, uncounted.
    world.webhook.kill().await;
    for (secret, named) in &wrong {
        manager.put_as("own", secret.clone());
        let lines = world.webhook.output().len();
        let swept = world.sweep_deliveries().await;
        assert_eq!((&swept["due"], &swept["failed"]), (&json!(2), &json!(2)), "{named}: {swept}");
        for id in [&id, &other] {
            assert_named_once(&world.webhook, lines, named, id).await;
        }
    }
    assert_eq!(world.deliveries(&id).await[0]["attempts"], 0);

    // 4. They are mended, and the next sweep delivers, in one try each.
    manager.put("own", &right);
    for id in [&id, &other] {
        let delivery = &world.sweep_until_delivered(id).await[0];
        assert_eq!(
            (&delivery["status"], &delivery["attempts"]),
            (&json!("DELIVERED"), &json!(1)),
            "{delivery}"
        );
    }
    assert_eq!(processes(&world.webhook), 2, "{:#?}", world.webhook.output());
}
