//! What the host counts and what it is told, as Prometheus reads it.
//!
//! Two sources and no third: what this side sees itself (records, bytes, links, connections, processes), and the public
//! status that the enclave decides on. Nothing here is per account, contract, method or client.

mod process;
mod serve;
mod status;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use cloister_boundary::{Record, StorageFault};
use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

pub(crate) use serve::Telling;
pub(crate) use status::Sources;

/// A label with a name that is known while compiling.
type Kind = [(&'static str, &'static str); 1];
/// Another node, by its number.
type Node = [(&'static str, u64); 1];

/// Bounds for the time of a commit: from a memory's to a disk's that stalls.
const COMMIT_BUCKETS: (f64, f64, u16) = (0.000_25, 2.0, 15);

/// What the host counts. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) store: StoreMetrics,
    pub(crate) peers: PeerMetrics,
    pub(crate) clients: ClientMetrics,
    /// Messages of the enclave.
    pub(crate) messages: Counter,
    /// How often the network's leader changed.
    pub(crate) leader_changes: Counter,
    /// The enclave's process; 0 for none.
    enclave: Arc<AtomicU32>,
}

/// What happens to the store.
#[derive(Clone, Debug)]
pub(crate) struct StoreMetrics {
    records: Family<Kind, Counter>,
    written_bytes: Family<Kind, Counter>,
    commit_seconds: Histogram,
    failures: Family<Kind, Counter>,
    reads: Family<Kind, Counter>,
}

/// What happens to links to other nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerMetrics {
    links: Family<Node, Gauge>,
    opened: Family<Node, Counter>,
    received_bytes: Family<Node, Counter>,
    sent_bytes: Family<Node, Counter>,
}

/// What happens to connections of clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientMetrics {
    pub(crate) connected: Gauge,
    pub(crate) accepted: Counter,
    pub(crate) refused: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let (start, factor, length) = COMMIT_BUCKETS;
        let store = StoreMetrics {
            records: Family::default(),
            written_bytes: Family::default(),
            commit_seconds: Histogram::new(exponential_buckets(start, factor, length)),
            failures: Family::default(),
            reads: Family::default(),
        };
        Self {
            store,
            peers: PeerMetrics::default(),
            clients: ClientMetrics::default(),
            messages: Counter::default(),
            leader_changes: Counter::default(),
            enclave: Arc::default(),
        }
    }
}

impl Metrics {
    /// Names the process that the enclave runs in.
    pub(crate) fn set_enclave(&self, process: u32) {
        self.enclave.store(process, Ordering::Relaxed);
    }

    /// All metrics, with those that are looked up when they are asked for.
    fn registry(&self, sources: Sources) -> Registry {
        let mut registry = Registry::with_prefix("cloister");
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The program", Info::new(version));
        self.store.register(&mut registry);
        self.peers.register(&mut registry);
        self.clients.register(&mut registry);
        registry.register("boundary_messages", "Messages of the enclave", self.messages.clone());
        registry.register(
            "network_leader_changes",
            "How often this node learned of another leader",
            self.leader_changes.clone(),
        );
        registry.register_collector(Box::new(sources));
        registry.register_collector(Box::new(process::Processes::new(self.enclave.clone())));
        registry
    }
}

/// All metrics in the OpenMetrics text format.
fn render(registry: &Registry) -> Result<String, core::fmt::Error> {
    let mut text = String::new();
    text::encode(&mut text, registry)?;
    Ok(text)
}

impl StoreMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("store_records", "Records stored", self.records.clone());
        registry.register_with_unit("store_written", "Sealed bytes stored", Unit::Bytes, self.written_bytes.clone());
        registry.register_with_unit(
            "store_commit",
            "Time to make records durable, those that waited for the same fsync together",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        registry.register("store_failures", "Records that could not be stored", self.failures.clone());
        registry.register("store_reads", "Reads of the enclave", self.reads.clone());
    }

    /// A record is stored.
    pub(crate) fn stored(&self, record: &Record) {
        let kind = [("kind", name(record))];
        self.records.get_or_create(&kind).inc();
        self.written_bytes.get_or_create(&kind).inc_by(record.sealed_len() as u64);
    }

    /// A commit took this long.
    pub(crate) fn committed(&self, took: std::time::Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// Records could not be stored.
    pub(crate) fn failed(&self, fault: StorageFault) {
        self.failures.get_or_create(&[("fault", fault.name())]).inc();
    }

    /// The enclave read something of this kind.
    pub(crate) fn read(&self, kind: &'static str) {
        self.reads.get_or_create(&[("kind", kind)]).inc();
    }
}

