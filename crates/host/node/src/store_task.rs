//! The two threads that own the store: one appends, one reads.

use std::cmp::Ordering as Turn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use cloister_boundary::limits::{MAX_BLOCKS_PER_READ, MAX_READS_IN_FLIGHT};
use cloister_boundary::link::Sender;
use cloister_boundary::{ReadId, Record, StorageFault, ToEnclave};
use cloister_primitives::{Height, Seq};
use cloister_storage::{BlobStore, StoreError};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::error::Violation;
use crate::metrics::StoreMetrics;

/// Sealed bytes that may wait to be stored; beyond that the link waits.
const MAX_QUEUED: usize = 256 << 20;

/// What a record costs beside its sealed bytes.
const RECORD_OVERHEAD: usize = 64;

/// A group commit ends after this many bytes or records.
const MAX_GROUP: usize = 32 << 20;
const MAX_GROUP_RECORDS: usize = 1_024;

struct Job {
    seq: Seq,
    record: Record,
    _room: Option<OwnedSemaphorePermit>,
}

enum Read {
    Blocks { from: Height, count: u32 },
    Chunk { snapshot: Height, index: u32 },
    LogSection { last: Height },
}

impl Read {
    /// Its kind's stable name.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Blocks { .. } => "blocks",
            Self::Chunk { .. } => "chunk",
            Self::LogSection { .. } => "log-section",
        }
    }
}

/// The threads' handle for the dispatcher.
pub(crate) struct StoreTask {
    room: Arc<Semaphore>,
    jobs: UnboundedSender<Job>,
    reads: UnboundedSender<(ReadId, Read)>,
    reading: Arc<AtomicUsize>,
    stop_reading: watch::Sender<()>,
    threads: [JoinHandle<()>; 2],
}

impl StoreTask {
    /// Starts the threads. Answers go into the link; `violations` hears of numbers out of order.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub(crate) fn start(
        store: Arc<dyn BlobStore>,
        link: Sender<ToEnclave>,
        violations: UnboundedSender<Violation>,
        metrics: StoreMetrics,
    ) -> std::io::Result<Self> {
        let (jobs, job_queue) = unbounded_channel();
        let (answers, answer_queue) = unbounded_channel();
        let writer = Writer::new(Arc::clone(&store), answers, violations, metrics.clone());
        let writer = std::thread::Builder::new().name("store-write".to_owned()).spawn(move || writer.run(job_queue))?;
        // The writer never waits for the enclave, so records and answers cannot block each other.
        // The answers that pile up are small and fewer than the records queued.
        tokio::spawn(forward(answer_queue, link.clone()));

        let (reads, read_queue) = unbounded_channel();
        let (stop_reading, stopped) = watch::channel(());
        let reading = Arc::new(AtomicUsize::new(0));
        let runtime = Handle::current();
        let reader = Reader { store, link, reading: Arc::clone(&reading), runtime, stopped, metrics };
        let reader = std::thread::Builder::new().name("store-read".to_owned()).spawn(move || reader.run(read_queue))?;
        Ok(Self {
            room: Arc::new(Semaphore::new(MAX_QUEUED)),
            jobs,
            reads,
            reading,
            stop_reading,
            threads: [writer, reader],
        })
    }

    /// Queues a record, waiting while too many bytes are queued already.
    pub(crate) async fn persist(&self, seq: Seq, record: Record) {
        let cost = (record.sealed_len() + RECORD_OVERHEAD).min(MAX_QUEUED);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(cost).await.ok();
        // The writer is gone only after a violation, which ends the host.
        let _ = self.jobs.send(Job { seq, record, _room: room });
    }

    /// Queues a read of blocks.
    pub(crate) fn read_blocks(&self, id: ReadId, from: Height, count: u32) -> Result<(), Violation> {
        if !(1..=MAX_BLOCKS_PER_READ).contains(&count) {
            return Err(Violation::ReadLength { count });
        }
        self.read(id, Read::Blocks { from, count })
    }

    /// Queues a read of a chunk.
    pub(crate) fn read_chunk(&self, id: ReadId, snapshot: Height, index: u32) -> Result<(), Violation> {
        self.read(id, Read::Chunk { snapshot, index })
    }

    /// Queues a read of a section of the log index.
    pub(crate) fn read_log_section(&self, id: ReadId, last: Height) -> Result<(), Violation> {
        self.read(id, Read::LogSection { last })
    }

    fn read(&self, id: ReadId, read: Read) -> Result<(), Violation> {
        if self.reading.fetch_add(1, Ordering::Relaxed) >= MAX_READS_IN_FLIGHT {
            return Err(Violation::TooManyReads { limit: MAX_READS_IN_FLIGHT });
        }
        // The reader is gone only when the link is.
        let _ = self.reads.send((id, read));
        Ok(())
    }

    /// Stores what is queued, then ends both threads.
    pub(crate) async fn finish(self) {
        let Self { threads, jobs, reads, stop_reading, .. } = self;
        // The threads end when their queues do; an answer nobody takes is given up.
        drop((jobs, reads, stop_reading));
        let joined = tokio::task::spawn_blocking(move || threads.map(JoinHandle::join));
        if let Ok(results) = joined.await
            && results.iter().any(Result::is_err)
        {
            tracing::error!("a thread of the store panicked");
        }
    }
}

