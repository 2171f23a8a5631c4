//! Raft (Ongaro and Ousterhout, 2014): a majority of the nodes orders blocks; the leader builds them.
//!
//! An adapter around the `raft` crate, which keeps the protocol; here are its time, its messages and records, and
//! what a log entry means for blocks.
//!
//! **What the log holds.** An entry names a sealed block by height and digest. The block's bytes travel beside
//! the log and are durable in the same write as the entry. Heights of the blocks in a log are consecutive.
//!
//! **Leader.** It builds on the newest block of its log, up to [`DEPTH`](crate::schedule::DEPTH) blocks ahead of
//! the last commit: built, then sealed, then an entry. **Follower.** It takes an entry once it has the bytes of its
//! block, adopts the block, and answers once both are durable. **A deposed leader** discards what is not in its
//! log at once, and what is in it when another leader's entries replace it.
//!
//! **Time.** The host's time only moves ticks. Election timeouts are a pure function of seed, node and term, so
//! that a simulation replays; reads are confirmed by a majority (`ReadIndex`, Raft §8), never by the clock.
//!
//! **After a restart** a node votes only once it knows how far the others are: its disk may have been rolled back.
//! Until then nothing that it answers adds to a majority: it may not be the only process with its identity (`incarnation`).
//! All blocks above the beginning of the log are adopted again; they are committed anew when the network has
//! confirmed them.

mod apply;
mod codec;
mod feed;
mod freshness;
mod inbox;
mod incarnation;
mod log;
mod members;
mod reads;
mod recovery;
mod sound;
mod stored;
#[cfg(test)]
mod tests;
mod types;

use std::collections::{BTreeMap, VecDeque};

use cloister_primitives::{Height, Seq};
use raft::eraftpb::{Entry, Message, MessageType};
use raft::{Config, RawNode, Ready, SoftState, StateRole};

pub use codec::{CodecError, LogEntry, MAX_MESSAGE_BYTES};
pub use recovery::Recovery;
pub use stored::{Base, LogRecord, StoredLog, Vote};
pub use types::{BlockRef, Effect, Fault, Input, LogLimits, Members, NodeId, RaftStatus, ReadId, Standing};

use self::codec::{MAX_ENTRIES, Position, Words, base_of, encode_message};
use self::feed::is_answer;
use self::freshness::Freshness;
use self::inbox::Inbox;
use self::incarnation::{Envelope, Incarnations};
use self::log::Log;
use self::reads::Reads;
use crate::schedule::Schedule;
use crate::{Pace, Slot};

/// One tick of the engine below, in milliseconds.
const TICK_MS: u64 = 50;
/// Ticks between heartbeats.
const HEARTBEAT_TICKS: usize = 2;
/// Fewest ticks of silence after which a follower asks for votes; at most twice as many less one.
const ELECTION_TICKS: usize = 10;
/// Most ticks made up for after a pause: a node that slept must not hold an election because of it.
const MAX_TICKS_AT_ONCE: u64 = 3;
/// Ticks between two offers of the state to a follower that is too far behind.
const OFFER_TICKS: u32 = 40;
/// Longest part of the log in one message, as the engine below counts: no more blocks than a message may name.
const MAX_APPEND_BYTES: u64 = (MAX_ENTRIES * SHORTEST_ENTRY_BYTES) as u64;
/// What an entry takes there that names a block: 35 bytes for height and digest, and 6 around them.
const SHORTEST_ENTRY_BYTES: usize = 41;

/// Who an engine is.
#[derive(Clone, Copy, Debug)]
pub struct RaftOptions {
    /// This node.
    pub id: NodeId,
    /// Drawn at random for each start, so that another process with this node's identity is told from this one.
    pub nonce: u64,
    /// Chooses election timeouts, together with node and term; the same for all nodes.
    pub seed: u64,
    /// When the leader makes blocks.
    pub pace: Pace,
    /// How much of the log there is.
    pub log: LogLimits,
}

/// A write that is not durable yet, and what waits for it.
struct Write {
    seq: Seq,
    /// The newest batch of the engine below that the write completes.
    number: u64,
    /// Said once it is durable (Raft figure 2: respond after storage is updated).
    messages: Vec<Message>,
}

