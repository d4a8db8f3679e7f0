//! Everything that a function calls, over TLS: the table, LogRocket, Secrets Manager, one destination. Each measurement
//! has a world of its own, in which nothing is but what it put there.

use crate::front::{Front, Handler, Tally, lock};
use crate::http::{Message, message};
use crate::process::Launch;
use crate::table::CountedTable;
use crate::tls::{ROOTS, Trust};
use local::table::{self, Table};
use local::template::Template;
use serde_json::{Value, json};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::runtime::Runtime;

pub const APP: &str = "org/app";
pub const API_TOKEN: &str = "bench-api-token-0123456789abcdef0123456789abcdef";
const API_KEY: &str = "org:app:0123456789abcdef0123456789abcdef";
const CALLBACK_KEY: &str = "bench-callback-key-0123456789abcdef0123456789";
const SIGNING_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const WEBHOOK_URL: &str = "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com/webhook";
const PUBLIC_URL: &str = "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com";

/// The stand-ins, and the binaries that meet them.
pub struct World {
    pub table: CountedTable,
    pub log_rocket: LogRocket,
    pub destination: Front,
    secrets: Front,
    /// What the functions trust.
    roots: PathBuf,
}

/// LogRocket: it takes every request, and has every result at once.
pub struct LogRocket {
    pub front: Front,
    posts: Arc<Mutex<Vec<Post>>>,
}

/// A request that LogRocket took.
#[derive(Debug, Clone)]
pub struct Post {
    /// LogRocket's.
    pub id: String,
    /// Where its result is to be posted.
    pub webhook_url: String,
}

/// What a measurement's calls amounted to.
#[derive(Debug, Clone, Default)]
pub struct Tallies {
    pub table: Tally,
    pub log_rocket: Tally,
    pub secrets: Tally,
    pub destination: Tally,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no table")]
    Table(#[from] table::Error),
    #[error("no local port")]
    Listen(#[from] io::Error),
}

impl World {
    /// With an empty table.
    pub fn start(runtime: &Runtime, template: &Template, trust: &Trust) -> Result<Self, Error> {
        let table = runtime.block_on(Table::from_template(template))?;
        table.end_stream()?;
        let server = || Arc::clone(&trust.server);
        let secrets: Handler = Arc::new(|call| Ok(secret(call)));
        let destination: Handler = Arc::new(|_| Ok(message("HTTP/1.1 200 OK", "", b"")));
        Ok(Self {
            table: CountedTable::start(table, server())?,
            log_rocket: LogRocket::start(server())?,
            destination: Front::start(server(), destination)?,
            secrets: Front::start(server(), secrets)?,
            roots: trust.usual.clone(),
        })
    }

    /// How a binary is started here: the environment of template.yaml, and the stand-ins' endpoints. The floors are
    /// given what they read, and take no notice of the rest.
    pub fn launch(&self, name: &str, binary: PathBuf, changes: &[(&str, &str)]) -> Launch {
        let secret_ids =
            if name == "webhook" { "callback,destinations" } else { "log-rocket,api-token,callback" };
        let (table, log_rocket) = (self.table.front.url(), self.log_rocket.front.url());
        let (secrets, roots) = (self.secrets.url(), self.roots.display().to_string());
        let mut env: Vec<(&str, &str)> = vec![
            ("TABLE_NAME", self.table.name()),
            ("LOGROCKET_APP_ID", APP),
            ("LOGROCKET_API_URL", &log_rocket),
            ("LOGROCKET_APP_URL", "https://app.logrocket.com"),
            ("MAX_ATTEMPTS", "3"),
            ("RETENTION_DAYS", "30"),
            ("STACK_NAME", "galileo-highlights"),
            ("VIEW_LINK_DAYS", "7"),
            ("PUBLIC_URL", PUBLIC_URL),
            ("WEBHOOK_URL", WEBHOOK_URL),
            ("API_AUTH", "token"),
            ("DEFAULT_DESTINATIONS", "[]"),
            ("SECRET_IDS", secret_ids),
            ("AWS_ENDPOINT_URL_DYNAMODB", &table),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &secrets),
            (ROOTS, &roots),
        ];
        if ["tutorial", "node", "python"].contains(&name) {
            env.push(("LOGROCKET_API_KEY", API_KEY));
        }
        env.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        env.extend_from_slice(changes);
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Launch { name: name.to_owned(), binary, env, under: Vec::new(), patience: 1 }
    }

    /// What was called since the last time that this was asked.
    pub fn take(&self) -> Tallies {
        Tallies {
            table: self.table.take(),
            log_rocket: self.log_rocket.front.take(),
            secrets: self.secrets.take(),
            destination: self.destination.take(),
        }
    }
}

impl Tallies {
    pub fn add(&mut self, other: Tallies) {
        self.table.add(other.table);
        self.log_rocket.add(other.log_rocket);
        self.secrets.add(other.secrets);
        self.destination.add(other.destination);
    }
}

impl LogRocket {
    fn start(server: Arc<rustls::ServerConfig>) -> io::Result<Self> {
        let posts: Arc<Mutex<Vec<Post>>> = Arc::default();
        let (taken, count) = (Arc::clone(&posts), AtomicU64::new(0));
        let handler: Handler = Arc::new(move |call| {
            let answer = if call.start().starts_with("POST ") {
                // 64 hex digits, as LogRocket's are.
                let id = format!("{:064x}", count.fetch_add(1, Ordering::Relaxed) + (1 << 60));
                let body: Value = serde_json::from_slice(call.body()).unwrap_or_default();
                let webhook_url = body["webhookURL"].as_str().unwrap_or_default().to_owned();
                lock(&taken).push(Post { id: id.clone(), webhook_url });
                json!({ "id": id })
            } else {
                let id = call.start().split_once("id=").and_then(|(_, rest)| rest.split(['&', ' ']).next());
                ready(id.unwrap_or_default())
            };
            Ok(message(
                "HTTP/1.1 200 OK",
                "content-type: application/json\r\n",
                answer.to_string().as_bytes(),
            ))
        });
        Ok(Self { front: Front::start(server, handler)?, posts })
    }

