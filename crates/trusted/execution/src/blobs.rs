//! Blob transactions as they travel, with their sidecars (EIP-4844, EIP-7594).
//!
//! A sidecar is checked against the transaction and dropped: this client keeps no blobs. That the proofs in it hold
//! is for the consensus layer that carries the blobs; no block depends on it.

use alloy_consensus::{EthereumTxEnvelope, TxEip4844, TxEip4844WithSidecar};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_eips::eip4844::{BYTES_PER_BLOB, Blob, Bytes48, kzg_to_versioned_hash};
use alloy_eips::eip7594::{BlobTransactionSidecarVariant, CELLS_PER_EXT_BLOB};
use alloy_primitives::{B256, U256, uint};
use cloister_primitives::{Code, RecoveredTransaction, Rejected, Transaction};

use crate::recover::{recover, recover_transaction};

/// EIP-2718 type of blob transactions (EIP-4844).
pub(crate) const BLOB_TYPE: u8 = 3;
/// Bytes of a blob transaction with its sidecar; geth's `txMaxSize` of its pool for blobs.
const MAX_BYTES: usize = 1 << 20;
/// Order of the group that a blob's words are elements of (EIP-4844).
const FIELD_ORDER: U256 = uint!(0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001_U256);

type Pooled = EthereumTxEnvelope<TxEip4844WithSidecar<BlobTransactionSidecarVariant>>;

/// As [`recover`], and takes blob transactions with their sidecars.
///
/// # Errors
/// As [`recover`]; [`Code::InvalidSidecar`] if a sidecar is missing or does not fit its transaction.
pub fn recover_with_blobs(raw: &[u8], max_bytes: usize) -> Result<RecoveredTransaction, Rejected> {
    if raw.first() != Some(&BLOB_TYPE) {
        return recover(raw, max_bytes);
    }
    if raw.len() > MAX_BYTES {
        let detail = format!("transaction size {}, limit {MAX_BYTES}", raw.len());
        return Err(Rejected::with_detail(Code::OversizedData, detail));
    }
    recover_transaction(without_sidecar(raw)?)
}

fn without_sidecar(raw: &[u8]) -> Result<Transaction, Rejected> {
    let malformed = |detail: String| Rejected::with_detail(Code::MalformedTransaction, detail);
    let pooled = match Pooled::decode_2718_exact(raw) {
        Ok(pooled) => pooled,
        Err(_) if Transaction::decode_2718_exact(raw).is_ok() => return Err(invalid("it is missing")),
        Err(error) => return Err(malformed(error.to_string())),
    };
    if pooled.encoded_2718() != raw {
        return Err(malformed("not the canonical encoding".to_owned()));
    }
    let Pooled::Eip4844(signed) = pooled else {
        return Err(malformed("not a blob transaction".to_owned()));
    };
    let (transaction, signature, hash) = signed.into_parts();
    let TxEip4844WithSidecar { tx, sidecar } = transaction;
    check(&tx, &sidecar)?;
    Ok(Transaction::Eip4844(alloy_consensus::Signed::new_unchecked(tx, signature, hash)))
}

fn invalid(detail: impl Into<String>) -> Rejected {
    Rejected::with_detail(Code::InvalidSidecar, detail.into())
}

fn check(tx: &TxEip4844, sidecar: &BlobTransactionSidecarVariant) -> Result<(), Rejected> {
    let (blobs, commitments, proofs, proofs_each): (&[Blob], &[Bytes48], usize, usize) = match sidecar {
        BlobTransactionSidecarVariant::Eip4844(sidecar) => {
            (&sidecar.blobs, &sidecar.commitments, sidecar.proofs.len(), 1)
        }
        BlobTransactionSidecarVariant::Eip7594(sidecar) => {
            (&sidecar.blobs, &sidecar.commitments, sidecar.cell_proofs.len(), CELLS_PER_EXT_BLOB)
        }
    };
    let hashes: &[B256] = &tx.blob_versioned_hashes;
    let count = hashes.len();
    if count == 0 {
        return Err(invalid("a blob transaction without blobs"));
    }
    if blobs.len() != count || commitments.len() != count || proofs != count * proofs_each {
        return Err(invalid(format!(
            "{} blobs, {} commitments and {proofs} proofs for {count} blob hashes",
            blobs.len(),
            commitments.len()
        )));
    }
    for (index, (hash, commitment)) in hashes.iter().zip(commitments).enumerate() {
        if kzg_to_versioned_hash(commitment.as_slice()) != *hash {
            return Err(invalid(format!("commitment {index} does not match its blob hash")));
        }
    }
    let words = blobs.iter().flat_map(|blob| blob[..BYTES_PER_BLOB].chunks_exact(32));
    if words.map(U256::from_be_slice).any(|word| word >= FIELD_ORDER) {
        return Err(invalid("a blob holds a word that is no field element"));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_consensus::SignableTransaction as _;
    use alloy_eips::eip4844::BlobTransactionSidecar;
    use alloy_primitives::Signature;

    use super::*;

    fn raw(change: impl FnOnce(&mut TxEip4844, &mut BlobTransactionSidecar)) -> Vec<u8> {
        let commitment = Bytes48::repeat_byte(0xc0);
        let mut tx = TxEip4844 {
            blob_versioned_hashes: vec![kzg_to_versioned_hash(commitment.as_slice())],
            ..TxEip4844::default()
        };
        let mut sidecar =
            BlobTransactionSidecar { blobs: vec![Blob::ZERO], commitments: vec![commitment], proofs: vec![commitment] };
        change(&mut tx, &mut sidecar);
        let signature = Signature::new(U256::from(1), U256::from(1), false);
        let tx = TxEip4844WithSidecar { tx, sidecar: BlobTransactionSidecarVariant::Eip4844(sidecar) };
        Pooled::Eip4844(tx.into_signed(signature)).encoded_2718()
    }

    #[test]
    fn a_sidecar_that_fits_is_dropped() {
        let raw = raw(|_, _| {});
        let transaction = without_sidecar(&raw).unwrap();
        assert!(transaction.encoded_2718().len() < 200);
        assert_eq!(transaction.encoded_2718()[0], BLOB_TYPE);
        let without = transaction.encoded_2718();
        let refused = without_sidecar(&without).unwrap_err();
        assert_eq!(refused.to_string(), "invalid blob sidecar: it is missing");
    }

    #[test]
    fn a_sidecar_that_does_not_fit_is_refused() {
        let refusals = [
            raw(|tx, _| tx.blob_versioned_hashes.clear()),
            raw(|_, sidecar| sidecar.blobs.clear()),
            raw(|_, sidecar| sidecar.proofs.push(Bytes48::ZERO)),
            raw(|_, sidecar| sidecar.commitments[0] = Bytes48::ZERO),
            raw(|_, sidecar| sidecar.blobs[0] = Blob::repeat_byte(0xff)),
        ];
        for raw in refusals {
            assert_eq!(without_sidecar(&raw).unwrap_err().code(), Code::InvalidSidecar);
        }
        assert_eq!(without_sidecar(&[BLOB_TYPE, 0xc0]).unwrap_err().code(), Code::MalformedTransaction);
        assert_eq!(recover_with_blobs(&vec![3; MAX_BYTES + 1], 10).unwrap_err().code(), Code::OversizedData);
    }
}
