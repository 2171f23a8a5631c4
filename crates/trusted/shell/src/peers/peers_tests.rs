use alloy_primitives::Bytes;
use cloister_attestation::{PeerId, Role};
use cloister_boundary::Membership;
use cloister_core::PeerEvent::{self, Connected, Gone, Said};
use cloister_virtual_platform::attester;
use rustls::sign::CertifiedKey;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    task::JoinHandle,
};
use tokio_rustls::TlsStream;

use super::*;
use crate::tls::{Certified, Validity};

const NOW_S: u64 = 1_800_000_000;
/// Bytes that the transport between two nodes holds.
const PIPE: usize = 64 << 10;

/// A genesis with these nodes, each with the identity of the platform key of so many equal bytes.
fn genesis(nodes: &[(u64, u8)], timestamp: u64) -> Vec<u8> {
    let nodes: Vec<_> = nodes
        .iter()
        .map(|(id, key)| {
            let identity = node_identity(&[*key; 32]).unwrap();
            serde_json::json!({ "id": id, "name": format!("n{id}"), "identity": identity })
        })
        .collect();
    serde_json::to_vec(&serde_json::json!({
        "config": { "chainId": 5, "cloister": { "raft": { "nodes": nodes } } },
        "gasLimit": "0x1c9c380", "timestamp": format!("{timestamp:#x}"), "alloc": {},
    }))
    .unwrap()
}

/// An enclave's end of all links, and what its core hears.
struct Node {
    peers: Peers,
    heard: mpsc::UnboundedReceiver<CoreInput>,
}

impl Node {
    async fn new(genesis: Vec<u8>, number: u64, key: u8) -> Result<Self, (HaltCode, &'static str)> {
        Self::begin(genesis, number, key, |_| {}).await
    }

    /// One to which something happens before the enclave is started.
    async fn begin(
        genesis: Vec<u8>,
        number: u64,
        key: u8,
        before: impl FnOnce(&Peers),
    ) -> Result<Self, (HaltCode, &'static str)> {
        let host_time = HostTime::default();
        host_time.set_ms(NOW_S * 1_000);
        let (core, heard) = mpsc::unbounded_channel();
        let peers = Peers::new(host_time);
        before(&peers);
        let membership = Some(Membership { node: number, network_key: Vec::new() });
        let info = StartInfo { genesis, platform_key: vec![key; 32], membership, ..StartInfo::default() };
        peers.begin(Beginning::of(&info)?, Some(attester()), core).await?;
        Ok(Self { peers, heard })
    }

    fn network(&self) -> Arc<Network> {
        match &*self.peers.surroundings.borrow() {
            Surroundings::Network(network) => network.clone(),
            _ => panic!("there is no network"),
        }
    }

    /// Serves its end of a link to `node`.
    fn serves(&self, stream: DuplexStream, node: u64, opened_by: Side) -> JoinHandle<Result<(), LinkError>> {
        let peers = self.peers.clone();
        tokio::spawn(async move { peers.link(stream, node, opened_by).await })
    }

    async fn hears(&mut self) -> (u64, PeerEvent) {
        match self.heard.recv().await {
            Some(CoreInput::Peer { node, event, .. }) => (node.get(), event),
            _ => panic!("the core hears of something else"),
        }
    }

    fn says(&self, to: u64, message: impl Into<Bytes>) {
        self.peers.send(NodeId::new(to).unwrap(), message.into());
    }

    /// Has proved itself to the node 2 and says what it likes.
    async fn opens(&self, stream: DuplexStream) -> TlsStream<DuplexStream> {
        let network = self.network();
        network.tls.shake_hands(stream, network.roster.expected(2).unwrap(), Side::Here).await.unwrap()
    }
}

async fn pair() -> (Node, Node) {
    let genesis = genesis(&[(1, 11), (2, 12)], 0);
    (Node::new(genesis.clone(), 1, 11).await.unwrap(), Node::new(genesis, 2, 12).await.unwrap())
}

