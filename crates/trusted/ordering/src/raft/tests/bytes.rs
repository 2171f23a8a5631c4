use alloy_primitives::B256;
use cloister_primitives::Height;
use raft::eraftpb::{Entry, Message, MessageType};

use super::super::NodeId;
use super::super::codec::{MAX_ENTRIES, Words, base_of, decode_words, encode_message, snapshot_of};
use super::super::incarnation::{Envelope, Incarnations};
use super::super::{
    Base, BlockRef, CodecError, LogEntry, LogRecord, MAX_MESSAGE_BYTES, Members, Recovery, StoredLog, Vote,
};
use super::super::{Standing, split_mix};
use super::network::id;
use crate::raft::codec::change_of;

fn decode_message(bytes: &[u8], from: NodeId, to: NodeId) -> Result<Message, CodecError> {
    decode_words(bytes, from, to).map(|(words, _)| match words {
        Words::Engine(message) => *message,
        other => panic!("not for the engine: {other:?}"),
    })
}

fn recovered(recoveries: u64) -> Envelope {
    Envelope { recoveries, ..Envelope::default() }
}

fn entry(index: u64, term: u64) -> Entry {
    let block = BlockRef { height: Height(index), digest: B256::repeat_byte(7) };
    Entry { index, term, data: alloy_rlp::encode(block).into(), ..Entry::default() }
}

fn append() -> Message {
    let mut message = Message { from: 1, to: 2, term: 9, log_term: 8, index: 4, commit: 3, ..Message::default() };
    message.set_msg_type(MessageType::MsgAppend);
    message.set_entries(vec![entry(5, 8), entry(6, 9)].into());
    message
}

#[test]
fn messages_come_back_as_they_were() {
    let bytes = encode_message(&append(), &Envelope::default()).unwrap();
    assert_eq!(decode_message(&bytes, id(1), id(2)), Ok(append()));
    let mut change = Entry { index: 5, term: 9, ..Entry::default() };
    change.set_entry_type(raft::eraftpb::EntryType::EntryConfChangeV2);
    let nodes = [(id(4), Standing::Voter), (id(5), Standing::Learner), (id(1), Standing::Gone)];
    change.data = protobuf::Message::write_to_bytes(&change_of(&nodes).unwrap()).unwrap().into();
    let mut message = append();
    message.set_entries(vec![change].into());
    let bytes = encode_message(&message, &Envelope::default()).unwrap();
    assert_eq!(decode_message(&bytes, id(1), id(2)), Ok(message));
}

#[test]
fn a_message_says_how_often_its_network_was_recovered_and_nothing_where_it_never_was() {
    let (never, twice) =
        (encode_message(&append(), &Envelope::default()).unwrap(), encode_message(&append(), &recovered(2)).unwrap());
    assert!(never.len() < twice.len());
    assert!(matches!(decode_words(&never, id(1), id(2)), Ok((Words::Engine(_), envelope)) if envelope.recoveries == 0));
    let Ok((Words::Engine(message), Envelope { recoveries: 2, .. })) = decode_words(&twice, id(1), id(2)) else {
        panic!("two recoveries")
    };
    assert_eq!(*message, append());
    let recovery = Some(Recovery { number: 2, left_behind: vec![2, 3] });
    let base = Base { index: 7, term: 3, members: Members::of_voters([id(1)]), block: None, recovery };
    let mut message = Message { from: 1, to: 2, term: 9, ..Message::default() };
    message.set_msg_type(MessageType::MsgSnapshot);
    message.set_snapshot(snapshot_of(&base).unwrap());
    let taken = decode_message(&encode_message(&message, &recovered(2)).unwrap(), id(1), id(2)).unwrap();
    assert_eq!(base_of(taken.get_snapshot()), base, "a newcomer hears who was left behind");
}

#[test]
fn a_message_says_which_starts_its_sender_knows_and_whether_it_waits() {
    for is_waiting in [true, false] {
        let said = Envelope { recoveries: 0, incarnations: Incarnations::new(id(1), 9), is_waiting };
        let (_, taken) = decode_words(&encode_message(&append(), &said).unwrap(), id(1), id(2)).unwrap();
        assert_eq!(taken, said);
    }
    let nothing = Envelope { is_waiting: true, ..Envelope::default() };
    let (_, taken) = decode_words(&encode_message(&append(), &nothing).unwrap(), id(1), id(2)).unwrap();
    assert_eq!(taken, nothing);
}

#[test]
fn a_message_names_no_more_entries_than_are_taken() {
    let mut message = append();
    message.set_entries((5..).take(MAX_ENTRIES + 1).map(|index| entry(index, 9)).collect::<Vec<_>>().into());
    let taken = decode_message(&encode_message(&message, &Envelope::default()).unwrap(), id(1), id(2)).unwrap();
    assert_eq!(taken.entries.as_slice(), &message.entries.as_slice()[..MAX_ENTRIES]);
}

