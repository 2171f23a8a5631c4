//! The only words that host and enclave can say to each other.
//!
//! **Duty.** Defines every message that crosses the wall, its one encoding, the limits on it, and
//! (feature `link`) the two ways to carry it: an in-memory link inside one process, and a framed
//! byte stream between two.
//!
//! **Trusts.** Nothing. Each side reads what the other wrote as hostile bytes: a malformed frame
//! becomes a named [`FrameError`], never a panic, and never an allocation larger than the bytes
//! that have already arrived.
//!
//! **Invariants.** Every frame carries the protocol version. Every field has a limit ([`limits`]).
//! Whatever the host stores is sealed and opaque to it; what the enclave tells about itself is
//! public ([`PublicStatus`]) or constant text ([`Detail`]). `Debug` of a message shows kinds, ids
//! and sizes, never contents.
//!
//! **Not here.** What the messages mean for the chain (`trusted/core`), how the host carries them
//! out (`host/node`, `host/storage`), encryption (the enclave seals before it speaks). Without the
//! feature `link` there is no I/O, no clock and no runtime in this crate.
//!
//! # The conversation
//!
//! ```text
//!   host                                   enclave
//!    │ Hello{version} ─────────────────────▶ │
//!    │ ◀───────────────────── Hello{version} │   both compare versions
//!    │ Start(what is stored, genesis, …) ──▶ │
//!    │ ◀──────────── ReadBlocks / ReadChunk  │   any number of times
//!    │ Blocks / Chunk / ReadFailed ────────▶ │
//!    │ ◀──── Persist(seq) (a new chain only) │
//!    │ ◀─────────────────────────────  Ready │   from here on clients are let in
//!    │ Tick, Open, Data, Credit, Closed ───▶ │
//!    │ ◀──── Data, Credit, Close, Persist, … │
//!    │ Persisted(seq) / PersistFailed(seq) ▶ │
//!    │ Shutdown ───────────────────────────▶ │
//!    │ ◀──────────────────── Halt{ShutDown}  │   the enclave's last word
//! ```
//!
//! # The life of a connection
//!
//! The host owns the sockets and assigns each a [`ConnId`] that is never used again. Bytes move
//! against credit: each direction of each connection begins with [`INITIAL_WINDOW`] bytes, sending
//! spends them, and the receiver returns them with `Credit` once it has really consumed the bytes
//! (handed them to the HTTP parser, or to the socket). So neither side ever buffers more than one
//! window per direction and connection, and a slow reader slows only his own connection.
//! [`SendWindow`] and [`ReceiveWindow`] do the arithmetic for both sides.
//!
//! ```text
//!   client        host                                          enclave
//!     │ connect ──▶ │ Open{conn, peer} ────────────────────────▶ │
//!     │ bytes ────▶ │ Data{conn, ≤ MAX_DATA, within credit} ───▶ │
//!     │             │ ◀───────────────────── Credit{conn, bytes} │  parser took them
//!     │             │ ◀─────────────────────── Data{conn, bytes} │
//!     │ ◀──── bytes │ Credit{conn, bytes} ─────────────────────▶ │  socket took them
//!     │             │                                            │
//!     │ FIN ──────▶ │ Closed{conn} ────────────────────────────▶ │  no more from the client;
//!     │ ◀──── bytes │ ◀─────────────────────── Data{conn, bytes} │  answers may still go out
//!     │ ◀────── FIN │ ◀───────────────────────────── Close{conn} │  flushed, then closed
//! ```
//!
//! Each side says its last word about a connection exactly once: the host `Closed`, the enclave
//! `Close`, in either order. `Closed` promises that no more `Data` comes; after `Close` the enclave
//! sends no more `Data`, the host writes out what it has and closes the socket, sending `Closed` if
//! it has not yet done so. When a socket breaks or stalls, the host sends `Closed` and from then on
//! discards the enclave's bytes (returning their credit) until `Close` arrives. Once both words are
//! said the id is dead. `Credit` for a dead id crosses on the way and is ignored; any other message
//! for it is a violation.

mod bodies;
mod codec;
mod debug;
mod fuzz;
pub mod limits;
#[cfg(feature = "link")]
pub mod link;
mod message;
mod recovery;
mod status;
mod window;
mod wire;

pub use codec::{Decoder, FrameError, HEADER_LEN, MAGIC, Message, PROTOCOL_VERSION, encode};
#[doc(hidden)]
pub use fuzz::fuzz_frame;
pub use limits::{INITIAL_WINDOW, MAX_DATA, MAX_FRAME};
pub use message::{
    ConnId, Detail, FromEnclave, HaltCode, Membership, PeerOrigin, ReadId, Record, Side, StartInfo, StorageFault,
    StoredLog, StoredSnapshot, ToEnclave,
};
pub use status::{NodeRole, PublicNetwork, PublicStatus};
pub use window::{ReceiveWindow, SendWindow, WindowError};
