//! The chain under test: the real core, and a host that keeps what it seals.
//!
//! Work is done in place, so a case runs the same way each time. What the host keeps survives the core.

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::{B256, Bytes};
use cloister_access::{Caller, Development};
use cloister_boundary::{FromEnclave, Record, StartInfo, ToEnclave};
use cloister_core::{
    AnswerAt, Archive, Core, CoreEffect, CoreError, CoreMessage, CoreOptions, DevelopmentRequest, Opened, RefuseTails,
    Request, RequestBody, RequestId, Response, Tick, WorkId, work::Work,
};
use cloister_crypto::simulation::SeededEntropy;
use cloister_primitives::Height;
use cloister_storage::{BlobStore, MemoryStore, Store, StoreOptions};
use tempfile::TempDir;

use super::case::{Case, Crash, GENESIS_TIME, StoreKind};

/// Where the host keeps what is sealed.
enum Disk {
    Memory(MemoryStore),
    /// Closed over restarts, as by a process that ends.
    Rocks(TempDir, Option<Store>),
}

/// A node, over its restarts.
pub(super) struct Host<'a> {
    case: &'a Case,
    disk: Disk,
    core: Core,
    entropy: SeededEntropy,
    starts: u64,
    opened: Option<Opened>,
    replies: BTreeMap<RequestId, Result<Response, CoreError>>,
    work: VecDeque<(WorkId, Work)>,
    /// What the host has to say, in order.
    answers: VecDeque<ToEnclave>,
    next_request: u64,
    pub(super) now_s: u64,
    /// How the machine dies at the next block to be stored.
    crash: Option<Crash>,
    dead: bool,
    /// What went wrong beyond saving.
    fault: Option<String>,
}

impl Disk {
    fn new(kind: StoreKind) -> Result<Self, String> {
        match kind {
            StoreKind::Memory => Ok(Self::Memory(MemoryStore::new())),
            StoreKind::Disk => {
                let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
                let mut disk = Self::Rocks(folder, None);
                disk.reopen()?;
                Ok(disk)
            }
        }
    }

