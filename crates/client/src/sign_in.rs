//! Signing in, and out.

use alloy_primitives::Address;
use serde::Deserialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Account, ClientError, Node, NodeUrl};

/// What a message says its signer signs in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Host, and port if any.
    pub domain: String,
    /// A URI of that site.
    pub uri: String,
}

impl Site {
    /// The site that a node's URL names.
    #[must_use]
    pub fn of(url: &NodeUrl) -> Self {
        Self { domain: url.authority().to_owned(), uri: url.to_string() }
    }
}

/// A session as the node gave it.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// What requests carry from now on. A secret: whoever has it reads as these accounts.
    pub token: String,
    /// Whose it is, the first being who calls are made as by default.
    pub accounts: Vec<Address>,
    /// When it ends, in seconds of block time since 1970.
    pub expires_at: u64,
}

/// Shows no token.
impl core::fmt::Debug for Session {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Session")
            .field("accounts", &self.accounts)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Nonce {
    nonce: String,
    chain_id: u64,
}

/// A message in the format of EIP-4361, without statement.
fn message(account: Address, site: &Site, nonce: &Nonce, issued_at: &str) -> String {
    let Site { domain, uri } = site;
    let Nonce { nonce, chain_id } = nonce;
    format!(
        "{domain} wants you to sign in with your Ethereum account:\n{}\n\n\nURI: {uri}\nVersion: 1\n\
         Chain ID: {chain_id}\nNonce: {nonce}\nIssued At: {issued_at}",
        account.to_checksum(None),
    )
}

fn read<T: for<'de> Deserialize<'de>>(node: &Node, answer: Value) -> Result<T, ClientError> {
    serde_json::from_value(answer).map_err(|_| node.not_a_node())
}

/// Signs accounts in, all to one session; `None` without any.
///
/// # Errors
/// [`ClientError::Refused`] with the node's reason, [`ClientError::Evidence`], or that there is no node.
pub async fn sign_in(node: &Node, site: &Site, accounts: &[Account]) -> Result<Option<Session>, ClientError> {
    let mut session: Option<Session> = None;
    for account in accounts {
        let nonce: Nonce = read(node, node.post("/auth/nonce", None, &json!({})).await?.value)?;
        // Nothing that the node sends may change what the message means.
        if nonce.nonce.is_empty() || !nonce.nonce.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(node.not_a_node());
        }
        let now = OffsetDateTime::now_utc().replace_nanosecond(0).map_err(|_| ClientError::Clock)?;
        let issued_at = now.format(&Rfc3339).map_err(|_| ClientError::Clock)?;
        let message = message(account.address(), site, &nonce, &issued_at);
        let signature = account.sign(&message);
        let token = session.as_ref().map(|session| session.token.as_str());
        let answer = node.post("/auth", token, &json!({ "message": message, "signature": signature })).await?;
        session = Some(read(node, answer.value)?);
    }
    Ok(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_the_specification_has_them() {
        let site = Site { domain: "localhost:8545".to_owned(), uri: "http://localhost:8545".to_owned() };
        let nonce = Nonce { nonce: "abcdefgh1".to_owned(), chain_id: 31337 };
        assert_eq!(
            message(Address::ZERO, &site, &nonce, "2026-01-02T03:04:05Z"),
            "localhost:8545 wants you to sign in with your Ethereum account:\n\
             0x0000000000000000000000000000000000000000\n\n\n\
             URI: http://localhost:8545\nVersion: 1\nChain ID: 31337\nNonce: abcdefgh1\nIssued At: 2026-01-02T03:04:05Z"
        );
    }

    #[test]
    fn a_token_is_not_shown() {
        let session = Session { token: "secret".to_owned(), accounts: Vec::new(), expires_at: 1 };
        assert_eq!(format!("{session:?}"), "Session { accounts: [], expires_at: 1, .. }");
    }
}
