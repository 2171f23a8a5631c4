//! HTTP and WebSocket on one byte stream.

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use cloister_rpc::HexIdProvider;
use http_body_util::{Either as EitherBody, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee::server::{
    BatchRequestConfig, HttpBody, PingConfig, Server as JsonRpc, ServerConfig, StopHandle,
    middleware::rpc::RpcServiceBuilder, stop_channel,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use crate::{
    ShellConfig,
    auth::{self, Auth, Budget, Carriage, Endpoint, LiveSession, Presented, Session},
    batch::{BatchBounds, Concurrent},
    client_stream::ClientStream,
    http::{self, HttpBounds},
    offered::Offered,
    padding::{Lengths, PaddedStream, Upgraded},
    probe::Probe,
    stream::{ConnectionHandle, ConnectionStream},
    tls::HalfOpen,
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
    /// Time for a TLS handshake, seconds.
    pub handshake_s: u64,
    /// TLS handshakes under way at one time; the oldest makes room.
    pub handshakes: usize,
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
            handshake_s: 10,
            handshakes: 1_024,
        }
    }
}

/// Where a client is, as the host says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// On the node's own machine.
    Same,
    /// On any other.
    Other,
}

/// What every connection is served with.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    methods: watch::Receiver<Option<Offered>>,
    limits: ServerLimits,
    half_open: HalfOpen,
    stop: StopHandle,
    // Dropped with the shell: that is what tells open WebSockets to end.
    _running: Arc<jsonrpsee::server::ServerHandle>,
}

/// A WebSocket's hand-shake, or an answer.
type Body = EitherBody<HttpBody, Full<Bytes>>;

