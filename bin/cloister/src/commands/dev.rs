//! `cloister dev`

use std::path::PathBuf;

use clap::Args;
use cloister_boundary::link;
use cloister_devtools::{DevConsole, extension};
use cloister_shell::{Caller, ShellConfig};
use serde_json::json;

use super::{
    chain::{AccountArgs, ChainArgs},
    server::{OutputArgs, PaceArgs, ServerArgs},
};
use crate::{
    failure::Failure,
    output,
    running::{self, Announcement, Network, Prepared},
};

const AFTER_HELP: &str = "\
Examples:
  cloister dev                                  ten accounts of 10000 ETH on port 8545
  cloister dev --port 0 --quiet                 any free port, nothing else printed
  cloister dev --block-time 2                   a block every 2 seconds
  cloister dev --datadir chain                  go on next time where this ends
  cloister dev --hardfork cancun --chain-id 1337
  cloister dev --genesis genesis.json           a chain of your own

A development node protects nothing: its keys are known to everyone.";

/// Arguments of `cloister dev`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Dev {
    #[command(flatten)]
    accounts: AccountArgs,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    output: OutputArgs,

    /// Write accounts, keys and chain as JSON into this file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    config_out: Option<PathBuf>,
}

impl Dev {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let format = self.output.format();
        output::start_logging(format);
        if let Some(warning) = self.server.exposure() {
            output::warn(&warning);
        }
        let accounts = self.accounts.accounts()?;
        let announcement = Announcement {
            accounts: Some(accounts.clone()),
            balance: self.accounts.balance,
            pace: self.pace.clone(),
            format,
            enclave: std::env::current_exe().unwrap_or_default(),
            manifest_out: self.server.manifest_out.clone(),
        };
        running::on_runtime(async move {
            let prepared = Prepared::new(
                Network::Development,
                &self.server,
                &self.pace,
                &self.chain,
                &accounts,
                self.accounts.balance,
            )?;
            if let Some(file) = &self.config_out {
                let config = config_json(&announcement, &prepared);
                running::write_file(file, &format!("{config:#}\n"))?;
            }
            let (host_end, enclave_end) = link::pair(link::DEFAULT_CAPACITY);
            let console = DevConsole::new(format, Box::new(std::io::stdout()));
            let shell = ShellConfig {
                extension: Some(extension(accounts, console)),
                default_caller: Caller::Development,
                attester: Some(cloister_virtual_platform::attester()),
                ..ShellConfig::default()
            };
            tokio::spawn(cloister_shell::run(enclave_end, shell));
            prepared.serve(host_end, None, announcement).await
        })
    }
}

/// The keys of anvil's `--config-out`.
fn config_json(announcement: &Announcement, prepared: &Prepared) -> serde_json::Value {
    let accounts = announcement.accounts.iter().flat_map(|accounts| accounts.all());
    let (addresses, keys): (Vec<_>, Vec<_>) =
        accounts.map(|account| (account.address().to_checksum(None), account.private_key_hex())).unzip();
    let mnemonic = announcement.accounts.as_ref().map(|accounts| accounts.mnemonic());
    let genesis = prepared.spec.genesis();
    json!({
        "available_accounts": addresses,
        "private_keys": keys,
        "wallet": {
            "mnemonic": mnemonic,
            "derivation_path": cloister_devtools::accounts::DERIVATION_PATH,
        },
        "chain_id": prepared.spec.chain_id(),
        "base_fee": genesis.base_fee_per_gas.map(|fee| fee.to_string()),
        "gas_limit": genesis.gas_limit.to_string(),
        "genesis_timestamp": genesis.timestamp.to_string(),
        "endpoint": prepared.endpoint(),
    })
}
