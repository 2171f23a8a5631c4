//! Transactions that clients gave to a follower: it keeps them in its pool and tells the leader, until they are in a block.
//!
//! Whoever carries them sees how long what is said is. So on a confidential chain each is padded to the size class that it has in
//! an envelope: a client that seals its transactions gives away no more at a follower than at the leader. A class of all
//! of them together would not do: who adds transactions of his own to theirs could find out where it ends.

use std::{collections::VecDeque, sync::Arc};

use alloy_consensus::transaction::Recovered;
use alloy_eips::eip2718::{Decodable2718 as _, Encodable2718 as _};
use alloy_primitives::TxHash;
use cloister_execution::Origin;
use cloister_ordering::raft::NodeId;
use cloister_primitives::{
    Confidentiality, Protection, RecoveredTransaction, Transaction,
    envelope::{pad, unpad},
};

use super::{Running, say};
use crate::{
    AnswerAt,
    machine::Step,
    peer_word::{ForwardedTransaction, MAX_TRANSACTIONS, PeerWord},
};

/// How long a transaction may stay pending after the leader was told, before it is told again, milliseconds.
const AGAIN_MS: u64 = 2_000;

/// Bytes of transactions in one message.
const MAX_BYTES: usize = 1 << 20;

/// Most transactions that are remembered for telling the leader again.
const MAX_REMEMBERED: usize = 100_000;

/// What the leader is to be told, and was told.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    fresh: Vec<TxHash>,
    told: VecDeque<(u64, TxHash)>,
}

impl Forwarding {
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.told.front().map(|(due_ms, _)| *due_ms)
    }
}

impl Running {
    /// A transaction entered the pool.
    pub(in crate::running) fn forward(&mut self, hash: TxHash) {
        if let Some(network) = self.engine.network() {
            network.forwarding.fresh.push(hash);
        }
    }

    /// Tells the leader what entered the pool since the last time.
    pub(in crate::running) fn forward_fresh(&mut self, step: &mut Step<'_>) {
        let Some(network) = self.engine.network() else { return };
        if network.forwarding.fresh.is_empty() {
            return;
        }
        match network.leader {
            Some(leader) if leader == network.id => network.forwarding.fresh.clear(),
            Some(leader) if network.connected.contains(&leader) => {
                let fresh = core::mem::take(&mut network.forwarding.fresh);
                self.tell(leader, &fresh, step);
            }
            // Whoever leads next is told of the whole pool.
            _ => network.forwarding.fresh.clear(),
        }
    }

    fn tell(&mut self, leader: NodeId, hashes: &[TxHash], step: &mut Step<'_>) {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for hash in hashes {
            let Some(transaction) = self.pool.get(hash) else { continue };
            let mut raw = transaction.transaction().inner().encoded_2718();
            if self.hides_sizes() {
                // None is as long as to have no padding.
                let Ok(padded) = pad(&raw) else { continue };
                raw = padded;
            }
            bytes += raw.len();
            batch.push(ForwardedTransaction { raw: raw.into(), sender: transaction.sender() });
            if bytes >= MAX_BYTES || batch.len() == MAX_TRANSACTIONS {
                bytes = 0;
                say(leader, &PeerWord::Transactions(core::mem::take(&mut batch)), step);
            }
        }
        if !batch.is_empty() {
            say(leader, &PeerWord::Transactions(batch), step);
        }
        let due_ms = step.now_ms.saturating_add(AGAIN_MS);
        let Some(network) = self.engine.network() else { return };
        let room = MAX_REMEMBERED.saturating_sub(network.forwarding.told.len());
        network.forwarding.told.extend(hashes.iter().take(room).map(|hash| (due_ms, *hash)));
    }

    /// Whether lengths of transactions are nobody's to see.
    fn hides_sizes(&self) -> bool {
        self.spec.confidentiality() == Confidentiality::On && Protection::ForwardedSizes.holds()
    }

    fn read(&self, forwarded: &ForwardedTransaction) -> Option<RecoveredTransaction> {
        let raw = if self.hides_sizes() { unpad(&forwarded.raw).ok()? } else { &forwarded.raw };
        let transaction = Transaction::decode_2718_exact(raw).ok()?;
        Some(Arc::new(Recovered::new_unchecked(transaction, forwarded.sender)))
    }

    /// Tells the leader again what it was told long ago and is in no block.
    pub(super) fn forward_again(&mut self, step: &mut Step<'_>) {
        let Some(network) = self.engine.network() else { return };
        let mut due = Vec::new();
        while let Some((_, hash)) = network.forwarding.told.pop_front_if(|(due_ms, _)| *due_ms <= step.now_ms) {
            due.push(hash);
        }
        due.retain(|hash| self.pool.contains(hash));
        if let Some(network) = self.engine.network() {
            network.forwarding.fresh.extend(due);
        }
        self.forward_fresh(step);
    }

    /// Another node leads: it has to hear of everything that waits here.
    pub(super) fn on_leader(&mut self, leader: Option<NodeId>, step: &mut Step<'_>) {
        let waiting: Vec<_> = self
            .pool
            .content()
            .iter()
            .flat_map(|account| account.transactions().map(|transaction| transaction.hash()).collect::<Vec<_>>())
            .collect();
        let Some(network) = self.engine.network() else { return };
        network.leader = leader;
        network.forwarding.told.clear();
        network.forwarding.fresh = waiting;
        self.forward_fresh(step);
        self.demand(step.now_ms);
    }

    /// Transactions that another node took in and recovered the senders of.
    pub(super) fn on_forwarded(&mut self, transactions: Vec<ForwardedTransaction>, step: &mut Step<'_>) {
        let read = transactions.iter().filter_map(|forwarded| self.read(forwarded));
        let fresh: Vec<RecoveredTransaction> =
            read.filter(|transaction| !self.pool.contains(transaction.tx_hash())).collect();
        let senders: Vec<_> = fresh.iter().map(|transaction| transaction.signer()).collect();
        let facts = self.facts(&senders, step.now_ms);
        let mut admitted = Vec::new();
        for (transaction, facts) in fresh.into_iter().zip(facts) {
            // Its client was answered by the node that took it in; what is wrong with it now is told nobody.
            let _ = self.admit(transaction, facts, Origin::External, AnswerAt::Admission, &mut admitted);
        }
        self.announce(admitted, step);
    }
}
