//! New connections to the node, for hyper's pool of them.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tower::Service;

use crate::{ClientError, Node, transport::Transport};

/// Connects to one node, whatever the URI; over TLS to a verified enclave.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    node: Node,
}

impl Connector {
    pub(super) const fn new(node: Node) -> Self {
        Self { node }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Transport>;
    type Error = ClientError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ClientError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let node = self.node.clone();
        Box::pin(async move { node.connect().await.map(TokioIo::new) })
    }
}
