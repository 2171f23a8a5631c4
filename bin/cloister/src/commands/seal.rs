//! `cloister seal`

use std::io::{BufRead as _, BufReader};

use alloy_primitives::{Bytes, hex};
use clap::{Args, builder::PossibleValuesParser};
use cloister_client::{SealingKeys, send_raw_transaction};
use cloister_primitives::envelope::SealingSuite;

use super::trust::TrustArgs;
use crate::{failure::Failure, output, running};

const AFTER_HELP: &str = "\
Examples:
  cast mktx --private-key $KEY 0x… \"transfer(address,uint256)\" 0x… 5 | cloister seal      print the envelope
  cast mktx … | cloister seal --send                                                     send it, print the hash
  cloister seal --send < many.txt                         one transaction in each line, sealed in one context

An envelope goes wherever a signed transaction does: eth_sendRawTransaction takes both. Only the enclave of the node that was
asked for its keys opens it, within two hours, as long as it is not restarted.";

/// Longest line that is read: a transaction of 128 KiB in hexadecimal fits four times.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Arguments of `cloister seal`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Seal {
    /// A signed transaction in hexadecimal, as `cast mktx` prints it; without it, one in each line of standard input
    #[arg(value_name = "TRANSACTION")]
    transaction: Option<String>,

    /// The node to seal for
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8545", env = "ETH_RPC_URL")]
    url: String,

    #[command(flatten)]
    trust: TrustArgs,

    /// How: with X25519, or with X-Wing, which also resists quantum computers
    #[arg(long, default_value = "x25519", value_parser = PossibleValuesParser::new(["x25519", "x-wing"]))]
    suite: String,

    /// Send each envelope to the node and print the hash of its transaction
    #[arg(long)]
    send: bool,
}

impl Seal {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let node = self.trust.node(&self.url)?;
        let suite = SealingSuite::named(&self.suite).ok_or_else(|| Failure::usage("there is no such suite"))?;
        let transactions: Box<dyn Iterator<Item = Result<Bytes, Failure>> + Send> = match &self.transaction {
            Some(text) => Box::new(core::iter::once(transaction(text))),
            None => Box::new(lines()),
        };
        running::on_runtime(async move {
            let mut sealer = SealingKeys::of(&node).await?.sealer(suite)?;
            for transaction in transactions {
                let transaction = transaction?;
                if self.send {
                    // The node has answered the one before: it knows the context.
                    let envelope = sealer.go_on(&transaction)?;
                    output::say(&format!("{}\n", send_raw_transaction(&node, &envelope).await?));
                } else {
                    output::say(&format!("{}\n", sealer.seal(&transaction)?));
                }
            }
            Ok(())
        })
    }
}

fn lines() -> impl Iterator<Item = Result<Bytes, Failure>> {
    let mut input = BufReader::new(std::io::stdin());
    core::iter::from_fn(move || {
        loop {
            let mut line = Vec::new();
            let read = std::io::Read::take(&mut input, MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line);
            match read {
                Ok(0) => return None,
                Ok(length) if length > MAX_LINE_BYTES => {
                    return Some(Err(Failure::usage("a line of standard input is longer than any transaction")));
                }
                Ok(_) => {}
                Err(error) => return Some(Err(Failure::usage(format!("standard input cannot be read: {error}")))),
            }
            let text = String::from_utf8_lossy(&line);
            if !text.trim().is_empty() {
                return Some(transaction(&text));
            }
        }
    })
}

/// A transaction in hexadecimal. What is wrong is not repeated: it may be half of one.
fn transaction(text: &str) -> Result<Bytes, Failure> {
    match hex::decode(text.trim()) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes.into()),
        _ => Err(Failure::usage(
            "a signed transaction is an even number of hexadecimal digits, as `cast mktx` prints it",
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_hexadecimal_and_wrong_ones_are_not_repeated() {
        assert_eq!(transaction(" 0x02f8\n").unwrap(), Bytes::from_static(&[2, 0xf8]));
        assert_eq!(transaction("02f8").unwrap(), Bytes::from_static(&[2, 0xf8]));
        for wrong in ["", "0x", "0x02f", "transfer"] {
            let failure = transaction(wrong).unwrap_err();
            assert!(failure.message().contains("cast mktx") && !failure.message().contains("02f"), "{wrong}");
        }
    }
}
