//! A case: the genesis of a small chain and what happens to it, in a file that a person can read.

use std::collections::BTreeMap;
use std::path::Path;

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::wallet;

/// EIP-155 chain id of every case.
pub const CHAIN_ID: u64 = 2_026;
/// Time of the genesis block, seconds since 1970.
pub const GENESIS_TIME: u64 = 1_700_000_000;

/// The key of genesis that activates each of [`Fork::ALL`].
const FORK_KEYS: [&str; 9] = [
    "berlinBlock",
    "londonBlock",
    "terminalTotalDifficulty",
    "shanghaiTime",
    "cancunTime",
    "pragueTime",
    "osakaTime",
    "bpo1Time",
    "bpo2Time",
];

/// Forks before all of those, active from genesis.
const EARLIER: [&str; 9] = [
    "homesteadBlock",
    "eip150Block",
    "eip155Block",
    "eip158Block",
    "byzantiumBlock",
    "constantinopleBlock",
    "petersburgBlock",
    "istanbulBlock",
    "muirGlacierBlock",
];

/// A chain and what happens to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// Where it comes from, or what it is kept for.
    pub note: String,
    /// Newest fork that is active from genesis on.
    pub fork: Fork,
    /// A fork that comes later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Upgrade>,
    /// Whether it is a development network, which may be rewound and chooses beneficiaries.
    pub development: bool,
    /// How base fees are found.
    pub base_fee: BaseFee,
    /// Gas limit of every block.
    pub gas_limit: u64,
    /// Excess blob gas of the genesis block, where that has any: what BLOBBASEFEE starts from.
    #[serde(default)]
    pub excess_blob_gas: u64,
    /// Beneficiary of blocks that do not name one.
    pub beneficiary: Address,
    /// Where the host keeps what is sealed.
    pub store: StoreKind,
    /// A snapshot of the state is cut at every height divisible by this.
    pub snapshot_every_blocks: u64,
    /// One in so many speculative tails is refused and made again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuse_tails_one_in: Option<u64>,
    /// The genesis state, beside Ethereum's system contracts.
    pub accounts: BTreeMap<Address, Allocated>,
    /// What happens, in this order.
    pub steps: Vec<Step>,
}

/// The forks there are, oldest first, by their names in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fork {
    /// EIP-2930.
    Berlin,
    /// EIP-1559.
    London,
    /// EIP-3675, EIP-4399.
    Paris,
    /// EIP-3855, EIP-3860.
    Shanghai,
    /// EIP-1153, EIP-4788, EIP-5656, EIP-6780.
    Cancun,
    /// EIP-2537, EIP-2935, EIP-7623, EIP-7702.
    Prague,
    /// EIP-7823, EIP-7825, EIP-7883, EIP-7939, EIP-7951.
    Osaka,
    /// EIP-7892.
    Bpo1,
    /// EIP-7892.
    Bpo2,
}

impl Fork {
    /// All of them, oldest first.
    pub const ALL: [Self; 9] = [
        Self::Berlin,
        Self::London,
        Self::Paris,
        Self::Shanghai,
        Self::Cancun,
        Self::Prague,
        Self::Osaka,
        Self::Bpo1,
        Self::Bpo2,
    ];

    /// Whether it is activated by a block's height rather than by its time.
    #[must_use]
    pub fn is_by_height(self) -> bool {
        self <= Self::London
    }
}

/// A fork that becomes active while the case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// The fork; those between the first one and it come with it.
    pub fork: Fork,
    /// The height, or the seconds after genesis, from which on it is active.
    pub after: u64,
}

/// How base fees are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BaseFee {
    /// EIP-1559, starting from this many wei per gas.
    Initial(u64),
    /// Always this many wei per gas.
    Fixed(u64),
}

/// Where the host keeps what is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// In memory.
    Memory,
    /// In RocksDB.
    Disk,
}

/// An account of the genesis state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allocated {
    /// Nonce.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// Code.
    pub code: Bytes,
    /// Storage.
    pub storage: BTreeMap<U256, U256>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Step {
    /// Transactions arrive together.
    Send(Batch),
    /// So many empty blocks are made; development networks only.
    Mine(u64),
    /// The node stops and starts again from what the host kept.
    Restart,
    /// The newest blocks are taken back; development networks only.
    Rollback(u64),
}

/// Transactions that arrive together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Batch {
    /// Seconds since the last block.
    pub seconds: u64,
    /// Beneficiary from now on; development networks only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beneficiary: Option<Address>,
    /// When the machine dies over it, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crash: Option<Crash>,
    /// The transactions.
    pub transactions: Vec<Sent>,
}

/// When a machine dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Crash {
    /// With the first block sealed and not stored.
    BeforePersisted,
    /// With the first block stored and the enclave not told so.
    AfterPersisted,
}

/// Types of transactions that the pool takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// EIP-155.
    Legacy,
    /// EIP-2930.
    AccessList,
    /// EIP-1559.
    DynamicFee,
    /// EIP-7702.
    SetCode = 4,
}

