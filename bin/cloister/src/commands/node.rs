//! `cloister node`

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Command, FromArgMatches as _};
use cloister_devtools::ConsoleFormat;
use cloister_node::{EnclaveProcess, ExitCode, NetworkConfig};
use cloister_shell::AuditShare;

use super::{
    chain::{AccountArgs, ChainArgs},
    network::NetworkArgs,
    server::{OutputArgs, PaceArgs, ServerArgs},
};
use crate::{
    config_file::ConfigFile,
    failure::Failure,
    output,
    running::{self, Announcement, Network, Prepared},
};

/// The enclave program, and the one that has development methods.
const ENCLAVE: &str = "cloister-enclave";
const DEVELOPMENT_ENCLAVE: &str = "cloister-enclave-dev";

const AFTER_HELP: &str = "\
Examples:
  cloister node --dev                           as `cloister dev`, in two processes
  cloister node --genesis genesis.json --datadir chain --manifest-out network.json
                                                clients take it for the network's with that file
  cloister node --config chain/cloister.toml    as that file says, which `cloister init` writes";

/// Arguments of `cloister node`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Node {
    /// Run a development network; without this a genesis file and a data folder are needed
    #[arg(long)]
    dev: bool,

    /// The enclave program, instead of the one beside this program
    #[arg(long, value_name = "FILE")]
    enclave: Option<PathBuf>,

    /// Settings for what the flags leave open, in TOML: a key for each flag, with _ for -, and the network between nodes
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Of the blocks that other nodes execute, the share that this one executes as well; where that leads to something
    /// else, it stops
    #[arg(long, value_name = "SHARE", default_value_t)]
    audit_share: AuditShare,

    /// The network between nodes, as the configuration file has it.
    #[arg(skip)]
    network: Option<NetworkConfig>,

    #[command(flatten)]
    accounts: AccountArgs,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    between: NetworkArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A node of a network, as far as it is one without the others.
pub(crate) struct Alone {
    pub(crate) datadir: PathBuf,
    pub(crate) genesis: Option<PathBuf>,
    pub(crate) network: NetworkConfig,
    /// The enclave.
    pub(crate) program: PathBuf,
}

impl Node {
    pub(crate) fn run(self) -> Result<(), Failure> {
        // Without the program, the command is what is called.
        self.with_file(std::env::args_os().skip(1).collect())?.start()
    }

    /// A node as these arguments, and the configuration file that they name, have it.
    ///
    /// # Errors
    /// A usage failure, or a file that cannot be understood.
    pub(crate) fn of_arguments(arguments: Vec<OsString>) -> Result<Self, Failure> {
        let refused = |error: clap::Error| Failure::usage(error.to_string());
        let matches = Self::augment_args(Command::new("node")).try_get_matches_from(&arguments).map_err(refused)?;
        Self::from_arg_matches(&matches).map_err(refused)?.with_file(arguments)
    }

    /// The parts of it that a start for a recovery needs: nobody is served, and no other node is spoken to.
    ///
    /// # Errors
    /// It is no node of a network, or has no folder.
    pub(crate) fn alone(self) -> Result<Alone, Failure> {
        let datadir = self.server.datadir.ok_or_else(|| Failure::usage("name the node's folder with --datadir"))?;
        let network = self.between.over(self.network)?.ok_or_else(|| {
            Failure::usage("this is a node by itself: name the --config of a node of a network, or its --node-id")
        })?;
        let program = match self.enclave {
            Some(program) => program,
            None => beside_us(ENCLAVE)?,
        };
        Ok(Alone { datadir, genesis: self.chain.genesis, network, program })
    }

