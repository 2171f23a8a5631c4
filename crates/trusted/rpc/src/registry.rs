//! The one function through which a method comes into being: none can be written without a caller.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use crate::served::{Handler, Served};

use cloister_access::Caller;
use jsonrpsee::{
    Extensions, RpcModule,
    core::RegisterMethodError,
    types::{ErrorObjectOwned, Params},
};
use serde::Serialize;

use crate::{
    Backlog, Callers, RpcContext, SessionEnd, Signature,
    convert::{Text, Written},
    opening::{Openings, PendingSubscription},
    params::FromParams,
};

/// What documentation says about a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodInfo {
    /// Its name, `eth_getBalance`.
    pub name: &'static str,
    /// Its parameters and its answer, as [`Signature::parse`] reads them.
    pub line: &'static str,
    /// One sentence about what it answers.
    pub doc: &'static str,
    /// Who may call it.
    pub callers: Callers,
}

impl MethodInfo {
    /// Describes a method that everyone may call.
    #[must_use]
    pub const fn new(name: &'static str, line: &'static str, doc: &'static str) -> Self {
        Self { name, line, doc, callers: Callers::Everyone }
    }

    /// The same method for the developer of a development network only.
    #[must_use]
    pub const fn for_developer(self) -> Self {
        Self { callers: Callers::Developer, ..self }
    }

    /// What it takes and answers.
    #[must_use]
    pub fn signature(&self) -> Signature {
        Signature::parse(self.line)
    }

    /// What comes before the first underscore or dot of its name.
    #[must_use]
    pub fn namespace(&self) -> &'static str {
        self.name.split(['_', '.']).next().unwrap_or(self.name)
    }
}

/// One request as a handler sees it.
#[derive(Debug)]
pub struct MethodCall {
    /// Ledger, core, executor and limits.
    pub context: Arc<RpcContext>,
    /// Who asks, as the shell established it.
    pub caller: Caller,
    params: Params<'static>,
}

impl MethodCall {
    /// A request with these parameters, as they came.
    #[must_use]
    pub const fn new(context: Arc<RpcContext>, caller: Caller, params: Params<'static>) -> Self {
        Self { context, caller, params }
    }

    /// The same request of a caller who proved in it who he is.
    #[must_use]
    pub(crate) fn made_by(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    /// The positional parameters as a tuple; `Option` where one may be left out.
    ///
    /// # Errors
    /// `-32602` with geth's text if one is missing, malformed or too many.
    pub fn params<P: FromParams>(&self) -> Result<P, ErrorObjectOwned> {
        P::from_params(self.params.as_str())
    }

    /// Refuses parameters for a method that has none, as geth does.
    ///
    /// # Errors
    /// `-32602` if there are any.
    pub fn no_params(&self) -> Result<(), ErrorObjectOwned> {
        self.params::<()>()
    }
}

/// Methods and what documentation says about them.
#[derive(Debug)]
pub struct Registry {
    module: RpcModule<RpcContext>,
    context: Arc<RpcContext>,
    handlers: BTreeMap<&'static str, Handler>,
}

impl Registry {
    /// A registry without methods.
    #[must_use]
    pub fn new(context: RpcContext) -> Self {
        let context = Arc::new(context);
        let module = RpcModule::from_arc(context.clone());
        Self { module, context, handlers: BTreeMap::new() }
    }

    /// What the handlers share.
    #[must_use]
    pub const fn context(&self) -> &Arc<RpcContext> {
        &self.context
    }

    /// Adds a method. Its answer is serialised as it stands; handlers never block a thread.
    ///
    /// # Errors
    /// [`RegisterMethodError`] if the name is taken.
    pub fn method<H, F, R>(&mut self, info: MethodInfo, handler: H) -> Result<&mut Self, RegisterMethodError>
    where
        H: Fn(MethodCall) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<R, ErrorObjectOwned>> + Send + 'static,
        R: Serialize + Clone + Send + 'static,
    {
        let direct = Handler::of(self.context.clone(), handler.clone());
        self.module.register_async_method(info.name, move |params, context, extensions| {
            handler(MethodCall::new(context, caller(&extensions), params))
        })?;
        self.add(info, direct);
        Ok(self)
    }

    /// Adds a method whose answer is asked for so often that it writes its JSON itself.
    pub(crate) fn text<H, F, R>(&mut self, info: MethodInfo, handler: H) -> Result<&mut Self, RegisterMethodError>
    where
        H: Fn(MethodCall) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<R, ErrorObjectOwned>> + Send + 'static,
        R: Text + Clone + Send + 'static,
    {
        let direct = Handler::of_text(self.context.clone(), handler.clone());
        self.module.register_async_method(info.name, move |params, context, extensions| {
            let answer = handler(MethodCall::new(context, caller(&extensions), params));
            async move { answer.await.map(Written) }
        })?;
        self.add(info, direct);
        Ok(self)
    }

    fn add(&mut self, info: MethodInfo, direct: Handler) {
        self.handlers.insert(info.name, direct);
        self.context.reference.add(info);
    }

    /// Adds a pair of methods that start and end subscriptions, notified as `notification`.
    pub(crate) fn subscription<H, F>(
        &mut self,
        subscribe: MethodInfo,
        notification: &'static str,
        unsubscribe: MethodInfo,
        handler: H,
    ) -> Result<&mut Self, RegisterMethodError>
    where
        H: Fn(MethodCall, PendingSubscription, Backlog, SessionEnd) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = jsonrpsee::core::SubscriptionResult> + Send + 'static,
    {
        let openings = Openings::default();
        let entering = openings.clone();
        self.module.register_subscription(
            subscribe.name,
            notification,
            unsubscribe.name,
            move |params, sink, context, extensions| {
                let backlog = extensions.get::<Backlog>().cloned().unwrap_or_default();
                let end = extensions.get::<SessionEnd>().cloned().unwrap_or_default();
                let pending = PendingSubscription::new(sink, entering.clone());
                handler(MethodCall::new(context, caller(&extensions), params), pending, backlog, end)
            },
        )?;
        if let Some(end) = self.module.remove_method(unsubscribe.name) {
            self.module.verify_and_insert(unsubscribe.name, openings.before(end))?;
        }
        self.context.reference.add(subscribe);
        self.context.reference.add(unsubscribe);
        Ok(self)
    }

    /// Forgets the methods with these names: they answer as if they had never been there.
    pub(crate) fn withhold(&mut self, is_withheld: impl Fn(&str) -> bool) {
        let names: Vec<_> = self.handlers.keys().copied().filter(|name| is_withheld(name)).collect();
        for name in names {
            self.module.remove_method(name);
            self.handlers.remove(name);
            self.context.reference.remove(name);
        }
    }

    /// The methods, ready to be served.
    #[must_use]
    pub fn into_served(self) -> Served {
        Served::new(self.module.into(), self.handlers)
    }
}

/// Who asks: what the shell put into the request, or nobody.
fn caller(extensions: &Extensions) -> Caller {
    extensions.get::<Caller>().cloned().unwrap_or(Caller::Anonymous)
}