/// How both ends of a link end that comes to nothing: that of the node that opened it first.
async fn refused(one: &mut Node, two: &mut Node) -> (String, String) {
    let (here, there) = duplex(PIPE);
    let (ended, other) = (one.serves(here, 2, Side::Here), two.serves(there, 1, Side::There));
    let ends = (ended.await.unwrap().unwrap_err().to_string(), other.await.unwrap().unwrap_err().to_string());
    assert!(one.heard.try_recv().is_err() && two.heard.try_recv().is_err(), "a core heard of it");
    ends
}

#[tokio::test]
async fn two_nodes_say_long_and_short_things_to_each_other_until_one_is_gone() {
    let (mut one, mut two) = pair().await;
    let (here, there) = duplex(PIPE);
    one.says(2, "before there is a link");
    let (link, other) = (one.serves(here, 2, Side::Here), two.serves(there, 1, Side::There));
    assert_eq!(one.hears().await, (2, Connected));
    assert_eq!(two.hears().await, (1, Connected));
    let long: Vec<u8> = (0..3_000_000_u32).map(|index| index.to_le_bytes()[1]).collect();
    one.says(2, "first");
    one.says(2, long.clone());
    two.says(1, long.clone());
    two.says(1, "last");
    one.says(3, "to nobody");
    for expected in [b"first".to_vec(), long.clone()] {
        assert_eq!(two.hears().await, (1, Said(expected)));
    }
    for expected in [long, b"last".to_vec()] {
        assert_eq!(one.hears().await, (2, Said(expected)));
    }
    link.abort();
    assert_eq!(two.hears().await, (1, Gone));
    assert!(matches!(other.await.unwrap(), Ok(()) | Err(LinkError::Broken(_))));
}

#[tokio::test]
async fn a_link_that_came_before_the_start_waits_for_it() {
    let (one, mut two) = pair().await;
    let late = Peers::new(one.peers.host_time.clone());
    let (here, there) = duplex(PIPE);
    let peers = late.clone();
    let link = tokio::spawn(async move { peers.link(here, 2, Side::Here).await });
    let _other = two.serves(there, 1, Side::There);
    late.surroundings.send_replace(Surroundings::Network(one.network()));
    assert_eq!(two.hears().await, (1, Connected));
    assert!(!link.is_finished());
}

#[tokio::test]
async fn a_newer_link_takes_the_place_of_the_one_before() {
    let (mut one, mut two) = pair().await;
    let mut links = Vec::new();
    for opened_by in [(Side::Here, Side::There), (Side::There, Side::Here)] {
        let (here, there) = duplex(PIPE);
        links.push((one.serves(here, 2, opened_by.0), two.serves(there, 1, opened_by.1)));
        if links.len() == 2 {
            assert_eq!((one.hears().await, two.hears().await), ((2, Gone), (1, Gone)));
        }
        assert_eq!((one.hears().await, two.hears().await), ((2, Connected), (1, Connected)));
    }
    let (first, first_there) = links.remove(0);
    assert!(matches!(first.await.unwrap(), Ok(()) | Err(LinkError::Broken(_))));
    assert!(matches!(first_there.await.unwrap(), Ok(()) | Err(LinkError::Broken(_))));
    one.says(2, "on the second");
    assert_eq!(two.hears().await, (1, Said(b"on the second".to_vec())));
}

#[tokio::test]
async fn whoever_is_not_the_node_that_genesis_lists_is_refused() {
    let (mut one, _) = pair().await;
    // Another machine under the number 2, with a genesis that lists it.
    let mut foreign = Node::new(genesis(&[(1, 11), (2, 13)], 0), 2, 13).await.unwrap();
    let (ours, theirs) = refused(&mut one, &mut foreign).await;
    assert!(ours.ends_with("it shows another identity than genesis lists for this node"), "{ours}");
    assert!(theirs.ends_with("it refuses this node (CertificateUnknown)"), "{theirs}");
}

