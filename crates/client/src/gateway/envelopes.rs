//! Transactions in the requests of tools, put into envelopes on their way.

use alloy_primitives::hex;
use cloister_primitives::envelope::{SEALED_TRANSACTION, SealingSuite};
use hyper::body::Bytes;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant};

use crate::{ClientError, Node, Sealer, SealingKeys};

/// Keys are asked for again this long before they end.
const MARGIN: Duration = Duration::from_secs(60);
/// The node's code for an envelope that it does not open or take.
const REFUSED: &str = "-32045";

/// Seals for one node.
#[derive(Debug)]
pub(super) struct Envelopes {
    node: Node,
    suite: SealingSuite,
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    sealer: Sealer,
    until: Instant,
    /// Whether the node has taken the envelope that opened the context.
    confirmed: bool,
}

impl Envelopes {
    pub(super) fn new(node: Node, suite: SealingSuite) -> Self {
        Self { node, suite, current: Mutex::new(None) }
    }

    /// The body with its transactions sealed; `None` where there are none, or nothing that is JSON.
    pub(super) async fn seal(&self, body: &[u8]) -> Option<Result<Bytes, ClientError>> {
        let mut body: Value = serde_json::from_slice(body).ok()?;
        let requests = match &mut body {
            Value::Array(batch) => batch.iter_mut().collect(),
            single => vec![single],
        };
        let transactions: Vec<_> = requests.into_iter().filter_map(transaction).collect();
        if transactions.is_empty() {
            return None;
        }
        let mut sealed = Ok(());
        for (place, raw) in transactions {
            match self.seal_one(&raw).await {
                Ok(envelope) => *place = Value::String(hex::encode_prefixed(envelope)),
                Err(failure) => sealed = Err(failure),
            }
        }
        Some(sealed.map(|()| Bytes::from(body.to_string())))
    }

    async fn seal_one(&self, raw: &[u8]) -> Result<alloy_primitives::Bytes, ClientError> {
        let mut current = self.current.lock().await;
        if current.as_ref().is_none_or(|current| Instant::now() >= current.until) {
            let keys = SealingKeys::of(&self.node).await?;
            let until = Instant::now() + Duration::from_millis(keys.expires_in_ms()).saturating_sub(MARGIN);
            *current = Some(Current { sealer: keys.sealer(self.suite)?, until, confirmed: false });
        }
        match current.as_mut() {
            Some(Current { sealer, confirmed: true, .. }) => sealer.go_on(raw),
            Some(Current { sealer, .. }) => sealer.seal(raw),
            None => Err(ClientError::Suite { suite: self.suite.name() }),
        }
    }

    /// Whether the node refused an envelope: keys and context are then asked for anew. Else the context is known to it.
    pub(super) fn is_refusal(&self, answer: &[u8]) -> bool {
        let refused = answer.windows(REFUSED.len()).any(|window| window == REFUSED.as_bytes());
        // Whoever seals meanwhile finds out by himself.
        if let Ok(mut current) = self.current.try_lock() {
            if refused {
                *current = None;
            } else if let Some(current) = current.as_mut() {
                current.confirmed = true;
            }
        }
        refused
    }
}

/// Where a request has its transaction, and the transaction, unless it is sealed already.
fn transaction(request: &mut Value) -> Option<(&mut Value, Vec<u8>)> {
    let method = request.get("method")?.as_str()?;
    if !matches!(method, "eth_sendRawTransaction" | "eth_sendRawTransactionSync") {
        return None;
    }
    let place = request.get_mut("params")?.get_mut(0)?;
    let raw = hex::decode(place.as_str()?).ok()?;
    (raw.first() != Some(&SEALED_TRANSACTION)).then_some((place, raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn transactions_are_found_where_requests_have_them() {
        let found = |mut request: Value| transaction(&mut request).map(|(_, raw)| raw);
        let send = |method: &str, params: Value| json!({ "id": 1, "method": method, "params": params });
        assert_eq!(found(send("eth_sendRawTransaction", json!(["0x02ff"]))), Some(vec![2, 0xff]));
        assert_eq!(found(send("eth_sendRawTransactionSync", json!(["0x02ff", 500]))), Some(vec![2, 0xff]));
        assert_eq!(found(send("eth_sendRawTransaction", json!(["0x9e01"]))), None, "sealed already");
        for other in
            [send("eth_call", json!(["0x02ff"])), send("eth_sendRawTransaction", json!([])), json!(5), json!({})]
        {
            assert_eq!(found(other), None);
        }
    }
}
