//! The fields of each kind of message, in the order they are written.

use cloister_primitives::{Height, Seq};

use crate::codec::{Body, FrameError};
use crate::limits::{
    INITIAL_WINDOW, MAX_BLOCKS_PER_READ, MAX_CHUNKS, MAX_CONSENSUS_RECORD, MAX_CONSENSUS_RECORDS, MAX_DATA, MAX_DETAIL,
    MAX_FRAME, MAX_GENESIS, MAX_META, MAX_OPTIONS, MAX_PLATFORM_KEY, MAX_SEALED, MAX_SNAPSHOTS,
};
use crate::message::{
    ConnId, Detail, FromEnclave, HaltCode, Membership, PeerOrigin, ReadId, Record, Side, StartInfo, StorageFault,
    StoredLog, StoredSnapshot, ToEnclave,
};
use crate::wire::{Reader, Writer};
use crate::{recovery, status};

/// Kinds of frames towards the enclave.
mod to {
    pub(super) const HELLO: u8 = 0x01;
    pub(super) const START: u8 = 0x02;
    pub(super) const TICK: u8 = 0x03;
    pub(super) const PERSISTED: u8 = 0x04;
    pub(super) const PERSIST_FAILED: u8 = 0x05;
    pub(super) const BLOCKS: u8 = 0x06;
    pub(super) const CHUNK: u8 = 0x07;
    pub(super) const READ_FAILED: u8 = 0x08;
    pub(super) const OPEN: u8 = 0x09;
    pub(super) const DATA: u8 = 0x0a;
    pub(super) const CLOSED: u8 = 0x0b;
    pub(super) const CREDIT: u8 = 0x0c;
    pub(super) const SHUTDOWN: u8 = 0x0d;
    pub(super) const LOG_SECTION: u8 = 0x0e;
}

/// Kinds of frames from the enclave.
mod from {
    pub(super) const HELLO: u8 = 0x81;
    pub(super) const READY: u8 = 0x82;
    pub(super) const PERSIST: u8 = 0x83;
    pub(super) const READ_BLOCKS: u8 = 0x84;
    pub(super) const READ_CHUNK: u8 = 0x85;
    pub(super) const DATA: u8 = 0x86;
    pub(super) const CLOSE: u8 = 0x87;
    pub(super) const CREDIT: u8 = 0x88;
    pub(super) const STATUS: u8 = 0x89;
    pub(super) const HALT: u8 = 0x8a;
    pub(super) const READ_LOG_SECTION: u8 = 0x8b;
    pub(super) const RECOVERY: u8 = 0x8c;
}

/// Kinds of records inside a `Persist`.
mod record {
    pub(super) const BLOCK: u8 = 0;
    pub(super) const CHUNK: u8 = 1;
    pub(super) const DONE: u8 = 2;
    pub(super) const DROP: u8 = 3;
    pub(super) const TRUNCATE: u8 = 4;
    pub(super) const META: u8 = 5;
    pub(super) const LOG_SECTION: u8 = 6;
    pub(super) const CONSENSUS: u8 = 7;
}

impl Body for ToEnclave {
    fn write(&self, out: &mut Vec<u8>) -> Result<u8, FrameError> {
        let mut w = Writer(out);
        Ok(match self {
            Self::Hello { version } => {
                w.u16(*version);
                to::HELLO
            }
            Self::Start(info) => {
                write_start(&mut w, info)?;
                to::START
            }
            Self::Tick { now_ms } => {
                w.u64(*now_ms);
                to::TICK
            }
            Self::Persisted { seq } => {
                w.u64(seq.0);
                to::PERSISTED
            }
            Self::PersistFailed { seq, fault } => {
                w.u64(seq.0);
                w.u8(fault_code(*fault));
                to::PERSIST_FAILED
            }
            Self::Blocks { id, blocks } => {
                w.u64(id.0);
                w.count("blocks", blocks.len(), MAX_BLOCKS_PER_READ as usize)?;
                for block in blocks {
                    w.optional_bytes("sealed block", block.as_deref(), MAX_SEALED)?;
                }
                to::BLOCKS
            }
            Self::Chunk { id, bytes } => {
                w.u64(id.0);
                w.optional_bytes("sealed chunk", bytes.as_deref(), MAX_SEALED)?;
                to::CHUNK
            }
            Self::LogSection { id, bytes } => {
                w.u64(id.0);
                w.optional_bytes("sealed log section", bytes.as_deref(), MAX_SEALED)?;
                to::LOG_SECTION
            }
            Self::ReadFailed { id, fault } => {
                w.u64(id.0);
                w.u8(fault_code(*fault));
                to::READ_FAILED
            }
            Self::Open { conn, peer } => {
                w.u64(conn.0);
                write_origin(&mut w, *peer);
                to::OPEN
            }
            Self::Data { conn, bytes } => {
                write_data(&mut w, *conn, bytes)?;
                to::DATA
            }
            Self::Closed { conn } => {
                w.u64(conn.0);
                to::CLOSED
            }
            Self::Credit { conn, bytes } => {
                write_credit(&mut w, *conn, *bytes)?;
                to::CREDIT
            }
            Self::Shutdown => to::SHUTDOWN,
        })
    }

