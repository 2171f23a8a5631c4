//! What must hold, all the time and in the end.

use cloister_boundary::HaltCode;
use cloister_primitives::Height;

use super::{node::Node, world::World};

impl World {
    /// A node shows a new block: no other node may show another one of that height.
    pub(super) fn committed(&mut self, node: usize) {
        let Some((height, hash)) = self.nodes[node].newest else { return };
        let others = self.nodes.iter().filter_map(|other| Some((other.id, other.hash_at(height)?)));
        if let Some((other, found)) = others.into_iter().find(|(_, found)| *found != hash) {
            let text = format!(
                "fork at {height}: {hash} on node {}, {found} on node {}",
                self.nodes[node].id.get(),
                other.get()
            );
            self.violations.push(text);
        }
    }

    /// A node that stops by itself has to have a reason.
    pub(super) fn ended_by_itself(&mut self, node: usize) {
        let node = &self.nodes[node];
        if let Some((code, text)) = &node.halted
            && !(node.lost && matches!(code, HaltCode::DamagedLog | HaltCode::ForeignLog))
        {
            self.violations.push(format!("node {} halted: {text}", node.id.get()));
        }
    }

    /// Every node that goes on is open and has what was acknowledged after the faults.
    pub(super) fn has_recovered(&self, healed_us: u64) -> bool {
        let whole = || self.nodes.iter().filter(|node| self.goes_on(node));
        let newest = self.clients.acknowledged.values().max();
        self.clients.seen_since(healed_us) >= 8 && whole().all(|node| node.head().as_ref() >= newest)
    }

    /// Whether a node has to be there in the end: also one that lost its disk, where the others can tell it all that it had.
    fn goes_on(&self, node: &Node) -> bool {
        node.stays() || !self.restarted && node.fetches()
    }

    /// After the recovery.
    ///
    /// A node that starts again votes once it knows how far the network is. Where another one lost what it had, that may be
    /// more than anybody can say, and members have to decide; so progress is asked for only where one of the two did not happen.
    pub(super) fn judge(&mut self) {
        if !self.violations.is_empty() {
            return;
        }
        let whole: Vec<&Node> = self.nodes.iter().filter(|node| self.goes_on(node)).collect();
        let mut found = Vec::new();
        let lost = self.nodes.iter().filter(|node| node.lost).count();
        let complete = lost == 0 || !self.restarted;
        for node in whole.iter().filter(|_| complete) {
            if node.opened.is_none() {
                let warned: Vec<_> = node.warned.keys().collect();
                found.push(format!("node {} is not open after the recovery; it warned: {warned:?}", node.id.get()));
            }
        }
        let heads: Vec<Height> = whole.iter().filter_map(|node| node.head()).collect();
        if let Some(lowest) = heads.iter().min() {
            for height in 0..=lowest.0 {
                let mut hashes: Vec<_> = whole.iter().filter_map(|node| node.hash_at(Height(height))).collect();
                hashes.dedup();
                if hashes.len() != 1 {
                    found.push(format!("{} blocks of height {height}", hashes.len()));
                }
            }
        }
        for (hash, height) in &self.clients.acknowledged {
            for node in &whole {
                let at = node.height_of(hash);
                if node.head() >= Some(*height) && at != Some(*height) {
                    found.push(format!("{hash} was seen at {height}, node {} has it at {at:?}", node.id.get()));
                }
            }
        }
        if complete && !self.recovered() {
            found.push("nothing is committed any more after the recovery".to_owned());
        }
        found.extend(self.unknown_links());
        found.extend(self.gaps());
        if !found.is_empty() {
            let time_us = self.time_us;
            found.extend(self.nodes.iter_mut().map(|node| node.describe(time_us)));
        }
        self.violations.extend(found);
    }

    /// Heights that a disk has no block of, between others: its node could neither start again nor help another one up.
    fn gaps(&self) -> Vec<String> {
        let mut found = Vec::new();
        for node in self.nodes.iter().filter(|node| !node.lost) {
            let kept = &node.disk.kept.blocks;
            let gap = kept.keys().zip(kept.keys().skip(1)).find(|(lower, upper)| lower.next() != **upper);
            if let Some((lower, upper)) = gap {
                found.push(format!("node {} has no block between {lower} and {upper}", node.id.get()));
            }
        }
        found
    }

    /// Links that are there, and that a node at their end has not heard of: it would hand nothing on to a leader there.
    fn unknown_links(&mut self) -> Vec<String> {
        let (time_us, up) = (self.time_us, self.up());
        let ids: Vec<_> = up.iter().map(|node| self.nodes[*node].id).collect();
        let mut found = Vec::new();
        for node in up {
            let node = &mut self.nodes[node];
            let id = node.id;
            let Some(status) = node.status(time_us) else { continue };
            let unknown: Vec<_> =
                ids.iter().filter(|other| **other != id && !status.connected.contains(other)).collect();
            if !unknown.is_empty() {
                found.push(format!("node {} does not know that it is connected to {unknown:?}", id.get()));
            }
        }
        found
    }
}
