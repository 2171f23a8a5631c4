//! A contract's interface, as compilers write it.

use alloy_primitives::{B256, keccak256};
use serde_json::Value;

/// Function, event and their parameters, as far as a policy may name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) functions: Vec<Function>,
    pub(crate) events: Vec<Event>,
}

/// Whether a function may change the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutability {
    Changes,
    Reads,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) signature: String,
    /// What the list of rules knows it by.
    pub(crate) key: B256,
    pub(crate) mutability: Mutability,
    pub(crate) parameters: Vec<Parameter>,
    /// Types of what it returns.
    pub(crate) returns: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) signature: String,
    pub(crate) topic0: B256,
    pub(crate) parameters: Vec<Parameter>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    /// Where a rule finds it; `None` for what is no address, or too far behind.
    pub(crate) operand: Option<u8>,
}

const TOPIC: u8 = 0x80;

impl Interface {
    /// From the interface alone, or an artifact of Foundry's or Hardhat's that has one.
    pub(crate) fn parse(json: &Value) -> Result<Self, String> {
        let entries = json.as_array().or_else(|| json["abi"].as_array());
        let entries = entries.ok_or("the interface: expected a list, or an object with `abi`")?;
        let mut interface = Self::default();
        for entry in entries {
            match entry["type"].as_str() {
                Some("function") => interface.functions.push(function(entry)?),
                Some(kind @ ("receive" | "fallback")) => interface.functions.push(Function {
                    name: kind.to_owned(),
                    signature: format!("{kind}()"),
                    key: B256::with_last_byte(if kind == "receive" { 1 } else { 2 }),
                    mutability: Mutability::Changes,
                    parameters: Vec::new(),
                    returns: Vec::new(),
                }),
                // The first topic of an anonymous event names nothing.
                Some("event") if entry["anonymous"] != true => interface.events.push(event(entry)?),
                _ => {}
            }
        }
        let overloaded = |name: &str| interface.functions.iter().filter(|other| other.name == name).count() > 1;
        let names: Vec<_> = interface.functions.iter().map(|function| overloaded(&function.name)).collect();
        // One name for several functions names none of them.
        for (function, is_overloaded) in interface.functions.iter_mut().zip(names) {
            if is_overloaded {
                function.name.clone_from(&function.signature);
            }
        }
        Ok(interface)
    }
}

fn function(entry: &Value) -> Result<Function, String> {
    let (name, signature) = signature(entry)?;
    let inputs = inputs(entry)?;
    let mut parameters = Vec::new();
    let mut word = 0;
    for input in inputs {
        let operand =
            (input["type"] == "address").then(|| u8::try_from(word).ok().filter(|word| *word < TOPIC)).flatten();
        parameters.push(parameter(input, operand));
        word += head_words(input)?;
    }
    Ok(Function {
        name,
        key: B256::right_padding_from(&keccak256(&signature)[..4]),
        signature,
        mutability: match entry["stateMutability"].as_str() {
            Some("view" | "pure") => Mutability::Reads,
            _ => Mutability::Changes,
        },
        parameters,
        returns: match entry["outputs"].as_array() {
            Some(outputs) => outputs.iter().map(canonical).collect::<Result<_, _>>()?,
            None => Vec::new(),
        },
    })
}

fn event(entry: &Value) -> Result<Event, String> {
    let (name, signature) = signature(entry)?;
    let mut parameters = Vec::new();
    let (mut word, mut topic) = (0, TOPIC);
    for input in inputs(entry)? {
        let is_address = input["type"] == "address";
        let operand = if input["indexed"] == true {
            topic += 1;
            Some(topic)
        } else {
            let place = u8::try_from(word).ok().filter(|word| *word < TOPIC);
            word += head_words(input)?;
            place
        };
        parameters.push(parameter(input, operand.filter(|_| is_address)));
    }
    Ok(Event { name, topic0: keccak256(&signature), signature, parameters })
}

fn parameter(input: &Value, operand: Option<u8>) -> Parameter {
    Parameter { name: input["name"].as_str().unwrap_or_default().to_owned(), operand }
}

fn inputs(entry: &Value) -> Result<&Vec<Value>, String> {
    entry["inputs"].as_array().ok_or_else(|| "the interface: an entry has no `inputs`".to_owned())
}

fn signature(entry: &Value) -> Result<(String, String), String> {
    let name = entry["name"].as_str().ok_or("the interface: an entry has no name")?;
    let types: Result<Vec<String>, String> = inputs(entry)?.iter().map(canonical).collect();
    Ok((name.to_owned(), format!("{name}({})", types?.join(","))))
}

fn type_of(input: &Value) -> Result<&str, String> {
    input["type"].as_str().ok_or_else(|| "the interface: a parameter has no type".to_owned())
}

/// The type as signatures name it: tuples by what is in them.
fn canonical(input: &Value) -> Result<String, String> {
    let name = type_of(input)?;
    match name.strip_prefix("tuple") {
        Some(arrays) => {
            let types: Result<Vec<String>, String> = components(input)?.iter().map(canonical).collect();
            Ok(format!("({}){arrays}", types?.join(",")))
        }
        None => Ok(name.to_owned()),
    }
}

fn components(input: &Value) -> Result<&Vec<Value>, String> {
    input["components"].as_array().ok_or_else(|| "the interface: a tuple has no `components`".to_owned())
}

/// Words that a parameter takes before what is of variable size: one for that.
fn head_words(input: &Value) -> Result<usize, String> {
    Ok(static_words(type_of(input)?, input)?.unwrap_or(1))
}

/// Words of a type of fixed size.
fn static_words(name: &str, input: &Value) -> Result<Option<usize>, String> {
    if let Some((element, count)) = name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) {
        let Ok(count) = count.parse::<usize>() else { return Ok(None) };
        let element = static_words(element, input)?;
        return Ok(element.map(|words| words.saturating_mul(count)));
    }
    match name {
        "bytes" | "string" => Ok(None),
        "tuple" => {
            let mut words = 0_usize;
            for component in components(input)? {
                match static_words(type_of(component)?, component)? {
                    Some(more) => words = words.saturating_add(more),
                    None => return Ok(None),
                }
            }
            Ok(Some(words))
        }
        _ => Ok(Some(1)),
    }
}
