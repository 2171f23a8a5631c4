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

    /// After the recovery.
    pub(super) fn judge(&mut self) {
        if !self.violations.is_empty() {
            return;
        }
        let whole: Vec<&Node> = self.nodes.iter().filter(|node| !node.lost).collect();
        let mut found = Vec::new();
        for node in &whole {
            if node.opened.is_none() {
                let warned: Vec<_> = node.warned.keys().collect();
                found.push(format!("node {} is not open after the recovery; it warned: {warned:?}", node.id.get()));
            }
        }
        let heads: Vec<Height> = whole.iter().filter_map(|node| node.head()).collect();
        if let (Some(lowest), Some(highest)) = (heads.iter().min(), heads.iter().max()) {
            // The newest block may be on its way.
            if highest.0 - lowest.0 > 8 {
                found.push(format!("heads are at {heads:?} after the recovery"));
            }
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
        if self.clients.last_seen_us() + 5_000_000 < self.time_us {
            found.push("nothing is committed any more after the recovery".to_owned());
        }
        self.violations.extend(found);
    }
}
