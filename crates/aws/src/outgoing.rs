//! HTTP to others: LogRocket, the APIs of vendors, and the URLs that callers give.
//!
//! A caller's URL is hostile: it would have us call what only we can reach, from within. It is checked twice, and
//! both are needed: an address that the URL spells out before anything is sent, since a client connects to it without
//! asking a resolver; and those that a name stands for by the resolver itself, since the client connects to just what
//! that one look-up returned. A look-up of our own beforehand could be answered differently from the client's.
//!
//! A connection that is kept belongs to a scheme, host and port, and was checked when it was made; where the name
//! points later does not matter. Only HTTP/1.1 is spoken, so that no connection serves a second host by its
//! certificate.

use crate::tls::Tls;
use model::address::{is_public, spelt_out};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, HeaderName, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Method, Request, RequestBuilder, Response, Url};
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
mod tests;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// An idle connection is dropped before the other side would: one that was closed meanwhile costs a retry.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// A name is tried at this many of its addresses: with thousands, one request of ours would scan a network.
const MAX_ADDRESSES: usize = 8;

const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// A client. It follows no redirect (one would carry a key elsewhere, or lead inside) and takes no proxy from the
/// environment.
#[derive(Clone)]
pub struct Outgoing {
    /// Where there is a guard, it connects names to public addresses only.
    client: Client,
    guard: Option<Guard>,
}

/// What a caller's URL is held to.
#[derive(Clone)]
struct Guard {
    /// [`is_public`]; tests have no public address to offer.
    is_public: fn(IpAddr) -> bool,
    local: Option<Local>,
}

/// What a local run allows beyond: `http`, and private addresses, except on the port of the Lambda runtime's API. Who
/// could call that would read the next event, and answer it.
#[derive(Clone)]
struct Local {
    client: Client,
    runtime_port: Option<u16>,
}

