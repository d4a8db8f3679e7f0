//! The table as a function meets it: DynamoDB's HTTP API over TLS, before the local cloud's embedded one.
//!
//! That one evaluates every condition and keeps four indexes, and takes a few hundred microseconds for it: more than
//! the function that asks, whose cost would not be seen beside it. So once everything is there that a measurement
//! needs, the table can be *frozen*: it then answers from memory what the real one would answer to a call that
//! succeeds as it is meant to, and takes microseconds. Sizes and forms of the answers are the real ones.

use crate::front::{Front, Handler, Tally, lock, operation};
use crate::http::{Inbox, Message, message};
use local::table::{self, Table};
use rustls::ServerConfig;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, RwLock};

/// A table of its own, empty at first.
pub struct CountedTable {
    pub front: Front,
    table: Table,
    frozen: Arc<RwLock<Option<Frozen>>>,
    metered: Arc<Mutex<Option<Units>>>,
}

/// What DynamoDB would bill, indexes included, as the embedded one reckons it. A write whose condition fails is billed
/// too, but not said to be: it is not in here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Units {
    pub written: f64,
    pub read: f64,
    /// Of what was written, each index's part: an index takes a thousand a second of one partition key.
    pub written_by_index: BTreeMap<String, f64>,
}

/// A table that answers from memory.
#[derive(Default)]
struct Frozen {
    /// By their keys, as the answer to a `GetItem`: `{"Item":{…}}`.
    items: HashMap<String, Vec<u8>>,
    /// What the real table answered to the first query of each index: all that are asked of one here are alike.
    queries: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl CountedTable {
    /// `table` behind TLS.
    pub fn start(table: Table, server: Arc<ServerConfig>) -> io::Result<Self> {
        let frozen: Arc<RwLock<Option<Frozen>>> = Arc::default();
        let upstream = Upstream::new(table.endpoint());
        let metered: Arc<Mutex<Option<Units>>> = Arc::default();
        let (state, meter) = (Arc::clone(&frozen), Arc::clone(&metered));
        let handler: Handler = Arc::new(move |call| {
            let frozen = state.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            match (&*frozen, &mut *lock(&meter)) {
                (Some(frozen), _) => frozen.answer(call, &upstream),
                (None, Some(units)) => upstream.ask_what_it_takes(call, units),
                (None, None) => upstream.ask(call.bytes()),
            }
        });
        Ok(Self { front: Front::start(server, handler)?, table, frozen, metered })
    }

    pub fn name(&self) -> &str {
        self.table.name()
    }

    /// Every item by its key, in DynamoDB's JSON.
    pub fn items(&self) -> Result<BTreeMap<String, serde_json::Value>, table::Error> {
        self.table.items_as_sent()
    }

    /// Puts items in DynamoDB's JSON into it, without a call.
    pub fn fill(&self, items: impl IntoIterator<Item = serde_json::Value>) -> Result<(), table::Error> {
        self.table.fill(items)
    }

    /// Shows every item as plain JSON.
    pub fn each(&self, show: impl FnMut(serde_json::Value)) -> Result<(), table::Error> {
        self.table.each(show)
    }

    /// From now on it answers from memory, and takes nothing in.
    pub fn freeze(&self) -> Result<(), table::Error> {
        let items = self.items()?;
        let got = |(key, item)| (key, format!(r#"{{"Item":{item}}}"#).into_bytes());
        let frozen = Frozen { items: items.into_iter().map(got).collect(), queries: Mutex::default() };
        *self.frozen.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(frozen);
        Ok(())
    }

    pub fn take(&self) -> Tally {
        self.front.take()
    }

    /// What was used since the last time that this was asked; the first time begins it.
    pub fn units(&self) -> Units {
        lock(&self.metered).replace(Units::default()).unwrap_or_default()
    }
}

impl Frozen {
    fn answer(&self, call: &Message, upstream: &Upstream) -> io::Result<Vec<u8>> {
        let body = call.body();
        let item = || after(body, br#""requestID":{"S":""#).and_then(|key| self.items.get(key));
        Ok(match (operation(call), item()) {
            // Each put on a condition has that there is none yet.
            ("PutItem", Some(item)) if after(body, br#""ConditionExpression":""#).is_some() => {
                let there = str::from_utf8(item).unwrap_or_default().trim_start_matches('{');
                let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
                let why = "The conditional request failed";
                answer(400, format!(r#"{{"__type":"{kind}","message":"{why}",{there}"#).as_bytes())
            }
            ("GetItem", Some(item)) => answer(200, item),
            ("PutItem" | "UpdateItem" | "GetItem", _) => answer(200, b"{}"),
            ("Query", _) => {
                let index = after(body, br#""IndexName":""#).unwrap_or_default().to_owned();
                let mut queries = lock(&self.queries);
                match queries.get(&index) {
                    Some(answer) => answer.clone(),
                    None => queries.entry(index).or_insert(upstream.ask(call.bytes())?).clone(),
                }
            }
            _ => upstream.ask(call.bytes())?,
        })
    }
}

fn answer(status: u16, body: &[u8]) -> Vec<u8> {
    let reason = if status == 200 { "OK" } else { "Bad Request" };
    let head = "content-type: application/x-amz-json-1.0\r\n\
                x-amzn-requestid: 00000000000000000000000000000000000000000000000000AA\r\n";
    message(&format!("HTTP/1.1 {status} {reason}"), head, body)
}

/// What stands between `name` and the next quotation mark.
fn after<'a>(body: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let begins = body.windows(name.len()).position(|here| here == name)? + name.len();
    let rest = body.get(begins..)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    str::from_utf8(rest.get(..end)?).ok()
}

impl Units {
    /// Adds what an answer says that it took, of one table or of several.
    fn add(&mut self, answer: &[u8], is_read: bool) {
        let body =
            answer.windows(4).position(|four| four == b"\r\n\r\n").and_then(|end| answer.get(end + 4..));
        let json: Value = body.and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
        let units = |part: &Value| part["CapacityUnits"].as_f64().unwrap_or_default();
        let consumed = &json["ConsumedCapacity"];
        for table in consumed.as_array().map_or(std::slice::from_ref(consumed), Vec::as_slice) {
            if is_read {
                self.read += units(table);
                continue;
            }
            self.written += units(table);
            for (index, part) in table["GlobalSecondaryIndexes"].as_object().into_iter().flatten() {
                *self.written_by_index.entry(index.clone()).or_default() += units(part);
            }
        }
    }
}

/// The real table, by connections that are kept.
struct Upstream {
    address: String,
    idle: Mutex<Vec<(TcpStream, Inbox)>>,
}

impl Upstream {
    fn new(endpoint: &str) -> Self {
        Self { address: endpoint.replace("http://", ""), idle: Mutex::default() }
    }

    /// Asks so that the answer says what it takes, and adds that to `units`.
    fn ask_what_it_takes(&self, call: &Message, units: &mut Units) -> io::Result<Vec<u8>> {
        let body = call.body().strip_prefix(b"{").unwrap_or_default();
        let body = [br#"{"ReturnConsumedCapacity":"INDEXES","#, body].concat();
        // The signature does not fit any more; that there is one is all that is asked for.
        let kept = ["content-type", "host", "x-amz-target", "x-amz-date", "authorization"];
        let kept = kept.into_iter().filter_map(|name| Some(format!("{name}: {}\r\n", call.header(name)?)));
        let head: String = kept.collect();
        let answer = self.ask(&message(call.start(), &head, &body))?;
        units.add(&answer, ["GetItem", "Query"].contains(&operation(call)));
        Ok(answer)
    }

    fn ask(&self, call: &[u8]) -> io::Result<Vec<u8>> {
        let idle = lock(&self.idle).pop();
        let (mut stream, mut inbox) = match idle {
            Some(idle) => idle,
            None => (TcpStream::connect(&self.address)?, Inbox::default()),
        };
        stream.set_nodelay(true)?;
        stream.write_all(call)?;
        let answer = inbox.wait(&mut stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        lock(&self.idle).push((stream, inbox));
        Ok(answer.bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_took_is_added_up_over_its_tables_and_by_index() {
        let took = |json: &str, is_read| {
            let mut units = Units::default();
            units.add(&answer(200, json.as_bytes()), is_read);
            units
        };
        let index = r#""GlobalSecondaryIndexes":{"work":{"CapacityUnits":2.0}}"#;
        let one = format!(r#"{{"ConsumedCapacity":{{"TableName":"a","CapacityUnits":4.5,{index}}}}}"#);
        assert_eq!(took("{}", false), Units::default());
        assert_eq!(took(&one, true), Units { read: 4.5, ..Units::default() });
        let work = BTreeMap::from([("work".to_owned(), 2.0)]);
        assert_eq!(took(&one, false), Units { written: 4.5, written_by_index: work, read: 0.0 });
        let two = r#"{"ConsumedCapacity":[{"CapacityUnits":2},{"CapacityUnits":3}]}"#;
        assert_eq!(took(two, false).written, 5.0);
    }

    #[test]
    fn a_key_is_found_in_a_call_and_no_longer_name_is_taken_for_it() {
        let body = br#"{"Key":{"logRocketRequestID":{"S":"a"},"requestID":{"S":"b"}}}"#;
        assert_eq!(after(body, br#""requestID":{"S":""#), Some("b"));
        assert_eq!(after(b"{}", br#""requestID":{"S":""#), None);
    }
}
