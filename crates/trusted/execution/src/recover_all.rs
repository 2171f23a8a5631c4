//! Many raw transactions at one time: what is to be hashed of one is hashed together with that of the others.

use std::sync::Arc;

use alloy_consensus::transaction::{Recovered, RlpEcdsaDecodableTx};
use alloy_consensus::{SignableTransaction as _, Signed};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes};
use cloister_keccak::keccak256_all;
use cloister_primitives::{RecoveredTransaction, Rejected, Transaction};

use crate::recover::{PUBLIC_KEY_LEN, decode, public_key, refuse_high_s};

/// As [`recover`](crate::recover), for many. Each result is independent; the order is that of the input.
#[must_use]
pub fn recover_all(raws: &[Bytes], max_bytes: usize) -> Vec<Result<RecoveredTransaction, Rejected>> {
    // What is too long is refused unread.
    let read: Vec<&[u8]> = raws.iter().map(|raw| if raw.len() <= max_bytes { raw } else { &[] as &[u8] }).collect();
    let mut encoded = Vec::new();
    let mut transactions: Vec<_> = raws
        .iter()
        .zip(keccak256_all(&read))
        .map(|(raw, hash)| match decode_hashed(raw, hash, max_bytes, &mut encoded) {
            Some(transaction) => Ok(transaction),
            None => decode(raw, max_bytes),
        })
        .collect();
    let mut keys = vec![[0; PUBLIC_KEY_LEN]; transactions.len()];
    let digests = signature_hashes(&mut encoded, &transactions);
    for ((transaction, digest), key) in transactions.iter_mut().zip(digests).zip(&mut keys) {
        let Ok(signed) = transaction else {
            continue;
        };
        let signature = signed.signature();
        match refuse_high_s(signature).and_then(|()| public_key(signature, digest)) {
            Ok(recovered) => *key = recovered,
            Err(refused) => *transaction = Err(refused),
        }
    }
    let senders = keccak256_all(&keys).into_iter().map(Address::from_word);
    let recovered = transactions.into_iter().zip(senders);
    recovered
        .map(|(transaction, sender)| transaction.map(|it| Arc::new(Recovered::new_unchecked(it, sender))))
        .collect()
}

/// Decodes what is the one canonical encoding of a transaction without blobs, whose hash is that of its bytes. Of
/// anything else `None`: [`decode`] knows what to say about it.
fn decode_hashed(raw: &[u8], hash: B256, max_bytes: usize, encoded: &mut Vec<u8>) -> Option<Transaction> {
    if raw.len() > max_bytes {
        return None;
    }
    let transaction = match raw {
        [1, body @ ..] => Transaction::Eip2930(signed(body, hash)?),
        [2, body @ ..] => Transaction::Eip1559(signed(body, hash)?),
        [4, body @ ..] => Transaction::Eip7702(signed(body, hash)?),
        [0xc0..=0xff, ..] => Transaction::Legacy(signed(raw, hash)?),
        _ => return None,
    };
    encoded.clear();
    transaction.encode_2718(encoded);
    (encoded == raw).then_some(transaction)
}

fn signed<T: RlpEcdsaDecodableTx>(mut rlp: &[u8], hash: B256) -> Option<Signed<T>> {
    let (transaction, signature) = T::rlp_decode_with_signature(&mut rlp).ok()?;
    rlp.is_empty().then(|| Signed::new_unchecked(transaction, signature, hash))
}

/// What was signed, of each transaction; of no meaning where there is none.
fn signature_hashes(text: &mut Vec<u8>, transactions: &[Result<Transaction, Rejected>]) -> Vec<B256> {
    text.clear();
    let mut signed = Vec::with_capacity(transactions.len());
    for transaction in transactions {
        let start = text.len();
        match transaction {
            Ok(Transaction::Legacy(it)) => it.tx().encode_for_signing(text),
            Ok(Transaction::Eip2930(it)) => it.tx().encode_for_signing(text),
            Ok(Transaction::Eip1559(it)) => it.tx().encode_for_signing(text),
            Ok(Transaction::Eip4844(it)) => it.tx().encode_for_signing(text),
            Ok(Transaction::Eip7702(it)) => it.tx().encode_for_signing(text),
            Err(_) => {}
        }
        signed.push(start..text.len());
    }
    let signed: Vec<_> = signed.into_iter().map(|range| &text[range]).collect();
    keccak256_all(&signed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::recover;
    use crate::testing::{access_list_tx, address, authorization, dynamic, legacy, set_code, signed};
    use proptest::prelude::*;

    const LIMIT: usize = 10_000;

    fn every_type() -> Vec<Bytes> {
        let transactions = [
            signed(1, legacy(3)),
            signed(2, access_list_tx(4)),
            signed(3, dynamic(5)),
            signed(4, set_code(6, vec![authorization(2, 0, address(3))])),
        ];
        transactions.iter().map(|transaction| transaction.encoded_2718().into()).collect()
    }

    /// The same outcomes, to the word, as one by one.
    fn check(raws: &[Bytes]) {
        let together = recover_all(raws, LIMIT);
        assert_eq!(together.len(), raws.len());
        for (raw, together) in raws.iter().zip(together) {
            match (recover(raw, LIMIT), together) {
                (Ok(alone), Ok(together)) => {
                    assert_eq!(together.signer(), alone.signer());
                    assert_eq!(together.tx_hash(), alone.tx_hash());
                    assert_eq!(together.inner(), alone.inner());
                }
                (alone, together) => assert_eq!(together.unwrap_err().to_string(), alone.unwrap_err().to_string()),
            }
        }
    }

    #[test]
    fn every_type_beside_what_is_no_transaction() {
        let good = every_type();
        assert!(recover_all(&good, LIMIT).iter().all(Result::is_ok));
        let mut raws = good.clone();
        for raw in &good {
            raws.push(raw[..raw.len() - 1].to_vec().into());
            raws.push([raw as &[u8], &[0]].concat().into());
        }
        for hostile in [&[] as &[u8], &[0xc0], &[0x80], &[3, 0xc0], &[5], &[0; LIMIT + 1], &[0xf9; LIMIT + 1]] {
            raws.push(Bytes::copy_from_slice(hostile));
        }
        raws.extend(good);
        check(&raws);
        check(&[]);
    }

    proptest! {
        #[test]
        fn flipped_bits(flips in proptest::collection::vec((0usize..4, 0usize..4_000), 0..12)) {
            let good = every_type();
            let flipped = flips.into_iter().map(|(kind, flip)| {
                let mut raw = good[kind].to_vec();
                let bit = flip % (raw.len() * 8);
                raw[bit / 8] ^= 1 << (bit % 8);
                Bytes::from(raw)
            });
            check(&flipped.collect::<Vec<_>>());
        }
    }
}
