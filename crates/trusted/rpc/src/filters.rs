//! Polling filters: a cursor over the chain each, and no stored results.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy_primitives::B256;
use cloister_access::Caller;
use cloister_core::Event;
use cloister_primitives::{Code, Height, Protection};
use jsonrpsee::core::RegisterMethodError;
use tokio::{
    sync::broadcast::{self, error::TryRecvError},
    time::Instant,
};

use crate::{
    HexIdProvider, MethodCall, MethodInfo, Registry,
    convert::Text,
    errors::{self, RpcResult},
    logs::{self, FoundLog, LogBlocks, LogFilter},
};

/// What a filter looks for.
#[derive(Clone, Debug)]
enum Kind {
    Blocks,
    Logs(LogFilter),
    PendingTransactions,
}

/// A filter and how far it was polled.
#[derive(Debug)]
struct Installed {
    owner: Caller,
    kind: Kind,
    /// The first height that was not reported yet.
    next: Height,
    last_used: Instant,
    /// Tells of new pending transactions, or of a chain that went back.
    events: broadcast::Receiver<Event>,
}

/// All filters of all clients.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    ids: HexIdProvider,
    installed: Mutex<HashMap<String, Installed>>,
}

/// What a poll has to look at.
#[derive(Debug)]
struct Poll {
    kind: Kind,
    from: Height,
    pending: Vec<(B256, alloy_primitives::Address)>,
}

impl Filters {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Installed>> {
        // A panic while the lock was held left at worst one filter half-polled.
        self.installed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a filter of `owner`; `None` if there are `limit` already that are in use.
    fn install(
        &self,
        owner: Caller,
        kind: Kind,
        next: Height,
        events: broadcast::Receiver<Event>,
        limits: Limits,
    ) -> Option<String> {
        let now = limits.now;
        let mut installed = self.lock();
        if installed.len() >= limits.filters {
            installed.retain(|_, filter| now - filter.last_used < limits.idle);
            if installed.len() >= limits.filters {
                return None;
            }
        }
        let id = self.ids.next_hex();
        let filter = Installed { owner, kind, next, last_used: now, events };
        installed.insert(id.clone(), filter);
        Some(id)
    }

    /// The live filter `id` of `owner`. One of somebody else looks as if it did not exist.
    fn find<'a>(
        installed: &'a mut HashMap<String, Installed>,
        id: &str,
        owner: &Caller,
        limits: Limits,
    ) -> Option<&'a mut Installed> {
        let is_stale = limits.now - installed.get(id)?.last_used >= limits.idle;
        if is_stale {
            installed.remove(id);
            return None;
        }
        let is_owned = |filter: &Installed| filter.owner == *owner || !Protection::FilterOwnership.holds();
        let filter = installed.get_mut(id).filter(|filter| is_owned(filter))?;
        filter.last_used = limits.now;
        Some(filter)
    }

    /// Moves the cursor of a filter behind `head` and says what lies between.
    fn poll(&self, id: &str, owner: &Caller, head: Height, limits: Limits) -> Option<Poll> {
        let mut installed = self.lock();
        let filter = Self::find(&mut installed, id, owner, limits)?;
        let pending = filter.drain();
        let from = filter.next;
        let last = from.0.saturating_add(limits.blocks_per_poll.saturating_sub(1));
        filter.next = filter.next.max(head.min(Height(last)).next());
        Some(Poll { kind: filter.kind.clone(), from, pending })
    }

    /// Moves a cursor back after a poll that could not be answered.
    fn rewind(&self, id: &str, owner: &Caller, to: Height, limits: Limits) {
        let mut installed = self.lock();
        if let Some(filter) = Self::find(&mut installed, id, owner, limits) {
            filter.next = filter.next.min(to);
        }
    }

    fn uninstall(&self, id: &str, owner: &Caller, limits: Limits) -> bool {
        let mut installed = self.lock();
        Self::find(&mut installed, id, owner, limits).is_some() && installed.remove(id).is_some()
    }

    fn criteria(&self, id: &str, owner: &Caller, limits: Limits) -> Option<LogFilter> {
        let mut installed = self.lock();
        match &Self::find(&mut installed, id, owner, limits)?.kind {
            Kind::Logs(filter) => Some(filter.clone()),
            Kind::Blocks | Kind::PendingTransactions => None,
        }
    }
}

impl Installed {
    /// Takes in what happened since the last poll; pending transactions for filters of those.
    fn drain(&mut self) -> Vec<(B256, alloy_primitives::Address)> {
        let mut pending = Vec::new();
        loop {
            match self.events.try_recv() {
                Ok(Event::Admitted(admitted)) => pending.extend(admitted),
                Ok(Event::Reverted(height)) => self.next = self.next.min(height.next()),
                Ok(Event::Committed(_)) | Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return pending,
            }
        }
    }
}

