//! One node of a run: the real core, the real methods over it, and a host that writes down all that reaches it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use alloy_primitives::{B256, Bytes};
use cloister_access::{Caller, Development};
use cloister_boundary::{FromEnclave, Membership, NodeRole, Record, StartInfo, ToEnclave};
use cloister_core::{
    Archive, Core, CoreEffect, CoreError, CoreMessage, CoreOptions, NodeId, Opened, PeerEvent, Request, RequestId,
    Response, Tick, WorkId,
    work::{Work, WorkResult},
};
use cloister_primitives::Declassified;
use cloister_rpc::{CoreHandle, Envelope, Events, RpcContext, RpcLimits, Served};
use cloister_storage::{BlobStore, MemoryStore};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use super::draws::Draws;
use super::workload::Workload;

/// The key that the ledger's keys follow from: that of a machine by itself, or of the network.
pub(super) const LEDGER_KEY: [u8; 32] = [7; 32];
/// Turns that tasks get to hear of what happened.
const TURNS: usize = 40;
/// Notifications, and requests, that wait to be looked at.
const NOTIFICATIONS: usize = 4_096;

/// Marks a section of the log index among the facts about heights.
pub(super) const SECTION: u64 = 1 << 63;

/// A question: who asks, which method, with what.
pub(super) type Question = (Caller, &'static str, Value);

pub(super) fn is_about_many_heights((_, method, params): &Question) -> bool {
    let under_audit = || params[1].as_str().is_some_and(|method| method.starts_with("debug_trace"));
    method.starts_with("debug_trace") || (*method == "cloister_audit" && under_audit())
}

/// Something that the operator of a machine sees, and when.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) at_ms: u64,
    pub(super) what: Sight,
}

/// What it is.
#[derive(Debug)]
pub(super) enum Sight {
    /// A message of the enclave's.
    Message(FromEnclave),
    /// Something for another node's enclave: through an ideal channel, how long it is.
    Peer { to: NodeId, bytes: usize },
    /// Words in the log.
    Warning(String),
}

/// A node in memory, over its restarts.
pub(super) struct Node {
    /// Which of a network's it is.
    id: Option<NodeId>,
    genesis: String,
    core: Core,
    options: CoreOptions,
    draws: Draws,
    store: MemoryStore,
    work: VecDeque<(WorkId, Work)>,
    answers: VecDeque<ToEnclave>,
    replies: HashMap<RequestId, oneshot::Sender<Result<Response, CoreError>>>,
    next_request: u64,
    now_ms: u64,
    deadline_ms: Option<u64>,
    events: Events,
    requests: mpsc::Sender<Envelope>,
    pub(super) queue: mpsc::Receiver<Envelope>,
    opened: Option<Opened>,
    served: Option<Served>,
    /// What was said to other nodes and is not carried yet.
    said: Vec<(NodeId, Bytes)>,
    /// All that the host was told, in order.
    pub(super) told: Vec<Told>,
    /// Requests that were refused before anything was in a block, counted from the start.
    pub(super) refused: Vec<u64>,
    fault: Option<String>,
}

impl Node {
    /// A node on a new chain, by itself or one of a network's.
    pub(super) fn new(workload: &Workload, id: Option<NodeId>, entropy_seed: u64, now_ms: u64) -> Self {
        let options = CoreOptions {
            archive: Archive::Full,
            snapshot_every_blocks: workload.snapshot_every_blocks,
            development: Development::Refused,
            ..CoreOptions::default()
        };
        let (requests, queue) = mpsc::channel(NOTIFICATIONS);
        // Nodes draw apart from each other.
        let place = id.map_or(0, |id| id.get() << 48);
        Self {
            id,
            genesis: workload.genesis(),
            core: Core::new(options.clone()),
            options,
            draws: Draws::new(workload.seed.wrapping_add(place), entropy_seed.wrapping_add(place)),
            store: MemoryStore::new(),
            work: VecDeque::new(),
            answers: VecDeque::new(),
            replies: HashMap::new(),
            next_request: 0,
            now_ms,
            deadline_ms: None,
            events: Events::new(NOTIFICATIONS),
            requests,
            queue,
            opened: None,
            served: None,
            said: Vec::new(),
            told: Vec::new(),
            refused: Vec::new(),
            fault: None,
        }
    }

