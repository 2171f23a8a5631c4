//! `cloister init`

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use alloy_primitives::B256;
use clap::Args;
use cloister_node::{ExitCode, SealingKey, Store, StoreOptions, transport_key};
use cloister_primitives::{ChainSpec, RaftNode};
use cloister_shell::node_identity;

use super::chain::parse;
use crate::{
    consortium::NamedNode,
    failure::Failure,
    folder::{Folder, GENESIS_FILE, create_new, read_genesis},
    output,
};

/// Name of the configuration file in a data folder.
const CONFIG_FILE: &str = "cloister.toml";

const AFTER_HELP: &str = "\
Examples:
  cloister init --datadir alpha --name alpha    makes the keys; prints what the genesis and the other nodes need
  cloister init --datadir alpha --genesis genesis.json
                                                adds the network's genesis and a configuration file
  cloister node --config alpha/cloister.toml";

/// Arguments of `cloister init`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Init {
    /// The data folder to make
    #[arg(long, value_name = "FOLDER")]
    datadir: PathBuf,

    /// The network's genesis file; without it the folder gets its keys only
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// What this node is called in the genesis
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,
}

impl Init {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let chain = self.genesis.as_deref().map(read_chain).transpose()?;
        let place = Place::make(self.datadir, chain.as_ref())?;
        let (folder, identity) = (&place.folder, place.identity);
        let name = self.name.as_deref();
        let node = chain.as_ref().map(|(_, spec)| node_of(spec, name, identity)).transpose()?.flatten();
        output::say(&match name.or(node.map(|node| node.name.as_str())) {
            Some(name) => format!("{name}={identity}\n"),
            None => format!("{identity}\n"),
        });
        if chain.as_ref().is_none_or(|(_, spec)| spec.raft().is_some()) {
            output::say(&format!("{}\n", transport_key(folder.path())?.peer_id()));
        }
        let Some((genesis, spec)) = &chain else {
            output::note(
                "The first line is for `cloister genesis new --node`, the second is the peer id for the other nodes' \
                 configuration. Then once more with --genesis.\n",
            );
            return Ok(());
        };
        place.settle(genesis, &config_file(spec, node))
    }
}

/// A node's folder with its keys, held so that no node runs on it meanwhile.
pub(super) struct Place {
    pub(super) folder: Folder,
    /// What the others know the node by.
    pub(super) identity: B256,
    has_genesis: bool,
    _store: Store,
}

impl Place {
    /// Makes what is missing of the folder and its keys.
    ///
    /// # Errors
    /// It is another chain's, in use, or not to be written to.
    pub(super) fn make(datadir: PathBuf, chain: Option<&(String, ChainSpec)>) -> Result<Self, Failure> {
        let folder = Folder::new(datadir);
        let store = Store::open(folder.path(), StoreOptions::default())?;
        let kept = folder.genesis()?;
        if let (Some(kept), Some((_, spec))) = (&kept, chain)
            && parse(kept)? != *spec
        {
            let message = "the data folder holds a chain with another genesis; choose another folder";
            return Err(Failure::new(ExitCode::ForeignChain, message));
        }
        let identity = node_identity(&SealingKey::of_folder(folder.path(), &store)?.to_bytes())
            .map_err(|error| Failure::new(ExitCode::SealingKey, error.to_string()))?;
        Ok(Self { folder, identity, has_genesis: kept.is_some(), _store: store })
    }

    /// Adds the genesis and a configuration, and says what to do next.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn settle(&self, genesis: &str, config: &str) -> Result<(), Failure> {
        if !self.has_genesis {
            self.folder.keep_genesis(genesis)?;
        }
        let file = self.folder.path().join(CONFIG_FILE);
        if create_new(&file, config)? {
            output::note(&format!("Wrote {}; look it through.\n", file.display()));
        } else {
            output::note(&format!("{} is there already: left as it is.\n", file.display()));
        }
        output::note(&format!("Start the node with: cloister node --config {}\n", file.display()));
        Ok(())
    }
}

/// A genesis file, and the chain that it describes.
pub(super) fn read_chain(file: &Path) -> Result<(String, ChainSpec), Failure> {
    let genesis = read_genesis(file)?;
    let spec = parse(&genesis)?;
    Ok((genesis, spec))
}

/// The node of the genesis that has this identity, and this name if one is given.
fn node_of<'a>(spec: &'a ChainSpec, name: Option<&str>, identity: B256) -> Result<Option<&'a RaftNode>, Failure> {
    let nodes = spec.raft().map_or(&[][..], |raft| &raft.nodes);
    let Some(name) = name else {
        return Ok(nodes.iter().find(|node| node.identity == identity));
    };
    match nodes.iter().find(|node| node.name == name) {
        Some(node) if node.identity == identity => Ok(Some(node)),
        Some(node) => Err(Failure::new(
            ExitCode::Genesis,
            format!(
                "the genesis gives the node {name} the identity {}, but the key in this folder has {identity}: choose \
                 the folder with its key, or correct the genesis before the network starts",
                node.identity
            ),
        )),
        None if nodes.is_empty() => Err(Failure::usage(
            "the genesis names no nodes: leave --name out, or name them with `cloister genesis new --node`",
        )),
        None => {
            let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
            Err(Failure::usage(format!("the genesis names no node {name}; its nodes are {}", names.join(", "))))
        }
    }
}

pub(super) fn name(text: &str) -> Result<String, String> {
    // What is a name there is one here.
    format!("{text}={}", B256::ZERO).parse::<NamedNode>()?;
    Ok(text.to_owned())
}

/// A configuration to start from: what any node has, and what one of several has besides.
pub(super) fn config_of(node: Option<(u64, &str)>) -> String {
    let mut text = format!(
        "# How this node runs. Every flag of `cloister node` has a key here, with _ for -; the command line wins.\n\
         # Paths start at the folder of this file.\n\
         datadir = \".\"\n\
         genesis = \"{GENESIS_FILE}\"\n\n\
         # Where clients connect.\n\
         host = \"127.0.0.1\"\n\
         port = 8545\n"
    );
    if let Some((id, name)) = node {
        // Writing into a string does not fail.
        let _ = write!(
            text,
            "\n# This is {name}.\nnode_id = {id}\n# Without enclave hardware: the key of the network's ledger, the same on every node.\n\
             network_key_file = \"network.key\"\n\n[network]\nlisten = \"0.0.0.0:30303\"\n",
        );
    }
    text
}

fn config_file(spec: &ChainSpec, node: Option<&RaftNode>) -> String {
    let mut text = config_of(node.map(|node| (node.id, node.name.as_str())));
    let Some(node) = node else { return text };
    let others = spec.raft().into_iter().flat_map(|raft| &raft.nodes).filter(|other| other.id != node.id);
    for other in others {
        // Writing into a string does not fail.
        let _ = write!(
            text,
            "\n# {0}: fill in what its operator tells you.\n# [[network.peers]]\n# id = {1}\n\
             # address = \"{0}.example:30303\"\n# peer_id = \"12D3KooW…\"\n",
            other.name, other.id
        );
    }
    text
}
