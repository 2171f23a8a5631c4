//! A link to another node's host, carried between its stream and the boundary as a client's connection is.
//!
//! Three loops run beside each other, since a node that waits for its own bytes to be taken must go on taking those of the
//! other: one hands what the enclave says of the connection to where it belongs, one reads the stream, one writes it.

use std::{sync::Mutex, time::Duration};

use cloister_boundary::{
    ConnId, PeerOrigin, SendWindow, Side, ToEnclave,
    link::{LinkClosed, Sender},
};
use cloister_network::{Link, Network};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{
        Notify,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot, watch,
    },
    task::JoinSet,
    time::timeout,
};

use crate::{
    error::Violation,
    listen::Serving,
    table::{Event, Outgoing, Registration, lock},
};

/// Most bytes that are read at one time.
const MAX_READ: usize = 64 << 10;

/// Carries links until `stop` changes or its sender is gone, then waits for those that there are. Dropping the future
/// ends them at once.
pub(crate) async fn accept(mut network: Network, serving: Serving, mut stop: watch::Receiver<()>) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            link = network.next_link() => match link {
                Some(Link { node, opened_by, stream }) => {
                    tasks.spawn(carry(stream, node, opened_by, serving.clone()));
                }
                None => break,
            },
            _ = stop.changed() => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Carries one link to its end.
async fn carry<S>(stream: S, node: u64, opened_by: Side, serving: Serving)
where
    S: AsyncRead + AsyncWrite + Send,
{
    let Serving { table, link, violations, limits, metrics } = serving;
    let Registration { conn, events, outgoing } = table.register();
    let counted = metrics.peers.open(node);
    let peer = PeerOrigin::Node { node, opened_by };
    // An end of the boundary's link is the dispatcher's to report.
    if link.send(ToEnclave::Open { conn, peer }).await.is_err() {
        return;
    }
    let (read, write) = tokio::io::split(stream);
    let (queue, queued) = unbounded_channel();
    // Dropped when nothing can be written any more: then nothing is read either.
    let (writes, written) = oneshot::channel::<()>();
    let credit = Credit::default();
    let hearing = async {
        tokio::select! {
            _ = hear(conn, read, &credit, &link, &counted.received) => {}
            _ = written => {}
        }
        let _ = link.send(ToEnclave::Closed { conn }).await;
    };
    let speaking = async {
        let (link, sent) = (link.clone(), counted.sent.clone());
        let _ = Speaking { conn, queued, outgoing, link, stall: limits.write_stall, sent }.run(write).await;
        drop(writes);
    };
    tokio::join!(hearing, speaking, sort(events, queue, &credit, &violations, conn));
}

/// How many bytes the enclave takes.
#[derive(Debug, Default)]
struct Credit {
    window: Mutex<SendWindow>,
    more: Notify,
}

impl Credit {
    /// Waits until the enclave takes bytes; returns how many.
    async fn available(&self) -> usize {
        loop {
            let more = self.more.notified();
            let available = lock(&self.window).available();
            if available > 0 {
                return available as usize;
            }
            more.await;
        }
    }
}

/// Hands what the enclave says to the loop that it is for, until it is done with the connection or the host gives it up.
async fn sort(
    mut events: UnboundedReceiver<Event>,
    queue: UnboundedSender<Vec<u8>>,
    credit: &Credit,
    violations: &UnboundedSender<Violation>,
    conn: ConnId,
) {
    while let Some(event) = events.recv().await {
        match event {
            // Where nothing is written any more, the enclave hears of the end and closes.
            Event::Data(bytes) => drop(queue.send(bytes)),
            Event::Close => return,
            Event::Credit(bytes) => {
                if let Err(error) = lock(&credit.window).credit(bytes) {
                    // Nobody listens only when the host is ending anyway.
                    let _ = violations.send(Violation::Window { conn, error });
                    return;
                }
                credit.more.notify_one();
            }
        }
    }
}

/// Passes on what comes, within the enclave's credit, until the stream's end.
async fn hear(
    conn: ConnId,
    mut stream: impl AsyncRead + Unpin,
    credit: &Credit,
    link: &Sender<ToEnclave>,
    received: &Counter,
) -> Result<(), LinkClosed> {
    loop {
        let mut bytes = vec![0; MAX_READ.min(credit.available().await)];
        let Ok(count @ 1..) = stream.read(&mut bytes).await else { return Ok(()) };
        received.inc_by(count as u64);
        bytes.truncate(count);
        // Small messages may wait in the link: they must not hold large buffers.
        bytes.shrink_to_fit();
        lock(&credit.window).take(count);
        link.send(ToEnclave::Data { conn, bytes }).await?;
    }
}

/// The loop that writes.
struct Speaking {
    conn: ConnId,
    queued: UnboundedReceiver<Vec<u8>>,
    outgoing: Outgoing,
    link: Sender<ToEnclave>,
    stall: Duration,
    sent: Counter,
}

