//! A node, and how it is connected to: one request over HTTP/1.1, and its answer.

use core::time::Duration;

use cloister_attestation::{Manifest, Refusal, Verified};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1::handshake,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    ClientError, NodeUrl,
    transport::{Transport, Trust},
};

/// Longest answer that is read unless more is expected, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Time for a request and its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node, and how it is connected to.
#[derive(Clone, Debug)]
pub struct Node {
    url: NodeUrl,
    trust: Option<Trust>,
    max_answer_bytes: usize,
}

/// An answer, and what vouches for who gave it.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) value: Value,
    pub(crate) by: Option<Verified>,
}

impl Node {
    /// The node at `url`: over TLS one of the network that `manifest` describes, in the clear one on this machine.
    ///
    /// # Errors
    /// [`ClientError::NoManifest`], [`ClientError::InTheClear`] or [`ClientError::Exposed`].
    pub fn new(url: NodeUrl, manifest: Option<&Manifest>) -> Result<Self, ClientError> {
        let named = || url.to_string();
        let trust = match (url.is_tls(), manifest) {
            (true, Some(manifest)) => Some(Trust::new(manifest.policy())),
            (true, None) => return Err(ClientError::NoManifest { url: named() }),
            (false, Some(_)) => return Err(ClientError::InTheClear { url: named() }),
            (false, None) if url.is_loopback() => None,
            (false, None) => return Err(ClientError::Exposed { url: named() }),
        };
        Ok(Self { url, trust, max_answer_bytes: MAX_ANSWER_BYTES })
    }

    /// The same node, whose answers may be so long.
    #[must_use]
    pub fn answering_up_to(self, max_answer_bytes: usize) -> Self {
        Self { max_answer_bytes, ..self }
    }

    /// Where it is.
    #[must_use]
    pub const fn url(&self) -> &NodeUrl {
        &self.url
    }

    /// What vouches for it; `None` over plain HTTP, where nothing does.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn verified(&self) -> Result<Option<Verified>, ClientError> {
        Ok(self.connect().await?.verified().cloned())
    }

    /// Calls a JSON-RPC method, in the session of `token` if there is one.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with what the node answered, [`ClientError::Evidence`] with why it is not taken for a
    /// node of the network, or why there is no answer.
    pub async fn call(&self, token: Option<&str>, method: &str, params: &Value) -> Result<Value, ClientError> {
        Ok(self.call_vouched(token, method, params).await?.value)
    }

    pub(crate) async fn call_vouched(
        &self,
        token: Option<&str>,
        method: &str,
        params: &Value,
    ) -> Result<Answered, ClientError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut answered = self.post("/", token, &body).await?;
        if let Some(refused) = refusal(&answered.value) {
            return Err(refused);
        }
        answered.value = answered.value["result"].take();
        Ok(answered)
    }

    /// Posts `body`; answers the JSON of a success.
    pub(crate) async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Result<Answered, ClientError> {
        let exchanged = tokio::time::timeout(PATIENCE, self.exchange(path, token, body)).await;
        let (is_success, bytes, by) = exchanged.map_err(|_| self.no_answer("it takes too long"))??;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| self.not_a_node())?;
        if is_success {
            return Ok(Answered { value, by });
        }
        Err(refusal(&value).unwrap_or_else(|| self.not_a_node()))
    }

    async fn exchange(
        &self,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Result<(bool, Bytes, Option<Verified>), ClientError> {
        let stream = self.connect().await?;
        let by = stream.verified().cloned();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| self.no_answer(error))?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, self.url.authority())
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body.to_string()))).map_err(|error| self.no_answer(error))?;
        let response = sender.send_request(request).await.map_err(|error| self.no_answer(error))?;
        let is_success = response.status().is_success();
        let body = Limited::new(response.into_body(), self.max_answer_bytes).collect().await;
        let bytes = body.map_err(|error| self.no_answer(error))?.to_bytes();
        driver.abort();
        Ok((is_success, bytes, by))
    }

    /// Connects, and looks at the evidence where the connection is to have some.
    pub(crate) async fn connect(&self) -> Result<Transport, ClientError> {
        let connected = tokio::time::timeout(PATIENCE, self.connect_in_time()).await;
        connected.map_err(|_| self.no_answer("it takes too long"))?
    }

    async fn connect_in_time(&self) -> Result<Transport, ClientError> {
        let stream = TcpStream::connect(self.url.socket()).await.map_err(|error| self.no_answer(error))?;
        let _ = stream.set_nodelay(true);
        match &self.trust {
            None => Ok(Transport::Clear(stream)),
            Some(trust) => trust.connect(stream, self.url.authority()).await,
        }
    }

    pub(crate) fn not_a_node(&self) -> ClientError {
        ClientError::NotANode { authority: self.url.authority().to_owned() }
    }

    pub(crate) fn refused(&self, refusal: Refusal) -> ClientError {
        ClientError::Evidence { authority: self.url.authority().to_owned(), refusal }
    }

    fn no_answer(&self, reason: impl ToString) -> ClientError {
        ClientError::NoAnswer { authority: self.url.authority().to_owned(), reason: reason.to_string() }
    }
}

/// What a node says went wrong, if it does.
fn refusal(answer: &Value) -> Option<ClientError> {
    let error = answer.get("error")?;
    Some(ClientError::Refused {
        code: error["code"].as_i64()?,
        message: error["message"].as_str()?.to_owned(),
        reason: error["data"]["reason"].as_str().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let hash = "0x".to_owned() + &"00".repeat(32);
        let json = json!({ "chainId": 7, "genesisHash": hash, "ledgerBinding": hash, "platforms": { "virtual": {} } });
        Manifest::parse(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn tls_wants_a_manifest_and_plain_http_stays_on_this_machine() {
        let node = |url: &str, manifest: Option<&Manifest>| Node::new(NodeUrl::parse(url).unwrap(), manifest);
        let manifest = manifest();
        for url in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"] {
            node(url, None).unwrap();
            assert!(matches!(node(url, Some(&manifest)), Err(ClientError::InTheClear { .. })), "{url}");
        }
        for url in ["http://node.example", "http://10.0.0.1:8545", "http://localhost.example"] {
            assert!(matches!(node(url, None), Err(ClientError::Exposed { .. })), "{url}");
        }
        for url in ["https://127.0.0.1:1", "https://node.example"] {
            node(url, Some(&manifest)).unwrap();
            assert!(matches!(node(url, None), Err(ClientError::NoManifest { .. })), "{url}");
        }
    }
}
