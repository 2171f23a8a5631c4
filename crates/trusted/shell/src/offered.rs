//! What connections are served with once the chain is loaded.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use cloister_access::Caller;
use cloister_core::{Event, RequestBody};
use cloister_rpc::{CoreHandle, RpcContext, Served, signatures};
use tokio::sync::broadcast::error::RecvError;

use crate::{
    auth::{Auth, Present, Refusal, Revocations, Sessions, Surroundings, verdict},
    entropy::PlatformEntropy,
    padding::Lengths,
    tls::Tls,
};

/// Methods, and who their callers are.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    /// The methods.
    pub(crate) served: Served,
    /// Says how the node is.
    pub(crate) core: CoreHandle,
    /// Signs clients in.
    pub(crate) auth: Arc<Auth>,
    /// Who a caller is that has shown nothing.
    pub(crate) nobody: Caller,
    /// How long answers are.
    pub(crate) lengths: Lengths,
    /// What connections begin with; `None` for HTTP in the clear.
    pub(crate) tls: Option<Arc<Tls>>,
}

/// The time that the host told last.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostTime(Arc<AtomicU64>);

impl HostTime {
    pub(crate) fn set_ms(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed) / 1_000
    }
}

/// Signing in on a loaded chain, beside which these notes were kept.
pub(crate) fn auth(context: &RpcContext, host_time: HostTime, notes: &[u8]) -> Arc<Auth> {
    let ledger = context.ledger.clone();
    let spec = ledger.spec();
    let sessions = Sessions::new(ledger.session_key(), spec.sign_in(), spec.chain_id(), &mut PlatformEntropy)
        .with_revocations(Revocations::from_notes(notes));
    let surroundings = Surroundings {
        clock: Box::new(move || Present { committed_s: ledger.head_time_s(), host_s: host_time.seconds() }),
        signed: {
            let context = context.clone();
            Box::new(move |account, digest, signature| {
                let context = context.clone();
                Box::pin(async move { verdict(signatures::check(&context, account, digest, signature).await) })
            })
        },
        keeps: {
            let core = context.core.clone();
            Box::new(move |notes| {
                let core = core.clone();
                Box::pin(async move {
                    let kept = core.request(&Caller::Anonymous, RequestBody::KeepNotes { notes }).await;
                    kept.map(|_| ()).map_err(|_| Refusal::Unavailable)
                })
            })
        },
    };
    let auth = Arc::new(Auth::new(sessions, surroundings));
    let (told, mut events) = (auth.clone(), context.events.of_chain());
    tokio::spawn(async move {
        loop {
            match events.recv().await {
                Ok(Event::Committed(_)) | Err(RecvError::Lagged(_)) => told.changed(),
                Ok(Event::Admitted(_) | Event::Reverted(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
    auth
}
