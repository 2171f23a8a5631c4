//! What consensus rules fix about a header before anything is executed.
//!
//! The seal of proof of work is not looked into: neither the mix hash nor the nonce of a mined block is checked
//! against its difficulty.

mod difficulty;
mod ommers;

use alloy_consensus::constants::MAXIMUM_EXTRA_DATA_SIZE;
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_eips::eip1559::BaseFeeParams;
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_primitives::{B64, U256};
use cloister_primitives::{ChainSpec, EthereumHardfork, ForkCondition};

use crate::block::{Mismatch, Parent};

pub(crate) use ommers::check_ommers;

/// Least gas limit of a block (Yellow Paper, 4.4.4).
const MIN_GAS_LIMIT: u64 = 5_000;
/// Largest gas limit of a block (EIP-1985).
const MAX_GAS_LIMIT: u64 = i64::MAX as u64;
/// A gas limit moves by less than this part of its parent's.
const GAS_LIMIT_BOUND_DIVISOR: u64 = 1_024;
/// Bytes of the largest block from Osaka on (EIP-7934): 10 MiB, less 2 MiB for what is around it.
const MAX_RLP_BLOCK_SIZE: usize = 8_388_608;
/// What supporters of the DAO fork write into the first blocks after it (EIP-779).
const DAO_EXTRA_DATA: &[u8] = b"dao-hard-fork";
/// How many blocks that are.
const DAO_EXTRA_BLOCKS: u64 = 10;

/// Checks a header against its parent and the chain's rules: all that does not take an execution.
///
/// # Errors
/// [`Mismatch`], naming the first field that is wrong.
pub fn check_header(spec: &ChainSpec, parent: Parent<'_>, header: &Header) -> Result<(), Mismatch> {
    let rules = Rules { spec, header };
    rules.place(parent)?;
    rules.extra_data()?;
    rules.proof(parent.header)?;
    rules.gas(parent.header)?;
    rules.withdrawals()?;
    rules.blobs(parent.header)?;
    rules.later_fields()
}

/// Checks the length of a whole block (EIP-7934), in bytes.
///
/// # Errors
/// [`Mismatch`] from Osaka on, if it is too long.
pub fn check_block_size(spec: &ChainSpec, header: &Header, encoded_bytes: usize) -> Result<(), Mismatch> {
    let rules = Rules { spec, header };
    if rules.active(EthereumHardfork::Osaka) && encoded_bytes > MAX_RLP_BLOCK_SIZE {
        return Err(rules.wrong("size", format!("at most {MAX_RLP_BLOCK_SIZE} bytes"), encoded_bytes));
    }
    Ok(())
}

struct Rules<'a> {
    spec: &'a ChainSpec,
    header: &'a Header,
}

