//! Why a transaction is not admitted.

use std::borrow::Cow;

use alloy_primitives::U256;
use cloister_primitives::{Code, Rejected};

/// Why a transaction is not admitted. All are the sender's to mend; the words are geth's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// This very transaction is in the pool or in a block that is being made.
    #[error("already known")]
    AlreadyKnown,
    /// The nonce has been used.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The sender's next nonce.
        next: u64,
        /// The transaction's.
        nonce: u64,
    },
    /// The nonce lies too far beyond the first one missing.
    #[error("nonce too high: tx nonce {nonce}, gapped nonce {gapped}")]
    NonceTooHigh {
        /// The transaction's nonce.
        nonce: u64,
        /// The first nonce of the sender that is missing.
        gapped: u64,
    },
    /// The sender cannot pay for this transaction.
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {}", .cost.saturating_sub(*.balance))]
    InsufficientFunds {
        /// The sender's balance in wei.
        balance: U256,
        /// Gas limit × fee cap + value.
        cost: U256,
    },
    /// The sender cannot pay for this transaction and the ones already here.
    #[error("insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}, overshot {}", .queued.saturating_add(*.cost).saturating_sub(*.balance))]
    LaneOverdrawn {
        /// The sender's balance in wei.
        balance: U256,
        /// Cost of the sender's other transactions here.
        queued: U256,
        /// Gas limit × fee cap + value.
        cost: U256,
    },
    /// Another transaction has this nonce, and this one does not pay enough more; or the other is already in a block
    /// that is being made, where no price replaces it.
    #[error("replacement transaction underpriced")]
    ReplacementUnderpriced,
    /// The account has as many transactions here as it may have.
    #[error("account limit exceeded: pooled {pooled}")]
    AccountLimitExceeded {
        /// How many it has.
        pooled: usize,
    },
    /// No room, and nothing here is worth less.
    #[error("txpool is full")]
    PoolFull,
}

impl PoolError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::AlreadyKnown => Code::AlreadyKnown,
            Self::NonceTooLow { .. } => Code::NonceTooLow,
            Self::NonceTooHigh { .. } => Code::NonceTooHigh,
            Self::InsufficientFunds { .. } | Self::LaneOverdrawn { .. } => Code::InsufficientFunds,
            Self::ReplacementUnderpriced => Code::ReplacementUnderpriced,
            Self::AccountLimitExceeded { .. } => Code::AccountLimitExceeded,
            Self::PoolFull => Code::PoolFull,
        }
    }
}

impl From<PoolError> for Rejected {
    fn from(error: PoolError) -> Self {
        let text = error.to_string();
        let code = error.code();
        match text.strip_prefix(code.message()).and_then(|rest| rest.strip_prefix(": ")) {
            Some(detail) => Self::with_detail(code, Cow::Owned(detail.to_owned())),
            None => Self::new(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_geths_and_survive_as_a_refusal() {
        let wei = U256::from;
        let cases = [
            (PoolError::AlreadyKnown, "already known"),
            (PoolError::NonceTooLow { next: 5, nonce: 3 }, "nonce too low: next nonce 5, tx nonce 3"),
            (PoolError::NonceTooHigh { nonce: 9, gapped: 2 }, "nonce too high: tx nonce 9, gapped nonce 2"),
            (
                PoolError::InsufficientFunds { balance: wei(5), cost: wei(7) },
                "insufficient funds for gas * price + value: balance 5, tx cost 7, overshot 2",
            ),
            (
                PoolError::LaneOverdrawn { balance: wei(10), queued: wei(8), cost: wei(7) },
                "insufficient funds for gas * price + value: balance 10, queued cost 8, tx cost 7, overshot 5",
            ),
            (PoolError::ReplacementUnderpriced, "replacement transaction underpriced"),
            (PoolError::AccountLimitExceeded { pooled: 16 }, "account limit exceeded: pooled 16"),
            (PoolError::PoolFull, "txpool is full"),
        ];
        for (error, words) in cases {
            assert_eq!(error.to_string(), words);
            assert_eq!(Rejected::from(error.clone()).to_string(), words);
            assert_eq!(Rejected::from(error.clone()).code(), error.code());
        }
    }
}
