//! Metrics: lines of CloudWatch's embedded metric format on standard output, beside the log. CloudWatch makes metrics of
//! them: no call is made for it, and no thread runs.
//!
//! All have the dimension `Stack`, so that two stacks of one account do not mix. A second one is `Function` or
//! `Destination` (its type): never what tells of a person. An invocation prints one line for each set of dimensions.
//!
//! What is not counted is measured as a list of values. The collector's gauges are not used: each line would repeat the
//! last value, so that what a sweep found would be told by invocations that never looked, and a sweep that stopped could
//! not be missed.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use crate::table::{NewsReceipt, Settlement};
use metrics::Unit;
use metrics_cloudwatch_embedded::{Builder, Collector};
use model::record::Status;
use model::time::Time;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub const NAMESPACE: &str = "GalileoHighlights";
const STACK: &str = "Stack";
const FUNCTION: &str = "Function";
const DESTINATION: &str = "Destination";
/// The collector holds no more values of one metric, and the format takes no more in one line.
const MAX_VALUES: usize = 100;

static COLLECTOR: OnceLock<&'static Collector> = OnceLock::new();
/// Since the last line was printed, of all metrics together.
static MEASURED: AtomicUsize = AtomicUsize::new(0);

/// What is counted of requests, attempts and callbacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// A new request.
    Asked,
    /// A request that was there already, by its key or by `maxAge`.
    AskedAgain,
    /// A POST to LogRocket.
    Posts,
    /// LogRocket surely did not take a POST.
    NotTaken,
    /// LogRocket said a clear no.
    RefusedByLogRocket,
    /// LogRocket does not accept the key, for a POST or a poll.
    KeyRefused,
    OverBudget,
    /// A callback that was stored, or was known already.
    CallbacksTaken,
    /// A callback without a valid token.
    CallbacksRefused,
    CallbacksUnreadable,
    /// A callback that names another attempt's id.
    CallbacksConflicting,
    CallbacksTooLarge,
}

impl Count {
    fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "Asked",
            Self::AskedAgain => "AskedAgain",
            Self::Posts => "Posts",
            Self::NotTaken => "NotTaken",
            Self::RefusedByLogRocket => "RefusedByLogRocket",
            Self::KeyRefused => "KeyRefused",
            Self::OverBudget => "OverBudget",
            Self::CallbacksTaken => "CallbacksTaken",
            Self::CallbacksRefused => "CallbacksRefused",
            Self::CallbacksUnreadable => "CallbacksUnreadable",
            Self::CallbacksConflicting => "CallbacksConflicting",
            Self::CallbacksTooLarge => "CallbacksTooLarge",
        }
    }
}

/// How a try of a delivery ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryEnd {
    /// With the time since the outcome.
    Delivered(Duration),
    /// To be tried again.
    Postponed,
    GivenUp,
    Skipped,
}

/// What a sweep found and did, in records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sweep {
    pub due: usize,
    pub claimed: usize,
    pub failed: usize,
    /// Of the record that was due the longest.
    pub oldest_due_seconds: u64,
}

/// Sets up the metrics of this process; a second call changes nothing.
pub fn init(stack: &str) {
    let collector =
        Builder::new().cloudwatch_namespace(NAMESPACE).with_dimension(STACK, stack.to_owned()).init();
    // There is one already.
    let Ok(collector) = collector else { return };
    let _ = COLLECTOR.set(collector);
    for milliseconds in ["TimeToReady", "TimeToDelivered"] {
        metrics::describe_histogram!(milliseconds, Unit::Milliseconds, "");
    }
    metrics::describe_histogram!("OldestDue", Unit::Seconds, "");
    metrics::describe_histogram!("BudgetUsed", Unit::Percent, "");
}

pub fn count(what: Count) {
    metrics::counter!(what.as_str()).increment(1);
}

/// A request came to an outcome. One that is lifted from FAILED or EXPIRED to READY is counted by both.
pub fn settled(status: Status, created_at: Time, now: Time) {
    let name = match status {
        Status::Pending => return,
        Status::Expired => "Expired",
        Status::Failed => "Failed",
        Status::Ready => "Ready",
    };
    metrics::counter!(name).increment(1);
    if status == Status::Ready {
        room_for(1);
        metrics::histogram!("TimeToReady").record(milliseconds(now.since(created_at)));
    }
}

/// The same of news that came in; answers after how many milliseconds it ended its request, if it did.
pub fn received(received: NewsReceipt, created_at: Time, now: Time) -> Option<u64> {
    let NewsReceipt::Stored(Settlement::Settled(status)) = received else { return None };
    settled(status, created_at, now);
    u64::try_from(now.since(created_at).as_millis()).ok()
}

/// `destination` is the destination's type.
pub fn delivery(end: DeliveryEnd, destination: &'static str) {
    let name = match end {
        DeliveryEnd::Delivered(_) => "Delivered",
        DeliveryEnd::Postponed => "Postponed",
        DeliveryEnd::GivenUp => "GivenUp",
        DeliveryEnd::Skipped => "Skipped",
    };
    metrics::counter!(name, DESTINATION => destination).increment(1);
    match end {
        DeliveryEnd::Delivered(after) => {
            room_for(1);
            metrics::histogram!("TimeToDelivered", DESTINATION => destination).record(milliseconds(after));
        }
        // Once more over all destinations: an alarm cannot search for dimensions.
        DeliveryEnd::GivenUp => metrics::counter!(name).increment(1),
        DeliveryEnd::Postponed | DeliveryEnd::Skipped => {}
    }
}

/// To be told by every sweep, whatever it found: that one is missing is what the alarm hears.
pub fn swept(function: &'static str, sweep: Sweep) {
    room_for(1);
    let record = |name: &'static str, value: u64| {
        metrics::histogram!(name, FUNCTION => function).record(approximate(value));
    };
    let records = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    record("OldestDue", sweep.oldest_due_seconds);
    record("WorkDue", records(sweep.due));
    record("WorkClaimed", records(sweep.claimed));
    record("WorkFailed", records(sweep.failed));
}

/// How much of the month's budget is used, in percent. A limit of none at all is used up.
pub fn budget_used(posts: u64, limit: u64) {
    room_for(1);
    let percent = if limit == 0 { 100.0 } else { 100.0 * approximate(posts) / approximate(limit) };
    metrics::histogram!("BudgetUsed").record(percent);
}

/// Prints what came together in an invocation. What has not been printed when a process is killed is lost.
pub fn flush(lambda_request_id: &str) {
    if let Some(collector) = COLLECTOR.get() {
        collector.set_property("lambdaRequestID", lambda_request_id);
        print(collector);
    }
}

/// Prints what is there before a metric could have more values than it holds.
fn room_for(values: usize) {
    let measured = MEASURED.fetch_add(values, Ordering::Relaxed);
    if measured + values > MAX_VALUES
        && let Some(collector) = COLLECTOR.get()
    {
        print(collector);
        MEASURED.fetch_add(values, Ordering::Relaxed);
    }
}

fn print(collector: &Collector) {
    MEASURED.store(0, Ordering::Relaxed);
    // Locked to the end: no line of the log stands in the middle of one of these.
    if let Err(error) = collector.flush(std::io::stdout().lock()) {
        tracing::error!(%error, "the metrics cannot be printed");
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// Exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no count of ours is larger")]
fn approximate(number: u64) -> f64 {
    number as f64
}
