//! A certificate authority of this run alone, and what a function trusts.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where distributions keep the roots that a system trusts, in PEM.
const USUAL_BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];
/// The variable by which a function is told which file to trust.
pub const ROOTS: &str = "SSL_CERT_FILE";
/// The variable by which boto3 is.
pub const BUNDLE: &str = "AWS_CA_BUNDLE";
/// What the stand-ins' certificate is for.
pub const HOST: &str = "localhost";

/// How the stand-ins prove who they are, and by which files a function believes it.
#[derive(Debug)]
pub struct Trust {
    pub server: Arc<ServerConfig>,
    /// The system's usual roots, and this run's: to read so many costs what it costs in Lambda, whose functions trust
    /// the system's.
    pub usual: PathBuf,
    /// How many roots those are.
    pub roots: usize,
    /// This run's root alone.
    pub alone: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("no TLS")]
    Tls(#[from] rustls::Error),
    #[error("the roots cannot be written")]
    Write(#[from] io::Error),
}

impl Trust {
    /// With the roots' files in `directory`.
    pub fn new(directory: &Path) -> Result<Self, Error> {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // OpenSSL takes a certificate whose issuer has its own name for one that signed itself.
        root.distinguished_name.push(DnType::CommonName, "bench");
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new([HOST.to_owned()])?.signed_by(&key, &root)?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)?;

        let usual = USUAL_BUNDLES.iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        let usual = usual + "\n" + &root.pem();
        let (usual_file, alone_file) = (directory.join("roots.pem"), directory.join("root.pem"));
        fs::write(&usual_file, &usual)?;
        fs::write(&alone_file, root.pem())?;
        let roots = usual.matches("-----BEGIN CERTIFICATE-----").count();
        Ok(Self { server: Arc::new(server), usual: usual_file, roots, alone: alone_file })
    }
}
