//! What members sign to have a network go on from one node's disk, after most of its nodes lost theirs.

use alloy_primitives::{B256, Bytes};
use serde::{Deserialize, Serialize};

use crate::{Height, MAX_GENESIS_MEMBERS};

/// Most signatures under one statement: no network has more members.
pub const MAX_RECOVERY_SIGNATURES: usize = MAX_GENESIS_MEMBERS;

/// From where on, and with which node alone, a network goes on. It fits one disk in one state, and so can be used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecoveryStatement {
    /// Chain id (EIP-155).
    pub chain_id: u64,
    /// Hash of the genesis block.
    pub genesis_hash: B256,
    /// Number of the node whose disk is left.
    pub node: u64,
    /// Its newest block.
    pub height: Height,
    /// That block's hash.
    pub block_hash: B256,
    /// Which recovery of the network this is; the first one is 1.
    pub recovery: u64,
}

impl RecoveryStatement {
    /// The text that members sign, as a personal message (EIP-191, version 0x45): readable in any wallet.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { chain_id, genesis_hash, node, height, block_hash, recovery } = self;
        format!(
            "Recovery of a Cloister network\n\n\
             The network goes on after the block below, with the node below alone. The other nodes are lost for good, with \
             all that only they have.\n\n\
             Chain: {chain_id}\n\
             Genesis: {genesis_hash}\n\
             Node: {node}\n\
             Block: {height}\n\
             Block hash: {block_hash}\n\
             Recovery: {recovery}"
        )
    }
}

/// A statement with the signatures of members: 65 bytes each, `r ‖ s ‖ v`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedRecovery {
    /// What they signed.
    pub statement: RecoveryStatement,
    /// In any order.
    pub signatures: Vec<Bytes>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn statement() -> RecoveryStatement {
        RecoveryStatement {
            chain_id: 4242,
            genesis_hash: B256::repeat_byte(1),
            node: 2,
            height: Height(17),
            block_hash: B256::repeat_byte(3),
            recovery: 1,
        }
    }

    #[test]
    fn each_part_of_a_statement_is_in_its_text() {
        let original = statement();
        let others = [
            RecoveryStatement { chain_id: 4243, ..original },
            RecoveryStatement { genesis_hash: B256::repeat_byte(9), ..original },
            RecoveryStatement { node: 3, ..original },
            RecoveryStatement { height: Height(18), ..original },
            RecoveryStatement { block_hash: B256::repeat_byte(9), ..original },
            RecoveryStatement { recovery: 2, ..original },
        ];
        for other in others {
            assert_ne!(other.text(), original.text());
        }
        assert!(original.text().ends_with("Recovery: 1"), "{}", original.text());
    }

    #[test]
    fn a_statement_is_read_as_it_was_written_and_no_other_keys_are() {
        let signed = SignedRecovery { statement: statement(), signatures: vec![Bytes::from(vec![7; 65])] };
        let json = serde_json::to_string(&signed).unwrap();
        assert_eq!(serde_json::from_str::<SignedRecovery>(&json).unwrap(), signed);
        let other = json.replace("\"node\"", "\"nodes\"");
        assert!(serde_json::from_str::<SignedRecovery>(&other).is_err());
    }
}