    fn limit(kind: u8) -> Option<usize> {
        Some(match kind {
            to::START | to::BLOCKS => MAX_FRAME,
            to::CHUNK | to::LOG_SECTION => 8 + 1 + 4 + MAX_SEALED,
            to::DATA => 8 + 4 + MAX_DATA,
            to::CREDIT => 8 + 4,
            // Of another node's host, its number.
            to::OPEN => 8 + 1 + 8,
            to::PERSIST_FAILED | to::READ_FAILED => 8 + 1,
            to::TICK | to::PERSISTED | to::CLOSED => 8,
            to::HELLO => 2,
            to::SHUTDOWN => 0,
            _ => return None,
        })
    }

    fn read(kind: u8, body: &[u8]) -> Result<(Self, usize), FrameError> {
        let mut r = Reader(body);
        let message = match kind {
            to::HELLO => Self::Hello { version: r.u16("version")? },
            to::START => Self::Start(read_start(&mut r)?),
            to::TICK => Self::Tick { now_ms: r.u64("now_ms")? },
            to::PERSISTED => Self::Persisted { seq: Seq(r.u64("seq")?) },
            to::PERSIST_FAILED => Self::PersistFailed { seq: Seq(r.u64("seq")?), fault: read_fault(&mut r)? },
            to::BLOCKS => read_blocks(&mut r)?,
            to::CHUNK => {
                Self::Chunk { id: ReadId(r.u64("read id")?), bytes: r.optional_bytes("sealed chunk", MAX_SEALED)? }
            }
            to::LOG_SECTION => Self::LogSection {
                id: ReadId(r.u64("read id")?),
                bytes: r.optional_bytes("sealed log section", MAX_SEALED)?,
            },
            to::READ_FAILED => Self::ReadFailed { id: ReadId(r.u64("read id")?), fault: read_fault(&mut r)? },
            to::OPEN => Self::Open { conn: read_conn(&mut r)?, peer: read_origin(&mut r)? },
            to::DATA => Self::Data { conn: read_conn(&mut r)?, bytes: read_data(&mut r)? },
            to::CLOSED => Self::Closed { conn: read_conn(&mut r)? },
            to::CREDIT => Self::Credit { conn: read_conn(&mut r)?, bytes: read_credit(&mut r)? },
            to::SHUTDOWN => Self::Shutdown,
            _ => return Err(FrameError::UnknownKind { kind }),
        };
        Ok((message, r.0.len()))
    }
}

impl Body for FromEnclave {
    fn write(&self, out: &mut Vec<u8>) -> Result<u8, FrameError> {
        let mut w = Writer(out);
        Ok(match self {
            Self::Hello { version } => {
                w.u16(*version);
                from::HELLO
            }
            Self::Ready { chain_id, genesis_hash, head } => {
                w.u64(*chain_id);
                w.array(genesis_hash);
                w.u64(head.0);
                from::READY
            }
            Self::Persist { seq, record } => {
                w.u64(seq.0);
                write_record(&mut w, record)?;
                from::PERSIST
            }
            Self::ReadBlocks { id, from, count } => {
                check_read_count(*count)?;
                w.u64(id.0);
                w.u64(from.0);
                w.u32(*count);
                from::READ_BLOCKS
            }
            Self::ReadChunk { id, snapshot, index } => {
                w.u64(id.0);
                w.u64(snapshot.0);
                w.u32(*index);
                from::READ_CHUNK
            }
            Self::ReadLogSection { id, last } => {
                w.u64(id.0);
                w.u64(last.0);
                from::READ_LOG_SECTION
            }
            Self::Data { conn, bytes } => {
                write_data(&mut w, *conn, bytes)?;
                from::DATA
            }
            Self::Close { conn } => {
                w.u64(conn.0);
                from::CLOSE
            }
            Self::Credit { conn, bytes } => {
                write_credit(&mut w, *conn, *bytes)?;
                from::CREDIT
            }
            Self::Status(status) => {
                status::write(&mut w, status)?;
                from::STATUS
            }
            Self::Recovery(statement) => {
                recovery::write(&mut w, statement);
                from::RECOVERY
            }
            Self::Halt { code, detail } => {
                w.u8(halt_code(*code));
                w.bytes("detail", detail.as_str().as_bytes(), MAX_DETAIL)?;
                from::HALT
            }
        })
    }

