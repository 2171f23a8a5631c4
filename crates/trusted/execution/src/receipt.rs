//! Receipts of our transaction types.

use alloy_consensus::{Eip658Value, Receipt as ConsensusReceipt, TxType};
use alloy_evm::Evm;
use alloy_evm::eth::receipt_builder::{ReceiptBuilder, ReceiptBuilderCtx};
use cloister_primitives::{Receipt, Transaction};

/// Builds receipts with a status (EIP-658), whatever the fork: a chain of ours never had the intermediate
/// state roots that came before Byzantium.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Receipts;

impl ReceiptBuilder for Receipts {
    type Transaction = Transaction;
    type Receipt = Receipt;

    fn build_receipt<E: Evm>(&self, context: ReceiptBuilderCtx<'_, TxType, E>) -> Receipt {
        let receipt = ConsensusReceipt {
            status: Eip658Value::Eip658(context.result.is_success()),
            cumulative_gas_used: context.cumulative_gas_used,
            logs: context.result.into_logs(),
        }
        .with_bloom();
        match context.tx_type {
            TxType::Legacy => Receipt::Legacy(receipt),
            TxType::Eip2930 => Receipt::Eip2930(receipt),
            TxType::Eip1559 => Receipt::Eip1559(receipt),
            TxType::Eip4844 => Receipt::Eip4844(receipt),
            TxType::Eip7702 => Receipt::Eip7702(receipt),
        }
    }
}