/// Bounds, as polling needs them, and when they are applied.
#[derive(Clone, Copy, Debug)]
struct Limits {
    now: Instant,
    filters: usize,
    idle: Duration,
    blocks_per_poll: u64,
}

fn limits(call: &MethodCall) -> Limits {
    let limits = &call.context.limits;
    Limits {
        now: Instant::now(),
        filters: limits.filters,
        idle: Duration::from_millis(limits.filter_idle_ms),
        blocks_per_poll: limits.log_range_blocks,
    }
}

fn install(call: &MethodCall, kind: Kind) -> RpcResult<String> {
    // Before the head is read: what is committed in between is then seen twice, not never.
    let events = match kind {
        Kind::Blocks | Kind::Logs(_) => call.context.events.of_chain(),
        Kind::PendingTransactions => call.context.events.of_pool(),
    };
    let next = call.context.ledger.head().next();
    call.context
        .filters
        .install(call.caller.clone(), kind, next, events, limits(call))
        .ok_or_else(|| errors::code(Code::LimitExceeded))
}

async fn new_filter(call: MethodCall) -> RpcResult<String> {
    let (filter,) = call.params::<(LogFilter,)>()?;
    filter.check(call.context.limits.log_criteria)?;
    filter.check_order()?;
    install(&call, Kind::Logs(filter))
}

async fn new_block_filter(call: MethodCall) -> RpcResult<String> {
    call.no_params()?;
    install(&call, Kind::Blocks)
}

async fn new_pending_filter(call: MethodCall) -> RpcResult<String> {
    // geth takes a flag here that asks for bodies; hashes are what every client reads.
    call.params::<(Option<bool>,)>()?;
    install(&call, Kind::PendingTransactions)
}

/// What changed since the last poll.
#[derive(Clone, Debug)]
enum Changes {
    Hashes(Vec<B256>),
    Logs(Vec<FoundLog>),
}

impl Text for Changes {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hashes(hashes) => hashes.write(out),
            Self::Logs(logs) => logs.write(out),
        }
    }
}

async fn changes(call: MethodCall) -> RpcResult<Changes> {
    let (id,) = call.params::<(String,)>()?;
    let limits = limits(&call);
    let filters = &call.context.filters;
    let head = call.context.ledger.head();
    let poll = filters.poll(&id, &call.caller, head, limits).ok_or_else(|| errors::code(Code::FilterNotFound))?;
    let from = poll.from;
    let answer = look(&call, poll, head, limits).await;
    if answer.is_err() {
        filters.rewind(&id, &call.caller, from, limits);
    }
    answer
}

async fn look(call: &MethodCall, poll: Poll, head: Height, limits: Limits) -> RpcResult<Changes> {
    let last = Height(poll.from.0.saturating_add(limits.blocks_per_poll - 1)).min(head);
    match poll.kind {
        Kind::PendingTransactions => {
            let reader = call.reader();
            let pending = poll.pending.into_iter();
            let seen = pending.filter(|(_, sender)| reader.sees_pool_of(*sender));
            Ok(Changes::Hashes(seen.map(|(hash, _)| hash).collect()))
        }
        Kind::Blocks => {
            let mut hashes = Vec::new();
            for height in poll.from.0..=last.0 {
                hashes.extend(call.block_at(Height(height)).await?.map(|block| block.hash()));
            }
            Ok(Changes::Hashes(hashes))
        }
        Kind::Logs(filter) => {
            let (from, to) = clamp(call, &filter.blocks, poll.from, last);
            if from > to {
                return Ok(Changes::Logs(Vec::new()));
            }
            logs::find_between(call, &filter, from, to).await.map(Changes::Logs)
        }
    }
}

/// New blocks as far as the filter's own range goes.
fn clamp(call: &MethodCall, blocks: &LogBlocks, from: Height, to: Height) -> (Height, Height) {
    use alloy_eips::BlockNumberOrTag::Number;
    match blocks {
        LogBlocks::Range { from: lowest, to: highest } => (
            match lowest {
                Some(Number(lowest)) => from.max(Height(*lowest)),
                _ => from,
            },
            match highest {
                Some(Number(highest)) => to.min(Height(*highest)),
                _ => to,
            },
        ),
        LogBlocks::Hash(hash) => match call.reader().height_of(hash) {
            Some(height) => (from.max(height), to.min(height)),
            None => (Height(1), Height(0)),
        },
    }
}

async fn filter_logs(call: MethodCall) -> RpcResult<Vec<FoundLog>> {
    let (id,) = call.params::<(String,)>()?;
    let filters = &call.context.filters;
    let filter =
        filters.criteria(&id, &call.caller, limits(&call)).ok_or_else(|| errors::code(Code::FilterNotFound))?;
    logs::find(&call, &filter).await
}

