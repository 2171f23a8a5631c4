//! The one derivation function, and every label. Change nothing here without `docs/keys.md`.

use cloister_crypto::{Key, Secret, hkdf_sha256};

/// Salt of every derivation: the format's name and version.
const SALT: &[u8] = b"cloister/v1";

pub(crate) const LEDGER: &str = "cloister/ledger";
pub(crate) const BLOCK: &str = "cloister/ledger/block";
pub(crate) const SNAPSHOT: &str = "cloister/ledger/snapshot";
pub(crate) const META: &str = "cloister/ledger/meta";
pub(crate) const CONSENSUS: &str = "cloister/ledger/consensus";
pub(crate) const LOGS: &str = "cloister/ledger/logs";
pub(crate) const LOG_FINGERPRINT: &str = "cloister/ledger/logs/fingerprint";
pub(crate) const COMMITMENT: &str = "cloister/ledger/commitment";
pub(crate) const SESSION: &str = "cloister/ledger/session";
pub(crate) const RECORD: &str = "cloister/record";
pub(crate) const SEALING: &str = "cloister/sealing";
pub(crate) const IDENTITY: &str = "cloister/identity";

/// HKDF-SHA256 over `label ‖ 0x00 ‖ context`. No label holds a zero byte, so the two cannot run into each other.
pub(crate) fn derive(parent: &Key, label: &str, context: &[u8]) -> Key {
    Secret::init(|key| {
        hkdf_sha256(SALT, parent.expose(), &[label.as_bytes(), &[0], context], key)
            .expect("invariant: one key is shorter than 255 blocks of output");
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [&str; 12] = [
        LEDGER,
        BLOCK,
        SNAPSHOT,
        META,
        LOGS,
        LOG_FINGERPRINT,
        COMMITMENT,
        SESSION,
        RECORD,
        SEALING,
        CONSENSUS,
        IDENTITY,
    ];

    #[test]
    fn labels_are_ascii_distinct_and_without_zero_bytes() {
        for (index, label) in LABELS.iter().enumerate() {
            assert!(label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'/'), "{label}");
            assert!(!LABELS[..index].contains(label), "{label} twice");
        }
    }

    #[test]
    fn label_context_and_parent_each_change_the_key() {
        let parent = Secret::new([1; 32]);
        let key = derive(&parent, BLOCK, b"x");
        assert_ne!(key.expose(), derive(&parent, META, b"x").expose());
        assert_ne!(key.expose(), derive(&parent, BLOCK, b"y").expose());
        assert_ne!(key.expose(), derive(&Secret::new([2; 32]), BLOCK, b"x").expose());
        assert_eq!(key.expose(), derive(&parent, BLOCK, b"x").expose());
    }
}
