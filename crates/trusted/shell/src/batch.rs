//! The layer around every request on a WebSocket: batches run concurrently, unknown methods answer as geth
//! does.

use std::{collections::HashSet, sync::Arc};

use futures_util::future::{Either, join_all, ready};
use jsonrpsee::{
    MethodResponse,
    core::{
        middleware::{Batch, BatchEntry, Notification},
        server::BatchResponseBuilder,
    },
    server::middleware::rpc::RpcServiceT,
    types::{ErrorObjectOwned, Id, Request},
};

/// Polls all entries of a batch together, so that a hundred transactions in one batch are recovered,
/// executed and persisted as one block and not as a hundred. Answers keep the batch's order.
#[derive(Clone, Debug)]
pub(crate) struct Concurrent<S> {
    inner: S,
    names: Arc<HashSet<&'static str>>,
    bounds: BatchBounds,
}

/// Bounds on a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchBounds {
    /// Requests in it.
    pub(crate) requests: usize,
    /// Bytes of all its answers.
    pub(crate) response_bytes: usize,
}

impl<S> Concurrent<S> {
    pub(crate) const fn new(inner: S, names: Arc<HashSet<&'static str>>, bounds: BatchBounds) -> Self {
        Self { inner, names, bounds }
    }
}

/// geth's words, without the method's name where it is not one a person typed.
pub(crate) fn method_not_found(name: &str) -> ErrorObjectOwned {
    const LONGEST: usize = 64;
    let text = if name.len() <= LONGEST && name.bytes().all(|b| b.is_ascii_graphic()) {
        format!("the method {name} does not exist/is not available")
    } else {
        "the method does not exist/is not available".to_owned()
    };
    ErrorObjectOwned::owned(-32601, text, None::<()>)
}

impl<S> RpcServiceT for Concurrent<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let name = request.method_name();
        if self.names.contains(name) {
            return Either::Right(self.inner.call(request));
        }
        let error = method_not_found(name);
        let response = MethodResponse::error(request.id, error);
        Either::Left(ready(response.with_extensions(request.extensions)))
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        async move {
            if batch.len() > service.bounds.requests {
                let error = ErrorObjectOwned::owned(-32600, "batch too large", None::<()>);
                return MethodResponse::error(Id::Null, error);
            }
            let mut notified = false;
            let mut calls = Vec::with_capacity(batch.len());
            for entry in batch {
                match entry {
                    Ok(BatchEntry::Call(request)) => {
                        calls.push(Either::Left(service.call(request)));
                    }
                    Ok(BatchEntry::Notification(_)) => notified = true,
                    Err(error) => {
                        let (error, id) = error.into_parts();
                        calls.push(Either::Right(ready(MethodResponse::error(id, error))));
                    }
                }
            }
            let mut answers = BatchResponseBuilder::new_with_limit(service.bounds.response_bytes);
            for answer in join_all(calls).await {
                if let Err(too_large) = answers.append(answer) {
                    return too_large;
                }
            }
            if answers.is_empty() && notified {
                return MethodResponse::notification();
            }
            MethodResponse::from_batch(answers.finish())
        }
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}
