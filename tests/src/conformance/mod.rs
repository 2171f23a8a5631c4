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

/// Whether what is missing is a failure: on CI nothing may be skipped.
#[must_use]
pub fn is_required() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Something that a suite needs and a machine may lack.
///
/// # Errors
/// Why the suite is skipped.
///
/// # Panics
/// With `CI=true`, if it is missing.
pub fn needed(path: PathBuf) -> Result<PathBuf, String> {
    if path.exists() {
        return Ok(path);
    }
    let reason = format!("there is no {}", path.display());
    assert!(!is_required(), "{reason}");
    eprintln!("skipped: {reason}");
    Err(reason)
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
