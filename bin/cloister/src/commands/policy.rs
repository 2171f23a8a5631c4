//! `cloister policy`

use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256, Bytes};
use clap::{Args, Subcommand};
use cloister_primitives::VISIBILITY_ADDRESS;
use serde_json::{Value, json};

use super::trust::TrustArgs;
use crate::failure::Failure;
use crate::policy::{Audit, Change, Creation, Interface, Kept, Policy, explain, read_rules, warnings};
use crate::{output, running};

/// Larger than any interface or policy.
const MAX_FILE_BYTES: u64 = 4 << 20;

const AFTER_HELP: &str = "\
Examples:
  cloister policy check contracts/policies/erc20.json --abi out/Token.sol/Token.json
  cloister policy apply contracts/policies/erc20.json --abi out/Token.sol/Token.json \\
    --contract 0x5FbDB2315678afecb367f032d93F642f64180aa3 --nonce 0
  CLOISTER_TOKEN=$(cloister login --key env:KEY) cloister policy show --abi out/Token.sol/Token.json \\
    --contract 0x5FbDB2315678afecb367f032d93F642f64180aa3";

/// Arguments of `cloister policy`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct PolicyCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check a policy file, and print what each caller would see and learn
    Check(Files),
    /// Print the transaction that puts a policy in force, to be sent by the contract's creator or the rules' owner
    Apply(Apply),
    /// Print the rules that a contract has, as their owner
    Show(Show),
}

#[derive(Debug, Args)]
struct Files {
    /// The policy: JSON by the names of the contract's interface
    #[arg(value_name = "FILE")]
    policy: PathBuf,
    #[command(flatten)]
    interface: InterfaceFile,
}

#[derive(Debug, Args)]
struct InterfaceFile {
    /// The contract's interface, or an artifact of Foundry's or Hardhat's; behind a proxy, its implementation's
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
    /// The sender's nonce when it created the contract, or is going to; without it or a salt, the rules are his already
    #[arg(long, value_name = "NONCE", conflicts_with = "salt")]
    nonce: Option<u32>,
    /// CREATE2's salt; begins with the sender's address, unless he is the deployer himself
    #[arg(long, value_name = "WORD", requires_all = ["deployer", "initcode_hash"])]
    salt: Option<B256>,
    /// The account that creates the contract with CREATE2
    #[arg(long, value_name = "ADDRESS", requires = "salt")]
    deployer: Option<Address>,
    /// Keccak-256 of the initcode that it does that with
    #[arg(long, value_name = "WORD", requires = "salt")]
    initcode_hash: Option<B256>,
    /// All the roles that a member is to have, as in 0xA1…=0,3; none takes them away
    #[arg(long, value_name = "MEMBER=ROLES", value_parser = grant)]
    grant: Vec<(Address, Vec<u8>)>,
    /// Lets an auditor ask about blocks until a time in seconds since 1970, as in 0xA1…=100..200@1900000000
    #[arg(long, value_name = "AUDITOR=FIRST..LAST@UNTIL", value_parser = audit)]
    audit: Vec<Audit>,
    /// A proxy that may run the contract's code where that is denied to others
    #[arg(long, value_name = "ADDRESS")]
    proxy: Vec<Address>,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    interface: InterfaceFile,
    /// The contract
    #[arg(long, value_name = "ADDRESS")]
    contract: Address,
    /// The node to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8545", env = "ETH_RPC_URL")]
    url: String,
    #[command(flatten)]
    trust: TrustArgs,
    /// Variable of the environment with a session's token of the rules' owner
    #[arg(long, value_name = "NAME", default_value = "CLOISTER_TOKEN")]
    token_env: String,
}

impl PolicyCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Check(files) => {
                let policy = files.read()?;
                output::say(&explain(&policy));
                for warning in warnings(&policy) {
                    output::warn(&warning);
                }
                Ok(())
            }
            Action::Apply(apply) => apply.run(),
            Action::Show(show) => show.run(),
        }
    }
}

