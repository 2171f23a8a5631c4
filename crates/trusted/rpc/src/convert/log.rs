//! Logs.

use alloy_primitives::{B256, Log};
use serde::{Serialize, Serializer};

use super::{
    HexBytes, Place,
    text::{Object, Text, Written, write_list},
};

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

impl Text for LogJson<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let mut json = Object::begin(out);
        json.bytes("address", self.log.address);
        write_list(json.name("topics"), self.log.topics().iter().map(|topic| HexBytes(topic.as_slice())));
        json.bytes("data", &self.log.data.data);
        json.quantity("blockNumber", self.place.block_number);
        json.bytes("transactionHash", self.transaction_hash);
        json.quantity("transactionIndex", u64::from(self.place.index));
        json.bytes("blockHash", self.place.block_hash);
        json.quantity("blockTimestamp", self.place.block_timestamp);
        json.quantity("logIndex", self.log_index);
        json.name("removed").extend_from_slice(b"false");
        json.end();
    }
}

impl Serialize for LogJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written(self).serialize(serializer)
    }
}
