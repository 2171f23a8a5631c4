//! Needles: secrets that nobody sent, made inside the enclave, and such as were sent in envelopes, looked for in all that the host
//! has: its memory, its disk, what it and the enclave say to each other, what it prints. In every form they might have come out in.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use alloy::consensus::TxEip1559;
use alloy_primitives::{B256, Bytes, TxKind, U256, keccak256};
use cloister_client::{Sealer, SealingKeys};
use cloister_primitives::envelope::SealingSuite;
use serde_json::json;

use super::code;
use super::workload::Way;
use crate::fuzz::Random;
use crate::node::{CHAIN_ID, Node, NodeOptions, Target, binary, children_of, eventually};
use crate::repository;
use crate::rpc::{get, quantity};
use crate::sign_in::{sign_in, token};
use crate::tools::Workspace;
use crate::transactions::{Account, raw, signer};

/// Bytes read at one time.
const CHUNK: usize = 1 << 20;
/// Bytes of a page of memory.
const PAGE: usize = 4_096;
/// Bytes that a pattern may have at most: hex of a word.
const LONGEST: usize = 64;
/// Transactions of one round; one in four reverts.
const PER_ROUND: usize = 8;
/// How long a block may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// What a search has found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Bytes searched, pages of zeros not counted.
    pub bytes: u64,
    /// Needles looked for.
    pub needles: usize,
    /// Needles found where they must not be: which form, and where.
    pub hits: Vec<String>,
    /// Whether the same search finds them where they must be: in the enclave's memory.
    pub control: bool,
    /// Bytes that host and enclave said to each other.
    pub crossed: u64,
    /// Words found in the host's memory that clients sent in plain text, as long as connections do not end in the enclave.
    pub on_the_wire: usize,
}

/// Bytes to look for, by how they begin.
struct Patterns {
    by_start: HashMap<[u8; 8], Vec<(Vec<u8>, String)>>,
    /// Whether anything begins with bytes of this hash.
    starts: Box<[bool; 1 << 16]>,
}

impl Patterns {
    fn new() -> Self {
        Self { by_start: HashMap::new(), starts: Box::new([false; 1 << 16]) }
    }

    fn add(&mut self, pattern: Vec<u8>, name: String) {
        let Some(start) = pattern.first_chunk::<8>().copied() else { return };
        self.starts[Self::hash(start)] = true;
        self.by_start.entry(start).or_default().push((pattern, name));
    }

    /// A secret in every form in which it might come out.
    fn needle(&mut self, secret: B256, name: &str) {
        let hash = keccak256(secret);
        self.add(secret.to_vec(), name.to_owned());
        self.add(hex::encode(secret).into_bytes(), format!("{name} in hex"));
        self.add(hash.to_vec(), format!("hash of {name}"));
        self.add(hex::encode(hash).into_bytes(), format!("hash of {name} in hex"));
        for shift in 0..3 {
            self.add(base64(secret, shift), format!("{name} in base64"));
        }
    }

    fn hash(start: [u8; 8]) -> usize {
        let word = u64::from_le_bytes(start).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        usize::try_from(word >> 48).expect("sixteen bits")
    }

    /// Names of what is in these bytes.
    fn search(&self, bytes: &[u8], mut found: impl FnMut(&str)) {
        for (at, window) in bytes.windows(8).enumerate() {
            let start: [u8; 8] = window.try_into().expect("a window of eight");
            if !self.starts[Self::hash(start)] {
                continue;
            }
            for (pattern, name) in self.by_start.get(&start).into_iter().flatten() {
                if bytes[at..].starts_with(pattern) {
                    found(name);
                }
            }
        }
    }

    /// Searches all of a reader; what lies across two chunks is seen, too.
    fn search_all(&self, reader: &mut impl Read, mut found: impl FnMut(&str)) -> io::Result<u64> {
        let mut buffer = vec![0; CHUNK + LONGEST];
        let (mut kept, mut total) = (0, 0);
        loop {
            let read = reader.read(&mut buffer[kept..])?;
            if read == 0 {
                return Ok(total);
            }
            let end = kept + read;
            total += touched(&buffer[kept..end]);
            self.search(&buffer[..end], &mut found);
            kept = end.min(LONGEST - 1);
            buffer.copy_within(end - kept..end, 0);
        }
    }
}

/// Bytes of these that count: memory that was reserved and never written reads as pages of zeros.
fn touched(bytes: &[u8]) -> u64 {
    let pages = bytes.chunks(PAGE).filter(|page| page.iter().any(|byte| *byte != 0));
    pages.map(|page| page.len() as u64).sum()
}

/// The characters of base64 that a word alone decides, beginning `shift` bytes into a group of three.
fn base64(word: B256, shift: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bit = |at: usize| {
        let at = at - 8 * shift;
        usize::from(word[at / 8] >> (7 - at % 8) & 1)
    };
    let first = (8 * shift).div_ceil(6);
    let last = (8 * shift + 256) / 6;
    (first..last).map(|digit| ALPHABET[(0..6).fold(0, |value, place| value << 1 | bit(6 * digit + place))]).collect()
}