async fn uninstall(call: MethodCall) -> RpcResult<bool> {
    let (id,) = call.params::<(String,)>()?;
    Ok(call.context.filters.uninstall(&id, &call.caller, limits(&call)))
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    registry
        .method(info("eth_newFilter", "filter -> id", "A filter of new logs; answers its id."), new_filter)?
        .method(info("eth_newBlockFilter", "-> id", "A filter of new blocks; answers its id."), new_block_filter)?
        .method(
            info(
                "eth_newPendingTransactionFilter",
                "full? -> id",
                "A filter of new pending transactions; answers its id.",
            ),
            new_pending_filter,
        )?
        .text(info("eth_getFilterChanges", "id -> changes", "What is new since the last poll of a filter."), changes)?
        .text(info("eth_getFilterLogs", "id -> logs", "All logs that a filter matches."), filter_logs)?
        .method(info("eth_uninstallFilter", "id -> flag", "Removes a filter."), uninstall)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Events;

    fn limits(start: Instant, seconds: u64) -> Limits {
        Limits {
            now: start + Duration::from_secs(seconds),
            filters: 2,
            idle: Duration::from_secs(60),
            blocks_per_poll: 100,
        }
    }

    fn events() -> Events {
        Events::new(16)
    }

    fn session(byte: u8) -> Caller {
        Caller::Session([alloy_primitives::Address::repeat_byte(byte)].into())
    }

    /// A filter of blocks from 5 on.
    fn install(filters: &Filters, owner: &Caller, events: &Events, limits: Limits) -> Option<String> {
        filters.install(owner.clone(), Kind::Blocks, Height(5), events.of_chain(), limits)
    }

    #[test]
    fn a_poll_reports_each_block_once() {
        let limits = limits(Instant::now(), 0);
        let (filters, events, owner) = (Filters::default(), events(), Caller::Anonymous);
        let id = install(&filters, &owner, &events, limits).unwrap();
        let poll = |head| filters.poll(&id, &owner, Height(head), limits).unwrap().from;
        assert_eq!(poll(4), Height(5));
        assert_eq!(poll(6), Height(5));
        assert_eq!(poll(6), Height(7));
        // More than one poll may report is left for the next.
        assert_eq!(poll(1_000), Height(7));
        assert_eq!(poll(1_000), Height(107));
    }

    #[test]
    fn a_chain_that_went_back_is_reported_again_and_failures_lose_nothing() {
        let limits = limits(Instant::now(), 0);
        let (filters, events, owner) = (Filters::default(), events(), Caller::Anonymous);
        let id = install(&filters, &owner, &events, limits).unwrap();
        let poll = |head| filters.poll(&id, &owner, Height(head), limits).unwrap().from;
        assert_eq!(poll(9), Height(5));
        events.send(Event::Reverted(Height(6)));
        assert_eq!(poll(9), Height(7));
        filters.rewind(&id, &owner, Height(7), limits);
        assert_eq!(poll(9), Height(7));
        assert_eq!(poll(9), Height(10));
    }

    #[test]
    fn filters_belong_to_who_made_them() {
        let limits = limits(Instant::now(), 0);
        let (filters, events) = (Filters::default(), events());
        let id = install(&filters, &session(1), &events, limits).unwrap();
        assert!(filters.poll(&id, &session(2), Height(9), limits).is_none());
        assert!(!filters.uninstall(&id, &Caller::Anonymous, limits));
        assert!(filters.poll(&id, &session(1), Height(9), limits).is_some());
        assert!(filters.uninstall(&id, &session(1), limits));
        assert!(!filters.uninstall(&id, &session(1), limits));
    }

    #[test]
    fn their_number_is_bounded_and_idle_ones_make_room() {
        let (filters, events, owner) = (Filters::default(), events(), Caller::Anonymous);
        let start = Instant::now();
        let at = |seconds| limits(start, seconds);
        let first = install(&filters, &owner, &events, at(0)).unwrap();
        install(&filters, &owner, &events, at(0)).unwrap();
        assert_eq!(install(&filters, &owner, &events, at(0)), None);
        filters.poll(&first, &owner, Height(9), at(40)).unwrap();
        install(&filters, &owner, &events, at(80)).unwrap();
        assert!(filters.poll(&first, &owner, Height(9), at(80)).is_some());
        assert!(filters.poll(&first, &owner, Height(9), at(141)).is_none());
    }

    #[test]
    fn pending_filters_collect_what_was_admitted() {
        let limits = limits(Instant::now(), 0);
        let (filters, events, owner) = (Filters::default(), events(), Caller::Anonymous);
        let receiver = events.of_pool();
        let id = filters.install(owner.clone(), Kind::PendingTransactions, Height(1), receiver, limits).unwrap();
        let admitted = (B256::repeat_byte(1), alloy_primitives::Address::ZERO);
        events.send(Event::Admitted(vec![admitted]));
        let poll = filters.poll(&id, &owner, Height(0), limits).unwrap();
        assert_eq!(poll.pending, [admitted]);
        assert!(filters.poll(&id, &owner, Height(0), limits).unwrap().pending.is_empty());
    }
}
