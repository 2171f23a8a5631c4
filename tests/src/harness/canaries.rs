//! Each protection taken away in turn: the comparison must find a difference.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use cloister_primitives::protection::{Protection, canary};

use super::generate::{Included, workload};
use super::pair::{Cryptography, Difference, Verdict, compare};
use super::workload::Shape;

/// How a missing protection was noticed.
#[derive(Clone, Debug)]
pub struct Red {
    /// Which was missing.
    pub protection: Protection,
    /// Pairs that were run until it was noticed.
    pub pairs: u64,
    /// How the worlds could be told apart.
    pub difference: Difference,
}

/// Takes a protection away and runs pairs until two worlds can be told apart, so many at most.
///
/// What is missing is missing for the whole process: nothing else may run meanwhile.
#[must_use]
pub fn look_for(protection: Protection, first_seed: u64, most: u64) -> Option<Red> {
    let _missing = canary::take_away(protection);
    let included = Included { shape: shape_for(protection), ..Included::default() };
    let (pairs, difference) = first_difference(first_seed, most, &included)?;
    Some(Red { protection, pairs, difference })
}

/// Where a protection acts.
const fn shape_for(protection: Protection) -> Shape {
    match protection {
        Protection::ForwardedSizes => Shape::Network,
        _ => Shape::Alone,
    }
}

/// Runs pairs until two worlds can be told apart, so many at most; how many it took, and how.
#[must_use]
pub fn first_difference(first_seed: u64, most: u64, included: &Included) -> Option<(u64, Difference)> {
    let next = AtomicU64::new(0);
    let found = Mutex::new(None);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= most || found.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                return;
            }
            let workload = workload(first_seed.wrapping_add(index), included);
            // A node whose records are not what they should be does not start again: that is no difference yet.
            if let Ok(Verdict::Distinguishing(difference)) = compare(&workload, Cryptography::Ideal) {
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.get_or_insert((index + 1, *difference));
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}