#[test]
fn a_message_of_somebody_else_or_of_another_version_is_refused() {
    let bytes = encode_message(&append(), &Envelope::default()).unwrap();
    assert_eq!(decode_message(&bytes, id(3), id(2)), Err(CodecError::Misdirected));
    assert_eq!(decode_message(&bytes, id(1), id(3)), Err(CodecError::Misdirected));
    let mut other = bytes.clone();
    let at = other.iter().position(|byte| *byte == 1).unwrap();
    other[at] = 2;
    assert_eq!(decode_message(&other, id(1), id(2)), Err(CodecError::Version(2)));
    assert_eq!(decode_message(&vec![0; MAX_MESSAGE_BYTES + 1], id(1), id(2)), Err(CodecError::TooLong));
    let mut longer = bytes;
    longer.push(0);
    assert_eq!(decode_message(&longer, id(1), id(2)), Err(CodecError::TooLong));
}

#[test]
fn entries_must_follow_each_other_and_their_message() {
    let mut gap = append();
    gap.mut_entries()[1].index = 7;
    let bytes = encode_message(&gap, &Envelope::default()).unwrap();
    assert_eq!(decode_message(&bytes, id(1), id(2)), Err(CodecError::Kind));
    let mut local = append();
    local.term = 0;
    let bytes = encode_message(&local, &Envelope::default()).unwrap();
    assert_eq!(decode_message(&bytes, id(1), id(2)), Err(CodecError::Kind), "the engine would take it for its own");
}

#[test]
fn numbers_that_no_network_comes_to_are_refused() {
    let (mut later, mut longer) = (append(), append());
    (later.term, longer.commit) = (u64::MAX, u64::MAX);
    for message in [later, longer] {
        let bytes = encode_message(&message, &Envelope::default()).unwrap();
        assert_eq!(decode_message(&bytes, id(1), id(2)), Err(CodecError::Number), "the next one would be zero");
    }
}

#[test]
fn a_read_has_no_term() {
    let mut read = Message { from: 1, to: 2, ..Message::default() };
    read.set_msg_type(MessageType::MsgReadIndex);
    read.mut_entries().push(Entry { data: vec![7; 16].into(), ..Entry::default() });
    assert_eq!(decode_message(&encode_message(&read, &Envelope::default()).unwrap(), id(1), id(2)), Ok(read.clone()));
    read.term = 1;
    let bytes = encode_message(&read, &Envelope::default()).unwrap();
    assert_eq!(decode_message(&bytes, id(1), id(2)), Err(CodecError::Kind), "the engine fails where it hands it on");
}

#[test]
fn mutated_messages_are_refused_or_are_messages() {
    let bytes = encode_message(&append(), &Envelope::default()).unwrap();
    let mut draw = 1;
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut mutated = bytes.clone();
        for _ in 0..1 + draw % 4 {
            draw = split_mix(draw);
            let at = usize::try_from(draw % mutated.len() as u64).unwrap();
            mutated[at] = u8::try_from(draw >> 56).unwrap();
        }
        match decode_words(&mutated, id(1), id(2)) {
            Ok((Words::Engine(message), _)) => assert!(message.term > 0 && message.from == 1 && message.to == 2),
            Ok(_) => {}
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 10_000);
}

#[test]
fn a_stored_log_is_what_its_records_say() {
    let log_entry = |index, term| LogEntry::of(&entry(index, term)).unwrap();
    let mut stored = StoredLog::new(Members::of_voters([id(1)]));
    let vote = Vote { term: 2, vote: 1 };
    let first = LogRecord::new(vec![log_entry(1, 1), log_entry(2, 1), log_entry(3, 1)], Some(vote), None);
    assert_eq!(LogRecord::decode(&first.encode()), Ok(first.clone()));
    stored.absorb(first);
    stored.absorb(LogRecord::new(vec![log_entry(2, 2)], None, None));
    assert_eq!(stored.entries, [log_entry(1, 1), log_entry(2, 2)], "an entry replaces all from its index on");
    assert_eq!(stored.vote, vote);
    let base = Base { index: 1, term: 1, members: Members::of_voters([id(1)]), block: entry_block(1), recovery: None };
    stored.absorb(LogRecord::new(Vec::new(), None, Some(base.clone())));
    assert_eq!(stored.entries, [log_entry(2, 2)]);
    assert_eq!(stored.base(), &base);
    assert_eq!(stored.blocks().map(|block| block.height).collect::<Vec<_>>(), [Height(2)]);
}

#[test]
fn nothing_follows_a_beginning_that_the_log_does_not_have() {
    let log_entry = |index, term| LogEntry::of(&entry(index, term)).unwrap();
    let base = |index, term| Base { index, term, block: entry_block(1), ..Base::default() };
    for (index, term, kept) in [(1, 1, 2), (2, 1, 1), (2, 2, 0), (1, 2, 0), (9, 2, 0)] {
        let mut stored = StoredLog::new(Members::of_voters([id(1)]));
        stored.absorb(LogRecord::new(vec![log_entry(1, 1), log_entry(2, 1), log_entry(3, 1)], None, None));
        stored.absorb(LogRecord::new(Vec::new(), None, Some(base(index, term))));
        assert_eq!(stored.entries.len(), kept, "{index} of term {term}");
        stored.absorb(stored.record());
        assert_eq!(stored.entries.len(), kept, "all of it as one record says the same");
    }
}

fn entry_block(index: u64) -> Option<BlockRef> {
    LogEntry::of(&entry(index, 1)).unwrap().block()
}
