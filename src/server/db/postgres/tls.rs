//! TLS on the way to PostgreSQL, with the system's authorities, or those of a file, and the server's name checked.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as Inner;

use super::DbError;
use crate::os::files;
use crate::secret::Reason;
use crate::text::clean;

/// Makes connections safe.
#[derive(Clone)]
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Reads the authorities: the system's, or those in a file.
    pub(super) fn new(authorities: Option<&Path>) -> Result<Self, DbError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let verified = match authorities {
            None => builder.and_then(BuilderVerifierExt::with_platform_verifier),
            Some(file) => {
                let roots = roots(file).map_err(|problem| {
                    DbError::Address(Reason(format!("sslrootcert {}: {problem}", clean(&file.display().to_string()))))
                })?;
                builder.map(|builder| builder.with_root_certificates(roots))
            }
        };
        let verified = verified.map_err(|cause| DbError::Unreachable(Reason::of(&cause)))?;
        Ok(Self(Arc::new(verified.with_no_client_auth())))
    }
}

/// The authorities in a file.
fn roots(file: &Path) -> Result<RootCertStore, String> {
    let pem = files::read(file).map_err(|failure| failure.to_string())?.ok_or("there is no such file")?;
    let mut roots = RootCertStore::empty();
    for one in CertificateDer::pem_slice_iter(&pem) {
        let one = one.map_err(|_| "it holds no certificate in PEM")?;
        roots.add(one).map_err(|failure| failure.to_string())?;
    }
    if roots.is_empty() { Err("it holds no certificate in PEM".into()) } else { Ok(roots) }
}

/// One connection that is to be made safe.
pub(super) struct Once(TlsConnector, ServerName<'static>);

/// A connection that is safe.
pub(super) struct Safe<S>(Inner<S>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Safe<S>;
    type TlsConnect = Once;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Once, Self::Error> {
        let name = ServerName::try_from(domain.to_owned())?;
        Ok(Once(TlsConnector::from(Arc::clone(&self.0)), name))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Once {
    type Stream = Safe<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Safe<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { self.0.connect(self.1, stream).await.map(Safe) })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Safe<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Safe<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Safe<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