/// Runs a node in two processes on a confidential chain, has secrets made in its enclave, and looks for them around it, until so
/// many bytes are searched.
///
/// # Panics
/// If the node or the system fails.
#[must_use]
pub fn two_processes(seed: u64, bytes: u64) -> Found {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let datadir = folder.path().join("data");
    let record = folder.path().join("record");
    fs::create_dir(&record).expect("a folder in it");
    let options = NodeOptions {
        datadir: Some(datadir.clone()),
        enclave: Some(relay(folder.path(), &record)),
        extra: ["--confidential", "--metrics-address", "127.0.0.1:0"].map(str::to_owned).to_vec(),
        ..NodeOptions::default()
    };
    let node = Node::start(Target::TwoProcess, &options);
    let mut client = Client { node: &node, account: Account::new(0), random: Random::new(seed), sealer: None };
    let contract = client.account.address().create(0);
    client.send(TxKind::Create, code::deploying(&code::secretive()), Way::Open);
    let workspace = Workspace::of_suite("js");
    let (mut inside, mut sent) = (Patterns::new(), Patterns::new());
    let mut found = Found::default();
    while found.bytes < bytes {
        let session = token(&sign_in(node.address(), &signer(1), None));
        let end = session.len().saturating_sub(LONGEST);
        sent.add(session.as_bytes()[end..].to_vec(), "the token of a session".to_owned());
        for number in 0..PER_ROUND {
            let mut word = client.word();
            word.0[31] = (word.0[31] & !1) | u8::from(number % 4 == 3);
            let way = if number % 2 == 0 { Way::Open } else { Way::Sealed };
            client.send(TxKind::Call(contract), word.to_vec().into(), way);
            if way == Way::Open {
                sent.needle(word, "a word that was sent");
            } else {
                inside.needle(word, "a word that was sealed");
                found.needles += 1;
            }
            for (part, name) in [(0, "a stored word"), (1, "a logged word"), (2, "a word of a revert")] {
                let made = (number % 4 == 3) == (part == 2);
                if made {
                    let secret = keccak256([word.0, B256::with_last_byte(part).0].concat());
                    inside.needle(secret, name);
                    found.needles += 1;
                }
            }
        }
        for key in client.send_with_known_keys(&workspace, TxKind::Call(contract)) {
            inside.needle(key, "a key of an envelope");
            found.needles += 1;
        }
        look_around(&node, [&datadir, &record], &inside, &sent, &mut found);
    }
    // Behind the relay.
    let child = |process| *children_of(process).first().expect("the host has an enclave");
    let enclave = child(child(node.id()));
    let mut seen = false;
    // Where the system does not let its memory be read, no search finds anything in it.
    let _ = search_memory(enclave, &inside, |_| seen = true);
    found.control = seen;
    found
}

/// A program that starts the enclave and keeps, in files, all that it and its host say to each other.
fn relay(folder: &Path, record: &Path) -> PathBuf {
    let program = folder.join("enclave");
    let script = repository().join("tests/tools/python/relay.py");
    let words = [&script, record, &binary("cloister-enclave-dev")].map(|path| format!("'{}'", path.display()));
    fs::write(&program, format!("#!/bin/sh\nexec python3 {} \"$@\"\n", words.join(" "))).expect("a file in the folder");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("its owner may say who runs it");
    program
}

/// In the host's memory, on its disk, in what crosses to the enclave and back, and in what it prints and tells as metrics.
fn look_around(node: &Node, [datadir, record]: [&Path; 2], inside: &Patterns, sent: &Patterns, found: &mut Found) {
    let mut hits = Vec::new();
    let memory = search_memory(node.id(), inside, |name| hits.push(format!("{name}, in the host's memory")));
    found.bytes += memory.expect("the memory of a child can be read");
    let mut on_the_wire = 0;
    search_memory(node.id(), sent, |_| on_the_wire += 1).expect("the memory of a child can be read");
    found.on_the_wire = on_the_wire;
    for folder in [datadir, record] {
        let hit = &mut |name: &str, file: &Path| hits.push(format!("{name}, in {}", file.display()));
        let searched = search_files(folder, inside, hit);
        found.bytes += searched;
        if folder == record {
            found.crossed = searched;
        }
    }
    // What passed in plain text is kept nowhere, either.
    search_files(datadir, sent, &mut |name, file| hits.push(format!("{name}, in {}", file.display())));
    let log = node.log_text().into_bytes();
    let metrics = get(node.metrics_address().expect("it tells metrics"), "/metrics").expect("an answer").body;
    for (text, what) in [(&log, "what the node printed"), (&metrics, "its metrics")] {
        for patterns in [inside, sent] {
            patterns.search(text, |name| hits.push(format!("{name}, in {what}")));
        }
        found.bytes += text.len() as u64;
    }
    found.hits.extend(hits);
}

