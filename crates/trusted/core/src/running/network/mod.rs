//! A node of a network: its consensus engine, what it wants done, and what others say.
//!
//! A follower adopts blocks in the order of its log, one at a time and as [`Work`](crate::work::Work); the engine may commit a
//! block before it is applied here, so commits wait for it. The leader's blocks go through the same pipeline as
//! those of a node that decides alone; their sealed bytes are sent ahead of the log entries that name them.

mod adopting;
mod bodies;
mod catch_up;
mod consensus_log;
mod forwarding;
mod governed;
mod peers;
mod status;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::{B256, Bytes};
use cloister_boundary::{FromEnclave, HaltCode, ReadId as HostRead};
use cloister_keys::Sealed;
use cloister_ordering::raft::{BlockRef, Effect, Fault, Input, Members, NodeId, Raft, RaftOptions, ReadId, StoredLog};
use cloister_ordering::{Pace, Slot};
use cloister_primitives::Height;

use super::{Errand, Purpose, Running};
use crate::{
    BlockRecord, CoreEffect, CoreError, Fatal, Opened, WorkId,
    machine::Step,
    peer_word::{PeerWord, digest},
    work::Work,
};

pub(crate) use consensus_log::{open as open_log, seal as seal_log};

use bodies::Bodies;
use catch_up::CatchUp;
use forwarding::Forwarding;
use governed::Governed;
use peers::Serving;

/// Heights of which it is remembered what they were sealed as.
const MAX_SEALED_AS: usize = 2_048;

/// How long after an unanswered question for the newest height it is asked again, milliseconds.
const ASK_AGAIN_MS: u64 = 100;

/// What the restart of a node of a network finds.
pub(crate) struct NetworkParts {
    pub(crate) id: NodeId,
    pub(crate) stored: StoredLog,
    /// The number of the next record of the consensus log.
    pub(crate) next_record: u64,
    /// Blocks of the log that are applied and not known to be committed, oldest first.
    pub(crate) tail: Vec<BlockRecord>,
    /// Their sealed bytes.
    pub(crate) sealed_tail: Vec<(BlockRef, Bytes)>,
    /// The newest block that the host has stored, which may be one that the log does not name.
    pub(crate) host_last: Option<Height>,
}

/// A node's part in its network.
pub(in crate::running) struct Network {
    id: NodeId,
    raft: Raft,
    pub(super) pace: Pace,
    inputs: VecDeque<Input>,
    members: Members,
    leader: Option<NodeId>,
    connected: BTreeSet<NodeId>,
    /// All records of the log as one.
    stored: StoredLog,
    next_record: u64,
    keep_from: u64,
    host_last: Option<Height>,
    /// The host has all blocks up to here, and they are committed.
    stored_upto: Height,
    /// What it has above.
    stored_as: BTreeMap<Height, B256>,
    bodies: Bodies,
    /// Own blocks being sealed.
    sealing: BTreeMap<WorkId, Slot>,
    /// Blocks to adopt, in order; the first may be under way.
    adopts: VecDeque<BlockRef>,
    adopting: Option<BlockRef>,
    next_adopted: u64,
    /// What the newest heights were sealed as: those that were adopted, and this node's own.
    sealed_as: BTreeMap<Height, BlockRef>,
    /// Blocks up to here are committed, as soon as they are applied here.
    committed: Height,
    catch_up: Option<CatchUp>,
    /// The last block of one that is complete: durable, and perhaps not applied yet.
    caught_up: Option<BlockRef>,
    serving: Serving,
    forwarding: Forwarding,
    governed: Governed,
    opening: Option<Opening>,
    /// Why this node takes no part any more.
    fault: Option<&'static str>,
}

/// Readers are let in once a majority has confirmed how far the chain is.
struct Opening {
    opened: Opened,
    asked: u64,
    ask_again_at_ms: Option<u64>,
    confirmed: Option<Height>,
}

/// Slots of adopted blocks have numbers of their own: those of the engine count from zero.
const ADOPTED: u64 = 1 << 63;

