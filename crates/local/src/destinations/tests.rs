use super::*;
use axum::http::Method;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{RequestBuilder, Response};
use sha2::Sha256;

const MOMENT: Duration = Duration::from_millis(80);

struct World {
    destinations: Destinations,
    secrets: Value,
    client: reqwest::Client,
}

async fn world() -> World {
    let destinations = Destinations::start(Options::default()).await.unwrap();
    let client = crate::client()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap();
    World { secrets: destinations.secrets(), destinations, client }
}

/// A call as it should be, to be spoilt.
struct Ask {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Value,
    form: bool,
}

impl Ask {
    fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_string()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    fn body(mut self, body: Value) -> Self {
        self.body = body;
        self
    }

    fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = self.body.pointer_mut(parent).unwrap();
        match parent {
            Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
            parent => parent[name] = value,
        }
        self
    }
}

fn ask(path: impl Into<String>, body: Value) -> Ask {
    let headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
    Ask { method: Method::POST, path: path.into(), headers, body, form: false }
}

impl World {
    fn secret(&self, pointer: &str) -> String {
        self.secrets.pointer(pointer).and_then(Value::as_str).unwrap().to_owned()
    }

    fn slack(&self) -> Ask {
        let body = json!({"channel": "C0SUPPORT", "markdown_text": "**It** [fails](https://x.test/a).", "unfurl_links": false});
        ask("/slack/api/chat.postMessage", body)
            .header("authorization", format!("Bearer {}", self.secret("/slack/botToken")))
    }

    fn slack_hook(&self) -> Ask {
        ask("/slack/hooks/nps", json!({"blocks": [{"type": "markdown", "text": "*It* fails."}]}))
    }

    fn zendesk(&self) -> Ask {
        let pair = format!("{}/token:{}", self.secret("/zendesk/email"), self.secret("/zendesk/apiToken"));
        let body = json!({"ticket": {"comment": {"html_body": "<p>It <b>fails</b>.</p>", "public": false}}});
        let put = Ask { method: Method::PUT, ..ask("/zendesk/api/v2/tickets/35436.json", body) };
        put.header("authorization", format!("Basic {}", STANDARD.encode(pair)))
    }

    fn intercom(&self) -> Ask {
        let body = json!({"message_type": "note", "type": "admin", "admin_id": self.secret("/intercom/adminID"),
            "body": "<p>It fails.</p>"});
        ask("/intercom/conversations/525/reply", body)
            .header("authorization", format!("Bearer {}", self.secret("/intercom/accessToken")))
            .header("intercom-version", "2.14")
    }

