//! Flags about the network between nodes.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueHint};
use cloister_node::{NetworkConfig, PeerConfig};

use crate::failure::Failure;

/// The ids of these flags: a configuration file says the same in a table of its own.
pub(crate) const IDS: [&str; 4] = ["node_id", "network_key_file", "network_listen", "network_peers"];

/// How the node takes part in a network of several.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Network between nodes")]
pub(crate) struct NetworkArgs {
    /// Which of the nodes in the genesis this one is
    #[arg(long, value_name = "ID")]
    node_id: Option<u64>,

    /// The key that seals the network's ledger, the same 32 bytes for all its nodes (virtual platform)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    network_key_file: Option<PathBuf>,

    /// Where other nodes connect
    #[arg(long, value_name = "ADDRESS:PORT")]
    network_listen: Option<SocketAddr>,

    /// Another node; once for each
    #[arg(long = "network-peer", value_name = "ID=HOST:PORT/PEERID")]
    network_peers: Vec<PeerConfig>,
}

impl NetworkArgs {
    /// What the flags say, and for what they leave open what the configuration file says.
    ///
    /// # Errors
    /// Something is missing, or contradicts something else.
    pub(crate) fn over(self, file: Option<NetworkConfig>) -> Result<Option<NetworkConfig>, Failure> {
        let Self { node_id, network_key_file, network_listen, network_peers } = self;
        let is_silent =
            node_id.is_none() && network_key_file.is_none() && network_listen.is_none() && network_peers.is_empty();
        if is_silent {
            return Ok(file);
        }
        let missing = |flag: &str| {
            Failure::usage(format!(
                "a node of a network needs --node-id, --network-key-file and --network-listen: {flag} is missing"
            ))
        };
        let (file_id, file_key, file_listen, file_peers) = match file {
            Some(file) => (Some(file.node_id), Some(file.key_file), Some(file.listen), file.peers),
            None => (None, None, None, Vec::new()),
        };
        let config = NetworkConfig {
            node_id: node_id.or(file_id).ok_or_else(|| missing("--node-id"))?,
            key_file: network_key_file.or(file_key).ok_or_else(|| missing("--network-key-file"))?,
            listen: network_listen.or(file_listen).ok_or_else(|| missing("--network-listen"))?,
            peers: if network_peers.is_empty() { file_peers } else { network_peers },
        };
        config.check().map_err(|error| Failure::usage(format!("the network between nodes: {error}")))?;
        Ok(Some(config))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn peer(id: u64) -> PeerConfig {
        format!("{id}=node{id}.example:30303/12D3KooWBmwXN3rsVfnLsZKbXeBrSLfczHxZHwVjPrbKwpLfYm3t").parse().unwrap()
    }

    #[test]
    fn flags_win_over_the_file_one_by_one() {
        let file = NetworkConfig {
            node_id: 1,
            listen: SocketAddr::from(([0, 0, 0, 0], 30303)),
            key_file: "/k".into(),
            peers: vec![peer(2)],
        };
        assert_eq!(NetworkArgs::default().over(None).unwrap(), None);
        assert_eq!(NetworkArgs::default().over(Some(file.clone())).unwrap(), Some(file.clone()));
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let args = NetworkArgs { network_listen: Some(listen), ..NetworkArgs::default() };
        assert_eq!(args.over(Some(file.clone())).unwrap(), Some(NetworkConfig { listen, ..file.clone() }));
        let args = NetworkArgs { network_peers: vec![peer(3)], ..NetworkArgs::default() };
        assert_eq!(args.over(Some(file.clone())).unwrap().unwrap().peers, [peer(3)]);
        let args = NetworkArgs { node_id: Some(2), ..NetworkArgs::default() };
        let error = args.clone().over(Some(file)).unwrap_err();
        assert_eq!(
            error.message(),
            "the network between nodes: peer 2: that is this node's own node_id; list the other nodes only"
        );
        assert!(args.over(None).unwrap_err().message().ends_with("--network-key-file is missing"));
    }
}
