//! What is run in both worlds.

use alloy::consensus::{TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy::eips::eip2930::AccessList;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use serde_json::{Map, Value, json};

use super::cast::{PARTIES, Who};
use super::code;
use crate::transactions::raw;

/// Nodes of a network.
pub(super) const NODES: u64 = 3;
/// Chain id of the chain under test.
const CHAIN_ID: u64 = 4_242;
/// Timestamp of its genesis block, seconds.
pub(super) const GENESIS_TIME: u64 = 1_790_000_000;

/// Forks of the chain, all of them active from the start.
const FORKS: [&str; 11] = [
    "homesteadBlock",
    "eip150Block",
    "eip155Block",
    "eip158Block",
    "byzantiumBlock",
    "constantinopleBlock",
    "petersburgBlock",
    "istanbulBlock",
    "berlinBlock",
    "londonBlock",
    "terminalTotalDifficulty",
];
const TIMED_FORKS: [&str; 4] = ["shanghaiTime", "cancunTime", "pragueTime", "osakaTime"];

/// One of the two runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum World {
    A,
    B,
}

/// Types of transactions that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// EIP-155.
    Legacy,
    /// EIP-2930, with the recipient in its list.
    AccessList,
    /// EIP-1559.
    DynamicFee,
    /// EIP-7702: the sender's own account runs the code of the parties' contract from now on.
    Delegation,
}

/// How a transaction gets to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As it is.
    Open,
    /// In an envelope that only the enclave opens.
    Sealed,
    /// In an envelope that a stranger then sends once more.
    SealedAndReplayed,
}

/// Contracts that parties create.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Creations {
    /// They have rules before they exist.
    #[default]
    Ruled,
    /// They have none.
    WithoutRules,
}

/// What runs the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// A node by itself.
    #[default]
    Alone,
    /// A network of three: each of them is asked, one of them while it is behind.
    Network,
    /// The same with a fault planted: one that follows takes whoever asks for everybody.
    BlindFollower,
}

impl Shape {
    pub(super) const fn is_network(self) -> bool {
        matches!(self, Self::Network | Self::BlindFollower)
    }
}

/// A transaction before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Whose it is.
    pub from: Who,
    /// Its type.
    pub kind: Kind,
    /// Recipient; none for a creation.
    pub to: Option<Address>,
    /// Wei that go with it.
    pub value: u128,
    /// Calldata or initcode.
    pub input: Bytes,
    /// Gas limit.
    pub gas: u64,
    /// Tip, wei per gas; the fee cap is as much again.
    pub tip: u128,
    /// Added to the sender's next nonce.
    pub nonce_gap: u64,
    /// How it gets to the node.
    pub way: Way,
}

/// One transaction of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A party's own, which may differ.
    Secret(Box<Sent>, Box<Sent>),
    /// A stranger's: the same in both worlds.
    Public(Sent),
    /// A party's, that a stranger hands on: the same bytes in both worlds, whatever the party's nonce is by then.
    Relayed {
        /// The transaction.
        sent: Sent,
        /// Its nonce.
        nonce: u64,
    },
    /// Something of a party's that is no transaction, in an envelope that a stranger sends: other bytes in each world.
    Unreadable([Bytes; 2]),
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Transactions that arrive together.
    Batch(Vec<Item>),
    /// The node ends and starts again.
    Restart,
    /// Time goes on.
    Wait {
        /// Seconds.
        seconds: u64,
    },
    /// A stranger sends transactions of his own until a section of the log index is finished.
    FillSection,
    /// Those who observe ask everything.
    Ask,
}

/// A pair of worlds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What it was made from.
    pub seed: u64,
    /// A snapshot is cut so often.
    pub snapshot_every_blocks: u64,
    /// Whether contracts that parties create have rules.
    pub creations: Creations,
    /// What runs the chain.
    pub shape: Shape,
    /// Whether [`Who::Rita`] observes: then transactions that concern her differ in nothing but what belongs to
    /// their senders alone.
    pub rita_observes: bool,
    /// In order.
    pub steps: Vec<Step>,
    /// Accounts that anything may happen to in either world: all of them are asked about in both.
    pub touched: Vec<Address>,
}

impl Sent {
    /// A plain transfer.
    pub(super) const fn transfer(from: Who, to: Address, value: u128) -> Self {
        Self {
            from,
            kind: Kind::DynamicFee,
            to: Some(to),
            value,
            input: Bytes::new(),
            gas: 21_000,
            tip: 0,
            nonce_gap: 0,
            way: Way::Open,
        }
    }