impl Speaking {
    /// Writes what is queued until there will be no more, then closes the stream. Gives up when the other host takes
    /// nothing for too long.
    async fn run(self, mut stream: impl AsyncWrite + Unpin) -> Result<(), LinkClosed> {
        let Self { conn, mut queued, outgoing, link, stall, sent } = self;
        while let Some(bytes) = queued.recv().await {
            let is_last = queued.is_empty();
            let writing = async {
                stream.write_all(&bytes).await?;
                if is_last { stream.flush().await } else { Ok(()) }
            };
            let Ok(Ok(())) = timeout(stall, writing).await else {
                return Ok(());
            };
            sent.inc_by(bytes.len() as u64);
            let credit = lock(&outgoing).consume(bytes.len());
            if let Some(bytes) = credit {
                link.send(ToEnclave::Credit { conn, bytes }).await?;
            }
        }
        let _ = timeout(stall, stream.shutdown()).await;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use cloister_boundary::{FromEnclave, INITIAL_WINDOW, WindowError, link::EnclaveLink, link::pair};
    use tokio::{
        io::{DuplexStream, duplex},
        task::JoinHandle,
    };

    use super::*;
    use crate::{config::ConnectionLimits, metrics::Metrics, table::Table};

    const PEER: PeerOrigin = PeerOrigin::Node { node: 2, opened_by: Side::There };
    const CONN: ConnId = ConnId(0);

    /// A link to another node, seen from its host and from the enclave.
    struct Carried {
        there: DuplexStream,
        table: Arc<Table>,
        enclave: EnclaveLink,
        violations: UnboundedReceiver<Violation>,
        task: JoinHandle<()>,
    }

    impl Carried {
        async fn new() -> Self {
            let (here, there) = duplex(4 << 10);
            let (host, enclave) = pair(64);
            let table = Arc::new(Table::default());
            let (sender, violations) = unbounded_channel();
            let limits = ConnectionLimits::default();
            let metrics = Metrics::default();
            let serving = Serving { table: table.clone(), link: host.send, violations: sender, limits, metrics };
            let mut carried =
                Self { there, table, enclave, violations, task: tokio::spawn(carry(here, 2, Side::There, serving)) };
            assert_eq!(carried.told().await, ToEnclave::Open { conn: CONN, peer: PEER });
            carried
        }

        async fn told(&mut self) -> ToEnclave {
            self.enclave.recv.recv().await.unwrap()
        }

        /// The enclave says something of the connection.
        fn say(&self, message: FromEnclave) {
            assert_eq!(self.table.take(message), Ok(None));
        }

        /// So many bytes come to the enclave, and none besides.
        async fn data(&mut self, bytes: usize) {
            let mut left = bytes;
            while left > 0 {
                match self.told().await {
                    ToEnclave::Data { conn: CONN, bytes } => left = left.checked_sub(bytes.len()).unwrap(),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[tokio::test]
    async fn bytes_go_both_ways_until_the_enclave_closes() {
        let mut carried = Carried::new().await;
        carried.there.write_all(b"from there").await.unwrap();
        carried.data(10).await;
        // More than the transport holds at one time; the last byte comes before the end.
        let bytes = vec![7; INITIAL_WINDOW as usize];
        carried.say(FromEnclave::Data { conn: CONN, bytes: bytes.clone() });
        carried.say(FromEnclave::Close { conn: CONN });
        let mut heard = Vec::new();
        carried.there.read_to_end(&mut heard).await.unwrap();
        assert!(heard == bytes);
        assert_eq!(carried.told().await, ToEnclave::Credit { conn: CONN, bytes: INITIAL_WINDOW });
        assert_eq!(carried.told().await, ToEnclave::Closed { conn: CONN });
        carried.task.await.unwrap();
    }

    #[tokio::test]
    async fn no_more_is_read_than_the_enclave_takes_while_it_is_written_to() {
        let mut carried = Carried::new().await;
        let (mut reads, mut writes) = tokio::io::split(carried.there);
        let all = 2 * INITIAL_WINDOW as usize;
        let writing = tokio::spawn(async move { writes.write_all(&vec![1; all]).await.map(|()| writes) });
        let (unused, _) = duplex(1);
        carried.there = unused;
        carried.data(INITIAL_WINDOW as usize).await;
        // Neither side takes anything of the other now: credit gets through.
        carried.say(FromEnclave::Data { conn: CONN, bytes: vec![2; INITIAL_WINDOW as usize] });
        assert!(matches!(carried.enclave.recv.try_recv(), Ok(None)) && !writing.is_finished());
        carried.say(FromEnclave::Credit { conn: CONN, bytes: INITIAL_WINDOW });
        carried.data(INITIAL_WINDOW as usize).await;
        writing.await.unwrap().unwrap();
        let mut heard = vec![0; INITIAL_WINDOW as usize];
        reads.read_exact(&mut heard).await.unwrap();
        assert!(heard.iter().all(|byte| *byte == 2));
    }

    #[tokio::test]
    async fn the_other_hosts_end_is_told_once() {
        let mut carried = Carried::new().await;
        let (gone, _) = duplex(1);
        drop(std::mem::replace(&mut carried.there, gone));
        assert_eq!(carried.told().await, ToEnclave::Closed { conn: CONN });
        // What the enclave says before it has heard of it goes nowhere.
        carried.say(FromEnclave::Data { conn: CONN, bytes: vec![1; 1_000] });
        carried.say(FromEnclave::Close { conn: CONN });
        carried.task.await.unwrap();
        assert!(carried.enclave.recv.recv().await.is_err(), "nothing more is said");
    }

    #[tokio::test]
    async fn credit_for_what_was_never_sent_is_a_violation() {
        let mut carried = Carried::new().await;
        carried.say(FromEnclave::Credit { conn: CONN, bytes: 1 });
        let error = WindowError::OverCredit { excess: 1 };
        assert_eq!(carried.violations.recv().await, Some(Violation::Window { conn: CONN, error }));
    }
}
