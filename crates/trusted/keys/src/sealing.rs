//! The keys that clients seal transactions for: random, in memory only, changed every hour.
//!
//! A node draws a seed per epoch, from which one key pair per suite follows, and forgets the seed. An epoch's keys open what was
//! sealed for them until the end of the next epoch; then they are wiped, and so are the contexts that clients opened with them: who recorded
//! the traffic and takes the machine later finds nothing to open it with. They never leave the process, not even sealed: after a
//! restart clients ask for the new ones. What was opened and admitted is in blocks, sealed under the ledger key.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::B256;
use cloister_crypto::{
    ContextKey, CryptoError, EntropySource, HpkeKem, HpkePrivateKey, HpkeTerms, Key, Secret, sha256,
};
use cloister_primitives::envelope::{
    CONTEXT_LABEL, ContextId, Header, Keying, SEALING_INFO, SealingEpoch, SealingSuite, unpad,
};

use crate::derive::{SEALING, derive};

/// How long clients are told to use an epoch's keys, milliseconds.
pub const SEALING_EPOCH_MS: u64 = 3_600_000;
/// How many contexts a node keeps; the one that was not used for longest makes room.
pub const MAX_SEALING_CONTEXTS: usize = 4_096;

/// What both sides of a context agree on.
const SEALING_TERMS: HpkeTerms<'static> = HpkeTerms { info: SEALING_INFO, export_label: CONTEXT_LABEL };

/// How a suite of envelopes encapsulates keys.
const fn kem_of(suite: SealingSuite) -> HpkeKem {
    match suite {
        SealingSuite::X25519 => HpkeKem::X25519,
        SealingSuite::XWing => HpkeKem::XWing,
    }
}

/// The public half of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingPublic {
    /// Its name.
    pub epoch: SealingEpoch,
    /// Public keys, by suite.
    pub keys: Vec<(SealingSuite, Vec<u8>)>,
    /// When the next epoch begins, milliseconds since the Unix epoch in the host's time. These keys open for as long again.
    pub until_ms: u64,
}

/// All keys that open envelopes now.
pub struct SealingKeys {
    current: Epoch,
    previous: Option<Epoch>,
    contexts: Contexts,
}

struct Epoch {
    public: SealingPublic,
    private: Vec<(SealingSuite, Arc<HpkePrivateKey>)>,
}

#[derive(Default)]
struct Contexts {
    by_id: BTreeMap<ContextId, Context>,
    /// By last use.
    by_use: BTreeMap<u64, ContextId>,
    uses: u64,
}

struct Context {
    epoch: SealingEpoch,
    key: Arc<ContextKey>,
    used: u64,
}

/// What opens one envelope. Opening is long enough to be done elsewhere.
#[derive(Clone, Debug)]
pub struct Opener {
    header: Header,
    key: OpenerKey,
}

#[derive(Clone, Debug)]
enum OpenerKey {
    Private(Arc<HpkePrivateKey>),
    Context(Arc<ContextKey>),
}

/// An opened envelope.
#[derive(Debug)]
pub struct OpenedEnvelope {
    /// The transaction as its sender signed it.
    pub transaction: Vec<u8>,
    /// The context that the envelope opened, to be [remembered](SealingKeys::remember).
    pub context: Option<OpenedContext>,
}

/// A context that was opened with an epoch's keys.
#[derive(Debug)]
pub struct OpenedContext {
    id: ContextId,
    epoch: SealingEpoch,
    key: ContextKey,
}

/// An envelope that does not open. Why it does not, nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the envelope does not open")]
pub struct NotOpened;

impl Epoch {
    fn draw(now_ms: u64, entropy: &mut dyn EntropySource) -> Self {
        let seed: Key = Secret::init(|seed| entropy.fill(seed));
        let mut private = Vec::new();
        let mut keys = Vec::new();
        for suite in SealingSuite::ALL {
            // A seed for each: one that breaks says nothing of the other.
            let own = derive(&seed, SEALING, &[suite.number()]);
            let (key, public) = HpkePrivateKey::derive(kem_of(suite), &own);
            private.push((suite, Arc::new(key)));
            keys.push((suite, public));
        }
        let digest = sha256(&keys.iter().flat_map(|(_, public)| public.clone()).collect::<Vec<u8>>());
        let mut epoch = [0; 8];
        epoch.copy_from_slice(&digest[..8]);
        let until_ms = now_ms.saturating_add(SEALING_EPOCH_MS);
        Self { public: SealingPublic { epoch: SealingEpoch(epoch), keys, until_ms }, private }
    }
}

impl SealingKeys {
    /// The keys of a starting node.
    #[must_use]
    pub fn draw(now_ms: u64, entropy: &mut dyn EntropySource) -> Self {
        Self { current: Epoch::draw(now_ms, entropy), previous: None, contexts: Contexts::default() }
    }

