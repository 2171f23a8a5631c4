//! Why a transaction failed, in words.

use std::{collections::HashMap, sync::OnceLock};

use alloy_dyn_abi::{DynSolType, DynSolValue};
use alloy_primitives::{Selector, U256, hex, keccak256};

use super::{log::printable, names::ERRORS};

/// `Error(string)`
const ERROR: [u8; 4] = hex!("08c379a0");
/// `Panic(uint256)`
const PANIC: [u8; 4] = hex!("4e487b71");
/// Longest value shown of a custom error, in characters.
const MAX_VALUE_CHARS: usize = 200;

/// Describes what a reverted call returned.
///
/// `Error(string)` gives its text, `Panic(uint256)` its code and meaning, errors known by their
/// selector their name and arguments, others their selector and size.
#[must_use]
pub fn describe_revert(output: &[u8]) -> String {
    let Some((selector, data)) = output.split_first_chunk::<4>() else {
        return if output.is_empty() {
            "no reason given".to_owned()
        } else {
            format!("data {}", hex::encode_prefixed(output))
        };
    };
    let described = match *selector {
        ERROR => text(data),
        PANIC => panic_code(data),
        other => custom(Selector::from(other), data),
    };
    described.unwrap_or_else(|| {
        format!("unknown error {} with {} bytes of data", hex::encode_prefixed(selector), data.len())
    })
}

/// Name and arguments of a custom error that is known by its selector.
#[must_use]
pub fn describe_custom_error(output: &[u8]) -> Option<String> {
    let (selector, data) = output.split_first_chunk::<4>()?;
    custom(Selector::from(*selector), data)
}

fn text(data: &[u8]) -> Option<String> {
    match DynSolType::Tuple(vec![DynSolType::String]).abi_decode_params(data) {
        Ok(DynSolValue::Tuple(values)) => {
            let text = values.first()?.as_str()?;
            Some(format!("\"{}\"", printable(text)))
        }
        _ => None,
    }
}

fn panic_code(data: &[u8]) -> Option<String> {
    let code = U256::from_be_slice(data.get(..32)?);
    let meaning = match u64::try_from(code).ok() {
        Some(0x00) => "compiler panic",
        Some(0x01) => "assertion failed",
        Some(0x11) => "arithmetic overflow or underflow",
        Some(0x12) => "division or modulo by zero",
        Some(0x21) => "value out of range of an enum",
        Some(0x22) => "storage byte array incorrectly encoded",
        Some(0x31) => "pop from an empty array",
        Some(0x32) => "array index out of bounds",
        Some(0x41) => "too much memory allocated",
        Some(0x51) => "call of an uninitialised internal function",
        _ => "unknown panic",
    };
    Some(format!("panic {code:#04x}: {meaning}"))
}

struct CustomError {
    name: &'static str,
    arguments: DynSolType,
}

fn errors() -> &'static HashMap<Selector, CustomError> {
    static TABLE: OnceLock<HashMap<Selector, CustomError>> = OnceLock::new();
    TABLE.get_or_init(|| {
        ERRORS
            .iter()
            .filter_map(|signature| {
                let (name, _) = signature.split_once('(')?;
                let arguments = DynSolType::parse(&signature[name.len()..]).ok()?;
                let selector = Selector::from_slice(&keccak256(signature)[..4]);
                Some((selector, CustomError { name, arguments }))
            })
            .collect()
    })
}

fn custom(selector: Selector, data: &[u8]) -> Option<String> {
    let CustomError { name, arguments } = errors().get(&selector)?;
    let DynSolValue::Tuple(values) = arguments.abi_decode_params(data).ok()? else {
        return None;
    };
    let shown: Vec<_> = values.iter().map(value).collect();
    Some(format!("{name}({})", shown.join(", ")))
}

fn value(value: &DynSolValue) -> String {
    let shown = match value {
        DynSolValue::Address(address) => address.to_checksum(None),
        DynSolValue::Uint(number, _) => number.to_string(),
        DynSolValue::Int(number, _) => number.to_string(),
        DynSolValue::Bool(flag) => flag.to_string(),
        DynSolValue::String(text) => format!("\"{}\"", printable(text)),
        DynSolValue::FixedBytes(word, size) => hex::encode_prefixed(&word[..*size]),
        DynSolValue::Bytes(bytes) => hex::encode_prefixed(bytes),
        other => format!("{other:?}"),
    };
    shown.chars().take(MAX_VALUE_CHARS).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::Address;

    fn encode(selector: &str, values: Vec<DynSolValue>) -> Vec<u8> {
        let mut output = keccak256(selector)[..4].to_vec();
        output.extend(DynSolValue::Tuple(values).abi_encode_params());
        output
    }

    #[test]
    fn reasons_and_panics() {
        let reason = hex!(
            "08c379a0"
            "0000000000000000000000000000000000000000000000000000000000000020"
            "0000000000000000000000000000000000000000000000000000000000000004"
            "6e6f706500000000000000000000000000000000000000000000000000000000"
        );
        assert_eq!(describe_revert(&reason), "\"nope\"");
        let overflow = encode("Panic(uint256)", vec![DynSolValue::Uint(U256::from(0x11), 256)]);
        assert_eq!(describe_revert(&overflow), "panic 0x11: arithmetic overflow or underflow");
        assert_eq!(describe_revert(&[]), "no reason given");
        assert_eq!(describe_revert(&[1, 2]), "data 0x0102");
    }

    #[test]
    fn errors_with_a_known_selector_show_their_arguments() {
        let owner = encode("OwnableUnauthorizedAccount(address)", vec![DynSolValue::Address(Address::ZERO)]);
        assert_eq!(describe_revert(&owner), "OwnableUnauthorizedAccount(0x0000000000000000000000000000000000000000)");
        let balance = encode(
            "ERC20InsufficientBalance(address,uint256,uint256)",
            vec![
                DynSolValue::Address(Address::ZERO),
                DynSolValue::Uint(U256::from(1), 256),
                DynSolValue::Uint(U256::from(2), 256),
            ],
        );
        assert!(describe_revert(&balance).ends_with(", 1, 2)"));
    }

    #[test]
    fn unknown_and_broken_data_is_summed_up() {
        assert_eq!(describe_revert(&hex!("deadbeef0102")), "unknown error 0xdeadbeef with 2 bytes of data");
        assert_eq!(describe_revert(&hex!("08c379a0ff")), "unknown error 0x08c379a0 with 1 bytes of data");
    }

    #[test]
    fn every_error_in_the_table_parses_and_has_its_own_selector() {
        assert_eq!(errors().len(), ERRORS.len());
    }
}
