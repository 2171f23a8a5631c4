//! TLS between two nodes: version 1.3, both ends show their identity and evidence for it, nothing is resumed.

use std::{io, sync::Arc};

use cloister_attestation::{AttestedCertificate, Attester, PeerId, Refusal, Role, sealing_digest, verify};
use cloister_boundary::Side;
use cloister_crypto::sha256;
use cloister_keys::NodeIdentity;
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::{
    CertificateError as TlsCertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError,
    ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::{
        NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::{LinkError, roster::Expected};
use crate::{
    offered::HostTime,
    tls::{Certified, Subject, Validity},
};

/// What is spoken on top (RFC 7301).
const ALPN: &[u8] = b"cloister-peer/1";
/// Nobody is called this: names say nothing here, and none is sent.
const NAME: &str = "node.invalid";
/// Clocks differ: a certificate holds from so long ago.
const SKEW_S: u64 = 300;
/// For so long a certificate holds.
const HOLDS_S: u64 = 2 * 60 * 60;
/// After so long there is a new one.
const RENEWED_S: u64 = 60 * 60;

/// This node's end of all links.
pub(super) struct PeerTls {
    attester: Arc<Attester>,
    subject: Subject,
    identity: Arc<KeyPair>,
    peer: PeerId,
    host_time: HostTime,
    provider: Arc<CryptoProvider>,
    /// The newest certificate, and when it was made.
    certificate: Mutex<Option<(u64, Arc<CertifiedKey>)>>,
}

impl PeerTls {
    /// # Errors
    /// The identity is no key for TLS.
    pub(super) fn new(
        attester: Attester,
        identity: NodeIdentity,
        subject: Subject,
        host_time: HostTime,
    ) -> Result<Self, rcgen::Error> {
        let pkcs8 = identity.pkcs8_der();
        let key = PrivatePkcs8KeyDer::from(pkcs8.expose().as_slice());
        Ok(Self {
            attester: Arc::new(attester),
            subject,
            identity: Arc::new(KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519)?),
            peer: PeerId(identity.spki_sha256().0),
            host_time,
            provider: Arc::new(aws_lc_rs::default_provider()),
            certificate: Mutex::default(),
        })
    }

    /// Shakes hands: as the client on a link that was opened here.
    ///
    /// # Errors
    /// The other end is not who it should be, or will not speak with this node.
    pub(super) async fn shake_hands<S>(
        &self,
        stream: S,
        peer: Expected,
        opened_by: Side,
    ) -> Result<TlsStream<S>, LinkError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let certificate = self.certificate().await?;
        let shown = Arc::new(SingleCertAndKey::from(certificate));
        let algorithms = self.provider.signature_verification_algorithms;
        let verifier = Arc::new(Verifier { peer, host_time: self.host_time.clone(), algorithms });
        let shaken = match opened_by {
            Side::Here => {
                let mut config = ClientConfig::builder_with_provider(self.provider.clone())
                    .with_protocol_versions(&[&TLS13])?
                    .dangerous()
                    .with_custom_certificate_verifier(verifier)
                    .with_client_cert_resolver(shown);
                config.alpn_protocols = vec![ALPN.to_vec()];
                config.resumption = Resumption::disabled();
                config.enable_sni = false;
                let name = ServerName::try_from(NAME).map_err(|_| LinkError::Protocol)?;
                TlsConnector::from(Arc::new(config)).connect(name, stream).await.map(TlsStream::from)
            }
            Side::There => {
                let mut config = ServerConfig::builder_with_provider(self.provider.clone())
                    .with_protocol_versions(&[&TLS13])?
                    .with_client_cert_verifier(verifier)
                    .with_cert_resolver(shown);
                config.alpn_protocols = vec![ALPN.to_vec()];
                config.send_tls13_tickets = 0;
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.max_early_data_size = 0;
                TlsAcceptor::from(Arc::new(config)).accept(stream).await.map(TlsStream::from)
            }
        };
        let stream = shaken.map_err(|error| LinkError::Handshake(reason(&error)))?;
        // An end that names no protocol at all is not refused by TLS.
        match stream.get_ref().1.alpn_protocol() {
            Some(ALPN) => Ok(stream),
            _ => Err(LinkError::Protocol),
        }
    }

    /// Shows this certificate in place of an honest one.
    #[cfg(test)]
    pub(super) async fn show(&self, made_s: u64, certificate: Arc<CertifiedKey>) {
        *self.certificate.lock().await = Some((made_s, certificate));
    }

    /// The key that is shown.
    #[cfg(test)]
    pub(super) fn identity(&self) -> &KeyPair {
        &self.identity
    }

    /// A certificate with evidence that is still good for a while.
    async fn certificate(&self) -> Result<Arc<CertifiedKey>, LinkError> {
        let now_s = self.host_time.seconds();
        let mut newest = self.certificate.lock().await;
        if let Some((made_s, certificate)) = &*newest
            && now_s.saturating_sub(*made_s) < RENEWED_S
        {
            return Ok(certificate.clone());
        }
        let certified = Certified {
            role: Role::Peer,
            sealing_keys: sealing_digest([]),
            peer: self.peer,
            validity: Validity { from_s: now_s.saturating_sub(SKEW_S), until_s: now_s.saturating_add(HOLDS_S) },
        };
        let (attester, subject, key) = (self.attester.clone(), self.subject, self.identity.clone());
        // Hardware takes its time.
        let made = tokio::task::spawn_blocking(move || certified.make(&attester, subject, &key, now_s)).await;
        let made = made.map_err(|_| LinkError::NoCertificate("the node is stopping".to_owned()))?;
        let certificate = made.map_err(|error| LinkError::NoCertificate(error.to_string()))?;
        *newest = Some((now_s, certificate.clone()));
        Ok(certificate)
    }
}

/// Why a handshake failed, without the words that libraries put around it.
pub(super) fn reason(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(TlsCertificateError::Other(OtherError(stranger)))) => {
            stranger.to_string()
        }
        Some(rustls::Error::NoCertificatesPresented) => "it shows no certificate".to_owned(),
        Some(rustls::Error::AlertReceived(alert)) => format!("it refuses this node ({alert:?})"),
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the other end closed the link".to_owned(),
        None => error.to_string(),
    }
}

/// Why the other end is none that this node speaks with.
#[derive(Debug, Error)]
enum Stranger {
    #[error("it shows another identity than genesis lists for this node")]
    Identity,
    #[error("{} ({})", .0, .0.reason())]
    Evidence(#[from] Refusal),
}

/// Takes the one node that is expected.
#[derive(Debug)]
struct Verifier {
    peer: Expected,
    host_time: HostTime,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn check(&self, der: &CertificateDer<'_>) -> Result<(), Stranger> {
        let certificate = AttestedCertificate::parse(der)?;
        if sha256(&certificate.spki_der) != self.peer.identity.0 {
            return Err(Stranger::Identity);
        }
        let AttestedCertificate { spki_der, evidence, endorsements } = certificate;
        verify(&evidence, &endorsements, &self.peer.policy, &spki_der, self.host_time.seconds())?;
        Ok(())
    }

    fn checked(&self, der: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let refused = |stranger| TlsCertificateError::Other(OtherError(Arc::new(stranger)));
        self.check(der).map_err(|stranger| rustls::Error::InvalidCertificate(refused(stranger)))
    }

    fn signed(
        &self,
        message: &[u8],
        der: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, der, signature, &self.algorithms)
    }
}

fn other_version() -> rustls::Error {
    rustls::Error::General("TLS 1.3 is spoken, and nothing older".to_owned())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.checked(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(other_version())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.checked(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(other_version())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
