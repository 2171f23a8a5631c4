//! Sealing transactions for a node, so that nobody on the way to it learns what is in them.

use core::time::Duration;

use alloy_primitives::{B256, Bytes, U64, hex};
use cloister_attestation::{Refusal, sealing_digest};
use cloister_crypto::{ContextKey, EntropySource, HpkeKem, HpkeTerms, hpke_seal, sha256};
use cloister_primitives::envelope::{
    CONTEXT_LABEL, ContextId, Header, Keying, SEALING_INFO, SealingEpoch, SealingSuite, pad,
};
use serde::Deserialize;
use serde_json::json;

use crate::{ClientError, Node, node::Answered};

/// Times that a node is asked for its keys while they change.
const ATTEMPTS: usize = 5;
/// Time between two of them.
const PAUSE: Duration = Duration::from_millis(200);

const TERMS: HpkeTerms<'static> = HpkeTerms { info: SEALING_INFO, export_label: CONTEXT_LABEL };

/// A node's public sealing keys, as it answers them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealingKeys {
    chain_id: U64,
    genesis_hash: B256,
    epoch: Bytes,
    expires_in_ms: U64,
    keys: Vec<SealingKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SealingKey {
    suite: String,
    public_key: Bytes,
}

/// Seals transactions for one epoch of one node.
///
/// The first envelope opens a context there. Once the node has taken it, [`go_on`](Self::go_on) seals the next ones in
/// that context, at a fraction of the cost for both sides.
#[derive(Debug)]
pub struct Sealer {
    chain_id: u64,
    genesis_hash: B256,
    suite: SealingSuite,
    epoch: SealingEpoch,
    public_key: Bytes,
    context: Option<Context>,
}

#[derive(Debug)]
struct Context {
    id: ContextId,
    key: ContextKey,
    next: u64,
}

/// Randomness of the operating system.
struct SystemEntropy;

impl EntropySource for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Sealing with anything else would be no sealing.
        getrandom::fill(bytes).expect("the operating system gives entropy");
    }
}

impl SealingKeys {
    /// Asks a node for its keys.
    ///
    /// Over TLS they are taken only if the evidence of the same connection vouches for them. Over plain HTTP nothing
    /// does.
    ///
    /// # Errors
    /// [`ClientError::Evidence`] if the evidence is not taken or is of other keys; [`ClientError::NoAnswer`],
    /// [`ClientError::NotANode`] or [`ClientError::Refused`].
    pub async fn of(node: &Node) -> Result<Self, ClientError> {
        for _ in 0..ATTEMPTS {
            let Answered { value, by } = node.call_vouched(None, "cloister_sealingKeys", &json!([])).await?;
            let keys: Self = serde_json::from_value(value).map_err(|_| node.not_a_node())?;
            if by.is_none_or(|verified| Some(verified.claims.sealing_keys) == keys.digest()) {
                return Ok(keys);
            }
            // The keys changed between the handshake and the answer; the next certificate is of the new ones.
            tokio::time::sleep(PAUSE).await;
        }
        Err(node.refused(Refusal::SealingKeys))
    }

    /// What evidence names these keys by; `None` if they are of suites that this client does not know.
    fn digest(&self) -> Option<B256> {
        let numbered = |key: &SealingKey| Some((SealingSuite::named(&key.suite)?.number(), key.public_key.clone()));
        let keys: Vec<_> = self.keys.iter().map(numbered).collect::<Option<_>>()?;
        Some(sealing_digest(keys.iter().map(|(suite, key)| (*suite, &key[..]))))
    }

    /// How long these will be the node's current keys, milliseconds; it opens what is sealed for them for another hour.
    #[must_use]
    pub fn expires_in_ms(&self) -> u64 {
        self.expires_in_ms.to()
    }

    /// What seals for these keys.
    ///
    /// # Errors
    /// [`ClientError::Suite`] if the node has no key of this suite.
    pub fn sealer(&self, suite: SealingSuite) -> Result<Sealer, ClientError> {
        let key = self.keys.iter().find(|key| key.suite == suite.name());
        let key = key.ok_or_else(|| ClientError::Suite { suite: suite.name() })?;
        let epoch = self.epoch[..].try_into().map_err(|_| ClientError::Suite { suite: suite.name() })?;
        Ok(Sealer {
            chain_id: self.chain_id.to(),
            genesis_hash: self.genesis_hash,
            suite,
            epoch: SealingEpoch(epoch),
            public_key: key.public_key.clone(),
            context: None,
        })
    }
}

