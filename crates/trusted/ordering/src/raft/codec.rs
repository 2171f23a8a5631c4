//! The engine's own words for messages and records, in RLP: protobuf never sees a peer's bytes.
//!
//! Everything is bounded and checked here, so that what reaches the engine below is a message it could have
//! made itself.

use alloy_primitives::Bytes;
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use protobuf::Message as _;
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType};
use raft::eraftpb::{Message, MessageType, Snapshot};

use super::freshness::Report;
use super::incarnation::{Envelope, Incarnations};
use super::sound;
use super::stored::Base;
use super::types::{BlockRef, Members, NodeId, Standing};

/// Version of messages and records.
pub(super) const VERSION: u8 = 1;
/// Longest message from a peer.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// Most entries of one message.
pub(super) const MAX_ENTRIES: usize = 512;
/// Most nodes that one change names, or that take part.
pub(super) const MAX_NODES: usize = 256;
/// Longest context of a message: the name of a read.
const MAX_CONTEXT_BYTES: usize = 64;

/// Why bytes are no message or record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Not RLP of the expected shape.
    #[error("malformed: {0}")]
    Malformed(#[from] alloy_rlp::Error),
    /// Another program's version.
    #[error("version {0}, this program speaks version {VERSION}")]
    Version(u8),
    /// A kind of message or entry that peers do not send each other.
    #[error("a kind that nobody sends")]
    Kind,
    /// A term or an index that no network comes to.
    #[error("a number that no network comes to")]
    Number,
    /// More entries, nodes or bytes than allowed.
    #[error("too long")]
    TooLong,
    /// From, or to, somebody else.
    #[error("not from the peer it came from, or not to this node")]
    Misdirected,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct LogEntry {
    /// Its index.
    pub index: u64,
    /// The term of the leader that made it.
    pub term: u64,
    kind: u8,
    data: Bytes,
}

const KIND_EMPTY: u8 = 0;
const KIND_BLOCK: u8 = 1;
const KIND_MEMBERS: u8 = 2;

/// A change of who takes part, as an entry carries it: numbers of nodes, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct Change {
    /// How the joint configuration is left: the engine's own number.
    transition: u8,
    nodes: Vec<ChangedNode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct ChangedNode {
    node: u64,
    standing: u8,
}

impl LogEntry {
    /// The block that the entry adds to the chain, if it adds one.
    #[must_use]
    pub fn block(&self) -> Option<BlockRef> {
        (self.kind == KIND_BLOCK).then(|| block_of(&self.data)).flatten()
    }

    pub(super) fn of(entry: &Entry) -> Result<Self, CodecError> {
        let (kind, data) = match entry.get_entry_type() {
            EntryType::EntryNormal if entry.data.is_empty() => (KIND_EMPTY, Bytes::new()),
            EntryType::EntryNormal => (KIND_BLOCK, entry.data.to_vec().into()),
            EntryType::EntryConfChangeV2 => (KIND_MEMBERS, change_bytes(&entry.data)?),
            EntryType::EntryConfChange => return Err(CodecError::Kind),
        };
        Ok(Self { index: entry.index, term: entry.term, kind, data })
    }

    pub(super) fn to_entry(&self) -> Result<Entry, CodecError> {
        let mut entry = Entry { index: self.index, term: self.term, ..Entry::default() };
        match self.kind {
            KIND_EMPTY if self.data.is_empty() => {}
            KIND_BLOCK => {
                block_of(&self.data).ok_or(CodecError::Kind)?;
                entry.data = self.data.to_vec().into();
            }
            KIND_MEMBERS => {
                entry.set_entry_type(EntryType::EntryConfChangeV2);
                entry.data = change_from(&self.data)?.into();
            }
            _ => return Err(CodecError::Kind),
        }
        Ok(entry)
    }
}

/// The block that an entry's data names.
pub(super) fn block_of(mut data: &[u8]) -> Option<BlockRef> {
    let block = BlockRef::decode(&mut data).ok()?;
    data.is_empty().then_some(block)
}

fn change_bytes(protobuf: &[u8]) -> Result<Bytes, CodecError> {
    let mut change = ConfChangeV2::default();
    change.merge_from_bytes(protobuf).map_err(|_| CodecError::Kind)?;
    let nodes = change.get_changes().iter().map(|single| {
        let standing = match single.get_change_type() {
            ConfChangeType::AddNode => 0,
            ConfChangeType::AddLearnerNode => 1,
            ConfChangeType::RemoveNode => 2,
        };
        ChangedNode { node: single.node_id, standing }
    });
    let transition = match change.get_transition() {
        raft::eraftpb::ConfChangeTransition::Auto => 0,
        raft::eraftpb::ConfChangeTransition::Implicit => 1,
        raft::eraftpb::ConfChangeTransition::Explicit => 2,
    };
    Ok(alloy_rlp::encode(Change { transition, nodes: nodes.collect() }).into())
}

fn change_from(mut data: &[u8]) -> Result<Vec<u8>, CodecError> {
    let change = Change::decode(&mut data)?;
    if !data.is_empty() || change.nodes.len() > MAX_NODES {
        return Err(CodecError::TooLong);
    }
    let mut out = ConfChangeV2::default();
    out.set_transition(match change.transition {
        0 => raft::eraftpb::ConfChangeTransition::Auto,
        1 => raft::eraftpb::ConfChangeTransition::Implicit,
        2 => raft::eraftpb::ConfChangeTransition::Explicit,
        _ => return Err(CodecError::Kind),
    });
    for changed in change.nodes {
        let standing = match changed.standing {
            0 => Standing::Voter,
            1 => Standing::Learner,
            2 => Standing::Gone,
            _ => return Err(CodecError::Kind),
        };
        let node = NodeId::new(changed.node).ok_or(CodecError::Kind)?;
        out.mut_changes().push(single_change(node, standing));
    }
    out.write_to_bytes().map_err(|_| CodecError::Kind)
}

fn single_change(node: NodeId, standing: Standing) -> ConfChangeSingle {
    let mut single = ConfChangeSingle { node_id: node.get(), ..ConfChangeSingle::default() };
    single.set_change_type(match standing {
        Standing::Voter => ConfChangeType::AddNode,
        Standing::Learner => ConfChangeType::AddLearnerNode,
        Standing::Gone => ConfChangeType::RemoveNode,
    });
    single
}

/// The nodes that an entry changes the standing of.
pub(super) fn changed_nodes(entry: &LogEntry) -> Vec<u64> {
    let change = (entry.kind == KIND_MEMBERS).then(|| Change::decode(&mut entry.data.as_ref()));
    let nodes = change.and_then(Result::ok).map(|change| change.nodes).unwrap_or_default();
    nodes.into_iter().map(|changed| changed.node).collect()
}

/// The engine's form of a change of who takes part.
pub(super) fn change_of(nodes: &[(NodeId, Standing)]) -> Result<ConfChangeV2, CodecError> {
    if nodes.len() > MAX_NODES {
        return Err(CodecError::TooLong);
    }
    let mut change = ConfChangeV2::default();
    change.mut_changes().extend(nodes.iter().map(|(node, standing)| single_change(*node, *standing)));
    Ok(change)
}

pub(super) fn members_of(state: &ConfState) -> Members {
    Members {
        voters: state.voters.clone(),
        learners: state.learners.clone(),
        outgoing: state.voters_outgoing.clone(),
        learners_next: state.learners_next.clone(),
        auto_leave: state.auto_leave,
    }
}

pub(super) fn conf_state_of(members: &Members) -> ConfState {
    ConfState {
        voters: members.voters.clone(),
        learners: members.learners.clone(),
        voters_outgoing: members.outgoing.clone(),
        learners_next: members.learners_next.clone(),
        auto_leave: members.auto_leave,
        ..ConfState::default()
    }
}

/// The end of a log. A later term is further, whatever its index (Raft §5.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Term of the last entry.
    pub(super) term: u64,
    /// Its index.
    pub(super) index: u64,
}

