//! Tokens that were taken back, until they would have expired anyway.
//!
//! Kept over a restart as `version (1) ‖ floor (8, zero for none) ‖ for each: id (16) ‖ expires (8)`.

use std::collections::BTreeMap;

use cloister_core::MAX_NOTES_BYTES;

use super::token::{Session, TokenId};

/// Revoked tokens that are remembered one by one.
const MAX_REVOKED: usize = 1 << 14;

const VERSION: u8 = 1;
const ID_BYTES: usize = 16;
const ENTRY_BYTES: usize = ID_BYTES + 8;

const _: () = assert!(1 + 8 + MAX_REVOKED * ENTRY_BYTES <= MAX_NOTES_BYTES);

/// The tokens revoked at this node. Bounded: when there are too many, all tokens issued until then are
/// revoked together. That asks everybody to sign in again, and never lets a revoked token back in.
#[derive(Debug)]
pub(crate) struct Revocations {
    expires_s: BTreeMap<TokenId, u64>,
    most: usize,
    /// Tokens issued up to and including this second are revoked.
    floor_s: Option<u64>,
    /// How many were added since the node was started.
    count: u64,
}

impl Default for Revocations {
    fn default() -> Self {
        Self { expires_s: BTreeMap::new(), most: MAX_REVOKED, floor_s: None, count: 0 }
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
        self.count += 1;
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

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// What is kept over a restart.
    pub(crate) fn to_notes(&self) -> Vec<u8> {
        let mut notes = vec![VERSION];
        notes.extend(self.floor_s.map_or(0, |floor_s| floor_s.saturating_add(1)).to_be_bytes());
        for (id, expires_s) in &self.expires_s {
            notes.extend(id.bytes());
            notes.extend(expires_s.to_be_bytes());
        }
        notes
    }

    /// What was kept; nothing where these are no notes of this kind. They were sealed: nobody else wrote them.
    pub(crate) fn from_notes(notes: &[u8]) -> Self {
        let read = || {
            let (version, rest) = notes.split_first()?;
            let (floor, entries) = rest.split_first_chunk()?;
            let entries: &[[u8; ENTRY_BYTES]] = entries.as_chunks().0;
            let floor_s = u64::from_be_bytes(*floor).checked_sub(1);
            (*version == VERSION).then_some((floor_s, entries))
        };
        let Some((floor_s, entries)) = read() else { return Self::default() };
        let entry = |entry: &[u8; ENTRY_BYTES]| {
            let (id, expires) = entry.split_first_chunk()?;
            Some((TokenId::from_bytes(*id), u64::from_be_bytes(expires.try_into().ok()?)))
        };
        Self { expires_s: entries.iter().filter_map(entry).collect(), floor_s, ..Self::default() }
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
    fn what_was_revoked_stays_so_over_a_restart() {
        let mut revocations = Revocations { most: 3, ..Revocations::default() };
        assert_eq!(Revocations::from_notes(&revocations.to_notes()).to_notes(), revocations.to_notes());
        let revoked: Vec<_> = sessions().take(5).collect();
        for session in &revoked {
            revocations.add(session, 100, 99);
        }
        let kept = Revocations::from_notes(&revocations.to_notes());
        assert_eq!((&kept.expires_s, kept.floor_s), (&revocations.expires_s, Some(100)));
        assert!(revoked.iter().all(|session| kept.contains(session)));
        for none in [&[][..], &[9], &[9; 40], &[VERSION]] {
            assert!(Revocations::from_notes(none).expires_s.is_empty());
        }
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
