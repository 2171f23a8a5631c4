//! Records: order, group commit, failures and the way back from them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cloister_boundary::limits::MAX_READS_IN_FLIGHT;
use cloister_boundary::link::EnclaveLink;
use cloister_boundary::{FromEnclave, HaltCode, ReadId, Record, StorageFault, StoredLog, StoredSnapshot, ToEnclave};
use cloister_node::{HostError, Violation};
use cloister_primitives::{Height, Seq};
use cloister_storage::{BlobStore, ChainIdentity, DiskUse, Kept, MemoryStore, Store, StoreError, StoreOptions};
use common::{config, greet, halt, host_with, next, ready};

/// A store whose disk can be slow or full.
#[derive(Clone, Default)]
struct Shaky {
    inner: Arc<MemoryStore>,
    full: Arc<AtomicBool>,
    pause: Arc<Mutex<Duration>>,
    appends: Arc<AtomicUsize>,
    hold_reads: Arc<AtomicBool>,
}

impl BlobStore for Shaky {
    fn append(&self, records: &[Record]) -> Result<(), StoreError> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        let pause = *self.pause.lock().unwrap();
        std::thread::sleep(pause);
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::NoSpace { path: PathBuf::from("test") });
        }
        self.inner.append(records)
    }

    fn blocks(&self, from: Height, count: u32) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        while self.hold_reads.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.inner.blocks(from, count)
    }

    fn chunk(&self, snapshot: Height, index: u32) -> Result<Option<Vec<u8>>, StoreError> {
        if index == 99 {
            return Err(StoreError::Corrupt { path: PathBuf::from("test"), detail: "as the test says".to_owned() });
        }
        self.inner.chunk(snapshot, index)
    }

    fn log_section(&self, last: Height) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.log_section(last)
    }

    fn disk(&self) -> Result<Option<DiskUse>, StoreError> {
        self.inner.disk()
    }

    fn bounds(&self) -> StoredLog {
        self.inner.bounds()
    }

    fn snapshots(&self) -> Vec<StoredSnapshot> {
        self.inner.snapshots()
    }

    fn kept(&self) -> Result<Kept, StoreError> {
        self.inner.kept()
    }

    fn chain(&self) -> Option<ChainIdentity> {
        self.inner.chain()
    }

    fn claim(&self, chain: ChainIdentity) -> Result<(), StoreError> {
        self.inner.claim(chain)
    }
}

fn block(n: u64) -> FromEnclave {
    FromEnclave::Persist { seq: Seq(n), record: Record::Block { height: Height(n), sealed: vec![n as u8; 100].into() } }
}

async fn send(link: &EnclaveLink, messages: impl IntoIterator<Item = FromEnclave>) {
    for message in messages {
        link.send.send(message).await.unwrap();
    }
}

/// Expects these numbers to be answered, in this order.
async fn expect_stored(link: &mut EnclaveLink, seqs: impl IntoIterator<Item = u64>) {
    for seq in seqs {
        assert_eq!(next(link).await, ToEnclave::Persisted { seq: Seq(seq) });
    }
}

async fn expect_failed(link: &mut EnclaveLink, seqs: impl IntoIterator<Item = u64>, fault: StorageFault) {
    for seq in seqs {
        let expected = ToEnclave::PersistFailed { seq: Seq(seq), fault };
        assert_eq!(next(link).await, expected);
    }
}

#[tokio::test]
async fn records_are_answered_in_order_and_share_a_sync() {
    let store = Shaky::default();
    *store.pause.lock().unwrap() = Duration::from_millis(50);
    let (_host, mut link) = host_with(config(), Box::new(store.clone()));
    greet(&mut link).await;
    send(&link, (1..=200).map(block)).await;
    expect_stored(&mut link, 1..=200).await;
    let appends = store.appends.load(Ordering::SeqCst);
    assert!(appends <= 5, "{appends} syncs for 200 records");
    assert_eq!(store.bounds().last, Some(Height(200)));
}

