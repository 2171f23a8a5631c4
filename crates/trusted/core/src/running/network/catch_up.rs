//! A follower that is further behind than the log of the others reaches: it fetches the blocks themselves.

use alloy_primitives::Bytes;
use cloister_boundary::HaltCode;
use cloister_ordering::raft::{BlockRef, Input, NodeId};
use cloister_primitives::Height;

use super::{Running, digest, say};
use crate::{Fatal, machine::Step, peer_word::PeerWord};

/// Blocks asked for at a time.
pub(super) const BLOCKS_PER_REQUEST: u64 = 64;

/// How long the other node may say nothing before it is asked again, milliseconds.
const STALLED_MS: u64 = 2_000;

/// Blocks on their way from another node.
#[derive(Debug)]
pub(super) struct CatchUp {
    from: NodeId,
    target: BlockRef,
    /// The next block to come.
    next: Height,
    /// Asked for up to here.
    asked: Height,
    /// The newest block of the log that may be on the way there: it is compared first.
    compares: Option<BlockRef>,
    heard_at_ms: u64,
}

impl CatchUp {
    /// The newest block that is fetched.
    pub(super) const fn target(&self) -> Height {
        self.target.height
    }
}

impl Running {
    /// Begins to fetch all blocks up to this one, or goes on with it where the other node has stopped answering.
    pub(super) fn catch_up(&mut self, from: NodeId, target: BlockRef, step: &mut Step<'_>) -> Result<(), Fatal> {
        let Some(network) = self.engine.network() else { return Ok(()) };
        // What the log names need not be fetched, and that would take from the disk what others count on. It is committed.
        if network.stored.block_at(target.height) == Some(target) {
            network.committed = network.committed.max(target.height);
            self.commit_applied(step)?;
        }
        let (head, tip) = (self.ledger.head(), self.tip()?.height());
        let Some(network) = self.engine.network() else { return Ok(()) };
        if target.height <= head {
            if network.is_stored(target) {
                network.push(Input::CaughtUp(target));
            }
            return Ok(());
        }
        let sure = network.sure_upto(head);
        if target.height <= network.committed && (target.height <= sure || network.is_on_its_way(target, tip)) {
            // It is soon applied, and asked for again.
            return Ok(());
        }
        let runs = network.catch_up.as_ref().is_some_and(|running| {
            running.target == target && step.now_ms.saturating_sub(running.heard_at_ms) < STALLED_MS
        });
        if runs {
            return Ok(());
        }
        // What the log names was acknowledged: it stays, unless it turns out to be another leader's.
        let is_between = |block: &BlockRef| head < block.height && block.height < target.height;
        let begins = network.stored.base().block.filter(is_between);
        let compares = network.stored.blocks().rfind(is_between).or(begins);
        let asked = compares.and_then(|block| block.height.parent()).unwrap_or(sure);
        if compares.is_none() {
            self.discard_of_network(sure.next(), step)?;
        }
        let Some(network) = self.engine.network() else { return Ok(()) };
        let heard_at_ms = step.now_ms;
        network.caught_up = None;
        network.catch_up = Some(CatchUp { from, target, next: asked.next(), asked, compares, heard_at_ms });
        self.go_on_catching_up(step);
        Ok(())
    }

    /// The log begins anew after a block that is applied: what it named above that block lost its place.
    pub(super) fn restore(&mut self, block: BlockRef, step: &mut Step<'_>) -> Result<(), Fatal> {
        let head = self.ledger.head();
        if block.height > head {
            return Err(Fatal::at(HaltCode::Invariant, "a state that is not here was restored", block.height.0));
        }
        self.stop_catching_up(head, step)
    }

    /// The log goes on by itself: what was fetched makes room for what it names.
    pub(super) fn give_up_catching_up(&mut self, step: &mut Step<'_>) -> Result<(), Fatal> {
        let head = self.ledger.head();
        let Some(network) = self.engine.network() else { return Ok(()) };
        let sure = network.sure_upto(head);
        self.stop_catching_up(sure, step)?;
        let Some(network) = self.engine.network() else { return Ok(()) };
        // At once: it may begin anew after them before they are applied.
        network.adopts.extend(network.stored.blocks().filter(|block| block.height > sure));
        Ok(())
    }