    fn reopen(&mut self) -> Result<(), String> {
        if let Self::Rocks(folder, store) = self {
            // A folder is locked while its store lives.
            drop(store.take());
            let opened = Store::open(folder.path(), StoreOptions::default());
            *store = Some(opened.map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    fn store(&self) -> Result<&dyn BlobStore, String> {
        match self {
            Self::Memory(store) => Ok(store),
            Self::Rocks(_, Some(store)) => Ok(store),
            Self::Rocks(_, None) => Err("the store is closed".to_owned()),
        }
    }
}

fn options(case: &Case) -> CoreOptions {
    CoreOptions {
        archive: Archive::Full,
        snapshot_every_blocks: case.snapshot_every_blocks,
        development: if case.development { Development::Allowed } else { Development::Refused },
        refuse_tails: case.refuse_tails_one_in.map(|one_in| RefuseTails { seed: one_in, one_in }),
        ..CoreOptions::default()
    }
}

impl<'a> Host<'a> {
    pub(super) fn start(case: &'a Case) -> Result<Self, String> {
        let mut host = Self {
            case,
            disk: Disk::new(case.store)?,
            core: Core::new(options(case)),
            entropy: SeededEntropy::new(0),
            starts: 0,
            opened: None,
            replies: BTreeMap::new(),
            work: VecDeque::new(),
            answers: VecDeque::new(),
            next_request: 0,
            now_s: GENESIS_TIME,
            crash: None,
            dead: false,
            fault: None,
        };
        host.boot()?;
        Ok(host)
    }

    /// Ends the core, whatever it is doing, and starts another one from what is stored.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.core = Core::new(options(self.case));
        self.starts += 1;
        self.entropy = SeededEntropy::new(self.starts);
        self.opened = None;
        self.work.clear();
        self.answers.clear();
        self.replies.clear();
        (self.crash, self.dead) = (None, false);
        self.disk.reopen()?;
        self.boot()
    }

    fn boot(&mut self) -> Result<(), String> {
        let store = self.disk.store()?;
        let info = StartInfo {
            now_ms: self.now_s * 1_000,
            genesis: self.case.genesis().into_bytes(),
            options: Vec::new(),
            log: store.bounds(),
            snapshots: store.snapshots(),
            meta: store.kept().map_err(|error| error.to_string())?.meta,
            platform_key: vec![7; 32],
            ..StartInfo::default()
        };
        self.give(CoreMessage::Host(ToEnclave::Start(info)));
        self.run()?;
        if self.opened.is_some() { Ok(()) } else { Err("the node did not open its chain".to_owned()) }
    }

    fn give(&mut self, message: CoreMessage) {
        let mut effects = Vec::new();
        self.core.handle(Tick { now_ms: self.now_s * 1_000 }, &mut self.entropy, message, &mut effects);
        for effect in effects {
            if !self.dead {
                self.on_effect(effect);
            }
        }
    }

    fn on_effect(&mut self, effect: CoreEffect) {
        match effect {
            CoreEffect::Work(id, work) => self.work.push_back((id, work)),
            CoreEffect::Reply(id, reply) => {
                if self.replies.insert(id, reply).is_some() {
                    self.fault = Some("a request was answered twice".to_owned());
                }
            }
            CoreEffect::Host(message) => {
                if let Err(fault) = self.on_host_message(message) {
                    self.fault = Some(fault);
                }
            }
            CoreEffect::Opened(opened) => self.opened = Some(opened),
            CoreEffect::Halt(fatal) => self.fault = Some(format!("the node halted: {fatal:?}")),
            CoreEffect::Peer { to, .. } => self.fault = Some(format!("the node speaks to node {}", to.get())),
            CoreEffect::Warn(text) => self.fault = Some(format!("the node warned: {text}")),
            CoreEffect::WarnAt(text, height) => self.fault = Some(format!("the node warned at {height:?}: {text}")),
            CoreEffect::Event(_) | CoreEffect::Arm { .. } | CoreEffect::Disarm | CoreEffect::Nodes(_) => {}
        }
    }

    fn on_host_message(&mut self, message: FromEnclave) -> Result<(), String> {
        let store = self.disk.store()?;
        let said = |error: cloister_storage::StoreError| error.to_string();
        let answer = match message {
            FromEnclave::Persist { seq, record } => {
                let crash = self.crash.filter(|_| matches!(record, Record::Block { .. }));
                self.dead = crash.is_some();
                if crash != Some(Crash::BeforePersisted) {
                    store.append(&[record]).map_err(said)?;
                }
                if self.dead {
                    return Ok(());
                }
                ToEnclave::Persisted { seq }
            }
            FromEnclave::ReadBlocks { id, from, count } => {
                ToEnclave::Blocks { id, blocks: store.blocks(from, count).map_err(said)? }
            }
            FromEnclave::ReadLogSection { id, last } => {
                ToEnclave::LogSection { id, bytes: store.log_section(last).map_err(said)? }
            }
            FromEnclave::ReadChunk { id, snapshot, index } => {
                ToEnclave::Chunk { id, bytes: store.chunk(snapshot, index).map_err(said)? }
            }
            _ => return Ok(()),
        };
        self.answers.push_back(answer);
        Ok(())
    }

    /// Does all work, and then answers what is asked of the host, until nothing moves or the machine dies.
    fn run(&mut self) -> Result<(), String> {
        while !self.dead && self.fault.is_none() {
            if let Some((id, work)) = self.work.pop_front() {
                let result = work.run();
                self.give(CoreMessage::Done(id, result));
            } else if let Some(answer) = self.answers.pop_front() {
                self.give(CoreMessage::Host(answer));
            } else {
                break;
            }
        }
        self.fault.take().map_or(Ok(()), Err)
    }

    fn request(&mut self, bodies: Vec<RequestBody>) -> Result<Vec<Option<Result<Response, CoreError>>>, String> {
        let first = self.next_request;
        let mut requests = Vec::with_capacity(bodies.len());
        for body in bodies {
            let caller = Caller::Development;
            requests.push((RequestId(self.next_request), Request { caller, body }));
            self.next_request += 1;
        }
        self.give(CoreMessage::Requests(requests));
        self.run()?;
        Ok((first..self.next_request).map(|id| self.replies.remove(&RequestId(id))).collect())
    }

    /// Sends transactions that arrive together, and runs until nothing moves. One answer each, unless the machine
    /// died.
    pub(super) fn send(
        &mut self,
        raws: Vec<Bytes>,
        crash: Option<Crash>,
    ) -> Result<Vec<Option<Result<Response, CoreError>>>, String> {
        self.crash = crash;
        let submit = |raw| RequestBody::Submit { raw, answer_at: AnswerAt::Admission };
        let answers = self.request(raws.into_iter().map(submit).collect());
        self.crash = None;
        answers
    }

    /// Makes a request of a development network, which must succeed.
    pub(super) fn development(&mut self, request: DevelopmentRequest) -> Result<Response, String> {
        let name = format!("{request:?}");
        let answer = self.request(vec![RequestBody::Development(request)])?.pop().flatten();
        match answer {
            Some(Ok(response)) => Ok(response),
            other => Err(format!("{name}: {other:?}")),
        }
    }

    /// Whether the machine has died and waits for [`Self::restart`].
    pub(super) const fn is_dead(&self) -> bool {
        self.dead
    }

    pub(super) fn opened(&self) -> Result<&Opened, String> {
        self.opened.as_ref().ok_or_else(|| "the node is not open".to_owned())
    }

    pub(super) fn head(&self) -> Height {
        self.opened.as_ref().map_or(Height::GENESIS, |opened| opened.ledger.head())
    }

    /// The blob that the host has for a height, as it lies there.
    pub(super) fn sealed(&self, height: Height) -> Result<Option<Vec<u8>>, String> {
        Ok(self.disk.store()?.blocks(height, 1).map_err(|error| error.to_string())?.pop().flatten())
    }
}

/// The hash under which the pool knows a transaction.
pub(super) fn admitted(response: &Response) -> Option<B256> {
    match response {
        Response::Admitted { hash } | Response::Included { hash, .. } => Some(*hash),
        _ => None,
    }
}
