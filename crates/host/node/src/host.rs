//! The host of one enclave: greets it, starts it, and carries out what it says until the end.

use std::sync::Arc;
use std::time::Duration;

use cloister_boundary::limits::MAX_SNAPSHOTS;
use cloister_boundary::link::{HostLink, LinkClosed, Receiver, Sender};
use cloister_boundary::{FromEnclave, HaltCode, PROTOCOL_VERSION, PublicStatus, StartInfo, ToEnclave};
use cloister_network::Network;
use cloister_primitives::{Height, RecoveryStatement};
use cloister_storage::{BlobStore, ChainIdentity};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::clock::{Clock, tick};
use crate::config::HostConfig;
use crate::error::{HostError, Violation};
use crate::listen::{Listener, Opening, Serving, accept};
use crate::metrics::{Metrics, Sources, Telling};
use crate::network_events::NetworkEvents;
use crate::peer_link;
use crate::process::EnclaveProcess;
use crate::store_task::StoreTask;
use crate::table::Table;

/// Messages of the enclave handled at one go.
const BATCH: usize = 256;

/// How long the enclave process may take to end once its link has.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);

/// What the enclave says of itself when its chain is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The chain, as the store is now claimed for.
    pub chain: ChainIdentity,
    /// Newest committed block.
    pub head: Height,
}

/// Asks of a running host from elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HostHandle {
    shutdown: Arc<Notify>,
    tick: Arc<Notify>,
    ready: watch::Receiver<Option<Ready>>,
    status: watch::Receiver<PublicStatus>,
    recovery: watch::Receiver<Option<RecoveryStatement>>,
    table: Arc<Table>,
    metrics: Metrics,
}

impl HostHandle {
    /// Waits until the enclave is ready; `None` when the host ends before.
    pub async fn ready(&self) -> Option<Ready> {
        let mut ready = self.ready.clone();
        ready.wait_for(Option::is_some).await.ok().and_then(|r| *r)
    }

    /// Waits for the enclave's answer where its options ask for a recovery; `None` when the host ends before.
    pub async fn recovery(&self) -> Option<RecoveryStatement> {
        let mut recovery = self.recovery.clone();
        recovery.wait_for(Option::is_some).await.ok().and_then(|recovery| *recovery)
    }

    /// The newest public facts; follow them through the returned receiver.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<PublicStatus> {
        self.status.clone()
    }

    /// Connections the enclave has not closed yet.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// Asks the enclave to finish and [`Host::run`] to return. Asking again does nothing.
    pub fn shutdown(&self) {
        self.shutdown.notify_one();
    }

    /// Tells the enclave the time now, without waiting for the next tick.
    pub fn tick(&self) {
        self.tick.notify_one();
    }
}

/// What a running host tells its handles.
struct Told {
    ready: watch::Sender<Option<Ready>>,
    status: watch::Sender<PublicStatus>,
    recovery: watch::Sender<Option<RecoveryStatement>>,
}

/// The host of one enclave.
pub struct Host {
    config: HostConfig,
    link: HostLink,
    store: Arc<dyn BlobStore>,
    /// None for an enclave that serves nobody.
    listener: Option<Listener>,
    /// None for a node by itself.
    network: Option<Network>,
    process: Option<EnclaveProcess>,
    /// Where metrics are asked for; None where they are kept to oneself.
    metrics_listener: Option<Listener>,
    handle: HostHandle,
    told: Told,
}

impl core::fmt::Debug for Host {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Host").field("config", &self.config).field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Host {
    /// A host for the enclave at the other end of `link`.
    #[must_use]
    pub fn new(config: HostConfig, link: HostLink, store: Box<dyn BlobStore>, listener: Listener) -> Self {
        Self { listener: Some(listener), ..Self::without_clients(config, link, store) }
    }

