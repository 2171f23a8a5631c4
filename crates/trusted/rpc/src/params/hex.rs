//! Hex strings: addresses, hashes, byte strings, quantities, storage keys.

use std::borrow::Cow;

use alloy_primitives::{Address, B256, Bytes, U256, hex};

use super::Param;

/// The text of a JSON string; `None` if the value is no string.
pub(crate) fn json_string(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(json).ok().map(Cow::Owned)
}

const ADDRESS: &str = "common.Address";
const HASH: &str = "common.Hash";
const BYTES: &str = "hexutil.Bytes";
const UINT64: &str = "hexutil.Uint64";
const BIG: &str = "*hexutil.Big";

fn not_a_string(go_type: &str) -> String {
    format!("json: cannot unmarshal non-string into Go value of type {go_type}")
}

fn wrap(error: &str, go_type: &str) -> String {
    format!("json: cannot unmarshal {error} into Go value of type {go_type}")
}

/// The digits after `0x`.
fn digits(text: &str) -> Result<&str, &'static str> {
    text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).ok_or("hex string without 0x prefix")
}

/// Reads the text of a JSON string with `from_text`.
fn text<T: Param>(json: &str, go_type: &str) -> Result<T, String> {
    let text = json_string(json).ok_or_else(|| not_a_string(go_type))?;
    T::from_text(&text)
}

fn fixed<const N: usize>(text: &str, go_type: &str) -> Result<[u8; N], String> {
    let wrong_length = |length: usize| format!("hex string has length {length}, want {} for {go_type}", N * 2);
    if text.is_empty() {
        return Err(wrong_length(0));
    }
    let digits = digits(text).map_err(|error| wrap(error, go_type))?;
    if digits.len() % 2 == 1 {
        return Err(wrap("hex string of odd length", go_type));
    }
    if digits.len() != N * 2 {
        return Err(wrong_length(digits.len()));
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| wrap("invalid hex string", go_type))?;
    Ok(bytes)
}

impl Param for Address {
    fn decode(json: &str) -> Result<Self, String> {
        text(json, ADDRESS)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        fixed(text, ADDRESS).map(Self::new)
    }
}

impl Param for B256 {
    fn decode(json: &str) -> Result<Self, String> {
        text(json, HASH)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        fixed(text, HASH).map(Self::new)
    }
}

impl Param for Bytes {
    fn decode(json: &str) -> Result<Self, String> {
        text(json, BYTES)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::new());
        }
        let digits = digits(text).map_err(|error| wrap(error, BYTES))?;
        if digits.len() % 2 == 1 {
            return Err(wrap("hex string of odd length", BYTES));
        }
        hex::decode(digits).map(Self::from).map_err(|_| wrap("invalid hex string", BYTES))
    }
}

impl Param for bool {
    fn decode(json: &str) -> Result<Self, String> {
        match json {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("json: cannot unmarshal {} into Go value of type bool", kind(json))),
        }
    }
}

impl Param for String {
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn decode(json: &str) -> Result<Self, String> {
        json_string(json)
            .map(Cow::into_owned)
            .ok_or_else(|| format!("json: cannot unmarshal {} into Go value of type string", kind(json)))
    }
}

/// What Go calls a JSON value.
pub(super) fn kind(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'"') => "string",
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b't' | b'f') => "bool",
        _ => "number",
    }
}

/// A quantity of at most 64 bits, as geth reads one.
pub(crate) fn uint64(text: &str) -> Result<u64, &'static str> {
    let digits = quantity_digits(text)?;
    if digits.len() > 16 {
        return Err("hex number > 64 bits");
    }
    u64::from_str_radix(digits, 16).map_err(|_| "invalid hex string")
}

fn quantity_digits(text: &str) -> Result<&str, &'static str> {
    if text.is_empty() {
        return Err("empty hex string");
    }
    let digits = digits(text)?;
    if digits.is_empty() {
        return Err("hex string \"0x\"");
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err("hex number with leading zero digits");
    }
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err("invalid hex string");
    }
    Ok(digits)
}

impl Param for u64 {
    fn decode(json: &str) -> Result<Self, String> {
        text(json, UINT64)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        uint64(text).map_err(|error| wrap(error, UINT64))
    }
}

impl Param for u128 {
    fn decode(json: &str) -> Result<Self, String> {
        text(json, BIG)
    }

