//! Lambda's event source mapping of a DynamoDB stream: reads the embedded table's stream and invokes a function with
//! the records that its filters take.
//!
//! As AWS does it:
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html> and
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html>. Where these are silent:
//! - a partial answer uses up a retry, unless bisecting is on and its first failure is not the batch's first record
//!   (then the batch was split there, and splitting uses up none);
//! - an identifier that is none of the batch's fails the whole batch;
//! - what fails by its answer is split like what fails by an error.
//!
//! Not emulated: the stream's end of a day, shards that split, tumbling windows.

mod filter;
mod invoker;
mod mapping;
mod reader;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynoxide::DynoxideError;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use uuid::Uuid;

pub use filter::{Error as FilterError, Filter};
pub use invoker::Invoker;
pub use mapping::{Error as MappingError, Mapping, Position};

use crate::lambda::FunctionError;
use crate::serve::{lock, now_ms};
use crate::table::Table;
use invoker::Outcome;
use reader::{REGION, Reader, Record, Stream, iso_milliseconds, iso_seconds};

/// Between two reads of an idle stream; AWS reads four times a second.
const POLL: Duration = Duration::from_millis(20);
/// Before the first retry, and at most before a later one.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Lambda's limit on the payload of an invocation, in bytes.
const LARGEST_EVENT: usize = 6 * 1024 * 1024;

/// A running event source mapping. Dropping it ends it; an invocation of a [`crate::lambda::Function`] that it began
/// goes on.
pub struct EventSource {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// Why there is no event source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mapping's table is not there, or has no stream.
    #[error("the table {0} has no stream")]
    NoStream(String),
    /// DynamoDB refused a call.
    #[error("DynamoDB refused {operation}")]
    Refused {
        /// The call.
        operation: &'static str,
        /// Its answer.
        source: DynoxideError,
    },
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.shared.state);
        f.debug_struct("EventSource")
            .field("stream", &self.shared.stream.arn)
            .field("read_to", &state.read_to)
            .field("open", &state.open)
            .field("invocations", &state.invocations.len())
            .finish_non_exhaustive()
    }
}

impl EventSource {
    /// Starts to read the stream of the mapping's table, at the mapping's position: at `LATEST`, what is written
    /// after the return is delivered. A mapping that is not enabled starts paused.
    ///
    /// # Errors
    /// When the table has no stream.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(table: &Table, mapping: Mapping, invoker: Invoker) -> Result<Self, Error> {
        let name = table.name_of(&mapping.table).ok_or_else(|| Error::NoStream(mapping.table.clone()))?;
        let stream = Stream::of(table.database(), name)?;
        let reader = Reader::start(stream.clone(), mapping.position)?;
        // What stands before `LATEST` is nobody's to handle.
        let read_to = reader.last().map(str::to_owned);
        let shared = Arc::new(Shared {
            paused: watch::Sender::new(!mapping.enabled),
            changed: watch::Sender::new(()),
            switches: Mutex::default(),
            state: Mutex::new(State { read_to, ..State::default() }),
            mapping,
            invoker,
            stream,
        });

        let mut tasks = JoinSet::new();
        let lanes = (0..shared.mapping.parallelization.max(1))
            .map(|_| {
                let (lane, records) = mpsc::unbounded_channel();
                tasks.spawn(Lane::new(Arc::clone(&shared), records).run());
                lane
            })
            .collect();
        tasks.spawn(read(Arc::clone(&shared), reader, lanes));
        Ok(Self { shared, _tasks: tasks })
    }

    /// Disables the stream: from the return on nothing is read, and no invocation begins. One that is under way ends.
    pub fn pause(&self) {
        // The reader reads under this lock.
        let _reading = lock(&self.shared.switches);
        self.shared.paused.send_replace(true);
    }

    /// Goes on where it paused: what was written meanwhile is read at once, and so comes in as few batches as can be.
    pub fn resume(&self) {
        self.shared.paused.send_replace(false);
    }

    /// Records that are read from now on are delivered that much later.
    pub fn delay(&self, delay: Duration) {
        lock(&self.shared.switches).delay = delay;
    }

    /// The next `records` that match are lost.
    pub fn drop_next(&self, records: usize) {
        lock(&self.shared.switches).drop_next = records;
    }

    /// The next `records` that match are delivered twice: in their batch, and once more right after it.
    pub fn duplicate_next(&self, records: usize) {
        lock(&self.shared.switches).duplicate_next = records;
    }

    /// The events that the function was invoked with, oldest first, repeats among them.
    pub fn invocations(&self) -> Vec<Value> {
        lock(&self.shared.state).invocations.values().cloned().collect()
    }

    /// The messages that the mapping's on-failure destination was sent, oldest first; none without a destination.
    pub fn on_failure(&self) -> Vec<Value> {
        lock(&self.shared.state).on_failure.clone()
    }

    /// What the function's errors were, oldest first.
    pub fn errors(&self) -> Vec<FunctionError> {
        lock(&self.shared.state).errors.clone()
    }

    /// Waits until all that was written to the table before the call is handled: delivered, filtered out, lost or
    /// given up. False when that has not come `within` the time.
    pub async fn caught_up(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut changed = self.shared.changed.subscribe();
        let Ok(last) = self.shared.stream.last() else { return false };
        let Some(last) = last else { return true };
        loop {
            changed.mark_unchanged();
            if lock(&self.shared.state).is_handled(&last) {
                return true;
            }
            if !matches!(timeout_at(until, changed.changed()).await, Ok(Ok(()))) {
                return false;
            }
        }
    }
}