impl Apply {
    fn run(self) -> Result<(), Failure> {
        let policy = self.files.read()?;
        let creation = self.creation()?;
        for warning in warnings(&policy) {
            output::warn(&warning);
        }
        let change = Change { policy: &policy, grants: self.grant, proxies: self.proxy, audits: self.audit };
        let transaction = transaction(change.calldata(self.contract, creation));
        output::say(&format!("{transaction}\n"));
        Ok(())
    }

    fn creation(&self) -> Result<Creation, Failure> {
        Ok(match (self.nonce, self.salt, self.deployer, self.initcode_hash) {
            (Some(nonce), ..) => Creation::Nonce(nonce),
            (None, Some(salt), Some(deployer), Some(initcode_hash)) => {
                let created = deployer.create2(salt, initcode_hash);
                if created != self.contract {
                    return Err(Failure::usage(format!(
                        "{deployer} creates {created} with this salt and initcode, not {}",
                        self.contract
                    )));
                }
                Creation::Salted { deployer, salt, initcode_hash }
            }
            _ => Creation::Claimed,
        })
    }
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        let interface = self.interface.read()?;
        let node = self.trust.node(&self.url)?;
        let token = std::env::var(&self.token_env).ok();
        running::on_runtime(async move {
            let kept = read_rules(&node, token.as_deref(), self.contract, &interface).await?;
            output::say(&text(&kept));
            Ok(())
        })
    }
}

fn text(kept: &Kept) -> String {
    let mut text = format!("owner: {}\n", kept.owner);
    if let Some(template) = kept.template {
        text += &format!("rules of: {template}, which they were adopted from\n");
    }
    text += &format!("timelock: {} s\nfrozen: {}\n", kept.timelock_s, if kept.is_frozen { "yes" } else { "no" });
    match &kept.policy {
        Some(policy) => text + &explain(policy),
        None => text + "No rules: queries are refused, and anybody's transaction runs it.\n",
    }
}

fn transaction(data: Bytes) -> Value {
    json!({ "to": VISIBILITY_ADDRESS, "data": data })
}

fn grant(text: &str) -> Result<(Address, Vec<u8>), String> {
    let (member, roles) = text.split_once('=').ok_or("expected MEMBER=ROLES")?;
    let member = member.parse().map_err(|_| format!("`{member}` is no address"))?;
    let roles = roles.split(',').filter(|role| !role.is_empty());
    let roles = roles.map(|role| role.parse().map_err(|_| format!("`{role}` is no role from 0 to 255")));
    Ok((member, roles.collect::<Result<_, _>>()?))
}

fn audit(text: &str) -> Result<Audit, String> {
    let parts = text.split_once('=').and_then(|(auditor, rest)| {
        let (range, until) = rest.split_once('@')?;
        let (first, last) = range.split_once("..")?;
        Some((auditor, [first, last, until]))
    });
    let (auditor, numbers) = parts.ok_or("expected AUDITOR=FIRST..LAST@UNTIL")?;
    let auditor = auditor.parse().map_err(|_| format!("`{auditor}` is no address"))?;
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
    let [first, last, until] = numbers;
    Ok(Audit { auditor, first: number(first)?, last: number(last)?, until: number(until)? })
}

impl Files {
    fn read(&self) -> Result<Policy, Failure> {
        let interface = self.interface.read()?;
        Policy::parse(&text_of(&self.policy)?, &interface)
            .map_err(|refused| Failure::usage(format!("{}: {refused}", self.policy.display())))
    }
}

impl InterfaceFile {
    fn read(&self) -> Result<Interface, Failure> {
        let refused = |reason: &dyn std::fmt::Display| Failure::usage(format!("{}: {reason}", self.abi.display()));
        let json = serde_json::from_str(&text_of(&self.abi)?).map_err(|error| refused(&error))?;
        Interface::parse(&json).map_err(|reason| refused(&reason))
    }
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| failed(&error))?.len();
    if size > MAX_FILE_BYTES {
        return Err(failed(&format!("larger than {MAX_FILE_BYTES} bytes")));
    }
    std::fs::read_to_string(file).map_err(|error| failed(&error))
}
