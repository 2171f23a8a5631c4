//! What a quote vouches for besides the program: whose key, of which network, in which role, for how long.

use alloy_primitives::B256;
use sha2::{Digest as _, Sha256, Sha512};

use crate::cbor::{Reader, Unexpected, Writer};
use crate::refusal::Refusal;

/// Separates this use of SHA-512 from every other.
const DOMAIN: &[u8] = b"cloister/evidence/v1\0";
const SEALING_DOMAIN: &[u8] = b"cloister/sealing-keys/v1\0";
/// Version of the claims of our own.
const VERSION: u64 = 1;
/// SHA-512 in IANA's registry of named information hash algorithms.
const SHA_512: u64 = 8;
/// Longest claims that are read, bytes.
pub(crate) const MAX_CLAIMS_BYTES: usize = 512;

/// A SHA-512 digest.
pub type Digest = [u8; 64];

/// What the holder of a key is for. A key of one role is none in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Serves clients.
    Server,
    /// Speaks to other enclaves of the network.
    Peer,
}

impl Role {
    const fn number(self) -> u64 {
        match self {
            Self::Server => 1,
            Self::Peer => 2,
        }
    }

    fn numbered(number: u64) -> Option<Self> {
        [Self::Server, Self::Peer].into_iter().find(|role| role.number() == number)
    }
}

impl core::fmt::Display for Role {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Peer => "peer",
        })
    }
}

/// A node's identity among those of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerId(pub [u8; 32]);

impl PeerId {
    /// Of a node that has no peers.
    pub const NONE: Self = Self([0; 32]);
}

/// What a quote's `report_data` is a digest of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// What the key is for.
    pub role: Role,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of the genesis block.
    pub genesis_hash: B256,
    /// What the ledger's keys are bound to: genesis and, on a confidential chain, all rules
    /// ([`ChainSpec::ledger_binding`](cloister_primitives::ChainSpec::ledger_binding)).
    pub ledger_binding: B256,
    /// Of the TLS key's SubjectPublicKeyInfo ([`key_hash`]).
    pub tls_key: Digest,
    /// Of the keys that transactions are sealed for ([`sealing_digest`]).
    pub sealing_keys: B256,
    /// Which node it is.
    pub peer: PeerId,
    /// Seconds since 1970 from which it holds.
    pub not_before_s: u64,
    /// Seconds since 1970 until which it holds.
    pub not_after_s: u64,
    /// Drawn by the enclave, or given by whoever asked.
    pub nonce: [u8; 32],
}

/// The digest of a SubjectPublicKeyInfo in DER.
#[must_use]
pub fn key_hash(spki_der: &[u8]) -> Digest {
    Sha512::digest(spki_der).into()
}

/// The digest of public sealing keys: the number of each one's suite, and the key, in the order in which the node names
/// them.
#[must_use]
pub fn sealing_digest<'a>(keys: impl IntoIterator<Item = (u8, &'a [u8])>) -> B256 {
    let mut hasher = Sha256::new_with_prefix(SEALING_DOMAIN);
    for (suite, key) in keys {
        hasher.update([suite]);
        hasher.update((key.len() as u64).to_be_bytes());
        hasher.update(key);
    }
    B256::new(hasher.finalize().into())
}