    /// The same with what the configuration file says where the command line, `arguments`, says nothing.
    fn with_file(self, arguments: Vec<OsString>) -> Result<Self, Failure> {
        let Some(path) = &self.config else {
            return Ok(self);
        };
        let command = Self::augment_args(Command::new("node"));
        let refused = |error: clap::Error| Failure::usage(error.to_string());
        let given = command.clone().try_get_matches_from(&arguments).map_err(refused)?;
        let ConfigFile { flags, network } = ConfigFile::read(path, &command, &given)?;
        let (name, typed) = arguments.split_at(arguments.len().min(1));
        let all = name.iter().chain(&flags).chain(typed);
        let all = command.try_get_matches_from(all).map_err(refused)?;
        Ok(Self { network, ..Self::from_arg_matches(&all).map_err(refused)? })
    }

    fn start(self) -> Result<(), Failure> {
        let format = self.output.format();
        output::start_logging(format);
        if !self.dev && (self.chain.genesis.is_none() || self.server.datadir.is_none()) {
            return Err(Failure::usage(
                "a node needs --genesis and --datadir, or --config with a file that has them; for a development network add --dev",
            ));
        }
        if let Some(warning) = self.dev.then(|| self.server.exposure()).flatten() {
            output::warn(&warning);
        }
        let accounts = self.accounts.accounts()?;
        let program = match &self.enclave {
            Some(program) => program.clone(),
            None => beside_us(if self.dev { DEVELOPMENT_ENCLAVE } else { ENCLAVE })?,
        };
        let announcement = Announcement {
            accounts: self.dev.then(|| accounts.clone()),
            balance: self.accounts.balance,
            pace: self.pace.clone(),
            format,
            enclave: program.clone(),
            manifest_out: self.server.manifest_out.clone(),
        };
        running::on_runtime(async move {
            let network = if self.dev { Network::Development } else { Network::Consortium };
            let prepared =
                Prepared::new(network, &self.server, &self.pace, &self.chain, &accounts, self.accounts.balance)?;
            let between = self.between.over(self.network)?;
            if between.is_some() && prepared.spec.raft().is_none() {
                let message = "the node is configured for a network of nodes, but the genesis names none \
                               (config.cloister.raft): take --node-id, or node_id and [network] in the file, out";
                return Err(Failure::new(ExitCode::Genesis, message));
            }
            let arguments = if self.dev {
                development_arguments(accounts.mnemonic(), self.accounts.accounts, format)
            } else {
                enclave_arguments(format)
            };
            let (process, link) = EnclaveProcess::spawn(&program, arguments)?;
            prepared
                .with_network(between)
                .with_audit_share(self.audit_share)
                .serve(link, Some(process), announcement)
                .await
        })
    }
}

/// What the enclave is told: how to write what it warns of.
fn enclave_arguments(format: ConsoleFormat) -> Vec<String> {
    match format {
        ConsoleFormat::Json => vec!["--json-logs".to_owned()],
        ConsoleFormat::Text(_) | ConsoleFormat::Quiet => Vec::new(),
    }
}

/// What the development enclave is told about its keys and its console.
fn development_arguments(mnemonic: &str, accounts: u32, format: ConsoleFormat) -> Vec<String> {
    let mut arguments =
        vec!["--mnemonic".to_owned(), mnemonic.to_owned(), "--accounts".to_owned(), accounts.to_string()];
    match format {
        ConsoleFormat::Text(_) => {}
        ConsoleFormat::Json => arguments.push("--json-logs".to_owned()),
        ConsoleFormat::Quiet => arguments.push("--quiet".to_owned()),
    }
    arguments
}

/// A program in the folder of this one.
fn beside_us(name: &str) -> Result<PathBuf, Failure> {
    let ours = std::env::current_exe().map_err(|error| {
        let message = format!("cannot find {name}: {error}; name it with --enclave");
        Failure::new(ExitCode::Enclave, message)
    })?;
    Ok(ours.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_the_development_enclave() {
        assert_eq!(
            development_arguments("a b", 3, ConsoleFormat::Json),
            ["--mnemonic", "a b", "--accounts", "3", "--json-logs"]
        );
    }
}
