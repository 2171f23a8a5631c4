//! Logs.

use alloy_primitives::{B256, Log};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::{HexBytes, Place, Quantity};

/// A log of a committed transaction.
#[derive(Clone, Copy, Debug)]
pub struct LogJson<'a> {
    /// The log.
    pub log: &'a Log,
    /// Its index in the block.
    pub log_index: u64,
    /// Where its transaction stands.
    pub place: Place,
    /// The hash of its transaction.
    pub transaction_hash: B256,
}

impl Serialize for LogJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serializer.serialize_struct("Log", 11)?;
        json.serialize_field("address", &self.log.address)?;
        json.serialize_field("topics", self.log.topics())?;
        json.serialize_field("data", &HexBytes(&self.log.data.data))?;
        json.serialize_field("blockNumber", &Quantity::from(self.place.block_number))?;
        json.serialize_field("transactionHash", &self.transaction_hash)?;
        json.serialize_field("transactionIndex", &Quantity::from(u64::from(self.place.index)))?;
        json.serialize_field("blockHash", &self.place.block_hash)?;
        json.serialize_field("blockTimestamp", &Quantity::from(self.place.block_timestamp))?;
        json.serialize_field("logIndex", &Quantity::from(self.log_index))?;
        json.serialize_field("removed", &false)?;
        json.end()
    }
}
