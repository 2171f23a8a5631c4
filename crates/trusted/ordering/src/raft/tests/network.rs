//! Engines with pretended cores, disks and a network, all driven by one seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use alloy_primitives::{B256, keccak256};
use cloister_primitives::{Height, Seq};

use super::super::{
    BlockRef, Effect, Fault, Input, LogLimits, LogRecord, Members, NodeId, Raft, RaftOptions, ReadId, StoredLog,
    split_mix,
};
use crate::{Pace, Slot};

/// What can go wrong, each as one chance in so many; zero for never.
#[derive(Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) loss: u64,
    pub(super) repetition: u64,
    pub(super) crash: u64,
    pub(super) partition: u64,
    /// Crashes after which this node's disk is what it was at some earlier time; nobody's without one.
    pub(super) rolled_back: Option<u64>,
}

#[derive(Debug)]
enum Event {
    Timer(NodeId),
    Message { from: NodeId, to: NodeId, bytes: Vec<u8> },
    Bytes { to: NodeId, block: BlockRef },
    State { to: NodeId, block: BlockRef },
    Written { node: NodeId, life: u64, seq: Seq },
    Core { node: NodeId, life: u64, input: Input },
    Restart(NodeId),
}

/// One process: what survives a crash, and what does not.
pub(super) struct Node {
    /// Whom it takes itself for: its own key in the network, except for those that were made of another one's disk.
    pub(super) identity: NodeId,
    pub(super) engine: Option<Raft>,
    disk: StoredLog,
    /// What a dishonest host kept of it.
    old_disks: Vec<StoredLog>,
    /// Grows with every start, so that what was on its way for an earlier life is recognised.
    life: u64,
    writing: VecDeque<(Seq, LogRecord)>,
    /// The pretended core's chain: committed, then built or adopted.
    chain: Vec<BlockRef>,
    building: Option<(Slot, BlockRef)>,
    pub(super) committed: Height,
    pub(super) reads: Vec<(ReadId, Height)>,
    pub(super) unconfirmed: Vec<ReadId>,
    pub(super) fault: Option<Fault>,
    timer_at_ms: u64,
}

pub(super) struct Network {
    pub(super) now_ms: u64,
    draw: u64,
    next_event: u64,
    events: BTreeMap<(u64, u64), Event>,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    /// Each block's parent, for all blocks ever made.
    parents: BTreeMap<B256, BlockRef>,
    /// What any node committed, by height: there is one chain.
    pub(super) decided: BTreeMap<Height, BlockRef>,
    pub(super) members: Members,
    /// Who cannot hear whom.
    pub(super) cut: BTreeSet<(NodeId, NodeId)>,
    pub(super) faults: Faults,
    options: RaftOptions,
    /// A digest of all that happened.
    pub(super) trace: u64,
}

/// Seeds to play: so many from 0 on, or `RAFT_SEEDS` from `RAFT_SEED` on.
pub(super) fn seeds(count: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = number("RAFT_SEED").unwrap_or(0);
    first..first + number("RAFT_SEEDS").unwrap_or(count)
}

