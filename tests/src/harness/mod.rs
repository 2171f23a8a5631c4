//! The confidentiality harness: evidence that whoever is not entitled to a fact learns nothing about it.
//!
//! **Two worlds.** A [`Workload`] is run twice on the real core and the real methods. The runs differ in secrets only: values,
//! recipients, senders, branches, success, lengths. Everything that those who are not entitled see (answers, notifications, and
//! what crosses the boundary to the host) is written down and compared byte for byte.
//!
//! **Ideal cryptography.** Ciphertexts and salted hashes differ between two runs, as they should. The harness holds all keys:
//! what it can open under the ledger's key, or compute from a root and the salt that the ledger's key gives, it replaces by a
//! name of the same length (`ideal`); that is what an ideal cipher or a random function would show. What is not what it should
//! be is left as it is, and gives itself away. The product has no hook for that.
//!
//! **Validity.** Facts that are declassified on purpose ([`Declassified`](cloister_primitives::Declassified)) must be the same in both runs; where one moved, the
//! pair says nothing and is counted as invalid, by the name of the fact. A pair whose secrets make no difference to those who
//! are entitled is vacuous.
//!
//! **Networks.** The same workload is run on a network of three cores, and whoever observes asks each of them, one of them while
//! it is behind. The operators' view is then that of all three machines together: what each enclave tells its host, when,
//! and how long what it says to the others is.
//!
//! **Canaries.** A proof that cannot fail proves nothing: each [`Protection`](cloister_primitives::Protection) is taken away
//! in turn, and the comparison must find a difference ([`canaries`]).

mod audits;
pub mod canaries;
mod cast;
mod code;
pub mod declassified;
mod draws;
pub mod findings;
pub mod generate;
mod host;
mod ideal;
pub mod matrix;
pub mod needles;
mod nodes;
mod observe;
mod pair;
pub mod report;
mod ruled;
mod running;
pub mod session;
mod shrink;
mod wire;
mod workload;
mod world;

pub use cast::{Observer, Who};
pub use pair::{Cryptography, Difference, Invalid, Verdict, compare};
pub use workload::{Creations, Item, Sent, Shape, Step, Way, Workload};