/// Passes the writer's answers on, in order.
async fn forward(mut answers: UnboundedReceiver<ToEnclave>, link: Sender<ToEnclave>) {
    while let Some(answer) = answers.recv().await {
        if link.send(answer).await.is_err() {
            return;
        }
    }
}

/// Appends records in the order of their numbers.
struct Writer {
    store: Arc<dyn BlobStore>,
    answers: UnboundedSender<ToEnclave>,
    violations: UnboundedSender<Violation>,
    /// The number that is due; `None` before the first.
    due: Option<Seq>,
    /// After a failure: until the number that is due comes again, all else fails with this.
    failed: Option<StorageFault>,
    /// The operator was told of a failure and not yet of its end.
    reported: bool,
    metrics: StoreMetrics,
}

impl Writer {
    fn new(
        store: Arc<dyn BlobStore>,
        answers: UnboundedSender<ToEnclave>,
        violations: UnboundedSender<Violation>,
        metrics: StoreMetrics,
    ) -> Self {
        Self { store, answers, violations, due: None, failed: None, reported: false, metrics }
    }

    fn run(mut self, mut queue: UnboundedReceiver<Job>) {
        let mut carried = None;
        while let Some(job) = carried.take().or_else(|| queue.blocking_recv()) {
            let mut group = Vec::new();
            let mut len = 0;
            let mut next = Some(job);
            while let Some(job) = next {
                // A truncation is stored by itself. What is sent again is decided on when the group
                // with its first copy is stored or has failed.
                let truncates = matches!(job.record, Record::Truncate { .. });
                let alone = truncates || self.due.is_some_and(|due| job.seq < due);
                if alone && !group.is_empty() {
                    carried = Some(job);
                    break;
                }
                len += job.record.sealed_len();
                match self.admit(&job) {
                    Ok(true) => group.push(job),
                    Ok(false) => {}
                    Err(violation) => {
                        self.commit(group);
                        // Nobody listens only when the host is ending anyway.
                        let _ = self.violations.send(violation);
                        return;
                    }
                }
                let full = alone || len >= MAX_GROUP || group.len() >= MAX_GROUP_RECORDS;
                next = if full { None } else { queue.try_recv().ok() };
            }
            self.commit(group);
        }
    }

    /// Whether the record is to be stored now. If not it has been answered.
    fn admit(&mut self, job: &Job) -> Result<bool, Violation> {
        let due = *self.due.get_or_insert(job.seq);
        match (job.seq.cmp(&due), self.failed) {
            (Turn::Equal, _) => {
                self.failed = None;
                self.due = Some(due.next());
                Ok(true)
            }
            // Stored already, and sent again because our answer was late.
            (Turn::Less, _) => {
                self.answer_stored(job.seq);
                Ok(false)
            }
            (Turn::Greater, Some(fault)) => {
                self.answer_failed(job.seq, fault);
                Ok(false)
            }
            (Turn::Greater, None) => Err(Violation::RecordNumber { expected: due, found: job.seq }),
        }
    }

