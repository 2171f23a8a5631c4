//! `txpool_*`: pending and queued transactions, as far as the caller may see them.

use std::collections::BTreeMap;

use alloy_consensus::Transaction as _;
use alloy_primitives::Address;
use cloister_core::{RequestBody, Response};
use cloister_primitives::{Code, RecoveredTransaction};
use jsonrpsee::core::RegisterMethodError;
use serde::{Serialize, Serializer};

use crate::{
    MethodCall, MethodInfo, Registry,
    convert::{Quantity, TransactionJson},
    errors::{self, RpcResult},
};

/// An address with its checksum (EIP-55), as geth writes keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Checksummed(Address);

impl Serialize for Checksummed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_checksum(None))
    }
}

/// A nonce in decimal, as geth writes keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Decimal(u64);

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Clone, Debug, Serialize)]
struct Parts<T> {
    pending: T,
    queued: T,
}

type ByNonce<T> = BTreeMap<Decimal, T>;
type BySender<T> = BTreeMap<Checksummed, ByNonce<T>>;

async fn parts(call: &MethodCall, sender: Option<Address>) -> RpcResult<Parts<Vec<RecoveredTransaction>>> {
    let body = RequestBody::PoolContent { sender };
    let Response::PoolContent { pending, queued } = call.request(body).await? else {
        return Err(errors::code(Code::Internal));
    };
    let reader = call.reader();
    let seen = |transactions: Vec<RecoveredTransaction>| {
        transactions.into_iter().filter(|transaction| reader.sees_pool_of(transaction.signer())).collect()
    };
    Ok(Parts { pending: seen(pending), queued: seen(queued) })
}

fn by_sender<T>(transactions: Vec<RecoveredTransaction>, show: impl Fn(RecoveredTransaction) -> T) -> BySender<T> {
    let mut senders = BySender::new();
    for transaction in transactions {
        senders
            .entry(Checksummed(transaction.signer()))
            .or_insert_with(ByNonce::new)
            .insert(Decimal(transaction.nonce()), show(transaction));
    }
    senders
}

fn by_nonce(transactions: Vec<RecoveredTransaction>) -> ByNonce<TransactionJson> {
    transactions
        .into_iter()
        .map(|transaction| {
            let nonce = Decimal(transaction.nonce());
            (nonce, TransactionJson::pending(transaction))
        })
        .collect()
}

/// A transaction in one line, as geth writes it.
fn summary(transaction: RecoveredTransaction) -> String {
    let to = transaction.to().map_or_else(|| "contract creation".to_owned(), |to| to.to_checksum(None));
    format!(
        "{to}: {} wei + {} gas × {} wei",
        transaction.value(),
        transaction.gas_limit(),
        transaction.max_fee_per_gas()
    )
}

async fn status(call: MethodCall) -> RpcResult<Parts<Quantity>> {
    call.no_params()?;
    let parts = parts(&call, None).await?;
    Ok(Parts { pending: Quantity::count(parts.pending.len()), queued: Quantity::count(parts.queued.len()) })
}

async fn content(call: MethodCall) -> RpcResult<Parts<BySender<TransactionJson>>> {
    call.no_params()?;
    let parts = parts(&call, None).await?;
    Ok(Parts {
        pending: by_sender(parts.pending, TransactionJson::pending),
        queued: by_sender(parts.queued, TransactionJson::pending),
    })
}

async fn content_from(call: MethodCall) -> RpcResult<Parts<ByNonce<TransactionJson>>> {
    let (address,) = call.params::<(Address,)>()?;
    let parts = parts(&call, Some(address)).await?;
    Ok(Parts { pending: by_nonce(parts.pending), queued: by_nonce(parts.queued) })
}

async fn inspect(call: MethodCall) -> RpcResult<Parts<BySender<String>>> {
    call.no_params()?;
    let parts = parts(&call, None).await?;
    Ok(Parts { pending: by_sender(parts.pending, summary), queued: by_sender(parts.queued, summary) })
}

async fn pending_transactions(call: MethodCall) -> RpcResult<Vec<TransactionJson>> {
    call.no_params()?;
    let parts = parts(&call, None).await?;
    Ok(parts.pending.into_iter().map(TransactionJson::pending).collect())
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    registry
        .method(info("txpool_status", "-> pool", "Counts of pending and queued transactions."), status)?
        .method(info("txpool_content", "-> pool", "Pending and queued transactions."), content)?
        .method(
            info("txpool_contentFrom", "address -> pool", "Pending and queued transactions of a sender."),
            content_from,
        )?
        .method(info("txpool_inspect", "-> pool", "Pending and queued transactions, a line each."), inspect)?
        .method(info("eth_pendingTransactions", "-> transactions", "Pending transactions."), pending_transactions)?;
    Ok(())
}