pub(super) fn id(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

const GENESIS: BlockRef = BlockRef { height: Height::GENESIS, digest: B256::ZERO };

impl Network {
    pub(super) fn new(seed: u64, size: u64) -> Self {
        Self::with_log(seed, size, LogLimits { kept_entries: 300, ..LogLimits::default() })
    }

    pub(super) fn with_log(seed: u64, size: u64, log: LogLimits) -> Self {
        let members = Members::of_voters((1..=size).map(id));
        let options = RaftOptions { id: id(1), nonce: 0, seed, pace: Pace::Instant, log };
        let mut network = Self {
            now_ms: 1_000,
            draw: seed,
            next_event: 0,
            events: BTreeMap::new(),
            nodes: BTreeMap::new(),
            parents: BTreeMap::new(),
            decided: BTreeMap::new(),
            members: members.clone(),
            cut: BTreeSet::new(),
            faults: Faults::default(),
            options,
            trace: seed,
        };
        for number in 1..=size {
            network.add(id(number), members.clone());
        }
        network
    }

    pub(super) fn add(&mut self, node: NodeId, members: Members) {
        self.insert(node, node, vec![StoredLog::new(members)], 0);
        self.restart(node);
    }

    /// A process with the last of these disks; the others are what a dishonest host has kept.
    fn insert(&mut self, process: NodeId, identity: NodeId, mut disks: Vec<StoredLog>, life: u64) {
        let new = Node {
            identity,
            engine: None,
            disk: disks.pop().unwrap(),
            old_disks: disks,
            life,
            writing: VecDeque::new(),
            chain: Vec::new(),
            building: None,
            committed: Height::GENESIS,
            reads: Vec::new(),
            unconfirmed: Vec::new(),
            fault: None,
            timer_at_ms: 0,
        };
        self.nodes.insert(process, new);
    }

    /// The node's disk is empty, and it does not know that.
    pub(super) fn wipe(&mut self, node: NodeId) {
        self.crash(node);
        let (members, life) = (self.members.clone(), self.nodes[&node].life);
        self.insert(node, node, vec![StoredLog::new(members)], life);
        self.restart(node);
    }

    /// A second process with a node's identity and what its disk was at some time, or is.
    pub(super) fn start_twice(&mut self, node: NodeId, process: NodeId) {
        let state = &self.nodes[&node];
        let disks = state.old_disks.iter().chain([&state.disk]).cloned().collect();
        self.insert(process, state.identity, disks, 0);
        if self.draw(2) == 0 {
            self.roll_back(process);
        }
        self.restart(process);
    }

    fn processes(&self, identity: NodeId) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, state)| state.identity == identity).map(|(process, _)| *process).collect()
    }

    fn draw(&mut self, bound: u64) -> u64 {
        self.draw = split_mix(self.draw);
        self.draw % bound.max(1)
    }

    fn chance(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.draw(one_in) == 0
    }

    fn after(&mut self, delay_ms: u64, event: Event) {
        self.next_event += 1;
        self.events.insert((self.now_ms + delay_ms, self.next_event), event);
    }

    pub(super) fn crash(&mut self, node: NodeId) {
        let torn = self.draw(3);
        let state = self.nodes.get_mut(&node).unwrap();
        if state.engine.take().is_some() {
            // Some of what was being written may have become durable without anybody having been told.
            for (_, record) in state.writing.drain(..).take(usize::try_from(torn).unwrap()) {
                state.disk.absorb(LogRecord::decode(&record.encode()).unwrap());
            }
            state.life += 1;
        }
    }

    /// The node's disk is as it was at some earlier time.
    pub(super) fn roll_back(&mut self, node: NodeId) {
        let kept = self.nodes[&node].old_disks.len() as u64;
        if kept > 0 {
            let chosen = usize::try_from(self.draw(kept)).unwrap();
            let state = self.nodes.get_mut(&node).unwrap();
            state.disk = state.old_disks[chosen].clone();
        }
    }

    /// Members have the network go on from this node's disk. All that is on it counts as decided from then on.
    pub(super) fn recover(&mut self, node: NodeId) {
        self.crash(node);
        let head = self.nodes[&node].disk.newest().unwrap();
        for block in self.chain_of(head) {
            assert_eq!(*self.decided.entry(block.height).or_insert(block), block, "what was decided is lost");
        }
        let state = self.nodes.get_mut(&node).unwrap();
        let record = state.disk.recovered(node, head).record();
        state.disk.absorb(LogRecord::decode(&record.encode()).unwrap());
        assert_eq!(state.disk.record(), record, "nothing is left of the log before");
        self.members = state.disk.base().members.clone();
        self.restart(node);
    }

    pub(super) fn restart(&mut self, node: NodeId) {
        if self.nodes[&node].engine.is_some() {
            return;
        }
        let nonce = self.draw(u64::MAX);
        let state = &self.nodes[&node];
        let options = RaftOptions { id: state.identity, nonce, ..self.options };
        let engine = Raft::new(options, &state.disk).unwrap();
        let mut chain = self.chain_of(state.disk.base().block.unwrap_or(GENESIS));
        let committed = Height(chain.len() as u64);
        chain.extend(state.disk.blocks());
        let state = self.nodes.get_mut(&node).unwrap();
        (state.chain, state.committed) = (chain, committed);
        (state.building, state.fault) = (None, None);
        state.writing.clear();
        state.engine = Some(engine);
        self.input(node, Input::Timer);
    }

    /// All blocks from the first up to this one.
    fn chain_of(&self, last: BlockRef) -> Vec<BlockRef> {
        let mut chain = Vec::new();
        let mut block = last;
        while block != GENESIS {
            chain.push(block);
            block = self.parents[&block.digest];
        }
        chain.reverse();
        chain
    }

    pub(super) fn leader(&self) -> Option<NodeId> {
        let leads = |node: &&NodeId| self.nodes[*node].engine.as_ref().is_some_and(|engine| engine.status().leads);
        let term = |node: &&NodeId| self.nodes[*node].engine.as_ref().map(|engine| engine.status().term);
        self.nodes.keys().filter(leads).max_by_key(term).copied()
    }

    /// Tells an engine something, and does what it wants.
    pub(super) fn input(&mut self, node: NodeId, input: Input) {
        let now_ms = self.now_ms;
        let mut effects = Vec::new();
        if let Some(engine) = self.nodes.get_mut(&node).and_then(|state| state.engine.as_mut()) {
            engine.step(now_ms, input, &mut effects);
        }
        for effect in effects {
            self.trace = split_mix(
                self.trace ^ u64::from_be_bytes(keccak256(format!("{node:?}{effect:?}"))[..8].try_into().unwrap()),
            );
            self.on_effect(node, effect);
        }
    }

    fn on_effect(&mut self, node: NodeId, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.send(node, to, message),
            Effect::Fetch { from, block } if self.offers(from, node, block) => {
                let delay_ms = 1 + self.draw(20);
                self.after(delay_ms, Event::Bytes { to: node, block });
            }
            Effect::CatchUp { from, block } if self.offers(from, node, block) => {
                let delay_ms = 20 + self.draw(200);
                self.after(delay_ms, Event::State { to: node, block });
            }
            Effect::Fetch { .. } | Effect::CatchUp { .. } => {}
            Effect::Persist { seq, record } => {
                let delay_ms = 1 + self.draw(10);
                let state = self.nodes.get_mut(&node).unwrap();
                state.writing.push_back((seq, record));
                let life = state.life;
                self.after(delay_ms, Event::Written { node, life, seq });
            }
            Effect::Arm { deadline_ms } => {
                let state = self.nodes.get_mut(&node).unwrap();
                if state.timer_at_ms != deadline_ms {
                    state.timer_at_ms = deadline_ms;
                    self.after(deadline_ms.saturating_sub(self.now_ms), Event::Timer(node));
                }
            }
            other => self.on_core_effect(node, other),
        }
    }

    fn on_core_effect(&mut self, node: NodeId, effect: Effect) {
        let delay_ms = 1 + self.draw(5);
        let state = self.nodes.get_mut(&node).unwrap();
        let life = state.life;
        match effect {
            Effect::Build { slot, .. } => {
                let parent = state.chain.last().copied().unwrap_or(GENESIS);
                assert_eq!(slot.height, parent.height.next(), "a build stands on the newest block");
                let digest = keccak256(format!("{node:?} {life} {} {}", slot.attempt, parent.digest));
                let block = BlockRef { height: slot.height, digest };
                state.building = Some((slot, block));
                self.parents.insert(digest, parent);
                self.after(delay_ms, Event::Core { node, life, input: Input::Built(slot) });
            }
            Effect::Seal(slot) => {
                let block = *state.chain.iter().rfind(|block| block.height == slot.height).unwrap();
                self.after(delay_ms, Event::Core { node, life, input: Input::Sealed(slot, block) });
            }
            Effect::Adopt(block) => {
                let parent = self.parents[&block.digest];
                assert_eq!(
                    state.chain.last().copied().unwrap_or(GENESIS),
                    parent,
                    "an adopted block continues the chain"
                );
                state.chain.push(block);
            }
            Effect::Discard { from } => {
                assert!(from > state.committed, "what is committed is never discarded");
                state.building = None;
                state.chain.retain(|block| block.height < from);
            }
            Effect::Restore(block) => {
                let chain = self.chain_of(block);
                let state = self.nodes.get_mut(&node).unwrap();
                state.committed = block.height;
                (state.chain, state.building) = (chain, None);
            }
            Effect::Commit(height) => {
                assert_eq!(height, state.committed.next(), "commits come in order of height");
                let block = state.chain[usize::try_from(height.0 - 1).unwrap()];
                state.committed = height;
                let decided = *self.decided.entry(height).or_insert(block);
                assert_eq!(decided, block, "two nodes committed different blocks");
            }
            Effect::Members(members) => self.members = members,
            Effect::ReadAt { read, height } => state.reads.push((read, height)),
            Effect::Unconfirmed(read) => state.unconfirmed.push(read),
            Effect::Halt(fault) => state.fault = Some(fault),
            _ => {}
        }
    }

    fn reaches(&self, from: NodeId, to: NodeId) -> bool {
        !self.cut.contains(&(from, to)) && self.nodes.get(&from).is_some_and(|node| node.engine.is_some())
    }

    fn offers(&self, from: NodeId, to: NodeId, block: BlockRef) -> bool {
        let offers = |process: &NodeId| self.reaches(*process, to) && self.nodes[process].chain.contains(&block);
        self.processes(from).iter().any(offers)
    }

    /// All processes with an identity hear what is said to it.
    fn send(&mut self, from: NodeId, to: NodeId, bytes: Vec<u8>) {
        for process in self.processes(to) {
            self.send_to(from, process, bytes.clone());
        }
    }

    fn send_to(&mut self, from: NodeId, to: NodeId, bytes: Vec<u8>) {
        if !self.reaches(from, to) || self.chance(self.faults.loss) {
            return;
        }
        if self.chance(self.faults.repetition) {
            let delay_ms = 1 + self.draw(400);
            self.after(delay_ms, Event::Message { from, to, bytes: bytes.clone() });
        }
        let delay_ms = 1 + self.draw(15);
        self.after(delay_ms, Event::Message { from, to, bytes });
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Timer(node) if self.nodes[&node].timer_at_ms == self.now_ms => self.input(node, Input::Timer),
            Event::Timer(_) => {}
            Event::Message { from, to, bytes } => self.input(to, Input::Peer(self.nodes[&from].identity, bytes)),
            Event::Bytes { to, block } => self.input(to, Input::Received(block)),
            Event::State { to, block } => self.input(to, Input::CaughtUp(block)),
            Event::Written { node, life, seq } => {
                let state = self.nodes.get_mut(&node).unwrap();
                if state.life == life {
                    while let Some((_, record)) = state.writing.pop_front_if(|(written, _)| *written <= seq) {
                        state.disk.absorb(record);
                    }
                    self.input(node, Input::Persisted(seq));
                }
            }
            Event::Core { node, life, input } => {
                let state = self.nodes.get_mut(&node).unwrap();
                if state.life != life {
                    return;
                }
                if let Input::Built(slot) = input {
                    let Some((_, block)) = state.building.take_if(|(building, _)| *building == slot) else {
                        return;
                    };
                    state.chain.push(block);
                }
                self.input(node, input);
            }
            Event::Restart(node) => self.restart(node),
        }
    }

    fn misfortune(&mut self) {
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        let any = |network: &mut Self| nodes[usize::try_from(network.draw(nodes.len() as u64)).unwrap()];
        if self.faults.rolled_back.is_some() && self.chance(300) {
            for state in self.nodes.values_mut() {
                state.old_disks.push(state.disk.clone());
            }
        }
        if self.chance(self.faults.crash) {
            let node = any(self);
            self.crash(node);
            if self.faults.rolled_back == Some(node.get()) {
                self.roll_back(node);
            }
            let delay_ms = 50 + self.draw(3_000);
            self.after(delay_ms, Event::Restart(node));
        }
        if self.chance(self.faults.partition) {
            let (a, b) = (any(self), any(self));
            if a != b {
                self.cut.insert((a, b));
                if self.draw(2) == 0 {
                    self.cut.insert((b, a));
                }
            }
        }
        if self.chance(self.faults.partition) {
            self.cut.clear();
        }
    }

    /// Lets time pass; every node has transactions all the time.
    pub(super) fn run(&mut self, for_ms: u64) {
        let end_ms = self.now_ms + for_ms;
        while let Some(entry) = self.events.first_entry() {
            let (at_ms, _) = *entry.key();
            if at_ms > end_ms {
                break;
            }
            let event = entry.remove();
            self.now_ms = self.now_ms.max(at_ms);
            self.misfortune();
            self.on_event(event);
            if let Some(leader) = self.leader() {
                self.input(leader, Input::Demand);
            }
        }
        self.now_ms = end_ms;
    }

    /// Nothing goes wrong any more.
    pub(super) fn heal(&mut self) {
        self.faults = Faults::default();
        self.cut.clear();
        for node in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.restart(node);
        }
    }

    pub(super) fn committed(&self, node: NodeId) -> Height {
        self.nodes[&node].committed
    }

    pub(super) fn isolate(&mut self, node: NodeId) {
        for other in self.nodes.keys().copied().filter(|other| *other != node) {
            self.cut.insert((node, other));
            self.cut.insert((other, node));
        }
    }
}
