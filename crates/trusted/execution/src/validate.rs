//! What a transaction must satisfy before it may wait for a block.

use alloy_consensus::Transaction as _;
use alloy_eips::eip2718::Typed2718;
use alloy_eips::eip7702::constants::EIP7702_DELEGATION_DESIGNATOR;
use alloy_evm::spec_by_timestamp_and_block_number;
use alloy_primitives::{Address, B256, U256};
use cloister_keccak::keccak256_all;
use cloister_primitives::{ChainSpec, Code, EthereumHardfork, RecoveredTransaction, Rejected, Transaction};
use cloister_state::{Account, StateError, StateView};
use revm::context_interface::cfg::GasParams;

use crate::transaction::{floor_gas, gas_cap, intrinsic_gas};

/// Bytes of an EIP-7702 delegation: the designator and an address.
const DELEGATION_LENGTH: usize = 23;

/// Where a transaction comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a client, signed.
    External,
    /// Signed here with a development key, or returned to the pool by a rewind.
    Local,
    /// From a sender whose key nobody has; development networks only.
    Impersonated,
}

/// What validation needs to know of the newest block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadFacts {
    /// Height of the block that the transaction could enter next.
    pub height: u64,
    /// Its time, seconds since 1970.
    pub timestamp: u64,
    /// Its base fee in wei per gas; zero before London.
    pub base_fee: u64,
    /// Its gas limit.
    pub gas_limit: u64,
}

/// What validation needs to know of the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderFacts {
    /// The next nonce that the state expects.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// What code the account has.
    pub code: SenderCode,
}

/// Code of an account, as far as sending goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SenderCode {
    /// No code.
    #[default]
    None,
    /// An EIP-7702 delegation, which may send.
    Delegation,
    /// A contract, which may not (EIP-3607).
    Contract,
}

impl SenderFacts {
    /// Reads the facts about `sender`; an account that does not exist has the default ones.
    ///
    /// # Errors
    /// [`StateError`] if the view's height is no longer available.
    pub fn read(view: &StateView, sender: Address) -> Result<Self, StateError> {
        Self::of(view, view.account(sender)?)
    }

    /// As [`Self::read`], for many senders, in their order.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_all(view: &StateView, senders: &[Address]) -> Result<Vec<Self>, StateError> {
        let accounts = keccak256_all(senders).into_iter().map(|hash| view.account_of_hashed(hash));
        accounts.map(|account| Self::of(view, account?)).collect()
    }

    fn of(view: &StateView, account: Option<Account>) -> Result<Self, StateError> {
        let Some(account) = account else {
            return Ok(Self::default());
        };
        let code = if account.has_code() {
            match view.code(account.code_hash)? {
                Some(code) if is_delegation(&code) => SenderCode::Delegation,
                _ => SenderCode::Contract,
            }
        } else {
            SenderCode::None
        };
        Ok(Self { nonce: account.nonce, balance: account.balance, code })
    }
}

fn is_delegation(code: &[u8]) -> bool {
    code.len() == DELEGATION_LENGTH && code.starts_with(&EIP7702_DELEGATION_DESIGNATOR)
}

/// A transaction that passed [`validate`]. There is no other way to make one.
///
/// It was valid against the facts given then. The block builder checks again, because states move on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidTx {
    transaction: RecoveredTransaction,
    origin: Origin,
    encoded_len: usize,
    cost: U256,
}

impl ValidTx {
    /// Transaction hash.
    #[must_use]
    pub fn hash(&self) -> B256 {
        *self.transaction.tx_hash()
    }

    /// Recovered, or impersonated, sender.
    #[must_use]
    pub fn sender(&self) -> Address {
        self.transaction.signer()
    }

    /// Nonce.
    #[must_use]
    pub fn nonce(&self) -> u64 {
        self.transaction.nonce()
    }

    /// Gas limit: what it counts for when a block is filled.
    #[must_use]
    pub fn gas_limit(&self) -> u64 {
        self.transaction.gas_limit()
    }

    /// Fee cap in wei per gas; the gas price of types that have one.
    #[must_use]
    pub fn max_fee_per_gas(&self) -> u128 {
        self.transaction.max_fee_per_gas()
    }

    /// Tip cap in wei per gas; the gas price of types that have one.
    #[must_use]
    pub fn max_priority_fee_per_gas(&self) -> u128 {
        self.transaction.max_priority_fee_per_gas().unwrap_or_else(|| self.transaction.max_fee_per_gas())
    }