impl Rules<'_> {
    fn active(&self, fork: EthereumHardfork) -> bool {
        self.spec.is_active(fork, self.header.number, self.header.timestamp)
    }

    fn wrong(&self, field: &'static str, expected: impl ToString, found: impl ToString) -> Mismatch {
        Mismatch::new(self.header.number, field, expected, found)
    }

    fn equal<T: PartialEq + core::fmt::Debug>(
        &self,
        field: &'static str,
        expected: &T,
        found: &T,
    ) -> Result<(), Mismatch> {
        if expected == found {
            return Ok(());
        }
        Err(self.wrong(field, format!("{expected:?}"), format!("{found:?}")))
    }

    /// A field that some fork brings: there from it on, absent before.
    fn brought<T: core::fmt::Debug>(
        &self,
        field: &'static str,
        fork: EthereumHardfork,
        found: Option<T>,
    ) -> Result<Option<T>, Mismatch> {
        match (self.active(fork), found) {
            (true, None) => Err(self.wrong(field, format!("a value, from {fork} on"), "none")),
            (false, Some(found)) => Err(self.wrong(field, format!("none before {fork}"), format!("{found:?}"))),
            (_, found) => Ok(found),
        }
    }

    fn place(&self, parent: Parent<'_>) -> Result<(), Mismatch> {
        self.equal("number", &parent.header.number.saturating_add(1), &self.header.number)?;
        self.equal("parentHash", &parent.hash, &self.header.parent_hash)?;
        if self.header.timestamp <= parent.header.timestamp {
            let expected = format!("more than the parent's {}", parent.header.timestamp);
            return Err(self.wrong("timestamp", expected, self.header.timestamp));
        }
        Ok(())
    }

    fn extra_data(&self) -> Result<(), Mismatch> {
        let data = &self.header.extra_data;
        if data.len() > MAXIMUM_EXTRA_DATA_SIZE {
            let expected = format!("at most {MAXIMUM_EXTRA_DATA_SIZE} bytes");
            return Err(self.wrong("extraData", expected, format!("{} bytes", data.len())));
        }
        if let ForkCondition::Block(fork) = self.spec.forks().condition(EthereumHardfork::Dao)
            && (fork..fork.saturating_add(DAO_EXTRA_BLOCKS)).contains(&self.header.number)
            && **data != *DAO_EXTRA_DATA
        {
            return Err(self.wrong("extraData", "\"dao-hard-fork\" (EIP-779)", data));
        }
        Ok(())
    }

    /// Before the merge a difficulty that follows from the parent, after it nothing of all that (EIP-3675).
    fn proof(&self, parent: &Header) -> Result<(), Mismatch> {
        let header = self.header;
        if !self.active(EthereumHardfork::Paris) {
            let difficulty = difficulty::next(self.spec, parent, header.number, header.timestamp);
            return self.equal("difficulty", &difficulty, &header.difficulty);
        }
        self.equal("difficulty", &U256::ZERO, &header.difficulty)?;
        self.equal("nonce", &B64::ZERO, &header.nonce)?;
        self.equal("sha3Uncles", &EMPTY_OMMER_ROOT_HASH, &header.ommers_hash)
    }

    fn gas(&self, parent: &Header) -> Result<(), Mismatch> {
        let header = self.header;
        let london = self.active(EthereumHardfork::London);
        let before = if london && parent.base_fee_per_gas.is_none() {
            // EIP-1559: the first block with a base fee may be twice as large.
            parent.gas_limit.saturating_mul(BaseFeeParams::ethereum().elasticity_multiplier as u64)
        } else {
            parent.gas_limit
        };
        let step = (before / GAS_LIMIT_BOUND_DIVISOR).saturating_sub(1);
        let least = before.saturating_sub(step).max(MIN_GAS_LIMIT);
        let most = before.saturating_add(step).min(MAX_GAS_LIMIT);
        if !(least..=most).contains(&header.gas_limit) {
            return Err(self.wrong("gasLimit", format!("{least} to {most}"), header.gas_limit));
        }
        if header.gas_used > header.gas_limit {
            let expected = format!("at most the limit, {}", header.gas_limit);
            return Err(self.wrong("gasUsed", expected, header.gas_used));
        }
        let found = self.brought("baseFeePerGas", EthereumHardfork::London, header.base_fee_per_gas)?;
        self.equal_value("baseFeePerGas", self.spec.next_base_fee(parent, header.timestamp), found)
    }

    fn equal_value(&self, field: &'static str, expected: Option<u64>, found: Option<u64>) -> Result<(), Mismatch> {
        match (expected, found) {
            (Some(expected), Some(found)) => self.equal(field, &expected, &found),
            _ => Ok(()),
        }
    }

    fn withdrawals(&self) -> Result<(), Mismatch> {
        self.brought("withdrawalsRoot", EthereumHardfork::Shanghai, self.header.withdrawals_root).map(|_| ())
    }

    fn blobs(&self, parent: &Header) -> Result<(), Mismatch> {
        let header = self.header;
        let used = self.brought("blobGasUsed", EthereumHardfork::Cancun, header.blob_gas_used)?;
        let excess = self.brought("excessBlobGas", EthereumHardfork::Cancun, header.excess_blob_gas)?;
        self.brought("parentBeaconBlockRoot", EthereumHardfork::Cancun, header.parent_beacon_block_root)?;
        let (Some(used), Some(blobs)) = (used, self.spec.blob_params_at(header.timestamp)) else {
            return Ok(());
        };
        let most = blobs.max_blob_gas_per_block();
        if used > most || !used.is_multiple_of(DATA_GAS_PER_BLOB) {
            let expected = format!("a multiple of {DATA_GAS_PER_BLOB}, at most {most}");
            return Err(self.wrong("blobGasUsed", expected, used));
        }
        self.equal_value("excessBlobGas", self.spec.next_excess_blob_gas(parent, header.timestamp), excess)
    }

    fn later_fields(&self) -> Result<(), Mismatch> {
        let header = self.header;
        self.brought("requestsHash", EthereumHardfork::Prague, header.requests_hash)?;
        self.brought("blockAccessListHash", EthereumHardfork::Amsterdam, header.block_access_list_hash)?;
        self.brought("slotNumber", EthereumHardfork::Amsterdam, header.slot_number).map(|_| ())
    }
}

#[cfg(test)]
mod tests;
