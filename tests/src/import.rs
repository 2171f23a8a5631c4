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
    let mut importer = match Importer::begin(genesis) {
        Ok(importer) => importer,
        Err(stop) => return (None, Some(stop)),
    };
    while !blocks.is_empty() {
        let block = take_block(&mut blocks).map_err(Stop::Bytes);
        if let Err(stop) = block.and_then(|block| importer.import(block)) {
            return (importer.chain(), Some(stop));
        }
    }
    (importer.chain(), None)
}

fn take_block(blocks: &mut &[u8]) -> Result<Bytes, String> {
    let mut rest = *blocks;
    let header = RlpHeader::decode(&mut rest).map_err(|error| error.to_string())?;
    let end = blocks.len() - rest.len() + header.payload_length;
    let (block, after) = blocks.split_at_checked(end).ok_or("the bytes end within a block")?;
    *blocks = after;
    Ok(Bytes::copy_from_slice(block))
}

/// A core in this process that takes one block after the other.
pub struct Importer {
    core: Core,
    entropy: SeededEntropy,
    messages: VecDeque<CoreMessage>,
    ledger: Option<Ledger>,
    answer: Option<Imported>,
    halted: Option<Fatal>,
    requests: u64,
}

impl std::fmt::Debug for Importer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Importer").field("chain", &self.chain()).finish_non_exhaustive()
    }
}

impl Importer {
    /// A chain of which there is only the genesis block.
    ///
    /// # Errors
    /// [`Stop::Genesis`] if the genesis cannot be used.
    pub fn begin(genesis: &str) -> Result<Self, Stop> {
        let genesis = mark_imported(genesis).map_err(Stop::Genesis)?;
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
        Ok(node)
    }

    /// Imports a block's RLP.
    ///
    /// # Errors
    /// Why it is refused.
    ///
    /// # Panics
    /// If the core does not answer, which is a fault of it.
    pub fn import(&mut self, block: Bytes) -> Result<(), Stop> {
        let id = RequestId(self.requests);
        self.requests += 1;
        let request = Request { caller: Caller::Anonymous, body: RequestBody::Import { block } };
        self.messages.push_back(CoreMessage::Requests(vec![(id, request)]));
        self.run();
        match (self.answer.take(), &self.halted) {
            (Some(Imported::Refused(refusal)), _) => Err(Stop::Block(*refusal)),
            (Some(_), None) => Ok(()),
            (_, Some(fatal)) => Err(Stop::Halted(fatal.clone())),
            (None, None) => panic!("the core does not answer"),
        }
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

    /// How far the chain is.
    #[must_use]
    pub fn chain(&self) -> Option<Chain> {
        let head = self.ledger.as_ref()?.reader(&Caller::Anonymous).head().ok()?;
        Some(Chain { height: head.height().0, hash: head.hash(), state_root: head.commitments().state.root })
    }
}
