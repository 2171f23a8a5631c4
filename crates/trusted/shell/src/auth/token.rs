//! Session tokens: what they carry, and how they are written.
//!
//! ```text
//! version (1) ‖ id (16) ‖ issued (8) ‖ expires (8) ‖ accounts (20 each, 1 to 16) ‖ HMAC-SHA256 of all before it (32)
//! ```
//! in base64url without padding (RFC 4648, 5): 114 characters for one account. Times are seconds of block time.

use std::sync::Arc;

use alloy_primitives::Address;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cloister_access::Caller;
use cloister_crypto::EntropySource;
use cloister_keys::{SESSION_MAC_LEN, SessionKey};

/// Accounts of one session.
pub(crate) const MAX_ACCOUNTS: usize = 16;

const VERSION: u8 = 1;
const ID_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + ID_BYTES + 8 + 8;
const ADDRESS_BYTES: usize = 20;
/// Characters of the longest token.
const MAX_TOKEN_CHARS: usize = (HEAD_BYTES + MAX_ACCOUNTS * ADDRESS_BYTES + SESSION_MAC_LEN).div_ceil(3) * 4;

/// Names a token, and all that were made from it by adding an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TokenId([u8; ID_BYTES]);

impl TokenId {
    pub(crate) fn draw(entropy: &mut dyn EntropySource) -> Self {
        let mut id = [0; ID_BYTES];
        entropy.fill(&mut id);
        Self(id)
    }

    pub(crate) const fn from_bytes(id: [u8; ID_BYTES]) -> Self {
        Self(id)
    }

    pub(crate) const fn bytes(self) -> [u8; ID_BYTES] {
        self.0
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: TokenId,
    pub(crate) issued_s: u64,
    /// The first second in which it is not good any more.
    pub(crate) expires_s: u64,
    /// In the order in which they signed in; at least one.
    pub(crate) accounts: Arc<[Address]>,
}

impl Session {
    /// Who this is to the methods.
    pub(crate) fn caller(&self) -> Caller {
        Caller::Session(self.accounts.clone())
    }

    /// The token, of a session with at most [`MAX_ACCOUNTS`] accounts.
    pub(crate) fn to_token(&self, key: &SessionKey) -> String {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.accounts.len() * ADDRESS_BYTES + SESSION_MAC_LEN);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&self.issued_s.to_be_bytes());
        bytes.extend_from_slice(&self.expires_s.to_be_bytes());
        for account in &*self.accounts {
            bytes.extend_from_slice(account.as_slice());
        }
        let mac = key.mac(&[&bytes]);
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that was made under `key`; nothing of it is looked at before its authenticator is.
    pub(crate) fn from_token(token: &str, key: &SessionKey) -> Option<Self> {
        if token.len() > MAX_TOKEN_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (body, mac) = bytes.split_at_checked(bytes.len().checked_sub(SESSION_MAC_LEN)?)?;
        if !key.verify(&[body], mac) {
            return None;
        }
        let (version, body) = body.split_first()?;
        let (id, body) = body.split_first_chunk()?;
        let (issued, body) = body.split_first_chunk()?;
        let (expires, body) = body.split_first_chunk()?;
        let (accounts, rest) = body.as_chunks::<ADDRESS_BYTES>();
        if *version != VERSION || !rest.is_empty() || !(1..=MAX_ACCOUNTS).contains(&accounts.len()) {
            return None;
        }
        Some(Self {
            id: TokenId(*id),
            issued_s: u64::from_be_bytes(*issued),
            expires_s: u64::from_be_bytes(*expires),
            accounts: accounts.iter().map(Address::from).collect(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use alloy_primitives::B256;
    use cloister_crypto::simulation::SeededEntropy;
    use cloister_keys::{Epoch, LedgerKeys, PlatformKey};

    use super::*;

    /// The key of the chain with this id.
    pub(crate) fn key(chain_id: u64) -> Arc<SessionKey> {
        LedgerKeys::derive(&PlatformKey::from_bytes(&[7; 32]).unwrap(), chain_id, B256::ZERO, Epoch(0)).session()
    }

    fn session(accounts: usize) -> Session {
        Session {
            id: TokenId::draw(&mut SeededEntropy::new(3)),
            issued_s: 1_000,
            expires_s: 2_000,
            accounts: (1..=accounts).map(|byte| Address::repeat_byte(byte as u8)).collect(),
        }
    }

    #[test]
    fn a_token_says_what_was_put_into_it() {
        for accounts in [1, 2, MAX_ACCOUNTS] {
            let session = session(accounts);
            let token = session.to_token(&key(1));
            assert!(token.len() <= MAX_TOKEN_CHARS);
            assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
            assert_eq!(Session::from_token(&token, &key(1)), Some(session));
        }
        assert_eq!(session(1).to_token(&key(1)).len(), 114);
    }

    #[test]
    fn no_other_text_is_a_token() {
        let token = session(2).to_token(&key(1));
        for position in 0..token.len() {
            for other in [b'A', b'B', b'_'] {
                let mut forged = token.clone().into_bytes();
                if forged[position] != other {
                    forged[position] = other;
                    let forged = String::from_utf8(forged).unwrap();
                    assert_eq!(Session::from_token(&forged, &key(1)), None, "{position}");
                }
            }
            assert_eq!(Session::from_token(&token[..position], &key(1)), None, "cut at {position}");
        }
        for wrong in [format!("{token}="), format!("{token}A"), format!(" {token}"), "A".repeat(10_000)] {
            assert_eq!(Session::from_token(&wrong, &key(1)), None);
        }
    }

    #[test]
    fn a_token_of_another_chain_is_none() {
        assert_eq!(Session::from_token(&session(1).to_token(&key(1)), &key(2)), None);
    }

    #[test]
    fn a_set_without_accounts_or_with_too_many_is_no_session_even_if_it_is_authentic() {
        for accounts in [0, MAX_ACCOUNTS + 1] {
            let token = session(accounts).to_token(&key(1));
            assert_eq!(Session::from_token(&token, &key(1)), None, "{accounts}");
        }
    }
}
