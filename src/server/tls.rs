//! The server's certificate.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::ServeError;
use crate::os::files;
use crate::secret::Reason;

/// What a connection is made safe with: TLS 1.2 at least, a chain, and a key that only its owner reads.
pub(crate) fn config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, ServeError> {
    let bad = |file: &Path, cause: Reason| ServeError::Certificate { file: file.display().to_string(), cause };
    let chain = files::read(certificate)
        .map_err(|cause| bad(certificate, Reason::of(&cause)))?
        .ok_or_else(|| bad(certificate, Reason("there is no such file".into())))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|cause| bad(certificate, Reason::of(&cause)))?;
    if chain.is_empty() {
        return Err(bad(certificate, Reason("it holds no certificate".into())));
    }
    let secret = files::read_private(key)
        .map_err(|cause| bad(key, Reason::of(&cause)))?
        .map(zeroize::Zeroizing::new)
        .ok_or_else(|| bad(key, Reason("there is no such file".into())))?;
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|_| bad(key, Reason("it holds no key".into())))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| bad(certificate, Reason::of(&cause)))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|cause| bad(certificate, Reason::of(&cause)))?;
    // The strongest of what both can do, whatever the other side would rather have.
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
