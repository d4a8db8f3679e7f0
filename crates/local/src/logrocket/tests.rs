use super::*;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::json;

/// A webhook that answers 200 and keeps what it was told.
struct World {
    logrocket: LogRocket,
    webhook: Server,
    told: Arc<Mutex<Vec<Value>>>,
    client: reqwest::Client,
}

async fn world() -> World {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hear = async |State(told): State<Arc<Mutex<Vec<Value>>>>, body: String| {
        lock(&told).push(serde_json::from_str(&body).unwrap());
        StatusCode::OK
    };
    let router = Router::new().route("/webhook", post(hear)).with_state(told.clone());
    let options = Options { callback_after: Duration::from_millis(20), ..Options::default() };
    World {
        logrocket: LogRocket::start(options).await.unwrap(),
        webhook: Server::start((Ipv4Addr::LOCALHOST, 0).into(), router).await.unwrap(),
        told,
        client: crate::client()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap(),
    }
}

impl World {
    fn body(&self) -> Value {
        json!({"userEmail": "alice@example.com", "webhookURL": self.webhook.url() + "/webhook?request=r"})
    }

    fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        let url = self.logrocket.url() + "/v1/orgs/acme/apps/shop/highlights/";
        let key = format!("token {}", self.logrocket.api_key());
        self.client.post(url).header("authorization", key).json(body)
    }

    /// Asks as documented; gives LogRocket's id.
    async fn ask(&self) -> String {
        let answer = self.post(&self.body()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let answer: Value = answer.json().await.unwrap();
        answer["id"].as_str().unwrap().to_owned()
    }

    fn poll(&self, id: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/v1/orgs/acme/apps/shop/highlights?id={id}", self.logrocket.url());
        let key = format!("token {}", self.logrocket.api_key());
        self.client.get(url).header("authorization", key)
    }

    async fn polled(&self, id: &str) -> Value {
        self.poll(id).send().await.unwrap().json().await.unwrap()
    }

    /// The statuses that the webhook was told, in order.
    fn told(&self) -> Vec<String> {
        let told = lock(&self.told);
        told.iter().map(|body| body["status"].as_str().unwrap().to_owned()).collect()
    }

    async fn control(&self, path: &str, body: Value) -> (u16, Value) {
        // As `curl -d` sends it.
        let request = self.client.post(self.logrocket.url() + path).body(body.to_string());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

const MOMENT: Duration = Duration::from_millis(60);

#[tokio::test]
async fn a_post_that_nothing_is_queued_for_goes_as_is_decided_for_it_else_as_usual() {
    let world = world().await;
    world.logrocket.choose(|post| (post.body["userID"] == "1").then(|| Behaviour::status(503)));
    world.logrocket.next(Behaviour::status(429));

    let mut statuses = Vec::new();
    for user in ["1", "1", "2"] {
        let body = json!({ "userID": user });
        statuses.push(world.post(&body).send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [429, 503, 200]);
}

#[tokio::test]
async fn a_post_is_answered_with_an_id_and_called_back() {
    let world = world().await;
    world.logrocket.next(Behaviour::ready().after(Duration::from_millis(300)));

    let id = world.ask().await;
    assert!(id.len() == 64 && id.bytes().all(|digit| digit.is_ascii_hexdigit()));
    assert_eq!(world.polled(&id).await["status"], "PENDING");

    let callbacks = world.logrocket.wait_for_callbacks(1).await.unwrap();
    assert_eq!(callbacks[0].status, Some(200));
    assert!(callbacks[0].url.ends_with("/webhook?request=r"));
    let told = lock(&world.told)[0].clone();
    assert_eq!((&told["status"], &told["requestID"]), (&json!("READY"), &json!(id)));
    assert_eq!(world.polled(&id).await, told);

    let posts = world.logrocket.posts();
    assert_eq!(posts[0].logrocket_request_id.as_ref(), Some(&id));
    assert_eq!(posts[0].status, Some(200));
    assert!(posts[0].authorized && !posts[0].headers.contains_key("authorization"));
    assert_eq!(posts[0].body, world.body());
    assert_eq!(world.logrocket.polls().len(), 2);
}

#[tokio::test]
async fn what_logrocket_would_refuse_is_refused() {
    let world = world().await;
    for (body, status) in [
        (json!({}), 400),
        (json!([]), 400),
        (json!({"userEmail": "a@b", "userID": "u"}), 400),
        (json!({"userID": 7}), 400),
        (json!({"userID": "u", "question": 7}), 400),
        (json!({"userID": "u", "timeRange": {"startMs": 5}}), 400),
        (json!({"userID": "u", "timeRange": {"startMs": 5, "endMs": 5}}), 400),
        (json!({"userID": "u", "webhookURL": "/webhook"}), 400),
        (json!({"userID": "u", "timeRange": {"startMs": 5, "endMs": 6}}), 200),
    ] {
        let answer = world.post(&body).send().await.unwrap();
        assert_eq!(answer.status(), status, "{body}");
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["error"].is_string(), status == 400, "{answer}");
    }

    let url = world.logrocket.url() + "/v1/orgs/acme/apps/shop/highlights";
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    let wrong_key = world.client.post(url.clone() + "/").header("authorization", "token no");
    assert_eq!(status(wrong_key.json(&world.body())).await, 401);
    assert_eq!(status(world.client.post(url.clone() + "/").json(&world.body())).await, 401);
    assert_eq!(status(world.client.get(url.clone() + "?id=x")).await, 401);
    assert_eq!(status(world.client.post(url.clone()).json(&world.body())).await, 405);
    assert_eq!(status(world.poll("unknown")).await, 404);
    let other = world.logrocket.url() + "/v1/orgs/acme/apps/other/highlights/";
    let key = format!("token {}", world.logrocket.api_key());
    assert_eq!(status(world.client.post(other).header("authorization", key).json(&world.body())).await, 404);
}

#[tokio::test]
async fn an_error_answer_is_not_taken_unless_told_so() {
    let world = world().await;
    world.logrocket.next(Behaviour::status(429).retry_after(7).body("slow down"));
    world.logrocket.next(Behaviour::status(502).taken(true));
    world.logrocket.next(Behaviour::status(301));

    let answer = world.post(&world.body()).send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "7");
    assert_eq!(answer.text().await.unwrap(), "slow down");
    let answer = world.post(&world.body()).send().await.unwrap();
    assert_eq!(answer.status(), 502);
    let answer = world.post(&world.body()).send().await.unwrap();
    assert_eq!(answer.status(), 301);
    assert!(answer.headers().contains_key("location"));

    world.logrocket.wait_for_callbacks(1).await.unwrap();
    tokio::time::sleep(MOMENT).await;
    let posts = world.logrocket.posts();
    assert_eq!(posts[0].logrocket_request_id, None);
    let told = lock(&world.told)[0]["requestID"].clone();
    assert_eq!(world.told(), ["READY"]);
    assert_eq!(posts[1].logrocket_request_id.as_deref(), told.as_str());
}

#[tokio::test]
async fn broken_answers_are_broken_and_their_requests_go_on() {
    let world = world().await;
    world.logrocket.next(Behaviour::garbage());
    world.logrocket.next(Behaviour::without_id());
    world.logrocket.next(Behaviour::cut().taken(true));
    world.logrocket.next(Behaviour::hang().taken(true));

    let garbage = world.post(&world.body()).send().await.unwrap();
    assert!(garbage.json::<Value>().await.is_err());
    let without = world.post(&world.body()).send().await.unwrap();
    assert_eq!(without.json::<Value>().await.unwrap(), json!({}));
    let cut = world.post(&world.body()).send().await.unwrap_err();
    assert!(!cut.is_timeout());
    let hanging = world.post(&world.body()).timeout(MOMENT).send().await.unwrap_err();
    assert!(hanging.is_timeout());

    world.logrocket.wait_for_callbacks(4).await.unwrap();
    assert_eq!(world.told(), ["READY"; 4]);
    assert_eq!(world.logrocket.posts()[3].status, None);
}

#[tokio::test]
async fn a_callback_can_come_before_the_answer() {
    let world = world().await;
    world.logrocket.next(Behaviour::ready().early());

    let id = world.ask().await;

    assert_eq!(world.told(), ["READY"]);
    assert_eq!(lock(&world.told)[0]["requestID"], json!(id));
    assert_eq!(world.logrocket.callbacks()[0].status, Some(200));
}

#[tokio::test]
async fn callbacks_come_twice_never_late_or_reordered() {
    let world = world().await;
    let (soon, later) = (Duration::from_millis(5), Duration::from_millis(200));

    world.logrocket.next(Behaviour::ready().twice());
    world.ask().await;
    world.logrocket.wait_for_callbacks(2).await.unwrap();
    assert_eq!(world.told(), ["READY", "READY"]);

    world.logrocket.next(Behaviour::lost().after(soon));
    let lost = world.ask().await;
    tokio::time::sleep(MOMENT).await;
    assert_eq!(world.told().len(), 2);
    assert_eq!(world.polled(&lost).await["status"], "READY");

    let reordered = [Step::new(Outcome::Failed).after(later), Step::new(Outcome::Ready).after(soon)];
    world.logrocket.next(Behaviour::steps(reordered));
    let id = world.ask().await;
    world.logrocket.wait_for_callbacks(4).await.unwrap();
    assert_eq!(world.told()[2..], ["READY", "FAILED"]);
    assert_eq!(world.polled(&id).await["status"], "READY");

    world.logrocket.next(Behaviour::failed());
    world.ask().await;
    world.ask().await;
    world.logrocket.wait_for_callbacks(6).await.unwrap();
    assert_eq!(world.told()[4..], ["FAILED", "READY"]);
}

#[tokio::test]
async fn a_test_can_call_back_itself_and_forge() {
    let world = world().await;
    world.logrocket.usually(Behaviour::manual());
    let id = world.ask().await;
    tokio::time::sleep(MOMENT).await;
    assert_eq!(world.told(), [""; 0]);

    let mut forged = world.logrocket.payload(&id, Outcome::Failed).unwrap();
    forged["requestID"] = json!("another");
    let url = world.logrocket.posts()[0].webhook_url().unwrap().to_owned();
    assert_eq!(world.logrocket.post_callback(&url, &forged).await.unwrap(), 200);
    assert_eq!(world.polled(&id).await["status"], "PENDING");

    assert_eq!(world.logrocket.send_callback(&id, Outcome::Ready).await.unwrap(), 200);
    assert_eq!(world.told(), ["FAILED", "READY"]);
    assert_eq!(world.polled(&id).await["status"], "READY");
    let unknown = world.logrocket.send_callback("unknown", Outcome::Ready).await;
    assert!(matches!(unknown, Err(Error::UnknownID)));
}

#[tokio::test]
async fn polls_misbehave_on_demand() {
    let world = world().await;
    let id = world.ask().await;
    world.logrocket.wait_for_callbacks(1).await.unwrap();
    for answer in [
        PollAnswer::Pending,
        PollAnswer::OtherId,
        PollAnswer::Status(500),
        PollAnswer::Garbage,
        PollAnswer::Cut,
        PollAnswer::Body("{\"a\":\"\\ud800\"}".to_owned()),
    ] {
        world.logrocket.next_poll(answer);
    }

    assert_eq!(world.polled(&id).await["status"], "PENDING");
    assert_ne!(world.polled(&id).await["requestID"], json!(id));
    assert_eq!(world.poll(&id).send().await.unwrap().status(), 500);
    assert!(world.poll(&id).send().await.unwrap().json::<Value>().await.is_err());
    assert!(world.poll(&id).send().await.is_err());
    assert_eq!(world.poll(&id).send().await.unwrap().text().await.unwrap(), "{\"a\":\"\\ud800\"}");
    assert_eq!(world.polled(&id).await["status"], "READY");

    world.logrocket.usually_poll(PollAnswer::Status(404));
    assert_eq!(world.poll(&id).send().await.unwrap().status(), 404);
    let statuses: Vec<_> = world.logrocket.polls().iter().map(|poll| poll.status).collect();
    let expected = [Some(200), Some(200), Some(500), Some(200), None, Some(200), Some(200), Some(404)];
    assert_eq!(statuses, expected);
}

#[tokio::test]
async fn a_held_post_goes_on_though_its_caller_died_or_is_never_heard() {
    let world = world().await;

    let hold = world.logrocket.hold_next_post();
    let caller = tokio::spawn(world.post(&world.body()).send());
    hold.arrived().await.unwrap();
    assert_eq!(world.logrocket.posts()[0].logrocket_request_id, None);
    caller.abort();
    hold.release();
    world.logrocket.wait_for_callbacks(1).await.unwrap();
    assert!(world.logrocket.posts()[0].logrocket_request_id.is_some());

    let hold = world.logrocket.hold_next_post();
    let caller = tokio::spawn(world.post(&world.body()).send());
    hold.arrived().await.unwrap();
    hold.discard();
    assert!(caller.await.unwrap().is_err());
    assert_eq!(world.logrocket.posts()[1].logrocket_request_id, None);
}

#[tokio::test]
async fn it_is_controlled_from_outside_the_process() {
    let world = world().await;

    let (status, queued) =
        world.control("/control/next", json!([{"steps": []}, {"answer": {"status": 500}}])).await;
    assert_eq!((status, queued), (200, json!({"queued": 2})));
    let (status, problem) = world.control("/control/next", json!({"stpes": []})).await;
    assert_eq!(status, 422);
    assert!(problem["error"].as_str().unwrap().contains("stpes"), "{problem}");
    world.control("/control/polls/next", json!("pending")).await;
    world.control("/control/polls/usual", json!({"status": 503})).await;

    let id = world.ask().await;
    assert_eq!(world.post(&world.body()).send().await.unwrap().status(), 500);
    let (status, told) = world.control("/control/callback", json!({"id": id, "outcome": "FAILED"})).await;
    assert_eq!((status, told), (200, json!({"status": 200})));
    assert_eq!(world.told(), ["FAILED"]);
    assert_eq!(world.polled(&id).await["status"], "PENDING");
    assert_eq!(world.poll(&id).send().await.unwrap().status(), 503);

    for (path, count) in [("posts", 2), ("polls", 2), ("callbacks", 1)] {
        let url = format!("{}/control/{path}", world.logrocket.url());
        let seen: Value = world.client.get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(seen.as_array().unwrap().len(), count, "{seen}");
    }
}

#[tokio::test]
async fn dropping_it_ends_its_callbacks() {
    let world = world().await;
    world.logrocket.next(Behaviour::ready().after(Duration::from_millis(200)));
    world.ask().await;
    let World { logrocket, told, webhook: _webhook, .. } = world;
    drop(logrocket);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(lock(&told).len(), 0);
}
