//! One simulated node: a whole core, its disk, its clock.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use cloister_access::Caller;
use cloister_boundary::{FromEnclave, HaltCode, Membership, StartInfo, ToEnclave};
use cloister_core::{
    AuditShare, Core, CoreEffect, CoreMessage, CoreOptions, Event as CoreEvent, LogLimits, NetworkStatus, NodeId,
    Opened, RecoveryRequest, Request, RequestBody, RequestId, Response, Tick, WorkId, work::Work,
};
use cloister_crypto::simulation::SeededEntropy;
use cloister_primitives::{Height, RecoveryStatement, Seq};

use super::disk::{Disk, Kept};

/// Milliseconds since the epoch at which simulations begin: after the genesis block's time.
pub(super) const START_MS: u64 = 1_750_000_000_000;

/// Snapshots and beginnings of the log come within seconds, so that nodes often need what others have forgotten.
fn options() -> CoreOptions {
    let consensus_log = LogLimits { kept_entries: 16, rebase_every: 8 };
    let audit_share = AuditShare::from_millionths(200_000);
    CoreOptions { audit_share, snapshot_every_blocks: 40, consensus_log, ..CoreOptions::default() }
}

/// What a node's effects ask of the world.
#[derive(Debug)]
pub(super) enum Wish {
    Compute(WorkId, Work),
    Say(NodeId, Bytes),
    Written(Seq),
    Answer(ToEnclave),
    Wake(u64),
    /// A request was answered; what a client believes is the receipt it reads.
    Replied,
}

/// A node, over its restarts.
pub(super) struct Node {
    pub(super) id: NodeId,
    core: Option<Core>,
    entropy: SeededEntropy,
    pub(super) disk: Disk,
    /// An older state of the disk.
    pub(super) old: Option<Kept>,
    /// Counts starts; what was under way in an earlier one is void.
    pub(super) life: u64,
    pub(super) clock_ahead_ms: i64,
    pub(super) opened: Option<Opened>,
    /// Wakes with older numbers are void.
    pub(super) alarm: u64,
    /// Writes that are still carried out before the node stops, where it is to stop at one.
    pub(super) stops_at_write: Option<u64>,
    /// Why it ended by itself.
    pub(super) halted: Option<(HaltCode, String)>,
    pub(super) warned: BTreeMap<&'static str, u64>,
    /// Its disk was lost, put back or damaged: it need not come back.
    pub(super) lost: bool,
    /// It is sent away in the course of things: it need not go on.
    pub(super) leaves: bool,
    pub(super) newest: Option<(Height, B256)>,
    /// What members are to sign, or have signed.
    pub(super) recovery: Option<RecoveryStatement>,
    /// What it last said of itself.
    status: Option<Box<NetworkStatus>>,
}

impl Node {
    pub(super) fn new(id: NodeId) -> Self {
        Self {
            id,
            core: None,
            entropy: SeededEntropy::new(0),
            disk: Disk::default(),
            old: None,
            life: 0,
            clock_ahead_ms: 0,
            opened: None,
            alarm: 0,
            stops_at_write: None,
            halted: None,
            warned: BTreeMap::new(),
            lost: false,
            leaves: false,
            newest: None,
            recovery: None,
            status: None,
        }
    }

    /// Whether it has to go on with the others in the end.
    pub(super) const fn stays(&self) -> bool {
        !self.lost && !self.leaves
    }

    /// Whether it lost what it had, and goes on with what the others tell it.
    pub(super) const fn fetches(&self) -> bool {
        self.lost && !self.leaves && self.halted.is_none()
    }

    pub(super) const fn is_up(&self) -> bool {
        self.core.is_some()
    }

    pub(super) fn now_ms(&self, time_us: u64) -> u64 {
        (START_MS + time_us / 1_000).saturating_add_signed(self.clock_ahead_ms)
    }

    pub(super) fn start(&mut self, seed: u64, genesis: &[u8], time_us: u64) -> CoreMessage {
        self.start_with(options(), seed, genesis, time_us)
    }

    /// A start that serves nobody and answers this.
    pub(super) fn start_for(
        &mut self,
        request: RecoveryRequest,
        seed: u64,
        genesis: &[u8],
        time_us: u64,
    ) -> CoreMessage {
        self.start_with(CoreOptions { recovery: Some(request), ..options() }, seed, genesis, time_us)
    }

    fn start_with(&mut self, options: CoreOptions, seed: u64, genesis: &[u8], time_us: u64) -> CoreMessage {
        self.life += 1;
        self.entropy = SeededEntropy::new(seed ^ (self.id.get() << 48) ^ (self.life << 32));
        self.core = Some(Core::new(options));
        let kept = &self.disk.kept;
        CoreMessage::Host(ToEnclave::Start(StartInfo {
            now_ms: self.now_ms(time_us),
            genesis: genesis.to_vec(),
            options: Vec::new(),
            log: kept.bounds(),
            snapshots: kept.snapshots(),
            meta: kept.meta(),
            platform_key: vec![u8::try_from(self.id.get()).unwrap_or(1); 32],
            consensus: kept.consensus(),
            membership: Some(Membership { node: self.id.get(), network_key: vec![77; 32] }),
        }))
    }

