//! One suite for every backend: each case runs on a fresh store of each kind.
#![allow(clippy::unwrap_used)]

use cloister_boundary::limits::{MAX_BLOCKS_ANSWER, MAX_BLOCKS_PER_READ};
use cloister_boundary::{Record, StorageFault, StoredLog, StoredSnapshot};
use cloister_primitives::Height;
use cloister_storage::{BlobStore, ChainIdentity, MemoryStore, Refusal, Store, StoreError, StoreOptions};
use proptest::prelude::*;

/// Runs a case on both backends.
fn on_both(case: impl Fn(&dyn BlobStore)) {
    case(&MemoryStore::new());
    let folder = tempfile::tempdir().unwrap();
    case(&Store::open(folder.path(), StoreOptions::default()).unwrap());
}

fn block(height: u64, sealed: &[u8]) -> Record {
    Record::Block { height: Height(height), sealed: sealed.to_vec().into() }
}

fn chunk(snapshot: u64, index: u32, sealed: &[u8]) -> Record {
    Record::SnapshotChunk { snapshot: Height(snapshot), index, sealed: sealed.to_vec() }
}

fn done(snapshot: u64, chunks: u32) -> Record {
    Record::SnapshotDone { snapshot: Height(snapshot), chunks }
}

fn log(first: u64, last: u64) -> StoredLog {
    StoredLog { first: Some(Height(first)), last: Some(Height(last)) }
}

fn snapshot_list(list: &[(u64, u32)]) -> Vec<StoredSnapshot> {
    list.iter().map(|&(height, chunks)| StoredSnapshot { height: Height(height), chunks }).collect()
}

#[test]
fn a_new_store_is_empty() {
    on_both(|store| {
        assert_eq!(store.bounds(), StoredLog::default());
        assert_eq!(store.snapshots(), []);
        assert_eq!(store.kept().map(|kept| kept.meta), Ok(None));
        assert_eq!(store.chain(), None);
        assert_eq!(store.blocks(Height(0), 2), Ok(vec![None, None]));
        assert_eq!(store.chunk(Height(0), 0), Ok(None));
        assert_eq!(store.append(&[]), Ok(()));
    });
}

#[test]
fn blocks_come_back_as_they_were() {
    on_both(|store| {
        store.append(&[block(0, b"genesis")]).unwrap();
        store.append(&[block(1, b""), block(2, &[2; 100_000])]).unwrap();
        assert_eq!(store.bounds(), log(0, 2));
        assert_eq!(
            store.blocks(Height(0), 4),
            Ok(vec![Some(b"genesis".to_vec()), Some(vec![]), Some(vec![2; 100_000]), None])
        );
        assert_eq!(store.blocks(Height(u64::MAX), 2), Ok(vec![None, None]));
        assert_eq!(store.blocks(Height(0), u32::MAX).unwrap().len(), MAX_BLOCKS_PER_READ as usize);
    });
}

#[test]
fn a_log_may_begin_anywhere() {
    on_both(|store| {
        store.append(&[block(1_000, b"x"), block(1_001, b"y")]).unwrap();
        assert_eq!(store.bounds(), log(1_000, 1_001));
    });
}

#[test]
fn a_hole_is_refused_with_everything_beside_it() {
    on_both(|store| {
        store.append(&[block(5, b"a")]).unwrap();
        for found in [4, 5, 7] {
            let batch = [Record::Meta { sealed: vec![1] }, block(found, b"b")];
            let error = store.append(&batch).unwrap_err();
            assert_eq!(error, StoreError::Refused(Refusal::OutOfOrder { last: Height(5), found: Height(found) }));
            assert_eq!(error.fault(), StorageFault::Refused);
        }
        assert_eq!(store.bounds(), log(5, 5));
        assert_eq!(store.kept().map(|kept| kept.meta), Ok(None), "nothing of the batch is stored");
        store.append(&[block(6, b"b")]).unwrap();
    });
}