#[tokio::test]
async fn the_same_machines_on_another_chain_are_refused_by_both() {
    let other = genesis(&[(1, 11), (2, 12)], 1);
    let (mut one, mut two) = pair().await;
    let mut foreign = Node::new(other.clone(), 2, 12).await.unwrap();
    let (ours, theirs) = refused(&mut one, &mut foreign).await;
    assert!(ours.ends_with("the enclave runs a chain with another genesis (genesis)"), "{ours}");
    assert!(theirs.contains("it refuses this node"), "{theirs}");
    // Who opens the link is verified as well, by the other end.
    let mut foreign = Node::new(other, 1, 11).await.unwrap();
    let (here, there) = duplex(PIPE);
    let lenient = {
        let network = foreign.network();
        let expected = one.network().roster.expected(2).unwrap();
        async move { network.tls.shake_hands(here, expected, Side::Here).await.map(|_| ()) }
    };
    let (shaken, served) = tokio::join!(lenient, two.serves(there, 1, Side::There));
    shaken.unwrap();
    let served = served.unwrap().unwrap_err().to_string();
    assert!(served.ends_with("the enclave runs a chain with another genesis (genesis)"), "{served}");
    assert!(two.heard.try_recv().is_err() && foreign.heard.try_recv().is_err());
}