    /// Begins the next epoch if this one is over, and wipes the keys that have had their time.
    pub fn rotate_if_due(&mut self, now_ms: u64, entropy: &mut dyn EntropySource) {
        if now_ms < self.current.public.until_ms {
            return;
        }
        let ended = core::mem::replace(&mut self.current, Epoch::draw(now_ms, entropy));
        // After a long sleep the epoch that ends is older than its keys may be.
        let over = now_ms >= ended.public.until_ms.saturating_add(SEALING_EPOCH_MS);
        self.previous = (!over).then_some(ended);
        let kept = self.previous.as_ref().map(|epoch| epoch.public.epoch);
        self.contexts.keep(|epoch| Some(epoch) == kept);
    }

    /// When [`rotate_if_due`](Self::rotate_if_due) has something to do, milliseconds since the Unix epoch.
    #[must_use]
    pub const fn due_ms(&self) -> u64 {
        self.current.public.until_ms
    }

    /// What clients seal for now.
    #[must_use]
    pub const fn public(&self) -> &SealingPublic {
        &self.current.public
    }

    /// What opens an envelope, if any key here may.
    ///
    /// # Errors
    /// [`NotOpened`] if it is none, or its epoch or context is not, or no longer, known.
    pub fn opener(&mut self, envelope: &[u8]) -> Result<Opener, NotOpened> {
        let (header, _) = Header::parse(envelope).map_err(|_| NotOpened)?;
        let key = match &header.keying {
            Keying::First { .. } => {
                let epochs = [Some(&self.current), self.previous.as_ref()];
                let epoch = epochs.into_iter().flatten().find(|known| known.public.epoch == header.epoch);
                let private = epoch.and_then(|epoch| epoch.private.iter().find(|(suite, _)| *suite == header.suite));
                OpenerKey::Private(private.ok_or(NotOpened)?.1.clone())
            }
            Keying::Continued { context, .. } => {
                OpenerKey::Context(self.contexts.find(*context, header.epoch).ok_or(NotOpened)?)
            }
        };
        Ok(Opener { header, key })
    }

    /// Keeps a context, so that its sender can go on in it. One whose epoch is over meanwhile is not kept.
    pub fn remember(&mut self, opened: OpenedContext) {
        let known = [Some(&self.current), self.previous.as_ref()];
        if known.into_iter().flatten().any(|epoch| epoch.public.epoch == opened.epoch) {
            self.contexts.insert(opened);
        }
    }
}

impl Contexts {
    fn find(&mut self, id: ContextId, epoch: SealingEpoch) -> Option<Arc<ContextKey>> {
        let context = self.by_id.get_mut(&id).filter(|context| context.epoch == epoch)?;
        self.by_use.remove(&context.used);
        self.uses += 1;
        context.used = self.uses;
        self.by_use.insert(self.uses, id);
        Some(context.key.clone())
    }

    /// A context that is there already stays: the same first envelope may be sent twice.
    fn insert(&mut self, opened: OpenedContext) {
        if self.by_id.contains_key(&opened.id) {
            return;
        }
        if self.by_id.len() >= MAX_SEALING_CONTEXTS
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.by_id.remove(&oldest);
        }
        self.uses += 1;
        self.by_use.insert(self.uses, opened.id);
        let context = Context { epoch: opened.epoch, key: Arc::new(opened.key), used: self.uses };
        self.by_id.insert(opened.id, context);
    }

    fn keep(&mut self, keeps: impl Fn(SealingEpoch) -> bool) {
        self.by_id.retain(|_, context| keeps(context.epoch));
        let by_id = &self.by_id;
        self.by_use.retain(|_, id| by_id.contains_key(id));
    }
}

impl Opener {
    /// Opens the envelope that this opener was found for.
    ///
    /// # Errors
    /// [`NotOpened`] whatever is wrong: with the seal, the chain it was made for, or the padding.
    pub fn open(&self, envelope: &[u8], chain_id: u64, genesis_hash: B256) -> Result<OpenedEnvelope, NotOpened> {
        let (header, ciphertext) = Header::parse(envelope).map_err(|_| NotOpened)?;
        if header != self.header {
            return Err(NotOpened);
        }
        let aad = header.additional_data(chain_id, genesis_hash);
        let refused = |_: CryptoError| NotOpened;
        let (padded, context) = match (&self.key, &header.keying) {
            (OpenerKey::Private(key), Keying::First { encapsulated }) => {
                let opened = key.open(encapsulated, SEALING_TERMS, &aad, ciphertext).map_err(refused)?;
                let id = ContextId::of_digest(sha256(encapsulated));
                (opened.plaintext, Some(OpenedContext { id, epoch: header.epoch, key: opened.context }))
            }
            (OpenerKey::Context(key), Keying::Continued { sequence, .. }) => {
                (key.open(*sequence, &aad, ciphertext).map_err(refused)?, None)
            }
            _ => return Err(NotOpened),
        };
        let transaction = unpad(&padded).map_err(|_| NotOpened)?.to_vec();
        Ok(OpenedEnvelope { transaction, context })
    }
}

/// Shows no key.
impl core::fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SealingKeys").field("epoch", &self.current.public.epoch).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "sealing_tests.rs"]
mod tests;