#[test]
fn an_answer_ends_before_it_grows_too_large() {
    on_both(|store| {
        let large = vec![7; MAX_BLOCKS_ANSWER / 2];
        store.append(&[block(0, &vec![1; MAX_BLOCKS_ANSWER + 1])]).unwrap();
        for height in 1..=3 {
            store.append(&[block(height, &large)]).unwrap();
        }
        let lens = |from, count| {
            let blocks = store.blocks(Height(from), count).unwrap();
            blocks.iter().flatten().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(lens(0, 4), [MAX_BLOCKS_ANSWER + 1], "the first always comes");
        assert_eq!(lens(1, 4), [large.len(); 2]);
        assert_eq!(lens(3, 1), [large.len()]);
    });
}

#[test]
fn snapshots_are_offered_only_when_complete() {
    on_both(|store| {
        store.append(&[chunk(9, 1, b"one")]).unwrap();
        assert_eq!(store.snapshots(), []);
        assert_eq!(
            store.append(&[done(9, 2)]),
            Err(StoreError::Refused(Refusal::ChunkCount { snapshot: Height(9), chunks: 2, found: 1 }))
        );
        store.append(&[chunk(9, 0, b"zero"), chunk(9, 1, b"uno"), done(9, 2)]).unwrap();
        store.append(&[chunk(12, 0, b"later"), done(12, 1)]).unwrap();
        assert_eq!(store.snapshots(), snapshot_list(&[(9, 2), (12, 1)]));
        assert_eq!(store.chunk(Height(9), 0), Ok(Some(b"zero".to_vec())));
        assert_eq!(store.chunk(Height(9), 1), Ok(Some(b"uno".to_vec())));
        assert_eq!(store.chunk(Height(9), 2), Ok(None));
        assert_eq!(
            store.append(&[chunk(9, 0, b"again")]),
            Err(StoreError::Refused(Refusal::SnapshotComplete { snapshot: Height(9) }))
        );

        store.append(&[Record::DropSnapshot { snapshot: Height(9) }]).unwrap();
        assert_eq!(store.snapshots(), snapshot_list(&[(12, 1)]));
        assert_eq!(store.chunk(Height(9), 0), Ok(None));
        assert_eq!(store.chunk(Height(12), 0), Ok(Some(b"later".to_vec())));
        store.append(&[chunk(9, 0, b"new"), done(9, 1)]).unwrap();
        assert_eq!(store.chunk(Height(9), 0), Ok(Some(b"new".to_vec())));
    });
}

#[test]
fn truncation_takes_blocks_and_snapshots_above() {
    on_both(|store| {
        for height in 3..=9 {
            store.append(&[block(height, &[height as u8])]).unwrap();
        }
        store.append(&[chunk(5, 0, b"5"), done(5, 1), chunk(7, 0, b"7"), done(7, 1), chunk(8, 0, b"8")]).unwrap();
        let truncate = |last| Record::Truncate { last: Height(last) };
        assert_eq!(store.append(&[truncate(5), block(6, b"x")]), Err(StoreError::Refused(Refusal::TruncateNotAlone)));
        store.append(&[truncate(5)]).unwrap();
        assert_eq!(store.bounds(), log(3, 5));
        assert_eq!(store.snapshots(), snapshot_list(&[(5, 1)]));
        assert_eq!(store.chunk(Height(7), 0), Ok(None));
        assert_eq!(store.chunk(Height(8), 0), Ok(None));
        assert_eq!(store.blocks(Height(5), 2), Ok(vec![Some(vec![5]), None]));

        store.append(&[block(6, b"other")]).unwrap();
        store.append(&[truncate(100)]).unwrap();
        assert_eq!(store.bounds(), log(3, 6));
        assert_eq!(store.blocks(Height(6), 2), Ok(vec![Some(b"other".to_vec()), None]));
        store.append(&[truncate(2)]).unwrap();
        assert_eq!(store.bounds(), StoredLog::default());
        assert_eq!(store.snapshots(), []);
        store.append(&[block(40, b"anew")]).unwrap();
        assert_eq!(store.bounds(), log(40, 40));
    });
}

#[test]
fn log_sections_are_kept_by_height_and_go_with_their_blocks() {
    on_both(|store| {
        let section = |last: u64, sealed: &[u8]| Record::LogSection { last: Height(last), sealed: sealed.to_vec() };
        let ahead = |last| Err(StoreError::Refused(Refusal::LogSectionAhead { last: Height(last) }));
        assert_eq!(store.append(&[section(0, b"x")]), ahead(0));
        store.append(&[block(0, b"0"), block(1, b"1"), section(1, b"one")]).unwrap();
        assert_eq!(store.append(&[section(2, b"x"), block(2, b"2")]), ahead(2));
        store.append(&[block(2, b"2"), block(3, b"3"), section(3, b"three"), section(1, b"again")]).unwrap();
        let sections = || [0, 1, 3].map(|last| store.log_section(Height(last)).unwrap());
        assert_eq!(sections(), [None, Some(b"again".to_vec()), Some(b"three".to_vec())]);
        store.append(&[Record::Truncate { last: Height(2) }]).unwrap();
        assert_eq!(sections(), [None, Some(b"again".to_vec()), None]);
    });
}

#[test]
fn metadata_is_the_newest() {
    on_both(|store| {
        let meta = |sealed: &[u8]| Record::Meta { sealed: sealed.to_vec() };
        store.append(&[meta(b"one"), meta(b"two")]).unwrap();
        assert_eq!(store.kept().map(|kept| kept.meta), Ok(Some(b"two".to_vec())));
        store.append(&[meta(b"three")]).unwrap();
        assert_eq!(store.kept().map(|kept| kept.meta), Ok(Some(b"three".to_vec())));
    });
}

#[test]
fn a_store_belongs_to_one_chain() {
    on_both(|store| {
        let ours = ChainIdentity { chain_id: 31337, genesis_hash: [0xab; 32] };
        assert_eq!(store.claim(ours), Ok(()));
        assert_eq!(store.claim(ours), Ok(()));
        assert_eq!(store.chain(), Some(ours));
        for other in [ChainIdentity { chain_id: 1, ..ours }, ChainIdentity { genesis_hash: [0xcd; 32], ..ours }] {
            let error = store.claim(other).unwrap_err();
            assert!(
                matches!(error, StoreError::ForeignChain { expected, found, .. }
                    if expected == other && found == ours),
                "{error}"
            );
            assert!(error.to_string().contains("found chain 31337 with genesis 0xabababab…"));
        }
    });
}

#[test]
fn reads_go_on_while_another_thread_appends() {
    on_both(|store| {
        store.append(&[block(0, &[0])]).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for height in 1..200u64 {
                    store.append(&[block(height, &[height as u8; 500])]).unwrap();
                }
            });
            let mut last = 0;
            while last < 199 {
                last = store.bounds().last.unwrap().0;
                let found = store.blocks(Height(last), 1).unwrap();
                assert!(found[0].is_some(), "block {last} is announced and absent");
            }
        });
    });
}