struct Shared {
    mapping: Mapping,
    invoker: Invoker,
    stream: Stream,
    paused: watch::Sender<bool>,
    switches: Mutex<Switches>,
    state: Mutex<State>,
    /// Told whenever a record was read or handled.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Switches {
    delay: Duration,
    drop_next: usize,
    duplicate_next: usize,
}

#[derive(Debug, Default)]
struct State {
    /// The last record that was read.
    read_to: Option<String>,
    /// Those of them that are to be delivered and are not done with.
    open: BTreeSet<String>,
    begun: u64,
    invocations: BTreeMap<u64, Value>,
    on_failure: Vec<Value>,
    errors: Vec<FunctionError>,
}

impl State {
    fn is_handled(&self, sequence: &str) -> bool {
        let is_read = self.read_to.as_deref().is_some_and(|read_to| read_to >= sequence);
        is_read && self.open.first().is_none_or(|open| open.as_str() > sequence)
    }
}

/// A record on its way to the function.
#[derive(Debug)]
struct Item {
    record: Record,
    /// Not before then.
    due: Instant,
    twice: bool,
}

/// Reads for as long as the event source lives.
async fn read(shared: Arc<Shared>, mut reader: Reader, lanes: Vec<mpsc::UnboundedSender<Vec<Item>>>) {
    let mut paused = shared.paused.subscribe();
    loop {
        // The sender lives in `shared`.
        let _ = paused.wait_for(|paused| !*paused).await;
        let began = Instant::now();
        let found = shared.read(&mut reader);
        // dynoxide walks all the records of the stream to find the new ones: a long stream is read less often, so
        // that reading never takes more than a tenth of a core.
        let pause = POLL.max(began.elapsed() * 10);
        if found.is_empty() {
            sleep(pause).await;
            continue;
        }
        let mut batches: Vec<Vec<Item>> = lanes.iter().map(|_| Vec::new()).collect();
        for item in found {
            let lane = usize::try_from(item.record.item % lanes.len() as u64).unwrap_or_default();
            batches[lane].push(item);
        }
        for (lane, batch) in lanes.iter().zip(batches).filter(|(_, batch)| !batch.is_empty()) {
            // What was read at once arrives at once: batches do not depend on who runs first.
            let _ = lane.send(batch);
        }
    }
}

impl Shared {
    /// What is new in the stream and is to be delivered.
    fn read(&self, reader: &mut Reader) -> Vec<Item> {
        let mut switches = lock(&self.switches);
        if *self.paused.borrow() {
            return Vec::new();
        }
        // What cannot be read now is read later.
        let Ok(records) = reader.read() else { return Vec::new() };
        let due = Instant::now() + switches.delay;
        let mut items = Vec::new();
        for record in records.into_iter().filter(|record| self.mapping.takes(&record.event)) {
            if switches.drop_next > 0 {
                switches.drop_next -= 1;
                continue;
            }
            let twice = switches.duplicate_next > 0;
            switches.duplicate_next = switches.duplicate_next.saturating_sub(1);
            items.push(Item { record, due, twice });
        }
        drop(switches);
        let mut state = lock(&self.state);
        state.open.extend(items.iter().map(|item| item.record.sequence.clone()));
        state.read_to = reader.last().map(str::to_owned);
        drop(state);
        self.changed.send_replace(());
        items
    }
}

/// One batch at a time, in the order of the stream.
struct Lane {
    shared: Arc<Shared>,
    arriving: mpsc::UnboundedReceiver<Vec<Item>>,
    waiting: VecDeque<Item>,
}