/// What the other side said. Whether a redirect or an error is bad news is for who asked to say.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, as it was sent.
    pub retry_after: Option<String>,
    /// `X-RateLimit-Reset`, as it was sent. What it means is the sender's to say.
    pub rate_limit_reset: Option<String>,
    /// As much as was asked for; what is cut off makes it unreadable, which is what it is. That of an error is empty
    /// if it broke off.
    pub body: Vec<u8>,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer. Nothing of the URL is in it, nor in its sources: it may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Without a connection not one byte of the request was sent. It may work later.
    #[error("no connection")]
    NotSent(#[source] reqwest::Error),
    /// It was sent, or may have been; whether it was taken, nobody knows.
    #[error("no answer")]
    NoAnswer(#[source] reqwest::Error),
    /// Nothing was sent, and the same request would be refused again.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

/// Why a request is not even tried. It may be told to the caller whose URL it is: it says no more than the URL does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Forbidden {
    #[error("its address is not public")]
    NotPublic,
    #[error("its URL is not https")]
    NotHttps,
    #[error("its URL carries a user or password")]
    Credentials,
    #[error("its URL, or a header, cannot be sent")]
    Malformed,
}

impl Outgoing {
    /// For LogRocket, and for the URLs that an operator configured.
    pub fn trusted(tls: &Tls) -> Result<Self, reqwest::Error> {
        Ok(Self { client: builder(tls).build()?, guard: None })
    }

    /// For the URLs that callers give: `https` to public addresses, and no credentials. `allow_private` is for local
    /// runs, where `http` and private addresses are taken too; but on the port that `runtime_api` names
    /// (`AWS_LAMBDA_RUNTIME_API`, `host:port` or a URL), only public addresses are ever called.
    pub fn guarded(
        tls: &Tls,
        allow_private: bool,
        runtime_api: Option<&str>,
    ) -> Result<Self, reqwest::Error> {
        Self::guarded_by(tls, SystemLookup, is_public, allow_private, runtime_api)
    }

    fn guarded_by(
        tls: &Tls,
        lookup: impl Resolve + 'static,
        is_public: fn(IpAddr) -> bool,
        allow_private: bool,
        runtime_api: Option<&str>,
    ) -> Result<Self, reqwest::Error> {
        let resolver = PublicOnly { lookup: Arc::new(lookup), is_public };
        let local = match runtime_api.map(port) {
            _ if !allow_private => None,
            Some(None) => {
                tracing::warn!("AWS_LAMBDA_RUNTIME_API cannot be read: no private address is called");
                None
            }
            runtime_port => {
                Some(Local { client: builder(tls).build()?, runtime_port: runtime_port.flatten() })
            }
        };
        Ok(Self {
            client: builder(tls).dns_resolver(resolver).build()?,
            guard: Some(Guard { is_public, local }),
        })
    }

    /// Connects to the host of a URL, for the calls to come; whether it can be had is for those to find out. It asks for
    /// nothing but the top of the site, and nobody is named: a connection is made only by a request.
    pub async fn connect(&self, url: &str) {
        let Ok(site) = Url::parse(url).and_then(|url| url.join("/")) else { return };
        // Read to the end of its empty body, the connection is free again.
        let _ = self.send(self.client.head(site), 1, CONNECT_TIMEOUT).await;
    }

    /// Begins a request. Only [`Outgoing::send`] may send it: its own `send` checks less.
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request and reads the answer, its body up to `max_body` bytes, all `within` a time. A success whose
    /// body breaks off before that is no answer (with a `max_body` of 0 the status alone is one); the status of
    /// anything else means what it means, whatever became of its words.
    pub async fn send(
        &self,
        request: RequestBuilder,
        max_body: usize,
        within: Duration,
    ) -> Result<Answer, SendError> {
        self.send_reading(request, max_body, within, true).await
    }

    /// The same where the status says all: whatever became of the body, it is an answer.
    pub async fn send_for_status(
        &self,
        request: RequestBuilder,
        max_words: usize,
        within: Duration,
    ) -> Result<Answer, SendError> {
        self.send_reading(request, max_words, within, false).await
    }

    async fn send_reading(
        &self,
        request: RequestBuilder,
        max_body: usize,
        within: Duration,
        needs_body: bool,
    ) -> Result<Answer, SendError> {
        let mut request = request.build().map_err(decide)?;
        *request.timeout_mut() = Some(within);
        let client = self.client_for(&request)?;
        let mut response = client.execute(request).await.map_err(decide)?;
        let status = response.status();
        let header = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let (retry_after, rate_limit_reset) = (header(RETRY_AFTER), header(RATE_LIMIT_RESET));
        // A success that needs no words is not waited for any longer.
        let max_body = if needs_body || !status.is_success() { max_body } else { 0 };
        let body = match read_body(&mut response, max_body).await {
            Ok(body) => body,
            Err(error) if needs_body && status.is_success() => return Err(decide(error)),
            Err(_) => Vec::new(),
        };
        Ok(Answer { status: status.as_u16(), retry_after, rate_limit_reset, body })
    }

    /// The client that may send the request.
    fn client_for(&self, request: &Request) -> Result<&Client, Forbidden> {
        let Some(guard) = &self.guard else { return Ok(&self.client) };
        let url = request.url();
        // reqwest makes this header of a URL's credentials; it leaves them there if they are no UTF-8.
        let carries_any = !url.username().is_empty() || url.password().is_some();
        if carries_any || request.headers().contains_key(AUTHORIZATION) {
            return Err(Forbidden::Credentials);
        }
        match &guard.local {
            Some(local) if url.port_or_known_default() != local.runtime_port => return Ok(&local.client),
            None if url.scheme() != "https" => return Err(Forbidden::NotHttps),
            _ => {}
        }
        match spelt_out(url) {
            Some(address) if !(guard.is_public)(address) => Err(Forbidden::NotPublic),
            _ => Ok(&self.client),
        }
    }
}

fn builder(tls: &Tls) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls.config())
        .user_agent(concat!("galileo-highlights/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
}

/// The port of the runtime's API.
fn port(runtime_api: &str) -> Option<u16> {
    let url = if runtime_api.contains("://") { runtime_api } else { &format!("http://{runtime_api}") };
    Url::parse(url).ok()?.port_or_known_default()
}

fn decide(error: reqwest::Error) -> SendError {
    if let Some(forbidden) = forbidden(&error) {
        SendError::Forbidden(forbidden)
    } else if error.is_builder() {
        SendError::Forbidden(Forbidden::Malformed)
    } else if error.is_connect() {
        SendError::NotSent(error.without_url())
    } else {
        SendError::NoAnswer(error.without_url())
    }
}

/// What the resolver refused, if that is why there is no connection.
fn forbidden(error: &reqwest::Error) -> Option<Forbidden> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(forbidden) = error.downcast_ref() {
            return Some(*forbidden);
        }
        cause = error.source();
    }
    None
}

/// At most `max` bytes.
async fn read_body(response: &mut Response, max: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < max {
        let Some(chunk) = response.chunk().await? else { break };
        let room = max - body.len();
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
    }
    Ok(body)
}

/// Resolves a name to its public addresses; one that has no other is forbidden.
struct PublicOnly {
    lookup: Arc<dyn Resolve>,
    is_public: fn(IpAddr) -> bool,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let is_public = self.is_public;
        let looked_up = self.lookup.resolve(name);
        Box::pin(async move {
            let (public, others): (Vec<SocketAddr>, Vec<_>) =
                looked_up.await?.partition(|address| is_public(address.ip()));
            if public.is_empty() && !others.is_empty() {
                return Err(Forbidden::NotPublic.into());
            }
            Ok(Box::new(public.into_iter().take(MAX_ADDRESSES)) as Addrs)
        })
    }
}

/// The system's resolver.
struct SystemLookup;

impl Resolve for SystemLookup {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // Port 0 stands for the URL's.
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