    /// Nothing is fetched any more, and what came above this height lost its place.
    fn stop_catching_up(&mut self, above: Height, step: &mut Step<'_>) -> Result<(), Fatal> {
        if let Some(network) = self.engine.network() {
            (network.catch_up, network.caught_up) = (None, None);
        }
        self.discard_of_network(above.next(), step)
    }

    /// Asks for more, as long as what is here is soon applied.
    pub(super) fn go_on_catching_up(&mut self, step: &mut Step<'_>) {
        let Some(network) = self.engine.network() else { return };
        let Some(running) = &mut network.catch_up else { return };
        let waiting = network.adopts.len() as u64;
        if running.next <= running.asked || waiting >= BLOCKS_PER_REQUEST || running.asked >= running.target.height {
            return;
        }
        let upto = Height((running.asked.0 + BLOCKS_PER_REQUEST).min(running.target.height.0));
        let word = PeerWord::WantStored { from: running.asked.next(), upto };
        running.asked = upto;
        say(running.from, &word, step);
    }

    pub(super) fn on_stored(
        &mut self,
        from: NodeId,
        height: Height,
        sealed: Bytes,
        step: &mut Step<'_>,
    ) -> Result<(), Fatal> {
        let head = self.ledger.head();
        let Some(network) = self.engine.network() else { return Ok(()) };
        let Some(running) = &mut network.catch_up else { return Ok(()) };
        if from != running.from || height != running.next || height > running.asked {
            return Ok(());
        }
        let block = BlockRef { height, digest: digest(&sealed) };
        if let Some(named) = running.compares.take() {
            running.heard_at_ms = step.now_ms;
            if block == named {
                running.next = height.next();
                network.committed = network.committed.max(height);
                // What the log names above it is another leader's: else there would be nothing to fetch.
                self.discard_of_network(height.next(), step)?;
                self.commit_applied(step)?;
            } else {
                let sure = network.sure_upto(head);
                let Some(running) = &mut network.catch_up else { return Ok(()) };
                (running.next, running.asked) = (sure.next(), sure);
                self.discard_of_network(sure.next(), step)?;
            }
            self.go_on_catching_up(step);
            return Ok(());
        }
        let last = height == running.target.height;
        if last && block != running.target {
            return Err(Fatal::at(
                HaltCode::Divergence,
                "another node sent a block that is not the network's",
                height.0,
            ));
        }
        running.next = height.next();
        running.heard_at_ms = step.now_ms;
        if !network.bodies.insert(block, sealed.clone(), head) {
            return Err(Fatal::at(HaltCode::Invariant, "no room for a block that was asked for", height.0));
        }
        network.adopts.push_back(block);
        // Its leader has committed it, and all before it.
        network.committed = network.committed.max(height);
        if last {
            network.catch_up = None;
        }
        self.store_ahead(block, sealed, last.then_some(block), step);
        self.go_on_catching_up(step);
        Ok(())
    }

    /// The last block of what was fetched is durable.
    pub(in crate::running) fn on_caught_up_stored(&mut self, block: BlockRef) {
        if let Some(network) = self.engine.network() {
            network.caught_up = Some(block);
        }
        self.tell_caught_up();
    }

    /// The engine's log begins anew after a block once that is durable and applied as well, whichever comes last.
    pub(super) fn tell_caught_up(&mut self) {
        let head = self.ledger.head();
        let Some(network) = self.engine.network() else { return };
        network.forget_stored(head);
        // One that another took the place of on the disk is asked for again.
        if let Some(block) = network.caught_up.take_if(|block| block.height <= head)
            && network.is_stored(block)
        {
            network.push(Input::CaughtUp(block));
        }
    }
}

impl super::Network {
    /// All blocks up to here are applied, or will be with what is at hand: what the log begins after is committed, and no log
    /// names it any more, so that it must not be given up.
    fn sure_upto(&self, head: Height) -> Height {
        self.stored.base().block.map_or(head, |block| block.height.max(head))
    }

    /// Whether this block is applied or will be, and then committed; `tip` is the newest that is applied.
    fn is_on_its_way(&self, block: BlockRef, tip: Height) -> bool {
        let is_applied = block.height <= tip && self.sealed_as.get(&block.height) == Some(&block);
        is_applied || self.adopting == Some(block) || self.adopts.contains(&block)
    }

    /// Whether the log names no block of this height, nor a later one.
    pub(in crate::running) fn ends_below(&self, height: Height) -> bool {
        self.stored.newest().is_none_or(|newest| newest.height < height)
    }
}
