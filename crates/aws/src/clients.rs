//! The AWS clients, with time-outs that fit a function which has to answer within seconds.
//!
//! They send by hyper, which is beneath everything else that is sent, too. The SDK's own client would bring HTTP/2 and a
//! reading of the system's roots; and `reqwest` would parse each URL again, for the redirects that AWS never sends.

use crate::outgoing::IDLE_TIMEOUT;
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
use http_body_util::BodyExt;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use lambda_http::http::Response;
use std::env;
use std::time::Duration;

/// The longest that one call takes, its retries included. The answer to a caller has to fit two of these
/// and LogRocket's between them.
pub const OPERATION_TIMEOUT: Duration = Duration::from_millis(2_500);
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_200);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Region, credentials and endpoints as Lambda sets them: from the environment, and from nowhere else. The SDK's own chain
/// would go on to look in files, at a metadata server and at STS, and bring along what it takes to ask them.
pub fn from_env(tls: &Tls) -> SdkConfig {
    let credentials = SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new());
    let region = env::var("AWS_REGION").or_else(|_| env::var("AWS_DEFAULT_REGION")).ok();
    let mut builder = builder(tls).credentials_provider(credentials).service_config(Environment);
    builder.set_region(region.map(Region::new));
    builder.build()
}

/// The client, the time-outs and the retries; all else may still be set.
pub fn builder(tls: &Tls) -> Builder {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff(Duration::from_millis(500));
    let connector = SharedHttpConnector::new(Connector::new(tls));
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .timeout_config(timeouts)
        .retry_config(retries)
        // It watches bodies that come in pieces; ours are whole, and their time is limited.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
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
struct Connector(Client<HttpsConnector<Tcp>, SdkBody>);

impl Connector {
    fn new(tls: &Tls) -> Self {
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_idle_timeout(IDLE_TIMEOUT).pool_timer(TokioTimer::new());
        Self(client.build(HttpsConnector::from((tcp, tls.config()))))
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let answer = client.request(request).await.map_err(|error| {
                let is_connect = error.is_connect();
                let error = ConnectorError::io(error.into());
                if is_connect { error.never_connected() } else { error }
            })?;
            // With its body, for what breaks off in it is an answer that did not come, and is asked for again.
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(|error| ConnectorError::io(error.into()))?;
            let answer = Response::from_parts(head, SdkBody::from(body.to_bytes()));
            HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}
