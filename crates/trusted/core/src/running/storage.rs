//! Records on their way to the host's disk: sealed, numbered, kept until they are durable.

use std::collections::VecDeque;

use cloister_boundary::{FromEnclave, HaltCode, Record, StorageFault};
use cloister_crypto::draw_nonce;
use cloister_keys::{BlockAad, Incarnation};
use cloister_ordering::{Input, raft::BlockRef};
use cloister_primitives::{Height, Seq};

use super::{Errand, Running};
use crate::{
    BlockRecord, CoreEffect, CoreError, Fatal, MAX_NOTES_BYTES, RequestId, Response, WorkId,
    machine::Step,
    notes,
    work::{SealJob, Work},
};

/// How long to wait before a failed write is tried again.
const RETRY_MS: u64 = 500;

/// What a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The genesis block of a new log.
    Genesis,
    /// A block; the engine is told under its own number.
    Block(Seq),
    /// A chunk of the snapshot being cut.
    Chunk,
    /// Notes; this request waits for them.
    Notes(RequestId),
    /// The block up to which this node has caught up with its network.
    CaughtUp(BlockRef),
    /// Nothing waits for it.
    Upkeep,
}

#[derive(Debug)]
enum Payload {
    /// Being sealed by this piece of work.
    Sealing {
        work: WorkId,
        height: Height,
    },
    Ready(Record),
}

#[derive(Debug)]
struct Outgoing {
    purpose: Purpose,
    payload: Payload,
}

#[derive(Debug)]
struct Unacknowledged {
    seq: Seq,
    purpose: Purpose,
    record: Record,
}

/// Everything that is not durable yet, oldest first.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Names this process in every seal, so that no two processes share a nonce space.
    incarnation: Incarnation,
    next_seq: Seq,
    /// Sent, and neither durable nor refused.
    unacknowledged: VecDeque<Unacknowledged>,
    /// Not sent: being sealed, or behind one that is.
    queue: VecDeque<Outgoing>,
    /// Set while the host cannot store: when to try again, and what it said.
    retry: Option<(u64, StorageFault)>,
}

impl Outbox {
    pub(super) const fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, next_seq: Seq(0), unacknowledged: VecDeque::new(), queue: VecDeque::new(), retry: None }
    }

    /// Names this process in every seal.
    pub(super) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unacknowledged.is_empty() && self.queue.is_empty()
    }

    pub(super) fn retry_at_ms(&self) -> Option<u64> {
        self.retry.map(|(at_ms, _)| at_ms)
    }

    /// Why the host cannot store, as long as it cannot.
    pub(super) fn fault(&self) -> Option<StorageFault> {
        self.retry.map(|(_, fault)| fault)
    }
}

impl Running {
    /// Has a block's record sealed; it is sent in its turn.
    pub(super) fn seal(&mut self, purpose: Purpose, record: BlockRecord, step: &mut Step<'_>) {
        let height = record.block.height();
        let job = self.seal_job(record, step);
        let work = self.send_work(Work::Seal(Box::new(job)), Errand::Seal, step);
        self.outbox.queue.push_back(Outgoing { purpose, payload: Payload::Sealing { work, height } });
    }

    pub(super) fn seal_job(&self, record: BlockRecord, step: &mut Step<'_>) -> SealJob {
        let (height, parent_hash) = (record.block.height(), record.block.header.parent_hash);
        SealJob {
            keys: self.keys.clone(),
            nonce: draw_nonce(step.entropy),
            aad: BlockAad { height, incarnation: self.outbox.incarnation, parent_hash },
            record,
        }
    }

    pub(super) fn on_sealed(&mut self, id: WorkId, sealed: Option<Vec<u8>>, step: &mut Step<'_>) -> Result<(), Fatal> {
        let sealed = sealed.ok_or(Fatal::new(HaltCode::Invariant, "a sealing key is used up: restart the node"))?;
        let Some(sealed) = self.on_sealed_for_network(id, sealed, step) else { return Ok(()) };
        for outgoing in &mut self.outbox.queue {
            if let Payload::Sealing { work, height } = outgoing.payload
                && work == id
            {
                outgoing.payload = Payload::Ready(Record::Block { height, sealed: sealed.into() });
                break;
            }
        }
        self.flush(step);
        Ok(())
    }