    /// Stores a group with one sync and answers each of its records.
    fn commit(&mut self, group: Vec<Job>) {
        if group.is_empty() {
            return;
        }
        let (seqs, records): (Vec<_>, Vec<_>) = group.into_iter().map(|job| (job.seq, job.record)).unzip();
        match self.append(&records) {
            Ok(()) => {
                if std::mem::take(&mut self.reported) {
                    tracing::info!("records are stored again");
                }
                seqs.into_iter().for_each(|seq| self.answer_stored(seq));
            }
            // One record that does not fit must not take those before it along.
            Err(StoreError::Refused(_)) if records.len() > 1 => {
                for (at, (seq, record)) in seqs.iter().zip(&records).enumerate() {
                    match self.append(std::slice::from_ref(record)) {
                        Ok(()) => self.answer_stored(*seq),
                        Err(error) => return self.fail(&seqs[at..], &error),
                    }
                }
            }
            Err(error) => self.fail(&seqs, &error),
        }
    }

    /// Stores records with one sync.
    fn append(&self, records: &[Record]) -> Result<(), StoreError> {
        let begun = Instant::now();
        self.store.append(records)?;
        self.metrics.committed(begun.elapsed());
        records.iter().for_each(|record| self.metrics.stored(record));
        Ok(())
    }

    /// The first of these could not be stored, so none of them is.
    fn fail(&mut self, seqs: &[Seq], error: &StoreError) {
        let fault = error.fault();
        if !std::mem::replace(&mut self.reported, true) {
            tracing::error!(%error, "a record could not be stored");
        }
        self.metrics.failed(fault);
        self.failed = Some(fault);
        self.due = seqs.first().copied().or(self.due);
        seqs.iter().for_each(|seq| self.answer_failed(*seq, fault));
    }

    fn answer_stored(&self, seq: Seq) {
        // Without anybody to answer the record is stored all the same.
        let _ = self.answers.send(ToEnclave::Persisted { seq });
    }

    fn answer_failed(&self, seq: Seq, fault: StorageFault) {
        let _ = self.answers.send(ToEnclave::PersistFailed { seq, fault });
    }
}

/// Reads while the writer waits for the disk.
struct Reader {
    store: Arc<dyn BlobStore>,
    link: Sender<ToEnclave>,
    reading: Arc<AtomicUsize>,
    runtime: Handle,
    /// Resolves when the host gives up waiting for the enclave to take answers.
    stopped: watch::Receiver<()>,
    metrics: StoreMetrics,
}

impl Reader {
    fn run(mut self, mut queue: UnboundedReceiver<(ReadId, Read)>) {
        while let Some((id, read)) = queue.blocking_recv() {
            let answer = self.answer(id, &read);
            // Before the enclave can see the answer and ask again.
            self.reading.fetch_sub(1, Ordering::Relaxed);
            let (link, stopped) = (&self.link, &mut self.stopped);
            let sent = self.runtime.block_on(async {
                tokio::select! {
                    sent = link.send(answer) => sent.is_ok(),
                    _ = stopped.changed() => false,
                }
            });
            if !sent {
                return;
            }
        }
    }

    fn answer(&self, id: ReadId, read: &Read) -> ToEnclave {
        self.metrics.read(read.kind());
        let answer = match *read {
            Read::Blocks { from, count } => {
                self.store.blocks(from, count).map(|blocks| ToEnclave::Blocks { id, blocks })
            }
            Read::Chunk { snapshot, index } => {
                self.store.chunk(snapshot, index).map(|bytes| ToEnclave::Chunk { id, bytes })
            }
            Read::LogSection { last } => self.store.log_section(last).map(|bytes| ToEnclave::LogSection { id, bytes }),
        };
        answer.unwrap_or_else(|error| {
            tracing::error!(%error, "a read failed");
            ToEnclave::ReadFailed { id, fault: error.fault() }
        })
    }
}
