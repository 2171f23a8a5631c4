//! What the console says, and its two forms: a text for people, JSON for programs.

use std::fmt::Write as _;

use alloy_primitives::{Address, B256, TxKind, U256, utils::format_ether};
use serde::Serialize;

use super::names::function_name;

/// Whether text may carry colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// ANSI colours.
    On,
    /// Plain text.
    Off,
}

/// The form of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleFormat {
    /// Text for people.
    Text(Colour),
    /// One JSON object per line.
    Json,
    /// Nothing at all.
    Quiet,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It took effect.
    Success,
    /// It had no effect but its fee.
    Failure,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockLine {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// How many transactions it has.
    pub transactions: usize,
    /// Gas used by all of them.
    pub gas_used: u64,
    /// Its gas limit.
    pub gas_limit: u64,
    /// Wei per gas; absent before London.
    pub base_fee_per_gas: Option<u64>,
    /// Seconds since 1970.
    pub timestamp: u64,
}

/// A transaction in a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TransactionLine {
    /// Height of its block.
    pub block_number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its sender.
    pub from: Address,
    /// Its recipient; absent for a creation.
    pub to: Option<Address>,
    /// What it does, in a word or two.
    pub action: String,
    /// Wei it carries.
    pub value: U256,
    /// Gas used.
    pub gas_used: u64,
    /// How it ended.
    pub status: Outcome,
    /// Why it failed, where that could be found out.
    pub reason: Option<String>,
    /// The contract it created.
    pub contract_address: Option<Address>,
    /// What contracts said with `console.log` meanwhile.
    pub logs: Vec<String>,
}

/// Several blocks at once, under load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SummaryLine {
    /// Height of the last one.
    pub number: u64,
    /// How many blocks.
    pub blocks: u64,
    /// How many transactions in them.
    pub transactions: u64,
    /// Gas used by them.
    pub gas_used: u64,
}

/// Anything the console says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Line {
    /// A block.
    Block(BlockLine),
    /// A transaction.
    Transaction(TransactionLine),
    /// Several blocks at once.
    Summary(SummaryLine),
    /// The chain went back.
    Reverted {
        /// The height it went back to.
        number: u64,
    },
}

impl Line {
    /// The line in a form, with a line break at its end; empty where nothing is to be said.
    #[must_use]
    pub fn render(&self, format: ConsoleFormat) -> String {
        match format {
            ConsoleFormat::Quiet => String::new(),
            ConsoleFormat::Json => {
                let mut line = serde_json::to_string(self).unwrap_or_default();
                line.push('\n');
                line
            }
            ConsoleFormat::Text(colour) => self.text(colour),
        }
    }

    fn text(&self, colour: Colour) -> String {
        match self {
            Self::Block(block) => block.text(colour),
            Self::Transaction(transaction) => transaction.text(colour),
            Self::Summary(summary) => summary.text(colour),
            Self::Reverted { number } => {
                format!("{}\n", colour.paint(YELLOW, &format!("Back to block {number}")))
            }
        }
    }
}

/// Amounts below this are shown in wei.
const SMALLEST_IN_ETHER: u64 = 1_000_000_000;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

impl Colour {
    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::On => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Off => text.to_owned(),
        }
    }
}

impl BlockLine {
    fn text(&self, colour: Colour) -> String {
        let title = colour.paint(BOLD, &format!("Block {}", self.number));
        let count = match self.transactions {
            0 => "empty".to_owned(),
            1 => "1 transaction".to_owned(),
            count => format!("{count} transactions"),
        };
        let mut line = format!("{title}  {count}  gas {} of {}", grouped(self.gas_used), grouped(self.gas_limit));
        if let Some(fee) = self.base_fee_per_gas {
            let _ = write!(line, "  base fee {} wei", grouped(fee));
        }
        let _ = writeln!(line, "  {}", colour.paint(DIM, &self.hash.to_string()));
        line
    }
}

impl TransactionLine {
    fn text(&self, colour: Colour) -> String {
        let mark = match self.status {
            Outcome::Success => colour.paint(GREEN, "ok  "),
            Outcome::Failure => colour.paint(RED, "fail"),
        };
        let to = self.to.map_or_else(|| "new contract".to_owned(), short);
        let mut lines = format!(
            "  {mark}  {}  {} → {to}  gas {}  {}\n",
            colour.paint(CYAN, &self.action),
            short(self.from),
            grouped(self.gas_used),
            colour.paint(DIM, &self.hash.to_string()),
        );
        let mut detail = |name: &str, code, text: &str| {
            // What spans several lines stays under its own heading.
            let indented = text.replace('\n', "\n          ");
            let _ = writeln!(lines, "        {}", colour.paint(code, &format!("{name}{indented}")));
        };
        for log in &self.logs {
            detail("console.log: ", YELLOW, log);
        }
        if let Some(address) = self.contract_address {
            detail("contract created: ", GREEN, &address.to_checksum(None));
        }
        if self.status == Outcome::Failure {
            let reason = self.reason.as_deref().unwrap_or("reason not known");
            detail("failed: ", RED, reason);
        }
        lines
    }
}

