//! `cloister audit`

use std::path::PathBuf;

use alloy_primitives::{Address, U256};
use clap::{Args, Subcommand};
use cloister_client::{
    Site,
    audit::{Auditor, Use},
};
use serde_json::Value;

use super::login::account;
use super::trust::TrustArgs;
use crate::audit::{Export, MAX_SLOTS, Scope, read_entries};
use crate::{failure::Failure, output, running};

const AFTER_HELP: &str = "\
Examples:
  CLOISTER_TOKEN=$(cloister login --key env:KEY) cloister audit list
  cloister audit use --key env:KEY --contract 0x5FbD… --blocks 100..200 \\
    eth_getLogs '[{\"address\": \"0x5FbD…\", \"fromBlock\": \"0x64\", \"toBlock\": \"0xc8\"}]'
  cloister audit export --key env:KEY --contract 0x5FbD… --blocks 100..200 --out audit";

/// Arguments of `cloister audit`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct AuditCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print which audits were granted and used, as far as a session is shown
    List(List),
    /// Say on the ledger what is going to be asked, and ask it
    Use(UseAudit),
    /// Write everything that an auditor is shown to files, with a manifest
    Export(ExportAudit),
}

#[derive(Debug, Args)]
struct List {
    /// The node to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8545", env = "ETH_RPC_URL")]
    url: String,
    #[command(flatten)]
    trust: TrustArgs,
    /// Variable of the environment with a session's token of an owner, an auditor or a member
    #[arg(long, value_name = "NAME", default_value = "CLOISTER_TOKEN")]
    token_env: String,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Who audits what.
#[derive(Debug, Args)]
struct Audited {
    /// The node to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8545", env = "ETH_RPC_URL")]
    url: String,
    #[command(flatten)]
    trust: TrustArgs,
    /// Where the auditor's private key is: env:NAME, file:PATH, or the key
    #[arg(long, value_name = "KEY")]
    key: String,
    /// Domain to sign in to, where it is not the URL's; the node's genesis names it
    #[arg(long, value_name = "HOST")]
    domain: Option<String>,
    /// The contract; without it the whole ledger, which members grant
    #[arg(long, value_name = "ADDRESS", default_value_t = Address::ZERO)]
    contract: Address,
    /// First and last block, as in 100..200
    #[arg(long, value_name = "FIRST..LAST", value_parser = blocks)]
    blocks: (u64, u64),
}

#[derive(Debug, Args)]
struct UseAudit {
    #[command(flatten)]
    audited: Audited,
    /// How many requests are going to be made
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    reads: u32,
    /// What to ask, such as eth_call; without it, it is only said that something will be
    #[arg(value_name = "METHOD", requires = "params")]
    method: Option<String>,
    /// Its parameters: a JSON array
    #[arg(value_name = "PARAMS", value_parser = json)]
    params: Option<Value>,
}

#[derive(Debug, Args)]
struct ExportAudit {
    #[command(flatten)]
    audited: Audited,
    /// Folder to write to; one that was begun is gone on with
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// A slot of the contract's storage to read after the last block; again for each further one
    #[arg(long, value_name = "SLOT", value_parser = slot)]
    storage: Vec<U256>,
}

impl AuditCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::List(list) => list.run(),
            Action::Use(audit) => audit.run(),
            Action::Export(export) => export.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let node = self.trust.node(&self.url)?.answering_up_to(MAX_LIST_BYTES);
        let token = std::env::var(&self.token_env).ok();
        running::on_runtime(async move {
            let entries = read_entries(&node, token.as_deref()).await?;
            for entry in &entries {
                output::say(&if self.json { format!("{}\n", entry.json()) } else { format!("{entry}\n") });
            }
            if entries.is_empty() {
                output::note("no audit is shown to this session\n");
            }
            Ok(())
        })
    }
}

/// Longest part of a list that is read at one time, in bytes.
const MAX_LIST_BYTES: usize = 64 << 20;

impl Audited {
    async fn auditor(&self) -> Result<Auditor, Failure> {
        let node = self.trust.node(&self.url)?;
        let account = account(&self.key)?;
        let site = match &self.domain {
            Some(domain) => Site { domain: domain.clone(), uri: format!("https://{domain}") },
            None => Site::of(node.url()),
        };
        Ok(Auditor::sign_in(&node, &site, &account).await?)
    }
}

impl UseAudit {
    fn run(self) -> Result<(), Failure> {
        running::on_runtime(async move {
            let auditor = self.audited.auditor().await?;
            let (contract, (first, last)) = (self.audited.contract, self.audited.blocks);
            let said = auditor.say(Use { contract, first, last, reads: self.reads }).await?;
            output::note(&format!("said on the ledger in transaction {said}\n"));
            if let (Some(method), Some(params)) = (&self.method, &self.params) {
                let answer = auditor.ask(contract, method, params).await?;
                output::say(&format!("{answer:#}\n"));
            }
            Ok(())
        })
    }
}

impl ExportAudit {
    fn run(self) -> Result<(), Failure> {
        if self.storage.len() > MAX_SLOTS {
            return Err(Failure::usage(format!("at most {MAX_SLOTS} slots")));
        }
        running::on_runtime(async move {
            let auditor = self.audited.auditor().await?;
            let (contract, (first, last)) = (self.audited.contract, self.audited.blocks);
            Export::new(auditor, Scope { contract, first, last, slots: self.storage }, self.out).run().await
        })
    }
}

fn blocks(text: &str) -> Result<(u64, u64), String> {
    let (first, last) = text.split_once("..").ok_or("expected FIRST..LAST")?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is no number"));
    match (number(first)?, number(last)?) {
        (first, last) if first <= last => Ok((first, last)),
        _ => Err("the last block is before the first".to_owned()),
    }
}

fn slot(text: &str) -> Result<U256, String> {
    text.parse().map_err(|_| format!("`{text}` is no slot"))
}

fn json(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if value.is_array() { Ok(value) } else { Err("expected a JSON array".to_owned()) }
}