impl Network {
    /// A node that goes on where its log ends.
    pub(in crate::running) fn new(parts: &NetworkParts, options: RaftOptions, head: Height) -> Result<Self, Fatal> {
        let mut bodies = Bodies::default();
        for (block, sealed) in &parts.sealed_tail {
            bodies.insert(*block, sealed.clone(), head);
        }
        let raft = Raft::new(options, &parts.stored)
            .map_err(|_| Fatal::new(HaltCode::DamagedLog, "the stored consensus log contradicts itself"))?;
        Ok(Self {
            id: parts.id,
            raft,
            pace: options.pace,
            inputs: VecDeque::new(),
            members: parts.stored.base().members.clone(),
            leader: None,
            connected: BTreeSet::new(),
            stored: parts.stored.clone(),
            next_record: parts.next_record,
            keep_from: 0,
            host_last: parts.host_last,
            stored_upto: head,
            stored_as: parts.sealed_tail.iter().map(|(block, _)| (block.height, block.digest)).collect(),
            bodies,
            sealing: BTreeMap::new(),
            adopts: VecDeque::new(),
            adopting: None,
            next_adopted: ADOPTED,
            sealed_as: BTreeMap::new(),
            committed: head,
            catch_up: None,
            caught_up: None,
            serving: Serving::default(),
            forwarding: Forwarding::default(),
            governed: Governed::default(),
            opening: None,
            fault: None,
        })
    }

    pub(in crate::running) fn push(&mut self, input: Input) {
        self.inputs.push_back(input);
    }

    /// Nothing is being sealed or adopted.
    pub(in crate::running) fn is_at_rest(&self) -> bool {
        self.sealing.is_empty() && self.adopting.is_none()
    }

    pub(in crate::running) fn leads(&self) -> bool {
        self.leader == Some(self.id)
    }

    /// Why writes are refused, if they are.
    pub(in crate::running) fn accepts_writes(&self) -> Result<(), CoreError> {
        self.fault.map_or(Ok(()), |fault| Err(CoreError::Unavailable(fault)))
    }

    pub(in crate::running) fn deadline_ms(&self) -> Option<u64> {
        let ask = self.opening.as_ref().and_then(|opening| opening.ask_again_at_ms);
        [ask, self.forwarding.due_ms()].into_iter().flatten().min()
    }

    fn slot_of_adopted(&mut self, height: Height) -> Slot {
        let attempt = self.next_adopted;
        self.next_adopted += 1;
        Slot { height, attempt }
    }

    /// Everybody else who takes part and can be spoken to.
    fn others(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.connected.iter().copied().filter(|node| *node != self.id && self.members.contains(*node))
    }
}

impl Running {
    /// Holds readers off until the network has confirmed how far the chain is.
    pub(crate) fn open_when_confirmed(&mut self, opened: Opened, step: &mut Step<'_>) -> Result<(), Fatal> {
        if let Some(network) = self.engine.network() {
            network.opening = Some(Opening { opened, asked: 0, ask_again_at_ms: None, confirmed: None });
            network.push(Input::Read(ReadId(0)));
        }
        self.read_nodes(step);
        self.settle(step)
    }

    /// Lets the network's engine react to one input. Returns whether there was one.
    pub(in crate::running) fn step_network(&mut self, step: &mut Step<'_>) -> Result<bool, Fatal> {
        let Some(network) = self.engine.network() else { return Ok(false) };
        let Some(input) = network.inputs.pop_front() else { return Ok(false) };
        let mut effects = Vec::new();
        network.raft.step(step.now_ms, input, &mut effects);
        for effect in effects {
            self.on_network_effect(effect, step)?;
        }
        Ok(true)
    }

