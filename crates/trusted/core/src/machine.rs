//! The door of the core, and what it is made of.

use std::{collections::BTreeSet, sync::Arc};

use cloister_access::Development;
use cloister_boundary::{FromEnclave, HaltCode, ToEnclave};
use cloister_crypto::EntropySource;
use cloister_execution::Executor;
use cloister_ordering::{Pace, raft::LogLimits};
use cloister_pool::PoolLimits;
use cloister_state::HistoryLimits;

use crate::{
    AuditShare, CoreEffect, CoreError, CoreMessage, Fatal, Ledger, NodeId, PeerEvent, RecoveryRequest, ResidentLimits,
    Tick,
    boot::{Boot, Booted},
    recovery::Recovering,
    running::Running,
};

/// What the operator may choose about a node; none of it changes what a block means.
#[derive(Clone, Debug)]
pub struct CoreOptions {
    /// How much of the chain stays in memory.
    pub resident: ResidentLimits,
    /// How far back states can be read.
    pub history: HistoryLimits,
    /// Whether states older than that are rebuilt from the sealed log on demand.
    pub archive: Archive,
    /// Bounds of the pool.
    pub pool: PoolLimits,
    /// A snapshot is cut at every height divisible by this.
    pub snapshot_every_blocks: u64,
    /// When blocks are made.
    pub pace: Pace,
    /// Of the blocks that other nodes execute, how many this one executes as well.
    pub audit_share: AuditShare,
    /// How much there is of a network's consensus log.
    pub consensus_log: LogLimits,
    /// Whether the development methods may exist; genesis has to allow them too.
    pub development: Development,
    /// Test networks only: refuse one in so many speculative tails, drawn from this seed.
    pub refuse_tails: Option<RefuseTails>,
    /// Serve nobody, and answer this instead.
    pub recovery: Option<RecoveryRequest>,
}

/// Parameters of [`cloister_ordering::Refusing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefuseTails {
    /// Seed of the draw.
    pub seed: u64,
    /// One in so many.
    pub one_in: u64,
}

/// Whether old states can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Archive {
    /// Only as far back as the resident history reaches.
    #[default]
    Recent,
    /// Any height, rebuilt from the nearest snapshot.
    Full,
}

impl Default for CoreOptions {
    fn default() -> Self {
        Self {
            resident: ResidentLimits::default(),
            history: HistoryLimits::default(),
            archive: Archive::default(),
            pool: PoolLimits::default(),
            snapshot_every_blocks: 1_024,
            pace: Pace::Instant,
            audit_share: AuditShare::default(),
            consensus_log: LogLimits::default(),
            development: Development::Refused,
            refuse_tails: None,
            recovery: None,
        }
    }
}

/// What a loaded chain offers to readers.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The resident chain.
    pub ledger: Ledger,
    /// Runs calls on its states.
    pub executor: Arc<Executor>,
    /// What [`crate::RequestBody::KeepNotes`] kept last; empty if nothing.
    pub notes: Vec<u8>,
}

/// One step's surroundings: time, entropy, and where effects go.
pub(crate) struct Step<'a> {
    pub(crate) now_ms: u64,
    pub(crate) entropy: &'a mut dyn EntropySource,
    pub(crate) out: &'a mut Vec<CoreEffect>,
}

impl Step<'_> {
    pub(crate) fn host(&mut self, message: FromEnclave) {
        self.out.push(CoreEffect::Host(message));
    }

    pub(crate) fn warn(&mut self, text: &'static str) {
        self.out.push(CoreEffect::Warn(text));
    }
}

enum Phase {
    Waiting,
    Booting(Box<Boot>),
    Running(Box<Running>),
    Recovering(Recovering),
    Halted,
}

/// The enclave's state machine: the same messages and entropy give the same effects.
pub struct Core {
    options: CoreOptions,
    now_ms: u64,
    phase: Phase,
    /// Nodes that can be spoken to, while there is no [`Running`] yet to know it.
    linked: BTreeSet<NodeId>,
}

impl From<Booted> for Phase {
    fn from(booted: Booted) -> Self {
        match booted {
            Booted::Running(running) => Self::Running(running),
            Booted::Recovering(recovering) => Self::Recovering(recovering),
        }
    }
}

impl core::fmt::Debug for Core {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}

impl Core {
    /// A core that waits for the host's [`ToEnclave::Start`].
    #[must_use]
    pub const fn new(options: CoreOptions) -> Self {
        Self { options, now_ms: 0, phase: Phase::Waiting, linked: BTreeSet::new() }
    }

    /// The only door: takes one message, appends what is to be done, in order.
    pub fn handle(
        &mut self,
        now: Tick,
        entropy: &mut dyn EntropySource,
        message: CoreMessage,
        out: &mut Vec<CoreEffect>,
    ) {
        // The host's clock may jump; the core's never runs backwards.
        self.now_ms = self.now_ms.max(now.now_ms);
        let mut step = Step { now_ms: self.now_ms, entropy, out };
        if let Err(fatal) = self.dispatch(message, &mut step) {
            self.phase = Phase::Halted;
            out.push(CoreEffect::Halt(fatal));
        }
    }

    fn dispatch(&mut self, message: CoreMessage, step: &mut Step<'_>) -> Result<(), Fatal> {
        match (&mut self.phase, message) {
            (Phase::Waiting, CoreMessage::Host(ToEnclave::Start(info))) => {
                let mut boot = Box::new(Boot::begin(info, self.options.clone())?);
                let booted = boot.advance(step)?;
                self.phase = Phase::Booting(boot);
                self.go_on_as(booted, step)
            }
            (Phase::Booting(boot), CoreMessage::Host(message)) => {
                let booted = boot.on_host(message, step)?;
                self.go_on_as(booted, step)
            }
            (Phase::Recovering(recovering), CoreMessage::Host(message)) => recovering.on_host(&message, step),
            (Phase::Running(running), message) => running.on(message, step),
            // What is said meanwhile is said again; that there is a link is not.
            (_, CoreMessage::Peer(node, PeerEvent::Connected)) => {
                self.linked.insert(node);
                Ok(())
            }
            (_, CoreMessage::Peer(node, PeerEvent::Gone)) => {
                self.linked.remove(&node);
                Ok(())
            }
            (_, CoreMessage::Requests(requests)) => {
                for (id, _) in requests {
                    let error = CoreError::Unavailable("the node is starting or stopping");
                    step.out.push(CoreEffect::Reply(id, Err(error)));
                }
                Ok(())
            }
            (Phase::Waiting, CoreMessage::Host(ToEnclave::Shutdown)) => {
                Err(Fatal::new(HaltCode::ShutDown, "asked to stop before it was started"))
            }
            _ => Ok(()),
        }
    }

    /// The restart has come to its end, if it has.
    fn go_on_as(&mut self, booted: Option<Booted>, step: &mut Step<'_>) -> Result<(), Fatal> {
        let Some(booted) = booted else { return Ok(()) };
        self.phase = booted.into();
        if let Phase::Running(running) = &mut self.phase {
            for node in core::mem::take(&mut self.linked) {
                running.on(CoreMessage::Peer(node, PeerEvent::Connected), step)?;
            }
        }
        Ok(())
    }
}
