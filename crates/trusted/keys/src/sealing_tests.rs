#![allow(clippy::unwrap_used)]

use super::*;
use cloister_crypto::{hpke_seal, simulation::SeededEntropy};
use cloister_primitives::envelope::pad;

const CHAIN: (u64, B256) = (2_026, B256::repeat_byte(0x11));

/// A sender's side: the envelope, and the context to go on with.
fn seal_for(public: &SealingPublic, suite: SealingSuite, transaction: &[u8], seed: u64) -> (Vec<u8>, ContextKey) {
    let key = &public.keys.iter().find(|(known, _)| *known == suite).unwrap().1;
    let header = |encapsulated| Header { suite, epoch: public.epoch, keying: Keying::First { encapsulated } };
    let aad = header(Vec::new()).additional_data(CHAIN.0, CHAIN.1);
    let padded = pad(transaction).unwrap();
    let sealed = hpke_seal(kem_of(suite), key, SEALING_TERMS, &aad, &padded, &mut SeededEntropy::new(seed)).unwrap();
    let mut envelope = header(sealed.encapsulated).encode();
    envelope.extend_from_slice(&sealed.ciphertext);
    (envelope, sealed.context)
}

fn continued(public: &SealingPublic, first: &[u8], key: &ContextKey, sequence: u64, transaction: &[u8]) -> Vec<u8> {
    let Ok((Header { suite, keying: Keying::First { encapsulated }, .. }, _)) = Header::parse(first) else {
        panic!("the first of a context")
    };
    let keying = Keying::Continued { context: ContextId::of_digest(sha256(&encapsulated)), sequence };
    let header = Header { suite, epoch: public.epoch, keying };
    let aad = header.additional_data(CHAIN.0, CHAIN.1);
    let mut envelope = header.encode();
    envelope.extend_from_slice(&key.seal(sequence, &aad, &pad(transaction).unwrap()).unwrap());
    envelope
}

fn open(keys: &mut SealingKeys, envelope: &[u8]) -> Result<Vec<u8>, NotOpened> {
    let opened = keys.opener(envelope)?.open(envelope, CHAIN.0, CHAIN.1)?;
    if let Some(context) = opened.context {
        keys.remember(context);
    }
    Ok(opened.transaction)
}

fn keys(now_ms: u64) -> SealingKeys {
    SealingKeys::draw(now_ms, &mut SeededEntropy::new(1))
}

#[test]
fn what_is_sealed_for_a_node_opens_there_with_every_suite() {
    let mut keys = keys(0);
    for suite in SealingSuite::ALL {
        let (envelope, context) = seal_for(&keys.public().clone(), suite, b"transaction", 7);
        assert_eq!(open(&mut keys, &envelope).unwrap(), b"transaction");
        // Out of order, and as often as one likes: the transaction's nonce is what counts.
        for sequence in [5, 2, 2] {
            let next = continued(&keys.public().clone(), &envelope, &context, sequence, b"another");
            assert_eq!(open(&mut keys, &next).unwrap(), b"another");
        }
    }
}

#[test]
fn another_chain_genesis_or_node_does_not_open_it() {
    let mut here = keys(0);
    let (envelope, _) = seal_for(&here.public().clone(), SealingSuite::X25519, b"transaction", 7);
    let opener = here.opener(&envelope).unwrap();
    assert!(opener.open(&envelope, CHAIN.0, CHAIN.1).is_ok());
    assert_eq!(opener.open(&envelope, CHAIN.0 + 1, CHAIN.1).err(), Some(NotOpened));
    assert_eq!(opener.open(&envelope, CHAIN.0, B256::ZERO).err(), Some(NotOpened));
    let mut elsewhere = SealingKeys::draw(0, &mut SeededEntropy::new(2));
    assert_eq!(open(&mut elsewhere, &envelope), Err(NotOpened));
}

#[test]
fn every_flipped_byte_is_refused() {
    let mut keys = keys(0);
    let (envelope, context) = seal_for(&keys.public().clone(), SealingSuite::X25519, b"transaction", 7);
    open(&mut keys, &envelope).unwrap();
    let next = continued(&keys.public().clone(), &envelope, &context, 1, b"another");
    for whole in [envelope, next] {
        for byte in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[byte] ^= 0x80;
            assert_eq!(open(&mut keys, &flipped), Err(NotOpened), "byte {byte}");
        }
        for length in [0, 1, 12, 44, 60, whole.len() - 1] {
            assert_eq!(open(&mut keys, &whole[..length]), Err(NotOpened), "{length} bytes");
        }
    }
}

#[test]
fn an_epoch_opens_until_the_end_of_the_next_and_then_never_again() {
    let mut keys = keys(0);
    let mut entropy = SeededEntropy::new(3);
    let first = keys.public().clone();
    let (envelope, context) = seal_for(&first, SealingSuite::X25519, b"transaction", 7);
    open(&mut keys, &envelope).unwrap();
    let next = continued(&first, &envelope, &context, 1, b"another");

    keys.rotate_if_due(SEALING_EPOCH_MS - 1, &mut entropy);
    assert_eq!(keys.public(), &first);
    keys.rotate_if_due(SEALING_EPOCH_MS, &mut entropy);
    assert_ne!(keys.public().epoch, first.epoch);
    assert!(open(&mut keys, &envelope).is_ok() && open(&mut keys, &next).is_ok());
    // A context of the epoch before, opened late.
    let late = keys.opener(&envelope).unwrap().open(&envelope, CHAIN.0, CHAIN.1).unwrap();

    keys.rotate_if_due(2 * SEALING_EPOCH_MS, &mut entropy);
    assert_eq!(open(&mut keys, &envelope), Err(NotOpened));
    assert_eq!(open(&mut keys, &next), Err(NotOpened));
    keys.remember(late.context.unwrap());
    assert_eq!(open(&mut keys, &next), Err(NotOpened), "its epoch is over");
}

#[test]
fn keys_do_not_survive_a_long_sleep() {
    let mut keys = keys(0);
    let (envelope, _) = seal_for(&keys.public().clone(), SealingSuite::X25519, b"transaction", 7);
    keys.rotate_if_due(2 * SEALING_EPOCH_MS, &mut SeededEntropy::new(3));
    assert_eq!(open(&mut keys, &envelope), Err(NotOpened));
}

#[test]
fn the_context_that_was_not_used_for_longest_makes_room() {
    let mut keys = keys(0);
    let public = keys.public().clone();
    let (first, first_context) = seal_for(&public, SealingSuite::X25519, b"first", 1_000_000);
    let (second, second_context) = seal_for(&public, SealingSuite::X25519, b"second", 1_000_001);
    open(&mut keys, &first).unwrap();
    open(&mut keys, &second).unwrap();
    let goes_on = |keys: &mut SealingKeys, envelope: &[u8], context: &ContextKey| {
        open(keys, &continued(&public, envelope, context, 9, b"more")).is_ok()
    };
    assert!(goes_on(&mut keys, &first, &first_context));
    for fresh in 0..MAX_SEALING_CONTEXTS - 1 {
        let (sealed, _) = seal_for(&keys.public().clone(), SealingSuite::X25519, b"", fresh as u64);
        open(&mut keys, &sealed).unwrap();
    }
    assert!(goes_on(&mut keys, &first, &first_context));
    assert!(!goes_on(&mut keys, &second, &second_context));
}
