//! `eth_subscribe`: each subscription listens to a feed of new blocks, or to the core's events, and reads as its own
//! caller.

use std::{pin::pin, time::Duration};

use alloy_primitives::{Address, B256};
use cloister_core::Event;
use cloister_primitives::Code;
use futures_util::FutureExt as _;
use jsonrpsee::{
    SubscriptionMessage, SubscriptionSink,
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
    Backlog, MethodCall, MethodInfo, Registry, SessionEnd,
    errors::{self, RpcResult},
    feeds::{Hearing, Subject},
    logs::LogFilter,
    opening::PendingSubscription,
    params::{Json, Param},
    transactions,
};

/// A client that does not take a notification for so long is let go.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// How pending transactions are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Hashes,
    Bodies,
}

/// What a subscription is about.
enum Topic {
    /// New blocks, or logs in them.
    Blocks(Subject),
    Pending(Shown),
    Syncing,
}

/// What a subscription listens to.
enum Source {
    Blocks(Hearing),
    Pending(Receiver<Event>, Shown),
    Syncing,
}

/// Why a subscription ends.
enum End {
    /// The client went away or unsubscribed; nobody is told.
    Gone,
    /// The client was too slow and is told so, if it still listens.
    TooSlow,
    /// The session it was made in is over.
    SessionOver,
}

fn topic(call: &MethodCall) -> RpcResult<Topic> {
    let (name, detail) = call.params::<(String, Option<Json<Box<RawValue>>>)>()?;
    let detail = detail.as_ref().map(|Json(detail)| detail.get());
    let invalid = |error| errors::invalid_params(format!("invalid argument 1: {error}"));
    match name.as_str() {
        "newHeads" => Ok(Topic::Blocks(Subject::NewHeads)),
        "syncing" => Ok(Topic::Syncing),
        "logs" => {
            let filter = LogFilter::decode(detail.unwrap_or("{}")).map_err(invalid)?;
            filter.check(call.context.limits.log_criteria)?;
            Ok(Topic::Blocks(Subject::Logs(filter)))
        }
        "newPendingTransactions" => match detail.map(bool::decode).transpose() {
            Ok(Some(true)) => Ok(Topic::Pending(Shown::Bodies)),
            Ok(Some(false) | None) => Ok(Topic::Pending(Shown::Hashes)),
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

/// Begins to listen. Whatever happens from now on is heard.
async fn listen(call: &MethodCall) -> RpcResult<Source> {
    match topic(call)? {
        Topic::Blocks(subject) => {
            let hearing = call.context.feeds.join(&call.caller, subject).await;
            hearing.map(Source::Blocks).ok_or_else(|| errors::code(Code::Unavailable))
        }
        Topic::Pending(shown) => Ok(Source::Pending(call.context.events.of_pool(), shown)),
        Topic::Syncing => Ok(Source::Syncing),
    }
}

async fn subscribe(
    call: MethodCall,
    pending: PendingSubscription,
    backlog: Backlog,
    session: SessionEnd,
) -> SubscriptionResult {
    // Before the answer goes out.
    let source = match listen(&call).await {
        Ok(source) => source,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    let subscription = Subscription { call, sink: pending.accept().await?, backlog };
    match subscription.run(source, session).await {
        End::Gone => Ok(()),
        End::SessionOver => Err(SubscriptionError::from("subscription closed: the session is over, sign in again")),
        End::TooSlow => Err(SubscriptionError::from("subscription closed: the client is too slow")),
    }
}

struct Subscription {
    call: MethodCall,
    sink: SubscriptionSink,
    backlog: Backlog,
}

impl Subscription {
    /// Tells what comes until it ends.
    async fn run(&self, source: Source, session: SessionEnd) -> End {
        let told = async {
            match source {
                Source::Blocks(hearing) => self.blocks(hearing).await,
                Source::Pending(events, shown) => self.pending(events, shown).await,
                Source::Syncing => match self.send(&false).await {
                    Ok(()) => core::future::pending().await,
                    Err(end) => end,
                },
            }
        };
        tokio::select! {
            () = self.sink.closed() => End::Gone,
            () = session.ended() => End::SessionOver,
            end = told => end,
        }
    }

    async fn blocks(&self, mut hearing: Hearing) -> End {
        // Missing one is the end, as is the end of the feed, which comes when it missed one itself.
        while let Ok(texts) = hearing.recv().await {
            for text in &*texts {
                if let Err(end) = self.send_text(text.clone()).await {
                    return end;
                }
            }
        }
        End::TooSlow
    }

    async fn pending(&self, mut events: Receiver<Event>, shown: Shown) -> End {
        loop {
            let told = match events.recv().await {
                Ok(Event::Admitted(transactions)) => self.admitted(&transactions, shown).await,
                Ok(Event::Committed(_) | Event::Reverted(_)) => Ok(()),
                Err(RecvError::Lagged(_)) => return End::TooSlow,
                Err(RecvError::Closed) => return End::Gone,
            };
            if let Err(end) = told {
                return end;
            }
        }
    }

    async fn admitted(&self, transactions: &[(B256, Address)], shown: Shown) -> Result<(), End> {
        for (hash, sender) in transactions {
            if !self.call.reader().sees_pool_of(*sender) {
                continue;
            }
            match shown {
                Shown::Hashes => self.send(hash).await?,
                Shown::Bodies => {
                    if let Ok(Some(transaction)) = transactions::find(&self.call, *hash).await {
                        self.send(&transaction).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn send(&self, value: &impl Serialize) -> Result<(), End> {
        self.send_text(serde_json::value::to_raw_value(value).map_err(|_| End::Gone)?).await
    }

    async fn send_text(&self, message: Box<RawValue>) -> Result<(), End> {
        let bytes = message.get().len();
        let mut sent = pin!(async {
            self.backlog.room().await;
            self.backlog.add(bytes);
            self.sink.send(SubscriptionMessage::from(message)).await
        });
        // As a rule there is room, and no clock needs to be wound up.
        if let Some(sent) = sent.as_mut().now_or_never() {
            return sent.map_err(|_| End::Gone);
        }
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
            "subscription, filter or full? -> id",
            "Notifies of events from now on; answers the subscription's id.",
        ),
        "eth_subscription",
        MethodInfo::new("eth_unsubscribe", "id -> flag", "Ends a subscription."),
        subscribe,
    )?;
    Ok(())
}
