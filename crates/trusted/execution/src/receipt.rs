//! Receipts of our transaction types.

use alloy_consensus::{Eip658Value, Receipt as ConsensusReceipt, ReceiptWithBloom, TxType};
use alloy_evm::Evm;
use alloy_evm::eth::receipt_builder::{ReceiptBuilder, ReceiptBuilderCtx};
use alloy_primitives::map::{AddressMap, B256Map};
use alloy_primitives::{Bloom, BloomInput, Log};
use cloister_keccak::keccak256_all;
use cloister_primitives::{Receipt, Transaction};

/// Builds receipts with a status (EIP-658), whatever the fork: a chain of ours never had the intermediate
/// state roots that came before Byzantium.
///
/// Their bloom filters are empty until the block is complete ([`fill_blooms`]).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Receipts;

impl ReceiptBuilder for Receipts {
    type Transaction = Transaction;
    type Receipt = Receipt;

    fn build_receipt<E: Evm>(&self, context: ReceiptBuilderCtx<'_, TxType, E>) -> Receipt {
        let status = Eip658Value::Eip658(context.result.is_success());
        let cumulative_gas_used = context.cumulative_gas_used;
        let mut logs = context.result.into_logs();
        // Receipts stay in memory for long, and most have one log in room for four.
        logs.shrink_to_fit();
        let receipt = ReceiptWithBloom::new(ConsensusReceipt { status, cumulative_gas_used, logs }, Bloom::ZERO);
        match context.tx_type {
            TxType::Legacy => Receipt::Legacy(receipt),
            TxType::Eip2930 => Receipt::Eip2930(receipt),
            TxType::Eip1559 => Receipt::Eip1559(receipt),
            TxType::Eip4844 => Receipt::Eip4844(receipt),
            TxType::Eip7702 => Receipt::Eip7702(receipt),
        }
    }
}

/// Completes a block's receipts with the bloom filters of their logs, for all of which is hashed together.
pub(crate) fn fill_blooms(receipts: &mut [Receipt]) {
    let mut inputs = Inputs::default();
    receipts.iter().flat_map(|receipt| receipt.logs()).for_each(|log| inputs.add(log));
    let hashes = keccak256_all(&inputs.texts);
    let mut places = inputs.places.into_iter();
    for receipt in receipts {
        let count: usize = receipt.logs().iter().map(|log| 1 + log.topics().len()).sum();
        let mut bloom = Bloom::ZERO;
        places.by_ref().take(count).for_each(|place| bloom.accrue(BloomInput::Hash(hashes[place])));
        *bloom_mut(receipt) = bloom;
    }
}

const fn bloom_mut(receipt: &mut Receipt) -> &mut Bloom {
    match receipt {
        Receipt::Legacy(it)
        | Receipt::Eip2930(it)
        | Receipt::Eip1559(it)
        | Receipt::Eip4844(it)
        | Receipt::Eip7702(it) => &mut it.logs_bloom,
    }
}

/// What is hashed for blooms. Logs of a block name the same contracts and events again and again: these are hashed once.
#[derive(Default)]
struct Inputs<'a> {
    texts: Vec<&'a [u8]>,
    /// Of each log in turn, where among the texts its address and its topics are.
    places: Vec<usize>,
    addresses: AddressMap<usize>,
    events: B256Map<usize>,
}

impl<'a> Inputs<'a> {
    fn add(&mut self, log: &'a Log) {
        let texts = &mut self.texts;
        let mut new = |text: &'a [u8]| {
            texts.push(text);
            texts.len() - 1
        };
        self.places.push(*self.addresses.entry(log.address).or_insert_with(|| new(log.address.as_slice())));
        let mut topics = log.topics().iter();
        if let Some(event) = topics.next() {
            self.places.push(*self.events.entry(*event).or_insert_with(|| new(event.as_slice())));
        }
        self.places.extend(topics.map(|topic| new(topic.as_slice())));
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256, Bytes};

    use super::*;

    #[test]
    fn blooms_are_those_of_the_logs_of_each_receipt() {
        let receipt = |number: u8| {
            let log = |log: u8| {
                let topics = (0..log % 5).map(|topic| B256::repeat_byte(topic * number)).collect();
                Log::new_unchecked(Address::repeat_byte(log + number / 3), topics, Bytes::new())
            };
            let logs: Vec<_> = (0..number % 7).map(log).collect();
            let receipt = ConsensusReceipt { status: true.into(), cumulative_gas_used: 1, logs };
            let receipt = ReceiptWithBloom::new(receipt, Bloom::ZERO);
            if number.is_multiple_of(2) { Receipt::Eip1559(receipt) } else { Receipt::Legacy(receipt) }
        };
        let mut receipts: Vec<_> = (0..60).map(receipt).collect();
        fill_blooms(&mut receipts);
        for receipt in &receipts {
            assert_eq!(*receipt.logs_bloom(), receipt.logs().iter().collect::<Bloom>(), "{receipt:?}");
        }
        fill_blooms(&mut []);
    }
}
