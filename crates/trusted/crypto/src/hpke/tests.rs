#![allow(clippy::unwrap_used)]

use super::*;
use crate::simulation::SeededEntropy;

const TERMS: HpkeTerms<'static> = HpkeTerms { info: b"a test", export_label: b"its context" };

fn pair(kem: HpkeKem) -> (HpkePrivateKey, Vec<u8>) {
    HpkePrivateKey::derive(kem, &Secret::new([7; 32]))
}

fn sealed(kem: HpkeKem, seed: u64) -> HpkeSealed {
    hpke_seal(kem, &pair(kem).1, TERMS, b"data", b"message", &mut SeededEntropy::new(seed)).unwrap()
}

/// RFC 9180, A.6 has no X25519 with AES-256-GCM; its key derivation (A.1.1) is the same for every AEAD.
#[test]
fn key_pairs_are_those_of_rfc_9180() {
    let mut seed = [0; 32];
    hex::decode_to_slice("6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037", &mut seed).unwrap();
    let (_, public) = HpkePrivateKey::derive(HpkeKem::X25519, &Secret::new(seed));
    assert_eq!(hex::encode(public), "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d");
}

#[test]
fn both_sides_share_message_and_context() {
    for kem in [HpkeKem::X25519, HpkeKem::XWing] {
        let sent = sealed(kem, 1);
        let (private, _) = pair(kem);
        let opened = private.open(&sent.encapsulated, TERMS, b"data", &sent.ciphertext).unwrap();
        assert_eq!(opened.plaintext, b"message");
        // In any order.
        for sequence in [3, 0, u64::MAX] {
            let next = sent.context.seal(sequence, b"more", b"next").unwrap();
            assert_eq!(opened.context.open(sequence, b"more", &next).unwrap(), b"next");
            let refused = Some(CryptoError::Authentication);
            assert_eq!(opened.context.open(sequence, b"other", &next).err(), refused);
            assert_eq!(opened.context.open(sequence ^ 1, b"more", &next).err(), refused);
        }
    }
}

#[test]
fn whatever_differs_does_not_open() {
    let sent = sealed(HpkeKem::X25519, 1);
    let (private, _) = pair(HpkeKem::X25519);
    let open = |enc: &[u8], terms, aad: &[u8], ciphertext: &[u8]| private.open(enc, terms, aad, ciphertext).err();
    let refused = Some(CryptoError::Authentication);
    let (enc, ciphertext) = (&sent.encapsulated[..], &sent.ciphertext[..]);
    assert_eq!(open(enc, TERMS, b"data", ciphertext), None);
    assert_eq!(open(enc, TERMS, b"date", ciphertext), refused);
    assert_eq!(open(enc, HpkeTerms { info: b"another", ..TERMS }, b"data", ciphertext), refused);
    assert_eq!(open(&sealed(HpkeKem::X25519, 2).encapsulated, TERMS, b"data", ciphertext), refused);
    assert_eq!(open(&[0; 32], TERMS, b"data", ciphertext), refused, "a point of low order");
    assert_eq!(open(&enc[..31], TERMS, b"data", ciphertext), refused);
    for byte in 0..ciphertext.len() {
        let mut flipped = ciphertext.to_vec();
        flipped[byte] ^= 1;
        assert_eq!(open(enc, TERMS, b"data", &flipped), refused);
    }
}

#[test]
fn each_seal_has_a_key_of_its_own() {
    assert_ne!(sealed(HpkeKem::X25519, 1).encapsulated, sealed(HpkeKem::X25519, 2).encapsulated);
    assert_eq!(
        hpke_seal(HpkeKem::X25519, &[1; 31], TERMS, b"", b"", &mut SeededEntropy::new(1)).err(),
        Some(CryptoError::Authentication)
    );
}
