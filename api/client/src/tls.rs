//! TLS: rustls with ring, in this client alone: a library must not choose the provider of a whole process.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::ClientError;

/// The configuration for a server: the platform's certificates are loaded only where TLS is spoken, because
/// that takes many milliseconds.
pub(crate) fn config(is_https: bool) -> Result<ClientConfig, ClientError> {
    let unusable = |error: rustls::Error| ClientError::Setting(format!("TLS: {error}"));
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let mut config = if is_https {
        builder.with_platform_verifier().map_err(unusable)?.with_no_client_auth()
    } else {
        builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
