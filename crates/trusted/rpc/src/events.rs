//! What the core tells of, on its way to who listens: news of blocks apart from news of the pool, of which there are
//! many more and which hardly anybody asks for. Nobody is woken for what does not concern him.

use cloister_core::Event;
use tokio::sync::broadcast;

/// Where events go. Each receiver has a bounded backlog; one that lags loses events and is told so.
#[derive(Clone, Debug)]
pub struct Events {
    chain: broadcast::Sender<Event>,
    pool: broadcast::Sender<Event>,
}

impl Events {
    /// A place where a listener may fall behind by so many events of either kind.
    #[must_use]
    pub fn new(backlog: usize) -> Self {
        Self { chain: broadcast::channel(backlog).0, pool: broadcast::channel(backlog).0 }
    }

    /// Tells those whom it concerns; that may be nobody.
    pub fn send(&self, event: Event) {
        let listeners = match event {
            Event::Committed(_) | Event::Reverted(_) => &self.chain,
            Event::Admitted(_) => &self.pool,
        };
        let _ = listeners.send(event);
    }

    /// Hears of blocks that are committed and reverted from now on.
    #[must_use]
    pub fn of_chain(&self) -> broadcast::Receiver<Event> {
        self.chain.subscribe()
    }

    /// Hears of transactions that are admitted from now on.
    #[must_use]
    pub fn of_pool(&self) -> broadcast::Receiver<Event> {
        self.pool.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use cloister_primitives::Height;

    use super::*;

    #[test]
    fn each_hears_what_concerns_him() {
        let events = Events::new(4);
        events.send(Event::Admitted(Vec::new()));
        let (mut chain, mut pool) = (events.of_chain(), events.of_pool());
        assert!(chain.is_empty() && pool.is_empty(), "what was before");
        events.send(Event::Admitted(Vec::new()));
        events.send(Event::Reverted(Height(1)));
        assert!(matches!(chain.try_recv(), Ok(Event::Reverted(Height(1)))));
        assert!(matches!(pool.try_recv(), Ok(Event::Admitted(_))));
        assert!(chain.is_empty() && pool.is_empty());
    }
}