    fn limit(kind: u8) -> Option<usize> {
        Some(match kind {
            from::PERSIST => 8 + 1 + 8 + 4 + 4 + MAX_SEALED,
            from::DATA => 8 + 4 + MAX_DATA,
            from::HALT => 1 + 4 + MAX_DETAIL,
            from::READY => 8 + 32 + 8,
            from::STATUS => status::MAX_STATUS,
            from::RECOVERY => recovery::LEN,
            from::READ_BLOCKS | from::READ_CHUNK => 8 + 8 + 4,
            from::READ_LOG_SECTION => 8 + 8,
            from::CREDIT => 8 + 4,
            from::CLOSE => 8,
            from::HELLO => 2,
            _ => return None,
        })
    }

    fn read(kind: u8, body: &[u8]) -> Result<(Self, usize), FrameError> {
        let mut r = Reader(body);
        let message = match kind {
            from::HELLO => Self::Hello { version: r.u16("version")? },
            from::READY => Self::Ready {
                chain_id: r.u64("chain id")?,
                genesis_hash: r.array("genesis hash")?,
                head: Height(r.u64("head")?),
            },
            from::PERSIST => Self::Persist { seq: Seq(r.u64("seq")?), record: read_record(&mut r)? },
            from::READ_BLOCKS => {
                let (id, from) = (ReadId(r.u64("read id")?), Height(r.u64("from")?));
                let count = r.u32("count")?;
                check_read_count(count)?;
                Self::ReadBlocks { id, from, count }
            }
            from::READ_CHUNK => Self::ReadChunk {
                id: ReadId(r.u64("read id")?),
                snapshot: Height(r.u64("snapshot")?),
                index: r.u32("index")?,
            },
            from::READ_LOG_SECTION => {
                Self::ReadLogSection { id: ReadId(r.u64("read id")?), last: Height(r.u64("last")?) }
            }
            from::DATA => Self::Data { conn: read_conn(&mut r)?, bytes: read_data(&mut r)? },
            from::CLOSE => Self::Close { conn: read_conn(&mut r)? },
            from::CREDIT => Self::Credit { conn: read_conn(&mut r)?, bytes: read_credit(&mut r)? },
            from::STATUS => Self::Status(status::read(&mut r)?),
            from::RECOVERY => Self::Recovery(recovery::read(&mut r)?),
            from::HALT => Self::Halt { code: read_halt_code(&mut r)?, detail: read_detail(&mut r)? },
            _ => return Err(FrameError::UnknownKind { kind }),
        };
        Ok((message, r.0.len()))
    }
}

fn write_start(w: &mut Writer<'_>, info: &StartInfo) -> Result<(), FrameError> {
    w.u64(info.now_ms);
    w.bytes("genesis", &info.genesis, MAX_GENESIS)?;
    w.bytes("options", &info.options, MAX_OPTIONS)?;
    w.optional_u64(info.log.first.map(|height| height.0));
    w.optional_u64(info.log.last.map(|height| height.0));
    w.count("snapshots", info.snapshots.len(), MAX_SNAPSHOTS)?;
    for snapshot in &info.snapshots {
        w.u64(snapshot.height.0);
        w.u32(snapshot.chunks);
    }
    w.optional_bytes("meta", info.meta.as_deref(), MAX_META)?;
    w.bytes("platform key", &info.platform_key, MAX_PLATFORM_KEY)?;
    w.count("consensus records", info.consensus.len(), MAX_CONSENSUS_RECORDS)?;
    for record in &info.consensus {
        w.bytes("consensus record", record, MAX_CONSENSUS_RECORD)?;
    }
    w.optional_u64(info.membership.as_ref().map(|membership| membership.node));
    info.membership
        .as_ref()
        .map_or(Ok(()), |membership| w.bytes("network key", &membership.network_key, MAX_PLATFORM_KEY))
}

