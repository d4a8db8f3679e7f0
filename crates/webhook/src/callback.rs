//! LogRocket's callback: let in by its token, bound to its attempt, taken in by one update.

use crate::app::App;
use aws::clock;
use aws::metrics::{self, Count};
use aws::table::{NewsReceipt, TableError};
use lambda_http::aws_lambda_events::query_map::QueryMap;
use model::callback::{Outcome, Report};
use model::id::RequestId;
use model::problem::{Kind, Problem};
use model::record::Status;
use model::rules::{News, NewsOutcome};
use model::secrets::WebhookSecrets;
use model::time::Time;
use model::token::{CallbackKeys, parse_attempt};
use std::time::Duration;

const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What became of a callback that is answered with 200.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    Stored,
    Known,
    /// LogRocket says that it is still at work.
    Pending,
}

impl Taken {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Known => "known",
            Self::Pending => "pending",
        }
    }
}

/// What a callback URL says of itself, each of it once and in its one spelling. Nothing of it is believed before
/// [`Claim::opened`] says so.
pub struct Claim<'a> {
    pub request_id: RequestId,
    pub attempt: u32,
    token: &'a str,
}

impl<'a> Claim<'a> {
    pub fn read(query: &'a QueryMap) -> Option<Self> {
        let request = one(query, "request")?;
        let attempt = one(query, "attempt").and_then(parse_attempt)?;
        let token = one(query, "token")?;
        let request_id = RequestId::parse(request).filter(|id| id.as_str() == request)?;
        Some(Self { request_id, attempt, token })
    }

    /// When the request was opened that its token was made for; `None` for a token that is none of ours.
    pub fn opened(&self, keys: &CallbackKeys, app: &str) -> Option<Time> {
        keys.verify(app, self.request_id.as_str(), self.attempt, self.token)
    }
}

/// A callback URL whose token was made by us: only [`Target::verify`] makes one.
struct Target {
    request_id: RequestId,
    attempt: u32,
    opened: Time,
}

/// Takes in one callback. The token is checked before anything else is looked at.
pub async fn take(app: &App, query: &QueryMap, body: &[u8]) -> Result<Taken, Problem> {
    let target = Target::verify(app, query).await?;
    let (id, attempt) = (target.request_id.as_str(), target.attempt);
    let report = Report::parse(body).map_err(|unreadable| {
        // The poll will settle it.
        metrics::count(Count::CallbacksUnreadable);
        tracing::error!(requestID = id, attempt, reason = %unreadable, "unreadable callback");
        Problem::new(Kind::Malformed, format!("The callback cannot be read: {unreadable}."))
    })?;
    if report.outcome == Outcome::Pending {
        metrics::count(Count::CallbacksTaken);
        tracing::info!(requestID = id, attempt, outcome = "PENDING", receipt = "pending", "callback");
        return Ok(Taken::Pending);
    }
    let news = News {
        opened: target.opened,
        attempt,
        log_rocket_request_id: report.log_rocket_request_id,
        outcome: NewsOutcome::from(report.outcome),
    };
    let rules = &app.settings.shared.rules;
    let received = app.table.receive(&target.request_id, &news, clock::now(), rules).await;
    let received = received.map_err(|error| table_unavailable(id, &error))?;
    let (outcome, receipt) = (news.outcome.as_str(), received.as_str());
    let (status, settled) =
        (received.status().map(Status::as_str), metrics::received(received, news.opened, clock::now()));
    tracing::info!(requestID = id, attempt, outcome, receipt, status, settledAfterMs = settled, "callback");
    match (received, news.outcome) {
        (NewsReceipt::Gone, _) => {
            Err(Problem::new(Kind::Gone, "The request that this belongs to is no longer there."))
        }
        (NewsReceipt::OtherId, _) => {
            metrics::count(Count::CallbacksConflicting);
            Err(Problem::new(Kind::Conflict, "The callback names another id than this attempt has."))
        }
        (_, NewsOutcome::TooLarge(too_large)) => {
            metrics::count(Count::CallbacksTooLarge);
            Err(Problem::new(Kind::TooLarge, format!("{too_large}.")))
        }
        (NewsReceipt::Stored(_), _) => {
            metrics::count(Count::CallbacksTaken);
            Ok(Taken::Stored)
        }
        (NewsReceipt::Known, _) => {
            metrics::count(Count::CallbacksTaken);
            Ok(Taken::Known)
        }
    }
}

impl Target {
    async fn verify(app: &App, query: &QueryMap) -> Result<Self, Problem> {
        let unauthorized = || {
            metrics::count(Count::CallbacksRefused);
            tracing::warn!("callback without a valid token");
            Problem::new(Kind::Unauthorized, "The callback URL's token is missing or does not fit.")
        };
        let claim = Claim::read(query).ok_or_else(unauthorized)?;
        let log_rocket_app = app.settings.shared.app.as_str();
        let fits = |secrets: &WebhookSecrets| claim.opened(&secrets.callback_keys, log_rocket_app);
        let secrets = app.secrets.get(clock::now()).await.map_err(|error| {
            tracing::error!(error = aws::telemetry::chain(&error), "the secrets cannot be had");
            Problem::new(Kind::Unavailable, "The callback keys cannot be read.").retry_after(TRY_AGAIN_AFTER)
        })?;
        let opened = match fits(&secrets) {
            Some(opened) => Some(opened),
            // A key may have been added since the secrets were read.
            None => app.secrets.refresh(clock::now()).await.and_then(|secrets| fits(&secrets)),
        };
        let opened = opened.ok_or_else(unauthorized)?;
        Ok(Self { request_id: claim.request_id, attempt: claim.attempt, opened })
    }
}

/// The parameter's value; `None` too if it is given twice, for then nobody can say which was meant.
fn one<'a>(query: &'a QueryMap, name: &str) -> Option<&'a str> {
    match query.all(name)?.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}

fn table_unavailable(request_id: &str, error: &TableError) -> Problem {
    let error = aws::telemetry::chain(error);
    tracing::error!(requestID = request_id, error, "the callback cannot be stored");
    let detail = "The table is not available; the callback is not stored. Send it again.";
    Problem::new(Kind::Unavailable, detail).retry_after(TRY_AGAIN_AFTER)
}
