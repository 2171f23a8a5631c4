//! Folders that are locked, foreign, damaged, or were left by a killed process.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cloister_boundary::{Record, StorageFault};
use cloister_primitives::Height;
use cloister_storage::{BlobStore, ChainIdentity, Store, StoreError, StoreOptions};

fn block(height: u64, len: usize) -> Record {
    Record::Block { height: Height(height), sealed: vec![height as u8; len].into() }
}

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(path, StoreOptions::default())
}

/// Files of the folder whose names end like this, by name.
fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .collect();
    found.sort();
    found
}

fn flip_byte(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_locked_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/store");
    let first = open(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert_eq!(error, StoreError::Locked { path: path.clone() });
    assert!(error.to_string().contains(&path.display().to_string()));
    drop(first);
    assert!(open(&path).is_ok(), "free again");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn the_folder_of_another_chain_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ours = ChainIdentity { chain_id: 31337, genesis_hash: [1; 32] };
    let theirs = ChainIdentity { chain_id: 2026, genesis_hash: [2; 32] };
    let with = |chain| Store::open(folder.path(), StoreOptions { chain: Some(chain) });
    with(ours).unwrap().append(&[block(0, 10)]).unwrap();
    assert_eq!(with(ours).unwrap().chain(), Some(ours), "kept on disk");
    assert_eq!(
        with(theirs).unwrap_err(),
        StoreError::ForeignChain { path: folder.path().to_owned(), expected: theirs, found: ours }
    );
    assert_eq!(open(folder.path()).unwrap().chain(), Some(ours));
}

#[test]
fn a_path_that_is_a_file_is_an_error_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "text").unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains(&path.display().to_string()));
}

#[test]
fn a_flipped_bit_in_the_middle_of_the_log_is_damage_and_not_a_shorter_chain() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    for height in 0..20 {
        store.append(&[block(height, 1_000)]).unwrap();
    }
    drop(store);
    let log = files(folder.path(), ".log").pop().unwrap();
    flip_byte(&log, 10_000);
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert_eq!(error.fault(), StorageFault::Corrupt);
}

#[test]
fn a_torn_tail_loses_the_unfinished_write_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    for height in 0..20 {
        store.append(&[block(height, 1_000)]).unwrap();
    }
    drop(store);
    let log = files(folder.path(), ".log").pop().unwrap();
    let len = fs::metadata(&log).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&log).unwrap();
    file.set_len(len - 500).unwrap();
    let store = open(folder.path()).unwrap();
    assert_eq!(store.bounds().last, Some(Height(18)));
    store.append(&[block(19, 1_000)]).unwrap();
}

/// A folder whose blocks are in tables rather than in the log: opening writes the log out.
fn with_tables() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    for height in 0..20 {
        store.append(&[block(height, 50_000)]).unwrap();
    }
    drop(store);
    drop(open(folder.path()).unwrap());
    assert!(!files(folder.path(), ".sst").is_empty());
    folder
}

#[test]
fn a_flipped_bit_in_a_table_is_damage_when_read() {
    let folder = with_tables();
    let largest =
        files(folder.path(), ".sst").into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    flip_byte(&largest, 220_000);
    // Whether opening already sees it is up to the database.
    let found = open(folder.path()).and_then(|store| store.blocks(Height(0), 20));
    assert!(matches!(found, Err(StoreError::Corrupt { .. })), "{found:?}");
}

/// Does something to a folder.
type Damage = fn(&Path);

#[test]
fn missing_and_mangled_files_are_damage() {
    let damages: [(&str, Damage); 4] = [
        ("a table is missing", |folder| {
            fs::remove_file(files(folder, ".sst").pop().unwrap()).unwrap();
        }),
        ("CURRENT is empty", |folder| {
            fs::write(folder.join("CURRENT"), "").unwrap();
        }),
        ("CURRENT names nothing", |folder| {
            fs::write(folder.join("CURRENT"), "MANIFEST-999999\n").unwrap();
        }),
        ("the manifest is mangled", |folder| {
            let manifest = fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .find(|path| path.to_string_lossy().contains("MANIFEST"))
                .unwrap();
            flip_byte(&manifest, 20);
        }),
    ];
    for (what, damage) in damages {
        let folder = with_tables();
        damage(folder.path());
        let found = open(folder.path());
        assert!(matches!(found, Err(StoreError::Corrupt { .. })), "{what}: {found:?}");
    }
}

#[test]
fn snapshots_left_unfinished_are_forgotten_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let chunk = |snapshot, index| Record::SnapshotChunk { snapshot: Height(snapshot), index, sealed: vec![1] };
    let done = |snapshot, chunks| Record::SnapshotDone { snapshot: Height(snapshot), chunks };
    let store = open(folder.path()).unwrap();
    store.append(&[chunk(3, 0), chunk(3, 1), chunk(5, 0), done(5, 1), chunk(u64::MAX, 0)]).unwrap();
    drop(store);
    let store = open(folder.path()).unwrap();
    let heights: Vec<_> = store.snapshots().iter().map(|s| s.height.0).collect();
    assert_eq!(heights, [5]);
    assert_eq!(store.chunk(Height(3), 0), Ok(None));
    assert_eq!(store.chunk(Height(u64::MAX), 0), Ok(None));
    assert_eq!(store.chunk(Height(5), 0), Ok(Some(vec![1])));
    store.append(&[chunk(3, 0), done(3, 1)]).unwrap();
}

const CHILD_FOLDER: &str = "CLOISTER_TEST_STORE";

/// Not a test by itself: the process that the next test kills. Appends blocks for ever and writes
/// the height of each to its output once it is durable.
#[test]
#[ignore = "run by a_killed_process_loses_nothing_acknowledged"]
fn appends_until_killed() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else {
        return;
    };
    let store = open(Path::new(&folder)).unwrap();
    let mut height = store.bounds().last.map_or(0, |last| last.0 + 1);
    let mut out = std::io::stdout();
    loop {
        let batch: Vec<_> =
            (height..height + 3).map(|height| block(height, 20_000 + (height as usize * 7_919) % 50_000)).collect();
        store.append(&batch).unwrap();
        height += 3;
        writeln!(out, "durable {}", height - 1).unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = None;
    for round in 0..8u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "appends_until_killed", "--nocapture"])
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heights = lines.filter_map(|line| {
            let line = line.ok()?;
            line.split_once("durable ")?.1.parse::<u64>().ok()
        });
        // Let it write for a while, kill it in the middle, then read what it still said.
        acknowledged = heights.by_ref().take(5 + 40 * round as usize).last();
        child.kill().unwrap();
        acknowledged = heights.last().or(acknowledged);
        child.wait().unwrap();

        let store = open(folder.path()).unwrap();
        let last = store.bounds().last.unwrap().0;
        assert!(Some(last) >= acknowledged, "{last} < {acknowledged:?}");
        assert_eq!(last % 3, 2, "batches are whole");
        for height in (0..=last).rev().take(200) {
            let len = 20_000 + (height as usize * 7_919) % 50_000;
            assert_eq!(store.blocks(Height(height), 1), Ok(vec![Some(vec![height as u8; len])]));
        }
    }
    assert!(acknowledged > Some(100), "the writer hardly wrote");
}
