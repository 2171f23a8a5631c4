//! Positional parameters, with the texts that geth answers when they are wrong.
//!
//! The texts name Go types. They are kept word for word: clients and test suites match on them.

mod block;
mod hex;

use std::{fmt, marker::PhantomData};

use jsonrpsee::types::ErrorObjectOwned;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::errors::invalid_params;

pub use block::{block_id, block_number};
pub use hex::{StorageKey, decode_storage_key};
pub(crate) use hex::{json_string, uint64};

/// A value that can stand as one parameter.
pub trait Param: Sized {
    /// Reads the value from its JSON text.
    ///
    /// # Errors
    /// What is wrong with it, as geth says it after `invalid argument N: `.
    fn decode(json: &str) -> Result<Self, String>;

    /// Reads the value from the text of a JSON string.
    ///
    /// # Errors
    /// As [`Self::decode`].
    fn from_text(text: &str) -> Result<Self, String> {
        match serde_json::to_string(text) {
            Ok(json) => Self::decode(&json),
            Err(_) => Err("invalid string".to_owned()),
        }
    }

    /// The value where the parameter is absent or `null`; `None` if it is required.
    #[must_use]
    fn absent() -> Option<Self> {
        None
    }
}

impl<T: Param> Param for Option<T> {
    fn decode(json: &str) -> Result<Self, String> {
        T::decode(json).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Param> Param for Vec<T> {
    fn decode(json: &str) -> Result<Self, String> {
        let items: Vec<&RawValue> = serde_json::from_str(json)
            .map_err(|_| "json: cannot unmarshal value into Go value of type []".to_owned())?;
        items.iter().map(|item| T::decode(item.get())).collect()
    }
}

/// A parameter that any `serde` type may be; its own messages are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: serde::de::DeserializeOwned> Param for Json<T> {
    fn decode(json: &str) -> Result<Self, String> {
        serde_json::from_str(json).map(Self).map_err(|error| without_position(&error))
    }
}

/// Reads a JSON object, and only an object: `serde` would take an array of its fields as well.
pub(crate) fn object<T: serde::de::DeserializeOwned>(json: &str, go_type: &str) -> Result<T, String> {
    only_object(json, go_type)?;
    Json::decode(json).map(|Json(value)| value)
}

/// Refuses what is no JSON object.
pub(crate) fn only_object(json: &str, go_type: &str) -> Result<(), String> {
    if json.starts_with('{') {
        return Ok(());
    }
    Err(format!("json: cannot unmarshal {} into Go value of type {go_type}", hex::kind(json)))
}

/// A field of an object, or one of its keys, read like a parameter: with geth's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field<T>(pub T);

impl<'de, T: Param> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);

        impl<T: Param> Visitor<'_> for Text<T> {
            type Value = Field<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::from_text(text).map(Field).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text(PhantomData))
    }
}

/// The message of a JSON error without line and column, which count from an offset the client never
/// sees.
pub(crate) fn without_position(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if let Some(at) = text.rfind(" at line ") {
        text.truncate(at);
    }
    text
}

/// A tuple of parameters.
pub trait FromParams: Sized {
    /// Reads all parameters from the JSON text of `params`, or from nothing if there is none.
    ///
    /// # Errors
    /// `-32602` with geth's text.
    fn from_params(json: Option<&str>) -> Result<Self, ErrorObjectOwned>;
}

macro_rules! tuples {
    ($( ( $($name:ident $index:tt),* ) )*) => { $(
        impl<$($name: Param),*> FromParams for ($($name,)*) {
            #[allow(unused_variables)]
            fn from_params(json: Option<&str>) -> Result<Self, ErrorObjectOwned> {
                const COUNT: usize = 0 $( + { let _ = $index; 1 } )*;
                let values = positional(json, COUNT)?;
                Ok(($( one::<$name>(&values, $index)?, )*))
            }
        }
    )* };
}

