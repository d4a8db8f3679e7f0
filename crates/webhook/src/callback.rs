//! LogRocket's callback: let in by its token, bound to its attempt, taken in by one update.

use crate::app::App;
use aws::clock;
use aws::table::{NewsReceipt, TableError};
use lambda_http::aws_lambda_events::query_map::QueryMap;
use model::callback::{Outcome, Report};
use model::id::RequestId;
use model::problem::{Kind, Problem};
use model::rules::{News, NewsOutcome};
use model::secrets::WebhookSecrets;
use model::time::Time;
use model::token::parse_attempt;
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
        tracing::error!(requestID = id, attempt, reason = %unreadable, "unreadable callback");
        Problem::new(Kind::Malformed, format!("The callback cannot be read: {unreadable}."))
    })?;
    if report.outcome == Outcome::Pending {
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
    tracing::info!(requestID = id, attempt, ?received, "callback");
    match (received, news.outcome) {
        (NewsReceipt::Gone, _) => {
            Err(Problem::new(Kind::Gone, "The request that this belongs to is no longer there."))
        }
        (NewsReceipt::OtherId, _) => {
            Err(Problem::new(Kind::Conflict, "The callback names another id than this attempt has."))
        }
        (_, NewsOutcome::TooLarge(too_large)) => Err(Problem::new(Kind::TooLarge, format!("{too_large}."))),
        (NewsReceipt::Stored(_), _) => Ok(Taken::Stored),
        (NewsReceipt::Known, _) => Ok(Taken::Known),
    }
}

impl Target {
    async fn verify(app: &App, query: &QueryMap) -> Result<Self, Problem> {
        let unauthorized = || {
            tracing::warn!("callback without a valid token");
            Problem::new(Kind::Unauthorized, "The callback URL's token is missing or does not fit.")
        };
        let (request, attempt, token) = (one(query, "request"), one(query, "attempt"), one(query, "token"));
        let (Some(request), Some(attempt), Some(token)) = (request, attempt.and_then(parse_attempt), token)
        else {
            return Err(unauthorized());
        };
        let request_id = RequestId::parse(request).filter(|id| id.as_str() == request);
        let Some(request_id) = request_id else { return Err(unauthorized()) };
        let fits = |secrets: &WebhookSecrets| {
            let app = app.settings.shared.app.as_str();
            secrets.callback_keys.verify(app, request_id.as_str(), attempt, token)
        };
        let secrets = app.secrets.get(clock::now()).await.map_err(|error| {
            tracing::error!(error = aws::telemetry::chain(&error), "the secrets cannot be had");
            Problem::new(Kind::Unavailable, "The callback keys cannot be read.").retry_after(TRY_AGAIN_AFTER)
        })?;
        let opened = match fits(&secrets) {
            Some(opened) => Some(opened),
            // A key may have been added since the secrets were read.
            None => app.secrets.refresh(clock::now()).await.and_then(|secrets| fits(&secrets)),
        };
        opened.map(|opened| Self { request_id, attempt, opened }).ok_or_else(unauthorized)
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
