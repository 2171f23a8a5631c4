//! From a message to a session, and from a token back to it: the rules, without the edge around them.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use alloy_primitives::{Address, B256};
use cloister_crypto::EntropySource;
use cloister_keys::SessionKey;
use cloister_primitives::SignIn;

use super::{
    check::{Present, check, digest},
    message::Message,
    nonces::Nonces,
    refusal::Refusal,
    revocations::Revocations,
    token::{MAX_ACCOUNTS, Session, TokenId},
};

/// Who is in a session, and how one comes and goes.
#[derive(Debug)]
pub(crate) struct Sessions {
    key: Arc<SessionKey>,
    sign_in: Option<SignIn>,
    chain_id: u64,
    nonces: Mutex<Nonces>,
    revocations: RwLock<Revocations>,
}

/// What a message claims, still to be proved by its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Whose it claims to be.
    pub(crate) account: Address,
    /// What the account must have signed.
    pub(crate) digest: B256,
    start_s: u64,
}

impl Sessions {
    pub(crate) fn new(
        key: Arc<SessionKey>,
        sign_in: Option<SignIn>,
        chain_id: u64,
        entropy: &mut dyn EntropySource,
    ) -> Self {
        let nonces = Mutex::new(Nonces::new(entropy));
        Self { key, sign_in, chain_id, nonces, revocations: RwLock::default() }
    }

    /// With sessions that were ended before a restart.
    pub(crate) fn with_revocations(self, revocations: Revocations) -> Self {
        Self { revocations: RwLock::new(revocations), ..self }
    }

    fn sign_in(&self) -> Result<&SignIn, Refusal> {
        self.sign_in.as_ref().ok_or(Refusal::NotConfigured)
    }

    /// Whether genesis lets tokens stand in a URL.
    pub(crate) fn are_tokens_in_path(&self) -> bool {
        self.sign_in.as_ref().is_some_and(|sign_in| sign_in.tokens_in_path)
    }

    pub(crate) const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// A nonce for one message.
    ///
    /// # Errors
    /// [`Refusal::NotConfigured`].
    pub(crate) fn nonce(&self, present: Present, entropy: &mut dyn EntropySource) -> Result<String, Refusal> {
        self.sign_in()?;
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(nonces.issue(present.latest_s(), entropy))
    }

