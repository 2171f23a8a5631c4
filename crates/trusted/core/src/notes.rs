//! Notes that the shell keeps beside the chain: sealed whole, the newest alone.
//!
//! That they are the newest cannot be seen from them: a host that hands out older ones takes back what was noted since.

use cloister_boundary::{HaltCode, Record};
use cloister_crypto::Nonce;
use cloister_keys::{Incarnation, LedgerKeys, MetaAad, Sealed};

use crate::Fatal;

/// Seals notes; `None` if the key is used up or they are too long.
pub(crate) fn seal(keys: &LedgerKeys, nonce: Nonce, incarnation: Incarnation, notes: Vec<u8>) -> Option<Record> {
    let sealed = keys.seal_meta(nonce, &MetaAad { incarnation }, notes).ok()?;
    Some(Record::Meta { sealed: sealed.into_bytes() })
}

/// Opens what the host kept; nothing where it kept none.
pub(crate) fn open(keys: &LedgerKeys, kept: Option<Vec<u8>>) -> Result<Vec<u8>, Fatal> {
    let damaged = || Fatal::new(HaltCode::DamagedLog, "the stored notes are not authentic");
    let Some(kept) = kept else { return Ok(Vec::new()) };
    let sealed = Sealed::from_bytes(kept).map_err(|_| damaged())?;
    let aad = MetaAad { incarnation: sealed.incarnation() };
    keys.open_meta(&aad, sealed).map_err(|_| damaged())
}
