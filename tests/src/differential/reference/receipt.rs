//! Receipts and their blooms.

use alloy_primitives::{Bloom, Log, keccak256};
use alloy_rlp::{Encodable, Header};
use revm::context::result::ExecutionResult;

/// A receipt (EIP-658, EIP-2718).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::differential) struct Receipt {
    pub(in crate::differential) kind: u8,
    pub(in crate::differential) success: bool,
    pub(in crate::differential) cumulative_gas_used: u64,
    pub(in crate::differential) bloom: Bloom,
    pub(in crate::differential) logs: Vec<Log>,
}

impl Receipt {
    pub(super) fn new(kind: u8, result: &ExecutionResult, cumulative_gas_used: u64) -> Self {
        let logs = match result {
            ExecutionResult::Success { logs, .. } => logs.clone(),
            // What failed has logged nothing.
            _ => Vec::new(),
        };
        let bloom = logs.iter().fold(Bloom::ZERO, |bloom, log| bloom | bloom_of(log));
        Self { kind, success: result.is_success(), cumulative_gas_used, bloom, logs }
    }

    /// As it enters the receipts' root.
    pub(super) fn encode(&self) -> Vec<u8> {
        let fields: [&dyn Encodable; 4] = [&self.success, &self.cumulative_gas_used, &self.bloom, &self.logs];
        let mut encoded = Vec::new();
        if self.kind != 0 {
            encoded.push(self.kind);
        }
        let payload_length = fields.iter().map(|field| field.length()).sum();
        Header { list: true, payload_length }.encode(&mut encoded);
        for field in fields {
            field.encode(&mut encoded);
        }
        encoded
    }
}

/// Yellow Paper, 4.4.3: three bits of 2048 for the address and for each topic.
fn bloom_of(log: &Log) -> Bloom {
    let mut bloom = Bloom::ZERO;
    let mut mark = |bytes: &[u8]| {
        let hash = keccak256(bytes);
        for pair in 0..3 {
            let bit = usize::from(u16::from_be_bytes([hash[2 * pair], hash[2 * pair + 1]]) & 0x7ff);
            bloom[255 - bit / 8] |= 1 << (bit % 8);
        }
    };
    mark(log.address.as_slice());
    log.topics().iter().for_each(|topic| mark(topic.as_slice()));
    bloom
}
