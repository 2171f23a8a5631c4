//! The public execution-apis suite: its chain, its pairs of request and response, and how an answer is judged.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::repository;
use crate::rpc::RpcClient;

/// The commit of ethereum/execution-apis that the vectors were taken from.
pub const VERSION: &str = "execution-apis 033ca6e";

/// Where the suite is.
///
/// # Errors
/// Why its tests are skipped, where it is not there.
///
/// # Panics
/// Where it must be there (`CI=true`) and is not.
pub fn suite() -> Result<PathBuf, String> {
    let root =
        std::env::var_os("CLOISTER_VECTORS").map_or_else(|| repository().join("../shared/vectors"), PathBuf::from);
    let suite = root.join("execution-apis");
    if suite.join("chain.rlp").is_file() {
        return Ok(suite);
    }
    let reason = format!("no vectors at {}: set CLOISTER_VECTORS", suite.display());
    assert!(!std::env::var("CI").is_ok_and(|value| value == "true"), "{reason}");
    Err(reason)
}

/// One file of the suite: requests in order, each with its expected response.
#[derive(Clone, Debug)]
pub struct Pair {
    /// `method/case`.
    pub name: String,
    /// Only the response's shape is prescribed.
    pub shape_only: bool,
    /// Request and expected response.
    pub exchanges: Vec<(Value, Value)>,
}

/// All pairs, by name.
///
/// # Panics
/// If the suite cannot be read.
#[must_use]
pub fn pairs(suite: &Path) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for method in entries(suite).into_iter().filter(|path| path.is_dir()) {
        for file in entries(&method) {
            let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let name = file.strip_prefix(suite).unwrap_or(&file).with_extension("").display().to_string();
            pairs.push(Pair::parse(name, &text));
        }
    }
    pairs.sort_by(|a, b| a.name.cmp(&b.name));
    pairs
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries.map(|entry| entry.expect("an entry of the suite").path()).collect()
}

impl Pair {
    fn parse(name: String, text: &str) -> Self {
        let json = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{name}: {e}"));
        let lines = |prefix| text.lines().filter_map(move |line| line.strip_prefix(prefix)).map(json);
        let exchanges: Vec<_> = lines(">> ").zip(lines("<< ")).collect();
        assert!(!exchanges.is_empty(), "{name} holds no exchange");
        let head = text.lines().take_while(|line| line.starts_with("//"));
        Self { shape_only: head.into_iter().any(|line| line.contains("speconly")), exchanges, name }
    }

    /// Sends the requests to a node and judges its answers.
    ///
    /// # Errors
    /// What differs.
    pub fn run(&self, rpc: &RpcClient) -> Result<(), String> {
        for (request, expected) in &self.exchanges {
            let answer = rpc.post(request.to_string().as_bytes()).map_err(|e| e.to_string())?.json();
            let verdict = match (expected.get("error"), answer.get("error")) {
                (Some(expected), Some(found)) => same("error.code", &expected["code"], &found["code"]),
                _ if self.shape_only => same_shape("", expected, &answer),
                _ => same("", expected, &answer),
            };
            verdict.map_err(|difference| format!("{}: {difference}", request["method"]))?;
        }
        Ok(())
    }
}

/// The first place in which two values differ.
fn same(path: &str, expected: &Value, found: &Value) -> Result<(), String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let keys: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
            keys.into_iter().try_for_each(|key| {
                let absent = Value::String("(absent)".to_owned());
                let side = |side: &serde_json::Map<String, Value>| side.get(key).cloned().unwrap_or(absent.clone());
                same(&format!("{path}.{key}"), &side(expected), &side(found))
            })
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => expected
            .iter()
            .zip(found)
            .enumerate()
            .try_for_each(|(index, (expected, found))| same(&format!("{path}[{index}]"), expected, found)),
        _ if expected == found => Ok(()),
        _ => Err(format!("{path}: expected {expected}, found {found}")),
    }
}

