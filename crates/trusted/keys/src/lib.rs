//! Key hierarchy, and sealing of what leaves the enclave for the disk.
//!
//! **Duty.** Opens the envelopes that clients seal transactions in ([`SealingKeys`]). Derives every other key from the platform's
//! by label ([`LedgerKeys::derive`]); seals block records, snapshot chunks,
//! sections of the log index and metadata into padded blobs and opens them again. Gives a node the key that the others of
//! its network know it by ([`NodeIdentity`]). `docs/keys.md` is the reference for labels, layout and loss.
//!
//! **Trusts.** The platform key it is given, and that the nonces and incarnations handed in are fresh randomness.
//!
//! **Invariants.** A blob opens only at the place it was sealed for: kind, height or chunk, parent, epoch, incarnation, size
//! class and chain are all authenticated. Its length says its size class and nothing else. Opening arbitrary bytes never
//! panics and names what is wrong without telling anything about the content. No key can be cloned or printed.
//!
//! **Not here.** Ciphers (`cloister-crypto`), where the platform key comes from, what a record means, freshness of the disk as
//! a whole, channels to other nodes (the shell's). Recovery shares and rekeying come with consensus.

mod blob;
mod derive;
mod identity;
mod ledger;
mod platform;
mod sealing;
mod session;
mod size_class;

pub use blob::{
    BlockBlob, ConsensusBlob, FORMAT_VERSION, HEADER_LEN, LogSectionBlob, MetaBlob, OpenError, Sealed, SnapshotChunk,
};
pub use cloister_crypto::{EntropySource, NONCE_LEN, Nonce, draw_nonce};
pub use identity::NodeIdentity;
pub use ledger::{BlockAad, ConsensusAad, LedgerKeys, LogSectionAad, MetaAad, SaltDomain, SealError, SnapshotAad};
pub use platform::{KeyError, PlatformKey};
pub use sealing::{
    MAX_SEALING_CONTEXTS, NotOpened, OpenedContext, OpenedEnvelope, Opener, SEALING_EPOCH_MS, SealingKeys,
    SealingPublic,
};
pub use session::{SESSION_MAC_LEN, SessionKey};
pub use size_class::{MAX_PLAINTEXT_BYTES, MAX_SEALED_BYTES, SNAPSHOT_CHUNK_BYTES, SizeClass};

/// Length of an [`Incarnation`] in bytes.
pub const INCARNATION_LEN: usize = 16;

/// Which run of an enclave sealed a blob: random bytes, drawn once per process start.
///
/// Each incarnation seals under keys of its own, so nothing that a rollback of the disk repeats can repeat a nonce.
pub type Incarnation = [u8; INCARNATION_LEN];

/// Number of a ledger key; rises when the network changes its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl core::fmt::Display for Epoch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// Draws the incarnation of a starting process.
#[must_use]
pub fn draw_incarnation(entropy: &mut dyn EntropySource) -> Incarnation {
    let mut incarnation = [0; INCARNATION_LEN];
    entropy.fill(&mut incarnation);
    incarnation
}
