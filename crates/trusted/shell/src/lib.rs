//! The async edge inside the enclave: HTTP and WebSocket on byte streams, and the thread the core
//! runs on.
//!
//! **Duty.** Takes the host's messages; gives connection bytes to the HTTP server and everything else
//! to the core; carries out the core's effects: work on all cores, replies, events, messages to the
//! host. Says whether the node lives and is ready. Establishes who a caller is, and that other nodes are who they should be before the core hears of them.
//!
//! **Trusts.** The core. The host only with availability: bytes, order and number of its messages
//! are checked.
//!
//! **Invariants.** Only this crate and `rpc` are async; the core runs on one thread and never
//! waits. Everything a client can make grow has a bound: connections, bytes in flight on each, size of
//! bodies, batches and answers, requests in flight. Time is what the host's ticks say.
//!
//! **Not here.** Sockets (the host's), JSON-RPC methods (`rpc`), development methods (handed in as an
//! [`Extension`], so that the measured binary does not link them), evidence (a platform's, handed in as an
//! [`Attester`]).

mod auth;
mod batch;
mod client_stream;
mod connections;
mod core_thread;
mod entropy;
mod frames;
mod hardening;
mod http;
mod import;
mod log;
mod offered;
mod opening;
mod options;
mod outbound;
mod padding;
mod peers;
mod probe;
mod server;
mod stream;
mod tls;
mod workers;

use std::time::Duration;

pub use cloister_access::Caller;
use cloister_boundary::{Detail, FromEnclave, HaltCode, PROTOCOL_VERSION, ToEnclave, link::EnclaveLink};
use cloister_rpc::{RpcContext, RpcLimits, Served};
use tokio::sync::{mpsc, watch};

pub use cloister_attestation::Attester;
pub use cloister_core::{AuditShare, Fatal, VerifiedBlock, Verifier};
pub use cloister_core::{ImportRefusal, Imported, ImportedBlock, MAX_FOREIGN_BLOCK_BYTES};
pub use cloister_keys::KeyError;
pub use hardening::{PANIC_EXIT_CODE, harden};
pub use import::{Arrival, Awaited, ImportError, ImportLine, Importer, importer};
pub use log::{LogForm, log_to_stderr};
pub use options::{HistoryOption, NodeOptions, OptionsError, PaceOption, RecoveryOption, TlsOption};
pub use padding::{FramePadder, Lengths};
pub use peers::{fuzz_link, node_identity};
pub use server::ServerLimits;

use connections::Connections;
use core_thread::CoreInput;
use offered::{HostTime, Offered};
use outbound::Outbound;
use peers::{Beginning, Peers};

/// Adds methods to those of `rpc`; one with a name that exists replaces it.
pub type Extension = Box<dyn FnOnce(RpcContext) -> Option<Served> + Send>;

/// What a binary chooses about its shell.
pub struct ShellConfig {
    /// Methods beyond those of `rpc`.
    pub extension: Option<Extension>,
    /// Who a caller is that has shown nothing.
    pub default_caller: Caller,
    /// Bounds of the HTTP and WebSocket server.
    pub server: ServerLimits,
    /// Bounds of the methods.
    pub rpc: RpcLimits,
    /// Threads for the core's work.
    pub workers: usize,
    /// What vouches for this enclave's keys; none for one that serves in the clear only.
    pub attester: Option<Attester>,
    /// What connections begin with. The host's options say so in the end.
    pub tls: TlsOption,
}

impl core::fmt::Debug for ShellConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ShellConfig").finish_non_exhaustive()
    }
}

impl Default for ShellConfig {
    fn default() -> Self {
        Self {
            extension: None,
            default_caller: Caller::Anonymous,
            server: ServerLimits::default(),
            rpc: RpcLimits::default(),
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            attester: None,
            tls: TlsOption::Off,
        }
    }
}

/// Time for the last word to reach the host.
const LAST_WORD: Duration = Duration::from_secs(2);

/// A runtime for connections, and for the host beside them: a thread for every two processors.
///
/// Senders are recovered and blocks are built on [`ShellConfig::workers`] threads, calls are executed on those that the
/// runtime has for blocking work. What is left for it takes an eighth of the time of a node under load, and a thread more
/// would be woken only to find that there is nothing to do, each time in the place of one that computes.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    tokio::runtime::Builder::new_multi_thread().worker_threads(processors.div_ceil(2)).enable_all().build()
}

