//! One table for each test, behind a proxy that counts the calls and breaks those it is told to.

use aws::table::Table;
use aws::tls::Tls;
use aws_config::{Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use local::proxy::Proxy;
use model::destination::{Destination, Target, WhenEmpty};
use model::id::RequestId;
use model::record::{Record, Status};
use model::request::{NewRequest, Question, Subject};
use model::result::StoredResult;
use model::rules::{News, NewsOutcome, Origin, Rules};
use model::time::Time;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub const START: Time = Time(1_795_000_000_123);
pub const MONTH: &str = "2026-11";

pub struct World {
    pub emulator: local::table::Table,
    pub proxy: Proxy,
    /// Behind the proxy.
    pub table: Table,
    direct: Table,
    calls_seen: AtomicUsize,
}

impl World {
    pub async fn start() -> Self {
        Self::with_limit(None).await
    }

    pub async fn with_limit(monthly_limit: Option<u64>) -> Self {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
        let emulator = local::table::Table::start(&template).await.unwrap();
        let proxy = Proxy::start(emulator.endpoint()).await.unwrap();
        let table = Table::new(&config(&proxy.url()), emulator.name(), monthly_limit);
        let direct = Table::new(&config(emulator.endpoint()), emulator.name(), monthly_limit);
        Self { emulator, proxy, table, direct, calls_seen: AtomicUsize::new(0) }
    }

    /// The same table without the proxy.
    pub fn direct(&self) -> &Table {
        &self.direct
    }

    /// What stands in the table, even past its retention.
    pub async fn stored(&self, id: &RequestId) -> Option<Record> {
        self.direct.get(id, Time(0)).await.unwrap()
    }

    pub async fn given(&self, record: Record) -> Record {
        let opened = self.direct.open(&record, record.created_at).await.unwrap();
        assert!(matches!(opened, aws::table::Opened::New), "{opened:?}");
        record
    }

    /// The operations that went over the proxy since this was last asked.
    pub fn operations(&self) -> Vec<String> {
        let calls = self.proxy.calls();
        let seen = self.calls_seen.swap(calls.len(), Ordering::SeqCst);
        calls.into_iter().skip(seen).map(|call| call.operation).collect()
    }

    /// How many POSTs are counted in the month.
    pub fn counted(&self, month: &str) -> i64 {
        let counter = self.emulator.item(&model::budget::counter_id(month)).unwrap();
        counter.map_or(0, |counter| counter["posts"].as_i64().unwrap())
    }
}

/// The SDK as the functions set it up, turned to a local endpoint. All clients of a region share how many retries
/// they have left, so each gets a region of its own: a test of what fails for ever would take them from the others.
pub fn config(endpoint: &str) -> SdkConfig {
    static REGIONS: AtomicUsize = AtomicUsize::new(0);
    let region = format!("local-{}", REGIONS.fetch_add(1, Ordering::Relaxed));
    let credentials = Credentials::new("id", "secret", None, None, "test");
    aws::clients::builder(&Tls::from_env().unwrap())
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build()
}

pub fn after(seconds: u64) -> Time {
    START.plus(Duration::from_secs(seconds))
}

pub fn id(key: &str) -> RequestId {
    RequestId::for_key("ops", key)
}

pub fn origin(opening: &str) -> Origin {
    Origin { caller: "token:ops".into(), opening: opening.to_owned() }
}

pub fn asked(user: &str) -> Question {
    Question {
        subject: Subject::Id(user.to_owned()),
        question: None,
        time_range: None,
        metadata: BTreeMap::new(),
    }
}

pub fn new_request(question: Question, destinations: Vec<Destination>) -> NewRequest {
    let fingerprint = question.hash();
    NewRequest { question, destinations, idempotency_key: None, max_age: None, fingerprint }
}

/// The record of a new request with this key, and nothing done yet.
pub fn opened(key: &str) -> Record {
    opened_by(key, "run", None)
}

pub fn opened_by(key: &str, opening: &str, reserved: Option<&str>) -> Record {
    let new = new_request(asked(key), Vec::new());
    let reserved = reserved.map(str::to_owned);
    Record::open(id(key), origin(opening), new, reserved, START, &Rules::default())
}

pub fn refused(record: &Record) -> Record {
    let refusal = model::answer::Refusal { status: 400, message: String::new() };
    record.refuse(record.attempt, &refusal, false, after(1), &Rules::default()).unwrap()
}

pub fn token(n: usize) -> Destination {
    let target = Target::StepFunctions { task_token: format!("token-{n}") };
    Destination { target, on_failure: true, when_empty: WhenEmpty::Send }
}

pub fn news(attempt: u32, outcome: NewsOutcome) -> News {
    News { opened: START, attempt, log_rocket_request_id: format!("id-{attempt}"), outcome }
}

pub fn ready() -> NewsOutcome {
    NewsOutcome::Ready(StoredResult::Json(r#"{"highlights":"h","sessions":[]}"#.into()))
}

/// A record as readable as a failed comparison needs it; its own `Debug` keeps the texts back.
pub fn shown(record: Option<&Record>) -> String {
    record.map_or("none".into(), |record| serde_json::to_string_pretty(record).unwrap())
}

pub fn assert_same(table: Option<&Record>, rules: Option<&Record>) {
    assert!(table == rules, "the table has {}\nthe rules have {}", shown(table), shown(rules));
}

pub fn settled(status: Status) -> aws::table::NewsReceipt {
    aws::table::NewsReceipt::Stored(aws::table::Settlement::Settled(status))
}
