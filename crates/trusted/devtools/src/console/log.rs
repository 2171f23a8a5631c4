//! What contracts say with `console.log`: calls to a fixed address that has no code, whose calldata
//! names the types of its arguments by the selector of `log(…)`.

use std::{collections::HashMap, fmt::Write as _, sync::OnceLock};

use alloy_primitives::{Address, I256, Selector, U256, address, hex, keccak256};

/// Where contracts send their log calls: the ASCII of `console.log`.
pub const CONSOLE_ADDRESS: Address = address!("000000000000000000636F6e736F6c652e6c6f67");

/// Longest line printed for one call, in characters.
const MAX_LINE_CHARS: usize = 4_096;

/// Most arguments of one call.
const MAX_ARGUMENTS: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Uint,
    Int,
    Bool,
    Address,
    Text,
    Bytes,
    /// `bytesN`
    Fixed(usize),
}

/// Types that may appear together, with their canonical names.
const COMBINED: [(Kind, &str); 6] = [
    (Kind::Uint, "uint256"),
    (Kind::Text, "string"),
    (Kind::Bool, "bool"),
    (Kind::Address, "address"),
    (Kind::Int, "int256"),
    (Kind::Bytes, "bytes"),
];

#[derive(Debug, PartialEq, Eq)]
enum Value {
    Uint(U256),
    Int(I256),
    Bool(bool),
    Address(Address),
    Text(String),
    Bytes(Vec<u8>),
}

/// The line that a call to the console asks for; `None` if the calldata is no known log call.
#[must_use]
pub fn decode_log(calldata: &[u8]) -> Option<String> {
    let (selector, data) = calldata.split_first_chunk::<4>()?;
    let kinds = signatures().get(&Selector::from(*selector))?;
    let values =
        kinds.iter().enumerate().map(|(index, kind)| decode(*kind, data, index)).collect::<Option<Vec<_>>>()?;
    Some(printable(&format_values(&values)))
}

/// Replaces control characters, which could take over the terminal, and cuts what is too long.
/// Lines and tabs stay.
#[must_use]
pub(crate) fn printable(text: &str) -> String {
    let mut clean: String = text
        .chars()
        .take(MAX_LINE_CHARS)
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect();
    if text.chars().nth(MAX_LINE_CHARS).is_some() {
        clean.push('…');
    }
    clean
}

fn signatures() -> &'static HashMap<Selector, Vec<Kind>> {
    static TABLE: OnceLock<HashMap<Selector, Vec<Kind>>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = HashMap::new();
        let mut add = |names: &[&str], kinds: &[Kind]| {
            let canonical = format!("log({})", names.join(","));
            table.entry(selector(&canonical)).or_insert_with(|| kinds.to_vec());
            // Old console libraries hashed the short names of the integer types.
            let short = canonical.replace("int256", "int");
            table.entry(selector(&short)).or_insert_with(|| kinds.to_vec());
        };
        add(&[], &[]);
        for size in 1..=32 {
            add(&[&format!("bytes{size}")], &[Kind::Fixed(size)]);
        }
        for count in 1..=MAX_ARGUMENTS {
            for mut combination in 0..COMBINED.len().pow(count) {
                let (mut names, mut kinds) = (Vec::new(), Vec::new());
                for _ in 0..count {
                    let (kind, name) = COMBINED[combination % COMBINED.len()];
                    names.push(name);
                    kinds.push(kind);
                    combination /= COMBINED.len();
                }
                add(&names, &kinds);
            }
        }
        table
    })
}

fn selector(signature: &str) -> Selector {
    Selector::from_slice(&keccak256(signature)[..4])
}

/// Decodes the argument whose head is the word at `index`.
fn decode(kind: Kind, data: &[u8], index: usize) -> Option<Value> {
    let word = word(data, index.checked_mul(32)?)?;
    Some(match kind {
        Kind::Uint => Value::Uint(U256::from_be_bytes(word)),
        Kind::Int => Value::Int(I256::from_be_bytes(word)),
        Kind::Bool => Value::Bool(word.iter().any(|byte| *byte != 0)),
        Kind::Address => Value::Address(Address::from_slice(&word[12..])),
        Kind::Fixed(size) => Value::Bytes(word.get(..size)?.to_vec()),
        Kind::Text => Value::Text(String::from_utf8_lossy(dynamic(word, data)?).into_owned()),
        Kind::Bytes => Value::Bytes(dynamic(word, data)?.to_vec()),
    })
}