/// The replicated engine of one node.
pub struct Raft {
    options: RaftOptions,
    node: RawNode<Log>,
    tick_at_ms: u64,
    block_at_ms: Option<u64>,
    schedule: Schedule,
    /// Built here and not in the log, oldest first: they wait for their seals, which come in any order.
    unsealed: VecDeque<(Slot, Option<BlockRef>)>,
    /// Blocks of the log that are not committed, with the indexes of their entries.
    tail: VecDeque<(u64, BlockRef)>,
    committed: Height,
    /// The last block that was committed, if any was.
    newest: Option<BlockRef>,
    /// Index of the last committed entry that was handled.
    applied: u64,
    writes: VecDeque<Write>,
    next_seq: Seq,
    inbox: Inbox,
    reads: Reads,
    freshness: Freshness,
    /// Followers that were told to catch up with the state, and how many ticks ago.
    offered: BTreeMap<u64, u32>,
    /// How many recoveries of the network this node knows of.
    recoveries: u64,
    /// What it knows of the nodes' starts.
    incarnations: Incarnations,
    /// How often this start took a higher number because others knew of another one.
    raises: u32,
    halted: bool,
}

impl core::fmt::Debug for Raft {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Raft").field("id", &self.options.id).field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Raft {
    /// An engine that goes on from a stored log. Its blocks ([`StoredLog::blocks`]) must have been adopted.
    ///
    /// # Errors
    /// [`Fault`] where the log contradicts itself.
    pub fn new(options: RaftOptions, stored: &StoredLog) -> Result<Self, Fault> {
        let log = Log::new(stored, options.log.kept_entries).map_err(|error| Fault::Engine(error.to_string()))?;
        let base = log.base().clone();
        let config = Config {
            id: options.id.get(),
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied: base.index,
            max_size_per_msg: MAX_APPEND_BYTES,
            max_inflight_msgs: 64,
            check_quorum: true,
            pre_vote: true,
            max_committed_size_per_ready: MAX_APPEND_BYTES,
            ..Config::default()
        };
        let node = RawNode::new(&config, log, &slog::Logger::root(slog::Discard, slog::o!()))
            .map_err(|error| Fault::Engine(error.to_string()))?;
        let tail = stored.entries.iter().filter_map(|entry| Some((entry.index, entry.block()?))).collect();
        Ok(Self {
            options,
            node,
            tick_at_ms: 0,
            block_at_ms: None,
            schedule: Schedule::new(options.pace),
            unsealed: VecDeque::new(),
            tail,
            committed: base.block.map_or(Height::GENESIS, |block| block.height),
            newest: base.block,
            applied: base.index,
            writes: VecDeque::new(),
            next_seq: Seq(0),
            inbox: Inbox::default(),
            reads: Reads::new(options.id),
            freshness: Freshness::new(),
            offered: BTreeMap::new(),
            recoveries: base.recoveries(),
            incarnations: Incarnations::new(options.id, options.nonce),
            raises: 0,
            halted: false,
        })
    }

    /// Where the engine stands.
    #[must_use]
    pub fn status(&self) -> RaftStatus {
        RaftStatus {
            term: self.node.raft.term,
            leader: NodeId::new(self.node.raft.leader_id),
            leads: self.leads(),
            committed: self.committed,
            built: self.built(),
            building: self.schedule.building(),
            last_index: self.node.raft.raft_log.last_index(),
            is_waiting: self.freshness.is_waiting(),
        }
    }

    /// Takes one input at the given time and appends what is to be done.
    pub fn step(&mut self, now_ms: u64, input: Input, out: &mut Vec<Effect>) {
        if self.halted {
            if let Input::Peer(from, bytes) = input {
                self.hear_halted(from, &bytes, out);
            }
            return;
        }
        let taken = self.take(now_ms, input, out).and_then(|()| {
            self.tick(now_ms, out);
            self.hear(out)?;
            self.settle(out)
        });
        if let Err(fault) = taken {
            self.halted = true;
            out.push(Effect::Halt(fault));
            return;
        }
        self.build(out);
        let deadline_ms = self.block_at_ms.map_or(self.tick_at_ms, |at_ms| at_ms.min(self.tick_at_ms));
        out.push(Effect::Arm { deadline_ms });
    }

