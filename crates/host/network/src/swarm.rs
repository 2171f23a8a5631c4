//! The task that drives libp2p.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder,
    allow_block_list::{self, AllowedPeers},
    connection_limits::{self, ConnectionLimits},
    multiaddr::Protocol,
    noise,
    swarm::{ConnectionId, NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use libp2p_ping as ping;
use libp2p_stream::Control;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use crate::{NetworkError, TransportKey};

/// Time between two pings, and for their answer: so soon a silent connection is given up.
const PING_INTERVAL: Duration = Duration::from_secs(1);
const PING_PATIENCE: Duration = Duration::from_secs(4);
/// Connections from anywhere that have not shown a key yet.
const MAX_PENDING: u32 = 64;
/// Connections with one host: one in use, and others that may be dead without anyone knowing yet.
const MAX_CONNECTIONS_PER_PEER: u32 = 4;
/// Streams on one connection: those of links, of pings, and some that are just being opened or closed.
const MAX_STREAMS: usize = 16;
/// Connections are kept without streams for so long: until the next dial of a link that was refused.
const IDLE: Duration = Duration::from_secs(30);

/// Asks for a connection to a host.
pub(crate) struct Dial {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
    /// Told once there is one, or why there is none.
    pub(crate) connected: oneshot::Sender<Result<(), String>>,
}

/// What the rest of the network needs of the task.
pub(crate) struct Started {
    pub(crate) address: SocketAddr,
    pub(crate) control: Control,
    pub(crate) dials: mpsc::Sender<Dial>,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    limits: connection_limits::Behaviour,
    allowed: allow_block_list::Behaviour<AllowedPeers>,
    ping: ping::Behaviour,
    streams: libp2p_stream::Behaviour,
}

/// Listens, and starts the task.
pub(crate) async fn start(
    listen: SocketAddr,
    key: TransportKey,
    allowed: &[PeerId],
    tasks: &mut JoinSet<()>,
) -> Result<Started, NetworkError> {
    let mut swarm = build(key, allowed)?;
    let refused = |reason: String| NetworkError::Listen { address: listen, reason };
    swarm.listen_on(multiaddr(listen)).map_err(|error| refused(error.to_string()))?;
    let address = loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => {
                break socket_address(&address).ok_or_else(|| refused(format!("it became {address}")))?;
            }
            SwarmEvent::ListenerError { error, .. } | SwarmEvent::ListenerClosed { reason: Err(error), .. } => {
                return Err(refused(error.to_string()));
            }
            _ => {}
        }
    };
    let control = swarm.behaviour().streams.new_control();
    let (dials, asked) = mpsc::channel(1);
    tasks.spawn(Driver { swarm, asked, dialling: HashMap::new() }.run());
    Ok(Started { address: SocketAddr::new(listen.ip(), address.port()), control, dials })
}

fn build(key: TransportKey, allowed: &[PeerId]) -> Result<Swarm<Behaviour>, NetworkError> {
    let setup = |error: &dyn core::fmt::Display| NetworkError::Setup(error.to_string());
    let peers = u32::try_from(allowed.len()).unwrap_or(u32::MAX);
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(MAX_PENDING))
        .with_max_established_per_peer(Some(MAX_CONNECTIONS_PER_PEER))
        .with_max_established(Some(peers.saturating_mul(MAX_CONNECTIONS_PER_PEER)));
    let mut behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        allowed: allow_block_list::Behaviour::default(),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_PATIENCE)),
        streams: libp2p_stream::Behaviour::new(),
    };
    for peer in allowed {
        behaviour.allowed.allow_peer(*peer);
    }
    let multiplexer = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(MAX_STREAMS);
        config
    };
    let swarm = SwarmBuilder::with_existing_identity(key.into_keypair())
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, multiplexer)
        .map_err(|error| setup(&error))?
        .with_behaviour(|_| behaviour)
        .map_err(|error| setup(&error))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build();
    Ok(swarm)
}

struct Driver {
    swarm: Swarm<Behaviour>,
    asked: mpsc::Receiver<Dial>,
    dialling: HashMap<ConnectionId, oneshot::Sender<Result<(), String>>>,
}

impl Driver {
    /// Runs until nobody dials any more, or its task is stopped.
    async fn run(mut self) {
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                dial = self.asked.recv(), if !self.asked.is_closed() => if let Some(dial) = dial {
                    self.dial(dial);
                },
            }
        }
    }

    fn dial(&mut self, dial: Dial) {
        let Dial { peer, addresses, connected } = dial;
        if self.swarm.is_connected(&peer) {
            // Who asked may have given up.
            let _ = connected.send(Ok(()));
            return;
        }
        let options = DialOpts::peer_id(peer).addresses(addresses).allocate_new_port().build();
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dialling.insert(connection, connected);
            }
            Err(error) => {
                let _ = connected.send(Err(error.to_string()));
            }
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { connection_id, peer_id, .. } => {
                tracing::debug!(%peer_id, "a host is connected");
                self.dialled(connection_id, Ok(()));
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.dialled(connection_id, Err(error.to_string()));
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(%send_back_addr, "a connection of another host came to nothing: {error}");
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
                peer,
                connection,
                result: Err(error @ (ping::Failure::Timeout | ping::Failure::Other { .. })),
            })) => {
                tracing::debug!(%peer, "a host does not answer, its connection is closed: {error}");
                self.swarm.close_connection(connection);
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!("a connection of another host could not be accepted: {error}");
            }
            SwarmEvent::ListenerClosed { reason, .. } => {
                tracing::error!(?reason, "other hosts are not listened for any more");
            }
            _ => {}
        }
    }

    fn dialled(&mut self, connection: ConnectionId, outcome: Result<(), String>) {
        if let Some(connected) = self.dialling.remove(&connection) {
            // Who asked may have given up.
            let _ = connected.send(outcome);
        }
    }
}

/// An address as libp2p writes it.
pub(crate) fn multiaddr(address: SocketAddr) -> Multiaddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) => Protocol::Ip4(ip),
        IpAddr::V6(ip) => Protocol::Ip6(ip),
    };
    Multiaddr::empty().with(ip).with(Protocol::Tcp(address.port()))
}

fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}