fn record() -> impl Strategy<Value = Record> {
    let height = || (0..8u64).prop_map(Height);
    prop_oneof![
        6 => (height(), prop::collection::vec(any::<u8>(), 0..4))
            .prop_map(|(height, sealed)| Record::Block { height, sealed: sealed.into() }),
        4 => (height(), 0..3u32, prop::collection::vec(any::<u8>(), 0..4)).prop_map(
            |(snapshot, index, sealed)| Record::SnapshotChunk { snapshot, index, sealed }
        ),
        3 => (height(), 0..4u32)
            .prop_map(|(snapshot, chunks)| Record::SnapshotDone { snapshot, chunks }),
        1 => height().prop_map(|snapshot| Record::DropSnapshot { snapshot }),
        2 => (height(), prop::collection::vec(any::<u8>(), 0..4))
            .prop_map(|(last, sealed)| Record::LogSection { last, sealed }),
        1 => height().prop_map(|last| Record::Truncate { last }),
        1 => prop::collection::vec(any::<u8>(), 0..4).prop_map(|sealed| Record::Meta { sealed }),
    ]
}

/// Everything a store can be asked.
fn content(store: &dyn BlobStore) -> impl PartialEq + std::fmt::Debug + use<> {
    let chunks: Vec<_> = (0..8)
        .flat_map(|height| (0..3).map(move |index| (Height(height), index)))
        .map(|(height, index)| store.chunk(height, index))
        .collect();
    let log_sections: Vec<_> = (0..8).map(|last| store.log_section(Height(last))).collect();
    (
        store.bounds(),
        store.snapshots(),
        store.blocks(Height(0), 9),
        chunks,
        log_sections,
        store.kept().map(|kept| kept.meta),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever is asked of them, both backends answer alike; and RocksDB after a restart as well.
    #[test]
    fn backends_agree(
        batches in prop::collection::vec(prop::collection::vec(record(), 1..4), 1..30)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let memory = MemoryStore::new();
        let rocks = Store::open(folder.path(), StoreOptions::default()).unwrap();
        for batch in &batches {
            prop_assert_eq!(memory.append(batch), rocks.append(batch));
        }
        prop_assert_eq!(content(&memory), content(&rocks));

        drop(rocks);
        let rocks = Store::open(folder.path(), StoreOptions::default()).unwrap();
        prop_assert_eq!(memory.bounds(), rocks.bounds());
        prop_assert_eq!(memory.snapshots(), rocks.snapshots());
        prop_assert_eq!(memory.blocks(Height(0), 9), rocks.blocks(Height(0), 9));
        prop_assert_eq!(memory.kept().map(|kept| kept.meta), rocks.kept().map(|kept| kept.meta));
        let complete = rocks.snapshots();
        for height in 0..8 {
            prop_assert_eq!(memory.log_section(Height(height)), rocks.log_section(Height(height)));
            for index in 0..3 {
                let expected = if complete.iter().any(|s| s.height.0 == height) {
                    memory.chunk(Height(height), index)
                } else {
                    Ok(None)
                };
                prop_assert_eq!(rocks.chunk(Height(height), index), expected);
            }
        }
    }
}
