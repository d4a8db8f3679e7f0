//! TLS for every call that a function makes: one configuration, so one set of roots and one cache of sessions.
//!
//! Mozilla's roots are compiled in: to read those of the system took a start longer than all else but the handshakes.
//! `SSL_CERT_FILE` and `SSL_CERT_DIR`, where they are set, stand in their place: a network whose proxy looks into TLS has
//! roots of its own.

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::{CertificateResult, load_native_certs};
use std::env;
use std::sync::Arc;

const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// A client's side of TLS, for HTTP/1.1. To clone it is cheap.
#[derive(Clone)]
pub struct Tls(ClientConfig);

/// Why there is none. The function cannot call anybody.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("SSL_CERT_FILE or SSL_CERT_DIR is set, and no certificate can be read there{}", because(.0))]
    NoRoots(Vec<rustls_native_certs::Error>),
    #[error("TLS cannot be set up")]
    Refused(#[from] rustls::Error),
}

impl Tls {
    /// With the roots that the environment names, else those compiled in.
    pub fn from_env() -> Result<Self, TlsError> {
        let is_set = |variable| env::var_os(variable).is_some_and(|value| !value.is_empty());
        if VARIABLES.into_iter().any(is_set) {
            Self::trusting(read(load_native_certs())?)
        } else {
            Self::trusting(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
        }
    }

    /// With these roots.
    pub fn trusting(roots: RootCertStore) -> Result<Self, TlsError> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(config))
    }

    /// What clients take it as.
    pub(crate) fn config(&self) -> ClientConfig {
        self.0.clone()
    }
}

/// A certificate that is of no use among many is passed over, as every reader of such a bundle does.
fn read(found: CertificateResult) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { Err(TlsError::NoRoots(found.errors)) } else { Ok(roots) }
}

fn because(errors: &[rustls_native_certs::Error]) -> String {
    errors.first().map(|error| format!(": {error}")).unwrap_or_default()
}
