//! `eth_subscribe`: each subscription listens to the core's events and reads as its own caller.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256};
use cloister_core::{CommittedBlock, Event};
use cloister_primitives::Code;
use jsonrpsee::{
    PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink,
    core::{RegisterMethodError, SubscriptionError, SubscriptionResult},
    types::ErrorObjectOwned,
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    MethodCall, MethodInfo, Registry,
    errors::{self, RpcResult},
    feeds::{Feed, Subject},
    logs::LogFilter,
    params::{Json, Param},
    transactions,
};

/// A client that does not take a notification for so long is let go.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// What a subscription is about.
enum Topic {
    /// New blocks, or logs in them.
    Blocks(Arc<Feed>),
    PendingHashes,
    PendingBodies,
    Syncing,
}

/// Why a subscription ends.
enum End {
    /// The client went away or unsubscribed; nobody is told.
    Gone,
    /// The client was too slow and is told so, if it still listens.
    TooSlow,
}

fn topic(call: &MethodCall) -> RpcResult<Topic> {
    let (name, detail) = call.params::<(String, Option<Json<Box<RawValue>>>)>()?;
    let detail = detail.as_ref().map(|Json(detail)| detail.get());
    let invalid = |error| errors::invalid_params(format!("invalid argument 1: {error}"));
    let blocks = |subject| Topic::Blocks(call.context.feeds.join(&call.caller, subject));
    match name.as_str() {
        "newHeads" => Ok(blocks(Subject::NewHeads)),
        "syncing" => Ok(Topic::Syncing),
        "logs" => {
            let filter = LogFilter::decode(detail.unwrap_or("{}")).map_err(invalid)?;
            filter.check(call.context.limits.log_criteria)?;
            Ok(blocks(Subject::Logs(filter)))
        }
        "newPendingTransactions" => match detail.map(bool::decode).transpose() {
            Ok(Some(true)) => Ok(Topic::PendingBodies),
            Ok(Some(false) | None) => Ok(Topic::PendingHashes),
            Err(error) => Err(invalid(error)),
        },
        other => {
            let name: String = other.chars().take(64).collect();
            let message = format!("no {name:?} subscription in eth namespace");
            let number = Code::MethodNotFound.rpc_number();
            Err(ErrorObjectOwned::owned::<()>(number, message, None))
        }
    }
}

async fn subscribe(call: MethodCall, pending: PendingSubscriptionSink) -> SubscriptionResult {
    let topic = match topic(&call) {
        Ok(topic) => topic,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    // Before the answer goes out: whatever happens after it is then heard.
    let events = call.context.events.subscribe();
    let subscription = Subscription { call, topic, sink: pending.accept().await? };
    match subscription.run(events).await {
        End::Gone => Ok(()),
        End::TooSlow => Err(SubscriptionError::from("subscription closed: the client is too slow")),
    }
}

struct Subscription {
    call: MethodCall,
    topic: Topic,
    sink: SubscriptionSink,
}

impl Subscription {
    async fn run(&self, mut events: Receiver<Event>) -> End {
        if matches!(self.topic, Topic::Syncing)
            && let Err(end) = self.send(&false).await
        {
            return end;
        }
        loop {
            let event = tokio::select! {
                () = self.sink.closed() => return End::Gone,
                event = events.recv() => event,
            };
            let told = match event {
                Ok(Event::Committed(block)) => self.committed(&block).await,
                Ok(Event::Admitted(transactions)) => self.admitted(&transactions).await,
                Ok(Event::Reverted(_)) => Ok(()),
                Err(RecvError::Lagged(_)) => return End::TooSlow,
                Err(RecvError::Closed) => return End::Gone,
            };
            if let Err(end) = told {
                return end;
            }
        }
    }

    async fn committed(&self, block: &CommittedBlock) -> Result<(), End> {
        let Topic::Blocks(feed) = &self.topic else {
            return Ok(());
        };
        for text in &*feed.about(self.call.reader(), block) {
            self.send(text).await?;
        }
        Ok(())
    }

    async fn admitted(&self, transactions: &[(B256, Address)]) -> Result<(), End> {
        let with_bodies = match &self.topic {
            Topic::PendingHashes => false,
            Topic::PendingBodies => true,
            Topic::Blocks(_) | Topic::Syncing => return Ok(()),
        };
        for (hash, sender) in transactions {
            if !self.call.reader().sees_pool_of(*sender) {
                continue;
            }
            if !with_bodies {
                self.send(hash).await?;
            } else if let Ok(Some(transaction)) = transactions::find(&self.call, *hash).await {
                self.send(&transaction).await?;
            }
        }
        Ok(())
    }

    async fn send(&self, value: &impl Serialize) -> Result<(), End> {
        let id = self.sink.subscription_id();
        let message = SubscriptionMessage::new(self.sink.method_name(), id, value).map_err(|_| End::Gone)?;
        match self.sink.send_timeout(message, SEND_TIMEOUT).await {
            Ok(()) => Ok(()),
            Err(jsonrpsee::core::server::SendTimeoutError::Timeout(_)) => Err(End::TooSlow),
            Err(jsonrpsee::core::server::SendTimeoutError::Closed(_)) => Err(End::Gone),
        }
    }
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    registry.subscription(
        MethodInfo::new(
            "eth_subscribe",
            "newHeads | logs | newPendingTransactions | syncing, filter or full?",
            "Notifies of events from now on; answers the subscription's id.",
        ),
        "eth_subscription",
        MethodInfo::new("eth_unsubscribe", "id", "Ends a subscription."),
        subscribe,
    )?;
    Ok(())
}
