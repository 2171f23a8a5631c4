//! Subscriptions whose answer is on its way: jsonrpsee sends it before it enters the subscription in its table, and a
//! client that ends the subscription in that moment would be told that there is none.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use jsonrpsee::{
    MethodCallback, PendingSubscriptionSink, SubscriptionSink,
    core::server::PendingSubscriptionAcceptError,
    types::{ErrorObjectOwned, SubscriptionId},
};
use tokio::sync::Notify;

/// The subscriptions being opened, of all connections: their ids are random, so they do not meet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Openings {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    ids: Mutex<HashSet<SubscriptionId<'static>>>,
    left: Notify,
}

impl Shared {
    fn with_ids<R>(&self, ask: impl FnOnce(&mut HashSet<SubscriptionId<'static>>) -> R) -> R {
        ask(&mut self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One subscription being opened, until this is dropped.
#[derive(Debug)]
struct Opening {
    shared: Arc<Shared>,
    id: SubscriptionId<'static>,
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.shared.with_ids(|ids| ids.remove(&self.id));
        self.shared.left.notify_waiters();
    }
}

impl Openings {
    /// To be held while the subscription `id` is answered and entered.
    fn enter(&self, id: SubscriptionId<'static>) -> Opening {
        self.shared.with_ids(|ids| ids.insert(id.clone()));
        Opening { shared: self.shared.clone(), id }
    }

    /// Comes back once `id` is not being opened.
    async fn settled(&self, id: &SubscriptionId<'static>) {
        loop {
            let left = self.shared.left.notified();
            if !self.shared.with_ids(|ids| ids.contains(id)) {
                return;
            }
            left.await;
        }
    }

    /// The same way to end a subscription, but one that is being opened is opened first.
    ///
    /// Anything else than the callback of an unsubscription comes back as it is.
    pub(crate) fn before(&self, unsubscribe: MethodCallback) -> MethodCallback {
        let MethodCallback::Unsubscription(end) = unsubscribe else { return unsubscribe };
        let openings = self.clone();
        MethodCallback::Async(Arc::new(move |request, params, connection, max_response_bytes, extensions| {
            let (openings, end) = (openings.clone(), end.clone());
            Box::pin(async move {
                if let Ok(id) = params.one::<SubscriptionId>() {
                    openings.settled(&id.into_owned()).await;
                }
                end(request, params, connection, max_response_bytes, extensions)
            })
        }))
    }
}

/// A subscription that is asked for and not answered yet.
#[derive(Debug)]
pub(crate) struct PendingSubscription {
    sink: PendingSubscriptionSink,
    openings: Openings,
}

impl PendingSubscription {
    pub(crate) fn new(sink: PendingSubscriptionSink, openings: Openings) -> Self {
        Self { sink, openings }
    }

    /// Answers the subscription's id.
    ///
    /// # Errors
    /// [`PendingSubscriptionAcceptError`] if the client is gone.
    pub(crate) async fn accept(self) -> Result<SubscriptionSink, PendingSubscriptionAcceptError> {
        let _opening = self.openings.enter(self.sink.subscription_id());
        self.sink.accept().await
    }

    /// Answers why there will be none.
    pub(crate) async fn reject(self, error: ErrorObjectOwned) {
        self.sink.reject(error).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_ends_a_subscription_waits_until_it_is_open() {
        let openings = Openings::default();
        let id = SubscriptionId::Num(7);
        assert_eq!(openings.settled(&id).now_or_never(), Some(()), "nobody opens it");
        let opening = openings.enter(id.clone());
        let mut waiting = Box::pin(openings.settled(&id));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        assert_eq!(openings.settled(&SubscriptionId::Num(8)).now_or_never(), Some(()), "another one");
        drop(opening);
        assert_eq!(waiting.now_or_never(), Some(()));
    }
}