    /// What was taken since the last time that this was asked.
    pub fn posts(&self) -> Vec<Post> {
        std::mem::take(&mut lock(&self.posts))
    }
}

/// What LogRocket says of a request that it is done with, as its documentation shows it: the body of a callback, and
/// the answer to a poll.
pub fn ready(log_rocket_request_id: &str) -> Value {
    let link = |recording: &str, time: u64, text: &str| {
        format!("[{text}](https://app.logrocket.com/{APP}/s/{recording}/0?t={time})")
    };
    let (cart, error) = ("5-14deb8a0-c6f1-4b8e-9f0e-1d2c3b4a5968", "5-3cde1f27-70a4-4d0b-8f52-6c7e9b0a1d3f");
    let in_cart = link(cart, 1_715_564_734_801, "checks out their cart");
    let in_error = link(error, 1_715_564_554_783, "encounters an error");
    json!({
        "result": {
            "highlights": format!("The user {in_cart} and {in_error}."),
            "sessions": [
                { "recordingID": error, "sessionID": 0, "highlights": format!("The user {in_error}.") },
                { "recordingID": cart, "sessionID": 0, "highlights": format!("The user {in_cart}.") },
            ],
        },
        "status": "READY",
        "appID": APP,
        "requestID": log_rocket_request_id,
    })
}

/// The four secrets of the template, by what is in their ids.
fn secret(call: &Message) -> Vec<u8> {
    let asked: Value = serde_json::from_slice(call.body()).unwrap_or_default();
    let id = asked["SecretId"].as_str().unwrap_or_default();
    let secret = match id {
        "log-rocket" => json!({ "logRocketAPIKey": API_KEY }),
        "api-token" => json!({ "apiToken": API_TOKEN }),
        "callback" => json!({ "callbackKey": CALLBACK_KEY }),
        _ => json!({ "destinations": {}, "signingSecret": SIGNING_SECRET }),
    };
    let found = json!({
        "ARN": format!("arn:aws:secretsmanager:us-east-1:000000000000:secret:{id}-AbCdEf"),
        "CreatedDate": 1_795_000_000.123,
        "Name": id,
        "SecretString": secret.to_string(),
        "VersionId": "00000000-0000-4000-8000-000000000000",
        "VersionStages": ["AWSCURRENT"],
    });
    let head = "content-type: application/x-amz-json-1.1\r\n";
    message("HTTP/1.1 200 OK", head, found.to_string().as_bytes())
}
