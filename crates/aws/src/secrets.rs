//! The secrets: fetched, merged, cached for five minutes, and fetched again when one was not accepted.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use futures::future::try_join_all;
use model::secrets::{BadSecret, SecretDocument};
use model::settings::SecretSource;
use model::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

const FRESH_FOR: Duration = Duration::from_secs(300);
/// A token that nobody knows makes the secrets be fetched again, but not more often than this: else a
/// stranger could make us call Secrets Manager as often as he calls us.
const BETWEEN_REFRESHES: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    #[error("the secret {id} cannot be read")]
    Unreadable { id: String, source: Box<SdkError<GetSecretValueError>> },
    #[error("the secret {id} has no text in it")]
    Empty { id: String },
    #[error(transparent)]
    Bad(#[from] BadSecret),
}

/// The secrets of one function, of the shape `T`.
pub struct Secrets<T> {
    source: Source,
    read: fn(&SecretDocument) -> Result<T, BadSecret>,
    cached: Mutex<Option<Cached<T>>>,
}

enum Source {
    Manager { client: aws_sdk_secretsmanager::Client, ids: Vec<String> },
    Json(String),
}

struct Cached<T> {
    secrets: Arc<T>,
    fetched_at: Time,
    /// When they were last asked for out of turn, or in vain.
    tried_at: Option<Time>,
}

impl<T> Cached<T> {
    fn is_fresh(&self, now: Time) -> bool {
        now.since(self.fetched_at) < FRESH_FOR
    }

    fn was_just_tried(&self, now: Time) -> bool {
        self.tried_at.is_some_and(|tried_at| now.since(tried_at) < BETWEEN_REFRESHES)
    }
}

impl<T> Secrets<T> {
    /// `read` takes what the function needs from the merged JSON.
    pub fn new(
        source: &SecretSource,
        config: &SdkConfig,
        read: fn(&SecretDocument) -> Result<T, BadSecret>,
    ) -> Self {
        let source = match source {
            SecretSource::Json(json) => Source::Json(json.clone()),
            SecretSource::Ids(ids) => {
                Source::Manager { client: aws_sdk_secretsmanager::Client::new(config), ids: ids.clone() }
            }
        };
        Self { source, read, cached: Mutex::new(None) }
    }

    /// The secrets, at most five minutes old. Older ones serve on while new ones cannot be had.
    pub async fn get(&self, now: Time) -> Result<Arc<T>, SecretsError> {
        let mut cached = self.cached.lock().await;
        let served = cached.as_ref().filter(|cached| cached.is_fresh(now) || cached.was_just_tried(now));
        if let Some(cached) = served {
            return Ok(cached.secrets.clone());
        }
        let tried_at = cached.as_ref().and_then(|cached| cached.tried_at);
        match (self.fetch().await, cached.as_mut()) {
            (Ok(secrets), _) => Ok(keep(&mut cached, secrets, now, tried_at)),
            (Err(error), None) => Err(error),
            (Err(error), Some(old)) => {
                let error = crate::telemetry::chain(&error);
                tracing::warn!(error, "the secrets cannot be refreshed; the ones known are used on");
                old.tried_at = Some(now);
                Ok(old.secrets.clone())
            }
        }
    }

    /// Fetches them again after one was not accepted; `None` if that was tried within the last minute or
    /// cannot be done now.
    pub async fn refresh(&self, now: Time) -> Option<Arc<T>> {
        let mut cached = self.cached.lock().await;
        if cached.as_ref().is_some_and(|cached| cached.was_just_tried(now)) {
            return None;
        }
        match self.fetch().await {
            Ok(secrets) => Some(keep(&mut cached, secrets, now, Some(now))),
            Err(error) => {
                tracing::warn!(error = crate::telemetry::chain(&error), "the secrets cannot be refreshed");
                if let Some(old) = cached.as_mut() {
                    old.tried_at = Some(now);
                }
                None
            }
        }
    }

    async fn fetch(&self) -> Result<T, SecretsError> {
        let mut document = SecretDocument::default();
        match &self.source {
            Source::Json(json) => document.merge("SECRETS_JSON", json)?,
            Source::Manager { client, ids } => {
                let texts = try_join_all(ids.iter().map(|id| fetch_one(client, id))).await?;
                for (id, text) in ids.iter().zip(texts) {
                    document.merge(&format!("the secret {id}"), &text)?;
                }
            }
        }
        Ok((self.read)(&document)?)
    }
}

fn keep<T>(cached: &mut Option<Cached<T>>, secrets: T, now: Time, tried_at: Option<Time>) -> Arc<T> {
    let secrets = Arc::new(secrets);
    *cached = Some(Cached { secrets: secrets.clone(), fetched_at: now, tried_at });
    secrets
}

async fn fetch_one(client: &aws_sdk_secretsmanager::Client, id: &str) -> Result<String, SecretsError> {
    let answer = client.get_secret_value().secret_id(id).send().await;
    let answer =
        answer.map_err(|source| SecretsError::Unreadable { id: id.to_owned(), source: Box::new(source) })?;
    answer.secret_string.ok_or_else(|| SecretsError::Empty { id: id.to_owned() })
}