    fn hubspot(&self) -> Ask {
        let body = json!({
            "properties": {"hs_timestamp": "2026-01-02T03:04:05.678Z", "hs_note_body": "<p>It fails.</p>"},
            "associations": [{"to": {"id": "101"},
                "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}]}]});
        ask("/hubspot/crm/v3/objects/notes", body)
            .header("authorization", format!("Bearer {}", self.secret("/hubspot/accessToken")))
    }

    fn salesforce_token(&self) -> Ask {
        let body = json!({"grant_type": "client_credentials", "client_id": self.secret("/salesforce/clientID"),
            "client_secret": self.secret("/salesforce/clientSecret")});
        Ask { form: true, ..ask("/salesforce/services/oauth2/token", body) }.without("content-type")
    }

    async fn salesforce(&self) -> Ask {
        let token = self.answer(self.salesforce_token()).await;
        let body = json!({"Subject": "Highlights", "Description": "It fails.", "Status": "Completed",
            "ActivityDate": "2026-01-02", "WhatId": "001000000000001AAA"});
        ask("/salesforce/services/data/v62.0/sobjects/Task", body)
            .header("authorization", format!("Bearer {}", token["access_token"].as_str().unwrap()))
    }

    fn teams(&self) -> Ask {
        let card = json!({"type": "AdaptiveCard", "version": "1.4",
            "body": [{"type": "TextBlock", "text": "It **fails**.", "wrap": true}],
            "actions": [{"type": "Action.OpenUrl", "title": "Watch", "url": "https://x.test/a"}]});
        let attachment = json!({"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card});
        ask("/teams/support", json!({"type": "message", "attachments": [attachment]}))
    }

    fn webhook(&self) -> Ask {
        let body = json!({"requestID": "r", "status": "READY", "result": {"highlights": "It *fails*."}});
        self.signed(ask("/hook/acme", body), "msg_1", now_ms() / 1000)
    }

    fn signed(&self, ask: Ask, id: &str, at: u64) -> Ask {
        let key =
            STANDARD.decode(self.secret("/webhook/signingSecret").trim_start_matches("whsec_")).unwrap();
        let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        let signature = mac.chain_update(format!("{id}.{at}.{}", ask.body)).finalize().into_bytes();
        ask.header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", format!("v1,bm8= v1,{}", STANDARD.encode(signature)))
    }

    fn eventbridge(&self) -> Ask {
        let entry = json!({"Source": "galileo-highlights", "DetailType": "Highlights Status Change",
            "Detail": "{\"status\":\"READY\",\"result\":{\"highlights\":\"It fails.\"}}", "EventBusName": "highlights"});
        aws(ask("/eventbridge/", json!({"Entries": [entry]})), "events", "AWSEvents.PutEvents", "1.1")
    }

    fn success(&self, token: &str) -> Ask {
        let body = json!({"taskToken": token, "output": "{\"status\":\"READY\"}"});
        aws(ask("/states/", body), "states", "AWSStepFunctions.SendTaskSuccess", "1.0")
    }

    fn failure(&self, token: &str) -> Ask {
        let body = json!({"taskToken": token, "error": "Highlights.FAILED", "cause": "LogRocket gave up"});
        aws(ask("/states/", body), "states", "AWSStepFunctions.SendTaskFailure", "1.0")
    }

    /// A right call of every kind.
    async fn all(&self) -> Vec<(Kind, Ask)> {
        let token = self.destinations.issue_token();
        vec![
            (Kind::Slack, self.slack()),
            (Kind::SlackWebhook, self.slack_hook()),
            (Kind::Zendesk, self.zendesk()),
            (Kind::Intercom, self.intercom()),
            (Kind::Hubspot, self.hubspot()),
            (Kind::Salesforce, self.salesforce().await),
            (Kind::SalesforceToken, self.salesforce_token()),
            (Kind::Teams, self.teams()),
            (Kind::Webhook, self.webhook()),
            (Kind::EventBridge, self.eventbridge()),
            (Kind::StepFunctions, self.success(&token)),
        ]
    }

    fn request(&self, ask: Ask) -> RequestBuilder {
        let mut request = self.client.request(ask.method, self.destinations.url() + &ask.path);
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        if ask.form {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in ask.body.as_object().unwrap() {
                form.append_pair(name, value.as_str().unwrap());
            }
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            return request.body(form.finish());
        }
        match ask.body {
            Value::String(text) => request.body(text),
            body => request.body(body.to_string()),
        }
    }

    async fn send(&self, ask: Ask) -> Response {
        self.request(ask).send().await.unwrap()
    }

    async fn answer(&self, ask: Ask) -> Value {
        self.send(ask).await.json().await.unwrap()
    }

    /// Each is refused with that status and a body with that word in it, and leaves nothing behind.
    async fn refuses(&self, cases: impl IntoIterator<Item = (Ask, u16, &str)>) {
        for (ask, status, word) in cases {
            let seen = self.destinations.messages().len();
            let answer = self.send(ask).await;
            let given = answer.status().as_u16();
            let body = answer.text().await.unwrap();
            let call = self.last();
            assert_eq!(given, status, "{body} {:?}", call.complaint);
            assert!(body.contains(word), "{word} is not in {body}");
            assert!(!call.accepted && call.ended && call.complaint.is_some(), "{body}");
            assert_eq!(call.status, Some(status));
            assert_eq!(self.destinations.messages().len(), seen);
        }
    }

    fn last(&self) -> Received {
        self.destinations.received().last().unwrap().clone()
    }

    fn seen(&self) -> Message {
        self.destinations.messages().last().unwrap().clone()
    }

    async fn control(&self, path: &str, body: Value) -> (u16, Value) {
        // As `curl -d` sends it.
        let request = self.client.post(self.destinations.url() + path).body(body.to_string());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

fn aws(ask: Ask, service: &str, target: &str, version: &str) -> Ask {
    let credential = format!("local/20260102/us-east-1/{service}/aws4_request");
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host;x-amz-date, Signature=00");
    ask.header("authorization", authorization)
        .header("content-type", format!("application/x-amz-json-{version}"))
        .header("x-amz-target", target)
}

#[tokio::test]
async fn a_call_that_nothing_is_queued_for_goes_as_is_decided_for_it_else_as_usual() {
    let world = world().await;
    world.destinations.choose(|call| (call.kind == Kind::Slack).then(|| Behaviour::status(503)));
    world.destinations.next(Kind::Slack, Behaviour::status(418));

    let mut statuses = Vec::new();
    for ask in [world.slack(), world.slack(), world.webhook()] {
        statuses.push(world.send(ask).await.status().as_u16());
    }
    assert_eq!(statuses, [418, 503, 200]);
}

#[tokio::test]
async fn slack_posts_what_is_right_and_answers_its_timestamp() {
    let world = world().await;

    let answer = world.answer(world.slack()).await;
    assert_eq!((&answer["ok"], &answer["channel"]), (&json!(true), &json!("C0SUPPORT")));
    let ts = answer["ts"].as_str().unwrap();
    assert!(answer.get("warning").is_none());
    let reply = world.slack().with("/thread_ts", json!(ts)).with("/channel", json!("#support"));
    let answer = world.answer(reply.header("content-type", "application/json")).await;
    assert_eq!(answer["message"]["thread_ts"], ts);
    assert_eq!((&answer["channel"], &answer["warning"]), (&json!("C0SUPPORT"), &json!("missing_charset")));

    let [first, second] = &world.destinations.messages()[..] else { panic!() };
    assert_eq!((first.place.as_str(), first.text.as_str()), ("C0SUPPORT", "It fails (https://x.test/a)."));
    assert_eq!((second.thread.as_deref(), first.id.as_deref()), (Some(ts), Some(ts)));
    for (text, told) in [("<!channel> hi", true), ("&lt;!channel&gt; hi", false), ("a < b <@U1>", true)] {
        world.send(world.slack().with("/markdown_text", json!(text))).await;
        assert_eq!(world.seen().text.contains("(notifies "), told, "{}", world.seen().text);
    }
    let call = &world.destinations.received()[0];
    assert!(call.accepted && !call.headers.contains_key("authorization"));
    assert_eq!((call.path.as_str(), call.status), ("/slack/api/chat.postMessage", Some(200)));
    assert_eq!(call.body["channel"], "C0SUPPORT");
}

#[tokio::test]
async fn slack_refuses_inside_a_200() {
    let world = world().await;
    for (channel, place) in
        [("C0GONE", Place::Missing), ("C0OLD", Place::Closed), ("C0OTHER", Place::Foreign)]
    {
        world.destinations.place(Kind::Slack, channel, place);
    }
    let slack = || world.slack();
    let ask = |field: &str, value| slack().with(&format!("/{field}"), value);
    let cases = [
        (slack().without("authorization"), "not_authed"),
        (slack().header("authorization", "Bearer xoxb-no"), "invalid_auth"),
        (slack().header("content-type", "application/xml"), "invalid_post_type"),
        (slack().path("/slack/api/chat.delete"), "unknown_method"),
        (slack().body(json!("{")), "invalid_json"),
        (ask("channel", Value::Null), "invalid_arguments"),
        (ask("channel", json!("Not a channel")), "channel_not_found"),
        (ask("channel", json!("C0GONE")), "channel_not_found"),
        (ask("channel", json!("C0OLD")), "is_archived"),
        (ask("channel", json!("C0OTHER")), "not_in_channel"),
        (ask("text", json!("too")), "markdown_text_conflict"),
        (ask("blocks", json!([])), "markdown_text_conflict"),
        (ask("markdown_text", json!("")), "no_text"),
        (ask("markdown_text", json!("x".repeat(12_001))), "msg_too_long"),
        (ask("thread_ts", json!("yesterday")), "invalid_thread_ts"),
        (ask("unfurl_links", json!("no")), "invalid_arguments"),
    ];
    let word = |(ask, code)| (ask, 200, code);
    world.refuses(cases.map(word)).await;
    world.send(ask("markdown_text", json!("x".repeat(12_000)))).await;
    assert!(world.last().accepted);
}

#[tokio::test]
async fn slacks_webhooks_answer_one_word() {
    let world = world().await;
    assert!(world.secret("/slack/webhooks/nps").ends_with("/slack/hooks/nps"));

    let answer = world.send(world.slack_hook()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "ok");
    assert_eq!((world.seen().place.as_str(), world.seen().text.as_str()), ("webhook nps", "It fails."));
    world.send(world.slack_hook().body(json!({"text": "a &lt;b&gt;"}))).await;
    assert_eq!(world.seen().text, "a <b>");

    let long = |text: String| json!({"blocks": [{"type": "markdown", "text": text}]});
    let blocks = |count| json!({"blocks": vec![json!({"type": "divider"}); count]});
    let hook = || world.slack_hook();
    world
        .refuses([
            (hook().path("/slack/hooks/other"), 404, "no_service"),
            (hook().body(json!("text=hi")), 400, "invalid_payload"),
            (hook().header("content-type", "text/plain"), 400, "invalid_payload"),
            (hook().body(json!({"text": ""})), 400, "no_text"),
            (hook().body(long("x".repeat(12_001))), 400, "invalid_blocks"),
            (hook().body(json!({"blocks": [{"type": "no"}]})), 400, "invalid_blocks"),
            (hook().body(blocks(51)), 400, "invalid_blocks"),
            (hook().body(json!({"blocks": "no"})), 400, "invalid_blocks_format"),
            (Ask { method: Method::PUT, ..hook() }, 405, "method"),
        ])
        .await;
    for (place, status, word) in [
        (Place::Missing, 404, "no_service"),
        (Place::Closed, 410, "channel_is_archived"),
        (Place::Foreign, 403, "action_prohibited"),
    ] {
        world.destinations.place(Kind::SlackWebhook, "nps", place);
        world.refuses([(hook(), status, word)]).await;
    }
}

#[tokio::test]
async fn zendesk_takes_internal_notes_and_tells_public_ones() {
    let world = world().await;

    let answer = world.answer(world.zendesk()).await;
    assert_eq!(answer["ticket"]["id"], 35436);
    assert_eq!(answer["audit"]["events"][0]["public"], false);
    let seen = world.seen();
    assert_eq!((seen.place.as_str(), seen.text.as_str()), ("ticket 35436, internal note", "It fails."));
    assert_eq!(seen.id, Some(answer["audit"]["id"].to_string()));
    let public = world.zendesk().body(json!({"ticket": {"comment": {"body": "plain"}}}));
    world.send(public.path("/zendesk/api/v2/tickets/35436")).await;
    assert_eq!((world.seen().place.as_str(), world.seen().text.as_str()), ("ticket 35436, public", "plain"));
}

#[tokio::test]
async fn zendesk_tells_what_was_done_to_a_ticket_the_latest_first() {
    let world = world().await;
    let audits = || {
        let mut ask = world.zendesk().path("/zendesk/api/v2/tickets/35436/audits.json");
        ask.method = Method::GET;
        ask
    };
    assert_eq!(world.answer(audits()).await["audits"], json!([]));
    for mark in ["one", "two"] {
        world.send(world.zendesk().with("/ticket/metadata", json!({ "mark": mark }))).await;
    }
    let told = world.answer(audits()).await;
    let marks: Vec<_> =
        told["audits"].as_array().unwrap().iter().map(|each| &each["metadata"]["custom"]).collect();
    assert_eq!(marks, [&json!({ "mark": "two" }), &json!({ "mark": "one" })]);
}

#[tokio::test]
async fn zendesk_refuses() {
    let world = world().await;
    for (id, place) in [("404", Place::Missing), ("422", Place::Closed), ("403", Place::Foreign)] {
        world.destinations.place(Kind::Zendesk, id, place);
    }
    let put = || world.zendesk();
    let comment = |value| put().with("/ticket/comment", value);
    let basic = |pair: String| format!("Basic {}", STANDARD.encode(pair));
    let without_token = format!("{}:{}", world.secret("/zendesk/email"), world.secret("/zendesk/apiToken"));
    world
        .refuses([
            (put().without("authorization"), 401, "Couldn't authenticate you"),
            (put().header("authorization", basic(without_token)), 401, "Couldn't authenticate you"),
            (put().path("/zendesk/api/v2/tickets/404.json"), 404, "RecordNotFound"),
            (put().path("/zendesk/api/v2/tickets/abc.json"), 404, "InvalidEndpoint"),
            (put().path("/zendesk/api/v2/tickets/422.json"), 422, "closed prevents ticket update"),
            (put().path("/zendesk/api/v2/tickets/403.json"), 403, "Forbidden"),
            (Ask { method: Method::POST, ..put() }, 405, "error"),
            (put().body(json!("no")), 400, "error"),
            (put().header("content-type", "text/plain"), 400, "error"),
            (put().body(json!({})), 422, "RecordInvalid"),
            (comment(json!({})), 422, "blank"),
            (comment(json!({"html_body": "<p> </p>"})), 422, "blank"),
            (comment(json!({"html_body": "x".repeat(65_537)})), 422, "too long"),
            (comment(json!({"html_body": "x", "public": "no"})), 422, "RecordInvalid"),
        ])
        .await;
}

#[tokio::test]
async fn a_safe_update_of_a_ticket_that_changed_conflicts() {
    let world = world().await;
    let read = Ask { method: Method::GET, ..world.zendesk() };
    let stamp = world.answer(read).await["ticket"]["updated_at"].clone();
    let safe = |stamp: &Value| {
        let ask = world.zendesk().with("/ticket/safe_update", json!(true));
        ask.with("/ticket/updated_stamp", stamp.clone())
    };

    tokio::time::sleep(Duration::from_millis(3)).await;
    let answer = world.answer(safe(&stamp)).await;
    assert_eq!(answer["ticket"]["id"], 35436);
    world.refuses([(safe(&stamp), 409, "UpdateConflict"), (safe(&json!("no")), 409, "UpdateConflict")]).await;
    world.send(safe(&answer["ticket"]["updated_at"])).await;
    assert!(world.last().accepted);
}

#[tokio::test]
async fn intercom_takes_notes_and_refuses_in_lists() {
    let world = world().await;
    let answer = world.answer(world.intercom()).await;
    let part = &answer["conversation_parts"]["conversation_parts"][0];
    assert_eq!((&part["part_type"], &answer["id"]), (&json!("note"), &json!("525")));
    assert_eq!(world.seen().id.as_deref(), part["id"].as_str());
    assert_eq!(world.seen().place, "conversation 525, note");

    world.destinations.place(Kind::Intercom, "404", Place::Missing);
    world.destinations.place(Kind::Intercom, "403", Place::Foreign);
    let post = || world.intercom();
    let ask = |field: &str, value| post().with(&format!("/{field}"), value);
    world
        .refuses([
            (post().header("authorization", "Bearer no"), 401, "unauthorized"),
            (post().header("intercom-version", "2.99"), 400, "intercom_version_invalid"),
            (post().header("intercom-version", "02.1"), 400, "intercom_version_invalid"),
            (post().path("/intercom/conversations/404/reply"), 404, "not_found"),
            (post().path("/intercom/conversations/403/reply"), 403, "api_plan_restricted"),
            (post().path("/intercom/conversations/525"), 404, "not_found"),
            (post().header("content-type", "text/plain"), 406, "media_type"),
            (post().body(json!([])), 400, "bad_request"),
            (ask("message_type", json!("quick_reply")), 400, "parameter_invalid"),
            (ask("type", Value::Null), 400, "parameter_not_found"),
            (ask("admin_id", json!(3_156_780)), 400, "parameter_not_found"),
            (ask("admin_id", json!("1")), 404, "admin_not_found"),
            (ask("body", Value::Null), 400, "parameter_not_found"),
            (ask("body", json!("<p></p>")), 400, "parameter_invalid"),
        ])
        .await;
    world.send(post().without("intercom-version").with("/message_type", json!("comment"))).await;
    assert_eq!(world.seen().place, "conversation 525, public");
}

#[tokio::test]
async fn hubspot_puts_notes_on_records_and_refuses_by_category() {
    let world = world().await;
    let answer = world.send(world.hubspot()).await;
    assert_eq!(answer.status(), 201);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(world.seen().id.as_deref(), answer["id"].as_str());
    assert_eq!((world.seen().place.as_str(), world.seen().text.as_str()), ("contact 101", "It fails."));
    for (kind, place) in [(190, "company 101"), (214, "deal 101"), (228, "ticket 101")] {
        world.send(world.hubspot().with("/associations/0/types/0/associationTypeId", json!(kind))).await;
        assert_eq!(world.seen().place, place);
    }

    world.destinations.place(Kind::Hubspot, "404", Place::Missing);
    world.destinations.place(Kind::Hubspot, "403", Place::Foreign);
    let post = || world.hubspot();
    let ask = |pointer: &str, value| post().with(pointer, value);
    world
        .refuses([
            (post().header("authorization", "Bearer no"), 401, "INVALID_AUTHENTICATION"),
            (post().path("/hubspot/crm/v3/objects/note"), 404, "NOT_FOUND"),
            (Ask { method: Method::PUT, ..post() }, 405, "error"),
            (post().header("content-type", "text/plain"), 415, "error"),
            (post().body(json!("{")), 400, "VALIDATION_ERROR"),
            (post().body(json!({})), 400, "VALIDATION_ERROR"),
            (ask("/properties/hs_timestamp", json!("now")), 400, "required properties"),
            (ask("/properties/hs_timestamp", json!("äää-01-02T03:04:05Z")), 400, "required properties"),
            (ask("/properties/hs_note_body", json!(7)), 400, "VALIDATION_ERROR"),
            (ask("/properties/hs_note_body", json!("x".repeat(65_537))), 400, "VALIDATION_ERROR"),
            (ask("/properties/colour", json!("red")), 400, "does not exist"),
            (ask("/associations", json!([])), 400, "VALIDATION_ERROR"),
            (ask("/associations/0/to/id", json!("abc")), 400, "VALIDATION_ERROR"),
            (ask("/associations/0/to/id", json!("404")), 404, "OBJECT_NOT_FOUND"),
            (ask("/associations/0/to/id", json!("403")), 403, "MISSING_SCOPES"),
            (ask("/associations/0/types", json!([])), 400, "VALIDATION_ERROR"),
            (ask("/associations/0/types/0/associationTypeId", json!(1)), 400, "VALIDATION_ERROR"),
            (ask("/associations/0/types/0/associationCategory", json!("MINE")), 400, "VALIDATION_ERROR"),
        ])
        .await;
    let timestamp = ask("/properties/hs_timestamp", json!("1767323045678"));
    assert_eq!(world.send(timestamp).await.status(), 201);
}

#[tokio::test]
async fn salesforce_gives_a_token_and_takes_tasks_with_it() {
    let world = world().await;
    let token = world.answer(world.salesforce_token()).await;
    assert_eq!(token["instance_url"], json!(world.secret("/salesforce/instanceURL")));
    assert!(token.get("expires_in").is_none());
    let form = world.last();
    assert_eq!(form.body["grant_type"], "client_credentials");
    assert!(form.accepted && form.body.get("client_secret").is_none());

    let ask = world.salesforce().await;
    let authorization = ask.headers.iter().find(|(name, _)| *name == "authorization").unwrap().1.clone();
    let answer = world.send(ask).await;
    assert_eq!(answer.status(), 201);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!((&answer["success"], &answer["errors"]), (&json!(true), &json!([])));
    let seen = world.seen();
    assert_eq!(seen.place, "account 001000000000001AAA");
    assert_eq!((seen.text.as_str(), seen.id.as_deref()), ("Highlights\nIt fails.", answer["id"].as_str()));
    let on_contact = world.salesforce().await.with("/WhatId", Value::Null);
    world.send(on_contact.with("/WhoId", json!("003000000000001"))).await;
    assert_eq!(world.seen().place, "contact 003000000000001");

    world.destinations.expire_tokens();
    let expired = world.salesforce().await.header("authorization", authorization);
    world.refuses([(expired, 401, "INVALID_SESSION_ID")]).await;
}

#[tokio::test]
async fn salesforce_refuses() {
    let world = world().await;
    let token = || world.salesforce_token();
    world
        .refuses([
            (token().with("/grant_type", json!("password")), 400, "unsupported_grant_type"),
            (token().with("/client_id", json!("no")), 400, "invalid_client_id"),
            (token().with("/client_secret", json!("no")), 400, "invalid_client"),
            (Ask { form: false, ..token() }, 400, "invalid_request"),
        ])
        .await;
    for (id, place) in [
        ("001000000000404", Place::Missing),
        ("001000000000410", Place::Closed),
        ("001000000000403", Place::Foreign),
    ] {
        world.destinations.place(Kind::Salesforce, id, place);
    }
    let right = world.salesforce().await;
    let authorization = right.headers.iter().find(|(name, _)| *name == "authorization").unwrap().1.clone();
    let task = || {
        ask(right.path.as_str(), right.body.clone())
            .header("authorization", authorization.as_str())
            .header("content-type", "application/json")
    };
    let ask = |field: &str, value| task().with(&format!("/{field}"), value);
    world
        .refuses([
            (task().header("authorization", "Bearer no"), 401, "INVALID_SESSION_ID"),
            (task().path("/salesforce/services/data/v9.0/sobjects/Task"), 404, "NOT_FOUND"),
            (task().path("/salesforce/services/data/v62.0/sobjects/Note"), 404, "NOT_FOUND"),
            (Ask { method: Method::PATCH, ..task() }, 405, "METHOD_NOT_ALLOWED"),
            (task().header("content-type", "text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE"),
            (task().body(json!("{")), 400, "JSON_PARSER_ERROR"),
            (ask("Subject", json!("x".repeat(256))), 400, "STRING_TOO_LONG"),
            (ask("Subject", json!(7)), 400, "JSON_PARSER_ERROR"),
            (ask("Description", json!("x".repeat(32_001))), 400, "STRING_TOO_LONG"),
            (ask("Status", json!("Done")), 400, "RESTRICTED_PICKLIST"),
            (ask("Colour", json!("red")), 400, "INVALID_FIELD"),
            (ask("WhatId", json!("001")), 400, "MALFORMED_ID"),
            (ask("WhatId", json!("003000000000001")), 400, "MALFORMED_ID"),
            (ask("WhoId", json!("001000000000001")), 400, "MALFORMED_ID"),
            (ask("WhatId", json!("001000000000404")), 400, "INVALID_CROSS_REFERENCE_KEY"),
            (ask("WhatId", json!("001000000000410")), 400, "ENTITY_IS_DELETED"),
            (ask("WhatId", json!("001000000000403")), 400, "INSUFFICIENT_ACCESS"),
        ])
        .await;
}

#[tokio::test]
async fn teams_answers_202_whatever_becomes_of_the_card() {
    let world = world().await;
    let answer = world.send(world.teams()).await;
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.text().await.unwrap(), "");
    let seen = world.seen();
    assert_eq!(
        (seen.place.as_str(), seen.text.as_str()),
        ("workflow support", "It fails.\n[Watch] https://x.test/a")
    );

    let card = |pointer: &str, value| world.teams().with(&format!("/attachments/0/content{pointer}"), value);
    let nested = json!([{"type": "ColumnSet", "columns": [{"type": "Column", "items": [
        {"type": "FactSet", "facts": [{"title": "Sessions", "value": "3"}]}]}]}]);
    world.send(card("/body", nested)).await;
    assert_eq!(world.seen().text, "Sessions: 3\n[Watch] https://x.test/a");

    world
        .refuses([
            (world.teams().with("/type", json!("card")), 202, ""),
            (world.teams().with("/attachments", json!([])), 202, ""),
            (world.teams().with("/attachments/0/contentType", json!("text/plain")), 202, ""),
            (card("/type", json!("MessageCard")), 202, ""),
            (card("/version", json!("1.6")), 202, ""),
            (card("/body", json!([{"type": "TextBlock"}])), 202, ""),
            (card("/body", json!([{"type": "Markdown", "text": "x"}])), 202, ""),
            (card("/body", json!([{"type": "TextBlock", "text": "x".repeat(28 * 1024)}])), 202, ""),
            (card("/actions", json!([{"type": "Action.OpenUrl", "title": "x"}])), 202, ""),
            (world.teams().body(json!("{")), 400, "InvalidRequestContent"),
            (world.teams().path("/teams/other"), 404, "WorkflowNotFound"),
        ])
        .await;
    for (place, status, word) in [
        (Place::Missing, 404, "WorkflowNotFound"),
        (Place::Closed, 400, "WorkflowTriggerIsNotEnabled"),
        (Place::Foreign, 401, "DirectApiAuthorizationRequired"),
    ] {
        world.destinations.place(Kind::Teams, "support", place);
        world.refuses([(world.teams(), status, word)]).await;
    }
}

#[tokio::test]
async fn a_webhooks_signature_is_checked() {
    let world = world().await;
    assert_eq!(world.send(world.webhook()).await.status(), 200);
    let seen = world.seen();
    assert_eq!((seen.id.as_deref(), seen.text.as_str()), (Some("msg_1"), "READY\nIt fails."));

    let now = now_ms() / 1000;
    let signed = |body, at| world.signed(ask("/hook/acme", body), "msg_2", at);
    world
        .refuses([
            (world.webhook().without("webhook-id"), 401, "unauthorized"),
            (world.webhook().without("webhook-timestamp"), 401, "unauthorized"),
            (world.webhook().without("webhook-signature"), 401, "unauthorized"),
            (world.webhook().header("webhook-id", "msg_2"), 401, "unauthorized"),
            (world.webhook().with("/status", json!("FAILED")), 401, "unauthorized"),
            (signed(json!({}), now - 400), 401, "unauthorized"),
            (signed(json!({}), now + 400), 401, "unauthorized"),
            (signed(json!([]), now), 400, "bad_request"),
            (world.webhook().header("content-type", "text/plain"), 400, "bad_request"),
        ])
        .await;
    for (place, status) in [(Place::Missing, 404), (Place::Closed, 410), (Place::Foreign, 403)] {
        world.destinations.place(Kind::Webhook, "acme", place);
        world.refuses([(world.webhook(), status, "error")]).await;
    }
}

#[tokio::test]
async fn eventbridge_takes_entries_and_fails_them_inside_a_200() {
    let world = world().await;
    let answer = world.answer(world.eventbridge()).await;
    assert_eq!(answer["FailedEntryCount"], 0);
    assert_eq!(world.seen().id.as_deref(), answer["Entries"][0]["EventId"].as_str());
    assert_eq!(world.seen().place, "bus highlights");
    assert_eq!(world.seen().text, "Highlights Status Change from galileo-highlights\nREADY\nIt fails.");
    let default = world.eventbridge().with("/Entries/0/EventBusName", Value::Null).path("/eventbridge");
    world.send(default).await;
    assert_eq!(world.seen().place, "bus default");

    let entry = |field: &str, value| world.eventbridge().with(&format!("/Entries/0/{field}"), value);
    let put = || world.eventbridge();
    // 42 bytes are the source and the detail-type, 8 the JSON around the text.
    let detail = |bytes: usize| json!(format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 42 - 8)));
    world.destinations.place(Kind::EventBridge, "secret", Place::Foreign);
    world
        .refuses([
            (put().without("authorization"), 403, "MissingAuthenticationToken"),
            (aws(put(), "states", "AWSEvents.PutEvents", "1.1"), 403, "InvalidSignature"),
            (put().header("content-type", "application/json"), 404, "UnknownOperation"),
            (put().header("x-amz-target", "AWSEvents.PutRule"), 400, "UnknownOperation"),
            (put().body(json!({"Entries": []})), 400, "ValidationException"),
            (entry("Source", Value::Null), 200, "InvalidArgument"),
            (entry("Source", json!("aws.ec2")), 200, "NotAuthorizedForSource"),
            (entry("DetailType", json!("x".repeat(129))), 200, "InvalidArgument"),
            (entry("Detail", json!("[]")), 200, "MalformedDetail"),
            (entry("Detail", detail(262_145)), 400, "over the limit"),
            (entry("EventBusName", json!("secret")), 400, "AccessDenied"),
            (entry("EventBusName", json!("nowhere")), 200, "EventId"),
        ])
        .await;
    world.send(entry("Detail", detail(262_144))).await;
    assert!(world.last().accepted);
    world.destinations.place(Kind::EventBridge, "nowhere", Place::Open);
    world.send(entry("EventBusName", json!("arn:aws:events:us-east-1:1:event-bus/nowhere"))).await;
    assert!(world.last().accepted);
}

#[tokio::test]
async fn a_task_is_answered_once() {
    let world = world().await;
    let (first, second) = (world.destinations.issue_token(), world.destinations.issue_token());
    assert_ne!(first, second);

    assert_eq!(world.answer(world.success(&first)).await, json!({}));
    assert!(world.seen().text.starts_with("succeeded\n"), "{:?}", world.seen());
    world
        .refuses([(world.success(&first), 400, "TaskTimedOut"), (world.failure(&first), 400, "TaskTimedOut")])
        .await;
    assert_eq!(world.answer(world.failure(&second)).await, json!({}));
    assert_eq!(world.seen().text, "failed\nHighlights.FAILED\nLogRocket gave up");

    let third = world.destinations.issue_token();
    let success = |value| world.success(&third).with("/output", value);
    let failure = |field: &str, value| world.failure(&third).with(&format!("/{field}"), value);
    world
        .refuses([
            (world.success("forged"), 400, "model#InvalidToken"),
            (world.success(""), 400, "ValidationException"),
            (world.success(&"x".repeat(2049)), 400, "ValidationException"),
            (success(json!("{")), 400, "InvalidOutput"),
            (success(json!({})), 400, "SerializationException"),
            (success(Value::Null), 400, "ValidationException"),
            (success(json!(format!("\"{}\"", "ä".repeat(131_072)))), 400, "262144"),
            (failure("error", json!("x".repeat(257))), 400, "256"),
            (failure("cause", json!("x".repeat(32_769))), 400, "32768"),
            (world.success(&third).without("authorization"), 403, "MissingAuthenticationToken"),
        ])
        .await;
    world.destinations.place(Kind::StepFunctions, third.as_str(), Place::Missing);
    world.refuses([(world.success(&third), 400, "TaskDoesNotExist")]).await;
    world.destinations.place(Kind::StepFunctions, third.as_str(), Place::Closed);
    world.refuses([(world.success(&third), 400, "TaskTimedOut")]).await;
    world.destinations.place(Kind::StepFunctions, third.as_str(), Place::Open);
    assert_eq!(world.send(success(json!(format!("\"{}\"", "x".repeat(262_142))))).await.status(), 200);
}

#[tokio::test]
async fn every_vendor_says_in_its_own_words_that_it_is_too_much() {
    let world = world().await;
    for (kind, ask) in world.all().await {
        world.destinations.next(kind, Behaviour::RateLimited(30));
        let answer = world.send(ask).await;
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        let body = answer.text().await.unwrap();
        let (expected, word) = match kind {
            Kind::Slack => (429, "\"ratelimited\""),
            Kind::SlackWebhook => (429, "rate_limited"),
            Kind::Zendesk => (429, "TooManyRequests"),
            Kind::Intercom => (429, "rate_limit_exceeded"),
            Kind::Hubspot => (429, "SECONDLY"),
            Kind::Salesforce => (403, "REQUEST_LIMIT_EXCEEDED"),
            Kind::SalesforceToken => (400, "rate_limit_exceeded"),
            Kind::Teams | Kind::Webhook => (429, ""),
            Kind::EventBridge | Kind::StepFunctions => (400, "ThrottlingException"),
        };
        assert_eq!(status, expected, "{kind:?} {body}");
        assert!(body.contains(word), "{kind:?} {body}");
        match kind {
            Kind::Intercom => {
                let reset: u64 = headers["x-ratelimit-reset"].to_str().unwrap().parse().unwrap();
                assert!(reset >= now_ms() / 1000 + 28 && !headers.contains_key("retry-after"));
            }
            _ if expected == 429 => assert_eq!(headers["retry-after"], "30", "{kind:?}"),
            _ => assert!(!headers.contains_key("retry-after"), "{kind:?}"),
        }
        assert!(!world.last().accepted);
    }
    world.destinations.next(Kind::Hubspot, Behaviour::RateLimited(3600));
    assert_eq!(world.answer(world.hubspot()).await["policyName"], "DAILY");
    assert_eq!(world.destinations.messages(), []);
}

#[tokio::test]
async fn every_vendor_fails_and_refuses_in_its_own_words() {
    let world = world().await;
    for (kind, ask) in world.all().await {
        world.destinations.next(kind, Behaviour::Failure);
        let answer = world.send(ask).await;
        let status = answer.status().as_u16();
        let expected = match kind {
            Kind::Slack => 200,
            Kind::SalesforceToken => 503,
            _ => 500,
        };
        assert_eq!(status, expected, "{kind:?} {}", answer.text().await.unwrap());
    }
    for (kind, ask) in world.all().await {
        world.destinations.next(kind, Behaviour::Refused);
        let answer = world.send(ask).await;
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap();
        let (expected, word) = match kind {
            Kind::Slack => (200, "channel_not_found"),
            Kind::SlackWebhook => (404, "no_service"),
            Kind::Zendesk => (404, "RecordNotFound"),
            Kind::Intercom => (404, "not_found"),
            Kind::Hubspot => (404, "OBJECT_NOT_FOUND"),
            Kind::Salesforce => (400, "ENTITY_IS_DELETED"),
            Kind::SalesforceToken => (400, "invalid_client"),
            Kind::Teams => (404, "WorkflowNotFound"),
            Kind::Webhook => (410, "gone"),
            Kind::EventBridge => (200, "\"FailedEntryCount\":1"),
            Kind::StepFunctions => (400, "TaskDoesNotExist"),
        };
        assert_eq!(status, expected, "{kind:?} {body}");
        assert!(body.contains(word), "{kind:?} {body}");
    }
    for (kind, code, status) in [
        (Kind::Slack, "not_in_channel", 200),
        (Kind::SlackWebhook, "channel_is_archived", 410),
        (Kind::Zendesk, "RecordInvalid", 422),
        (Kind::Salesforce, "UNABLE_TO_LOCK_ROW", 400),
        (Kind::EventBridge, "InternalFailure", 200),
    ] {
        let (_, ask) = world.all().await.into_iter().find(|(other, _)| *other == kind).unwrap();
        world.destinations.next(kind, Behaviour::refused_as(code));
        let answer = world.send(ask).await;
        assert_eq!(answer.status(), status);
        assert!(answer.text().await.unwrap().contains(code));
    }
    assert_eq!(world.destinations.messages(), []);
}

#[tokio::test]
async fn broken_answers_are_broken_whoever_gives_them() {
    let world = world().await;
    for (kind, _) in world.all().await {
        let ask = async || world.all().await.into_iter().find(|(other, _)| *other == kind).unwrap().1;
        let next = |behaviour| world.destinations.next(kind, behaviour);

        let garbled = ask().await;
        next(Behaviour::Garbage);
        let garbage = world.send(garbled).await;
        assert_eq!(garbage.status(), 200);
        assert!(garbage.json::<Value>().await.is_err());
        assert!(world.last().accepted, "{kind:?}");

        let wrong = ask().await;
        next(Behaviour::WrongType);
        assert_eq!(world.send(wrong).await.headers()["content-type"], "text/html; charset=utf-8");
        assert!(world.last().accepted);

        let redirected = ask().await;
        next(Behaviour::redirect("http://169.254.169.254/"));
        let redirect = world.send(redirected).await;
        assert_eq!(
            (redirect.status().as_u16(), &redirect.headers()["location"]),
            (307, &"http://169.254.169.254/".parse().unwrap())
        );
        assert!(!world.last().accepted);

        let any = ask().await;
        next(Behaviour::status(418).header("retry-after", 7).body("teapot"));
        let answer = world.send(any).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (418, &"7".parse().unwrap())
        );
        assert_eq!(answer.text().await.unwrap(), "teapot");
        assert!(!world.last().accepted && world.last().status == Some(418));

        for (behaviour, accepted) in [(Behaviour::CutBefore, false), (Behaviour::CutAfter, true)] {
            let cut = ask().await;
            next(behaviour);
            let error = world.request(cut).send().await.unwrap_err();
            assert!(!error.is_timeout() && !error.is_connect(), "{error:?}");
            assert_eq!((world.last().accepted, world.last().status), (accepted, None));
        }
        for (behaviour, accepted) in [(Behaviour::Hang, false), (Behaviour::HangAfter, true)] {
            let hanging = ask().await;
            next(behaviour);
            let error = world.request(hanging).timeout(MOMENT).send().await.unwrap_err();
            assert!(error.is_timeout());
            assert_eq!((world.last().accepted, world.last().ended), (accepted, true));
        }
        let huge = ask().await;
        next(Behaviour::Huge);
        let mut huge = world.send(huge).await;
        let mut read = 0;
        while read < 1_000_000 {
            read += huge.chunk().await.unwrap().unwrap().len();
        }
        assert!(world.last().accepted);
    }
}

#[tokio::test]
async fn a_slow_vendor_does_it_later_and_only_if_it_still_may() {
    let world = world().await;
    let token = world.destinations.issue_token();
    world.destinations.next(Kind::StepFunctions, Behaviour::Slow(Duration::from_millis(200)));

    let slow = tokio::spawn(world.request(world.success(&token)).send());
    tokio::time::sleep(MOMENT).await;
    assert!(!world.last().ended);
    assert_eq!(world.send(world.failure(&token)).await.status(), 200);
    let late = slow.await.unwrap().unwrap();
    assert_eq!(late.status(), 400);
    assert!(late.text().await.unwrap().contains("TaskTimedOut"));

    world.destinations.usually(Kind::Slack, Behaviour::Slow(MOMENT));
    assert_eq!(world.answer(world.slack()).await["ok"], true);
    assert_eq!(world.answer(world.slack()).await["ok"], true);
}

#[tokio::test]
async fn what_is_refused_uses_no_behaviour_up_and_kinds_do_not_mix() {
    let world = world().await;
    world.destinations.next(Kind::Zendesk, Behaviour::Failure);
    world.destinations.next(Kind::Zendesk, Behaviour::Ok);
    world.destinations.usually(Kind::Zendesk, Behaviour::status(503));

    assert_eq!(world.send(world.zendesk().without("authorization")).await.status(), 401);
    assert_eq!(world.send(world.intercom()).await.status(), 200);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(world.send(world.zendesk()).await.status().as_u16());
    }
    assert_eq!(statuses, [500, 200, 503, 503]);
}

#[tokio::test]
async fn a_held_call_goes_on_though_its_caller_died_or_is_never_heard() {
    let world = world().await;

    let hold = world.destinations.hold_next(Kind::Slack);
    let caller = tokio::spawn(world.request(world.slack()).send());
    hold.arrived().await.unwrap();
    assert!(!world.last().ended);
    caller.abort();
    hold.release();
    assert_eq!(world.destinations.wait_for_messages(Kind::Slack, 1).await.unwrap().len(), 1);
    assert!(world.destinations.wait_for(Kind::Slack, 1).await.unwrap()[0].accepted);

    let hold = world.destinations.hold_next(Kind::Slack);
    let caller = tokio::spawn(world.request(world.slack()).send());
    hold.arrived().await.unwrap();
    hold.discard();
    assert!(caller.await.unwrap().is_err());
    assert!(!world.destinations.wait_for(Kind::Slack, 2).await.unwrap()[1].accepted);
}

#[tokio::test]
async fn a_rotated_credential_is_refused_and_its_successor_taken() {
    let mut world = world().await;
    for kind in
        [Kind::Slack, Kind::Zendesk, Kind::Intercom, Kind::Hubspot, Kind::SalesforceToken, Kind::Webhook]
    {
        let ask =
            async |world: &World| world.all().await.into_iter().find(|(other, _)| *other == kind).unwrap().1;
        let old = ask(&world).await;
        world.destinations.rotate(kind);
        world.send(old).await;
        assert!(!world.last().accepted, "{kind:?}");
        world.secrets = world.destinations.secrets();
        world.send(ask(&world).await).await;
        assert!(world.last().accepted, "{kind:?} {:?}", world.last());
    }
}

#[tokio::test]
async fn they_are_controlled_from_outside_the_process() {
    let world = world().await;
    let url = world.destinations.url();
    let read = async |path: &str| -> Value {
        world.client.get(format!("{url}{path}")).send().await.unwrap().json().await.unwrap()
    };

    let orders =
        json!([{"kind": "slack", "behaviour": "failure"}, {"kind": "zendesk", "behaviour": {"status": 502}}]);
    assert_eq!(world.control("/control/next", orders).await, (200, json!({"queued": 2})));
    let (status, problem) = world.control("/control/next", json!({"kind": "slak", "behaviour": "ok"})).await;
    assert_eq!(status, 422);
    assert!(problem["error"].as_str().unwrap().contains("slak"), "{problem}");
    world.control("/control/usual", json!({"kind": "teams", "behaviour": {"rateLimited": 3}})).await;
    world.control("/control/place", json!({"kind": "intercom", "id": "525", "place": "missing"})).await;

    assert_eq!(world.answer(world.slack()).await["error"], "internal_error");
    assert_eq!(world.answer(world.slack()).await["ok"], true);
    assert_eq!(world.send(world.zendesk()).await.status(), 502);
    assert_eq!(world.send(world.teams()).await.status(), 429);
    assert_eq!(world.send(world.intercom()).await.status(), 404);
    let (_, token) = world.control("/control/token", Value::Null).await;
    assert_eq!(world.send(world.success(token["taskToken"].as_str().unwrap())).await.status(), 200);
    let task = world.salesforce().await;
    world.control("/control/expire", Value::Null).await;
    assert_eq!(world.send(task).await.status(), 401);
    world.control("/control/rotate", json!({"kind": "hubspot"})).await;
    assert_eq!(world.send(world.hubspot()).await.status(), 401);

    assert_eq!(read("/control/secrets").await, world.destinations.secrets());
    assert_eq!(read("/control/environment").await["SLACK_API_URL"], json!(format!("{url}/slack/api")));
    assert_eq!(read("/control/received?kind=slack").await.as_array().unwrap().len(), 2);
    let seen = read("/control/messages").await;
    assert_eq!((seen.as_array().unwrap().len(), &seen[0]["where"]), (2, &json!("C0SUPPORT")));

    let page = world.client.get(format!("{url}/control/secrets")).header("origin", "https://evil.example");
    assert_eq!(page.send().await.unwrap().status(), 403);
    assert_eq!(world.client.get(format!("{url}/nobody")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn the_page_shows_what_came_and_lets_nothing_of_it_through() {
    let world = world().await;
    let read = async || world.client.get(world.destinations.url()).send().await.unwrap();
    assert!(read().await.text().await.unwrap().contains("Nothing has come yet."));

    let html = "<p>&lt;img src=x onerror=alert(1)&gt;</p><script>alert(2)</script><a href=\"javascript:alert(3)\">go</a>";
    world.send(world.zendesk().with("/ticket/comment/html_body", json!(html))).await;
    world.send(world.slack().with("/markdown_text", json!("<script>alert(4)</script>"))).await;
    world.send(world.slack().with("/channel", json!("<b>"))).await;
    world.send(ask("/teams/%3Cb%3E", json!({}))).await;

    let page = read().await;
    assert!(page.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    let page = page.text().await.unwrap();
    for part in [
        "Zendesk · ticket 35436, internal note",
        "&lt;img src=x onerror=alert(1)&gt;",
        "go (javascript:alert(3))",
        "Not accepted:</strong> channel_not_found",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    for part in ["<script", "<img", "<a ", "<b>", "alert(2)"] {
        assert!(!page.contains(part), "{part} is in {page}");
    }
    assert!(page.find("Microsoft Teams").unwrap() < page.find("Zendesk").unwrap());
}

#[tokio::test]
async fn the_environment_leads_to_them_and_dropping_them_frees_the_port() {
    let world = world().await;
    let url = world.destinations.url();
    let variables = world.destinations.environment();
    assert!(variables.iter().all(|(_, value)| value.starts_with(&url)));
    assert!(variables.contains(&("AWS_ENDPOINT_URL_SFN", format!("{url}/states"))));

    let World { destinations, client, .. } = world;
    drop(destinations);
    assert!(client.get(url).send().await.is_err());
}
