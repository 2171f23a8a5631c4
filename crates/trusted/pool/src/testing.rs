//! Transactions for tests: valid ones, from senders whose keys nobody has.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, LazyLock};

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxLegacy};
use alloy_primitives::{Address, Signature, TxHash, TxKind, U256};
use cloister_execution::{HeadFacts, Origin, SenderFacts, ValidTx, validate};
use cloister_primitives::{ChainSpec, DevChain, Transaction};

use crate::{Admitted, Pool, PoolError, PoolLimits, SenderState, SlotId, TakeLimits};

static CHAIN: LazyLock<ChainSpec> = LazyLock::new(|| ChainSpec::development(DevChain::default()).unwrap());

/// A transaction to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft {
    pub(crate) from: u8,
    pub(crate) nonce: u64,
    pub(crate) cap: u128,
    pub(crate) tip: u128,
    pub(crate) gas: u64,
    pub(crate) value: u64,
    /// Changes the hash, nothing else that the pool looks at.
    pub(crate) salt: u64,
}

pub(crate) const fn draft(from: u8, nonce: u64) -> Draft {
    Draft { from, nonce, cap: 100, tip: 10, gas: 30_000, value: 0, salt: 0 }
}

pub(crate) const fn address(from: u8) -> Address {
    Address::repeat_byte(from)
}

impl Draft {
    pub(crate) const fn priced(self, cap: u128, tip: u128) -> Self {
        Self { cap, tip, ..self }
    }

    pub(crate) fn tx(self) -> ValidTx {
        let to = TxKind::Call(Address::from_word(U256::from(self.salt).into()));
        let tx = TxEip1559 {
            chain_id: CHAIN.chain_id(),
            nonce: self.nonce,
            gas_limit: self.gas,
            max_fee_per_gas: self.cap,
            max_priority_fee_per_gas: self.tip,
            to,
            value: U256::from(self.value),
            ..TxEip1559::default()
        };
        let from = address(self.from);
        valid(Transaction::Eip1559(tx.into_signed(signature(from))), from)
    }

    pub(crate) fn hash(self) -> TxHash {
        self.tx().hash()
    }
}

/// A transaction with a gas price, from before EIP-1559.
pub(crate) fn legacy(from: u8, nonce: u64, gas_price: u128) -> ValidTx {
    let tx = TxLegacy {
        chain_id: Some(CHAIN.chain_id()),
        nonce,
        gas_limit: 30_000,
        gas_price,
        to: TxKind::Call(Address::ZERO),
        ..TxLegacy::default()
    };
    valid(Transaction::Legacy(tx.into_signed(signature(address(from)))), address(from))
}

/// A signature that nobody checks; it holds the sender, so that hashes differ between senders as real ones do.
pub(crate) fn signature(from: Address) -> Signature {
    Signature::new(U256::from_be_bytes(from.into_word().0), U256::ONE, false)
}

pub(crate) fn valid(tx: Transaction, from: Address) -> ValidTx {
    let head = HeadFacts { height: 1, timestamp: 1, base_fee: 1, gas_limit: 30_000_000 };
    let sender = SenderFacts { nonce: 0, balance: U256::MAX, ..SenderFacts::default() };
    validate(Arc::new(Recovered::new_unchecked(tx, from)), Origin::Impersonated, &CHAIN, &head, &sender).unwrap()
}

pub(crate) const fn rich(nonce: u64) -> SenderState {
    SenderState { nonce, balance: U256::MAX }
}

pub(crate) fn with_balance(nonce: u64, balance: u64) -> SenderState {
    SenderState { nonce, balance: U256::from(balance) }
}

pub(crate) fn pool() -> Pool {
    Pool::new(PoolLimits::default())
}

/// Adds for a sender who has no transactions committed and more money than needed.
pub(crate) fn add(pool: &mut Pool, draft: Draft) -> Result<Admitted, PoolError> {
    pool.add(draft.tx(), rich(0))
}

pub(crate) const ALL: TakeLimits = TakeLimits { max_transactions: usize::MAX, gas_limit: u64::MAX, base_fee: 0 };

/// Takes, and names what was taken: (sender, nonce).
pub(crate) fn take(pool: &mut Pool, slot: u64, limits: TakeLimits) -> Vec<(u8, u64)> {
    let taken = pool.take(SlotId(slot), limits);
    taken.iter().map(|tx| (tx.sender()[0], tx.nonce())).collect()
}

impl Pool {
    /// Everything that must hold between two calls, by slow means.
    pub(crate) fn check(&self) {
        let (mut count, mut bytes, mut executable, mut heads, mut tails) = (0, 0, 0, 0, 0);
        for lane in self.lanes() {
            assert!(!lane.is_empty(), "an empty lane is kept");
            let entries = lane.entries();
            let mut end = lane.state.nonce;
            let (mut next, mut passable) = (None, true);
            let mut cost = U256::ZERO;
            for (nonce, entry) in entries {
                assert_eq!(*nonce, entry.tx.nonce());
                assert!(*nonce >= lane.state.nonce, "a used nonce is kept");
                assert_eq!(self.get(&entry.tx.hash()), Some(&entry.tx));
                if *nonce == end {
                    if passable && entry.is_pooled() {
                        next = Some(*nonce);
                    }
                    passable &= entry.is_in_flight();
                    end += 1;
                }
                cost += entry.tx.cost();
                bytes += entry.tx.encoded_len();
            }
            count += entries.len();
            assert_eq!(lane.end(), end);
            assert_eq!(lane.cost(), cost);
            assert_eq!(lane.indexed_head, lane.head(self.order));
            assert_eq!(lane.indexed_tail, lane.tail());
            let head = next.map(|nonce| entries[&nonce].arrival);
            assert_eq!(lane.head(self.order).map(|head| head.arrival), head);
            heads += usize::from(head.is_some());
            tails += 1;
            executable += usize::try_from(end - lane.state.nonce).unwrap();
            assert_eq!(self.pending_nonce(lane.address, lane.state.nonce), end);
        }
        assert_eq!((self.len(), self.bytes()), (count, bytes));
        assert_eq!(self.status(), (executable, count - executable));
        assert_eq!((self.heads.len(), self.tails.len()), (heads, tails));
    }
}
