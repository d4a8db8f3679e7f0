//! Destinations that refuse, or are none: given up at once, saying why and nothing secret. URLs that lead inside are
//! not called, and answers that are meant to harm do none.

use local::destinations::{Behaviour, Kind};
use local::lambda::Function;
use local::secrets::SecretsManager;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use stories::World;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Of an invocation that has just time enough to begin a delivery: a destination is waited for half of it.
const SHORT: Duration = Duration::from_secs(7);

/// As a function is deployed: nothing is at a private address.
const DEPLOYED: [(&str, &str); 1] = [("ALLOW_PRIVATE_DESTINATIONS", "")];

fn to(urls: &[String]) -> Value {
    let hooks = urls.iter().map(|url| json!({ "type": "webhook", "url": url }));
    json!({ "userID": "1", "destinations": hooks.collect::<Vec<_>>() })
}

/// The statuses and errors of a request's deliveries.
fn ends(deliveries: &[Value]) -> Vec<(&str, &str)> {
    fn text<'a>(delivery: &'a Value, field: &str) -> &'a str {
        delivery[field].as_str().unwrap_or_default()
    }
    deliveries.iter().map(|each| (text(each, "status"), text(each, "lastError"))).collect()
}

#[tokio::test]
async fn every_refusal_is_given_up_at_once_and_nothing_else_is() {
    let world = World::delivering(&[]).await;
    let passing = [408, 425, 429, 500, 501, 502, 503, 504, 507, 520, 599];
    let statuses = (300..=303).chain(305..=308).chain(400..=431).chain([444, 451, 499]);
    // A 401 is another story: the secrets are read again for it.
    let refusals: Vec<u16> = statuses.filter(|status| *status != 401 && !passing.contains(status)).collect();
    for (statuses, ended) in [(&refusals[..], "FAILED"), (&passing[..], "PENDING")] {
        for statuses in statuses.chunks(10) {
            for status in statuses {
                let answer = Behaviour::status(*status).body(format!(r#"{{"error":"no {status}"}}"#));
                world.destinations.next(Kind::Webhook, answer.header("retry-after", "7"));
            }
            let urls: Vec<String> = (0..statuses.len()).map(|n| world.hook(&format!("crm{n}"))).collect();
            let id = world.ask(to(&urls)).await;
            world.wait_for(&id, "READY").await;
            assert!(world.stream.as_ref().unwrap().caught_up(Duration::from_secs(20)).await);
            let deliveries = world.deliveries(&id).await;
            let said: Vec<String> =
                statuses.iter().map(|status| format!("the webhook answered {status}: no {status}")).collect();
            let mut found = ends(&deliveries);
            // Which receiver was called first, nobody knows.
            found.sort_unstable();
            assert_eq!(found, said.iter().map(|error| (ended, error.as_str())).collect::<Vec<_>>());
            for delivery in &deliveries {
                assert_eq!(delivery["attempts"], 1);
                assert_eq!(delivery["nextAttemptAt"].is_null(), ended == "FAILED", "{delivery}");
            }
        }
    }
    assert_eq!(world.destinations.received().len(), refusals.len() + passing.len());
}

#[tokio::test]
async fn what_a_destination_says_back_shows_no_secret() {
    const TOKEN: &str = "canary-token-0123456789abcdef";
    let world = World::delivering(&[]).await;
    let signing_secret =
        world.destinations.secrets()["webhook"]["signingSecret"].as_str().unwrap().to_owned();
    let key = signing_secret.strip_prefix("whsec_").unwrap().to_owned();
    let url = world.hook(&format!("crm?team=a&token={TOKEN}"));
    let query = format!("/hook/crm?team=a&token={TOKEN}");
    let echoes = [
        format!("no such hook: {url}"),
        format!("Cannot POST {query}"),
        format!(r#"{{"error":"invalid token {TOKEN}"}}"#),
        json!({ "error": { "message": format!("POST {url}: not signed with {signing_secret}") } })
            .to_string(),
        format!("expected key {key}"),
        // Cut in the middle of it, wherever the cut is.
        format!("{}{url}", "x".repeat(250)),
        format!("{}{url}", "x".repeat(150)),
        format!("{url} {url} {url} {url} {url} {url}"),
        format!(r#"{{"message":"{}"}}"#, url.replace('/', "\\/")),
    ];
    let parts: Vec<&str> = ["canary-token", &signing_secret, &key, &key[..20]].into();
    let mut leaks = Vec::new();
    for echo in &echoes {
        for status in [400, 503] {
            world.destinations.next(Kind::Webhook, Behaviour::status(status).body(echo));
            let id = world.ask(to(std::slice::from_ref(&url))).await;
            world.wait_for(&id, "READY").await;
            assert!(world.stream.as_ref().unwrap().caught_up(Duration::from_secs(20)).await);
            let request = world.read(&id).await;
            let delivery = &request["deliveries"][0];
            assert!(
                delivery["lastError"].as_str().unwrap().starts_with("the webhook answered "),
                "{delivery}"
            );
            assert!(delivery["lastError"].as_str().unwrap().len() <= 200);
            assert_eq!(delivery["destination"]["url"], format!("{}?…", world.hook("crm")));
            if parts.iter().any(|part| request.to_string().contains(part)) {
                leaks.push(delivery["lastError"].clone());
            }
        }
    }
    for line in world.output().lines() {
        if parts.iter().any(|part| line.contains(part)) {
            leaks.push(json!(line));
        }
    }
    assert_eq!(leaks, Vec::<Value>::new());
}

/// From now on, those are the destinations' credentials.
fn put(manager: &SecretsManager, world: &World, destinations: &Value) {
    let mut own = world.own_secrets();
    own["destinations"] = destinations.clone();
    manager.put("own", &own);
}

#[tokio::test]
async fn a_secret_that_is_missing_or_malformed_is_named_and_once_it_is_there_what_was_given_up_is_delivered()
{
    let (world, manager) = World::with_secrets_manager(&[]).await;
    let put_right = world.destinations.secrets();
    for (destinations, says) in [
        (json!({}), "not configured: destinations.webhook is missing from the secret"),
        (
            json!({ "webhook": {} }),
            "not configured: destinations.webhook.signingSecret is missing from the secret",
        ),
        (
            json!({ "webhook": "canary-secret" }),
            "not configured: destinations.webhook in the secret must be an object",
        ),
        (
            json!({ "webhook": { "signingSecret": "whsec_canary secret" } }),
            "not configured: destinations.webhook.signingSecret in the secret is not whsec_ and base64",
        ),
        (
            json!({ "webhook": { "signingSecret": "whsec_Y2FuYXJ5" } }),
            "not configured: destinations.webhook.signingSecret in the secret has fewer than 24 bytes",
        ),
    ] {
        // 1. Given up at once. That nobody is called is no reason to be silent.
        put(&manager, &world, &destinations);
        world.webhook.kill().await;
        let calls = world.destinations.received().len();
        let id = world.ask(to(&[world.hook("a"), world.hook("b")])).await;
        world.wait_for(&id, "READY").await;
        assert_eq!(world.sweep_deliveries().await["givenUp"], 2);
        assert_eq!(ends(&world.deliveries(&id).await), [("FAILED", says); 2]);
        assert_eq!(world.destinations.received().len(), calls);

        // 2. Each time it is asked for, the secrets are read again, but once for all that miss something.
        let reads = manager.calls_for("own");
        for again in 1..=2 {
            assert_eq!(world.redeliver(&id).await.status, StatusCode::ACCEPTED);
            assert_eq!(world.sweep_deliveries().await["givenUp"], 2);
            assert_eq!(manager.calls_for("own"), reads + again);
        }

        // 3. Put right, and asked for: the same process delivers it.
        put(&manager, &world, &put_right);
        assert_eq!(world.redeliver(&id).await.status, StatusCode::ACCEPTED);
        assert_eq!(world.sweep_deliveries().await["delivered"], 2);
        for delivery in world.deliveries(&id).await {
            assert_eq!((&delivery["status"], &delivery["lastError"]), (&json!("DELIVERED"), &Value::Null));
        }
    }
    assert!(!world.output().contains("canary-secret") && !world.output().contains("Y2FuYXJ5"));
}

#[tokio::test]
async fn a_secret_that_was_put_right_or_rotated_meanwhile_is_read_once_and_the_delivery_made() {
    let (world, manager) = World::with_secrets_manager(&[]).await;

    // 1. The function has read a secret without the key, which is there since.
    put(&manager, &world, &json!({}));
    world.webhook.restart().await.unwrap();
    put(&manager, &world, &world.destinations.secrets());
    let id = world.ask(to(&["a", "b", "c"].map(|name| world.hook(name)))).await;
    world.wait_for(&id, "READY").await;
    let reads = manager.calls_for("own");
    assert_eq!(world.sweep_deliveries().await["delivered"], 3);
    assert_eq!(manager.calls_for("own"), reads + 1, "one of the three reads it for all");

    // 2. It is rotated: the receiver does not take the old key any more.
    world.webhook.restart().await.unwrap();
    world.destinations.rotate(Kind::Webhook);
    put(&manager, &world, &world.destinations.secrets());
    let before = world.destinations.received().len();
    let id = world.ask(to(&[world.hook("a")])).await;
    world.wait_for(&id, "READY").await;
    assert_eq!(world.sweep_deliveries().await["delivered"], 1);
    let delivery = &world.deliveries(&id).await[0];
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("DELIVERED"), &json!(1)), "{delivery}");
    let calls = &world.destinations.received()[before..];
    assert_eq!(calls.iter().map(|call| call.status).collect::<Vec<_>>(), [Some(401), Some(200)]);
    assert_eq!(calls[0].headers["webhook-id"], calls[1].headers["webhook-id"]);

    // 3. It is rotated, and nobody has put the new one there: given up, with no more reads within the minute.
    world.destinations.rotate(Kind::Webhook);
    let (before, reads) = (world.destinations.received().len(), manager.calls_for("own"));
    let id = world.ask(to(&[world.hook("a"), world.hook("b")])).await;
    world.wait_for(&id, "READY").await;
    assert_eq!(world.sweep_deliveries().await["givenUp"], 2);
    let refused = ("FAILED", "the webhook answered 401: unauthorized");
    assert_eq!(ends(&world.deliveries(&id).await), [refused; 2]);
    assert_eq!((world.destinations.received().len(), manager.calls_for("own")), (before + 2, reads));
}

#[tokio::test]
async fn without_the_secrets_nothing_is_begun_and_it_stays_due() {
    let (world, manager) = World::with_secrets_manager(&[]).await;
    put(&manager, &world, &world.destinations.secrets());
    let id = world.ask(to(&[world.hook("a")])).await;
    world.wait_for(&id, "READY").await;
    let before = world.item(&id);

    manager.remove("own");
    world.webhook.kill().await;
    let swept = world.sweep_deliveries().await;
    assert_eq!(
        (&swept["due"], &swept["claimed"], &swept["failed"]),
        (&json!(1), &json!(0), &json!(1)),
        "{swept}"
    );
    let event = json!({ "Records": [{ "eventSource": "aws:dynamodb", "dynamodb": {
        "SequenceNumber": "7", "Keys": { "requestID": { "S": id } },
    }}]});
    let failures = json!({ "batchItemFailures": [{ "itemIdentifier": "7" }] });
    assert_eq!(world.webhook.invoke(event).await.unwrap(), failures);
    assert_eq!(world.item(&id), before);

    put(&manager, &world, &world.destinations.secrets());
    assert_eq!(world.sweep_deliveries().await["delivered"], 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let world = World::delivering(&[]).await;
    world.destinations.next(Kind::Webhook, Behaviour::redirect(world.hook("inside")));
    let id = world.ask(to(&[world.hook("crm")])).await;
    let deliveries = world.wait_for_deliveries(&id).await;
    assert_eq!(ends(&deliveries), [("FAILED", "the webhook answered 307")]);
    assert_eq!(world.destinations.received().len(), 1);
}

#[tokio::test]
async fn a_url_that_leads_inside_is_refused_when_it_is_asked_and_where_it_was_taken_when_it_is_called() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let world = World::start().await;
    let urls: Vec<String> = [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/plain"),
        format!("https://localhost:{port}/"),
        format!("https://2130706433:{port}/decimal"),
        format!("https://0x7f.1:{port}/hexadecimal"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        format!("https://0.0.0.0:{port}/"),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        "https://10.0.0.1/".to_owned(),
        "https://[fd00:ec2::254]/".to_owned(),
    ]
    .into();

    // 1. A request λ that takes no private destinations names each.
    let strict = World::with(&DEPLOYED).await;
    let pointers = strict.post(to(&urls)).await.pointers();
    assert_eq!(pointers, (0..urls.len()).map(|n| format!("#/destinations/{n}/url")).collect::<Vec<_>>());

    // 2. One that took them: webhook λ calls none of them, and gives them up.
    let id = world.ask(to(&urls)).await;
    world.wait_for(&id, "READY").await;
    let strict = world.another_webhook(&DEPLOYED, Duration::from_secs(30));
    assert_eq!(strict.invoke(json!({ "job": "sweep" })).await.unwrap()["givenUp"], urls.len());
    let deliveries = world.deliveries(&id).await;
    let ends = ends(&deliveries);
    assert_eq!(ends[0], ("FAILED", "its URL is not https"));
    for (end, url) in ends[1..].iter().zip(&urls[1..]) {
        assert_eq!(*end, ("FAILED", "its address is not public"), "{url}");
    }
    let called = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(called.is_err(), "somebody was called");

    // 3. Nor is one tried out.
    let job = json!({ "job": "try", "destination": { "type": "webhook", "url": urls[1] } });
    assert_eq!(strict.invoke(job).await.unwrap_err().error_type, "InvalidRequest");
}

/// What Linux knows of the one process of a function whose environment has that variable.
#[cfg(target_os = "linux")]
fn process(variable: &str) -> (u32, Vec<String>) {
    let processes = std::fs::read_dir("/proc").unwrap();
    let mut found = processes.filter_map(|entry| {
        let id: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let environment = std::fs::read(format!("/proc/{id}/environ")).ok()?;
        let variables: Vec<String> = environment
            .split(|byte| *byte == 0)
            .map(|each| String::from_utf8_lossy(each).into_owned())
            .collect();
        variables.iter().any(|each| each == variable).then_some((id, variables))
    });
    let first = found.next().expect("the process");
    assert!(found.next().is_none(), "there is but one");
    first
}

/// The most that a process has ever held in memory, in KiB.
#[cfg(target_os = "linux")]
fn most_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn sweep(function: &Function) -> Value {
    function.invoke(json!({ "job": "sweep" })).await.unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_runtimes_own_port_is_not_called_even_in_a_local_run() {
    let world = World::start().await;
    let alone = world.another_webhook(&[("STORY", world.table.endpoint())], Duration::from_secs(30));
    sweep(&alone).await;
    let (_, variables) = process(&format!("STORY={}", world.table.endpoint()));
    let runtime = variables.iter().find_map(|each| each.strip_prefix("AWS_LAMBDA_RUNTIME_API=")).unwrap();
    let port = runtime.rsplit(':').next().unwrap();

    // Who called it would take the next event away, or answer this one.
    let hosts = ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0"];
    let urls = hosts.map(|host| format!("http://{host}:{port}/2018-06-01/runtime/invocation/next?{host}"));
    let id = world.ask(to(&urls)).await;
    world.wait_for(&id, "READY").await;
    assert_eq!(sweep(&alone).await["givenUp"], urls.len());
    assert_eq!(ends(&world.deliveries(&id).await), [("FAILED", "its address is not public"); 5]);
    assert_eq!(sweep(&alone).await["due"], 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_answer_without_an_end_is_read_no_further_than_it_matters() {
    let world = World::start().await;
    let alone = world.another_webhook(&[("STORY", world.table.endpoint())], Duration::from_secs(30));
    let send = async |behaviour: Behaviour| {
        world.destinations.usually(Kind::Webhook, behaviour);
        let urls: Vec<String> = (0..10).map(|n| world.hook(&format!("crm{n}"))).collect();
        let id = world.ask(to(&urls)).await;
        world.wait_for(&id, "READY").await;
        sweep(&alone).await["delivered"].clone()
    };
    assert_eq!(send(Behaviour::Ok).await, 10);
    let (process, _) = process(&format!("STORY={}", world.table.endpoint()));
    let before = most_memory(process);
    assert_eq!(send(Behaviour::Huge).await, 10);
    let more = most_memory(process) - before;
    assert!(more < 32 * 1024, "{more} KiB more");
}

/// Answers every connection with these bytes, and leaves it open.
async fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 64 * 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(bytes).await;
                std::future::pending::<()>().await;
            });
        }
    });
    url
}

