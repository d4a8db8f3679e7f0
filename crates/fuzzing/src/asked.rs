use crate::as_text;
use aws::table::Cursor;
use judges::address::assert_callable;
use model::delivery::DeliveryKey;
use model::destination::{Destination, KnownDestinations, MAX_IN_RECORD, MAX_IN_REQUEST, Target, WhenEmpty};
use model::destination::{DestinationRules, parse_defaults};
use model::id::RequestId;
use model::problem::{Kind, Problem};
use model::request::{IdempotencyKey, NewRequest, RequestRules};
use model::settings::App;
use model::token::{from_authorization, parse_attempt};
use serde_json::{Value, json};

/// A request's body: it says all that is wrong with it, or is the same request again when it is written anew.
pub fn request(bytes: &[u8]) {
    let rules = RequestRules::default();
    let known = KnownDestinations::parse(Some("slack,slack:nps,zendesk"));
    let few = RequestRules {
        destinations: DestinationRules { known, allow_private: false },
        ..RequestRules::default()
    };
    if let Err(problem) = NewRequest::parse(bytes, &few) {
        judge_problem(&problem);
    }
    let request = match NewRequest::parse(bytes, &rules) {
        Ok(request) => request,
        Err(problem) => return judge_problem(&problem),
    };
    assert!(request.destinations.len() <= MAX_IN_RECORD);
    for destination in &request.destinations {
        if let Target::Webhook { url } = &destination.target {
            assert_callable(url);
        }
    }
    // Escapes make a URL longer than a caller may write one.
    let is_long = |destination: &Destination| match &destination.target {
        Target::Webhook { url } => url.len() > 2_000,
        _ => false,
    };
    if request.destinations.iter().any(is_long) {
        return;
    }
    let body = written(&request);
    let again = NewRequest::parse(body.to_string().as_bytes(), &rules);
    assert_eq!(again.as_ref(), Ok(&request), "{body}");
    assert!(again.is_ok_and(|again| again.question.hash() == request.question.hash()), "{body}");
}

fn judge_problem(problem: &Problem) {
    assert!(matches!(problem.kind, Kind::Malformed | Kind::Invalid | Kind::TooLarge), "{problem:?}");
    assert_eq!(problem.kind == Kind::Invalid, !problem.errors.is_empty(), "{problem:?}");
    for error in &problem.errors {
        assert!(error.pointer.starts_with('#') && !error.detail.is_empty(), "{problem:?}");
    }
    assert!(serde_json::from_str::<Value>(&problem.to_json().to_string()).is_ok());
}

/// The request as a caller writes it.
fn written(request: &NewRequest) -> Value {
    let mut body = json!(request.question);
    let mut destinations: Vec<Value> = request.destinations.iter().map(destination).collect();
    // What does not fit into the list stood beside it.
    if destinations.len() > MAX_IN_REQUEST {
        body["webhookURL"] = destinations.pop().unwrap()["url"].clone();
    }
    body["destinations"] = json!(destinations);
    if let Some(key) = &request.idempotency_key {
        body["idempotencyKey"] = json!(key.as_str());
    }
    if let Some(age) = request.max_age {
        body["maxAge"] = json!(age.as_secs());
    }
    body
}

fn destination(destination: &Destination) -> Value {
    let mut written = destination.target.to_public_json();
    match &destination.target {
        Target::Webhook { url } => written["url"] = json!(url),
        Target::StepFunctions { task_token } => written["taskToken"] = json!(task_token),
        _ => {}
    }
    written["onFailure"] = json!(destination.on_failure);
    written["whenEmpty"] = match destination.when_empty {
        WhenEmpty::Skip => json!("skip"),
        WhenEmpty::Send => json!("send"),
    };
    written
}

/// What names a thing in one line: ids, keys, cursors, tokens of headers.
pub fn identifiers(bytes: &[u8]) {
    let text = &*as_text(bytes);
    if let Ok(key) = text.parse::<DeliveryKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    if let Some(cursor) = Cursor::decode(text) {
        assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
    }
    if let Some(id) = RequestId::parse(text) {
        assert_eq!(id.as_str(), text.to_ascii_lowercase());
        assert_eq!(RequestId::parse(id.as_str()), Some(id));
    }
    if let Some(attempt) = parse_attempt(text) {
        assert_eq!(attempt.to_string(), text);
    }
    if let Some(key) = IdempotencyKey::parse(text) {
        assert_eq!(key.as_str(), text);
        assert!((1..=255).contains(&text.len()) && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
    }
    if let Some(app) = App::parse(text) {
        let (org, name) = app.org_and_app();
        assert_eq!(format!("{org}/{name}"), text);
        assert!(!name.contains('/') && ![org, name].contains(&"..") && ![org, name].contains(&"."));
    }
    if let Some(token) = from_authorization(text) {
        assert!(!token.is_empty() && token == token.trim() && text.contains(token));
    }
    if let Ok(defaults) = parse_defaults(text, &DestinationRules::default()) {
        let written: Vec<Value> = defaults.iter().map(destination).collect();
        let long = |url: &Value| url.as_str().is_some_and(|url| url.len() > 2_000);
        if !written.iter().any(|destination| long(&destination["url"])) {
            let again = parse_defaults(&json!(written).to_string(), &DestinationRules::default());
            assert_eq!(again, Ok(defaults));
        }
    }
}