/// Records that are delivered together.
#[derive(Debug)]
struct Batch {
    records: Vec<Record>,
    /// Retries that it has used up.
    retries: u32,
    /// Invocations that it has had.
    invocations: u32,
    last: Option<Invocation>,
}

/// A batch's latest invocation.
#[derive(Debug)]
struct Invocation {
    request_id: String,
    by_error: bool,
}

/// What the function made of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Done,
    /// All before that one are done.
    FailedFrom(usize),
    Failed,
}

impl Lane {
    fn new(shared: Arc<Shared>, arriving: mpsc::UnboundedReceiver<Vec<Item>>) -> Self {
        Self { shared, arriving, waiting: VecDeque::new() }
    }

    async fn run(mut self) {
        while let Some(items) = self.next_batch().await {
            if let Some(due) = items.iter().map(|item| item.due).max() {
                sleep_until(due).await;
            }
            let sequences: Vec<_> = items.iter().map(|item| item.record.sequence.clone()).collect();
            let again: Vec<_> =
                items.iter().filter(|item| item.twice).map(|item| item.record.clone()).collect();
            self.shared.deliver(items.into_iter().map(|item| item.record).collect()).await;
            if !again.is_empty() {
                self.shared.deliver(again).await;
            }
            let mut state = lock(&self.shared.state);
            for sequence in &sequences {
                state.open.remove(sequence);
            }
            drop(state);
            self.shared.changed.send_replace(());
        }
    }

    /// A batch is full by its number of records or by its size, or its window has passed.
    async fn next_batch(&mut self) -> Option<Vec<Item>> {
        if self.waiting.is_empty() {
            self.waiting.extend(self.arriving.recv().await?);
        }
        let until = Instant::now() + self.shared.mapping.batching_window;
        loop {
            while let Ok(more) = self.arriving.try_recv() {
                self.waiting.extend(more);
            }
            let full = self.fits();
            let is_full = full < self.waiting.len() || full >= self.shared.mapping.batch_size;
            let more =
                async { if is_full { None } else { timeout_at(until, self.arriving.recv()).await.ok()? } };
            match more.await {
                Some(more) => self.waiting.extend(more),
                None => return Some(self.waiting.drain(..full).collect()),
            }
        }
    }

    /// How many of those that wait make one batch: at least one.
    fn fits(&self) -> usize {
        let mut size = 0;
        let fitting = self.waiting.iter().take(self.shared.mapping.batch_size).take_while(|item| {
            size += item.record.size + 1;
            size <= LARGEST_EVENT
        });
        fitting.count().max(1)
    }
}

impl Shared {
    /// Returns when every record was delivered or given up.
    async fn deliver(&self, records: Vec<Record>) {
        let mut batches = VecDeque::from([Batch::new(records)]);
        let mut refusals = 0;
        while let Some(mut batch) = batches.pop_front() {
            let _ = self.paused.subscribe().wait_for(|paused| !*paused).await;
            batch = self.without_expired(batch);
            if batch.records.is_empty() {
                continue;
            }
            let Some(begun) = self.begin(&batch) else {
                batches.push_front(batch);
                continue;
            };
            let Some(verdict) = self.invoke(begun, &mut batch).await else {
                // Not the function's failure: no retry is used up.
                sleep(backoff(refusals)).await;
                refusals += 1;
                batches.push_front(batch);
                continue;
            };
            refusals = 0;
            let bisect = self.mapping.bisect;
            match verdict {
                Verdict::Done => {}
                Verdict::FailedFrom(first) if bisect && first > 0 => {
                    batch.records.drain(..first);
                    batches.push_front(batch);
                }
                Verdict::Failed if bisect && batch.records.len() > 1 => {
                    let middle = batch.records.len().div_ceil(2);
                    let second = Batch::new(batch.records.split_off(middle));
                    let first = Batch::new(batch.records);
                    batches.push_front(Batch { retries: batch.retries, ..second });
                    batches.push_front(Batch { retries: batch.retries, ..first });
                }
                Verdict::FailedFrom(_) | Verdict::Failed => {
                    if let Verdict::FailedFrom(first) = verdict {
                        batch.records.drain(..first);
                    }
                    if self.mapping.retries.is_some_and(|retries| batch.retries >= retries) {
                        self.give_up(&batch.records, &batch, "RetryAttemptsExhausted");
                    } else {
                        sleep(backoff(batch.retries)).await;
                        batch.retries += 1;
                        batches.push_front(batch);
                    }
                }
            }
        }
    }

