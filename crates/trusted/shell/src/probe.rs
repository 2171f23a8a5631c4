//! `GET /health` and `GET /ready`: whether a node lives, and whether requests are to be sent to it.
//!
//! Both are for load balancers and supervisors, which ask without a token; what they are told is in
//! `cloister_networkStatus` for everybody. Before the chain is open nobody is let in at all.

use std::time::Duration;

use cloister_access::Caller;
use cloister_core::{NetworkStatus, RequestBody, Response as Answer};
use cloister_rpc::CoreHandle;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Bytes,
    header::{self, HeaderValue},
};
use serde::Serialize;
use tokio::time::timeout;

use crate::http::json;

/// How long the core may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Blocks that a node may be behind its network and still be asked: more than are ever under way in one that keeps up.
const MAX_LAG_BLOCKS: u64 = 32;

/// A question about the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Whether it lives; if not it is to be started again.
    Health,
    /// Whether requests are to be sent to it.
    Ready,
}

/// Why not. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Reason {
    /// The core does not answer.
    Unresponsive,
    /// It takes no part in its network any more.
    OutOfNetwork,
    /// It has started and does not know yet how far the others are: it neither votes nor counts.
    Waiting,
    /// It knows of no leader, which nobody can write without.
    NoLeader,
    /// It fetches blocks that the others' logs do not reach back to any more.
    CatchingUp,
    /// It is behind by more than [`MAX_LAG_BLOCKS`].
    Behind,
}

/// The body of an answer; `status` is in the words of Besu's `/liveness` and `/readiness`.
#[derive(Serialize)]
struct Verdict<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasons: &'a [Reason],
}

impl Probe {
    /// What a request asks, if it does.
    pub(crate) fn of<B>(request: &Request<B>, path: &str) -> Option<Self> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        match path {
            "/health" => Some(Self::Health),
            "/ready" => Some(Self::Ready),
            _ => None,
        }
    }

    /// Asks the core, and says 200 or 503.
    pub(crate) async fn answer(self, core: &CoreHandle) -> Response<Full<Bytes>> {
        let asked = core.request(&Caller::Anonymous, RequestBody::NetworkStatus);
        let reasons = match (timeout(PATIENCE, asked).await, self) {
            (Ok(Ok(Answer::NetworkStatus(Some(status)))), Self::Ready) => reasons(&status),
            (Ok(Ok(_)), _) => Vec::new(),
            (Ok(Err(_)) | Err(_), _) => vec![Reason::Unresponsive],
        };
        verdict(&reasons)
    }
}

/// Why a node of a network is not to be sent requests; nothing for one that is.
fn reasons(status: &NetworkStatus) -> Vec<Reason> {
    let lag_blocks = status.committed.0.saturating_sub(status.head.0);
    let found = [
        (status.fault.is_some(), Reason::OutOfNetwork),
        (status.is_waiting, Reason::Waiting),
        (status.leader.is_none(), Reason::NoLeader),
        (status.is_catching_up, Reason::CatchingUp),
        (lag_blocks > MAX_LAG_BLOCKS, Reason::Behind),
    ];
    found.into_iter().filter_map(|(holds, reason)| holds.then_some(reason)).collect()
}

fn verdict(reasons: &[Reason]) -> Response<Full<Bytes>> {
    let (code, status) = match reasons {
        [] => (StatusCode::OK, "UP"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "DOWN"),
    };
    // Constants: writing them cannot fail.
    let body = serde_json::to_vec(&Verdict { status, reasons }).unwrap_or_default();
    let mut response = json(code, body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cloister_core::{CoreError, NodeId};
    use cloister_primitives::Height;
    use cloister_rpc::Envelope;
    use http_body_util::BodyExt as _;
    use tokio::sync::mpsc;

    use super::*;

    /// A follower that keeps up.
    fn status() -> NetworkStatus {
        let node = |id| NodeId::new(id).unwrap();
        NetworkStatus {
            node: node(1),
            term: 3,
            leader: Some(node(2)),
            head: Height(100),
            committed: Height(101),
            last_index: 7,
            voters: vec![1, 2, 3],
            learners: Vec::new(),
            connected: vec![node(2), node(3)],
            is_catching_up: false,
            is_waiting: false,
            pending: None,
            fault: None,
        }
    }

    #[test]
    fn a_node_that_keeps_up_is_ready_and_each_reason_against_it_is_named() {
        assert_eq!(reasons(&status()), []);
        let because = |change: fn(&mut NetworkStatus)| {
            let mut status = status();
            change(&mut status);
            reasons(&status)
        };
        assert_eq!(because(|status| status.leader = None), [Reason::NoLeader]);
        assert_eq!(because(|status| status.is_waiting = true), [Reason::Waiting], "to stop another one now stops all");
        assert_eq!(because(|status| status.fault = Some("out")), [Reason::OutOfNetwork]);
        assert_eq!(because(|status| status.is_catching_up = true), [Reason::CatchingUp]);
        assert_eq!(because(|status| status.committed = Height(132)), []);
        assert_eq!(because(|status| status.committed = Height(133)), [Reason::Behind]);
        assert_eq!(because(|status| status.head = Height(102)), [], "a head may be told before the commit");
    }

    /// Asks a core that answers with this.
    async fn asked(probe: Probe, answer: Result<Answer, CoreError>) -> (u16, String) {
        let (requests, mut queue) = mpsc::channel::<Envelope>(1);
        let core = CoreHandle::new(requests);
        let answering = async {
            let envelope = queue.recv().await.unwrap();
            assert!(matches!(envelope.request.body, RequestBody::NetworkStatus), "{:?}", envelope.request);
            envelope.reply.send(answer).unwrap();
        };
        let (response, ()) = tokio::join!(probe.answer(&core), answering);
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_node_lives_while_its_core_answers_and_is_ready_while_it_takes_part() {
        let alone = || Ok(Answer::NetworkStatus(None));
        let lost = || Ok(Answer::NetworkStatus(Some(Box::new(NetworkStatus { leader: None, ..status() }))));
        let stopping = || Err(CoreError::Unavailable("the node is stopping"));
        let up = (200, r#"{"status":"UP"}"#.to_owned());
        assert_eq!(asked(Probe::Health, alone()).await, up);
        assert_eq!(asked(Probe::Ready, alone()).await, up);
        assert_eq!(asked(Probe::Health, lost()).await, up);
        let down = |reason: &str| (503, format!(r#"{{"status":"DOWN","reasons":["{reason}"]}}"#));
        assert_eq!(asked(Probe::Ready, lost()).await, down("no-leader"));
        assert_eq!(asked(Probe::Health, stopping()).await, down("unresponsive"));
        assert_eq!(asked(Probe::Ready, stopping()).await, down("unresponsive"));
    }

    #[test]
    fn only_a_get_of_the_very_path_asks() {
        let of = |method: Method, path: &str| {
            let request = Request::builder().method(method).body(()).unwrap();
            Probe::of(&request, path)
        };
        assert_eq!(of(Method::GET, "/health"), Some(Probe::Health));
        assert_eq!(of(Method::HEAD, "/ready"), Some(Probe::Ready));
        assert_eq!(of(Method::POST, "/health"), None);
        assert_eq!(of(Method::GET, "/healthy"), None);
        assert_eq!(of(Method::GET, "/"), None);
    }
}