    /// A host that lets nobody in.
    #[must_use]
    pub fn without_clients(config: HostConfig, link: HostLink, store: Box<dyn BlobStore>) -> Self {
        let (ready, ready_seen) = watch::channel(None);
        let (status, status_seen) = watch::channel(PublicStatus::default());
        let (recovery, recovery_seen) = watch::channel(None);
        let handle = HostHandle {
            shutdown: Arc::default(),
            tick: Arc::default(),
            ready: ready_seen,
            status: status_seen,
            recovery: recovery_seen,
            table: Arc::default(),
            metrics: Metrics::default(),
        };
        Self {
            config,
            link,
            store: store.into(),
            listener: None,
            network: None,
            process: None,
            metrics_listener: None,
            handle,
            told: Told { ready, status, recovery },
        }
    }

    /// The network to the hosts of other nodes.
    #[must_use]
    pub fn with_network(mut self, network: Network) -> Self {
        self.network = Some(network);
        self
    }

    /// Tells metrics to who asks at this address.
    #[must_use]
    pub fn with_metrics(mut self, listener: Listener) -> Self {
        self.metrics_listener = Some(listener);
        self
    }

    /// The process at the other end, to be watched and stopped with the host.
    #[must_use]
    pub fn with_process(mut self, process: EnclaveProcess) -> Self {
        self.process = Some(process);
        self
    }

    /// A handle for other tasks.
    #[must_use]
    pub fn handle(&self) -> HostHandle {
        self.handle.clone()
    }

    /// Runs until the enclave has finished. Returns `Ok` if that was asked for, through
    /// [`HostHandle::shutdown`]. Records that came before the end are stored when this returns.
    /// Dropping the future ends all connections at once.
    ///
    /// # Errors
    /// Why it ended before it was asked to.
    pub async fn run(self) -> Result<(), HostError> {
        let Self { config, link, store, listener, network, mut process, metrics_listener, .. } = self;
        let Self { handle, told, .. } = self;
        let HostLink { send, mut recv } = link;
        if let Some(process) = process.as_ref().and_then(EnclaveProcess::id) {
            handle.metrics.set_enclave(process);
        }
        // Told from the start, and not any more when this returns.
        let _telling = metrics_listener.map(|listener| {
            let sources = Sources::new(Arc::clone(&store), handle.status(), handle.ready.clone());
            Telling::start(listener, handle.metrics.clone(), sources)
        });
        let patience = config.shutdown_grace;
        let ended = match greet(&config, &send, &mut recv).await {
            Ok(()) => {
                let (mut dispatch, violations) =
                    Dispatch::start(config, (&send, &recv), &store, handle, told, listener).await?;
                if let Some(network) = network {
                    dispatch.let_peers_in(network);
                }
                let ended = dispatch.run(&send, &mut recv, violations).await;
                dispatch.finish().await;
                ended
            }
            Err(error) => Err(error),
        };
        // The enclave sees the end of the link, if it has not caused it.
        drop((send, recv));
        match (&mut process, ended) {
            (Some(process), Err(HostError::Link(reason))) => match process.finish(EXIT_PATIENCE).await {
                Some(exit) => Err(HostError::Exited(exit)),
                None => Err(HostError::Link(reason)),
            },
            (Some(process), ended) => {
                if process.finish(patience.min(EXIT_PATIENCE)).await.is_none() {
                    tracing::warn!("the enclave process did not end and was killed");
                }
                ended
            }
            (None, ended) => ended,
        }
    }
}

/// Both sides say hello and compare versions.
async fn greet(
    config: &HostConfig,
    send: &Sender<ToEnclave>,
    recv: &mut Receiver<FromEnclave>,
) -> Result<(), HostError> {
    let hello = ToEnclave::Hello { version: PROTOCOL_VERSION };
    send.send(hello).await.map_err(HostError::Link)?;
    let answer = timeout(config.handshake, recv.recv()).await;
    match answer.map_err(|_| HostError::NoGreeting { seconds: config.handshake.as_secs() })? {
        Ok(FromEnclave::Hello { version }) if version == PROTOCOL_VERSION => Ok(()),
        Ok(FromEnclave::Hello { version }) => Err(HostError::Version { found: version }),
        Ok(FromEnclave::Halt { code, detail }) => Err(HostError::Halted { code, detail }),
        Ok(_) => Err(Violation::Greeting.into()),
        // The frame's own version is looked at first.
        Err(LinkClosed::BadFrame(cloister_boundary::FrameError::BadVersion { found })) => {
            Err(HostError::Version { found })
        }
        Err(reason) => Err(HostError::Link(reason)),
    }
}