impl Server {
    pub(crate) fn new(methods: watch::Receiver<Option<Offered>>, config: &ShellConfig) -> Self {
        let (stop, running) = stop_channel();
        let limits = config.server.clone();
        let half_open = HalfOpen::new(limits.handshakes);
        Self { methods, limits, half_open, stop, _running: Arc::new(running) }
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
    pub(crate) fn serve(&self, stream: ConnectionStream, client: Host) {
        let mut server = self.clone();
        // Here also for those who wait for the chain: they all go on at once, in any order, while others come.
        let place = server.half_open.enter();
        tokio::spawn(async move {
            // Clients that come before the chain is loaded wait here.
            let offered = match server.methods.wait_for(Option::is_some).await {
                Ok(offered) => offered.clone(),
                Err(_) => return,
            };
            let Some(offered) = offered else { return };
            let handle = stream.handle().clone();
            match (offered.tls.clone(), client) {
                (Some(tls), _) => {
                    if let Some(stream) = tls.accept(stream, place).await {
                        server.serve_with(stream, handle, Carriage::Private, offered).await;
                    }
                }
                // The host says where a connection comes from; one that lies about it could read what it carries.
                (None, Host::Same) => server.serve_with(stream, handle, Carriage::Private, offered).await,
                (None, Host::Other) => server.serve_with(stream, handle, Carriage::Exposed, offered).await,
            }
        });
    }

    async fn serve_with<S>(self, stream: S, handle: ConnectionHandle, carriage: Carriage, offered: Offered)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let batch = BatchBounds {
            requests: self.limits.batch_requests as usize,
            response_bytes: self.limits.response_bytes as usize,
        };
        let names: Arc<HashSet<_>> = Arc::new(offered.served.methods().method_names().collect());
        let stream = ClientStream::new(stream, handle.clone());
        let layer = {
            let handle = handle.clone();
            let wrap = move |inner| Concurrent::new(inner, names.clone(), batch, handle.clone());
            RpcServiceBuilder::new().layer_fn(wrap)
        };
        let websockets = JsonRpc::builder()
            .set_config(self.json_rpc_config())
            .set_rpc_middleware(layer)
            .to_service_builder()
            .build(offered.served.methods().clone(), self.stop.clone());
        let request_time = Duration::from_secs(self.limits.request_s);
        let bounds = HttpBounds { request_bytes: self.limits.request_bytes, batch, lengths: offered.lengths };
        let sign_ins = Mutex::new(Auth::connection_budget());
        let upgraded = Upgraded::default();
        let stream = PaddedStream::new(stream, upgraded.clone(), handle.backlog().clone());
        let connection = Arc::new(Connection { offered, handle, upgraded, carriage, sign_ins, bounds });
        let service = service_fn(move |request: Request<Incoming>| {
            let connection = connection.clone();
            let upgrade = request.headers().contains_key(header::UPGRADE).then(|| websockets.clone());
            async move {
                let answer = tokio::time::timeout(request_time, connection.answer(request, upgrade)).await;
                Ok::<_, Infallible>(answer.unwrap_or_else(|_| empty(StatusCode::REQUEST_TIMEOUT)))
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

/// What the requests of one connection share.
struct Connection {
    offered: Offered,
    handle: ConnectionHandle,
    upgraded: Upgraded,
    carriage: Carriage,
    /// Requests about signing in that it may still make.
    sign_ins: Mutex<Budget>,
    bounds: HttpBounds,
}

impl Connection {
    /// Answers a request, with jsonrpsee's service where it asks to become a WebSocket.
    async fn answer<S>(&self, request: Request<Incoming>, upgrade: Option<S>) -> Response<Body>
    where
        S: tower::Service<Request<Incoming>, Response = Response<HttpBody>>,
    {
        let presented = Presented::in_path(request.uri().path());
        if let Some(probe) = Probe::of(&request, presented.path) {
            return probe.answer(&self.offered.core).await.map(EitherBody::Right);
        }
        let endpoint = Endpoint::at(presented.path);
        if let Some(answer) = answer_without_body(&request, endpoint) {
            return answer;
        }
        let auth = &self.offered.auth;
        let session = match endpoint.map_or(Ok(()), |_| auth.admit(&self.sign_ins)) {
            Ok(()) => presented.session(request.headers(), auth, self.carriage),
            Err(refusal) => Err(refusal),
        };
        let session = match session {
            Ok(session) => session,
            Err(refusal) => return http::refused(refusal, self.bounds.lengths).map(EitherBody::Right),
        };
        match (endpoint, upgrade) {
            (Some(endpoint), _) => {
                let answer = auth::answer(auth, endpoint, session.as_ref(), request, self.bounds.lengths).await;
                answer.map(EitherBody::Right)
            }
            (None, Some(websockets)) => self.upgrade(request, session, websockets).await,
            (None, None) => {
                let caller = session.map_or_else(|| self.offered.nobody.clone(), |session| session.caller());
                let response = http::answer(&self.offered.served, &caller, self.bounds, request).await;
                response.map(EitherBody::Right)
            }
        }
    }

    /// Makes a WebSocket of the connection. Its caller is who asked for it, for as long as the session lasts.
    async fn upgrade<S>(
        &self,
        mut request: Request<Incoming>,
        session: Option<Session>,
        mut websockets: S,
    ) -> Response<Body>
    where
        S: tower::Service<Request<Incoming>, Response = Response<HttpBody>>,
    {
        let extensions = request.extensions_mut();
        match session {
            Some(session) => {
                extensions.insert(session.caller());
                let live = LiveSession::new(self.offered.auth.clone(), Arc::new(session));
                extensions.insert(live.follow());
                extensions.insert(live);
            }
            None => {
                extensions.insert(self.offered.nobody.clone());
            }
        }
        extensions.insert(self.handle.backlog().clone());
        let mut response = match websockets.call(request).await {
            Ok(response) => response.map(EitherBody::Left),
            Err(_) => empty(StatusCode::BAD_REQUEST),
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.handle.upgraded(u64::from(self.bounds.request_bytes));
            if self.bounds.lengths == Lengths::Classes {
                self.upgraded.set();
            }
        }
        allow_origins(response.headers_mut());
        response
    }
}

/// Pre-flight requests of browsers, and requests that only ask whether anyone is there.
fn answer_without_body(request: &Request<Incoming>, endpoint: Option<Endpoint>) -> Option<Response<Body>> {
    let upgrade = request.headers().contains_key(header::UPGRADE);
    let status = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT,
        // geth and Besu answer a plain GET with 200 and nothing, which health checks rely on.
        Method::GET | Method::HEAD if !upgrade && endpoint.is_none() => StatusCode::OK,
        _ => return None,
    };
    let mut response = empty(status);
    allow_origins(response.headers_mut());
    Some(response)
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(EitherBody::Right(Full::default()));
    *response.status_mut() = status;
    response
}

/// Pages of any origin may ask: a development node has nothing to hide, and a confidential one asks
/// for a token that no page has by itself.
pub(crate) fn allow_origins(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    // The asterisk does not stand for Authorization (Fetch, "CORS non-wildcard request-header name").
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*, Authorization"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
}

#[cfg(test)]
#[path = "server_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
