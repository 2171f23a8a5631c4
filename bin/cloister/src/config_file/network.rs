//! The part of the file about the network between nodes.

use std::{net::SocketAddr, path::PathBuf};

use cloister_node::{NetworkConfig, NetworkConfigError, PeerConfig};
use serde::Deserialize;
use toml::Spanned;

use super::Source;
use crate::{failure::Failure, folder::NETWORK_KEY_FILE};

/// Its keys at the top of the file.
pub(super) const KEYS: [&str; 3] = ["node_id", "network_key_file", "network"];
/// The keys of this part; the others are flags, and checked by then.
#[derive(Deserialize)]
struct Top {
    node_id: Option<Spanned<u64>>,
    network_key_file: Option<Spanned<PathBuf>>,
    network: Option<Spanned<Table>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    listen: Spanned<String>,
    #[serde(default)]
    peers: Vec<Spanned<Peer>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Peer {
    id: u64,
    address: Spanned<String>,
    peer_id: String,
}

/// Reads this part; `None` where the file says nothing of a network.
pub(super) fn read(source: &Source<'_>) -> Result<Option<NetworkConfig>, Failure> {
    let top: Top = toml::from_str(source.text).map_err(|error| source.toml_error(&error))?;
    let (node_id, network) = match (top.node_id, top.network) {
        (Some(node_id), Some(network)) => (node_id, network),
        (None, Some(network)) => {
            let line = source.line(network.span().start);
            let message = "a node of a network has a node_id: add the one that the genesis gives it, above all tables";
            return Err(source.error(line, message));
        }
        (node_id, None) => {
            let lone =
                [("node_id", node_id.map(|id| id.span())), (KEYS[1], top.network_key_file.map(|file| file.span()))];
            return match lone.into_iter().find_map(|(key, span)| Some((key, span?))) {
                None => Ok(None),
                Some((key, span)) => {
                    let message = format!(
                        "{key} has a meaning in a network of nodes only: add a table [network] with listen and the \
                         other nodes, or take {key} out"
                    );
                    Err(source.error(source.line(span.start), message))
                }
            };
        }
    };
    let lines: Vec<_> = network.get_ref().peers.iter().map(|peer| source.line(peer.span().start)).collect();
    let place = (source.line(node_id.span().start), source.line(network.span().start));
    let Table { listen, peers } = network.into_inner();
    let listen_line = source.line(listen.span().start);
    let listen: SocketAddr = listen
        .get_ref()
        .parse()
        .map_err(|_| source.error(listen_line, "listen is an IP address and a port, such as \"0.0.0.0:30303\""))?;
    let peer = |peer: Spanned<Peer>| -> Result<_, Failure> {
        let peer = peer.into_inner();
        let line = source.line(peer.address.span().start);
        let address =
            peer.address.get_ref().parse().map_err(|error| source.error(line, format!("address: {error}")))?;
        Ok(PeerConfig { id: peer.id, address, peer_id: peer.peer_id })
    };
    let config = NetworkConfig {
        node_id: node_id.into_inner(),
        listen,
        key_file: source.resolve(&top.network_key_file.map_or_else(|| NETWORK_KEY_FILE.into(), Spanned::into_inner)),
        peers: peers.into_iter().map(peer).collect::<Result<_, _>>()?,
    };
    config.check().map_err(|error| {
        let line = match &error {
            NetworkConfigError::NodeId => place.0,
            NetworkConfigError::Peer { index, .. } => lines.get(*index).copied().unwrap_or(place.1),
            _ => place.1,
        };
        source.error(line, error)
    })?;
    Ok(Some(config))
}