    /// The batch without the records that are too old; they are given up.
    fn without_expired(&self, mut batch: Batch) -> Batch {
        let Some(age) = self.mapping.record_age else { return batch };
        let oldest = (now_ms() / 1000).saturating_sub(age.as_secs());
        let expired = batch.records.iter().take_while(|record| record.written_at < oldest).count();
        if expired > 0 {
            let rest = batch.records.split_off(expired);
            self.give_up(&batch.records, &batch, "RecordAgeExceeded");
            batch.records = rest;
        }
        batch
    }

    /// The invocation's number and event; none where it was paused meanwhile.
    fn begin(&self, batch: &Batch) -> Option<(u64, Value)> {
        let _switches = lock(&self.switches);
        if *self.paused.borrow() {
            return None;
        }
        let events: Vec<_> = batch.records.iter().map(|record| record.event.clone()).collect();
        let event = json!({ "Records": events });
        let mut state = lock(&self.state);
        state.begun += 1;
        let number = state.begun;
        state.invocations.insert(number, event.clone());
        Some((number, event))
    }

    /// None where the function could not be invoked.
    async fn invoke(&self, (number, event): (u64, Value), batch: &mut Batch) -> Option<Verdict> {
        let request_id = Uuid::new_v4().to_string();
        let (verdict, by_error) = match self.invoker.invoke(event, &request_id).await {
            Outcome::Answered(_) if !self.mapping.reports_failures => (Verdict::Done, false),
            Outcome::Answered(answer) => (verdict(&answer, &batch.records), false),
            Outcome::Failed(error) => {
                lock(&self.state).errors.push(error);
                (Verdict::Failed, true)
            }
            Outcome::NotInvoked => {
                lock(&self.state).invocations.remove(&number);
                return None;
            }
        };
        batch.invocations += 1;
        batch.last = Some(Invocation { request_id, by_error });
        Some(verdict)
    }

    /// Tells the destination of records that are not tried again.
    fn give_up(&self, records: &[Record], batch: &Batch, condition: &str) {
        let (Some(_), Some(first), Some(last)) = (&self.mapping.on_failure, records.first(), records.last())
        else {
            return;
        };
        // The form: the last of the AWS pages above, "Configuring destinations for failed invocations".
        let mut message = json!({
            "requestContext": {
                "requestId": batch.last.as_ref().map_or_else(|| Uuid::new_v4().to_string(), |last| last.request_id.clone()),
                "functionArn": format!("arn:aws:lambda:{REGION}:000000000000:function:{}", self.mapping.function),
                "condition": condition,
                "approximateInvokeCount": batch.invocations,
            },
            "version": "1.0",
            "timestamp": iso_milliseconds(now_ms()),
            "DDBStreamBatchInfo": {
                "shardId": self.stream.shard,
                "startSequenceNumber": first.sequence,
                "endSequenceNumber": last.sequence,
                "approximateArrivalOfFirstRecord": iso_seconds(first.written_at),
                "approximateArrivalOfLastRecord": iso_seconds(last.written_at),
                "batchSize": records.len(),
                "streamArn": self.stream.arn,
            },
        });
        if let Some(invocation) = &batch.last {
            message["responseContext"] = json!({ "statusCode": 200, "executedVersion": "$LATEST" });
            if invocation.by_error {
                message["responseContext"]["functionError"] = Value::from("Unhandled");
            }
        }
        lock(&self.state).on_failure.push(message);
    }
}

impl Batch {
    fn new(records: Vec<Record>) -> Self {
        Self { records, retries: 0, invocations: 0, last: None }
    }
}

/// A partial batch response, read as Lambda reads it.
fn verdict(answer: &Value, records: &[Record]) -> Verdict {
    let failures = match answer {
        Value::Null => return Verdict::Done,
        Value::Object(answer) => answer.get("batchItemFailures").unwrap_or(&Value::Null),
        _ => return Verdict::Failed,
    };
    let failures = match failures {
        Value::Null => return Verdict::Done,
        Value::Array(failures) => failures,
        _ => return Verdict::Failed,
    };
    let positions: Option<Vec<_>> = failures
        .iter()
        .map(|failure| {
            let identifier = failure["itemIdentifier"].as_str()?;
            records.iter().position(|record| record.sequence == identifier)
        })
        .collect();
    match positions.map(|positions| positions.into_iter().min()) {
        None => Verdict::Failed,
        Some(None) => Verdict::Done,
        Some(Some(lowest)) => Verdict::FailedFrom(lowest),
    }
}

fn backoff(retries: u32) -> Duration {
    let (first, longest) = BACKOFF;
    first.saturating_mul(2_u32.saturating_pow(retries)).min(longest)
}

#[cfg(test)]
mod tests;
