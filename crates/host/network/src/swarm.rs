//! The task that drives libp2p.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
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
    time::{Instant, interval},
};

use crate::{NetworkError, TransportKey, link::Cuts};

/// Time between two pings.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// A connection on which no ping was answered for so long is given up. libp2p's own verdict takes a second failure, and
/// that of opening a stream, which takes it ten seconds more.
const SILENCE: Duration = Duration::from_secs(4);
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
    allowed: BTreeMap<PeerId, Arc<Cuts>>,
    tasks: &mut JoinSet<()>,
) -> Result<Started, NetworkError> {
    let mut swarm = build(key, &allowed)?;
    let refused = |reason: String| NetworkError::Listen { address: listen, reason };
    // libp2p shares ports (SO_REUSEPORT): two nodes on one would take each other's connections.
    drop(std::net::TcpListener::bind(listen).map_err(|error| refused(error.to_string()))?);
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
    tasks.spawn(Driver { swarm, asked, hosts: allowed, dialling: HashMap::new(), heard: HashMap::new() }.run());
    Ok(Started { address: SocketAddr::new(listen.ip(), address.port()), control, dials })
}

fn build(key: TransportKey, allowed: &BTreeMap<PeerId, Arc<Cuts>>) -> Result<Swarm<Behaviour>, NetworkError> {
    let setup = |error: &dyn core::fmt::Display| NetworkError::Setup(error.to_string());
    let peers = u32::try_from(allowed.len()).unwrap_or(u32::MAX);
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(MAX_PENDING))
        .with_max_established_per_peer(Some(MAX_CONNECTIONS_PER_PEER))
        .with_max_established(Some(peers.saturating_mul(MAX_CONNECTIONS_PER_PEER)));
    let mut behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        allowed: allow_block_list::Behaviour::default(),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL).with_timeout(SILENCE)),
        streams: libp2p_stream::Behaviour::new(),
    };
    for peer in allowed.keys() {
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
    hosts: BTreeMap<PeerId, Arc<Cuts>>,
    dialling: HashMap<ConnectionId, oneshot::Sender<Result<(), String>>>,
    /// When each connection's host was last known to be there.
    heard: HashMap<ConnectionId, (PeerId, Instant)>,
}

impl Driver {
    /// Runs until nobody dials any more, or its task is stopped.
    async fn run(mut self) {
        let mut pulse = interval(PING_INTERVAL);
        loop {
            tokio::select! {
                _ = pulse.tick() => self.give_up_silent(),
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
                self.heard.insert(connection_id, (peer_id, Instant::now()));
                self.dialled(connection_id, Ok(()));
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.dialled(connection_id, Err(error.to_string()));
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(%send_back_addr, "a connection of another host came to nothing: {error}");
            }
            SwarmEvent::ConnectionClosed { connection_id, peer_id, num_established: 0, .. } => {
                self.heard.remove(&connection_id);
                self.cut(peer_id);
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => {
                self.heard.remove(&connection_id);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer, connection, result: Ok(_) })) => {
                self.heard.insert(connection, (peer, Instant::now()));
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

    /// Closes connections whose other end may be gone without a word, and ends the streams to those hosts.
    fn give_up_silent(&mut self) {
        let silent = |heard: &Instant| heard.elapsed() >= SILENCE;
        let given_up: Vec<_> = self.heard.extract_if(|_, (_, heard)| silent(heard)).collect();
        for (connection, (peer, _)) in given_up {
            tracing::debug!(%peer, "a host does not answer: its connection is given up");
            self.swarm.close_connection(connection);
            self.cut(peer);
        }
    }

    fn cut(&self, peer: PeerId) {
        if let Some(host) = self.hosts.get(&peer) {
            host.cut();
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
