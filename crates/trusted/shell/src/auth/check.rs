//! What a message must say to be a sign-in to this network, now.

use alloy_primitives::{B256, eip191_hash_message};
use cloister_primitives::SignIn;

use super::{message::Message, refusal::Refusal};

/// How far a client's clock may be ahead, in seconds.
const CLOCK_SKEW_SECONDS: u64 = 5 * 60;

/// What time it is. Tokens expire by the committed time alone. A chain without traffic stands still, though: what a
/// client's clock says is compared with the later of the two, which is what the next block would be stamped with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Present {
    /// Timestamp of the committed head.
    pub(crate) committed_s: u64,
    /// The host's time, which is no authority: alone it can refuse, and never admit for longer.
    pub(crate) host_s: u64,
}

impl Present {
    /// What the next block would be stamped with.
    pub(crate) fn latest_s(self) -> u64 {
        self.committed_s.max(self.host_s)
    }

    /// From when on a token counts: when its owner says that he signed, or the committed head where that is later. The
    /// owner cannot name a future that the host does not confirm, and the host none that the owner did not sign.
    pub(crate) fn start_s(self, message: &Message<'_>) -> u64 {
        self.committed_s.max(message.issued_at_s)
    }
}

/// Checks everything but nonce and signature.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn check(message: &Message<'_>, sign_in: &SignIn, chain_id: u64, present: Present) -> Result<(), Refusal> {
    if !sign_in.site.is_domain(message.domain) {
        return Err(Refusal::Domain);
    }
    let scheme = message.uri.split(':').next().unwrap_or_default();
    if !sign_in.site.is_uri(message.uri) || message.scheme.is_some_and(|named| named != scheme) {
        return Err(Refusal::Uri);
    }
    if message.chain_id != chain_id {
        return Err(Refusal::ChainId);
    }
    let latest_s = present.latest_s();
    if message.issued_at_s > latest_s.saturating_add(CLOCK_SKEW_SECONDS) {
        return Err(Refusal::IssuedInFuture);
    }
    if message.expires_at_s.is_some_and(|expires_s| expires_s <= latest_s) {
        return Err(Refusal::MessageExpired);
    }
    if message.not_before_s.is_some_and(|not_before_s| not_before_s > latest_s) {
        return Err(Refusal::NotYetValid);
    }
    Ok(())
}

/// What is signed: a personal message (EIP-191, version 0x45).
pub(crate) fn digest(message: &str) -> B256 {
    eip191_hash_message(message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::{Address, b256};
    use cloister_primitives::Site;

    use super::*;

    const NOW: Present = Present { committed_s: 10_000, host_s: 20_000 };

    fn sign_in() -> SignIn {
        let site = Site::Named { domain: "a.example".to_owned(), uri: "https://a.example".to_owned() };
        SignIn { site, tokens_in_path: false, token_seconds: 600 }
    }

    fn message() -> Message<'static> {
        Message {
            scheme: None,
            domain: "a.example",
            address: Address::ZERO,
            uri: "https://a.example/login",
            chain_id: 5,
            nonce: "",
            issued_at_s: 20_000,
            expires_at_s: None,
            not_before_s: None,
        }
    }

    #[test]
    fn every_field_counts() {
        let check = |message: Message<'_>| check(&message, &sign_in(), 5, NOW);
        assert_eq!(check(message()), Ok(()));
        let whole = Message {
            scheme: Some("https"),
            issued_at_s: 20_300,
            expires_at_s: Some(20_001),
            not_before_s: Some(20_000),
            ..message()
        };
        assert_eq!(check(whole.clone()), Ok(()));
        for (wrong, refusal) in [
            (Message { domain: "b.example", ..message() }, Refusal::Domain),
            (Message { domain: "localhost", ..message() }, Refusal::Domain),
            (Message { uri: "https://b.example/login", ..message() }, Refusal::Uri),
            (Message { scheme: Some("http"), ..message() }, Refusal::Uri),
            (Message { chain_id: 6, ..message() }, Refusal::ChainId),
            (Message { issued_at_s: 20_301, ..message() }, Refusal::IssuedInFuture),
            (Message { expires_at_s: Some(20_000), ..message() }, Refusal::MessageExpired),
            (Message { not_before_s: Some(20_001), ..message() }, Refusal::NotYetValid),
        ] {
            assert_eq!(check(wrong), Err(refusal));
        }
    }

    #[test]
    fn block_time_counts_where_it_is_ahead_of_the_host() {
        let ahead = Present { committed_s: 30_000, host_s: 20_000 };
        let expired = Message { expires_at_s: Some(30_000), ..message() };
        assert_eq!(check(&expired, &sign_in(), 5, ahead), Err(Refusal::MessageExpired));
        assert_eq!(ahead.start_s(&message()), 30_000);
        assert_eq!(NOW.start_s(&message()), 20_000);
    }

    #[test]
    fn messages_are_hashed_as_wallets_do() {
        // `cast hash-message hello`
        let expected = b256!("50b2c43fd39106bafbba0da34fc430e1f91e3c96ea2acee2bc34119f92b37750");
        assert_eq!(digest("hello"), expected);
    }
}
