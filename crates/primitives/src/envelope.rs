//! The envelope of a sealed transaction: what it looks like on the wire, and what is authenticated with it.
//!
//! ```text
//! 0x9e ‖ version (1) ‖ suite (1) ‖ kind (1) ‖ epoch (8) ‖ …
//!   kind 1, first:      … encapsulated key (32 or 1,120) ‖ ciphertext     opens a context with the node
//!   kind 2, continued:  … context (16) ‖ sequence (8) ‖ ciphertext        goes on in it
//! ```
//! The plaintext is a signed transaction (EIP-2718), padded: length (4, big-endian) ‖ transaction ‖ zeros, a power of two of
//! bytes in all and at least [`MIN_PADDED_BYTES`]. Everything before the ciphertext is authenticated, and so are chain and
//! genesis: see [`Header::additional_data`].
//!
//! Nothing here is a secret, and nothing here is cryptography: `cloister-crypto` has HPKE (RFC 9180), `cloister-keys` the keys.

use alloy_primitives::B256;

/// First byte of a sealed transaction: neither an EIP-2718 type (at most 0x7f) nor a list in RLP (at least 0xc0).
pub const SEALED_TRANSACTION: u8 = 0x9e;
/// Version of this layout.
pub const ENVELOPE_VERSION: u8 = 1;
/// Smallest size class, bytes: transfers of ether and of tokens look alike.
pub const MIN_PADDED_BYTES: usize = 512;
/// What the ciphertext is longer than its plaintext, bytes (AES-256-GCM).
pub const ENVELOPE_TAG_BYTES: usize = 16;
/// HPKE's `info` (RFC 9180, 5.1).
pub const SEALING_INFO: &[u8] = b"cloister/sealed-transaction/v1";
/// What the key of a context is exported for (RFC 9180, 5.3).
pub const CONTEXT_LABEL: &[u8] = b"cloister/sealed-transaction/v1/context";

const DOMAIN: &[u8] = b"cloister/sealed-transaction";
const FIXED_BYTES: usize = 4 + 8;
const LENGTH_BYTES: usize = 4;
const FIRST: u8 = 1;
const CONTINUED: u8 = 2;

/// How the first envelope of a context is sealed: HKDF-SHA256 and AES-256-GCM with one of two KEMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SealingSuite {
    /// DHKEM(X25519, HKDF-SHA256), RFC 9180.
    X25519,
    /// X-Wing: X25519 with ML-KEM-768 (draft-ietf-hpke-pq), for secrets that must outlive large quantum computers.
    XWing,
}

impl SealingSuite {
    /// All of them, the one to use by default first.
    pub const ALL: [Self; 2] = [Self::X25519, Self::XWing];

    /// Its number in an envelope.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::X25519 => 1,
            Self::XWing => 2,
        }
    }

    /// Its name in JSON and on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X25519 => "x25519",
            Self::XWing => "x-wing",
        }
    }

    /// The suite of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Length of an encapsulated key, bytes.
    #[must_use]
    pub const fn encapsulated_bytes(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::XWing => 1_120,
        }
    }
}

/// Which sealing keys of a node: the first bytes of a digest of their public halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealingEpoch(pub [u8; 8]);

/// Which context: the first bytes of the SHA-256 of the encapsulated key that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextId(pub [u8; 16]);

impl ContextId {
    /// Of the encapsulated key with this SHA-256.
    #[must_use]
    pub fn of_digest(sha256: [u8; 32]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&sha256[..16]);
        Self(id)
    }
}

/// Everything of an envelope but its ciphertext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// How the context is, or was, set up.
    pub suite: SealingSuite,
    /// For which keys.
    pub epoch: SealingEpoch,
    /// How the key of this envelope comes about.
    pub keying: Keying,
}

/// How the key of an envelope comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keying {
    /// Encapsulated here.
    First {
        /// HPKE's `enc`, as long as the suite says.
        encapsulated: Vec<u8>,
    },
    /// Exported from a context that an earlier envelope opened.
    Continued {
        /// Which one.
        context: ContextId,
        /// Used once in that context; nothing demands order.
        sequence: u64,
    },
}

/// Bytes that are no envelope, for a reason that is nobody's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed envelope")]
pub struct MalformedEnvelope;

