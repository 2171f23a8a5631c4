//! A connection: TCP, or TLS whose other end is a verified enclave.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use cloister_attestation::{AttestedCertificate, Manifest, Policy, Refusal, Verified, verify};
use hyper_util::client::legacy::connect::{Connected, Connection};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::ClientError;

/// The one protocol spoken on top.
const ALPN: &[u8] = b"http/1.1";

/// Whose evidence is taken.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    policy: Arc<Policy>,
    provider: Arc<CryptoProvider>,
}

/// Takes certificates by their evidence, and by nothing else: names and issuers say nothing of an enclave.
#[derive(Debug)]
struct ByEvidence {
    policy: Arc<Policy>,
    provider: Arc<CryptoProvider>,
    verified: Mutex<Option<Verified>>,
}

impl ServerCertVerifier for ByEvidence {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = AttestedCertificate::parse(end_entity).and_then(|certificate| {
            let AttestedCertificate { spki_der, evidence, endorsements } = certificate;
            verify(&evidence, &endorsements, &self.policy, &spki_der, now.as_secs())
        });
        let verified = verified.map_err(|refusal| rustls::Error::Other(OtherError(Arc::new(refusal))))?;
        *self.verified.lock().unwrap_or_else(PoisonError::into_inner) = Some(verified);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 is spoken, and nothing older".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Trust {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy: Arc::new(policy), provider: Arc::new(aws_lc_rs::default_provider()) }
    }

    fn verifier(&self) -> Arc<ByEvidence> {
        let (policy, provider) = (self.policy.clone(), self.provider.clone());
        Arc::new(ByEvidence { policy, provider, verified: Mutex::default() })
    }

    fn config(&self, verifier: Arc<ByEvidence>) -> Result<ClientConfig, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    /// Shakes hands with an enclave.
    pub(crate) async fn connect(&self, stream: TcpStream, authority: &str) -> Result<Transport, ClientError> {
        let failed =
            |error: &dyn ToString| ClientError::NoTls { authority: authority.to_owned(), reason: error.to_string() };
        // One for each connection: what was verified is then this connection's.
        let verifier = self.verifier();
        let config = self.config(verifier.clone()).map_err(|error| failed(&error))?;
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|error| failed(&error))?;
        match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
            Ok(stream) => {
                let verified = verifier.verified.lock().unwrap_or_else(PoisonError::into_inner).take();
                let verified = verified.ok_or_else(|| failed(&"the certificate was not looked at"))?;
                Ok(Transport::Attested(Box::new(stream), Box::new(verified)))
            }
            Err(error) => match refusal_in(&error) {
                Some(refusal) => Err(ClientError::Evidence { authority: authority.to_owned(), refusal }),
                None => Err(failed(&words(&error))),
            },
        }
    }
}

/// TLS with a network's enclaves for those who bring their own sockets: the evidence is looked at in each handshake.
///
/// # Errors
/// When the cryptographic provider does not speak TLS 1.3.
pub fn client_config(manifest: &Manifest) -> Result<ClientConfig, rustls::Error> {
    let trust = Trust::new(manifest.policy());
    trust.config(trust.verifier())
}

/// The verifier's own reason, if it was what ended the handshake.
fn refusal_in(error: &io::Error) -> Option<Refusal> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::Other(OtherError(other)) => other.downcast_ref::<Refusal>().cloned(),
        _ => None,
    }
}

fn words(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidMessage(_)) => "what it answers is no TLS".to_owned(),
        _ => error.to_string(),
    }
}

/// A connection to a node.
#[derive(Debug)]
pub(crate) enum Transport {
    /// In the clear.
    Clear(TcpStream),
    /// To an enclave, and what was verified of it.
    Attested(Box<TlsStream<TcpStream>>, Box<Verified>),
}

impl Transport {
    /// What was verified of the other end.
    pub(crate) fn verified(&self) -> Option<&Verified> {
        match self {
            Self::Clear(_) => None,
            Self::Attested(_, verified) => Some(verified),
        }
    }
}

impl Connection for Transport {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Attested(stream, _) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Attested(stream, _) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Self::Attested(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Attested(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
