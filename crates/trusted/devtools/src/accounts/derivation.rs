//! BIP-32: from a seed to the keys at `m/44'/60'/0'/0/i`.

use bitcoin_hashes::{Hash as _, HashEngine as _, Hmac, HmacEngine, sha512};
use secp256k1::{Scalar, SecretKey};

use super::AccountsError;

/// Indices from here on are hardened.
const HARDENED: u32 = 1 << 31;

/// A private key with the chain code that its children are derived with.
struct ExtendedKey {
    key: SecretKey,
    chain_code: [u8; 32],
}

impl ExtendedKey {
    fn master(seed: &[u8; 64]) -> Result<Self, AccountsError> {
        let (key, chain_code) = halves(b"Bitcoin seed", &[seed]);
        Ok(Self { key: SecretKey::from_secret_bytes(key).map_err(|_| AccountsError::Key)?, chain_code })
    }

    /// `CKDpriv` of BIP-32.
    fn child(&self, index: u32) -> Result<Self, AccountsError> {
        let number = index.to_be_bytes();
        let (tweak, chain_code) = if index >= HARDENED {
            halves(&self.chain_code, &[&[0], &self.key.to_secret_bytes(), &number])
        } else {
            halves(&self.chain_code, &[&self.key.public_key().serialize(), &number])
        };
        let tweak = Scalar::from_be_bytes(tweak).map_err(|_| AccountsError::Key)?;
        Ok(Self { key: self.key.add_tweak(&tweak).map_err(|_| AccountsError::Key)?, chain_code })
    }
}

/// HMAC-SHA512 of the concatenated parts, cut in two.
fn halves(key: &[u8], parts: &[&[u8]]) -> ([u8; 32], [u8; 32]) {
    let mut engine = HmacEngine::<sha512::Hash>::new(key);
    for part in parts {
        engine.input(part);
    }
    let digest = Hmac::<sha512::Hash>::from_engine(engine).to_byte_array();
    let (mut left, mut right) = ([0; 32], [0; 32]);
    left.copy_from_slice(&digest[..32]);
    right.copy_from_slice(&digest[32..]);
    (left, right)
}

/// The first `count` keys at `m/44'/60'/0'/0/i`.
pub(super) fn accounts(seed: &[u8; 64], count: u32) -> Result<Vec<SecretKey>, AccountsError> {
    let mut parent = ExtendedKey::master(seed)?;
    for index in [HARDENED + 44, HARDENED + 60, HARDENED, 0] {
        parent = parent.child(index)?;
    }
    (0..count).map(|index| parent.child(index).map(|child| child.key)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    #[test]
    fn second_vector_of_bip_32() {
        let seed = hex!(
            "fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a2"
            "9f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542"
        );
        let master = ExtendedKey::master(&seed).unwrap();
        assert_eq!(
            master.key.to_secret_bytes(),
            hex!("4b03d6fc340455b363f51020ad3ecca4f0850280cf436c70c727923f6db46c3e")
        );
        let child = master.child(0).unwrap().child(HARDENED + 2_147_483_647).unwrap();
        assert_eq!(
            child.key.to_secret_bytes(),
            hex!("877c779ad9687164e9c2f4f0f4ff0340814392330693ce95a58fe18fd52e6e93")
        );
    }
}