fn read_start(r: &mut Reader<'_>) -> Result<StartInfo, FrameError> {
    let now_ms = r.u64("now_ms")?;
    let genesis = r.bytes("genesis", MAX_GENESIS)?.to_vec();
    let options = r.bytes("options", MAX_OPTIONS)?.to_vec();
    let log = StoredLog {
        first: r.optional_u64("first block")?.map(Height),
        last: r.optional_u64("last block")?.map(Height),
    };
    let count = r.count("snapshots", MAX_SNAPSHOTS, 12)?;
    let snapshots = (0..count)
        .map(|_| Ok(StoredSnapshot { height: Height(r.u64("snapshot height")?), chunks: r.u32("snapshot chunks")? }))
        .collect::<Result<_, FrameError>>()?;
    let meta = r.optional_bytes("meta", MAX_META)?;
    let platform_key = r.bytes("platform key", MAX_PLATFORM_KEY)?.to_vec();
    let count = r.count("consensus records", MAX_CONSENSUS_RECORDS, 4)?;
    let consensus = (0..count)
        .map(|_| Ok(r.bytes("consensus record", MAX_CONSENSUS_RECORD)?.to_vec()))
        .collect::<Result<_, FrameError>>()?;
    let membership = match r.optional_u64("node")? {
        Some(node) => Some(Membership { node, network_key: r.bytes("network key", MAX_PLATFORM_KEY)?.to_vec() }),
        None => None,
    };
    Ok(StartInfo { now_ms, genesis, options, log, snapshots, meta, platform_key, consensus, membership })
}

fn write_origin(w: &mut Writer<'_>, origin: PeerOrigin) {
    match origin {
        PeerOrigin::Loopback => w.u8(0),
        PeerOrigin::Remote => w.u8(1),
        PeerOrigin::Node { node, opened_by } => {
            w.u8(match opened_by {
                Side::Here => 2,
                Side::There => 3,
            });
            w.u64(node);
        }
    }
}

fn read_origin(r: &mut Reader<'_>) -> Result<PeerOrigin, FrameError> {
    Ok(match r.u8("peer")? {
        0 => PeerOrigin::Loopback,
        1 => PeerOrigin::Remote,
        2 => PeerOrigin::Node { node: r.u64("node")?, opened_by: Side::Here },
        3 => PeerOrigin::Node { node: r.u64("node")?, opened_by: Side::There },
        _ => return Err(FrameError::BadValue { what: "peer" }),
    })
}

fn read_blocks(r: &mut Reader<'_>) -> Result<ToEnclave, FrameError> {
    let id = ReadId(r.u64("read id")?);
    let count = r.count("blocks", MAX_BLOCKS_PER_READ as usize, 1)?;
    let blocks = (0..count).map(|_| r.optional_bytes("sealed block", MAX_SEALED)).collect::<Result<_, FrameError>>()?;
    Ok(ToEnclave::Blocks { id, blocks })
}

fn write_record(w: &mut Writer<'_>, value: &Record) -> Result<(), FrameError> {
    match value {
        Record::Block { height, sealed } => {
            w.u8(record::BLOCK);
            w.u64(height.0);
            w.bytes("sealed block", sealed, MAX_SEALED)
        }
        Record::SnapshotChunk { snapshot, index, sealed } => {
            w.u8(record::CHUNK);
            w.u64(snapshot.0);
            w.u32(checked_chunks(*index)?);
            w.bytes("sealed chunk", sealed, MAX_SEALED)
        }
        Record::SnapshotDone { snapshot, chunks } => {
            w.u8(record::DONE);
            w.u64(snapshot.0);
            w.u32(checked_chunks(*chunks)?);
            Ok(())
        }
        Record::DropSnapshot { snapshot } => {
            w.u8(record::DROP);
            w.u64(snapshot.0);
            Ok(())
        }
        Record::LogSection { last, sealed } => {
            w.u8(record::LOG_SECTION);
            w.u64(last.0);
            w.bytes("sealed log section", sealed, MAX_SEALED)
        }
        Record::Truncate { last } => {
            w.u8(record::TRUNCATE);
            w.u64(last.0);
            Ok(())
        }
        Record::Meta { sealed } => {
            w.u8(record::META);
            w.bytes("meta", sealed, MAX_META)
        }
        Record::Consensus { number, keep_from, sealed } => {
            w.u8(record::CONSENSUS);
            w.u64(*number);
            w.u64(*keep_from);
            w.bytes("consensus record", sealed, MAX_CONSENSUS_RECORD)
        }
    }
}

