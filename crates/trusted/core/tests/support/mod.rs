//! A host in memory and a seeded enclave around the real core: work is done in place, and every
//! message in either direction can be held back, repeated or changed.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, VecDeque};

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEip7702};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, eip191_hash_message, keccak256};
use cloister_access::{Caller, Development};
use cloister_boundary::{
    FromEnclave, Membership, Record, StartInfo, StorageFault, StoredLog, StoredSnapshot, ToEnclave,
};
use cloister_core::{
    AnswerAt, Core, CoreEffect, CoreError, CoreMessage, CoreOptions, Event, Fatal, Ledger, Lookup, Request,
    RequestBody, RequestId, Response, Tick, WorkId, work::Work,
};
use cloister_crypto::simulation::SeededEntropy;
use cloister_primitives::{Height, RecoveryStatement, Seq, Transaction};
use secp256k1::{Message, SecretKey};

pub const CHAIN_ID: u64 = 31_337;

/// An account with a key.
pub struct Account {
    key: SecretKey,
    pub address: Address,
}

impl Account {
    pub fn new(seed: u8) -> Self {
        let key = SecretKey::from_secret_bytes([seed; 32]).unwrap();
        let public = key.public_key().serialize_uncompressed();
        let address = Address::from_slice(&keccak256(&public[1..])[12..]);
        Self { key, address }
    }

    pub fn transfer(&self, nonce: u64, to: Address, value: u64) -> Bytes {
        self.send(nonce, to, value, Bytes::new(), 21_000)
    }

    pub fn send(&self, nonce: u64, to: Address, value: u64, input: Bytes, gas_limit: u64) -> Bytes {
        let (to, value) = (TxKind::Call(to), U256::from(value));
        self.sign(TxEip1559 { nonce, gas_limit, to, value, input, ..TxEip1559::default() })
    }

    /// A call of a contract, or with [`TxKind::Create`] its creation.
    pub fn call(&self, nonce: u64, to: TxKind, input: Bytes) -> Bytes {
        self.sign(TxEip1559 { nonce, gas_limit: 200_000, to, input, ..TxEip1559::default() })
    }

    /// A transaction that makes `authority` delegate to `to`, which raises its nonce (EIP-7702).
    pub fn delegate(&self, nonce: u64, authority: &Self, authority_nonce: u64, to: Address) -> Bytes {
        let chain_id = U256::from(CHAIN_ID);
        let authorization = Authorization { chain_id, address: to, nonce: authority_nonce };
        let signature = authority.signature(authorization.signature_hash());
        let transaction = TxEip7702 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 100_000,
            max_fee_per_gas: 20_000_000_000,
            max_priority_fee_per_gas: 1,
            authorization_list: vec![authorization.into_signed(signature)],
            ..TxEip7702::default()
        };
        let signature = self.signature(transaction.signature_hash());
        Transaction::from(transaction.into_signed(signature)).encoded_2718().into()
    }

    fn sign(&self, transaction: TxEip1559) -> Bytes {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            max_fee_per_gas: 20_000_000_000,
            max_priority_fee_per_gas: 1,
            ..transaction
        };
        let signature = self.signature(transaction.signature_hash());
        Transaction::from(transaction.into_signed(signature)).encoded_2718().into()
    }

    /// A personal message (EIP-191).
    pub fn sign_text(&self, text: &str) -> Bytes {
        self.signature(eip191_hash_message(text)).as_bytes().into()
    }

    fn signature(&self, digest: B256) -> Signature {
        let signature =
            secp256k1::ecdsa::RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.key);
        let (parity, bytes) = signature.serialize_compact();
        Signature::from_bytes_and_parity(&bytes, parity.to_u8() == 1)
    }
}

/// What the host has on its disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub blocks: BTreeMap<Height, Vec<u8>>,
    pub chunks: BTreeMap<(Height, u32), Vec<u8>>,
    pub snapshots: BTreeMap<Height, u32>,
    pub log_sections: BTreeMap<Height, Vec<u8>>,
    pub consensus: BTreeMap<u64, Vec<u8>>,
}

