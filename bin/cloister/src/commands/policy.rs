//! `cloister policy`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, Bytes};
use clap::{Args, Subcommand};
use cloister_primitives::VISIBILITY_ADDRESS;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output;
use crate::policy::{Change, Interface, Policy, claim, words};

/// Larger than any interface or policy.
const MAX_FILE_BYTES: u64 = 4 << 20;

const AFTER_HELP: &str = "\
Examples:
  cloister policy check contracts/policies/erc20.json --abi out/Token.sol/Token.json
  cloister policy apply contracts/policies/erc20.json --abi out/Token.sol/Token.json \\
    --contract 0x5FbDB2315678afecb367f032d93F642f64180aa3 --nonce 0";

/// Arguments of `cloister policy`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct PolicyCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check a policy file, and print who may do what
    Check(Files),
    /// Print the transactions that put a policy in force, to be sent by the contract's creator
    Apply(Apply),
}

#[derive(Debug, Args)]
struct Files {
    /// The policy: JSON by the names of the contract's interface
    #[arg(value_name = "FILE")]
    policy: PathBuf,
    /// The contract's interface, or an artifact of Foundry's or Hardhat's
    #[arg(long, value_name = "FILE")]
    abi: PathBuf,
}

#[derive(Debug, Args)]
struct Apply {
    #[command(flatten)]
    files: Files,
    /// The contract; behind a proxy, the proxy
    #[arg(long, value_name = "ADDRESS")]
    contract: Address,
    /// The creator's nonce when it created the contract, or is going to; without, it is claimed already
    #[arg(long, value_name = "NONCE")]
    nonce: Option<u32>,
}

impl PolicyCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Check(files) => output::say(&table(&files.read()?)),
            Action::Apply(apply) => {
                let policy = apply.files.read()?;
                let change = Change(&policy).calldata(apply.contract);
                let transactions = apply.nonce.map(claim).into_iter().chain([change]).map(transaction);
                let text = Value::Array(transactions.collect()).to_string();
                output::say(&format!("{text}\n"));
            }
        }
        Ok(())
    }
}

fn transaction(data: Bytes) -> Value {
    json!({ "to": VISIBILITY_ADDRESS, "data": data })
}

impl Files {
    fn read(&self) -> Result<Policy, Failure> {
        let interface = Interface::parse(&json_of(&self.abi)?).map_err(|text| self.wrong(&self.abi, &text))?;
        Policy::parse(&json_of(&self.policy)?, &interface).map_err(|text| self.wrong(&self.policy, &text))
    }

    fn wrong(&self, file: &Path, text: &str) -> Failure {
        Failure::usage(format!("{}: {text}", file.display()))
    }
}

fn json_of(file: &Path) -> Result<Value, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| failed(&error))?.len();
    if size > MAX_FILE_BYTES {
        return Err(failed(&format!("larger than {MAX_FILE_BYTES} bytes")));
    }
    let bytes = std::fs::read(file).map_err(|error| failed(&error))?;
    serde_json::from_slice(&bytes).map_err(|error| failed(&error))
}

fn table(policy: &Policy) -> String {
    let mut text = String::new();
    let mut line = |line: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    };
    line(format_args!("Queries are answered, and frames of transactions run, for:"));
    for rules in &policy.functions {
        let parameters = &rules.function.parameters;
        let (query, execute) = (words(&rules.query, parameters), words(&rules.execute, parameters));
        line(format_args!("  {}", rules.function.signature));
        line(format_args!("    query    {query}"));
        line(format_args!("    execute  {execute}"));
    }
    line(format_args!("Logs are shown to:"));
    for (event, rule) in &policy.events {
        line(format_args!("  {}  {}", event.signature, words(rule, &event.parameters)));
    }
    line(format_args!("  any other event: the accounts in its indexed topics"));
    for (name, term) in ["storage", "code", "balance"].into_iter().zip(&policy.facts) {
        line(format_args!("{name}: {}", words(&[*term], &[])));
    }
    line(format_args!(
        "Who may run a function in a transaction of his own learns whether it succeeds, and what it returns or reverts with."
    ));
    text
}
