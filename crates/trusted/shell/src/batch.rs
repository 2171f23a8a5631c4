//! The layer around every request on a WebSocket: batches run concurrently, unknown methods answer as geth
//! does, and a client that does not take its answers gets no more.

use std::{collections::HashSet, sync::Arc};

use cloister_primitives::Code;
use cloister_rpc::errors;
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

use crate::{
    auth::LiveSession,
    stream::{ConnectionHandle, Load},
};

/// Polls all entries of a batch together, so that a hundred transactions in one batch are recovered,
/// executed and persisted as one block and not as a hundred. Answers keep the batch's order.
#[derive(Clone, Debug)]
pub(crate) struct Concurrent<S> {
    inner: S,
    names: Arc<HashSet<&'static str>>,
    bounds: BatchBounds,
    connection: ConnectionHandle,
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
    pub(crate) const fn new(
        inner: S,
        names: Arc<HashSet<&'static str>>,
        bounds: BatchBounds,
        connection: ConnectionHandle,
    ) -> Self {
        Self { inner, names, bounds, connection }
    }
}

/// What a request holds until it is answered.
fn load_of(request: &Request<'_>) -> Load {
    Load { requests: 1, bytes: request.params.as_ref().map_or(0, |params| params.get().len()) }
}

/// geth's words, without the method's name where it is not one a person typed.
pub(crate) fn method_not_found(name: &str) -> ErrorObjectOwned {
    const LONGEST: usize = 64;
    if name.len() <= LONGEST && name.bytes().all(|b| b.is_ascii_graphic()) {
        return errors::no_such_method(name);
    }
    errors::code(Code::MethodNotFound)
}

impl<S: RpcServiceT<MethodResponse = MethodResponse> + 'static> Concurrent<S> {
    fn answer<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let name = request.method_name();
        let session = request.extensions.get::<LiveSession>().map_or(Ok(()), LiveSession::check);
        let error = match session {
            Ok(()) if self.names.contains(name) => return Either::Right(self.inner.call(request)),
            Ok(()) => method_not_found(name),
            Err(refusal) => refusal.error(),
        };
        let response = MethodResponse::error(request.id, error);
        Either::Left(ready(response.with_extensions(request.extensions)))
    }
}

/// Makes an answer once its client has taken most of the earlier ones.
async fn in_turn(
    connection: ConnectionHandle,
    load: Load,
    answer: impl Future<Output = MethodResponse>,
) -> MethodResponse {
    let _in_flight = connection.in_flight(load);
    connection.backlog().room().await;
    let answer = answer.await;
    // A batch of notifications is not answered.
    if !answer.is_notification() {
        connection.backlog().add(answer.as_json().get().len());
    }
    answer
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
        let load = load_of(&request);
        in_turn(self.connection.clone(), load, self.answer(request))
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let load = batch.iter().fold(Load::default(), |load, entry| match entry {
            Ok(BatchEntry::Call(request)) => load.and(load_of(request)),
            Ok(BatchEntry::Notification(_)) | Err(_) => load,
        });
        in_turn(self.connection.clone(), load, answer_batch(self.clone(), batch))
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}

async fn answer_batch<S>(service: Concurrent<S>, batch: Batch<'_>) -> MethodResponse
where
    S: RpcServiceT<MethodResponse = MethodResponse> + 'static,
{
    if batch.len() > service.bounds.requests {
        let error = ErrorObjectOwned::owned(-32600, "batch too large", None::<()>);
        return MethodResponse::error(Id::Null, error);
    }
    let mut notified = false;
    let mut calls = Vec::with_capacity(batch.len());
    for entry in batch {
        match entry {
            Ok(BatchEntry::Call(request)) => calls.push(Either::Left(service.answer(request))),
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
