//! The connections that are open, as the dispatcher sees them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloister_boundary::{ConnId, FromEnclave, ReceiveWindow};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error::Violation;

/// What the enclave says about one connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Write these bytes to the client. Their sum is bounded by the window.
    Data(Vec<u8>),
    /// Flush and close.
    Close,
    /// The enclave consumed as many bytes.
    Credit(u32),
}

/// The window from the enclave to the client: filled by the dispatcher, emptied by the connection's
/// task as the socket takes bytes.
pub(crate) type Outgoing = Arc<Mutex<ReceiveWindow>>;

/// Locks the window; its arithmetic does not panic half way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Entry {
    events: UnboundedSender<Event>,
    outgoing: Outgoing,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    open: HashMap<ConnId, Entry>,
}

/// All connections whose `Close` has not come yet.
#[derive(Debug, Default)]
pub(crate) struct Table(Mutex<Entries>);

/// The task's side of a new entry.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) conn: ConnId,
    pub(crate) events: UnboundedReceiver<Event>,
    pub(crate) outgoing: Outgoing,
}

impl Table {
    /// Enters a new connection.
    pub(crate) fn register(&self) -> Registration {
        let (sender, events) = unbounded_channel();
        let outgoing = Outgoing::default();
        let mut entries = lock(&self.0);
        let conn = ConnId(entries.next);
        entries.next += 1;
        let entry = Entry { events: sender, outgoing: Arc::clone(&outgoing) };
        entries.open.insert(conn, entry);
        Registration { conn, events, outgoing }
    }

    /// Number of open connections.
    pub(crate) fn len(&self) -> usize {
        lock(&self.0).open.len()
    }

    /// Gives up all connections: tasks that have no `Close` yet end at once.
    pub(crate) fn clear(&self) {
        lock(&self.0).open.clear();
    }

    /// Handles what the enclave says of a connection, and gives everything else back.
    pub(crate) fn take(&self, message: FromEnclave) -> Result<Option<FromEnclave>, Violation> {
        match message {
            FromEnclave::Data { conn, bytes } => self.data(conn, bytes),
            FromEnclave::Close { conn } => self.close(conn),
            FromEnclave::Credit { conn, bytes } => self.credit(conn, bytes),
            other => return Ok(Some(other)),
        }
        .map(|()| None)
    }

    /// The enclave sent bytes.
    fn data(&self, conn: ConnId, bytes: Vec<u8>) -> Result<(), Violation> {
        let entries = lock(&self.0);
        let entry = entries.open.get(&conn).ok_or(Violation::UnknownConnection { conn })?;
        lock(&entry.outgoing).receive(bytes.len()).map_err(|error| Violation::Window { conn, error })?;
        // A task that is gone needs the bytes no more.
        let _ = entry.events.send(Event::Data(bytes));
        Ok(())
    }

    /// The enclave is done with a connection.
    fn close(&self, conn: ConnId) -> Result<(), Violation> {
        let entry = lock(&self.0).open.remove(&conn).ok_or(Violation::UnknownConnection { conn })?;
        let _ = entry.events.send(Event::Close);
        Ok(())
    }

    /// The enclave returned credit. For a connection that was open it may come late.
    fn credit(&self, conn: ConnId, bytes: u32) -> Result<(), Violation> {
        let entries = lock(&self.0);
        match entries.open.get(&conn) {
            Some(entry) => {
                let _ = entry.events.send(Event::Credit(bytes));
                Ok(())
            }
            None if conn.0 < entries.next => Ok(()),
            None => Err(Violation::UnknownConnection { conn }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cloister_boundary::{INITIAL_WINDOW, WindowError};

    use super::*;

    #[test]
    fn each_word_about_a_connection_is_said_while_it_is_open() {
        let table = Table::default();
        let mut first = table.register();
        let conn = first.conn;
        assert_eq!(table.register().conn, ConnId(conn.0 + 1), "never the same");
        assert_eq!(table.data(conn, vec![1]), Ok(()));
        assert_eq!(table.credit(conn, 5), Ok(()));
        assert_eq!(table.close(conn), Ok(()));
        let events: Vec<_> = std::iter::from_fn(|| first.events.try_recv().ok()).collect();
        assert_eq!(events, [Event::Data(vec![1]), Event::Credit(5), Event::Close]);
        let unknown = |conn| Err(Violation::UnknownConnection { conn });
        assert_eq!(table.close(conn), unknown(conn), "a second Close");
        assert_eq!(table.data(conn, vec![2]), unknown(conn));
        assert_eq!(table.credit(conn, 5), Ok(()), "credit may cross the Close");
        assert_eq!(table.credit(ConnId(9), 5), unknown(ConnId(9)));
        assert_eq!(table.data(ConnId(9), vec![]), unknown(ConnId(9)));
    }

    #[test]
    fn more_than_the_window_is_a_violation() {
        let table = Table::default();
        let Registration { conn, outgoing, .. } = table.register();
        let window = INITIAL_WINDOW as usize;
        assert_eq!(table.data(conn, vec![0; window]), Ok(()));
        assert_eq!(lock(&outgoing).consume(window), Some(INITIAL_WINDOW));
        assert_eq!(table.data(conn, vec![0; window - 1]), Ok(()));
        assert_eq!(
            table.data(conn, vec![0; 3]),
            Err(Violation::Window { conn, error: WindowError::Overrun { excess: 2 } })
        );
    }
}
