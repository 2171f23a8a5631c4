//! What is looked up when it is asked for: the enclave's public status, and the room that the store takes.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use cloister_boundary::{NodeRole, PublicNetwork, PublicStatus};
use cloister_storage::BlobStore;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};
use tokio::sync::watch;

use crate::{host::Ready, table::lock};

/// Where metrics are looked up.
#[derive(Clone)]
pub(crate) struct Sources {
    /// None once the host has ended.
    store: Arc<Mutex<Option<Arc<dyn BlobStore>>>>,
    status: watch::Receiver<PublicStatus>,
    ready: watch::Receiver<Option<Ready>>,
}

impl Sources {
    pub(crate) fn new(
        store: Arc<dyn BlobStore>,
        status: watch::Receiver<PublicStatus>,
        ready: watch::Receiver<Option<Ready>>,
    ) -> Self {
        Self { store: Arc::new(Mutex::new(Some(store))), status, ready }
    }

    /// Lets go of the store, as soon as nobody looks at it. A database that is closed after its program has ended takes it down.
    pub(super) fn let_go(&self) {
        *lock(&self.store) = None;
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let out = &mut encoder;
        let status = self.status.borrow().clone();
        gauge(out, "ready", "Whether clients are let in", None, u64::from(self.ready.borrow().is_some()))?;
        gauge(out, "chain_height", "Newest committed block", None, status.head.0)?;
        let seconds = Some(&Unit::Seconds);
        gauge(out, "chain_head_timestamp", "Timestamp of the newest block", seconds, status.head_time_s)?;
        let transactions = ConstCounter::new(status.transactions);
        put(out, "chain_transactions", "Transactions committed since genesis", None, &transactions)?;
        if let Some(network) = &status.network {
            encode_network(out, network, status.lag_blocks())?;
        }
        // A disk that cannot be asked is told of by what cannot be stored.
        let disk = lock(&self.store).as_ref().map(|store| store.disk());
        if let Some(Ok(Some(disk))) = disk {
            let bytes = Some(&Unit::Bytes);
            gauge(out, "store_size", "Room that the data folder takes", bytes, disk.used_bytes)?;
            gauge(out, "store_free", "Room left on its disk", bytes, disk.free_bytes)?;
        }
        Ok(())
    }
}

fn encode_network(out: &mut DescriptorEncoder<'_>, network: &PublicNetwork, lag_blocks: u64) -> Result<(), fmt::Error> {
    let help = "What this node does: 1 for its role, 0 for the others.";
    let mut roles = out.encode_descriptor("network_role", help, None, MetricType::Gauge)?;
    for role in NodeRole::ALL {
        let is_role = u64::from(role == network.role);
        ConstGauge::new(is_role).encode(roles.encode_family(&[("role", role.name())])?)?;
    }
    gauge(out, "network_term", "The term (Raft)", None, network.term)?;
    gauge(out, "network_leader", "Number of the node that leads; 0 for none", None, network.leader.unwrap_or(0))?;
    let lag_help = "Blocks that the network has committed and this node has not applied";
    gauge(out, "network_lag_blocks", lag_help, None, lag_blocks)?;
    gauge(out, "network_voters", "Nodes that vote", None, u64::from(network.voters))?;
    gauge(out, "network_learners", "Nodes that only listen", None, u64::from(network.learners))?;
    let connected = network.connected.len() as u64;
    gauge(out, "network_connected", "Other nodes that this one can speak to", None, connected)
}

fn gauge(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> Result<(), fmt::Error> {
    put(out, name, help, unit, &ConstGauge::new(value))
}

fn put(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    metric.encode(out.encode_descriptor(name, &format!("{help}."), unit, metric.metric_type())?)
}