    fn take(&mut self, now_ms: u64, input: Input, out: &mut Vec<Effect>) -> Result<(), Fault> {
        match input {
            Input::Demand => self.schedule.demand(),
            Input::Force => self.schedule.force(),
            Input::Timer => {}
            Input::Built(slot) => {
                if self.schedule.finish(slot) {
                    self.unsealed.push_back((slot, None));
                    out.push(Effect::Seal(slot));
                }
            }
            Input::Nothing(slot) => {
                self.schedule.finish(slot);
            }
            Input::Sealed(slot, block) => self.on_sealed(slot, block, out),
            Input::Persisted(seq) => self.on_persisted(seq, out),
            // It may have been left behind, and be of a network that has gone on or would.
            Input::Connected(node) if self.recoveries > 0 => self.answer(node, out),
            Input::Connected(_) => {}
            Input::Peer(from, bytes) => return self.on_peer(from, &bytes, out),
            Input::Received(block) => {
                self.inbox.received(block, known_to(&self.node));
                return self.hear(out);
            }
            Input::CaughtUp(block) => {
                self.inbox.caught_up(block, known_to(&self.node));
                return self.hear(out);
            }
            Input::Reconfigure(nodes) => self.reconfigure(&nodes),
            Input::Read(read) => self.reads.ask(read, &mut self.node, out),
            Input::SetPace(pace) => {
                self.schedule.set_pace(pace);
                self.block_at_ms = match pace {
                    Pace::Interval { period_ms } => Some(now_ms.saturating_add(period_ms)),
                    Pace::Instant | Pace::Manual => None,
                };
            }
        }
        Ok(())
    }

    /// What every message says besides its own words.
    fn envelope(&self) -> Envelope {
        let is_waiting = self.halted || self.freshness.is_waiting();
        Envelope { recoveries: self.recoveries, incarnations: self.incarnations.clone(), is_waiting }
    }

    fn send(&self, messages: Vec<Message>, out: &mut Vec<Effect>) {
        if messages.is_empty() {
            return;
        }
        let envelope = self.envelope();
        for message in messages {
            // What has no word of ours is nothing that a peer would take.
            if let (Some(to), Ok(bytes)) = (NodeId::new(message.to), encode_message(&message, &envelope)) {
                out.push(Effect::Send { to, message: bytes });
            }
        }
    }

    fn leads(&self) -> bool {
        !self.halted && self.node.raft.state == StateRole::Leader
    }

    /// The newest height built or adopted.
    fn built(&self) -> Height {
        let of_log = self.tail.back().map_or(self.committed, |(_, block)| block.height);
        self.unsealed.back().map_or(of_log, |(slot, _)| slot.height)
    }

    fn build(&mut self, out: &mut Vec<Effect>) {
        // What waits for its bytes may be blocks that the leader's next one has to stand on.
        if self.leads()
            && let Some((slot, empty)) = self.schedule.start(self.committed, self.built())
        {
            out.push(Effect::Build { slot, empty });
        }
    }

    fn tick(&mut self, now_ms: u64, out: &mut Vec<Effect>) {
        if let (Some(at_ms), Pace::Interval { period_ms }) = (self.block_at_ms, self.schedule.pace())
            && now_ms >= at_ms
        {
            self.schedule.owe();
            self.block_at_ms = Some(now_ms.saturating_add(period_ms));
        }
        if self.tick_at_ms == 0 {
            self.tick_at_ms = now_ms.saturating_add(TICK_MS);
        }
        let mut ticks = 0;
        while now_ms >= self.tick_at_ms && ticks < MAX_TICKS_AT_ONCE {
            if self.leads() || self.freshness.may_campaign(self.end()) {
                self.fix_election_timeout();
                self.node.tick();
            } else {
                // Others may ask for its vote once it has not heard from a leader for long enough.
                self.node.raft.election_elapsed = self.node.raft.election_elapsed.saturating_add(1);
            }
            self.ask_how_far(out);
            self.inbox.tick(known_to(&self.node), out);
            self.reads.tick(&mut self.node, out);
            self.offer_states_again();
            self.tick_at_ms = self.tick_at_ms.saturating_add(TICK_MS);
            ticks += 1;
        }
        if now_ms >= self.tick_at_ms {
            self.tick_at_ms = now_ms.saturating_add(TICK_MS);
        }
    }

