//! `cloister init`

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use cloister_node::{ExitCode, SealingKey, Store, StoreOptions};
use cloister_primitives::{ChainSpec, RaftNode};

use super::chain::parse;
use crate::{
    failure::Failure,
    folder::{Folder, GENESIS_FILE, create_new, read_genesis},
    output,
};

/// Name of the configuration file in a data folder.
const CONFIG_FILE: &str = "cloister.toml";

const AFTER_HELP: &str = "\
Examples:
  cloister init --datadir alpha --genesis genesis.json --name alpha
  cloister node --config alpha/cloister.toml";

/// Arguments of `cloister init`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Init {
    /// The data folder to make
    #[arg(long, value_name = "FOLDER")]
    datadir: PathBuf,

    /// The network's genesis file
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,

    /// Which of the nodes in the genesis this one is
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl Init {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let genesis = read_genesis(&self.genesis)?;
        let spec = parse(&genesis)?;
        let node = self.name.as_deref().map(|name| node_of(&spec, name)).transpose()?;
        let folder = Folder::new(self.datadir);
        // Held open until the end: no node runs on the folder meanwhile.
        let store = Store::open(folder.path(), StoreOptions::default())?;
        let kept = folder.genesis()?;
        if let Some(kept) = &kept
            && parse(kept)? != spec
        {
            let message = "the data folder holds a chain with another genesis; choose another folder";
            return Err(Failure::new(ExitCode::ForeignChain, message));
        }
        SealingKey::of_folder(folder.path(), &store)?;
        if kept.is_none() {
            folder.keep_genesis(&genesis)?;
        }
        let config = folder.path().join(CONFIG_FILE);
        if create_new(&config, &config_file(&spec, node))? {
            output::note(&format!("Wrote {}; look it through.\n", config.display()));
        } else {
            output::note(&format!("{} is there already: left as it is.\n", config.display()));
        }
        output::note(&format!("Start the node with: cloister node --config {}\n", config.display()));
        Ok(())
    }
}

/// The node of a name.
fn node_of<'a>(spec: &'a ChainSpec, name: &str) -> Result<&'a RaftNode, Failure> {
    let nodes = spec.raft().map_or(&[][..], |raft| &raft.nodes);
    nodes.iter().find(|node| node.name == name).ok_or_else(|| {
        let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
        Failure::usage(if names.is_empty() {
            "the genesis names no nodes: leave --name out, or name them with `cloister genesis new --node`".to_owned()
        } else {
            format!("the genesis names no node {name}; its nodes are {}", names.join(", "))
        })
    })
}

/// A configuration to start from.
fn config_file(spec: &ChainSpec, node: Option<&RaftNode>) -> String {
    let mut text = format!(
        "# How this node runs. Every flag of `cloister node` has a key here, with _ for -; the command line wins.\n\
         # Paths start at the folder of this file.\n\
         datadir = \".\"\n\
         genesis = \"{GENESIS_FILE}\"\n\n\
         # Where clients connect.\n\
         host = \"127.0.0.1\"\n\
         port = 8545\n"
    );
    let Some(node) = node else { return text };
    let others = spec.raft().into_iter().flat_map(|raft| &raft.nodes).filter(|other| other.id != node.id);
    // Writing into a string does not fail.
    let _ = write!(
        text,
        "\n# This is {}.\nnode_id = {}\nnetwork_key_file = \"network.key\"\n\n[network]\nlisten = \"0.0.0.0:30303\"\n",
        node.name, node.id
    );
    for other in others {
        let _ = write!(
            text,
            "\n# {0}: fill in what its operator tells you.\n# [[network.peers]]\n# id = {1}\n\
             # address = \"{0}.example:30303\"\n# peer_id = \"12D3KooW…\"\n",
            other.name, other.id
        );
    }
    text
}