impl SummaryLine {
    fn text(&self, colour: Colour) -> String {
        let title = colour.paint(BOLD, &format!("Block {}", self.number));
        format!(
            "{title}  {} blocks with {} transactions  gas {}\n",
            grouped(self.blocks),
            grouped(self.transactions),
            grouped(self.gas_used)
        )
    }
}

/// What a transaction does: the function it calls, `deploy`, or the ether it sends.
#[must_use]
pub fn describe_action(kind: TxKind, calldata: &[u8], value: U256) -> String {
    let ether = || {
        if value < U256::from(SMALLEST_IN_ETHER) {
            return format!("{value} wei");
        }
        let text = format_ether(value);
        let trimmed = text.trim_end_matches('0').trim_end_matches('.');
        format!("{trimmed} ETH")
    };
    let name = match kind {
        TxKind::Create => Some("deploy".to_owned()),
        TxKind::Call(_) if calldata.is_empty() => None,
        TxKind::Call(_) => Some(function_name(calldata).unwrap_or_else(|| "call".to_owned())),
    };
    match name {
        None => format!("send {}", ether()),
        Some(name) if value.is_zero() => name,
        Some(name) => format!("{name} with {}", ether()),
    }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The two ends of an address.
fn short(address: Address) -> String {
    let text = address.to_checksum(None);
    format!("{}…{}", &text[..6], &text[text.len() - 4..])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::{address, hex};

    fn transaction() -> TransactionLine {
        TransactionLine {
            block_number: 12,
            hash: B256::repeat_byte(0xab),
            from: address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
            to: Some(address!("5FbDB2315678afecb367f032d93F642f64180aa3")),
            action: "transfer".to_owned(),
            value: U256::ZERO,
            gas_used: 51_234,
            status: Outcome::Success,
            reason: None,
            contract_address: None,
            logs: vec!["hello 42".to_owned()],
        }
    }

    const PLAIN: ConsoleFormat = ConsoleFormat::Text(Colour::Off);

    #[test]
    fn a_transaction_for_people() {
        let line = Line::Transaction(transaction()).render(PLAIN);
        let hash = B256::repeat_byte(0xab);
        assert_eq!(
            line,
            format!(
                "  ok    transfer  0xf39F…2266 → 0x5FbD…0aa3  gas 51,234  {hash}\n        \
                 console.log: hello 42\n"
            )
        );
        let failed = TransactionLine {
            to: None,
            action: "deploy".to_owned(),
            status: Outcome::Failure,
            reason: Some("\"two\nlines\"".to_owned()),
            logs: vec![],
            ..transaction()
        };
        let line = Line::Transaction(failed).render(PLAIN);
        assert!(line.starts_with("  fail  deploy  0xf39F…2266 → new contract  gas"), "{line}");
        assert!(line.ends_with("\n        failed: \"two\n          lines\"\n"), "{line}");
    }

    #[test]
    fn a_block_for_people_and_for_programs() {
        let block = Line::Block(BlockLine {
            number: 3,
            hash: B256::ZERO,
            transactions: 1,
            gas_used: 21_000,
            gas_limit: 30_000_000,
            base_fee_per_gas: Some(875_000_000),
            timestamp: 1_700_000_000,
        });
        let text = block.render(PLAIN);
        assert!(
            text.starts_with("Block 3  1 transaction  gas 21,000 of 30,000,000  base fee 875,000,000 wei  0x00"),
            "{text}"
        );
        let json: serde_json::Value = serde_json::from_str(&block.render(ConsoleFormat::Json)).unwrap();
        assert_eq!(json["event"], "block");
        assert_eq!(json["gasUsed"], 21_000);
        assert_eq!(block.render(ConsoleFormat::Quiet), "");
    }

    #[test]
    fn json_is_one_line_whatever_a_contract_says() {
        let mut line = transaction();
        line.logs = vec!["a\nb".to_owned()];
        let json = Line::Transaction(line).render(ConsoleFormat::Json);
        assert_eq!(json.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["event"], "transaction");
        assert_eq!(value["status"], "success");
        assert_eq!(value["logs"][0], "a\nb");
    }

    #[test]
    fn actions() {
        let call = TxKind::Call(Address::ZERO);
        let ether = U256::from(1_500_000_000_000_000_000_u64);
        assert_eq!(describe_action(call, &[], ether), "send 1.5 ETH");
        assert_eq!(describe_action(call, &[], U256::ZERO), "send 0 wei");
        assert_eq!(describe_action(TxKind::Create, &[1], U256::ZERO), "deploy");
        assert_eq!(describe_action(call, &hex!("d0e30db0"), ether), "deposit with 1.5 ETH");
        assert_eq!(describe_action(call, &[1], U256::ZERO), "call");
    }

    #[test]
    fn digits_are_grouped() {
        let shown: Vec<_> = [0, 999, 1_000, 1_234_567].map(grouped).to_vec();
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn colours_are_reset() {
        let text = Line::Reverted { number: 2 }.render(ConsoleFormat::Text(Colour::On));
        assert_eq!(text, "\u{1b}[33mBack to block 2\u{1b}[0m\n");
    }
}
