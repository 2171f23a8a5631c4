//! A client's side of a network: signing in with accounts, and sealing transactions.
//!
//! **Duty.** Writes and signs the messages that a node asks for (EIP-4361), and carries the token that it answers with.
//! Seals transactions for a node's public keys (HPKE, RFC 9180). Serves tools that know neither ([`gateway`]).
//!
//! **Trusts.** Whoever chose the URL, and the [`Manifest`] that says whose evidence a connection over TLS takes. The
//! site that is signed is the one the user named or the one the URL names, never one that the node claims: else a node
//! could have its users sign in to another in its stead.
//!
//! **Invariants.** A key signs nothing but sign-in messages and uses of audits that were written here. Keys and tokens appear in no error and
//! no `Debug`. Answers are bounded in size and time.
//!
//! Over TLS nothing is said to a node before its evidence was verified; plain HTTP goes to this machine only.
//!
//! **Not here.** What evidence is and when it is taken (`cloister-attestation`).

mod account;
pub mod audit;
mod error;
pub mod gateway;
mod node;
mod sealing;
mod sign_in;
mod transport;
mod url;

pub use account::Account;
pub use cloister_attestation::{Manifest, ManifestError, Verified};
pub use cloister_crypto::sha256;
pub use error::ClientError;
pub use node::Node;
pub use sealing::{Sealer, SealingKeys, send_raw_transaction};
pub use sign_in::{Session, Site, sign_in};
pub use transport::client_config;
pub use url::NodeUrl;
