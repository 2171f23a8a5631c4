//! Reading JSON one object at a time, keeping track of where we are and of what nobody asked for.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{GenesisError, GenesisWarning, MAX_GENESIS_WARNINGS};

/// Collects warnings up to a limit, and counts the rest.
#[derive(Default)]
pub(super) struct Warnings {
    kept: Vec<GenesisWarning>,
    dropped: usize,
}

impl Warnings {
    pub(super) fn add(&mut self, path: String, message: &str) {
        if self.kept.len() < MAX_GENESIS_WARNINGS {
            self.kept.push(GenesisWarning { path, message: message.to_owned() });
        } else {
            self.dropped += 1;
        }
    }

    pub(super) fn finish(mut self) -> Vec<GenesisWarning> {
        if self.dropped > 0 {
            self.kept.push(GenesisWarning {
                path: "genesis".to_owned(),
                message: format!("{} more keys without effect", self.dropped),
            });
        }
        self.kept
    }
}

/// Keys and unparsed values of one object, in the order of the file, duplicates included.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    entries.push((key, map.next_value::<&'de RawValue>()?));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

/// A JSON object whose keys are taken one by one; what is left at the end had no meaning.
pub(super) struct Object<'a> {
    path: String,
    entries: Vec<(String, &'a RawValue)>,
}

/// A JSON value and where it stands.
pub(super) struct Field<'a> {
    pub(super) path: String,
    pub(super) raw: &'a RawValue,
}

impl<'a> Object<'a> {
    /// Parses the top level of a file.
    pub(super) fn top(json: &'a str) -> Result<Self, GenesisError> {
        Self::read(String::new(), json)
    }

    fn read(path: String, json: &'a str) -> Result<Self, GenesisError> {
        let shown = if path.is_empty() { "genesis" } else { &path };
        let Entries(entries) = serde_json::from_str(json).map_err(|error| {
            if error.is_data() {
                unexpected(shown, "an object", json)
            } else {
                GenesisError::Json { path: shown.to_owned(), reason: error.to_string() }
            }
        })?;
        let mut seen = BTreeSet::new();
        for (key, _) in &entries {
            if !seen.insert(key.as_str()) {
                return Err(GenesisError::Duplicate { path: join(&path, key) });
            }
        }
        Ok(Self { path, entries })
    }

    /// Path of a key of this object.
    pub(super) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Takes a key; `null` counts as absent, as in geth.
    pub(super) fn take(&mut self, key: &str) -> Option<Field<'a>> {
        let index = self.entries.iter().position(|(name, _)| name == key)?;
        let (_, raw) = self.entries.swap_remove(index);
        (raw.get() != "null").then(|| Field { path: join(&self.path, key), raw })
    }

    /// Takes a key that must be there.
    pub(super) fn require(&mut self, key: &str, expected: &'static str) -> Result<Field<'a>, GenesisError> {
        self.take(key).ok_or_else(|| GenesisError::Missing { path: join(&self.path, key), expected })
    }

    /// Every key and value, for objects whose keys are data.
    pub(super) fn into_fields(self) -> impl Iterator<Item = (String, Field<'a>)> {
        let path = self.path;
        self.entries.into_iter().map(move |(key, raw)| {
            let field = Field { path: join(&path, &key), raw };
            (key, field)
        })
    }

    /// Number of keys not taken yet.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Warns about every key that was not taken.
    pub(super) fn finish(mut self, warnings: &mut Warnings) {
        // `take` disturbs the order of the file; sorted names read better than shuffled ones.
        self.entries.sort_by(|a, b| a.0.cmp(&b.0));
        for (key, _) in &self.entries {
            warnings.add(join(&self.path, key), "unknown key, without effect");
        }
    }
}

