use super::*;
use axum::routing::any;

const PATIENCE: Duration = Duration::from_secs(10);

/// An upstream that answers what it was asked, and the proxy before it.
struct World {
    proxy: Proxy,
    upstream: Server,
    heard: Arc<Mutex<Vec<String>>>,
    client: reqwest::Client,
}

async fn world() -> World {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = heard.clone();
    let echo = async move |uri: Uri, headers: HeaderMap, body: String| {
        let told = headers.get("x-told").cloned();
        lock(&hearing).push(format!("{uri} {body}"));
        let mut response = (StatusCode::CREATED, body).into_response();
        if let Some(told) = told {
            response.headers_mut().insert("x-told", told);
        }
        response
    };
    let upstream = Router::new().fallback(any(echo)).layer(DefaultBodyLimit::disable());
    let upstream = Server::start((Ipv4Addr::LOCALHOST, 0).into(), upstream).await.unwrap();
    World {
        proxy: Proxy::start(upstream.url()).await.unwrap(),
        upstream,
        heard,
        client: crate::client().timeout(PATIENCE).build().unwrap(),
    }
}

impl World {
    fn call(&self, operation: &str, body: &str) -> impl Future<Output = Result<u16, reqwest::Error>> + use<> {
        let target = format!("DynamoDB_20120810.{operation}");
        let request = self.client.post(self.proxy.url() + "/").header("x-amz-target", target);
        let sent = request.body(body.to_owned()).send();
        async { Ok(sent.await?.status().as_u16()) }
    }

    fn heard(&self) -> Vec<String> {
        lock(&self.heard).clone()
    }

    async fn until_heard(&self, count: usize) {
        let heard = async {
            while self.heard().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.unwrap();
    }
}

#[tokio::test]
async fn calls_pass_unchanged_and_are_counted() {
    let world = world().await;

    let large = "x".repeat(3_000_000);
    let url = world.proxy.url() + "/some/path?q=a%20b";
    let sent = world.client.put(url).header("x-told", "tale").body(large.clone());
    let answer = sent.send().await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["x-told"], "tale");
    assert_eq!(answer.text().await.unwrap(), large);
    assert_eq!(world.heard(), [format!("/some/path?q=a%20b {large}")]);

    world.call("PutItem", "{}").await.unwrap();
    world.call("PutItem", "{}").await.unwrap();
    assert_eq!(world.proxy.count("PutItem"), 2);
    let calls = world.proxy.calls();
    assert_eq!(calls[0].operation, "PUT /some/path");
    assert_eq!((calls[1].upstream, calls[1].status), (Some(201), Some(201)));
}

#[tokio::test]
async fn a_greeting_passes_and_is_neither_counted_nor_broken() {
    let world = world().await;
    world.proxy.on(Match::any(), Fault::CutBefore);
    let url = world.proxy.url() + "/";
    for greeting in [world.client.get(&url), world.client.head(&url)] {
        assert_eq!(greeting.send().await.unwrap().status(), 201);
    }
    assert_eq!(world.heard(), ["/ ", "/ "]);
    assert_eq!(world.proxy.calls(), []);
    assert!(world.call("GetItem", "{}").await.is_err());
}

#[tokio::test]
async fn the_nth_call_of_an_operation_fails_and_the_others_do_not() {
    let world = world().await;
    world.proxy.on(Match::operation("UpdateItem").nth(2), Fault::throttled());
    world.proxy.on(Match::any().containing("r-7").times(2), Fault::internal_error());

    let mut statuses = Vec::new();
    for (operation, body) in [
        ("UpdateItem", "1"),
        ("PutItem", "2"),
        ("UpdateItem", "3"),
        ("UpdateItem", "4"),
        ("PutItem", "of r-7"),
        ("GetItem", "of r-7"),
        ("GetItem", "of r-7"),
    ] {
        statuses.push(world.call(operation, body).await.unwrap());
    }

    assert_eq!(statuses, [201, 201, 400, 201, 500, 500, 201]);
    assert_eq!(world.heard(), ["/ 1", "/ 2", "/ 4", "/ of r-7"]);
    assert_eq!(world.proxy.calls()[2].upstream, None);
}

#[tokio::test]
async fn a_connection_is_cut_before_or_after_the_effect() {
    let world = world().await;
    world.proxy.on(Match::operation("PutItem").times(1), Fault::CutBefore);
    world.proxy.on(Match::operation("PutItem").times(1), Fault::CutAfter);

    assert!(world.call("PutItem", "before").await.is_err());
    assert!(world.call("PutItem", "after").await.is_err());
    assert_eq!(world.call("PutItem", "whole").await.unwrap(), 201);

    assert_eq!(world.heard(), ["/ after", "/ whole"]);
    assert_eq!(world.proxy.calls()[1].upstream, Some(201));
    assert_eq!(world.proxy.calls()[1].status, None);
}

#[tokio::test]
async fn what_no_rule_is_for_is_decided_call_by_call_until_all_is_forgotten() {
    let world = world().await;
    world.proxy.on(Match::any().containing("of a rule"), Fault::internal_error());
    let mut chosen = 0;
    world.proxy.choose(move |call| {
        chosen += 1;
        (call.operation == "PutItem" && chosen == 2).then(Fault::throttled)
    });

    let mut statuses = Vec::new();
    for body in ["1", "of a rule", "2", "3"] {
        statuses.push(world.call("PutItem", body).await.unwrap());
    }
    assert_eq!(statuses, [201, 500, 400, 201]);

    world.proxy.choose(|_| Some(Fault::CutBefore));
    world.proxy.clear();
    assert_eq!(world.call("PutItem", "of a rule").await.unwrap(), 201);
}

#[tokio::test]
async fn a_held_call_takes_effect_when_released_though_its_caller_died() {
    let world = world().await;
    let hold = world.proxy.hold(Match::operation("PutItem"), Point::Before);

    let caller = tokio::spawn(world.call("PutItem", "held"));
    hold.arrived().await.unwrap();
    assert_eq!(world.call("PutItem", "other").await.unwrap(), 201);
    caller.abort();
    assert_eq!(world.heard(), ["/ other"]);

    hold.release();
    world.until_heard(2).await;
    assert_eq!(world.heard(), ["/ other", "/ held"]);
}

#[tokio::test]
async fn a_call_held_after_its_effect_has_had_it() {
    let world = world().await;
    let hold = world.proxy.hold(Match::operation("PutItem").nth(2), Point::After);

    world.call("PutItem", "first").await.unwrap();
    let caller = tokio::spawn(world.call("PutItem", "second"));
    hold.arrived().await.unwrap();
    assert_eq!(world.heard(), ["/ first", "/ second"]);
    assert!(!caller.is_finished());

    hold.release();
    assert_eq!(caller.await.unwrap().unwrap(), 201);
}

#[tokio::test]
async fn a_discarded_call_never_takes_effect() {
    let world = world().await;
    let hold = world.proxy.hold(Match::any(), Point::Before);

    let caller = tokio::spawn(world.call("PutItem", "held"));
    hold.arrived().await.unwrap();
    hold.discard();

    assert!(caller.await.unwrap().is_err());
    assert_eq!(world.heard(), [""; 0]);
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_a_502_and_rules_can_be_cleared() {
    let World { proxy, upstream, client, .. } = world().await;
    proxy.on(Match::any(), Fault::internal_error());
    assert_eq!(client.get(proxy.url() + "/there").send().await.unwrap().status(), 500);

    proxy.clear();
    drop(upstream);
    assert_eq!(client.get(proxy.url() + "/there").send().await.unwrap().status(), 502);
}
