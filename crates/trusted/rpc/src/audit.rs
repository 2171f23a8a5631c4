//! `cloister_audit`: a request of who audits a contract, or the whole ledger.
//!
//! What an auditor is going to ask stands on the ledger before he does, in a transaction of his own to the contract of rules
//! (`useAudit`). A request under an audit says so, and is one of those; whether there is anything to see makes no difference.

use alloy_primitives::Address;
use cloister_core::AuditRefusal;
use cloister_primitives::{Code, Rejected};
use jsonrpsee::{
    core::RegisterMethodError,
    types::{ErrorObjectOwned, Params},
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    MethodCall, MethodInfo, Registry, accounts, blocks, calls,
    convert::Written,
    debug,
    errors::{self, RpcResult},
    logs,
    params::{Json, Param},
    proofs, transactions,
};

type Answer = Box<RawValue>;

/// What can be asked under an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Call,
    Balance,
    Code,
    Storage,
    Logs,
    Transaction,
    Receipt,
    BlockByNumber,
    BlockByHash,
    BlockReceipts,
    Proof,
    TraceTransaction,
    TraceBlock,
    TraceCall,
}

/// By the names of the methods.
const ASKED: [(&str, Asked); 14] = [
    ("eth_call", Asked::Call),
    ("eth_getBalance", Asked::Balance),
    ("eth_getCode", Asked::Code),
    ("eth_getStorageAt", Asked::Storage),
    ("eth_getLogs", Asked::Logs),
    ("eth_getTransactionByHash", Asked::Transaction),
    ("eth_getTransactionReceipt", Asked::Receipt),
    ("eth_getBlockByNumber", Asked::BlockByNumber),
    ("eth_getBlockByHash", Asked::BlockByHash),
    ("eth_getBlockReceipts", Asked::BlockReceipts),
    ("eth_getProof", Asked::Proof),
    ("debug_traceTransaction", Asked::TraceTransaction),
    ("debug_traceBlockByNumber", Asked::TraceBlock),
    ("debug_traceCall", Asked::TraceCall),
];

impl Param for Asked {
    fn decode(json: &str) -> Result<Self, String> {
        let Json(name) = Json::<String>::decode(json)?;
        let known = ASKED.iter().find(|(known, _)| *known == name);
        known.map(|(_, asked)| *asked).ok_or_else(|| {
            let names: Vec<_> = ASKED.iter().map(|(name, _)| *name).collect();
            format!("no method to be asked under an audit; there are {}", names.join(", "))
        })
    }
}

impl Asked {
    async fn answer(self, call: MethodCall) -> RpcResult<Answer> {
        match self {
            Self::Call => json(&calls::eth_call(call).await?),
            Self::Balance => json(&accounts::balance(call).await?),
            Self::Code => json(&accounts::code(call).await?),
            Self::Storage => json(&accounts::storage_at(call).await?),
            Self::Logs => json(&Written(logs::get_logs(call).await?)),
            Self::Transaction => json(&transactions::by_hash(call).await?),
            Self::Receipt => json(&Written(transactions::receipt(call).await?)),
            Self::BlockByNumber => json(&blocks::by_number(call).await?),
            Self::BlockByHash => json(&blocks::by_hash(call).await?),
            Self::BlockReceipts => json(&Written(blocks::receipts(call).await?)),
            Self::Proof => json(&proofs::proof(call).await?),
            Self::TraceTransaction => debug::transaction(call).await,
            Self::TraceBlock => debug::block_by_number(call).await,
            Self::TraceCall => debug::call(call).await,
        }
    }
}

/// No answer has a map whose keys are no strings: it cannot fail.
fn json(answer: &impl Serialize) -> RpcResult<Answer> {
    to_raw_value(answer).map_err(|_| errors::code(Code::Internal))
}

fn refused(refusal: &AuditRefusal) -> ErrorObjectOwned {
    match refusal {
        AuditRefusal::Core(error) => errors::core(error),
        refusal => errors::rejected(&Rejected::with_detail(Code::AuditRefused, refusal.to_string())),
    }
}

async fn audit(call: MethodCall) -> RpcResult<Answer> {
    let (contract, asked, Json(params)) = call.params::<(Address, Asked, Json<Box<RawValue>>)>()?;
    let auditor = call.reader().audit(contract).map_err(|refusal| refused(&refusal))?;
    let params = Params::new(Some(params.get())).into_owned();
    asked.answer(MethodCall::new(call.context, auditor, params)).await
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    registry.method(
        MethodInfo::new(
            "cloister_audit",
            "contract, method, params -> answer of the method",
            "Another method's answer to who audits a contract, or everything at address zero; the use of the audit has to \
             stand on the ledger.",
        ),
        audit,
    )?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_asked_by_their_names() {
        assert_eq!(Asked::decode(r#""eth_getLogs""#), Ok(Asked::Logs));
        for other in [r#""eth_sendRawTransaction""#, r#""cloister_audit""#, "5", "null"] {
            assert!(Asked::decode(other).is_err(), "{other}");
        }
    }
}
