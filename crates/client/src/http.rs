//! One request over HTTP/1.1, and its answer.

use core::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Uri,
    body::Bytes,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::ClientError;

/// Longest answer that is read unless more is expected, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Time for a request and its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUrl {
    authority: String,
    host: String,
    port: u16,
    max_answer_bytes: usize,
}

impl NodeUrl {
    /// Reads `http://host:port`, with or without a slash after it.
    ///
    /// # Errors
    /// [`ClientError::Url`] or [`ClientError::Tls`].
    pub fn parse(url: &str) -> Result<Self, ClientError> {
        let wrong = || ClientError::Url { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if uri.scheme_str() == Some("https") {
            return Err(ClientError::Tls { url: url.to_owned() });
        }
        let bare = uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@');
        if uri.scheme_str() != Some("http") || !bare {
            return Err(wrong());
        }
        Ok(Self {
            authority: authority.as_str().to_owned(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            max_answer_bytes: MAX_ANSWER_BYTES,
        })
    }

    /// The same node, whose answers may be so long.
    #[must_use]
    pub fn answering_up_to(self, max_answer_bytes: usize) -> Self {
        Self { max_answer_bytes, ..self }
    }

    /// Host, and port where one was given.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What is connected to.
    pub(crate) fn socket(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The URL with a token in its path, for tools that cannot send headers.
    #[must_use]
    pub fn with_token(&self, token: &str) -> String {
        format!("{self}/t/{token}")
    }

    fn no_answer(&self, reason: impl ToString) -> ClientError {
        ClientError::NoAnswer { authority: self.authority.clone(), reason: reason.to_string() }
    }

    /// Calls a JSON-RPC method, in the session of `token` if there is one.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with what the node answered, or why there is no answer.
    pub async fn call(&self, token: Option<&str>, method: &str, params: &Value) -> Result<Value, ClientError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut answer = self.post("/", token, &body).await?;
        match refusal(&answer) {
            Some(refused) => Err(refused),
            None => Ok(answer["result"].take()),
        }
    }

    /// Posts `body`; answers the JSON of a success.
    pub(crate) async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Result<Value, ClientError> {
        let exchanged = tokio::time::timeout(PATIENCE, self.exchange(path, token, body)).await;
        let (is_success, bytes) = exchanged.map_err(|_| self.no_answer("it takes too long"))??;
        let not_a_node = || ClientError::NotANode { authority: self.authority.clone() };
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_| not_a_node())?;
        if is_success {
            return Ok(answer);
        }
        Err(refusal(&answer).unwrap_or_else(not_a_node))
    }

    async fn exchange(&self, path: &str, token: Option<&str>, body: &Value) -> Result<(bool, Bytes), ClientError> {
        let stream = TcpStream::connect(self.socket()).await.map_err(|error| self.no_answer(error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.no_answer(error))?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, &self.authority)
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
        Ok((is_success, bytes))
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

impl core::fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_nodes_are_told_from_others() {
        let url = NodeUrl::parse("http://127.0.0.1:8545/").unwrap();
        assert_eq!(
            (url.authority(), url.port, url.to_string().as_str()),
            ("127.0.0.1:8545", 8545, "http://127.0.0.1:8545")
        );
        assert_eq!(NodeUrl::parse("http://[::1]:9").unwrap().host, "::1");
        assert_eq!(NodeUrl::parse("http://node.example").unwrap().port, 80);
        assert!(matches!(NodeUrl::parse("https://node.example"), Err(ClientError::Tls { .. })));
        for wrong in ["", "127.0.0.1:8545", "ftp://a", "http://a/b", "http://u:p@a", "http://a?b", "http://"] {
            assert!(matches!(NodeUrl::parse(wrong), Err(ClientError::Url { .. })), "{wrong}");
        }
    }
}
