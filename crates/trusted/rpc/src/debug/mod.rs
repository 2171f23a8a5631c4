//! `debug_*`: traces of transactions and calls, and blocks as Ethereum encodes them.

mod frames;
mod options;
mod raw;
mod trace;

pub(crate) use trace::{block_by_number, call, transaction};

use jsonrpsee::core::RegisterMethodError;

use crate::{MethodInfo, Registry};

/// Methods that answer on a confidential chain, about the caller's own transactions and calls.
const FOR_SENDERS: [&str; 4] =
    ["debug_traceTransaction", "debug_traceCall", "debug_traceBlockByNumber", "debug_traceBlockByHash"];

/// Whether a confidential chain has this method.
pub(crate) fn is_for_senders(name: &str) -> bool {
    FOR_SENDERS.contains(&name)
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    registry
        .method(
            info("debug_traceTransaction", "hash, options? -> trace", "How a committed transaction executed."),
            transaction,
        )?
        .method(
            info(
                "debug_traceCall",
                "call, block?, options? -> trace",
                "How a call would execute, without a transaction.",
            ),
            call,
        )?
        .method(
            info("debug_traceBlockByNumber", "number, options? -> traces", "How each transaction of a block executed."),
            block_by_number,
        )?
        .method(
            info("debug_traceBlockByHash", "hash, options? -> traces", "How each transaction of a block executed."),
            trace::block_by_hash,
        )?
        .method(
            info(
                "debug_traceBlock",
                "data, options? -> traces",
                "How each transaction of a block of this chain executed.",
            ),
            trace::block,
        )?
        .method(info("debug_getRawHeader", "block -> data", "A header in RLP."), raw::header)?
        .method(info("debug_getRawBlock", "block -> data", "A block in RLP."), raw::block)?
        .method(
            info("debug_getRawReceipts", "block -> encoded receipts", "The receipts of a block (EIP-2718)."),
            raw::receipts,
        )?
        .method(
            info(
                "debug_getRawTransaction",
                "hash -> data",
                "The bytes of a committed or pending transaction (EIP-2718).",
            ),
            crate::transactions::raw_by_hash,
        )?;
    Ok(())
}
