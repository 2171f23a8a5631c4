//! Threads that run the core's work. Blocks go first: everything else waits for them anyway.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use cloister_core::{
    WorkId,
    work::{Work, WorkResult},
};

#[derive(Default)]
struct Queues {
    /// Building, importing and sealing of blocks.
    blocks: VecDeque<(WorkId, Work)>,
    /// The rest.
    others: VecDeque<(WorkId, Work)>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queues: Mutex<Queues>,
    added: Condvar,
}

/// The pool. Dropping it ends the threads once they are done with what they do.
pub(crate) struct Workers {
    shared: Arc<Shared>,
}

fn lock(mutex: &Mutex<Queues>) -> MutexGuard<'_, Queues> {
    // A worker that panics takes the process with it; the lock is never seen half-written.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Workers {
    /// Starts `count` threads which give results to `done`.
    pub(crate) fn start(count: usize, done: impl Fn(WorkId, WorkResult) + Clone + Send + 'static) -> Self {
        let shared = Arc::<Shared>::default();
        for _ in 0..count.max(1) {
            let shared = shared.clone();
            let done = done.clone();
            let run = move || {
                while let Some((id, work)) = shared.next() {
                    done(id, work.run());
                }
            };
            // Without threads there is no enclave; the process ends with its exit code.
            let thread = std::thread::Builder::new().name("work".to_owned());
            thread.spawn(run).expect("the system gives threads");
        }
        Self { shared }
    }

    /// Queues work.
    pub(crate) fn add(&self, id: WorkId, work: Work) {
        let mut queues = lock(&self.shared.queues);
        match work {
            Work::Build(_) | Work::Import(_) | Work::Seal(_) => queues.blocks.push_back((id, work)),
            _ => queues.others.push_back((id, work)),
        }
        drop(queues);
        self.shared.added.notify_one();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        lock(&self.shared.queues).closed = true;
        self.shared.added.notify_all();
    }
}

impl Shared {
    fn next(&self) -> Option<(WorkId, Work)> {
        let mut queues = lock(&self.queues);
        loop {
            if queues.closed {
                return None;
            }
            if let Some(work) = queues.blocks.pop_front().or_else(|| queues.others.pop_front()) {
                return Some(work);
            }
            queues = self.added.wait(queues).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }
}
