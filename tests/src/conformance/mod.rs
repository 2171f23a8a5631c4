//! Public and generated test vectors, run on the executor and the state that every node has.

pub mod cases;
pub mod chains;
pub mod report;
pub mod state_tests;
pub mod world;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::repository;

/// Where public vectors are: `CLOISTER_VECTORS`, or beside the repository.
#[must_use]
pub fn vectors() -> PathBuf {
    std::env::var_os("CLOISTER_VECTORS").map_or_else(|| repository().join("../shared/vectors"), PathBuf::from)
}

/// Says that a suite is skipped, and why.
///
/// # Panics
/// With `CI=true`: nothing may be skipped there.
pub fn skip(reason: &str) {
    let required = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!required, "{reason}");
    eprintln!("skipped: {reason}");
}

/// Does `work` on every item, on all cores. The results are in no particular order.
pub fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = work(item);
                    results.lock().expect("no worker panics while it adds a result").push(result);
                }
            });
        }
    });
    results.into_inner().expect("no worker panicked")
}
