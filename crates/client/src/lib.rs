//! A client's side of a network: signing in with accounts, and sealing transactions.
//!
//! **Duty.** Writes and signs the messages that a node asks for (EIP-4361), and carries the token that it answers with. Seals
//! transactions for a node's public keys (HPKE, RFC 9180). Serves tools that know neither ([`gateway`]).
//!
//! **Trusts.** Whoever chose the URL. The site that is signed is the one the user named or the one the URL names, never one
//! that the node claims: else a node could have its users sign in to another in its stead.
//!
//! **Invariants.** A key signs nothing but sign-in messages and uses of audits that were written here. Keys and tokens appear in no error and
//! no `Debug`. Answers are bounded in size and time.
//!
//! **Not here.** Attested TLS: until a node speaks it, only `http` URLs are taken.

mod account;
pub mod audit;
mod error;
pub mod gateway;
mod http;
mod sealing;
mod sign_in;

pub use account::Account;
pub use cloister_crypto::sha256;
pub use error::ClientError;
pub use http::NodeUrl;
pub use sealing::{Sealer, SealingKeys, send_raw_transaction};
pub use sign_in::{Session, Site, sign_in};
