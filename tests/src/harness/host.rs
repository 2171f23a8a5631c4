//! What the operators of machines see: every message to the host with its time, and how long what goes to another machine is.

use std::collections::BTreeMap;

use cloister_boundary::{FromEnclave, Record};
use cloister_primitives::Height;

use super::ideal::{Oracle, incarnation};
use super::nodes::Nodes;
use super::pair::Seen;
use super::world::{Node, Sight, Told};

/// All that any of them sees, as an ideal cipher would show it.
pub(super) fn view(nodes: &Nodes, oracle: &Oracle) -> Vec<Seen> {
    (0..nodes.count()).flat_map(|at| of_node(nodes.at(at), oracle)).collect()
}

/// How often one of them said something to another.
pub(super) fn frames(nodes: &Nodes) -> u64 {
    let of = |node: &Node| node.told.iter().filter(|told| matches!(told.what, Sight::Peer { .. })).count();
    (0..nodes.count()).map(|at| of(nodes.at(at)) as u64).sum()
}

fn of_node(node: &Node, oracle: &Oracle) -> Vec<Seen> {
    let mut chunks: BTreeMap<Height, [u8; 16]> = BTreeMap::new();
    let number = node.id().map_or(0, |id| id.get());
    let seen = node.told.iter().map(|Told { at_ms, what }| {
        let Seen { about, bytes } = match what {
            Sight::Message(message) => of_message(message, number, &mut chunks, oracle),
            Sight::Peer { to, bytes } => seen(&format!("to node {}", to.get()), format!("{bytes} bytes")),
            Sight::Warning(text) => seen("warning", text.clone()),
        };
        Seen { about: format!("host {number} at {at_ms}: {about}"), bytes }
    });
    seen.collect()
}

fn seen(about: &str, bytes: String) -> Seen {
    Seen { about: about.to_owned(), bytes }
}

fn of_message(message: &FromEnclave, node: u64, chunks: &mut BTreeMap<Height, [u8; 16]>, oracle: &Oracle) -> Seen {
    match message {
        FromEnclave::Persist { seq, record } => {
            let mut first = None;
            if let Record::SnapshotChunk { snapshot, sealed, .. } = record
                && let Some(own) = incarnation(sealed)
            {
                first = Some(*chunks.entry(*snapshot).or_insert(own));
            }
            seen(&format!("persist {seq:?}: {}", place_of(record)), oracle.sealed(record, node, first))
        }
        FromEnclave::Ready { chain_id, genesis_hash, head } => {
            seen("ready", format!("{chain_id} {} {head}", hex::encode(genesis_hash)))
        }
        FromEnclave::Status(status) => seen("status", format!("{status:?}")),
        FromEnclave::ReadBlocks { id, from, count } => seen("read blocks", format!("{id} {from} {count}")),
        FromEnclave::ReadChunk { id, snapshot, index } => seen("read chunk", format!("{id} {snapshot} {index}")),
        FromEnclave::ReadLogSection { id, last } => seen("read log section", format!("{id} {last}")),
        other => seen("message", format!("{other:?}")),
    }
}

fn place_of(record: &Record) -> String {
    match record {
        Record::Block { height, .. } => format!("block {height}"),
        Record::SnapshotChunk { snapshot, index, .. } => format!("chunk {index} of the snapshot of {snapshot}"),
        Record::SnapshotDone { snapshot, chunks } => format!("{chunks} chunks of the snapshot of {snapshot}"),
        Record::DropSnapshot { snapshot } => format!("no snapshot of {snapshot} any more"),
        Record::LogSection { last, .. } => format!("log section up to {last}"),
        Record::Truncate { last } => format!("nothing above {last} any more"),
        Record::Meta { .. } => "metadata".to_owned(),
        Record::Consensus { number, keep_from, .. } => format!("consensus record {number}, from {keep_from} on"),
    }
}
