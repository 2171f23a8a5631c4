//! A store in one file, and back; and each way in which such a file is refused.
#![allow(clippy::unwrap_used)]

use std::io::Cursor;
use std::path::Path;

use cloister_boundary::Record;
use cloister_primitives::Height;
use cloister_storage::{
    BACKUP_VERSION, Backup, BackupError, BlobStore, ChainIdentity, Store, StoreError, StoreOptions, restore,
};
use tempfile::TempDir;

const CHAIN: ChainIdentity = ChainIdentity { chain_id: 7, genesis_hash: [9; 32] };
const GENESIS: &[u8] = br#"{"config":{}}"#;

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(path, StoreOptions::default())
}

/// A store with a record of each kind, one block of which is longer than a part is meant to be.
fn filled() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    store.claim(CHAIN).unwrap();
    let block = |height: u64, len| Record::Block { height: Height(height), sealed: vec![height as u8; len].into() };
    let snapshot = Height(2);
    store
        .append(&[
            block(1, 100),
            block(2, 5 << 20),
            block(3, 0),
            Record::SnapshotChunk { snapshot, index: 0, sealed: vec![7; 300] },
            Record::SnapshotDone { snapshot, chunks: 1 },
            Record::LogSection { last: Height(3), sealed: vec![8; 10] },
            Record::Meta { sealed: vec![5; 20] },
            Record::Consensus { number: 4, keep_from: 0, sealed: vec![6; 30] },
        ])
        .unwrap();
    (folder, store)
}

fn backed_up() -> (Vec<u8>, Backup) {
    let (_folder, store) = filled();
    let mut file = Vec::new();
    let backup = store.back_up(GENESIS, &mut file).unwrap();
    (file, backup)
}

fn restored(file: &[u8]) -> Result<(TempDir, Backup), BackupError> {
    let folder = tempfile::tempdir().unwrap();
    let backup = restore(Cursor::new(file), folder.path(), |_| true)?;
    Ok((folder, backup))
}

/// The names of what is in a folder.
fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_is_restored_is_what_was_stored() {
    let (_folder, original) = filled();
    let (file, backup) = backed_up();
    assert_eq!((backup.chain, backup.last, &backup.genesis[..]), (CHAIN, Some(Height(3)), GENESIS));
    let (folder, found) = restored(&file).unwrap();
    assert_eq!(found, backup);
    assert!(!names(folder.path()).contains(&"restoring".to_owned()), "{:?}", names(folder.path()));
    let store = open(folder.path()).unwrap();
    assert_eq!(store.chain(), Some(CHAIN));
    assert_eq!(store.blocks(Height(1), 4).unwrap(), original.blocks(Height(1), 4).unwrap());
    assert_eq!((store.bounds(), store.snapshots()), (original.bounds(), original.snapshots()));
    assert_eq!(store.chunk(Height(2), 0).unwrap(), Some(vec![7; 300]));
    assert_eq!(store.log_section(Height(3)).unwrap(), Some(vec![8; 10]));
    assert_eq!(store.kept().unwrap(), original.kept().unwrap());
    // It goes on from there.
    store.append(&[Record::Block { height: Height(4), sealed: vec![1].into() }]).unwrap();
    // The same store gives the same file.
    drop((store, original));
    let (again, _) = backed_up();
    assert_eq!(again, file);
}

#[test]
fn a_file_that_ends_early_is_refused_wherever_it_ends() {
    let (file, _) = backed_up();
    let header = 20;
    // Every place near the edges of the parts, and some within the long one.
    let near_the_end = file.len() - 700..file.len();
    for len in (0..header).chain(header..400).chain((400..file.len() - 700).step_by(512 << 10)).chain(near_the_end) {
        match restored(&file[..len]) {
            Err(BackupError::Foreign) if len < header => {}
            Err(BackupError::Truncated { part }) if len >= header => assert!(part >= 1),
            other => panic!("{len} of {} bytes: {other:?}", file.len()),
        }
    }
}

#[test]
fn a_file_with_a_changed_byte_is_refused_and_leaves_nothing_behind() {
    let (file, _) = backed_up();
    let places = (0..400).chain((400..file.len() - 700).step_by(512 << 10)).chain(file.len() - 700..file.len());
    for place in places {
        let mut changed = file.clone();
        changed[place] ^= 1;
        let folder = tempfile::tempdir().unwrap();
        match restore(Cursor::new(&changed), folder.path(), |_| true) {
            Err(BackupError::Foreign) => assert!(place < 16),
            Err(BackupError::Version { found }) => {
                assert!((16..20).contains(&place));
                assert_ne!(found, BACKUP_VERSION);
            }
            // A length that was changed may point behind the end.
            Err(BackupError::Changed { .. } | BackupError::Truncated { .. }) => assert!(place >= 20),
            other => panic!("byte {place}: {other:?}"),
        }
        assert_eq!(names(folder.path()), Vec::<String>::new(), "byte {place}");
    }
}

#[test]
fn parts_that_are_left_out_and_what_is_behind_the_end_are_noticed() {
    let (file, _) = backed_up();
    let length = |at: usize| u32::from_be_bytes(file[at + 1..at + 5].try_into().unwrap()) as usize;
    let second = 20 + 5 + length(20) + 32;
    let third = second + 5 + length(second) + 32;
    let without = [&file[..second], &file[third..]].concat();
    assert!(matches!(restored(&without), Err(BackupError::Changed { part: 2 })));
    let folder = tempfile::tempdir().unwrap();
    let refused = restore(Cursor::new(&file), folder.path(), |genesis| genesis != GENESIS);
    assert!(matches!(refused, Err(BackupError::OtherGenesis)), "{refused:?}");
    let longer = [&file[..], b"x"].concat();
    assert!(matches!(restored(&longer), Err(BackupError::Trailing)));
    assert!(matches!(restored(b"#!/bin/sh\nexit 0\n # no backup"), Err(BackupError::Foreign)));
}

#[test]
fn a_chain_is_never_written_over_and_a_folder_in_use_is_left_alone() {
    let (file, _) = backed_up();
    let (folder, store) = filled();
    let refused = restore(Cursor::new(&file), folder.path(), |_| true);
    assert!(matches!(refused, Err(BackupError::Store(StoreError::Locked { .. }))), "{refused:?}");
    drop(store);
    assert!(matches!(restore(Cursor::new(&file), folder.path(), |_| true), Err(BackupError::Occupied)));
    assert_eq!(open(folder.path()).unwrap().bounds().last, Some(Height(3)));
}

#[test]
fn a_folder_that_was_only_made_ready_and_one_of_an_interrupted_attempt_are_taken() {
    let (file, backup) = backed_up();
    let folder = tempfile::tempdir().unwrap();
    // As `cloister init` leaves it, with the node's keys.
    drop(open(folder.path()).unwrap());
    std::fs::write(folder.path().join("sealing.key"), [1; 32]).unwrap();
    std::fs::create_dir(folder.path().join("restoring")).unwrap();
    std::fs::write(folder.path().join("restoring/CURRENT"), "torn").unwrap();
    assert_eq!(restore(Cursor::new(&file), folder.path(), |_| true).unwrap(), backup);
    assert_eq!(std::fs::read(folder.path().join("sealing.key")).unwrap(), [1; 32]);
    assert_eq!(open(folder.path()).unwrap().bounds().last, Some(Height(3)));
}

#[test]
fn a_store_of_no_chain_has_nothing_to_back_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    assert!(matches!(store.back_up(GENESIS, Vec::new()), Err(BackupError::Empty)));
}