/// The first place in which two values are of different shapes: another type, a missing or a new field, a quantity
/// instead of bytes. Keys that are themselves data, addresses and nonces, may differ.
fn same_shape(path: &str, expected: &Value, found: &Value) -> Result<(), String> {
    let is_data = |key: &String| key.starts_with("0x") || key.bytes().all(|digit| digit.is_ascii_digit());
    match (expected, found) {
        // Transactions of two types have only some fields in common.
        (Value::Object(expected), Value::Object(found)) if expected.get("type") != found.get("type") => {
            let common = expected.iter().filter_map(|(key, model)| Some((key, model, found.get(key)?)));
            common.into_iter().try_for_each(|(key, model, value)| same_shape(&format!("{path}.{key}"), model, value))
        }
        (Value::Object(expected), Value::Object(found)) => {
            let model = expected.iter().find(|(key, _)| is_data(key)).map(|(_, value)| value);
            for key in expected.keys().filter(|key| !is_data(key)) {
                let value = found.get(key).ok_or_else(|| format!("{path}.{key} is missing"))?;
                same_shape(&format!("{path}.{key}"), &expected[key], value)?;
            }
            for (key, value) in found {
                match (expected.get(key), model) {
                    (Some(_), _) if !is_data(key) => {}
                    (_, Some(model)) if is_data(key) => same_shape(&format!("{path}.{key}"), model, value)?,
                    // What an empty object would hold is not prescribed.
                    (None, None) if expected.is_empty() => {}
                    _ => return Err(format!("{path}.{key} is not expected")),
                }
            }
            Ok(())
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => expected
            .iter()
            .zip(found)
            .enumerate()
            .try_for_each(|(index, (model, value))| same_shape(&format!("{path}[{index}]"), model, value)),
        (Value::Array(expected), Value::Array(found)) => match expected.first() {
            Some(model) => found.iter().try_for_each(|value| same_shape(&format!("{path}[]"), model, value)),
            None => Ok(()),
        },
        (Value::String(expected), Value::String(found)) => {
            let is_hex = |text: &str| text.starts_with("0x");
            if is_hex(expected) == is_hex(found) { Ok(()) } else { Err(format!("{path}: {found} is no {expected}")) }
        }
        (Value::Number(_), Value::Number(_)) | (Value::Bool(_), Value::Bool(_)) | (Value::Null, _) => Ok(()),
        // Fields that depend on the transaction's type.
        (_, Value::Null) if path.ends_with(".to") => Ok(()),
        _ => Err(format!("{path}: {found} instead of something like {expected}")),
    }
}

/// What running a suite came to, as `make conformance` collects it.
///
/// # Panics
/// If it cannot be written.
pub fn report(suite: &str, version: &str, outcome: &Outcome) {
    let folder = repository().join("target/conformance");
    fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let failures: Vec<_> = outcome.failed.iter().map(|(name, why)| json!({ "case": name, "why": why })).collect();
    let report = json!({
        "suite": suite,
        "version": version,
        "passed": outcome.passed,
        "failed": outcome.failed.len(),
        "skipped": outcome.skipped,
        "reason": outcome.reason,
        "failures": failures,
    });
    let path = folder.join(format!("{suite}.json"));
    fs::write(&path, format!("{report:#}\n")).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// What running a suite came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Cases that passed.
    pub passed: usize,
    /// Those that did not, and why.
    pub failed: Vec<(String, String)>,
    /// Cases that were not run.
    pub skipped: usize,
    /// Why they were not.
    pub reason: String,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_by_their_place() {
        let (one, other) = (json!({"a": [1, {"b": "0x1"}]}), json!({"a": [1, {"b": "0x2", "c": null}]}));
        assert_eq!(same("", &one, &one), Ok(()));
        assert_eq!(same("", &one, &other).unwrap_err(), ".a[1].b: expected \"0x1\", found \"0x2\"");
        assert_eq!(same("", &json!({}), &json!({"c": 1})).unwrap_err(), ".c: expected \"(absent)\", found 1");
    }

    #[test]
    fn shapes_do_not_depend_on_data() {
        let model = json!({"pending": {"0xab": {"7": {"nonce": "0x7", "to": null}}}, "queued": {}});
        let same_as_it = json!({"pending": {"0xcd": {"9": {"nonce": "0x9", "to": "0xcd"}}}, "queued": {"0x12": {}}});
        assert_eq!(same_shape("", &model, &same_as_it), Ok(()));
        for other in [
            json!({"pending": {}}),
            json!({"pending": {"0xcd": {"9": {"nonce": 9, "to": null}}}, "queued": {}}),
            json!({"pending": {"0xcd": {"9": {"to": null}}}, "queued": {}}),
            json!({"pending": {}, "queued": {}, "more": {}}),
        ] {
            assert!(same_shape("", &model, &other).is_err(), "{other}");
        }
    }
}
