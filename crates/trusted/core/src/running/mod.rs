//! A node whose chain is loaded: requests, the pipeline of blocks, persistence, development methods.

mod development;
mod engine;
mod imports;
mod loads;
mod log_sections;
pub(crate) mod network;
mod next_block;
mod patches;
mod pipeline;
mod rebuild;
mod requests;
mod sealing;
mod snapshots;
mod storage;
mod waiting;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use cloister_boundary::{FromEnclave, HaltCode, PublicStatus, StoredSnapshot, ToEnclave};
use cloister_execution::Executor;
use cloister_keys::{Incarnation, LedgerKeys, SealingKeys, draw_incarnation};
use cloister_ordering::raft::RaftOptions;
use cloister_ordering::{Input, Ordering, Pace, Refusing, Solo};
use cloister_pool::{Order, Pool};
use cloister_primitives::{Block, ChainSpec, Confidentiality, Height, Protection};

use crate::{
    BlockRecord, CoreEffect, CoreMessage, CoreOptions, Fatal, Ledger, RequestId, Response, WorkId,
    machine::Step,
    work::{Advance, Work, WorkResult},
};

pub use loads::STORED_SECTION_BLOCKS;

use development::DevelopmentState;
use engine::{Engine, of_network};
use imports::Imports;
use loads::Loads;
use log_sections::LogSections;
use network::{Network, NetworkParts};
use pipeline::Pipeline;
use rebuild::Rebuilds;
use requests::Recovering;
use snapshots::Cutting;
use storage::{Outbox, Purpose};
use waiting::Waiting;

/// What a restart hands over.
pub(crate) struct Parts {
    pub(crate) options: CoreOptions,
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) keys: Arc<LedgerKeys>,
    pub(crate) ledger: Ledger,
    pub(crate) snapshots: Vec<StoredSnapshot>,
    /// Where the chain is a network's.
    pub(crate) network: Option<NetworkParts>,
}

/// What a piece of work in flight was for.
#[derive(Debug)]
enum Errand {
    Recover(Vec<Recovering>),
    Build,
    Adopt,
    DecodeBlock,
    Seal,
    /// Of the snapshot with this incarnation; another may have been started since.
    Cut(Incarnation),
    Open,
    IndexLogs,
    OpenLogs,
    Rebuild,
}

/// The running node.
pub(crate) struct Running {
    options: CoreOptions,
    spec: Arc<ChainSpec>,
    executor: Arc<Executor>,
    keys: Arc<LedgerKeys>,
    ledger: Ledger,
    pool: Pool,
    engine: Engine,
    /// What the engine has yet to be told.
    inputs: VecDeque<Input>,
    pipeline: Pipeline,
    outbox: Outbox,
    cutting: Cutting,
    loads: Loads,
    log_sections: LogSections,
    rebuilds: Rebuilds,
    imports: Imports,
    development: DevelopmentState,
    /// Requests that are answered once this transaction's block is committed.
    waiting: Waiting,
    errands: BTreeMap<WorkId, Errand>,
    /// Pieces of work in flight that recover senders.
    recovering: usize,
    next_work: WorkId,
    /// Drawn once somebody asks for them.
    sealing: Option<SealingKeys>,
    /// When the engine wants to be woken.
    engine_deadline_ms: Option<u64>,
    armed_ms: Option<u64>,
    stopping: bool,
    /// What the operator was told last.
    told: PublicStatus,
}

/// On a confidential chain what others pay is nobody's to learn from where his own transaction stands.
fn order(spec: &ChainSpec) -> Order {
    match spec.confidentiality() {
        Confidentiality::On if Protection::ArrivalOrder.holds() => Order::Arrival,
        Confidentiality::On | Confidentiality::Off => Order::Price,
    }
}

fn engine(parts: &Parts, head: Height, pace: Pace, incarnation: &Incarnation) -> Result<Engine, Fatal> {
    if let Some(network) = &parts.network {
        // Nodes of one network draw their election timeouts alike, and those of two networks do not.
        let seed = parts.ledger.genesis_hash().0.first_chunk().copied().map_or(0, u64::from_be_bytes);
        let nonce = incarnation.first_chunk().copied().map_or(0, u64::from_be_bytes);
        let options = RaftOptions { id: network.id, nonce, seed, pace, log: parts.options.consensus_log };
        return Ok(Engine::Network(Box::new(Network::new(network, options, head)?)));
    }
    let solo = Solo::new(head, pace);
    let ordering: Box<dyn Ordering> = match parts.options.refuse_tails {
        Some(refuse) => Box::new(Refusing::new(solo, refuse.seed, refuse.one_in)),
        None => Box::new(solo),
    };
    Ok(Engine::Alone(ordering))
}

