//! Kinds of values, and the words that stand for them in signatures: a word means the same in every
//! method.

use serde_json::Value;

macro_rules! schemas {
    ($( $(#[doc = $doc:literal])+ $name:ident = $json:literal; )*) => {
        /// A kind of value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Schema {
            $( $(#[doc = $doc])+ $name, )*
        }

        impl Schema {
            /// Every kind.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )* ];

            /// Its name in the reference.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$name => stringify!($name), )* }
            }

            /// A sentence about it.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $( Self::$name => concat!($($doc),+), )* }
            }

            const fn text(self) -> &'static str {
                match self { $( Self::$name => $json, )* }
            }
        }
    };
}

schemas! {
    /// Any JSON value.
    Any = "{}";
    /// 20 bytes in hex.
    Address = r#"{"type":"string","pattern":"^0x[0-9a-fA-F]{40}$"}"#;
    /// 32 bytes in hex.
    Hash = r#"{"type":"string","pattern":"^0x[0-9a-fA-F]{64}$"}"#;
    /// Bytes in hex.
    Data = r#"{"type":"string","pattern":"^0x([0-9a-fA-F]{2})*$"}"#;
    /// A number of at most 64 bits in hex, without leading zeros.
    Uint = r#"{"type":"string","pattern":"^0x(0|[1-9a-f][0-9a-f]{0,15})$"}"#;
    /// A number of at most 256 bits in hex, without leading zeros.
    Uint256 = r#"{"type":"string","pattern":"^0x(0|[1-9a-f][0-9a-f]{0,63})$"}"#;
    /// A number as development tools write it: JSON, hex or decimal.
    Number = r#"{"oneOf":[{"type":"integer","minimum":0},{"type":"string","pattern":"^(0x[0-9a-fA-F]*|[0-9]+)$"}]}"#;
    /// A number of blocks in hex, or in decimal as a number or text.
    Count = r#"{"oneOf":[{"type":"integer","minimum":0},{"type":"string","pattern":"^(0x[0-9a-f]+|[0-9]+)$"}]}"#;
    /// True or false.
    Boolean = r#"{"type":"boolean"}"#;
    /// Text.
    Text = r#"{"type":"string"}"#;
    /// The height of a block in hex, or `earliest`, `latest`, `pending`, `safe` or `finalized`.
    NumberOrTag = r#"{"type":"string","pattern":"^(earliest|latest|pending|safe|finalized|0x(0|[1-9a-f][0-9a-f]{0,15}))$"}"#;
    /// A height, tag or hash of a block, or an object that names one (EIP-1898).
    BlockId = r#"{"oneOf":[{"type":"string"},{"type":"object","properties":{"blockNumber":{"type":"string"},"blockHash":{"type":"string"},"requireCanonical":{"type":"boolean"}}}]}"#;
    /// A transaction that is not signed: `from`, `to`, `gas`, `value`, `input`, fees, nonce, lists.
    Transaction = r#"{"type":"object"}"#;
    /// Accounts by address, with `balance`, `nonce`, `code`, `state`, `stateDiff`, `movePrecompileToAddress`.
    StateOverrides = r#"{"type":"object"}"#;
    /// A block with `number`, `time`, `gasLimit`, `feeRecipient`, `prevRandao`, `baseFeePerGas`, `blobBaseFee`.
    BlockOverrides = r#"{"type":"object"}"#;
    /// `blockStateCalls` with `blockOverrides`, `stateOverrides` and `calls`; `validation`, `traceTransfers`, `returnFullTransactions`.
    Simulation = r#"{"type":"object","properties":{"blockStateCalls":{"type":"array","items":{"type":"object"}}}}"#;
    /// Logs by `fromBlock` and `toBlock` or `blockHash`, `address`, `topics`.
    LogFilter = r#"{"type":"object"}"#;
    /// The id of a filter, a subscription or a snapshot, as it was answered.
    Id = r#"{"type":"string","pattern":"^0x[0-9a-f]+$"}"#;
    /// Up to 32 bytes in hex, right-aligned.
    StorageKey = r#"{"type":"string","pattern":"^(0x)?[0-9a-fA-F]{0,64}$"}"#;
    /// Storage keys.
    StorageKeys = r##"{"type":"array","items":{"$ref":"#/components/schemas/StorageKey"}}"##;
    /// Storage keys by address.
    KeysByAddress = r##"{"type":"object","additionalProperties":{"$ref":"#/components/schemas/StorageKeys"}}"##;
    /// Ascending numbers from 0 to 100.
    Percentiles = r#"{"type":"array","items":{"type":"number","minimum":0,"maximum":100}}"#;
    /// Typed data (EIP-712), as an object or as its JSON text.
    TypedData = r#"{"oneOf":[{"type":"object"},{"type":"string"}]}"#;
    /// `newHeads`, `logs`, `newPendingTransactions` or `syncing`.
    SubscriptionKind = r#"{"type":"string","enum":["newHeads","logs","newPendingTransactions","syncing"]}"#;
    /// A log filter for `logs`, or whether to send whole transactions.
    FilterOrFull = r#"{"oneOf":[{"type":"object"},{"type":"boolean"}]}"#;
    /// An object of options; see the method.
    Options = r#"{"type":"object"}"#;
    /// Options, or a number that stands for the first of them.
    NumberOrOptions = r#"{"oneOf":[{"type":"integer"},{"type":"string"},{"type":"object"}]}"#;
    /// Attributes of a payload: `timestamp`, `prevRandao`, `suggestedFeeRecipient`, `withdrawals`, `parentBeaconBlockRoot`.
    PayloadAttributes = r#"{"type":"object"}"#;
    /// Signed transactions, or null for those of the pool.
    RawTransactions = r##"{"oneOf":[{"type":"array","items":{"$ref":"#/components/schemas/Data"}},{"type":"null"}]}"##;
    /// An object, or null where there is none.
    Object = r#"{"type":["object","null"]}"#;
    /// A block with its transactions or their hashes, or null.
    Block = r#"{"type":["object","null"]}"#;
    /// A header, or null.
    Header = r#"{"type":["object","null"]}"#;
    /// A transaction with its place, or null.
    TransactionInfo = r#"{"type":["object","null"]}"#;
    /// A receipt, or null.
    Receipt = r#"{"type":["object","null"]}"#;
    /// A list of objects, or null.
    Objects = r#"{"type":["array","null"],"items":{"type":"object"}}"#;
    /// Byte strings.
    DataList = r##"{"type":"array","items":{"$ref":"#/components/schemas/Data"}}"##;
    /// A number in hex, or null.
    MaybeUint = r#"{"type":["string","null"]}"#;
    /// Addresses.
    Addresses = r##"{"type":"array","items":{"$ref":"#/components/schemas/Address"}}"##;
    /// Hashes or logs, by the kind of filter.
    FilterChanges = r#"{"type":"array"}"#;
    /// A call with `account`, `to`, `data`, `value`, `gas`, `fromBlock`, `toBlock`, `expiry`, all of them given.
    SignedQuery = r#"{"type":"object"}"#;
    /// The parameters of another method.
    Params = r#"{"type":"array"}"#;
    /// What the method that is named answers.
    Answered = r#"{"oneOf":[{"type":"object"},{"type":"array"},{"type":"string"},{"type":"null"}]}"#;
    /// Nothing.
    Null = r#"{"type":"null"}"#;
}

