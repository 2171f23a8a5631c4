//! `cloister_networkStatus`: where this node and its network stand.

use cloister_core::{NetworkStatus, RequestBody, Response};
use cloister_primitives::Code;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::{
    MethodCall, MethodInfo, Registry,
    convert::Quantity,
    errors::{self, RpcResult},
};

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct NetworkStatusJson {
    node: Quantity,
    role: &'static str,
    term: Quantity,
    leader: Option<Quantity>,
    head: Quantity,
    last_index: Quantity,
    pending: Option<Quantity>,
    voters: Vec<Quantity>,
    learners: Vec<Quantity>,
    connected: Vec<Quantity>,
    fault: Option<&'static str>,
}

impl From<NetworkStatus> for NetworkStatusJson {
    fn from(status: NetworkStatus) -> Self {
        let quantities = |numbers: &[u64]| numbers.iter().map(|number| Quantity::from(*number)).collect();
        Self {
            node: status.node.get().into(),
            role: status.role().name(),
            term: status.term.into(),
            leader: status.leader.map(|leader| leader.get().into()),
            head: status.head.0.into(),
            last_index: status.last_index.into(),
            pending: status.pending.map(|pending| (pending as u64).into()),
            voters: quantities(&status.voters),
            learners: quantities(&status.learners),
            connected: status.connected.iter().map(|node| node.get().into()).collect(),
            fault: status.fault,
        }
    }
}

async fn network_status(call: MethodCall) -> RpcResult<Option<NetworkStatusJson>> {
    call.no_params()?;
    match call.request(RequestBody::NetworkStatus).await? {
        Response::NetworkStatus(status) => Ok(status.map(|status| (*status).into())),
        _ => Err(errors::code(Code::Internal)),
    }
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    registry.method(
        MethodInfo::new(
            "cloister_networkStatus",
            "-> network status, or null",
            "Where this node and its network stand: role, term, leader, head, who votes, who is connected. `null` on a node that orders its blocks alone.",
        ),
        network_status,
    )?;
    Ok(())
}
