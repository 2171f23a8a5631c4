//! Handshakes that have begun and not ended.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Keeps no more than so many handshakes waiting. The one that has waited longest makes room: an honest one takes
/// milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct HalfOpen {
    places: Arc<Mutex<Places>>,
    most: usize,
}

#[derive(Debug, Default)]
struct Places {
    by_age: BTreeMap<u64, Arc<Notify>>,
    next: u64,
}

/// A handshake's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    half_open: HalfOpen,
    number: u64,
    needed: Arc<Notify>,
}

impl HalfOpen {
    pub(crate) fn new(most: usize) -> Self {
        Self { places: Arc::default(), most }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a handshake, in the order in which clients come: their tasks may begin in any other.
    pub(crate) fn enter(&self) -> Place {
        let needed = Arc::new(Notify::new());
        let mut places = self.lock();
        if places.by_age.len() >= self.most
            && let Some((_, oldest)) = places.by_age.pop_first()
        {
            oldest.notify_one();
        }
        let number = places.next;
        places.next += 1;
        places.by_age.insert(number, needed.clone());
        drop(places);
        Place { half_open: self.clone(), number, needed }
    }
}

impl Place {
    /// Waits until another handshake needs the place.
    pub(super) async fn needed(&self) {
        self.needed.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.half_open.lock().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future as _,
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let is_needed = |place: &Place| pin!(place.needed()).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        let half_open = HalfOpen::new(2);
        let first = half_open.enter();
        let second = half_open.enter();
        assert!(!is_needed(&first) && !is_needed(&second));
        let third = half_open.enter();
        assert!(is_needed(&first) && !is_needed(&second) && !is_needed(&third));
        drop(first);
        drop(third);
        let fourth = half_open.enter();
        assert!(!is_needed(&second) && !is_needed(&fourth));
        assert_eq!(half_open.lock().by_age.len(), 2);
    }
}
