//! What must hold of a world when all is over, whoever died on the way.

use super::Path;
use local::logrocket::Outcome;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use stories::World;

/// What became of all requests of a world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Their status, and the failure's code.
    pub ends: Vec<String>,
    /// Their deliveries, each with its state.
    deliveries: Vec<String>,
    /// The most tries that a delivery took.
    tries: u64,
    /// What all destinations show.
    messages: usize,
}

impl Seen {
    pub fn look(world: &World) -> Self {
        let records = records(world);
        let end = |record: &Value| {
            let words =
                [&record["status"], &record["failure"]["code"]].map(|word| word.as_str().unwrap_or_default());
            words.join(" ").trim().to_owned()
        };
        let marks: Vec<(String, Value)> = records.iter().flat_map(marks).collect();
        let mut seen = Self {
            ends: records.iter().map(end).collect(),
            deliveries: marks.iter().map(|(key, mark)| format!("{key} {}", mark["state"])).collect(),
            tries: marks.iter().filter_map(|(_, mark)| mark["tries"].as_u64()).max().unwrap_or(0),
            messages: world.destinations.messages().len(),
        };
        seen.ends.sort();
        seen.deliveries.sort();
        seen
    }

    /// The same requests, with the same deliveries.
    pub fn is_like(&self, other: &Self) -> bool {
        self.ends == other.ends && self.deliveries == other.deliveries
    }

    /// As if nobody had died, but for a try, and what it may have told already.
    pub fn assert_like(&self, unharmed: &Self, world: &World) {
        let shown = || format!("{self:#?} instead of {unharmed:#?}\n{}", world.output());
        assert!(self.is_like(unharmed), "{}", shown());
        assert!(self.tries <= unharmed.tries + 1, "one death costs one try: {}", shown());
        if self.deliveries.is_empty() {
            // What was deleted may have been told before.
            return;
        }
        let most = usize::try_from(self.tries).unwrap() * unharmed.messages;
        assert!(self.messages >= unharmed.messages, "not told what it was to be told: {}", shown());
        assert!(self.messages <= most, "told more often than was tried: {}", shown());
    }
}

/// All but the counter.
fn records(world: &World) -> Vec<Value> {
    let items = world.table.items().unwrap();
    items.into_iter().filter(|item| item["createdAt"].is_number()).collect()
}

fn marks(record: &Value) -> Vec<(String, Value)> {
    let marks = record["deliveries"].as_object().into_iter().flatten();
    marks.map(|(key, mark)| (key.clone(), mark.clone())).collect()
}

/// Nothing waits, nothing was done twice that may not be, and nothing is stored that LogRocket did not say.
pub async fn assert_whole(path: &Path, world: &World) {
    let setting = |name| path.changes.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let max_attempts: usize = setting("MAX_ATTEMPTS").unwrap_or("3").parse().unwrap();
    let records = records(world);
    for record in &records {
        assert_at_rest(record);
        assert_posts(world, record, max_attempts);
        assert_true(world, record).await;
    }
    if setting("MONTHLY_REQUEST_LIMIT").is_some() {
        assert_counted(world, &records);
    }
}

/// It is settled, nobody has work with it, and every destination was told, given up or not wanted.
fn assert_at_rest(record: &Value) {
    assert_ne!(record["status"], "PENDING", "{record:#}");
    for due in ["requestDueAt", "requestDueSince"] {
        assert_eq!(record[due], Value::Null, "{due}: {record:#}");
    }
    let destinations = record["destinations"].as_array().map_or(0, Vec::len);
    if destinations > 0 {
        for due in ["webhookDueAt", "webhookDueSince", "streamHint"] {
            assert_eq!(record[due], Value::Null, "{due}: {record:#}");
        }
    }
    let kind = if record["status"] == "READY" { "result" } else { "failure" };
    let is_told_by_answer = record["failure"]["code"] == "LOGROCKET_REFUSED";
    for destination in (0..destinations).filter(|_| !is_told_by_answer) {
        let mark = &record["deliveries"][format!("{destination}-{kind}")];
        assert!(mark.is_object(), "destination {destination} was forgotten: {record:#}");
    }
    for (key, mark) in marks(record) {
        assert_ne!(mark["state"], "PENDING", "{key}: {record:#}");
        assert_eq!(mark["inFlightUntil"], Value::Null, "{key}: {record:#}");
    }
}

/// LogRocket took no more POSTs than are allowed, each attempt once, and what is known of them is true.
fn assert_posts(world: &World, record: &Value, max_attempts: usize) {
    let id = record["requestID"].as_str().unwrap();
    let posts = world.posts_of(id);
    let taken: Vec<_> = posts.iter().filter(|(_, post)| post.logrocket_request_id.is_some()).collect();
    let numbers: BTreeSet<u32> = taken.iter().map(|(attempt, _)| *attempt).collect();
    assert!(taken.len() <= max_attempts, "{posts:#?}");
    assert_eq!(taken.len(), numbers.len(), "an attempt was taken twice: {posts:#?}");
    for (attempt, entry) in record["attempts"].as_object().into_iter().flatten() {
        let known = entry["logRocketRequestID"].as_str();
        let is_of_it = |(number, post): &&(u32, local::logrocket::Post)| {
            number.to_string() == *attempt && post.logrocket_request_id.as_deref() == known
        };
        assert!(known.is_none() || posts.iter().any(|post| is_of_it(&post)), "{record:#}\n{posts:#?}");
    }
}

/// A result is read back as LogRocket gave it for a POST of this request.
async fn assert_true(world: &World, record: &Value) {
    let request = world.read(record["requestID"].as_str().unwrap()).await;
    if request["status"] != "READY" {
        assert_eq!(request["result"], Value::Null, "{request:#}");
        return;
    }
    let posts = world.posts_of(record["requestID"].as_str().unwrap());
    let given =
        posts.iter().filter_map(|(_, post)| post.logrocket_request_id.as_deref()).any(|log_rocket_id| {
            world.log_rocket.payload(log_rocket_id, Outcome::Ready).unwrap()["result"] == request["result"]
        });
    assert!(given, "not LogRocket's: {request:#}");
}

/// The month's counter holds each POST that LogRocket took or may have taken, and none besides.
fn assert_counted(world: &World, records: &[Value]) {
    let attempts =
        records.iter().flat_map(|record| record["attempts"].as_object().cloned().unwrap_or_default());
    let begun = attempts.filter(|(_, entry)| entry["state"] != "notTaken").count();
    let items = world.table.items().unwrap();
    let counters = items.iter().filter(|item| item["requestID"].as_str().unwrap().starts_with("budget#"));
    let counted: i64 = counters.map(|counter| counter["posts"].as_i64().unwrap()).sum();
    assert_eq!(json!(counted), json!(begun), "{items:#?}");
    let taken = world.log_rocket.posts().iter().filter(|post| post.logrocket_request_id.is_some()).count();
    assert!(taken <= begun, "{taken} were taken: {items:#?}");
}
