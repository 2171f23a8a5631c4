//! Sealed transactions through the core: what they answer, what they never tell, and when their keys are gone.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use cloister_core::{AnswerAt, CoreError, RequestBody, Response, SealingOffer};
use cloister_crypto::simulation::SeededEntropy;
use cloister_crypto::{HpkeKem, HpkeTerms, hpke_seal};
use cloister_primitives::Code;
use cloister_primitives::envelope::{CONTEXT_LABEL, Header, Keying, SEALING_INFO, SealingSuite, pad};
use support::{Account, Answers, Disk, Node, genesis, options};

const TO: Address = Address::repeat_byte(0x55);
const HOUR_MS: u64 = 3_600_000;

fn offer(node: &mut Node) -> SealingOffer {
    let ids = node.request(vec![RequestBody::SealingKeys]);
    match &node.heard.replies[&ids[0]] {
        Ok(Response::SealingKeys(offer)) => offer.clone(),
        other => panic!("{other:?}"),
    }
}

fn seal(offer: &SealingOffer, transaction: &[u8]) -> Bytes {
    let terms = HpkeTerms { info: SEALING_INFO, export_label: CONTEXT_LABEL };
    let header = |encapsulated| Header {
        suite: SealingSuite::X25519,
        epoch: offer.keys.epoch,
        keying: Keying::First { encapsulated },
    };
    let aad = header(Vec::new()).additional_data(offer.chain_id, offer.genesis_hash);
    let (padded, mut entropy) = (pad(transaction).unwrap(), SeededEntropy::new(5));
    let sealed = hpke_seal(HpkeKem::X25519, &offer.keys.keys[0].1, terms, &aad, &padded, &mut entropy).unwrap();
    let mut envelope = header(sealed.encapsulated).encode();
    envelope.extend_from_slice(&sealed.ciphertext);
    envelope.into()
}

/// What a submission is answered at once or after its block.
fn answer(node: &mut Node, raw: Bytes) -> Result<B256, CoreError> {
    let ids = node.submit(vec![raw], AnswerAt::CommitIfInstant);
    node.run();
    match node.heard.replies.remove(&ids[0]).unwrap() {
        Ok(Response::Included { hash, .. } | Response::Admitted { hash }) => Ok(hash),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    }
}

fn refused() -> Result<B256, CoreError> {
    Err(Code::SealedTransactionRefused.into())
}

fn node(alice: &Account) -> Node {
    let mut node = Node::start(&genesis(&[alice]), options(), 1, Disk::default());
    node.answers = Answers::AtOnce;
    node
}

#[test]
fn a_sealed_transaction_is_answered_with_the_hash_of_what_is_in_it() {
    let alice = Account::new(1);
    let mut node = node(&alice);
    let offer = offer(&mut node);
    let transfer = alice.transfer(0, TO, 3);
    assert_eq!(answer(&mut node, seal(&offer, &transfer)), Ok(keccak256(&transfer)));
    assert!(node.sees(&transfer));
    assert_eq!(node.balance(TO), U256::from(3));
}

#[test]
fn whatever_is_wrong_is_told_in_the_same_words() {
    let alice = Account::new(1);
    let mut node = node(&alice);
    let offer = offer(&mut node);
    let transfer = seal(&offer, &alice.transfer(0, TO, 3));
    assert!(answer(&mut node, transfer.clone()).is_ok());
    // Sent again by whoever saw it on the wire.
    assert_eq!(answer(&mut node, transfer.clone()), refused());
    assert_eq!(answer(&mut node, seal(&offer, &alice.transfer(0, TO, 4))), refused(), "a used nonce");
    let far_ahead = alice.transfer(1_000_000, TO, 3);
    let mut flipped = transfer.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    for wrong in [
        seal(&offer, &far_ahead),
        seal(&offer, b"no transaction"),
        seal(&SealingOffer { genesis_hash: B256::ZERO, ..offer.clone() }, &alice.transfer(1, TO, 3)),
        seal(&SealingOffer { chain_id: 1, ..offer.clone() }, &alice.transfer(1, TO, 3)),
        flipped.into(),
        transfer.slice(..100),
        Bytes::from_static(&[0x9e]),
    ] {
        assert_eq!(answer(&mut node, wrong), refused());
    }
    assert_eq!(node.balance(TO), U256::from(3));
}

#[test]
fn keys_change_by_the_hour_and_are_gone_an_hour_later_whether_anybody_asks_or_not() {
    let alice = Account::new(1);
    let mut node = node(&alice);
    let first = offer(&mut node);
    assert_eq!(first.expires_in_ms, HOUR_MS);
    let [a, b, c] = [0, 1, 2].map(|nonce| alice.transfer(nonce, TO, 1));
    assert!(answer(&mut node, seal(&first, &a)).is_ok());
    node.wait(HOUR_MS);
    let second = offer(&mut node);
    assert_ne!(first.keys.epoch, second.keys.epoch);
    assert!(answer(&mut node, seal(&first, &b)).is_ok(), "the epoch before is still opened");
    node.wait(HOUR_MS);
    assert_eq!(answer(&mut node, seal(&first, &c)), refused());
    assert!(answer(&mut node, seal(&second, &c)).is_ok());
}