    /// Keeps notes; answers once they are durable.
    pub(super) fn keep_notes(&mut self, id: RequestId, notes: Vec<u8>, step: &mut Step<'_>) {
        let sealed = self.accepts_writes().and_then(|()| {
            let fits = Some(notes).filter(|notes| notes.len() <= MAX_NOTES_BYTES);
            let nonce = draw_nonce(step.entropy);
            let seal = |notes| notes::seal(&self.keys, nonce, self.outbox.incarnation, notes);
            fits.and_then(seal).ok_or(CoreError::Unavailable("the notes cannot be sealed"))
        });
        match sealed {
            Ok(record) => self.store(Purpose::Notes(id), record, step),
            Err(error) => step.out.push(CoreEffect::Reply(id, Err(error))),
        }
    }

    /// Queues a record that needs no sealing, or is sealed already.
    pub(super) fn store(&mut self, purpose: Purpose, record: Record, step: &mut Step<'_>) {
        self.outbox.queue.push_back(Outgoing { purpose, payload: Payload::Ready(record) });
        self.flush(step);
    }

    /// Sends what is ready, in order; nothing overtakes a record that is still being sealed.
    fn flush(&mut self, step: &mut Step<'_>) {
        if self.outbox.fault().is_some() {
            return;
        }
        while let Some(outgoing) =
            self.outbox.queue.pop_front_if(|outgoing| matches!(outgoing.payload, Payload::Ready(_)))
        {
            let Payload::Ready(record) = outgoing.payload else {
                continue;
            };
            let seq = self.outbox.next_seq;
            self.outbox.next_seq = seq.next();
            step.host(FromEnclave::Persist { seq, record: record.clone() });
            self.outbox.unacknowledged.push_back(Unacknowledged { seq, purpose: outgoing.purpose, record });
        }
    }

    pub(super) fn on_persisted(&mut self, seq: Seq, step: &mut Step<'_>) {
        if seq >= self.outbox.next_seq {
            step.warn("the host says a record is durable that was never sent");
            return;
        }
        if self.outbox.unacknowledged.front().is_none_or(|first| seq < first.seq) {
            step.warn("the host says twice that a record is durable");
            return;
        }
        while let Some(entry) = self.outbox.unacknowledged.pop_front_if(|entry| entry.seq <= seq) {
            match entry.purpose {
                Purpose::Block(engine_seq) => self.inputs.push_back(Input::Persisted(engine_seq)),
                Purpose::Chunk => self.cut_next(step),
                Purpose::Notes(id) => self.reply(id, Response::Done, step),
                Purpose::CaughtUp(block) => self.on_caught_up_stored(block),
                Purpose::Genesis | Purpose::Upkeep => {}
            }
        }
        if self.outbox.retry.take().is_some() {
            step.warn("the host can store again");
            self.flush(step);
        }
    }

    pub(super) fn on_persist_failed(
        &mut self,
        seq: Seq,
        fault: StorageFault,
        step: &mut Step<'_>,
    ) -> Result<(), Fatal> {
        match fault {
            StorageFault::NoSpace | StorageFault::Io => {}
            StorageFault::Corrupt | StorageFault::Refused => {
                return Err(Fatal::new(
                    HaltCode::StorageFailed,
                    "the host refuses to store a record, and waiting does not help",
                ));
            }
        }
        let pending =
            self.outbox.unacknowledged.front().is_some_and(|first| first.seq <= seq && seq < self.outbox.next_seq);
        if !pending {
            step.warn("the host could not store a record that is not pending");
            return Ok(());
        }
        if self.outbox.fault().is_none() {
            step.warn("the host cannot store: writes are refused until it can");
        }
        self.outbox.retry = Some((step.now_ms.saturating_add(RETRY_MS), fault));
        Ok(())
    }

    /// Sends everything that is not durable again, from the oldest on.
    pub(super) fn retry_storage(&mut self, step: &mut Step<'_>) {
        let Some((at_ms, fault)) = self.outbox.retry else {
            return;
        };
        if at_ms > step.now_ms {
            return;
        }
        self.outbox.retry = Some((step.now_ms.saturating_add(RETRY_MS), fault));
        for entry in &self.outbox.unacknowledged {
            step.host(FromEnclave::Persist { seq: entry.seq, record: entry.record.clone() });
        }
    }

    /// Takes back the records of blocks above `last`: those not sent are dropped, those sent are
    /// overwritten by a truncation.
    pub(super) fn withdraw_records(&mut self, last: Height, step: &mut Step<'_>) {
        self.outbox.queue.retain(|outgoing| {
            let height = match &outgoing.payload {
                Payload::Sealing { height, .. } | Payload::Ready(Record::Block { height, .. }) => *height,
                Payload::Ready(_) => return true,
            };
            height <= last
        });
        let sent = self
            .outbox
            .unacknowledged
            .iter()
            .any(|entry| matches!(&entry.record, Record::Block { height, .. } if *height > last));
        if sent {
            self.store(Purpose::Upkeep, Record::Truncate { last }, step);
        }
    }
}