#[tokio::test]
async fn after_a_full_disk_nothing_is_stored_until_the_failed_record_comes_again() {
    let store = Shaky::default();
    let (_host, mut link) = host_with(config(), Box::new(store.clone()));
    greet(&mut link).await;
    send(&link, (1..=3).map(block)).await;
    expect_stored(&mut link, 1..=3).await;

    store.full.store(true, Ordering::SeqCst);
    send(&link, (4..=6).map(block)).await;
    expect_failed(&mut link, 4..=6, StorageFault::NoSpace).await;
    store.full.store(false, Ordering::SeqCst);
    // Sent before the enclave could know: no hole may come of them.
    let meta = FromEnclave::Persist { seq: Seq(8), record: Record::Meta { sealed: vec![1] } };
    send(&link, [block(7), meta]).await;
    expect_failed(&mut link, 7..=8, StorageFault::NoSpace).await;
    assert_eq!(store.bounds().last, Some(Height(3)));
    assert_eq!(store.kept().map(|kept| kept.meta), Ok(None));

    send(&link, (4..=9).map(block)).await;
    expect_stored(&mut link, 4..=9).await;
    assert_eq!(store.bounds().last, Some(Height(9)));
}

#[tokio::test]
async fn records_sent_again_are_stored_once_and_answered_again() {
    let store = Shaky::default();
    *store.pause.lock().unwrap() = Duration::from_millis(20);
    let (_host, mut link) = host_with(config(), Box::new(store.clone()));
    greet(&mut link).await;
    // An impatient enclave sends everything again before the slow disk has answered.
    send(&link, (1..=3).chain(1..=3).chain(2..=4).map(block)).await;
    expect_stored(&mut link, (1..=3).chain(1..=3).chain(2..=4)).await;
    assert_eq!(store.bounds().last, Some(Height(4)));

    // The same while the disk is full: what failed is tried again by its second copy.
    store.full.store(true, Ordering::SeqCst);
    send(&link, (5..=6).chain(5..=6).map(block)).await;
    expect_failed(&mut link, (5..=6).chain(5..=6), StorageFault::NoSpace).await;
    store.full.store(false, Ordering::SeqCst);
    send(&link, (5..=6).chain(5..=7).map(block)).await;
    expect_stored(&mut link, (5..=6).chain(5..=7)).await;
    assert_eq!(store.bounds().last, Some(Height(7)));
}

#[tokio::test]
async fn a_record_that_does_not_fit_spares_those_before_it() {
    let store = Shaky::default();
    *store.pause.lock().unwrap() = Duration::from_millis(20);
    let (_host, mut link) = host_with(config(), Box::new(store.clone()));
    greet(&mut link).await;
    let misfit =
        FromEnclave::Persist { seq: Seq(3), record: Record::Block { height: Height(77), sealed: vec![].into() } };
    let late = FromEnclave::Persist { seq: Seq(4), record: Record::Meta { sealed: vec![1] } };
    send(&link, [block(1), block(2), misfit, late]).await;
    expect_stored(&mut link, 1..=2).await;
    expect_failed(&mut link, 3..=4, StorageFault::Refused).await;
    assert_eq!(store.bounds().last, Some(Height(2)));
    assert_eq!(store.kept().map(|kept| kept.meta), Ok(None));
}

#[tokio::test]
async fn a_truncation_among_other_records_is_carried_out_in_its_place() {
    let store = Shaky::default();
    *store.pause.lock().unwrap() = Duration::from_millis(20);
    let (_host, mut link) = host_with(config(), Box::new(store.clone()));
    greet(&mut link).await;
    let truncate = FromEnclave::Persist { seq: Seq(5), record: Record::Truncate { last: Height(2) } };
    let anew = FromEnclave::Persist {
        seq: Seq(6),
        record: Record::Block { height: Height(3), sealed: b"other".to_vec().into() },
    };
    send(&link, (1..=4).map(block).chain([truncate, anew])).await;
    expect_stored(&mut link, 1..=6).await;
    assert_eq!(store.bounds().last, Some(Height(3)));
    let found = store.blocks(Height(3), 1).unwrap();
    assert_eq!(found, [Some(b"other".to_vec())]);
}