/// How far a shutdown has come.
enum Ending {
    No,
    /// Asked for; the enclave has until then.
    Until(Instant),
}

/// Carries out what the enclave says.
struct Dispatch {
    config: HostConfig,
    store: Arc<dyn BlobStore>,
    store_task: StoreTask,
    handle: HostHandle,
    told: Told,
    events: NetworkEvents,
    /// For links to other nodes.
    serving: Serving,
    stop_accepting: watch::Sender<()>,
    /// At most one task. Ends, with all connections, when this is dropped.
    accepting: JoinSet<()>,
    /// Likewise, with all links to other nodes.
    linking: JoinSet<()>,
    ticking: JoinSet<()>,
    ending: Ending,
}

impl Dispatch {
    /// Starts the enclave and the tasks around it.
    async fn start(
        mut config: HostConfig,
        (send, recv): (&Sender<ToEnclave>, &Receiver<FromEnclave>),
        store: &Arc<dyn BlobStore>,
        handle: HostHandle,
        told: Told,
        listener: Option<Listener>,
    ) -> Result<(Self, UnboundedReceiver<Violation>), HostError> {
        let (violations, seen) = unbounded_channel();
        recv.divert(take_by_table(&handle, violations.clone()));
        let mut clock = Clock::default();
        let start = std::mem::take(&mut config.start);
        let mut snapshots = store.snapshots();
        // The store keeps no more either; the newest are the ones of use.
        snapshots.drain(..snapshots.len().saturating_sub(MAX_SNAPSHOTS));
        let kept = store.kept()?;
        let info = StartInfo {
            now_ms: clock.now_ms(),
            genesis: start.genesis,
            options: start.options,
            log: store.bounds(),
            snapshots,
            meta: kept.meta,
            consensus: kept.consensus,
            platform_key: start.platform_key,
            membership: start.membership,
        };
        send.send(ToEnclave::Start(info)).await.map_err(HostError::Link)?;
        let store_task =
            StoreTask::start(Arc::clone(store), send.clone(), violations.clone(), handle.metrics.store.clone())
                .map_err(HostError::Thread)?;
        let ticking = tick(clock, config.tick, Arc::clone(&handle.tick), send.clone());
        let serving = serving(&config, &handle, send, violations);
        let stop_accepting = watch::channel(()).0;
        let opening = Opening { ready: handle.ready.clone(), stop: stop_accepting.subscribe() };
        let accepting = listener.map(|listener| accept(listener, serving.clone(), opening));
        let events = NetworkEvents::new(handle.metrics.leader_changes.clone());
        let dispatch = Self {
            events,
            store: Arc::clone(store),
            store_task,
            handle,
            told,
            serving,
            stop_accepting,
            accepting: JoinSet::from_iter(accepting),
            linking: JoinSet::new(),
            ticking: JoinSet::from_iter([ticking]),
            ending: Ending::No,
            config,
        };
        Ok((dispatch, seen))
    }

    async fn run(
        &mut self,
        send: &Sender<ToEnclave>,
        recv: &mut Receiver<FromEnclave>,
        mut violations: UnboundedReceiver<Violation>,
    ) -> Result<(), HostError> {
        let mut batch = Vec::with_capacity(BATCH);
        let shutdown = Arc::clone(&self.handle.shutdown);
        loop {
            let (asked, deadline) = match self.ending {
                Ending::No => (false, Instant::now()),
                Ending::Until(deadline) => (true, deadline),
            };
            tokio::select! {
                received = recv.recv_many(&mut batch, BATCH) => match received {
                    Ok(_) => {}
                    // After it was asked to finish, an enclave may just end.
                    Err(LinkClosed::PeerGone) if asked => return Ok(()),
                    Err(reason) => return Err(HostError::Link(reason)),
                },
                Some(violation) = violations.recv() => return Err(violation.into()),
                () = shutdown.notified(), if !asked => self.ask_to_finish(send),
                () = sleep_until(deadline), if asked => {
                    return Err(HostError::ShutdownTimeout {
                        seconds: self.config.shutdown_grace.as_secs(),
                    });
                }
            }
            for message in batch.drain(..) {
                if let FromEnclave::Halt { code, detail } = message {
                    if code == HaltCode::ShutDown && asked {
                        return Ok(());
                    }
                    tracing::error!(event = "halted", code = code.name(), "the enclave stopped: {detail}");
                    return Err(HostError::Halted { code, detail });
                }
                self.handle_message(message).await?;
            }
        }
    }

