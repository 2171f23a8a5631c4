//! The stable error codes, and a refusal that carries one.

use core::fmt;
use std::borrow::Cow;

/// JSON-RPC number that geth uses for every refusal without a number of its own.
const SERVER_ERROR: i32 = -32000;

macro_rules! codes {
    ($( $(#[$doc:meta])* $variant:ident = $name:literal, $number:expr, $message:literal; )*) => {
        /// A stable error code: name, JSON-RPC number and message never change once released.
        ///
        /// Messages are geth's, word for word, where geth has one: wallets and test suites match on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $( $(#[$doc])* $variant, )*
        }

        impl Code {
            /// Every code, in the order of declaration.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// Kebab-case name, used in logs, metrics and documentation.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// The JSON-RPC error number.
            #[must_use]
            pub const fn rpc_number(self) -> i32 {
                match self { $( Self::$variant => $number, )* }
            }

            /// The message without detail.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $( Self::$variant => $message, )* }
            }
        }
    };
}

codes! {
    // What a transaction can be refused for.
    /// Bytes that are no transaction: bad RLP, trailing bytes, non-canonical integers.
    MalformedTransaction = "malformed-transaction", SERVER_ERROR, "rlp: malformed transaction";
    /// The encoded transaction is larger than the pool takes (128 KiB).
    OversizedData = "oversized-data", SERVER_ERROR, "oversized data";
    /// The type is unknown, or its fork is not active.
    TransactionTypeNotSupported = "transaction-type-not-supported", SERVER_ERROR, "transaction type not supported";
    /// EIP-4844 transactions carry blobs, which networks of this client do not keep.
    BlobTransactionsNotSupported = "blob-transactions-not-supported", SERVER_ERROR, "blob transactions are not supported by this network";
    /// A blob transaction's sidecar is missing or does not fit it.
    InvalidSidecar = "invalid-sidecar", SERVER_ERROR, "invalid blob sidecar";
    /// A legacy transaction without chain id (EIP-155) could be replayed here from any chain.
    UnprotectedTransaction = "unprotected-transaction", SERVER_ERROR, "only replay-protected (EIP-155) transactions allowed over RPC";
    /// The signature does not recover, or `s` is in the upper half (EIP-2).
    InvalidSender = "invalid-sender", SERVER_ERROR, "invalid sender";
    /// Signed for another chain.
    InvalidChainId = "invalid-chain-id", SERVER_ERROR, "invalid chain id for signer";
    /// The sender has already used this nonce.
    NonceTooLow = "nonce-too-low", SERVER_ERROR, "nonce too low";
    /// The nonce leaves a gap where none is allowed.
    NonceTooHigh = "nonce-too-high", SERVER_ERROR, "nonce too high";
    /// EIP-2681: the nonce is 2^64 - 1.
    NonceMax = "nonce-max", SERVER_ERROR, "nonce has max value";
    /// The balance does not cover gas at the fee cap plus the value.
    InsufficientFunds = "insufficient-funds", SERVER_ERROR, "insufficient funds for gas * price + value";
    /// A call's value exceeds the caller's balance.
    InsufficientFundsForTransfer = "insufficient-funds-for-transfer", SERVER_ERROR, "insufficient funds for transfer";
    /// The gas limit is below the intrinsic gas.
    IntrinsicGasTooLow = "intrinsic-gas-too-low", SERVER_ERROR, "intrinsic gas too low";
    /// EIP-7623: the gas limit is below the calldata floor.
    FloorDataGasTooLow = "floor-data-gas-too-low", SERVER_ERROR, "insufficient gas for floor data gas cost";
    /// The gas limit is above the block's.
    ExceedsBlockGasLimit = "exceeds-block-gas-limit", SERVER_ERROR, "exceeds block gas limit";
    /// EIP-7825: the gas limit is above the cap for one transaction.
    TransactionGasLimitTooHigh = "transaction-gas-limit-too-high", SERVER_ERROR, "transaction gas limit too high";
    /// The arithmetic of gas, price and value overflows 256 bits.
    GasUintOverflow = "gas-uint-overflow", SERVER_ERROR, "gas uint64 overflow";
    /// The fee cap is below the base fee of the block.
    FeeCapTooLow = "fee-cap-too-low", SERVER_ERROR, "max fee per gas less than block base fee";
    /// The tip is above the fee cap.
    TipAboveFeeCap = "tip-above-fee-cap", SERVER_ERROR, "max priority fee per gas higher than max fee per gas";
    /// The tip is below what the pool takes.
    Underpriced = "underpriced", SERVER_ERROR, "transaction underpriced";
    /// EIP-3860: the initcode is too large.
    InitcodeTooLarge = "initcode-too-large", SERVER_ERROR, "max initcode size exceeded";
    /// EIP-3607: the sender has code that is no EIP-7702 delegation.
    SenderNotEoa = "sender-not-eoa", SERVER_ERROR, "sender not an eoa";
    /// EIP-7702: no authorization in the list.
    EmptyAuthorizationList = "empty-authorization-list", SERVER_ERROR, "set code tx must have at least one authorization tuple";
    /// EIP-7702: such a transaction cannot create a contract.
    SetCodeCreate = "set-code-create", SERVER_ERROR, "EIP-7702 transaction cannot be used to create contract";

    // What the pool adds.
    /// The same transaction is already there.
    AlreadyKnown = "already-known", SERVER_ERROR, "already known";
    /// A replacement must raise the fees by at least 10 %.
    ReplacementUnderpriced = "replacement-underpriced", SERVER_ERROR, "replacement transaction underpriced";
    /// No room, and the newcomer pays no more than what is there.
    PoolFull = "pool-full", SERVER_ERROR, "txpool is full";
    /// Too many transactions of one account.
    AccountLimitExceeded = "account-limit-exceeded", SERVER_ERROR, "account limit exceeded";

    // Calls.
    /// The call reverted; `data` holds what it returned.
    ExecutionReverted = "execution-reverted", 3, "execution reverted";
    /// The call ended in an exceptional halt.
    ExecutionHalted = "execution-halted", SERVER_ERROR, "execution halted";
    /// No gas limit within the allowance lets the call succeed.
    GasRequiredExceedsAllowance = "gas-required-exceeds-allowance", SERVER_ERROR, "gas required exceeds allowance";
    /// A state override contradicts itself or another.
    InvalidOverride = "invalid-override", SERVER_ERROR, "invalid override";

    // Simulations. The numbers are those of the execution-apis specification, `eth_simulateV1`.
    /// The sender has already used this nonce.
    SimulatedNonceTooLow = "simulated-nonce-too-low", -38010, "nonce too low";
    /// The nonce leaves a gap.
    SimulatedNonceTooHigh = "simulated-nonce-too-high", -38011, "nonce too high";
    /// The fee cap is below the base fee of the simulated block.
    SimulatedFeeCapTooLow = "simulated-fee-cap-too-low", -38012, "max fee per gas less than block base fee";
    /// The gas limit is below the intrinsic gas.
    SimulatedIntrinsicGas = "simulated-intrinsic-gas", -38013, "intrinsic gas too low";
    /// The balance does not cover gas at the fee cap plus the value.
    SimulatedInsufficientFunds = "simulated-insufficient-funds", -38014, "insufficient funds for gas * price + value";
    /// The calls ask for more gas than the simulated block has.
    SimulatedBlockGasLimit = "simulated-block-gas-limit", -38015, "block gas limit reached";
    /// Heights of simulated blocks do not ascend.
    SimulatedBlockNumber = "simulated-block-number", -38020, "block numbers must be in order";
    /// Timestamps of simulated blocks do not ascend.
    SimulatedTimestamp = "simulated-timestamp", -38021, "block timestamps must be in order";
    /// A precompile is moved to an address that is overridden, its own among them.
    MovedToOverridden = "moved-to-overridden", -38022, "precompile moved to an overridden account";
    /// Two precompiles are moved to one address.
    MovedTogether = "moved-together", -38023, "precompiles moved to one account";
    /// EIP-3860: the initcode of a simulated call is too large.
    SimulatedInitcodeTooLarge = "simulated-initcode-too-large", -38025, "max initcode size exceeded";
    /// More blocks or calls than one simulation may have.
    SimulationTooLarge = "simulation-too-large", -38026, "too many blocks";
    /// A simulated call is invalid in a way that has no number of its own.
    SimulatedCallInvalid = "simulated-call-invalid", -32603, "invalid call";
    /// A simulated call contradicts itself or the chain.
    SimulatedCallContradicts = "simulated-call-contradicts", SERVER_ERROR, "contradicting call";
    /// The tip of a simulated call is above its fee cap.
    SimulatedFeesInvalid = "simulated-fees-invalid", -32602, "max priority fee per gas higher than max fee per gas";

    // Reads.
    /// No such block.
    HeaderNotFound = "header-not-found", SERVER_ERROR, "header not found";
    /// The state of that block is no longer kept.
    StateUnavailable = "state-unavailable", SERVER_ERROR, "historical state is not available";
    /// No such filter, or it expired.
    FilterNotFound = "filter-not-found", SERVER_ERROR, "filter not found";
    /// `fromBlock` lies behind `toBlock`.
    InvalidBlockRange = "invalid-block-range", -32602, "invalid block range params";
    /// The log range spans too many blocks.
    BlockRangeTooWide = "block-range-too-wide", -32005, "block range too wide";
    /// More answers than one response may carry.
    TooManyResults = "too-many-results", -32005, "query returned more results than allowed";
    /// The resource is not there, or not the caller's to see: the two look the same.
    ResourceUnavailable = "resource-unavailable", -32001, "resource not found";

    // The edge.
    /// The body is no JSON.
    ParseError = "parse-error", -32700, "parse error";
    /// JSON, but no request.
    InvalidRequest = "invalid-request", -32600, "invalid request";
    /// No such method, or not for this caller.
    MethodNotFound = "method-not-found", -32601, "the method does not exist/is not available";
    /// Wrong parameters.
    InvalidParams = "invalid-params", -32602, "invalid params";
    /// A session token that this network did not make, or that was altered.
    SessionInvalid = "session-invalid", -32040, "the session token is not valid, sign in again";
    /// A session token whose time is over, in committed block time.
    SessionExpired = "session-expired", -32041, "the session has expired, sign in again";
    /// A session token that was taken back.
    SessionRevoked = "session-revoked", -32042, "the session was revoked, sign in again";
    /// A session token in a URL, where genesis or the connection does not allow that.
    PathTokenRefused = "path-token-refused", -32043, "session tokens are not accepted in the URL here, send an Authorization header";
    /// A sign-in (EIP-4361) that proves nothing.
    SignInRefused = "sign-in-refused", -32044, "sign-in refused";
    /// A sealed transaction that does not open, or that the pool does not take: nobody is told which.
    SealedTransactionRefused = "sealed-transaction-refused", -32045, "sealed transaction refused: ask for the current sealing key and seal again";
    /// A signed query (EIP-712) outside of its range, or of somebody else.
    SignedQueryRefused = "signed-query-refused", -32046, "signed query refused";
    /// A request under an audit that was not granted, or of which the ledger does not say that it will be made.
    AuditRefused = "audit-refused", -32047, "audit refused";
    /// A fault of this program.
    Internal = "internal", -32603, "internal error";
    /// More of something than one client may use.
    LimitExceeded = "limit-exceeded", -32005, "limit exceeded";
    /// Too many requests in a batch.
    BatchTooLarge = "batch-too-large", -32600, "batch too large";
    /// The response would be too large.
    ResponseTooLarge = "response-too-large", -32003, "response too large";
    /// The request took too long.
    Timeout = "timeout", -32002, "request timed out";
    /// Not now: starting, not the leader, or storage is full. Retrying may help.
    Unavailable = "unavailable", SERVER_ERROR, "temporarily unavailable, retry";
}

