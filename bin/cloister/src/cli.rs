//! The command line as a whole.

use clap::{Parser, Subcommand};

use crate::{commands, failure::Failure};

const AFTER_HELP: &str = "\
Examples:
  cloister dev                                 a development node on http://127.0.0.1:8545
  cloister dev --block-time 2 --datadir chain  a block every 2 seconds, kept in ./chain
  cloister genesis new --out genesis.json      the first block and the rules of a consortium's network
  cloister init --datadir alpha --genesis genesis.json --name alpha
                                               a node of it, with keys and a configuration file
  cloister node --config alpha/cloister.toml   run it
  cloister import --genesis genesis.json --datadir chain chain.rlp
                                               execute and check a chain of Ethereum's, and keep it
  cloister gateway --url https://node.example:8545 --manifest network.json --key env:KEY
                                               tools use http://127.0.0.1:8545, signed in
  cloister login --key env:KEY                 a session token for the account of a key
  cast mktx … | cloister seal --send           send a transaction that only the node's enclave can read
  cloister audit export --key env:KEY --contract ADDRESS --blocks 0..500 --out audit
                                               what an auditor is shown, in files
  cloister verify --datadir chain              check everything stored in ./chain
  cloister backup --datadir chain --out chain.backup
                                               write it into one file, from which `cloister restore` makes it again

Exit codes:
   0  it did what it was asked to
   1  any failure without a code of its own
   2  the command line cannot be understood
  10  the address or port cannot be listened on
  11  the data folder is in use
  12  the data folder belongs to another chain
  13  the data folder is damaged, or its key does not open it
  14  the disk is full or failed
  15  the genesis file or the options cannot be used
  16  the sealing key file is missing, readable by others, or mangled
  17  the enclave could not be started, or stopped by itself
  18  a block to import is wrong, or none of this chain's
  19  what members signed does not recover the network from this folder
  20  another process has this node's identity

Environment:
  CLOISTER_LOG  what is logged to standard error, such as `info` or `cloister_node=debug`
  NO_COLOR      no colours, whatever its value";

/// An Ethereum client for consortiums whose EVM runs in a trusted execution environment.
#[derive(Debug, Parser)]
#[command(
    name = "cloister",
    version,
    about,
    after_help = AFTER_HELP,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a development node: host and enclave in one process, keys that everyone knows
    Dev(Box<commands::dev::Dev>),
    /// Run a node as two processes: a host, and an enclave that it starts
    Node(Box<commands::node::Node>),
    /// Write the genesis of a consortium's network, new or out of another client's
    Genesis(Box<commands::genesis::GenesisCommand>),
    /// Make a node's data folder: its keys, the genesis, and a configuration file to start from
    Init(commands::init::Init),
    /// Make the data folder of a node that joins a running network, and say what its members have to approve
    Join(commands::join::Join),
    /// Decide, as a member of the network, which nodes take part
    Member(commands::member::MemberCommand),
    /// Have a network that lost most of its nodes for good go on from the folder of one that is left
    Recover(commands::recover::Recover),
    /// Run a network of several nodes on this machine, and show how they are
    Devnet(commands::devnet::Devnet),
    /// Say how the nodes of a network are: roles, heights, who lags behind
    Status(commands::status::Status),
    /// Import a chain of Ethereum's from files: execute every block and check all of it
    Import(commands::import::Import),
    /// Sign in to a node with accounts; prints the token that requests carry from then on
    Login(commands::login::Login),
    /// Serve unmodified tools on this machine with a node that one has to sign in to
    Gateway(commands::gateway::GatewayArgs),
    /// Seal signed transactions, so that only the enclave of a node can read them
    Seal(commands::seal::Seal),
    /// Check a data folder: open every block, follow the chain, recompute the state roots
    Verify(commands::verify::Verify),
    /// Write everything that a data folder holds, sealed as it is, into one file
    Backup(commands::backup::BackupArgs),
    /// Make a data folder out of such a file
    Restore(commands::backup::RestoreArgs),
    /// Say who may see what of a contract on a confidential chain
    Policy(commands::policy::PolicyCommand),
    /// List, make use of, and export audits of a confidential chain
    Audit(commands::audit::AuditCommand),
    /// Print a script that completes this command in a shell
    Completions(commands::completions::Completions),
}

/// Parses the command line and does what it says.
pub(crate) fn run() -> Result<(), Failure> {
    match Cli::parse().command {
        Command::Dev(command) => command.run(),
        Command::Devnet(command) => command.run(),
        Command::Node(command) => command.run(),
        Command::Genesis(command) => command.run(),
        Command::Init(command) => command.run(),
        Command::Join(command) => command.run(),
        Command::Member(command) => command.run(),
        Command::Recover(command) => command.run(),
        Command::Import(command) => command.run(),
        Command::Login(command) => command.run(),
        Command::Gateway(command) => command.run(),
        Command::Seal(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Backup(command) => command.run(),
        Command::Restore(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Policy(command) => command.run(),
        Command::Audit(command) => command.run(),
        Command::Completions(command) => command.run(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn exit_codes_in_the_help_are_the_real_ones() {
        use cloister_node::ExitCode;
        let help = Cli::command().render_long_help().to_string();
        for (code, words) in [
            (ExitCode::Success, "did what it was asked"),
            (ExitCode::Failure, "any failure"),
            (ExitCode::Usage, "cannot be understood"),
            (ExitCode::Listen, "cannot be listened on"),
            (ExitCode::FolderLocked, "is in use"),
            (ExitCode::ForeignChain, "belongs to another chain"),
            (ExitCode::Damaged, "is damaged"),
            (ExitCode::Storage, "disk is full"),
            (ExitCode::Genesis, "genesis file"),
            (ExitCode::SealingKey, "sealing key"),
            (ExitCode::Enclave, "enclave could not"),
            (ExitCode::Import, "block to import"),
            (ExitCode::Recovery, "does not recover"),
        ] {
            let line = help
                .lines()
                .find(|line| line.trim_start().starts_with(&format!("{}  ", code as u8)))
                .unwrap_or_else(|| panic!("{code:?} is missing"));
            assert!(line.contains(words), "{line}");
        }
    }

    #[test]
    fn every_command_explains_itself() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                assert!(
                    argument.get_help().is_some() || matches!(name, "help" | "version"),
                    "{name} of {}",
                    command.get_name()
                );
            }
        }
    }
}