fn read_record(r: &mut Reader<'_>) -> Result<Record, FrameError> {
    Ok(match r.u8("record kind")? {
        record::BLOCK => Record::Block {
            height: Height(r.u64("height")?),
            sealed: r.bytes("sealed block", MAX_SEALED)?.to_vec().into(),
        },
        record::CHUNK => Record::SnapshotChunk {
            snapshot: Height(r.u64("snapshot")?),
            index: checked_chunks(r.u32("index")?)?,
            sealed: r.bytes("sealed chunk", MAX_SEALED)?.to_vec(),
        },
        record::DONE => {
            Record::SnapshotDone { snapshot: Height(r.u64("snapshot")?), chunks: checked_chunks(r.u32("chunks")?)? }
        }
        record::DROP => Record::DropSnapshot { snapshot: Height(r.u64("snapshot")?) },
        record::LOG_SECTION => Record::LogSection {
            last: Height(r.u64("last")?),
            sealed: r.bytes("sealed log section", MAX_SEALED)?.to_vec(),
        },
        record::TRUNCATE => Record::Truncate { last: Height(r.u64("last")?) },
        record::META => Record::Meta { sealed: r.bytes("meta", MAX_META)?.to_vec() },
        record::CONSENSUS => Record::Consensus {
            number: r.u64("number")?,
            keep_from: r.u64("keep from")?,
            sealed: r.bytes("consensus record", MAX_CONSENSUS_RECORD)?.to_vec(),
        },
        _ => return Err(FrameError::BadValue { what: "record kind" }),
    })
}

fn checked_chunks(count: u32) -> Result<u32, FrameError> {
    if count > MAX_CHUNKS {
        return Err(FrameError::TooLong { what: "chunks", found: count as usize, limit: MAX_CHUNKS as usize });
    }
    Ok(count)
}

fn check_read_count(count: u32) -> Result<(), FrameError> {
    match count {
        0 => Err(FrameError::BadValue { what: "count" }),
        1..=MAX_BLOCKS_PER_READ => Ok(()),
        _ => Err(FrameError::TooLong { what: "count", found: count as usize, limit: MAX_BLOCKS_PER_READ as usize }),
    }
}

fn read_conn(r: &mut Reader<'_>) -> Result<ConnId, FrameError> {
    r.u64("connection").map(ConnId)
}

fn write_data(w: &mut Writer<'_>, conn: ConnId, bytes: &[u8]) -> Result<(), FrameError> {
    if bytes.is_empty() {
        return Err(FrameError::BadValue { what: "data" });
    }
    w.u64(conn.0);
    w.bytes("data", bytes, MAX_DATA)
}

fn read_data(r: &mut Reader<'_>) -> Result<Vec<u8>, FrameError> {
    match r.bytes("data", MAX_DATA)? {
        [] => Err(FrameError::BadValue { what: "data" }),
        bytes => Ok(bytes.to_vec()),
    }
}

fn write_credit(w: &mut Writer<'_>, conn: ConnId, bytes: u32) -> Result<(), FrameError> {
    check_credit(bytes)?;
    w.u64(conn.0);
    w.u32(bytes);
    Ok(())
}

fn read_credit(r: &mut Reader<'_>) -> Result<u32, FrameError> {
    let bytes = r.u32("credit")?;
    check_credit(bytes)?;
    Ok(bytes)
}

fn check_credit(bytes: u32) -> Result<(), FrameError> {
    match bytes {
        1..=INITIAL_WINDOW => Ok(()),
        _ => Err(FrameError::BadValue { what: "credit" }),
    }
}

const fn fault_code(fault: StorageFault) -> u8 {
    match fault {
        StorageFault::NoSpace => 0,
        StorageFault::Io => 1,
        StorageFault::Corrupt => 2,
        StorageFault::Refused => 3,
    }
}

fn read_fault(r: &mut Reader<'_>) -> Result<StorageFault, FrameError> {
    Ok(match r.u8("fault")? {
        0 => StorageFault::NoSpace,
        1 => StorageFault::Io,
        2 => StorageFault::Corrupt,
        3 => StorageFault::Refused,
        _ => return Err(FrameError::BadValue { what: "fault" }),
    })
}

const fn halt_code(code: HaltCode) -> u8 {
    // The variants are declared in the order of `HaltCode::ALL`; a test holds the two together.
    code as u8
}

fn read_halt_code(r: &mut Reader<'_>) -> Result<HaltCode, FrameError> {
    let code = usize::from(r.u8("halt code")?);
    HaltCode::ALL.get(code).copied().ok_or(FrameError::BadValue { what: "halt code" })
}

fn read_detail(r: &mut Reader<'_>) -> Result<Detail, FrameError> {
    core::str::from_utf8(r.bytes("detail", MAX_DETAIL)?)
        .ok()
        .and_then(Detail::decoded)
        .ok_or(FrameError::BadValue { what: "detail" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halt_codes_stand_at_their_wire_values() {
        for (index, code) in HaltCode::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(halt_code(code)), index);
        }
    }
}