#[tokio::test]
async fn the_status_is_the_answer_whatever_comes_behind_it() {
    let world = World::with(&[("LEASE_SECONDS", "60")]).await;
    let short = world.another_webhook(&[("LEASE_SECONDS", "60")], SHORT);
    let urls = [
        answering(b"HTTP/1.1 204 No Content\r\n\r\n").await,
        answering(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbroken o").await,
        answering(b"HTTP/1.1 299 Odd\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").await,
        answering(b"HTTP/1.1 201 Created\r\ncontent-length: 9\r\n\r\n\xff\xfe{\"ok\": t").await,
        answering(b"HTTP/1.1 410 Gone\r\ncontent-length: 100\r\n\r\nthe words never co").await,
        answering(b"HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").await,
        answering(b"SSH-2.0-OpenSSH_9.6\r\n").await,
        answering(b"").await,
    ];
    let id = world.ask(to(&urls)).await;
    world.wait_for(&id, "READY").await;
    sweep(&short).await;
    let deliveries = world.deliveries(&id).await;
    let delivered = ("DELIVERED", "");
    let expected = [
        delivered,
        delivered,
        delivered,
        delivered,
        ("FAILED", "the webhook answered 410"),
        ("PENDING", "the webhook answered 500"),
        ("PENDING", "no answer"),
        ("PENDING", "no answer"),
    ];
    assert_eq!(ends(&deliveries), expected);

    // As the vendors' stand-in has it.
    for behaviour in [Behaviour::Garbage, Behaviour::WrongType, Behaviour::Slow(Duration::from_millis(500))] {
        world.destinations.next(Kind::Webhook, behaviour);
        let id = world.ask(to(&[world.hook("crm")])).await;
        world.wait_for(&id, "READY").await;
        sweep(&world.webhook).await;
        assert_eq!(ends(&world.deliveries(&id).await), [delivered]);
    }
}
