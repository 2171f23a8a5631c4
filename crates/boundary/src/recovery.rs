//! How a statement of recovery is written into a frame.

use cloister_primitives::{Height, RecoveryStatement};

use crate::codec::FrameError;
use crate::wire::{Reader, Writer};

/// Length of the frame's body.
pub(crate) const LEN: usize = 4 * 8 + 2 * 32;

pub(crate) fn write(w: &mut Writer<'_>, statement: &RecoveryStatement) {
    let RecoveryStatement { chain_id, genesis_hash, node, height, block_hash, recovery } = statement;
    w.u64(*chain_id);
    w.array(&genesis_hash.0);
    w.u64(*node);
    w.u64(height.0);
    w.array(&block_hash.0);
    w.u64(*recovery);
}

pub(crate) fn read(r: &mut Reader<'_>) -> Result<RecoveryStatement, FrameError> {
    Ok(RecoveryStatement {
        chain_id: r.u64("chain id")?,
        genesis_hash: r.array("genesis hash")?.into(),
        node: r.u64("node")?,
        height: Height(r.u64("height")?),
        block_hash: r.array("block hash")?.into(),
        recovery: r.u64("recovery")?,
    })
}
