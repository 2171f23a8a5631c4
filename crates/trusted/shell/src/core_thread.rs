//! The thread the core runs on, and what is done with its effects.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use alloy_primitives::map::HashMap;
use cloister_access::Caller;
use cloister_boundary::{Detail, FromEnclave, HaltCode, ToEnclave};
use cloister_core::{
    Core, CoreEffect, CoreError, CoreMessage, CoreOptions, NodeId, Opened, PeerEvent, RequestId, Response, Tick,
    WorkId, work::WorkResult,
};
use cloister_rpc::{CoreHandle, Envelope, Events, RpcContext};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use crate::{
    ShellConfig,
    entropy::PlatformEntropy,
    offered::{self, HostTime, Offered},
    opening::{Opening, Unfit},
    outbound::Outbound,
    padding::Lengths,
    peers::Peers,
    workers::Workers,
};

/// Events a slow subscriber may fall behind before it loses some.
const EVENT_BACKLOG: usize = 4_096;

/// Requests waiting to be taken by the core.
const REQUEST_QUEUE: usize = 8_192;

/// Requests taken and not answered; more are refused.
const MAX_REQUESTS_IN_FLIGHT: usize = 65_536;

/// Requests handed to the core at one time.
const REQUEST_BURST: usize = 512;

/// What wakes the core's thread.
pub(crate) enum CoreInput {
    Host(ToEnclave),
    Requests(Vec<Envelope>),
    Done(WorkId, WorkResult),
    Peer {
        node: NodeId,
        event: PeerEvent,
        /// What it takes of the room for the node's messages, until the core is done with it.
        room: Option<OwnedSemaphorePermit>,
    },
}

type Reply = oneshot::Sender<Result<Response, CoreError>>;

/// Starts the thread; it ends when the core halts or all senders are gone.
pub(crate) fn spawn(
    options: CoreOptions,
    config: ShellConfig,
    outbound: Outbound,
    methods: watch::Sender<Option<Offered>>,
    (peers, host_time): (Peers, HostTime),
) -> mpsc::UnboundedSender<CoreInput> {
    let (inputs, receiver) = mpsc::unbounded_channel();
    let (requests, queue) = mpsc::channel(REQUEST_QUEUE);
    let in_flight = Arc::new(AtomicUsize::new(0));
    tokio::spawn(forward(queue, inputs.clone(), in_flight.clone()));
    let done = inputs.clone();
    let workers = Workers::start(config.workers, move |id, result| {
        let _ = done.send(CoreInput::Done(id, result));
    });
    let runtime = tokio::runtime::Handle::current();
    let thread = CoreThread {
        core: Core::new(options),
        entropy: PlatformEntropy,
        now: Tick::default(),
        host_time,
        deadline_ms: None,
        replies: HashMap::default(),
        next_request: 0,
        in_flight,
        workers,
        outbound,
        peers,
        events: Events::new(EVENT_BACKLOG),
        requests,
        methods,
        config: Some(config),
    };
    let run = move || {
        // Subscriptions and filters spawn tasks when the methods are made.
        let _guard = runtime.enter();
        thread.run(receiver);
    };
    // Without threads there is no enclave; the process ends with its exit code.
    let builder = std::thread::Builder::new().name("core".to_owned());
    builder.spawn(run).expect("the system gives threads");
    inputs
}

/// Takes requests in bursts, so that recovery of their senders is batched.
async fn forward(
    mut queue: mpsc::Receiver<Envelope>,
    inputs: mpsc::UnboundedSender<CoreInput>,
    in_flight: Arc<AtomicUsize>,
) {
    loop {
        let mut burst = Vec::new();
        if queue.recv_many(&mut burst, REQUEST_BURST).await == 0 {
            return;
        }
        if in_flight.load(Ordering::Relaxed) > MAX_REQUESTS_IN_FLIGHT {
            for envelope in burst {
                let error = CoreError::Unavailable("too many requests in flight");
                let _ = envelope.reply.send(Err(error));
            }
            continue;
        }
        in_flight.fetch_add(burst.len(), Ordering::Relaxed);
        if inputs.send(CoreInput::Requests(burst)).is_err() {
            return;
        }
    }
}

struct CoreThread {
    core: Core,
    entropy: PlatformEntropy,
    now: Tick,
    host_time: HostTime,
    deadline_ms: Option<u64>,
    replies: HashMap<RequestId, Reply>,
    next_request: u64,
    in_flight: Arc<AtomicUsize>,
    workers: Workers,
    outbound: Outbound,
    peers: Peers,
    events: Events,
    requests: mpsc::Sender<Envelope>,
    methods: watch::Sender<Option<Offered>>,
    config: Option<ShellConfig>,
}