impl Sealer {
    /// Seals a signed transaction in a new context.
    ///
    /// # Errors
    /// [`ClientError::Suite`] if the node's key is none, [`ClientError::Oversized`] beyond 4 GiB.
    pub fn seal(&mut self, transaction: &[u8]) -> Result<Bytes, ClientError> {
        let header =
            |encapsulated| Header { suite: self.suite, epoch: self.epoch, keying: Keying::First { encapsulated } };
        let kem = match self.suite {
            SealingSuite::X25519 => HpkeKem::X25519,
            SealingSuite::XWing => HpkeKem::XWing,
        };
        let aad = header(Vec::new()).additional_data(self.chain_id, self.genesis_hash);
        let padded = pad(transaction).map_err(|_| ClientError::Oversized)?;
        let sealed = hpke_seal(kem, &self.public_key, TERMS, &aad, &padded, &mut SystemEntropy)
            .map_err(|_| ClientError::Suite { suite: self.suite.name() })?;
        let id = ContextId::of_digest(sha256(&sealed.encapsulated));
        let mut envelope = header(sealed.encapsulated).encode();
        envelope.extend_from_slice(&sealed.ciphertext);
        self.context = Some(Context { id, key: sealed.context, next: 0 });
        Ok(envelope.into())
    }

    /// Seals a signed transaction in the context of the last [`seal`](Self::seal), in a new one if there is none yet.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn go_on(&mut self, transaction: &[u8]) -> Result<Bytes, ClientError> {
        let Some(context) = &mut self.context else {
            return self.seal(transaction);
        };
        let sequence = context.next;
        context.next = sequence.checked_add(1).ok_or(ClientError::Oversized)?;
        let keying = Keying::Continued { context: context.id, sequence };
        let header = Header { suite: self.suite, epoch: self.epoch, keying };
        let aad = header.additional_data(self.chain_id, self.genesis_hash);
        let padded = pad(transaction).map_err(|_| ClientError::Oversized)?;
        let ciphertext = context.key.seal(sequence, &aad, &padded).map_err(|_| ClientError::Oversized)?;
        let mut envelope = header.encode();
        envelope.extend_from_slice(&ciphertext);
        Ok(envelope.into())
    }
}

/// Sends raw bytes, sealed or not, as a transaction; answers the transaction's hash.
///
/// # Errors
/// [`ClientError::Refused`] with the node's words, or as [`SealingKeys::of`].
pub async fn send_raw_transaction(node: &Node, raw: &[u8]) -> Result<B256, ClientError> {
    let answer = node.call(None, "eth_sendRawTransaction", &json!([hex::encode_prefixed(raw)])).await?;
    serde_json::from_value(answer).map_err(|_| node.not_a_node())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use cloister_crypto::{HpkePrivateKey, Secret};
    use cloister_primitives::envelope::unpad;

    fn keys(suite: &str, public_key: &[u8]) -> SealingKeys {
        serde_json::from_value(json!({
            "chainId": "0x7ea", "genesisHash": B256::repeat_byte(1), "epoch": "0x0102030405060708", "expiresInMs": "0x10",
            "keys": [{ "suite": suite, "publicKey": hex::encode_prefixed(public_key) }],
        }))
        .unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_the_private_half_and_goes_on_in_its_context() {
        let (private, public) = HpkePrivateKey::derive(HpkeKem::X25519, &Secret::new([9; 32]));
        let mut sealer = keys("x25519", &public).sealer(SealingSuite::X25519).unwrap();
        let first = sealer.seal(b"one").unwrap();
        let (header, ciphertext) = Header::parse(&first).unwrap();
        let Keying::First { encapsulated } = &header.keying else { panic!("{header:?}") };
        let aad = header.additional_data(2_026, B256::repeat_byte(1));
        let opened = private.open(encapsulated, TERMS, &aad, ciphertext).unwrap();
        assert_eq!(unpad(&opened.plaintext).unwrap(), b"one");
        for expected in 0..3 {
            let next = sealer.go_on(b"more").unwrap();
            let (header, ciphertext) = Header::parse(&next).unwrap();
            let Keying::Continued { sequence, .. } = header.keying else { panic!("{header:?}") };
            assert_eq!(sequence, expected);
            let aad = header.additional_data(2_026, B256::repeat_byte(1));
            assert_eq!(unpad(&opened.context.open(sequence, &aad, ciphertext).unwrap()).unwrap(), b"more");
        }
    }

    #[test]
    fn a_suite_that_the_node_lacks_and_keys_that_are_none_are_named() {
        let lacks = keys("x25519", &[1; 32]).sealer(SealingSuite::XWing).unwrap_err();
        assert_eq!(lacks.to_string(), "the node has no usable sealing key of the suite x-wing");
        let mut sealer = keys("x25519", &[1; 31]).sealer(SealingSuite::X25519).unwrap();
        assert!(matches!(sealer.seal(b"one"), Err(ClientError::Suite { .. })));
    }
}
