//! JSON-RPC 2.0 over one connection: single calls for set-up, raw batches for the measured path.

use std::io::Write;

use alloy_primitives::{Address, B256, U256};
use eyre::{Result, WrapErr, bail, ensure, eyre};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::http::{Connection, Endpoint};

/// An error object of a reply.
#[derive(Clone, Debug, Deserialize)]
pub struct RpcError {
    /// JSON-RPC code, such as -32000.
    pub code: i64,
    /// Text for people.
    pub message: String,
}

/// One reply of a batch; `T` borrows from the response.
#[derive(Debug, Deserialize)]
pub struct Reply<T> {
    /// The request's number.
    pub id: u32,
    /// The result; `None` also for `null`.
    pub result: Option<T>,
    /// The error, if the request failed.
    pub error: Option<RpcError>,
}

/// A JSON-RPC client on one connection.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
}

impl Client {
    /// Connects to `endpoint`.
    ///
    /// # Errors
    /// When nothing listens there.
    pub fn connect(endpoint: &Endpoint) -> Result<Self> {
        Ok(Self { connection: endpoint.connect()? })
    }

    /// Posts a ready-made body and returns the raw response.
    ///
    /// # Errors
    /// As [`Connection::post`].
    pub fn post(&mut self, body: &[u8]) -> Result<&[u8]> {
        self.connection.post(body)
    }

    /// Calls one method.
    ///
    /// # Errors
    /// When the transport fails, the node answers an error, or the result has another shape.
    pub fn call<T: DeserializeOwned>(&mut self, method: &str, params: Value) -> Result<T> {
        let body = serde_json::to_vec(&json!({"jsonrpc": "2.0", "id": 0, "method": method, "params": params}))?;
        let response = self.post(&body)?;
        let reply: Value =
            serde_json::from_slice(response).wrap_err_with(|| format!("{method}: the response is not JSON"))?;
        if let Some(error) = reply.get("error") {
            bail!("{method}: {error}");
        }
        let result = reply.get("result").cloned().unwrap_or(Value::Null);
        serde_json::from_value(result).wrap_err_with(|| format!("{method}: unexpected result"))
    }

    /// The chain id.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn chain_id(&mut self) -> Result<u64> {
        parse_quantity(&self.call::<String>("eth_chainId", json!([]))?)
    }

    /// The newest height.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn block_number(&mut self) -> Result<u64> {
        parse_quantity(&self.call::<String>("eth_blockNumber", json!([]))?)
    }

    /// Balance of `account` in wei.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn balance(&mut self, account: Address) -> Result<U256> {
        self.call("eth_getBalance", json!([account, "latest"]))
    }

    /// Next nonces of `accounts`, read in batches of 100.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn nonces(&mut self, accounts: &[Address]) -> Result<Vec<u64>> {
        let mut nonces = Vec::with_capacity(accounts.len());
        for chunk in accounts.chunks(100) {
            let mut body = BatchBody::default();
            for (id, account) in chunk.iter().enumerate() {
                body.push(u32::try_from(id)?, "eth_getTransactionCount", &format!("\"{account:?}\",\"latest\""));
            }
            let response = self.post(body.finish())?;
            let mut replies: Vec<Reply<&str>> = parse_batch(response)?;
            ensure!(replies.len() == chunk.len(), "replies are missing");
            replies.sort_by_key(|reply| reply.id);
            for reply in replies {
                let text = reply.result.ok_or_else(|| eyre!("{:?}", reply.error))?;
                nonces.push(parse_quantity(text)?);
            }
        }
        Ok(nonces)
    }

    /// `eth_call` of `data` on `to` at the newest block; the returned bytes as hex.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn eth_call(&mut self, to: Address, data: &[u8]) -> Result<String> {
        let data = alloy_primitives::hex::encode_prefixed(data);
        self.call("eth_call", json!([{"to": to, "data": data}, "latest"]))
    }

    /// The hash of every transaction of block `height`; `None` when there is no such block yet.
    ///
    /// # Errors
    /// When the transport fails or the response has another shape.
    pub fn block_hashes(&mut self, height: u64) -> Result<Option<Vec<B256>>> {
        #[derive(Deserialize)]
        struct Body {
            transactions: Vec<B256>,
        }
        let request =
            format!(r#"{{"jsonrpc":"2.0","id":0,"method":"eth_getBlockByNumber","params":["0x{height:x}",false]}}"#);
        let response = self.post(request.as_bytes())?;
        let reply: Reply<Body> =
            serde_json::from_slice(response).wrap_err("eth_getBlockByNumber: unexpected result")?;
        match reply.error {
            Some(error) => bail!("eth_getBlockByNumber: {} ({})", error.message, error.code),
            None => Ok(reply.result.map(|body| body.transactions)),
        }
    }
}

