//! A host under test, and enclaves to put at the other end of its link.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use cloister_boundary::link::{EnclaveLink, pair};
use cloister_boundary::{
    ConnId, Detail, FromEnclave, HaltCode, MAX_DATA, PROTOCOL_VERSION, ReceiveWindow, SendWindow, StartInfo, ToEnclave,
};
use cloister_node::{Host, HostConfig, HostError, HostHandle, Listener, StartConfig};
use cloister_primitives::Height;
use cloister_storage::{BlobStore, MemoryStore};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub const CHAIN_ID: u64 = 31_337;
pub const GENESIS_HASH: [u8; 32] = [9; 32];

/// Longest that anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Running {
    pub handle: HostHandle,
    pub address: SocketAddr,
    run: JoinHandle<Result<(), HostError>>,
}

impl Running {
    /// How the host ended.
    pub async fn end(self) -> Result<(), HostError> {
        timeout(PATIENCE, self.run).await.expect("it ends").unwrap()
    }

    /// Shuts down and expects a clean end.
    pub async fn shut_down(self) {
        self.handle.shutdown();
        self.end().await.unwrap();
    }
}

pub fn config() -> HostConfig {
    HostConfig::new(StartConfig {
        genesis: b"{}".to_vec(),
        options: b"[]".to_vec(),
        platform_key: vec![7; 32],
        ..StartConfig::default()
    })
}

pub fn listener() -> Listener {
    Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// A host and the other end of its link.
pub fn host_with(config: HostConfig, store: Box<dyn BlobStore>) -> (Running, EnclaveLink) {
    let (host_link, enclave_link) = pair(256);
    let listener = listener();
    let address = listener.address();
    let host = Host::new(config, host_link, store, listener);
    let handle = host.handle();
    let run = tokio::spawn(host.run());
    let running = Running { handle, address, run };
    (running, enclave_link)
}

/// A host that is ready, with an enclave that echoes every byte.
pub async fn echoing(config: HostConfig) -> Running {
    let (running, link) = host_with(config, Box::new(MemoryStore::new()));
    tokio::spawn(echo(link));
    running.handle.ready().await.unwrap();
    running
}

/// The next message that is no tick.
pub async fn next(link: &mut EnclaveLink) -> ToEnclave {
    loop {
        match timeout(PATIENCE, link.recv.recv()).await.expect("a message") {
            Ok(ToEnclave::Tick { .. }) => {}
            Ok(message) => return message,
            Err(end) => panic!("the link ended: {end}"),
        }
    }
}

/// Says hello and takes the start.
pub async fn greet(link: &mut EnclaveLink) -> StartInfo {
    let version = PROTOCOL_VERSION;
    assert_eq!(next(link).await, ToEnclave::Hello { version });
    link.send.send(FromEnclave::Hello { version }).await.unwrap();
    match next(link).await {
        ToEnclave::Start(info) => info,
        other => panic!("expected the start, found {other:?}"),
    }
}

pub fn ready() -> FromEnclave {
    FromEnclave::Ready { chain_id: CHAIN_ID, genesis_hash: GENESIS_HASH, head: Height(0) }
}

pub fn halt(code: HaltCode) -> FromEnclave {
    FromEnclave::Halt { code, detail: Detail::constant("as the test says") }
}

#[derive(Default)]
struct Echo {
    send: SendWindow,
    receive: ReceiveWindow,
    queue: VecDeque<u8>,
    client_done: bool,
}

/// An enclave that sends back what it is sent, within its credit, and closes after the client did.
pub async fn echo(mut link: EnclaveLink) {
    greet(&mut link).await;
    link.send.send(ready()).await.unwrap();
    let mut open: HashMap<ConnId, Echo> = HashMap::new();
    while let Ok(message) = link.recv.recv().await {
        let conn = match message {
            ToEnclave::Open { conn, .. } => {
                assert!(open.insert(conn, Echo::default()).is_none(), "{conn} twice");
                continue;
            }
            ToEnclave::Data { conn, bytes } => {
                if let Some(echo) = open.get_mut(&conn) {
                    echo.receive.receive(bytes.len()).unwrap();
                    echo.queue.extend(bytes);
                }
                conn
            }
            ToEnclave::Credit { conn, bytes } => {
                if let Some(echo) = open.get_mut(&conn) {
                    echo.send.credit(bytes).unwrap();
                }
                conn
            }
            ToEnclave::Closed { conn } => {
                if let Some(echo) = open.get_mut(&conn) {
                    assert!(!echo.client_done, "{conn} closed twice");
                    echo.client_done = true;
                }
                conn
            }
            ToEnclave::Shutdown => {
                for (conn, _) in open {
                    link.send.send(FromEnclave::Close { conn }).await.unwrap();
                }
                link.send.send(halt(HaltCode::ShutDown)).await.unwrap();
                return;
            }
            _ => continue,
        };
        if progress(&link, conn, open.get_mut(&conn)).await {
            open.remove(&conn);
        }
    }
}

/// Echoes what credit allows; whether the connection is finished.
async fn progress(link: &EnclaveLink, conn: ConnId, echo: Option<&mut Echo>) -> bool {
    let Some(echo) = echo else { return false };
    while !echo.queue.is_empty() {
        let len = echo.send.take(echo.queue.len().min(MAX_DATA));
        if len == 0 {
            return false;
        }
        let bytes: Vec<u8> = echo.queue.drain(..len).collect();
        // Echoed bytes are consumed bytes: a client that does not read is not read from either.
        let credit = echo.receive.consume(len);
        link.send.send(FromEnclave::Data { conn, bytes }).await.unwrap();
        if let Some(bytes) = credit {
            link.send.send(FromEnclave::Credit { conn, bytes }).await.unwrap();
        }
    }
    if echo.client_done {
        link.send.send(FromEnclave::Close { conn }).await.unwrap();
    }
    echo.client_done
}
