//! A disk that is really full: a small tmpfs. Mounting needs root; elsewhere the test says that it
//! was skipped.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cloister_boundary::{Record, StorageFault};
use cloister_primitives::Height;
use cloister_storage::{BlobStore, Store, StoreError, StoreOptions};

const BLOCK_LEN: usize = 200_000;

struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// A file system of its own, or why there is none.
    fn mount(size: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "cloister-test"])
            .arg(folder.path())
            .output()
            .map_err(|error| format!("mount cannot be run: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file that leaves this many bytes free.
    fn leave_free(&self, len: u64) -> PathBuf {
        let disk = rustix::fs::statvfs(self.path()).unwrap();
        let free = disk.f_bavail * disk.f_frsize;
        let ballast = self.path().join("ballast");
        fs::write(&ballast, vec![0; free.checked_sub(len).unwrap() as usize]).unwrap();
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(self.path()).status();
        assert!(done.is_ok_and(|status| status.success()), "umount failed");
    }
}

fn block(height: u64) -> Record {
    Record::Block { height: Height(height), sealed: vec![height as u8; BLOCK_LEN].into() }
}

/// Appends until the disk is full and returns the first height that was refused.
fn fill(store: &Store) -> u64 {
    let mut height = store.bounds().last.map_or(0, |last| last.0 + 1);
    loop {
        match store.append(&[block(height)]) {
            Ok(()) => height += 1,
            Err(error) => {
                assert!(matches!(error, StoreError::NoSpace { .. }), "{error:?}");
                assert_eq!(error.fault(), StorageFault::NoSpace);
                return height;
            }
        }
        assert!(height < 1_000, "the disk never fills");
    }
}

fn assert_holds(store: &Store, heights: u64) {
    assert_eq!(store.bounds().last, heights.checked_sub(1).map(Height));
    for height in 0..heights {
        let found = store.blocks(Height(height), 1);
        assert_eq!(found, Ok(vec![Some(vec![height as u8; BLOCK_LEN])]));
    }
}

#[test]
fn a_full_disk_refuses_writes_loses_nothing_and_recovers_when_space_returns() {
    let disk = match SmallDisk::mount("320m") {
        Ok(disk) => disk,
        Err(reason) => {
            println!("skipped: no small file system can be mounted here: {reason}");
            return;
        }
    };
    let folder = disk.path().join("store");
    let mut height = 0;
    for run in 0..2 {
        let store = Store::open(&folder, StoreOptions::default()).unwrap();
        for turn in 0..2 {
            let ballast = disk.leave_free(20 << 20);
            let refused = fill(&store);
            assert!(refused > height, "run {run}, turn {turn}: nothing fitted");
            height = refused;
            // RocksDB may free a little by itself (a flush gives back its log): what then fits is
            // stored, and the disk is full again.
            for _ in 0..3 {
                height = fill(&store);
            }
            assert_holds(&store, height);

            fs::remove_file(&ballast).unwrap();
            let freed = Instant::now();
            store.append(&[block(height)]).unwrap();
            let waited = freed.elapsed();
            println!("run {run}, turn {turn}: full at {height} blocks, writable again after {waited:?}");
            assert!(waited < Duration::from_secs(10));
            height += 1;
            assert_holds(&store, height);
        }
    }
    // A process that ends while the disk is full loses nothing either.
    let store = Store::open(&folder, StoreOptions::default()).unwrap();
    let ballast = disk.leave_free(5 << 20);
    height = fill(&store);
    drop(store);
    fs::remove_file(&ballast).unwrap();
    assert_holds(&Store::open(&folder, StoreOptions::default()).unwrap(), height);
}

#[test]
fn a_disk_without_room_for_a_new_store_says_so() {
    let disk = match SmallDisk::mount("64k") {
        Ok(disk) => disk,
        Err(reason) => {
            println!("skipped: no small file system can be mounted here: {reason}");
            return;
        }
    };
    fs::write(disk.path().join("ballast"), vec![0; 60 << 10]).unwrap();
    let error = Store::open(disk.path().join("store"), StoreOptions::default())
        .and_then(|store| store.append(&[block(0)]))
        .unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error:?}");
}
