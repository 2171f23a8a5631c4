//! A door to a node on the user's own machine, for tools that know neither sign-in nor envelopes.
//!
//! It signs in, keeps the token in memory, and passes requests on with it: from unmodified tools to the node, over HTTP and
//! WebSocket. With sealing, transactions leave the machine in envelopes.
//!
//! Whoever can connect reads as the accounts that signed in. So it listens on loopback, takes a request only if its `Host` is the
//! gateway's own (a page whose domain was pointed here afterwards has another: DNS rebinding), and one with an `Origin` only if
//! that was listed.

use core::convert::Infallible;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use cloister_primitives::envelope::SealingSuite;
use http_body_util::{BodyExt as _, Full, Limited, combinators::BoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{self, HeaderName, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::net::TcpListener;
use tokio::sync::{RwLock, Semaphore};

use crate::{Account, ClientError, Node, Session, Site, sign_in};

mod connector;
mod doors;
mod envelopes;

use connector::Connector;
use doors::{Doors, Refusal};
use envelopes::Envelopes;

/// Longest body that is passed on, bytes: more than a node takes.
const MAX_BODY_BYTES: usize = 16 << 20;
/// Connections at one time.
const MAX_CONNECTIONS: usize = 256;
/// Time for the head of a request.
const HEAD: Duration = Duration::from_secs(30);

const SILENT: &str = "the node does not answer";

/// What the gateway answers with.
type Body = BoxBody<Bytes, hyper::Error>;

/// What a gateway does.
#[derive(Debug)]
pub struct GatewayOptions {
    /// The node.
    pub node: Node,
    /// What is signed in to.
    pub site: Site,
    /// Who signs in, the first being who calls are made as by default.
    pub accounts: Vec<Account>,
    /// Pages that may use the gateway, by origin.
    pub origins: Vec<String>,
    /// How transactions are sealed, if they are.
    pub seal: Option<SealingSuite>,
}

/// A signed-in gateway.
#[derive(Debug)]
pub struct Gateway {
    node: Node,
    site: Site,
    accounts: Vec<Account>,
    origins: Vec<String>,
    session: RwLock<Session>,
    envelopes: Option<Envelopes>,
    client: Client<Connector, Full<Bytes>>,
}

impl Gateway {
    /// Signs in.
    ///
    /// # Errors
    /// As [`sign_in`]; [`ClientError::Key`] without any account.
    pub async fn open(options: GatewayOptions) -> Result<Self, ClientError> {
        let GatewayOptions { node, site, accounts, origins, seal } = options;
        let session = sign_in(&node, &site, &accounts).await?.ok_or(ClientError::Key)?;
        let envelopes = seal.map(|suite| Envelopes::new(node.clone(), suite));
        let client = Client::builder(TokioExecutor::new()).build(Connector::new(node.clone()));
        Ok(Self { node, site, accounts, origins, session: RwLock::new(session), envelopes, client })
    }

    /// Whose session it is.
    pub async fn session(&self) -> Session {
        self.session.read().await.clone()
    }

    /// Serves connections, as long as it is polled.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, address: SocketAddr) -> Infallible {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let doors = Arc::new(Doors::new(address, self.origins.clone()));
        loop {
            let Ok(permit) = permits.clone().acquire_owned().await else { continue };
            // What goes wrong with one connection is no reason to stop.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (gateway, doors, permit) = (self.clone(), doors.clone(), Arc::new(permit));
            tokio::spawn(async move {
                let service = service_fn(|mut request: Request<Incoming>| {
                    let (gateway, doors) = (gateway.clone(), doors.clone());
                    // A WebSocket lives on in its request.
                    request.extensions_mut().insert(permit.clone());
                    async move { Ok::<_, Infallible>(gateway.answer(&doors, request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .half_close(true)
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                let _ = connection.await;
            });
        }
    }

    async fn answer(&self, doors: &Doors, request: Request<Incoming>) -> Response<Body> {
        let origin = match doors.admit(request.headers()) {
            Ok(origin) => origin,
            Err(refusal) => return refused(&refusal),
        };
        let mut response = if *request.method() == Method::OPTIONS {
            empty(StatusCode::NO_CONTENT)
        } else if request.headers().contains_key(header::UPGRADE) {
            self.upgrade(request).await
        } else if *request.method() == Method::POST {
            self.pass_on(request).await
        } else {
            error(StatusCode::METHOD_NOT_ALLOWED, "the gateway takes POST requests and WebSockets")
        };
        doors::allow(response.headers_mut(), origin);
        response
    }

    /// Passes a request on, once more after signing in again if the node does not take the token any longer.
    async fn pass_on(&self, request: Request<Incoming>) -> Response<Body> {
        let body = match Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return error(StatusCode::PAYLOAD_TOO_LARGE, "the request is longer than the gateway passes on"),
        };
        if let Some(envelopes) = &self.envelopes
            && let Some(sealed) = envelopes.seal(&body).await
        {
            return match sealed {
                Ok(sealed) => self.send_sealed(envelopes, &body, sealed).await,
                Err(failure) => error(StatusCode::BAD_GATEWAY, &failure.to_string()),
            };
        }
        self.send(body).await
    }

    /// Sends a body whose transactions are in envelopes; seals once more if the node does not open them.
    async fn send_sealed(&self, envelopes: &Envelopes, body: &Bytes, sealed: Bytes) -> Response<Body> {
        let mut sealed = sealed;
        for attempt in 0.. {
            let (parts, answer) = self.send(sealed).await.into_parts();
            let Ok(answer) = answer.collect().await else {
                return error(StatusCode::BAD_GATEWAY, "the node broke off its answer");
            };
            let answer = answer.to_bytes();
            if !envelopes.is_refusal(&answer) || attempt > 0 {
                return Response::from_parts(parts, full(answer));
            }
            sealed = match envelopes.seal(body).await {
                Some(Ok(again)) => again,
                Some(Err(_)) | None => return Response::from_parts(parts, full(answer)),
            };
        }
        empty(StatusCode::BAD_GATEWAY)
    }

    async fn send(&self, body: Bytes) -> Response<Body> {
        let session = self.session().await;
        let answer = self.exchange(body.clone(), &session.token).await;
        match answer {
            Ok(response) if response.status() == StatusCode::UNAUTHORIZED => match self.renew(&session).await {
                Ok(token) => self.exchange(body, &token).await.unwrap_or_else(|failure| failure),
                Err(failure) => error(StatusCode::BAD_GATEWAY, &format!("cannot sign in again: {failure}")),
            },
            Ok(response) => response,
            Err(failure) => failure,
        }
    }

    async fn exchange(&self, body: Bytes, token: &str) -> Result<Response<Body>, Response<Body>> {
        let unavailable = || error(StatusCode::BAD_GATEWAY, SILENT);
        let uri: Uri = self.node.url().to_string().parse().map_err(|_| unavailable())?;
        let request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, bearer(token).ok_or_else(unavailable)?)
            .body(Full::new(body))
            .map_err(|_| unavailable())?;
        let response = self.client.request(request).await.map_err(|failure| unreachable_for(&failure))?;
        let (parts, body) = response.into_parts();
        let mut answer = Response::new(body.boxed());
        *answer.status_mut() = parts.status;
        if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
            answer.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
        }
        Ok(answer)
    }

    /// Signs in again, unless somebody else just did.
    async fn renew(&self, old: &Session) -> Result<String, ClientError> {
        let mut session = self.session.write().await;
        if *session == *old {
            *session = sign_in(&self.node, &self.site, &self.accounts).await?.ok_or(ClientError::Key)?;
        }
        Ok(session.token.clone())
    }

    /// Joins a WebSocket with one to the node, which knows from its hand-shake who asks.
    async fn upgrade(&self, mut request: Request<Incoming>) -> Response<Body> {
        if self.envelopes.is_some() {
            let words = "this gateway seals transactions, which it cannot within a WebSocket: use HTTP";
            return error(StatusCode::NOT_IMPLEMENTED, words);
        }
        let session = self.session().await;
        let mut response = match self.shake_hands(request.headers(), &session.token).await {
            Ok(response) => response,
            Err(failure) => return failure,
        };
        if response.status() == StatusCode::UNAUTHORIZED
            && let Ok(token) = self.renew(&session).await
            && let Ok(again) = self.shake_hands(request.headers(), &token).await
        {
            response = again;
        }
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return response.map(|body| body.boxed());
        }
        let mut answer = empty(StatusCode::SWITCHING_PROTOCOLS);
        copy(response.headers(), answer.headers_mut(), &ANSWERED);
        tokio::spawn(async move {
            let (client, node) = tokio::join!(hyper::upgrade::on(&mut request), hyper::upgrade::on(&mut response));
            if let (Ok(client), Ok(node)) = (client, node) {
                let (mut client, mut node) = (TokioIo::new(client), TokioIo::new(node));
                let _ = tokio::io::copy_bidirectional(&mut client, &mut node).await;
            }
        });
        answer
    }

    async fn shake_hands(&self, asked: &HeaderMap, token: &str) -> Result<Response<Incoming>, Response<Body>> {
        let unavailable = || error(StatusCode::BAD_GATEWAY, SILENT);
        let stream = self.node.connect().await.map_err(|failure| unreachable_for(&failure))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|_| unavailable())?;
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::get("/")
            .header(header::HOST, self.node.url().authority())
            .header(header::AUTHORIZATION, bearer(token).ok_or_else(unavailable)?)
            .body(Full::<Bytes>::default())
            .map_err(|_| unavailable())?;
        copy(asked, request.headers_mut(), &ASKED);
        sender.send_request(request).await.map_err(|_| unavailable())
    }
}

/// Why there is no connection to the node: its evidence, if that is why.
fn unreachable_for(failure: &(dyn core::error::Error + 'static)) -> Response<Body> {
    let mut cause = Some(failure);
    while let Some(error_now) = cause {
        if let Some(refused @ (ClientError::Evidence { .. } | ClientError::NoTls { .. })) = error_now.downcast_ref() {
            return error(StatusCode::BAD_GATEWAY, &refused.to_string());
        }
        cause = error_now.source();
    }
    error(StatusCode::BAD_GATEWAY, SILENT)
}

/// What is passed on of a WebSocket's hand-shake (RFC 6455 §4), and of its answer.
const ASKED: [HeaderName; 6] = [
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_EXTENSIONS,
];
const ANSWERED: [HeaderName; 5] = [
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_EXTENSIONS,
];

fn copy(from: &HeaderMap, to: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        for value in from.get_all(name) {
            to.append(name, value.clone());
        }
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}

fn refused(refusal: &Refusal) -> Response<Body> {
    error(StatusCode::FORBIDDEN, refusal.words())
}

/// A failure of the gateway's own, as JSON-RPC.
fn error(status: StatusCode, words: &str) -> Response<Body> {
    let body = serde_json::json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32000, "message": words } });
    let mut response = Response::new(full(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