/// A message between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
struct Wire {
    version: u8,
    kind: u8,
    from: u64,
    to: u64,
    term: u64,
    log_term: u64,
    index: u64,
    commit: u64,
    commit_term: u64,
    reject: bool,
    reject_hint: u64,
    request_snapshot: u64,
    context: Bytes,
    entries: Vec<LogEntry>,
    snapshot: Option<Base>,
    /// How often the sender's network was recovered; nothing for never.
    recoveries: Option<u64>,
    incarnations: Option<Incarnations>,
    /// Nothing for a sender that takes part.
    is_waiting: Option<bool>,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            version: VERSION,
            kind: 0,
            from: 0,
            to: 0,
            term: 0,
            log_term: 0,
            index: 0,
            commit: 0,
            commit_term: 0,
            reject: false,
            reject_hint: 0,
            request_snapshot: 0,
            context: Bytes::new(),
            entries: Vec::new(),
            snapshot: None,
            recoveries: None,
            incarnations: None,
            is_waiting: None,
        }
    }
}

/// What one adapter says to another.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Words {
    /// From engine to engine.
    Engine(Box<Message>),
    /// Who starts asks how far the others are.
    Question,
    /// The answer.
    Report(Report),
}

/// Number of a question.
const QUESTION: u8 = 100;
/// Number of its answer.
const REPORT: u8 = 101;