#[tokio::test]
async fn an_identity_without_evidence_of_a_node_is_refused() {
    let validity = Validity { from_s: NOW_S - 300, until_s: NOW_S + 3_600 };
    for (role, validity, reason) in [
        (Some(Role::Server), validity, "the key is a server's, not a peer's (role)"),
        (Some(Role::Peer), Validity { until_s: NOW_S - 1, ..validity }, "the evidence has expired (expired)"),
        (None, validity, "it shows no certificate"),
    ] {
        let (mut one, mut two) = pair().await;
        let network = one.network();
        let (subject, key) = (network.roster.subject(), network.tls.identity());
        let peer = PeerId(node_identity(&[11; 32]).unwrap().0);
        let certified =
            |role| Certified { role, sealing_keys: B256::ZERO, peer, validity }.make(&attester(), subject, key, NOW_S);
        let shown = match role {
            Some(role) => certified(role).unwrap(),
            None => {
                let whole = certified(Role::Peer).unwrap();
                Arc::new(CertifiedKey::new(Vec::new(), whole.key.clone()))
            }
        };
        network.tls.show(NOW_S, shown).await;
        let (ours, theirs) = refused(&mut one, &mut two).await;
        assert!(theirs.ends_with(reason), "{theirs}");
        assert!(ours.contains("it refuses this node"), "{ours}");
    }
    // No evidence at all, by the right key.
    let (mut one, mut two) = pair().await;
    let network = one.network();
    let plain = rcgen::CertificateParams::default().self_signed(network.tls.identity()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(network.tls.identity().serialize_der().into());
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    network.tls.show(NOW_S, Arc::new(CertifiedKey::new(vec![plain.der().clone()], key))).await;
    let (_, theirs) = refused(&mut one, &mut two).await;
    assert!(theirs.ends_with("(no-evidence)"), "{theirs}");
}

#[tokio::test]
async fn what_a_proved_node_must_not_say_ends_the_link() {
    let greeting = |version: u16, number: u64| [&version.to_be_bytes()[..], &number.to_be_bytes()].concat();
    let oversized = u32::try_from(MAX_PEER_MESSAGE_BYTES).unwrap() + 1;
    for (said, reason) in [
        (greeting(2, 1), "it speaks version 2 of the protocol between nodes, this node version 1"),
        (greeting(1, 3), "it calls itself node 3"),
        ([greeting(1, 1), oversized.to_be_bytes().to_vec()].concat(), "it sends a message of 33619969 bytes"),
        ([greeting(1, 1), vec![0; 4]].concat(), "it sends a message of 0 bytes"),
    ] {
        let (one, two) = pair().await;
        let (here, there) = duplex(PIPE);
        let served = two.serves(there, 1, Side::There);
        let mut stream = one.opens(here).await;
        stream.write_all(&said).await.unwrap();
        stream.flush().await.unwrap();
        let refusal = served.await.unwrap().unwrap_err().to_string();
        assert!(refusal.starts_with(reason), "{refusal}");
    }
}

#[tokio::test]
async fn what_a_node_does_not_take_is_dropped_and_never_waited_for() {
    let (one, mut two) = pair().await;
    let (here, there) = duplex(PIPE);
    let _served = two.serves(there, 1, Side::There);
    let mut stream = one.opens(here).await;
    frames::greet(&mut stream, NodeId::new(1).unwrap(), NodeId::new(2).unwrap()).await.unwrap();
    assert_eq!(two.hears().await, (1, Connected));
    // Nothing is read meanwhile: three of these fit into the queue.
    for number in 0..10_u8 {
        two.says(1, vec![number; 16 << 20]);
    }
    for number in 0..3 {
        assert_eq!(stream.read_u32().await.unwrap(), 16 << 20);
        let mut message = vec![0; 16 << 20];
        stream.read_exact(&mut message).await.unwrap();
        assert!(message.iter().all(|byte| *byte == number));
    }
    two.says(1, "room again");
    assert_eq!(stream.read_u32().await.unwrap(), 10);
}

#[tokio::test]
async fn only_other_listed_nodes_are_spoken_to() {
    let (one, _) = pair().await;
    let ends = async |peers: &Peers, node| {
        let (here, _there) = duplex(PIPE);
        peers.link(here, node, Side::Here).await.unwrap_err().to_string()
    };
    assert_eq!(ends(&one.peers, 1).await, "the host names this node itself as the other end");
    assert_eq!(ends(&one.peers, 3).await, "neither genesis nor its members know such a node");
    assert_eq!(ends(&one.peers, 0).await, "neither genesis nor its members know such a node");
    let alone = Peers::new(HostTime::default());
    let (core, _) = mpsc::unbounded_channel();
    alone.begin(Beginning::of(&StartInfo::default()).unwrap(), None, core).await.unwrap();
    assert_eq!(ends(&alone, 1).await, "this node was started as one by itself, without --node-id");
}

#[tokio::test]
async fn a_node_that_genesis_contradicts_does_not_start() {
    let listed = genesis(&[(1, 11), (2, 12)], 0);
    let alone = br#"{"config":{"chainId":5},"gasLimit":"0x1c9c380","alloc":{}}"#.to_vec();
    for (genesis, number, key, code, words) in [
        (&listed, 0, 11, HaltCode::BadOptions, "a node's number is not zero"),
        (&listed, 2, 11, HaltCode::BadGenesis, "the genesis lists another identity for this node"),
        (&alone, 1, 11, HaltCode::BadGenesis, "the node has a number among others"),
        (&listed, 1, 0, HaltCode::WrongKey, "the sealing key is damaged"),
    ] {
        let refusal = Node::new(genesis.clone(), number, key).await.err().unwrap();
        assert_eq!(refusal.0, code);
        assert!(refusal.1.starts_with(words), "{}", refusal.1);
    }
}

fn known(number: u64, key: u8) -> (NodeId, B256) {
    (NodeId::new(number).unwrap(), node_identity(&[key; 32]).unwrap())
}

#[tokio::test]
async fn what_members_decided_holds_also_where_it_is_read_before_the_genesis_is() {
    let genesis = genesis(&[(1, 11), (2, 12)], 0);
    let decided = |peers: &Peers| peers.restrict(&[known(1, 11), known(3, 13)]);
    let one = Node::begin(genesis, 1, 11, decided).await.unwrap();
    let roster = &one.network().roster;
    assert!(roster.expected(3).is_ok() && roster.expected(2).is_err());
}

#[tokio::test]
async fn who_members_let_in_is_spoken_to_and_who_they_send_away_is_not() {
    let (mut one, mut two) = pair().await;
    let (here, there) = duplex(PIPE);
    let (link, _other) = (one.serves(here, 2, Side::Here), two.serves(there, 1, Side::There));
    assert_eq!((one.hears().await, two.hears().await), ((2, Connected), (1, Connected)));
    one.peers.restrict(&[known(1, 11), known(2, 12), known(3, 13)]);
    assert!(one.network().roster.expected(3).is_ok() && one.heard.try_recv().is_err(), "one more changes nothing else");
    one.peers.restrict(&[known(1, 11), known(3, 13)]);
    assert_eq!(one.hears().await, (2, Gone));
    assert!(link.await.unwrap().is_ok(), "its link has ended");
    let (here, _there) = duplex(PIPE);
    let refused = one.peers.link(here, 2, Side::Here).await.unwrap_err().to_string();
    assert_eq!(refused, "neither genesis nor its members know such a node");
}