    /// The machine stops where it is.
    pub(super) fn stop(&mut self, reached: usize) {
        self.core = None;
        self.opened = None;
        self.stops_at_write = None;
        self.disk.stop(reached);
    }

    /// Tells the core one thing.
    pub(super) fn give(&mut self, message: CoreMessage, time_us: u64) -> Vec<Wish> {
        let now = Tick { now_ms: self.now_ms(time_us) };
        let Some(core) = &mut self.core else { return Vec::new() };
        let mut effects = Vec::new();
        core.handle(now, &mut self.entropy, message, &mut effects);
        let mut wishes = Vec::new();
        for effect in effects {
            self.on_effect(effect, &mut wishes);
        }
        wishes
    }

    fn on_effect(&mut self, effect: CoreEffect, wishes: &mut Vec<Wish>) {
        match effect {
            CoreEffect::Work(id, work) => wishes.push(Wish::Compute(id, work)),
            CoreEffect::Peer { to, message } => wishes.push(Wish::Say(to, message)),
            CoreEffect::Reply(_, reply) => {
                if let Ok(Response::NetworkStatus(status)) = reply {
                    self.status = status;
                }
                wishes.push(Wish::Replied);
            }
            CoreEffect::Opened(opened) => self.opened = Some(opened),
            CoreEffect::Event(CoreEvent::Committed(block)) => {
                let height = block.height();
                let hash = self.hash_at(height);
                self.newest = hash.map(|hash| (height, hash));
            }
            CoreEffect::Event(_) | CoreEffect::Disarm | CoreEffect::Nodes(_) => {}
            CoreEffect::Arm { deadline_ms } => wishes.push(Wish::Wake(deadline_ms)),
            CoreEffect::Warn(text) | CoreEffect::WarnAt(text, _) => *self.warned.entry(text).or_default() += 1,
            CoreEffect::Halt(fatal) => {
                self.halted = Some((fatal.code, fatal.to_string()));
                self.core = None;
                self.opened = None;
            }
            CoreEffect::Host(message) => self.on_host(message, wishes),
        }
    }

    fn on_host(&mut self, message: FromEnclave, wishes: &mut Vec<Wish>) {
        let kept = &self.disk.kept;
        wishes.push(Wish::Answer(match message {
            FromEnclave::Persist { seq, record } => {
                self.disk.write(seq, record);
                return wishes.push(Wish::Written(seq));
            }
            FromEnclave::Recovery(statement) => {
                self.recovery = Some(statement);
                return;
            }
            FromEnclave::ReadBlocks { id, from, count } => ToEnclave::Blocks { id, blocks: kept.read(from, count) },
            FromEnclave::ReadChunk { id, snapshot, index } => {
                ToEnclave::Chunk { id, bytes: kept.chunk(snapshot, index) }
            }
            FromEnclave::ReadLogSection { id, last } => ToEnclave::LogSection { id, bytes: kept.section(last) },
            _ => return,
        }));
    }

    /// What it says of itself and the others.
    pub(super) fn status(&mut self, time_us: u64) -> Option<&NetworkStatus> {
        self.status = None;
        let body = RequestBody::NetworkStatus;
        let asked = CoreMessage::Requests(vec![(RequestId(u64::MAX), Request { caller: Caller::Anonymous, body })]);
        self.give(asked, time_us);
        self.status.as_deref()
    }

    /// How it is, for whoever has to find out why a network does not go on.
    pub(super) fn describe(&mut self, time_us: u64) -> String {
        let status = format!("{:?}", self.status(time_us));
        let kept = self.disk.kept.bounds();
        format!(
            "node {}: start {}, up {}, open {}, lost {}, leaves {}, halted {:?}, kept {kept:?}, warned {:?}, {status}",
            self.id.get(),
            self.life,
            self.is_up(),
            self.opened.is_some(),
            self.lost,
            self.leaves,
            self.halted,
            self.warned,
        )
    }

    /// Hash of a block that readers of this node see.
    pub(super) fn hash_at(&self, height: Height) -> Option<B256> {
        self.opened.as_ref()?.ledger.reader(&Caller::Anonymous).hash_at(height)
    }

    /// The height of the block with this transaction, for readers of this node.
    pub(super) fn height_of(&self, transaction: &B256) -> Option<Height> {
        self.opened.as_ref()?.ledger.reader(&Caller::Anonymous).position_of(transaction).map(|position| position.height)
    }

    /// What this node answers about an account at its newest block: that block's height, nonce and balance.
    pub(super) fn read(&self, address: Address) -> Option<(Height, u64, U256)> {
        let ledger = &self.opened.as_ref()?.ledger;
        let height = ledger.head();
        let account = ledger.reader(&Caller::Anonymous).state(height).ok()?.account(address).ok()?;
        Some((height, account.nonce, account.balance))
    }

    /// The newest block that readers of this node see.
    pub(super) fn head(&self) -> Option<Height> {
        Some(self.opened.as_ref()?.ledger.head())
    }
}
