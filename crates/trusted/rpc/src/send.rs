//! Sending transactions, and filling in what an unsigned one lacks.

use std::time::Duration;

use alloy_consensus::{
    EthereumTxEnvelope, EthereumTypedTransaction, SignableTransaction as _, TxEip1559, TxEip2930, TxEip4844, TxEip7702,
    TxLegacy,
};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{B256, Bytes, Signature, TxKind, U256, keccak256};
use cloister_core::{AnswerAt, RequestBody, Response};
use cloister_primitives::{Code, Transaction, envelope::SEALED_TRANSACTION};
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::{
    MethodCall, MethodInfo, Registry,
    accounts::pending_nonce,
    calls::{TransactionArgs, estimate},
    convert::{ReceiptJson, UnsignedJson},
    errors::{self, RpcResult},
    fees,
    params::{Param, json_string},
    transactions::receipt_of,
};

async fn send_raw(call: MethodCall) -> RpcResult<B256> {
    let (raw,) = call.params::<(Bytes,)>()?;
    let body = RequestBody::Submit { raw, answer_at: AnswerAt::CommitIfInstant };
    match call.request(body).await? {
        Response::Admitted { hash } | Response::Included { hash, .. } => Ok(hash),
        _ => Err(errors::code(Code::Internal)),
    }
}

/// Milliseconds, as a JSON number or a hex quantity.
struct Milliseconds(u64);

impl Param for Milliseconds {
    fn decode(json: &str) -> Result<Self, String> {
        match json_string(json) {
            Some(text) => Self::from_text(&text),
            None => json.parse().map(Self).map_err(|_| "timeout is not a number of milliseconds".to_owned()),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        u64::from_text(text).map(Self)
    }
}

/// Sends a transaction and answers its receipt (EIP-7966).
async fn send_raw_sync(call: MethodCall) -> RpcResult<Option<ReceiptJson>> {
    let (raw, timeout) = call.params::<(Bytes, Option<Milliseconds>)>()?;
    let longest = call.context.limits.sync_timeout_ms;
    let timeout_ms = match timeout {
        Some(Milliseconds(wanted)) if wanted > 0 => wanted.min(longest),
        _ => longest,
    };
    // A transaction's hash is that of its bytes, whatever its type; a sealed one's nobody knows before it is opened.
    let known = (raw.first() != Some(&SEALED_TRANSACTION)).then(|| keccak256(&raw));
    let body = RequestBody::Submit { raw, answer_at: AnswerAt::Commit };
    let answer = tokio::time::timeout(Duration::from_millis(timeout_ms), call.request(body)).await;
    match answer {
        Ok(answer) => match answer? {
            Response::Admitted { hash } | Response::Included { hash, .. } => receipt_of(&call, hash).await,
            _ => Err(errors::code(Code::Internal)),
        },
        Err(_) => Err(errors::sync_timeout(known, timeout_ms)),
    }
}

/// The filled transaction and its bytes, as geth answers them.
#[derive(Clone, Debug, Serialize)]
struct Filled {
    raw: Bytes,
    tx: UnsignedJson,
}

async fn fill(call: MethodCall) -> RpcResult<Filled> {
    let (args,) = call.params::<(TransactionArgs,)>()?;
    let transaction = fill_in(&call, args).await?;
    let unsigned = unsigned(transaction);
    Ok(Filled { raw: unsigned.encoded_2718().into(), tx: UnsignedJson(unsigned) })
}

/// Completes a transaction with nonce, gas and fees, where it has none.
///
/// # Errors
/// `-32000` with geth's text if the fields contradict each other, or what the estimate answered.
pub async fn fill_in(call: &MethodCall, mut args: TransactionArgs) -> RpcResult<EthereumTypedTransaction<TxEip4844>> {
    args.check_fees()?;
    let chain_id = call.context.ledger.spec().chain_id();
    if let Some(given) = args.chain_id
        && given != chain_id
    {
        return Err(errors::server_error(format!("chainId does not match node's (have={given}, want={chain_id})")));
    }
    if args.to.is_none() && args.input.as_ref().is_none_or(|input| input.is_empty()) {
        return Err(errors::server_error("contract creation without any data provided"));
    }
    if args.blob_versioned_hashes.is_some() {
        return Err(errors::code(Code::BlobTransactionsNotSupported));
    }
    fill_fees(call, &mut args)?;
    if args.nonce.is_none() {
        args.nonce = Some(pending_nonce(call, args.from.unwrap_or_default()).await?);
    }
    if args.gas.is_none() {
        let request = args.clone().into_call_request()?;
        args.gas = Some(estimate(call, request).await?);
    }
    Ok(typed(args, chain_id))
}

fn fill_fees(call: &MethodCall, args: &mut TransactionArgs) -> RpcResult<()> {
    if args.gas_price.is_some() {
        return Ok(());
    }
    let head = call.head()?;
    let Some(base_fee) = head.header().base_fee_per_gas else {
        args.gas_price = Some(fees::suggested_price(call)?);
        return Ok(());
    };
    let suggested = fees::suggested_tip(call.context.ledger.spec());
    let tip = args
        .max_priority_fee_per_gas
        .unwrap_or_else(|| args.max_fee_per_gas.map_or(suggested, |cap| suggested.min(cap)));
    let cap = args
        .max_fee_per_gas
        // Room for the base fee to double, as in geth.
        .unwrap_or_else(|| tip.saturating_add(2 * u128::from(base_fee)));
    if tip > cap {
        return Err(errors::server_error(format!("maxFeePerGas ({cap}) < maxPriorityFeePerGas ({tip})")));
    }
    args.max_priority_fee_per_gas = Some(tip);
    args.max_fee_per_gas = Some(cap);
    Ok(())
}

/// The oldest type that carries everything that is set.
fn typed(args: TransactionArgs, chain_id: u64) -> EthereumTypedTransaction<TxEip4844> {
    let to = args.to.map_or(TxKind::Create, TxKind::Call);
    let nonce = args.nonce.unwrap_or(0);
    let gas_limit = args.gas.unwrap_or(0);
    let value = args.value.unwrap_or_default();
    let input = args.input.unwrap_or_default();
    let access_list = args.access_list.clone().unwrap_or_default();
    let max_fee_per_gas = args.max_fee_per_gas.unwrap_or(0);
    let max_priority_fee_per_gas = args.max_priority_fee_per_gas.unwrap_or(0);
    let gas_price = args.gas_price.unwrap_or(0);
    if let (Some(authorization_list), Some(to)) = (args.authorization_list, args.to) {
        EthereumTypedTransaction::Eip7702(TxEip7702 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to,
            value,
            access_list,
            authorization_list,
            input,
        })
    } else if args.max_fee_per_gas.is_some() {
        EthereumTypedTransaction::Eip1559(TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to,
            value,
            access_list,
            input,
        })
    } else if args.access_list.is_some() {
        EthereumTypedTransaction::Eip2930(TxEip2930 {
            chain_id,
            nonce,
            gas_price,
            gas_limit,
            to,
            value,
            access_list,
            input,
        })
    } else {
        EthereumTypedTransaction::Legacy(TxLegacy {
            chain_id: Some(chain_id),
            nonce,
            gas_price,
            gas_limit,
            to,
            value,
            input,
        })
    }
}

