//! Why the host stopped, in sentences a person can act on.

use cloister_boundary::link::LinkClosed;
use cloister_boundary::{ConnId, Detail, HaltCode, PROTOCOL_VERSION, WindowError};
use cloister_network::NetworkError;
use cloister_primitives::Seq;
use cloister_storage::StoreError;
use thiserror::Error;

use crate::config::ExitCode;
use crate::key::KeyError;
use crate::listen::ListenError;
use crate::process::{EnclaveExit, ProcessError};

/// The enclave broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// Its first message was not `Hello`, or a later one was.
    #[error("a greeting out of place")]
    Greeting,
    /// It said `Ready` twice.
    #[error("a second Ready")]
    SecondReady,
    /// It spoke of a connection that is not open.
    #[error("connection {conn} is not open")]
    UnknownConnection {
        /// The connection.
        conn: ConnId,
    },
    /// It sent or credited more than the window of a connection allows.
    #[error("connection {conn}: {error}")]
    Window {
        /// The connection.
        conn: ConnId,
        /// What was exceeded.
        error: WindowError,
    },
    /// A record's number is not the next one.
    #[error("record {found} where {expected} was due")]
    RecordNumber {
        /// The number that was due.
        expected: Seq,
        /// The number that came.
        found: Seq,
    },
    /// It asked for more reads than may be open at one time.
    #[error("more than {limit} reads at one time")]
    TooManyReads {
        /// The limit.
        limit: usize,
    },
    /// It asked for no blocks, or for too many.
    #[error("a read of {count} blocks")]
    ReadLength {
        /// Number of blocks.
        count: u32,
    },
}

/// Why [`Host::run`](crate::Host::run) ended before it was asked to.
#[derive(Debug, Error)]
pub enum HostError {
    /// The listening socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The network between nodes.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sealing key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The enclave process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A thread could not be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
    /// The enclave speaks another version of the protocol.
    #[error(
        "the enclave speaks protocol version {found}, this host {PROTOCOL_VERSION}; install matching versions of both"
    )]
    Version {
        /// The enclave's version.
        found: u16,
    },
    /// The enclave did not answer the first message in time.
    #[error("the enclave did not answer within {seconds} s of its start")]
    NoGreeting {
        /// The time it had.
        seconds: u64,
    },
    /// The enclave broke the protocol; nothing it says can be relied on.
    #[error("the enclave broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// The link ended although nobody asked for it.
    #[error("the link to the enclave ended: {0}")]
    Link(LinkClosed),
    /// The enclave process ended although nobody asked it to.
    #[error("the enclave process ended: {0}")]
    Exited(EnclaveExit),
    /// The enclave stopped by itself and said why.
    #[error("the enclave stopped ({code}): {detail}")]
    Halted {
        /// Why.
        code: HaltCode,
        /// More about it.
        detail: Detail,
    },
    /// The enclave did not finish in time after it was asked to.
    #[error("the enclave did not finish within {seconds} s and was stopped")]
    ShutdownTimeout {
        /// The time it had.
        seconds: u64,
    },
}

impl HostError {
    /// The code to exit with.
    #[must_use]
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Listen(_) | Self::Network(_) => ExitCode::Listen,
            Self::Store(error) => match error {
                StoreError::Locked { .. } => ExitCode::FolderLocked,
                StoreError::ForeignChain { .. } => ExitCode::ForeignChain,
                StoreError::Format { .. } | StoreError::Corrupt { .. } => ExitCode::Damaged,
                StoreError::NoSpace { .. } | StoreError::Io { .. } | StoreError::Refused(_) => ExitCode::Storage,
            },
            Self::Key(_) => ExitCode::SealingKey,
            Self::Halted { code, .. } => match code {
                HaltCode::BadGenesis | HaltCode::BadOptions => ExitCode::Genesis,
                HaltCode::ForeignLog => ExitCode::ForeignChain,
                HaltCode::WrongKey | HaltCode::DamagedLog => ExitCode::Damaged,
                HaltCode::StorageFailed => ExitCode::Storage,
                HaltCode::RecoveryRefused => ExitCode::Recovery,
                HaltCode::IdentityInUse => ExitCode::Identity,
                HaltCode::ShutDown
                | HaltCode::WrongVersion
                | HaltCode::HostMisbehaved
                | HaltCode::Divergence
                | HaltCode::Invariant => ExitCode::Enclave,
            },
            Self::Thread(_) => ExitCode::Failure,
            Self::Process(_)
            | Self::Version { .. }
            | Self::NoGreeting { .. }
            | Self::Violation(_)
            | Self::Link(_)
            | Self::Exited(_)
            | Self::ShutdownTimeout { .. } => ExitCode::Enclave,
        }
    }
}
