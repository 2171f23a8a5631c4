//! Block numbers, tags and EIP-1898 objects.

use alloy_eips::{BlockId, BlockNumberOrTag, RpcBlockHash};
use alloy_primitives::B256;
use serde::Deserialize;

use super::{Param, json_string, uint64};

/// Largest height that geth reads.
const MAX_NUMBER: u64 = i64::MAX as u64;

/// Reads a tag or a hex number.
///
/// # Errors
/// geth's text.
pub fn block_number(text: &str) -> Result<BlockNumberOrTag, String> {
    Ok(match text {
        "earliest" => BlockNumberOrTag::Earliest,
        "latest" | "" => BlockNumberOrTag::Latest,
        "pending" => BlockNumberOrTag::Pending,
        "safe" => BlockNumberOrTag::Safe,
        "finalized" => BlockNumberOrTag::Finalized,
        number => {
            let number = uint64(number)?;
            if number > MAX_NUMBER {
                return Err("block number larger than int64".to_owned());
            }
            BlockNumberOrTag::Number(number)
        }
    })
}

/// Reads a tag, a hex number or a block hash.
///
/// # Errors
/// geth's text.
pub fn block_id(text: &str) -> Result<BlockId, String> {
    if text.len() == 66 {
        return B256::from_text(text).map(|hash| BlockId::Hash(hash.into()));
    }
    block_number(text).map(BlockId::Number)
}

impl Param for BlockNumberOrTag {
    fn decode(json: &str) -> Result<Self, String> {
        // geth reads a bare number as text, and then misses the prefix.
        block_number(&json_string(json).unwrap_or(json.into()))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        block_number(text)
    }
}

/// EIP-1898: `{"blockNumber": ..}` or `{"blockHash": .., "requireCanonical": ..}`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    block_number: Option<String>,
    block_hash: Option<String>,
    #[serde(default)]
    require_canonical: bool,
}

impl Param for BlockId {
    fn decode(json: &str) -> Result<Self, String> {
        if !json.starts_with('{') {
            return match json_string(json) {
                Some(text) => block_id(&text),
                None => Err("json: cannot unmarshal number into Go value of type string".to_owned()),
            };
        }
        let object: Object = serde_json::from_str(json).map_err(|error| super::without_position(&error))?;
        match (object.block_number, object.block_hash) {
            (Some(_), Some(_)) => {
                Err("cannot specify both BlockHash and BlockNumber, choose one or the other".to_owned())
            }
            (Some(number), None) => block_number(&number).map(Self::Number),
            (None, Some(hash)) => B256::from_text(&hash)
                .map(|hash| Self::Hash(RpcBlockHash::from_hash(hash, Some(object.require_canonical)))),
            (None, None) => Err("at least one of BlockNumber or BlockHash is needed".to_owned()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn decode(json: &str) -> Result<BlockId, String> {
        BlockId::decode(json)
    }

    #[test]
    fn tags_numbers_hashes_and_objects() {
        assert_eq!(decode("\"latest\""), Ok(BlockId::latest()));
        assert_eq!(decode("\"pending\""), Ok(BlockId::pending()));
        assert_eq!(decode("\"safe\""), Ok(BlockId::safe()));
        assert_eq!(decode("\"0x1b\""), Ok(BlockId::number(27)));
        let hash = B256::repeat_byte(0xab);
        assert_eq!(decode(&format!("\"{hash}\"")), Ok(BlockId::hash(hash)));
        assert_eq!(
            decode(&format!("{{\"blockHash\":\"{hash}\",\"requireCanonical\":true}}")),
            Ok(BlockId::hash_canonical(hash))
        );
        assert_eq!(decode("{\"blockNumber\":\"0x2\"}"), Ok(BlockId::number(2)));
    }

    #[test]
    fn wrong_blocks_say_what_geth_says() {
        assert_eq!(decode("\"2\"").unwrap_err(), "hex string without 0x prefix");
        assert_eq!(decode("\"newest\"").unwrap_err(), "hex string without 0x prefix");
        assert_eq!(decode("\"0x8000000000000000\"").unwrap_err(), "block number larger than int64");
        let both = format!("{{\"blockNumber\":\"0x2\",\"blockHash\":\"{}\"}}", B256::ZERO);
        assert_eq!(
            decode(&both).unwrap_err(),
            "cannot specify both BlockHash and BlockNumber, choose one or the other"
        );
    }
}
