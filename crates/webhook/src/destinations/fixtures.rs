//! What tests of the destinations have in common: what is handed over, and what vendors answer.

use super::{Decision, Failure, Handover};
use aws::outgoing::Answer;
use model::id::RequestId;
use model::page;
use model::record::Record;
use model::render::Links;
use model::request::{NewRequest, RequestRules};
use model::result::{HighlightsResult, Session, SessionId, StoredResult};
use model::rules::{News, NewsOutcome, Origin, Received, Rules};
use model::settings::App;
use model::time::Time;
use model::token::CallbackKeys;
use model::view_link::ViewLink;
use secrecy::SecretSlice;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

pub const ID: &str = "9a2d0bd4-37f8-575f-8e2e-9e67a9b6be31";
pub const NOW: Time = Time(1_715_481_030_123);
pub const LATER: Time = Time(NOW.0 + 60_000);

/// Runs with a result to hand over: these highlights, and a session whose own are hostile.
pub fn ready<T>(highlights: &str, run: impl FnOnce(&Handover<'_>) -> T) -> T {
    let session_id = SessionId::Number(0);
    let session = Session { recording_id: "5-3cde".into(), session_id, highlights: HOSTILE.into() };
    let result = HighlightsResult { highlights: highlights.into(), sessions: vec![session] };
    handed_over(NewsOutcome::Ready(StoredResult::pack(&result).unwrap()), run)
}

/// What strangers type.
const HOSTILE: &str = "<!channel> <b>pay</b> {{DATE(now)}} [evil](https://evil.com) & @here";

/// The same where LogRocket failed.
pub fn failed<T>(run: impl FnOnce(&Handover<'_>) -> T) -> T {
    handed_over(NewsOutcome::Failed, run)
}

fn handed_over<T>(outcome: NewsOutcome, run: impl FnOnce(&Handover<'_>) -> T) -> T {
    let news = News { opened: NOW, attempt: 1, log_rocket_request_id: "0cc1".into(), outcome };
    let rules = Rules { max_attempts: 1, ..Rules::default() };
    let record = opened(json!({ "userEmail": "alice@example.com", "question": "Why?" }));
    let Received::Changed(record) = record.receive(&news, LATER, &rules) else { panic!("not received") };
    hand_over(&record, run)
}

/// Such a request, with one destination, which wants to hear of everything.
pub fn opened(mut body: Value) -> Record {
    body["destinations"] =
        json!([{ "type": "slack", "channel": "C1", "onFailure": true, "whenEmpty": "send" }]);
    let new = NewRequest::parse(body.to_string().as_bytes(), &RequestRules::default()).unwrap();
    let origin = Origin { caller: "ops".into(), opening: "run".into() };
    Record::open(RequestId::parse(ID).unwrap(), origin, new, None, NOW, &Rules::default())
}

/// Runs with the outcome of the record to hand over.
pub fn hand_over<T>(record: &Record, run: impl FnOnce(&Handover<'_>) -> T) -> T {
    let (record, tries) = record.claim_deliveries(LATER, &Rules::default()).unwrap();
    let result = record.unpack_result().unwrap();
    let (app_url, app) = ("https://app.logrocket.com".parse().unwrap(), App::parse("org/app").unwrap());
    let keys = CallbackKeys::new(vec![SecretSlice::from(vec![7; 32])]).unwrap();
    let page =
        ViewLink::view(&record.request_id, NOW, record.expires_at, Duration::from_secs(7 * 86_400), LATER)
            .url(&"https://highlights.example.com".parse().unwrap(), &keys);
    let links = Links::new(&app_url, &app).with_page(Some(page));
    let page = page::of(&record, result.as_ref(), &links);
    let ends_at = Instant::now() + Duration::from_secs(10);
    run(&Handover::new(&record, result.as_ref(), (&page, &links), &tries[0], ends_at).unwrap())
}

pub fn answer(status: u16, body: impl AsRef<[u8]>) -> Answer {
    Answer { status, retry_after: None, rate_limit_reset: None, body: body.as_ref().to_vec() }
}

pub const AGAIN: Decision = Decision::Again { retry_after: None };

pub fn again_after(seconds: u64) -> Decision {
    Decision::Again { retry_after: Some(Duration::from_secs(seconds)) }
}

/// Its decision and its words.
pub fn why<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> (Decision, String) {
    let failure = outcome.unwrap_err();
    (failure.decision, failure.error)
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
