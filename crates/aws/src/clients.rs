//! The AWS clients, with time-outs that fit a function which has to answer within seconds.
//!
//! They send by the HTTP client that everything else is sent by. The SDK's own would be a second one beside it, with a
//! reading of the system's roots for itself.

use crate::outgoing::idle_shortly;
use crate::tls::Tls;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_types::sdk_config::Builder;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use lambda_http::http;
use reqwest::Client;
use std::env;
use std::time::Duration;

/// The longest that one call takes, its retries included. The answer to a caller has to fit two of these
/// and LogRocket's between them.
pub const OPERATION_TIMEOUT: Duration = Duration::from_millis(2_500);
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_200);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Region, credentials and endpoints as Lambda sets them: from the environment, and from nowhere else. The SDK's own chain
/// would go on to look in files, at a metadata server and at STS, and bring along what it takes to ask them.
pub fn from_env(tls: &Tls) -> Result<SdkConfig, reqwest::Error> {
    let credentials = SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new());
    let region = env::var("AWS_REGION").or_else(|_| env::var("AWS_DEFAULT_REGION")).ok();
    let mut builder = builder(tls)?.credentials_provider(credentials).service_config(Environment);
    builder.set_region(region.map(Region::new));
    Ok(builder.build())
}

/// The client, the time-outs and the retries; all else may still be set.
pub fn builder(tls: &Tls) -> Result<Builder, reqwest::Error> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff(Duration::from_millis(500));
    let client = idle_shortly(tls).connect_timeout(CONNECT_TIMEOUT).build()?;
    let connector = SharedHttpConnector::new(Connector(client));
    Ok(SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .timeout_config(timeouts)
        .retry_config(retries)
        // It watches bodies that come in pieces; ours are whole, and their time is limited.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled()))
}

/// What a client is told beside its configuration, `AWS_ENDPOINT_URL_DYNAMODB` or `AWS_ENDPOINT_URL` for one.
#[derive(Debug)]
struct Environment;

impl LoadServiceConfig for Environment {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        let of_the_service = env::var(format!("{}_{service}", key.env()));
        of_the_service.or_else(|_| env::var(key.env())).ok()
    }
}

/// Sends what the SDK has signed.
#[derive(Clone, Debug)]
struct Connector(Client);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let answer = client.execute(outgoing(request)?).await.map_err(explain)?;
            incoming(answer).await
        })
    }
}

fn outgoing(request: HttpRequest) -> Result<reqwest::Request, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    request.map(reqwest::Body::wrap).try_into().map_err(explain)
}

/// With its body, for what breaks off in it is an answer that did not come, and is asked for again.
async fn incoming(mut answer: reqwest::Response) -> Result<HttpResponse, ConnectorError> {
    let mut head = http::Response::new(());
    *head.status_mut() = answer.status();
    *head.headers_mut() = std::mem::take(answer.headers_mut());
    let body = answer.bytes().await.map_err(explain)?;
    HttpResponse::try_from(head.map(|()| SdkBody::from(body)))
        .map_err(|error| ConnectorError::other(error.into(), None))
}

/// What the SDK repeats, and what it does not: a request that cannot be sent will not be better the next time.
fn explain(error: reqwest::Error) -> ConnectorError {
    let (is_timeout, is_connect) = (error.is_timeout(), error.is_connect());
    let is_ours = error.is_builder();
    let error = error.without_url().into();
    let error = match (is_ours, is_timeout) {
        (true, _) => return ConnectorError::user(error),
        (_, true) => ConnectorError::timeout(error),
        _ => ConnectorError::io(error),
    };
    if is_connect { error.never_connected() } else { error }
}