const fn name(record: &Record) -> &'static str {
    match record {
        Record::Block { .. } => "block",
        Record::SnapshotChunk { .. } | Record::SnapshotDone { .. } | Record::DropSnapshot { .. } => "snapshot",
        Record::LogSection { .. } => "log-section",
        Record::Truncate { .. } => "truncate",
        Record::Meta { .. } => "meta",
        Record::Consensus { .. } => "consensus",
    }
}

impl PeerMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("peer_links", "Links to other hosts that are open", self.links.clone());
        registry.register("peer_links_opened", "Links to other hosts that were opened", self.opened.clone());
        let (received, sent) = (self.received_bytes.clone(), self.sent_bytes.clone());
        registry.register_with_unit("peer_received", "Bytes from other hosts", Unit::Bytes, received);
        registry.register_with_unit("peer_sent", "Bytes to other hosts", Unit::Bytes, sent);
    }

    /// A link to a node is open, until what is returned is dropped.
    pub(crate) fn open(&self, node: u64) -> LinkMetrics {
        let label = [("node", node)];
        self.opened.get_or_create(&label).inc();
        let open = Open::of(self.links.get_or_create_owned(&label));
        let received = self.received_bytes.get_or_create_owned(&label);
        let sent = self.sent_bytes.get_or_create_owned(&label);
        LinkMetrics { _open: open, received, sent }
    }
}

/// One link's share.
#[derive(Debug)]
pub(crate) struct LinkMetrics {
    _open: Open,
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
}

/// Counts as long as it lives.
#[derive(Debug)]
pub(crate) struct Open(Gauge);

impl Open {
    pub(crate) fn of(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl ClientMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("clients_connected", "Connections of clients that are open", self.connected.clone());
        registry.register("clients_accepted", "Connections of clients that were let in", self.accepted.clone());
        registry.register("clients_refused", "Connections beyond --max-connections", self.refused.clone());
    }

    /// A client is let in, until what is returned is dropped.
    pub(crate) fn open(&self) -> Open {
        self.accepted.inc();
        Open::of(self.connected.clone())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use cloister_boundary::{NodeRole, PublicNetwork, PublicStatus};
    use cloister_primitives::Height;
    use cloister_storage::MemoryStore;
    use tokio::sync::watch;

    use super::*;

    fn rendered(metrics: &Metrics, status: PublicStatus) -> String {
        let (_status, status) = watch::channel(status);
        let (_ready, ready) = watch::channel(None);
        render(&metrics.registry(Sources::new(Arc::new(MemoryStore::new()), status, ready))).unwrap()
    }

    #[test]
    fn what_is_counted_is_told_under_its_name() {
        let metrics = Metrics::default();
        let record = Record::Block { height: Height(1), sealed: vec![0; 512].into() };
        metrics.store.stored(&record);
        metrics.store.stored(&record);
        metrics.store.committed(Duration::from_millis(3));
        metrics.store.failed(StorageFault::NoSpace);
        metrics.store.read("blocks");
        let first = metrics.peers.open(2);
        first.received.inc_by(10);
        drop((first, metrics.peers.open(2)));
        let client = metrics.clients.open();
        let text = rendered(&metrics, PublicStatus::default());
        for line in [
            r#"cloister_store_records_total{kind="block"} 2"#,
            r#"cloister_store_written_bytes_total{kind="block"} 1024"#,
            r#"cloister_store_commit_seconds_bucket{le="0.004"} 1"#,
            r#"cloister_store_failures_total{fault="no-space"} 1"#,
            r#"cloister_store_reads_total{kind="blocks"} 1"#,
            r#"cloister_peer_links{node="2"} 0"#,
            r#"cloister_peer_links_opened_total{node="2"} 2"#,
            r#"cloister_peer_received_bytes_total{node="2"} 10"#,
            "cloister_clients_connected 1",
            "cloister_ready 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        drop(client);
        assert!(text.ends_with("# EOF\n"), "{text}");
        // A node by itself has no place in a network.
        assert!(!text.contains("cloister_network_role"), "{text}");
    }

    #[test]
    fn a_node_of_a_network_tells_where_it_stands() {
        let network = PublicNetwork {
            role: NodeRole::Follower,
            term: 4,
            leader: Some(2),
            committed: Height(12),
            voters: 3,
            learners: 1,
            connected: vec![2, 3],
        };
        let status = PublicStatus { head: Height(9), head_time_s: 5, transactions: 77, network: Some(network) };
        let text = rendered(&Metrics::default(), status);
        for line in [
            "cloister_chain_height 9",
            "cloister_chain_head_timestamp_seconds 5",
            "cloister_chain_transactions_total 77",
            r#"cloister_network_role{role="follower"} 1"#,
            r#"cloister_network_role{role="leader"} 0"#,
            "cloister_network_leader 2",
            "cloister_network_term 4",
            "cloister_network_lag_blocks 3",
            "cloister_network_voters 3",
            "cloister_network_learners 1",
            "cloister_network_connected 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
