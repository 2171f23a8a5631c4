//! Limits on everything that crosses the boundary. Sizes are in bytes unless the name says else.

/// Longest body of any frame; single kinds and fields have smaller limits.
pub const MAX_FRAME: usize = 64 << 20;

/// Longest `Data` payload, in either direction.
pub const MAX_DATA: usize = 256 << 10;

/// Credit that each direction of a connection begins with, and the most it can ever hold.
pub const INITIAL_WINDOW: u32 = 256 << 10;

/// Longest genesis file.
pub const MAX_GENESIS: usize = 48 << 20;

/// Longest options blob.
pub const MAX_OPTIONS: usize = 1 << 20;

/// Longest sealed metadata record.
pub const MAX_META: usize = 1 << 20;

/// Longest content of a sealing key file.
pub const MAX_PLATFORM_KEY: usize = 4 << 10;

/// Longest sealed block or snapshot chunk.
pub const MAX_SEALED: usize = 32 << 20;

/// Most snapshots the host may offer at the start.
pub const MAX_SNAPSHOTS: usize = 1_024;

/// Most chunks a snapshot may have.
pub const MAX_CHUNKS: u32 = 1 << 20;

/// Most blocks asked for in one `ReadBlocks`.
pub const MAX_BLOCKS_PER_READ: u32 = 1_024;

/// The host ends a `Blocks` answer before the blobs in it exceed this sum; the first blob is
/// always included. The asker goes on from where the answer ends.
pub const MAX_BLOCKS_ANSWER: usize = 16 << 20;

/// Most reads that may wait for their answers at one time.
pub const MAX_READS_IN_FLIGHT: usize = 64;

/// Longest constant text in a `Halt`.
pub const MAX_DETAIL: usize = 256;

/// Most records of the consensus log that are kept.
pub const MAX_CONSENSUS_RECORDS: usize = 2_048;

/// Longest record of the consensus log.
pub const MAX_CONSENSUS_RECORD: usize = 1 << 20;

/// Most nodes of a network that a status names.
pub const MAX_MEMBERS: usize = 64;

const _: () = assert!(MAX_GENESIS + MAX_OPTIONS + MAX_META + 2 * MAX_PLATFORM_KEY + (1 << 16) < MAX_FRAME);
const _: () = assert!(MAX_BLOCKS_ANSWER + MAX_SEALED + 5 * MAX_BLOCKS_PER_READ as usize + 64 < MAX_FRAME);
