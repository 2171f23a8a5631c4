//! All connections, of clients and of other nodes, multiplexed over one link.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use cloister_boundary::{ConnId, HaltCode, PeerOrigin, ToEnclave};
use tokio::sync::{mpsc, watch};

use crate::{
    ShellConfig,
    offered::Offered,
    outbound::Outbound,
    peers::Peers,
    server::{Host, Server},
    stream::{ConnectionHandle, ConnectionStream},
};

/// What a host must never do with a connection.
type Misbehaviour = (HaltCode, &'static str);

#[derive(Debug)]
struct Connection {
    handle: ConnectionHandle,
    /// The host has said that no more will come.
    ended: bool,
    /// The server is done with it.
    finished: bool,
}

/// The connections of one link. What the host says of them is handled by the task that brings it, so
/// that a request waits for nobody else's.
#[derive(Debug)]
pub(crate) struct Connections(Mutex<Table>);

#[derive(Debug)]
struct Table {
    open: HashMap<ConnId, Connection>,
    outbound: Outbound,
    finished: mpsc::UnboundedSender<ConnId>,
    finishing: mpsc::UnboundedReceiver<ConnId>,
    server: Server,
    peers: Peers,
}

const fn misbehaved<T>(detail: &'static str) -> Result<T, Misbehaviour> {
    Err((HaltCode::HostMisbehaved, detail))
}

impl Connections {
    pub(crate) fn new(
        outbound: Outbound,
        methods: watch::Receiver<Option<Offered>>,
        config: &ShellConfig,
        peers: Peers,
    ) -> Self {
        let (finished, finishing) = mpsc::unbounded_channel();
        let server = Server::new(methods, config);
        Self(Mutex::new(Table { open: HashMap::new(), outbound, finished, finishing, server, peers }))
    }

    /// Handles what is said of a connection, and gives everything else back.
    ///
    /// # Errors
    /// What the host must never do.
    pub(crate) fn take(&self, message: ToEnclave) -> Result<Option<ToEnclave>, Misbehaviour> {
        // The table is never left half-written: its methods do not panic.
        let table = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match message {
            ToEnclave::Open { conn, peer } => table().open(conn, peer),
            ToEnclave::Data { conn, bytes } => table().data(conn, bytes),
            ToEnclave::Closed { conn } => table().closed(conn),
            ToEnclave::Credit { conn, bytes } => table().credit(conn, bytes),
            other => return Ok(Some(other)),
        }
        .map(|()| None)
    }
}

impl Table {
    /// Forgets connections that both sides are done with.
    fn sweep(&mut self) {
        while let Ok(conn) = self.finishing.try_recv() {
            if let Some(connection) = self.open.get_mut(&conn) {
                connection.finished = true;
                if connection.ended {
                    self.open.remove(&conn);
                }
            }
        }
    }

    fn open(&mut self, conn: ConnId, peer: PeerOrigin) -> Result<(), Misbehaviour> {
        self.sweep();
        if self.open.contains_key(&conn) {
            return misbehaved("the host opened a connection twice");
        }
        let handle = ConnectionHandle::default();
        let stream = ConnectionStream::new(conn, handle.clone(), self.outbound.clone(), self.finished.clone());
        self.open.insert(conn, Connection { handle, ended: false, finished: false });
        match peer {
            PeerOrigin::Node { node, opened_by } => self.peers.serve(stream, node, opened_by),
            PeerOrigin::Loopback => self.server.serve(stream, Host::Same),
            PeerOrigin::Remote => self.server.serve(stream, Host::Other),
        }
        Ok(())
    }

    fn data(&mut self, conn: ConnId, bytes: Vec<u8>) -> Result<(), Misbehaviour> {
        match self.open.get(&conn) {
            Some(connection) if connection.ended => misbehaved("the host sent data on a connection it had ended"),
            // Bytes that crossed our close on the way are nobody's any more.
            Some(connection) if connection.finished => Ok(()),
            Some(connection) => {
                connection.handle.received(bytes).or(misbehaved("the host sent more than it had credit for"))
            }
            None => misbehaved("the host sent data on a connection it never opened"),
        }
    }

    fn credit(&mut self, conn: ConnId, bytes: u32) -> Result<(), Misbehaviour> {
        match self.open.get(&conn) {
            Some(connection) => {
                connection.handle.credited(bytes).or(misbehaved("the host gave credit for what was never sent"))
            }
            // Credit may come after both sides are done.
            None => Ok(()),
        }
    }

    fn closed(&mut self, conn: ConnId) -> Result<(), Misbehaviour> {
        self.sweep();
        let Some(connection) = self.open.get_mut(&conn) else {
            return misbehaved("the host ended a connection it never opened");
        };
        if connection.ended {
            return misbehaved("the host ended a connection twice");
        }
        connection.ended = true;
        connection.handle.ended();
        if connection.finished {
            self.open.remove(&conn);
        }
        Ok(())
    }
}