    /// Reads and checks a message and uses its nonce up, whether or not the signature turns out to be good.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn claim(
        &self,
        text: &str,
        present: Present,
        entropy: &mut dyn EntropySource,
    ) -> Result<Claim, Refusal> {
        let message = Message::parse(text).map_err(Refusal::Message)?;
        check(&message, self.sign_in()?, self.chain_id, present)?;
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        nonces.redeem(message.nonce, present.latest_s(), entropy)?;
        Ok(Claim { account: message.address, digest: digest(text), start_s: present.start_s(&message) })
    }

    /// The session of a claim that was proved: a new one, or `earlier` with one more account. An account that joins does
    /// not make the others' proof last longer; the id stays, so that revoking either token revokes both.
    ///
    /// # Errors
    /// [`Refusal::TooManyAccounts`].
    pub(crate) fn grant(
        &self,
        claim: Claim,
        earlier: Option<&Session>,
        present: Present,
        entropy: &mut dyn EntropySource,
    ) -> Result<Session, Refusal> {
        let expires_s = claim.start_s.saturating_add(self.sign_in()?.token_seconds);
        let Some(earlier) = earlier else {
            let (id, accounts) = (TokenId::draw(entropy), [claim.account].into());
            return Ok(Session { id, issued_s: present.latest_s(), expires_s, accounts });
        };
        let mut accounts = earlier.accounts.to_vec();
        if !accounts.contains(&claim.account) {
            accounts.push(claim.account);
        }
        if accounts.len() > MAX_ACCOUNTS {
            return Err(Refusal::TooManyAccounts);
        }
        Ok(Session { expires_s: expires_s.min(earlier.expires_s), accounts: accounts.into(), ..*earlier })
    }

    /// A session as its owner carries it away.
    pub(crate) fn token(&self, session: &Session) -> String {
        session.to_token(&self.key)
    }

    /// The session of a token.
    ///
    /// # Errors
    /// [`Refusal::TokenInvalid`], [`Refusal::TokenExpired`] or [`Refusal::TokenRevoked`].
    pub(crate) fn session(&self, token: &str, present: Present) -> Result<Session, Refusal> {
        let session = Session::from_token(token, &self.key).ok_or(Refusal::TokenInvalid)?;
        self.check(&session, present)?;
        Ok(session)
    }

    /// Whether a session still lasts.
    ///
    /// # Errors
    /// [`Refusal::TokenExpired`] or [`Refusal::TokenRevoked`].
    pub(crate) fn check(&self, session: &Session, present: Present) -> Result<(), Refusal> {
        if session.expires_s <= present.committed_s {
            return Err(Refusal::TokenExpired);
        }
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        if revocations.contains(session) { Err(Refusal::TokenRevoked) } else { Ok(()) }
    }

    /// Ends a session before its time. Answers how many were ended so.
    pub(crate) fn revoke(&self, session: &Session, present: Present) -> u64 {
        let mut revocations = self.revocations.write().unwrap_or_else(PoisonError::into_inner);
        revocations.add(session, present.committed_s, present.latest_s());
        revocations.count()
    }

    /// What has to be kept of ended sessions, and of how many.
    pub(crate) fn notes(&self) -> (u64, Vec<u8>) {
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        (revocations.count(), revocations.to_notes())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use cloister_crypto::simulation::SeededEntropy;

    use super::*;
    use crate::auth::{nonces::NONCE_SECONDS, token::tests::key};

    const NOW: Present = Present { committed_s: 1_633_019_000, host_s: 1_633_019_124 };
    const TOKEN_SECONDS: u64 = 8 * 60 * 60;

    pub(crate) fn sessions() -> (Sessions, SeededEntropy) {
        let mut entropy = SeededEntropy::new(11);
        let sessions = Sessions::new(key(5), Some(SignIn::development()), 5, &mut entropy);
        (sessions, entropy)
    }

    fn message(account: Address, nonce: &str) -> String {
        format!(
            "localhost:3000 wants you to sign in with your Ethereum account:\n{account}\n\n\nURI: http://localhost:3000\n\
             Version: 1\nChain ID: 5\nNonce: {nonce}\nIssued At: 2021-09-30T16:25:24Z"
        )
    }

    fn proved(sessions: &Sessions, entropy: &mut SeededEntropy, account: Address) -> Claim {
        let nonce = sessions.nonce(NOW, entropy).unwrap();
        sessions.claim(&message(account, &nonce), NOW, entropy).unwrap()
    }

    #[test]
    fn a_claim_names_its_account_and_uses_the_nonce_up() {
        let (sessions, mut entropy) = sessions();
        let nonce = sessions.nonce(NOW, &mut entropy).unwrap();
        let text = message(Address::repeat_byte(1), &nonce);
        let claim = sessions.claim(&text, NOW, &mut entropy).unwrap();
        assert_eq!((claim.account, claim.digest), (Address::repeat_byte(1), digest(&text)));
        assert_eq!(sessions.claim(&text, NOW, &mut entropy), Err(Refusal::NonceUsed));
        let late = Present { host_s: NOW.host_s + NONCE_SECONDS + 1, ..NOW };
        let nonce = sessions.nonce(NOW, &mut entropy).unwrap();
        let text = message(Address::repeat_byte(1), &nonce);
        assert_eq!(sessions.claim(&text, late, &mut entropy), Err(Refusal::NonceExpired));
    }

    #[test]
    fn a_message_that_is_wrong_leaves_the_nonce_alone() {
        let (sessions, mut entropy) = sessions();
        let nonce = sessions.nonce(NOW, &mut entropy).unwrap();
        let good = message(Address::repeat_byte(1), &nonce);
        let elsewhere = good.replace("localhost:3000", "evil.example");
        assert_eq!(sessions.claim(&elsewhere, NOW, &mut entropy), Err(Refusal::Domain));
        assert!(matches!(sessions.claim("", NOW, &mut entropy), Err(Refusal::Message(_))));
        assert!(sessions.claim(&good, NOW, &mut entropy).is_ok());
    }

    #[test]
    fn a_session_lasts_in_block_time_until_it_is_revoked() {
        let (sessions, mut entropy) = sessions();
        let claim = proved(&sessions, &mut entropy, Address::repeat_byte(1));
        let session = sessions.grant(claim, None, NOW, &mut entropy).unwrap();
        // The chain stood still when its owner signed: his own time counts.
        assert_eq!(session.expires_s, NOW.host_s + TOKEN_SECONDS);
        let token = sessions.token(&session);
        let at = |committed_s, host_s| sessions.session(&token, Present { committed_s, host_s });
        assert_eq!(at(NOW.committed_s, NOW.host_s), Ok(session.clone()));
        assert_eq!(at(session.expires_s - 1, 0), Ok(session.clone()));
        assert_eq!(at(session.expires_s, 0), Err(Refusal::TokenExpired));
        assert_eq!(at(NOW.committed_s, u64::MAX), Ok(session.clone()), "the host's time ends no session");
        assert_eq!(sessions.session("forged", NOW), Err(Refusal::TokenInvalid));
        let _ = sessions.revoke(&session, NOW);
        assert_eq!(at(NOW.committed_s, NOW.host_s), Err(Refusal::TokenRevoked));
    }

    #[test]
    fn accounts_join_in_order_and_lengthen_nothing() {
        let (sessions, mut entropy) = sessions();
        let [first, second] = [1, 2].map(Address::repeat_byte);
        let claim = proved(&sessions, &mut entropy, first);
        let alone = sessions.grant(claim, None, NOW, &mut entropy).unwrap();
        let later = Present { committed_s: NOW.committed_s + 1_000, ..NOW };
        let claim = Claim { start_s: claim.start_s + 1_000, ..proved(&sessions, &mut entropy, second) };
        let both = sessions.grant(claim, Some(&alone), later, &mut entropy).unwrap();
        assert_eq!(*both.accounts, [first, second]);
        assert_eq!((both.id, both.expires_s), (alone.id, alone.expires_s));
        let again = sessions.grant(claim, Some(&both), later, &mut entropy).unwrap();
        assert_eq!(again, both);
        let _ = sessions.revoke(&alone, NOW);
        assert_eq!(sessions.check(&both, NOW), Err(Refusal::TokenRevoked));
    }

    #[test]
    fn a_set_is_bounded() {
        let (sessions, mut entropy) = sessions();
        let claim = proved(&sessions, &mut entropy, Address::ZERO);
        let mut session = sessions.grant(claim, None, NOW, &mut entropy).unwrap();
        for byte in 1..MAX_ACCOUNTS as u8 {
            let claim = Claim { account: Address::repeat_byte(byte), ..claim };
            session = sessions.grant(claim, Some(&session), NOW, &mut entropy).unwrap();
        }
        let claim = Claim { account: Address::repeat_byte(0xff), ..claim };
        assert_eq!(sessions.grant(claim, Some(&session), NOW, &mut entropy), Err(Refusal::TooManyAccounts));
        assert_eq!(sessions.session(&sessions.token(&session), NOW), Ok(session));
    }

    #[test]
    fn nobody_signs_in_where_genesis_names_no_site() {
        let mut entropy = SeededEntropy::new(11);
        let sessions = Sessions::new(key(5), None, 5, &mut entropy);
        assert_eq!(sessions.nonce(NOW, &mut entropy), Err(Refusal::NotConfigured));
        assert!(!sessions.are_tokens_in_path());
    }
}