impl Code {
    /// Whether geth's message for it is the detail alone, without a text that all such errors begin with.
    const fn is_told_by_detail(self) -> bool {
        matches!(
            self,
            Self::InvalidOverride
                | Self::SimulatedNonceTooLow
                | Self::SimulatedNonceTooHigh
                | Self::SimulatedFeeCapTooLow
                | Self::SimulatedIntrinsicGas
                | Self::SimulatedInsufficientFunds
                | Self::SimulatedBlockGasLimit
                | Self::SimulatedBlockNumber
                | Self::SimulatedTimestamp
                | Self::MovedToOverridden
                | Self::MovedTogether
                | Self::SimulatedInitcodeTooLarge
                | Self::SimulationTooLarge
                | Self::SimulatedCallInvalid
                | Self::SimulatedCallContradicts
                | Self::SimulatedFeesInvalid
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// A refusal that is the caller's to mend: a stable code, and what exactly was wrong.
///
/// Displays as geth writes it: `message`, or `message: detail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    code: Code,
    detail: Cow<'static, str>,
}

impl Rejected {
    /// A refusal whose code says everything.
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self { code, detail: Cow::Borrowed("") }
    }

    /// A refusal with detail, as in `intrinsic gas too low: gas 20000, minimum needed 21000`.
    #[must_use]
    pub fn with_detail(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What follows the colon; empty if nothing does.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<Code> for Rejected {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code.is_told_by_detail() && !self.detail.is_empty() {
            return f.write_str(&self.detail);
        }
        f.write_str(self.code.message())?;
        if self.detail.is_empty() {
            return Ok(());
        }
        // geth writes the allowance in parentheses, everything else after a colon.
        if self.code == Code::GasRequiredExceedsAllowance || self.code == Code::TransactionGasLimitTooHigh {
            write!(f, " ({})", self.detail)
        } else {
            write!(f, ": {}", self.detail)
        }
    }
}

impl core::error::Error for Rejected {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_kebab_case() {
        let mut seen = BTreeSet::new();
        for code in Code::ALL {
            let name = code.name();
            assert!(seen.insert(name), "{name} twice");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
        }
    }

    #[test]
    fn displays_as_geth_does() {
        let low = Rejected::with_detail(Code::NonceTooLow, "next nonce 5, tx nonce 4");
        assert_eq!(low.to_string(), "nonce too low: next nonce 5, tx nonce 4");
        assert_eq!(Rejected::new(Code::AlreadyKnown).to_string(), "already known");
        let gas = Rejected::with_detail(Code::GasRequiredExceedsAllowance, "30000");
        assert_eq!(gas.to_string(), "gas required exceeds allowance (30000)");
        assert_eq!(gas.code().rpc_number(), -32000);
        assert_eq!(Code::ExecutionReverted.rpc_number(), 3);
        let order = Rejected::with_detail(Code::SimulatedBlockNumber, "block numbers must be in order: 3 <= 3");
        assert_eq!(order.to_string(), "block numbers must be in order: 3 <= 3");
    }
}
