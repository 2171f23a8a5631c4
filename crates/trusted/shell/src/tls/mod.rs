//! TLS that ends in the enclave.
//!
//! Version 1.3 only, without tickets and early data: a connection says nothing of earlier ones, and nothing of it can
//! be played again. The key is drawn here and never leaves; the certificate carries the evidence that it is an
//! enclave's.

mod certificate;
mod half_open;
mod renewal;

use std::{io, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};
use tokio::{io::AsyncWriteExt as _, sync::watch, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{server::ServerLimits, stream::ConnectionStream};

pub(crate) use certificate::{Certified, Subject, Validity};
pub(crate) use half_open::{HalfOpen, Place};
pub(crate) use renewal::Renewal;

/// The one protocol spoken on top (RFC 7301).
const ALPN: &[u8] = b"http/1.1";

/// What a client is told that speaks HTTP where TLS is spoken.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 53\r\n\
    connection: close\r\n\r\nthis port speaks TLS only: use https:// in its place\n";

/// The certificate that new connections get.
#[derive(Clone, Debug)]
pub(crate) struct Current(watch::Receiver<Option<Arc<CertifiedKey>>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.borrow().clone()
    }
}

/// The side of TLS that serves.
#[derive(Debug)]
pub(crate) struct Tls {
    config: Arc<ServerConfig>,
    patience: Duration,
}

impl Tls {
    pub(crate) fn new(current: Current, limits: &ServerLimits) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(current));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(Self { config: Arc::new(config), patience: Duration::from_secs(limits.handshake_s) })
    }

    /// Shakes hands with a client; `None` where that comes to nothing, in time or at all.
    pub(crate) async fn accept(&self, stream: ConnectionStream, place: Place) -> Option<TlsStream<ConnectionStream>> {
        let accepted = tokio::select! {
            accepted = timeout(self.patience, self.shake_hands(stream)) => accepted.ok()?,
            () = place.needed() => return None,
        };
        accepted.ok()
    }

    async fn shake_hands(&self, mut stream: ConnectionStream) -> io::Result<TlsStream<ConnectionStream>> {
        // Every method of HTTP begins with a capital letter, no record of TLS does.
        if stream.handle().first_byte().await.is_some_and(|byte| byte.is_ascii_uppercase()) {
            stream.write_all(SPEAK_TLS).await?;
            stream.shutdown().await?;
            return Err(io::ErrorKind::InvalidData.into());
        }
        TlsAcceptor::from(self.config.clone()).accept(stream).await
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