impl Header {
    /// Splits an envelope into header and ciphertext.
    ///
    /// # Errors
    /// [`MalformedEnvelope`] if version, suite or kind are unknown, or there are too few bytes.
    pub fn parse(envelope: &[u8]) -> Result<(Self, &[u8]), MalformedEnvelope> {
        let (fixed, rest) = envelope.split_first_chunk::<FIXED_BYTES>().ok_or(MalformedEnvelope)?;
        let ([marker, version, suite, kind], epoch) = fixed.split_first_chunk::<4>().ok_or(MalformedEnvelope)?;
        if *marker != SEALED_TRANSACTION || *version != ENVELOPE_VERSION {
            return Err(MalformedEnvelope);
        }
        let suite = SealingSuite::ALL.into_iter().find(|known| known.number() == *suite).ok_or(MalformedEnvelope)?;
        let epoch = SealingEpoch(epoch.try_into().map_err(|_| MalformedEnvelope)?);
        let (keying, ciphertext) = match *kind {
            FIRST => {
                let (encapsulated, rest) =
                    rest.split_at_checked(suite.encapsulated_bytes()).ok_or(MalformedEnvelope)?;
                (Keying::First { encapsulated: encapsulated.to_vec() }, rest)
            }
            CONTINUED => {
                let (context, rest) = rest.split_first_chunk::<16>().ok_or(MalformedEnvelope)?;
                let (sequence, rest) = rest.split_first_chunk::<8>().ok_or(MalformedEnvelope)?;
                let sequence = u64::from_be_bytes(*sequence);
                (Keying::Continued { context: ContextId(*context), sequence }, rest)
            }
            _ => return Err(MalformedEnvelope),
        };
        if ciphertext.len() < MIN_PADDED_BYTES + ENVELOPE_TAG_BYTES {
            return Err(MalformedEnvelope);
        }
        Ok((Self { suite, epoch, keying }, ciphertext))
    }

    /// The bytes before the ciphertext.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self.keying {
            Keying::First { .. } => FIRST,
            Keying::Continued { .. } => CONTINUED,
        };
        let mut bytes = vec![SEALED_TRANSACTION, ENVELOPE_VERSION, self.suite.number(), kind];
        bytes.extend_from_slice(&self.epoch.0);
        match &self.keying {
            Keying::First { encapsulated } => bytes.extend_from_slice(encapsulated),
            Keying::Continued { context, sequence } => {
                bytes.extend_from_slice(&context.0);
                bytes.extend_from_slice(&sequence.to_be_bytes());
            }
        }
        bytes
    }

    /// What is authenticated with the ciphertext: domain ‖ 0x00 ‖ chain id (8) ‖ genesis hash (32) ‖ header, without an
    /// encapsulated key, which HPKE binds by itself (RFC 9180 §5.1: it is in the key schedule).
    ///
    /// An envelope for another chain, for another network with the same chain id, or for another epoch does not open.
    #[must_use]
    pub fn additional_data(&self, chain_id: u64, genesis_hash: B256) -> Vec<u8> {
        let mut data = Vec::with_capacity(DOMAIN.len() + 41 + 64);
        data.extend_from_slice(DOMAIN);
        data.push(0);
        data.extend_from_slice(&chain_id.to_be_bytes());
        data.extend_from_slice(genesis_hash.as_slice());
        let header = self.encode();
        data.extend_from_slice(match self.keying {
            Keying::First { .. } => &header[..FIXED_BYTES],
            Keying::Continued { .. } => &header,
        });
        data
    }
}

/// Size of the envelope's plaintext for a transaction of so many bytes.
#[must_use]
pub const fn padded_bytes(transaction_bytes: usize) -> usize {
    let needed = transaction_bytes.saturating_add(LENGTH_BYTES);
    let class = needed.next_power_of_two();
    if class < MIN_PADDED_BYTES { MIN_PADDED_BYTES } else { class }
}

/// Pads a transaction to its size class.
///
/// # Errors
/// [`MalformedEnvelope`] if it has 2³² bytes or more.
pub fn pad(transaction: &[u8]) -> Result<Vec<u8>, MalformedEnvelope> {
    let length = u32::try_from(transaction.len()).map_err(|_| MalformedEnvelope)?;
    let mut padded = Vec::with_capacity(padded_bytes(transaction.len()));
    padded.extend_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(transaction);
    padded.resize(padded_bytes(transaction.len()), 0);
    Ok(padded)
}