    /// Signed, as a client sends it.
    pub(super) fn signed(&self, nonce: u64) -> Bytes {
        let nonce = nonce + self.nonce_gap;
        let to = self.to.map_or(TxKind::Create, TxKind::Call);
        let (gas_limit, value, input) = (self.gas, U256::from(self.value), self.input.clone());
        match self.kind {
            Kind::Delegation => raw(self.from.sign(TxEip7702 {
                chain_id: CHAIN_ID,
                nonce,
                gas_limit,
                max_fee_per_gas: 2 * self.tip,
                max_priority_fee_per_gas: self.tip,
                to: self.to.unwrap_or_default(),
                value,
                access_list: AccessList::default(),
                authorization_list: vec![self.from.delegate(CHAIN_ID, code::LEDGER, nonce + 1)],
                input,
            })),
            Kind::Legacy => raw(self.from.sign(TxLegacy {
                chain_id: Some(CHAIN_ID),
                nonce,
                gas_price: self.tip,
                gas_limit,
                to,
                value,
                input,
            })),
            Kind::AccessList => raw(self.from.sign(TxEip2930 {
                chain_id: CHAIN_ID,
                nonce,
                gas_price: self.tip,
                gas_limit,
                to,
                value,
                access_list: AccessList::default(),
                input,
            })),
            Kind::DynamicFee => raw(self.from.sign(TxEip1559 {
                chain_id: CHAIN_ID,
                nonce,
                gas_limit,
                max_fee_per_gas: 2 * self.tip,
                max_priority_fee_per_gas: self.tip,
                to,
                value,
                access_list: AccessList::default(),
                input,
            })),
        }
    }
}

impl Item {
    /// The transaction of one world, and its nonce where that is not the sender's next one.
    pub(super) fn of(&self, world: World) -> Option<(&Sent, Option<u64>)> {
        match (self, world) {
            (Self::Secret(sent, _), World::A) | (Self::Secret(_, sent), World::B) => Some((sent, None)),
            (Self::Public(sent), _) => Some((sent, None)),
            (Self::Relayed { sent, nonce }, _) => Some((sent, Some(*nonce))),
            (Self::Unreadable(_), _) => None,
        }
    }
}

impl Workload {
    /// Transactions in it.
    #[must_use]
    pub fn transactions(&self) -> usize {
        let count = |step: &Step| if let Step::Batch(items) = step { items.len() } else { 0 };
        self.steps.iter().map(count).sum()
    }

    /// The genesis file, as an operator would write it.
    pub(super) fn genesis(&self) -> String {
        let mut config = json!({
            "chainId": CHAIN_ID,
            "cloister": {
                "confidentiality": "on",
                "baseFee": { "fixed": "0x0" },
                "allowEqualTimestamps": true,
                // Audits are granted by whom the secrets do not concern, either.
                "members": [Who::Mallory.address()],
            },
        });
        for key in FORKS.into_iter().chain(TIMED_FORKS) {
            config[key] = json!(0);
        }
        if self.shape.is_network() {
            let node = |id: u64| json!({ "id": id, "name": format!("n{id}"), "identity": B256::from(U256::from(id)) });
            config["cloister"]["raft"] = json!({ "nodes": (1..=NODES).map(node).collect::<Vec<_>>() });
        }
        json!({
            "config": config,
            "timestamp": format!("{GENESIS_TIME:#x}"),
            "gasLimit": "0x1c9c380",
            "difficulty": "0x0",
            // A stranger has the tips, if anybody has.
            "coinbase": Who::Eve.address(),
            "alloc": alloc(),
        })
        .to_string()
    }
}

/// Everybody's money, the contracts, and Ethereum's own.
fn alloc() -> Map<String, Value> {
    use alloy::eips::{eip2935, eip4788, eip7002, eip7251};
    let mut alloc = Map::new();
    for who in Who::ALL {
        alloc.insert(who.address().to_string(), json!({ "balance": format!("{:#x}", who.balance()) }));
    }
    // What the parties hold in their contract.
    let held = |who: Who| (who.address().into_word().to_string(), json!(B256::repeat_byte(1)));
    let storage: Map<_, _> = PARTIES.into_iter().map(held).collect();
    let money = "0xde0b6b3a7640000";
    for (address, code, storage) in [
        (code::LEDGER, code::ledger(), storage),
        (eip4788::BEACON_ROOTS_ADDRESS, eip4788::BEACON_ROOTS_CODE.clone(), Map::new()),
        (eip2935::HISTORY_STORAGE_ADDRESS, eip2935::HISTORY_STORAGE_CODE.clone(), Map::new()),
        (eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_CODE.clone(), Map::new()),
        (
            eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
            eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_CODE.clone(),
            Map::new(),
        ),
    ] {
        let account = json!({ "balance": money, "nonce": "0x1", "code": code, "storage": storage });
        alloc.insert(address.to_string(), account);
    }
    alloc
}
