//! Who is no node of the network, and has an address to say so at.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{B256, hex};
use cloister_attestation::{
    AttestedCertificate, Claims, ENDORSEMENTS_OID, EVIDENCE_OID, Endorsements, Evidence, Manifest, PeerId, Role,
    endorsements_extension, evidence_extension, key_hash,
};
use cloister_virtual_platform::{Machine, Root, attest};
use rcgen::{CertificateParams, CustomExtension, KeyPair, PublicKeyData as _};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme, StreamOwned,
};
use serde_json::json;

use crate::network::TlsNode;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    WithoutEvidence,
    ForeignRoot,
    /// A true node's evidence, beside a key of his own.
    StolenEvidence,
    Expired,
    NotYetValid,
    ExpiredCollateral,
    Debug,
    Peer,
    /// Nothing but that it answers other sealing keys than those in the evidence.
    ForeignSealingKeys,
}

/// A server that shows a certificate of its own.
pub(crate) struct Impostor {
    address: SocketAddr,
}

impl Impostor {
    /// In the place of `node`.
    pub(crate) fn start(kind: Kind, node: &TlsNode) -> Self {
        let manifest = Manifest::parse(&std::fs::read(node.manifest()).expect("a manifest")).expect("a manifest");
        let key = KeyPair::generate().expect("a key");
        let certificate = certificate(kind, &manifest, &key, node);
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], private)
            .expect("a key of the certificate");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = ServerConnection::new(config.clone()).expect("a connection");
                answer(&mut StreamOwned::new(connection, stream), &manifest);
            }
        });
        Self { address }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

/// Answers a request, whatever it is, with sealing keys.
fn answer(stream: &mut StreamOwned<ServerConnection, TcpStream>, manifest: &Manifest) {
    let keys = json!({
        "chainId": format!("{:#x}", manifest.chain_id), "genesisHash": manifest.genesis_hash,
        "epoch": "0x0102030405060708", "expiresInMs": "0x36ee80",
        "keys": [{ "suite": "x25519", "publicKey": hex::encode_prefixed([9; 32]) }],
    });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "result": keys }).to_string();
    let mut request = [0; 4_096];
    if stream.read(&mut request).is_ok_and(|length| length > 0) {
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all((head + &body).as_bytes()).and_then(|()| stream.flush());
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs()
}

fn certificate(kind: Kind, manifest: &Manifest, key: &KeyPair, node: &TlsNode) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    let (evidence, endorsements) = match kind {
        Kind::WithoutEvidence => return params.self_signed(key).expect("a certificate").der().clone(),
        Kind::StolenEvidence => evidence_of(node),
        _ => evidence(kind, manifest, key),
    };
    params.custom_extensions = vec![
        CustomExtension::from_oid_content(&EVIDENCE_OID, evidence_extension(&evidence)),
        CustomExtension::from_oid_content(&ENDORSEMENTS_OID, endorsements_extension(&endorsements)),
    ];
    params.self_signed(key).expect("a certificate").der().clone()
}

/// What whoever has the virtual root's key, which is everybody, may write.
fn evidence(kind: Kind, manifest: &Manifest, key: &KeyPair) -> (Evidence, Endorsements) {
    let now_s = now_s();
    let rules = manifest.platforms.values().next().expect("a platform");
    let program = rules.measurements.as_ref().expect("a list")[0].mrtd;
    let mut machine = Machine::running(program, now_s);
    let mut claims = Claims {
        role: Role::Server,
        chain_id: manifest.chain_id,
        genesis_hash: manifest.genesis_hash,
        ledger_binding: manifest.ledger_binding,
        tls_key: key_hash(&key.subject_public_key_info()),
        sealing_keys: B256::ZERO,
        peer: PeerId::NONE,
        not_before_s: now_s - 600,
        not_after_s: now_s + 600,
        nonce: [0; 32],
    };
    match kind {
        Kind::ForeignRoot => machine.root = Root::foreign().expect("a root"),
        Kind::Expired => claims.not_after_s = now_s - 300,
        Kind::NotYetValid => claims.not_before_s = now_s + 300,
        Kind::ExpiredCollateral => machine.expires_s = now_s - 300,
        Kind::Debug => machine.td_attributes[0] |= 1,
        Kind::Peer => claims.role = Role::Peer,
        Kind::WithoutEvidence | Kind::StolenEvidence | Kind::ForeignSealingKeys => {}
    }
    let attested = attest(&machine, &claims.report_data()).expect("a quote");
    (Evidence { quote: attested.quote, claims: claims.encode() }, attested.endorsements)
}

/// A true node's evidence: everybody is shown it.
fn evidence_of(node: &TlsNode) -> (Evidence, Endorsements) {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    let name = ServerName::try_from("node.example").expect("a name");
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let mut stream = TcpStream::connect(node.address).expect("a connection");
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).expect("a handshake");
    }
    let der = connection.peer_certificates().and_then(|chain| chain.first()).expect("a certificate").to_vec();
    let certificate = AttestedCertificate::parse(&der).expect("evidence");
    (certificate.evidence, certificate.endorsements)
}

/// Takes every certificate.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
