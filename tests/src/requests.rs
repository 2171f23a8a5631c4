//! Requests made up from the node's own OpenRPC document: parameters of the right kind, and wrong in every way that clients are.

use serde_json::{Value, json};

use crate::fuzz::Random;
use crate::reference::{methods, schema_name};

/// Bytes of text that no parameter needs.
const OVERLONG: usize = 100_000;
/// Answers kept to be asked about again.
const MAX_REMEMBERED: usize = 64;

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Its parameters, an array unless that is what is wrong.
    pub params: Value,
}

/// Makes up requests.
#[derive(Debug)]
pub struct Requests<'a> {
    methods: Vec<&'a Value>,
    random: Random,
    /// Hashes, ids and addresses that the node has answered.
    remembered: Vec<String>,
}

impl<'a> Requests<'a> {
    /// Requests for all methods of `document`, the same for the same seed.
    #[must_use]
    pub fn new(document: &'a Value, seed: u64) -> Self {
        Self { methods: methods(document).collect(), random: Random::new(seed), remembered: Vec::new() }
    }

    /// How many methods there are.
    #[must_use]
    pub fn methods(&self) -> usize {
        self.methods.len()
    }

    /// Keeps strings of an answer, so that later requests meet what exists.
    pub fn remember(&mut self, answer: &Value) {
        match answer {
            Value::String(text) if text.starts_with("0x") && text.len() <= 66 => {
                if self.remembered.len() < MAX_REMEMBERED {
                    self.remembered.push(text.clone());
                } else {
                    let at = self.random.below(MAX_REMEMBERED);
                    self.remembered[at].clone_from(text);
                }
            }
            Value::Array(items) => items.iter().take(4).for_each(|item| self.remember(item)),
            Value::Object(fields) => fields.values().take(24).for_each(|field| self.remember(field)),
            _ => {}
        }
    }

    /// The next request for the method at `index`, modulo their number.
    pub fn next(&mut self, index: usize) -> Request {
        let method = self.methods[index % self.methods.len()];
        let described: Vec<&Value> = method["params"].as_array().into_iter().flatten().collect();
        let mut params = Vec::new();
        for param in &described {
            if param["required"] != true && self.random.below(2) == 0 {
                break;
            }
            params.push(self.value(schema_name(param)));
        }
        let params = self.distort(params);
        Request { method: method["name"].as_str().unwrap_or_default().to_owned(), params }
    }

    /// Leaves half of all requests alone and makes the others wrong in one way.
    fn distort(&mut self, mut params: Vec<Value>) -> Value {
        let at = self.random.below(params.len());
        match self.random.below(20) {
            0 | 1 => params.truncate(at),
            2 => params.push(self.anything(0)),
            3 | 4 if !params.is_empty() => params[at] = Value::Null,
            5 | 6 if !params.is_empty() => params[at] = self.anything(0),
            7 if !params.is_empty() => params[at] = self.overlong(),
            8 if !params.is_empty() => params[at] = self.truncated(&params[at]),
            9 => return self.anything(0),
            _ => {}
        }
        Value::Array(params)
    }

    fn overlong(&mut self) -> Value {
        match self.random.below(4) {
            0 => format!("0x{}", "ab".repeat(OVERLONG / 2)).into(),
            1 => "9".repeat(OVERLONG).into(),
            2 => vec![Value::Null; OVERLONG / 10].into(),
            // Deeper than any parser follows.
            _ => (0..100).fold(json!([]), |inner, _| json!([inner])),
        }
    }