impl CoreThread {
    fn run(mut self, mut inputs: mpsc::UnboundedReceiver<CoreInput>) {
        while let Some(input) = inputs.blocking_recv() {
            let mut room = None;
            let message = match input {
                CoreInput::Host(message) => self.on_host(message),
                CoreInput::Requests(envelopes) => self.on_requests(envelopes),
                CoreInput::Done(id, result) => CoreMessage::Done(id, result),
                CoreInput::Peer { node, event, room: taken } => {
                    room = taken;
                    CoreMessage::Peer(node, event)
                }
            };
            if !self.handle(message) {
                return;
            }
            drop(room);
            if self.deadline_ms.is_some_and(|at_ms| at_ms <= self.now.now_ms) {
                self.deadline_ms = None;
                if !self.handle(CoreMessage::Wake) {
                    return;
                }
            }
        }
    }

    fn on_host(&mut self, message: ToEnclave) -> CoreMessage {
        match &message {
            ToEnclave::Tick { now_ms } => self.now = Tick { now_ms: *now_ms },
            ToEnclave::Start(info) => {
                self.now = Tick { now_ms: info.now_ms };
            }
            _ => {}
        }
        self.host_time.set_ms(self.now.now_ms);
        CoreMessage::Host(message)
    }

    fn on_requests(&mut self, envelopes: Vec<Envelope>) -> CoreMessage {
        let requests = envelopes
            .into_iter()
            .map(|envelope| {
                let id = RequestId(self.next_request);
                self.next_request += 1;
                self.replies.insert(id, envelope.reply);
                (id, envelope.request)
            })
            .collect();
        CoreMessage::Requests(requests)
    }

    /// Returns whether the core goes on.
    fn handle(&mut self, message: CoreMessage) -> bool {
        let mut effects = Vec::new();
        self.core.handle(self.now, &mut self.entropy, message, &mut effects);
        effects.into_iter().all(|effect| self.carry_out(effect))
    }

    fn carry_out(&mut self, effect: CoreEffect) -> bool {
        match effect {
            CoreEffect::Host(message) => {
                let _ = self.outbound.send(message);
            }
            CoreEffect::Work(id, work) => self.workers.add(id, work),
            CoreEffect::Reply(id, response) => {
                if let Some(reply) = self.replies.remove(&id) {
                    self.in_flight.fetch_sub(1, Ordering::Relaxed);
                    // The client may have gone away.
                    let _ = reply.send(response);
                }
            }
            CoreEffect::Event(event) => self.events.send(event),
            CoreEffect::Arm { deadline_ms } => self.deadline_ms = Some(deadline_ms),
            CoreEffect::Disarm => self.deadline_ms = None,
            CoreEffect::Opened(opened) => {
                if let Err((code, detail)) = self.open(opened) {
                    let _ = self.outbound.send(FromEnclave::Halt { code, detail: Detail::constant(detail) });
                    return false;
                }
            }
            CoreEffect::Peer { to, message } => self.peers.send(to, message),
            CoreEffect::Nodes(nodes) => self.peers.restrict(&nodes),
            CoreEffect::Warn(text) => tracing::warn!("{text}"),
            CoreEffect::WarnAt(text, height) => tracing::warn!(height = height.0, "{text}"),
            CoreEffect::Halt(fatal) => {
                if let Some(height) = fatal.height {
                    tracing::error!(height, "{}", fatal.detail);
                }
                let _ =
                    self.outbound.send(FromEnclave::Halt { code: fatal.code, detail: Detail::constant(fatal.detail) });
                return false;
            }
        }
        true
    }

    /// Makes the methods; from here on connections are served.
    fn open(&mut self, opened: Opened) -> Result<(), Unfit> {
        let Some(mut config) = self.config.take() else {
            return Ok(());
        };
        let opening = Opening::of(&opened.ledger, &mut config)?;
        let context = RpcContext::new(
            opened.ledger,
            CoreHandle::new(self.requests.clone()),
            opened.executor,
            self.events.clone(),
            config.rpc,
        );
        let base = cloister_rpc::methods(context.clone())
            .map_err(|_| (HaltCode::Invariant, "two methods have the same name"))?;
        let auth = offered::auth(&context, self.host_time.clone(), &opened.notes);
        let is_confidential = context.ledger.is_confidential();
        // Where answers depend on who asks, nobody is anybody by default.
        let nobody = if is_confidential { Caller::Anonymous } else { config.default_caller };
        let lengths = if is_confidential { Lengths::Classes } else { Lengths::Exact };
        let core = context.core.clone();
        let extension = config.extension.filter(|_| !is_confidential);
        let served = match extension.and_then(|extension| extension(context)) {
            Some(extended) => extended.over(&base),
            None => base,
        };
        let offered = Offered { served, core: core.clone(), auth, nobody, lengths, tls: None };
        opening.open(offered, core, self.host_time.clone(), self.methods.clone(), self.outbound.clone());
        Ok(())
    }
}
