//! What nodes of one network say to each other, inside their attested channels.

use alloy_primitives::{Address, B256, Bytes};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use cloister_ordering::raft::BlockRef;
use cloister_primitives::Height;

/// Version of the format below: the first byte of every message.
const VERSION: u8 = 1;

/// Most transactions in one message.
pub(crate) const MAX_TRANSACTIONS: usize = 1_000;

/// A transaction that another node took in, with the sender it recovered.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct ForwardedTransaction {
    /// EIP-2718 encoding; on a confidential chain in the padding that goes into envelopes.
    pub(crate) raw: Bytes,
    /// Who signed it.
    pub(crate) sender: Address,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PeerWord {
    /// For the other node's consensus engine, which has a codec of its own.
    Consensus(Bytes),
    /// The sealed bytes of a block that is being ordered.
    Block { height: Height, sealed: Bytes },
    /// Asks for one.
    WantBlock(BlockRef),
    /// Asks for stored blocks of these heights.
    WantStored { from: Height, upto: Height },
    /// The sealed bytes of a block that was asked for so.
    Stored { height: Height, sealed: Bytes },
    /// Transactions for the leader.
    Transactions(Vec<ForwardedTransaction>),
}

/// Why bytes are no message. The peer is attested, so it is a fault of a program, or another version of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PeerWordError {
    /// Not RLP of the expected shape.
    #[error("malformed: {0}")]
    Malformed(#[from] alloy_rlp::Error),
    /// Another program's.
    #[error("version or kind is unknown")]
    Unknown,
    /// More than this node takes.
    #[error("too long")]
    TooLong,
}

#[derive(RlpEncodable, RlpDecodable)]
struct Blob {
    height: Height,
    sealed: Bytes,
}

#[derive(RlpEncodable, RlpDecodable)]
struct Span {
    from: Height,
    upto: Height,
}

mod kind {
    pub(super) const CONSENSUS: u8 = 0;
    pub(super) const BLOCK: u8 = 1;
    pub(super) const WANT_BLOCK: u8 = 2;
    pub(super) const WANT_STORED: u8 = 3;
    pub(super) const STORED: u8 = 4;
    pub(super) const TRANSACTIONS: u8 = 5;
}

fn written(kind: u8, body: &dyn Encodable) -> Bytes {
    let mut out = Vec::with_capacity(2 + body.length());
    out.extend([VERSION, kind]);
    body.encode(&mut out);
    out.into()
}

fn read<T: Decodable>(mut body: &[u8]) -> Result<T, PeerWordError> {
    let value = T::decode(&mut body)?;
    if body.is_empty() { Ok(value) } else { Err(PeerWordError::TooLong) }
}

impl PeerWord {
    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Consensus(message) => written(kind::CONSENSUS, message),
            Self::Block { height, sealed } => written(kind::BLOCK, &Blob { height: *height, sealed: sealed.clone() }),
            Self::WantBlock(block) => written(kind::WANT_BLOCK, block),
            Self::WantStored { from, upto } => written(kind::WANT_STORED, &Span { from: *from, upto: *upto }),
            Self::Stored { height, sealed } => written(kind::STORED, &Blob { height: *height, sealed: sealed.clone() }),
            Self::Transactions(transactions) => written(kind::TRANSACTIONS, transactions),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`PeerWordError`].
    pub(crate) fn decode(message: &[u8]) -> Result<Self, PeerWordError> {
        let [VERSION, kind, body @ ..] = message else {
            return Err(PeerWordError::Unknown);
        };
        Ok(match *kind {
            kind::CONSENSUS => Self::Consensus(read(body)?),
            kind::BLOCK => {
                let Blob { height, sealed } = read(body)?;
                Self::Block { height, sealed }
            }
            kind::WANT_BLOCK => Self::WantBlock(read(body)?),
            kind::WANT_STORED => {
                let Span { from, upto } = read(body)?;
                Self::WantStored { from, upto }
            }
            kind::STORED => {
                let Blob { height, sealed } = read(body)?;
                Self::Stored { height, sealed }
            }
            kind::TRANSACTIONS => {
                let transactions: Vec<ForwardedTransaction> = read(body)?;
                if transactions.len() > MAX_TRANSACTIONS {
                    return Err(PeerWordError::TooLong);
                }
                Self::Transactions(transactions)
            }
            _ => return Err(PeerWordError::Unknown),
        })
    }
}

/// What the log calls a sealed block.
pub(crate) fn digest(sealed: &[u8]) -> B256 {
    B256::new(cloister_crypto::sha256(sealed))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn words() -> Vec<PeerWord> {
        let sealed = Bytes::from_static(b"sealed");
        vec![
            PeerWord::Consensus(Bytes::from_static(b"vote")),
            PeerWord::Block { height: Height(7), sealed: sealed.clone() },
            PeerWord::WantBlock(BlockRef { height: Height(7), digest: digest(&sealed) }),
            PeerWord::WantStored { from: Height(1), upto: Height(64) },
            PeerWord::Stored { height: Height(7), sealed },
            PeerWord::Transactions(vec![ForwardedTransaction {
                raw: Bytes::from_static(&[2, 0xc0]),
                sender: Address::repeat_byte(1),
            }]),
        ]
    }

    #[test]
    fn what_is_written_is_read_back_and_nothing_else() {
        for word in words() {
            let bytes = word.encode();
            assert_eq!(PeerWord::decode(&bytes).unwrap(), word);
            for cut in 0..bytes.len() {
                assert!(PeerWord::decode(&bytes[..cut]).is_err(), "{word:?} cut at {cut}");
            }
            let longer = [&bytes[..], &[0]].concat();
            assert!(PeerWord::decode(&longer).is_err(), "{word:?} with a byte more");
        }
    }

    #[test]
    fn other_versions_kinds_and_crowds_are_refused() {
        let word = words().remove(0).encode();
        assert_eq!(PeerWord::decode(&[&[2][..], &word[1..]].concat()), Err(PeerWordError::Unknown));
        assert_eq!(PeerWord::decode(&[&[1, 9][..], &word[2..]].concat()), Err(PeerWordError::Unknown));
        let one = ForwardedTransaction { raw: Bytes::new(), sender: Address::ZERO };
        let crowd = PeerWord::Transactions(vec![one; MAX_TRANSACTIONS + 1]).encode();
        assert_eq!(PeerWord::decode(&crowd), Err(PeerWordError::TooLong));
    }
}