/// Runs the enclave on its end of the link until it halts; returns why.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn run(link: EnclaveLink, config: ShellConfig) -> HaltCode {
    let EnclaveLink { send, mut recv } = link;
    let (outbound, writer) = Outbound::over(send);
    let (methods_sender, methods) = watch::channel(None);
    let host_time = HostTime::default();
    let peers = Peers::new(host_time.clone());
    let connections = Connections::new(outbound.clone(), methods, &config, peers.clone());
    recv.divert({
        let outbound = outbound.clone();
        move |message| match connections.take(message) {
            Ok(other) => other,
            Err((code, detail)) => {
                let _ = outbound.send(FromEnclave::Halt { code, detail: Detail::constant(detail) });
                None
            }
        }
    });
    let _ = outbound.send(FromEnclave::Hello { version: PROTOCOL_VERSION });
    let config = Some(config);
    let mut enclave = Enclave { outbound, core: None, methods_sender, config, peers, host_time };
    loop {
        tokio::select! {
            message = recv.recv() => match message {
                Ok(message) => {
                    if let Err((code, detail)) = enclave.on_host(message) {
                        enclave.halt(code, detail);
                    }
                }
                // Without its host an enclave can do nothing.
                Err(closed) => {
                    tracing::error!(%closed, "the host says nothing more");
                    writer.abort();
                    return HaltCode::ShutDown;
                }
            },
            // The last word has been sent.
            () = enclave.outbound.closed() => break,
        }
    }
    let code = writer.await.ok().flatten().unwrap_or(HaltCode::ShutDown);
    // It is on its way to the host, who hangs up when he has it. A process that ends before may take it along.
    let _ = tokio::time::timeout(LAST_WORD, async { while recv.recv().await.is_ok() {} }).await;
    code
}

struct Enclave {
    outbound: Outbound,
    core: Option<mpsc::UnboundedSender<CoreInput>>,
    methods_sender: watch::Sender<Option<Offered>>,
    config: Option<ShellConfig>,
    peers: Peers,
    host_time: HostTime,
}

impl Enclave {
    fn on_host(&mut self, message: ToEnclave) -> Result<(), (HaltCode, &'static str)> {
        match message {
            ToEnclave::Hello { version } if version == PROTOCOL_VERSION => Ok(()),
            ToEnclave::Hello { .. } => {
                Err((HaltCode::WrongVersion, "host and enclave speak different versions of the boundary"))
            }
            ToEnclave::Start(info) => self.start(info),
            other => {
                if let Some(core) = &self.core {
                    let _ = core.send(CoreInput::Host(other));
                } else if matches!(other, ToEnclave::Shutdown) {
                    return Err((HaltCode::ShutDown, "stopped before it was started"));
                }
                Ok(())
            }
        }
    }

    fn start(&mut self, info: cloister_boundary::StartInfo) -> Result<(), (HaltCode, &'static str)> {
        let Some(mut config) = self.config.take() else {
            return Err((HaltCode::HostMisbehaved, "started twice"));
        };
        let options = NodeOptions::parse(&info.options)
            .map_err(|_| (HaltCode::BadOptions, "the node's options cannot be read"))?;
        config.tls = options.tls;
        self.host_time.set_ms(info.now_ms);
        let beginning = Beginning::of(&info)?;
        let attester = config.attester.clone();
        let core = core_thread::spawn(
            options.into(),
            config,
            self.outbound.clone(),
            self.methods_sender.clone(),
            (self.peers.clone(), self.host_time.clone()),
        );
        let _ = core.send(CoreInput::Host(ToEnclave::Start(info)));
        self.core = Some(core.clone());
        let (peers, outbound) = (self.peers.clone(), self.outbound.clone());
        // Other nodes are spoken to before the chain is open: it takes them to know where it ends.
        tokio::spawn(async move {
            if let Err((code, detail)) = peers.begin(beginning, attester, core).await {
                let _ = outbound.send(FromEnclave::Halt { code, detail: Detail::constant(detail) });
            }
        });
        Ok(())
    }

    fn halt(&self, code: HaltCode, detail: &'static str) {
        let _ = self.outbound.send(FromEnclave::Halt { code, detail: Detail::constant(detail) });
    }
}
