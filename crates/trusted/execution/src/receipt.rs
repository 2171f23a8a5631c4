//! Receipts of our transaction types.

use std::cell::RefCell;

use alloy_consensus::{Eip658Value, Receipt as ConsensusReceipt, ReceiptWithBloom, TxType};
use alloy_evm::Evm;
use alloy_evm::eth::receipt_builder::{ReceiptBuilder, ReceiptBuilderCtx};
use alloy_primitives::map::{AddressMap, B256Map};
use alloy_primitives::{B256, Bloom, BloomInput, Log, keccak256};
use cloister_primitives::{Receipt, Transaction};

/// Hashes that one block remembers of each kind.
const REMEMBERED: usize = 4_096;

/// Builds receipts with a status (EIP-658), whatever the fork: a chain of ours never had the intermediate
/// state roots that came before Byzantium.
///
/// One for each block: its logs name the same contracts, events and accounts again and again, and each
/// would be hashed for every log's bloom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receipts {
    hashes: RefCell<Hashes>,
}

/// What goes into blooms, hashed.
#[derive(Clone, Debug, Default)]
struct Hashes {
    addresses: AddressMap<B256>,
    topics: B256Map<B256>,
}

impl Hashes {
    fn bloom(&mut self, logs: &[Log]) -> Bloom {
        if self.addresses.len() + self.topics.len() > REMEMBERED {
            *self = Self::default();
        }
        let mut bloom = Bloom::ZERO;
        for log in logs {
            let hash = *self.addresses.entry(log.address).or_insert_with(|| keccak256(log.address));
            bloom.accrue(BloomInput::Hash(hash));
            for topic in log.topics() {
                let hash = *self.topics.entry(*topic).or_insert_with(|| keccak256(topic));
                bloom.accrue(BloomInput::Hash(hash));
            }
        }
        bloom
    }
}

impl ReceiptBuilder for Receipts {
    type Transaction = Transaction;
    type Receipt = Receipt;

    fn build_receipt<E: Evm>(&self, context: ReceiptBuilderCtx<'_, TxType, E>) -> Receipt {
        let status = Eip658Value::Eip658(context.result.is_success());
        let cumulative_gas_used = context.cumulative_gas_used;
        let mut logs = context.result.into_logs();
        // Receipts stay in memory for long, and most have one log in room for four.
        logs.shrink_to_fit();
        let receipt = ConsensusReceipt { status, cumulative_gas_used, logs };
        let bloom = self.hashes.borrow_mut().bloom(&receipt.logs);
        let receipt = ReceiptWithBloom::new(receipt, bloom);
        match context.tx_type {
            TxType::Legacy => Receipt::Legacy(receipt),
            TxType::Eip2930 => Receipt::Eip2930(receipt),
            TxType::Eip1559 => Receipt::Eip1559(receipt),
            TxType::Eip4844 => Receipt::Eip4844(receipt),
            TxType::Eip7702 => Receipt::Eip7702(receipt),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, Bytes};

    use super::*;

    #[test]
    fn blooms_are_those_of_the_logs_whatever_came_before() {
        let mut hashes = Hashes::default();
        for round in 0..3 {
            for block in 0..50 {
                let logs: Vec<Log> = (0..block % 4)
                    .map(|number: u8| {
                        let topics = (0..number).map(|topic| B256::repeat_byte(topic * block)).collect();
                        Log::new_unchecked(Address::repeat_byte(number + block), topics, Bytes::new())
                    })
                    .collect();
                assert_eq!(hashes.bloom(&logs), logs.iter().collect::<Bloom>(), "round {round}, {block}");
            }
        }
    }
}