    /// Tip in wei per gas that is left at `base_fee`; `None` if the fee cap is below it.
    #[must_use]
    pub fn effective_tip(&self, base_fee: u64) -> Option<u128> {
        self.transaction.effective_tip_per_gas(base_fee)
    }

    /// The most this transaction can take from its sender: gas limit × fee cap, blob gas × its fee cap, and the
    /// value, in wei.
    #[must_use]
    pub const fn cost(&self) -> U256 {
        self.cost
    }

    /// Length of the EIP-2718 encoding in bytes.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        self.encoded_len
    }

    /// Where it came from.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The transaction with its sender.
    #[must_use]
    pub const fn transaction(&self) -> &RecoveredTransaction {
        &self.transaction
    }

    /// Gives the transaction back, which ends its being valid.
    #[must_use]
    pub fn into_transaction(self) -> RecoveredTransaction {
        self.transaction
    }
}

/// Checks a transaction as geth's pool does, in the same order, so that the first fault named is the same.
///
/// A fee cap below the block's base fee is no fault, and neither is a nonce above the sender's: such a
/// transaction waits. Nonce lanes, replacement and the pool's own limits are the pool's.
///
/// # Errors
/// [`Rejected`] with the code of the first rule that is broken.
pub fn validate(
    transaction: RecoveredTransaction,
    origin: Origin,
    chain: &ChainSpec,
    head: &HeadFacts,
    sender: &SenderFacts,
) -> Result<ValidTx, Rejected> {
    let encoded_len = transaction.eip2718_encoded_length();
    let tx = transaction.inner();
    check_shape(tx, encoded_len, chain, head)?;
    check_fees(tx)?;
    check_blobs(tx, chain, head)?;
    check_chain_id(tx, origin, chain)?;
    if tx.nonce() == u64::MAX {
        return Err(Code::NonceMax.into());
    }
    check_gas(tx, chain, head)?;
    if tx.authorization_list().is_some_and(<[alloy_eips::eip7702::SignedAuthorization]>::is_empty) {
        return Err(Code::EmptyAuthorizationList.into());
    }
    if sender.code == SenderCode::Contract && origin != Origin::Impersonated {
        let address = transaction.signer();
        return Err(Rejected::with_detail(Code::SenderNotEoa, format!("address {address}")));
    }
    let cost = check_sender(tx, sender)?;
    Ok(ValidTx { transaction, origin, encoded_len, cost })
}

/// Type, size, initcode and gas limit against the chain and the block.
fn check_shape(tx: &Transaction, encoded_len: usize, chain: &ChainSpec, head: &HeadFacts) -> Result<(), Rejected> {
    let limits = chain.limits();
    let active = |fork| chain.is_active(fork, head.height, head.timestamp);
    let fork = match tx {
        Transaction::Legacy(_) => EthereumHardfork::Frontier,
        Transaction::Eip2930(_) => EthereumHardfork::Berlin,
        Transaction::Eip1559(_) => EthereumHardfork::London,
        Transaction::Eip4844(_) if !chain.is_imported() => return Err(Code::BlobTransactionsNotSupported.into()),
        Transaction::Eip4844(_) => EthereumHardfork::Cancun,
        Transaction::Eip7702(_) => EthereumHardfork::Prague,
    };
    if encoded_len > limits.max_transaction_size_bytes {
        let limit = limits.max_transaction_size_bytes;
        return Err(Rejected::with_detail(
            Code::OversizedData,
            format!("transaction size {encoded_len}, limit {limit}"),
        ));
    }
    if !active(fork) {
        return Err(Rejected::with_detail(
            Code::TransactionTypeNotSupported,
            format!("type {} rejected, chain not yet in {fork}", tx.ty()),
        ));
    }
    let initcode = if tx.is_create() { tx.input().len() } else { 0 };
    if active(EthereumHardfork::Shanghai) && initcode > limits.max_initcode_size_bytes {
        let limit = limits.max_initcode_size_bytes;
        return Err(Rejected::with_detail(Code::InitcodeTooLarge, format!("code size {initcode}, limit {limit}")));
    }
    if let Some(cap) = chain.transaction_gas_cap_at(head.height, head.timestamp)
        && tx.gas_limit() > cap
    {
        return Err(gas_cap(tx.gas_limit(), cap));
    }
    if tx.gas_limit() > head.gas_limit {
        return Err(Code::ExceedsBlockGasLimit.into());
    }
    let most = chain.limits().max_transaction_gas;
    if tx.gas_limit() > most {
        let detail = format!("have {}, this network takes {most} at most", tx.gas_limit());
        return Err(Rejected::with_detail(Code::ExceedsBlockGasLimit, detail));
    }
    Ok(())
}

