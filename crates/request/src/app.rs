//! What every invocation works with, and how long one may take.

use crate::logrocket::LogRocket;
use aws::clock;
use aws::function;
use aws::secrets::{Secrets, SecretsError};
use aws::table::{Table, TableError};
use aws::tls::Tls;
use aws_config::SdkConfig;
use lambda_runtime::Context;
use model::problem::{Kind, Problem};
use model::secrets::{RequestSecrets, SecretDocument};
use model::settings::RequestSettings;
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A caller has an answer within 9 seconds; this leaves the runtime and the gateway their share.
const ANSWER_WITHIN: Duration = Duration::from_millis(8_500);
/// What is left of the answer's time for writing down LogRocket's.
const LAST_WRITE: Duration = Duration::from_millis(1_500);
/// What a caller is told to wait where something of ours is not available.
pub const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);

pub struct App {
    pub settings: RequestSettings,
    pub table: Table,
    pub secrets: Secrets<RequestSecrets>,
    pub log_rocket: LogRocket,
}

impl App {
    /// Builds the clients, fetches the secrets, and connects to the table and to LogRocket: before its first invocation
    /// a function has whole processors, afterwards a part of one. Secrets that cannot be had yet are no reason to stop:
    /// the invocations that need them try again, and say so.
    pub async fn start(
        settings: RequestSettings,
        config: &SdkConfig,
        tls: &Tls,
    ) -> Result<Self, reqwest::Error> {
        let shared = &settings.shared;
        let app = Self {
            table: Table::new(config, shared.table_name.clone(), settings.monthly_request_limit),
            secrets: Secrets::new(&shared.secrets, config, SecretDocument::for_request),
            log_rocket: LogRocket::new(tls, &settings.log_rocket_api_url, &shared.app)?,
            settings,
        };
        // An error has been logged and is met again by whoever needs the secrets.
        let _ = tokio::join!(app.secrets(), app.table.connect(), app.log_rocket.connect());
        Ok(app)
    }

    /// The secrets with another key for LogRocket than `refused`, if it was rotated since they were read.
    pub async fn with_rotated_key(&self, refused: &RequestSecrets) -> Option<Arc<RequestSecrets>> {
        let current = match self.secrets.refresh(clock::now()).await {
            Some(refreshed) => refreshed,
            // Another POST of this invocation may just have done it.
            None => self.secrets.get(clock::now()).await.ok()?,
        };
        let is_other =
            current.log_rocket_api_key.expose_secret() != refused.log_rocket_api_key.expose_secret();
        is_other.then_some(current)
    }

    pub async fn secrets(&self) -> Result<Arc<RequestSecrets>, Problem> {
        self.secrets.get(clock::now()).await.map_err(|error| secrets_unavailable(&error))
    }
}

/// One run of the function.
pub struct Invocation {
    /// The source's key of a direct invocation: Lambda repeats an asynchronous one under the same id.
    pub lambda_request_id: String,
    /// The function is ended then.
    pub deadline: Instant,
    /// The caller has his answer by then.
    pub answer_by: Instant,
}

impl Invocation {
    pub fn begin(context: &Context) -> Self {
        let deadline = function::deadline(context);
        Self {
            lambda_request_id: context.request_id.clone(),
            deadline,
            answer_by: deadline.min(Instant::now() + ANSWER_WITHIN),
        }
    }

    /// Until when LogRocket is waited for on a caller's behalf.
    pub fn wait_until(&self) -> Instant {
        let left = self.answer_by.saturating_duration_since(Instant::now());
        self.answer_by - LAST_WRITE.min(left / 2)
    }
}

/// Logs why the table did not do what it should, and says to the caller that it did not.
pub fn table_unavailable(error: &TableError) -> Problem {
    tracing::error!(error = aws::telemetry::chain(error), "the table did not do it");
    let detail = "The table is not available; nothing may have been stored. Try again.";
    Problem::new(Kind::Unavailable, detail).retry_after(TRY_AGAIN_AFTER)
}

/// Logs which secret cannot be had, and says to the caller that there is one.
pub fn secrets_unavailable(error: &SecretsError) -> Problem {
    tracing::error!(error = aws::telemetry::chain(error), "the secrets cannot be had");
    let detail = "The secrets of this function cannot be read; its log names what is missing.";
    Problem::new(Kind::Unavailable, detail).retry_after(TRY_AGAIN_AFTER)
}
