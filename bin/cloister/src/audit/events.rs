//! What the ledger says of audits: who was granted one, and what was asked under it.

use core::fmt;

use alloy_primitives::{Address, B256, Bytes, U64, U256, hex};
use alloy_sol_types::{SolEvent, sol};
use cloister_client::NodeUrl;
use cloister_node::ExitCode;
use cloister_primitives::VISIBILITY_ADDRESS;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::failure::Failure;

sol! {
    event AuditGranted(
        address indexed account, address indexed auditor, address indexed owner, uint64 first, uint64 last, uint64 until
    );
    event AuditApproved(
        address indexed account, address indexed auditor, address indexed member, uint64 first, uint64 last, uint64 until
    );
    event AuditUsed(
        address indexed account, address indexed auditor, address indexed owner, uint64 first, uint64 last, uint32 reads
    );
    event AuditGrantUsed(uint256 count);
}

/// Blocks that are asked about at one time: fewer than a node allows.
const BLOCKS_AT_ONCE: u64 = 50_000;

/// One line of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    block: u64,
    said: Said,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Granted { contract: Address, auditor: Address, owner: Address, blocks: [u64; 2], until: u64 },
    Approved { contract: Address, auditor: Address, member: Address, blocks: [u64; 2], until: u64 },
    Used { contract: Address, auditor: Address, blocks: [u64; 2], reads: u32 },
    Counted { count: U256 },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogJson {
    block_number: U64,
    topics: Vec<B256>,
    data: Bytes,
}

/// Reads what a session is shown of the record, oldest first.
pub(crate) async fn read_entries(url: &NodeUrl, token: Option<&str>) -> Result<Vec<Entry>, Failure> {
    let head: U64 = parse(url.call(token, "eth_blockNumber", &json!([])).await?)?;
    let head = head.to::<u64>();
    let topics = [
        AuditGranted::SIGNATURE_HASH,
        AuditApproved::SIGNATURE_HASH,
        AuditUsed::SIGNATURE_HASH,
        AuditGrantUsed::SIGNATURE_HASH,
    ];
    let mut entries = Vec::new();
    let mut first = 0;
    while first <= head {
        let last = head.min(first + BLOCKS_AT_ONCE - 1);
        let filter = json!([{
            "address": VISIBILITY_ADDRESS,
            "fromBlock": U64::from(first),
            "toBlock": U64::from(last),
            "topics": [topics],
        }]);
        let logs: Vec<LogJson> = parse(url.call(token, "eth_getLogs", &filter).await?)?;
        for log in &logs {
            entries.push(Entry { block: log.block_number.to(), said: log.said().ok_or_else(not_understood)? });
        }
        first = last + 1;
    }
    Ok(entries)
}

impl LogJson {
    fn said(&self) -> Option<Said> {
        Some(match *self.topics.first()? {
            AuditGranted::SIGNATURE_HASH => {
                let AuditGranted { account: contract, auditor, owner, first, last, until } = self.decode()?;
                Said::Granted { contract, auditor, owner, blocks: [first, last], until }
            }
            AuditApproved::SIGNATURE_HASH => {
                let AuditApproved { account: contract, auditor, member, first, last, until } = self.decode()?;
                Said::Approved { contract, auditor, member, blocks: [first, last], until }
            }
            AuditUsed::SIGNATURE_HASH => {
                let AuditUsed { account: contract, auditor, first, last, reads, .. } = self.decode()?;
                Said::Used { contract, auditor, blocks: [first, last], reads }
            }
            _ => Said::Counted { count: self.decode::<AuditGrantUsed>()?.count },
        })
    }

    fn decode<E: SolEvent>(&self) -> Option<E> {
        E::decode_raw_log(self.topics.iter().copied(), &self.data).ok()
    }
}

fn parse<T: for<'de> Deserialize<'de>>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|_| not_understood())
}

fn not_understood() -> Failure {
    Failure::new(ExitCode::Failure, "the node answers what this version does not understand")
}

fn contract(address: &Address) -> String {
    if address.is_zero() { "the whole ledger".to_owned() } else { address.to_string() }
}

fn until(until: u64) -> String {
    if until == 0 { "taken away".to_owned() } else { format!("until block time {until}") }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {}: ", self.block)?;
        match &self.said {
            Said::Granted { contract: of, auditor, blocks: [first, last], until: end, .. } => {
                write!(f, "granted: {auditor} audits {}, blocks {first} to {last}, {}", contract(of), until(*end))
            }
            Said::Approved { contract: of, auditor, member, blocks: [first, last], until: end } => {
                let end = until(*end);
                write!(f, "approved by {member}: {auditor} audits {}, blocks {first} to {last}, {end}", contract(of))
            }
            Said::Used { contract: of, auditor, blocks: [first, last], reads } => {
                write!(f, "used: {auditor} asks about {}, blocks {first} to {last}, reads {reads}", contract(of))
            }
            Said::Counted { count } => write!(f, "an audit was used; so far {count} uses"),
        }
    }
}

impl Entry {
    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let (kind, mut fields) = match &self.said {
            Said::Granted { contract, auditor, owner, blocks, until } => (
                "granted",
                json!({ "contract": contract, "auditor": auditor, "owner": owner, "blocks": blocks, "until": until }),
            ),
            Said::Approved { contract, auditor, member, blocks, until } => (
                "approved",
                json!({ "contract": contract, "auditor": auditor, "member": member, "blocks": blocks, "until": until }),
            ),
            Said::Used { contract, auditor, blocks, reads } => {
                ("used", json!({ "contract": contract, "auditor": auditor, "blocks": blocks, "reads": reads }))
            }
            Said::Counted { count } => {
                ("counted", json!({ "uses": hex::encode_prefixed(count.to_be_bytes_trimmed_vec()) }))
            }
        };
        fields["kind"] = kind.into();
        fields["block"] = self.block.into();
        fields
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_read_and_said() {
        let [contract, auditor, owner] = [1, 2, 3].map(Address::repeat_byte);
        let event = AuditUsed { account: contract, auditor, owner, first: 5, last: 9, reads: 16 };
        let encoded = event.encode_log_data();
        let (topics, data) = (encoded.topics().to_vec(), encoded.data);
        let log = LogJson { block_number: U64::from(12), topics, data };
        let entry = Entry { block: 12, said: log.said().unwrap() };
        assert_eq!(
            entry.to_string(),
            format!("block 12: used: {auditor} asks about {contract}, blocks 5 to 9, reads 16")
        );
        assert_eq!(entry.json()["reads"], 16);
        let whole = AuditGranted { account: Address::ZERO, auditor, owner, first: 0, last: 9, until: 0 };
        let encoded = whole.encode_log_data();
        let log = LogJson { block_number: U64::from(12), topics: encoded.topics().to_vec(), data: encoded.data };
        let entry = Entry { block: 12, said: log.said().unwrap() };
        assert!(entry.to_string().ends_with("audits the whole ledger, blocks 0 to 9, taken away"), "{entry}");
        let cut = LogJson { block_number: U64::from(12), topics: vec![AuditUsed::SIGNATURE_HASH], data: Bytes::new() };
        assert_eq!(cut.said(), None);
    }
}
