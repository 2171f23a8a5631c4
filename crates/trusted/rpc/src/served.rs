//! The methods as the shell serves them.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use alloy_primitives::map::HashMap;
use cloister_access::Caller;
use futures_util::FutureExt as _;
use jsonrpsee::{
    Methods,
    types::{ErrorObjectOwned, Params},
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{MethodCall, RpcContext, convert::Text, errors};

/// The answer of a method on its way: JSON text.
pub type Answer = Pin<Box<dyn Future<Output = Result<Vec<u8>, ErrorObjectOwned>> + Send>>;

/// A method without a transport around it.
#[derive(Clone)]
pub struct Handler(Arc<dyn Fn(Caller, Params<'static>) -> Answer + Send + Sync>);

impl Handler {
    /// What answers a caller's request with these parameters.
    #[must_use]
    pub fn new(answer: impl Fn(Caller, Params<'static>) -> Answer + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    pub(crate) fn of<H, F, R>(context: Arc<RpcContext>, handler: H) -> Self
    where
        H: Fn(MethodCall) -> F + Send + Sync + 'static,
        F: Future<Output = Result<R, ErrorObjectOwned>> + Send + 'static,
        R: Serialize,
    {
        Self::new(move |caller, params| {
            let answer = handler(MethodCall::new(context.clone(), caller, params));
            // No async block: one would hold the future twice over, as it was given and as it is awaited.
            Box::pin(answer.map(|answer| to_json(&answer?)))
        })
    }

    pub(crate) fn of_text<H, F, R>(context: Arc<RpcContext>, handler: H) -> Self
    where
        H: Fn(MethodCall) -> F + Send + Sync + 'static,
        F: Future<Output = Result<R, ErrorObjectOwned>> + Send + 'static,
        R: Text,
    {
        Self::new(move |caller, params| {
            let answer = handler(MethodCall::new(context.clone(), caller, params));
            Box::pin(answer.map(|answer| {
                let mut text = Vec::new();
                answer?.write(&mut text);
                Ok(text)
            }))
        })
    }
}

impl core::fmt::Debug for Handler {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Handler")
    }
}

fn to_json(answer: &impl Serialize) -> Result<Vec<u8>, ErrorObjectOwned> {
    // No answer has a map whose keys are no strings: it cannot fail.
    serde_json::to_vec(answer).map_err(|_| errors::code(cloister_primitives::Code::Internal))
}

/// All methods: for jsonrpsee, which serves WebSockets and subscriptions with them, and without its
/// response types in between, for everything that is one answer to one request.
///
/// Those types read each answer twice over to see that it is JSON. That costs more than making a receipt.
#[derive(Clone, Debug)]
pub struct Served {
    methods: Methods,
    handlers: Arc<HashMap<&'static str, Handler>>,
}

impl Served {
    /// These methods; those that answer once and for all have a handler of the same name.
    #[must_use]
    pub fn new(methods: Methods, handlers: BTreeMap<&'static str, Handler>) -> Self {
        Self { methods, handlers: Arc::new(handlers.into_iter().collect()) }
    }

    /// All of these methods, and those of `base` whose names are not taken.
    #[must_use]
    pub fn over(mut self, base: &Self) -> Self {
        for name in base.methods.method_names() {
            if self.methods.method(name).is_none()
                && let Some(method) = base.methods.method(name)
            {
                // The name was free a moment ago.
                let _ = self.methods.verify_and_insert(name, method.clone());
            }
        }
        let mut handlers = (*base.handlers).clone();
        handlers.extend(self.handlers.iter().map(|(name, handler)| (*name, handler.clone())));
        self.handlers = Arc::new(handlers);
        self
    }

    /// The methods for jsonrpsee.
    #[must_use]
    pub const fn methods(&self) -> &Methods {
        &self.methods
    }

    /// Calls a method; `None` if there is none of this name that answers once and for all.
    #[must_use]
    pub fn call(&self, name: &str, caller: &Caller, params: Option<&RawValue>) -> Option<Answer> {
        let Handler(handler) = self.handlers.get(name)?;
        let params = Params::new(params.map(RawValue::get)).into_owned();
        Some(handler(caller.clone(), params))
    }
}
