//! `eth_subscribe`: each subscription listens to the core's events and reads as its own caller.

use std::time::Duration;

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
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::timeout,
};

use crate::{
    Backlog, MethodCall, MethodInfo, Registry,
    convert::HeaderJson,
    errors::{self, RpcResult},
    logs::LogFilter,
    params::{Json, Param},
    transactions,
};

/// A client that does not take a notification for so long is let go.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// What a subscription is about.
enum Topic {
    NewHeads,
    Logs(LogFilter),
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
    match name.as_str() {
        "newHeads" => Ok(Topic::NewHeads),
        "syncing" => Ok(Topic::Syncing),
        "logs" => {
            let filter = LogFilter::decode(detail.unwrap_or("{}")).map_err(invalid)?;
            filter.check(call.context.limits.log_criteria)?;
            Ok(Topic::Logs(filter))
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

async fn subscribe(call: MethodCall, pending: PendingSubscriptionSink, backlog: Backlog) -> SubscriptionResult {
    let topic = match topic(&call) {
        Ok(topic) => topic,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    // Before the answer goes out: whatever happens after it is then heard.
    let events = call.context.events.subscribe();
    let subscription = Subscription { call, topic, sink: pending.accept().await?, backlog };
    match subscription.run(events).await {
        End::Gone => Ok(()),
        End::TooSlow => Err(SubscriptionError::from("subscription closed: the client is too slow")),
    }
}

struct Subscription {
    call: MethodCall,
    topic: Topic,
    sink: SubscriptionSink,
    backlog: Backlog,
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
        match &self.topic {
            Topic::NewHeads => {
                let seen = self.call.reader().open(&block.stored());
                self.send(&HeaderJson(seen)).await
            }
            Topic::Logs(filter) => {
                let seen = self.call.reader().open(&block.stored());
                for log in filter.of_block(&seen) {
                    self.send(&log).await?;
                }
                Ok(())
            }
            Topic::PendingHashes | Topic::PendingBodies | Topic::Syncing => Ok(()),
        }
    }

    async fn admitted(&self, transactions: &[(B256, Address)]) -> Result<(), End> {
        let with_bodies = match &self.topic {
            Topic::PendingHashes => false,
            Topic::PendingBodies => true,
            Topic::NewHeads | Topic::Logs(_) | Topic::Syncing => return Ok(()),
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
        let message = serde_json::value::to_raw_value(value).map_err(|_| End::Gone)?;
        let bytes = message.get().len();
        let sent = async {
            self.backlog.room().await;
            self.backlog.add(bytes);
            self.sink.send(SubscriptionMessage::from(message)).await
        };
        tokio::select! {
            () = self.sink.closed() => Err(End::Gone),
            sent = timeout(SEND_TIMEOUT, sent) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(End::Gone),
                Err(_) => Err(End::TooSlow),
            },
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