/// The kinds of messages that engines send each other; their place is their number.
const KINDS: [MessageType; 12] = [
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgSnapshot,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgTimeoutNow,
    MessageType::MsgReadIndex,
    MessageType::MsgReadIndexResp,
    MessageType::MsgRequestPreVote,
    MessageType::MsgRequestPreVoteResponse,
];

pub(super) fn encode_message(message: &Message, envelope: &Envelope) -> Result<Vec<u8>, CodecError> {
    let kind = KINDS.iter().position(|kind| *kind == message.get_msg_type()).ok_or(CodecError::Kind)?;
    // A question for the newest height travels as an entry in the engine below; here its name is enough.
    let (entries, context) = match message.get_msg_type() {
        MessageType::MsgReadIndex | MessageType::MsgReadIndexResp => {
            (Vec::new(), message.entries.first().map_or_else(Bytes::new, |entry| entry.data.to_vec().into()))
        }
        _ => {
            // More would not be taken. Who hears fewer than were meant says how far it is, and hears the others.
            let entries = message.entries.iter().take(MAX_ENTRIES).map(LogEntry::of).collect::<Result<Vec<_>, _>>()?;
            (entries, message.context.to_vec().into())
        }
    };
    let snapshot = (!message.get_snapshot().is_empty()).then(|| base_of(message.get_snapshot()));
    let wire = Wire {
        kind: u8::try_from(kind).map_err(|_| CodecError::Kind)?,
        from: message.from,
        to: message.to,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        commit: message.commit,
        commit_term: message.commit_term,
        reject: message.reject,
        reject_hint: message.reject_hint,
        request_snapshot: message.request_snapshot,
        context,
        entries,
        snapshot,
        ..Wire::default()
    };
    Ok(alloy_rlp::encode(wire.in_envelope(envelope)))
}

impl Wire {
    /// As it is written: a network that never was recovered says nothing of recoveries.
    fn in_envelope(self, envelope: &Envelope) -> Self {
        // A trailing field that is there needs those before it.
        let is_waiting = Some(true).filter(|_| envelope.is_waiting);
        let incarnations =
            Some(envelope.incarnations.clone()).filter(|known| !known.is_empty() || is_waiting.is_some());
        let recoveries = Some(envelope.recoveries).filter(|recoveries| *recoveries > 0 || incarnations.is_some());
        Self { recoveries, incarnations, is_waiting, ..self }
    }
}

pub(super) fn encode_question(from: NodeId, to: NodeId, envelope: &Envelope) -> Vec<u8> {
    let wire = Wire { kind: QUESTION, from: from.get(), to: to.get(), ..Wire::default() };
    alloy_rlp::encode(wire.in_envelope(envelope))
}

pub(super) fn encode_report(from: NodeId, to: NodeId, report: Report, envelope: &Envelope) -> Vec<u8> {
    let wire = Wire {
        kind: REPORT,
        from: from.get(),
        to: to.get(),
        term: report.term,
        log_term: report.end.term,
        index: report.end.index,
        reject: report.is_waiting,
        reject_hint: u64::from(report.leads) | u64::from(report.leaves_behind) << 1,
        ..Wire::default()
    };
    alloy_rlp::encode(wire.in_envelope(envelope))
}

