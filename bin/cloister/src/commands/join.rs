//! `cloister join`

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use alloy_primitives::B256;
use clap::{Args, ValueHint};
use cloister_node::{PeerConfig, transport_key};
use cloister_primitives::ChainSpec;

use super::init::{Place, config_of, name, read_chain};
use crate::{failure::Failure, folder::NETWORK_KEY_FILE, output};

const AFTER_HELP: &str = "\
Example:
  cloister join --datadir delta --genesis genesis.json --node-id 4 --name delta \\
    --peer 1=alpha.example:30303/12D3KooW…";

/// Arguments of `cloister join`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Join {
    /// The data folder to make
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    datadir: PathBuf,

    /// The network's genesis file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    genesis: PathBuf,

    /// A number that no node of the network has or ever had
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    node_id: u64,

    /// What people call the node
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: String,

    /// A node of the network; once for each
    #[arg(long = "peer", value_name = "ID=HOST:PORT/PEERID", required = true)]
    peers: Vec<PeerConfig>,
}

impl Join {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let chain = read_chain(&self.genesis)?;
        self.check(&chain.1)?;
        let place = Place::make(self.datadir.clone(), Some(&chain))?;
        let peer_id = transport_key(place.folder.path())?.peer_id().to_string();
        output::say(&format!("{}={}\n{peer_id}\n", self.name, place.identity));
        place.settle(&chain.0, &self.config())?;
        output::note(&self.what_to_do(place.folder.path(), place.identity, &peer_id));
        Ok(())
    }

    /// What genesis already says of the node is no business of this command.
    fn check(&self, spec: &ChainSpec) -> Result<(), Failure> {
        let Some(raft) = spec.raft() else {
            return Err(Failure::usage(
                "this genesis is that of a node by itself (no config.cloister.raft): nothing can join it",
            ));
        };
        let known = |node: &&cloister_primitives::RaftNode| node.id == self.node_id || node.name == self.name;
        if let Some(node) = raft.nodes.iter().find(known) {
            return Err(Failure::usage(format!(
                "genesis names a node {} with the id {}: choose a new name and a new id, or use `cloister init --name {}` \
                 for that node",
                node.name, node.id, node.name
            )));
        }
        if let Some(peer) = self.peers.iter().find(|peer| peer.id == self.node_id) {
            return Err(Failure::usage(format!("--peer {}: that is this node's own id", peer.id)));
        }
        Ok(())
    }

    fn config(&self) -> String {
        let mut text = config_of(Some((self.node_id, &self.name)));
        for peer in &self.peers {
            // Writing into a string does not fail.
            let _ = write!(text, "\n{}", table(peer.id, &peer.address.to_string(), &peer.peer_id));
        }
        text
    }

    fn what_to_do(&self, folder: &Path, identity: B256, peer_id: &str) -> String {
        format!(
            "Before: put the network's key into {}, as on the other nodes; have the operators of the other nodes add this to \
             their cloister.toml and start them again, one after the other:\n\n{}\n\
             and more than half of the members send the transaction that this prints:\n\n  \
             cloister member approve --node-id {} --name {} --identity {identity} --as voter\n\n\
             The node follows as a learner first, and votes once it has caught up; `cloister status` shows it.\n",
            folder.join(NETWORK_KEY_FILE).display(),
            table(self.node_id, &format!("{}.example:30303", self.name), peer_id),
            self.node_id,
            self.name,
        )
    }
}

/// A peer in a configuration file.
fn table(id: u64, address: &str, peer_id: &str) -> String {
    format!("[[network.peers]]\nid = {id}\naddress = \"{address}\"\npeer_id = \"{peer_id}\"\n")
}