/// A transaction before it is signed. Its nonce is the sender's next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sent {
    /// Which key signs it.
    pub from: u8,
    /// Its type.
    pub kind: Kind,
    /// Recipient; none for a creation.
    pub to: Option<Address>,
    /// Wei that go with it.
    pub value: U256,
    /// Calldata or initcode.
    pub input: Bytes,
    /// Gas limit.
    pub gas: u64,
    /// Fee cap above the base fee of the next block, wei per gas.
    pub premium: u64,
    /// Tip cap, wei per gas.
    pub tip: u64,
    /// Added to the right nonce.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nonce_offset: i8,
    /// EIP-2930.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access_list: Vec<(Address, Vec<B256>)>,
    /// EIP-7702.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorizations: Vec<Authorized>,
}

/// An EIP-7702 authorization before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authorized {
    /// Which key signs it.
    pub by: u8,
    /// Whose code it takes; zero takes it away.
    pub to: Address,
    /// Added to the authority's nonce.
    pub nonce_offset: i8,
    /// Chain it is signed for; zero for all.
    pub chain_id: u64,
    /// Whether the signature is the malleable twin that EIP-2 forbids.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub high_s: bool,
}

fn is_zero(offset: &i8) -> bool {
    *offset == 0
}

impl Case {
    /// Reads a file.
    ///
    /// # Panics
    /// If it is not a case.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Writes a file, and the folder it is in.
    ///
    /// # Panics
    /// If that is not possible.
    pub fn write(&self, path: &Path) {
        let text = serde_json::to_string_pretty(self).expect("a case is plain data");
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder can be made");
        std::fs::write(path, text + "\n").expect("the file can be written");
    }

    /// The transactions in it.
    #[must_use]
    pub fn transactions(&self) -> usize {
        let sent = |step: &Step| match step {
            Step::Send(batch) => batch.transactions.len(),
            _ => 0,
        };
        self.steps.iter().map(sent).sum()
    }

    /// The newest fork active in a block.
    #[must_use]
    pub fn fork_at(&self, height: u64, timestamp: u64) -> Fork {
        let newer = self.upgrade.filter(|upgrade| {
            let reached = if upgrade.fork.is_by_height() { height } else { timestamp.saturating_sub(GENESIS_TIME) };
            upgrade.fork > self.fork && reached >= upgrade.after
        });
        newer.map_or(self.fork, |upgrade| upgrade.fork)
    }

    /// The genesis file, as an operator would write it.
    #[must_use]
    pub fn genesis(&self) -> String {
        let mut config = json!({
            "chainId": CHAIN_ID,
            "cloister": {
                "confidentiality": "off",
                "development": self.development,
                "allowEqualTimestamps": !self.development,
            },
        });
        if let BaseFee::Fixed(fee) = self.base_fee {
            config["cloister"]["baseFee"] = json!({"fixed": format!("{fee:#x}")});
        }
        for key in EARLIER {
            config[key] = json!(0);
        }
        for (fork, key) in Fork::ALL.into_iter().zip(FORK_KEYS) {
            if let Some(value) = self.activation(fork) {
                config[key] = value;
            }
        }
        let named = self.alloc().into_iter().map(|(address, account)| (address.to_string(), account.genesis()));
        let alloc: Map<_, _> = named.collect();
        let mut genesis = json!({
            "config": config,
            "timestamp": format!("{GENESIS_TIME:#x}"),
            "gasLimit": format!("{:#x}", self.gas_limit),
            "difficulty": "0x0",
            "coinbase": self.beneficiary,
            "alloc": alloc,
        });
        if let (BaseFee::Initial(fee), true) = (self.base_fee, self.fork >= Fork::London) {
            genesis["baseFeePerGas"] = json!(format!("{fee:#x}"));
        }
        if self.fork >= Fork::Cancun {
            genesis["excessBlobGas"] = json!(format!("{:#x}", self.excess_blob_gas));
        }
        genesis.to_string()
    }

    /// The value of a fork's key in genesis.
    fn activation(&self, fork: Fork) -> Option<Value> {
        if fork <= self.fork {
            return Some(json!(0));
        }
        let upgrade = self.upgrade.filter(|upgrade| fork <= upgrade.fork)?;
        Some(match fork {
            _ if fork.is_by_height() => json!(upgrade.after),
            // There is no merge without proof of work: a chain is past it from the start, or never.
            Fork::Paris => json!(0),
            _ => json!(GENESIS_TIME + upgrade.after),
        })
    }

    /// The whole genesis state: the case's accounts, the keys' and the system contracts.
    #[must_use]
    pub fn alloc(&self) -> BTreeMap<Address, Allocated> {
        let mut alloc = self.accounts.clone();
        for (address, code) in wallet::system_contracts() {
            alloc.insert(address, Allocated { nonce: 1, code, ..Allocated::default() });
        }
        alloc
    }
}

impl Allocated {
    fn genesis(&self) -> Value {
        let word = |word: &U256| B256::from(*word).to_string();
        let storage: Map<_, _> = self.storage.iter().map(|(slot, value)| (word(slot), json!(word(value)))).collect();
        json!({
            "nonce": format!("{:#x}", self.nonce),
            "balance": self.balance,
            "code": self.code,
            "storage": storage,
        })
    }
}