    /// Ends the core, and starts another one from what is stored.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.core = Core::new(self.options.clone());
        self.draws = self.draws.of_next_start();
        (self.opened, self.served, self.deadline_ms) = (None, None, None);
        self.work.clear();
        self.answers.clear();
        self.replies.clear();
        self.said.clear();
        self.events = Events::new(NOTIFICATIONS);
        (self.requests, self.queue) = mpsc::channel(NOTIFICATIONS);
        self.boot()
    }

    /// Starts the core. One of a network's opens its chain once the others have said how far it is.
    pub(super) fn boot(&mut self) -> Result<(), String> {
        let kept = self.store.kept().map_err(|error| error.to_string())?;
        let membership = |id: NodeId| Membership { node: id.get(), network_key: LEDGER_KEY.to_vec() };
        // Each machine of a network has a key of its own.
        let platform_key = self.id.map_or(LEDGER_KEY, |id| [0x60 | id.get().to_le_bytes()[0]; 32]);
        let info = StartInfo {
            now_ms: self.now_ms,
            genesis: self.genesis.clone().into_bytes(),
            options: Vec::new(),
            log: self.store.bounds(),
            snapshots: self.store.snapshots(),
            meta: kept.meta,
            platform_key: platform_key.to_vec(),
            consensus: kept.consensus,
            membership: self.id.map(membership),
        };
        self.give(CoreMessage::Host(ToEnclave::Start(info)));
        self.settle()
    }

    /// Makes the methods, once the chain is open.
    pub(super) fn serve(&mut self) -> Result<(), String> {
        let opened = self.opened.clone().ok_or("the node did not open its chain")?;
        let context = RpcContext::new(
            opened.ledger,
            CoreHandle::new(self.requests.clone()),
            opened.executor,
            self.events.clone(),
            RpcLimits::default(),
        );
        self.served = Some(cloister_rpc::methods(context).map_err(|error| error.to_string())?);
        Ok(())
    }

    /// It is that late; what is due is done when the node settles.
    pub(super) const fn set_clock(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// When the core wants to be woken.
    pub(super) const fn deadline_ms(&self) -> Option<u64> {
        self.deadline_ms
    }

    /// The host says how late it is.
    pub(super) fn tick(&mut self) -> Result<(), String> {
        self.give(CoreMessage::Host(ToEnclave::Tick { now_ms: self.now_ms }));
        self.settle()
    }

    /// Something about the link to another node.
    pub(super) fn peer(&mut self, from: NodeId, event: PeerEvent) {
        self.give(CoreMessage::Peer(from, event));
    }

    /// What it has said to others since the last time.
    pub(super) fn take_said(&mut self) -> Vec<(NodeId, Bytes)> {
        core::mem::take(&mut self.said)
    }

    /// Requests that are not answered yet.
    pub(super) fn waiting(&self) -> usize {
        self.replies.len()
    }

    /// Whether it leads, by what it last told its operator.
    pub(super) fn leads(&self) -> bool {
        let last = self.told.iter().rev().find_map(|told| match &told.what {
            Sight::Message(FromEnclave::Status(status)) => Some(status),
            _ => None,
        });
        let network = last.and_then(|status| status.network.as_ref());
        network.is_some_and(|network| network.role == NodeRole::Leader)
    }

    pub(super) const fn id(&self) -> Option<NodeId> {
        self.id
    }

    pub(super) const fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    pub(super) fn opened(&self) -> Result<&Opened, String> {
        self.opened.as_ref().ok_or_else(|| "the node is not open".to_owned())
    }

    pub(super) fn served(&self) -> Result<Served, String> {
        self.served.clone().ok_or_else(|| "the node is not open".to_owned())
    }

    fn saw(&mut self, what: Sight) {
        self.told.push(Told { at_ms: self.now_ms, what });
    }

    fn give(&mut self, message: CoreMessage) {
        let recovered = matches!(message, CoreMessage::Done(_, WorkResult::Recovered(_)));
        let mut effects = Vec::new();
        self.core.handle(Tick { now_ms: self.now_ms }, &mut self.draws, message, &mut effects);
        for effect in effects {
            match effect {
                CoreEffect::Work(id, work) => self.work.push_back((id, work)),
                CoreEffect::Reply(id, reply) => {
                    if recovered && reply.is_err() {
                        self.refused.push(id.0);
                    }
                    if let Some(waiting) = self.replies.remove(&id) {
                        // Nobody may wait for it any more.
                        let _ = waiting.send(reply);
                    }
                }
                CoreEffect::Host(message) => {
                    if let Err(fault) = self.on_host_message(&message) {
                        self.fault = Some(fault);
                    }
                    self.saw(Sight::Message(message));
                }
                CoreEffect::Event(event) => {
                    // Nobody may listen.
                    self.events.send(event);
                }
                CoreEffect::Opened(opened) => self.opened = Some(opened),
                CoreEffect::Arm { deadline_ms } => self.deadline_ms = Some(deadline_ms),
                CoreEffect::Disarm => self.deadline_ms = None,
                CoreEffect::Nodes(_) => {}
                CoreEffect::Halt(fatal) => self.fault = Some(format!("the node halted: {fatal:?}")),
                CoreEffect::Peer { to, message } => {
                    self.saw(Sight::Peer { to, bytes: message.len() });
                    self.said.push((to, message));
                }
                CoreEffect::Warn(text) => self.on_warning(text.to_owned()),
                CoreEffect::WarnAt(text, height) => self.on_warning(format!("{text} ({height})")),
            }
        }
    }

    /// A node by itself has no reason for any.
    fn on_warning(&mut self, text: String) {
        if self.id.is_none() {
            self.fault = Some(format!("the node warned: {text}"));
        }
        self.saw(Sight::Warning(text));
    }

    fn on_host_message(&mut self, message: &FromEnclave) -> Result<(), String> {
        let said = |error: cloister_storage::StoreError| error.to_string();
        let answer = match message {
            FromEnclave::Persist { seq, record } => {
                self.store.append(std::slice::from_ref(record)).map_err(said)?;
                ToEnclave::Persisted { seq: *seq }
            }
            FromEnclave::ReadBlocks { id, from, count } => {
                ToEnclave::Blocks { id: *id, blocks: self.store.blocks(*from, *count).map_err(said)? }
            }
            FromEnclave::ReadLogSection { id, last } => {
                ToEnclave::LogSection { id: *id, bytes: self.store.log_section(*last).map_err(said)? }
            }
            FromEnclave::ReadChunk { id, snapshot, index } => {
                ToEnclave::Chunk { id: *id, bytes: self.store.chunk(*snapshot, *index).map_err(said)? }
            }
            _ => return Ok(()),
        };
        self.answers.push_back(answer);
        Ok(())
    }

    /// Does all work, and then answers what is asked of the host, until nothing moves.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        while self.fault.is_none() {
            if let Some((id, work)) = self.work.pop_front() {
                let result = work.run();
                self.give(CoreMessage::Done(id, result));
            } else if let Some(answer) = self.answers.pop_front() {
                self.give(CoreMessage::Host(answer));
            } else if self.deadline_ms.is_some_and(|at_ms| at_ms <= self.now_ms) {
                self.deadline_ms = None;
                self.give(CoreMessage::Wake);
            } else {
                break;
            }
        }
        self.fault.take().map_or(Ok(()), Err)
    }

    pub(super) fn take(&mut self, burst: Vec<Envelope>) -> Result<(), String> {
        let mut requests: Vec<(RequestId, Request)> = Vec::with_capacity(burst.len());
        for envelope in burst {
            let id = RequestId(self.next_request);
            self.next_request += 1;
            self.replies.insert(id, envelope.reply);
            requests.push((id, envelope.request));
        }
        self.give(CoreMessage::Requests(requests));
        self.settle()
    }

    /// Lets tasks hear of what happened, and answers what they ask.
    pub(super) async fn listen(&mut self) -> Result<(), String> {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
            let mut burst = Vec::new();
            while let Ok(envelope) = self.queue.try_recv() {
                burst.push(envelope);
            }
            if !burst.is_empty() {
                self.take(burst)?;
            }
        }
        Ok(())
    }

    /// Subscribes; what comes is the notifications' texts.
    pub(super) async fn subscribe(
        &self,
        caller: &Caller,
        params: &Value,
    ) -> Result<mpsc::Receiver<Box<RawValue>>, String> {
        let mut methods = self.served.as_ref().ok_or("the node is not open")?.methods().clone();
        methods.extensions_mut().insert(caller.clone());
        let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":{params}}}"#);
        let (answer, notifications) =
            methods.raw_json_request(&request, NOTIFICATIONS).await.map_err(|error| error.to_string())?;
        if answer.get().contains("\"error\"") {
            return Err(format!("eth_subscribe {params}: {answer}"));
        }
        Ok(notifications)
    }

    /// The height of its newest block.
    pub(super) fn head(&self) -> u64 {
        self.opened.as_ref().map_or(0, |opened| opened.ledger.head().0)
    }

    /// Hashes of the transactions in the block at a height.
    pub(super) fn hashes(&self, height: u64) -> Result<Vec<B256>, String> {
        let reader = self.opened()?.ledger.reader(&Caller::Anonymous);
        match reader.block(cloister_primitives::Height(height)) {
            cloister_core::Lookup::Found(block) => Ok(block.transaction_hashes().collect()),
            _ => Err(format!("block {height} is not at hand")),
        }
    }

    /// The hash of the block at a height.
    pub(super) fn block_hash(&self, height: u64) -> Result<B256, String> {
        let reader = self.opened()?.ledger.reader(&Caller::Anonymous);
        reader.hash_at(cloister_primitives::Height(height)).ok_or_else(|| format!("there is no block {height}"))
    }

    /// Facts that everybody may know, by where they are.
    pub(super) fn declassified(&self) -> Result<BTreeMap<(Declassified, u64), u64>, String> {
        let mut facts = BTreeMap::new();
        for message in &self.told {
            let Sight::Message(FromEnclave::Persist { record, .. }) = &message.what else { continue };
            match record {
                Record::Block { height, sealed } => {
                    facts.insert((Declassified::BlobSize, height.0), class_of(sealed));
                }
                Record::SnapshotDone { snapshot, chunks } => {
                    facts.insert((Declassified::SnapshotSize, snapshot.0), u64::from(*chunks));
                }
                Record::LogSection { last, sealed } => {
                    // Beside the record of the block that ends it.
                    facts.insert((Declassified::BlobSize, last.0 | SECTION), class_of(sealed));
                }
                _ => {}
            }
        }
        for height in 1..=self.opened()?.ledger.head().0 {
            facts.insert((Declassified::TransactionCount, height), self.hashes(height)?.len() as u64);
        }
        Ok(facts)
    }
}

/// The size class in the clear header of a blob.
fn class_of(sealed: &[u8]) -> u64 {
    sealed.get(2..4).map_or(0, |class| u64::from(class[0]) << 8 | u64::from(class[1]))
}
