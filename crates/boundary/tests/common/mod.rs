//! Arbitrary messages.

use cloister_boundary::limits::{MAX_BLOCKS_PER_READ, MAX_CHUNKS};
use cloister_boundary::{
    ConnId, Detail, FromEnclave, HaltCode, INITIAL_WINDOW, Membership, NodeRole, PeerOrigin, PublicNetwork,
    PublicStatus, ReadId, Record, Side, StartInfo, StorageFault, StoredLog, StoredSnapshot, ToEnclave,
};
use cloister_primitives::{Height, RecoveryStatement, Seq};
use proptest::prelude::*;

fn blob() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..100)
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..100)
}

fn height() -> impl Strategy<Value = Height> {
    any::<u64>().prop_map(Height)
}

fn conn() -> impl Strategy<Value = ConnId> {
    any::<u64>().prop_map(ConnId)
}

fn read() -> impl Strategy<Value = ReadId> {
    any::<u64>().prop_map(ReadId)
}

fn seq() -> impl Strategy<Value = Seq> {
    any::<u64>().prop_map(Seq)
}

fn fault() -> impl Strategy<Value = StorageFault> {
    prop::sample::select(vec![StorageFault::NoSpace, StorageFault::Io, StorageFault::Corrupt, StorageFault::Refused])
}

fn start() -> impl Strategy<Value = StartInfo> {
    let snapshot = (height(), any::<u32>()).prop_map(|(height, chunks)| StoredSnapshot { height, chunks });
    (
        any::<u64>(),
        blob(),
        blob(),
        prop::option::of(height()),
        prop::option::of(height()),
        prop::collection::vec(snapshot, 0..5),
        prop::option::of(blob()),
        (blob(), prop::collection::vec(blob(), 0..5), prop::option::of((any::<u64>(), blob()))),
    )
        .prop_map(
            |(now_ms, genesis, options, first, last, snapshots, meta, (platform_key, consensus, membership))| {
                StartInfo {
                    now_ms,
                    genesis,
                    options,
                    log: StoredLog { first, last },
                    snapshots,
                    meta,
                    platform_key,
                    consensus,
                    membership: membership.map(|(node, network_key)| Membership { node, network_key }),
                }
            },
        )
}

fn origin() -> impl Strategy<Value = PeerOrigin> {
    prop_oneof![
        Just(PeerOrigin::Loopback),
        Just(PeerOrigin::Remote),
        (any::<u64>(), prop::sample::select(vec![Side::Here, Side::There]))
            .prop_map(|(node, opened_by)| PeerOrigin::Node { node, opened_by }),
    ]
}

/// Any message of the host.
pub(crate) fn to_enclave() -> impl Strategy<Value = ToEnclave> {
    prop_oneof![
        any::<u16>().prop_map(|version| ToEnclave::Hello { version }),
        start().prop_map(ToEnclave::Start),
        any::<u64>().prop_map(|now_ms| ToEnclave::Tick { now_ms }),
        seq().prop_map(|seq| ToEnclave::Persisted { seq }),
        (seq(), fault()).prop_map(|(seq, fault)| ToEnclave::PersistFailed { seq, fault }),
        (read(), prop::collection::vec(prop::option::of(blob()), 0..5))
            .prop_map(|(id, blocks)| ToEnclave::Blocks { id, blocks }),
        (read(), prop::option::of(blob())).prop_map(|(id, bytes)| ToEnclave::Chunk { id, bytes }),
        (read(), prop::option::of(blob())).prop_map(|(id, bytes)| ToEnclave::LogSection { id, bytes }),
        (read(), fault()).prop_map(|(id, fault)| ToEnclave::ReadFailed { id, fault }),
        (conn(), origin()).prop_map(|(conn, peer)| ToEnclave::Open { conn, peer }),
        (conn(), data()).prop_map(|(conn, bytes)| ToEnclave::Data { conn, bytes }),
        conn().prop_map(|conn| ToEnclave::Closed { conn }),
        (conn(), 1..=INITIAL_WINDOW).prop_map(|(conn, bytes)| ToEnclave::Credit { conn, bytes }),
        Just(ToEnclave::Shutdown),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        (height(), blob()).prop_map(|(height, sealed)| Record::Block { height, sealed: sealed.into() }),
        (height(), 0..=MAX_CHUNKS, blob())
            .prop_map(|(snapshot, index, sealed)| { Record::SnapshotChunk { snapshot, index, sealed } }),
        (height(), 0..=MAX_CHUNKS).prop_map(|(snapshot, chunks)| Record::SnapshotDone { snapshot, chunks }),
        height().prop_map(|snapshot| Record::DropSnapshot { snapshot }),
        (height(), blob()).prop_map(|(last, sealed)| Record::LogSection { last, sealed }),
        height().prop_map(|last| Record::Truncate { last }),
        blob().prop_map(|sealed| Record::Meta { sealed }),
        (any::<u64>(), any::<u64>(), blob()).prop_map(|(number, keep_from, sealed)| Record::Consensus {
            number,
            keep_from,
            sealed
        }),
    ]
}

