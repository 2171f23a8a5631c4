//! The one place where refusals become JSON-RPC errors.
//!
//! Codes and texts are geth's. A text says what the caller sent wrong or what it may know anyway;
//! never what lies in state, and never what went wrong inside.

use alloy_primitives::{B256, Bytes};
use cloister_core::CoreError;
use cloister_execution::{ExecutionError, revert_message};
use cloister_primitives::{Code, Rejected};
use cloister_state::StateError;
use jsonrpsee::types::ErrorObjectOwned;

/// `eth_sendRawTransactionSync` waited in vain (EIP-7966).
const SYNC_TIMEOUT: i32 = 4;

/// What handlers answer.
pub type RpcResult<T> = Result<T, ErrorObjectOwned>;

/// An error without data.
fn plain(code: i32, message: impl Into<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned::<()>(code, message, None)
}

/// `-32602` with this text.
#[must_use]
pub fn invalid_params(message: impl Into<String>) -> ErrorObjectOwned {
    plain(Code::InvalidParams.rpc_number(), message)
}

/// `-32000` with this text: geth's number for whatever has none of its own.
#[must_use]
pub fn server_error(message: impl Into<String>) -> ErrorObjectOwned {
    plain(Code::HeaderNotFound.rpc_number(), message)
}

/// The error of a stable code.
#[must_use]
pub fn code(code: Code) -> ErrorObjectOwned {
    plain(code.rpc_number(), code.message())
}

/// What a method that does not exist answers, in geth's words.
#[must_use]
pub fn no_such_method(name: &str) -> ErrorObjectOwned {
    let text = format!("the method {name} does not exist/is not available");
    plain(Code::MethodNotFound.rpc_number(), text)
}

/// A refusal with its detail.
#[must_use]
pub fn rejected(rejected: &Rejected) -> ErrorObjectOwned {
    plain(rejected.code().rpc_number(), rejected.to_string())
}

/// What the core answered instead of doing what it was asked.
#[must_use]
pub fn core(error: &CoreError) -> ErrorObjectOwned {
    match error {
        CoreError::Rejected(refusal) | CoreError::Dropped(refusal) => rejected(refusal),
        CoreError::Unavailable(_) => code(Code::Unavailable),
    }
}

/// The state of a block cannot be read. Why is the node's business, unless the caller can do
/// something about it.
#[must_use]
pub fn state(error: &StateError) -> ErrorObjectOwned {
    match error {
        StateError::Overtaken => code(Code::Unavailable),
        StateError::ProjectionTooLarge { .. } => code(Code::LimitExceeded),
        _ => code(Code::StateUnavailable),
    }
}

/// A call reverted: code 3, the reason if there is one, and what was returned as data.
#[must_use]
pub fn reverted(output: &Bytes) -> ErrorObjectOwned {
    let number = Code::ExecutionReverted.rpc_number();
    ErrorObjectOwned::owned(number, revert_message(output), Some(output))
}

/// An execution gave no answer.
#[must_use]
pub fn execution(error: &ExecutionError) -> ErrorObjectOwned {
    match error {
        ExecutionError::Rejected(refusal) => rejected(refusal),
        ExecutionError::Reverted { output } => reverted(output),
        ExecutionError::Halted { reason } => plain(Code::ExecutionHalted.rpc_number(), reason.clone()),
        ExecutionError::State(error) => state(error),
        _ => code(Code::Internal),
    }
}

/// The same error with data.
#[must_use]
pub fn with_data(error: ErrorObjectOwned, data: &Bytes) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(error.code(), error.message().to_owned(), Some(data))
}

/// The transaction is in the pool, but was not committed in time (EIP-7966).
#[must_use]
pub fn sync_timeout(hash: Option<B256>, timeout_ms: u64) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(
        SYNC_TIMEOUT,
        format!("The transaction was added to the transaction pool but wasn't processed in {}", duration(timeout_ms)),
        hash,
    )
}

/// Milliseconds as geth writes durations: `500ms`, `2s`, `1.5s`.
fn duration(ms: u64) -> String {
    if ms < 1_000 {
        return format!("{ms}ms");
    }
    let (seconds, rest) = (ms / 1_000, ms % 1_000);
    if rest == 0 {
        return format!("{seconds}s");
    }
    let fraction = format!("{rest:03}");
    format!("{seconds}.{}s", fraction.trim_end_matches('0'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn core_errors_keep_geths_code_and_text_and_hide_the_rest() {
        let low = CoreError::Rejected(Rejected::with_detail(Code::NonceTooLow, "next nonce 5, tx nonce 4"));
        let error = core(&low);
        assert_eq!(error.code(), -32000);
        assert_eq!(error.message(), "nonce too low: next nonce 5, tx nonce 4");
        let busy = core(&CoreError::Unavailable("queue of recovery is full"));
        assert_eq!(busy.message(), "temporarily unavailable, retry");
    }

    #[test]
    fn reverts_have_code_3_and_their_data() {
        let error = execution(&ExecutionError::Reverted { output: Bytes::from_static(b"wrong-calldatasize") });
        // The pair in the execution-apis vectors, word for word.
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"code":3,"message":"execution reverted","data":"0x77726f6e672d63616c6c6461746173697a65"}"#
        );
        let fatal = execution(&ExecutionError::Fatal("secret".to_owned()));
        assert_eq!((fatal.code(), fatal.message()), (-32603, "internal error"));
    }

    #[test]
    fn a_sync_timeout_carries_the_hash() {
        let error = sync_timeout(Some(B256::repeat_byte(1)), 2_500);
        assert_eq!(error.code(), 4);
        assert!(error.message().ends_with("wasn't processed in 2.5s"));
        let data: B256 = serde_json::from_str(error.data().unwrap().get()).unwrap();
        assert_eq!(data, B256::repeat_byte(1));
        assert_eq!(duration(500), "500ms");
        assert_eq!(duration(20_000), "20s");
    }
}