/// With a signature of zeros, as geth shows what is not signed yet.
fn unsigned(transaction: EthereumTypedTransaction<TxEip4844>) -> Transaction {
    let signature = Signature::new(U256::ZERO, U256::ZERO, false);
    match transaction {
        EthereumTypedTransaction::Legacy(legacy) => legacy.into_signed(signature).into(),
        EthereumTypedTransaction::Eip2930(inner) => inner.into_signed(signature).into(),
        EthereumTypedTransaction::Eip1559(inner) => inner.into_signed(signature).into(),
        EthereumTypedTransaction::Eip4844(inner) => EthereumTxEnvelope::Eip4844(inner.into_signed(signature)),
        EthereumTypedTransaction::Eip7702(inner) => inner.into_signed(signature).into(),
    }
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    registry
        .text(
            info(
                "eth_sendRawTransaction",
                "raw transaction -> hash",
                "Sends a signed transaction, in the clear or sealed; answers its hash, with instant blocks once it is committed.",
            ),
            send_raw,
        )?
        .text(
            info(
                "eth_sendRawTransactionSync",
                "raw transaction, timeout? -> receipt",
                "Sends a signed transaction and answers its receipt (EIP-7966).",
            ),
            send_raw_sync,
        )?
        .method(
            info(
                "eth_fillTransaction",
                "transaction -> filled transaction",
                "Completes an unsigned transaction with nonce, gas and fees.",
            ),
            fill,
        )?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn filled(json: &str) -> serde_json::Value {
        let args = TransactionArgs::decode(json).unwrap();
        serde_json::to_value(UnsignedJson(unsigned(typed(args, 5)))).unwrap()
    }

    #[test]
    fn the_oldest_type_that_fits_is_chosen() {
        let to = r#""to":"0x14e46043e63d0e3cdcf2530519f4cfaf35058cb2""#;
        let legacy = filled(&format!(r#"{{{to},"gasPrice":"0x7","nonce":"0x3"}}"#));
        assert_eq!(legacy["type"], "0x0");
        assert_eq!(legacy["gasPrice"], "0x7");
        assert_eq!(legacy["chainId"], "0x5");
        let list = filled(&format!(r#"{{{to},"gasPrice":"0x7","accessList":[]}}"#));
        assert_eq!(list["type"], "0x1");
        let fees = filled(&format!(r#"{{{to},"maxFeePerGas":"0x7","gas":"0x5208"}}"#));
        assert_eq!(fees["type"], "0x2");
        assert_eq!(fees["gas"], "0x5208");
        assert_eq!(fees["gasPrice"], serde_json::Value::Null);
        assert_eq!(fees["r"], "0x0");
    }

    #[test]
    fn timeouts_are_numbers_or_quantities() {
        let ms = |json| Milliseconds::decode(json).map(|Milliseconds(ms)| ms);
        assert_eq!(ms("2000"), Ok(2_000));
        assert_eq!(ms("\"0x7d0\""), Ok(2_000));
        assert!(ms("-1").is_err());
    }
}
