//! The development methods: how they are registered, and what they share.

mod accounts;
mod build;
mod chain;
mod erc20;
mod flexible;
mod info;
mod pool;
mod send;
mod state;
mod undo;
mod unsupported;

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use alloy_primitives::{Address, B256};
use cloister_core::{DevelopmentRequest, RequestBody, Response};
use cloister_primitives::Code;
use cloister_rpc::{
    MethodCall, MethodInfo, Registry, RpcContext, Served,
    errors::{self, RpcResult},
};
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;
use serde_json::Value;

use crate::{accounts::DevAccounts, console::DevConsole};

/// What the development methods share.
#[derive(Debug)]
pub(crate) struct Dev {
    accounts: DevAccounts,
    impersonation: Mutex<Impersonation>,
    /// Tells one run of the chain from another; new at each start and reset.
    instance: Mutex<B256>,
    printing: Arc<AtomicBool>,
    /// Whose turn it is to send.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Impersonation {
    accounts: BTreeSet<Address>,
    everyone: bool,
}

impl Dev {
    fn new(accounts: DevAccounts, printing: Arc<AtomicBool>) -> Self {
        Self {
            accounts,
            impersonation: Mutex::default(),
            instance: Mutex::new(random_id()),
            printing,
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn impersonation(&self) -> MutexGuard<'_, Impersonation> {
        self.impersonation.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn instance(&self) -> MutexGuard<'_, B256> {
        self.instance.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether transactions of `address` are taken without a signature.
    fn impersonates(&self, address: &Address) -> bool {
        let impersonation = self.impersonation();
        impersonation.everyone || impersonation.accounts.contains(address)
    }

    /// Waits until it is this request's turn to send; turns go by arrival.
    async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    fn set_printing(&self, printing: bool) {
        self.printing.store(printing, Ordering::Relaxed);
    }
}

/// An id that names one run of a chain. Zero where the platform has no randomness: it is only a name.
fn random_id() -> B256 {
    let mut id = B256::ZERO;
    let _ = getrandom::fill(&mut id.0);
    id
}

/// The development methods, some of which stand in for standard ones of the same name. Starts the
/// console.
///
/// # Errors
/// [`RegisterMethodError`] if two methods have the same name, which would show in every end-to-end test.
pub fn methods(context: RpcContext, accounts: DevAccounts, console: DevConsole) -> Result<Served, RegisterMethodError> {
    let mut registry = Registry::new(context.clone());
    register(&mut registry, accounts, console.switch())?;
    console.start(context);
    Ok(registry.into_served())
}

fn register(
    registry: &mut Registry,
    accounts: DevAccounts,
    printing: Arc<AtomicBool>,
) -> Result<(), RegisterMethodError> {
    let dev = Arc::new(Dev::new(accounts, printing));
    let mut table = Table { registry, dev };
    accounts::register(&mut table)?;
    build::register(&mut table)?;
    chain::register(&mut table)?;
    undo::register(&mut table)?;
    pool::register(&mut table)?;
    state::register(&mut table)?;
    erc20::register(&mut table)?;
    info::register(&mut table)?;
    unsupported::register(&mut table)
}

/// What a method that changes something answers when it is done.
#[derive(Clone, Copy, Debug)]
enum Done {
    /// `true`, as Hardhat.
    True,
    /// `null`, as anvil.
    Null,
}

impl Done {
    const fn json(self) -> Value {
        match self {
            Self::True => Value::Bool(true),
            Self::Null => Value::Null,
        }
    }
}

/// A registry whose methods exist for the network's own developer only.
struct Table<'a> {
    registry: &'a mut Registry,
    dev: Arc<Dev>,
}

impl Table<'_> {
    /// Adds a method.
    fn method<H, F, R>(&mut self, info: MethodInfo, handler: H) -> Result<&mut Self, RegisterMethodError>
    where
        H: Fn(Arc<Dev>, MethodCall) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = RpcResult<R>> + Send + 'static,
        R: Serialize + Clone + Send + 'static,
    {
        let dev = self.dev.clone();
        self.registry.method(info.for_developer(), move |call: MethodCall| {
            let allowed = call.reader().sees_development();
            let handled = allowed.then(|| handler(dev.clone(), call));
            async move {
                match handled {
                    Some(answer) => answer.await,
                    None => Err(errors::code(Code::MethodNotFound)),
                }
            }
        })?;
        Ok(self)
    }

    /// Adds `hardhat_` and `anvil_` forms of a method that changes something.
    fn setter<H, F>(
        &mut self,
        names: [&'static str; 2],
        params: &'static str,
        doc: &'static str,
        handler: H,
    ) -> Result<&mut Self, RegisterMethodError>
    where
        H: Fn(Arc<Dev>, MethodCall) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = RpcResult<()>> + Send + 'static,
    {
        for (name, done) in names.into_iter().zip([Done::True, Done::Null]) {
            self.done(MethodInfo::new(name, params, doc), done, handler.clone())?;
        }
        Ok(self)
    }

    /// Adds a method that changes something.
    fn done<H, F>(&mut self, info: MethodInfo, done: Done, handler: H) -> Result<&mut Self, RegisterMethodError>
    where
        H: Fn(Arc<Dev>, MethodCall) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = RpcResult<()>> + Send + 'static,
    {
        self.method(info, move |dev, call| {
            let handled = handler(dev, call);
            async move { handled.await.map(|()| done.json()) }
        })
    }
}

/// Asks the core for something only development networks have.
async fn ask(call: &MethodCall, request: DevelopmentRequest) -> RpcResult<Response> {
    call.request(RequestBody::Development(request)).await
}

/// As [`ask`], where the answer says nothing but that it is done.
async fn change(call: &MethodCall, request: DevelopmentRequest) -> RpcResult<()> {
    ask(call, request).await.map(|_| ())
}