impl<'a> Field<'a> {
    pub(super) fn object(&self) -> Result<Object<'a>, GenesisError> {
        Object::read(self.path.clone(), self.raw.get())
    }

    pub(super) fn error(&self, expected: impl Into<String>) -> GenesisError {
        unexpected(&self.path, expected, self.raw.get())
    }

    /// A string's contents, or a number's digits as written.
    fn scalar(&self, expected: &str) -> Result<String, GenesisError> {
        let raw = self.raw.get();
        match raw.as_bytes().first() {
            Some(b'"') => serde_json::from_str(raw).map_err(|_| self.error(expected)),
            Some(b'0'..=b'9') => Ok(raw.to_owned()),
            _ => Err(self.error(expected)),
        }
    }

    pub(super) fn text(&self, expected: &'static str) -> Result<String, GenesisError> {
        match self.raw.get().as_bytes().first() {
            Some(b'"') => self.scalar(expected),
            _ => Err(self.error(expected)),
        }
    }

    pub(super) fn boolean(&self) -> Result<bool, GenesisError> {
        match self.raw.get() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.error("true or false")),
        }
    }

    pub(super) fn u256(&self) -> Result<U256, GenesisError> {
        const EXPECTED: &str = "a quantity of up to 256 bits: decimal, or hexadecimal with 0x";
        let text = self.scalar(EXPECTED)?;
        quantity(&text).ok_or_else(|| self.error(EXPECTED))
    }

    pub(super) fn u64(&self) -> Result<u64, GenesisError> {
        const EXPECTED: &str = "a quantity of up to 64 bits: decimal, or hexadecimal with 0x";
        let text = self.scalar(EXPECTED)?;
        quantity(&text).and_then(|value| u64::try_from(value).ok()).ok_or_else(|| self.error(EXPECTED))
    }

    /// A number between `least` and `most`.
    pub(super) fn within(&self, least: u64, most: u64) -> Result<u64, GenesisError> {
        match self.u64() {
            Ok(value) if (least..=most).contains(&value) => Ok(value),
            _ => Err(self.error(format!("a number from {least} to {most}"))),
        }
    }

    pub(super) fn address(&self) -> Result<Address, GenesisError> {
        let text = self.text("an address")?;
        address(&text).ok_or_else(|| self.error("an address of 20 bytes in hexadecimal"))
    }

    pub(super) fn b256(&self) -> Result<B256, GenesisError> {
        const EXPECTED: &str = "32 bytes in hexadecimal with 0x";
        let text = self.text(EXPECTED)?;
        let digits = text.strip_prefix("0x").ok_or_else(|| self.error(EXPECTED))?;
        hex_exact::<32>(digits).map(B256::new).ok_or_else(|| self.error(EXPECTED))
    }

    pub(super) fn bytes(&self, most: usize) -> Result<Bytes, GenesisError> {
        let expected = || format!("at most {most} bytes in hexadecimal with 0x");
        let text = self.text("bytes in hexadecimal with 0x")?;
        let Some(digits) = text.strip_prefix("0x") else {
            // geth writes an empty string for no bytes.
            return if text.is_empty() { Ok(Bytes::new()) } else { Err(self.error(expected())) };
        };
        if digits.len() > most.saturating_mul(2) || digits.starts_with("0x") {
            return Err(self.error(expected()));
        }
        hex::decode(digits).map(Bytes::from).map_err(|_| self.error(expected()))
    }
}

/// geth's HexOrDecimal: empty is zero, `0x` means hexadecimal, anything else is decimal.
fn quantity(text: &str) -> Option<U256> {
    if text.is_empty() {
        return Some(U256::ZERO);
    }
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let valid = |c: char| c.is_digit(radix);
    if digits.is_empty() || digits.len() > 78 || !digits.chars().all(valid) {
        return None;
    }
    U256::from_str_radix(digits, u64::from(radix)).ok()
}

/// An address with or without `0x`.
pub(super) fn address(text: &str) -> Option<Address> {
    hex_exact::<20>(text.strip_prefix("0x").unwrap_or(text)).map(Address::new)
}

/// A storage slot or value: up to 32 bytes, with or without `0x`, padded on the left.
pub(super) fn storage_word(text: &str) -> Option<U256> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.len() > 64 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    if digits.is_empty() {
        return Some(U256::ZERO);
    }
    U256::from_str(&format!("0x{digits}")).ok()
}

fn hex_exact<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.len() != N * 2 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    hex::decode_to_array(digits).ok()
}

pub(super) fn unexpected(path: &str, expected: impl Into<String>, found: &str) -> GenesisError {
    const SHOWN: usize = 60;
    let mut shown: String = found.chars().take(SHOWN).collect();
    if shown.len() < found.len() {
        shown.push('…');
    }
    GenesisError::Value { path: path.to_owned(), expected: expected.into(), found: shown }
}

/// `path.key`; a key is shown shortened, because it is as hostile as the rest of the file.
fn join(path: &str, key: &str) -> String {
    let key: String = key.chars().take(80).collect();
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
