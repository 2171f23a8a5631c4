//! `Debug` for messages: kinds, ids and sizes. Contents may be a client's words, so they are never
//! shown.

use core::fmt;

use crate::message::{FromEnclave, Membership, Record, StartInfo, ToEnclave};

/// Shows a byte string by its length.
struct Size(usize);

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0)
    }
}

impl fmt::Debug for StartInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartInfo")
            .field("now_ms", &self.now_ms)
            .field("genesis", &Size(self.genesis.len()))
            .field("options", &Size(self.options.len()))
            .field("log", &self.log)
            .field("snapshots", &self.snapshots)
            .field("meta", &self.meta.as_ref().map(|meta| Size(meta.len())))
            .field("platform_key", &Size(self.platform_key.len()))
            .field("consensus", &self.consensus.len())
            .field("node", &self.membership.as_ref().map(|membership| membership.node))
            .finish()
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("node", &self.node)
            .field("network_key", &Size(self.network_key.len()))
            .finish()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block { height, sealed } => {
                write!(f, "Block({height}, {:?})", Size(sealed.len()))
            }
            Self::SnapshotChunk { snapshot, index, sealed } => {
                write!(f, "SnapshotChunk({snapshot}, #{index}, {:?})", Size(sealed.len()))
            }
            Self::SnapshotDone { snapshot, chunks } => {
                write!(f, "SnapshotDone({snapshot}, {chunks} chunks)")
            }
            Self::DropSnapshot { snapshot } => write!(f, "DropSnapshot({snapshot})"),
            Self::LogSection { last, sealed } => write!(f, "LogSection({last}, {:?})", Size(sealed.len())),
            Self::Truncate { last } => write!(f, "Truncate({last})"),
            Self::Meta { sealed } => write!(f, "Meta({:?})", Size(sealed.len())),
            Self::Consensus { number, keep_from, sealed } => {
                write!(f, "Consensus(#{number}, from #{keep_from}, {:?})", Size(sealed.len()))
            }
        }
    }
}

impl fmt::Debug for ToEnclave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello { version } => write!(f, "Hello(version {version})"),
            Self::Start(info) => f.debug_tuple("Start").field(info).finish(),
            Self::Tick { now_ms } => write!(f, "Tick({now_ms})"),
            Self::Persisted { seq } => write!(f, "Persisted({seq})"),
            Self::PersistFailed { seq, fault } => write!(f, "PersistFailed({seq}, {fault})"),
            Self::Blocks { id, blocks } => {
                let total: usize = blocks.iter().flatten().map(Vec::len).sum();
                write!(f, "Blocks(read {id}, {} entries, {:?})", blocks.len(), Size(total))
            }
            Self::Chunk { id, bytes } => {
                write!(f, "Chunk(read {id}, {:?})", bytes.as_ref().map(|bytes| Size(bytes.len())))
            }
            Self::LogSection { id, bytes } => {
                write!(f, "LogSection(read {id}, {:?})", bytes.as_ref().map(|bytes| Size(bytes.len())))
            }
            Self::ReadFailed { id, fault } => write!(f, "ReadFailed(read {id}, {fault})"),
            Self::Open { conn, peer } => write!(f, "Open({conn}, {peer:?})"),
            Self::Data { conn, bytes } => write!(f, "Data({conn}, {:?})", Size(bytes.len())),
            Self::Closed { conn } => write!(f, "Closed({conn})"),
            Self::Credit { conn, bytes } => write!(f, "Credit({conn}, {bytes})"),
            Self::Shutdown => f.write_str("Shutdown"),
        }
    }
}

impl fmt::Debug for FromEnclave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello { version } => write!(f, "Hello(version {version})"),
            Self::Ready { chain_id, genesis_hash: _, head } => write!(f, "Ready(chain {chain_id}, head {head})"),
            Self::Persist { seq, record } => write!(f, "Persist({seq}, {record:?})"),
            Self::ReadBlocks { id, from, count } => {
                write!(f, "ReadBlocks(read {id}, {count} from {from})")
            }
            Self::ReadChunk { id, snapshot, index } => {
                write!(f, "ReadChunk(read {id}, snapshot {snapshot} #{index})")
            }
            Self::ReadLogSection { id, last } => write!(f, "ReadLogSection(read {id}, up to {last})"),
            Self::Data { conn, bytes } => write!(f, "Data({conn}, {:?})", Size(bytes.len())),
            Self::Close { conn } => write!(f, "Close({conn})"),
            Self::Credit { conn, bytes } => write!(f, "Credit({conn}, {bytes})"),
            Self::Status(status) => f.debug_tuple("Status").field(status).finish(),
            Self::Recovery(statement) => f.debug_tuple("Recovery").field(statement).finish(),
            Self::Halt { code, detail } => write!(f, "Halt({code}: {detail})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ConnId;

    #[test]
    fn debug_shows_sizes_and_never_contents() {
        let data = ToEnclave::Data { conn: ConnId(7), bytes: b"POST /secret".to_vec() };
        assert_eq!(format!("{data:?}"), "Data(7, <12 bytes>)");

        let start =
            format!("{:?}", ToEnclave::Start(StartInfo { platform_key: vec![0xab; 32], ..StartInfo::default() }));
        assert!(start.contains("platform_key: <32 bytes>"), "{start}");
        assert!(!start.contains("171"), "{start}");
    }
}
