//! From what readers hand out to the JSON that geth would answer.
//!
//! Values here hold references to resident blocks and are written straight into the answer when it
//! is serialised: no tree of JSON values is ever built.

mod block;
mod log;
mod quantity;
mod receipt;
mod text;
mod transaction;

#[cfg(test)]
mod tests;

pub use block::{BlockJson, Bodies, HeaderJson, UncleJson};
pub(crate) use block::{HeaderFields, block_length};
pub use log::LogJson;
pub use quantity::{HexBytes, Quantity};
pub use receipt::ReceiptJson;
pub(crate) use text::{Text, Written};
pub use transaction::{Place, TransactionJson, UnsignedJson};