impl Disk {
    pub fn store(&mut self, record: Record) {
        match record {
            Record::Block { height, sealed } => {
                self.blocks.insert(height, sealed.to_vec());
            }
            Record::SnapshotChunk { snapshot, index, sealed } => {
                self.chunks.insert((snapshot, index), sealed);
            }
            Record::SnapshotDone { snapshot, chunks } => {
                self.snapshots.insert(snapshot, chunks);
            }
            Record::DropSnapshot { snapshot } => {
                self.snapshots.remove(&snapshot);
                self.chunks.retain(|(height, _), _| *height != snapshot);
            }
            Record::LogSection { last, sealed } => {
                self.log_sections.insert(last, sealed);
            }
            Record::Truncate { last } => {
                self.log_sections.retain(|height, _| *height <= last);
                self.blocks.retain(|height, _| *height <= last);
                self.snapshots.retain(|height, _| *height <= last);
                self.chunks.retain(|(height, _), _| *height <= last);
            }
            Record::Consensus { number, keep_from, sealed } => {
                self.consensus.insert(number, sealed);
                self.consensus.retain(|kept, _| *kept >= keep_from);
            }
            Record::Meta { .. } => {}
        }
    }
}

/// What a node has said so far.
#[derive(Default)]
pub struct Heard {
    pub replies: BTreeMap<RequestId, Result<Response, CoreError>>,
    pub committed: Vec<Height>,
    pub warnings: Vec<&'static str>,
    pub warnings_at: Vec<(&'static str, Height)>,
    pub halted: Option<Fatal>,
    pub recovery: Option<RecoveryStatement>,
    /// A digest over every effect in order.
    pub digest: B256,
}

/// A node under test.
pub struct Node {
    core: Core,
    entropy: SeededEntropy,
    pub now_ms: u64,
    pub disk: Disk,
    pub ledger: Option<Ledger>,
    pub heard: Heard,
    next_request: u64,
    /// Records the host has and has not answered, while it is told to wait.
    pub unanswered: VecDeque<(Seq, Record)>,
    pub answers: Answers,
    work: VecDeque<(WorkId, Work)>,
    /// Pieces of snapshots are not done while this is set.
    pub holds_cuts: bool,
    held: VecDeque<(WorkId, Work)>,
    deadline_ms: Option<u64>,
}

/// How the host answers a request to persist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    AtOnce,
    Never,
    Failing(StorageFault),
    /// The machine dies after so many more records are on the disk, before it is told so.
    DiesAfter(u32),
}

pub fn genesis(accounts: &[&Account]) -> String {
    let alloc: Vec<_> = accounts
        .iter()
        .map(|account| format!("\"{}\":{{\"balance\":\"0x21e19e0c9bab2400000\"}}", account.address))
        .collect();
    format!(
        r#"{{"config":{{"chainId":{CHAIN_ID},"homesteadBlock":0,"eip150Block":0,"eip155Block":0,
        "eip158Block":0,"byzantiumBlock":0,"constantinopleBlock":0,"petersburgBlock":0,
        "istanbulBlock":0,"berlinBlock":0,"londonBlock":0,"terminalTotalDifficulty":0,
        "shanghaiTime":0,"cancunTime":0,
        "blobSchedule":{{"cancun":{{"target":3,"max":6,"baseFeeUpdateFraction":3338477}}}},
        "cloister":{{"development":true}}}},
        "gasLimit":"0x1c9c380","difficulty":"0x0","timestamp":"0x0","baseFeePerGas":"0x3b9aca00",
        "alloc":{{{}}}}}"#,
        alloc.join(",")
    )
}

impl Node {
    pub fn start(genesis: &str, options: CoreOptions, seed: u64, disk: Disk) -> Self {
        Self::start_as(None, genesis, options, seed, disk)
    }

