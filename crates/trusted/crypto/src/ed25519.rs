//! Ed25519 keys (RFC 8032).

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    signature::{Ed25519KeyPair, KeyPair as _},
};

use crate::{Key, Secret};

/// A key that signs by Ed25519. The library that implements it wipes it when dropped.
pub struct Ed25519Key(Ed25519KeyPair);

impl Ed25519Key {
    /// The key of a seed (RFC 8032, 5.1.5).
    #[must_use]
    pub fn from_seed(seed: &Key) -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(seed.expose());
        Self(key.expect("invariant: every 32 bytes are a seed"))
    }

    /// The public half as `SubjectPublicKeyInfo` in DER (RFC 8410, 4).
    #[must_use]
    pub fn spki_der(&self) -> Vec<u8> {
        let spki: PublicKeyX509Der<'_> =
            self.0.public_key().as_der().expect("invariant: a public key has its one encoding");
        spki.as_ref().to_vec()
    }

    /// Both halves as `PrivateKeyInfo` in DER (RFC 8410, 7), for a TLS library.
    #[must_use]
    pub fn pkcs8_der(&self) -> Secret<Vec<u8>> {
        let pkcs8 = self.0.to_pkcs8v1().expect("invariant: a key has its one encoding");
        Secret::new(pkcs8.as_ref().to_vec())
    }
}

/// Shows no key.
impl core::fmt::Debug for Ed25519Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Ed25519Key")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// RFC 8032, 7.1, test 1; the encodings are those of RFC 8410.
    #[test]
    fn a_known_seed_gives_the_known_key() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key = Ed25519Key::from_seed(&Secret::init(|bytes| hex::decode_to_slice(seed, bytes).unwrap()));
        assert_eq!(hex::encode(key.spki_der()), format!("302a300506032b6570032100{public}"));
        assert_eq!(hex::encode(key.pkcs8_der().expose()), format!("302e020100300506032b657004220420{seed}"));
        assert_eq!(
            hex::encode(key.0.sign(b"")),
            concat!(
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
                "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            )
        );
    }
}