/// The transaction in a padded plaintext.
///
/// # Errors
/// [`MalformedEnvelope`] if the size is not the class of the length that it names, or the padding is not zero: one transaction
/// has one plaintext.
pub fn unpad(padded: &[u8]) -> Result<&[u8], MalformedEnvelope> {
    let (length, rest) = padded.split_first_chunk::<LENGTH_BYTES>().ok_or(MalformedEnvelope)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| MalformedEnvelope)?;
    let (transaction, padding) = rest.split_at_checked(length).ok_or(MalformedEnvelope)?;
    let fits = padded.len() == padded_bytes(length) && padding.iter().all(|byte| *byte == 0);
    if fits { Ok(transaction) } else { Err(MalformedEnvelope) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn first(suite: SealingSuite) -> Header {
        let encapsulated = vec![7; suite.encapsulated_bytes()];
        Header { suite, epoch: SealingEpoch([1; 8]), keying: Keying::First { encapsulated } }
    }

    fn continued() -> Header {
        let keying = Keying::Continued { context: ContextId([3; 16]), sequence: 0x0102 };
        Header { suite: SealingSuite::X25519, epoch: SealingEpoch([1; 8]), keying }
    }

    #[test]
    fn a_header_says_how_to_open_and_everything_of_it_is_authenticated() {
        for header in [first(SealingSuite::X25519), first(SealingSuite::XWing), continued()] {
            let mut envelope = header.encode();
            let length = envelope.len();
            envelope.extend_from_slice(&[9; MIN_PADDED_BYTES + ENVELOPE_TAG_BYTES]);
            let (parsed, ciphertext) = Header::parse(&envelope).unwrap();
            assert_eq!(parsed, header);
            assert_eq!(ciphertext, &envelope[length..]);
            let authenticated = match header.keying {
                Keying::First { .. } => FIXED_BYTES,
                Keying::Continued { .. } => length,
            };
            assert!(header.additional_data(5, B256::repeat_byte(2)).ends_with(&envelope[..authenticated]));
        }
        assert_eq!(
            alloy_primitives::hex::encode(continued().encode()),
            "9e0101020101010101010101030303030303030303030303030303030000000000000102"
        );
    }

    #[test]
    fn chain_and_genesis_are_part_of_what_is_authenticated() {
        let header = continued();
        let here = header.additional_data(5, B256::repeat_byte(2));
        assert_ne!(here, header.additional_data(6, B256::repeat_byte(2)));
        assert_ne!(here, header.additional_data(5, B256::repeat_byte(3)));
    }

    #[test]
    fn unknown_versions_suites_and_kinds_and_short_ciphertexts_are_refused() {
        let mut envelope = continued().encode();
        envelope.extend_from_slice(&[9; MIN_PADDED_BYTES + ENVELOPE_TAG_BYTES]);
        assert!(Header::parse(&envelope).is_ok());
        assert!(Header::parse(&envelope[..envelope.len() - 1]).is_err());
        for (place, value) in [(0, 0x02), (1, 2), (2, 3), (3, 3), (3, 0)] {
            let mut other = envelope.clone();
            other[place] = value;
            assert!(Header::parse(&other).is_err(), "byte {place} = {value}");
        }
    }

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!([0, 508, 509, 1_020, 1_021].map(padded_bytes), [512, 512, 1_024, 1_024, 2_048]);
    }

    #[test]
    fn one_transaction_has_one_plaintext() {
        let padded = pad(b"a transaction").unwrap();
        assert_eq!(unpad(&padded).unwrap(), b"a transaction");
        let mut larger = padded.clone();
        larger.resize(1_024, 0);
        let mut dirty = padded.clone();
        dirty[511] = 1;
        let mut longer = padded;
        longer[0] = 0xff;
        for other in [larger, dirty, longer] {
            assert_eq!(unpad(&other), Err(MalformedEnvelope));
        }
    }

    proptest! {
        #[test]
        fn what_was_padded_comes_back(transaction in proptest::collection::vec(any::<u8>(), 0..3_000)) {
            let padded = pad(&transaction).unwrap();
            prop_assert_eq!(padded.len(), padded_bytes(transaction.len()));
            prop_assert_eq!(unpad(&padded).unwrap(), &transaction[..]);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), head in 0u8..4) {
            let mut envelope = vec![SEALED_TRANSACTION, ENVELOPE_VERSION, head, head];
            envelope.extend_from_slice(&bytes);
            let _ = Header::parse(&envelope);
            let _ = unpad(&bytes);
        }
    }
}