    fn on_network_effect(&mut self, effect: Effect, step: &mut Step<'_>) -> Result<(), Fatal> {
        let Some(network) = self.engine.network() else { return Ok(()) };
        match effect {
            Effect::Build { slot, empty } => self.pipeline.hold(slot, empty),
            Effect::Seal(slot) => self.seal_for_network(slot, step),
            Effect::Send { to, message } => say(to, &PeerWord::Consensus(message.into()), step),
            Effect::Persist { seq, record } => self.persist_consensus(seq, record, step)?,
            Effect::Fetch { from, block } => match network.bodies.get(block) {
                Some(_) => network.push(Input::Received(block)),
                None => say(from, &PeerWord::WantBlock(block), step),
            },
            Effect::CatchUp { from, block } => self.catch_up(from, block, step)?,
            Effect::Restore(block) => self.restore(block, step)?,
            // What comes meanwhile is in the log, and is taken from there.
            Effect::Adopt(_) if network.catch_up.is_some() => {}
            Effect::Adopt(block) => network.adopts.push_back(block),
            Effect::Commit(height) => {
                network.committed = network.committed.max(height);
                self.commit_applied(step)?;
            }
            Effect::Discard { from } => self.discard_of_network(from, step)?,
            Effect::Members(members) => network.members = members,
            Effect::ReadAt { height, .. } => {
                if let Some(opening) = &mut network.opening {
                    opening.confirmed = Some(height);
                }
                self.open_if_confirmed(step);
            }
            Effect::Unconfirmed(_) => {
                if let Some(opening) = &mut network.opening {
                    opening.ask_again_at_ms = Some(step.now_ms.saturating_add(ASK_AGAIN_MS));
                }
            }
            Effect::Arm { deadline_ms } => {
                self.engine_deadline_ms = Some(deadline_ms);
                self.carry_out(step.now_ms);
            }
            Effect::Leader(leader) => self.on_leader(leader, step),
            Effect::Halt(fault @ Fault::Twice) => return Err(Fatal::new(HaltCode::IdentityInUse, told(&fault))),
            Effect::Halt(fault) => {
                let text = told(&fault);
                network.fault = Some(text);
                step.warn(text);
            }
        }
        Ok(())
    }

    pub(in crate::running) fn on_network_wake(&mut self, step: &mut Step<'_>) {
        let Some(network) = self.engine.network() else { return };
        if let Some(opening) = &mut network.opening
            && opening.ask_again_at_ms.is_some_and(|at_ms| at_ms <= step.now_ms)
        {
            opening.ask_again_at_ms = None;
            opening.asked += 1;
            let read = ReadId(opening.asked);
            network.push(Input::Read(read));
        }
        self.forward_again(step);
    }

    /// Lets readers in if the confirmed height is applied here.
    pub(in crate::running) fn open_if_confirmed(&mut self, step: &mut Step<'_>) {
        let head = self.ledger.head();
        let Some(network) = self.engine.network() else { return };
        let confirmed = network.opening.as_ref().and_then(|opening| opening.confirmed);
        if confirmed.is_some_and(|height| height <= head)
            && let Some(opening) = network.opening.take()
        {
            step.out.push(CoreEffect::Opened(opening.opened));
            step.host(FromEnclave::Ready {
                chain_id: self.spec.chain_id(),
                genesis_hash: self.ledger.genesis_hash().0,
                head,
            });
        }
    }

    /// Has a block of this node sealed for the log.
    fn seal_for_network(&mut self, slot: Slot, step: &mut Step<'_>) {
        let Some(record) = self.pipeline.record(slot) else { return };
        let job = self.seal_job(record, step);
        let work = self.send_work(Work::Seal(Box::new(job)), Errand::Seal, step);
        if let Some(network) = self.engine.network() {
            network.sealing.insert(work, slot);
        }
    }

    /// Returns the bytes where they are not those of a block of this node for the log.
    pub(in crate::running) fn on_sealed_for_network(
        &mut self,
        id: WorkId,
        sealed: Vec<u8>,
        step: &mut Step<'_>,
    ) -> Option<Vec<u8>> {
        let head = self.ledger.head();
        let Some(network) = self.engine.network() else { return Some(sealed) };
        let Some(slot) = network.sealing.remove(&id) else { return Some(sealed) };
        let block = BlockRef { height: slot.height, digest: digest(&sealed) };
        let sealed = Bytes::from(sealed);
        // The bytes go ahead of the entry that names them, so that nobody has to ask.
        let word = PeerWord::Block { height: block.height, sealed: sealed.clone() }.encode();
        for to in network.others() {
            step.out.push(CoreEffect::Peer { to, message: word.clone() });
        }
        network.bodies.insert(block, sealed, head);
        network.remember(block);
        network.push(Input::Sealed(slot, block));
        None
    }
}

fn say(to: NodeId, word: &PeerWord, step: &mut Step<'_>) {
    step.out.push(CoreEffect::Peer { to, message: word.encode() });
}

const fn told(fault: &Fault) -> &'static str {
    match fault {
        Fault::LeftBehind { .. } => {
            "members had the network go on without this node: it takes no part any more; wipe its folder, and let it join anew under another id with `cloister join`"
        }
        Fault::Twice => "another process has this node's identity and is taken for it",
        Fault::BrokenChain { .. } => {
            "the consensus log contradicts what is committed: this node takes no part any more"
        }
        Fault::Engine(_) => "the consensus engine failed: this node takes no part any more until it is restarted",
    }
}
