//! Signing in by hand: messages with any field wrong, and requests with tokens wherever they may stand.

use std::io::{self, BufReader, Write};
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::node::CHAIN_ID;
use crate::rpc::{HttpAnswer, RpcError, connect, outcome, read_answer};

/// One request on a connection of its own.
///
/// # Panics
/// If there is no answer.
#[must_use]
pub fn exchange(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> HttpAnswer {
    let answer = connect(address)
        .and_then(|connection| exchange_on(&mut BufReader::new(connection), method, path, headers, body));
    answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// One request on a connection that is kept.
///
/// # Errors
/// If the connection breaks.
pub fn exchange_on(
    connection: &mut BufReader<std::net::TcpStream>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<HttpAnswer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    // A refusal may come before everything is written.
    let written = connection.get_mut().write_all((head + body).as_bytes());
    let (answer, _) = read_answer(connection)?;
    written.map(|()| answer)
}

/// `Authorization` of a token.
#[must_use]
pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// One JSON-RPC call with a token in the header.
///
/// # Errors
/// The error object, whatever the HTTP status.
pub fn call_as(address: SocketAddr, token: &str, method: &str, params: &Value) -> Result<Value, RpcError> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    outcome(&exchange(address, "POST", "/", &[("Authorization", &bearer(token))], &body).json())
}

/// A message, field by field, for the development network on loopback.
#[derive(Clone, Debug)]
pub struct Message {
    /// What comes before the first space.
    pub domain: String,
    /// With its checksum.
    pub address: String,
    /// `URI`.
    pub uri: String,
    /// `Version`.
    pub version: String,
    /// `Chain ID`.
    pub chain_id: String,
    /// `Nonce`.
    pub nonce: String,
    /// `Issued At`.
    pub issued_at: String,
    /// Lines after that.
    pub more: String,
}

impl Message {
    /// A good one, with a fresh nonce of the node.
    ///
    /// # Panics
    /// If the node gives none.
    #[must_use]
    pub fn new(node: SocketAddr, signer: &PrivateKeySigner) -> Self {
        Self {
            domain: "localhost:3000".to_owned(),
            address: signer.address().to_checksum(None),
            uri: "http://localhost:3000/login".to_owned(),
            version: "1".to_owned(),
            chain_id: CHAIN_ID.to_string(),
            nonce: nonce(node),
            issued_at: rfc3339(now_s()),
            more: String::new(),
        }
    }

    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { domain, address, uri, version, chain_id, nonce, issued_at, more } = self;
        format!(
            "{domain} wants you to sign in with your Ethereum account:\n{address}\n\nRead the orders of \
             this account.\n\nURI: {uri}\nVersion: {version}\nChain ID: {chain_id}\nNonce: {nonce}\n\
             Issued At: {issued_at}{more}"
        )
    }
}

/// A fresh nonce.
///
/// # Panics
/// If the node gives none.
#[must_use]
pub fn nonce(node: SocketAddr) -> String {
    let answer = exchange(node, "GET", "/auth/nonce", &[], "").json();
    answer["nonce"].as_str().unwrap_or_else(|| panic!("no nonce: {answer}")).to_owned()
}

/// Posts a message and its signature; `token` is a session that the account shall join.
#[must_use]
pub fn post(node: SocketAddr, text: &str, signature: &str, token: Option<&str>) -> HttpAnswer {
    let body = json!({"message": text, "signature": signature}).to_string();
    let authorization = token.map(bearer);
    let headers: Vec<_> = authorization.iter().map(|value| ("Authorization", value.as_str())).collect();
    exchange(node, "POST", "/auth", &headers, &body)
}

/// Signs a text as wallets do.
///
/// # Panics
/// Never, with a key in memory.
#[must_use]
pub fn sign(signer: &PrivateKeySigner, text: &str) -> String {
    signer.sign_message_sync(text.as_bytes()).expect("a key in memory signs").to_string()
}

/// Signs an account in, alone or to the session of a token; returns the whole answer.
///
/// # Panics
/// If the node refuses.
#[must_use]
pub fn sign_in(node: SocketAddr, signer: &PrivateKeySigner, token: Option<&str>) -> Value {
    let text = Message::new(node, signer).text();
    let answer = post(node, &text, &sign(signer, &text), token);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

/// The token of an answer to a sign-in.
///
/// # Panics
/// If it has none.
#[must_use]
pub fn token(answer: &Value) -> String {
    answer["token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
}

/// The time of this machine, seconds since 1970.
///
/// # Panics
/// Before 1970.
#[must_use]
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// Seconds since 1970 as RFC 3339 has them, in UTC.
///
/// # Panics
/// Beyond the year 9999.
#[must_use]
pub fn rfc3339(at_s: u64) -> String {
    let time = i64::try_from(at_s).ok().and_then(|at_s| OffsetDateTime::from_unix_timestamp(at_s).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).expect("a year of four digits")
}