/// Parses a batch response.
///
/// # Errors
/// When the response is no array of replies; the beginning of it is in the message.
pub fn parse_batch<'a, T: Deserialize<'a>>(response: &'a [u8]) -> Result<Vec<Reply<T>>> {
    serde_json::from_slice(response).wrap_err_with(|| {
        format!("not a batch response: {}", String::from_utf8_lossy(&response[..response.len().min(300)]))
    })
}

/// Parses a quantity such as `0x1f`.
///
/// # Errors
/// When the text is none, or does not fit.
pub fn parse_quantity(text: &str) -> Result<u64> {
    let digits = text.strip_prefix("0x").ok_or_else(|| eyre!("'{text}' is not a quantity"))?;
    u64::from_str_radix(digits, 16).wrap_err_with(|| format!("'{text}' is not a quantity"))
}

/// The text of a batch request, built without a serializer.
#[derive(Debug, Default)]
pub struct BatchBody {
    text: Vec<u8>,
}

impl BatchBody {
    /// Begins anew, keeping the memory.
    pub fn clear(&mut self) {
        self.text.clear();
    }

    /// Adds a request; `params` is the inside of the parameter array, as JSON.
    pub fn push(&mut self, id: u32, method: &str, params: &str) {
        self.text.push(if self.text.is_empty() { b'[' } else { b',' });
        // Writing to a vector cannot fail.
        let _ = write!(self.text, r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":[{params}]}}"#);
    }

    /// Closes the array and returns the request.
    pub fn finish(&mut self) -> &[u8] {
        if self.text.is_empty() {
            self.text.push(b'[');
        }
        self.text.push(b']');
        &self.text
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_a_json_array() {
        let mut body = BatchBody::default();
        body.push(7, "eth_chainId", "");
        body.push(8, "eth_getCode", "\"0x00\",\"latest\"");
        let parsed: Value = serde_json::from_slice(body.finish()).unwrap();
        assert_eq!(parsed[0]["id"], 7);
        assert_eq!(parsed[1]["params"], json!(["0x00", "latest"]));
        body.clear();
        assert_eq!(body.finish(), b"[]");
    }

    #[test]
    fn replies_tell_results_nulls_and_errors_apart() {
        let text = br#"[{"jsonrpc":"2.0","id":1,"result":"0x10"},{"jsonrpc":"2.0","id":2,"result":null},
            {"jsonrpc":"2.0","id":3,"error":{"code":-32000,"message":"nonce too low"}}]"#;
        let replies: Vec<Reply<&str>> = parse_batch(text).unwrap();
        assert_eq!(replies[0].result, Some("0x10"));
        assert!(replies[1].result.is_none() && replies[1].error.is_none());
        assert_eq!(replies[2].error.as_ref().unwrap().message, "nonce too low");
        assert!(parse_batch::<&str>(br#"{"error":{}}"#).is_err());
    }

    #[test]
    fn quantities() {
        assert_eq!(parse_quantity("0x7a69").unwrap(), 31337);
        assert!(parse_quantity("31337").is_err());
        assert!(parse_quantity("0x10000000000000000").is_err());
    }
}