    /// The text of a value without its end; other values as they are.
    fn truncated(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => text.chars().take(self.random.below(text.len())).collect::<String>().into(),
            value => value.clone(),
        }
    }

    fn anything(&mut self, depth: usize) -> Value {
        match self.random.below(if depth < 2 { 14 } else { 11 }) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(1.5e300),
            4 => json!(u64::MAX),
            5 => json!(""),
            6 => json!("0x"),
            7 => json!("0x0000"),
            8 => json!("\u{0}\u{1F980}\\\""),
            9 => self.value("Uint256"),
            10 => self.value("Hash"),
            11 => json!([self.anything(depth + 1), self.anything(depth + 1)]),
            12 => json!({ "from": self.anything(depth + 1), "0x": self.anything(depth + 1) }),
            _ => self.object(&["to", "blockHash", "address", "topics", "data"], depth),
        }
    }

    fn object(&mut self, names: &[&str], depth: usize) -> Value {
        let mut object = serde_json::Map::new();
        for name in names {
            if self.random.below(2) == 0 {
                object.insert((*name).to_owned(), self.anything(depth + 1));
            }
        }
        object.into()
    }

    fn hex(&mut self, bytes: usize) -> String {
        (0..bytes).fold("0x".to_owned(), |text, _| text + &format!("{:02x}", self.random.below(256)))
    }

    fn remembered(&mut self, length: usize) -> Option<String> {
        let fitting: Vec<_> = self.remembered.iter().filter(|text| text.len() == length).collect();
        let at = self.random.below(fitting.len());
        fitting.get(at).map(|text| (*text).clone())
    }

    fn address(&mut self) -> Value {
        match self.random.below(6) {
            0 => "0x0000000000000000000000000000000000000000".into(),
            1 => format!("0x{:040x}", self.random.below(0x102)).into(),
            2 => self.remembered(42).unwrap_or_else(|| self.hex(20)).into(),
            3 => self.hex(20).into(),
            // Funded accounts of every development node.
            4 => "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266".into(),
            _ => "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".into(),
        }
    }

    fn uint(&mut self) -> Value {
        let number = match self.random.below(6) {
            0 => 0,
            1 => self.random.next(),
            2 => u64::MAX,
            3 => 21_000 + self.random.next() % 100_000,
            _ => self.random.next() % 20,
        };
        format!("{number:#x}").into()
    }

    fn data(&mut self) -> Value {
        match self.random.below(5) {
            0 => "0x".into(),
            // Returns the block number; reverts; loops for ever.
            1 => "0x4360005260206000f3".into(),
            2 => "0x60006000fd".into(),
            3 => "0x5b600056".into(),
            _ => {
                let length = self.random.below(80);
                self.hex(length).into()
            }
        }
    }

    fn block(&mut self) -> Value {
        match self.random.below(8) {
            0 => "earliest".into(),
            1 => "pending".into(),
            2 => self.uint(),
            3 => self.remembered(66).unwrap_or_else(|| self.hex(32)).into(),
            4 => json!({ "blockNumber": self.uint() }),
            5 => json!({ "blockHash": self.value("Hash"), "requireCanonical": true, "blockNumber": "0x0" }),
            _ => "latest".into(),
        }
    }

    /// A field with a value of a kind, or nothing.
    fn maybe(&mut self, object: &mut Value, name: &str, kind: &str) {
        if self.random.below(3) == 0 {
            object[name] = self.value(kind);
        }
    }

    fn transaction(&mut self) -> Value {
        let mut object = json!({});
        for (name, kind) in [
            ("from", "Address"),
            ("to", "Address"),
            ("gas", "Uint"),
            ("gasPrice", "Uint"),
            ("maxFeePerGas", "Uint"),
            ("maxPriorityFeePerGas", "Uint"),
            ("value", "Uint"),
            ("nonce", "Uint"),
            ("data", "Data"),
            ("input", "Data"),
            ("chainId", "Uint"),
            ("blobVersionedHashes", "Hashes"),
        ] {
            if self.random.below(2) == 0 {
                self.maybe(&mut object, name, kind);
            }
        }
        if self.random.below(6) == 0 {
            object["accessList"] = json!([{ "address": self.address(), "storageKeys": [self.value("Hash")] }]);
        }
        object
    }

    fn state_overrides(&mut self) -> Value {
        let mut accounts = json!({});
        for _ in 0..self.random.below(3) {
            let mut account = json!({});
            self.maybe(&mut account, "balance", "Uint256");
            self.maybe(&mut account, "nonce", "Uint");
            self.maybe(&mut account, "code", "Data");
            self.maybe(&mut account, "movePrecompileToAddress", "Address");
            for name in ["state", "stateDiff"] {
                if self.random.below(4) == 0 {
                    account[name] = json!({ self.hex(32): self.hex(32) });
                }
            }
            let address = self.address();
            accounts[address.as_str().unwrap_or_default()] = account;
        }
        accounts
    }

    fn block_overrides(&mut self) -> Value {
        let mut block = json!({});
        for (name, kind) in [
            ("number", "Uint"),
            ("time", "Uint"),
            ("gasLimit", "Uint"),
            ("feeRecipient", "Address"),
            ("prevRandao", "Hash"),
            ("baseFeePerGas", "Uint"),
            ("blobBaseFee", "Uint"),
        ] {
            if self.random.below(3) == 0 {
                self.maybe(&mut block, name, kind);
            }
        }
        block
    }

    fn simulation(&mut self) -> Value {
        let blocks: Vec<Value> = (0..self.random.below(4))
            .map(|_| {
                let calls: Vec<Value> = (0..self.random.below(3)).map(|_| self.transaction()).collect();
                json!({
                    "blockOverrides": self.block_overrides(),
                    "stateOverrides": self.state_overrides(),
                    "calls": calls,
                })
            })
            .collect();
        json!({
            "blockStateCalls": blocks,
            "validation": self.random.below(2) == 0,
            "traceTransfers": self.random.below(2) == 0,
            "returnFullTransactions": self.random.below(2) == 0,
        })
    }

    fn log_filter(&mut self) -> Value {
        let mut filter = json!({});
        self.maybe(&mut filter, "fromBlock", "NumberOrTag");
        self.maybe(&mut filter, "toBlock", "NumberOrTag");
        self.maybe(&mut filter, "blockHash", "Hash");
        self.maybe(&mut filter, "address", "Address");
        if self.random.below(3) == 0 {
            filter["topics"] = json!([null, [self.value("Hash")], self.value("Hash")]);
        }
        filter
    }

    /// A value of the kind that a schema of the document names.
    fn value(&mut self, schema: &str) -> Value {
        match schema {
            "Address" => self.address(),
            "Hash" => self.remembered(66).filter(|_| self.random.below(2) == 0).unwrap_or_else(|| self.hex(32)).into(),
            "Hashes" => json!([self.value("Hash")]),
            "Data" => self.data(),
            "Uint" => self.uint(),
            "Uint256" => format!("{:#x}{:016x}", self.random.next(), self.random.next()).into(),
            // Small or absurd: what lies between is a number of blocks that takes its time to make.
            "Number" | "Count" | "NumberOrOptions" => match self.random.below(5) {
                0 => format!("{:#x}", self.random.below(16)).into(),
                1 => json!("3"),
                2 => json!(u64::MAX - self.random.next() % 4),
                _ => json!(self.random.below(5)),
            },
            "Boolean" => json!(self.random.below(2) == 0),
            "NumberOrTag" | "BlockId" => self.block(),
            "Transaction" => self.transaction(),
            "StateOverrides" => self.state_overrides(),
            "BlockOverrides" => self.block_overrides(),
            "Simulation" => self.simulation(),
            "LogFilter" => self.log_filter(),
            "Id" => {
                let at = self.random.below(self.remembered.len());
                self.remembered.get(at).cloned().unwrap_or_else(|| "0x1".to_owned()).into()
            }
            "StorageKey" => self.uint(),
            "StorageKeys" => json!([self.uint(), self.value("Hash")]),
            "KeysByAddress" => json!({ self.hex(20): [self.uint()] }),
            "Percentiles" => json!([0, 50.5, 100]),
            "SubscriptionKind" => json!("newHeads"),
            "PayloadAttributes" => {
                json!({ "timestamp": self.uint(), "prevRandao": self.hex(32), "suggestedFeeRecipient": self.address() })
            }
            "RawTransactions" => json!([self.data()]),
            "TypedData" => {
                json!({ "types": { "EIP712Domain": [] }, "primaryType": "EIP712Domain", "domain": {}, "message": {} })
            }
            "Text" => json!("text"),
            "Options" => json!({}),
            _ => self.anything(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_up_the_same_requests() {
        let schema = json!({ "$ref": "#/components/schemas/Transaction" });
        let document = json!({ "methods": [
            { "name": "eth_call", "params": [{ "name": "call", "required": true, "schema": schema }] },
        ]});
        let made = |seed| {
            let mut requests = Requests::new(&document, seed);
            (0..50).map(|index| requests.next(index).params.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
        let valid = made(3).iter().filter(|params| params.starts_with("[{") && params.ends_with("}]")).count();
        assert!((15..45).contains(&valid), "{valid} of 50 are as described");
    }
}