/// The bytes that a head word points to.
fn dynamic(head: [u8; 32], data: &[u8]) -> Option<&[u8]> {
    let offset = usize::try_from(U256::from_be_bytes(head)).ok()?;
    let length = usize::try_from(U256::from_be_bytes(word(data, offset)?)).ok()?;
    let start = offset.checked_add(32)?;
    data.get(start..start.checked_add(length)?)
}

fn word(data: &[u8], at: usize) -> Option<[u8; 32]> {
    data.get(at..at.checked_add(32)?)?.try_into().ok()
}

impl Value {
    fn plain(&self) -> String {
        match self {
            Self::Uint(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::Address(value) => value.to_checksum(None),
            Self::Text(value) => value.clone(),
            Self::Bytes(value) => hex::encode_prefixed(value),
        }
    }

    fn decimal(&self) -> String {
        match self {
            Self::Bool(value) => u8::from(*value).to_string(),
            Self::Address(value) => U256::from_be_slice(value.as_slice()).to_string(),
            Self::Bytes(value) if value.len() <= 32 => U256::from_be_slice(value).to_string(),
            Self::Uint(_) | Self::Int(_) => self.plain(),
            Self::Text(_) | Self::Bytes(_) => "NaN".to_owned(),
        }
    }

    fn hexadecimal(&self) -> String {
        match self {
            Self::Uint(value) => format!("{value:#x}"),
            Self::Int(value) => format!("{value:#x}"),
            Self::Bool(value) => format!("{:#x}", u8::from(*value)),
            Self::Text(value) => hex::encode_prefixed(value),
            Self::Address(_) | Self::Bytes(_) => self.plain(),
        }
    }

    fn quoted(&self) -> String {
        match self {
            Self::Text(value) => format!("'{value}'"),
            _ => self.plain(),
        }
    }
}

/// As `util.format` of Node.js: a first text may hold places for the values after it; values
/// without a place follow, one space between them.
fn format_values(values: &[Value]) -> String {
    let (mut line, mut rest) = match values.split_first() {
        Some((Value::Text(template), rest)) => fill(template, rest),
        Some((first, rest)) => (first.plain(), rest),
        None => (String::new(), values),
    };
    while let Some((value, after)) = rest.split_first() {
        let _ = write!(line, " {}", value.plain());
        rest = after;
    }
    line
}

/// Puts values into the places of a template; returns the values that had none.
fn fill<'a>(template: &str, mut values: &'a [Value]) -> (String, &'a [Value]) {
    let mut line = String::with_capacity(template.len());
    let mut characters = template.chars().peekable();
    while let Some(c) = characters.next() {
        let place = (c == '%').then(|| characters.peek().copied()).flatten();
        match (place, values.split_first()) {
            (Some('%'), _) if !values.is_empty() => line.push('%'),
            (Some(place @ ('s' | 'd' | 'i' | 'x' | 'o' | 'O' | 'j')), Some((value, after))) => {
                line.push_str(&match place {
                    's' => value.plain(),
                    'x' => value.hexadecimal(),
                    'd' | 'i' => value.decimal(),
                    _ => value.quoted(),
                });
                values = after;
            }
            _ => {
                line.push(c);
                continue;
            }
        }
        characters.next();
    }
    (line, values)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_dyn_abi::DynSolValue;

    fn call(signature: &str, values: Vec<DynSolValue>) -> Vec<u8> {
        let mut calldata = selector(signature).to_vec();
        calldata.extend(DynSolValue::Tuple(values).abi_encode_params());
        calldata
    }

    fn uint(value: u64) -> DynSolValue {
        DynSolValue::Uint(U256::from(value), 256)
    }

    fn text(value: &str) -> DynSolValue {
        DynSolValue::String(value.into())
    }

    #[test]
    fn the_selectors_that_the_libraries_use() {
        // From forge-std's and Hardhat's console.sol.
        let known: [([u8; 4], &[Kind]); 5] = [
            (hex!("41304fac"), &[Kind::Text]),
            (hex!("b60e72cc"), &[Kind::Text, Kind::Uint]),
            (hex!("f82c50f1"), &[Kind::Uint]),
            (hex!("2d5b6cb9"), &[Kind::Int]),
            (hex!("9710a9d0"), &[Kind::Text, Kind::Uint]),
        ];
        for (selector, kinds) in known {
            assert_eq!(signatures()[&Selector::from(selector)], kinds);
        }
    }

    #[test]
    fn every_type_is_shown() {
        let cases = [
            (call("log()", vec![]), ""),
            (call("log(uint256)", vec![uint(42)]), "42"),
            (call("log(bool)", vec![DynSolValue::Bool(true)]), "true"),
            (call("log(string)", vec![text("hi")]), "hi"),
            (call("log(int256)", vec![DynSolValue::Int(I256::MINUS_ONE, 256)]), "-1"),
            (
                call("log(address)", vec![DynSolValue::Address(CONSOLE_ADDRESS)]),
                "0x000000000000000000636F6e736F6c652e6c6f67",
            ),
            (call("log(bytes)", vec![DynSolValue::Bytes(vec![1, 0xab])]), "0x01ab"),
            (
                call(
                    "log(bytes3)",
                    vec![DynSolValue::FixedBytes(alloy_primitives::B256::right_padding_from(&[1, 2, 3]), 3)],
                ),
                "0x010203",
            ),
            (
                call("log(string,uint256,bool,string)", vec![text("a"), uint(1), DynSolValue::Bool(false), text("z")]),
                "a 1 false z",
            ),
            (call("log(uint,string)", vec![uint(7), text("short")]), "7 short"),
        ];
        for (calldata, line) in cases {
            assert_eq!(decode_log(&calldata).as_deref(), Some(line));
        }
    }

    #[test]
    fn places_are_filled_as_node_fills_them() {
        let format = |template: &str, values: [DynSolValue; 2]| {
            let mut all = vec![text(template)];
            let names = match &values {
                [DynSolValue::Uint(..), DynSolValue::String(_)] => "uint256,string",
                _ => "string,string",
            };
            all.extend(values);
            decode_log(&call(&format!("log(string,{names})"), all)).unwrap()
        };
        assert_eq!(format("%d of %s", [uint(3), text("x")]), "3 of x");
        assert_eq!(format("%x", [uint(255), text("x")]), "0xff x");
        assert_eq!(format("100%% %i", [uint(3), text("x")]), "100% 3 x");
        assert_eq!(format("%o|%d", [text("q"), text("x")]), "'q'|NaN");
        assert_eq!(format("%z %", [uint(3), text("x")]), "%z % 3 x");
        assert_eq!(decode_log(&call("log(string)", vec![text("%s 5%%")])).unwrap(), "%s 5%%");
    }

    #[test]
    fn bad_calldata_says_nothing_and_never_panics() {
        let good = call("log(string,uint256)", vec![text("hello"), uint(1)]);
        for cut in 0..good.len() - 27 {
            assert_eq!(decode_log(&good[..cut]), None, "{cut}");
        }
        let mut far = good.clone();
        far[4..36].fill(0xff);
        assert_eq!(decode_log(&far), None);
        let mut long = good;
        long[4 + 64..4 + 96].fill(0xff);
        assert_eq!(decode_log(&long), None);
        assert_eq!(decode_log(&[0xde, 0xad, 0xbe, 0xef]), None);
    }

    #[test]
    fn a_contract_cannot_speak_to_the_terminal() {
        let line = decode_log(&call("log(string)", vec![text("a\u{1b}[2Jb\nc")])).unwrap();
        assert_eq!(line, "a\u{fffd}[2Jb\nc");
        let long = decode_log(&call("log(string)", vec![text(&"x".repeat(5_000))])).unwrap();
        assert_eq!(long.chars().count(), MAX_LINE_CHARS + 1);
    }
}