fn check_fees(tx: &Transaction) -> Result<(), Rejected> {
    match tx.max_priority_fee_per_gas() {
        Some(tip) if tip > tx.max_fee_per_gas() => Err(Code::TipAboveFeeCap.into()),
        _ => Ok(()),
    }
}

/// How many blobs, and whether anything is offered for them.
fn check_blobs(tx: &Transaction, chain: &ChainSpec, head: &HeadFacts) -> Result<(), Rejected> {
    let Some(hashes) = tx.blob_versioned_hashes() else {
        return Ok(());
    };
    let Some(blobs) = chain.blob_params_at(head.timestamp) else {
        return Ok(());
    };
    if hashes.len() as u64 > blobs.max_blobs_per_tx {
        let detail = format!("{} blobs, at most {} are allowed", hashes.len(), blobs.max_blobs_per_tx);
        return Err(Rejected::with_detail(Code::InvalidSidecar, detail));
    }
    if tx.max_fee_per_blob_gas() == Some(0) {
        return Err(Rejected::with_detail(Code::Underpriced, "blob fee cap 0, minimum needed 1"));
    }
    Ok(())
}

fn check_chain_id(tx: &Transaction, origin: Origin, chain: &ChainSpec) -> Result<(), Rejected> {
    match tx.chain_id() {
        Some(id) if id != chain.chain_id() => {
            Err(Rejected::with_detail(Code::InvalidChainId, format!("have {id} want {}", chain.chain_id())))
        }
        Some(_) => Ok(()),
        // Development tools deploy factories with transactions that are signed for every chain.
        None if origin != Origin::External || chain.is_development() => Ok(()),
        None => Err(Code::UnprotectedTransaction.into()),
    }
}

/// Intrinsic gas (Yellow Paper, 6.2) and the floor of EIP-7623.
fn check_gas(tx: &Transaction, chain: &ChainSpec, head: &HeadFacts) -> Result<(), Rejected> {
    let rules = spec_by_timestamp_and_block_number(chain, head.timestamp, head.height);
    let (accounts, slots) = tx.access_list().map_or((0, 0), |list| {
        let slots: usize = list.iter().map(|item| item.storage_keys.len()).sum();
        (list.len() as u64, slots as u64)
    });
    let gas = GasParams::new_spec(rules).initial_tx_gas(
        tx.input(),
        tx.is_create(),
        accounts,
        slots,
        tx.authorization_list().map_or(0, |list| list.len() as u64),
        None,
    );
    let need = gas.initial_regular_gas();
    if tx.gas_limit() < need {
        return Err(intrinsic_gas(tx.gas_limit(), need));
    }
    if tx.gas_limit() < gas.floor_gas() {
        return Err(floor_gas(tx.gas_limit(), gas.floor_gas()));
    }
    Ok(())
}

/// Nonce and balance; returns the cost.
fn check_sender(tx: &Transaction, sender: &SenderFacts) -> Result<U256, Rejected> {
    if tx.nonce() < sender.nonce {
        return Err(Rejected::with_detail(
            Code::NonceTooLow,
            format!("next nonce {}, tx nonce {}", sender.nonce, tx.nonce()),
        ));
    }
    // 64 bits of gas times 128 bits of price cannot leave 256 bits; the sum with the value can.
    let fees = U256::from(tx.gas_limit()) * U256::from(tx.max_fee_per_gas());
    let blob_fees = U256::from(tx.blob_gas_used().unwrap_or(0)) * U256::from(tx.max_fee_per_blob_gas().unwrap_or(0));
    let Some(cost) = fees.checked_add(blob_fees).and_then(|fees| fees.checked_add(tx.value())) else {
        return Err(Code::GasUintOverflow.into());
    };
    if cost > sender.balance {
        let balance = sender.balance;
        return Err(Rejected::with_detail(
            Code::InsufficientFunds,
            format!("balance {balance}, tx cost {cost}, overshot {}", cost - balance),
        ));
    }
    Ok(cost)
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