fn network() -> impl Strategy<Value = PublicNetwork> {
    let role = prop::sample::select(NodeRole::ALL.to_vec());
    let connected = prop::collection::vec(any::<u64>(), 0..4);
    (role, any::<u64>(), any::<Option<u64>>(), height(), any::<(u32, u32)>(), connected).prop_map(
        |(role, term, leader, committed, (voters, learners), connected)| PublicNetwork {
            role,
            term,
            leader,
            committed,
            voters,
            learners,
            connected,
        },
    )
}

/// Any message of the enclave.
pub(crate) fn from_enclave() -> impl Strategy<Value = FromEnclave> {
    prop_oneof![
        any::<u16>().prop_map(|version| FromEnclave::Hello { version }),
        (any::<u64>(), any::<[u8; 32]>(), height())
            .prop_map(|(chain_id, genesis_hash, head)| { FromEnclave::Ready { chain_id, genesis_hash, head } }),
        (seq(), record()).prop_map(|(seq, record)| FromEnclave::Persist { seq, record }),
        (read(), height(), 1..=MAX_BLOCKS_PER_READ).prop_map(|(id, from, count)| FromEnclave::ReadBlocks {
            id,
            from,
            count
        }),
        (read(), height(), any::<u32>())
            .prop_map(|(id, snapshot, index)| { FromEnclave::ReadChunk { id, snapshot, index } }),
        (read(), height()).prop_map(|(id, last)| FromEnclave::ReadLogSection { id, last }),
        (conn(), data()).prop_map(|(conn, bytes)| FromEnclave::Data { conn, bytes }),
        conn().prop_map(|conn| FromEnclave::Close { conn }),
        (conn(), 1..=INITIAL_WINDOW).prop_map(|(conn, bytes)| FromEnclave::Credit { conn, bytes }),
        (height(), any::<u64>(), any::<u64>(), prop::option::of(network())).prop_map(
            |(head, head_time_s, transactions, network)| {
                FromEnclave::Status(PublicStatus { head, head_time_s, transactions, network })
            }
        ),
        (any::<[u64; 4]>(), any::<([u8; 32], [u8; 32])>()).prop_map(
            |([chain_id, node, height, recovery], (genesis_hash, block_hash))| {
                let (genesis_hash, block_hash) = (genesis_hash.into(), block_hash.into());
                let height = Height(height);
                FromEnclave::Recovery(RecoveryStatement { chain_id, genesis_hash, node, height, block_hash, recovery })
            }
        ),
        (prop::sample::select(HaltCode::ALL.to_vec()), prop::sample::select(vec!["", "the log ends early", "größer"]))
            .prop_map(|(code, text)| FromEnclave::Halt { code, detail: Detail::constant(text) }),
    ]
}