impl Running {
    pub(crate) fn start(parts: Parts, fresh: Option<BlockRecord>, step: &mut Step<'_>) -> Result<Self, Fatal> {
        let head = parts.ledger.head();
        let pace = match parts.options.pace {
            // Its blocks are somebody else's: transactions wait until one is asked for.
            Pace::Instant if parts.spec.is_imported() => Pace::Manual,
            pace => pace,
        };
        let incarnation = draw_incarnation(step.entropy);
        let engine = engine(&parts, head, pace, &incarnation)?;
        let tail = parts.network.map(|network| network.tail).unwrap_or_default();
        let mut running = Self {
            pool: Pool::new(parts.options.pool).ordered(order(&parts.spec)),
            engine,
            inputs: VecDeque::from([Input::SetPace(pace)]),
            pipeline: Pipeline::default(),
            outbox: Outbox::new(incarnation),
            cutting: Cutting::new(parts.snapshots),
            loads: Loads::default(),
            log_sections: LogSections::default(),
            rebuilds: Rebuilds::default(),
            imports: Imports::default(),
            development: DevelopmentState::default(),
            waiting: Waiting::default(),
            errands: BTreeMap::new(),
            recovering: 0,
            next_work: WorkId(0),
            sealing: None,
            engine_deadline_ms: None,
            armed_ms: None,
            stopping: false,
            told: PublicStatus::default(),
            options: parts.options,
            spec: parts.spec,
            executor: parts.executor,
            keys: parts.keys,
            ledger: parts.ledger,
        };
        if let Some(record) = fresh {
            running.seal(Purpose::Genesis, record, step);
        }
        for record in tail {
            running.push_adopted(record);
        }
        running.settle(step)?;
        Ok(running)
    }

    /// Takes one message and brings everything that follows from it to rest.
    pub(crate) fn on(&mut self, message: CoreMessage, step: &mut Step<'_>) -> Result<(), Fatal> {
        match message {
            CoreMessage::Host(message) => self.on_host(message, step)?,
            CoreMessage::Requests(requests) => self.on_requests(requests, step),
            CoreMessage::Done(id, result) => self.on_done(id, result, step)?,
            CoreMessage::Peer(node, event) => self.on_peer(node, event, step)?,
            CoreMessage::Wake => self.on_wake(step),
        }
        self.settle(step)
    }

    fn on_host(&mut self, message: ToEnclave, step: &mut Step<'_>) -> Result<(), Fatal> {
        match message {
            ToEnclave::Persisted { seq } => self.on_persisted(seq, step),
            ToEnclave::PersistFailed { seq, fault } => self.on_persist_failed(seq, fault, step)?,
            ToEnclave::Blocks { id, blocks } if self.is_rebuild_read(id) => {
                let blobs: Option<Vec<_>> = blocks.into_iter().collect();
                self.on_rebuild_read(blobs.map(Advance::Blocks), step);
            }
            ToEnclave::Chunk { id, bytes } if self.is_rebuild_read(id) => {
                self.on_rebuild_read(bytes.map(Advance::Chunk), step);
            }
            ToEnclave::ReadFailed { id, .. } if self.is_rebuild_read(id) => {
                self.on_rebuild_read(None, step);
            }
            ToEnclave::Blocks { id, blocks } if self.is_peer_read(id) => self.on_peer_read(id, blocks, step),
            ToEnclave::ReadFailed { id, .. } if self.is_peer_read(id) => self.on_peer_read_failed(id, step),
            ToEnclave::Blocks { id, blocks } if self.is_log_read(id) => self.on_log_blocks(id, blocks, step),
            ToEnclave::ReadFailed { id, .. } if self.is_log_read(id) => self.on_log_read_failed(id, step),
            ToEnclave::LogSection { id, bytes } => self.on_log_section(id, bytes, step),
            ToEnclave::Blocks { id, blocks } => self.on_loaded(id, blocks, step),
            ToEnclave::ReadFailed { id, .. } => self.on_load_failed(id, step),
            ToEnclave::Chunk { .. } => {
                step.warn("the host answered a read that was not asked for");
            }
            ToEnclave::Shutdown => self.stopping = true,
            ToEnclave::Start(_) => step.warn("the host started a node that is running"),
            _ => {}
        }
        Ok(())
    }

    fn on_done(&mut self, id: WorkId, result: WorkResult, step: &mut Step<'_>) -> Result<(), Fatal> {
        match (self.errands.remove(&id), result) {
            (Some(Errand::Recover(requests)), WorkResult::Recovered(transactions)) => {
                self.on_recovered(requests, transactions, step);
                Ok(())
            }
            (Some(Errand::Build), WorkResult::Built(outcome)) => self.on_built(*outcome, step),
            (Some(Errand::Adopt), WorkResult::Adopted(outcome)) => self.on_adopted(*outcome, step),
            (Some(Errand::DecodeBlock), WorkResult::DecodedBlock(decoded)) => {
                self.on_block_decoded(id, *decoded, step);
                Ok(())
            }
            (Some(Errand::Seal), WorkResult::Sealed(sealed)) => self.on_sealed(id, sealed, step),
            (Some(Errand::Cut(incarnation)), WorkResult::Cut(outcome)) => {
                self.on_cut(incarnation, *outcome, step);
                Ok(())
            }
            (Some(Errand::Open), WorkResult::Opened(outcome)) => {
                self.on_opened(id, *outcome, step);
                Ok(())
            }
            (Some(Errand::IndexLogs), WorkResult::IndexedLogs(outcome)) => {
                self.on_logs_indexed(id, *outcome, step);
                Ok(())
            }
            (Some(Errand::OpenLogs), WorkResult::OpenedLogs(section)) => {
                self.on_logs_opened(id, section, step);
                Ok(())
            }
            (Some(Errand::Rebuild), WorkResult::Rebuilt(outcome)) => {
                self.on_rebuilt(*outcome, step);
                Ok(())
            }
            _ => Err(Fatal::new(HaltCode::Invariant, "the result of work that nobody asked for")),
        }
    }

