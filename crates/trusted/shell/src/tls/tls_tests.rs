use std::sync::Mutex;

use alloy_primitives::B256;
use cloister_attestation::{AttestedCertificate, Manifest, Refusal, sealing_digest, verify};
use cloister_boundary::{ConnId, FromEnclave};
use cloister_core::{Response, SealingOffer};
use cloister_keys::SealingPublic;
use cloister_primitives::envelope::{SealingEpoch, SealingSuite};
use cloister_rpc::{CoreHandle, Envelope};
use cloister_virtual_platform::attester;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ProtocolVersion, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::sync::mpsc;

use super::*;
use crate::{offered::HostTime, outbound::Outbound, stream::ConnectionHandle};

const NOW_S: u64 = 1_800_000_000;
const SUBJECT: Subject =
    Subject { chain_id: 7, genesis_hash: B256::repeat_byte(1), ledger_binding: B256::repeat_byte(2) };

/// A core that offers the sealing keys `public` for `expires_in_ms`, newer ones each time.
fn core(expires_in_ms: u64) -> CoreHandle {
    let (requests, mut queue) = mpsc::channel::<Envelope>(8);
    tokio::spawn(async move {
        let mut epoch = 0;
        while let Some(envelope) = queue.recv().await {
            epoch += 1;
            let keys = vec![(SealingSuite::X25519, vec![epoch; 32])];
            let keys = SealingPublic { epoch: SealingEpoch([epoch; 8]), keys, until_ms: 0 };
            let offer = SealingOffer { keys, chain_id: 7, genesis_hash: B256::repeat_byte(1), expires_in_ms };
            let _ = envelope.reply.send(Ok(Response::SealingKeys(offer)));
        }
    });
    CoreHandle::new(requests)
}

async fn current(expires_in_ms: u64) -> Current {
    let host_time = HostTime::default();
    host_time.set_ms(NOW_S * 1_000);
    let attester = Arc::new(attester());
    Renewal { core: core(expires_in_ms), attester, subject: SUBJECT, host_time }.start().await.unwrap()
}

fn shown(current: &Current) -> AttestedCertificate {
    let certified = current.0.borrow().clone().unwrap();
    AttestedCertificate::parse(&certified.cert[0]).unwrap()
}

fn manifest() -> Manifest {
    let json = serde_json::json!({
        "chainId": 7, "genesisHash": SUBJECT.genesis_hash, "ledgerBinding": SUBJECT.ledger_binding,
        "platforms": { "virtual": {} },
    });
    Manifest::parse(json.to_string().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_certificate_is_what_a_manifest_asks_for_and_names_the_sealing_keys() {
    let certificate = shown(&current(3_600_000).await);
    let check = |spki: &[u8], now_s| {
        verify(&certificate.evidence, &certificate.endorsements, &manifest().policy(), spki, now_s)
    };
    let verified = check(&certificate.spki_der, NOW_S).unwrap();
    assert_eq!(verified.claims.sealing_keys, sealing_digest([(SealingSuite::X25519.number(), &[1; 32][..])]));
    assert_eq!(verified.claims.not_after_s, NOW_S + 7_200, "as long as the sealing keys");
    assert_eq!(check(b"another key", NOW_S), Err(Refusal::TlsKey));
    assert_eq!(check(&certificate.spki_der, NOW_S + 7_201), Err(Refusal::Expired));
}

#[tokio::test]
async fn a_new_key_comes_before_the_sealing_keys_change() {
    let mut current = current(50).await;
    let mut keys = vec![shown(&current)];
    for epoch in 2..4 {
        current.0.changed().await.unwrap();
        let next = shown(&current);
        assert_eq!(
            next.claims().unwrap().sealing_keys,
            sealing_digest([(SealingSuite::X25519.number(), &[epoch; 32][..])])
        );
        assert!(keys.iter().all(|earlier| earlier.spki_der != next.spki_der), "a key that was there");
        keys.push(next);
    }
}

/// Takes every certificate, and keeps it.
#[derive(Debug, Default)]
struct Taken(Mutex<Vec<u8>>);

impl ServerCertVerifier for Taken {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = end_entity.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("version 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A client of one connection.
struct Client {
    handle: ConnectionHandle,
    sent: mpsc::UnboundedReceiver<FromEnclave>,
    accepted: tokio::task::JoinHandle<Option<TlsStream<ConnectionStream>>>,
    _finished: mpsc::UnboundedReceiver<ConnId>,
}

impl Client {
    fn of(tls: &Arc<Tls>) -> Self {
        Self::at(HalfOpen::new(1).enter(), tls)
    }

    /// One that came when this place was taken, and whose task begins now.
    fn at(place: Place, tls: &Arc<Tls>) -> Self {
        let handle = ConnectionHandle::default();
        let (outbound, sent) = Outbound::to_test();
        let (finished, finishing) = mpsc::unbounded_channel();
        let stream = ConnectionStream::new(ConnId(1), handle.clone(), outbound, finished);
        let tls = tls.clone();
        let accepted = tokio::spawn(async move { tls.accept(stream, place).await });
        Self { handle, sent, accepted, _finished: finishing }
    }

    fn say(&self, bytes: &[u8]) {
        self.handle.received(bytes.to_vec()).unwrap();
    }

    /// What is answered until the connection is closed.
    async fn answer(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(message) = self.sent.recv().await {
            match message {
                FromEnclave::Data { bytes, .. } => all.extend(bytes),
                FromEnclave::Close { .. } => break,
                _ => {}
            }
        }
        all
    }

    /// Shakes hands as a client that offers these protocols.
    async fn shake_hands(&mut self, protocols: &[&[u8]]) -> Result<ClientConnection, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Taken::default()))
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from("enclave").unwrap())?;
        loop {
            let mut said = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut said).unwrap();
            }
            if !said.is_empty() {
                self.say(&said);
            }
            if !client.is_handshaking() {
                return Ok(client);
            }
            match self.sent.recv().await {
                Some(FromEnclave::Data { bytes, .. }) => {
                    take(&mut client, &bytes)?;
                }
                Some(FromEnclave::Close { .. }) | None => return Err(rustls::Error::HandshakeNotComplete),
                Some(_) => {}
            }
        }
    }
}

