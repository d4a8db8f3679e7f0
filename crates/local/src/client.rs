//! The HTTP client of all that runs here.

use reqwest::ClientBuilder;
use rustls::{ClientConfig, RootCertStore};

/// A client for this machine: it takes no proxy, and trusts no certificate, for nothing here has one.
///
/// # Panics
///
/// Where TLS cannot be set up, which is where it was built without.
#[allow(clippy::expect_used)]
pub fn client() -> ClientBuilder {
    let tls = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls)
}
