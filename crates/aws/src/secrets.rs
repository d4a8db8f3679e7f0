//! The secrets: fetched, merged, cached for five minutes, and fetched again when one was not accepted.

use crate::telemetry::chain;
use aws_config::SdkConfig;
use futures::future::try_join_all;
use model::secrets::{BadSecret, SecretDocument};
use model::settings::SecretSource;
use model::time::Time;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

const FRESH_FOR: Duration = Duration::from_secs(300);
/// A token that nobody knows makes the secrets be fetched again, but not more often than this: else a
/// stranger could make us call Secrets Manager as often as he calls us.
const BETWEEN_REFRESHES: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, thiserror::Error)]
pub enum SecretsError {
    /// The reason is no source: that one's `Debug` shows the whole of an answer that cannot be read, secret and all.
    #[error("the secret {id} cannot be read: {reason}")]
    Unreadable { id: String, reason: String },
    #[error("the secret {id} has no text in it")]
    Empty { id: String },
    #[error(transparent)]
    Bad(#[from] BadSecret),
}

/// The secrets of one function, of the shape `T`.
pub struct Secrets<T> {
    source: Source,
    read: fn(&SecretDocument) -> Result<T, BadSecret>,
    kept: Mutex<Kept<T>>,
    /// How often they were fetched, or could not be.
    fetches: AtomicU64,
}

enum Source {
    Manager { client: aws_sdk_secretsmanager::Client, ids: Vec<String> },
    Json(SecretString),
}

/// What the last fetch brought; an error only as long as nothing was ever had.
enum Kept<T> {
    Nothing,
    Error(SecretsError),
    Secrets(Cached<T>),
}

struct Cached<T> {
    secrets: Arc<T>,
    fetched_at: Time,
    /// When they were last asked for out of turn, or in vain.
    tried_at: Option<Time>,
}

impl<T> Cached<T> {
    fn may_serve(&self, now: Time) -> bool {
        self.is_fresh(now) || self.was_just_tried(now)
    }

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
        Self { source, read, kept: Mutex::new(Kept::Nothing), fetches: AtomicU64::new(0) }
    }

    /// The secrets, at most five minutes old. Older ones serve on while new ones cannot be had.
    pub async fn get(&self, now: Time) -> Result<Arc<T>, SecretsError> {
        let fetches = self.fetches.load(Ordering::Relaxed);
        let mut kept = self.kept.lock().await;
        let tried_at = match &*kept {
            Kept::Secrets(cached) if cached.may_serve(now) => return Ok(cached.secrets.clone()),
            // Who waited while they could not be had is told the same: else the records of a sweep would ask one after
            // the other, each for as long as a call may take.
            Kept::Error(error) if fetches != self.fetches.load(Ordering::Relaxed) => {
                return Err(error.clone());
            }
            Kept::Secrets(cached) => cached.tried_at,
            Kept::Error(_) | Kept::Nothing => None,
        };
        match (self.fetch().await, &mut *kept) {
            (Ok(secrets), _) => Ok(kept.keep(secrets, now, tried_at)),
            (Err(error), Kept::Secrets(old)) => {
                tracing::warn!(
                    error = chain(&error),
                    "the secrets cannot be refreshed; the ones known are used on"
                );
                old.tried_at = Some(now);
                Ok(old.secrets.clone())
            }
            (Err(error), nothing) => {
                *nothing = Kept::Error(error.clone());
                Err(error)
            }
        }
    }

    /// Fetches them again after one was not accepted; `None` if that was tried within the last minute or
    /// cannot be done now.
    pub async fn refresh(&self, now: Time) -> Option<Arc<T>> {
        let mut kept = self.kept.lock().await;
        if matches!(&*kept, Kept::Secrets(cached) if cached.was_just_tried(now)) {
            return None;
        }
        match self.fetch().await {
            Ok(secrets) => Some(kept.keep(secrets, now, Some(now))),
            Err(error) => {
                tracing::warn!(error = chain(&error), "the secrets cannot be refreshed");
                if let Kept::Secrets(old) = &mut *kept {
                    old.tried_at = Some(now);
                }
                None
            }
        }
    }

    /// Those that are there now, where something that is needed is missing from `lacking`: fetched however lately that
    /// was done, unless somebody did so since. Until it is put there, whoever needs it is refused, as he is while none can
    /// be read at all; so the one who comes next is served.
    pub async fn beyond(&self, lacking: &Arc<T>, now: Time) -> Arc<T> {
        let mut kept = self.kept.lock().await;
        let tried_at = match &*kept {
            Kept::Secrets(cached) if !Arc::ptr_eq(&cached.secrets, lacking) => return cached.secrets.clone(),
            Kept::Secrets(cached) => cached.tried_at,
            Kept::Error(_) | Kept::Nothing => None,
        };
        match self.fetch().await {
            Ok(secrets) => kept.keep(secrets, now, tried_at),
            Err(error) => {
                tracing::warn!(error = chain(&error), "the secrets cannot be refreshed");
                lacking.clone()
            }
        }
    }

    async fn fetch(&self) -> Result<T, SecretsError> {
        let fetched = self.fetch_all().await;
        self.fetches.fetch_add(1, Ordering::Relaxed);
        Ok((self.read)(&fetched?)?)
    }

    async fn fetch_all(&self) -> Result<SecretDocument, SecretsError> {
        let mut document = SecretDocument::default();
        match &self.source {
            Source::Json(json) => document.merge("SECRETS_JSON", json.expose_secret())?,
            Source::Manager { client, ids } => {
                let texts = try_join_all(ids.iter().map(|id| fetch_one(client, id))).await?;
                for (id, text) in ids.iter().zip(texts) {
                    document.merge(&format!("the secret {id}"), text.expose_secret())?;
                }
            }
        }
        Ok(document)
    }
}

impl<T> Kept<T> {
    fn keep(&mut self, secrets: T, now: Time, tried_at: Option<Time>) -> Arc<T> {
        let secrets = Arc::new(secrets);
        *self = Self::Secrets(Cached { secrets: secrets.clone(), fetched_at: now, tried_at });
        secrets
    }
}

async fn fetch_one(client: &aws_sdk_secretsmanager::Client, id: &str) -> Result<SecretString, SecretsError> {
    let answer = client.get_secret_value().secret_id(id).send().await;
    let answer =
        answer.map_err(|error| SecretsError::Unreadable { id: id.to_owned(), reason: chain(&error) })?;
    answer.secret_string.map(SecretString::from).ok_or_else(|| SecretsError::Empty { id: id.to_owned() })
}
