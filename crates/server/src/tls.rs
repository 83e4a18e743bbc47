//! HTTPS from a certificate chain and a key in PEM.

use crate::ServerError;
use impasto_settings::ServeSettings;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

/// What makes connections secure, if the settings ask for it.
pub(crate) fn acceptor(settings: &ServeSettings) -> Result<Option<TlsAcceptor>, ServerError> {
    match (&settings.tls_certfile, &settings.tls_keyfile) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(ServerError::HalfTls { given: "tls_certfile", missing: "tls_keyfile" }),
        (None, Some(_)) => Err(ServerError::HalfTls { given: "tls_keyfile", missing: "tls_certfile" }),
        (Some(certificates), Some(key)) => load(certificates, key).map(Some),
    }
}

fn load(certificates: &Path, key: &Path) -> Result<TlsAcceptor, ServerError> {
    let bad = |path: &Path, problem: String| ServerError::BadTls { path: path.to_owned(), problem };
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(certificates, error.to_string()))?;
    if chain.is_empty() {
        return Err(bad(certificates, "it has no certificate".to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, error.to_string()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(|error| bad(key, error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