    /// A follower that needs the state may never have heard where it is; being told twice costs it nothing.
    fn offer_states_again(&mut self) {
        let waits = |progress: &raft::Progress| progress.state == raft::ProgressState::Snapshot;
        let waiting: Vec<u64> =
            self.node.raft.prs().iter().filter(|(_, progress)| waits(progress)).map(|(id, _)| *id).collect();
        self.offered.retain(|id, _| waiting.contains(id));
        for id in waiting {
            let ticks = self.offered.entry(id).or_default();
            *ticks += 1;
            if *ticks >= OFFER_TICKS {
                *ticks = 0;
                self.node.report_snapshot(id, raft::SnapshotStatus::Failure);
            }
        }
    }

    /// The engine below draws its timeouts from the process' own generator; they are replaced before each use.
    fn fix_election_timeout(&mut self) {
        let raft = &mut self.node.raft;
        let drawn = split_mix(self.options.seed ^ split_mix(self.options.id.get() ^ split_mix(raft.term)));
        let spread = drawn % ELECTION_TICKS as u64;
        raft.set_randomized_election_timeout(ELECTION_TICKS + usize::try_from(spread).unwrap_or_default());
    }

    /// Makes sealed blocks entries of the log, in order, if this node still leads.
    fn on_sealed(&mut self, slot: Slot, block: BlockRef, out: &mut Vec<Effect>) {
        if slot.height != block.height {
            return;
        }
        if let Some((_, sealed)) = self.unsealed.iter_mut().find(|(unsealed, _)| *unsealed == slot) {
            *sealed = Some(block);
        }
        while let Some(&(_, Some(block))) = self.unsealed.front() {
            if !self.leads() || self.node.propose(Vec::new(), alloy_rlp::encode(block)).is_err() {
                self.discard_unproposed(out);
                return;
            }
            self.unsealed.pop_front();
            self.tail.push_back((self.node.raft.raft_log.last_index(), block));
        }
    }

    /// What is built and not in the log is lost when this node does not lead.
    fn discard_unproposed(&mut self, out: &mut Vec<Effect>) {
        let building = self.schedule.abandon();
        let from = self.unsealed.front().map(|(slot, _)| *slot).or(building);
        self.unsealed.clear();
        if let Some(slot) = from {
            out.push(Effect::Discard { from: slot.height });
        }
    }

    fn on_peer(&mut self, from: NodeId, bytes: &[u8], out: &mut Vec<Effect>) -> Result<(), Fault> {
        // What is no message is the peer's fault, and the channel's to deal with; here it changes nothing.
        let Ok((words, said)) = codec::decode_words(bytes, from, self.options.id) else { return Ok(()) };
        let is_of_this_network = self.is_of_this_network(from, &words, said.recoveries, out)?;
        if !is_of_this_network || !self.is_newest(from, &words, &said.incarnations, out)? {
            return Ok(());
        }
        match words {
            Words::Engine(message) if said.is_waiting && is_answer(&message) => self.feed(&message),
            Words::Engine(message) => {
                self.inbox.push(*message, known_to(&self.node), out);
                return self.hear(out);
            }
            Words::Question => self.answer(from, out),
            // Else it is asked again.
            Words::Report(report) if self.agrees_with(&said.incarnations) => self.freshness.heard(from, report),
            Words::Report(_) => {}
        }
        Ok(())
    }

    /// Where the log ends.
    fn end(&self) -> Position {
        let log = &self.node.raft.raft_log;
        Position { term: log.last_term(), index: log.last_index() }
    }

    /// Gives the engine below what it can take: messages whose blocks are here.
    fn hear(&mut self, out: &mut Vec<Effect>) -> Result<(), Fault> {
        while let Some(message) = self.inbox.pop() {
            self.check(&message)?;
            if !self.may_hear(&message) {
                continue;
            }
            // An error is an answer from a node that is no member, or a read without a leader.
            let _ = self.node.step(message);
            self.settle(out)?;
        }
        Ok(())
    }

