//! `cloister recover`

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use alloy_primitives::{Bytes, hex};
use clap::{Args, Subcommand, ValueHint};
use cloister_boundary::Membership;
use cloister_node::{EnclaveProcess, ExitCode, Host, HostConfig, SealingKey, StartConfig, Store, StoreOptions};
use cloister_primitives::{RecoveryStatement, SignedRecovery};
use cloister_shell::{NodeOptions, RecoveryOption};

use super::{
    login::account,
    node::{Alone, Node},
};
use crate::{
    failure::Failure,
    folder::{Folder, create_new, read_genesis},
    output,
    running::{explain, on_runtime},
};

/// Largest statement that is read, in bytes.
const MAX_STATEMENT_BYTES: u64 = 64 << 10;

const AFTER_HELP: &str = "\
Use it only where so many nodes are lost for good that the others cannot go on: whatever the lost ones alone have is
given up, and none of them comes back under its id. All nodes are stopped. Compare what is left first: the network goes on
from the node with the newest block.

  cloister recover propose --config alpha/cloister.toml --out recovery.json
                                      at the node that is left, stopped: what members are to sign
  cloister recover sign --key file:member.key recovery.json
                                      each member; more than half of them have to
  cloister recover apply --config alpha/cloister.toml --signature 0x… --signature 0x… recovery.json
                                      at that node again; then start it

A wallet signs the text that `cloister recover text recovery.json` prints, as a personal message (EIP-191).
Nodes that are to take part again get an empty folder, and join under a new id: see `cloister join`.";

/// Arguments of `cloister recover`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Recover {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what members have to sign so that the network goes on from this node's folder
    Propose(Propose),
    /// Print the text that members sign
    Text(Text),
    /// Sign a statement as a member; prints the signature
    Sign(Sign),
    /// Have the network go on from this node's folder, as members signed
    Apply(Apply),
}

/// Which node it is, as `cloister node` is told.
#[derive(Debug, Args)]
struct Place {
    /// The node's configuration file, instead of the other flags
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,

    /// The node's data folder
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    datadir: Option<PathBuf>,

    /// The node's number
    #[arg(long, value_name = "ID")]
    node_id: Option<u64>,

    /// The key that seals the network's ledger
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    network_key_file: Option<PathBuf>,

    /// The enclave program, instead of the one beside this program
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    enclave: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Propose {
    #[command(flatten)]
    place: Place,

    /// Write the statement into this file, which must not exist
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Text {
    /// The statement
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    statement: PathBuf,
}

#[derive(Debug, Args)]
struct Sign {
    /// Where the member's private key is: env:NAME, file:PATH, or the key
    #[arg(long, value_name = "KEY")]
    key: String,

    /// The statement
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    statement: PathBuf,
}

#[derive(Debug, Args)]
struct Apply {
    #[command(flatten)]
    place: Place,

    /// A member's signature; again for each further one
    #[arg(long = "signature", value_name = "HEX", required = true)]
    signatures: Vec<Bytes>,

    /// The statement
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    statement: PathBuf,
}

impl Recover {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Propose(propose) => propose.run(),
            Action::Text(text) => {
                output::say(&format!("{}\n", read_statement(&text.statement)?.text()));
                Ok(())
            }
            Action::Sign(sign) => {
                let statement = read_statement(&sign.statement)?;
                let member = account(&sign.key)?;
                output::note(&format!("{}\n\nSigned by {}.\n", statement.text(), member.address()));
                output::say(&format!("{}\n", hex::encode_prefixed(member.sign(&statement.text()))));
                Ok(())
            }
            Action::Apply(apply) => apply.run(),
        }
    }
}

impl Propose {
    fn run(self) -> Result<(), Failure> {
        let statement = self.place.ask(RecoveryOption::Propose)?;
        let json = format!("{}\n", serde_json::to_string_pretty(&statement).unwrap_or_default());
        match &self.out {
            Some(file) if !create_new(file, &json)? => {
                Err(Failure::usage(format!("{} exists; name another file", file.display())))
            }
            Some(file) => {
                output::note(&format!(
                    "{} is what more than half of the members have to sign:\n\n{}\n",
                    file.display(),
                    statement.text()
                ));
                Ok(())
            }
            None => {
                output::say(&json);
                Ok(())
            }
        }
    }
}

impl Apply {
    fn run(self) -> Result<(), Failure> {
        let statement = read_statement(&self.statement)?;
        let signed = SignedRecovery { statement, signatures: self.signatures };
        let RecoveryStatement { node, height, .. } = self.place.ask(RecoveryOption::Apply(signed))?;
        output::say(&format!(
            "The network goes on after block {height} with node {node}, which votes alone from now on: start it.\n"
        ));
        output::note(
            "The lost nodes are still listed in the contract. Members send them away (cloister member approve --as gone), \
             and let nodes join under new ids (cloister join) with folders that are empty.\n",
        );
        Ok(())
    }
}

impl Place {
    /// Starts the enclave on the folder, for one answer.
    fn ask(&self, option: RecoveryOption) -> Result<RecoveryStatement, Failure> {
        let alone = Node::of_arguments(self.arguments())?.alone()?;
        let (answer, answered) = std::sync::mpsc::channel();
        on_runtime(async move {
            // The other end waits for it below.
            let _ = answer.send(ask(alone, option).await?);
            Ok(())
        })?;
        answered.recv().map_err(|_| Failure::new(ExitCode::Enclave, "the enclave ended without an answer"))
    }