/// Takes what was answered, a piece at a time.
fn take(client: &mut ClientConnection, mut bytes: &[u8]) -> Result<(), rustls::Error> {
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

async fn tls(limits: ServerLimits) -> Arc<Tls> {
    Arc::new(Tls::new(current(3_600_000).await, &limits).unwrap())
}

#[tokio::test]
async fn version_1_3_with_http_1_1_and_no_tickets() {
    let tls = tls(ServerLimits::default()).await;
    let mut client = Client::of(&tls);
    let mut connection = client.shake_hands(&[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(connection.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));
    let stream = client.accepted.await.unwrap().unwrap();
    let mut rest = Vec::new();
    while let Ok(message) = client.sent.try_recv() {
        if let FromEnclave::Data { bytes, .. } = message {
            rest.extend(bytes);
        }
    }
    // Tickets would follow the handshake.
    take(&mut connection, &rest).unwrap();
    assert_eq!(connection.tls13_tickets_received(), 0);
    drop(stream);
    assert!(Client::of(&tls).shake_hands(&[b"h2"]).await.is_err(), "another protocol");
}

#[tokio::test]
async fn who_speaks_http_is_told_to_speak_tls() {
    let tls = tls(ServerLimits::default()).await;
    for request in ["POST / HTTP/1.1\r\nhost: x\r\n\r\n", "GET /"] {
        let mut client = Client::of(&tls);
        client.say(request.as_bytes());
        let answer = String::from_utf8(client.answer().await).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 400") && head.contains(&format!("content-length: {}", body.len())),
            "{answer}"
        );
        assert!(body.contains("https://"), "{body}");
    }
}

/// The head of a handshake record with a hello of `length` bytes of which `there` follow.
fn hello(length: u32, there: usize) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(&length.to_be_bytes()[1..]);
    bytes.resize(4 + there, 0);
    bytes.chunks(16_000).flat_map(|part| [&[22, 3, 1], &(part.len() as u16).to_be_bytes()[..], part].concat()).collect()
}

#[tokio::test]
async fn what_is_no_hello_or_a_very_long_one_ends_at_once() {
    let tls = tls(ServerLimits { handshake_s: 600, ..ServerLimits::default() }).await;
    for said in [vec![0; 64], vec![22, 3, 1, 0xff, 0xff], hello(0x00_ff_ff_ff, 100), hello(200, 200)] {
        let mut client = Client::of(&tls);
        client.say(&said);
        client.answer().await;
        assert!(client.accepted.await.unwrap().is_none(), "{:?}", &said[..5]);
    }
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let tls = tls(ServerLimits { handshake_s: 1, ..ServerLimits::default() }).await;
    for said in [vec![], vec![22], hello(512, 200)] {
        let mut client = Client::of(&tls);
        if !said.is_empty() {
            client.say(&said);
        }
        client.answer().await;
        assert!(client.accepted.await.unwrap().is_none());
    }
}

#[tokio::test]
async fn half_open_handshakes_do_not_keep_others_out() {
    let tls = tls(ServerLimits { handshake_s: 600, ..ServerLimits::default() }).await;
    let half_open = HalfOpen::new(4);
    let mut waiting: Vec<Client> = Vec::new();
    for _ in 0..12 {
        let client = Client::at(half_open.enter(), &tls);
        client.say(&hello(512, 100));
        tokio::task::yield_now().await;
        waiting.push(client);
    }
    Client::at(half_open.enter(), &tls).shake_hands(&[b"http/1.1"]).await.unwrap();
    let ended = waiting.iter_mut().take(8);
    for client in ended {
        client.answer().await;
    }
}

#[tokio::test]
async fn who_came_last_is_not_the_oldest_where_tasks_begin_in_another_order() {
    let tls = tls(ServerLimits { handshake_s: 600, ..ServerLimits::default() }).await;
    let half_open = HalfOpen::new(4);
    let earlier: Vec<Place> = (0..12).map(|_| half_open.enter()).collect();
    let mut client = Client::at(half_open.enter(), &tls);
    tokio::task::yield_now().await;
    let _silent: Vec<Client> = earlier.into_iter().map(|place| Client::at(place, &tls)).collect();
    tokio::task::yield_now().await;
    client.shake_hands(&[b"http/1.1"]).await.unwrap();
}
