//! Every call that a function makes over HTTPS, to a server with a certificate of its own.

use crate::world::config;
use aws::outgoing::{Outgoing, SendError};
use aws::secrets::Secrets;
use aws::telemetry::chain;
use aws::tls::Tls;
use aws_config::SdkConfig;
use model::secrets::SecretDocument;
use model::settings::SecretSource;
use model::time::Time;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::Method;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const SOON: Duration = Duration::from_secs(5);

/// A server that is Secrets Manager and anything else, behind a certificate that nobody else vouches for.
struct Server {
    port: u16,
    roots: RootCertStore,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let tls = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), connections.clone()));
        Self { port, roots, connections }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/", self.port)
    }

    fn trusted(&self) -> Tls {
        Tls::trusting(self.roots.clone()).unwrap()
    }

    /// How many connections came about.
    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, connections: Arc<AtomicUsize>) {
    let secret =
        json!({ "apiToken": "t".repeat(32), "callbackKey": "k".repeat(32), "logRocketAPIKey": "a:b:c" });
    let body = json!({ "SecretString": secret.to_string() }).to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (acceptor, connections) = (acceptor.clone(), connections.clone());
        let (head, answer) = (head.clone(), format!("{head}{body}"));
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            connections.fetch_add(1, Ordering::SeqCst);
            // Each request here is short enough to come in one piece, its body perhaps in a second.
            let mut piece = vec![0; 65_536];
            while let Ok(read) = stream.read(&mut piece).await {
                let piece = piece.get(..read).unwrap_or_default();
                let answer = if piece.starts_with(b"HEAD ") { &head } else { &answer };
                let is_new = piece.windows(8).any(|part| part == b"HTTP/1.1");
                if read == 0 || is_new && stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn sdk(server: &Server, tls: &Tls) -> SdkConfig {
    let ours = config(&server.url());
    let client = aws::clients::builder(tls).build().http_client().unwrap();
    ours.into_builder().http_client(client).build()
}

async fn secrets(server: &Server, tls: &Tls) -> Result<(), String> {
    let ids = SecretSource::Ids(vec!["one".to_owned()]);
    let secrets = Secrets::new(&ids, &sdk(server, tls), SecretDocument::for_request);
    secrets.get(Time(1_795_000_000_000)).await.map(drop).map_err(|error| chain(&error))
}

#[tokio::test]
async fn who_is_vouched_for_is_called() {
    let server = Server::start().await;
    let outgoing = Outgoing::trusted(&server.trusted()).unwrap();
    let sent = outgoing.send(outgoing.request(Method::GET, &server.url()), 1_000, SOON).await;
    assert_eq!(sent.ok().map(|answer| answer.status), Some(200));
    assert_eq!(secrets(&server, &server.trusted()).await, Ok(()));
}

#[tokio::test]
async fn who_is_not_vouched_for_is_sent_nothing() {
    let server = Server::start().await;
    // 1. With the roots of the world, which vouch for nobody's own certificate.
    let tls = Tls::trusting(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()).unwrap();
    let outgoing = Outgoing::trusted(&tls).unwrap();
    let sent = outgoing.send(outgoing.request(Method::GET, &server.url()), 1_000, SOON).await;
    assert!(matches!(sent, Err(SendError::NotSent(_))), "{:?}", sent.map(|answer| answer.status));
    assert!(secrets(&server, &tls).await.unwrap_err().contains("certificate"));
    // 2. Nor for another name than it has.
    let outgoing = Outgoing::trusted(&server.trusted()).unwrap();
    let elsewhere = format!("https://127.0.0.1:{}/", server.port);
    let sent = outgoing.send(outgoing.request(Method::GET, &elsewhere), 1_000, SOON).await;
    assert!(matches!(sent, Err(SendError::NotSent(_))), "{:?}", sent.map(|answer| answer.status));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_connection_is_made_ahead_and_used() {
    let server = Server::start().await;
    let outgoing = Outgoing::trusted(&server.trusted()).unwrap();
    outgoing.connect(&format!("{}v1/orgs", server.url())).await;
    assert_eq!(server.connections(), 1);
    for _ in 0..3 {
        let sent = outgoing.send(outgoing.request(Method::GET, &server.url()), 1_000, SOON).await;
        assert_eq!(sent.ok().map(|answer| answer.status), Some(200));
    }
    assert_eq!(server.connections(), 1);
}
