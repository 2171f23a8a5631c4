//! Links between nodes: handshakes that are garbled on their way, streams of records after them, and words of one core to
//! another.

use std::{
    panic,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use alloy_primitives::Bytes;
use alloy_rlp::Decodable as _;
use cloister_boundary::{ConnId, FromEnclave, Membership, PeerOrigin, Side, StartInfo, ToEnclave, link};
use cloister_shell::{ShellConfig, fuzz_link, node_identity};
use cloister_tests::{fuzz, sim::words::Words};
use serde_json::json;

/// Most that one network says because of one garbled message: a long section of blocks, to both of the others.
const MOST_SAID_BYTES: usize = 4 << 20;
/// Garbled messages that one network hears.
const HEARD_BY_ONE: usize = 2_000;

#[test]
fn streams_of_links() {
    let greeting = |version: u16, node: u64| [&version.to_be_bytes()[..], &node.to_be_bytes()].concat();
    let message = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let seeds = [
        [greeting(1, 2), message(b"a word"), message(&[7; 3_000])].concat(),
        [greeting(1, 2), message(&[1; 70_000])].concat(),
        [greeting(1, 3), message(b"of another node")].concat(),
        [greeting(9, 2), message(b"in another version")].concat(),
        [greeting(1, 2), vec![0, 0, 0, 0]].concat(),
        [greeting(1, 2), vec![0xff; 4], vec![5; 100]].concat(),
    ];
    let count = fuzz::run("streams of links", &seeds, fuzz_link);
    assert!(count > 0);
}

/// What a consensus engine says, with each of its numbers replaced by others.
fn renumbered(message: &[u8]) -> Vec<Vec<u8>> {
    const CONSENSUS: [u8; 2] = [1, 0];
    const NUMBERS: [u64; 9] = [0, 1, 2, 3, 4, 7, 12, 1 << 32, u64::MAX];
    let Some(mut body) = message.strip_prefix(&CONSENSUS) else { return Vec::new() };
    let items = Bytes::decode(&mut body).and_then(|list| split(&list)).unwrap_or_default();
    let with = |place: usize, number: u64| {
        let mut items = items.clone();
        items[place] = alloy_rlp::encode(number);
        let mut list = Vec::new();
        alloy_rlp::Header { list: true, payload_length: items.iter().map(Vec::len).sum() }.encode(&mut list);
        list.extend(items.concat());
        [&CONSENSUS[..], &alloy_rlp::encode(Bytes::from(list))].concat()
    };
    (0..items.len()).flat_map(|place| NUMBERS.map(|number| with(place, number))).collect()
}

/// The items of a list, each with its header.
fn split(mut list: &[u8]) -> alloy_rlp::Result<Vec<Vec<u8>>> {
    let mut rest = alloy_rlp::Header::decode_bytes(&mut list, true)?;
    let mut items = Vec::new();
    while !rest.is_empty() {
        let item = rest;
        alloy_rlp::Header::decode_raw(&mut rest)?;
        items.push(item[..item.len() - rest.len()].to_vec());
    }
    Ok(items)
}

#[test]
fn words_between_cores() {
    let mut words = Words::begin(fuzz::seed());
    let nodes = words.nodes();
    let mut said = words.take_said();
    // One of each length and beginning: what differs in numbers only is renumbered anyway.
    said.sort_by_key(|(from, to, message)| (message.len(), message.get(..8).map(<[u8]>::to_vec), *from, *to));
    said.dedup_by_key(|(_, _, message)| (message.len(), message.get(..8).map(<[u8]>::to_vec)));
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for (from, to, message) in said {
        let pair = u8::try_from(from * nodes + to).unwrap();
        let all = renumbered(&message).into_iter().chain([message]);
        seeds.extend(all.map(|message| [&[pair][..], &message].concat()));
    }
    assert!(seeds.len() > 1_000, "they have hardly anything to say to each other");
    let (mut heard, mut not_understood, mut networks) = (0, 0, 1);
    let count = fuzz::run("words between cores", &seeds, |bytes| {
        let Some((pair, message)) = bytes.split_first() else { return };
        let (from, to) = (usize::from(*pair) / nodes % nodes, usize::from(*pair) % nodes);
        if from == to {
            return;
        }
        words.hear(from, to, message);
        let said = words.bytes_said();
        assert!(said <= MOST_SAID_BYTES, "{said} bytes are said because of {}", message.len());
        drop(words.take_said());
        heard += 1;
        if heard == HEARD_BY_ONE || !words.is_whole() {
            not_understood += words.not_understood();
            words = Words::begin(fuzz::seed().wrapping_add(networks));
            (heard, networks) = (0, networks + 1);
            drop(words.take_said());
        }
    });
    not_understood += words.not_understood();
    eprintln!("{count} words in {networks} networks, {not_understood} of them not understood");
    assert!(not_understood > 0, "whatever is said is understood");
}

/// An enclave in this process, and what its host knows of it.
struct Enclave {
    link: link::HostLink,
    node: u64,
    is_linked: bool,
    is_closed: bool,
}

/// What an enclave said of a link.
enum Said {
    Bytes(Vec<u8>),
    Linked,
    Closed,
}

impl Enclave {
    async fn start(genesis: &[u8], node: u64) -> Self {
        let (host, enclave) = link::pair(link::DEFAULT_CAPACITY);
        let attester = Some(cloister_virtual_platform::attester());
        tokio::spawn(cloister_shell::run(enclave, ShellConfig { attester, workers: 1, ..ShellConfig::default() }));
        let mut enclave = Self { link: host, node, is_linked: false, is_closed: true };
        enclave.say(ToEnclave::Hello { version: cloister_boundary::PROTOCOL_VERSION }).await;
        enclave
            .say(ToEnclave::Start(StartInfo {
                now_ms: 1_800_000_000_000,
                genesis: genesis.to_vec(),
                options: b"{}".to_vec(),
                platform_key: key_of(node).to_vec(),
                membership: Some(Membership { node, network_key: vec![9; 32] }),
                ..StartInfo::default()
            }))
            .await;
        // It says where it stands once it runs.
        loop {
            match enclave.link.recv.recv().await.unwrap() {
                FromEnclave::Status(_) => return enclave,
                other => enclave.serve(&other),
            }
        }
    }

    async fn say(&mut self, message: ToEnclave) {
        self.link.send.send(message).await.unwrap();
    }

    /// At once: whoever waits for what both enclaves say may drop one of the two waits.
    fn answer(&self, message: ToEnclave) {
        self.link.send.try_send(message).unwrap();
    }

    /// Stores what is to be stored.
    fn serve(&self, message: &FromEnclave) {
        match message {
            FromEnclave::Persist { seq, .. } => self.answer(ToEnclave::Persisted { seq: *seq }),
            FromEnclave::Halt { code, detail } => panic!("node {} halts: {code:?} {detail:?}", self.node),
            _ => {}
        }
    }

    /// The next thing about a link.
    async fn hears(&mut self, conn: ConnId) -> Said {
        loop {
            match self.link.recv.recv().await.unwrap() {
                FromEnclave::Data { conn: of, bytes } if of == conn => {
                    let count = u32::try_from(bytes.len()).unwrap();
                    self.answer(ToEnclave::Credit { conn, bytes: count });
                    return Said::Bytes(bytes);
                }
                FromEnclave::Close { conn: of } if of == conn => {
                    self.is_closed = true;
                    return Said::Closed;
                }
                FromEnclave::Status(status) => {
                    let linked = status.network.is_some_and(|network| !network.connected.is_empty());
                    let is_new = linked != self.is_linked;
                    self.is_linked = linked;
                    if is_new {
                        return Said::Linked;
                    }
                }
                other => self.serve(&other),
            }
        }
    }
}

fn key_of(node: u64) -> [u8; 32] {
    [u8::try_from(node).unwrap(); 32]
}

/// Two hosts that carry a link between their enclaves, and garble one of the pieces.
struct Hosts {
    one: Enclave,
    two: Enclave,
    links: u64,
}

impl Hosts {
    async fn start() -> Self {
        let node =
            |id: u64| json!({ "id": id, "name": format!("n{id}"), "identity": node_identity(&key_of(id)).unwrap() });
        let genesis = json!({
            "config": { "chainId": 5, "cloister": { "raft": { "nodes": [node(1), node(2)] } } },
            "gasLimit": "0x1c9c380", "timestamp": "0x0", "alloc": {},
        });
        let genesis = serde_json::to_vec(&genesis).unwrap();
        Self { one: Enclave::start(&genesis, 1).await, two: Enclave::start(&genesis, 2).await, links: 0 }
    }

    /// Opens a link; the piece of this number is garbled, and nothing comes after it. Returns whether both took each other
    /// for who they are.
    async fn link(&mut self, garbled: usize, garble: &mut impl FnMut(Vec<u8>) -> Vec<u8>) -> bool {
        self.links += 1;
        let conn = ConnId(self.links);
        for (enclave, other, opened_by) in [(&mut self.one, 2, Side::Here), (&mut self.two, 1, Side::There)] {
            enclave.is_closed = false;
            enclave.say(ToEnclave::Open { conn, peer: PeerOrigin::Node { node: other, opened_by } }).await;
        }
        let mut pieces = 0;
        let (mut was_linked, mut is_over) = (false, false);
        while self.is_under_way() {
            let (said, to) = tokio::select! {
                said = self.one.hears(conn) => (said, &mut self.two),
                said = self.two.hears(conn) => (said, &mut self.one),
            };
            if let Said::Bytes(bytes) = said
                && !is_over
            {
                let is_garbled = pieces == garbled;
                let bytes = if is_garbled { garble(bytes) } else { bytes };
                pieces += 1;
                is_over |= is_garbled;
                if !bytes.is_empty() {
                    to.say(ToEnclave::Data { conn, bytes }).await;
                }
                if is_garbled {
                    self.hang_up(conn).await;
                }
            }
            if self.one.is_linked && self.two.is_linked && !is_over {
                (was_linked, is_over) = (true, true);
                self.hang_up(conn).await;
            }
        }
        was_linked
    }

    fn is_under_way(&self) -> bool {
        [&self.one, &self.two].iter().any(|end| end.is_linked || !end.is_closed)
    }

    async fn hang_up(&mut self, conn: ConnId) {
        self.one.say(ToEnclave::Closed { conn }).await;
        self.two.say(ToEnclave::Closed { conn }).await;
    }
}

/// Pieces of a handshake and of the first words after it.
const PIECES: usize = 8;

#[test]
fn handshakes_between_enclaves() {
    static PANICS: AtomicU64 = AtomicU64::new(0);
    let shown = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        shown(info);
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let count = runtime.block_on(async {
        let mut hosts = Hosts::start().await;
        assert!(
            hosts.link(usize::MAX, &mut |bytes| bytes).await,
            "two enclaves of one network do not speak to each other"
        );
        let seed = fuzz::seed();
        let mut random = fuzz::Random::new(seed);
        let deadline = Instant::now() + fuzz::time_box();
        let mut count = 0_u64;
        while Instant::now() < deadline {
            let garbled = random.below(PIECES);
            let (mut sent, mut is_changed) = (Vec::new(), false);
            let mut garble = |bytes: Vec<u8>| {
                sent = fuzz::mutate(&bytes, &[], &mut random);
                is_changed = sent != bytes;
                sent.clone()
            };
            let came_about = hosts.link(garbled, &mut garble).await;
            count += 1;
            let found = || format!("FUZZ_SEED={seed}, link {count}, piece {garbled}: 0x{}", hex::encode(&sent));
            assert_eq!(PANICS.load(Ordering::Relaxed), 0, "{}", found());
            assert!(!(came_about && is_changed), "believed: {}", found());
        }
        assert!(
            hosts.link(usize::MAX, &mut |bytes| bytes).await,
            "after all that they do not speak to each other any more"
        );
        count
    });
    eprintln!("handshakes between enclaves: {count} garbled");
    assert!(count > 0);
}