impl Claims {
    /// The one encoding: the *claims buffer* of interoperable RA-TLS, as deterministic CBOR (RFC 8949, 4.2.1).
    /// `pubkey-hash` and `nonce` are what other verifiers read; all else is in a claim of our own.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let own = Writer::default()
            .array(9)
            .unsigned(VERSION)
            .unsigned(self.role.number())
            .unsigned(self.chain_id)
            .bytes(self.genesis_hash.as_slice())
            .bytes(self.ledger_binding.as_slice())
            .bytes(self.sealing_keys.as_slice())
            .bytes(&self.peer.0)
            .unsigned(self.not_before_s)
            .unsigned(self.not_after_s)
            .finish();
        let key = Writer::default().array(2).unsigned(SHA_512).bytes(&self.tls_key).finish();
        let mut buffer = Writer::default();
        buffer.map(3).key("nonce").bytes(&self.nonce).key("cloister").bytes(&own).key("pubkey-hash").bytes(&key);
        buffer.finish()
    }

    /// Reads claims; only the one encoding is taken.
    ///
    /// # Errors
    /// [`Refusal::Claims`].
    pub fn decode(buffer: &[u8]) -> Result<Self, Refusal> {
        let claims = Self::read(buffer).map_err(|Unexpected| Refusal::Claims)?;
        if claims.encode() == buffer { Ok(claims) } else { Err(Refusal::Claims) }
    }

    fn read(buffer: &[u8]) -> Result<Self, Unexpected> {
        let mut reader = Reader::new(buffer);
        reader.map(3)?;
        reader.key("nonce")?;
        let nonce = reader.exactly()?;
        reader.key("cloister")?;
        let own = reader.bytes(MAX_CLAIMS_BYTES)?;
        reader.key("pubkey-hash")?;
        let key = reader.bytes(MAX_CLAIMS_BYTES)?;
        reader.finish()?;

        let mut key = Reader::new(&key);
        key.array(2)?;
        let algorithm = key.unsigned()?;
        let tls_key = key.exactly()?;
        key.finish()?;

        let mut own = Reader::new(&own);
        own.array(9)?;
        if (own.unsigned()?, algorithm) != (VERSION, SHA_512) {
            return Err(Unexpected);
        }
        let claims = Self {
            role: Role::numbered(own.unsigned()?).ok_or(Unexpected)?,
            chain_id: own.unsigned()?,
            genesis_hash: B256::new(own.exactly()?),
            ledger_binding: B256::new(own.exactly()?),
            sealing_keys: B256::new(own.exactly()?),
            peer: PeerId(own.exactly()?),
            not_before_s: own.unsigned()?,
            not_after_s: own.unsigned()?,
            tls_key,
            nonce,
        };
        own.finish()?;
        Ok(claims)
    }

    /// What a quote that vouches for these claims carries.
    #[must_use]
    pub fn report_data(&self) -> Digest {
        Self::report_data_of(&self.encode())
    }

    pub(crate) fn report_data_of(buffer: &[u8]) -> Digest {
        Sha512::new_with_prefix(DOMAIN).chain_update(buffer).finalize().into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            role: Role::Server,
            chain_id: 2_026_001,
            genesis_hash: B256::repeat_byte(1),
            ledger_binding: B256::repeat_byte(2),
            tls_key: [3; 64],
            sealing_keys: B256::repeat_byte(4),
            peer: PeerId([5; 32]),
            not_before_s: 1_800_000_000,
            not_after_s: 1_800_007_200,
            nonce: [6; 32],
        }
    }

    #[test]
    fn claims_have_one_encoding() {
        let buffer = claims().encode();
        assert_eq!(Claims::decode(&buffer).unwrap(), claims());
        for end in 0..buffer.len() {
            assert_eq!(Claims::decode(&buffer[..end]), Err(Refusal::Claims));
        }
        assert_eq!(Claims::decode(&[&buffer[..], &[0]].concat()), Err(Refusal::Claims));
        // The map's size in two bytes instead of one: the same claims, another encoding.
        assert_eq!(Claims::decode(&[&[0xb8, 3], &buffer[1..]].concat()), Err(Refusal::Claims));
    }

    /// A changed encoding makes evidence of one version foreign to the other.
    #[test]
    fn the_digest_is_pinned_and_every_claim_changes_it() {
        let mut seen = vec![claims().report_data()];
        assert_eq!(
            hex::encode(seen[0]),
            "3827a1a4bfc93b5eb3c3aacb0536a897f14802731df367c53c58666b40329b61\
             bc05b02133ff8113d5bd34a5bdfd28ac520935adf5ff1f9a1bbe72201c54bbeb"
        );
        let changes: [fn(&mut Claims); 10] = [
            |claims| claims.role = Role::Peer,
            |claims| claims.chain_id += 1,
            |claims| claims.genesis_hash.0[0] ^= 1,
            |claims| claims.ledger_binding.0[31] ^= 1,
            |claims| claims.tls_key[0] ^= 1,
            |claims| claims.sealing_keys.0[0] ^= 1,
            |claims| claims.peer.0[0] ^= 1,
            |claims| claims.not_before_s += 1,
            |claims| claims.not_after_s += 1,
            |claims| claims.nonce[31] ^= 1,
        ];
        for change in changes {
            let mut changed = claims();
            change(&mut changed);
            assert!(!seen.contains(&changed.report_data()), "{changed:?}");
            assert_eq!(Claims::decode(&changed.encode()).unwrap(), changed);
            seen.push(changed.report_data());
        }
    }

    #[test]
    fn the_digest_of_sealing_keys_knows_where_each_begins() {
        let digest = |keys: &[(u8, &[u8])]| sealing_digest(keys.iter().copied());
        assert_ne!(digest(&[(1, b"ab"), (2, b"c")]), digest(&[(1, b"a"), (2, b"bc")]));
        assert_ne!(digest(&[(1, b"ab"), (2, b"c")]), digest(&[(2, b"ab"), (1, b"c")]));
        assert_ne!(digest(&[(1, b"ab")]), digest(&[(1, b"ab"), (1, b"")]));
    }
}