    fn on_wake(&mut self, step: &mut Step<'_>) {
        self.armed_ms = None;
        if self.engine_deadline_ms.is_some_and(|at| at <= step.now_ms) {
            self.engine_deadline_ms = None;
            self.inputs.push_back(Input::Timer);
        }
        self.end_gathering(step.now_ms);
        self.rotate_sealing_keys(step);
        self.retry_storage(step);
        self.on_network_wake(step);
    }

    /// Lets the engine react until nothing is left to react to.
    fn settle(&mut self, step: &mut Step<'_>) -> Result<(), Fatal> {
        loop {
            while self.step_engine(step)? {}
            if !self.run_when_idle(step)?
                && !self.resume_adopting(step)?
                && !self.resume_build(step)
                && self.inputs.is_empty()
            {
                break;
            }
        }
        self.forward_fresh(step);
        self.release_waiting(step);
        self.rearm(step);
        self.report(step);
        if self.stopping && self.is_at_rest() {
            return Err(Fatal::new(HaltCode::ShutDown, "stopped as asked"));
        }
        Ok(())
    }

    /// Tells the engine one thing. Returns whether there was anything to tell.
    fn step_engine(&mut self, step: &mut Step<'_>) -> Result<bool, Fatal> {
        let ordering = match &mut self.engine {
            Engine::Alone(ordering) => ordering,
            Engine::Network(network) => {
                self.inputs.drain(..).filter_map(of_network).for_each(|input| network.push(input));
                return self.step_network(step);
            }
        };
        let Some(input) = self.inputs.pop_front() else { return Ok(false) };
        let mut effects = Vec::new();
        ordering.step(step.now_ms, input, &mut effects);
        for effect in effects {
            self.on_effect(effect, step)?;
        }
        Ok(true)
    }

    /// Nothing is being built, sealed or persisted.
    fn is_at_rest(&self) -> bool {
        let settled = match &self.engine {
            Engine::Alone(_) => self.pipeline.is_idle(),
            // What a majority has not confirmed waits on the disk.
            Engine::Network(network) => !self.pipeline.is_building() && network.is_at_rest(),
        };
        settled && self.outbox.is_empty()
    }

    fn rearm(&mut self, step: &mut Step<'_>) {
        let rotation_ms = self.sealing.as_ref().map(SealingKeys::due_ms);
        let network_ms = self.engine.network().and_then(|network| network.deadline_ms());
        let wanted = [
            network_ms,
            self.engine_deadline_ms,
            self.outbox.retry_at_ms(),
            self.pipeline.gather_until_ms(),
            rotation_ms,
        ]
        .into_iter()
        .flatten()
        .min();
        if wanted == self.armed_ms {
            return;
        }
        self.armed_ms = wanted;
        step.out.push(match wanted {
            Some(deadline_ms) => CoreEffect::Arm { deadline_ms },
            None => CoreEffect::Disarm,
        });
    }

    fn send_work(&mut self, work: Work, errand: Errand, step: &mut Step<'_>) -> WorkId {
        let id = self.next_work;
        self.next_work = WorkId(id.0 + 1);
        self.errands.insert(id, errand);
        step.out.push(CoreEffect::Work(id, work));
        id
    }

    fn reply(&self, id: RequestId, response: Response, step: &mut Step<'_>) {
        step.out.push(CoreEffect::Reply(id, Ok(response)));
    }

    /// The newest block built, committed or not.
    fn tip(&self) -> Result<Arc<Block>, Fatal> {
        self.pipeline
            .newest()
            .or_else(|| self.ledger.head_block())
            .ok_or(Fatal::new(HaltCode::Invariant, "a chain without a block"))
    }

    /// Tells the operator where this node stands, if that has changed.
    fn report(&mut self, step: &mut Step<'_>) {
        let status = PublicStatus {
            head: self.ledger.head(),
            head_time_s: self.ledger.head_time_s(),
            transactions: self.ledger.transaction_count(),
            network: self.public_network(),
        };
        if status != self.told {
            self.told = status.clone();
            step.host(FromEnclave::Status(status));
        }
    }
}
