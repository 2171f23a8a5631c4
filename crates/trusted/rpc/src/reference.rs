//! What can be called, by whom and with what: the source of `docs/rpc.md`, of `rpc.discover`, of
//! `rpc_modules`, and of the requests that the fuzzer makes up.

mod openrpc;
mod schemas;
mod signature;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jsonrpsee::core::RegisterMethodError;
use serde_json::Value;

use crate::{MethodCall, MethodInfo, Registry, errors::RpcResult};

pub use schemas::Schema;
pub use signature::{ParamInfo, Signature};

/// Who may call a method. What the answer holds is decided per caller in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Everyone.
    Everyone,
    /// The developer of a development network; elsewhere the method does not exist.
    Developer,
}

/// All methods that are served, whichever registry they came from.
#[derive(Debug, Default)]
pub(crate) struct Reference(Mutex<BTreeMap<&'static str, MethodInfo>>);

impl Reference {
    fn methods(&self) -> MutexGuard<'_, BTreeMap<&'static str, MethodInfo>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a method. One for developers that stands in for one for everyone leaves it described as it is.
    pub(crate) fn add(&self, info: MethodInfo) {
        self.methods().entry(info.name).or_insert(info);
    }

    /// Forgets a method.
    pub(crate) fn remove(&self, name: &str) {
        self.methods().remove(name);
    }

    /// The methods that exist for a caller, by name.
    fn seen_by(&self, call: &MethodCall) -> Vec<MethodInfo> {
        let developer = call.reader().sees_development();
        let seen = |info: &&MethodInfo| developer || info.callers == Callers::Everyone;
        self.methods().values().filter(seen).copied().collect()
    }
}

async fn discover(call: MethodCall) -> RpcResult<Value> {
    call.no_params()?;
    Ok(openrpc::document(&call.context.reference.seen_by(&call)))
}

/// Namespaces with the version that geth gives each of them.
async fn modules(call: MethodCall) -> RpcResult<BTreeMap<&'static str, &'static str>> {
    call.no_params()?;
    let seen = call.context.reference.seen_by(&call);
    let namespaces: BTreeSet<_> = seen.iter().map(MethodInfo::namespace).collect();
    Ok(namespaces.into_iter().map(|namespace| (namespace, "1.0")).collect())
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    registry
        .method(info("rpc.discover", "-> document", "This reference as an OpenRPC document."), discover)?
        .method(info("rpc_modules", "-> modules", "Namespaces and their versions."), modules)?;
    Ok(())
}
