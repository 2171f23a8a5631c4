//! HTTP and WebSocket on one byte stream.

use std::{collections::HashSet, convert::Infallible, sync::Arc, time::Duration};

use cloister_access::Caller;
use cloister_rpc::HexIdProvider;
use http_body_util::Either as EitherBody;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{self, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee::{
    Methods,
    server::{
        BatchRequestConfig, HttpBody, PingConfig, Server as JsonRpc, ServerConfig, StopHandle,
        middleware::rpc::RpcServiceBuilder, stop_channel,
    },
};
use tokio::sync::watch;
use tower::Service as _;

use crate::{
    ShellConfig,
    batch::{BatchBounds, Concurrent, Transport},
    stream::ConnectionStream,
};

/// Bounds of the server.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// Bytes of one request body or WebSocket message.
    pub request_bytes: u32,
    /// Bytes of one answer, batches included.
    pub response_bytes: u32,
    /// Requests in one batch.
    pub batch_requests: u32,
    /// Subscriptions of one connection.
    pub subscriptions_per_connection: u32,
    /// Messages a WebSocket client may be behind before its subscriptions are ended.
    pub websocket_backlog: u32,
    /// Time for a request's head, and for an idle connection to say something, seconds.
    pub idle_s: u64,
    /// Time for a whole request and its answer, seconds.
    pub request_s: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            request_bytes: 15 << 20,
            response_bytes: 150 << 20,
            batch_requests: 1_000,
            subscriptions_per_connection: 128,
            websocket_backlog: 1_024,
            idle_s: 60,
            request_s: 120,
        }
    }
}

/// What every connection is served with.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    methods: watch::Receiver<Option<Methods>>,
    caller: Caller,
    limits: ServerLimits,
    stop: StopHandle,
    // Dropped with the shell: that is what tells open WebSockets to end.
    _running: Arc<jsonrpsee::server::ServerHandle>,
}

type Body = EitherBody<HttpBody, HttpBody>;

impl Server {
    pub(crate) fn new(methods: watch::Receiver<Option<Methods>>, config: &ShellConfig) -> Self {
        let (stop, running) = stop_channel();
        Self {
            methods,
            caller: config.default_caller.clone(),
            limits: config.server.clone(),
            stop,
            _running: Arc::new(running),
        }
    }

    fn json_rpc_config(&self) -> ServerConfig {
        ServerConfig::builder()
            .max_request_body_size(self.limits.request_bytes)
            .max_response_body_size(self.limits.response_bytes)
            // Bounded in our own layer, which answers as geth does.
            .set_batch_request_config(BatchRequestConfig::Unlimited)
            .max_subscriptions_per_connection(self.limits.subscriptions_per_connection)
            .set_message_buffer_capacity(self.limits.websocket_backlog)
            // Connections are bounded by the host; this one counts requests.
            .max_connections(u32::MAX >> 8)
            .enable_ws_ping(PingConfig::new())
            .set_id_provider(HexIdProvider::default())
            .build()
    }

    /// Serves one connection to its end.
    pub(crate) fn serve(&self, stream: ConnectionStream) {
        let mut server = self.clone();
        tokio::spawn(async move {
            // Clients that come before the chain is loaded wait here.
            let methods = match server.methods.wait_for(Option::is_some).await {
                Ok(methods) => methods.clone().unwrap_or_default(),
                Err(_) => return,
            };
            server.serve_with(stream, methods).await;
        });
    }

    async fn serve_with(self, stream: ConnectionStream, methods: Methods) {
        let names: Arc<HashSet<_>> = Arc::new(methods.method_names().collect());
        let bounds = BatchBounds {
            requests: self.limits.batch_requests as usize,
            response_bytes: self.limits.response_bytes as usize,
        };
        let connection = stream.handle().clone();
        let layer = {
            let connection = connection.clone();
            let wrap = move |inner| Concurrent::new(inner, names.clone(), bounds, connection.clone());
            RpcServiceBuilder::new().layer_fn(wrap)
        };
        let service = JsonRpc::builder()
            .set_config(self.json_rpc_config())
            .set_rpc_middleware(layer)
            .to_service_builder()
            .build(methods, self.stop.clone());
        let caller = self.caller.clone();
        let request_time = Duration::from_secs(self.limits.request_s);
        let message_bytes = u64::from(self.limits.request_bytes);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let mut service = service.clone();
            let caller = caller.clone();
            let connection = connection.clone();
            async move {
                if let Some(answer) = answer_without_body(&request) {
                    return Ok::<_, Infallible>(answer);
                }
                let transport = match request.headers().contains_key(header::UPGRADE) {
                    true => Transport::WebSocket,
                    false => Transport::Http,
                };
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(transport);
                request.extensions_mut().insert(connection.backlog().clone());
                let answer = tokio::time::timeout(request_time, service.call(request)).await;
                let mut response = match answer {
                    Ok(Ok(response)) if answers_nothing(&response) => empty(StatusCode::OK),
                    Ok(Ok(response)) => response.map(EitherBody::Left),
                    Ok(Err(_)) => empty(StatusCode::BAD_REQUEST),
                    Err(_) => empty(StatusCode::REQUEST_TIMEOUT),
                };
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    connection.upgraded(message_bytes);
                }
                allow_origins(response.headers_mut());
                Ok(response)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(self.limits.idle_s))
            // A client may finish writing and still wait for its answer.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        // A client that breaks off is no event.
        let _ = connection.await;
    }
}

/// Pre-flight requests of browsers, and requests that only ask whether anyone is there.
fn answer_without_body(request: &Request<Incoming>) -> Option<Response<Body>> {
    let upgrade = request.headers().contains_key(header::UPGRADE);
    let status = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT,
        // geth and Besu answer a plain GET with 200 and nothing, which health checks rely on.
        Method::GET | Method::HEAD if !upgrade => StatusCode::OK,
        _ => return None,
    };
    let mut response = empty(status);
    allow_origins(response.headers_mut());
    Some(response)
}

/// A notification is answered with `null` by the library; JSON-RPC 2.0 wants nothing at all.
fn answers_nothing(response: &Response<HttpBody>) -> bool {
    const NULL_BYTES: u64 = 4;
    response.body().size_hint().exact() == Some(NULL_BYTES)
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(EitherBody::Right(HttpBody::empty()));
    *response.status_mut() = status;
    response
}

/// Pages of any origin may ask: a development node has nothing to hide, and a confidential one asks
/// for a token that no page has by itself.
fn allow_origins(headers: &mut HeaderMap) {
    let any = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, any);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
}

#[cfg(test)]
#[path = "server_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