    /// Stops accepting and asks the enclave to finish. Does not wait for the link, whose other end
    /// may be stuck: the deadline runs from now.
    fn ask_to_finish(&mut self, send: &Sender<ToEnclave>) {
        self.ending = Ending::Until(Instant::now() + self.config.shutdown_grace);
        self.stop_accepting.send_replace(());
        let send = send.clone();
        tokio::spawn(async move { send.send(ToEnclave::Shutdown).await });
    }

    async fn handle_message(&mut self, message: FromEnclave) -> Result<(), HostError> {
        match message {
            FromEnclave::Persist { seq, record } => self.store_task.persist(seq, record).await,
            FromEnclave::ReadBlocks { id, from, count } => {
                self.store_task.read_blocks(id, from, count)?;
            }
            FromEnclave::ReadChunk { id, snapshot, index } => self.store_task.read_chunk(id, snapshot, index)?,
            FromEnclave::ReadLogSection { id, last } => self.store_task.read_log_section(id, last)?,
            FromEnclave::Status(status) => {
                self.events.follow(&status);
                self.told.status.send_replace(status);
            }
            FromEnclave::Ready { chain_id, genesis_hash, head } => {
                let chain = ChainIdentity { chain_id, genesis_hash };
                self.open(Ready { chain, head })?;
            }
            FromEnclave::Recovery(statement) => {
                self.told.recovery.send_replace(Some(statement));
            }
            // The table has taken the words on connections; the others have their place elsewhere.
            FromEnclave::Data { .. }
            | FromEnclave::Close { .. }
            | FromEnclave::Credit { .. }
            | FromEnclave::Hello { .. }
            | FromEnclave::Halt { .. } => return Err(Violation::Greeting.into()),
        }
        Ok(())
    }

    /// Other nodes are let in before the enclave is ready: it may take them to become that.
    fn let_peers_in(&mut self, network: Network) {
        let stop = self.stop_accepting.subscribe();
        self.linking.spawn(peer_link::accept(network, self.serving.clone(), stop));
    }

    /// Has clients served from now on.
    fn open(&mut self, ready: Ready) -> Result<(), HostError> {
        if self.told.ready.borrow().is_some() {
            return Err(Violation::SecondReady.into());
        }
        self.store.claim(ready.chain)?;
        self.told.ready.send_replace(Some(ready));
        Ok(())
    }

    /// Gives up connections the enclave did not close, lets the others write their last bytes, and
    /// stores what is queued.
    async fn finish(mut self) {
        self.stop_accepting.send_replace(());
        self.handle.table.clear();
        let patience = self.config.connections.linger.saturating_mul(2);
        // Those that take longer are cut off.
        let _ = timeout(patience, self.accepting.join_next()).await;
        self.accepting.shutdown().await;
        self.linking.shutdown().await;
        self.ticking.shutdown().await;
        self.store_task.finish().await;
    }
}

/// Words on a connection go straight to its task, without their turn among the records of blocks.
fn take_by_table(
    handle: &HostHandle,
    violations: UnboundedSender<Violation>,
) -> impl Fn(FromEnclave) -> Option<FromEnclave> + Send + Sync + 'static {
    let (table, messages) = (Arc::clone(&handle.table), handle.metrics.messages.clone());
    move |message| {
        messages.inc();
        match table.take(message) {
            Ok(other) => other,
            Err(violation) => {
                // Nobody listens only when the host is ending anyway.
                let _ = violations.send(violation);
                None
            }
        }
    }
}

fn serving(
    config: &HostConfig,
    handle: &HostHandle,
    send: &Sender<ToEnclave>,
    violations: UnboundedSender<Violation>,
) -> Serving {
    let (table, metrics) = (Arc::clone(&handle.table), handle.metrics.clone());
    Serving { table, link: send.clone(), violations, limits: config.connections, metrics }
}
