//! Tells the enclave the time.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cloister_boundary::ToEnclave;
use cloister_boundary::link::{Sender, TrySendError};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// A wall clock that never goes back.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last_ms: u64,
}

impl Clock {
    /// Milliseconds since the Unix epoch, and never less than before.
    pub(crate) fn now_ms(&mut self) -> u64 {
        self.advance(SystemTime::now())
    }

    fn advance(&mut self, now: SystemTime) -> u64 {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.last_ms = self.last_ms.max(now_ms);
        self.last_ms
    }
}

/// Sends a tick every `period`, and whenever `demand` is notified, until the link ends. A full link
/// already wakes the enclave, so there the tick is left out.
pub(crate) async fn tick(mut clock: Clock, period: Duration, demand: Arc<Notify>, link: Sender<ToEnclave>) {
    // An interval of zero is not allowed.
    let mut interval = tokio::time::interval(period.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = demand.notified() => {}
        }
        let now_ms = clock.now_ms();
        if let Err(TrySendError::Closed(_)) = link.try_send(ToEnclave::Tick { now_ms }) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_stands_still() {
        let mut clock = Clock::default();
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        assert_eq!(clock.advance(at(1_000)), 1_000);
        assert_eq!(clock.advance(at(400)), 1_000);
        assert_eq!(clock.advance(at(1_001)), 1_001);
        assert_eq!(clock.advance(UNIX_EPOCH - Duration::from_secs(1)), 1_001, "a clock before 1970");
    }
}