tuples! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
}

fn one<T: Param>(values: &[&RawValue], index: usize) -> Result<T, ErrorObjectOwned> {
    match values.get(index).map(|value| value.get()) {
        None | Some("null") => {
            T::absent().ok_or_else(|| invalid_params(format!("missing value for required argument {index}")))
        }
        Some(json) => T::decode(json).map_err(|error| invalid_params(format!("invalid argument {index}: {error}"))),
    }
}

/// Splits an array into its elements without looking into them.
fn positional(json: Option<&str>, limit: usize) -> Result<Vec<&RawValue>, ErrorObjectOwned> {
    let Some(json) = json.filter(|json| !json.is_empty() && *json != "null") else {
        return Ok(Vec::new());
    };
    if !json.trim_start().starts_with('[') {
        return Err(invalid_params("non-array args"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let elements =
        Elements { limit }.deserialize(&mut deserializer).map_err(|error| invalid_params(without_position(&error)))?;
    elements.ok_or_else(|| invalid_params(format!("too many arguments, want at most {limit}")))
}

/// Collects at most `limit` elements; `None` if there are more. What is beyond is skipped, not
/// stored: an array of a million nulls costs no memory.
struct Elements {
    limit: usize,
}

impl<'de> DeserializeSeed<'de> for Elements {
    type Value = Option<Vec<&'de RawValue>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::with_capacity(self.limit);
        while elements.len() < self.limit {
            match seq.next_element()? {
                Some(element) => elements.push(element),
                None => return Ok(Some(elements)),
            }
        }
        let mut beyond = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            beyond = true;
        }
        Ok((!beyond).then_some(elements))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_eips::BlockId;
    use alloy_primitives::{Address, Bytes, U256, address};

    use super::*;

    fn fail<P: FromParams + fmt::Debug>(json: &str) -> (i32, String) {
        let error = P::from_params(Some(json)).unwrap_err();
        (error.code(), error.message().to_owned())
    }

    #[test]
    fn missing_surplus_and_malformed_arguments_say_what_geth_says() {
        type Balance = (Address, Option<BlockId>);
        let missing = "missing value for required argument 0";
        assert_eq!(fail::<Balance>("[]"), (-32602, missing.to_owned()));
        assert_eq!(fail::<Balance>("[null]").1, missing);
        assert_eq!(Balance::from_params(None).unwrap_err().message(), missing);
        let address = "\"0x7dcd17433742f4c0ca53122ab541d0ba67fc27df\"";
        assert_eq!(fail::<Balance>(&format!("[{address},\"latest\",1]")).1, "too many arguments, want at most 2");
        assert_eq!(
            fail::<Balance>(&format!("[{address},\"0\"]")).1,
            "invalid argument 1: hex string without 0x prefix"
        );
        assert_eq!(fail::<Balance>("{\"address\":1}").1, "non-array args");
        assert_eq!(fail::<()>("[1]").1, "too many arguments, want at most 0");
    }

    #[test]
    fn values_come_out_in_order() {
        let json = "[ \"0x7dcd17433742f4c0ca53122ab541d0ba67fc27df\" , null, true, \"0x0102\"]";
        let (address, block, full, data): (Address, Option<BlockId>, bool, Bytes) =
            FromParams::from_params(Some(json)).unwrap();
        assert_eq!(address, address!("7dcd17433742f4c0ca53122ab541d0ba67fc27df"));
        assert_eq!(block, None);
        assert!(full);
        assert_eq!(data.as_ref(), [1, 2]);
        let (number,): (U256,) = FromParams::from_params(Some("[\"0x10\"]")).unwrap();
        assert_eq!(number, U256::from(16));
    }

    #[test]
    fn a_huge_array_is_refused_without_being_stored() {
        let json = format!("[{}1]", "1,".repeat(100_000));
        assert_eq!(fail::<()>(&json).1, "too many arguments, want at most 0");
    }
}
