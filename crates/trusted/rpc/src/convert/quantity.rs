//! Numbers and byte strings as Ethereum's JSON writes them.

use alloy_primitives::hex;
use serde::{Serialize, Serializer};

/// An unsigned number as `0x` and its shortest hex digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(pub u128);

impl From<u64> for Quantity {
    fn from(value: u64) -> Self {
        Self(value.into())
    }
}

impl From<u128> for Quantity {
    fn from(value: u128) -> Self {
        Self(value)
    }
}

impl Quantity {
    /// A count, as a quantity.
    #[must_use]
    pub const fn count(value: usize) -> Self {
        Self(value as u128)
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl Quantity {
    /// Hands its text to `take`. Written back to front: most quantities have few digits, and no formatter is involved.
    pub(super) fn with_text<T>(self, take: impl FnOnce(&str) -> T) -> T {
        let mut buffer = [0; 34];
        let mut at = buffer.len();
        let mut rest = self.0;
        loop {
            at -= 1;
            buffer[at] = DIGITS[(rest & 0xf) as usize];
            rest >>= 4;
            if rest == 0 {
                break;
            }
        }
        at -= 1;
        buffer[at] = b'x';
        at -= 1;
        buffer[at] = b'0';
        // Digits and letters are UTF-8.
        take(core::str::from_utf8(&buffer[at..]).unwrap_or_default())
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

/// Bytes as `0x` and two digits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HexBytes<'a>(pub &'a [u8]);

impl Serialize for HexBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const ON_STACK: usize = 128;
        if self.0.len() > ON_STACK {
            return serializer.serialize_str(&hex::encode_prefixed(self.0));
        }
        let mut buffer = [0; 2 + 2 * ON_STACK];
        buffer[..2].copy_from_slice(b"0x");
        let end = 2 + 2 * self.0.len();
        hex::encode_to_slice(self.0, &mut buffer[2..end]).map_err(serde::ser::Error::custom)?;
        let text = core::str::from_utf8(&buffer[..end]).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn json(value: impl Serialize) -> String {
        serde_json::to_string(&value).unwrap()
    }

    #[test]
    fn numbers_have_no_leading_zeros_and_bytes_keep_them() {
        assert_eq!(json(Quantity(0)), "\"0x0\"");
        assert_eq!(json(Quantity(0x1f)), "\"0x1f\"");
        assert_eq!(json(Quantity(u128::MAX)), format!("\"{:#x}\"", u128::MAX));
        assert_eq!(json(HexBytes(&[])), "\"0x\"");
        assert_eq!(json(HexBytes(&[0, 0xab])), "\"0x00ab\"");
        assert_eq!(json(HexBytes(&[7; 200])), format!("\"0x{}\"", "07".repeat(200)));
    }
}
