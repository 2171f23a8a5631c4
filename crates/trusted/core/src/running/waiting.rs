//! Requests that are answered once their transaction's block is committed.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use cloister_primitives::{Block, Rejected};

use super::Running;
use crate::{AnswerAt, CoreEffect, CoreError, RequestId, Response, machine::Step};

/// A request and what it waits for.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    id: RequestId,
    answer_at: AnswerAt,
}

/// All requests that wait, by their transactions' hashes.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<B256, Vec<Waiter>>);

impl Waiting {
    pub(super) fn add(&mut self, hash: B256, id: RequestId, answer_at: AnswerAt) {
        self.0.entry(hash).or_default().push(Waiter { id, answer_at });
    }

    /// Whoever waited for a transaction that was replaced waits for what took its nonce.
    pub(super) fn replaced(&mut self, old: &B256, new: B256) {
        if let Some(waiters) = self.0.remove(old) {
            self.0.entry(new).or_default().extend(waiters);
        }
    }

    /// Those that waited for a transaction, which wait no longer.
    pub(super) fn take(&mut self, hash: &B256) -> impl Iterator<Item = RequestId> {
        self.0.remove(hash).unwrap_or_default().into_iter().map(|waiter| waiter.id)
    }

    /// Those that waited for any transaction.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = RequestId> {
        core::mem::take(&mut self.0).into_values().flatten().map(|waiter| waiter.id)
    }

    /// Takes out the waiters of which `done` says what they are answered.
    fn take_if<T>(&mut self, done: impl Fn(&B256, AnswerAt) -> Option<T>) -> Vec<(RequestId, T)> {
        let mut taken = Vec::new();
        self.0.retain(|hash, waiters| {
            waiters.retain(|waiter| match done(hash, waiter.answer_at) {
                Some(answer) => {
                    taken.push((waiter.id, answer));
                    false
                }
                None => true,
            });
            !waiters.is_empty()
        });
        taken
    }
}

impl Running {
    /// Answers those whose transactions are in a block that is now committed.
    pub(super) fn answer_waiting(&mut self, block: &Block, step: &mut Step<'_>) {
        if self.waiting.0.is_empty() {
            return;
        }
        for (index, transaction) in (0..).zip(&block.transactions) {
            let hash = *transaction.tx_hash();
            for id in self.waiting.take(&hash) {
                let response = Response::Included { hash, height: block.height(), index };
                step.out.push(CoreEffect::Reply(id, Ok(response)));
            }
        }
    }

    /// Answers those whose transaction was refused by the block it was meant for.
    pub(super) fn answer_dropped(&mut self, hash: &B256, reason: &Rejected, step: &mut Step<'_>) {
        for id in self.waiting.take(hash) {
            step.out.push(CoreEffect::Reply(id, Err(CoreError::Dropped(reason.clone()))));
        }
    }

    /// When everything has come to rest, a transaction that is still in the pool waits for something
    /// that may never come, such as a lower base fee: who asked for it to be included at once is told
    /// that it is admitted. Who waits for one that has left the pool is told so. So is, without any rest, who asks a node
    /// that does not lead: what it has built may wait for a majority for ever.
    pub(super) fn release_waiting(&mut self, step: &mut Step<'_>) {
        let is_at_rest = self.pipeline.is_at_rest();
        if self.waiting.0.is_empty() || (!is_at_rest && self.engine.leads()) {
            return;
        }
        let pool = &self.pool;
        let released = self.waiting.take_if(|hash, answer_at| match answer_at {
            _ if is_at_rest && !pool.contains(hash) => {
                Some(Err(CoreError::Unavailable("the transaction left the pool")))
            }
            AnswerAt::Commit => None,
            AnswerAt::CommitIfInstant | AnswerAt::Admission => Some(Ok(Response::Admitted { hash: *hash })),
        });
        step.out.extend(released.into_iter().map(|(id, answer)| CoreEffect::Reply(id, answer)));
    }
}
