//! Tries a destination out: sends it a sample, without a request and without the table.

use crate::app::App;
use aws::clock;
use aws::function::FunctionError;
use model::delivery::DeliveryAnswer;
use model::destination::{DestinationRules, KnownDestinations};
use model::id::RequestId;
use model::record::Record;
use model::request::{NewRequest, RequestRules};
use model::result::{HighlightsResult, Session, SessionId, StoredResult};
use model::rules::{News, NewsOutcome, Origin, Received};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use uuid::Uuid;

/// What the destination made of the sample.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    delivered: bool,
    /// What it is called there, if the vendor says.
    #[serde(rename = "externalID")]
    external_id: Option<String>,
    /// Why it was not delivered.
    error: Option<String>,
    /// Whether a delivery would be tried again.
    would_be_retried: bool,
}

impl App {
    /// Sends a sample to one destination, given as callers give it.
    pub async fn try_out(&self, destination: &RawValue, deadline: Instant) -> Result<Tried, FunctionError> {
        let record = self.sample(destination)?;
        let secrets = self.secrets.get(clock::now()).await.map_err(|error| {
            let error = aws::telemetry::chain(&error);
            tracing::error!(error, "the secrets cannot be had");
            FunctionError { error_type: "Unavailable", message: error }
        })?;
        let claimed = record.claim_deliveries(clock::now(), &self.settings.shared.rules);
        let taken = claimed.as_ref().and_then(|(record, tries)| Some((record, tries.first()?)));
        let Some((record, this)) = taken else {
            return Err(FunctionError::invalid("#/destination is nothing to send to."));
        };
        // There is no page of what is not in the table.
        let contents = self.contents(record, None);
        let answer = self.make(record, contents.as_ref(), this, &secrets, deadline).await;
        let destination = record.destinations.first().map(|destination| destination.target.type_name());
        let delivered = matches!(answer, DeliveryAnswer::Delivered { .. });
        tracing::info!(destination, delivered, "tried out");
        Ok(Tried::from(answer))
    }

    /// A request that never was, with a result that says so.
    fn sample(&self, destination: &RawValue) -> Result<Record, FunctionError> {
        // As it was written: only a caller's body is read of it.
        let destination = destination.get();
        let body = format!(
            r#"{{"userEmail":"sample@example.com","question":"Does this destination work?","destinations":[{destination}]}}"#
        );
        // What is configured is seen when it is sent.
        let known = KnownDestinations::default();
        let destinations = DestinationRules { known, allow_private: self.settings.allow_private };
        let request_rules = RequestRules { destinations, defaults: Vec::new() };
        let new = NewRequest::parse(body.as_bytes(), &request_rules)?;
        let (now, rules) = (clock::now(), &self.settings.shared.rules);
        let origin = Origin { caller: "try".to_owned(), opening: "sample".to_owned() };
        let record = Record::open(RequestId::from_uuid(Uuid::now_v7()), origin, new, None, now, rules);
        let outcome =
            StoredResult::pack(&self.sample_result()).map_or_else(NewsOutcome::TooLarge, NewsOutcome::Ready);
        let news = News { opened: now, attempt: 1, log_rocket_request_id: "sample".to_owned(), outcome };
        Ok(match record.receive(&news, now, rules) {
            Received::Changed(ready) => *ready,
            _ => record,
        })
    }

    fn sample_result(&self) -> HighlightsResult {
        let shared = &self.settings.shared;
        let sessions =
            format!("{}/{}/s", shared.log_rocket_app_url.as_str().trim_end_matches('/'), shared.app.as_str());
        let error = format!("[an error]({sessions}/5-3cde/0?t=1715564554783)");
        HighlightsResult {
            highlights: format!(
                "**This is a sample**, sent to try this destination out. The user \
                 [checks out]({sessions}/5-14de/0?t=1715564734801) and meets {error}."
            ),
            sessions: vec![Session {
                recording_id: "5-3cde".to_owned(),
                session_id: SessionId::Number(0),
                highlights: format!("The user meets {error} on the payment page, tries again and gives up."),
            }],
        }
    }
}

impl From<DeliveryAnswer> for Tried {
    fn from(answer: DeliveryAnswer) -> Self {
        let (external_id, error, would_be_retried) = match answer {
            DeliveryAnswer::Delivered { external_id } => (external_id, None, false),
            DeliveryAnswer::Refused { error, .. } => (None, Some(error), false),
            DeliveryAnswer::Again { error, .. } => (None, Some(error), true),
        };
        Self { delivered: error.is_none(), external_id, error, would_be_retried }
    }
}