    /// The same as flags of `cloister node`.
    fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["node".into()];
        let mut flag = |name: &str, value: Option<OsString>| {
            arguments.extend(value.into_iter().flat_map(|value| [name.into(), value]));
        };
        let path = |path: &Option<PathBuf>| path.clone().map(PathBuf::into_os_string);
        flag("--config", path(&self.config));
        flag("--datadir", path(&self.datadir));
        flag("--node-id", self.node_id.map(|id| id.to_string().into()));
        flag("--network-key-file", path(&self.network_key_file));
        flag("--enclave", path(&self.enclave));
        // Nobody is listened to; a node of a network says where all the same.
        let listens = self.config.is_none() && self.node_id.is_some();
        flag("--network-listen", listens.then(|| "127.0.0.1:0".into()));
        arguments
    }
}

async fn ask(alone: Alone, option: RecoveryOption) -> Result<RecoveryStatement, Failure> {
    let Alone { datadir, genesis, network, program } = alone;
    let folder = Folder::new(datadir);
    let no_chain = || {
        let message =
            format!("{} holds no chain; name the folder that was given to --datadir", folder.path().display());
        Failure::new(ExitCode::Failure, message)
    };
    let kept = folder.genesis()?;
    let genesis = match (kept, genesis) {
        (Some(kept), _) => kept,
        (None, Some(file)) => read_genesis(&file)?,
        (None, None) => return Err(no_chain()),
    };
    let store = Store::open(folder.path(), StoreOptions::default())?;
    let key = SealingKey::of_folder(folder.path(), &store)?;
    let network_key = SealingKey::of_file(&network.key_file)?.to_bytes();
    let options = NodeOptions { recovery: Some(option), ..NodeOptions::default() };
    let config = HostConfig::new(StartConfig {
        genesis: genesis.into_bytes(),
        options: serde_json::to_vec(&options).unwrap_or_default(),
        platform_key: key.to_bytes(),
        membership: Some(Membership { node: network.node_id, network_key }),
    });
    let (process, link) = EnclaveProcess::spawn(&program, Vec::<String>::new())?;
    let host = Host::without_clients(config, link, Box::new(store)).with_process(process);
    let handle = host.handle();
    let running = tokio::spawn(host.run());
    let answer = handle.recovery().await;
    handle.shutdown();
    let ended = running.await.unwrap_or(Ok(()));
    ended.map_err(|error| explain(error, folder.path().to_str()))?;
    answer.ok_or_else(|| Failure::new(ExitCode::Enclave, "the enclave ended without an answer"))
}

fn read_statement(path: &Path) -> Result<RecoveryStatement, Failure> {
    let refused = |what: String| {
        Failure::new(ExitCode::Recovery, format!("malformed: {} is no statement of a recovery: {what}", path.display()))
    };
    let size = fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
    if size > MAX_STATEMENT_BYTES {
        return Err(refused(format!("it has more than {MAX_STATEMENT_BYTES} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        recover: Recover,
    }

    fn parse(arguments: &[&str]) -> Result<Action, clap::Error> {
        Command::try_parse_from([&["recover"], arguments].concat()).map(|command| command.recover.action)
    }

    #[test]
    fn a_place_is_named_as_for_a_node() {
        let Action::Propose(by_file) = parse(&["propose", "--config", "a/cloister.toml"]).unwrap() else {
            panic!("another action");
        };
        assert_eq!(by_file.place.arguments(), ["node", "--config", "a/cloister.toml"]);
        let flags = ["propose", "--datadir", "a", "--node-id", "1", "--network-key-file", "k"];
        let Action::Propose(by_flags) = parse(&flags).unwrap() else { panic!("another action") };
        let expected =
            ["node", "--datadir", "a", "--node-id", "1", "--network-key-file", "k", "--network-listen", "127.0.0.1:0"];
        assert_eq!(by_flags.place.arguments(), expected);
        let alone = Node::of_arguments(by_flags.place.arguments()).unwrap().alone().unwrap();
        assert_eq!((alone.network.node_id, alone.datadir), (1, PathBuf::from("a")));
        let place = Place { node_id: None, ..by_flags.place };
        let failure = Node::of_arguments(place.arguments()).and_then(Node::alone).err().unwrap();
        assert!(failure.message().contains("--node-id"), "{}", failure.message());
    }

    #[test]
    fn signatures_are_hexadecimal_and_there_is_one_at_least() {
        assert!(parse(&["apply", "--datadir", "a", "s.json"]).is_err());
        assert!(parse(&["apply", "--datadir", "a", "--signature", "0xzz", "s.json"]).is_err());
        let Action::Apply(apply) = parse(&["apply", "--signature", "0x01", "--signature", "02", "s.json"]).unwrap()
        else {
            panic!("another action");
        };
        assert_eq!(apply.signatures, [Bytes::from(vec![1]), Bytes::from(vec![2])]);
    }

    #[test]
    fn a_file_that_is_no_statement_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", "{}", "[1]"] {
            fs::write(file.path(), text).unwrap();
            let failure = read_statement(file.path()).unwrap_err();
            assert!(failure.message().starts_with("malformed: "), "{}", failure.message());
            assert_eq!(failure.code(), ExitCode::Recovery);
        }
        assert!(read_statement(Path::new("/nowhere/statement.json")).is_err());
    }
}
