//! The host's side of a node: everything around the enclave that needs a machine.
//!
//! **Duty.** Listens for clients and moves their bytes to and from the enclave, and those of links to other nodes; stores what the
//! enclave seals and reads it back; tells the time; starts, watches and stops the enclave process;
//! keeps the sealing key file of the virtual platform; tells its operator how it is, in metrics and events of the log.
//!
//! **Trusts.** Nobody with availability. Clients may be slow, silent, half-open or many; the enclave
//! may break the protocol. Each is bounded or named ([`Violation`]), none makes this side hang,
//! panic or grow without limit.
//!
//! **Invariants.** Bytes of clients are moved and never looked at. Records are stored in the order
//! they came and acknowledged only when durable; after a failure none is stored until the failed
//! one comes again. The host goes on reading from the link whatever the enclave and the clients do,
//! so the two can never wait for each other in a circle.
//!
//! **Not here.** Protocols of clients (HTTP, WebSocket, JSON-RPC end in the enclave's shell), what
//! blocks contain, the layout on disk (`host/storage`), the transport between hosts (`host/network`), command line and output (`bin/cloister`).
//!
//! # Tasks and threads
//!
//! ```text
//!               ┌──────────── accept ── one task per connection ──┐ Open, Data, Credit, Closed
//!   sockets ◀──▶│                        ▲ Data, Close, Credit    ▼
//!               │                        │                   ┌─────────┐
//!               └── dispatch (Host::run) ┴───────────────────┤  link   │◀──▶ enclave
//!                     │ Persist          │ ReadBlocks        └─────────┘
//!                     ▼                  ▼                        ▲ Persisted, Blocks, Chunk
//!                  writer thread     reader thread ───────────────┤
//!                  (one fsync for    (never waits for an fsync)   │ Tick
//!                   all that waits)                             clock
//! ```

mod clock;
mod config;
mod connection;
mod error;
mod files;
mod host;
mod key;
mod listen;
mod metrics;
mod network;
mod network_events;
mod peer_link;
mod process;
mod store_task;
mod table;

pub use cloister_network::{Network, NetworkError, TransportKey};
pub use cloister_storage::{
    Backup, BackupError, BlobStore, DiskUse, MemoryStore, Store, StoreError, StoreOptions, restore,
};
pub use config::{ConnectionLimits, ExitCode, HostConfig, StartConfig};
pub use error::{HostError, Violation};
pub use files::raise_open_files;
pub use host::{Host, HostHandle, Ready};
pub use key::{KEY_FILE, KeyError, SealingKey, TRANSPORT_KEY_FILE, transport_key};
pub use listen::{ListenError, Listener};
pub use network::{
    MAX_PEERS, NetworkConfig, NetworkConfigError, NotAPeer, NotAnAddress, PeerAddress, PeerConfig, PeerFault,
};
pub use process::{EnclaveExit, EnclaveProcess, ProcessError};