/// Words of signatures.
const WORDS: &[(&str, Schema)] = &[
    ("address", Schema::Address),
    ("token", Schema::Address),
    ("owner", Schema::Address),
    ("spender", Schema::Address),
    ("depth", Schema::Number),
    ("version", Schema::Text),
    ("input", Schema::Options),
    ("output", Schema::Options),
    ("hash", Schema::Hash),
    ("word", Schema::Hash),
    ("data", Schema::Data),
    ("code", Schema::Data),
    ("message", Schema::Data),
    ("raw transaction", Schema::Data),
    ("quantity", Schema::Uint),
    ("index", Schema::Uint),
    ("wei", Schema::Uint256),
    ("quantity or null", Schema::MaybeUint),
    ("number", Schema::NumberOrTag),
    ("newest", Schema::NumberOrTag),
    ("block", Schema::BlockId),
    ("full", Schema::Boolean),
    ("on", Schema::Boolean),
    ("flag", Schema::Boolean),
    ("text", Schema::Text),
    ("password", Schema::Text),
    ("call", Schema::Transaction),
    ("transaction", Schema::Transaction),
    ("state overrides", Schema::StateOverrides),
    ("block overrides", Schema::BlockOverrides),
    ("simulation", Schema::Simulation),
    ("filter", Schema::LogFilter),
    ("id", Schema::Id),
    ("key", Schema::StorageKey),
    ("slot", Schema::StorageKey),
    ("value", Schema::Hash),
    ("keys", Schema::StorageKeys),
    ("keys by address", Schema::KeysByAddress),
    ("percentiles", Schema::Percentiles),
    ("blocks", Schema::Count),
    ("timeout", Schema::Count),
    ("typed data", Schema::TypedData),
    ("subscription", Schema::SubscriptionKind),
    ("filter or full", Schema::FilterOrFull),
    ("options", Schema::Options),
    ("timestamp or options", Schema::NumberOrOptions),
    ("seconds", Schema::Number),
    ("interval", Schema::Number),
    ("time", Schema::Number),
    ("timestamp", Schema::Number),
    ("gas", Schema::Number),
    ("amount", Schema::Number),
    ("nonce", Schema::Number),
    ("attributes", Schema::PayloadAttributes),
    ("raw transactions", Schema::RawTransactions),
    ("storage value", Schema::Hash),
    ("storage values", Schema::Object),
    ("account", Schema::Object),
    ("proof", Schema::Object),
    ("block object", Schema::Block),
    ("header", Schema::Header),
    ("transaction object", Schema::TransactionInfo),
    ("receipt", Schema::Receipt),
    ("receipts", Schema::Objects),
    ("encoded receipts", Schema::DataList),
    ("trace", Schema::Object),
    ("traces", Schema::Objects),
    ("logs", Schema::Objects),
    ("simulated blocks", Schema::Objects),
    ("transactions", Schema::Objects),
    ("addresses", Schema::Addresses),
    ("changes", Schema::FilterChanges),
    ("access list", Schema::Object),
    ("fee history", Schema::Object),
    ("rules", Schema::Object),
    ("capabilities", Schema::Object),
    ("pool", Schema::Object),
    ("filled transaction", Schema::Object),
    ("network status, or null", Schema::Object),
    ("sealing keys", Schema::Object),
    ("signed query", Schema::SignedQuery),
    ("signature", Schema::Data),
    ("contract", Schema::Address),
    ("method", Schema::Text),
    ("params", Schema::Params),
    ("answer of the method", Schema::Answered),
    ("payload", Schema::Object),
    ("document", Schema::Object),
    ("modules", Schema::Object),
    ("nothing", Schema::Null),
];

impl Schema {
    /// What a word of a signature stands for; anything where it is none of [`WORDS`], which a test of
    /// the reference does not let pass for parameters.
    #[must_use]
    pub fn of(word: &str) -> Self {
        WORDS.iter().find(|(known, _)| *known == word).map_or(Self::Any, |(_, schema)| *schema)
    }

    /// Its JSON Schema, with a description.
    #[must_use]
    pub fn json(self) -> Value {
        let mut json: Value = serde_json::from_str(self.text()).unwrap_or_default();
        if let Some(object) = json.as_object_mut() {
            object.insert("description".to_owned(), self.doc().trim().into());
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_schema_is_a_described_object_and_words_are_unique() {
        for schema in Schema::ALL {
            let json = schema.json();
            let json = json.as_object().unwrap_or_else(|| panic!("{} is no object", schema.name()));
            assert!(json.len() > 1 || *schema == Schema::Any, "{}", schema.name());
            assert!(json["description"].as_str().is_some_and(|text| text.ends_with('.')), "{}", schema.name());
        }
        let words: BTreeSet<_> = WORDS.iter().map(|(word, _)| word).collect();
        assert_eq!(words.len(), WORDS.len());
    }
}