    /// A node with this number of a network.
    pub fn start_as(number: Option<u64>, genesis: &str, options: CoreOptions, seed: u64, disk: Disk) -> Self {
        Self::start_answered(Answers::AtOnce, number, genesis, options, seed, disk)
    }

    /// The same on a host that answers records in some way from the beginning.
    pub fn start_answered(
        answers: Answers,
        number: Option<u64>,
        genesis: &str,
        options: CoreOptions,
        seed: u64,
        disk: Disk,
    ) -> Self {
        let mut node = Self {
            core: Core::new(options),
            entropy: SeededEntropy::new(seed),
            now_ms: 1_700_000_000_000,
            disk,
            ledger: None,
            heard: Heard::default(),
            next_request: 0,
            unanswered: VecDeque::new(),
            answers,
            work: VecDeque::new(),
            holds_cuts: false,
            held: VecDeque::new(),
            deadline_ms: None,
        };
        let info = StartInfo {
            now_ms: node.now_ms,
            genesis: genesis.as_bytes().to_vec(),
            options: Vec::new(),
            log: StoredLog {
                first: node.disk.blocks.keys().next().copied(),
                last: node.disk.blocks.keys().next_back().copied(),
            },
            snapshots: node
                .disk
                .snapshots
                .iter()
                .map(|(height, chunks)| StoredSnapshot { height: *height, chunks: *chunks })
                .collect(),
            meta: None,
            consensus: node.disk.consensus.values().cloned().collect(),
            membership: number.map(|node| Membership { node, network_key: vec![8; 32] }),
            platform_key: vec![7; 32],
        };
        node.give(CoreMessage::Host(ToEnclave::Start(info)));
        node.run();
        node
    }

    /// Gives one message without running what follows from it.
    pub fn give(&mut self, message: CoreMessage) {
        let mut effects = Vec::new();
        let now = Tick { now_ms: self.now_ms };
        self.core.handle(now, &mut self.entropy, message, &mut effects);
        for effect in effects {
            self.on_effect(effect);
        }
    }

    fn on_effect(&mut self, effect: CoreEffect) {
        let text = match &effect {
            CoreEffect::Work(id, _) => format!("work {id:?}"),
            CoreEffect::Opened(_) => "opened".to_owned(),
            other => format!("{other:?}"),
        };
        self.heard.digest = keccak256([self.heard.digest.as_slice(), text.as_bytes()].concat());
        match effect {
            CoreEffect::Work(id, work @ Work::Cut(_)) if self.holds_cuts => self.held.push_back((id, work)),
            CoreEffect::Work(id, work) => self.work.push_back((id, work)),
            CoreEffect::Reply(id, reply) => {
                assert!(self.heard.replies.insert(id, reply).is_none(), "a request is answered once");
            }
            CoreEffect::Event(Event::Committed(block)) => {
                self.heard.committed.push(block.height());
            }
            CoreEffect::Event(_) => {}
            CoreEffect::Host(message) => self.on_host_message(message),
            CoreEffect::Opened(opened) => self.ledger = Some(opened.ledger),
            CoreEffect::Peer { .. } | CoreEffect::Nodes(_) => {}
            CoreEffect::Warn(text) => self.heard.warnings.push(text),
            CoreEffect::WarnAt(text, height) => self.heard.warnings_at.push((text, height)),
            CoreEffect::Halt(fatal) => self.heard.halted = Some(fatal),
            CoreEffect::Arm { deadline_ms } => self.deadline_ms = Some(deadline_ms),
            CoreEffect::Disarm => self.deadline_ms = None,
        }
    }

