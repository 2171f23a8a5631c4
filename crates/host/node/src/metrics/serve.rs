//! The server for those who ask for metrics: HTTP on an address of its own.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::{net::TcpStream, sync::Semaphore, task::JoinSet, time::timeout};

use super::{Metrics, Sources, render};
use crate::listen::Listener;

/// Where the metrics are.
const PATH: &str = "/metrics";
/// Connections at one time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 16;
/// A connection that has not asked for anything for this long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// Time that a connection may last.
const LIFETIME: Duration = Duration::from_secs(600);
/// <https://prometheus.io/docs/specs/om/open_metrics_spec/#protocol-negotiation>
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Tells metrics until it is dropped. Then nobody holds the store for them any more.
#[derive(Debug)]
pub(crate) struct Telling {
    _task: JoinSet<()>,
    sources: Sources,
}

impl Telling {
    pub(crate) fn start(listener: Listener, metrics: Metrics, sources: Sources) -> Self {
        let mut task = JoinSet::new();
        task.spawn(serve(listener, metrics, sources.clone()));
        Self { _task: task, sources }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.sources.let_go();
    }
}

async fn serve(listener: Listener, metrics: Metrics, sources: Sources) {
    let registry = Arc::new(metrics.registry(sources));
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let (stream, _) = listener.accept().await;
        let registry = registry.clone();
        connections.spawn(async move {
            // What goes wrong is the asker's to notice.
            let _ = timeout(LIFETIME, connection(stream, registry)).await;
            drop(permit);
        });
    }
}

async fn connection(stream: TcpStream, registry: Arc<Registry>) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let registry = registry.clone();
        async move { Ok::<_, Infallible>(answer(request.method(), request.uri().path(), registry).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(method: &Method, path: &str, registry: Arc<Registry>) -> Response<Full<Bytes>> {
    if path != PATH {
        return text(StatusCode::NOT_FOUND, "metrics are at /metrics\n");
    }
    if *method != Method::GET && *method != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "metrics are asked for with GET\n");
    }
    // Files are looked at for some of them.
    let rendered = tokio::task::spawn_blocking(move || render(&registry)).await;
    let Ok(Ok(body)) = rendered else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n");
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cloister_storage::{BlobStore, MemoryStore};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn metrics_are_at_one_path_and_read_only() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address();
        let (_status, status) = tokio::sync::watch::channel(Default::default());
        let (_ready, ready) = tokio::sync::watch::channel(None);
        let store: Arc<dyn BlobStore> = Arc::new(MemoryStore::new());
        let sources = Sources::new(store.clone(), status, ready);
        let telling = Telling::start(listener, Metrics::default(), sources);
        let asked = async |request: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            text
        };
        let found = asked("GET /metrics").await;
        assert!(found.starts_with("HTTP/1.1 200 OK") && found.contains(CONTENT_TYPE), "{found}");
        assert!(found.contains("\ncloister_build_info{version=") && found.ends_with("# EOF\n"), "{found}");
        assert!(asked("GET /").await.starts_with("HTTP/1.1 404"));
        assert!(asked("POST /metrics").await.starts_with("HTTP/1.1 405"));
        assert_eq!(Arc::strong_count(&store), 2);
        drop(telling);
        assert_eq!(Arc::strong_count(&store), 1, "its owner is the last to let go of it");
    }
}