    /// Wei amounts beyond 128 bits do not exist, so they are too large rather than malformed.
    fn from_text(text: &str) -> Result<Self, String> {
        let value = U256::from_text(text)?;
        value.try_into().map_err(|_| wrap("hex number > 128 bits", BIG))
    }
}

impl Param for U256 {
    fn decode(json: &str) -> Result<Self, String> {
        text(json, BIG)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let digits = quantity_digits(text).map_err(|error| wrap(error, BIG))?;
        if digits.len() > 64 {
            return Err(wrap("hex number > 256 bits", BIG));
        }
        Self::from_str_radix(digits, 16).map_err(|_| wrap("invalid hex string", BIG))
    }
}

impl Param for StorageKey {
    fn decode(json: &str) -> Result<Self, String> {
        text(json, "string")
    }

    fn from_text(text: &str) -> Result<Self, String> {
        decode_storage_key(text)
    }
}

/// A storage key: up to 32 bytes of hex, right-aligned; leading zeros and `0x` may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StorageKey {
    /// The slot.
    pub slot: U256,
    /// Whether all 32 bytes were written out, which decides how a proof names the key again.
    pub is_full: bool,
}

/// Reads a storage key.
///
/// # Errors
/// geth's text, which quotes the key.
pub fn decode_storage_key(text: &str) -> Result<StorageKey, String> {
    let digits = digits(text).unwrap_or(text);
    if digits.len() > 64 {
        return Err(format!("storage key too long (want at most 32 bytes): {:?}", abbreviated(text)));
    }
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(format!("invalid hex in storage key: {:?}", abbreviated(text)));
    }
    let slot = if digits.is_empty() {
        U256::ZERO
    } else {
        U256::from_str_radix(digits, 16).map_err(|_| "invalid hex in storage key".to_owned())?
    };
    Ok(StorageKey { slot, is_full: digits.len() > 62 })
}

/// At most 80 characters of what the client sent: an error never echoes a whole body.
fn abbreviated(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(80) {
        Some((at, _)) => Cow::Owned(format!("{}…", &text[..at])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hex_errors_are_geths() {
        let address = |json| Address::decode(json).unwrap_err();
        assert_eq!(address("\"0x12\""), "hex string has length 2, want 40 for common.Address");
        assert_eq!(
            address("\"12\""),
            "json: cannot unmarshal hex string without 0x prefix into Go value of type common.Address"
        );
        assert_eq!(address("5"), "json: cannot unmarshal non-string into Go value of type common.Address");
        assert_eq!(
            B256::decode("\"0x123\"").unwrap_err(),
            "json: cannot unmarshal hex string of odd length into Go value of type common.Hash"
        );
        assert_eq!(
            Bytes::decode("\"0xzz\"").unwrap_err(),
            "json: cannot unmarshal invalid hex string into Go value of type hexutil.Bytes"
        );
        assert_eq!(bool::decode("\"yes\"").unwrap_err(), "json: cannot unmarshal string into Go value of type bool");
    }

    #[test]
    fn quantities() {
        assert_eq!(uint64("0x0"), Ok(0));
        assert_eq!(uint64("0xffffffffffffffff"), Ok(u64::MAX));
        assert_eq!(uint64("0x10000000000000000"), Err("hex number > 64 bits"));
        assert_eq!(uint64("0x01"), Err("hex number with leading zero digits"));
        assert_eq!(uint64("0x"), Err("hex string \"0x\""));
        assert_eq!(uint64(""), Err("empty hex string"));
        assert_eq!(uint64("0x+1"), Err("invalid hex string"));
    }

    #[test]
    fn storage_keys_may_be_short_but_not_long() {
        let slot = |text| decode_storage_key(text).unwrap().slot;
        assert_eq!(slot("0x0"), U256::ZERO);
        assert_eq!(slot("0x"), U256::ZERO);
        assert_eq!(slot("ff"), U256::from(255));
        assert_eq!(slot("0x1234"), U256::from(0x1234));
        let full = format!("0x{:064x}", 7);
        assert_eq!(decode_storage_key(&full).unwrap(), StorageKey { slot: U256::from(7), is_full: true });
        let long = format!("0x{:065x}", 0);
        assert_eq!(
            decode_storage_key(&long).unwrap_err(),
            format!("storage key too long (want at most 32 bytes): \"{long}\"")
        );
        assert_eq!(decode_storage_key("0xasdf").unwrap_err(), "invalid hex in storage key: \"0xasdf\"");
    }
}
