//! JSON-RPC methods over state views and typed requests to the core.
//!
//! **Duty.** Decode parameters, ask the ledger or the core as a known caller, encode what geth would
//! answer: same shapes, same codes, same null conventions.
//!
//! **Trusts.** The caller that the shell put into the request's extensions.
//!
//! **Invariants.** No method reads anything but through [`cloister_core::Reader`] or a typed request,
//! both of which know the caller; [`Registry::method`] is the only way to add one, and it hands the
//! caller in. Every parameter and every answer has a bound. No error message carries anything the
//! caller did not send or may not see. Handlers never block a thread: what executes runs on tokio's
//! blocking threads, within the permits of [`RpcContext::calls`].
//!
//! **Not here.** Sockets, HTTP, WebSocket framing and batches (`shell`), development namespaces
//! (`devtools`).

mod accounts;
mod audit;
mod backlog;
mod blocks;
pub mod calls;
mod config;
mod context;
pub mod convert;
mod debug;
pub mod errors;
mod events;
mod feeds;
mod fees;
mod filters;
mod ids;
mod log_search;
mod logs;
mod net;
mod network;
mod opening;
pub mod params;
mod pending;
mod pool;
mod proofs;
mod reads;
pub mod reference;
mod registry;
mod sealing;
pub mod send;
mod served;
mod session_end;
pub mod signatures;
mod signed_query;
mod simulate;
mod subscriptions;
mod transactions;
#[cfg(test)]
mod vectors;

use cloister_primitives::Protection;
use jsonrpsee::core::RegisterMethodError;

pub use backlog::Backlog;
pub use context::{CoreHandle, Envelope, RpcContext, RpcLimits};
pub use events::Events;
pub use ids::HexIdProvider;
pub use net::client_version;
pub use reference::{Callers, ParamInfo, Schema, Signature};
pub use registry::{MethodCall, MethodInfo, Registry};
pub use served::{Answer, Handler, Served};
pub use session_end::SessionEnd;

/// The standard methods in a registry, to which `devtools` may add its own or replace some.
///
/// # Errors
/// [`RegisterMethodError`] if two methods have the same name, which a test excludes.
pub fn registry(context: RpcContext) -> Result<Registry, RegisterMethodError> {
    let mut registry = Registry::new(context);
    net::register(&mut registry)?;
    blocks::register(&mut registry)?;
    transactions::register(&mut registry)?;
    accounts::register(&mut registry)?;
    proofs::register(&mut registry)?;
    calls::register(&mut registry)?;
    simulate::register(&mut registry)?;
    send::register(&mut registry)?;
    network::register(&mut registry)?;
    sealing::register(&mut registry)?;
    signed_query::register(&mut registry)?;
    audit::register(&mut registry)?;
    fees::register(&mut registry)?;
    config::register(&mut registry)?;
    logs::register(&mut registry)?;
    filters::register(&mut registry)?;
    subscriptions::register(&mut registry)?;
    pool::register(&mut registry)?;
    debug::register(&mut registry)?;
    reference::register(&mut registry)?;
    if registry.context().ledger.is_confidential() && Protection::WithheldMethods.holds() {
        registry.withhold(is_withheld);
    }
    Ok(registry)
}

/// Methods that a confidential chain does not have, so that tools fall back to others: what they answer concerns
/// everybody, and no part of it one caller alone. Proofs are for who audits the whole ledger, by [`audit`].
fn is_withheld(name: &str) -> bool {
    const WHOLE: [&str; 2] = ["eth_createAccessList", "eth_getProof"];
    (name.starts_with("debug_") && !debug::is_for_senders(name)) || WHOLE.contains(&name)
}

/// The standard methods, ready to be served.
///
/// # Errors
/// As [`registry`].
pub fn methods(context: RpcContext) -> Result<Served, RegisterMethodError> {
    registry(context).map(Registry::into_served)
}