    /// Whether a message may be heard: votes only once this node knows how far the network is, and nothing that cannot be.
    fn may_hear(&self, message: &Message) -> bool {
        match message.get_msg_type() {
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
                let candidate = Position { term: message.log_term, index: message.index };
                self.freshness.may_vote(self.end(), candidate)
            }
            MessageType::MsgTimeoutNow => self.freshness.may_campaign(self.end()),
            // Nobody has what this node has not, where this node is the one to say what there is.
            MessageType::MsgAppendResponse => message.index <= self.node.raft.raft_log.last_index(),
            // It is from before the leader heard of this start, and counts on what an earlier one had.
            MessageType::MsgHeartbeat => message.commit <= self.node.raft.raft_log.last_index(),
            _ => true,
        }
    }

    /// Finds what the engine below would panic at: entries in the place of others that are committed.
    fn check(&self, message: &Message) -> Result<(), Fault> {
        if message.get_msg_type() != MessageType::MsgAppend || message.term < self.node.raft.term {
            return Ok(());
        }
        let log = &self.node.raft.raft_log;
        let committed = |entry: &&Entry| (log.first_index()..=log.committed).contains(&entry.index);
        let replaced = message.entries.iter().filter(committed).find(|entry| !log.match_term(entry.index, entry.term));
        replaced.map_or(Ok(()), |entry| Err(Fault::BrokenChain { index: entry.index }))
    }

    fn on_persisted(&mut self, seq: Seq, out: &mut Vec<Effect>) {
        while let Some(write) = self.writes.pop_front_if(|write| write.seq <= seq) {
            self.node.on_persist_ready(write.number);
            self.send(write.messages, out);
        }
        // A state that was caught up with is applied once it is durable; the engine below cannot know that.
        let log = &self.node.raft.raft_log;
        if log.applied < self.applied && self.applied <= log.committed.min(log.persisted) {
            self.node.advance_apply_to(self.applied);
        }
    }

    /// Does what the engine below wants, until it wants nothing more.
    fn settle(&mut self, out: &mut Vec<Effect>) -> Result<(), Fault> {
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            if let Some(state) = ready.ss() {
                self.on_role(state, out);
            }
            self.send(ready.take_messages(), out);
            for answer in ready.take_read_states() {
                self.reads.answered(&answer);
            }
            let commits = ready.take_committed_entries();
            let (record, messages) = self.on_ready(&mut ready, out)?;
            let number = ready.number();
            self.node.advance_append_async(ready);
            self.persist(number, record, messages, out);
            self.commit(&commits, out)?;
            self.step_down_if_gone();
        }
        self.freshness.reached(self.end());
        self.reads.release(self.applied, self.committed, out);
        Ok(())
    }

    fn on_role(&mut self, state: &SoftState, out: &mut Vec<Effect>) {
        if state.raft_state != StateRole::Leader {
            self.discard_unproposed(out);
        }
        out.push(Effect::Leader(NodeId::new(state.leader_id)));
    }

    /// Takes new entries, votes and snapshots over into the log. Returns what must be durable, and what may be
    /// said only then.
    fn on_ready(&mut self, ready: &mut Ready, out: &mut Vec<Effect>) -> Result<(LogRecord, Vec<Message>), Fault> {
        let mut base = None;
        if !ready.snapshot().is_empty() {
            let restored = base_of(ready.snapshot());
            self.restored(&restored, out);
            self.node.mut_store().restore(restored.clone());
            base = Some(restored);
        }
        let entries = ready.take_entries();
        self.appended(&entries, out);
        self.node.mut_store().append(&entries);
        let stored = entries.iter().map(LogEntry::of).collect::<Result<Vec<_>, _>>();
        let vote = ready.hs().map(|state| Vote { term: state.term, vote: state.vote });
        if let Some(state) = ready.hs() {
            self.node.mut_store().set_hard_state(state.clone());
        }
        let record = if ready.must_sync() {
            LogRecord::new(stored.map_err(|error| Fault::Engine(error.to_string()))?, vote, base)
        } else {
            LogRecord::default()
        };
        Ok((record, ready.take_persisted_messages()))
    }

    fn persist(&mut self, number: u64, record: LogRecord, messages: Vec<Message>, out: &mut Vec<Effect>) {
        if !record.is_empty() {
            let seq = self.next_seq;
            self.next_seq = seq.next();
            self.writes.push_back(Write { seq, number, messages });
            out.push(Effect::Persist { seq, record });
        } else if let Some(last) = self.writes.back_mut() {
            // Batches become durable in order, so this one is when the one before it is.
            last.number = number;
            last.messages.extend(messages);
        } else {
            self.node.on_persist_ready(number);
            self.send(messages, out);
        }
    }
}

/// Whether an entry is in the log of a node already, and its block with it.
fn known_to(node: &RawNode<Log>) -> impl Fn(&Entry) -> bool + '_ {
    let log = &node.raft.raft_log;
    |entry| entry.index <= log.committed || log.match_term(entry.index, entry.term)
}

/// SplitMix64 (Steele, Lea and Flood 2014): a well-mixed function of its argument.
const fn split_mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