#[tokio::test]
async fn reads_do_not_wait_for_the_disk() {
    let store = Shaky::default();
    let (_host, mut link) = host_with(config(), Box::new(store.clone()));
    greet(&mut link).await;
    send(&link, [block(1)]).await;
    expect_stored(&mut link, [1]).await;
    *store.pause.lock().unwrap() = Duration::from_millis(2_500);
    let begun = Instant::now();
    let (id, count) = (ReadId(1), 2);
    let reads = [
        block(2),
        FromEnclave::ReadBlocks { id, from: Height(1), count },
        FromEnclave::ReadChunk { id: ReadId(2), snapshot: Height(1), index: 0 },
        FromEnclave::ReadChunk { id: ReadId(3), snapshot: Height(1), index: 99 },
        FromEnclave::ReadLogSection { id: ReadId(4), last: Height(1) },
    ];
    send(&link, reads).await;
    let blocks = vec![Some(vec![1; 100]), None];
    assert_eq!(next(&mut link).await, ToEnclave::Blocks { id, blocks });
    let id = ReadId(2);
    assert_eq!(next(&mut link).await, ToEnclave::Chunk { id, bytes: None });
    let (id, fault) = (ReadId(3), StorageFault::Corrupt);
    assert_eq!(next(&mut link).await, ToEnclave::ReadFailed { id, fault });
    assert_eq!(next(&mut link).await, ToEnclave::LogSection { id: ReadId(4), bytes: None });
    assert!(begun.elapsed() < Duration::from_millis(2_000), "{:?}", begun.elapsed());
    expect_stored(&mut link, [2]).await;
}

#[tokio::test]
async fn more_reads_than_allowed_are_a_violation_and_as_many_are_not() {
    let store = Shaky::default();
    let (host, mut link) = host_with(config(), Box::new(store.clone()));
    greet(&mut link).await;
    let read = |n: usize| FromEnclave::ReadBlocks { id: ReadId(n as u64), from: Height(0), count: 1 };
    send(&link, (0..MAX_READS_IN_FLIGHT).map(read)).await;
    for n in 0..MAX_READS_IN_FLIGHT {
        let (id, blocks) = (ReadId(n as u64), vec![None]);
        assert_eq!(next(&mut link).await, ToEnclave::Blocks { id, blocks });
    }
    // Nothing is answered while the reader is held up, so these are all open at one time.
    store.hold_reads.store(true, Ordering::SeqCst);
    send(&link, (0..=MAX_READS_IN_FLIGHT).map(read)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.hold_reads.store(false, Ordering::SeqCst);
    match host.end().await.unwrap_err() {
        HostError::Violation(found) => assert_eq!(found, Violation::TooManyReads { limit: MAX_READS_IN_FLIGHT }),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_enclave_that_stops_reading_cannot_block_the_host() {
    let store = Shaky::default();
    let (host, mut link) = host_with(config(), Box::new(store.clone()));
    greet(&mut link).await;
    // Thousands of answers nobody takes, far beyond what the link holds: sending still works.
    let sent = async {
        for n in 1..=5_000 {
            link.send.send(block(n)).await.unwrap();
        }
    };
    tokio::time::timeout(common::PATIENCE, sent).await.expect("the host goes on reading");
    let reads = (0..MAX_READS_IN_FLIGHT as u64).map(|n| FromEnclave::ReadBlocks {
        id: ReadId(n),
        from: Height(0),
        count: 1_000,
    });
    send(&link, reads).await;
    send(&link, [halt(HaltCode::Invariant)]).await;
    let error = host.end().await.unwrap_err();
    assert!(matches!(error, HostError::Halted { .. }), "{error}");
    assert_eq!(store.bounds().last, Some(Height(5_000)), "all were stored");
}

#[tokio::test]
async fn what_was_sent_before_the_end_is_on_disk_and_the_folder_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
    let (host, mut link) = host_with(config(), Box::new(store));
    greet(&mut link).await;
    send(&link, [ready()]).await;
    let begun = Instant::now();
    for n in 0..200 {
        send(&link, [block(n)]).await;
        expect_stored(&mut link, [n]).await;
    }
    println!("one record at a time: {:?} each", begun.elapsed() / 200);
    let begun = Instant::now();
    send(&link, (200..1_000).map(block)).await;
    host.handle.shutdown();
    send(&link, [halt(HaltCode::ShutDown)]).await;
    // Whether the shutdown or its answer came first, the records came before.
    let _ = host.end().await;
    println!("800 records at once: {:?} each", begun.elapsed() / 800);

    let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
    assert_eq!(store.bounds().last, Some(Height(999)));
    assert_eq!(store.chain().unwrap().chain_id, common::CHAIN_ID);
}