/// Searches all memory of a process that can be read; how many bytes that was.
fn search_memory(process: u32, patterns: &Patterns, mut found: impl FnMut(&str)) -> io::Result<u64> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
    let mut memory = File::open(format!("/proc/{process}/mem"))?;
    let mut total = 0;
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else { continue };
        let bounds = range
            .split_once('-')
            .and_then(|(start, end)| Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?)));
        let Some((start, end)) = bounds.filter(|_| rights.starts_with('r') && !line.contains("[v")) else { continue };
        if memory.seek(SeekFrom::Start(start)).is_ok() {
            // A region may go away, or not let itself be read: then there is nothing to be found.
            total += patterns.search_all(&mut (&mut memory).take(end - start), &mut found).unwrap_or(0);
        }
    }
    Ok(total)
}

fn search_files(folder: &Path, patterns: &Patterns, found: &mut impl FnMut(&str, &Path)) -> u64 {
    let mut total = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            total += search_files(&path, patterns, found);
        } else if let Ok(mut file) = File::open(&path) {
            total += patterns.search_all(&mut file, |name| found(name, &path)).unwrap_or(0);
        }
    }
    total
}

/// Sends without having signed in: nothing of what comes of it is told.
struct Client<'a> {
    node: &'a Node,
    account: Account,
    random: Random,
    sealer: Option<Sealer>,
}

impl Client<'_> {
    /// In one context, once the node knows it.
    fn seal(&mut self, transaction: &[u8]) -> Bytes {
        let sealed = match &mut self.sealer {
            Some(sealer) => sealer.go_on(transaction),
            None => {
                let keys = self.node.rpc().expect("cloister_sealingKeys", json!([]));
                let keys: SealingKeys = serde_json::from_value(keys).expect("sealing keys");
                let mut sealer = keys.sealer(SealingSuite::X25519).expect("a key of the suite");
                let envelope = sealer.seal(transaction);
                self.sealer = Some(sealer);
                envelope
            }
        };
        sealed.expect("a short transaction")
    }

    fn word(&mut self) -> B256 {
        let words: Vec<u8> = (0..4).flat_map(|_| self.random.next().to_be_bytes()).collect();
        B256::from_slice(&words)
    }

    /// Sends it and waits for its block.
    fn send(&mut self, to: TxKind, input: Bytes, way: Way) {
        let raw = self.signed(to, input);
        let raw = if way == Way::Open { raw } else { self.seal(&raw) };
        self.post(&raw);
    }

    /// Sends a word in an envelope whose keys are known: that of the envelope, and that of its context.
    fn send_with_known_keys(&mut self, workspace: &Workspace, to: TxKind) -> Vec<B256> {
        let mut word = self.word();
        word.0[31] &= !1;
        let raw = self.signed(to, word.to_vec().into());
        let keys = self.node.rpc().expect("cloister_sealingKeys", json!([])).to_string();
        let program = workspace.tool("node").with("SEAL_PACKAGE", repository().join("crates/client/typescript"));
        let said = program.succeed(["seal-needle.mjs", &keys, &raw.to_string()]).json();
        self.post(&said["envelope"].as_str().and_then(|envelope| envelope.parse().ok()).expect("an envelope"));
        let keys: Vec<B256> = serde_json::from_value(said["keys"].clone()).expect("keys");
        assert_eq!(keys.len(), 2, "of the envelope and of its context");
        keys
    }

    fn signed(&mut self, to: TxKind, input: Bytes) -> Bytes {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: self.account.nonce,
            gas_limit: 300_000,
            to,
            value: U256::ZERO,
            input,
            ..TxEip1559::default()
        };
        self.account.nonce += 1;
        raw(self.account.sign(transaction))
    }

    /// Waits for its block.
    fn post(&self, raw: &Bytes) {
        let rpc = self.node.rpc();
        let head = || quantity(&rpc.expect("eth_blockNumber", json!([])));
        let before = head();
        rpc.expect("eth_sendRawTransaction", json!([raw]));
        eventually("a block", PATIENCE, || (head() > before).then_some(()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_found_at_any_shift() {
        let word = B256::repeat_byte(0x4d);
        // "MMM…" encodes as "TU1N" over and over.
        assert!(base64(word, 0).starts_with(b"TU1NTU1N"));
        assert!(base64(word, 1).starts_with(b"1NTU1N"));
        assert_eq!(base64(word, 2).len(), 42);
    }

    #[test]
    fn a_planted_needle_is_found_in_every_form_and_across_chunks() {
        let secret = keccak256("secret");
        let mut patterns = Patterns::new();
        patterns.needle(secret, "it");
        for form in [
            secret.to_vec(),
            hex::encode(secret).into_bytes(),
            keccak256(secret).to_vec(),
            hex::encode(keccak256(secret)).into_bytes(),
            base64(secret, 1),
        ] {
            for place in [0, 100, CHUNK + LONGEST - 10] {
                let mut hay = vec![b'.'; place];
                hay.extend_from_slice(&form);
                hay.extend_from_slice(&[b'.'; 100]);
                let mut hits = 0;
                let total = patterns.search_all(&mut hay.as_slice(), |_| hits += 1).expect("bytes in memory");
                assert_eq!((hits > 0, total), (true, hay.len() as u64), "{place}");
            }
        }
        let mut hits = 0;
        patterns.search(&[b'.'; 1_000], |_| hits += 1);
        assert_eq!(hits, 0);
    }
}
