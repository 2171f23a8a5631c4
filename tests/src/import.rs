//! Importing a chain into the real core in this process: a host in memory, work done in place. What
//! `cloister import` does with processes, for suites of many small chains.

use std::collections::VecDeque;

use alloy_primitives::{B256, Bytes};
use alloy_rlp::Header as RlpHeader;
use cloister_access::Caller;
use cloister_boundary::{FromEnclave, StartInfo, ToEnclave};
use cloister_core::{
    Core, CoreEffect, CoreMessage, CoreOptions, Fatal, ImportRefusal, Imported, Ledger, Request, RequestBody,
    RequestId, Response, Tick,
};
use cloister_crypto::simulation::SeededEntropy;
use cloister_primitives::{GenesisError, mark_imported};

/// What a chain came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Height of the newest block.
    pub height: u64,
    /// Its hash.
    pub hash: B256,
    /// The root of the state after it.
    pub state_root: B256,
}

/// Why an import stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The genesis cannot be used.
    Genesis(GenesisError),
    /// The bytes end within a block, or begin with none.
    Bytes(String),
    /// A block is wrong.
    Block(ImportRefusal),
    /// The core halted.
    Halted(Fatal),
}

/// Imports concatenated RLP blocks on a genesis in geth's format. Answers how far it came, and why it stopped there if
/// that was before the end.
///
/// # Panics
/// If the core does not answer, which is a fault of it.
#[must_use]
pub fn import(genesis: &str, mut blocks: &[u8]) -> (Option<Chain>, Option<Stop>) {
    let genesis = match mark_imported(genesis) {
        Ok(genesis) => genesis,
        Err(error) => return (None, Some(Stop::Genesis(error))),
    };
    let mut node = Node::start(genesis);
    while !blocks.is_empty() {
        let stop = match take_block(&mut blocks) {
            Err(error) => Some(Stop::Bytes(error)),
            Ok(block) => match node.import(block) {
                Some(Imported::Refused(refusal)) => Some(Stop::Block(*refusal)),
                Some(_) => None,
                None => node.halted.clone().map(Stop::Halted),
            },
        };
        if stop.is_some() {
            return (node.chain(), stop);
        }
    }
    (node.chain(), None)
}

fn take_block(blocks: &mut &[u8]) -> Result<Bytes, String> {
    let mut rest = *blocks;
    let header = RlpHeader::decode(&mut rest).map_err(|error| error.to_string())?;
    let end = blocks.len() - rest.len() + header.payload_length;
    let (block, after) = blocks.split_at_checked(end).ok_or("the bytes end within a block")?;
    *blocks = after;
    Ok(Bytes::copy_from_slice(block))
}

struct Node {
    core: Core,
    entropy: SeededEntropy,
    messages: VecDeque<CoreMessage>,
    ledger: Option<Ledger>,
    answer: Option<Imported>,
    halted: Option<Fatal>,
    requests: u64,
}

impl Node {
    fn start(genesis: String) -> Self {
        let info = StartInfo { genesis: genesis.into_bytes(), platform_key: vec![7; 32], ..StartInfo::default() };
        let mut node = Self {
            core: Core::new(CoreOptions::default()),
            entropy: SeededEntropy::new(7),
            messages: VecDeque::from([CoreMessage::Host(ToEnclave::Start(info))]),
            ledger: None,
            answer: None,
            halted: None,
            requests: 0,
        };
        node.run();
        node
    }

    fn import(&mut self, block: Bytes) -> Option<Imported> {
        let id = RequestId(self.requests);
        self.requests += 1;
        let request = Request { caller: Caller::Anonymous, body: RequestBody::Import { block } };
        self.messages.push_back(CoreMessage::Requests(vec![(id, request)]));
        self.run();
        self.answer.take()
    }

    fn run(&mut self) {
        let now = Tick { now_ms: 1_700_000_000_000 };
        while let Some(message) = self.messages.pop_front() {
            let mut effects = Vec::new();
            self.core.handle(now, &mut self.entropy, message, &mut effects);
            for effect in effects {
                self.carry_out(effect);
            }
        }
    }

    fn carry_out(&mut self, effect: CoreEffect) {
        match effect {
            CoreEffect::Work(id, work) => self.messages.push_back(CoreMessage::Done(id, work.run())),
            CoreEffect::Host(FromEnclave::Persist { seq, .. }) => {
                self.messages.push_back(CoreMessage::Host(ToEnclave::Persisted { seq }));
            }
            CoreEffect::Reply(_, Ok(Response::Imported(imported))) => self.answer = Some(imported),
            CoreEffect::Reply(_, other) => panic!("an import was answered with {other:?}"),
            CoreEffect::Opened(opened) => self.ledger = Some(opened.ledger),
            CoreEffect::Halt(fatal) => self.halted = Some(fatal),
            _ => {}
        }
    }

    fn chain(&self) -> Option<Chain> {
        let head = self.ledger.as_ref()?.reader(&Caller::Anonymous).head().ok()?;
        Some(Chain { height: head.height().0, hash: head.hash(), state_root: head.commitments().state.root })
    }
}
