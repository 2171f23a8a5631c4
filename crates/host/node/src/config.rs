//! What the host can be told, with the defaults, and how its process ends.

use std::time::Duration;

use cloister_boundary::Membership;

/// What the enclave is started with, besides what the store holds.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StartConfig {
    /// Genesis file: JSON text as the operator gave it.
    pub genesis: Vec<u8>,
    /// Options for the enclave's shell: JSON, opaque here.
    pub options: Vec<u8>,
    /// Virtual platform: the sealing key ([`SealingKey::to_bytes`](crate::SealingKey::to_bytes)).
    /// Empty on real hardware.
    pub platform_key: Vec<u8>,
    /// In a network of several nodes: which of them this is.
    pub membership: Option<Membership>,
}

impl core::fmt::Debug for StartConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StartConfig")
            .field("genesis_len", &self.genesis.len())
            .field("options_len", &self.options.len())
            .finish_non_exhaustive()
    }
}

/// Limits on clients' connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Most connections at one time; more are answered 503 and closed.
    pub max_connections: usize,
    /// A client that takes none of the bytes waiting for it for this long is dropped.
    pub write_stall: Duration,
    /// After the last byte was written, how long a client may take to close its side.
    pub linger: Duration,
    /// How long a client is kept waiting for the enclave to be ready; then it is answered 503.
    pub opening: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 5_000,
            write_stall: Duration::from_secs(30),
            linger: Duration::from_secs(1),
            opening: Duration::from_secs(5),
        }
    }
}

/// Settings of a [`Host`](crate::Host).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// What the enclave is started with.
    pub start: StartConfig,
    /// Limits on clients.
    pub connections: ConnectionLimits,
    /// Time between two ticks.
    pub tick: Duration,
    /// How long the enclave may take to answer the first message.
    pub handshake: Duration,
    /// How long the enclave may take to finish after it was asked to.
    pub shutdown_grace: Duration,
}

impl HostConfig {
    /// The defaults, with this to start from.
    #[must_use]
    pub fn new(start: StartConfig) -> Self {
        Self {
            start,
            connections: ConnectionLimits::default(),
            tick: Duration::from_millis(10),
            handshake: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

/// Exit codes of the `cloister` process. Stable; listed in its help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// It did what it was asked to.
    Success = 0,
    /// Any failure without a code of its own.
    Failure = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// The address or port cannot be listened on.
    Listen = 10,
    /// The data folder is in use.
    FolderLocked = 11,
    /// The data folder belongs to another chain.
    ForeignChain = 12,
    /// The data folder is damaged, or the sealing key does not open it.
    Damaged = 13,
    /// The disk is full or failed.
    Storage = 14,
    /// The genesis file or the options cannot be used.
    Genesis = 15,
    /// The sealing key file is missing, readable by others, or mangled.
    SealingKey = 16,
    /// The enclave could not be started, broke the protocol, or stopped by itself.
    Enclave = 17,
    /// A block to import is wrong, or none of the chain's.
    Import = 18,
    /// What members signed does not recover the network from this folder.
    Recovery = 19,
    /// Another process has this node's identity.
    Identity = 20,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
