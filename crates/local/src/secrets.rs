//! AWS Secrets Manager, as far as the functions ask it: `GetSecretValue` of a secret's current version.
//!
//! - JSON 1.1, `X-Amz-Target: secretsmanager.GetSecretValue`, a `SecretId` that is a name or an ARN. The answer has
//!   `SecretString`, or `SecretBinary` in base64, never both.
//! - A secret that is not there is a 400 `ResourceNotFoundException`, one whose key is not to be had a 400
//!   `DecryptionFailure`, one that the role may not read a 400 `AccessDeniedException`; its own trouble is a 500
//!   `InternalServiceError`.
//!
//! Sources: botocore 1.44.5 (`secretsmanager/2017-10-17`),
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>. Not verified: the texts of
//! the errors.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::serve::{Cut, Server, lock};

/// The running stand-in, with no secret in it at first. Dropping it frees its port and closes every connection.
#[derive(Debug)]
pub struct SecretsManager {
    shared: Arc<Mutex<Shared>>,
    server: Server,
}

/// What a secret's id is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// `SecretString`.
    Text(String),
    /// `SecretBinary`.
    Binary(Vec<u8>),
    /// The error of that name: `AccessDeniedException`, `DecryptionFailure`, `InternalServiceError`, …
    Refused(&'static str),
    /// A 200 with that body, whatever it is.
    Answer(String),
}

#[derive(Debug, Default)]
struct Shared {
    secrets: BTreeMap<String, Secret>,
    is_down: bool,
    /// The ids that were asked for.
    asked: Vec<String>,
}

impl SecretsManager {
    /// Serves on a free local port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> io::Result<Self> {
        let shared = Arc::new(Mutex::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let server = Server::start((Ipv4Addr::LOCALHOST, 0).into(), router).await?;
        Ok(Self { shared, server })
    }

    /// What `AWS_ENDPOINT_URL_SECRETS_MANAGER` is set to.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The secret of that id is this JSON from now on.
    pub fn put(&self, id: &str, json: &Value) {
        self.put_as(id, Secret::Text(json.to_string()));
    }

    /// The same, whatever it is.
    pub fn put_as(&self, id: &str, secret: Secret) {
        lock(&self.shared).secrets.insert(id.to_owned(), secret);
    }

    /// There is no secret of that id any more.
    pub fn remove(&self, id: &str) {
        lock(&self.shared).secrets.remove(id);
    }

    /// Whether every call breaks off from now on, without an answer.
    pub fn set_down(&self, is_down: bool) {
        lock(&self.shared).is_down = is_down;
    }

    /// How many calls there were so far. The SDK repeats those that break off.
    pub fn calls(&self) -> usize {
        lock(&self.shared).asked.len()
    }

    /// How many of them were for that id.
    pub fn calls_for(&self, id: &str) -> usize {
        lock(&self.shared).asked.iter().filter(|asked| *asked == id).count()
    }
}

async fn answer(State(shared): State<Arc<Mutex<Shared>>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    if target != Some("secretsmanager.GetSecretValue") {
        return refusal("UnknownOperationException", "");
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(id) = body["SecretId"].as_str() else {
        return refusal("InvalidParameterException", "SecretId is missing.");
    };
    let (secret, is_down) = {
        let mut shared = lock(&shared);
        shared.asked.push(id.to_owned());
        (shared.secrets.get(id).cloned(), shared.is_down)
    };
    if is_down {
        return Cut.into_response();
    }
    let value = match secret {
        Some(Secret::Text(text)) => json!({ "SecretString": text }),
        Some(Secret::Binary(bytes)) => json!({ "SecretBinary": STANDARD.encode(bytes) }),
        Some(Secret::Refused(name)) => return refusal(name, &format!("{name} for the secret {id}.")),
        Some(Secret::Answer(body)) => return sent(StatusCode::OK, body),
        None => {
            let message = "Secrets Manager can't find the specified secret.";
            return refusal("ResourceNotFoundException", message);
        }
    };
    let mut found = json!({
        "ARN": format!("arn:aws:secretsmanager:us-east-1:000000000000:secret:{id}"),
        "Name": id,
        "VersionId": "00000000-0000-4000-8000-000000000000",
        "VersionStages": ["AWSCURRENT"],
    });
    if let (Value::Object(found), Value::Object(value)) = (&mut found, value) {
        found.extend(value);
    }
    sent(StatusCode::OK, found.to_string())
}

fn refusal(name: &str, message: &str) -> Response {
    let status = match name {
        "InternalServiceError" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    sent(status, json!({ "__type": name, "Message": message }).to_string())
}

fn sent(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(manager: &SecretsManager, id: &str) -> Result<(u16, Value), reqwest::Error> {
        let client = crate::client().build().unwrap();
        let request = client
            .post(manager.url())
            .header("x-amz-target", "secretsmanager.GetSecretValue")
            .body(json!({ "SecretId": id }).to_string());
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await.unwrap_or_default()))
    }

    #[tokio::test]
    async fn a_secret_is_what_was_put_there_last() {
        let manager = SecretsManager::start().await.unwrap();
        assert_eq!(ask(&manager, "own").await.unwrap().1["__type"], "ResourceNotFoundException");

        manager.put("own", &json!({ "a": 1 }));
        let (status, found) = ask(&manager, "own").await.unwrap();
        assert_eq!(
            (status, &found["Name"], &found["SecretString"]),
            (200, &json!("own"), &json!(r#"{"a":1}"#))
        );

        manager.put_as("own", Secret::Binary(b"hush".to_vec()));
        let (_, found) = ask(&manager, "own").await.unwrap();
        assert_eq!((&found["SecretBinary"], &found["SecretString"]), (&json!("aHVzaA=="), &Value::Null));

        manager.remove("own");
        assert_eq!(ask(&manager, "own").await.unwrap().0, 400);
        assert_eq!((manager.calls(), manager.calls_for("own"), manager.calls_for("other")), (4, 4, 0));
    }

    #[tokio::test]
    async fn trouble_comes_as_it_was_ordered() {
        let manager = SecretsManager::start().await.unwrap();
        for (name, status) in
            [("DecryptionFailure", 400), ("AccessDeniedException", 400), ("InternalServiceError", 500)]
        {
            manager.put_as("own", Secret::Refused(name));
            let (answered, error) = ask(&manager, "own").await.unwrap();
            assert_eq!((answered, &error["__type"]), (status, &json!(name)));
        }
        manager.put_as("own", Secret::Answer("{".to_owned()));
        assert_eq!(ask(&manager, "own").await.unwrap(), (200, Value::Null));

        manager.set_down(true);
        assert!(ask(&manager, "own").await.is_err());
        manager.set_down(false);
        assert!(ask(&manager, "own").await.is_ok());
    }
}
