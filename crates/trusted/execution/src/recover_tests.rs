#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::{access_list_tx, address, authorization, dynamic, legacy, set_code, signed};
use alloy_primitives::hex;
use proptest::prelude::*;

const LIMIT: usize = 128 * 1024;

fn every_type() -> Vec<Transaction> {
    vec![
        signed(1, legacy(3)),
        signed(1, access_list_tx(3)),
        signed(1, dynamic(3)),
        signed(1, set_code(3, vec![authorization(2, 0, address(3))])),
    ]
}

fn code(raw: &[u8]) -> Code {
    recover(raw, LIMIT).unwrap_err().code()
}

#[test]
fn every_type_recovers_its_sender() {
    for transaction in every_type() {
        let raw = transaction.encoded_2718();
        let recovered = recover(&raw, LIMIT).unwrap();
        assert_eq!(recovered.signer(), address(1));
        assert_eq!(recovered.inner(), &transaction);
        assert_eq!(*recovered.tx_hash(), keccak256(&raw));
    }
    let batch = recover_batch(every_type());
    assert!(batch.into_iter().all(|one| one.unwrap().signer() == address(1)));
}

#[test]
fn a_known_signature_recovers() {
    // The example of EIP-155: key 0x46…46.
    let raw = hex!(
        "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
    );
    let recovered = recover(&raw, LIMIT).unwrap();
    assert_eq!(recovered.signer(), alloy_primitives::address!("0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"));
}

#[test]
fn hostile_bytes_are_named() {
    let raw = signed(1, dynamic(3)).encoded_2718();
    let mut trailing = raw.clone();
    trailing.push(0);
    assert_eq!(code(&trailing), Code::MalformedTransaction);
    assert_eq!(code(&raw[..raw.len() - 1]), Code::MalformedTransaction);
    assert_eq!(code(&[]), Code::MalformedTransaction);
    assert_eq!(code(&[0xc0]), Code::MalformedTransaction);
    assert_eq!(code(&vec![0xff; LIMIT]), Code::MalformedTransaction);
    assert_eq!(code(&vec![0; LIMIT + 1]), Code::OversizedData);
    assert_eq!(code(&[0x03, 0xc0]), Code::BlobTransactionsNotSupported);
    assert_eq!(code(&[0x05, 0xc0]), Code::TransactionTypeNotSupported);
    assert_eq!(code(&[0x00, 0xc0]), Code::TransactionTypeNotSupported);
}

#[test]
fn high_s_and_impossible_signatures_are_refused() {
    let order = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
    let good = signed(1, dynamic(3));
    let Transaction::Eip1559(good) = good else { panic!("a dynamic-fee transaction") };
    let (tx, signature, _) = good.into_parts();
    let with = |r, s, parity| {
        let raw = Transaction::from(alloy_consensus::SignableTransaction::into_signed(
            tx.clone(),
            Signature::new(r, s, parity),
        ))
        .encoded_2718();
        recover(&raw, LIMIT)
    };
    let (r, s, parity) = (signature.r(), signature.s(), signature.v());
    assert_eq!(with(r, s, parity).unwrap().signer(), address(1));
    // The twin of a signature verifies just as well, which is why it must be refused.
    let twin = with(r, order - s, !parity).unwrap_err();
    assert_eq!(twin.to_string(), "invalid sender: invalid transaction v, r, s values");
    for (r, s) in [(U256::ZERO, s), (r, U256::ZERO), (order, s), (U256::MAX, s)] {
        assert_eq!(with(r, s, parity).unwrap_err().code(), Code::InvalidSender);
    }
    // With the other parity somebody else has signed.
    assert!(with(r, s, !parity).is_ok_and(|other| other.signer() != address(1)));
}

#[test]
fn impersonated_transactions_differ_by_sender() {
    let one = impersonate(dynamic(0), address(1));
    let two = impersonate(dynamic(0), address(2));
    assert_eq!(one.signer(), address(1));
    assert_ne!(one.tx_hash(), two.tx_hash());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = recover(&bytes, LIMIT);
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(flip in 0usize..2000, kind in 0usize..4) {
        let mut raw = every_type()[kind].encoded_2718();
        let bit = flip % (raw.len() * 8);
        raw[bit / 8] ^= 1 << (bit % 8);
        if let Ok(recovered) = recover(&raw, LIMIT) {
            prop_assert_eq!(recovered.encoded_2718(), raw);
        }
    }
}