/// Reads what another node said.
pub(super) fn decode_words(mut bytes: &[u8], from: NodeId, to: NodeId) -> Result<(Words, Envelope), CodecError> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(CodecError::TooLong);
    }
    match bytes.get(1..).and_then(|_| version_of(bytes)) {
        Some(VERSION) => {}
        Some(other) => return Err(CodecError::Version(other)),
        None => return Err(CodecError::Malformed(alloy_rlp::Error::InputTooShort)),
    }
    let mut wire = Wire::decode(&mut bytes)?;
    if !bytes.is_empty() || wire.entries.len() > MAX_ENTRIES || wire.context.len() > MAX_CONTEXT_BYTES {
        return Err(CodecError::TooLong);
    }
    if wire.from != from.get() || wire.to != to.get() {
        return Err(CodecError::Misdirected);
    }
    let terms = [wire.term, wire.log_term, wire.commit_term];
    let indexes = [wire.index, wire.commit, wire.reject_hint, wire.request_snapshot];
    sound::check_numbers(terms.into_iter().chain(indexes))?;
    let incarnations = wire.incarnations.take().unwrap_or_default();
    incarnations.check()?;
    let (recoveries, is_waiting) = (wire.recoveries.unwrap_or_default(), wire.is_waiting.unwrap_or_default());
    let envelope = Envelope { recoveries, incarnations, is_waiting };
    let words = match wire.kind {
        QUESTION => Words::Question,
        REPORT => {
            let end = Position { term: wire.log_term, index: wire.index };
            let (leads, leaves_behind) = (wire.reject_hint & 1 == 1, wire.reject_hint & 2 == 2);
            Words::Report(Report { term: wire.term, end, is_waiting: wire.reject, leads, leaves_behind })
        }
        _ => Words::Engine(Box::new(checked(wire)?)),
    };
    Ok((words, envelope))
}

/// A message that the engine below could have made itself.
fn checked(wire: Wire) -> Result<Message, CodecError> {
    let kind = *KINDS.get(usize::from(wire.kind)).ok_or(CodecError::Kind)?;
    // Without a term the engine below would take it for its own; a read has none, and the engine fails where one that it hands on
    // to the leader does.
    if (wire.term == 0) != (kind == MessageType::MsgReadIndex) {
        return Err(CodecError::Kind);
    }
    if wire.snapshot.is_some() != (kind == MessageType::MsgSnapshot) {
        return Err(CodecError::Kind);
    }
    if !wire.entries.is_empty() && kind != MessageType::MsgAppend {
        return Err(CodecError::Kind);
    }
    let consecutive = wire.entries.iter().enumerate().all(|(offset, entry)| {
        Some(entry.index) == wire.index.checked_add(offset as u64 + 1) && entry.term <= wire.term
    });
    if !consecutive {
        return Err(CodecError::Kind);
    }
    let message = message_of(kind, wire)?;
    sound::check_places(&message)?;
    Ok(message)
}

/// The version is the first item of the list, so that another version's list is recognised whatever follows.
fn version_of(mut bytes: &[u8]) -> Option<u8> {
    let header = alloy_rlp::Header::decode(&mut bytes).ok()?;
    (header.list && !bytes.is_empty()).then(|| u8::decode(&mut bytes).ok()).flatten()
}

fn message_of(kind: MessageType, wire: Wire) -> Result<Message, CodecError> {
    let mut message = Message {
        from: wire.from,
        to: wire.to,
        term: wire.term,
        log_term: wire.log_term,
        index: wire.index,
        commit: wire.commit,
        commit_term: wire.commit_term,
        reject: wire.reject,
        reject_hint: wire.reject_hint,
        request_snapshot: wire.request_snapshot,
        ..Message::default()
    };
    message.set_msg_type(kind);
    if matches!(kind, MessageType::MsgReadIndex | MessageType::MsgReadIndexResp) {
        message.mut_entries().push(Entry { data: wire.context.to_vec().into(), ..Entry::default() });
    } else {
        message.context = wire.context.to_vec().into();
        let entries = wire.entries.iter().map(LogEntry::to_entry).collect::<Result<Vec<_>, _>>()?;
        message.set_entries(entries.into());
    }
    if let Some(base) = wire.snapshot {
        message.set_snapshot(snapshot_of(&base)?);
    }
    Ok(message)
}

pub(super) fn snapshot_of(base: &Base) -> Result<Snapshot, CodecError> {
    let members = &base.members;
    let nodes = members.voters.len() + members.learners.len() + members.outgoing.len() + members.learners_next.len();
    if nodes > MAX_NODES || members.voters.is_empty() || base.index == 0 || !sound::are_members(members) {
        return Err(CodecError::Kind);
    }
    let mut snapshot = Snapshot::default();
    let metadata = snapshot.mut_metadata();
    metadata.index = base.index;
    metadata.term = base.term;
    metadata.set_conf_state(conf_state_of(members));
    snapshot.data = alloy_rlp::encode(base).into();
    Ok(snapshot)
}

pub(super) fn base_of(snapshot: &Snapshot) -> Base {
    let metadata = snapshot.get_metadata();
    // What the engine below has no name for is written beside it.
    let Base { block, recovery, .. } = Base::decode(&mut snapshot.data.as_ref()).unwrap_or_default();
    let members = members_of(metadata.get_conf_state());
    Base { index: metadata.index, term: metadata.term, members, block, recovery }
}
