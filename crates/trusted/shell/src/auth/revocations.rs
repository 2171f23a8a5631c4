//! Tokens that were taken back, until they would have expired anyway.

use std::collections::BTreeMap;

use super::token::{Session, TokenId};

/// Revoked tokens that are remembered one by one.
const MAX_REVOKED: usize = 1 << 16;

/// The tokens revoked at this node since it started. Bounded: when there are too many, all tokens issued until then are
/// revoked together. That asks everybody to sign in again, and never lets a revoked token back in.
#[derive(Debug)]
pub(crate) struct Revocations {
    expires_s: BTreeMap<TokenId, u64>,
    most: usize,
    /// Tokens issued up to and including this second are revoked.
    floor_s: Option<u64>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self { expires_s: BTreeMap::new(), most: MAX_REVOKED, floor_s: None }
    }
}

impl Revocations {
    /// Whether a session's token was taken back.
    pub(crate) fn contains(&self, session: &Session) -> bool {
        self.floor_s.is_some_and(|floor_s| session.issued_s <= floor_s) || self.expires_s.contains_key(&session.id)
    }

    /// Takes a session's token back. `committed_s` is the time by which tokens expire, `latest_s` the one they are
    /// issued by.
    pub(crate) fn add(&mut self, session: &Session, committed_s: u64, latest_s: u64) {
        if self.expires_s.len() >= self.most {
            self.expires_s.retain(|_, expires_s| *expires_s > committed_s);
        }
        if self.expires_s.len() >= self.most {
            self.floor_s = self.floor_s.max(Some(latest_s.max(session.issued_s)));
            self.expires_s.clear();
        }
        let expires_s = self.expires_s.entry(session.id).or_default();
        *expires_s = session.expires_s.max(*expires_s);
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use cloister_crypto::simulation::SeededEntropy;

    use super::*;

    fn sessions() -> impl Iterator<Item = Session> {
        let mut entropy = SeededEntropy::new(5);
        core::iter::repeat_with(move || Session {
            id: TokenId::draw(&mut entropy),
            issued_s: 100,
            expires_s: 200,
            accounts: [Address::ZERO].into(),
        })
    }

    #[test]
    fn what_was_revoked_is_and_nothing_else() {
        let mut revocations = Revocations::default();
        let [revoked, other] = [0; 2].map(|_| sessions()).map(|mut sessions| sessions.next());
        let (Some(revoked), Some(_)) = (revoked, other) else { unreachable!("the iterator does not end") };
        let other = sessions().nth(1).unwrap_or_else(|| unreachable!("the iterator does not end"));
        revocations.add(&revoked, 100, 100);
        assert!(revocations.contains(&revoked));
        assert!(!revocations.contains(&other));
    }

    #[test]
    fn a_flood_of_revocations_revokes_more_and_never_less() {
        let mut revocations = Revocations { most: 3, ..Revocations::default() };
        let revoked: Vec<_> = sessions().take(10).collect();
        for session in &revoked {
            revocations.add(session, 100, 150);
        }
        assert!(revocations.expires_s.len() <= 3);
        assert!(revoked.iter().all(|session| revocations.contains(session)));
        let issued = |issued_s| Session { issued_s, ..revoked[0].clone() };
        let newer = sessions().nth(20).map(|session| Session { issued_s: 151, ..session });
        assert!(newer.is_some_and(|newer| !revocations.contains(&newer)));
        assert!(revocations.contains(&issued(150)));
    }

    #[test]
    fn expired_tokens_make_room() {
        let mut revocations = Revocations { most: 3, ..Revocations::default() };
        for session in sessions().take(10) {
            revocations.add(&session, 200, 300);
        }
        assert_eq!(revocations.floor_s, None);
        assert!(revocations.expires_s.len() <= 3);
    }
}
