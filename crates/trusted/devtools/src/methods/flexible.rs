//! Numbers as development tools send them: JSON numbers, hex with or without leading zeros, decimal
//! strings. The standard methods are strict, as geth is; these are not, as anvil and Hardhat are not.

use alloy_primitives::{B256, U256};
use cloister_rpc::params::Param;
use serde_json::Value;

/// An unsigned number of at most 256 bits in any common spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(pub U256);

impl Number {
    pub(super) fn parse(value: &Value) -> Result<Self, String> {
        let number = match value {
            Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)).map(U256::from),
            Value::String(text) => from_text(text.trim()),
            _ => None,
        };
        number.map(Self).ok_or_else(|| "want a number that is not negative, or its hex string".to_owned())
    }

    pub(super) fn to_u64(self) -> Result<u64, String> {
        u64::try_from(self.0).map_err(|_| "the number is larger than 64 bits".to_owned())
    }
}

/// A float without a fraction; JavaScript sends `1e9` where it means an integer.
fn whole(number: f64) -> Option<u64> {
    // Above 2^53 a float no longer says which integer is meant.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let is_whole = number.fract() == 0.0 && (0.0..=EXACT).contains(&number);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    is_whole.then_some(number as u64)
}

fn from_text(text: &str) -> Option<U256> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some("") => Some(U256::ZERO),
        Some(digits) => U256::from_str_radix(digits, 16).ok(),
        None if text.is_empty() => None,
        None => U256::from_str_radix(text, 10).ok(),
    }
}

impl Param for Number {
    fn decode(json: &str) -> Result<Self, String> {
        let value = serde_json::from_str(json).map_err(|_| "invalid JSON".to_owned())?;
        Self::parse(&value)
    }
}

/// A number of at most 64 bits in any common spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Uint(pub u64);

impl Param for Uint {
    fn decode(json: &str) -> Result<Self, String> {
        Number::decode(json)?.to_u64().map(Self)
    }
}

/// A word of 32 bytes; shorter hex is filled with zeros on the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub B256);

impl Param for Word {
    fn decode(json: &str) -> Result<Self, String> {
        Number::decode(json).map(|number| Self(B256::from(number.0)))
    }
}

/// What `evm_mine` takes: nothing, a timestamp, or an object with both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MineOptions {
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// How many blocks; one if absent.
    pub blocks: Option<u64>,
}

impl Param for MineOptions {
    fn decode(json: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(json).map_err(|_| "invalid JSON".to_owned())?;
        let number = |value: &Value| Number::parse(value)?.to_u64();
        match &value {
            Value::Object(fields) => {
                let field = |name| match fields.get(name) {
                    None | Some(Value::Null) => Ok(None),
                    Some(value) => number(value).map(Some),
                };
                Ok(Self { timestamp: field("timestamp")?, blocks: field("blocks")? })
            }
            // Hardhat takes a timestamp of zero for none.
            value => Ok(Self { timestamp: Some(number(value)?).filter(|timestamp| *timestamp != 0), blocks: None }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_every_spelling() {
        for json in ["31", "31.0", "3.1e1", "\"31\"", "\"0x1f\"", "\"0x001F\""] {
            assert_eq!(Uint::decode(json), Ok(Uint(31)), "{json}");
        }
        assert_eq!(Uint::decode("\"0x\""), Ok(Uint(0)));
        for json in ["-1", "1.5", "true", "\"\"", "\"x\"", "[]", "null", "1e300"] {
            assert!(Uint::decode(json).is_err(), "{json}");
        }
        assert!(Uint::decode("\"0x10000000000000000\"").is_err());
        assert!(Number::decode("\"0x10000000000000000\"").is_ok());
        assert!(Number::decode(&format!("\"0x1{}\"", "0".repeat(64))).is_err());
    }

    #[test]
    fn words_are_filled_on_the_left() {
        assert_eq!(Word::decode("\"0x01\"").unwrap().0, B256::with_last_byte(1));
        let full = format!("\"{}\"", B256::repeat_byte(7));
        assert_eq!(Word::decode(&full).unwrap().0, B256::repeat_byte(7));
    }

    #[test]
    fn mining_options() {
        let options = |json| MineOptions::decode(json).unwrap();
        assert_eq!(options("0"), MineOptions::default());
        assert_eq!(options("5").timestamp, Some(5));
        assert_eq!(
            options("{\"timestamp\":\"0x10\",\"blocks\":3}"),
            MineOptions { timestamp: Some(16), blocks: Some(3) }
        );
        assert_eq!(options("{}"), MineOptions::default());
        assert!(MineOptions::decode("{\"blocks\":\"many\"}").is_err());
    }
}