    fn on_host_message(&mut self, message: FromEnclave) {
        match message {
            FromEnclave::Persist { seq, record } => self.unanswered.push_back((seq, record)),
            FromEnclave::Recovery(statement) => self.heard.recovery = Some(statement),
            FromEnclave::ReadBlocks { id, from, count } => {
                let blocks = (from.0..from.0 + u64::from(count))
                    .map(|height| self.disk.blocks.get(&Height(height)).cloned())
                    .collect();
                self.give(CoreMessage::Host(ToEnclave::Blocks { id, blocks }));
            }
            FromEnclave::ReadLogSection { id, last } => {
                let bytes = self.disk.log_sections.get(&last).cloned();
                self.give(CoreMessage::Host(ToEnclave::LogSection { id, bytes }));
            }
            FromEnclave::ReadChunk { id, snapshot, index } => {
                let bytes = self.disk.chunks.get(&(snapshot, index)).cloned();
                self.give(CoreMessage::Host(ToEnclave::Chunk { id, bytes }));
            }
            _ => {}
        }
    }

    /// Does all work and answers all records, until nothing moves.
    pub fn run(&mut self) {
        loop {
            if let Some((id, work)) = self.work.pop_front() {
                let result = work.run();
                self.give(CoreMessage::Done(id, result));
                continue;
            }
            let Some((seq, record)) = self.next_answer() else {
                return;
            };
            match self.answers {
                Answers::AtOnce => {
                    self.disk.store(record);
                    self.give(CoreMessage::Host(ToEnclave::Persisted { seq }));
                }
                Answers::Failing(fault) => {
                    self.unanswered.clear();
                    let message = ToEnclave::PersistFailed { seq, fault };
                    self.give(CoreMessage::Host(message));
                }
                Answers::DiesAfter(0) | Answers::Never => return,
                Answers::DiesAfter(left) => {
                    self.disk.store(record);
                    self.answers = Answers::DiesAfter(left - 1);
                    if left > 1 {
                        self.give(CoreMessage::Host(ToEnclave::Persisted { seq }));
                    }
                }
            }
        }
    }

    fn next_answer(&mut self) -> Option<(Seq, Record)> {
        if self.answers == Answers::Never {
            return None;
        }
        self.unanswered.pop_front()
    }

    /// Does what was held back, before anything else.
    pub fn release_cuts(&mut self) {
        self.holds_cuts = false;
        self.work.extend(std::mem::take(&mut self.held));
        self.run();
    }

    /// Lets time pass, wakes the core if it asked for that, and runs.
    pub fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        if self.deadline_ms.is_some_and(|at| at <= self.now_ms) {
            self.deadline_ms = None;
            self.give(CoreMessage::Wake);
        }
        self.run();
    }

    /// Sends requests that arrive together.
    pub fn request(&mut self, bodies: Vec<RequestBody>) -> Vec<RequestId> {
        let requests: Vec<_> = bodies
            .into_iter()
            .map(|body| {
                let id = RequestId(self.next_request);
                self.next_request += 1;
                let caller = Caller::Development;
                (id, Request { caller, body })
            })
            .collect();
        let ids = requests.iter().map(|(id, _)| *id).collect();
        self.give(CoreMessage::Requests(requests));
        ids
    }

    pub fn submit(&mut self, raws: Vec<Bytes>, answer_at: AnswerAt) -> Vec<RequestId> {
        self.request(raws.into_iter().map(|raw| RequestBody::Submit { raw, answer_at }).collect())
    }

    pub fn head(&self) -> Height {
        self.ledger.as_ref().unwrap().head()
    }

    /// Whether a reader finds the transaction.
    pub fn sees(&self, raw: &Bytes) -> bool {
        let ledger = self.ledger.as_ref().unwrap();
        let caller = Caller::Development;
        matches!(ledger.reader(&caller).transaction(&keccak256(raw)), Lookup::Found(_))
    }

    pub fn balance(&self, address: Address) -> U256 {
        let ledger = self.ledger.as_ref().unwrap();
        let caller = Caller::Development;
        let state = ledger.reader(&caller).state(ledger.head()).unwrap();
        state.account(address).unwrap().balance
    }
}

pub fn options() -> CoreOptions {
    CoreOptions { development: Development::Allowed, ..CoreOptions::default() }
}
