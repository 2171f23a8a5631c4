//! A line by which the program around an enclave in its own process hands it blocks of Ethereum's. The measured
//! binary has none: nothing that comes over the boundary leads here.

use cloister_access::Caller;
use cloister_core::{CoreError, ImportRefusal, Imported, ImportedBlock, RequestBody, Response};
use cloister_rpc::RpcContext;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::Extension;

/// The extension to give to a shell, and the end of the line to keep.
#[must_use]
pub fn importer() -> (Extension, Importer) {
    let (sender, opened) = oneshot::channel();
    let extension = Box::new(move |context: RpcContext| {
        // Nobody listens only when the importing program is ending.
        let _ = sender.send(context);
        None
    });
    (extension, Importer { opened })
}

/// Waits for a chain to be loaded.
#[derive(Debug)]
pub struct Importer {
    opened: oneshot::Receiver<RpcContext>,
}

impl Importer {
    /// The line, once the chain is loaded; `None` if the enclave ended before.
    pub async fn open(self) -> Option<ImportLine> {
        self.opened.await.ok().map(|context| ImportLine { context })
    }
}

/// A line to a loaded chain.
#[derive(Clone, Debug)]
pub struct ImportLine {
    context: RpcContext,
}

/// Why a block was not imported.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ImportError {
    /// It is wrong, or none of this chain's.
    #[error("{0}")]
    Refused(Box<ImportRefusal>),
    /// The node could not take it.
    #[error("{0}")]
    Core(#[from] CoreError),
}

impl ImportLine {
    /// Hands over a block's RLP. Blocks are imported in the order they are handed over, and several may be on
    /// their way.
    ///
    /// # Errors
    /// [`ImportError::Core`] when the enclave is ending.
    pub async fn send(&self, block: Vec<u8>) -> Result<Awaited, ImportError> {
        let body = RequestBody::Import { block: block.into() };
        Ok(Awaited(self.context.core.send(&Caller::Development, body).await?))
    }
}

/// A block that is part of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is committed now.
    New(ImportedBlock),
    /// It was there already.
    Known(ImportedBlock),
}

/// A block on its way.
#[derive(Debug)]
pub struct Awaited(oneshot::Receiver<Result<Response, CoreError>>);

impl Awaited {
    /// What became of the block, once it is committed.
    ///
    /// # Errors
    /// [`ImportError`]; the chain is as it was before the block.
    pub async fn imported(self) -> Result<Arrival, ImportError> {
        let stopping = CoreError::Unavailable("the node is stopping");
        match self.0.await.map_err(|_| stopping.clone())?? {
            Response::Imported(Imported::Committed(block)) => Ok(Arrival::New(block)),
            Response::Imported(Imported::Present(block)) => Ok(Arrival::Known(block)),
            Response::Imported(Imported::Refused(refusal)) => Err(ImportError::Refused(refusal)),
            _ => Err(stopping.into()),
        }
    }
}
